//! Symbols of all files in one table: names that several files know become one symbol, all others stay what they are.
//!
//! A definition beats a declaration, a strong definition beats weak ones, the first weak one beats the others. Of a
//! function that is beaten nothing refers to its code any more; the bytes stay where they are, as nobody needs the room.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::sections::Parts;
use super::{ByFile, File, JoinError, name_of};
use crate::bytes::to_usize;
use crate::elf::{Binding, Place, SectionIdx, Symbol, SymbolIdx, SymbolKind};

/// Jump tables of `switch`: clang numbers their symbols, and makes them global, in each file anew.
const JUMP_TABLES: &str = ".jumptables";

/// The joined symbols.
pub(super) struct Symbols<'d> {
    /// Symbols of all files. The first is the empty one that every file begins with.
    pub(super) symbols: Vec<Symbol<'d>>,
    /// What the files know by name.
    pub(super) globals: BTreeMap<&'d str, Global>,
    /// New numbers, by number of the file and of its symbol.
    numbers: ByFile<Vec<SymbolIdx>>,
    /// Code of functions that others took the place of: where it begins and ends in its section, in **bytes**.
    overridden: BTreeMap<(SectionIdx, u64), u64>,
}

/// A name that files know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    /// Where it appears, in order.
    pub mentions: Vec<Mention>,
    /// Which of them is the one that counts: the definition, if there is one.
    pub chosen: usize,
}

/// A symbol of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mention {
    /// Number of the file.
    pub file: usize,
    /// Number of the symbol in it.
    pub symbol: SymbolIdx,
    /// It is defined there.
    pub defined: bool,
    /// It is weak.
    pub weak: bool,
}

impl Global {
    /// The mention that counts.
    pub fn chosen(&self) -> Option<Mention> {
        self.mentions.get(self.chosen).copied()
    }
}

impl Symbols<'_> {
    /// The new number of a file's symbol.
    pub(super) fn number(&self, file: usize, symbol: SymbolIdx) -> Option<SymbolIdx> {
        self.numbers.get(file)?.get(to_usize(symbol.0)).copied()
    }

    /// Whether this **byte** belongs to a function that another took the place of.
    pub(super) fn is_overridden(&self, section: SectionIdx, at: u64) -> bool {
        let before = self.overridden.range(..=(section, at)).next_back();
        before.is_some_and(|((of, _), end)| *of == section && at < *end)
    }
}

/// Finds the definition of every name and numbers the symbols anew.
pub(super) fn join<'d>(files: &[File<'d>], parts: &Parts<'d>) -> Result<Symbols<'d>, JoinError> {
    let mut globals: BTreeMap<&'d str, Global> = BTreeMap::new();
    for (file, number) in files.iter().zip(0..) {
        for symbol in file.elf.symbols.iter().filter(|symbol| is_shared(parts, number, symbol)) {
            let global = globals.entry(symbol.name);
            global.or_insert(Global { mentions: Vec::new(), chosen: 0 }).mentions.push(Mention {
                file: number,
                symbol: symbol.idx,
                defined: symbol.place != Place::Undefined,
                weak: symbol.binding == Binding::Weak,
            });
        }
    }
    for (name, global) in &mut globals {
        global.chosen = choose(files, name, &global.mentions)?;
    }
    Ok(number(files, parts, globals))
}

/// Whether other files can mean this symbol.
fn is_shared(parts: &Parts<'_>, file: usize, symbol: &Symbol<'_>) -> bool {
    let nameless = symbol.name.is_empty() || symbol.kind == SymbolKind::Section;
    if nameless || symbol.binding == Binding::Local {
        return false;
    }
    match symbol.place {
        Place::Undefined | Place::Elsewhere => true,
        Place::Section(section) => parts
            .of(file, section)
            .is_some_and(|part| !part.repeated && parts.name(part.section) != Some(JUMP_TABLES)),
    }
}

fn choose(files: &[File<'_>], name: &str, mentions: &[Mention]) -> Result<usize, JoinError> {
    let defined = || mentions.iter().enumerate().filter(|(_, mention)| mention.defined);
    let mut strong = defined().filter(|(_, mention)| !mention.weak);
    if let Some((chosen, one)) = strong.next() {
        return match strong.next() {
            None => Ok(chosen),
            Some((_, other)) => Err(JoinError::Duplicate {
                symbol: name.into(),
                one: name_of(files, one.file),
                other: name_of(files, other.file),
            }),
        };
    }
    Ok(defined().next().map_or(0, |(chosen, _)| chosen))
}

fn number<'d>(files: &[File<'d>], parts: &Parts<'d>, globals: BTreeMap<&'d str, Global>) -> Symbols<'d> {
    let mut joined =
        Symbols { symbols: Vec::new(), globals, numbers: Vec::new(), overridden: BTreeMap::new() };
    // Symbol 0 is the empty one in every file.
    joined.symbols.extend(files.iter().filter_map(|file| file.elf.symbols.first()).take(1).cloned());
    let mut shared: BTreeMap<&'d str, SymbolIdx> = BTreeMap::new();
    let mut beaten = Vec::new();
    for (file, at) in files.iter().zip(0..) {
        let mut numbers = Vec::with_capacity(file.elf.symbols.len());
        for symbol in &file.elf.symbols {
            let moved = moved(parts, at, symbol);
            let global = joined.globals.get(symbol.name).filter(|_| is_shared(parts, at, symbol));
            let number = match (global, shared.get(symbol.name)) {
                _ if symbol.idx == SymbolIdx(0) => SymbolIdx(0),
                (Some(_), Some(known)) => *known,
                _ => {
                    let idx = SymbolIdx(u32::try_from(joined.symbols.len()).unwrap_or(u32::MAX));
                    joined.symbols.push(Symbol { idx, ..moved.clone() });
                    idx
                }
            };
            numbers.push(number);
            let Some(global) = global else {
                continue;
            };
            shared.insert(symbol.name, number);
            if global.chosen().is_some_and(|chosen| (chosen.file, chosen.symbol) == (at, symbol.idx)) {
                put(&mut joined.symbols, Symbol { idx: number, ..moved });
            } else {
                beaten.push(moved);
            }
        }
        joined.numbers.push(numbers);
    }
    joined.agree_on_visibility(files, &shared);
    joined.override_code(&beaten);
    joined
}

/// The symbol, where its section went. What is not loaded stands in no section.
fn moved<'d>(parts: &Parts<'d>, file: usize, symbol: &Symbol<'d>) -> Symbol<'d> {
    let Place::Section(section) = symbol.place else {
        return symbol.clone();
    };
    match parts.of(file, section).filter(|part| !part.repeated) {
        Some(part) => Symbol {
            place: Place::Section(part.section),
            value: symbol.value.saturating_add(part.start),
            ..symbol.clone()
        },
        None => Symbol { place: Place::Elsewhere, ..symbol.clone() },
    }
}

fn put<'d>(symbols: &mut [Symbol<'d>], symbol: Symbol<'d>) {
    if let Some(place) = symbols.get_mut(to_usize(symbol.idx.0)) {
        *place = symbol;
    }
}

impl<'d> Symbols<'d> {
    /// A name is hidden if one file hides it, and needed if one file needs it.
    fn agree_on_visibility(&mut self, files: &[File<'d>], shared: &BTreeMap<&'d str, SymbolIdx>) {
        for (name, global) in &self.globals {
            let symbol = shared.get(name).and_then(|idx| self.symbols.get_mut(to_usize(idx.0)));
            let Some(symbol) = symbol else {
                continue;
            };
            let mentioned = |m: &Mention| files.get(m.file).and_then(|file| file.elf.symbol(m.symbol));
            symbol.hidden = global.mentions.iter().filter_map(mentioned).any(|symbol| symbol.hidden);
            let weak = global.mentions.iter().all(|mention| mention.weak);
            symbol.binding = if weak { Binding::Weak } else { Binding::Global };
        }
    }

    /// Notes the code of functions that were beaten, unless it goes by another name as well.
    fn override_code(&mut self, beaten: &[Symbol<'d>]) {
        let functions = self.symbols.iter().filter(|symbol| symbol.kind == SymbolKind::Function);
        let used: BTreeSet<(SectionIdx, u64)> = functions.filter_map(start).collect();
        let code = beaten.iter().filter(|symbol| symbol.kind == SymbolKind::Function);
        let code = code.filter_map(|symbol| Some((start(symbol)?, symbol.value.checked_add(symbol.size)?)));
        self.overridden = code.filter(|(start, _)| !used.contains(start)).collect();
    }
}

fn start(symbol: &Symbol<'_>) -> Option<(SectionIdx, u64)> {
    match symbol.place {
        Place::Section(section) => Some((section, symbol.value)),
        Place::Undefined | Place::Elsewhere => None,
    }
}
