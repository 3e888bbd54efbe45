//! The article's `tc exec bpf dbg`: prints what BPF programs print, until Ctrl-C.

use std::io::{self, Write};

use crate::error::Failure;
use crate::stay::{self, Signals, Tracing};

/// Runs until a signal comes.
pub(crate) fn run() -> Result<(), Failure> {
    stay::runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let mut tracing = Tracing::start()?;
        writeln!(io::stderr(), "showing what BPF programs print; Ctrl-C ends").map_err(Failure::Output)?;
        tokio::select! {
            _ = signals.next() => Ok(()),
            ended = stay::show(&mut tracing, false) => ended.map(|never| match never {}),
        }
    })
}
