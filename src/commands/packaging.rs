//! What packagers ask for: completions and the manual page, printed from the same definition that parses.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::error::Failure;

/// Completions for one shell.
pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut command = Cli::command();
    let name = command.get_name().to_string();
    // The generator panics where it cannot write, so it writes to memory.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    print(&text)
}

/// The manual page, for man(1).
pub(crate) fn man() -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(Failure::Output)?;
    print(&text)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(Failure::Output)
}
