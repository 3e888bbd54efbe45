//! The compilers that give the committed bytes, and how they come onto a Debian machine.
//!
//! Versions are pinned: an object is compared byte for byte, and each release of LLVM writes others.

use std::path::Path;
use std::process::Command;

use crate::manifest::Object;
use crate::{XtaskError, debian};

/// A program that takes part in building objects.
#[derive(Debug)]
pub struct Tool {
    /// As it is called.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// The release that the committed objects were made with.
    pub version: &'static str,
}

/// Every tool that the routes of [`crate::manifest`] call.
pub const TOOLS: &[Tool] = &[
    Tool { program: "clang-13", package: "clang-13", version: "13.0.1" },
    Tool { program: "llc-13", package: "llvm-13", version: "13.0.1" },
    Tool { program: "clang-14", package: "clang-14", version: "14.0.6" },
    Tool { program: "llc-14", package: "llvm-14", version: "14.0.6" },
    Tool { program: "clang-15", package: "clang-15", version: "15.0.6" },
    Tool { program: "llc-15", package: "llvm-15", version: "15.0.6" },
    Tool { program: "clang-16", package: "clang-16", version: "16.0.6" },
    Tool { program: "llc-16", package: "llvm-16", version: "16.0.6" },
    Tool { program: "clang-19", package: "clang-19", version: "19.1.7" },
    Tool { program: "llc-19", package: "llvm-19", version: "19.1.7" },
    Tool { program: "clang-22", package: "clang-22", version: "22.1.8" },
    Tool { program: "llc-22", package: "llvm-22", version: "22.1.8" },
    Tool { program: "llvm-objcopy-22", package: "llvm-22", version: "22.1.8" },
    Tool { program: "llvm-strip-22", package: "llvm-22", version: "22.1.8" },
];

/// The kernel's headers for packets (Ethernet, IPv4, UDP).
const HEADER: &str = "/usr/include/linux/if_ether.h";
const HEADER_PACKAGE: &str = "linux-libc-dev";

/// What keeps this machine from building the committed bytes; empty if nothing does.
#[must_use]
pub fn problems() -> Vec<String> {
    let tools = TOOLS.iter().filter_map(Tool::problem);
    let header = (!Path::new(HEADER).exists()).then(|| format!("{HEADER} is missing"));
    tools.chain(header).collect()
}

/// Those of `objects` whose tools are here, of the release that gives the committed bytes.
#[must_use]
pub fn can_build(objects: Vec<Object>) -> Vec<Object> {
    if !Path::new(HEADER).exists() {
        return Vec::new();
    }
    let usable: Vec<_> =
        TOOLS.iter().filter(|tool| tool.problem().is_none()).map(|tool| tool.program).collect();
    let has_tools = |object: &Object| {
        object
            .stages()
            .iter()
            .all(|stage| stage.first().is_some_and(|program| usable.contains(&program.as_str())))
    };
    objects.into_iter().filter(has_tools).collect()
}

/// Installs what is missing with `apt-get`, and says so.
///
/// # Errors
/// [`XtaskError::Toolchain`] if after that a tool is missing or of another release.
pub fn install() -> Result<(), XtaskError> {
    debian::install(&missing_packages())?;

    let problems = problems();
    if !problems.is_empty() {
        return Err(XtaskError::Toolchain { problems });
    }
    Ok(())
}

fn missing_packages() -> Vec<&'static str> {
    let tools = TOOLS.iter().filter(|tool| tool.release().is_none()).map(|tool| tool.package);
    let header = (!Path::new(HEADER).exists()).then_some(HEADER_PACKAGE);
    tools.chain(header).collect()
}

impl Tool {
    fn problem(&self) -> Option<String> {
        match self.release() {
            None => Some(format!("{} is missing (package {})", self.program, self.package)),
            Some(text) if !text.contains(self.version) => {
                Some(format!("{} is not of release {}", self.program, self.version))
            }
            Some(_) => None,
        }
    }

    /// What the tool says of itself; `None` if it is not there.
    fn release(&self) -> Option<String> {
        let output = Command::new(self.program).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let tool = Tool { program: "rxdp-no-such-tool", package: "llvm-0", version: "0" };
        assert_eq!(tool.problem().unwrap(), "rxdp-no-such-tool is missing (package llvm-0)");
    }

    #[test]
    fn another_release_is_a_problem_and_the_right_one_is_not() {
        let rustc = |version| Tool { program: "rustc", package: "rustc", version };
        assert_eq!(rustc("0.0.1-none").problem().unwrap(), "rustc is not of release 0.0.1-none");
        assert_eq!(rustc("rustc ").problem(), None);
    }
}
