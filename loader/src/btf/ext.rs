//! `.BTF.ext`: which function starts at which instruction, and which source line made it.
//!
//! Offsets in the section are **bytes** from the start of the code section that the records belong to.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::BtfError;
use super::parse::MAGIC;
use super::types::{Btf, StrOff, TypeId};
use crate::bytes::{Endian, Reader, Truncated, to_usize};
use crate::insn::ByteOff;

/// The records of `.BTF.ext`, by name of the code section and then by position.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BtfExt {
    /// Where each function starts.
    pub funcs: BTreeMap<String, Vec<FuncInfo>>,
    /// Where each line's code starts.
    pub lines: BTreeMap<String, Vec<LineInfo>>,
    /// Instructions that depend on types (CO-RE).
    pub core_relos: BTreeMap<String, Vec<CoreRelo>>,
}

/// A function's start. Source: `struct bpf_func_info`. Since: Linux 5.0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncInfo {
    /// **Bytes** from the section's start.
    pub at: ByteOff,
    /// Its `BTF_KIND_FUNC`.
    pub ty: TypeId,
}

/// A source line. Source: `struct bpf_line_info`. Since: Linux 5.0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineInfo {
    /// **Bytes** from the section's start.
    pub at: ByteOff,
    /// Name of the source file.
    pub file: StrOff,
    /// Text of the line.
    pub line: StrOff,
    /// Line number in the upper 22 bits, column in the lower 10, both from 1.
    pub line_col: u32,
}

/// An instruction that depends on types. Source: `struct bpf_core_relo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreRelo {
    /// **Bytes** from the section's start.
    pub at: ByteOff,
    /// The type in the object's BTF.
    pub ty: TypeId,
    /// Which part of it: member numbers with colons between them.
    pub access: StrOff,
    /// What is asked about it. Source: `enum bpf_core_relo_kind`.
    pub kind: u32,
}

impl CoreRelo {
    /// `BPF_CORE_TYPE_ID_LOCAL`: the type's own number.
    const TYPE_ID_LOCAL: u32 = 6;

    /// Whether the instruction depends on the types of the kernel that it will run on.
    pub const fn needs_target(&self) -> bool {
        self.kind != Self::TYPE_ID_LOCAL
    }
}

impl LineInfo {
    /// Line number, from 1.
    pub const fn number(self) -> u32 {
        self.line_col >> 10
    }

    /// Column, from 1.
    pub const fn column(self) -> u32 {
        self.line_col & 0x3ff
    }
}

impl BtfExt {
    /// Whether code may depend on types (CO-RE), as far as the header of the section `.BTF.ext` tells: what cannot be read
    /// may say anything.
    pub fn may_ask(data: &[u8], endian: Endian) -> bool {
        core_relo_len(data, endian) != Some(0)
    }

    /// Reads the section `.BTF.ext`; section names stand in `btf`.
    ///
    /// Source: `struct btf_ext_header`, `struct btf_ext_info_sec`. Record fields beyond those known are skipped.
    ///
    /// # Errors
    /// [`BtfError`]: cut off, not BTF, or with records that are too small.
    pub fn parse(data: &[u8], endian: Endian, btf: &Btf) -> Result<Self, BtfError> {
        let Tables { funcs, lines, core_relos } = tables(data, endian)?;
        Ok(Self {
            funcs: records(funcs, btf, "function", 8, |r, at| {
                Ok(FuncInfo { at, ty: TypeId(r.u32("function type")?) })
            })?,
            lines: records(lines, btf, "line", 16, |r, at| {
                let (file, line) = (StrOff(r.u32("file name")?), StrOff(r.u32("line text")?));
                Ok(LineInfo { at, file, line, line_col: r.u32("line number")? })
            })?,
            core_relos: records(core_relos, btf, "CO-RE", 16, |r, at| {
                let (ty, access) = (TypeId(r.u32("CO-RE type")?), StrOff(r.u32("CO-RE access")?));
                Ok(CoreRelo { at, ty, access, kind: r.u32("CO-RE kind")? })
            })?,
        })
    }
}

/// The three tables of the section, each beginning with the size of its records.
struct Tables<'d> {
    funcs: Reader<'d>,
    lines: Reader<'d>,
    core_relos: Reader<'d>,
}

/// **Bytes** of the header up to the fields for CO-RE, which early versions do not have.
const HEADER_WITHOUT_CORE: u32 = 24;

fn tables(data: &[u8], endian: Endian) -> Result<Tables<'_>, BtfError> {
    let mut r = Reader::new(data, endian);
    let magic = r.u16("magic number")?;
    if magic != MAGIC {
        return Err(BtfError::Magic { section: ".BTF.ext", found: magic });
    }
    r.u16("version and flags")?;
    let header = r.u32(".BTF.ext header length")?;
    let (func_off, func_len) = (r.u32("function info offset")?, r.u32("function info length")?);
    let (line_off, line_len) = (r.u32("line info offset")?, r.u32("line info length")?);
    let (core_off, core_len) =
        if header > HEADER_WITHOUT_CORE { (r.u32("CO-RE offset")?, r.u32("CO-RE length")?) } else { (0, 0) };
    let mut body = Reader::new(data, endian);
    body.bytes(to_usize(header), ".BTF.ext header")?;
    let body = body.sub(body.remaining(), "records")?;
    Ok(Tables {
        funcs: body.range(func_off, func_len, "function info")?,
        lines: body.range(line_off, line_len, "line info")?,
        core_relos: body.range(core_off, core_len, "CO-RE info")?,
    })
}

fn records<T>(
    mut r: Reader<'_>,
    btf: &Btf,
    what: &'static str,
    known: u32,
    read: impl Fn(&mut Reader<'_>, ByteOff) -> Result<T, Truncated>,
) -> Result<BTreeMap<String, Vec<T>>, BtfError> {
    let mut by_section: BTreeMap<String, Vec<(ByteOff, T)>> = BTreeMap::new();
    if r.is_empty() {
        return Ok(BTreeMap::new());
    }
    let size = r.u32("record size")?;
    if size < known {
        return Err(BtfError::RecordSize { what, size, expected: known });
    }
    while !r.is_empty() {
        let section = btf.string(StrOff(r.u32("section name")?)).into_owned();
        let count = r.u32("record count")?;
        let list = by_section.entry(section).or_default();
        for _ in 0..count {
            let mut record = r.sub(to_usize(size), what)?;
            let at = ByteOff(record.u32("instruction offset")?);
            list.push((at, read(&mut record, at)?));
        }
    }
    Ok(by_section.into_iter().map(|(section, list)| (section, in_order(list))).collect())
}

fn in_order<T>(mut list: Vec<(ByteOff, T)>) -> Vec<T> {
    list.sort_by_key(|(at, _)| *at);
    list.into_iter().map(|(_, record)| record).collect()
}
/// **Bytes** of CO-RE records by the header; `None` if it cannot be read. One that ends before it speaks of them is of a
/// time that knew none.
fn core_relo_len(data: &[u8], endian: Endian) -> Option<u32> {
    let mut header = Reader::new(data, endian);
    let magic = header.u16("magic number").ok()?;
    header.u16("version and flags").ok()?;
    let len = header.u32("header length").ok()?;
    if magic != MAGIC || len <= HEADER_WITHOUT_CORE {
        return (magic == MAGIC).then_some(0);
    }
    // Behind what was read stand where the three tables begin and how long they are; this is the last length.
    header.bytes(20, "header").ok()?;
    header.u32("length of CO-RE records").ok()
}
