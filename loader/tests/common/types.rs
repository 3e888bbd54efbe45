//! Types made in the test: what a kernel or a damaged object might have.

use rxdp_loader::btf::{Btf, Kind, Linkage, Member, Param, StrOff, TargetBtf, Type, TypeId};
use rxdp_loader::core_relo::KernelTypes;
use rxdp_loader::elf;
use rxdp_loader::link::{self, LinkedObject};
use rxdp_loader::spec::ObjectSpec;
use rxdp_loader::target::{self, Answers};

use super::{bytes_of, spec_of};

/// A graph of types under construction. Strings are written once each.
#[derive(Clone, Debug)]
pub(crate) struct Types(pub(crate) Btf);

impl Types {
    /// Nothing but `void`.
    pub(crate) fn new() -> Self {
        Self(Btf { types: vec![Type { name: StrOff(0), kind: Kind::Void }], strings: vec![0] })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.encode()
    }

    pub(crate) fn string(&mut self, text: &str) -> StrOff {
        let whole = [b"\0", text.as_bytes(), b"\0"].concat();
        if text.is_empty() {
            return StrOff(0);
        }
        let there = self.0.strings.windows(whole.len()).position(|window| window == whole);
        let at = there.map_or(self.0.strings.len(), |at| at + 1);
        if there.is_none() {
            self.0.strings.extend(&whole[1..]);
        }
        StrOff(u32::try_from(at).unwrap())
    }

    pub(crate) fn add(&mut self, name: &str, kind: Kind) -> TypeId {
        let name = self.string(name);
        self.push(name, kind)
    }

    pub(crate) fn push(&mut self, name: StrOff, kind: Kind) -> TypeId {
        self.0.types.push(Type { name, kind });
        TypeId(u32::try_from(self.0.types.len() - 1).unwrap())
    }

    /// The number that the next type gets.
    pub(crate) fn next(&self) -> TypeId {
        TypeId(u32::try_from(self.0.types.len()).unwrap())
    }

    /// An integer of so many **bytes**.
    pub(crate) fn int(&mut self, name: &str, size: u32, signed: bool) -> TypeId {
        self.add(name, Kind::Int { size, detail: u32::from(signed) << 24 | (size * 8) })
    }

    pub(crate) fn array(&mut self, element: TypeId, len: u32) -> TypeId {
        self.add("", Kind::Array { element, index: TypeId(1), len })
    }

    /// A structure of so many **bytes**; members begin at these **bytes**.
    pub(crate) fn structure(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32)]) -> TypeId {
        let member = |(name, ty, byte): &(&str, TypeId, u32)| Member {
            name: self.string(name),
            ty: *ty,
            bit_offset: byte * 8,
            bit_size: 0,
        };
        let members = members.iter().map(member).collect();
        self.add(name, Kind::Composite { union: false, size, members, bitfields: false })
    }

    pub(crate) fn function(&mut self, name: &str, ret: TypeId, params: &[TypeId]) -> TypeId {
        let params = params.iter().map(|ty| Param { name: StrOff(0), ty: *ty }).collect();
        let proto = self.add("", Kind::FuncProto { ret, params });
        self.add(name, Kind::Func { proto, linkage: Linkage::STATIC })
    }
}

/// What the types of a small kernel say of all that the committed objects ask for, but for `attached.o`, with numbers that
/// stay the same.
pub(crate) fn small_kernel() -> Types {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let (u32_, u64_) = (types.int("unsigned int", 4, false), types.int("unsigned long long", 8, false));
    let char_ = types.int("char", 1, true);
    let comm = types.array(char_, 16);
    let task = types.next();
    let task_pointer = TypeId(task.0 + 1);
    let members =
        [("state", u32_, 0), ("pid", int, 40), ("tgid", int, 44), ("group_leader", task_pointer, 48)];
    types.structure("task_struct", 80, &[&members[..], &[("comm", comm, 56)]].concat());
    assert_eq!(types.add("", Kind::Ptr(task)), task_pointer);
    types.function("bpf_task_from_pid", task_pointer, &[int]);
    types.function("bpf_task_release", TypeId(0), &[task_pointer]);
    types.function("bpf_throw", TypeId(0), &[u64_]);
    types.function("bpf_fentry_test1", int, &[int]);
    types.function("bpf_iter_task", int, &[task_pointer]);
    let probe = types.add("", Kind::FuncProto { ret: TypeId(0), params: Vec::new() });
    let probe = types.add("", Kind::Ptr(probe));
    types.add("btf_trace_sched_switch", Kind::Typedef(probe));
    types.structure("bpf_iter__task", 16, &[("meta", u64_, 0), ("task", task_pointer, 8)]);
    let queue = types.structure("rq", 104, &[("cpu", int, 100)]);
    types.add("runqueues", Kind::Var { ty: queue, linkage: Linkage::GLOBAL });
    let numbers = types.structure("upid", 8, &[("nr", int, 4)]);
    let numbers = types.array(numbers, 1);
    types.structure("pid", 32, &[("numbers", numbers, 16)]);
    let ops = types.structure(
        "tcp_congestion_ops",
        48,
        &[("ssthresh", probe, 0), ("cong_avoid", probe, 8), ("undo_cwnd", probe, 16), ("name", comm, 24)],
    );
    types.structure("bpf_struct_ops_tcp_congestion_ops", 112, &[("common", u64_, 0), ("data", ops, 64)]);
    types
}

/// The section `.BTF` of a committed object, as it stands there.
pub(crate) fn types_of(name: &str) -> Vec<u8> {
    try_types_of(name).unwrap()
}

/// As [`types_of`]; `None` if it has none.
pub(crate) fn try_types_of(name: &str) -> Option<Vec<u8>> {
    let bytes = bytes_of(name);
    let file = elf::parse(&bytes).unwrap();
    file.section_named(".BTF").map(|section| section.data.to_vec())
}

/// What a kernel with these types answers to an object.
pub(crate) fn answers(spec: &ObjectSpec, types: &[u8]) -> Answers {
    let mut wanted = target::needs_of_code(spec);
    wanted.merge(target::needs_of_kernel(spec));
    let vmlinux = TargetBtf::scan(types, None, &wanted).unwrap();
    let kernel = KernelTypes { vmlinux: Some(&vmlinux), modules: Vec::new() };
    target::answer(spec, &kernel, &kernel)
}

/// A committed object, linked for a kernel with these types.
pub(crate) fn linked_for(name: &str, types: &[u8]) -> LinkedObject {
    let spec = spec_of(name);
    let answers = answers(&spec, types);
    link::link_with(spec, answers)
}
