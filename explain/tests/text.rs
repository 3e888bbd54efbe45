//! The face for a terminal: what it shows of the committed objects, as goldens, and what holds for all of them.
#![cfg(test)]

mod common;

use common::{all, check, explained, explained_for};
use rxdp_explain::model::Part;
use rxdp_explain::text::{Style, text};
use rxdp_loader::features::{Features, KernelVersion, Machine};

fn shown(name: &str, types: Option<&str>, parts: &[Part]) -> String {
    text(&explained(name, types), &Style { parts: parts.to_vec(), colors: false })
}

#[test]
fn the_articles_object() {
    check("tail_kern", &shown("tail_kern.o", None, &[]));
}

#[test]
fn maps_in_every_form() {
    let each = [
        "tail_kern-btf_maps.o",
        "iproute2.o",
        "data.o",
        "values.o",
        "inner_maps.o",
        "struct_ops.o",
        "types.o",
    ];
    let all: Vec<String> =
        each.iter().map(|name| format!("{name}\n{}", shown(name, None, &[Part::Maps]))).collect();
    check("maps", &all.join("\n"));
}

#[test]
fn sections_that_are_compressed_or_empty_say_so() {
    let each = ["data-zstd.o", "data-zlib.o"].map(|name| shown(name, None, &[Part::File]));
    check("sections", &each.join("\n"));
}

#[test]
fn what_the_kernel_is_configured_with() {
    check("kconfig", &shown("types.o", None, &[Part::Relocations, Part::Plan]));
}

#[test]
fn every_kind_of_change() {
    let core = shown("core_kinds.o", Some("core_target.o"), &[Part::Relocations]);
    check("core_kinds", &core);
    let others = ["calls.o", "data.o", "callbacks.o"].map(|name| shown(name, None, &[Part::Relocations]));
    check("relocations", &others.join("\n"));
}

#[test]
fn tail_calls_that_are_known_and_that_are_not() {
    let each = ["two_readings.o", "reached.o", "several.o", "socket_slots.o"];
    let all: Vec<String> =
        each.iter().map(|name| shown(name, None, &[Part::Programs, Part::Graph])).collect();
    check("graph", &all.join("\n"));
}

#[test]
fn types_on_their_way_to_kernels_of_today_and_of_old() {
    let shown = |name: &str, kernel: KernelVersion| {
        let machine = Machine { kernel, features: Features::of(kernel), ..Machine::NEWEST };
        let style = Style { parts: vec![Part::Btf], colors: false };
        format!("{name} for Linux {kernel}\n{}", text(&explained_for(name, None, &machine), &style))
    };
    let versions = [Machine::NEWEST.kernel, version(5, 4), version(4, 18), version(4, 14)];
    let mut all: Vec<String> = versions.map(|kernel| shown("types.o", kernel)).to_vec();
    all.extend(["ksyms.o", "core_kinds.o", "tail_kern-clang22.o"].map(|name| shown(name, versions[0])));
    check("types", &all.join("\n"));
}

fn version(major: u8, minor: u8) -> KernelVersion {
    KernelVersion { major, minor, patch: 0 }
}

#[test]
fn no_line_is_wider_than_a_page() {
    let mut lines = 0usize;
    for name in all() {
        for line in shown(&name, None, &[]).lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
            lines = lines.saturating_add(1);
        }
    }
    assert!(lines > 5000, "only {lines} lines were looked at");
}

#[test]
fn colors_change_nothing_but_colors() {
    let explanation = explained("tail_kern.o", None);
    let plain = text(&explanation, &Style { parts: Vec::new(), colors: false });
    let colored = text(&explanation, &Style { parts: Vec::new(), colors: true });
    assert!(!plain.contains('\x1b') && colored.contains('\x1b'));
    assert_eq!(without_escapes(&colored), plain);
}

/// Text without `ESC [ ... m`.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |out, part| out + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn sections_narrow_what_is_shown() {
    let maps = shown("tail_kern.o", None, &[Part::Maps]);
    assert!(maps.starts_with("MAPS") && !maps.contains("PROGRAMS"));
    let both = shown("tail_kern.o", None, &[Part::Plan, Part::Maps]);
    assert!(both.contains(&maps) && both.contains("PLAN"), "parts come in their order");
    let kernel = shown("tail_kern.o", None, &[Part::Kernel]);
    assert!(kernel.contains("--live"), "who asks for what is not there is told how to get it");
}
