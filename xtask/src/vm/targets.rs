//! Which tests there are, which of them are wanted, and building those for a machine without a C library.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::PROFILE;
use crate::artifacts::{self, Artifact, Settings};
use crate::{XtaskError, process};

/// What a file of tests calls or reads if it needs a kernel.
const NEEDS_KERNEL: &[&str] = &["kernel_or_skip", "in_sandbox", "RXDP_REQUIRE_KERNEL"];

/// A file of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    package: String,
    /// Where the package lies.
    folder: PathBuf,
    name: String,
    needs_kernel: bool,
}

/// Every file of tests in the workspace, in cargo's order.
///
/// # Errors
/// [`XtaskError::Failed`] of `cargo metadata`, [`XtaskError::Metadata`], [`XtaskError::Read`].
pub(super) fn all() -> Result<Vec<Test>, XtaskError> {
    let text = process::output(process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|source| XtaskError::Metadata { source })?;
    let mut found = Vec::new();
    for package in metadata.packages {
        let folder = package.manifest_path.parent().map(PathBuf::from).unwrap_or_default();
        for target in package.targets.into_iter().filter(|target| target.kind == ["test"]) {
            let text = fs::read_to_string(&target.src_path);
            let text = text.map_err(|source| XtaskError::Read { path: target.src_path, source })?;
            found.push(Test {
                package: package.name.clone(),
                folder: folder.clone(),
                name: target.name,
                needs_kernel: NEEDS_KERNEL.iter().any(|sign| text.contains(sign)),
            });
        }
    }
    Ok(found)
}

/// The tests called so, `NAME` or `PACKAGE:NAME`; without names those that need a kernel.
///
/// # Errors
/// [`XtaskError::NoTest`] for a name that is none.
pub(super) fn choose(all: &[Test], names: &[String]) -> Result<Vec<Test>, XtaskError> {
    if names.is_empty() {
        return Ok(all.iter().filter(|test| test.needs_kernel).cloned().collect());
    }
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|test| test.is_called(name))) {
        let known = all.iter().map(|test| format!("{}:{}", test.package, test.name)).collect();
        return Err(XtaskError::NoTest { name: unknown.clone(), known });
    }
    Ok(all.iter().filter(|test| names.iter().any(|name| test.is_called(name))).cloned().collect())
}

/// Builds tests and the programs that they start.
///
/// # Errors
/// [`XtaskError::Failed`] of cargo.
pub(super) fn build(triple: &str, tests: &[Test]) -> Result<Vec<Artifact>, XtaskError> {
    let mut arguments = vec!["test", "--no-run", "--profile", PROFILE, "--target", triple];
    let packages: BTreeSet<_> = tests.iter().map(|test| &*test.package).collect();
    let names: BTreeSet<_> = tests.iter().map(|test| &*test.name).collect();
    arguments.extend(packages.into_iter().flat_map(|package| ["--package", package]));
    arguments.extend(names.into_iter().flat_map(|name| ["--test", name]));
    let built = artifacts::build(&arguments, &Settings::default())?;
    // Cargo builds every name in every package.
    let wanted = |artifact: &Artifact| tests.iter().any(|test| test.is(artifact));
    Ok(built.into_iter().filter(|artifact| !artifact.is_test || wanted(artifact)).collect())
}

impl Test {
    fn is_called(&self, name: &str) -> bool {
        match name.split_once(':') {
            Some((package, name)) => self.package == package && self.name == name,
            None => self.name == name,
        }
    }

    fn is(&self, artifact: &Artifact) -> bool {
        self.folder == artifact.package && self.name == artifact.target
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<Vec<String>, XtaskError> {
        let test = |package: &str, name: &str, needs_kernel| Test {
            package: package.to_owned(),
            folder: PathBuf::from("/x"),
            name: name.to_owned(),
            needs_kernel,
        };
        let all = [test("load", "kernel", true), test("load", "tidy", false), test("loader", "kernel", true)];
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        Ok(choose(&all, &names)?.iter().map(|test| format!("{}:{}", test.package, test.name)).collect())
    }

    #[test]
    fn a_name_means_all_of_that_name_and_nothing_those_that_need_a_kernel() {
        assert_eq!(chosen(&[]).unwrap(), ["load:kernel", "loader:kernel"]);
        assert_eq!(chosen(&["kernel"]).unwrap(), ["load:kernel", "loader:kernel"]);
        assert_eq!(chosen(&["loader:kernel", "tidy"]).unwrap(), ["load:tidy", "loader:kernel"]);
    }

    #[test]
    fn a_name_that_is_none_says_which_there_are() {
        let error = chosen(&["kernel", "load:kernels"]).unwrap_err().to_string();
        assert_eq!(error, "no test is called load:kernels; there are load:kernel, load:tidy, loader:kernel");
    }

    #[test]
    fn the_tests_of_this_workspace_are_found() {
        let all = all().unwrap();
        let needs_kernel = |name| all.iter().find(|test| test.is_called(name)).unwrap().needs_kernel;
        assert!(needs_kernel("rxdp-loader:kernel"));
        assert!(needs_kernel("rxdp-load:cli"));
        assert!(!needs_kernel("rxdp-load:tidy"));
    }
}
