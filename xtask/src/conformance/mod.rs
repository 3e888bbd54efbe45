//! `cargo xtask conformance`: whether `rxdp-load` loads what libbpf loads, and sends the kernel the same instructions.
//!
//! The corpus is any folder of BPF objects. What libbpf does with them stands in a golden file, or is asked of an
//! *oracle*: a program on libbpf that prints what it loaded. Tags can depend on the kernel and on addresses that hold
//! for one boot, so golden rows are compared on the kernel, and at best in the boot, that they were made in.

pub mod corpus;
mod golden;
mod oracle;
mod private;
mod score;
mod verified;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use rayon::prelude::*;

use crate::artifacts::Settings;
use crate::{XtaskError, artifacts};
use golden::{Golden, Row};
use score::Score;

/// What to compare, and with what.
#[derive(Debug, Args)]
pub struct Conformance {
    /// The folder of objects
    #[arg(long, value_name = "DIR")]
    corpus: PathBuf,
    /// What libbpf does with them: tab-separated rows with a head
    #[arg(long, value_name = "FILE", required_unless_present = "oracle")]
    golden: Option<PathBuf>,
    /// Only the rows of programs that load without the kernel's types, too
    #[arg(long, requires = "golden")]
    nobtf: bool,
    /// Instead of a golden file: a program that loads an object with libbpf and says what came of it
    #[arg(long, value_name = "PROGRAM", conflicts_with = "golden")]
    oracle: Option<PathBuf>,
    /// An `rxdp-load` that is built already [default: the release build, made now]
    #[arg(long, value_name = "PROGRAM")]
    loader: Option<PathBuf>,
    /// The time that each program gets for one object
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    limit: Duration,
}

/// Where the rows of an object come from.
enum Reference<'a> {
    Golden(Golden),
    Oracle { program: &'a Path, limit: Duration },
}

/// Loads every object, compares, and prints what differs, grouped by the reason, and the score. Needs root.
///
/// # Errors
/// [`XtaskError::Conformance`] unless all programs are the same and nothing crashed; [`XtaskError::Private`] without
/// root; [`XtaskError::Read`] or [`XtaskError::Golden`] for the files.
pub fn run(wanted: &Conformance) -> Result<(), XtaskError> {
    let loader = match &wanted.loader {
        Some(loader) => loader.clone(),
        None => release()?,
    };
    let reference = reference(wanted)?;
    let objects = corpus::objects(&wanted.corpus)?;

    let score = Mutex::new(Score::default());
    objects.par_iter().try_for_each(|path| {
        let name = corpus::name(path);
        let rows = reference.rows(path, &name)?;
        let answer = verified::ask(&loader, path, wanted.limit)?;

        let mut score = score.lock().unwrap_or_else(PoisonError::into_inner);
        let hits = score.add(&name, &rows, answer);
        eprintln!("{}/{} {name}: {hits} of {}", score.objects(), objects.len(), rows.len());
        Ok(())
    })?;

    let score = score.into_inner().unwrap_or_else(PoisonError::into_inner);
    write!(io::stdout(), "{score}").map_err(|source| XtaskError::Print { source })?;
    score.verdict()
}

fn release() -> Result<PathBuf, XtaskError> {
    const PROGRAM: &str = "rxdp-load";
    let built = artifacts::build(
        &["build", "--release", "--package", PROGRAM, "--bin", PROGRAM],
        &Settings::default(),
    )?;
    artifacts::program(&built, PROGRAM)
}

fn reference(wanted: &Conformance) -> Result<Reference<'_>, XtaskError> {
    match (&wanted.golden, &wanted.oracle) {
        (Some(file), _) => Ok(Reference::Golden(Golden::read(file, wanted.nobtf)?)),
        (None, Some(program)) => Ok(Reference::Oracle { program, limit: wanted.limit }),
        (None, None) => unreachable!("clap asks for one of the two"),
    }
}

impl Reference<'_> {
    fn rows(&self, path: &Path, name: &str) -> Result<Vec<Row>, XtaskError> {
        match self {
            Self::Golden(golden) => Ok(golden.rows(name).to_vec()),
            Self::Oracle { program, limit } => oracle::rows(program, path, name, *limit),
        }
    }
}
