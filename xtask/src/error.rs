//! What can go wrong in a command. No variant says only "it failed": each names the program or the file.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a command of xtask stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XtaskError {
    /// A program is not there, or may not be run.
    #[error("`{command}` cannot be started")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program ran and reported a failure; its own words are above on standard error.
    #[error("`{command}` ended with {status}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The bytes that go from one program to the next got stuck.
    #[error("the connection to `{command}` broke")]
    Pipe {
        /// The command line.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A compiler wrote something that is no object.
    #[error("{object} is not what a compiler writes")]
    NoObject {
        /// Its path, from the top of the repository.
        object: String,
        /// What is wrong with it.
        #[source]
        source: object::read::Error,
    },
    /// The tools that give the committed bytes are not on this machine.
    #[error("cannot build the BPF objects here: {}; another version would give other bytes", problems.join(", "))]
    Toolchain {
        /// One entry a tool: what is wrong with it.
        problems: Vec<String>,
    },
    /// Committed objects are not what their sources give.
    #[error("not what the sources give: {}; run `cargo xtask bpf` and commit the result", objects.join(", "))]
    Stale {
        /// Paths of the objects, from the top of the repository.
        objects: Vec<String>,
    },
    /// Cargo built the product but named no program.
    #[error("cargo reported no executable called {name}")]
    NoExecutable {
        /// The program that was looked for.
        name: &'static str,
    },
    /// No package has such a name.
    #[error("no Debian package is called {pattern}; `apt-get update` renews the list of those there are")]
    NoPackage {
        /// What was looked for, a regular expression.
        pattern: String,
    },
    /// Standard output is closed.
    #[error("the result cannot be printed")]
    Print {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
