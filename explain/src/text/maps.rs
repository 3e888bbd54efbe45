//! Maps.

use super::page::{Page, bad, dim, name, plain};
use super::parts::fact;
use crate::model::{Field, Map, Origin};

pub(super) fn maps(page: &mut Page, maps: &[Map]) {
    if maps.is_empty() {
        page.line(2, 4, &[plain("none")]);
    }
    for (number, map) in maps.iter().enumerate() {
        if number > 0 {
            page.blank();
        }
        self::map(page, map);
    }
}

fn map(page: &mut Page, map: &Map) {
    let title = format!("map_fd[{}]  ", map.index);
    page.line(2, 6, &[plain(title), name(&map.name), plain(format!("  {}", map.ty))]);
    fact(page, "index", &map.order);
    let place = match &map.definition {
        _ if map.origin == Origin::Kconfig => {
            format!("externs of section {:?}, which stands in no file", map.section)
        }
        Some(definition) => {
            format!(
                "section {:?}, bytes {} to {}",
                map.section,
                definition.offset,
                end(definition.offset, definition.size)
            )
        }
        None => format!("section {:?}", map.section),
    };
    fact(page, "defined in", &place);
    let dialect = map.dialect.as_ref().map(|dialect| format!("dialect {dialect}; ")).unwrap_or_default();
    fact(page, "read as", &format!("{dialect}{}", map.why));
    let fields = map.definition.as_ref().map(|found| found.fields.as_slice()).unwrap_or_default();
    for field in fields {
        self::field(page, map.origin, field);
    }
    if let Some(inner) = &map.inner {
        fact(page, "inner maps", inner);
    }
    for slot in &map.slots {
        fact(page, "slot", &format!("[{}] = {}", slot.key, slot.value));
    }
    if let Some(pinning) = &map.pinning {
        fact(page, "pinned", pinning);
    }
    if !map.create.is_empty() {
        fact(page, "BPF_MAP_CREATE", "");
    }
    for attribute in &map.create {
        let row = format!("{:<18}{}", attribute.name, attribute.value);
        let from = if attribute.from.is_empty() { String::new() } else { format!("   {}", attribute.from) };
        page.line(8, 26, &[plain(row), dim(from)]);
    }
    if let Some(contents) = &map.contents {
        fact(page, "then", contents);
    }
    if let Some(problem) = &map.problem {
        page.line(6, 21, &[bad(format!("{:<15}", "not created")), plain(problem)]);
    }
}

/// The last byte of something.
fn end(offset: u64, size: u64) -> u64 {
    offset.saturating_add(size).saturating_sub(1)
}

fn field(page: &mut Page, origin: Origin, field: &Field) {
    let Field { offset, size, .. } = field;
    match origin {
        Origin::Numbers => {
            let row = format!("{offset:>4}  {:<12}  {:<15}", field.bytes, field.name);
            page.line(8, 42, &[dim(row), plain(&field.meaning)]);
        }
        Origin::Types | Origin::StructOps => {
            let ty = field.c_type.as_deref().unwrap_or("?");
            let row = format!("{offset:>4}  {:<15}  {ty:<18}  ", field.name);
            page.line(8, 46, &[dim(row), plain(&field.meaning)]);
        }
        Origin::Kconfig => {
            let ty = field.c_type.as_deref().unwrap_or("?");
            page.line(8, 14, &[plain(format!("{offset:>4}  {size:>5} bytes  {ty} {}", field.name))]);
            page.line(27, 27, &[dim(&field.bytes)]);
            page.line(27, 27, &[plain(&field.meaning)]);
        }
        Origin::Variables => {
            let ty = field.c_type.as_deref().unwrap_or("?");
            let row = format!("{offset:>4}  {size:>5} bytes  {ty} {}  ", field.name);
            page.line(
                8,
                14,
                &[plain(row), dim(if field.meaning.is_empty() { &field.bytes } else { &field.meaning })],
            );
        }
    }
}
