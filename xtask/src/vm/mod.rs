//! `cargo xtask vm`: the kernel tests, or the comparison with libbpf, on a kernel that is not this machine's.
//!
//! The machine is qemu without KVM, so it runs wherever this does: Debian's kernel, an initramfs made here and nothing
//! else. All files are kept under `target/vm`; removing that folder renews them.

mod image;
mod kernel;
mod libraries;
mod qemu;
mod targets;
mod xdp_tools;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::artifacts::Settings;
use crate::conformance::corpus;
use crate::{XtaskError, artifacts, debian, root};
use image::Image;
use kernel::{Kernel, Series};

/// Which kernel, and what is done on it.
#[derive(Debug, Args)]
pub struct Vm {
    /// Debian's cloud kernel of this series
    #[arg(long, value_enum)]
    kernel: Series,
    /// Test targets, NAME or PACKAGE:NAME [default: all that use the kernel]
    #[arg(value_name = "TEST")]
    tests: Vec<String>,
    /// Instead of tests: compare with libbpf, which runs in the same boot
    #[arg(long, requires = "corpus", requires = "oracle", conflicts_with = "tests")]
    conformance: bool,
    /// The folder of objects to compare
    #[arg(long, value_name = "DIR", requires = "conformance")]
    corpus: Option<PathBuf>,
    /// A program that loads an object with libbpf and says what came of it
    #[arg(long, value_name = "PROGRAM", requires = "conformance")]
    oracle: Option<PathBuf>,
    /// How many objects of the corpus: all that need trampolines, kprobes or the LSM, and some of the others
    #[arg(long, value_name = "NUMBER", default_value_t = 300)]
    objects: usize,
    /// A variable of the environment of tests, such as RXDP_ROUNDS=200
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "conformance")]
    variables: Vec<String>,
    /// When the machine is switched off if it has not ended
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = humantime::parse_duration)]
    within: Duration,
}

/// What tests read at the paths that were compiled into them.
const TREES: &[&str] = &[
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "bpf-progs",
    "docs",
    "examples",
    "loader/tests",
    "tests",
];

/// What the machine has beside what it is asked to run: `veth` for the sandbox, `bridge` for a test of netlink, `nf_nat`
/// (with what it stands on) for the functions of modules that programs may call.
const MODULES: &[&str] = &["veth", "bridge", "nf_nat"];

/// Optimised a little and without debug information: every byte is carried there, every instruction emulated.
const PROFILE: &str = "emulated";

const INIT: &str = include_str!("init.sh");

/// Emulated, a program takes some twenty times as long.
const OBJECT_LIMIT: &str = "300s";

/// Makes the machine, boots it, and shows what it prints.
///
/// # Errors
/// [`XtaskError::Job`] with the exit code of what ran in the machine; [`XtaskError::Hang`], [`XtaskError::Silence`];
/// those of the tools that make it.
pub fn run(wanted: &Vm) -> Result<(), XtaskError> {
    let musl = artifacts::musl();
    if !artifacts::can_target(&musl) {
        return Err(XtaskError::NoTarget { triple: musl });
    }
    qemu::install()?;
    let folder = root().join("target/vm");
    let kernel = Kernel::of(wanted.kernel, &folder)?;

    let mut image = Image::default();
    furnish(&mut image, &kernel, &folder)?;
    let job = match (&wanted.corpus, &wanted.oracle) {
        (Some(corpus), Some(oracle)) => comparison(&mut image, &musl, corpus, oracle, wanted.objects)?,
        _ => {
            xdp_tools::add(&mut image, &folder)?;
            let exports = wanted.variables.iter().map(|variable| export(variable)).collect::<String>();
            exports + &tests(&mut image, &musl, &wanted.tests)?
        }
    };
    image.file("/job", job.into_bytes());

    let initramfs = kernel.beside("cpio.gz");
    image.write(&initramfs)?;
    qemu::boot(&kernel.image()?, &initramfs, &kernel.beside("exit-code"), wanted.within)
}

/// What every machine has: a shell, the first process, modules.
fn furnish(image: &mut Image, kernel: &Kernel, folder: &Path) -> Result<(), XtaskError> {
    let busybox = folder.join("busybox");
    if !busybox.exists() {
        debian::unpack("busybox-static", &busybox)?;
    }
    image.copy_to("/bin/busybox", &busybox.join("bin/busybox"))?;
    image.file("/init", INIT.into());
    for (number, module) in kernel.modules(MODULES)?.into_iter().enumerate() {
        image.file(format!("/modules/{number:02}-{}.ko", module.name), module.bytes);
    }
    Ok(())
}

/// The job of running tests: one after another, and the last failure counts.
fn tests(image: &mut Image, musl: &str, names: &[String]) -> Result<String, XtaskError> {
    let built = targets::build(musl, &targets::choose(&targets::all()?, names)?)?;
    for tree in TREES {
        image.copy_tree(&root().join(tree))?;
    }

    let mut job = String::from("code=0\n");
    for artifact in &built {
        image.copy(&artifact.executable)?;
        // CARGO_TARGET_TMPDIR: the executable lies in TMPDIR/../PROFILE/deps.
        if let Some(target) = artifact.executable.ancestors().nth(3) {
            image.folder(target.join("tmp"));
        }
        if artifact.is_test {
            image.folder(&artifact.package);
            let (package, test) = (quoted(&artifact.package), quoted(&artifact.executable));
            job.push_str(&format!(
                "echo; echo {} in {package}\ncd {package} && {test} || code=$?\n",
                artifact.target
            ));
        }
    }
    job.push_str("exit $code\n");
    Ok(job)
}

/// The job of comparing: this very program does it, in the machine.
fn comparison(
    image: &mut Image,
    musl: &str,
    corpus: &Path,
    oracle: &Path,
    objects: usize,
) -> Result<String, XtaskError> {
    let build = |package: &'static str| {
        let what = ["build", "--profile", PROFILE, "--target", musl, "--package", package, "--bin", package];
        artifacts::program(&artifacts::build(&what, &Settings::default())?, package)
    };
    image.copy_to("/bin/xtask", &build("xtask")?)?;
    image.copy_to("/bin/rxdp-load", &build("rxdp-load")?)?;
    image.copy_to("/bin/oracle", oracle)?;
    for library in libraries::of(oracle)? {
        image.copy(&library)?;
    }
    for path in corpus::choice(corpus, objects)? {
        image.copy_to(Path::new("/corpus").join(corpus::name(&path)), &path)?;
    }
    Ok(format!(
        "xtask conformance --corpus /corpus --oracle /bin/oracle --loader /bin/rxdp-load --limit {OBJECT_LIMIT}\n"
    ))
}

/// A variable as a line of a shell.
fn export(variable: &str) -> String {
    format!("export {}\n", quoted(Path::new(variable)))
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process;

    #[test]
    fn a_path_stays_one_word_in_the_shell() {
        let path = Path::new("/a b/it's $HOME");
        let said = process::output(Command::new("sh").args(["-c", &format!("echo {}", quoted(path))]));
        assert_eq!(said.unwrap(), "/a b/it's $HOME\n");
    }

    #[test]
    fn the_first_process_is_a_script_that_the_shell_can_read() {
        process::run(Command::new("sh").args(["-n", "-c", INIT])).unwrap();
    }
}
