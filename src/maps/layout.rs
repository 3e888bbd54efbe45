//! How the bytes of a map's keys and values are to be read: by its types, by its kind, or as bytes. Pure.

use rxdp_loader::btf::value::{Field, Value, read};
use rxdp_loader::btf::{Btf, Kind, TypeGraph, TypeId};
use rxdp_loader::bytes::Endian;
use rxdp_loader::sys::MapInfo;
use rxdp_loader::uapi::MapType;

/// What bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// As this type says.
    Typed(TypeId),
    /// A number in this machine's order, since nobody says more and it has the size of one.
    Number,
    /// Nobody says anything.
    Bytes,
    /// The key of an LPM trie: a length in bits, and so many bits.
    Prefix,
    /// The id of a program.
    Program,
    /// The id of a map.
    Map,
    /// An interface, and the id of a program that runs behind a redirect to it.
    Device,
    /// The length of a CPU's queue, and the id of a program that runs on it.
    Cpu,
}

/// How a map's entries look.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Layout {
    /// Name of the map.
    pub(crate) map: String,
    pub(crate) ty: MapType,
    /// Sizes in **bytes**.
    pub(crate) key_size: usize,
    pub(crate) value_size: usize,
    /// Most entries.
    pub(crate) max_entries: u32,
    pub(crate) types: Btf,
    pub(crate) key: Shape,
    pub(crate) value: Shape,
}

/// Types of a map's keys and values, with the numbers that mean them.
pub(crate) type Types = (Btf, TypeId, TypeId);

/// What the values of some kinds of maps are, whatever anybody says.
const BY_KIND: &[(MapType, Shape)] = &[
    (MapType::PROG_ARRAY, Shape::Program),
    (MapType::ARRAY_OF_MAPS, Shape::Map),
    (MapType::HASH_OF_MAPS, Shape::Map),
    (MapType::DEVMAP, Shape::Device),
    (MapType::DEVMAP_HASH, Shape::Device),
    (MapType::CPUMAP, Shape::Cpu),
];

/// Maps whose keys are the numbers below their size.
const NUMBERED: &[MapType] = &[
    MapType::ARRAY,
    MapType::PERCPU_ARRAY,
    MapType::PROG_ARRAY,
    MapType::PERF_EVENT_ARRAY,
    MapType::CGROUP_ARRAY,
    MapType::ARRAY_OF_MAPS,
    MapType::DEVMAP,
    MapType::DEVMAP_HASH,
    MapType::CPUMAP,
    MapType::SOCKMAP,
    MapType::XSKMAP,
    MapType::REUSEPORT_SOCKARRAY,
    MapType::STRUCT_OPS,
];

/// Maps that user space cannot look into, and why.
const CLOSED: &[(MapType, &str)] = &[
    (MapType::RINGBUF, "it is a stream, and whoever reads it takes away what its reader waits for"),
    (MapType::USER_RINGBUF, "it is a stream that only programs read"),
    (MapType::PERF_EVENT_ARRAY, "its slots are events, which the kernel does not tell"),
    (MapType::CGROUP_ARRAY, "its slots are cgroups, which the kernel does not tell"),
    (MapType::XSKMAP, "its slots are sockets, which the kernel does not tell"),
    (MapType::BLOOM_FILTER, "it says only whether something was put in, not what"),
    (MapType::SK_STORAGE, "its keys are sockets of other processes"),
    (MapType::INODE_STORAGE, "its keys are files"),
    (MapType::TASK_STORAGE, "its keys are tasks"),
    (MapType::CGRP_STORAGE, "its keys are cgroups"),
    (MapType::ARENA, "it is memory without entries"),
    (MapType::INSN_ARRAY, "its slots are places in the code of a program"),
];

impl Layout {
    /// How the entries of a map look, with the types that came with it. With `hex`, everything is bytes.
    pub(crate) fn new(info: &MapInfo, types: Option<Types>, hex: bool) -> Self {
        let (key_size, value_size) = (size(info.key_size), size(info.value_size));
        let (types, key, value) = types.unwrap_or((NO_TYPES, TypeId(0), TypeId(0)));
        let fits = |ty: TypeId, len: usize| ty != TypeId(0) && types.size_of(ty).map(size) == Some(len);
        // An array without a length at the end of a structure makes the value larger than its type.
        let begins = |ty: TypeId, len| {
            ty != TypeId(0) && types.size_of(ty).is_some_and(|s| size(s) <= len) && ends_open(&types, ty)
        };
        let typed = |ty, len| (fits(ty, len) || begins(ty, len)).then_some(Shape::Typed(ty));
        let by_kind = BY_KIND.iter().find(|(kind, _)| *kind == info.ty).map(|(_, shape)| *shape);
        let is_number = |len| matches!(len, 1 | 2 | 4 | 8);
        let untyped_key = match info.ty {
            ty if NUMBERED.contains(&ty) => Shape::Number,
            MapType::LPM_TRIE => Shape::Prefix,
            _ => Shape::Bytes,
        };
        let address = types.resolved(key).map(Kind::members).is_some_and(|members| members.len() == 2);
        let key_shape = match info.ty {
            // With more than one thing behind the length it is no address.
            MapType::LPM_TRIE if key == TypeId(0) || address => Shape::Prefix,
            _ => typed(key, key_size).unwrap_or(untyped_key),
        };
        let value_shape = by_kind.or_else(|| typed(value, value_size)).unwrap_or(if is_number(value_size) {
            Shape::Number
        } else {
            Shape::Bytes
        });
        let (key, value) = if hex { (Shape::Bytes, Shape::Bytes) } else { (key_shape, value_shape) };
        Self {
            map: info.name.clone(),
            ty: info.ty,
            key_size,
            value_size,
            max_entries: info.max_entries,
            types,
            key,
            value,
        }
    }

    /// Why user space cannot look into it, if so.
    pub(crate) fn closed(&self) -> Option<&'static str> {
        CLOSED.iter().find(|(ty, _)| *ty == self.ty).map(|(_, why)| *why)
    }

    /// Whether its keys are the numbers below its size.
    pub(crate) fn is_numbered(&self) -> bool {
        NUMBERED.contains(&self.ty) && self.ty != MapType::DEVMAP_HASH
    }

    /// Whether keys are always there, so that an entry that is all zeroes says little.
    pub(crate) fn is_array(&self) -> bool {
        matches!(self.ty, MapType::ARRAY | MapType::PERCPU_ARRAY)
    }

    /// Whether it has no keys: only what is next can be seen.
    pub(crate) fn is_queue(&self) -> bool {
        matches!(self.ty, MapType::QUEUE | MapType::STACK)
    }

    /// The bytes of a value as a tree.
    pub(crate) fn tree(&self, bytes: &[u8]) -> Value {
        self.read(self.value, bytes)
    }

    /// The bytes of a key as a tree.
    pub(crate) fn key_tree(&self, bytes: &[u8]) -> Value {
        self.read(self.key, bytes)
    }

    fn read(&self, shape: Shape, bytes: &[u8]) -> Value {
        let word = |at: usize| number(bytes.get(at..).and_then(|rest| rest.get(..4)).unwrap_or_default());
        let pair = |first: &str, second: &str| {
            let mut fields = vec![Field { name: first.to_string(), value: word(0) }];
            if bytes.len() >= 8 {
                fields.push(Field { name: second.to_string(), value: word(4) });
            }
            Value::Fields(fields)
        };
        match shape {
            Shape::Typed(ty) => {
                read(&self.types, ty, bytes, Endian::NATIVE).unwrap_or_else(|_| Value::Bytes(bytes.to_vec()))
            }
            Shape::Number | Shape::Program | Shape::Map => number(bytes),
            Shape::Bytes | Shape::Prefix => Value::Bytes(bytes.to_vec()),
            Shape::Device => pair("ifindex", "program"),
            Shape::Cpu => pair("qsize", "program"),
        }
    }
}

/// Types of a map without any.
const NO_TYPES: Btf = Btf { types: Vec::new(), strings: Vec::new() };

/// Whether a structure ends with an array that has no length.
fn ends_open(types: &Btf, ty: TypeId) -> bool {
    let last = types.resolved(ty).and_then(|kind| kind.members().last());
    last.and_then(|member| types.resolved(member.ty))
        .is_some_and(|kind| matches!(kind, Kind::Array { len: 0, .. }))
}

/// A number in this machine's order.
fn number(bytes: &[u8]) -> Value {
    let add = |sum: u128, byte: &u8| sum << 8 | u128::from(*byte);
    Value::Unsigned(match Endian::NATIVE {
        Endian::Little => bytes.iter().rev().fold(0, add),
        Endian::Big => bytes.iter().fold(0, add),
    })
}

fn size(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use rxdp_loader::btf::{Member, StrOff, Type};
    use rxdp_loader::uapi::MapFlags;

    use super::*;

    pub(crate) fn info(ty: MapType, key_size: u32, value_size: u32) -> MapInfo {
        let (name, flags) = ("m".to_string(), MapFlags::empty());
        MapInfo { id: 1, name, ty, key_size, value_size, max_entries: 4, flags, map_extra: 0 }
    }

    /// 1: u32, 2: { u32 a; }, 3: { u32 a; u32 b; }, 4: u32[0], 5: { u32 a; u32 b[]; }
    pub(crate) fn types() -> Btf {
        let member = |ty, at| Member { name: StrOff(1), ty: TypeId(ty), bit_offset: at, bit_size: 0 };
        let of = |size, members| Kind::Composite { union: false, size, members, bitfields: false };
        let kinds = [
            Kind::Void,
            Kind::Int { size: 4, detail: 32 },
            of(4, vec![member(1, 0)]),
            of(8, vec![member(1, 0), member(1, 32)]),
            Kind::Array { element: TypeId(1), index: TypeId(1), len: 0 },
            of(4, vec![member(1, 0), member(4, 32)]),
        ];
        Btf {
            types: kinds.into_iter().map(|kind| Type { name: StrOff(0), kind }).collect(),
            strings: b"\0a\0".to_vec(),
        }
    }

    #[test]
    fn kind_goes_before_types_and_types_before_sizes() {
        let shapes = |ty, key, value, types: Option<Types>| {
            let layout = Layout::new(&info(ty, key, value), types, false);
            (layout.key, layout.value)
        };
        let with = |key, value| Some((types(), TypeId(key), TypeId(value)));
        let typed = |ty| Shape::Typed(TypeId(ty));
        assert_eq!(shapes(MapType::HASH, 4, 8, None), (Shape::Bytes, Shape::Number));
        assert_eq!(shapes(MapType::HASH, 4, 6, None), (Shape::Bytes, Shape::Bytes));
        assert_eq!(shapes(MapType::ARRAY, 4, 8, None), (Shape::Number, Shape::Number));
        assert_eq!(shapes(MapType::HASH, 4, 8, with(1, 3)), (typed(1), typed(3)));
        assert_eq!(shapes(MapType::PROG_ARRAY, 4, 4, with(1, 1)), (typed(1), Shape::Program));
        // Types of another size are of something else.
        assert_eq!(shapes(MapType::HASH, 8, 16, with(1, 3)), (Shape::Bytes, Shape::Bytes));
        assert_eq!(shapes(MapType::HASH, 4, 16, with(1, 5)), (typed(1), typed(5)));
        assert_eq!(shapes(MapType::LPM_TRIE, 8, 4, with(3, 1)).0, Shape::Prefix);
        assert_eq!(shapes(MapType::LPM_TRIE, 4, 4, with(2, 1)).0, typed(2));
        assert_eq!(Layout::new(&info(MapType::HASH, 4, 8), with(1, 3), true).value, Shape::Bytes);
    }

    #[test]
    fn values_are_read_by_their_shape() {
        let tree = |ty, bytes: &[u8]| {
            let size = u32::try_from(bytes.len()).unwrap();
            Layout::new(&info(ty, 4, size), None, false).tree(bytes).to_string()
        };
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(tree(MapType::HASH, &7u64.to_ne_bytes()), "7");
        assert_eq!(tree(MapType::HASH, &[1, 2, 3]), "01:02:03");
        assert_eq!(tree(MapType::DEVMAP, &words(&[3, 9])), "{ifindex = 3, program = 9}");
        assert_eq!(tree(MapType::DEVMAP, &words(&[3])), "{ifindex = 3}");
        assert_eq!(tree(MapType::CPUMAP, &words(&[192, 0])), "{qsize = 192, program = 0}");
    }

    #[test]
    fn closed_maps_are_no_numbered_ones_that_can_be_read() {
        assert!(Layout::new(&info(MapType::RINGBUF, 0, 0), None, false).closed().is_some());
        assert!(Layout::new(&info(MapType::LRU_HASH, 4, 4), None, false).closed().is_none());
    }
}
