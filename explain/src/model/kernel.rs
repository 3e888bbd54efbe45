//! What the kernel said: `explain --live`.

use serde::Serialize;

use super::Call;

/// What the kernel said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kernel {
    /// Every call that was made, in order, with its answer.
    pub calls: Vec<Call>,
    /// `map_fd[]` as it ended up.
    pub map_fd: Vec<LoadedMap>,
    /// `prog_fd[]` as it ended up.
    pub prog_fd: Vec<LoadedProgram>,
    /// Programs that the kernel refused.
    pub refused: Vec<RefusedProgram>,
    /// Slots of jump tables, read back.
    pub slots: Vec<SlotInKernel>,
    /// How the entry program was attached.
    pub attachment: Option<Attachment>,
    /// What the kernel refused and the load did without: types.
    pub notes: Vec<String>,
    /// Why something could not be done or shown.
    pub problems: Vec<String>,
}

/// A program that the kernel refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefusedProgram {
    /// Its name.
    pub name: String,
    /// The errno: `EACCES`.
    pub errno: String,
    /// What that means: the cause, the line of C, the registers, and what to change; a line each. Empty if the log does not
    /// say.
    pub told: Vec<String>,
    /// The verifier's log.
    pub log: String,
    /// Whether the log was cut.
    pub log_cut: bool,
}

/// A map in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoadedMap {
    /// Its index in `map_fd[]`.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its descriptor in the process that loaded it.
    pub fd: i32,
    /// Its id in the kernel.
    pub id: u32,
}

/// A program in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoadedProgram {
    /// Its index in `prog_fd[]`.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its section.
    pub section: String,
    /// Its descriptor in the process that loaded it.
    pub fd: i32,
    /// Its id in the kernel.
    pub id: u32,
    /// The kernel's fingerprint of its instructions: 16 hexadecimal digits.
    pub tag: String,
    /// Instructions that the verifier looked at.
    pub verified_instructions: u32,
    /// The verifier's statistics: the last lines of its log.
    pub statistics: Vec<String>,
    /// The verifier's log.
    pub log: String,
    /// Whether the log was cut.
    pub log_cut: bool,
    /// The kernel's rewritten code beside ours.
    pub xlated: Vec<Xlated>,
    /// The machine code; empty if the kernel does not show it or it is not for x86-64.
    pub machine_code: Vec<MachineInstruction>,
    /// Size of the machine code in **bytes**; 0 if the program is interpreted.
    pub machine_bytes: u32,
}

/// Some of our instructions, and what the kernel made of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Xlated {
    /// Ours, as they were sent; empty where the kernel put in some of its own.
    pub ours: Vec<XlatedInstruction>,
    /// The kernel's.
    pub kernel: Vec<XlatedInstruction>,
    /// Whether they differ.
    pub differs: bool,
}

/// An instruction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct XlatedInstruction {
    /// Its position, in **slots** from the start of its program.
    pub at: u32,
    /// Its bytes, as hexadecimal digits.
    pub bytes: String,
    /// Disassembled.
    pub text: String,
}

/// An instruction of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MachineInstruction {
    /// Its address, in **bytes** from the start of the program's machine code.
    pub offset: u64,
    /// Its bytes, as hexadecimal digits.
    pub bytes: String,
    /// Disassembled.
    pub text: String,
}

/// A slot of a jump table, read back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SlotInKernel {
    /// Name of the table.
    pub map: String,
    /// The key.
    pub key: u32,
    /// Name of the program that was put there.
    pub program: String,
    /// The descriptor that was written.
    pub written_fd: Option<i32>,
    /// The id that was read back.
    pub read_id: Option<u32>,
}

/// How the entry program was attached, to an interface that was made for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attachment {
    /// Name of the program.
    pub program: String,
    /// The interface.
    pub interface: String,
    /// The mode in which the kernel put it there.
    pub mode: Option<String>,
    /// The message `RTM_SETLINK`, part by part.
    pub message: Vec<MessagePart>,
    /// What was answered.
    pub reply: String,
    /// The answer, part by part.
    pub answer: Vec<MessagePart>,
}

/// A part of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessagePart {
    /// Where it starts, in **bytes** from the start of the message.
    pub offset: u32,
    /// Its bytes, as hexadecimal digits.
    pub bytes: String,
    /// How deep it is nested, from 0.
    pub depth: u32,
    /// Its name: `IFLA_XDP_FD`.
    pub name: String,
    /// What it says.
    pub meaning: String,
}
