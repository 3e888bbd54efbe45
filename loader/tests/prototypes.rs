//! Functions of the kernel whose type is not what the object declares: which parameter it is, and how it differs.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking, in helpers too")]

mod common;

use common::spec_of;
use common::types::Types;
use rxdp_loader::btf::{Kind, Linkage, Param, TargetBtf, TypeId};
use rxdp_loader::core_relo::KernelTypes;
use rxdp_loader::target::{self, Ksym};

/// What a kernel says of a name that `ksyms.o` declares.
fn answer(kernel: &Types, name: &str) -> Ksym {
    let spec = spec_of("ksyms.o");
    let bytes = kernel.bytes();
    let vmlinux = TargetBtf::scan(&bytes, None, &target::needs_of_kernel(&spec)).unwrap();
    let kernel = KernelTypes { vmlinux: Some(&vmlinux), modules: Vec::new() };
    target::answer(&spec, &kernel, &kernel).ksyms.remove(name).unwrap()
}

/// Types that functions of a kernel are made of.
struct Parts {
    types: Types,
    int: TypeId,
    long: TypeId,
    task: TypeId,
}

fn parts() -> Parts {
    let mut types = Types::new();
    let (int, long) = (types.int("int", 4, true), types.int("long", 8, true));
    let structure = types.structure("task_struct", 4, &[("pid", int, 0)]);
    let tagged = types.add("rcu", Kind::TypeTag { target: structure, attribute: false });
    let task = types.add("", Kind::Ptr(tagged));
    Parts { types, int, long, task }
}

#[test]
fn the_first_parameter_that_differs_is_named() {
    // `struct task_struct *bpf_task_from_pid(int pid)` in the object.
    let differs = |ret: fn(&Parts) -> TypeId, params: fn(&Parts) -> Vec<TypeId>| {
        let mut parts = parts();
        let (ret, params) = (ret(&parts), params(&parts));
        let names = ["nr", "flags"].map(|name| parts.types.string(name));
        let params = params.iter().zip(names).map(|(ty, name)| Param { name, ty: *ty }).collect();
        let proto = parts.types.add("", Kind::FuncProto { ret, params });
        parts.types.add("bpf_task_from_pid", Kind::Func { proto, linkage: Linkage::STATIC });
        match answer(&parts.types, "bpf_task_from_pid") {
            Ksym::Missing(error) => error.to_string(),
            other @ (Ksym::Found(_) | Ksym::Without(_)) => format!("{other:?}"),
        }
    };
    let before = "the function of this name in vmlinux is of another type: ";
    let table: [(String, &str); 4] = [
        (
            differs(|of| of.task, |of| vec![of.task]),
            "parameter 1 (nr) is struct task_struct * there, int in the object",
        ),
        (
            differs(|of| of.task, |_| vec![]),
            "parameter 1 is in the object and not there: it takes 0 parameters there, 1 in the object",
        ),
        (
            differs(|of| of.task, |of| vec![of.int, of.long]),
            "parameter 2 (flags) is there and not in the object: it takes 2 parameters there, 1 in the object",
        ),
        (differs(|of| of.int, |of| vec![of.int]), "it returns int there, struct task_struct * in the object"),
    ];
    for (said, expected) in table {
        assert_eq!(said, format!("{before}{expected}"));
    }
    // Integers of any width are of a kind, as libbpf has it.
    assert!(differs(|of| of.task, |of| vec![of.long]).starts_with("Found"));
}

#[test]
fn a_variable_is_said_as_what_it_is() {
    let mut parts = parts();
    let task = parts.task;
    parts.types.add("bpf_no_such_variable", Kind::Var { ty: task, linkage: Linkage::GLOBAL });
    let Ksym::Missing(error) = answer(&parts.types, "bpf_no_such_variable") else {
        panic!("a variable of another type is an error, though it is weak");
    };
    assert_eq!(
        error.to_string(),
        "the variable of this name in vmlinux is of another type: it is struct task_struct * there, int in the object"
    );
}
