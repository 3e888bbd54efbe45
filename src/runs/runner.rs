//! Runs a loaded program on packets.

use std::cell::RefCell;

use rxdp_loader::insn::Insn;
use rxdp_loader::load::{ETHERNET_HEADER, Input, LoadError, LoadedProgram};
use rxdp_loader::spec::ObjectSpec;
use rxdp_loader::sys::Linux;
use rxdp_loader::sys::tracefs::TraceError;
use rxdp_loader::uapi::{Helper, ProgType};

use super::traced::Traced;
use super::{Outcome, Ran, verdict};
use crate::packets::Packet;

/// Types that see the Ethernet header. For others the kernel clears it. Source: `bpf_prog_test_run_skb`.
const WITH_HEADER: &[ProgType] = &[ProgType::XDP, ProgType::SCHED_CLS, ProgType::SCHED_ACT];

/// `BPF_CALL`, and helpers that print.
const CALL: u8 = 0x85;
const PRINTING: &[&str] = &["trace_printk", "trace_vprintk"];

/// A program to run, and ears for what it prints.
#[derive(Debug)]
pub(crate) struct Runner<'p> {
    program: &'p LoadedProgram,
    repeat: u32,
    traced: Option<RefCell<Traced>>,
    /// Why nobody hears what it prints.
    pub(crate) deaf: Option<TraceError>,
}

impl<'p> Runner<'p> {
    /// Runs `program` of this object, so many times on each packet.
    pub(crate) fn new(program: &'p LoadedProgram, spec: &ObjectSpec, repeat: u32) -> Self {
        let mut runner = Self::unheard(program, repeat);
        if prints(spec) {
            match Traced::start() {
                Ok(traced) => runner.traced = Some(RefCell::new(traced)),
                Err(error) => runner.deaf = Some(error),
            }
        }
        runner
    }

    /// The same, but nobody listens to what it prints.
    pub(crate) fn unheard(program: &'p LoadedProgram, repeat: u32) -> Self {
        Self { program, repeat, traced: None, deaf: None }
    }

    /// What becomes of a packet. One of a set may be refused; for others that is a failure.
    pub(crate) fn run(&self, packet: &Packet) -> Result<Outcome, LoadError> {
        let input = Input { repeat: self.repeat, ..Input::packet(&packet.bytes) };
        let reply = match self.program.test_run(&Linux, &input) {
            Ok(reply) => reply,
            Err(LoadError::TestRun { errno, .. }) if packet.is_of_a_set => {
                return Ok(Outcome::Refused(errno.to_string()));
            }
            Err(error) => return Err(error),
        };
        Ok(Outcome::Ran(Ran {
            verdict: verdict(self.program.ty, reply.retval),
            retval: reply.retval,
            duration: reply.duration,
            after: after(self.program.ty, &packet.bytes, &reply.data),
            printed: self.printed(),
        }))
    }

    /// What was printed since the last run.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.traced.as_ref().map(|traced| traced.borrow_mut().take()).unwrap_or_default()
    }
}

/// Whether some function of the object prints.
fn prints(spec: &ObjectSpec) -> bool {
    let helpers: Vec<u32> =
        PRINTING.iter().filter_map(|name| Helper::from_name(name)).map(|helper| helper.0).collect();
    let prints = |insn: &Insn| {
        insn.code == CALL
            && insn.src == 0
            && u32::try_from(insn.imm).is_ok_and(|helper| helpers.contains(&helper))
    };
    spec.functions.iter().flat_map(|function| &function.insns).any(prints)
}

/// The packet as the program left it: without what the kernel did to it so that it could be run.
fn after(ty: ProgType, before: &[u8], reply: &[u8]) -> Vec<u8> {
    if ty == ProgType::FLOW_DISSECTOR {
        // It only reads the packet; the kernel hands out what it read.
        return before.to_vec();
    }
    let Some((header, rest)) = reply.split_at_checked(ETHERNET_HEADER) else {
        return reply.to_vec();
    };
    if WITH_HEADER.contains(&ty) || header.iter().any(|byte| *byte != 0) {
        return reply.to_vec();
    }
    before.iter().take(ETHERNET_HEADER).chain(rest).copied().collect()
}
