//! The calls against the running kernel, on veth pairs in a network namespace of each test.
//!
//! Need root; skip aloud without, and fail instead where `RXDP_REQUIRE_KERNEL=1`.

#![cfg(test)]

mod common;

use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};

use futures_util::future::{self, Either};
use rtnetlink::LinkUnspec;
use rxdp_netlink::{
    Attached, Attachment, Detached, Handle, NetlinkError, Numbers, ReplaceSupport, XdpMode, XdpState,
    blocking,
};

use common::{Namespace, delete_from_another_thread, id, in_namespace, xdp_link, xdp_pass};

const BOTH_WAYS: [ReplaceSupport; 2] = [ReplaceSupport::Atomic, ReplaceSupport::LookFirst];

fn connect() -> blocking::Handle {
    blocking::Handle::connect().unwrap()
}

/// What is attached: mode and program id.
fn programs(state: &XdpState) -> Vec<(XdpMode, u32)> {
    state.programs.iter().map(|program| (program.mode, program.id)).collect()
}

fn on(handle: &blocking::Handle, ifindex: u32) -> Vec<(XdpMode, u32)> {
    programs(&handle.query(ifindex).unwrap())
}

/// One interface `v0`, with a peer.
fn v0(namespace: &Namespace) -> u32 {
    namespace.veth("v0", "v1").0
}

#[test]
fn attaches_in_each_mode_and_says_which() {
    in_namespace(|namespace| {
        let (v0, handle, program) = (v0(namespace), connect(), xdp_pass());
        let table = [
            (XdpMode::Auto, XdpMode::Native, Attached::Native),
            (XdpMode::Native, XdpMode::Native, Attached::Native),
            (XdpMode::Generic, XdpMode::Generic, Attached::Generic),
        ];
        for (asked, got, attached) in table {
            assert_eq!(handle.attach(v0, program.as_fd(), asked).unwrap(), got);
            let state = handle.query(v0).unwrap();
            assert_eq!((state.name.as_str(), state.ifindex, state.attached), ("v0", v0, attached));
            assert_eq!(programs(&state), [(got, id(&program))]);
            handle.detach_any(v0, asked).unwrap();
            assert_eq!(handle.query(v0).unwrap().attached, Attached::None);
        }
    });
}

#[test]
fn an_occupied_interface_is_an_error_that_names_the_program() {
    in_namespace(|namespace| {
        let (v0, handle, first, second) = (v0(namespace), connect(), xdp_pass(), xdp_pass());
        handle.attach(v0, first.as_fd(), XdpMode::Native).unwrap();
        let error = handle.attach(v0, second.as_fd(), XdpMode::Native).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "attach to v0 (ifindex {v0}) in native mode: program id {} in native mode is there already \
                 (EBUSY, device or resource busy: \"XDP program already attached\"); \
                 replace it, or detach it first",
                id(&first)
            )
        );
        assert!(matches!(error, NetlinkError::Occupied { .. }));
        assert_eq!(on(&handle, v0), [(XdpMode::Native, id(&first))]);
    });
}

#[test]
fn native_and_generic_exclude_each_other() {
    in_namespace(|namespace| {
        let (v0, handle, first, second) = (v0(namespace), connect(), xdp_pass(), xdp_pass());
        handle.attach(v0, first.as_fd(), XdpMode::Native).unwrap();
        let error = handle.attach(v0, second.as_fd(), XdpMode::Generic).unwrap_err();
        assert!(
            matches!(&error, NetlinkError::ModeConflict { mode: XdpMode::Generic, found, .. }
                if programs(found) == [(XdpMode::Native, id(&first))]),
            "{error}"
        );
    });
}

#[test]
fn replaces_the_expected_program_and_no_other() {
    in_namespace(|namespace| {
        let (v0, first, second, third) = (v0(namespace), xdp_pass(), xdp_pass(), xdp_pass());
        for support in BOTH_WAYS {
            let handle = connect().with_replace_support(support);
            let mode = handle.attach(v0, first.as_fd(), XdpMode::Auto).unwrap();
            assert_eq!(handle.replace(v0, second.as_fd(), first.as_fd(), mode).unwrap(), mode);
            assert_eq!(on(&handle, v0), [(mode, id(&second))], "{support:?}");

            let error = handle.replace(v0, third.as_fd(), first.as_fd(), mode).unwrap_err();
            assert!(
                matches!(&error, NetlinkError::NotExpected { found, .. } if programs(found) == [(mode, id(&second))]),
                "{support:?}: {error}"
            );
            assert_eq!(on(&handle, v0), [(mode, id(&second))], "{support:?}");
            handle.detach_any(v0, mode).unwrap();

            let error = handle.replace(v0, third.as_fd(), first.as_fd(), mode).unwrap_err();
            assert!(
                matches!(&error, NetlinkError::NotExpected { found, .. } if found.programs.is_empty()),
                "{support:?}: {error}"
            );
        }
    });
}

#[test]
fn detaches_its_own_program_and_no_other() {
    in_namespace(|namespace| {
        let (v0, ours, theirs) = (v0(namespace), xdp_pass(), xdp_pass());
        for support in BOTH_WAYS {
            let handle = connect().with_replace_support(support);
            let mode = handle.attach(v0, ours.as_fd(), XdpMode::Generic).unwrap();
            assert_eq!(handle.detach(v0, theirs.as_fd(), mode).unwrap(), not_ours(&ours), "{support:?}");
            assert_eq!(on(&handle, v0), [(mode, id(&ours))], "{support:?}");
            assert_eq!(handle.detach(v0, ours.as_fd(), mode).unwrap(), Detached::Ours, "{support:?}");
            assert_eq!(on(&handle, v0), [], "{support:?}");
            let again = handle.detach(v0, ours.as_fd(), mode).unwrap();
            assert_eq!(again, Detached::NotOurs { current: None }, "{support:?}");
        }
    });
}

fn not_ours(current: &OwnedFd) -> Detached {
    Detached::NotOurs { current: Some(id(current)) }
}

#[test]
fn a_program_of_a_link_stays_and_is_named() {
    in_namespace(|namespace| {
        let (v0, handle, theirs, ours) = (v0(namespace), connect(), xdp_pass(), xdp_pass());
        let _link = xdp_link(&theirs, v0);
        let error = handle.replace(v0, ours.as_fd(), theirs.as_fd(), XdpMode::Native).unwrap_err();
        assert!(
            matches!(&error, NetlinkError::HeldByLink { found, .. }
                if programs(found) == [(XdpMode::Native, id(&theirs))]),
            "{error}"
        );
        let error = handle.detach_any(v0, XdpMode::Native).unwrap_err();
        assert!(matches!(error, NetlinkError::HeldByLink { .. }), "{error}");
        assert_eq!(handle.detach(v0, ours.as_fd(), XdpMode::Native).unwrap(), not_ours(&theirs));
        assert_eq!(on(&handle, v0), [(XdpMode::Native, id(&theirs))]);
    });
}

#[test]
fn a_large_mtu_is_named_with_the_kernels_words() {
    in_namespace(|namespace| {
        let (v0, v1) = namespace.veth("v0", "v1");
        namespace.set_mtu(v0, 9000);
        namespace.set_mtu(v1, 9000);
        let (handle, program) = (connect(), xdp_pass());
        let error = handle.attach(v0, program.as_fd(), XdpMode::Native).unwrap_err();
        let NetlinkError::MtuTooLarge { mtu, refusal, .. } = &error else { panic!("{error}") };
        // Of a pair it is the MTU of the other end that counts.
        assert_eq!(*mtu, None);
        assert_eq!(refusal.ack.message.as_deref(), Some("veth: Peer MTU is too large to set XDP"));
        assert_eq!(handle.attach(v0, program.as_fd(), XdpMode::Generic).unwrap(), XdpMode::Generic);
    });
}

#[test]
fn a_driver_without_the_mode_is_named() {
    in_namespace(|namespace| {
        let (v0, handle, program) = (v0(namespace), connect(), xdp_pass());
        let lo = handle.link_by_name("lo").unwrap().ifindex;
        let error = handle.attach(lo, program.as_fd(), XdpMode::Native).unwrap_err();
        assert!(matches!(&error, NetlinkError::NotSupported { mode: XdpMode::Native, .. }), "{error}");
        assert!(error.to_string().ends_with("; use generic mode, which every driver can"), "{error}");
        let error = handle.attach(v0, program.as_fd(), XdpMode::Offload).unwrap_err();
        assert_eq!(on(&handle, v0), [], "{error}");
        assert_eq!(handle.attach(lo, program.as_fd(), XdpMode::Auto).unwrap(), XdpMode::Generic);
    });
}

#[test]
fn a_descriptor_that_is_no_program_is_refused_with_advice() {
    in_namespace(|namespace| {
        let (v0, handle) = (v0(namespace), connect());
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = handle.attach(v0, file.as_fd(), XdpMode::Auto).unwrap_err();
        assert!(matches!(error, NetlinkError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("check that the descriptor is an XDP program"), "{error}");

        let handle = handle.with_replace_support(ReplaceSupport::LookFirst);
        let error = handle.detach(v0, file.as_fd(), XdpMode::Auto).unwrap_err();
        assert!(matches!(error, NetlinkError::ProgramId { errno: None, .. }), "{error}");
    });
}

#[test]
fn without_the_capability_it_is_not_permitted_and_looking_is() {
    in_namespace(|namespace| {
        let (v0, program) = (v0(namespace), xdp_pass());
        common::drop_privileges_of_this_thread();
        let handle = connect();
        let error = handle.attach(v0, program.as_fd(), XdpMode::Native).unwrap_err();
        assert!(matches!(error, NetlinkError::NotPermitted { .. }), "{error}");
        let error = handle.detach_any(v0, XdpMode::Native).unwrap_err();
        assert!(matches!(error, NetlinkError::NotPermitted { .. }), "{error}");
        assert_eq!(on(&handle, v0), []);
    });
}

#[test]
fn finds_interfaces_by_every_name_and_suggests_the_nearest() {
    in_namespace(|namespace| {
        let (veth0, _) = namespace.veth("veth0", "far");
        namespace.add_alt_name(veth0, "other");
        namespace.add_alt_name(veth0, "a-name-that-is-longer-than-fifteen");
        let handle = connect();
        for name in ["veth0", "other", "a-name-that-is-longer-than-fifteen"] {
            let link = handle.link_by_name(name).unwrap();
            assert_eq!((link.ifindex, link.name.as_str(), link.mtu), (veth0, "veth0", Some(1500)), "{name}");
            assert_eq!((link.kind.as_deref(), link.up), (Some("veth"), false));
        }
        for (name, message) in [
            (
                "veht0",
                "no interface \"veht0\" in this network namespace; did you mean one of: veth0, lo, far",
            ),
            ("", "no interface \"\" in this network namespace; did you mean one of: lo, far, veth0"),
        ] {
            assert_eq!(handle.link_by_name(name).unwrap_err().to_string(), message);
        }
        let error = handle.query(9999).unwrap_err();
        assert_eq!(error, NetlinkError::InterfaceGone { action: "look at", ifindex: 9999 });
    });
}

#[test]
fn query_all_lists_those_that_carry_a_program() {
    in_namespace(|namespace| {
        let (v0, v1) = namespace.veth("v0", "v1");
        namespace.veth("w0", "w1");
        let (handle, first, second) = (connect(), xdp_pass(), xdp_pass());
        assert_eq!(handle.query_all().unwrap(), []);
        handle.attach(v0, first.as_fd(), XdpMode::Generic).unwrap();
        handle.attach(v1, second.as_fd(), XdpMode::Native).unwrap();
        let mut all: Vec<_> =
            handle.query_all().unwrap().iter().map(|s| (s.name.clone(), programs(s))).collect();
        all.sort();
        let expected = [
            ("v0".to_owned(), vec![(XdpMode::Generic, id(&first))]),
            ("v1".to_owned(), vec![(XdpMode::Native, id(&second))]),
        ];
        assert_eq!(all, expected);
    });
}

#[test]
fn a_guard_takes_its_program_off_when_dropped() {
    in_namespace(|namespace| {
        let (v0, handle, program) = (v0(namespace), connect(), xdp_pass());
        let guard = handle.hold(v0, program.as_fd(), XdpMode::Auto).unwrap();
        assert_eq!((guard.ifindex(), guard.mode()), (v0, XdpMode::Native));
        // The guard knows its program by itself.
        let number = id(&program);
        drop(program);
        assert_eq!(on(&handle, v0), [(XdpMode::Native, number)]);
        drop(guard);
        assert_eq!(on(&handle, v0), []);
    });
}

#[test]
fn a_guard_may_be_dropped_inside_a_runtime_and_after_it() {
    in_namespace(|namespace| {
        let (v0, program) = (v0(namespace), xdp_pass());
        let runtime = common::runtime();
        let handle = Handle::connect().unwrap();
        runtime.block_on(async {
            let guard = handle.hold(v0, program.as_fd(), XdpMode::Native).await.unwrap();
            drop(guard);
            assert_eq!(handle.query(v0).await.unwrap().programs, []);
        });
        let guard = runtime.block_on(handle.hold(v0, program.as_fd(), XdpMode::Native)).unwrap();
        drop(runtime);
        assert_eq!(guard.detach_blocking().unwrap(), Detached::Ours);
    });
}

#[test]
fn a_guard_that_is_told_to_leave_leaves() {
    in_namespace(|namespace| {
        let (v0, handle, program) = (v0(namespace), connect(), xdp_pass());
        handle.hold(v0, program.as_fd(), XdpMode::Native).unwrap().leave();
        assert_eq!(on(&handle, v0), [(XdpMode::Native, id(&program))]);
    });
}

#[test]
fn a_guard_leaves_the_program_of_someone_else() {
    in_namespace(|namespace| {
        let (v0, handle, ours, theirs) = (v0(namespace), connect(), xdp_pass(), xdp_pass());
        let guard = handle.hold(v0, ours.as_fd(), XdpMode::Native).unwrap();
        connect().replace(v0, theirs.as_fd(), ours.as_fd(), XdpMode::Native).unwrap();
        drop(guard);
        assert_eq!(on(&handle, v0), [(XdpMode::Native, id(&theirs))]);

        let guard = handle.replace_and_hold(v0, ours.as_fd(), theirs.as_fd(), XdpMode::Auto).unwrap();
        assert_eq!(on(&handle, v0), [(XdpMode::Native, id(&ours))]);
        handle.detach_any(v0, XdpMode::Native).unwrap();
        handle.attach(v0, theirs.as_fd(), XdpMode::Generic).unwrap();
        // Ours is off, and what is there is in another mode.
        assert_eq!(guard.detach_blocking().unwrap(), not_ours(&theirs));
        assert_eq!(on(&handle, v0), [(XdpMode::Generic, id(&theirs))]);
    });
}

#[test]
fn a_guard_whose_interface_is_gone_says_so() {
    in_namespace(|namespace| {
        let (v0, handle, program) = (v0(namespace), connect(), xdp_pass());
        for support in BOTH_WAYS {
            let v0 = if support == ReplaceSupport::Atomic { v0 } else { namespace.veth("w0", "w1").0 };
            let handle = handle.clone().with_replace_support(support);
            let guard = handle.hold(v0, program.as_fd(), XdpMode::Native).unwrap();
            namespace.delete(v0);
            assert_eq!(guard.detach_blocking().unwrap(), Detached::InterfaceGone, "{support:?}");
        }
    });
}

#[test]
fn a_call_that_is_given_up_still_runs_with_its_descriptor() {
    in_namespace(|namespace| {
        let (v0, program) = (v0(namespace), xdp_pass());
        let handle = Handle::connect().unwrap();
        let number = id(&program);
        namespace.block_on(async {
            let mut attach = Box::pin(handle.attach(v0, program.as_fd(), XdpMode::Native));
            assert!(futures_util::poll!(&mut attach).is_pending());
        });
        drop(program);
        // Asked after the attach on the same connection, so answered after it.
        let state = namespace.block_on(handle.query(v0)).unwrap();
        assert_eq!(programs(&state), [(XdpMode::Native, number)]);
    });
}

#[test]
fn a_guard_given_up_while_detaching_detaches() {
    in_namespace(|namespace| {
        let (v0, program) = (v0(namespace), xdp_pass());
        let handle = connect();
        let guard = handle.hold(v0, program.as_fd(), XdpMode::Native).unwrap();
        namespace.block_on(async {
            // Never polled: only the drop of what it owns can act.
            drop(guard.detach());
        });
        assert_eq!(on(&handle, v0), []);
    });
}

#[test]
fn a_handle_stays_in_the_namespace_it_was_made_in() {
    in_namespace(|namespace| {
        let (v0, program) = (v0(namespace), xdp_pass());
        let handle = Handle::connect().unwrap();
        let guard = namespace.block_on(handle.hold(v0, program.as_fd(), XdpMode::Native)).unwrap();
        let (deleted, elsewhere) = (handle.clone(), handle.clone());
        let delete = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            assert!(connect().link_by_name("v0").is_err());
            // Subscribes now, from here, and still hears of the namespace that the handle belongs to.
            let (looked, look) = mpsc::channel();
            let elsewhere = elsewhere.observed(move |_| looked.send(()).unwrap());
            let wait = std::thread::spawn(move || blocking::Handle::from(elsewhere).wait_gone(v0));
            look.recv_timeout(common::TOO_LONG).unwrap();
            wait
        });
        let wait = delete.join().unwrap();
        assert!(!wait.is_finished());
        namespace.delete(v0);
        wait.join().unwrap().unwrap();
        assert_eq!(namespace.block_on(guard.detach()).unwrap(), Detached::InterfaceGone);
        drop(deleted);
    });
}

#[test]
fn waiting_for_an_interface_that_is_not_there_ends_at_once() {
    in_namespace(|namespace| {
        let handle = Handle::connect().unwrap();
        namespace.block_on(handle.wait_gone(9999)).unwrap();
    });
}

#[test]
fn a_deletion_right_after_the_look_is_not_missed() {
    in_namespace(|namespace| {
        let v0 = v0(namespace);
        let is_first = Mutex::new(true);
        // Runs between the answer to the look and whatever comes next.
        let handle = Handle::connect().unwrap().observed(move |_| {
            if std::mem::replace(&mut *is_first.lock().unwrap(), false) {
                delete_from_another_thread(v0);
            }
        });
        namespace.block_on(handle.wait_gone(v0)).unwrap();
    });
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_gone() {
    in_namespace(|namespace| {
        let (v0, v1) = namespace.veth("v0", "v1");
        let bridge = namespace.bridge("br0");
        namespace.set(LinkUnspec::new_with_index(v0).controller(bridge).build());
        let (looked, look) = mpsc::channel();
        let handle = Handle::connect().unwrap().observed(move |_| looked.send(()).unwrap());
        let wait = {
            let handle = blocking::Handle::from(handle.clone());
            std::thread::spawn(move || handle.wait_gone(v0))
        };
        look.recv_timeout(common::TOO_LONG).unwrap();
        namespace.set(LinkUnspec::new_with_index(v0).nocontroller().build());
        // A second wait, begun and ended after the announcement, shows that the driver got to read it.
        namespace.block_on(async {
            let gone = pin!(handle.wait_gone(bridge));
            let delete = pin!(async {
                tokio::task::spawn_blocking(move || delete_from_another_thread(bridge)).await.unwrap();
                future::pending::<()>().await;
            });
            match future::select(gone, delete).await {
                Either::Left((end, _)) => end.unwrap(),
                Either::Right(_) => unreachable!("the deletion never ends"),
            }
        });
        assert!(!wait.is_finished(), "v0 left its bridge and is still there");
        namespace.delete(v1);
        wait.join().unwrap().unwrap();
    });
}

#[test]
fn an_observer_sees_every_request_in_words_and_bytes() {
    in_namespace(|namespace| {
        let (v0, program) = (v0(namespace), xdp_pass());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let handle = connect().observed(move |exchange| {
            assert!(!exchange.bytes().is_empty());
            seen.lock().unwrap().push(exchange.line(&Numbers));
        });
        let guard: Attachment = handle.hold(v0, program.as_fd(), XdpMode::Auto).unwrap();
        handle.attach(v0, program.as_fd(), XdpMode::Native).unwrap_err();
        drop(guard);
        let fd = std::os::fd::AsRawFd::as_raw_fd(&program);
        // The guard speaks of its own duplicate.
        let lines: Vec<_> = lines
            .lock()
            .unwrap()
            .iter()
            .map(|line| line.split(" expected=").next().unwrap().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                format!("SETLINK ifindex={v0} xdp fd={fd} flags=UPDATE_IF_NOEXIST -> ok"),
                format!("GETLINK ifindex={v0} -> ok"),
                format!(
                    "SETLINK ifindex={v0} xdp fd={fd} flags=UPDATE_IF_NOEXIST|DRV_MODE \
                     -> EBUSY, device or resource busy: \"XDP program already attached\""
                ),
                format!("GETLINK ifindex={v0} -> ok"),
                format!("SETLINK ifindex={v0} xdp fd=none flags=DRV_MODE|REPLACE"),
            ]
        );
    });
}
