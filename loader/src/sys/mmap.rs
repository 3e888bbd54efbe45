//! Memory that is shared with a map, and files as memory. One of the files where `unsafe` lives.
#![expect(unsafe_code, reason = "system calls and the memory they give")]

use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use super::Errno;

/// Mapped memory. It is unmapped when the value is dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is memory of the process, not of a thread; this type gives out no references to it.
unsafe impl Send for Mapping {}
// SAFETY: as above; writing needs `&mut self`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` **bytes** of a map's memory, at `address` unless that is 0.
    ///
    /// Source: mmap(2). An address in use is never taken away from its user (`MAP_FIXED_NOREPLACE`, Linux 4.17).
    ///
    /// # Errors
    /// The errno; `EEXIST` if something is at the address.
    pub(super) fn of_map(map: BorrowedFd<'_>, address: u64, len: usize) -> Result<Self, Errno> {
        let fixed = if address == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
        Self::new(address, len, libc::MAP_SHARED | fixed, map.as_raw_fd())
    }

    /// Maps `len` **bytes** of memory that belongs to nothing.
    ///
    /// # Errors
    /// The errno.
    pub(super) fn anonymous(len: usize) -> Result<Self, Errno> {
        Self::new(0, len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1)
    }

    fn new(address: u64, len: usize, flags: libc::c_int, fd: libc::c_int) -> Result<Self, Errno> {
        let wanted = usize::try_from(address).map_err(|_too_far| Errno::EINVAL)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory, or (NOREPLACE) none at all: nothing that anybody uses is touched.
        let start = unsafe { libc::mmap(ptr::without_provenance_mut(wanted), len, access, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(start.cast()).map(|start| Self { start, len }).ok_or(Errno::EINVAL)
    }

    /// Writes at the beginning of the memory; what does not fit is left out.
    pub fn write(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.len);
        // SAFETY: `len` bytes are inside of the mapping and of the slice, and the mapping is new memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), len) };
    }
}

/// Zeroed memory of this process, which takes room only where it is written to. It is unmapped when the value is dropped.
#[derive(Debug)]
pub struct Zeroed(Mapping);

impl Zeroed {
    /// So many **bytes**, more than none.
    ///
    /// # Errors
    /// The errno.
    pub fn new(len: usize) -> Result<Self, Errno> {
        Mapping::anonymous(len).map(Self)
    }
}

impl Deref for Zeroed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped for reading with this length as long as `self` lives; it is private, so that only who borrows
        // `self` can change it.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.len) }
    }
}

impl DerefMut for Zeroed {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, mapped for writing too, and `self` is borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.len) }
    }
}

/// A file of the kernel's, read-only. It is unmapped when the value is dropped.
#[derive(Debug)]
pub struct FileMapping(Mapping);

impl FileMapping {
    /// Maps a file whose contents never change, such as those of `/sys/kernel/btf`. Since: Linux 6.16 for those.
    ///
    /// # Errors
    /// The errno; `ENODEV` from older kernels.
    pub(super) fn of_constant_file(file: BorrowedFd<'_>, len: usize) -> Result<Self, Errno> {
        // SAFETY: new memory: nothing that anybody uses is touched.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(start.cast()).map(|start| Self(Mapping { start, len })).ok_or(Errno::EINVAL)
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for reading with this length as long as `self` lives, and the maker promised that nobody
        // changes the contents.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nobody has a reference to it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
