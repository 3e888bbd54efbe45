//! Code: functions as the compiler wrote them, programs as the kernel gets them, and each change between the two.

use serde::Serialize;

/// A function of the object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Function {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its section.
    pub section: String,
    /// Where it starts in the section, in **bytes**.
    pub offset: u32,
    /// Its length in **slots**.
    pub slots: u32,
    /// Index of the program that it is the entry of, if it is one.
    pub program: Option<u32>,
    /// Its source lines, by position.
    pub lines: Vec<SourceLine>,
    /// Its code.
    pub instructions: Vec<Instruction>,
}

impl Function {
    /// The source line of an instruction.
    pub fn line(&self, of: &Instruction) -> Option<&SourceLine> {
        self.lines.get(usize::try_from(of.line?).ok()?)
    }

    /// Whether two instructions were made by the same line: one line has a record for each column.
    pub fn same_line(&self, a: &Instruction, b: &Instruction) -> bool {
        let line = |of: &Instruction| self.line(of).map(|line| (&line.file, line.line, &line.text));
        a.line == b.line || line(a) == line(b)
    }
}

/// A source line that made instructions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceLine {
    /// The first instruction that it made, in **slots** from the start of the function.
    pub at: u32,
    /// The source file.
    pub file: String,
    /// Line number, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The line.
    pub text: String,
}

/// An instruction as the compiler wrote it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Instruction {
    /// Its position, in **slots** from the start of the function.
    pub at: u32,
    /// Its bytes as they stand in the file, as hexadecimal digits: 8 bytes, or 16 of a 64-bit load.
    pub bytes: String,
    /// Disassembled.
    pub text: String,
    /// Index of its source line in [`Function::lines`].
    pub line: Option<u32>,
    /// Where it jumps to, in **slots** from the start of the function.
    pub jumps_to: Option<u32>,
    /// What it refers to.
    pub relocation: Option<Relocation>,
    /// What it asks about types (CO-RE).
    pub core: Option<Core>,
}

/// What an instruction refers to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Relocation {
    /// What kind of thing.
    pub kind: RelocationKind,
    /// Its name.
    pub symbol: String,
    /// Why it is one: what decided, in words.
    pub why: String,
}

/// What kind of thing an instruction refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RelocationKind {
    /// A map.
    Map,
    /// A place in a map's value: a global variable.
    MapValue,
    /// A subprogram that is called.
    Call,
    /// A subprogram whose address is taken.
    FunctionAddress,
    /// A variable of the kernel's configuration.
    Kconfig,
    /// A variable or symbol of the kernel.
    Ksym,
    /// A function of the kernel.
    Kfunc,
    /// Nothing that makes sense.
    Broken,
}

/// What an instruction asks about types (CO-RE), and the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Core {
    /// What is asked: `offset of struct task_struct.mm`.
    pub question: String,
    /// The access string of the record: member numbers with colons between them.
    pub access: String,
    /// The way from the type to the part that is asked about, in the object's own types.
    pub path: Vec<CoreStep>,
    /// What the object's own types say.
    pub local: Option<u64>,
    /// What the kernel's types say.
    pub target: Option<u64>,
    /// The kernel's type that said it: `struct task_struct of vmlinux (type 123)`.
    pub from: Option<String>,
    /// The answer in words, or why there is none.
    pub answer: String,
}

/// A step of a CO-RE path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CoreStep {
    /// The type that it starts from.
    pub of: String,
    /// The member or element that it goes to.
    pub to: String,
    /// Where that starts in the object's own types, in **bits** from the start of the whole.
    pub bit_offset: u32,
}

/// Something that the object declares and does not define.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Extern {
    /// Its name.
    pub name: String,
    /// What it is: `kconfig`, `ksym`, `kfunc` or `unknown`.
    pub kind: String,
    /// Whether the object can do without it.
    pub weak: bool,
    /// What it turned out to be, or why it could not be found.
    pub found: String,
}

/// A program as it is sent to the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Linked {
    /// Index of the program.
    pub program: u32,
    /// Its name.
    pub name: String,
    /// Why it could not be linked; the rest is empty then.
    pub problem: Option<String>,
    /// Which function stands where.
    pub layout: Vec<Span>,
    /// Its code. Descriptors are 0: they are written in when the maps exist.
    pub instructions: Vec<LinkedInstruction>,
    /// Every change between what the compiler wrote and this.
    pub changes: Vec<Change>,
}

/// A function's place in a linked program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Span {
    /// Index of the function.
    pub function: u32,
    /// Its name.
    pub name: String,
    /// Its first slot in the program.
    pub start: u32,
    /// Its length in **slots**.
    pub slots: u32,
    /// Why it stands there.
    pub why: String,
}

/// An instruction as it is sent to the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LinkedInstruction {
    /// Its position, in **slots** from the start of the program.
    pub at: u32,
    /// Its bytes, as hexadecimal digits.
    pub bytes: String,
    /// Disassembled.
    pub text: String,
    /// Index in [`Linked::changes`] of the change that made it so.
    pub change: Option<u32>,
}

/// A change of an instruction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// Where, in **slots** from the start of the program.
    pub at: u32,
    /// Name of the function that it is in.
    pub function: String,
    /// Where, in **slots** from the start of that function.
    pub function_at: u32,
    /// The source line: `file:line: text`.
    pub line: Option<String>,
    /// What kind of change.
    pub kind: ChangeKind,
    /// What it is about: the name of a map, a function, a symbol; empty for CO-RE.
    pub symbol: String,
    /// Why, in one sentence.
    pub reason: String,
    /// What the compiler wrote.
    pub before: Code,
    /// What stands there now.
    pub after: Code,
    /// What is written there later, when it is known.
    pub later: Option<String>,
    /// For CO-RE: the question and the answer.
    pub core: Option<Core>,
}

impl Linked {
    /// How many instructions became others, and how many were looked at and are right as they are.
    pub fn changed(&self) -> (usize, usize) {
        let changed = self.changes.iter().filter(|change| change.before.bytes != change.after.bytes).count();
        (changed, self.changes.len().saturating_sub(changed))
    }
}

/// What kind of change an instruction went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It refers to a map.
    Map,
    /// It refers to a place in a map's value.
    MapValue,
    /// It calls a subprogram.
    Call,
    /// It takes a subprogram's address.
    FunctionAddress,
    /// It refers to something outside of the object.
    Extern,
    /// It was fitted to the kernel's types.
    Core,
    /// It cannot work on this kernel, and must not be reached.
    Poison,
    /// It calls another helper than the compiler wrote.
    Helper,
}

/// One instruction, in two forms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Code {
    /// Its bytes, as hexadecimal digits.
    pub bytes: String,
    /// Disassembled.
    pub text: String,
}
