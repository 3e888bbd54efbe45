//! The file: header, sections, symbols.

use maud::{Markup, html};

use super::pictures;
use crate::model::{File, Section, Symbol};

pub(super) fn file(file: &File) -> Markup {
    html! {
        @if !file.header.is_empty() {
            (pictures::strip(file))
            h3 { "Header" }
            div.wide {
                table.bytes {
                    thead { tr { th.n { "byte" } th { "bytes" } th { "field" } th { "what it says" } } }
                    tbody {
                        @for field in &file.header {
                            tr {
                                td.n data-is="byte" { (field.offset) }
                                td { code { (field.bytes) } }
                                td { code { (field.name) } }
                                td.prose { (field.meaning) }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(license) = &file.license {
            p { "Its licence: " code { (license) } }
        }
        h3 id="sections" { "Sections" }
        div.wide {
            table {
                thead {
                    tr {
                        th.n { "no." } th { "section" } th { "what it is, and by which rule" }
                        th.n { "file at" } th.n { "bytes" } th { "flags" }
                    }
                }
                tbody { @for section in &file.sections { (self::section(section)) } }
            }
        }
        @if !file.symbols.is_empty() {
            h3 id="symbols" { "Symbols" }
            (symbols(file))
        }
    }
}

fn section(section: &Section) -> Markup {
    html! {
        tr {
            td.n { (section.index) }
            td.name { code { (section.name) } }
            td.prose {
                (section.role)
                @match section.relocations {
                    0 => {}
                    1 => { ", 1 relocation" }
                    many => { ", " (many) " relocations" }
                }
                br;
                small { (section.why) }
            }
            td.n data-is="file at" { (section.offset) }
            td.n data-is="bytes" { (section.size) }
            td { (section.flags.join(", ")) }
        }
    }
}

fn symbols(file: &File) -> Markup {
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th.n { "no." } th { "symbol" } th { "what it names" } th { "section" }
                        th.n { "at" } th.n { "bytes" } th { "kind" }
                    }
                }
                tbody { @for symbol in &file.symbols { (self::symbol(symbol)) } }
            }
        }
        p.about { "And " (file.other_symbols) " more: labels, sections, the source file's name." }
    }
}

fn symbol(symbol: &Symbol) -> Markup {
    html! {
        tr {
            td.n { (symbol.index) }
            td.name { code { (symbol.name) } }
            td { (symbol.names) }
            td { code { (symbol.section.as_deref().unwrap_or("nowhere")) } }
            td.n data-is="at" { (symbol.value) }
            td.n data-is="bytes" { (symbol.size) }
            td { (symbol.binding) " " (symbol.kind) }
        }
    }
}
