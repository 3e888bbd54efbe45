//! What the program does at work: how often each part of it runs, and which functions run at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Target, build, trace};
use crate::{XtaskError, process};

/// Objects of every sort, whose maps and programs are loaded and reported on: the program's main work.
const WORK: &[&str] = &[
    "bpf-progs/tail_kern.o",
    "bpf-progs/udp_count.o",
    "tests/fixtures/core_kernel.o",
    "tests/fixtures/data.o",
    "tests/fixtures/hooks.o",
    "tests/fixtures/inner_maps.o",
    "tests/fixtures/ksyms.o",
    "tests/fixtures/map_sections.o",
    "tests/fixtures/several.o",
    "tests/fixtures/tail_kern-btf_maps.o",
    "tests/fixtures/values.o",
];

/// What was seen at work.
pub(super) struct Profile {
    /// How often everything ran, for the compiler.
    counts: PathBuf,
    /// Functions that ran, for the linker.
    order: PathBuf,
    /// The folder of rustc's own linker.
    linker: PathBuf,
}

impl Profile {
    /// What makes the compiler and the linker use it.
    pub(super) fn rustflags(&self) -> Vec<String> {
        let link = |argument: String| format!("-Clink-arg={argument}");
        vec![
            format!("-Cprofile-use={}", self.counts.display()),
            "-Cllvm-args=-enable-split-machine-functions".to_owned(),
            link("-fuse-ld=lld".to_owned()),
            link(format!("-B{}", self.linker.display())),
            link(format!("-Wl,--symbol-ordering-file={}", self.order.display())),
            // What the compiler thinks of the order is not wanted, and a function that became part of another is no fault.
            link("-Wl,--no-call-graph-profile-sort,--no-warn-symbol-ordering".to_owned()),
        ]
    }
}

/// Builds the program with counters and sees it at work; or says why that cannot be done here.
///
/// # Errors
/// [`XtaskError`] if the program does not build or cannot be watched.
pub(super) fn take(target: &Target) -> Result<Result<Profile, String>, XtaskError> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Err("programs are watched on x86-64 only".to_owned()));
    }
    if !nix::unistd::geteuid().is_root() {
        return Ok(Err("loading BPF objects takes root".to_owned()));
    }
    let Some(tools) = Tools::find()? else {
        return Ok(Err("rustup has no llvm-tools and no rust-lld for this toolchain".to_owned()));
    };
    let folder = crate::root().join("target/profile");
    fresh(&folder)?;
    let raw = folder.join("raw");
    let flags = [target.flags(), vec![format!("-Cprofile-generate={}", raw.display())]].concat();
    let names_kept = ("CARGO_PROFILE_DIST_STRIP", PathBuf::from("none"));
    let own_folder = ("CARGO_TARGET_DIR", folder.join("build"));
    let program = build(target, &flags, &[names_kept, own_folder])?;

    let mut functions = trace::functions(&program)?;
    // A thread that nobody watches would die of a breakpoint.
    let mut order = Vec::new();
    for object in WORK {
        let object = crate::root().join(object);
        order.extend(trace::met(
            &program,
            &["verify", "--jobs", "1", &object.to_string_lossy()],
            &mut functions,
        )?);
    }
    let profile = Profile {
        counts: folder.join("counts.profdata"),
        order: folder.join("order.txt"),
        linker: tools.linker,
    };
    process::run(Command::new(tools.profdata).args(["merge", "-o"]).arg(&profile.counts).arg(&raw))?;
    order.push(String::new());
    fs::write(&profile.order, order.join("\n"))
        .map_err(|source| XtaskError::Write { path: profile.order.clone(), source })?;
    Ok(Ok(profile))
}

/// The folder, without what an earlier run has counted.
fn fresh(folder: &Path) -> Result<(), XtaskError> {
    let raw = folder.join("raw");
    let cleared = if raw.exists() { fs::remove_dir_all(&raw) } else { Ok(()) };
    let made = cleared.and_then(|()| fs::create_dir_all(folder));
    made.map_err(|source| XtaskError::Write { path: folder.to_owned(), source })
}

/// Parts of the toolchain that do not come with every installation.
struct Tools {
    profdata: PathBuf,
    linker: PathBuf,
}

impl Tools {
    fn find() -> Result<Option<Self>, XtaskError> {
        let sysroot =
            process::output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(crate::root()))?;
        let version = process::output(Command::new("rustc").arg("-vV").current_dir(crate::root()))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let bin = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
        let tools = Self { profdata: bin.join("llvm-profdata"), linker: bin.join("gcc-ld") };
        if !tools.profdata.exists() {
            let mut rustup = Command::new("rustup");
            let add = rustup.args(["component", "add", "llvm-tools"]).current_dir(crate::root());
            // Without rustup or network it is not there afterwards either.
            let _ = process::run(add.stdout(std::io::stderr()));
        }
        Ok((tools.profdata.exists() && tools.linker.exists()).then_some(tools))
    }
}
