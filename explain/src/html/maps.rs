//! Maps: each definition, what it says, and the call that follows.

use maud::{Markup, html};

use super::parts::{fact, maybe, wrap_at};
use super::places;
use crate::model::{Attribute, Definition, Field, Map, Origin};

pub(super) fn maps(maps: &[Map]) -> Markup {
    html! {
        @if maps.is_empty() { p.none { "None." } }
        @for map in maps { (self::map(map)) }
    }
}

fn map(map: &Map) -> Markup {
    let title = format!("{}-title", places::map(map.index));
    html! {
        article id=(places::map(map.index)) aria-labelledby=(title) {
            h3 id=(title) {
                span.index { "map_fd[" (map.index) "]" } " " code { (wrap_at(&map.name)) } " "
                span.kind { (map.ty) }
            }
            dl.facts {
                (fact("index", &map.order))
                (fact("defined in", place(map)))
                (fact("read as", read_as(map)))
            }
            @if let Some(definition) = &map.definition {
                @if !definition.fields.is_empty() { (fields(map.origin, definition)) }
            }
            dl.facts {
                (maybe("inner maps", map.inner.as_ref()))
                @for slot in &map.slots {
                    (fact("slot", format!("[{}] = {}", slot.key, slot.value)))
                }
                (maybe("pinned", map.pinning.as_ref()))
            }
            @if !map.create.is_empty() { (create(&map.create)) }
            @if let Some(contents) = &map.contents { p { "Then " (contents) "." } }
            @if let Some(problem) = &map.problem {
                p.bad { strong { "Not created: " } (problem) }
            }
        }
    }
}

fn place(map: &Map) -> Markup {
    if map.origin == Origin::Kconfig {
        return html! { "externs of section " code { (map.section) } ", which stands in no file" };
    }
    html! {
        "section " code { (map.section) }
        @if let Some(Definition { offset, size, .. }) = &map.definition {
            ", bytes " (offset) " to " (offset.saturating_add(*size).saturating_sub(1))
        }
    }
}

fn read_as(map: &Map) -> Markup {
    html! {
        @if let Some(dialect) = &map.dialect { "dialect " (dialect) "; " }
        (map.why)
    }
}

fn fields(origin: Origin, definition: &Definition) -> Markup {
    let types = origin != Origin::Numbers;
    let bytes = definition.fields.iter().any(|field| !field.bytes.is_empty());
    html! {
        div.wide {
            table.bytes {
                thead {
                    tr {
                        th.n { "byte" }
                        @if bytes { th { "bytes" } } @else { th.n { "size" } }
                        th { "field" }
                        @if types { th { "type" } }
                        th { "what it says" }
                    }
                }
                tbody { @for field in &definition.fields { (self::field(field, types, bytes)) } }
            }
        }
    }
}

fn field(field: &Field, types: bool, bytes: bool) -> Markup {
    html! {
        tr {
            td.n data-is="byte" { (field.offset) }
            @if bytes { td { code { (field.bytes) } } } @else { td.n data-is="size" { (field.size) } }
            td.name { code { (field.name) } }
            @if types { td { code { (field.c_type.as_deref().unwrap_or("?")) } } }
            td.prose {
                @if field.meaning.is_empty() { (field.size) " bytes" } @else { (field.meaning) }
            }
        }
    }
}

fn create(attributes: &[Attribute]) -> Markup {
    html! {
        div.wide {
            table.create {
                caption { "so the kernel is asked: " code { "BPF_MAP_CREATE" } }
                tbody {
                    @for attribute in attributes {
                        tr {
                            th scope="row" { code { (attribute.name) } }
                            td { code { (attribute.value) } }
                            td.prose { (attribute.from) }
                        }
                    }
                }
            }
        }
    }
}
