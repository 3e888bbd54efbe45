//! Every netlink call failing in turn: nothing hangs, nothing passes for a success, and what may have stayed is said.

#![cfg(test)]

mod common;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno as E;
use rtnetlink::sys::TokioSocket;
use rxdp_netlink::{Detached, Errno, Handle, NetlinkError, XdpMode, blocking};

use common::{Faults, Faulty, in_namespace, in_time, xdp_pass};

const EIO: i32 = E::EIO as i32;
const ENOBUFS: i32 = E::ENOBUFS as i32;

fn connect(faults: &Arc<Faults>) -> blocking::Handle {
    let faults = Arc::clone(faults);
    blocking::Handle::connect_with(move || Faulty::open(&faults)).unwrap()
}

fn send(at: usize) -> Arc<Faults> {
    Faults::on_send(at, EIO)
}

fn receive(at: usize, errno: i32) -> Arc<Faults> {
    Faults::on_receive(at, errno)
}

#[test]
fn a_socket_that_cannot_be_opened_is_named() {
    let open = || Err::<TokioSocket, _>(io::Error::from_raw_os_error(E::EMFILE as i32));
    let error = Handle::connect_with(open).unwrap_err();
    assert_eq!(
        error.to_string(),
        "netlink connection: opening a socket failed with EMFILE, too many open files; \
         raise the limit on open files or close some"
    );
}

#[test]
fn a_request_that_cannot_be_sent_or_answered_says_why() {
    for (faults, errno) in [(send(1), EIO), (receive(1, EIO), EIO), (receive(1, ENOBUFS), ENOBUFS)] {
        let handle = Handle::from(connect(&faults));
        let error = in_time(handle.link(1)).unwrap_err();
        let request = "GETLINK ifindex=1".to_owned();
        assert_eq!(error, NetlinkError::ConnectionLost { request, errno: Some(Errno(errno)) });
        // The connection is over, and says so again instead of hanging.
        assert_eq!(in_time(handle.link(1)).unwrap_err(), error);
        assert!(matches!(in_time(handle.links()), Err(NetlinkError::ConnectionLost { .. })));
        assert!(matches!(in_time(handle.link_by_name("lo")), Err(NetlinkError::ConnectionLost { .. })));
    }
}

#[test]
fn the_second_request_of_a_call_may_fail_as_well() {
    // By name, then the list of all names for the error.
    let error = connect(&send(2)).link_by_name("no-such").unwrap_err();
    assert!(
        matches!(&error, NetlinkError::ConnectionLost { request, .. } if request == "GETLINK all"),
        "{error}"
    );
}

#[test]
fn attach_and_detach_with_each_request_or_answer_failing() {
    in_namespace(|namespace| {
        let (v0, _) = namespace.veth("v0", "v1");
        let (healthy, program) = (blocking::Handle::connect().unwrap(), xdp_pass());
        // Attach, look for the mode, detach. The look is answered twice: by the interface and by the acknowledgement.
        for (kind, calls) in [("send", 3), ("receive", 4)] {
            for at in 1..=calls + 1 {
                let faults = if kind == "send" { send(at) } else { receive(at, EIO) };
                let handle = connect(&faults);
                let outcome = handle
                    .hold(v0, program.as_fd(), XdpMode::Auto)
                    .and_then(rxdp_netlink::Attachment::detach_blocking);
                let stayed = !healthy.query(v0).unwrap().programs.is_empty();
                healthy.detach_any(v0, XdpMode::Auto).unwrap();
                assert_eq!(faults.happened(), at <= calls, "{kind} {at}");
                match outcome {
                    Ok(detached) => assert_eq!((at > calls, detached, stayed), (true, Detached::Ours, false)),
                    Err(error) => assert!(!stayed || admits(&error), "{kind} {at}: stayed, but {error}"),
                }
            }
        }
    });
}

/// Whether an error tells that a program may have stayed.
fn admits(error: &NetlinkError) -> bool {
    if let NetlinkError::ConnectionLost { request, .. } = error {
        return request.starts_with("SETLINK");
    }
    matches!(error, NetlinkError::LeftAttached { .. })
}

#[test]
fn a_mode_that_cannot_be_found_out_is_admitted() {
    in_namespace(|namespace| {
        let (v0, _) = namespace.veth("v0", "v1");
        let error = connect(&send(2)).attach(v0, xdp_pass().as_fd(), XdpMode::Auto).unwrap_err();
        assert!(matches!(&error, NetlinkError::LeftAttached { ifindex, .. } if *ifindex == v0), "{error}");
    });
}

#[test]
fn a_refusal_is_told_even_if_looking_for_its_cause_fails() {
    in_namespace(|namespace| {
        let (v0, _) = namespace.veth("v0", "v1");
        let (healthy, program) = (blocking::Handle::connect().unwrap(), xdp_pass());
        healthy.attach(v0, program.as_fd(), XdpMode::Native).unwrap();
        let error = connect(&send(2)).attach(v0, program.as_fd(), XdpMode::Native).unwrap_err();
        assert!(
            matches!(&error, NetlinkError::Refused { refusal, .. } if refusal.errno == Errno(E::EBUSY as i32)),
            "{error}"
        );
    });
}

#[test]
fn waiting_fails_when_no_second_socket_can_be_had() {
    in_namespace(|namespace| {
        let (v0, _) = namespace.veth("v0", "v1");
        let opened = AtomicUsize::new(0);
        let handle = blocking::Handle::connect_with(move || match opened.fetch_add(1, Ordering::SeqCst) {
            0 => Faulty::open(&Arc::default()),
            _ => Err(io::Error::from_raw_os_error(E::EMFILE as i32)),
        });
        let error = handle.unwrap().wait_gone(v0).unwrap_err();
        assert!(matches!(error, NetlinkError::Connect { step: "opening a socket", .. }), "{error}");
    });
}

/// A handle whose announcements, and nothing else, meet `faults`; interface `ifindex` is deleted after the first look.
fn deleted_while_waiting(faults: Arc<Faults>, ifindex: u32) -> Handle {
    let (opened, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let handle = Handle::connect_with(move || match opened.fetch_add(1, Ordering::SeqCst) {
        0 => Faulty::open(&Arc::default()),
        _ => Faulty::open(&faults),
    });
    handle.unwrap().observed(move |_| {
        if looks.fetch_add(1, Ordering::SeqCst) == 0 {
            common::delete_from_another_thread(ifindex);
        }
    })
}

#[test]
fn announcements_that_are_lost_make_it_look_again() {
    in_namespace(|namespace| {
        let (v0, _) = namespace.veth("v0", "v1");
        // The deletion of a pair that was down is one datagram for each end; the first is lost, with all it said.
        let faults = receive(1, ENOBUFS);
        let handle = deleted_while_waiting(Arc::clone(&faults), v0);
        namespace.block_on(handle.wait_gone(v0)).unwrap();
        assert!(faults.happened());
    });
}

#[test]
fn announcements_that_break_off_are_an_error() {
    in_namespace(|namespace| {
        let (v0, _) = namespace.veth("v0", "v1");
        let handle = deleted_while_waiting(receive(1, EIO), v0);
        let error = namespace.block_on(handle.wait_gone(v0)).unwrap_err();
        assert!(matches!(error, NetlinkError::ConnectionLost { .. }), "{error}");
    });
}

#[test]
fn a_wait_that_is_given_up_and_a_handle_that_is_dropped_close_their_sockets() {
    in_namespace(|namespace| {
        let (v0, _) = namespace.veth("v0", "v1");
        // Each open socket holds a share.
        let sockets = Arc::new(Faults::default());
        let opener = Arc::clone(&sockets);
        let handle = Handle::connect_with(move || Faulty::open(&opener)).unwrap();
        let idle = Arc::strong_count(&sockets);
        namespace.block_on(async {
            let mut wait = Box::pin(handle.wait_gone(v0));
            assert!(futures_util::poll!(&mut wait).is_pending());
            // Answered after the wait has begun, since the driver takes one after the other.
            handle.link(v0).await.unwrap();
            assert_eq!(Arc::strong_count(&sockets), idle + 1);
            drop(wait);
            handle.link(v0).await.unwrap();
        });
        assert_eq!(Arc::strong_count(&sockets), idle);
        drop(handle);
        assert_eq!(Arc::strong_count(&sockets), 1);
    });
}
