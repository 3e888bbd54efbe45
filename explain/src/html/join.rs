//! How several files became one.

use maud::{Markup, html};

use super::parts::{number, wrap_at};
use crate::model::{Join, JoinedName, JoinedPart, JoinedSection, NameMention};

pub(super) fn join(join: &Join) -> Markup {
    html! {
        (files(join))
        (sections(join))
        (names(join))
        p {
            (join.types_before) " types became " (join.types)
            ": of those that are the same one is kept, and of a name what defines it."
        }
    }
}

fn files(join: &Join) -> Markup {
    html! {
        div.wide {
            table.create {
                thead {
                    tr { th { "file" } th.n { "bytes" } th.n { "sections" } th.n { "symbols" } th.n { "types" } }
                }
                tbody {
                    @for file in &join.files {
                        tr {
                            td { code { (wrap_at(&file.path)) } }
                            td.n data-is="bytes" { (number(file.bytes)) }
                            td.n data-is="sections" { (file.sections) }
                            td.n data-is="symbols" { (file.symbols) }
                            td.n data-is="types" { (file.types) }
                        }
                    }
                }
            }
        }
    }
}

fn file(join: &Join, at: u32) -> &str {
    let found = usize::try_from(at).ok().and_then(|at| join.files.get(at));
    found.map_or("?", |file| file.path.rsplit('/').next().unwrap_or(&file.path))
}

fn sections(join: &Join) -> Markup {
    html! {
        h3 { "Sections of one name stand behind each other" }
        div.wide {
            table.create {
                thead { tr { th { "section" } th { "file" } th.n { "byte" } th.n { "bytes" } th {} } }
                tbody {
                    @for JoinedSection { name, parts, .. } in &join.sections {
                        @for (at, part) in parts.iter().enumerate() { (self::part(join, name, at, part)) }
                    }
                }
            }
        }
    }
}

fn part(join: &Join, name: &str, at: usize, part: &JoinedPart) -> Markup {
    html! {
        tr {
            td { @if at == 0 { code { (wrap_at(name)) } } }
            td { code { (file(join, part.file)) } }
            td.n data-is="byte" { (part.start) }
            td.n data-is="bytes" { (part.size) }
            td.prose {
                @if part.repeated { "says the same, and is left out" }
                @if part.padding > 0 { "behind " (part.padding) " bytes of padding" }
            }
        }
    }
}

fn names(join: &Join) -> Markup {
    html! {
        h3 { "Names that several files know, or nobody defines" }
        div.wide {
            table.create {
                thead { tr { th { "name" } th { "files" } th { "why" } } }
                tbody { @for of in &join.names { (shared(join, of)) } }
            }
        }
        p.none { "And " (join.other_names) " more that only the file knows that defines them." }
    }
}

fn shared(join: &Join, of: &JoinedName) -> Markup {
    html! {
        tr {
            td { code { (wrap_at(&of.name)) } }
            td.prose {
                @for NameMention { file, does, place, beaten, hidden } in &of.mentions {
                    p {
                        code { (self::file(join, *file)) } " " (does) " it"
                        @if let Some(place) = place { " at " (place) }
                        @if *beaten { ": it loses" }
                        @if *hidden { ", and hides it" }
                    }
                }
            }
            td.prose { (of.why) }
        }
    }
}
