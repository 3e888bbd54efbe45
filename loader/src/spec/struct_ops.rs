//! `SEC(".struct_ops")`: a table of functions that the kernel calls, such as a congestion control.
//!
//! Each variable of the section is a map with one value. Members that point to functions are relocations to programs; the
//! other members are plain data. What the kernel's structure looks like is not known here.
//!
//! Source: libbpf `init_struct_ops_maps`, `bpf_object__collect_st_ops_relos`. Since: Linux 5.6.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::reloc::Directory;
use super::{FuncId, MapOrigin, MapSpec, SpecError, StructOps};
use crate::btf::{Btf, Kind, Member, TypeGraph};
use crate::bytes::to_usize;
use crate::elf::{self, ElfObject, Section};
use crate::uapi::{MapFlags, MapType};

/// The sections, without a leading `?`, and the flags of their maps.
const SECTIONS: &[(&str, MapFlags)] =
    &[(".struct_ops", MapFlags::empty()), (".struct_ops.link", MapFlags::LINK)];

/// A map, and where its variable stands in its section, in **bytes**.
#[derive(Debug)]
pub(super) struct Found<'e> {
    pub(super) section: &'e Section<'e>,
    pub(super) offset: u64,
    pub(super) spec: MapSpec,
}

/// All such maps of the object, by section and offset.
pub(super) fn maps<'e>(
    elf: &'e ElfObject<'e>,
    btf: Option<&Btf>,
    dir: &Directory,
) -> Result<Vec<Found<'e>>, SpecError> {
    let mut found = Vec::new();
    for section in &elf.sections {
        let Some(flags) = flags_of(section) else {
            continue;
        };
        let btf = btf.ok_or(SpecError::StructOpsWithoutBtf)?;
        let datasec = btf.find(section.name, |kind| matches!(kind, Kind::Datasec { .. }));
        let Some(Kind::Datasec { vars, .. }) = datasec.and_then(|id| btf.kind(id)) else {
            return Err(SpecError::StructOpsWithoutBtf);
        };
        let mut end = 0;
        for var in vars {
            let spec = variable(elf, btf, dir, section, *var)?;
            if var.offset < end {
                return Err(SpecError::StructOps {
                    map: spec.name.to_string(),
                    section: section.name.into(),
                    why: "it lies in another variable of its section".to_string(),
                });
            }
            end = var.offset.saturating_add(spec.value_size);
            found.push(Found { section, offset: var.offset.into(), spec: MapSpec { flags, ..spec } });
        }
    }
    Ok(found)
}

/// Flags of the maps of a section; `None` if it holds none of these.
pub(super) fn flags_of(section: &Section<'_>) -> Option<MapFlags> {
    let name = section.name.strip_prefix('?').unwrap_or(section.name);
    let known = SECTIONS.iter().find(|(known, _)| *known == name).filter(|_| section.size > 0);
    known.map(|(_, flags)| *flags)
}

fn variable(
    elf: &ElfObject<'_>,
    btf: &Btf,
    dir: &Directory,
    section: &Section<'_>,
    var: crate::btf::SecVar,
) -> Result<MapSpec, SpecError> {
    let name = btf.name(var.var).into_owned();
    let wrong = |why: &str| SpecError::StructOps {
        map: name.clone(),
        section: section.name.into(),
        why: why.to_string(),
    };
    let Some(Kind::Var { ty, .. }) = btf.kind(var.var) else {
        return Err(wrong("it is no variable"));
    };
    let (ty, structure) = btf.behind(*ty).ok_or_else(|| wrong("its type does not exist"))?;
    let Kind::Composite { union: false, size, members, .. } = &structure.kind else {
        return Err(wrong("its type is no structure"));
    };
    if btf.bytes_at(structure.name).is_empty() {
        return Err(wrong("its type has no name to be found by in the kernel"));
    }
    let (start, len) = (to_usize(var.offset), to_usize(*size));
    let data = start.checked_add(len).and_then(|end| section.data.get(start..end));
    let data = data.ok_or_else(|| wrong("it reaches beyond its section"))?;
    let mut programs = Vec::new();
    let from = section.relocs.partition_point(|raw| raw.offset < var.offset.into());
    for raw in section.relocs.get(from..).unwrap_or_default() {
        let inside = raw.offset.saturating_sub(var.offset.into());
        if inside >= u64::from(*size) {
            break;
        }
        let (member, func) = function(elf, btf, dir, raw, inside, members).map_err(|why| wrong(&why))?;
        programs.push((member, func));
    }
    Ok(MapSpec {
        ty: MapType::STRUCT_OPS,
        key_size: 4,
        value_size: *size,
        max_entries: 1,
        value_type: ty,
        data: Some(data.to_vec()),
        struct_ops: Some(StructOps { programs }),
        ..MapSpec::new(&name, section.name, MapOrigin::Btf)
    })
}

/// The member that a relocation is for, and the function that it points to.
fn function(
    elf: &ElfObject<'_>,
    btf: &Btf,
    dir: &Directory,
    raw: &elf::Reloc,
    inside: u64,
    members: &[Member],
) -> Result<(u32, FuncId), String> {
    let is_at = |member: &Member| u64::from(member.bit_offset) == inside.saturating_mul(8);
    let member = members.iter().position(is_at).ok_or("a relocation is for no member")?;
    let points_to = members.get(member).and_then(|member| btf.resolved(btf.resolved(member.ty)?.pointee()?));
    if !matches!(points_to, Some(Kind::FuncProto { .. })) {
        return Err("a relocation is for a member that is no pointer to a function".into());
    }
    let symbol = elf.symbol(raw.symbol).ok_or("a relocation's symbol does not exist")?;
    let elf::Place::Section(section) = symbol.place else {
        return Err(alloc::format!("{:?} is no function of this object", symbol.name));
    };
    let at = symbol.value.checked_add_signed(raw.addend).ok_or("a relocation leads nowhere")?;
    let func = dir.functions.get(&(section, at)).copied();
    let func = func.ok_or_else(|| alloc::format!("{:?} is no function of this object", symbol.name))?;
    Ok((u32::try_from(member).unwrap_or(u32::MAX), func))
}
