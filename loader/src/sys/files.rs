//! Open files of this process: room for many, and an end to many at once.
//!
//! They belong to the process and not to the kernel that is asked, since doubles hand out real descriptors too. One of
//! the files where `unsafe` lives. Nothing here knows what is loaded.
//!
//! Source: getrlimit(2), fcntl(2), close_range(2).
#![expect(unsafe_code, reason = "system calls")]

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use super::Errno;
use super::limits::{limit_of, set_limit};

/// Descriptors that are open in most processes at most: below this, nobody counts them.
const USUALLY_OPEN: u64 = 512;

/// Raises the soft limit of open files so that `more` descriptors can be opened.
///
/// It is never lowered again: other threads may be counting on it.
///
/// # Errors
/// The hard limit and how many are open, if `more` do not fit below it. Then nothing was changed.
pub fn make_room_for_files(more: u64) -> Result<(), TooManyFiles> {
    // What cannot be found out is left to the calls that need descriptors.
    let Ok(limit) = limit_of(libc::RLIMIT_NOFILE) else {
        return Ok(());
    };
    if more.saturating_add(USUALLY_OPEN) <= limit.rlim_cur {
        return Ok(());
    }
    let open = fs::read_dir("/proc/self/fd").map_or(USUALLY_OPEN, |fds| fds.count().try_into().unwrap_or(0));
    let needed = open.saturating_add(more);
    if needed <= limit.rlim_cur {
        return Ok(());
    }
    let raised = libc::rlimit { rlim_cur: needed, ..limit };
    if needed > limit.rlim_max || set_limit(libc::RLIMIT_NOFILE, &raised).is_err() {
        return Err(TooManyFiles { more, open, hard: limit.rlim_max });
    }
    Ok(())
}

/// Sees to it that `more` descriptors fit into the table of open files as it is.
///
/// A table that only one thread uses grows at once; one that is shared grows only after every processor has noticed, which
/// takes milliseconds. So it is done before threads start. Nothing is lost where it cannot be done.
///
/// Source: `expand_fdtable`, `fs/file.c`.
pub fn grow_file_table(more: usize) {
    let Ok(lowest) = libc::c_int::try_from(more) else {
        return;
    };
    let Ok(any) = fs::File::open("/") else {
        return;
    };
    // SAFETY: the call makes a descriptor and touches no memory.
    let high = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    if high >= 0 {
        // SAFETY: the descriptor was made here, and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(high) });
    }
}

/// More descriptors are needed than this process may open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyFiles {
    /// How many are needed.
    pub more: u64,
    /// How many are open.
    pub open: u64,
    /// RLIMIT_NOFILE's hard limit.
    pub hard: u64,
}

/// Closes all of these, neighbours in one call. Since: Linux 5.9; before, one after another.
pub fn close_all(files: impl IntoIterator<Item = OwnedFd>) {
    let mut files: Vec<RawFd> = files.into_iter().map(IntoRawFd::into_raw_fd).collect();
    files.sort_unstable();
    for neighbours in files.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        if close_range(neighbours).is_err() {
            // SAFETY: they were given up above, and are still open: a call that fails closes nothing.
            neighbours.iter().for_each(|file| drop(unsafe { OwnedFd::from_raw_fd(*file) }));
        }
    }
}

/// Closes descriptors that follow each other without a gap, all of which the caller has given up.
fn close_range(neighbours: &[RawFd]) -> Result<(), Errno> {
    let (Some(first), Some(last)) = (neighbours.first(), neighbours.last()) else {
        return Ok(());
    };
    let (first, last) = (libc::c_long::from(*first), libc::c_long::from(*last));
    // SAFETY: all descriptors from the first to the last belong to the caller and are used by nobody any more.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_files_grows_and_leaves_nothing_open() {
        let size = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
            line.trim().parse::<usize>().unwrap()
        };
        let more = size();
        grow_file_table(more);
        assert!(size() > more);
        assert!(fs::symlink_metadata(format!("/proc/self/fd/{more}")).is_err());
    }

    #[test]
    fn more_files_than_the_hard_limit_are_an_error_that_names_it() {
        let hard = limit_of(libc::RLIMIT_NOFILE).unwrap().rlim_max;
        let error = make_room_for_files(hard).unwrap_err();
        assert_eq!((error.more, error.hard), (hard, hard));
        assert!(error.open > 0 && make_room_for_files(1).is_ok());
    }

    #[test]
    fn closing_many_leaves_others_open() {
        let open = || OwnedFd::from(fs::File::open("/").unwrap());
        let (mut all, is_open) = ((0..64).map(|_| open()).collect::<Vec<_>>(), |file: RawFd| {
            fs::symlink_metadata(format!("/proc/self/fd/{file}")).is_ok()
        });
        let kept = all.remove(32);
        let closed: Vec<RawFd> = all.iter().map(AsRawFd::as_raw_fd).collect();
        close_all(all);
        assert!(is_open(kept.as_raw_fd()));
        // Another test may have opened one since.
        assert!(closed.iter().filter(|file| is_open(**file)).count() < 8);
    }
}
