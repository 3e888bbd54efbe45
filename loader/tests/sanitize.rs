//! Types for kernels that know fewer kinds: one of each kind, and every object's, for every version.
#![cfg(test)]
#![cfg(feature = "kernel")]

mod common;

use std::fmt::Write;

use common::old_kernel::{OldKernel, machine};
use common::types::{Types, linked_for, small_kernel};
use common::{check, linked, xdp_options};
use rxdp_loader::btf::{Btf, Kind, Linkage, Member, Param, SecVar, StrOff, TypeGraph, TypeId};
use rxdp_loader::features::{FEATURES, Features, Machine};
use rxdp_loader::load;
use rxdp_loader::sanitize;
use rxdp_loader::sys::{BtfLoad, Kernel, Linux, LogRequest, host};
use rxdp_sandbox::testing::kernel_or_skip;

/// Every version from the first that has BTF.
fn versions() -> impl Iterator<Item = (u8, u8)> {
    let fours = (18..=20).map(|minor| (4, minor));
    fours.chain((0..=19).map(|minor| (5, minor))).chain((0..=18).map(|minor| (6, minor)))
}

/// Types of each kind, with all that a kernel may not know.
fn every_kind() -> Btf {
    let mut types = Types::new();
    let int = types.int("int", 4, true);
    let ptr = types.add("", Kind::Ptr(int));
    let array = types.array(int, 3);
    let plain = types.structure("plain", 16, &[("a", int, 0), ("list", array, 4)]);
    let a = types.string("a");
    let bits = vec![Member { name: a, ty: int, bit_offset: 3, bit_size: 5 }];
    let bits = Kind::Composite { union: false, size: 4, members: bits, bitfields: true };
    let bits = types.add("bits", bits);
    let minus = types.string("MINUS");
    types.add("narrow", Kind::Enum { size: 4, signed: true, values: vec![(minus, u32::MAX)] });
    let (small, large) = (types.string("SMALL"), types.string("LARGE"));
    let wide = Kind::Enum64 { size: 8, signed: false, values: vec![(small, 1), (large, 1 << 40)] };
    let wide = types.add("wide", wide);
    types.add("declared", Kind::Fwd { union: false });
    types.add("declared_union", Kind::Fwd { union: true });
    let other = types.add("other", Kind::Typedef(int));
    let volatile = types.add("", Kind::Volatile(other));
    types.add("", Kind::Const(volatile));
    types.add("", Kind::Restrict(ptr));
    let kptr = types.add("kptr", Kind::TypeTag { target: plain, attribute: false });
    let kptr = types.add("", Kind::Ptr(kptr));
    let attribute = types.add("preserve", Kind::TypeTag { target: int, attribute: true });
    types.add("", Kind::Ptr(attribute));
    let double = types.add("double", Kind::Float { size: 8 });
    let members = [("bits", bits, 0), ("wide", wide, 8), ("double", double, 16), ("kptr", kptr, 24)];
    let mixed = types.structure("mixed", 32, &members);
    types.add("note", Kind::DeclTag { target: mixed, component: -1, attribute: false });
    types.add("packed", Kind::DeclTag { target: mixed, component: 1, attribute: true });
    let params = vec![Param { name: a, ty: ptr }];
    let proto = types.add("", Kind::FuncProto { ret: int, params });
    types.add("inner", Kind::Func { proto, linkage: Linkage::STATIC });
    let outer = types.add("outer", Kind::Func { proto, linkage: Linkage::GLOBAL });
    types.add("arg:nonnull", Kind::DeclTag { target: outer, component: 0, attribute: false });
    let count = types.add("count", Kind::Var { ty: double, linkage: Linkage::GLOBAL });
    let flag = types.add("inner.flag", Kind::Var { ty: int, linkage: Linkage::STATIC });
    let vars = [(count, 0, 8), (flag, 8, 4)].map(|(var, offset, size)| SecVar { var, offset, size });
    types.add(".data", Kind::Datasec { size: 12, vars: vars.to_vec() });
    types.add(".rodata", Kind::Datasec { size: 4, vars: Vec::new() });
    let ops = types.add("ops", Kind::Var { ty: mixed, linkage: Linkage::GLOBAL });
    types.add(
        "?.struct_ops",
        Kind::Datasec { size: 32, vars: vec![SecVar { var: ops, offset: 0, size: 32 }] },
    );
    types.0
}

fn lowered(btf: &Btf, has: Features) -> Btf {
    sanitize::types(btf, has, |_| true).types.into_owned()
}

/// A type as a line, with names in place of positions.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are short as they are")]
fn line(btf: &Btf, at: usize) -> String {
    let ty = &btf.types[at];
    let name = |at: StrOff| btf.string(at).into_owned();
    let what = match &ty.kind {
        Kind::Composite { union, size, members, bitfields } => {
            let member = |m: &Member| format!("{}:{}@{}", name(m.name), m.ty.0, m.bit_offset);
            let members: Vec<_> = members.iter().map(member).collect();
            let kind = if *union { "union" } else { "struct" };
            format!("{kind} of {size} bytes, bitfields {bitfields}, [{}]", members.join(" "))
        }
        Kind::Enum { size, signed, values } => {
            format!("enum of {size} bytes, {}, signed {signed}", values.len())
        }
        other => format!("{other:?}"),
    };
    format!("{at} {:?} {what}", name(ty.name))
}

/// What each feature is good for: the types that change without it, and what they become.
#[test]
fn without_a_feature_the_types_that_need_it_change_and_no_others() {
    let btf = every_kind();
    let mut text = String::new();
    for row in FEATURES.iter().filter(|row| sanitize::TYPE_FEATURES.contains(row.feature)) {
        let other = lowered(&btf, Features::all().difference(row.feature));
        let _ = writeln!(text, "without {}:", row.name);
        for at in (0..other.types.len()).filter(|at| btf.types.get(*at) != Some(&other.types[*at])) {
            let _ = writeln!(text, "  {}", line(&other, at));
        }
    }
    check("every_kind.lowered", &text);
    assert_eq!(lowered(&btf, Features::all()), btf);
}

#[test]
fn numbers_and_sizes_stay() {
    let btf = every_kind();
    for version in versions() {
        let other = lowered(&btf, machine(version).features);
        assert!(other.strings.starts_with(&btf.strings), "names in lines of source stay where they are");
        for (id, ty) in (0u32..).map(TypeId).zip(&btf.types) {
            let is_declaration =
                matches!(ty.kind, Kind::Var { .. } | Kind::DeclTag { .. } | Kind::FuncProto { .. });
            if !is_declaration {
                let func = matches!(ty.kind, Kind::Func { .. });
                assert!(func || btf.size_of(id) == other.size_of(id), "{version:?}: type {}", id.0);
            }
        }
    }
}

#[test]
fn each_version_takes_each_kind_as_it_is_lowered_for_it() {
    let btf = every_kind();
    let load = |kernel: &OldKernel, btf: &Btf| {
        let log = Some(LogRequest { level: 1, size: 4096 });
        kernel.btf_load(&BtfLoad { name: "every_kind", data: &btf.encode(), log })
    };
    for version in versions() {
        let kernel = OldKernel::new(version);
        let reply = load(&kernel, &lowered(&btf, machine(version).features));
        assert!(reply.fd.is_ok(), "{version:?}: {}", reply.log.text);
        assert_eq!(
            load(&kernel, &btf).fd.is_ok(),
            version >= (6, 15),
            "as the compiler wrote it: {version:?}"
        );
    }
}

/// What an old kernel takes, newer ones take too: the running one is asked about each.
#[test]
fn the_running_kernel_takes_the_types_of_every_version() {
    if kernel_or_skip("the_running_kernel_takes_the_types_of_every_version").is_none() {
        return;
    }
    let small_kernel = small_kernel().bytes();
    let names = common::all().into_iter().filter(|name| !name.contains("bigendian"));
    let objects = names.filter_map(|name| Some((linked_for(&name, &small_kernel).spec.btf?, name)));
    let mut all: Vec<_> = objects.collect();
    all.push((every_kind(), "every_kind".to_string()));
    let mut taken = 0;
    for (btf, name) in &all {
        let data = btf.encode();
        let log = Some(LogRequest { level: 1, size: 65536 });
        // Not all objects are meant to have types that a kernel takes, and the running one may be old.
        if Linux.btf_load(&BtfLoad { name, data: &data, log }).fd.is_err() {
            continue;
        }
        taken += 1;
        for version in versions() {
            let data = lowered(btf, machine(version).features).encode();
            let reply = Linux.btf_load(&BtfLoad { name, data: &data, log });
            assert!(reply.fd.is_ok(), "{name} for {version:?}: {}", reply.log.text);
        }
    }
    let knows_all = host::machine().features == Features::all();
    assert!(!knows_all || taken > all.len() / 2, "{taken} of {} were taken as they are", all.len());
}

/// Nor does a probe ask for less than it means to: no version has more than it says.
#[test]
fn each_version_has_what_it_says_and_no_more() {
    let mut everything = linked("data.o");
    everything.spec.btf = Some(every_kind());
    let reading = linked_for("core_kernel.o", &small_kernel().bytes());
    for version in (14..18).map(|minor| (4, minor)).chain(versions()) {
        for object in [&everything, &reading] {
            let (kernel, machine) = (OldKernel::new(version), machine(version));
            let found = load::machine_for(&kernel, object, &machine, &xdp_options());
            assert_eq!(found.features.difference(machine.features), Features::empty(), "{version:?}");
        }
    }
}

/// Each probe asks for what it means to ask for: a kernel that has everything says yes to all of them.
#[test]
fn the_running_kernel_has_what_its_version_says() {
    if kernel_or_skip("the_running_kernel_has_what_its_version_says").is_none() {
        return;
    }
    let nothing = Machine { features: Features::empty(), ..Machine::NEWEST };
    let mut everything = linked("data.o");
    everything.spec.btf = Some(every_kind());
    let reading = linked_for("core_kernel.o", &small_kernel().bytes());
    let ask = |object| load::machine_for(&Linux, object, &nothing, &xdp_options()).features;
    let found = ask(&everything) | ask(&reading);
    let by_version =
        Features::BPF_COOKIE | Features::UPROBE_MULTI | Features::SYSCALL_WRAPPER | Features::ARG_CTX_TAG;
    let expected = host::machine().features.difference(by_version);
    assert_eq!(found, expected);
}
