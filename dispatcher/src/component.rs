//! How an XDP program of an object becomes one that takes a place in a dispatcher.
//!
//! It is loaded as one that replaces a function of another program (`BPF_PROG_TYPE_EXT`). The kernel compares the two
//! functions by their types: what has none, or others, is given those that it needs. The object's meaning in, the same
//! meaning changed; no kernel is asked.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use rxdp_loader::btf::{Btf, Kind, Linkage, Param, StrOff, Type, TypeGraph, TypeId};
use rxdp_loader::spec::section::{SectionFlags, SectionMatch};
use rxdp_loader::spec::{Function, ObjectSpec, ProgId, TargetProgram};
use rxdp_loader::uapi::{AttachType, ProgType};

/// The function of a dispatcher that programs are loaded for. Which one they take the place of later is for their links
/// to say.
pub const PLACE: &str = "prog0";

/// The structure that is the context of XDP programs.
const CONTEXT: &str = "xdp_md";

/// Size of that structure in **bytes**.
const CONTEXT_SIZE: u32 = 24;

/// Encoding of an `int` of 32 bits with a sign: `BTF_INT_SIGNED` and the number of bits.
const INT: u32 = (1 << 24) | 32;

/// Whether a program says that it takes packets of several buffers (`SEC("xdp.frags")`).
pub fn takes_frags(spec: &ObjectSpec, program: ProgId) -> bool {
    spec.program(program).is_some_and(|program| program.kind.flags.contains(SectionFlags::XDP_FRAGS))
}

/// Lets an XDP program of an object take a place in a dispatcher; `prototype` is any dispatcher's program.
///
/// Types that the program lacks are made up: `int NAME(struct xdp_md *)`. The object's other XDP programs, to which its tail
/// calls may lead, are loaded so that one jump table takes all of them: for the kernel, a program that takes a place has no
/// attach type and no `xdp.frags`.
pub fn become_component(spec: &mut ObjectSpec, program: ProgId, prototype: TargetProgram) {
    let is_xdp = |kind: &SectionMatch| kind.ty.is_none_or(|ty| ty == ProgType::XDP);
    for other in spec.programs.iter_mut().filter(|other| is_xdp(&other.kind)) {
        // Programs of `xdp/devmap` and `xdp/cpumap` stand behind no tail call.
        if matches!(other.kind.attach, AttachType::XDP | AttachType(0)) {
            other.kind.flags.remove(SectionFlags::XDP_FRAGS);
            other.kind.attach = AttachType(0);
        }
    }
    let Some(entry) = spec.programs.get_mut(program.index()) else {
        return;
    };
    entry.kind = SectionMatch {
        ty: Some(ProgType::EXT),
        attach: AttachType(0),
        flags: SectionFlags::ATTACH_BTF,
        target: Some(PLACE.to_string()),
        ..entry.kind.clone()
    };
    entry.of = Some(prototype);
    let func = entry.func.index();
    give_types(&mut spec.btf, &mut spec.functions, func);
}

/// Sees to it that every function has a type, and the main one that of an XDP program.
fn give_types(btf: &mut Option<Btf>, functions: &mut [Function], main: usize) {
    let types = btf.get_or_insert_with(|| Btf {
        types: vec![Type { name: StrOff(0), kind: Kind::Void }],
        strings: vec![0],
    });
    let mut made = Made { btf: types, int: None };
    for (at, function) in functions.iter_mut().enumerate() {
        let fits = match function.ty {
            Some(ty) if at == main => is_xdp(made.btf, ty),
            Some(_) => true,
            None => false,
        };
        if !fits {
            let proto = if at == main { made.xdp_prototype() } else { made.prototype(vec![]) };
            let linkage = if at == main { Linkage::GLOBAL } else { Linkage::STATIC };
            function.ty = Some(made.add(&identifier(&function.name), Kind::Func { proto, linkage }));
        }
    }
}

/// Whether a function's type is `int (struct xdp_md *)`, as the kernel compares: any integer will do.
fn is_xdp(btf: &Btf, func: TypeId) -> bool {
    is_xdp_prototype(btf, func).unwrap_or(false)
}

fn is_xdp_prototype(btf: &Btf, func: TypeId) -> Option<bool> {
    let Kind::Func { proto, .. } = btf.kind(func)? else {
        return None;
    };
    let Kind::FuncProto { ret, params } = btf.kind(*proto)? else {
        return None;
    };
    let [param] = params.as_slice() else {
        return None;
    };
    let (_, ret) = btf.behind(*ret)?;
    let (_, pointer) = btf.behind(param.ty)?;
    let Kind::Ptr(to) = pointer.kind else {
        return None;
    };
    let (_, context) = btf.behind(to)?;
    let structure = matches!(context.kind, Kind::Composite { union: false, .. });
    Some(matches!(ret.kind, Kind::Int { size: 4, .. }) && structure && btf.is_named(context.name, CONTEXT))
}

/// Types that are made up.
struct Made<'b> {
    btf: &'b mut Btf,
    int: Option<TypeId>,
}

impl Made<'_> {
    fn add(&mut self, name: &str, kind: Kind) -> TypeId {
        let name = self.string(name);
        let id = u32::try_from(self.btf.types.len()).unwrap_or(u32::MAX);
        self.btf.types.push(Type { name, kind });
        TypeId(id)
    }

    fn string(&mut self, text: &str) -> StrOff {
        if text.is_empty() {
            return StrOff(0);
        }
        let at = u32::try_from(self.btf.strings.len()).unwrap_or(u32::MAX);
        self.btf.strings.extend_from_slice(text.as_bytes());
        self.btf.strings.push(0);
        StrOff(at)
    }

    fn int(&mut self) -> TypeId {
        let known = self.int;
        let id = known.unwrap_or_else(|| self.add("int", Kind::Int { size: 4, detail: INT }));
        self.int = Some(id);
        id
    }

    fn prototype(&mut self, params: Vec<Param>) -> TypeId {
        let ret = self.int();
        self.add("", Kind::FuncProto { ret, params })
    }

    fn xdp_prototype(&mut self) -> TypeId {
        let kind = Kind::Composite { union: false, size: CONTEXT_SIZE, members: vec![], bitfields: false };
        let context = self.add(CONTEXT, kind);
        let pointer = self.add("", Kind::Ptr(context));
        let name = self.string("ctx");
        self.prototype(vec![Param { name, ty: pointer }])
    }
}

/// A function's name as the kernel takes it: letters, digits and underscores.
fn identifier(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    name.chars().map(fits).collect()
}
