//! Global variables: each section of data becomes a map with one value, which holds the whole section.
//!
//! Source: libbpf `bpf_object__init_global_data_maps`, `internal_map_name`. Since: Linux 5.2.

use alloc::string::{String, ToString};

use super::{MapOrigin, MapSpec, SpecError};
use crate::btf::{Btf, Kind, Linkage, TypeId};
use crate::elf::{Content, Section};
use crate::uapi::{KernelName, MapFlags, MapType, OBJ_NAME_LEN};

/// Variables that stand at the beginning of the object's arena. Since: Linux 6.9.
///
/// libbpf 1.7 puts them at its end on kernels that take such offsets; the beginning works on all.
pub(super) const ARENA: &str = ".addr_space.1";

/// A family of data sections: `NAME` and `NAME.anything`.
struct Family {
    name: &'static str,
    content: Content,
    read_only: bool,
}

const FAMILIES: &[Family] = &[
    Family { name: ".data", content: Content::Bytes, read_only: false },
    Family { name: ".rodata", content: Content::Bytes, read_only: true },
    Family { name: ".bss", content: Content::Zeroes, read_only: false },
];

/// The map that this section becomes; `None` if it holds no variables.
pub(super) fn map(
    section: &Section<'_>,
    object: &str,
    btf: Option<&Btf>,
) -> Result<Option<MapSpec>, SpecError> {
    let Some(family) = FAMILIES.iter().find(|family| belongs(family, section)) else {
        return Ok(None);
    };
    let Ok(value_size) = u32::try_from(section.size) else {
        return Err(SpecError::SectionSize {
            section: section.name.into(),
            size: section.size,
            expected: "but a map's value holds less than 4 GiB",
        });
    };
    let value_type = btf.and_then(|btf| btf.find(section.name, |kind| matches!(kind, Kind::Datasec { .. })));
    let mut flags = MapFlags::empty();
    flags.set(MapFlags::RDONLY_PROG, family.read_only);
    flags.set(MapFlags::MMAPABLE, btf.zip(value_type).is_some_and(|(btf, ty)| has_visible_variable(btf, ty)));
    Ok(Some(MapSpec {
        ty: MapType::ARRAY,
        key_size: 4,
        value_size,
        max_entries: 1,
        flags,
        value_type: value_type.unwrap_or_default(),
        data: (family.content == Content::Bytes).then(|| section.data.to_vec()),
        frozen: family.read_only,
        ..MapSpec::new(&map_name(object, section.name), section.name, MapOrigin::Internal)
    }))
}

/// Whether a section's variables are constants; `None` if it holds no variables.
pub(super) fn read_only(section: &Section<'_>) -> Option<bool> {
    FAMILIES.iter().find(|family| belongs(family, section)).map(|family| family.read_only)
}

fn belongs(family: &Family, section: &Section<'_>) -> bool {
    let rest = section.name.strip_prefix(family.name);
    section.content == family.content
        && section.size > 0
        && !section.executable
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// User space may map the section into memory if it can name something in it.
fn has_visible_variable(btf: &Btf, section: TypeId) -> bool {
    let Some(Kind::Datasec { vars, .. }) = btf.kind(section) else {
        return false;
    };
    vars.iter()
        .any(|v| matches!(btf.kind(v.var), Some(Kind::Var { linkage, .. }) if *linkage != Linkage::STATIC))
}

/// `.rodata` becomes `OBJECT.rodata`, with so much of the object's name as fits; `.rodata.x` keeps its own name.
pub(super) fn map_name(object: &str, section: &str) -> String {
    if section.get(1..).is_some_and(|rest| rest.contains('.')) {
        return section.into();
    }
    // libbpf keeps room for 7 bytes of section name also where it is shorter.
    let room = OBJ_NAME_LEN.saturating_sub(1).saturating_sub(section.len().max(7));
    let mut name: String = object.chars().take(room).collect();
    name.push_str(section);
    KernelName::of(&name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_libbpfs() {
        assert_eq!(map_name("tail_kern", ".rodata"), "tail_ker.rodata");
        assert_eq!(map_name("tail_kern", ".bss"), "tail_ker.bss");
        assert_eq!(map_name("a-b", ".data"), "a_b.data");
        assert_eq!(map_name("tail_kern", ".rodata.str1.1"), ".rodata.str1.1");
    }
}
