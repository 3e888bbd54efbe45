//! Refusals as scripts see them: the fields of `refusal` and `fault` in JSON.

use rxdp_loader::plan::MapFault;
use rxdp_loader::verifier::{Event, Location, Refusal, Register, Source};
use serde::Serialize;

/// Why the verifier refused a program.
#[derive(Debug, Serialize)]
pub(crate) struct RefusalRow {
    /// The name of the cause in docs/verifier.md; none for a message that is not there.
    cause: Option<&'static str>,
    /// What the verifier said, a line each.
    message: String,
    explanation: Option<String>,
    advice: Option<String>,
    source: Option<SourceRow>,
    /// The slot in the program as it was sent to the kernel.
    insn: Option<u32>,
    insn_text: Option<String>,
    function: Option<String>,
    registers: Vec<RegisterRow>,
    /// The last branches before the instruction, the latest first.
    branches: Vec<EventRow>,
    /// Whether the log has the path as far as it was followed.
    whole: bool,
}

#[derive(Debug, Serialize)]
struct SourceRow {
    file: Option<String>,
    line: Option<u32>,
    text: String,
}

#[derive(Debug, Serialize)]
struct RegisterRow {
    name: String,
    state: Option<String>,
    history: Vec<EventRow>,
}

#[derive(Debug, Serialize)]
struct EventRow {
    what: &'static str,
    insn: u32,
    insn_text: Option<String>,
    source: Option<SourceRow>,
    state: Option<String>,
}

/// The attribute of a map that stands in the way.
#[derive(Debug, Serialize)]
pub(crate) struct FaultRow {
    attribute: &'static str,
    found: String,
    takes: String,
}

impl FaultRow {
    pub(crate) fn of(fault: &MapFault) -> Self {
        let MapFault { attribute, found, takes, .. } = fault;
        Self { attribute, found: found.clone(), takes: takes.clone() }
    }
}

impl RefusalRow {
    pub(crate) fn of(refusal: &Refusal) -> Self {
        let Refusal { message, why, at, registers, branches, whole } = refusal;
        let at = at.as_ref();
        Self {
            cause: why.as_ref().map(|why| why.cause.name),
            message: message.join("\n"),
            explanation: why.as_ref().map(|why| why.explanation.clone()),
            advice: why.as_ref().map(|why| why.advice.clone()),
            source: at.and_then(source),
            insn: at.map(|at| at.slot.0),
            insn_text: at.and_then(|at| at.insn.clone()),
            function: at.and_then(|at| at.function.as_ref()).map(|(function, _)| function.clone()),
            registers: registers.iter().map(register).collect(),
            branches: branches.iter().map(event).collect(),
            whole: *whole,
        }
    }
}

fn source(at: &Location) -> Option<SourceRow> {
    let Source { file, line, text } = at.source.as_ref()?;
    Some(SourceRow { file: file.clone(), line: *line, text: text.clone() })
}

fn register(register: &Register) -> RegisterRow {
    let Register { name, state, history } = register;
    RegisterRow { name: name.clone(), state: state.clone(), history: history.iter().map(event).collect() }
}

fn event(event: &Event) -> EventRow {
    let Event { kind, at, state } = event;
    EventRow {
        what: kind.name(),
        insn: at.slot.0,
        insn_text: at.insn.clone(),
        source: source(at),
        state: state.clone(),
    }
}
