//! The objects of a folder, and a choice among them that is small enough for a slow machine.

use std::fs;
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};

use crate::XtaskError;

/// The sections whose programs need what not every machine has: trampolines, kprobes, the LSM.
const DEMANDING: &[&str] = &[
    "fentry",
    "fexit",
    "fmod_ret",
    "lsm",
    "freplace",
    "struct_ops",
    ".struct_ops",
    "kprobe",
    "kretprobe",
    "ksyscall",
    "kretsyscall",
];

/// The files of a folder, sorted.
///
/// # Errors
/// [`XtaskError::Read`].
pub fn objects(folder: &Path) -> Result<Vec<PathBuf>, XtaskError> {
    let read = |source| XtaskError::Read { path: folder.to_path_buf(), source };
    let entries = fs::read_dir(folder).map_err(read)?;
    let mut paths = entries.map(|entry| Ok(entry.map_err(read)?.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// What an object is called in rows and reports: its file name.
#[must_use]
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Every object with a demanding section and, evenly from the others, as many as make `number`.
///
/// # Errors
/// [`XtaskError::Read`].
pub fn choice(folder: &Path, number: usize) -> Result<Vec<PathBuf>, XtaskError> {
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for path in objects(folder)? {
        let bytes = fs::read(&path).map_err(|source| XtaskError::Read { path: path.clone(), source })?;
        let list = if is_demanding(&bytes) { &mut chosen } else { &mut others };
        list.push(path);
    }
    let missing = number.saturating_sub(chosen.len());
    chosen.extend(evenly(others, missing));
    chosen.sort();
    Ok(chosen)
}

/// `false` also for what is no object.
fn is_demanding(bytes: &[u8]) -> bool {
    let Ok(file) = ElfFile64::<Endianness>::parse(bytes) else {
        return false;
    };
    file.sections().any(|section| section.name().is_ok_and(demands))
}

/// A name may begin with `?`, and end or go on behind `/`, `.` or `+` (`struct_ops/x`, `fentry.s/x`).
fn demands(section: &str) -> bool {
    let section = section.strip_prefix('?').unwrap_or(section);
    let is_of = |demanding: &str| {
        section
            .strip_prefix(demanding)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.', '+']))
    };
    DEMANDING.iter().copied().any(is_of)
}

fn evenly(paths: Vec<PathBuf>, number: usize) -> impl Iterator<Item = PathBuf> {
    let of = paths.len().max(1);
    // Of `of` paths, the one at `at` is taken where the count that is due by then goes up.
    let due = move |at: usize| at.saturating_mul(number.min(of)).checked_div(of).unwrap_or(0);
    paths
        .into_iter()
        .enumerate()
        .filter(move |(at, _)| due(at.saturating_add(1)) > due(*at))
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_by_their_first_word() {
        for yes in
            ["fentry/x", "?fexit.s/x", "lsm", "lsm.s/bpf", ".struct_ops", ".struct_ops.link", "kprobe.multi"]
        {
            assert!(demands(yes), "{yes}");
        }
        for no in ["lsm_cgroup/x", "xdp", "tp/kprobe", "lsmx", ".text", "struct_opsy"] {
            assert!(!demands(no), "{no}");
        }
    }

    #[test]
    fn the_rest_is_taken_evenly_and_never_twice() {
        let paths = |number: usize| (0..number).map(|at| PathBuf::from(at.to_string())).collect::<Vec<_>>();
        let taken =
            |of, number| evenly(paths(of), number).map(|path| name(&path)).collect::<Vec<_>>().join(" ");
        assert_eq!(taken(10, 3), "3 6 9");
        assert_eq!(taken(3, 3), "0 1 2");
        assert_eq!(taken(3, 100), "0 1 2");
        assert_eq!(taken(3, 0), "");
        assert_eq!(taken(0, 5), "");
    }

    #[test]
    fn a_file_that_is_no_object_demands_nothing() {
        assert!(!is_demanding(b"not an object"));
    }

    #[test]
    fn the_sections_of_a_real_object_are_read() {
        let bytes = fs::read(crate::root().join("bpf-progs/tail_kern.o")).unwrap();
        assert!(!is_demanding(&bytes));
        let at = bytes.windows(8).rposition(|window| window == b"license\0").unwrap();
        let demanding = [&bytes[..at], b"lsm/xyz\0", &bytes[at + 8..]].concat();
        assert!(is_demanding(&demanding));
    }
}
