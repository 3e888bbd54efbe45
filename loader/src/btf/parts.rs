//! What a type refers to, so that numbers and names can be changed without knowing its kind.

use super::types::{Kind, StrOff, Type, TypeId};

impl Type {
    /// Gives every number of a type in it to `change`.
    pub fn for_each_type(&mut self, mut change: impl FnMut(&mut TypeId)) {
        match &mut self.kind {
            Kind::Void
            | Kind::Int { .. }
            | Kind::Enum { .. }
            | Kind::Enum64 { .. }
            | Kind::Fwd { .. }
            | Kind::Float { .. } => {}
            Kind::Ptr(to)
            | Kind::Typedef(to)
            | Kind::Volatile(to)
            | Kind::Const(to)
            | Kind::Restrict(to)
            | Kind::TypeTag { target: to, .. }
            | Kind::DeclTag { target: to, .. }
            | Kind::Func { proto: to, .. }
            | Kind::Var { ty: to, .. } => change(to),
            Kind::Array { element, index, .. } => {
                change(element);
                change(index);
            }
            Kind::Composite { members, .. } => members.iter_mut().for_each(|member| change(&mut member.ty)),
            Kind::FuncProto { ret, params } => {
                change(ret);
                params.iter_mut().for_each(|param| change(&mut param.ty));
            }
            Kind::Datasec { vars, .. } => vars.iter_mut().for_each(|var| change(&mut var.var)),
        }
    }

    /// Gives every position of a string in it to `change`.
    pub fn for_each_string(&mut self, mut change: impl FnMut(&mut StrOff)) {
        change(&mut self.name);
        match &mut self.kind {
            Kind::Composite { members, .. } => members.iter_mut().for_each(|member| change(&mut member.name)),
            Kind::Enum { values, .. } => values.iter_mut().for_each(|(name, _)| change(name)),
            Kind::Enum64 { values, .. } => values.iter_mut().for_each(|(name, _)| change(name)),
            Kind::FuncProto { params, .. } => params.iter_mut().for_each(|param| change(&mut param.name)),
            Kind::Void
            | Kind::Int { .. }
            | Kind::Ptr(_)
            | Kind::Array { .. }
            | Kind::Fwd { .. }
            | Kind::Typedef(_)
            | Kind::Volatile(_)
            | Kind::Const(_)
            | Kind::Restrict(_)
            | Kind::TypeTag { .. }
            | Kind::DeclTag { .. }
            | Kind::Func { .. }
            | Kind::Var { .. }
            | Kind::Datasec { .. }
            | Kind::Float { .. } => {}
        }
    }
}
