//! Names and patterns of functions, and what they stand for: functions of the kernel, places in an executable.
//!
//! Source: libbpf `bpf_program__attach_kprobe_multi_opts`, `elf_resolve_pattern_offsets`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::elf;
use crate::sys::tracefs;

/// Names of the kernel's functions that fit. A name without wildcards is left for the kernel to find.
///
/// # Errors
/// Why there are none.
pub(super) fn kernel_functions(patterns: &[&str]) -> Result<Vec<String>, String> {
    let (open, plain): (Vec<&str>, Vec<&str>) = patterns.iter().partition(|pattern| is_pattern(pattern));
    let mut found: BTreeSet<String> = plain.into_iter().map(str::to_string).collect();
    if open.is_empty() {
        return Ok(found.into_iter().collect());
    }
    let all = tracefs::functions().map_err(|error| error.to_string())?;
    for pattern in open {
        let mut fitting = all.iter().filter(|name| fits(pattern, name)).peekable();
        if fitting.peek().is_none() {
            return Err(format!("no function of the kernel that can be probed is called {pattern}"));
        }
        found.extend(fitting.cloned());
    }
    Ok(found.into_iter().collect())
}

/// Where functions that fit begin, in **bytes** from the file's beginning.
///
/// # Errors
/// Why there are none, or why one is missing.
pub(super) fn places(path: &Path, patterns: &[&str]) -> Result<Vec<u64>, String> {
    let shown = path.display();
    if path.components().count() < 2 {
        return Err(format!("{shown} is not looked for: name the file with its path"));
    }
    let bytes = fs::read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let functions = elf::functions(&bytes).map_err(|error| format!("{shown}: {error}"))?;
    let mut found = BTreeSet::new();
    for pattern in patterns {
        let before = found.len();
        found.extend(functions.iter().filter(|(name, _)| fits(pattern, name)).map(|(_, at)| *at));
        if found.len() == before {
            return Err(format!("{shown} has no function called {pattern}, or does not say so"));
        }
    }
    Ok(found.into_iter().collect())
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a name fits a pattern, in which `*` stands for any characters and `?` for any one.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    // Where to go on if what follows the last star does not fit: one character later.
    let (mut p, mut n, mut retry) = (0usize, 0usize, None);
    loop {
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                p = p.saturating_add(1);
                retry = Some((p, n));
            }
            (Some(want), Some(have)) if *want == b'?' || want == have => {
                (p, n) = (p.saturating_add(1), n.saturating_add(1));
            }
            _ => {
                let Some((star, from)) = retry.filter(|(_, from)| *from < name.len()) else {
                    return false;
                };
                (p, n) = (star, from.saturating_add(1));
                retry = Some((p, n));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_the_shell() {
        let yes = [
            ("tcp_*", "tcp_connect"),
            ("*", ""),
            ("a*b*c", "aXbYbZc"),
            ("?b", "ab"),
            ("abc", "abc"),
            ("*c", "abcc"),
        ];
        let no = [("tcp_*", "xtcp_"), ("", "a"), ("a*b", "abc"), ("?", ""), ("abc", "abcd"), ("a*?c", "ac")];
        assert!(yes.iter().all(|(pattern, name)| fits(pattern, name)));
        assert!(no.iter().all(|(pattern, name)| !fits(pattern, name)));
    }

    #[test]
    fn functions_of_this_program_are_found() {
        let program = std::env::current_exe().unwrap();
        assert_eq!(places(&program, &["main"]).unwrap().len(), 1);
        let both = places(&program, &["main", "_start"]).unwrap();
        assert_eq!((both.len(), both.is_sorted()), (2, true));
        let error = |path: &Path, name| places(path, &[name]).unwrap_err();
        assert!(error(&program, "rxdp_no_such_function").contains("has no function called"));
        assert!(error(Path::new("libc.so.6"), "malloc").contains("name the file with its path"));
        assert!(error(Path::new("/nowhere/at/all"), "f").contains("cannot be read: No such file"));
        assert!(error(Path::new("/proc/self/status"), "f").contains("not a 64-bit ELF file"));
    }
}
