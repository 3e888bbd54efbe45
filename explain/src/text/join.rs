//! How several files became one.

use super::page::{Page, dim, name, plain};
use crate::model::{Join, JoinedName, JoinedSection, NameMention};

pub(super) fn join(page: &mut Page, join: &Join) {
    for (at, file) in join.files.iter().enumerate() {
        let figures = format!(
            "  {} bytes: {} sections, {} symbols, {} types",
            file.bytes, file.sections, file.symbols, file.types
        );
        page.line(2, 10, &[plain(format!("file {at}  ")), name(&file.path), plain(figures)]);
    }
    page.blank();
    page.line(2, 4, &[dim("sections of one name stand behind each other, each part as aligned as it was")]);
    join.sections.iter().for_each(|section| self::section(page, join, section));
    page.blank();
    page.line(2, 4, &[dim("names that several files know, or nobody defines")]);
    join.names.iter().for_each(|of| shared(page, join, of));
    page.line(
        4,
        4,
        &[dim(format!("and {} more that only the file knows that defines them", join.other_names))],
    );
    page.blank();
    let words = format!(
        "{} types became {}: of those that are the same one is kept, and of a name what defines it",
        join.types_before, join.types
    );
    page.line(2, 4, &[plain(words)]);
}

fn file(join: &Join, at: u32) -> String {
    let found = usize::try_from(at).ok().and_then(|at| join.files.get(at));
    found.map_or("?", |file| file.path.rsplit('/').next().unwrap_or(&file.path)).to_string()
}

fn section(page: &mut Page, join: &Join, section: &JoinedSection) {
    page.line(4, 6, &[name(&section.name), plain(format!("  {} bytes", section.size))]);
    for part in &section.parts {
        let of = file(join, part.file);
        let words = match (part.repeated, part.padding) {
            (true, _) => "says the same, and is left out".to_string(),
            (false, 0) => format!("byte {}, {} bytes", part.start, part.size),
            (false, padding) => {
                format!("byte {}, {} bytes, behind {padding} bytes of padding", part.start, part.size)
            }
        };
        page.line(8, 26, &[plain(format!("{of:<16}  ")), plain(words)]);
    }
}

fn shared(page: &mut Page, join: &Join, of: &JoinedName) {
    page.line(4, 8, &[name(&of.name), plain("  "), dim(&of.why)]);
    for mention in &of.mentions {
        let NameMention { does, place, beaten, hidden, .. } = mention;
        let place = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        let beaten = if *beaten { ": it loses" } else { "" };
        let hidden = if *hidden { ", and hides it" } else { "" };
        let row = format!("{:<16}  {does} it{place}{beaten}{hidden}", file(join, mention.file));
        page.line(8, 26, &[plain(row)]);
    }
}
