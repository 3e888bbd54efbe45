//! Arguments that are the program's context, for kernels that know them by their types only.
//!
//! A tag says so (`__arg_ctx`, `btf_decl_tag("arg:ctx")`) since Linux 6.8. Before, the argument of a global function is the
//! context only if it points to the structure that goes with the type of the program. So such a function gets a type
//! of its own for each type of program that calls it, behind the last of the object's.
//!
//! Source: libbpf `bpf_program_fixup_func_info`, `global_ctx_map`; the kernel's `btf_get_prog_ctx_type`.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Lowered;
use crate::btf::{Btf, Kind, Linkage, StrOff, Type, TypeChange, TypeGraph, TypeId, TypeReason};
use crate::uapi::ProgType;

/// The tag on an argument.
const TAG: &[u8] = b"arg:ctx";

/// The structures that programs get, by what the kernel calls them.
const CONTEXTS: &[(ProgType, &str)] = &[
    (ProgType::CGROUP_DEVICE, "bpf_cgroup_dev_ctx"),
    (ProgType::CGROUP_SKB, "__sk_buff"),
    (ProgType::CGROUP_SOCK, "bpf_sock"),
    (ProgType::CGROUP_SOCK_ADDR, "bpf_sock_addr"),
    (ProgType::CGROUP_SOCKOPT, "bpf_sockopt"),
    (ProgType::CGROUP_SYSCTL, "bpf_sysctl"),
    (ProgType::FLOW_DISSECTOR, "__sk_buff"),
    (ProgType::KPROBE, "bpf_user_pt_regs_t"),
    (ProgType::LWT_IN, "__sk_buff"),
    (ProgType::LWT_OUT, "__sk_buff"),
    (ProgType::LWT_SEG6LOCAL, "__sk_buff"),
    (ProgType::LWT_XMIT, "__sk_buff"),
    (ProgType::NETFILTER, "bpf_nf_ctx"),
    (ProgType::PERF_EVENT, "bpf_perf_event_data"),
    (ProgType::RAW_TRACEPOINT, "bpf_raw_tracepoint_args"),
    (ProgType::RAW_TRACEPOINT_WRITABLE, "bpf_raw_tracepoint_args"),
    (ProgType::SCHED_ACT, "__sk_buff"),
    (ProgType::SCHED_CLS, "__sk_buff"),
    (ProgType::SK_LOOKUP, "bpf_sk_lookup"),
    (ProgType::SK_MSG, "sk_msg_md"),
    (ProgType::SK_REUSEPORT, "sk_reuseport_md"),
    (ProgType::SK_SKB, "__sk_buff"),
    (ProgType::SOCK_OPS, "bpf_sock_ops"),
    (ProgType::SOCKET_FILTER, "__sk_buff"),
    (ProgType::XDP, "xdp_md"),
];

/// Types of functions that were added to an object's.
#[derive(Debug)]
pub struct Contexts<'b> {
    btf: Cow<'b, Btf>,
    /// Tagged arguments by function, from 0.
    tagged: BTreeMap<TypeId, Vec<u32>>,
    made: BTreeMap<(TypeId, &'static str), TypeId>,
    changes: Vec<TypeChange>,
}

impl<'b> Contexts<'b> {
    /// Looks for tags. Where there are none, nothing will be added.
    pub fn of(btf: &'b Btf) -> Self {
        let mut tagged: BTreeMap<TypeId, Vec<u32>> = BTreeMap::new();
        for ty in &btf.types {
            let Kind::DeclTag { target, component, .. } = ty.kind else {
                continue;
            };
            let argument = u32::try_from(component).ok().filter(|_| btf.bytes_at(ty.name) == TAG);
            tagged.entry(target).or_default().extend(argument);
        }
        tagged.retain(|_, arguments| !arguments.is_empty());
        Self { btf: Cow::Borrowed(btf), tagged, made: BTreeMap::new(), changes: Vec::new() }
    }

    /// The type that a function has where a program of this type calls it, if it is another than its own.
    pub fn function(&mut self, function: TypeId, ty: ProgType) -> Option<TypeId> {
        let arguments = self.tagged.get(&function)?.clone();
        let (_, context) = CONTEXTS.iter().find(|(of, _)| *of == ty)?;
        if let Some(made) = self.made.get(&(function, *context)) {
            return Some(*made);
        }
        let Type { name, kind: Kind::Func { proto, linkage: Linkage::GLOBAL } } = *self.btf.get(function)?
        else {
            return None;
        };
        let Kind::FuncProto { ret, mut params } = self.btf.kind(proto)?.clone() else {
            return None;
        };
        let structure = self.add_structure(context)?;
        let pointer = self.add(StrOff(0), Kind::Ptr(structure))?;
        for (_, param) in (0u32..).zip(&mut params).filter(|(at, _)| arguments.contains(at)) {
            param.ty = pointer;
        }
        let proto = self.add(StrOff(0), Kind::FuncProto { ret, params })?;
        let made = self.add(name, Kind::Func { proto, linkage: Linkage::GLOBAL })?;
        self.made.insert((function, *context), made);
        Some(made)
    }

    /// The object's types, with those that were added.
    pub fn into_types(self) -> Lowered<'b> {
        Lowered { types: self.btf, changes: self.changes }
    }

    /// Only the name of the structure counts.
    fn add_structure(&mut self, name: &str) -> Option<TypeId> {
        let strings = &mut self.btf.to_mut().strings;
        let at = StrOff(u32::try_from(strings.len()).ok()?);
        strings.extend(name.bytes().chain([0]));
        self.add(at, Kind::Composite { union: false, size: 0, members: Vec::new(), bitfields: false })
    }

    fn add(&mut self, name: StrOff, kind: Kind) -> Option<TypeId> {
        let types = &mut self.btf.to_mut().types;
        let id = TypeId(u32::try_from(types.len()).ok()?);
        types.push(Type { name, kind });
        self.changes.push(TypeChange { id, before: None, reason: TypeReason::Context });
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::btf::Param;

    /// `helper(u64 n, void *ctx)`, a global function; type 3.
    fn types(tag: &[u8], linkage: Linkage) -> Btf {
        let mut strings = vec![0];
        strings.extend(b"helper\0");
        strings.extend(tag);
        strings.push(0);
        let param = |ty| Param { name: StrOff(0), ty: TypeId(ty) };
        let proto = Kind::FuncProto { ret: TypeId(0), params: vec![param(0), param(1)] };
        let kinds = [
            (0, Kind::Void),
            (0, Kind::Ptr(TypeId(0))),
            (0, proto),
            (1, Kind::Func { proto: TypeId(2), linkage }),
            (8, Kind::DeclTag { target: TypeId(3), component: 1, attribute: false }),
        ];
        let types = kinds.into_iter().map(|(name, kind)| Type { name: StrOff(name), kind }).collect();
        Btf { types, strings }
    }

    #[test]
    fn a_tagged_argument_points_to_what_goes_with_the_program() {
        let btf = types(TAG, Linkage::GLOBAL);
        let mut contexts = Contexts::of(&btf);
        let made = contexts.function(TypeId(3), ProgType::PERF_EVENT).unwrap();
        assert_eq!(contexts.function(TypeId(3), ProgType::PERF_EVENT), Some(made), "made once");
        assert_ne!(contexts.function(TypeId(3), ProgType::XDP), Some(made));
        assert_eq!(contexts.function(TypeId(3), ProgType::TRACING), None, "nobody knows its context");

        let types = contexts.into_types().types;
        let Some(Kind::Func { proto, .. }) = types.kind(made) else { panic!("no function") };
        let Some(Kind::FuncProto { params, .. }) = types.kind(*proto) else { panic!("no prototype") };
        let Some(Kind::Ptr(structure)) = types.kind(params[1].ty) else { panic!("no pointer") };
        assert_eq!(params[0].ty, TypeId(0));
        assert_eq!(types.name(*structure), "bpf_perf_event_data");
        assert_eq!(types.types[..5], btf.types[..]);
    }

    #[test]
    fn what_is_not_tagged_or_not_verified_on_its_own_stays() {
        for btf in [types(b"arg:other", Linkage::GLOBAL), types(TAG, Linkage::STATIC)] {
            let mut contexts = Contexts::of(&btf);
            assert_eq!(contexts.function(TypeId(3), ProgType::XDP), None);
            assert_eq!(contexts.into_types().types.types.len(), 5);
        }
    }
}
