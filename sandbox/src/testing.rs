//! For tests that stand on a [`Sandbox`]: skip aloud without privilege, and see what a process holds open.
//!
//! Ordinary public functions, so that tests of all crates can use them.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Write},
    path::Path,
};

use crate::{error::SandboxError, sandbox::Sandbox};

/// The environment variable that makes a skipped test fail, when it is `1`.
pub const REQUIRE_KERNEL: &str = "RXDP_REQUIRE_KERNEL";

/// A sandbox for the test called `test`; `None`, said aloud on standard error, where this process lacks the
/// privilege to make one.
///
/// # Panics
/// If the sandbox fails for any other reason, or for that one while `RXDP_REQUIRE_KERNEL=1`.
pub fn kernel_or_skip(test: &str) -> Option<Sandbox> {
    let required = env::var_os(REQUIRE_KERNEL).is_some_and(|value| value == "1");
    // Not eprintln: the test harness captures that, and shows it for failed tests only.
    made_or_skipped(test, required, Sandbox::new(), &mut io::stderr())
}

/// What this process holds open, one line a descriptor: `7 -> socket:[4711]`.
///
/// Tests compare two of these with [`BTreeSet::difference`]. All threads' descriptors count, so such a test is
/// alone in its file. And what a process opens once for good is opened before the first look: tokio's signal
/// handling keeps a socket pair, so make and drop one sandbox first.
///
/// Source: `/proc/self/fd`.
///
/// # Errors
/// If `/proc/self/fd` cannot be read.
pub fn open_descriptors() -> io::Result<BTreeSet<String>> {
    let links =
        fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    // The directory's own descriptor is among them, closed by now, and so has no target to read.
    Ok(links.iter().filter_map(|link| described(link)).collect())
}

fn described(link: &Path) -> Option<String> {
    let (number, target) = (link.file_name()?, fs::read_link(link).ok()?);
    Some(format!("{} -> {}", number.to_string_lossy(), target.display()))
}

#[expect(clippy::panic, reason = "a test helper: failing the test is its job")]
fn made_or_skipped(
    test: &str,
    required: bool,
    made: Result<Sandbox, SandboxError>,
    aloud: &mut impl Write,
) -> Option<Sandbox> {
    match made {
        Ok(sandbox) => Some(sandbox),
        Err(why @ SandboxError::NotPermitted { .. }) if !required => {
            // In one write, or lines of tests that run side by side mix. A closed standard error fails no test.
            let _unheard = aloud.write_all(format!("SKIPPED {test}: {why}\n").as_bytes());
            None
        }
        Err(why) => panic!("{test}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::error::Step;

    #[test]
    fn lack_of_privilege_skips_aloud() {
        let mut said = Vec::new();
        assert!(made_or_skipped("some_test", false, unprivileged(), &mut said).is_none());
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("SKIPPED some_test: not permitted to make a network namespace"), "{said}");
    }

    #[test]
    #[should_panic(expected = "some_test: not permitted")]
    fn lack_of_privilege_fails_where_the_kernel_is_required() {
        made_or_skipped("some_test", true, unprivileged(), &mut Vec::new());
    }

    #[test]
    #[should_panic(expected = "max_net_namespaces")]
    fn any_other_error_fails() {
        let full = Err(SandboxError::at(Step::NewNetwork, Errno::ENOSPC));
        made_or_skipped("some_test", false, full, &mut Vec::new());
    }

    #[test]
    fn an_open_file_is_listed_until_it_is_closed() {
        let file = fs::File::open("/proc/self/maps").unwrap();
        let is_open = || open_descriptors().unwrap().iter().any(|line| line.ends_with("/maps"));
        assert!(is_open());
        drop(file);
        assert!(!is_open());
    }

    fn unprivileged() -> Result<Sandbox, SandboxError> {
        Err(SandboxError::at(Step::NewNetwork, Errno::EPERM))
    }
}
