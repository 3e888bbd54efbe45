//! `cargo xtask COMMAND`: reads the command line, runs the command, says what went wrong.
//!
//! What a command does is in its own file of the library beside this one.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use xtask::browser::Browser;
use xtask::conformance::Conformance;
use xtask::vm::Vm;
use xtask::{XtaskError, book, bpf, browser, check, ci, conformance, dist, test, vm};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Format, lints, documentation, and that the pure part of the loader stays pure
    Check,
    /// All tests, as root: a test that would be skipped fails
    Test,
    /// Rebuild the committed BPF objects from their C sources
    Bpf {
        /// Change nothing: fail if a committed object is not what its source gives
        #[arg(long)]
        check: bool,
    },
    /// The kernel tests, or the comparison with libbpf, on another kernel in a machine of its own
    Vm(Vm),
    /// Whether the release build loads what libbpf loads, and sends the same instructions
    Conformance(Conformance),
    /// Open the pages of `explain --format html` in a browser, click, and look whether all is there
    Browser(Browser),
    /// Build the static `rxdp-load` that people install; its path is the last line of the output
    Dist,
    /// Build the book in docs/book; its first page is the last line of the output
    Book,
    /// What has to pass before a change goes in: check, then test
    Ci,
}

fn main() -> ExitCode {
    match run(&Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {}", with_causes(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: &Command) -> Result<(), XtaskError> {
    match command {
        Command::Check => check::run(),
        Command::Test => test::run(),
        Command::Bpf { check: true } => bpf::check(),
        Command::Bpf { check: false } => bpf::rebuild(),
        Command::Vm(wanted) => vm::run(wanted),
        Command::Conformance(wanted) => conformance::run(wanted),
        Command::Browser(wanted) => browser::run(wanted),
        Command::Dist => dist::run(),
        Command::Book => book::run(),
        Command::Ci => ci::run(),
    }
}

fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
