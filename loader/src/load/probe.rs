//! Finds out what a kernel can, by asking it: only what a plan depends on, and only where the version says no.
//!
//! A distribution may have added a feature to an old version. Each probe is one small call, two where a map is needed; what
//! it makes is closed again at once.
//!
//! Source of what is asked: libbpf `feature_probes`.

use std::os::fd::{AsFd, OwnedFd};

use crate::btf::{Btf, Kind, Linkage, Member, SecVar, StrOff, Type, TypeId};
use crate::features::{FEATURES, Features, Machine};
use crate::insn::{CALL, EXIT, Insn, InsnIdx, LD_IMM64};
use crate::link::LinkedObject;
use crate::plan::{self, Options};
use crate::sys::{BtfLoad, Errno, Kernel, MapCreate, Named, ProgLoad};
use crate::uapi::{AttachType, MapFlags, MapType, ProgFlags, ProgType, pseudo};

/// What recordings call all that is made only to see whether it can be.
const NAME: &str = "probe";

/// The machine, with those features besides that its kernel turned out to have. To be called before
/// [`plan::plan`]; on a machine that is known to have everything it asks nothing.
pub fn machine_for<K: Kernel>(
    kernel: &K,
    object: &LinkedObject,
    machine: &Machine,
    options: &Options,
) -> Machine {
    let needs = plan::needs(object, machine, options);
    let mut found = *machine;
    // What another one stands on comes first.
    for row in FEATURES.iter().filter(|row| needs.contains(row.feature)) {
        let Some(probe) = PROBES.iter().find(|probe| probe.feature == row.feature) else {
            continue;
        };
        if !found.features.contains(probe.stands_on) {
            continue;
        }
        match (probe.ask)(&Asker(kernel)) {
            Ok(_) => found.features |= row.feature,
            // Who may not ask is told nothing; the real calls will say so.
            Err(Errno::EPERM) => break,
            Err(_) => {}
        }
    }
    found
}

/// How to find out about one feature.
struct Probe {
    feature: Features,
    /// Without these there is no use for it.
    stands_on: Features,
    /// The call, which succeeds if the kernel has the feature.
    ask: fn(&dyn Ask) -> Result<OwnedFd, Errno>,
}

const fn probe(feature: Features, stands_on: Features, ask: fn(&dyn Ask) -> Result<OwnedFd, Errno>) -> Probe {
    Probe { feature, stands_on, ask }
}

/// What is not here follows from the version alone.
const PROBES: &[Probe] = &[
    probe(Features::NAMES, Features::empty(), |ask| ask.map(NAME, MapFlags::empty())),
    probe(Features::DOTS_IN_NAMES, Features::NAMES, |ask| ask.map("a.b", MapFlags::empty())),
    probe(Features::FROZEN_MAPS, Features::GLOBAL_DATA, |ask| ask.map("", MapFlags::RDONLY_PROG)),
    probe(Features::MMAPABLE_ARRAYS, Features::GLOBAL_DATA, |ask| ask.map("", MapFlags::MMAPABLE)),
    probe(Features::GLOBAL_DATA, Features::empty(), |ask| {
        let map = ask.map("", MapFlags::empty())?;
        let maps = [(InsnIdx(0), Named { name: NAME, fd: map.as_fd() })];
        ask.program(ProgType::SOCKET_FILTER, AttachType(0), GLOBAL, &maps)
    }),
    probe(Features::ATTACH_TYPE, Features::empty(), |ask| {
        ask.program(ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE, NOTHING, &[])
    }),
    probe(Features::PROBE_READ_KERNEL, Features::empty(), |ask| {
        ask.program(ProgType::TRACEPOINT, AttachType(0), PROBE_READ_KERNEL, &[])
    }),
    probe(Features::BTF, Features::empty(), |ask| ask.types(&[])),
    probe(Features::FUNC_INFO, Features::BTF, |ask| ask.types(&function(Linkage::STATIC))),
    probe(Features::BTF_FUNC_GLOBAL, Features::FUNC_INFO, |ask| ask.types(&function(Linkage::GLOBAL))),
    probe(Features::BTF_KIND_FLAG, Features::BTF, |ask| ask.types(&[structure(3)])),
    probe(Features::BTF_DATASEC, Features::BTF, |ask| ask.types(&section(DOT_X))),
    probe(Features::BTF_QUESTION_MARK, Features::BTF_DATASEC, |ask| ask.types(&section(QUESTION_X))),
    probe(Features::BTF_EMPTY_SECTION, Features::BTF_DATASEC, |ask| {
        ask.types(&[(DOT_X, Kind::Datasec { size: 4, vars: Vec::new() })])
    }),
    probe(Features::BTF_FLOAT, Features::BTF, |ask| ask.types(&[(X, Kind::Float { size: 4 })])),
    probe(Features::BTF_DECL_TAG, Features::BTF, |ask| {
        ask.types(&[structure(0), (X, Kind::DeclTag { target: TypeId(2), component: -1, attribute: false })])
    }),
    probe(Features::BTF_TYPE_TAG, Features::BTF, |ask| ask.types(&tagged(false))),
    probe(Features::BTF_ATTRIBUTES, Features::BTF_TYPE_TAG, |ask| ask.types(&tagged(true))),
    probe(Features::BTF_ENUM64, Features::BTF, |ask| {
        ask.types(&[(X, Kind::Enum64 { size: 8, signed: false, values: Vec::new() })])
    }),
];

const fn insn(code: u8, dst: u8, src: u8, imm: i32) -> Insn {
    Insn { code, dst, src, off: 0, imm }
}

/// `r0 = 0; exit`.
const NOTHING: &[Insn] = &[insn(0xb7, 0, 0, 0), insn(EXIT, 0, 0, 0)];

/// `r1 = &value[4]; r0 = 0; exit`, where the value is a map's.
const GLOBAL: &[Insn] =
    &[insn(LD_IMM64, 1, pseudo::MAP_VALUE, 0), insn(0, 0, 0, 4), insn(0xb7, 0, 0, 0), insn(EXIT, 0, 0, 0)];

/// `bpf_probe_read_kernel(r10 - 8, 8, 0)`.
const PROBE_READ_KERNEL: &[Insn] = &[
    insn(0xbf, 1, 10, 0),
    insn(0x07, 1, 0, -8),
    insn(0xb7, 2, 0, 8),
    insn(0xb7, 3, 0, 0),
    insn(CALL, 0, 0, 113),
    insn(EXIT, 0, 0, 0),
];

/// Names of types, and where they stand among them.
const STRINGS: &[u8] = b"\0x\0.x\0?x\0";
const X: StrOff = StrOff(1);
const DOT_X: StrOff = StrOff(3);
const QUESTION_X: StrOff = StrOff(6);

/// `int`, which stands before the types of each probe.
const INT: TypeId = TypeId(1);

/// `void x(void)`.
fn function(linkage: Linkage) -> [(StrOff, Kind); 2] {
    let proto = Kind::FuncProto { ret: TypeId(0), params: Vec::new() };
    [(StrOff(0), proto), (X, Kind::Func { proto: TypeId(2), linkage })]
}

/// `struct x { int x; }`, or a bitfield of so many bits.
fn structure(bits: u32) -> (StrOff, Kind) {
    let members = vec![Member { name: X, ty: INT, bit_offset: 0, bit_size: bits }];
    (X, Kind::Composite { union: false, size: 4, members, bitfields: bits != 0 })
}

/// `static int x`, in a section of this name.
fn section(name: StrOff) -> [(StrOff, Kind); 2] {
    let vars = vec![SecVar { var: TypeId(2), offset: 0, size: 4 }];
    [(X, Kind::Var { ty: INT, linkage: Linkage::STATIC }), (name, Kind::Datasec { size: 4, vars })]
}

/// `int x *`, where x is a tag or another attribute.
fn tagged(attribute: bool) -> [(StrOff, Kind); 2] {
    [(X, Kind::TypeTag { target: INT, attribute }), (StrOff(0), Kind::Ptr(TypeId(2)))]
}

/// The three calls that probes are made of, for any kernel.
trait Ask {
    fn map(&self, kernel_name: &str, flags: MapFlags) -> Result<OwnedFd, Errno>;

    fn program(
        &self,
        ty: ProgType,
        attach: AttachType,
        insns: &[Insn],
        maps: &[(InsnIdx, Named<'_>)],
    ) -> Result<OwnedFd, Errno>;

    fn types(&self, behind_int: &[(StrOff, Kind)]) -> Result<OwnedFd, Errno>;
}

struct Asker<'k, K>(&'k K);

impl<K: Kernel> Ask for Asker<'_, K> {
    fn map(&self, kernel_name: &str, flags: MapFlags) -> Result<OwnedFd, Errno> {
        self.0.map_create(&MapCreate {
            name: NAME,
            kernel_name,
            ty: MapType::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags,
            numa_node: 0,
            map_extra: 0,
            inner: None,
            types: None,
            kernel_value: None,
        })
    }

    fn program(
        &self,
        ty: ProgType,
        attach: AttachType,
        insns: &[Insn],
        maps: &[(InsnIdx, Named<'_>)],
    ) -> Result<OwnedFd, Errno> {
        let request = ProgLoad {
            name: NAME,
            kernel_name: "",
            ty,
            attach,
            flags: ProgFlags::empty(),
            license: "GPL",
            kern_version: 0,
            insns,
            maps,
            btfs: &[],
            fd_array: &[],
            hook: None,
            info: None,
            log: None,
        };
        self.0.prog_load(&request).fd
    }

    fn types(&self, behind_int: &[(StrOff, Kind)]) -> Result<OwnedFd, Errno> {
        let first = [(StrOff(0), Kind::Void), (X, Kind::Int { size: 4, detail: 32 })];
        let types =
            first.iter().chain(behind_int).map(|(name, kind)| Type { name: *name, kind: kind.clone() });
        let data = Btf { types: types.collect(), strings: STRINGS.to_vec() }.encode();
        self.0.btf_load(&BtfLoad { name: NAME, data: &data, log: None }).fd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that only the version decides are named in the documentation.
    #[test]
    fn every_feature_can_be_asked_for_or_says_that_it_cannot() {
        for row in FEATURES {
            let asked = PROBES.iter().any(|probe| probe.feature == row.feature);
            assert_eq!(asked, !row.without.contains("the version alone decides"), "{}", row.name);
        }
    }
}
