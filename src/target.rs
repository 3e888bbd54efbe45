//! `--target`: what programs attach to, whatever their sections say.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use rxdp_loader::load;
use rxdp_loader::spec::{ObjectSpec, ProgId, ProgramSpec, TargetError};
use rxdp_loader::sys::{Errno, Kernel};

use crate::error::Failure;
use crate::select;

/// The option.
const OPTION: &str = "--target";

/// What was found of all that `--target` named.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Programs of the object that were given something.
    pub(crate) given: BTreeSet<ProgId>,
    /// Programs whose functions they attach to.
    pub(crate) programs: BTreeMap<ProgId, OwnedFd>,
}

/// What stands behind the `=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target<'a> {
    /// A function of the kernel, or of a module: `MODULE:NAME`.
    Kernel(&'a str),
    /// A function of the program with this id.
    Program(u32, Option<&'a str>),
}

/// `--target PROG=ID:FUNCTION`, `PROG=ID` and `PROG=FUNCTION`, all of them.
pub(crate) fn find(
    kernel: &impl Kernel,
    spec: &mut ObjectSpec,
    object: &str,
    given: &[String],
) -> Result<Targets, Failure> {
    let mut targets = Targets::default();
    for text in given {
        let wrong = |why: &str| Failure::Option { option: OPTION, given: text.clone(), why: why.to_string() };
        let (name, target) = split(text)
            .ok_or_else(|| wrong("it is not PROG=ID:FUNCTION, PROG=ID or PROG=FUNCTION of the kernel"))?;
        let id = select::program(spec, object, name)?;
        if !targets.given.insert(id) {
            return Err(wrong("its program is given twice"));
        }
        let Some(program) = spec.programs.get_mut(id.index()) else {
            continue;
        };
        match target {
            Target::Kernel(function) => {
                let attached = program.attach_to_kernel(function);
                attached.map_err(|error: TargetError| wrong(&error.to_string()))?;
            }
            Target::Program(other, function) => {
                let attached = program.attach_to_program(function);
                attached.map_err(|error: TargetError| wrong(&error.to_string()))?;
                targets.programs.insert(id, open(kernel, program, other, text)?);
            }
        }
    }
    Ok(targets)
}

fn split(text: &str) -> Option<(&str, Target<'_>)> {
    let (program, target) = text.split_once('=')?;
    let (first, rest) = target.split_once(':').map_or((target, None), |(first, rest)| (first, Some(rest)));
    let target = match first.parse() {
        Ok(id) => Target::Program(id, rest),
        Err(_no_number) => Target::Kernel(target),
    };
    Some((program, target)).filter(|_| !target_is_empty(target))
}

fn target_is_empty(target: Target<'_>) -> bool {
    matches!(target, Target::Kernel("") | Target::Program(_, Some("")))
}

/// Opens another program, and looks at its functions.
fn open(kernel: &impl Kernel, program: &mut ProgramSpec, other: u32, text: &str) -> Result<OwnedFd, Failure> {
    let failed = |errno| Failure::TargetId { given: text.to_string(), id: other, errno };
    let fd = kernel.prog_by_id(other).map_err(failed)?;
    let found = load::target_program(kernel, &format!("id {other}"), &fd);
    program.of = Some(found.map_err(|error| Failure::object(&format!("{OPTION} {text:?}"), error))?);
    Ok(fd)
}

/// What to do about an id that cannot be opened.
pub(crate) fn id_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => " (there is no such program; `bpftool prog` or `rxdp-load status` show ids)",
        Errno::EPERM => " (needs CAP_SYS_ADMIN)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_program_and_a_name_is_the_kernels() {
        let all = [
            ("p=7:f", Some(("p", Target::Program(7, Some("f"))))),
            ("p=7", Some(("p", Target::Program(7, None)))),
            ("p=f", Some(("p", Target::Kernel("f")))),
            ("p=module:f", Some(("p", Target::Kernel("module:f")))),
            ("p=7:", None),
            ("p=", None),
            ("p", None),
        ];
        for (text, expected) in all {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
