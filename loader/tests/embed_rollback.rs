//! A load that fails leaves no descriptor open. Alone in its file: all threads' descriptors count.
#![cfg(test)]

use std::path::Path;

use rxdp_loader::uapi::ProgType;
use rxdp_loader::{Loader, Object};
use rxdp_sandbox::testing::{kernel_or_skip, open_descriptors};

#[test]
fn a_refused_program_takes_the_maps_along() {
    let Some(sandbox) = kernel_or_skip("a_refused_program_takes_the_maps_along") else {
        return;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/data.o");
    let object = || Object::open(&path).unwrap();
    let loader = Loader::new();
    let before = open_descriptors().unwrap();

    let mut refused = object();
    // Such programs return 0 to 3; the verifier knows what the constant holds, since the section is frozen by then.
    refused.set_program_type("xdp_data", ProgType::CGROUP_SKB).unwrap();
    refused.set_global("verdict", &77u32.to_ne_bytes()).unwrap();
    let shared = loader.load(object()).unwrap().take_map("data.bss").unwrap();
    refused.reuse_map(".bss", shared.fd).unwrap();
    let error = loader.load(refused).unwrap_err().to_string();
    assert!(error.contains("BPF_PROG_LOAD failed: EINVAL"), "{error}");
    assert_eq!(open_descriptors().unwrap(), before);

    // The same object as it is leaves some open, so the look itself is not blind.
    let loaded = loader.load(object()).unwrap();
    assert!(open_descriptors().unwrap().difference(&before).count() >= 5);
    drop(loaded);
    assert_eq!(open_descriptors().unwrap(), before);
    drop(sandbox);
}
