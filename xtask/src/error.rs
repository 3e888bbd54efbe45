//! What can go wrong in a command. No variant says only "it failed": each names the program or the file.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

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
    /// A golden file has a row that is none.
    #[error("{} is not a golden file", path.display())]
    Golden {
        /// The file.
        path: PathBuf,
        /// Which row, and what is wrong with it.
        #[source]
        source: csv::Error,
    },
    /// A program cannot be given mounts of its own.
    #[error("no {step} for the programs that are compared; this needs root")]
    Private {
        /// What was asked for.
        step: &'static str,
        /// What the system said.
        #[source]
        source: nix::Error,
    },
    /// Something is not as with libbpf.
    #[error("not as with libbpf: {misses} programs; crashes: {crashes}")]
    Conformance {
        /// Programs that libbpf loads and that were not loaded, or not as the same.
        misses: usize,
        /// Objects that made the loader crash.
        crashes: usize,
    },
    /// There is no standard library to build static programs with.
    #[error("no Rust standard library for {triple}; `rustup target add {triple}` brings it")]
    NoTarget {
        /// What rustc calls the platform.
        triple: String,
    },
    /// Cargo describes the workspace in a way that we do not know.
    #[error("what `cargo metadata` says cannot be read")]
    Metadata {
        /// Where it cannot.
        #[source]
        source: serde_json::Error,
    },
    /// There is no such file of tests.
    #[error("no test is called {name}; there are {}", known.join(", "))]
    NoTest {
        /// What was asked for.
        name: String,
        /// `PACKAGE:NAME` of each that there is.
        known: Vec<String>,
    },
    /// The kernel's package has no such module.
    #[error("no module {name} in {}", folder.display())]
    NoModule {
        /// Its name.
        name: String,
        /// The folder of the kernel's modules.
        folder: PathBuf,
    },
    /// A compressed module is broken.
    #[error("{} cannot be decompressed; remove its kernel's folder to download it again", path.display())]
    Unpack {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: lzma_rs::error::Error,
    },
    /// What ran in the machine failed; its own words are above.
    #[error("what ran in the machine ended with {code}")]
    Job {
        /// Its exit code.
        code: u8,
    },
    /// The machine ended, but what ran in it did not.
    #[error("the machine stopped before what ran in it ended; its last words are above")]
    Silence,
    /// The machine did not end.
    #[error("the machine was switched off after {}; `--within` gives it more", humantime::format_duration(*limit))]
    Hang {
        /// The time that it had.
        limit: Duration,
    },
    /// A program cannot be watched at work.
    #[error("{} cannot be watched at work", program.display())]
    Trace {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The browser's driver cannot be spoken to.
    #[error("no answer from the browser's driver to {request}")]
    Driver {
        /// What it was asked.
        request: String,
        /// Why there is none.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The browser cannot do what it was asked to.
    #[error("the browser cannot do {request}: {said}")]
    Browser {
        /// What it was asked.
        request: String,
        /// What it said.
        said: String,
    },
    /// A page is not as it should be in a browser.
    #[error("not as it should be in a browser:\n  {}", problems.join("\n  "))]
    Page {
        /// One entry a problem: the page, how it was looked at, what is wrong.
        problems: Vec<String>,
    },
    /// Standard output is closed.
    #[error("the result cannot be printed")]
    Print {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl XtaskError {
    /// The exit code that says as much: of tests that ran elsewhere, theirs.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if let Self::Job { code } = self { *code } else { 1 }
    }
}
