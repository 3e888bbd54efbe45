//! The types of a kernel, from a file that somebody gave: as `/sys/kernel/btf/vmlinux` has them, or in the section `.BTF`
//! of an ELF file for any machine (`vmlinux` itself, a module, an object).

use alloc::borrow::Cow;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::FileHeader;

use super::compressed::Budget;
use super::{ElfError, data};

/// The bytes of the types in a file.
///
/// # Errors
/// [`ElfError`]: a damaged ELF file, or one without types. What is no ELF file is taken as it is.
pub fn types_of(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ElfError> {
    if bytes.is_empty() {
        return Err(ElfError::Empty);
    }
    if !bytes.starts_with(&elf::ELFMAG) {
        return Ok(Cow::Borrowed(bytes));
    }
    if bytes.get(4) == Some(&elf::ELFCLASS32.0) {
        return Err(ElfError::NotElf64);
    }
    let malformed = |e| ElfError::malformed("file header", e);
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(malformed)?;
    let endian = header.endian().map_err(malformed)?;
    let table = header.sections(endian, bytes).map_err(|e| ElfError::malformed("section table", e))?;
    for raw in table.iter() {
        if table.section_name(endian, raw) == Ok(b".BTF") {
            return data(&table, endian, ".BTF", raw, bytes, &mut Budget::new());
        }
    }
    Err(ElfError::NoTypes)
}
