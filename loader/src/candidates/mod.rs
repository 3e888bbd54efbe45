//! Types that a program may have whose section does not say one, the most likely first.
//!
//! Nothing is left out: what the object shows only decides the order, and the kernel decides which type it is. So a clue
//! that is wrong costs a call, never a program. Clues are the helpers that the program calls, what it reads of its
//! context, words in its section's and its own name, the programs that share a jump table with it, and the types of the
//! other programs of the object.

mod context;
mod helpers;
mod names;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::link::{LinkedObject, LinkedProgram};
use crate::spec::{MapId, ProgId, ProgramSpec, SlotHint};
use crate::uapi::{AttachType, MapType, ProgFlags, ProgType};

use context::Access;

/// A type to try, with what the kernel wants to know besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The type.
    pub ty: ProgType,
    /// The attach type that programs of this type must say; 0 if none.
    pub attach: AttachType,
    /// Flags that programs of this type must have.
    pub flags: ProgFlags,
}

const fn plain(ty: ProgType) -> Candidate {
    Candidate { ty, attach: AttachType(0), flags: ProgFlags::empty() }
}

const fn at(ty: ProgType, attach: AttachType) -> Candidate {
    Candidate { ty, attach, flags: ProgFlags::empty() }
}

/// All that can be tried: types of which the kernel needs no name of what they attach to. Where nothing tells them apart,
/// this is the order.
const ALL: &[Candidate] = &[
    at(ProgType::XDP, AttachType::XDP),
    plain(ProgType::SCHED_CLS),
    plain(ProgType::KPROBE),
    plain(ProgType::TRACEPOINT),
    plain(ProgType::SOCKET_FILTER),
    plain(ProgType::RAW_TRACEPOINT),
    plain(ProgType::CGROUP_SKB),
    plain(ProgType::PERF_EVENT),
    at(ProgType::SOCK_OPS, AttachType::CGROUP_SOCK_OPS),
    at(ProgType::SK_MSG, AttachType::SK_MSG_VERDICT),
    at(ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_CREATE),
    at(ProgType::CGROUP_SOCK, AttachType::CGROUP_INET4_POST_BIND),
    at(ProgType::CGROUP_SOCK, AttachType::CGROUP_INET6_POST_BIND),
    at(ProgType::CGROUP_SOCK, AttachType::CGROUP_INET_SOCK_RELEASE),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_CONNECT),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_CONNECT),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_BIND),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_BIND),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_SENDMSG),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_SENDMSG),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP4_RECVMSG),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UDP6_RECVMSG),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETPEERNAME),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETPEERNAME),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET4_GETSOCKNAME),
    at(ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_INET6_GETSOCKNAME),
    at(ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_SETSOCKOPT),
    at(ProgType::CGROUP_SOCKOPT, AttachType::CGROUP_GETSOCKOPT),
    at(ProgType::CGROUP_SYSCTL, AttachType::CGROUP_SYSCTL),
    at(ProgType::CGROUP_DEVICE, AttachType::CGROUP_DEVICE),
    plain(ProgType::SK_SKB),
    at(ProgType::SK_LOOKUP, AttachType::SK_LOOKUP),
    at(ProgType::SK_REUSEPORT, AttachType::SK_REUSEPORT_SELECT),
    plain(ProgType::SCHED_ACT),
    plain(ProgType::LWT_IN),
    plain(ProgType::LWT_OUT),
    plain(ProgType::LWT_XMIT),
    plain(ProgType::LWT_SEG6LOCAL),
    at(ProgType::FLOW_DISSECTOR, AttachType::FLOW_DISSECTOR),
    at(ProgType::LIRC_MODE2, AttachType::LIRC_MODE2),
    plain(ProgType::RAW_TRACEPOINT_WRITABLE),
    at(ProgType::NETFILTER, AttachType::NETFILTER),
    Candidate { ty: ProgType::SYSCALL, attach: AttachType(0), flags: ProgFlags::SLEEPABLE },
];

/// What clues weigh. The kernel refuses what calls or reads something that its type does not have; names only hint.
mod weight {
    pub(super) const HELPER: u32 = 100;
    pub(super) const ACCESS: u32 = 60;
    pub(super) const PACKET: u32 = 70;
    pub(super) const SAME_TABLE: u32 = 50;
    pub(super) const SECTION: u32 = 40;
    pub(super) const NAME: u32 = 20;
    pub(super) const NEIGHBOUR: u32 = 10;
}

/// Types to try for a program, the most likely first. `known` are the types of programs that are known.
///
/// A program that could not be linked has none.
pub fn candidates(
    object: &LinkedObject,
    id: ProgId,
    known: impl Fn(ProgId) -> Option<ProgType>,
) -> Vec<Candidate> {
    let (Some(linked), Some(program)) = (object.program(id), object.spec.program(id)) else {
        return Vec::new();
    };
    let clues = Clues::find(object, linked, program, known);
    let mut ranked = ALL.to_vec();
    // The sort is stable: where clues are silent, the order of the table stays.
    ranked.sort_by_key(|candidate| clues.against(candidate));
    ranked
}

/// What an object shows about the type of one of its programs.
struct Clues {
    helpers: BTreeSet<i32>,
    accesses: BTreeSet<Access>,
    by_section: Vec<names::Hint>,
    by_name: Vec<names::Hint>,
    by_mates: Vec<names::Hint>,
    on_table: BTreeSet<ProgType>,
    neighbours: BTreeSet<ProgType>,
}

impl Clues {
    fn find(
        object: &LinkedObject,
        linked: &LinkedProgram,
        program: &ProgramSpec,
        known: impl Fn(ProgId) -> Option<ProgType>,
    ) -> Self {
        let tables = tables_of(object, linked.id);
        let shares = |id: &ProgId| !tables.is_disjoint(&tables_of(object, *id));
        let ids = || (0..object.spec.programs.len()).map(ProgId::new);
        let mates: Vec<ProgId> = if tables.is_empty() { Vec::new() } else { ids().filter(shares).collect() };
        // The kernel takes only programs of one type into a table: what one of them may do, all may.
        let code = || mates.iter().filter_map(|id| object.program(*id)).chain([linked]);
        let sections = mates.iter().filter_map(|id| object.spec.program(*id)).map(|mate| &mate.section);
        Self {
            helpers: code().flat_map(helpers::called).collect(),
            accesses: code().flat_map(context::accesses).collect(),
            by_mates: sections.flat_map(|section| names::hints(section)).collect(),
            by_section: names::hints(&program.section),
            by_name: names::hints(&program.name),
            on_table: mates.iter().filter_map(|id| known(*id)).collect(),
            neighbours: ids().filter_map(known).collect(),
        }
    }

    /// How much speaks against a candidate.
    fn against(&self, candidate: &Candidate) -> u32 {
        let times =
            |count: usize, weight: u32| u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(weight);
        let ty = candidate.ty;
        let not_hinted = |hints: &[names::Hint]| {
            usize::from(!hints.is_empty() && !hints.iter().any(|hint| hint.means(candidate)))
        };
        let not_among = |types: &BTreeSet<ProgType>| usize::from(!types.is_empty() && !types.contains(&ty));
        let no_packet = context::is_like_xdp(&self.accesses) && ty != ProgType::XDP;
        let helpers = self.helpers.iter().filter(|helper| !helpers::may_call(ty, **helper)).count();
        let accesses = self.accesses.iter().filter(|access| !access.fits(ty)).count();
        [
            times(helpers, weight::HELPER),
            times(accesses, weight::ACCESS),
            times(usize::from(no_packet), weight::PACKET),
            times(not_hinted(&self.by_section), weight::SECTION),
            times(not_hinted(&self.by_name), weight::NAME),
            times(not_hinted(&self.by_mates), weight::NAME),
            times(not_among(&self.on_table), weight::SAME_TABLE),
            times(not_among(&self.neighbours), weight::NEIGHBOUR),
        ]
        .into_iter()
        .fold(0, u32::saturating_add)
    }
}

/// Jump tables that a program refers to, or that its section puts it into.
fn tables_of(object: &LinkedObject, id: ProgId) -> BTreeSet<MapId> {
    let refs = object.program(id).map(|program| program.map_refs.as_slice()).unwrap_or_default();
    let slot = object.spec.program(id).and_then(|program| match program.kind.slot {
        Some(SlotHint::Table { id, .. }) => object.spec.map_numbered(id),
        Some(SlotHint::LastTable { .. }) | None => None,
    });
    let is_table = |map: &MapId| object.spec.map(*map).is_some_and(|map| map.ty == MapType::PROG_ARRAY);
    refs.iter().map(|(_, map)| *map).chain(slot).filter(is_table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(helpers: &[i32], section: &str, accesses: Vec<Access>, neighbours: &[ProgType]) -> Candidate {
        let clues = Clues {
            helpers: helpers.iter().copied().collect(),
            accesses: accesses.into_iter().collect(),
            by_mates: Vec::new(),
            by_section: names::hints(section),
            by_name: Vec::new(),
            on_table: BTreeSet::new(),
            neighbours: neighbours.iter().copied().collect(),
        };
        *ALL.iter().min_by_key(|candidate| clues.against(candidate)).unwrap()
    }

    #[test]
    fn helpers_weigh_more_than_names() {
        const SKB_STORE_BYTES: i32 = 9;
        const PROBE_READ: i32 = 4;
        const BIND: i32 = 64;
        const XDP_ADJUST_HEAD: i32 = 44;
        assert_eq!(first(&[SKB_STORE_BYTES], "xdp-like", Vec::new(), &[]).ty, ProgType::SCHED_CLS);
        assert_eq!(first(&[PROBE_READ], "prog", Vec::new(), &[]).ty, ProgType::KPROBE);
        assert_eq!(first(&[BIND], "prog", Vec::new(), &[]).ty, ProgType::CGROUP_SOCK_ADDR);
        assert_eq!(first(&[XDP_ADJUST_HEAD], "from-container", Vec::new(), &[]).ty, ProgType::XDP);
    }

    #[test]
    fn names_and_neighbours_decide_where_code_is_silent() {
        assert_eq!(first(&[], "from-container", Vec::new(), &[]).ty, ProgType::SCHED_CLS);
        assert_eq!(first(&[], "func=sys_write", Vec::new(), &[]).ty, ProgType::KPROBE);
        assert_eq!(first(&[], "syscalls:sys_enter_openat", Vec::new(), &[]).ty, ProgType::TRACEPOINT);
        assert_eq!(first(&[], "prog", Vec::new(), &[ProgType::SOCKET_FILTER]).ty, ProgType::SOCKET_FILTER);
        let bind6 = first(&[], "bind6/block_port", Vec::new(), &[]);
        assert_eq!(bind6.attach, AttachType::CGROUP_INET6_BIND);
        assert_eq!(first(&[], "prog", Vec::new(), &[]).ty, ProgType::XDP);
    }

    #[test]
    fn what_is_read_of_the_context_tells_types_apart() {
        let read = |offset, size| Vec::from([Access { offset, size }]);
        assert_eq!(first(&[], "prog", read(4, 4), &[]).ty, ProgType::XDP);
        let packet = [0, 4].map(|offset| Access { offset, size: 4 });
        assert_eq!(first(&[], "from-netdev", packet.into(), &[]).ty, ProgType::XDP);
        assert_eq!(first(&[], "from-netdev", read(4, 4), &[]).ty, ProgType::SCHED_CLS);
        assert_eq!(first(&[], "prog", read(76, 4), &[]).ty, ProgType::SCHED_CLS);
        assert_eq!(first(&[], "prog", read(112, 8), &[]).ty, ProgType::KPROBE);
    }

    #[test]
    fn no_type_is_left_out() {
        let needs_a_name = [ProgType::TRACING, ProgType::STRUCT_OPS, ProgType::EXT, ProgType::LSM];
        let all = ProgType::names().skip(1).filter_map(ProgType::from_name);
        for ty in all.filter(|ty| !needs_a_name.contains(ty)) {
            assert!(ALL.iter().any(|candidate| candidate.ty == ty), "{ty}");
        }
    }
}
