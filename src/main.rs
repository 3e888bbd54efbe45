//! `rxdp-load`: the command-line face of the loader. Parses, calls one command, turns its failure into words and a code.

mod args;
mod attached;
mod commands;
mod cures;
mod dispatch;
mod doctor;
mod error;
mod fallback;
mod hexdump;
mod hold;
mod inventory;
mod job;
mod live;
mod maps;
mod namespaces;
mod owner;
mod packets;
mod pins;
mod privilege;
mod record;
mod refusal;
mod report;
mod runs;
mod scene;
mod select;
mod status;
mod stay;
mod target;
mod upgrade;

use std::io::{self, Write};
use std::process::ExitCode;

use rxdp_loader::sys::Log;

use args::{Asked, Verb};
use error::Failure;

/// musl gives memory back to the kernel at every turn, which costs a small load more than the load itself.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Lines of a verifier log that an error shows where nothing was read from it; `-v` shows all.
const LOG_LINES: usize = 30;

fn main() -> ExitCode {
    let asked = Asked::read();
    let result = match &asked {
        Asked::Verb(Verb::Verify(args)) => commands::verify::run(args),
        Asked::Verb(Verb::Explain(args)) => commands::explain::run(args),
        Asked::Verb(Verb::Run(args)) => commands::run::run(args),
        Asked::Verb(Verb::Status(args)) => commands::status::run(args),
        Asked::Verb(Verb::Map(args)) => commands::map::run(args),
        Asked::Verb(Verb::Unload(args)) => commands::unload::run(args),
        Asked::Verb(Verb::Doctor(args)) => commands::doctor::run(args),
        Asked::Verb(Verb::Trace) => commands::trace::run(),
        Asked::Verb(Verb::Demo) => commands::demo::run(),
        Asked::Verb(Verb::Completions(args)) => commands::packaging::completions(args),
        Asked::Verb(Verb::Man) => commands::packaging::man(),
        Asked::Attach(args) => commands::attach::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has gone away; there is nobody to tell.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        // The report says it all.
        Err(Failure::Doctor(exit)) => exit.into(),
        Err(failure) => {
            // Standard error may be closed; the exit code says the rest.
            let _nobody_listens = explain(&failure, asked.verbose());
            failure.exit().into()
        }
    }
}

fn explain(failure: &Failure, verbose: bool) -> io::Result<()> {
    let mut err = io::stderr().lock();
    let refusal = failure.refusal();
    // What the log says is told below; without that, its end has to speak for itself.
    let lines = match (verbose, refusal) {
        (true, _) => usize::MAX,
        (false, Some(_)) => 0,
        (false, None) => LOG_LINES,
    };
    if let Some(log) = failure.log().filter(|_| lines > 0) {
        write_log(&mut err, log, lines)?;
    }
    writeln!(err, "rxdp-load: {failure}")?;
    if let Some(refusal) = refusal {
        report::refusal(&mut err, refusal, "  ")?;
        if !verbose {
            writeln!(err, "  the whole log: -v, or rxdp-load verify --log")?;
        }
    }
    failure.advice().iter().try_for_each(|line| writeln!(err, "  {line}"))
}

/// The last lines of a verifier log.
fn write_log(err: &mut impl Write, log: &Log, lines: usize) -> io::Result<()> {
    let all = log.text.lines().count();
    let skipped = all.saturating_sub(lines);
    writeln!(err, "verifier log{}:", if log.truncated { " (cut by the kernel)" } else { "" })?;
    if skipped > 0 {
        writeln!(err, "  ... {skipped} lines more with -v or verify --log")?;
    }
    log.text.lines().skip(skipped).try_for_each(|line| writeln!(err, "  {line}"))
}
