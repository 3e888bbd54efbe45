//! Object files on disk: their bytes and their names. It knows nothing of what is in them.

use std::fs::File;
use std::io::Read;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::elf::Outline;
use crate::error::Error;
use crate::sys::Zeroed;

/// Most **bytes** of an object file. A file that does not end must not take all memory.
const LARGEST: u64 = 256 << 20;

/// Files of up to so many **bytes** are read as a whole: one call is cheaper than four.
const SMALL: u64 = 64 << 10;

/// The bytes of a file.
#[derive(Debug)]
pub struct FileBytes(Memory);

#[derive(Debug)]
enum Memory {
    /// All of the file.
    Whole(Vec<u8>),
    /// Zeroes, and what is needed at its places.
    Parts(Zeroed),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Whole(bytes) => bytes,
            Memory::Parts(bytes) => bytes,
        }
    }
}

/// Reads an object file, or one with types. Debug information (DWARF), which no stage asks about, may be left out: then there
/// are zeroes in its place.
///
/// # Errors
/// [`Error::Open`] if it cannot be read, [`Error::TooLarge`] if it has more than 256 MiB.
pub fn read_file(path: &Path) -> Result<FileBytes, Error> {
    let failed = |error| Error::open(path, &error);
    let file = File::open(path).map_err(failed)?;
    let expected = file.metadata().map_or(0, |metadata| metadata.len());
    let parts = (SMALL..=LARGEST).contains(&expected).then(|| without_debug_information(&file, expected));
    if let Some(bytes) = parts.flatten() {
        return Ok(FileBytes(Memory::Parts(bytes)));
    }
    // Growing by and by would take twice the memory.
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(LARGEST)).unwrap_or(0));
    file.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge { path: path.into(), limit: LARGEST });
    }
    Ok(FileBytes(Memory::Whole(bytes)))
}

/// What of an ELF file is needed, at its places; `None` if that cannot be found out or read.
fn without_debug_information(file: &File, len: u64) -> Option<Zeroed> {
    let mut bytes = Zeroed::new(usize::try_from(len).ok()?).ok()?;
    let outline = Outline::of(read(file, &mut bytes, 0..Outline::HEADER)?)?;
    read(file, &mut bytes, outline.sections())?;
    let names = outline.names(part(&bytes, &outline.sections())?)?;
    read(file, &mut bytes, names.clone())?;
    let needed = outline.needed(part(&bytes, &outline.sections())?, part(&bytes, &names)?)?;
    for range in needed {
        // A section that ends behind the file is for others to complain about.
        read(file, &mut bytes, range.start.min(len)..range.end.min(len))?;
    }
    Some(bytes)
}

fn read<'b>(file: &File, bytes: &'b mut [u8], range: Range<u64>) -> Option<&'b [u8]> {
    let part = bytes.get_mut(places(&range)?)?;
    file.read_exact_at(part, range.start).ok()?;
    Some(part)
}

fn part<'b>(bytes: &'b [u8], range: &Range<u64>) -> Option<&'b [u8]> {
    bytes.get(places(range)?)
}

fn places(range: &Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// An object's name: its file's name up to the first dot. Internal maps carry its beginning.
pub fn object_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().into()
}
