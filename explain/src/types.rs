//! Types in words: how C has them, and what CO-RE asks about them.

use rxdp_loader::btf::{Btf, CoreRelo, Kind, TypeGraph, TypeId};
use rxdp_loader::core_relo::{self, Answer, CoreError, CoreKind, Fixup, PathStep, type_words};

use crate::model::{Core, CoreStep};

/// A type as C has it; `None` for no type.
pub(crate) fn c_type(btf: Option<&Btf>, ty: TypeId) -> Option<String> {
    let btf = btf.filter(|_| ty.0 != 0)?;
    Some(pointer_to_array(btf, ty).unwrap_or_else(|| type_words(btf, ty)))
}

/// `int (*)[3]`: how definitions of maps carry their numbers.
fn pointer_to_array(btf: &Btf, ty: TypeId) -> Option<String> {
    let Some(Kind::Array { element, len, .. }) = btf.resolved(btf.resolved(ty)?.pointee()?) else {
        return None;
    };
    Some(format!("{} (*)[{len}]", type_words(btf, *element)))
}

/// A CO-RE record with its answer. `fixup` is what the kernel's types said, if they were asked.
pub(crate) fn core(
    btf: &Btf,
    record: &CoreRelo,
    fixup: Option<&Result<Fixup, CoreError>>,
    modules: &[String],
) -> Core {
    let access = btf.string(record.access).into_owned();
    let kind = CoreKind::from_number(record.kind);
    let path = kind.map(|kind| core_relo::path(btf, record.ty, &access, kind)).unwrap_or_default();
    let mut core = Core {
        question: core_relo::question(btf, record),
        access,
        path: path.iter().map(|step| core_step(btf, step)).collect(),
        local: None,
        target: None,
        from: None,
        answer: "the kernel's types were not asked".to_string(),
    };
    match fixup {
        None => {}
        Some(Err(error)) => core.answer = error.to_string(),
        Some(Ok(Fixup { answer, from })) => {
            core.answer = answer.to_string();
            if let Answer::Value { local, target, .. } = answer {
                (core.local, core.target) = (Some(*local), Some(*target));
            }
            core.from = from.map(|at| {
                let module = at.module.and_then(|at| modules.get(at)).map_or("vmlinux", String::as_str);
                format!("type {} of {module}", at.id.0)
            });
        }
    }
    core
}

fn core_step(btf: &Btf, step: &PathStep) -> CoreStep {
    let name = step.name.map(|name| btf.text(name).into_owned());
    CoreStep {
        of: type_words(btf, step.of),
        to: name.unwrap_or_else(|| format!("[{}]", step.index)),
        bit_offset: step.bit_offset,
    }
}
