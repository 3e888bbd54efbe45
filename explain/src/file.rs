//! The file: its header, its sections with the roles that they were given, the symbols that matter.

use std::collections::BTreeMap;

use rxdp_loader::bytes::Endian;
use rxdp_loader::elf::{self, Binding, HeaderOfSection, Headers, Place, Symbol, SymbolKind};
use rxdp_loader::spec::{self, FuncId, MapId, ObjectSpec, Role};

use crate::Stages;
use crate::model::{self, File, HeaderField, Part, Problem, Section};
use crate::words::{count, hex};

pub(crate) fn explain(stages: &Stages<'_>, problems: &mut Vec<Problem>) -> File {
    if stages.joining.is_some() {
        return joined(stages);
    }
    let headers = match elf::headers(stages.bytes) {
        Ok(headers) => headers,
        Err(error) => {
            problems.push(Problem { part: Part::File, why: error.to_string() });
            return File::default();
        }
    };
    let symbols: Vec<model::Symbol> = symbols(stages);
    let all = stages.elf.symbols.iter().filter(|symbol| symbol.idx.0 != 0).count();
    File {
        header: header(&headers, stages.bytes),
        license: license(stages),
        sections: sections(stages, &headers),
        other_symbols: count(all.saturating_sub(symbols.len())),
        symbols,
    }
}

/// What several files became: nobody wrote a header for it.
fn joined(stages: &Stages<'_>) -> File {
    let roles = spec::roles(stages.elf);
    let section = |(found, role): (&elf::Section<'_>, &Role)| Section {
        index: found.idx.0,
        name: found.name.to_string(),
        offset: 0,
        size: found.size,
        decompressed: None,
        flags: flags_of(found),
        role: role.words().to_string(),
        why: role.why().to_string(),
        relocations: count(found.relocs.len()),
    };
    let symbols: Vec<model::Symbol> = symbols(stages);
    let all = stages.elf.symbols.iter().filter(|symbol| symbol.idx.0 != 0).count();
    File {
        header: Vec::new(),
        license: license(stages),
        sections: stages.elf.sections.iter().zip(&roles).skip(1).map(section).collect(),
        other_symbols: count(all.saturating_sub(symbols.len())),
        symbols,
    }
}

fn license(stages: &Stages<'_>) -> Option<String> {
    stages.linked.map(|linked| linked.spec.license.clone()).filter(|text| !text.is_empty())
}

fn flags_of(section: &elf::Section<'_>) -> Vec<String> {
    let known = [(true, "alloc"), (section.writable, "write"), (section.executable, "code")];
    known.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_string()).collect()
}

/// Offsets in `Elf64_Ehdr`. Source: the System V ABI.
fn header(headers: &Headers, bytes: &[u8]) -> Vec<HeaderField> {
    let order = match headers.endian {
        Endian::Little => "little-endian: the lowest byte of a number stands first",
        Endian::Big => "big-endian: the highest byte of a number stands first",
    };
    let machine = match headers.machine {
        247 => "247, BPF".to_string(),
        0 => "0, none: LLVM before BPF had a number".to_string(),
        other => other.to_string(),
    };
    let count = headers.sections.len();
    let rows = [
        ("e_ident[0..4]", 0, 4, "ELF".to_string()),
        ("e_ident[EI_CLASS]", 4, 1, "64 bits".to_string()),
        ("e_ident[EI_DATA]", 5, 1, order.to_string()),
        ("e_type", 16, 2, format!("{}, relocatable: not yet linked", headers.kind)),
        ("e_machine", 18, 2, machine),
        ("e_shoff", 40, 8, format!("the section table starts at byte {}", headers.sections_at)),
        ("e_shnum", 60, 2, format!("it has {count} sections")),
        ("e_shstrndx", 62, 2, format!("section {} holds the names of sections", headers.names)),
    ];
    let field = |(name, offset, size, meaning): (&str, usize, usize, String)| HeaderField {
        name: name.to_string(),
        offset: crate::words::count(offset),
        bytes: hex(bytes.get(offset..offset.saturating_add(size)).unwrap_or_default()),
        meaning,
    };
    rows.into_iter().map(field).collect()
}

fn sections(stages: &Stages<'_>, headers: &Headers) -> Vec<Section> {
    let roles = spec::roles(stages.elf);
    let section = |(at, header): (usize, &HeaderOfSection)| {
        let (role, mut why) = role(header, headers, at, roles.get(at).copied());
        let found = stages.elf.sections.get(at);
        let decompressed = header.compression.and(found).filter(|found| !found.data.is_empty());
        if let (Some(format), Some(found)) = (header.compression, decompressed) {
            why += &format!("; {} bytes of {format} were decompressed to {}", header.size, found.size);
        }
        let relocs = found.map_or(0, |section| section.relocs.len());
        Section {
            index: count(at),
            name: header.name.clone(),
            offset: header.offset,
            size: header.size,
            decompressed: decompressed.map(|found| found.size),
            flags: header.flag_words().into_iter().map(ToString::to_string).collect(),
            role,
            why,
            relocations: count(relocs),
        }
    };
    headers.sections.iter().enumerate().map(section).collect()
}

/// What a section is: a table of the format itself, or what the loader takes it for.
fn role(header: &HeaderOfSection, headers: &Headers, at: usize, role: Option<Role>) -> (String, String) {
    let said = |role: &str, why: &str| (role.to_string(), why.to_string());
    if at == 0 {
        return said("nothing", "the first section is always empty");
    }
    if header.holds_relocations() {
        let target = usize::try_from(header.info).ok().and_then(|at| headers.sections.get(at));
        let target = target.map_or("?", |target| target.name.as_str());
        let why = format!("SHT_REL, and sh_info {} names the section that they change", header.info);
        return (format!("relocations of {target}"), why);
    }
    if header.holds_symbols() {
        return said("symbols", "SHT_SYMTAB: a name, section and value for each symbol");
    }
    if header.holds_names() {
        let sections = usize::try_from(headers.names) == Ok(at);
        let of = if sections { "names of sections and symbols" } else { "names of symbols" };
        return said(of, "SHT_STRTAB: other tables refer to its bytes");
    }
    if header.name.starts_with(".debug_") {
        return said("not used", "DWARF, for debuggers: lines and types are taken from BTF");
    }
    let role = role.unwrap_or(Role::Unused);
    said(role.words(), role.why())
}

fn symbols(stages: &Stages<'_>) -> Vec<model::Symbol> {
    let spec = stages.linked.map(|linked| &linked.spec);
    let places = spec.map(|spec| Places::of(stages, spec)).unwrap_or_default();
    let symbol = |symbol: &Symbol<'_>| {
        let section = match symbol.place {
            Place::Section(idx) => Some(stages.elf.section(idx)?.name),
            Place::Undefined => None,
            Place::Elsewhere => return None,
        };
        Some(model::Symbol {
            index: symbol.idx.0,
            name: symbol.name.to_string(),
            section: section.map(ToString::to_string),
            value: symbol.value,
            size: symbol.size,
            kind: kind(symbol.kind).to_string(),
            binding: binding(symbol.binding).to_string(),
            names: places.names(symbol, section.unwrap_or_default()),
        })
    };
    stages.elf.symbols.iter().filter(|symbol| matters(symbol)).filter_map(symbol).collect()
}

/// Labels inside of functions, files and sections have symbols, too.
fn matters(symbol: &Symbol<'_>) -> bool {
    let named = !symbol.name.is_empty();
    named
        && match symbol.kind {
            SymbolKind::Function | SymbolKind::Object => true,
            SymbolKind::None => symbol.binding != Binding::Local,
            SymbolKind::Section | SymbolKind::Other => false,
        }
}

const fn kind(kind: SymbolKind) -> &'static str {
    match kind {
        SymbolKind::Function => "function",
        SymbolKind::Object => "object",
        SymbolKind::None => "none",
        SymbolKind::Section => "section",
        SymbolKind::Other => "other",
    }
}

const fn binding(binding: Binding) -> &'static str {
    match binding {
        Binding::Local => "local",
        Binding::Global => "global",
        Binding::Weak => "weak",
    }
}

/// What stands where, by section and **bytes** from its start.
#[derive(Default)]
struct Places {
    maps: BTreeMap<(String, u64), MapId>,
    functions: BTreeMap<(String, u64), FuncId>,
    programs: BTreeMap<FuncId, usize>,
    /// Sections of variables, and the maps that they become.
    variables: BTreeMap<String, MapId>,
}

impl Places {
    fn of(stages: &Stages<'_>, spec: &ObjectSpec) -> Self {
        let mut places = Self::default();
        for definition in spec::definitions(stages.elf, spec) {
            let Some(map) = spec.map(definition.map) else {
                continue;
            };
            if map.origin == spec::MapOrigin::Internal {
                places.variables.insert(map.section.to_string(), definition.map);
            } else {
                places.maps.insert((map.section.to_string(), definition.offset), definition.map);
            }
        }
        for (at, function) in spec.functions.iter().enumerate() {
            let place = (function.section.clone(), u64::from(function.offset.0));
            places.functions.insert(place, FuncId::new(at));
        }
        places.programs = spec.programs.iter().enumerate().map(|(at, p)| (p.func, at)).collect();
        places
    }

    fn names(&self, symbol: &Symbol<'_>, section: &str) -> String {
        if symbol.place == Place::Undefined {
            return "something outside of the object".to_string();
        }
        let place = (section.to_string(), symbol.value);
        if let Some(map) = self.maps.get(&place) {
            return format!("map_fd[{}]", map.0);
        }
        if let Some(func) = self.functions.get(&place) {
            return match self.programs.get(func) {
                Some(program) => format!("prog_fd[{program}]"),
                None => "a subprogram".to_string(),
            };
        }
        match (self.variables.get(section), section) {
            (Some(map), _) => format!("a variable in map_fd[{}]", map.0),
            (None, "license") => "the licence".to_string(),
            (None, "version") => "the kernel version".to_string(),
            (None, _) => String::new(),
        }
    }
}
