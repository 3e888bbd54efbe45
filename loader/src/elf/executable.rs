//! Executables and libraries: where their functions begin, for programs that are to be called there.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{FileHeader, SectionHeader, Sym};

use super::ElfError;

/// Names of all functions of an executable or library, and where each begins, in **bytes** from the file's beginning.
///
/// Those of the full symbol table and of that for dynamic linking; a function may come twice.
///
/// # Errors
/// [`ElfError::Malformed`] if it is none, or damaged.
pub fn functions(bytes: &[u8]) -> Result<Vec<(String, u64)>, ElfError> {
    let none = |_| ElfError::malformed("file header", "not a 64-bit ELF file");
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(none)?;
    let endian = header.endian().map_err(none)?;
    let table = header.sections(endian, bytes).map_err(|e| ElfError::malformed("section table", e))?;
    let mut found = Vec::new();
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        let symbols = table.symbols(endian, bytes, kind);
        let symbols = symbols.map_err(|e| ElfError::malformed("symbol table", e))?;
        let functions = symbols.enumerate().filter(|(_, symbol)| symbol.st_type() == elf::STT_FUNC);
        found.extend(functions.filter_map(|(at, symbol)| {
            let name = symbols.symbol_name(endian, symbol).ok()?;
            let name = core::str::from_utf8(name).ok()?.to_string();
            // Those without a section are other files'.
            let section = table.section(symbols.symbol_section(endian, symbol, at).ok()??).ok()?;
            // Where its address is, seen from the section's.
            let inside = symbol.st_value(endian).checked_sub(section.sh_addr(endian))?;
            Some((name, inside.checked_add(section.sh_offset(endian))?))
        }));
    }
    Ok(found)
}
