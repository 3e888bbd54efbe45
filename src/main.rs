//! `rxdp-load`: the command-line face of the loader. Parses, calls one command, turns its failure into words and a code.

mod args;
mod commands;
mod error;
mod hexdump;
mod job;
mod live;
mod packets;
mod pins;
mod record;
mod report;
mod select;
mod stay;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use error::Failure;

/// musl gives memory back to the kernel at every turn, which costs a small load more than the load itself.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Lines of a verifier log that an error shows; `-v` shows all.
const LOG_LINES: usize = 30;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.verb {
        Some(Verb::Verify(args)) => commands::verify::run(args),
        Some(Verb::Explain(args)) => commands::explain::run(args),
        Some(Verb::Run(args)) => commands::run::run(args),
        Some(Verb::Status(args)) => commands::status::run(args),
        Some(Verb::Unload(args)) => commands::unload::run(args),
        Some(Verb::Trace) => commands::trace::run(),
        Some(Verb::Demo) => commands::demo::run(),
        Some(Verb::Completions(args)) => commands::packaging::completions(args),
        Some(Verb::Man) => commands::packaging::man(),
        None => commands::attach::run(&cli.attach),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has gone away; there is nobody to tell.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed; the exit code says the rest.
            let _nobody_listens = explain(&failure, cli.attach.verbose);
            failure.exit().into()
        }
    }
}

fn explain(failure: &Failure, verbose: bool) -> io::Result<()> {
    let mut err = io::stderr().lock();
    if let Some(log) = failure.log() {
        let lines: Vec<&str> = log.text.lines().collect();
        let shown = if verbose { lines.len() } else { LOG_LINES };
        let skipped = lines.len().saturating_sub(shown);
        writeln!(err, "verifier log{}:", if log.truncated { " (cut by the kernel)" } else { "" })?;
        if skipped > 0 {
            writeln!(err, "  ... {skipped} lines more with -v or verify --log")?;
        }
        for line in lines.iter().skip(skipped) {
            writeln!(err, "  {line}")?;
        }
    }
    writeln!(err, "rxdp-load: {failure}")?;
    failure.advice().iter().try_for_each(|line| writeln!(err, "  {line}"))
}
