//! How several files became one object: sections behind each other, names that find their definition.

use std::collections::BTreeMap;

use rxdp_loader::elf::{Place, SectionIdx};
use rxdp_loader::join::{File, Global, Mention, Part};

use crate::Stages;
use crate::model::{Join, JoinedFile, JoinedName, JoinedPart, JoinedSection, NameMention};
use crate::words::count;

/// Files that were joined, and what the loader noted of it.
#[derive(Clone, Copy, Debug)]
pub struct Joining<'a> {
    /// The files, in order.
    pub files: &'a [File<'a>],
    /// Their sizes in **bytes**.
    pub sizes: &'a [u64],
    /// Where their sections went.
    pub parts: &'a BTreeMap<(usize, SectionIdx), Part>,
    /// Names that other files can mean.
    pub names: &'a BTreeMap<&'a str, Global>,
    /// Number of types of the whole, without `void`.
    pub types: u32,
}

pub(crate) fn explain(stages: &Stages<'_>, joining: &Joining<'_>) -> Join {
    let files: Vec<JoinedFile> =
        joining.files.iter().enumerate().map(|(at, file)| self::file(joining, at, file)).collect();
    let (shared, alone): (Vec<_>, Vec<_>) = joining.names.iter().partition(|(_, global)| is_shared(global));
    Join {
        sections: sections(stages, joining),
        names: shared.into_iter().map(|(name, global)| self::name(joining, name, global)).collect(),
        other_names: count(alone.len()),
        types_before: files.iter().fold(0, |sum, file| sum.saturating_add(file.types)),
        types: joining.types,
        files,
    }
}

fn file(joining: &Joining<'_>, at: usize, file: &File<'_>) -> JoinedFile {
    let types = file.types.btf.as_ref().map_or(0, |btf| btf.types.len().saturating_sub(1));
    JoinedFile {
        path: file.name.to_string(),
        bytes: joining.sizes.get(at).copied().unwrap_or_default(),
        sections: count(joining.parts.keys().filter(|(of, _)| *of == at).count()),
        symbols: count(file.elf.symbols.len().saturating_sub(1)),
        types: count(types),
    }
}

fn sections(stages: &Stages<'_>, joining: &Joining<'_>) -> Vec<JoinedSection> {
    let mut parts: BTreeMap<SectionIdx, Vec<JoinedPart>> = BTreeMap::new();
    let mut ends: BTreeMap<SectionIdx, u64> = BTreeMap::new();
    // By file, so that each stands behind those before it.
    for ((file, own), part) in joining.parts {
        let section = joining.files.get(*file).and_then(|file| file.elf.section(*own));
        let size = section.map_or(0, |section| section.size);
        let end = ends.entry(part.section).or_default();
        let padding = if part.repeated { 0 } else { part.start.saturating_sub(*end) };
        if !part.repeated {
            *end = part.start.saturating_add(size);
        }
        let (file, start, repeated) = (count(*file), part.start, part.repeated);
        parts.entry(part.section).or_default().push(JoinedPart { file, start, size, padding, repeated });
    }
    let joined = parts.into_iter().filter_map(|(idx, parts)| {
        let section = stages.elf.section(idx)?;
        Some(JoinedSection { name: section.name.to_string(), size: section.size, parts })
    });
    joined.collect()
}

/// Whether something is to be said about a name: several files know it, or nobody defines it.
fn is_shared(global: &Global) -> bool {
    global.mentions.len() > 1 || global.chosen().is_none_or(|chosen| !chosen.defined)
}

fn name(joining: &Joining<'_>, name: &str, global: &Global) -> JoinedName {
    let defined_in = global.chosen().filter(|chosen| chosen.defined).map(|chosen| count(chosen.file));
    let mentions = global.mentions.iter().enumerate();
    JoinedName {
        name: name.to_string(),
        defined_in,
        why: why(global).to_string(),
        mentions: mentions
            .map(|(at, mention)| self::mention(joining, mention, at == global.chosen))
            .collect(),
    }
}

fn mention(joining: &Joining<'_>, mention: &Mention, chosen: bool) -> NameMention {
    let file = joining.files.get(mention.file);
    let symbol = file.and_then(|file| file.elf.symbol(mention.symbol));
    let place = file.zip(symbol).and_then(|(file, symbol)| match symbol.place {
        Place::Section(idx) => Some(format!("{}, byte {}", file.elf.section(idx)?.name, symbol.value)),
        Place::Undefined | Place::Elsewhere => None,
    });
    let does = match (mention.weak, mention.defined) {
        (false, false) => "declares",
        (false, true) => "defines",
        (true, false) => "weakly declares",
        (true, true) => "weakly defines",
    };
    NameMention {
        file: count(mention.file),
        does: does.to_string(),
        place,
        beaten: mention.defined && !chosen,
        hidden: symbol.is_some_and(|symbol| symbol.hidden),
    }
}

/// Why that definition counts.
fn why(global: &Global) -> &'static str {
    let defined = |weak: bool| global.mentions.iter().filter(|of| of.defined && of.weak == weak).count();
    match (defined(false), defined(true)) {
        (0, 0) => "nobody defines it: it is left to the kernel",
        (0, 1) => "the only definition counts, weak as it is",
        (0, _) => "all definitions are weak: the first counts",
        (_, 0) => "the only definition counts",
        (..) => {
            "the strong definition counts, weak ones do not: their code stays where it is, and nothing refers to it"
        }
    }
}
