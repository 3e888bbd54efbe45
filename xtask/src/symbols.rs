//! Symbol tables as compilers of old wrote them. No tool takes the types out, and no clang of today leaves them out.
//!
//! Source: `Elf64_Sym`, elf(5).

use object::elf::{FileHeader64, SHT_SYMTAB};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader as _, SectionHeader as _};

/// **Bytes** of a symbol: name (4), binding and type (1), visibility (1), section (2), value (8), size (8).
const SYMBOL: usize = 24;
const INFO: usize = 4;
const SIZE: usize = 16;

const STT_NOTYPE: u8 = 0;
const STT_OBJECT: u8 = 1;
const STT_FUNC: u8 = 2;

/// What a symbol table is to lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Functions become `STT_NOTYPE`.
    FunctionTypes,
    /// Functions and variables become `STT_NOTYPE`, and no symbol has a size: only where each one starts is left.
    TypesAndSizes,
}

/// Takes it out of a little-endian 64-bit object.
///
/// # Errors
/// If the bytes are no such object.
pub fn forget(what: Forget, object: &mut [u8]) -> Result<(), object::read::Error> {
    let table = symbol_table(object)?;
    let symbols = object.get_mut(table).unwrap_or_default();
    for symbol in symbols.chunks_exact_mut(SYMBOL) {
        let (head, size) = symbol.split_at_mut(SIZE);
        if let Some(info) = head.get_mut(INFO) {
            *info = untyped(what, *info);
        }
        if what == Forget::TypesAndSizes {
            size.fill(0);
        }
    }
    Ok(())
}

/// Where it lies, in **bytes**.
fn symbol_table(object: &[u8]) -> Result<std::ops::Range<usize>, object::read::Error> {
    let header = FileHeader64::<LittleEndian>::parse(object)?;
    let sections = header.section_headers(LittleEndian, object)?;
    let table = sections.iter().find(|section| section.sh_type(LittleEndian) == SHT_SYMTAB);
    let range = table.and_then(|table| table.file_range(LittleEndian));
    let bound = |at| usize::try_from(at).unwrap_or(usize::MAX);
    Ok(range.map_or(0..0, |(start, len)| bound(start)..bound(start.saturating_add(len))))
}

/// `st_info`: the binding above, the type in the low four bits.
fn untyped(what: Forget, info: u8) -> u8 {
    let (binding, kind) = (info & 0xf0, info & 0x0f);
    let goes = kind == STT_FUNC || (kind == STT_OBJECT && what == Forget::TypesAndSizes);
    binding | if goes { STT_NOTYPE } else { kind }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Type and size of each symbol, sections and the file aside.
    fn symbols(object: &[u8]) -> Vec<(u8, u64)> {
        let table = object[symbol_table(object).unwrap()].chunks(SYMBOL).skip(1);
        let facts = table.map(|s| (s[INFO] & 0x0f, u64::from_le_bytes(s[SIZE..].try_into().unwrap())));
        facts.filter(|(kind, _)| [STT_NOTYPE, STT_OBJECT, STT_FUNC].contains(kind)).collect()
    }

    #[test]
    fn what_is_forgotten_is_gone_and_the_rest_stays() {
        let object = fs::read(crate::root().join("tests/fixtures/calls-clang14.o")).unwrap();
        let after = |what| {
            let mut object = object.clone();
            forget(what, &mut object).unwrap();
            symbols(&object)
        };
        let before = symbols(&object);
        let kinds = |kind| before.iter().filter(|(found, _)| *found == kind).count();
        assert!(kinds(STT_FUNC) == 6 && kinds(STT_OBJECT) == 2, "{before:?}");

        let functions = |(kind, size)| (if kind == STT_FUNC { STT_NOTYPE } else { kind }, size);
        assert_eq!(after(Forget::FunctionTypes), before.iter().copied().map(functions).collect::<Vec<_>>());
        assert_eq!(after(Forget::TypesAndSizes), vec![(STT_NOTYPE, 0); before.len()]);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        forget(Forget::FunctionTypes, &mut [0; 64]).unwrap_err();
    }
}
