//! Types of all files in one graph.
//!
//! Types of one file stand behind those of the file before, under new numbers; what only declares a name is replaced by
//! what defines it; sections of variables are put together like the sections themselves. Then one is kept of all types
//! that are the same.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::sections::Parts;
use super::symbols::Symbols;
use super::{ByFile, File, JoinError, names};
use crate::btf::{Btf, BtfError, BtfExt, Kind, Linkage, SecVar, StrOff, Type, TypeGraph, TypeId};
use crate::insn::ByteOff;
use crate::spec::{SpecError, Types};

/// Types under construction, under numbers that are not the last ones yet.
pub(super) struct Graph {
    pub(super) btf: Btf,
    /// What each file says about names that others can see.
    pub(super) names: ByFile<BTreeMap<String, Named>>,
    /// Types that others stand in for.
    pub(super) replaced: BTreeMap<TypeId, TypeId>,
    strings: BTreeMap<Vec<u8>, StrOff>,
    /// What was added to the numbers of each file's types. `void` is 0 in all of them.
    bases: ByFile<u32>,
}

/// What a file says about a name.
#[derive(Debug)]
pub(super) struct Named {
    /// Its variable or function.
    pub(super) ty: TypeId,
    /// The section of variables that it stands in.
    pub(super) section: Option<String>,
}

/// Joins the types; where no file has types there are none.
pub(super) fn join(files: &[File<'_>], parts: &Parts<'_>, symbols: &Symbols<'_>) -> Result<Types, JoinError> {
    if files.iter().all(|file| file.types.btf.is_none()) {
        return Ok(Types::default());
    }
    let void = Type { name: StrOff(0), kind: Kind::Void };
    let mut graph = Graph {
        btf: Btf { types: Vec::from([void]), strings: Vec::from([0]) },
        names: Vec::new(),
        replaced: BTreeMap::new(),
        strings: BTreeMap::from([(Vec::new(), StrOff(0))]),
        bases: Vec::new(),
    };
    for file in files {
        graph.append(file)?;
    }
    for (name, global) in &symbols.globals {
        names::check(&graph, files, parts, name, global)?;
        names::replace(&mut graph, name, global);
    }
    graph.join_sections(files, parts);
    let numbers = graph.btf.dedup(&graph.replaced);
    let ext = graph.records(files, parts, &numbers);
    Ok(Types { btf: Some(graph.btf), ext })
}

/// The number that a file's type has in the graph.
fn moved(id: TypeId, base: u32) -> TypeId {
    if id == TypeId(0) { id } else { TypeId(id.0.saturating_add(base)) }
}

impl Graph {
    /// Appends a file's types.
    fn append(&mut self, file: &File<'_>) -> Result<(), JoinError> {
        let base = u32::try_from(self.btf.types.len()).unwrap_or(u32::MAX).saturating_sub(1);
        self.bases.push(base);
        let mut names = BTreeMap::new();
        if let Some(btf) = &file.types.btf {
            self.append_types(file.name, btf, base)?;
            names = visible(btf, base);
        }
        self.names.push(names);
        Ok(())
    }

    fn append_types(&mut self, file: &str, btf: &Btf, base: u32) -> Result<(), JoinError> {
        for (id, ty) in btf.types.iter().enumerate().skip(1) {
            if let Some(missing) = self.push(btf, ty, base) {
                let error =
                    BtfError::NoSuchType { id: missing.0, context: format!("type {id} refers to it") };
                return Err(JoinError::file(file, SpecError::from(error)));
            }
        }
        Ok(())
    }

    /// Appends a type. Returns the number of a type that it refers to and that is not there.
    fn push(&mut self, btf: &Btf, ty: &Type, base: u32) -> Option<TypeId> {
        let mut ty = ty.clone();
        let mut missing = None;
        ty.for_each_type(|id| {
            missing = missing.or(btf.get(*id).is_none().then_some(*id));
            *id = moved(*id, base);
        });
        ty.for_each_string(|at| *at = self.intern(btf.bytes_at(*at)));
        self.btf.types.push(ty);
        missing
    }

    /// The position of a text among the strings.
    fn intern(&mut self, text: &[u8]) -> StrOff {
        if let Some(known) = self.strings.get(text) {
            return *known;
        }
        let at = StrOff(u32::try_from(self.btf.strings.len()).unwrap_or_default());
        self.btf.strings.extend(text);
        self.btf.strings.push(0);
        self.strings.insert(text.to_vec(), at);
        at
    }

    /// Puts the variables of sections of one name into the first of them.
    fn join_sections(&mut self, files: &[File<'_>], parts: &Parts<'_>) {
        let mut joined: BTreeMap<StrOff, (TypeId, Vec<SecVar>)> = BTreeMap::new();
        let bases = self.bases.clone();
        for (number, (file, base)) in files.iter().zip(bases).enumerate() {
            let own = file.types.btf.as_ref().map_or(0, |btf| btf.types.len());
            for id in (1u32..).take(own.saturating_sub(1)).map(|id| moved(TypeId(id), base)) {
                let Some(Type { name, kind: Kind::Datasec { vars, .. } }) = self.btf.get(id).cloned() else {
                    continue;
                };
                let (home, all) = joined.entry(name).or_insert((id, Vec::new()));
                if *home != id {
                    self.replaced.insert(id, *home);
                }
                let section = file.elf.section_named(&self.btf.string(name)).map(|section| section.idx);
                let part = section.and_then(|section| parts.of(number, section));
                if part.is_none_or(|part| !part.repeated) {
                    let start = part.map_or(0, |part| narrow(part.start));
                    let kept = vars.into_iter().filter(|var| !self.replaced.contains_key(&var.var));
                    all.extend(kept.map(|var| SecVar { offset: var.offset.saturating_add(start), ..var }));
                }
            }
        }
        for (name, (id, vars)) in joined {
            // The size is filled in when the section is looked at. What is left of one that stands in no file is nothing.
            let in_files = parts.named(&self.btf.string(name)).is_some();
            if vars.is_empty() && !in_files {
                self.replaced.insert(id, TypeId(0));
            }
            if let Some(ty) = self.btf.types.get_mut(id.index()) {
                ty.kind = Kind::Datasec { size: 0, vars };
            }
        }
    }

    /// What the files say about their code, under the new numbers of types.
    fn records(&mut self, files: &[File<'_>], parts: &Parts<'_>, numbers: &[TypeId]) -> BtfExt {
        let mut ext = BtfExt::default();
        let bases = self.bases.clone();
        for (number, (file, base)) in files.iter().zip(bases).enumerate() {
            let Some(btf) = &file.types.btf else {
                continue;
            };
            let start = |section: &str| {
                let section = file.elf.section_named(section)?;
                parts.of(number, section.idx).map(|part| narrow(part.start))
            };
            let at = |at: ByteOff, start: u32| ByteOff(at.0.saturating_add(start));
            // A number that names no type of the file must name none of another file.
            let ty = |id: TypeId| match btf.get(id) {
                Some(_) => numbers.get(moved(id, base).index()).copied().unwrap_or_default(),
                None => TypeId(u32::MAX),
            };
            let Types { ext: own, .. } = &file.types;
            append(&mut ext.funcs, &own.funcs, start, |record, start| {
                (record.at, record.ty) = (at(record.at, start), ty(record.ty));
            });
            append(&mut ext.lines, &own.lines, start, |record, start| {
                record.at = at(record.at, start);
                record.file = self.intern(btf.bytes_at(record.file));
                record.line = self.intern(btf.bytes_at(record.line));
            });
            append(&mut ext.core_relos, &own.core_relos, start, |record, start| {
                (record.at, record.ty) = (at(record.at, start), ty(record.ty));
                record.access = self.intern(btf.bytes_at(record.access));
            });
        }
        ext
    }
}

/// Appends a file's records of one kind, each changed for the place where its section begins.
fn append<T: Copy>(
    all: &mut BTreeMap<String, Vec<T>>,
    own: &BTreeMap<String, Vec<T>>,
    start: impl Fn(&str) -> Option<u32>,
    mut change: impl FnMut(&mut T, u32),
) {
    for (section, records) in own {
        let Some(start) = start(section) else {
            continue;
        };
        let list = all.entry(section.clone()).or_default();
        for mut record in records.iter().copied() {
            change(&mut record, start);
            list.push(record);
        }
    }
}

/// What a file says about names that others can see, under the numbers that its types have in the graph.
fn visible(btf: &Btf, base: u32) -> BTreeMap<String, Named> {
    let mut names = BTreeMap::new();
    for (id, ty) in (0u32..).map(TypeId).zip(&btf.types) {
        if let Kind::Var { linkage, .. } | Kind::Func { linkage, .. } = ty.kind {
            if linkage != Linkage::STATIC {
                let named = Named { ty: moved(id, base), section: None };
                names.insert(btf.string(ty.name).into_owned(), named);
            }
        }
    }
    for ty in &btf.types {
        let Kind::Datasec { vars, .. } = &ty.kind else {
            continue;
        };
        for var in vars {
            let named = names.get_mut(btf.name(var.var).as_ref());
            if let Some(named) = named.filter(|named| named.ty == moved(var.var, base)) {
                named.section = Some(btf.string(ty.name).into_owned());
            }
        }
    }
    names
}

/// Positions in sections of a joined object fit 32 bits, since no object is that large.
fn narrow(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
