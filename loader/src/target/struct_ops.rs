//! Tables of functions that the kernel calls: from the object's structure to the kernel's.
//!
//! The kernel's structure may have its members elsewhere, more of them, or lack some; members go by name. A member that
//! the kernel does not have is left out if it is zero, or a function.
//!
//! Source: libbpf `bpf_map__init_kern_struct_ops`.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::attach::{Attach, AttachError};
use crate::btf::{Btf, Kind, KindSet, Member, TargetBtf, Type, TypeGraph, TypeId, Wanted, essential};
use crate::bytes::to_usize;
use crate::core_relo::{KernelTypes, Location};
use crate::spec::{FuncId, MapId, MapSpec, ObjectSpec, ProgId};

/// A map of functions, as the kernel has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelOps {
    /// Type of the map's value: `struct bpf_struct_ops_NAME`.
    pub value: Location,
    /// The value, with zeroes where descriptors of programs go. Its length is the map's value size.
    pub data: Vec<u8>,
    /// Where descriptors of programs go, in **bytes** from the value's start.
    pub slots: Vec<(u32, ProgId)>,
}

/// Why a map of functions does not fit the kernel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StructOpsError {
    /// The kernel shows no types.
    #[error(
        "the kernel shows no types to find struct {name} in (needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF)"
    )]
    NoTypes {
        /// The structure.
        name: String,
    },
    /// The kernel has no such table.
    #[error(
        "neither the kernel nor its modules have struct {name}, which programs could implement struct {ops} by"
    )]
    NotFound {
        /// The wrapper that is looked for.
        name: String,
        /// The object's structure.
        ops: String,
    },
    /// The kernel's table is larger than any that there is.
    #[error("the kernel's struct {name} has {size} bytes, which no such table has: its types are damaged")]
    TooLarge {
        /// The structure.
        name: String,
        /// Its size in **bytes**.
        size: u32,
    },
    /// A member does not fit.
    #[error("member {member}: {why}")]
    Member {
        /// The member.
        member: String,
        /// Why.
        why: String,
    },
}

/// Most **bytes** of a table. Those that there are have some hundred.
const MOST_BYTES: u32 = 1 << 20;

/// What the kernel puts before the name of a structure for its map's value.
const WRAPPER: &[u8] = b"bpf_struct_ops_";

fn all(spec: &ObjectSpec) -> impl Iterator<Item = (MapId, &MapSpec)> {
    let maps = spec.maps.iter().enumerate().map(|(at, map)| (MapId::new(at), map));
    maps.filter(|(_, map)| map.struct_ops.is_some())
}

/// Name of the structure that a map implements, without its flavour.
fn name_of<'b>(btf: &'b Btf, map: &MapSpec) -> &'b [u8] {
    btf.get(map.value_type).map(|ty| essential(btf.bytes_at(ty.name))).unwrap_or_default()
}

/// Adds the names of the kernel's structures.
pub(super) fn wanted(spec: &ObjectSpec, wanted: &mut Wanted) {
    let Some(btf) = &spec.btf else {
        return;
    };
    for (_, map) in all(spec) {
        let name = name_of(btf, map);
        wanted.add(name, KindSet::STRUCT);
        wanted.add(&[WRAPPER, name].concat(), KindSet::STRUCT);
    }
}

/// What all such maps look like in the kernel, and where that puts their programs.
pub(super) fn answer(
    spec: &ObjectSpec,
    kernel: &KernelTypes<'_>,
    attach: &mut BTreeMap<ProgId, Result<Attach, AttachError>>,
) -> BTreeMap<MapId, Result<KernelOps, StructOpsError>> {
    let Some(btf) = &spec.btf else {
        return BTreeMap::new();
    };
    let by_func: BTreeMap<FuncId, ProgId> =
        spec.programs.iter().enumerate().map(|(at, program)| (program.func, ProgId::new(at))).collect();
    let mut answers = BTreeMap::new();
    for (id, map) in all(spec) {
        let answer = Fitting::new(btf, map, kernel).and_then(|fitting| {
            let fitted = fitting.fit(&by_func)?;
            for (program, why) in fitted.attach {
                let before = attach.insert(program, why.clone());
                // The first map counts, unless the kernel cannot call the program from there.
                match (before, why) {
                    (Some(Ok(before)), Ok(now)) if before != now => {
                        let other = format!(
                            "program {:?} is in two different places of such maps",
                            spec_name(spec, program)
                        );
                        return Err(StructOpsError::Member { member: map.name.to_string(), why: other });
                    }
                    (Some(Ok(before)), Err(_)) => {
                        attach.insert(program, Ok(before));
                    }
                    _ => {}
                }
            }
            Ok(fitted.ops)
        });
        answers.insert(id, answer);
    }
    answers
}

fn spec_name(spec: &ObjectSpec, id: ProgId) -> &str {
    spec.program(id).map_or("?", |program| &program.name)
}

/// A map and the kernel's structure that it is to become.
struct Fitting<'a> {
    btf: &'a Btf,
    map: &'a MapSpec,
    module: Option<usize>,
    target: &'a TargetBtf<'a>,
    /// The kernel's structure, and its members.
    ops: TypeId,
    members: Vec<Member>,
    /// The structure of the value, its size, and where `ops` stands in it, both in **bytes**.
    value: TypeId,
    size: u32,
    offset: u32,
}

/// What came out.
struct Fitted {
    ops: KernelOps,
    attach: Vec<(ProgId, Result<Attach, AttachError>)>,
}

impl<'a> Fitting<'a> {
    fn new(btf: &'a Btf, map: &'a MapSpec, kernel: &'a KernelTypes<'a>) -> Result<Self, StructOpsError> {
        let name = name_of(btf, map);
        let wrapper = [WRAPPER, name].concat();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if kernel.vmlinux.is_none() {
            return Err(StructOpsError::NoTypes { name: text(&wrapper) });
        }
        let not_found = || StructOpsError::NotFound { name: text(&wrapper), ops: text(name) };
        let found = kernel
            .all()
            .find_map(|(module, target)| Some((module, target, target.find(&wrapper, Kind::is_struct)?)));
        let (module, target, value) = found.ok_or_else(not_found)?;
        // A module's table may use a structure of the kernel's own.
        let ops = target.find(name, Kind::is_struct);
        let ops = ops.or_else(|| kernel.vmlinux?.find(name, Kind::is_struct)).ok_or_else(not_found)?;
        let (members, _) = structure(target, ops).ok_or_else(not_found)?;
        let (outer, size) = structure(target, value).ok_or_else(not_found)?;
        let inner = outer.iter().find(|member| member.ty == ops).ok_or_else(not_found)?;
        if size > MOST_BYTES {
            return Err(StructOpsError::TooLarge { name: text(&wrapper), size });
        }
        Ok(Self { btf, map, module, target, ops, members, value, size, offset: inner.bit_offset / 8 })
    }

    fn fit(&self, by_func: &BTreeMap<FuncId, ProgId>) -> Result<Fitted, StructOpsError> {
        let value = Location { module: self.module, id: self.value };
        let mut ops = KernelOps { value, data: vec![0; to_usize(self.size)], slots: Vec::new() };
        let mut attach = Vec::new();
        let (own, _) = structure(self.btf, self.map.value_type).unwrap_or_default();
        let programs = self.map.struct_ops.as_ref().map(|ops| ops.programs.as_slice()).unwrap_or_default();
        for (index, member) in (0u32..).zip(&own) {
            let name = self.btf.text(member.name);
            let wrong = |why: &str| StructOpsError::Member { member: name.to_string(), why: why.to_string() };
            let func = programs.iter().find(|(of, _)| *of == index).map(|(_, func)| *func);
            let program = func.and_then(|func| by_func.get(&func)).copied();
            if func.is_some() && program.is_none() {
                return Err(wrong("its function is no program of a struct_ops section"));
            }
            let bytes = self.bytes_of(member).ok_or_else(|| wrong("its type has no size"))?;
            let Some((number, kernel)) = self.member_named(member) else {
                match program {
                    Some(program) => attach.push((program, Err(self.no_member(&name)))),
                    None if bytes.iter().all(|byte| *byte == 0) => {}
                    None => return Err(wrong("the kernel's structure does not have it, and it is not zero")),
                }
                continue;
            };
            let place = self.offset.saturating_add(kernel.bit_offset / 8);
            self.same_kind(member, kernel).map_err(&wrong)?;
            if let Some(program) = program {
                ops.slots.push((place, program));
                let at = Location { module: self.module, id: self.ops };
                attach.push((program, Ok(Attach { at, member: Some(number), of_program: false })));
                continue;
            }
            let room = ops.data.get_mut(to_usize(place)..).and_then(|room| room.get_mut(..bytes.len()));
            room.ok_or_else(|| wrong("the kernel's structure is shorter"))?.copy_from_slice(bytes);
        }
        Ok(Fitted { ops, attach })
    }

    fn no_member(&self, member: &str) -> AttachError {
        let name = String::from_utf8_lossy(name_of(self.btf, self.map)).into_owned();
        AttachError::NoMember { structure: name, member: member.to_string() }
    }

    /// What the object puts into a member.
    fn bytes_of(&self, member: &Member) -> Option<&[u8]> {
        let (start, len) = (to_usize(member.bit_offset / 8), to_usize(self.btf.size_of(member.ty)?));
        self.map.data.as_deref()?.get(start..start.checked_add(len)?)
    }

    fn member_named(&self, own: &Member) -> Option<(u32, &Member)> {
        let name = self.btf.bytes_at(own.name);
        (0u32..).zip(&self.members).find(|(_, member)| self.target.bytes_at(member.name) == name)
    }

    /// Data can be copied and functions put in if both members are of one kind, and data of one size.
    fn same_kind(&self, own: &Member, kernel: &Member) -> Result<(), &'static str> {
        if own.bit_size != 0 || kernel.bit_size != 0 {
            return Err("bitfields are not supported");
        }
        let (a, b) = (self.btf.behind(own.ty), self.target.behind(kernel.ty));
        let (Some((_, a)), Some((_, b))) = (a, b) else {
            return Err("its type does not exist");
        };
        if core::mem::discriminant(&a.kind) != core::mem::discriminant(&b.kind) {
            return Err("it is of another kind of type in the kernel");
        }
        let sizes = (self.btf.size_of(own.ty), self.target.size_of(kernel.ty));
        if !matches!(a.kind, Kind::Ptr(_)) && sizes.0 != sizes.1 {
            return Err("it has another size in the kernel");
        }
        Ok(())
    }
}

/// Members and size in **bytes** of a structure.
fn structure(graph: &dyn TypeGraph, id: TypeId) -> Option<(Vec<Member>, u32)> {
    let ty: Cow<'_, Type> = graph.ty(id)?;
    match &ty.kind {
        Kind::Composite { union: false, members, size, .. } => Some((members.clone(), *size)),
        _ => None,
    }
}
