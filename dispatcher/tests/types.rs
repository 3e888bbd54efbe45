//! What types say, and types that are made up: metadata, versions, whole names, components.
#![cfg(test)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a question is about few of the many kinds")]

mod common;

use common::{Types, spec_of};
use rxdp_dispatcher::actions::Actions;
use rxdp_dispatcher::component::{PLACE, become_component, takes_frags};
use rxdp_dispatcher::config::Version;
use rxdp_dispatcher::metadata::{MetadataError, RUN_CONFIG, RunConfig, run_config, version};
use rxdp_dispatcher::names::full;
use rxdp_loader::btf::{Btf, Kind, Linkage, Param, TypeGraph, TypeId};
use rxdp_loader::spec::section::SectionFlags;
use rxdp_loader::spec::{ObjectSpec, ProgId, TargetProgram};
use rxdp_loader::uapi::{AttachType, ProgType};

fn said(members: &[(&str, u32)]) -> Result<RunConfig, MetadataError> {
    let mut types = Types::new();
    let members: Vec<_> = members.iter().map(|(name, value)| (*name, types.number(*value))).collect();
    let ty = types.structure(&members);
    types.variable(RUN_CONFIG, "_p", ty, Linkage::STATIC);
    run_config(&types.0, "p")
}

#[test]
fn a_program_says_how_it_wants_to_be_called() {
    let alpha = spec_of("dispatched-alpha.o");
    let config = run_config(alpha.btf.as_ref().unwrap(), "alpha").unwrap();
    assert_eq!(config, RunConfig { priority: 10, actions: Actions::PASS | Actions::DROP });
    let beta = spec_of("dispatched-beta.o");
    assert_eq!(run_config(beta.btf.as_ref().unwrap(), "beta"), Ok(RunConfig::default()));
    // Of another program nothing is said.
    assert_eq!(run_config(alpha.btf.as_ref().unwrap(), "alph"), Ok(RunConfig::default()));
    assert_eq!(RunConfig::default(), RunConfig { priority: 50, actions: Actions::PASS });
}

#[test]
fn no_map_is_made_of_what_a_program_says() {
    let alpha = spec_of("dispatched-alpha.o");
    let maps: Vec<&str> = alpha.maps.iter().map(|map| &*map.section).collect();
    assert_eq!(maps, Vec::<&str>::new());
}

#[test]
fn verdicts_are_added_to_the_default_and_taken_from_it() {
    let actions = |members| said(members).unwrap().actions;
    assert_eq!(actions(&[("XDP_TX", 1)]), Actions::PASS | Actions::TX);
    assert_eq!(actions(&[("XDP_TX", 7), ("XDP_PASS", 0)]), Actions::TX);
    assert_eq!(actions(&[("XDP_PASS", 0)]), Actions::empty());
    let all = [("XDP_ABORTED", 1), ("XDP_DROP", 1), ("XDP_PASS", 1), ("XDP_TX", 1), ("XDP_REDIRECT", 1)];
    assert_eq!(actions(&all).bits(), 0b11111);
    assert_eq!(said(&[("priority", 0)]).unwrap().priority, 0);
    assert_eq!(said(&[("priority", 4_000_000_000)]).unwrap().priority, 4_000_000_000);
}

#[test]
fn what_means_nothing_is_an_error_and_not_ignored() {
    for member in ["prio", "XDP_FOO", "XDP_pass", "PASS", ""] {
        let error = said(&[(member, 1)]).unwrap_err();
        assert!(matches!(error, MetadataError::UnknownMember { .. }), "{member}: {error}");
    }
    let mut types = Types::new();
    let int = types.add("int", Kind::Int { size: 4, detail: 32 });
    let ty = types.structure(&[("priority", int)]);
    types.variable(RUN_CONFIG, "_p", ty, Linkage::GLOBAL);
    assert!(matches!(run_config(&types.0, "p"), Err(MetadataError::NoNumber { .. })));
    let mut types = Types::new();
    let number = types.number(1);
    types.variable(RUN_CONFIG, "_p", number, Linkage::GLOBAL);
    assert!(matches!(run_config(&types.0, "p"), Err(MetadataError::NoStructure { .. })));
}

#[test]
fn what_stands_behind_qualifiers_is_found_and_what_is_only_declared_is_not() {
    let make = |linkage| {
        let mut types = Types::new();
        let number = types.number(7);
        let number = types.add("", Kind::Const(number));
        let number = types.add("seven", Kind::Typedef(number));
        let ty = types.structure(&[("priority", number)]);
        let ty = types.add("", Kind::Volatile(ty));
        types.variable(RUN_CONFIG, "_p", ty, linkage);
        run_config(&types.0, "p").unwrap().priority
    };
    assert_eq!([Linkage::STATIC, Linkage::GLOBAL, Linkage::EXTERN].map(make), [7, 7, 50]);
}

#[test]
fn our_own_dispatchers_say_their_version() {
    for (object, expected) in [("xdp_dispatcher.o", Version::V2), ("xdp_dispatcher-3.o", Version::V3)] {
        let spec = spec_of(object);
        assert_eq!(version(spec.btf.as_ref().unwrap()), Some(u32::from(expected.number())));
        let sizes: Vec<_> = spec.maps.iter().map(|map| (&*map.section, map.value_size)).collect();
        assert_eq!(sizes, [(".rodata", u32::try_from(expected.size()).unwrap())]);
        let functions = ["xdp_dispatcher", "prog0", "prog9"];
        let btf = spec.btf.as_ref().unwrap();
        for name in functions {
            let global = |kind: &Kind| matches!(kind, Kind::Func { linkage: Linkage::GLOBAL, .. });
            assert!(btf.find(name, global).is_some(), "{object}: {name}");
        }
    }
    assert_eq!(version(spec_of("dispatched-alpha.o").btf.as_ref().unwrap()), None);
}

fn functions(names: &[&str]) -> Btf {
    let mut types = Types::new();
    let proto = types.add("", Kind::FuncProto { ret: TypeId(0), params: vec![] });
    for name in names {
        types.add(name, Kind::Func { proto, linkage: Linkage::GLOBAL });
    }
    types.0
}

#[test]
fn a_name_that_the_kernel_cut_is_found_whole() {
    let whole = |name: &str, names: &[&str]| full(name, Some(&functions(names)));
    assert_eq!(whole("several_buffers", &["several_buffers_of_it"]), "several_buffers_of_it");
    assert_eq!(whole("several_buffers", &["several_buffers", "several_buffers_x"]), "several_buffers");
    assert_eq!(whole("several_buffers", &["several_buffers_x", "several_buffers_y"]), "several_buffers");
    assert_eq!(whole("several", &["several_buffers"]), "several");
    assert_eq!(full("several_buffers", None), "several_buffers");
}

fn prototype() -> TargetProgram {
    TargetProgram { name: "xdp_dispatcher".to_string(), types: vec![], functions: vec![] }
}

fn converted(mut spec: ObjectSpec) -> ObjectSpec {
    become_component(&mut spec, ProgId(0), prototype());
    spec
}

/// The type of the first program's function, as text.
fn prototype_of(spec: &ObjectSpec) -> String {
    let btf = spec.btf.as_ref().unwrap();
    let func = spec.functions[spec.programs[0].func.index()].ty.unwrap();
    let Some(Kind::Func { proto, linkage: Linkage::GLOBAL }) = btf.kind(func) else {
        panic!("no function");
    };
    let Some(Kind::FuncProto { ret, params }) = btf.kind(*proto) else {
        panic!("no prototype");
    };
    let pointee = |param: &Param| match btf.behind(param.ty).unwrap().1.kind {
        Kind::Ptr(to) => format!("{} *", btf.name(to)),
        _ => panic!("no pointer"),
    };
    let params: Vec<String> = params.iter().map(pointee).collect();
    format!("{} {}({})", btf.name(*ret), btf.name(func), params.join(", "))
}

#[test]
fn a_program_becomes_one_that_takes_a_place() {
    let spec = converted(spec_of("dispatched-frags.o"));
    let kind = &spec.programs[0].kind;
    assert_eq!((kind.ty, kind.attach), (Some(ProgType::EXT), AttachType(0)));
    assert_eq!((kind.flags, kind.target.as_deref()), (SectionFlags::ATTACH_BTF, Some(PLACE)));
    assert_eq!(spec.programs[0].of, Some(prototype()));
    assert!(takes_frags(&spec_of("dispatched-frags.o"), ProgId(0)));
    assert!(!takes_frags(&spec_of("dispatched-beta.o"), ProgId(0)));
}

#[test]
fn types_that_fit_stay_as_they_are() {
    let before = spec_of("dispatched-beta.o");
    let after = converted(before.clone());
    assert_eq!(after.btf, before.btf);
    assert_eq!(prototype_of(&after), "int beta(xdp_md *)");
}

#[test]
fn an_object_without_types_is_given_those_that_it_needs() {
    let before = spec_of("tail_kern-clang22.o");
    assert_eq!(before.btf, None);
    let after = converted(before);
    assert_eq!(prototype_of(&after), "int xdp_prog(xdp_md *)");
    assert!(after.functions.iter().all(|function| function.ty.is_some()), "all functions or none");
    // The kernel reads them back.
    let bytes = after.btf.unwrap().encode();
    assert!(Btf::parse(&bytes, rxdp_loader::bytes::Endian::NATIVE).is_ok());
}

#[test]
fn a_prototype_that_the_kernel_would_refuse_is_replaced() {
    let mut spec = spec_of("dispatched-beta.o");
    let func = spec.functions[spec.programs[0].func.index()].ty.unwrap();
    let btf = spec.btf.as_mut().unwrap();
    let void = Kind::Ptr(TypeId(0));
    btf.types.push(rxdp_loader::btf::Type { name: rxdp_loader::btf::StrOff(0), kind: void });
    let pointer = TypeId(u32::try_from(btf.types.len() - 1).unwrap());
    let Some(Kind::Func { proto, .. }) = btf.kind(func).cloned() else {
        panic!("no function");
    };
    let Some(ty) = btf.types.get_mut(proto.index()) else {
        panic!("no prototype");
    };
    if let Kind::FuncProto { params, .. } = &mut ty.kind {
        params[0].ty = pointer;
    }
    assert_eq!(prototype_of(&spec), "int beta( *)");
    assert_eq!(prototype_of(&converted(spec)), "int beta(xdp_md *)");
}

#[test]
fn programs_behind_tail_calls_fit_into_a_table_with_the_first() {
    let mut spec = spec_of("tail_kern.o");
    for program in &mut spec.programs {
        program.kind.flags.insert(SectionFlags::XDP_FRAGS);
    }
    let after = converted(spec);
    assert!(after.programs.len() > 1);
    assert!(after.programs.iter().all(|program| !program.kind.flags.contains(SectionFlags::XDP_FRAGS)));
    // Nor have they an attach type, as the first has none.
    assert!(after.programs.iter().all(|program| program.kind.attach == AttachType(0)));
}
