//! Names that several files know: their types and sections must agree, and then they are one.

use alloc::string::String;

use super::graph::{Graph, Named};
use super::sections::Parts;
use super::symbols::{Global, Mention};
use super::{File, JoinError, agree, name_of, said};
use crate::btf::{Kind, TypeId};
use crate::elf::Place;
use crate::spec::{MapSpec, map_definition};

/// Where clang puts variables of other files. It stands for no section.
const EXTERN: &str = ".extern";
/// The section of maps, whose types are their definitions.
const MAPS: &str = ".maps";

/// Checks that all files mean the same by a name. Where a file has no types it is believed.
pub(super) fn check(
    graph: &Graph,
    files: &[File<'_>],
    parts: &Parts<'_>,
    name: &str,
    global: &Global,
) -> Result<(), JoinError> {
    let Some(first) = global.chosen() else {
        return Ok(());
    };
    for other in &global.mentions {
        check_section(graph, files, parts, name, (&first, other))?;
        check_type(graph, files, parts, name, (&first, other))?;
    }
    Ok(())
}

/// A declaration that names a section must mean the one of the definition, or of the other declarations.
fn check_section(
    graph: &Graph,
    files: &[File<'_>],
    parts: &Parts<'_>,
    name: &str,
    (first, other): (&Mention, &Mention),
) -> Result<(), JoinError> {
    let of = |mention| section(graph, files, parts, name, mention);
    match of(first).zip(of(other)) {
        Some((one_in, other_in)) if !other.defined && one_in != other_in => Err(JoinError::Place {
            symbol: name.into(),
            one: said(files, first.file, one_in),
            other: said(files, other.file, other_in),
        }),
        _ => Ok(()),
    }
}

/// The section that a name stands in, or is said to stand in.
fn section(
    graph: &Graph,
    files: &[File<'_>],
    parts: &Parts<'_>,
    name: &str,
    mention: &Mention,
) -> Option<String> {
    let symbol = files.get(mention.file)?.elf.symbol(mention.symbol)?;
    match symbol.place {
        Place::Section(section) => parts.name(parts.of(mention.file, section)?.section).map(String::from),
        Place::Undefined => named(graph, name, mention)?.section.clone().filter(|section| section != EXTERN),
        Place::Elsewhere => None,
    }
}

fn named<'g>(graph: &'g Graph, name: &str, mention: &Mention) -> Option<&'g Named> {
    graph.names.get(mention.file)?.get(name)
}

fn check_type(
    graph: &Graph,
    files: &[File<'_>],
    parts: &Parts<'_>,
    name: &str,
    (first, other): (&Mention, &Mention),
) -> Result<(), JoinError> {
    let types = named(graph, name, first).zip(named(graph, name, other));
    let Some((one, two)) = types.map(|(one, two)| (one.ty, two.ty)).filter(|(one, two)| one != two) else {
        return Ok(());
    };
    let is_map = section(graph, files, parts, name, first).is_some_and(|section| section == MAPS);
    let why = if is_map {
        let map = |mention: &Mention, ty: TypeId| -> Result<MapSpec, JoinError> {
            let definition = map_definition(&graph.btf, ty);
            definition.map_err(|why| JoinError::file(&name_of(files, mention.file), why))
        };
        agree::map_difference(&graph.btf, &map(first, one)?, &map(other, two)?)
    } else {
        agree::difference(&graph.btf, one, two)
    };
    match why {
        None => Ok(()),
        Some(why) => Err(JoinError::Type {
            symbol: name.into(),
            one: name_of(files, first.file),
            other: name_of(files, other.file),
            why,
        }),
    }
}

/// Lets the definition's type of a name, or else the first, stand for those of all files.
pub(super) fn replace(graph: &mut Graph, name: &str, global: &Global) {
    let chosen = global.chosen().and_then(|mention| named(graph, name, &mention));
    let any = || global.mentions.iter().find_map(|mention| named(graph, name, mention));
    let Some(stays) = chosen.or_else(any).map(|named| named.ty) else {
        return;
    };
    let is_variable = |id: TypeId| matches!(graph.btf.kind(id), Some(Kind::Var { .. }));
    let all = graph.names.iter().filter_map(|names| names.get(name)).map(|named| named.ty);
    let others = all.filter(|ty| *ty != stays && is_variable(*ty) == is_variable(stays));
    graph.replaced.extend(others.map(|ty| (ty, stays)));
}
