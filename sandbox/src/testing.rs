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

/// Whether the running kernel is as new as what the test called `test` looks at. Where it is older, that is said aloud
/// on standard error, and is no failure even while `RXDP_REQUIRE_KERNEL=1`: the kernel cannot.
///
/// `since` is the Linux version that brought it, `what` says what it is.
///
/// Source: `/proc/sys/kernel/osrelease`.
///
/// # Panics
/// If the kernel does not say its version.
#[must_use]
pub fn needs(test: &str, since: (u32, u32), what: &str) -> bool {
    needs_on(test, &release(), since, what, &mut io::stderr())
}

#[expect(clippy::expect_used, reason = "a test helper: failing the test is its job")]
fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's version")
}

#[expect(clippy::panic, reason = "a test helper: failing the test is its job")]
fn needs_on(test: &str, release: &str, since: (u32, u32), what: &str, aloud: &mut impl Write) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        panic!("{test}: Linux {release:?} is no version");
    };
    if (major, minor) >= since {
        return true;
    }
    let ((since_major, since_minor), release) = (since, release.trim());
    let notice =
        format!("SKIPPED {test}: needs Linux {since_major}.{since_minor} ({what}), this is {release}\n");
    let _unheard = aloud.write_all(notice.as_bytes());
    false
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
    fn what_is_too_new_for_a_kernel_is_said_aloud() {
        let mut said = Vec::new();
        let mut on = |release| needs_on("some_test", release, (6, 4), "links of struct_ops", &mut said);
        assert!(on("6.4.0") && on("6.12.117+deb13-cloud-amd64") && on("7.0-rc1"));
        assert!(!on("6.1.0-50-cloud-amd64\n") && !on("5.15.0"));
        let said = String::from_utf8(said).unwrap();
        let first =
            "SKIPPED some_test: needs Linux 6.4 (links of struct_ops), this is 6.1.0-50-cloud-amd64\n";
        assert!(said.starts_with(first), "{said}");
        assert!(needs("some_test", (2, 6), "anything"));
    }

    #[test]
    #[should_panic(expected = "is no version")]
    fn a_kernel_without_a_version_fails() {
        let _never = needs_on("some_test", "unknown", (6, 4), "anything", &mut Vec::new());
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
