//! What the program does at work: how often each part of it runs, and which functions run at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use const_fnv1a_hash::fnv1a_hash_str_64;

use super::{PROGRAM, Target, build, trace};
use crate::{XtaskError, process};

/// Everyday objects, whose maps and programs are loaded and reported on: the program's main work. Not all that there are: what
/// only rare ones need would stand between what all need, and be mapped with it.
const WORK: &[&str] = &[
    "bpf-progs/drop_all.o",
    "bpf-progs/tail_kern.o",
    "bpf-progs/udp_count.o",
    "tests/fixtures/calls.o",
    "tests/fixtures/core_kernel.o",
    "tests/fixtures/core_many.o",
    "tests/fixtures/counts-1.o",
    "tests/fixtures/data.o",
    "tests/fixtures/large.o",
    "tests/fixtures/several.o",
    "tests/fixtures/tail_kern-btf_maps.o",
];

/// Builds the program with counters, sees it at work, builds it for what was counted, and sees it at work again: then it is
/// known what runs, and the last build has that in one place. Returns the path of that program; or says why that cannot be
/// done here.
///
/// # Errors
/// [`XtaskError`] if the program does not build or cannot be watched.
pub(super) fn build_for_work(target: &Target) -> Result<Result<PathBuf, &'static str>, XtaskError> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Err("programs are watched on x86-64 only"));
    }
    if !nix::unistd::geteuid().is_root() {
        return Ok(Err("loading BPF objects takes root"));
    }
    let Some(tools) = Tools::find()? else {
        return Ok(Err("rustup has no llvm-tools and no rust-lld for this toolchain"));
    };
    let folder = crate::root().join("target/profile");
    let (raw, counts) = (folder.join("raw"), folder.join("counts.profdata"));
    fresh(&folder, &raw)?;
    let work = work();

    let counting = format!("-Cprofile-generate={}", raw.display());
    let program = build(target, &[counting], &folder.join("counting"), "none")?;
    for object in &work {
        // What it thinks of the object does not matter here.
        let _ = process::succeeds(Command::new(&program).arg("verify").arg(object));
    }
    process::run(Command::new(tools.bin.join("llvm-profdata")).args(["merge", "-o"]).args([&counts, &raw]))?;

    let fast = [&tools.linker()[..], &fitted_to(&counts)].concat();
    let program = build(target, &fast, &folder.join("fast"), "none")?;
    let functions = trace::functions(&program)?;
    let met: Result<Vec<_>, _> = work.iter().map(|object| trace::met(&program, object, &functions)).collect();
    let names: Vec<&str> = together(&met?)
        .iter()
        .filter_map(|place| functions.get(place))
        .flat_map(|function| function.names.iter().map(String::as_str))
        .collect();
    let program =
        build(target, &[fast, in_order(&folder, &names)?].concat(), &folder.join("ordered"), "none")?;
    let stripped = folder.join(PROGRAM);
    process::run(Command::new(tools.bin.join("llvm-strip")).arg("-o").args([&stripped, &program]))?;
    Ok(Ok(stripped))
}

/// Tells the compiler what was counted. What never ran (and not what ran seldom) is to stand apart, even within a function.
fn fitted_to(counts: &Path) -> Vec<String> {
    let split = ["-enable-split-machine-functions", "-mfs-psi-cutoff=0"];
    let split = split.iter().map(|argument| format!("-Cllvm-args={argument}"));
    split.chain([format!("-Cprofile-use={}", counts.display())]).collect()
}

/// What was met at work on several objects, so that what is met together stands together and a load touches few pages: what
/// every object met, then what else the one did that met most, a large one with CO-RE; what is left by how many met it.
fn together(met: &[Vec<u64>]) -> Vec<u64> {
    let richest = met.iter().max_by_key(|places| places.len()).map(Vec::as_slice).unwrap_or_default();
    let mut by: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (object, places) in met.iter().enumerate() {
        places.iter().for_each(|place| by.entry(*place).or_default().push(object));
    }
    let by_all = |place: &u64| by.get(place).is_some_and(|objects| objects.len() == met.len());
    let (everywhere, there): (Vec<u64>, Vec<u64>) = richest.iter().partition(|place| by_all(place));
    let mut rest: Vec<(&u64, &Vec<usize>)> =
        by.iter().filter(|(place, _)| !richest.contains(place)).collect();
    rest.sort_by(|(_, a), (_, b)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    let rest = rest.into_iter().map(|(place, _)| *place);
    everywhere.into_iter().chain(there).chain(rest).collect()
}

/// Tells the linker what stands first, and that what the compiler thinks of the order is not wanted.
fn in_order(folder: &Path, functions: &[&str]) -> Result<Vec<String>, XtaskError> {
    let text = [&functions.join("\n"), "\n"].concat();
    // Cargo does not know that the linker reads it: another order must be another file.
    let order = folder.join(format!("order-{:016x}.txt", fnv1a_hash_str_64(&text)));
    fs::write(&order, text).map_err(|source| XtaskError::Write { path: order.clone(), source })?;
    let file = format!("-Clink-arg=-Wl,--symbol-ordering-file={}", order.display());
    Ok(vec![file, "-Clink-arg=-Wl,--no-call-graph-profile-sort,--no-warn-symbol-ordering".to_owned()])
}

/// All objects to work on.
fn work() -> Vec<PathBuf> {
    WORK.iter().map(|object| crate::root().join(object)).collect()
}

/// The folder, without what an earlier run has counted.
fn fresh(folder: &Path, raw: &Path) -> Result<(), XtaskError> {
    let cleared = if raw.exists() { fs::remove_dir_all(raw) } else { Ok(()) };
    let made = cleared.and_then(|()| fs::create_dir_all(folder));
    made.map_err(|source| XtaskError::Write { path: folder.to_owned(), source })
}

/// Parts of the toolchain that do not come with every installation.
struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// What is missing is asked of rustup; without it or a network it stays missing.
    fn find() -> Result<Option<Self>, XtaskError> {
        let rustc = |argument: &[&str]| {
            process::output(Command::new("rustc").args(argument).current_dir(crate::root()))
        };
        let (sysroot, version) = (rustc(&["--print", "sysroot"])?, rustc(&["-vV"])?);
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let bin = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
        let is_there =
            || ["llvm-profdata", "llvm-strip", "gcc-ld"].iter().all(|tool| bin.join(tool).exists());
        if !is_there() {
            let mut rustup = Command::new("rustup");
            let add = rustup.args(["component", "add", "llvm-tools"]).current_dir(crate::root());
            let _ = process::succeeds(add);
        }
        Ok(is_there().then_some(Self { bin }))
    }

    /// Makes rustc use its own linker: the only one here that can be told the order of functions.
    fn linker(&self) -> [String; 2] {
        let folder = format!("-Clink-arg=-B{}", self.bin.join("gcc-ld").display());
        ["-Clink-arg=-fuse-ld=lld".to_owned(), folder]
    }
}

#[cfg(test)]
mod tests {
    use super::{together, work};

    #[test]
    fn there_is_work() {
        assert!(work().iter().all(|object| object.is_file()));
    }

    #[test]
    fn what_is_met_together_stands_together() {
        let met = [vec![1, 5, 2], vec![9, 4, 1, 3], vec![1, 6, 3], vec![6, 1]];
        assert_eq!(together(&met), [1, 9, 4, 3, 6, 2, 5]);
    }
}
