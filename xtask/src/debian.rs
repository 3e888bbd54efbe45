//! Debian's packages: installed, or only unpacked into a folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{XtaskError, process};

/// Installs packages with `apt-get`, and says so. Nothing happens if there are none.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`] of `apt-get`.
pub fn install(packages: &[&str]) -> Result<(), XtaskError> {
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("xtask: installing {}", packages.join(" "));
    update()?;
    process::run(
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Brings the lists of packages up to date: what they name may be gone from the servers else.
///
/// # Errors
/// [`XtaskError::Start`] or [`XtaskError::Failed`] of `apt-get`.
pub fn update() -> Result<(), XtaskError> {
    process::run(Command::new("apt-get").arg("update"))
}

/// The package of the highest version among those whose names match a regular expression.
///
/// # Errors
/// [`XtaskError::NoPackage`] if none does.
pub fn newest(pattern: &str) -> Result<String, XtaskError> {
    let found = process::output(Command::new("apt-cache").args(["search", "--names-only", pattern]))?;
    let names = found.lines().filter_map(|line| line.split(' ').next());
    let newest = names.max_by_key(|name| numbers(name));
    newest.map(str::to_owned).ok_or_else(|| XtaskError::NoPackage { pattern: pattern.to_owned() })
}

/// Downloads a package and unpacks its files into `folder`, which is there afterwards as a whole or not at all.
/// Nothing is installed.
///
/// # Errors
/// Those of `apt-get download` and `dpkg-deb`; [`XtaskError::Write`].
pub fn unpack(package: &str, folder: &Path) -> Result<(), XtaskError> {
    let written = |source| XtaskError::Write { path: folder.to_path_buf(), source };
    let (download, partial) = (folder.with_extension("download"), folder.with_extension("partial"));
    for leftover in [&download, &partial] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).map_err(written)?;
        }
        fs::create_dir_all(leftover).map_err(written)?;
    }

    process::run(Command::new("apt-get").args(["download", package]).current_dir(&download))?;
    for entry in fs::read_dir(&download).map_err(written)? {
        let archive = entry.map_err(written)?.path();
        process::run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&partial))?;
    }
    fs::remove_dir_all(&download).map_err(written)?;
    fs::rename(&partial, folder).map_err(written)
}

/// The numbers in a name, in order: by these 6.12.9 comes before 6.12.10, which as text it does not.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_release_counts_more_whatever_its_text() {
        let mut names = [
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64",
        ];
        names.sort_by_key(|name| numbers(name));
        assert_eq!(names.map(|name| &name[17..24]), ["9+deb12", "117+deb", "117+deb"]);
        assert!(names[2].contains("deb13"));
        assert!(numbers("linux-image-6.1.0-56-cloud-amd64") > numbers("linux-image-6.1.0-9-cloud-amd64"));
    }
}
