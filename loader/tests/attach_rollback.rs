//! A program that cannot be attached leaves no descriptor open. Alone in its file: all threads' descriptors count.
#![cfg(test)]
#![cfg(feature = "kernel")]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rxdp_loader::features::Machine;
use rxdp_loader::load::{Link, LoadError, To};
use rxdp_loader::sys::{DryRun, Errno};
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::{kernel_or_skip, open_descriptors};

#[test]
fn each_call_that_fails_leaves_nothing_open() {
    let Some(sandbox) = kernel_or_skip("each_call_that_fails_leaves_nothing_open") else {
        return;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/attached.o");
    let loader = Loader::with_kernel(DryRun::new(), Machine::NEWEST);
    let object = loader.load(Object::open(path).unwrap()).unwrap();
    let null = File::open("/dev/null").unwrap();
    let table = [
        ("raw", To::Section),
        ("typed", To::Section),
        ("tasks", To::Section),
        ("functions", To::Functions(&["a"])),
        ("sysctl", To::Cgroup(null.as_fd())),
        ("ingress", To::Interface(1)),
        ("event", To::Event(null.as_fd())),
        // An event that is opened for the link, two calls.
        ("tracepoint", To::Section),
        ("function", To::Section),
    ];
    let before = open_descriptors().unwrap();
    for (program, to) in table {
        // EINVAL is what Linux before 5.10 says, which is then asked otherwise: two calls.
        for errno in [Errno::EPERM, Errno::EINVAL] {
            for call in 0..4 {
                let kernel = DryRun::failing(call, errno);
                let attach = || -> Result<Link, LoadError> {
                    let link = object.attach_to(&kernel, program, to)?;
                    drop(link.read(&kernel)?);
                    link.pin(&kernel, "/sys/fs/bpf/link")?;
                    Ok(link)
                };
                let result = attach();
                let fails =
                    kernel.calls() > call && !(program == "typed" && (call, errno) == (0, Errno::EINVAL));
                assert_eq!(result.is_err(), fails, "{program}, call {call}: {result:?}");
                if let Ok(link) = result {
                    // The look itself is not blind.
                    assert_eq!(open_descriptors().unwrap().difference(&before).count(), 1, "{program}");
                    drop(link);
                }
                assert_eq!(open_descriptors().unwrap(), before, "{program}, call {call}");
            }
        }
    }
    drop(sandbox);
}
