//! Loads an object as the main job would and asks the kernel about all of it; attaches its entry program to an interface
//! that is made for that and nobody else sees. What the answers mean is `rxdp-explain`'s business.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use rxdp_explain::kernel::{Answers, Attached, ProgramAnswer};
use rxdp_explain::model::SlotInKernel;
use rxdp_loader::load::{self, Given, LoadError, LoadedObject, LoadedProgram, LogPolicy};
use rxdp_loader::plan::{FillSlot, LoadPlan, SlotValue};
use rxdp_loader::spec::ProgId;
use rxdp_loader::sys::{Kernel, Linux, Named, Recorder, host};
use rxdp_netlink::message::Request;
use rxdp_netlink::{Answer, Exchange, Handle, Names, Tap, XdpMode};
use rxdp_sandbox::{End, Sandbox};

use crate::error::Failure;
use crate::stay;
use crate::target::Targets;

/// Type of the message that changes an interface. Source: `include/uapi/linux/rtnetlink.h`.
const RTM_SETLINK: u16 = 19;

/// Why a program that was loaded is not attached.
const NOT_ATTACHED: &str =
    "nothing was attached: the main job stops at the first failure and takes back what it made";

/// Everything that the kernel says about an object. What it refuses is an answer, too.
///
/// Goes on where the main job stops, and returns for what it would.
pub(crate) fn ask(
    plan: &LoadPlan<'_>,
    targets: Targets,
    entry: Option<ProgId>,
) -> (Answers, Option<LoadError>) {
    let kernel = Arc::new(Recorder::new(Linux).with_real_ids());
    let mut answers = Answers::default();
    let given = Given { targets: targets.programs, log: LogPolicy::Always, ..Given::default() };
    let (loaded, errors) = load::execute_all(plan, &*kernel, given);
    answers.problems.extend(errors.iter().map(ToString::to_string));
    look(&*kernel, &loaded, &mut answers);
    match entry.and_then(|entry| loaded.program_by_id(entry)) {
        Some(_) if !errors.is_empty() => answers.problems.push(NOT_ATTACHED.to_string()),
        Some(program) => match attach(&kernel, program) {
            Ok(attached) => answers.attachment = Some(attached),
            Err(failure) => answers.problems.push(failure.to_string()),
        },
        None => {}
    }
    answers.calls = kernel.transcript();
    (answers, errors.into_iter().next())
}

fn look(kernel: &impl Kernel, loaded: &LoadedObject, answers: &mut Answers) {
    for map in &loaded.maps {
        match kernel.map_info(Named { name: &map.name, fd: map.fd.as_fd() }) {
            Ok(info) => {
                answers.map_names.insert(info.id, map.name.clone());
                answers.maps.push((map.id, map.fd.as_raw_fd(), info.id));
            }
            Err(errno) => {
                answers.problems.push(format!("map {:?}: BPF_OBJ_GET_INFO_BY_FD: {errno}", map.name))
            }
        }
    }
    for program in &loaded.programs {
        match look_at(kernel, program) {
            Ok(answer) => answers.programs.push(answer),
            Err(errno) => {
                answers.problems.push(format!("program {:?}: BPF_OBJ_GET_INFO_BY_FD: {errno}", program.name));
            }
        }
    }
    answers.notes = loaded.notes.iter().map(ToString::to_string).collect();
    answers.call_base = host::call_base().unwrap_or_default();
    let calls = answers.programs.iter().flat_map(|program| program.calls(answers.call_base));
    answers.functions = host::functions_at(&calls.collect());
    answers.slots = loaded
        .slots
        .iter()
        .map(|slot| SlotInKernel {
            map: slot.map.clone(),
            key: slot.fill.key,
            program: slot.value.clone(),
            written_fd: descriptor(loaded, &slot.fill),
            read_id: slot.id,
        })
        .collect();
}

fn look_at(kernel: &impl Kernel, program: &LoadedProgram) -> Result<ProgramAnswer, rxdp_loader::sys::Errno> {
    let handle = Named { name: &program.name, fd: program.fd.as_fd() };
    let (info, code) = (kernel.prog_info(handle)?, kernel.prog_code(handle)?);
    Ok(ProgramAnswer {
        program: program.id,
        fd: program.fd.as_raw_fd(),
        id: info.id,
        tag: info.tag,
        verified_instructions: info.verified_insns,
        xlated: code.xlated,
        machine: code.machine,
        functions: code.functions,
        addresses: code.addresses,
        x86_64: cfg!(target_arch = "x86_64"),
    })
}

/// The descriptor that was put into a slot.
fn descriptor(loaded: &LoadedObject, fill: &FillSlot) -> Option<RawFd> {
    match fill.value {
        SlotValue::Program(id) => loaded.program_by_id(id).map(|program| program.fd.as_raw_fd()),
        SlotValue::Map(id) => loaded.maps.iter().find(|map| map.id == id).map(|map| map.fd.as_raw_fd()),
    }
}

/// Attaches a program to one end of a cable in a network of its own, and takes it off again.
fn attach(kernel: &Arc<Recorder<Linux>>, program: &LoadedProgram) -> Result<Attached, Failure> {
    let sandbox = Sandbox::new()?;
    let (interface, ifindex) = (End::Near.interface(), sandbox.ifindex(End::Near));
    let names = Known {
        program: program.name.clone(),
        interfaces: BTreeMap::from([(ifindex, interface.to_string())]),
    };
    let (said, tap): (Arc<Mutex<Option<Answer>>>, Tap) = Default::default();
    let mode = sandbox.near(|| {
        stay::runtime()?.block_on(async {
            let socket = tap.clone();
            let netlink = Handle::connect_with(move || socket.socket())?.observed(note(kernel, names, &said));
            let attachment = netlink.hold(ifindex, program.as_fd(), XdpMode::Auto).await?;
            let mode = attachment.mode().to_string();
            attachment.detach().await?;
            Ok::<_, Failure>(mode)
        })
    })?;
    let reply = said.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (message, answer) = tap.conversation(RTM_SETLINK).unwrap_or_default();
    Ok(Attached {
        program: program.name.clone(),
        interface: interface.to_string(),
        mode: Some(mode),
        message,
        reply: reply.map(|reply| reply.to_string()).unwrap_or_default(),
        answer: answer.unwrap_or_default(),
    })
}

/// Writes down each request among the calls, and keeps the answer to the first that attaches.
fn note(
    kernel: &Arc<Recorder<Linux>>,
    names: Known,
    said: &Arc<Mutex<Option<Answer>>>,
) -> impl Fn(&Exchange) + Send + Sync + 'static {
    let (kernel, said) = (Arc::clone(kernel), Arc::clone(said));
    move |exchange| {
        kernel.note(exchange.request.line(&names), exchange.answer.to_string());
        if matches!(exchange.request, Request::SetXdp(_)) {
            said.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| exchange.answer.clone());
        }
    }
}

/// What numbers stand for.
struct Known {
    /// The only program: the guard of an attachment holds it by another descriptor.
    program: String,
    interfaces: BTreeMap<u32, String>,
}

impl Names for Known {
    fn interface(&self, ifindex: u32) -> String {
        self.interfaces.get(&ifindex).cloned().unwrap_or_else(|| format!("ifindex={ifindex}"))
    }

    fn program(&self, _fd: RawFd) -> String {
        self.program.clone()
    }
}
