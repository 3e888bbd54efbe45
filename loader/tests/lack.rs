//! What is said when the kernel refuses a program without a word, on kernels that answer as they are told.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use common::linked;
use rxdp_loader::features::Machine;
use rxdp_loader::load::{self, Blame, Given, LoadError};
use rxdp_loader::plan::{self, Options};
use rxdp_loader::sys::{DryRun, Recorder, Replay};
use rxdp_loader::trace::{Call, Transcript};
use rxdp_loader::uapi::ProgType;

/// Its first program has an attach type.
const OBJECT: &str = "calls.o";
/// `r0 = 0; exit`
const NOTHING: &str = "b7000000000000009500000000000000";

fn xdp() -> Options {
    Options { default_type: Some(ProgType::XDP), ..Options::default() }
}

/// The error of a load whose first program is refused with these answers, and how many of them were asked for.
fn refused(answers: &[&str]) -> LoadError {
    let object = linked(OBJECT);
    let plan = plan::plan(&object, &Machine::NEWEST, &xdp()).unwrap();
    let recorder = Recorder::new(DryRun::new());
    load::execute(&plan, &recorder, Given::default()).unwrap();
    let mut calls = recorder.transcript().calls;
    let at = calls.iter().position(|call| call.request.starts_with("PROG_LOAD ")).unwrap();
    calls.truncate(at.saturating_add(1));
    let program = calls.pop().unwrap().request;
    let version = program.split(' ').find(|word| word.starts_with("kern_version=")).unwrap().to_string();
    let nothing = |attach: &str| {
        format!(
            "PROG_LOAD nothing prog_name= prog_type=xdp expected_attach_type={attach} prog_flags=0 license=GPL {version} \
             insns={NOTHING} log_level=1 log_size=65536"
        )
    };
    let requests =
        [program.clone(), format!("{program} log_level=1 log_size=65536"), nothing("xdp"), nothing("0")];
    for (request, reply) in requests.into_iter().zip(answers) {
        calls.push(Call { request, reply: (*reply).to_string() });
    }
    let kernel = Replay::new(Transcript { calls });
    let error = load::execute(&plan, &kernel, Given::default()).unwrap_err();
    kernel.finish().unwrap();
    error
}

#[test]
fn an_attach_type_that_the_kernel_does_not_have_is_named() {
    let error = refused(&["EINVAL", "EINVAL", "EINVAL", "ok"]);
    let end = "EINVAL; this kernel has no attach type xdp for programs of type xdp";
    assert!(error.to_string().ends_with(end), "{error}");
    assert_eq!(error.blame(), Blame::OldKernel);
}

#[test]
fn what_is_not_found_out_is_not_said() {
    // A program that does nothing is taken: it is something else that the kernel does not like.
    let error = refused(&["EINVAL", "EINVAL", "ok"]);
    assert!(error.to_string().ends_with("EINVAL"), "{error}");
    assert_eq!(error.blame(), Blame::Kernel);
    // The verifier speaks for itself.
    let error = refused(&["EINVAL", "EINVAL log=no\\sway"]);
    assert!(error.to_string().ends_with("EINVAL: no way"), "{error}");
    // As does a privilege that is missing, where no hook comes with the program.
    let error = refused(&["EPERM", "EPERM"]);
    assert!(error.to_string().contains("it needs CAP_BPF"), "{error}");
    assert_eq!(error.blame(), Blame::Privilege);
}

#[test]
fn a_type_that_the_kernel_does_not_have_is_named() {
    let error = refused(&["EINVAL", "EINVAL", "EINVAL", "EINVAL"]);
    assert!(error.to_string().ends_with("EINVAL; this kernel has no programs of type xdp"), "{error}");
    assert_eq!(error.blame(), Blame::OldKernel);
}
