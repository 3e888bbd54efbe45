//! No descriptor is left. Alone in its file, since the descriptors of all threads of a process count.

#![cfg(test)]

use rxdp_sandbox::{
    End, Sandbox,
    testing::{kernel_or_skip, open_descriptors},
};

#[test]
fn no_descriptor_is_left() {
    // The first one also opens what stays for good.
    let Some(first) = kernel_or_skip("no_descriptor_is_left") else { return };
    drop(first);
    let before = open_descriptors().unwrap();

    let sandbox = Sandbox::new().unwrap();
    let during = open_descriptors().unwrap();
    let held: Vec<_> = during.difference(&before).collect();
    // Two network namespaces, one mount namespace, and nothing else.
    assert_eq!(held.len(), 3, "{held:#?}");

    sandbox.add_veth("extra", "other").unwrap();
    sandbox.set_mtu("extra", 2000).unwrap();
    sandbox.delete_link("extra").unwrap();
    sandbox.delete_link("extra").unwrap_err();
    sandbox.near(|| sandbox.far(|| ()));
    drop(sandbox.packet_socket(End::Near).unwrap());
    assert_eq!(open_descriptors().unwrap(), during);

    drop(sandbox);
    assert_eq!(open_descriptors().unwrap(), before);
}
