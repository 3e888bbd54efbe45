//! The face for a browser: what holds for the page of every committed object. `cargo xtask browser` opens it in one.
#![cfg(test)]

mod common;

use std::collections::BTreeSet;

use common::{all, explained};
use rxdp_explain::html::html;
use rxdp_explain::model::{
    Attachment, Explanation, Kernel, LoadedProgram, MachineInstruction, MessagePart, RefusedProgram, Xlated,
    XlatedInstruction,
};
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;

/// The most that a page of a large object may take, in bytes.
const LARGEST: usize = 2_000_000;

/// Instructions of a large object.
const LARGE: usize = 2000;

fn select<'p>(page: &'p Html, what: &str) -> Vec<ElementRef<'p>> {
    page.select(&Selector::parse(what).expect("a selector")).collect()
}

fn values(page: &Html, attribute: &str) -> Vec<String> {
    let found = select(page, &format!("[{attribute}]")).into_iter();
    found.filter_map(|element| element.attr(attribute).map(str::to_string)).collect()
}

/// What a reader sees, with single blanks.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shown(page: &Html) -> String {
    let main = select(page, "body").into_iter().flat_map(|body| body.text()).collect::<String>();
    words(&main)
}

fn with_kernel(mut explanation: Explanation) -> Explanation {
    let program = &explanation.programs[0];
    let instruction =
        |text: &str| XlatedInstruction { at: 0, bytes: "95".to_string(), text: text.to_string() };
    explanation.kernel = Some(Kernel {
        calls: explanation.plan.calls.clone(),
        map_fd: Vec::new(),
        prog_fd: vec![LoadedProgram {
            index: program.index,
            name: program.name.clone(),
            section: program.section.clone(),
            fd: 5,
            id: 77,
            tag: "0123456789abcdef".to_string(),
            verified_instructions: 41,
            statistics: vec!["processed 41 insns".to_string()],
            log: "func#0 @0\n0: (bf) r6 = r1\n; a < b && \"c\"\n1: (95) exit\nprocessed 41 insns\n"
                .to_string(),
            log_cut: true,
            xlated: vec![Xlated {
                ours: vec![instruction("call ours#1")],
                kernel: vec![instruction("call theirs")],
                differs: true,
            }],
            machine_code: vec![MachineInstruction {
                offset: 10,
                bytes: "c3".to_string(),
                text: "ret".to_string(),
            }],
            machine_bytes: 1,
        }],
        refused: vec![RefusedProgram {
            told: Vec::new(),
            name: "refused_one".to_string(),
            errno: "EACCES".to_string(),
            log: "0: (95) exit\nR0 !read_ok\n".to_string(),
            log_cut: false,
        }],
        slots: Vec::new(),
        attachment: Some(Attachment {
            program: program.name.clone(),
            interface: "v0".to_string(),
            mode: Some("native".to_string()),
            message: vec![MessagePart {
                offset: 0,
                bytes: "34 00 00 00".to_string(),
                depth: 0,
                name: "nlmsg_len".to_string(),
                meaning: "52 bytes".to_string(),
            }],
            reply: "no error".to_string(),
            answer: Vec::new(),
        }),
        notes: vec!["loaded without types".to_string()],
        problems: vec!["a problem of the kernel".to_string()],
    });
    explanation
}

/// Explanations of all kinds: of every committed object, one with types, one with the kernel's answers.
fn explanations() -> Vec<(String, Explanation)> {
    let mut found: Vec<(String, Explanation)> =
        all().into_iter().map(|name| (name.clone(), explained(&name, None))).collect();
    found.push(("core_kinds.o with types".to_string(), explained("core_kinds.o", Some("core_target.o"))));
    found.push(("tail_kern.o --live".to_string(), with_kernel(explained("tail_kern.o", None))));
    found
}

#[test]
fn a_page_is_well_formed() {
    for (name, explanation) in explanations() {
        let page = Html::parse_document(&html(&explanation));
        assert!(page.errors.is_empty(), "{name}: {:?}", page.errors);
        for part in ["main", "header", "nav", "footer", "h1", "title"] {
            assert!(!select(&page, part).is_empty(), "{name}: no {part}");
        }
    }
    // A parser that says yes to everything checks nothing.
    assert!(!Html::parse_document("<!DOCTYPE html><p></div>").errors.is_empty());
}

#[test]
fn every_link_has_its_target_and_no_name_is_given_twice() {
    let mut links = 0usize;
    for (name, explanation) in explanations() {
        let page = Html::parse_document(&html(&explanation));
        let ids = values(&page, "id");
        let unique: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: an id is given twice");
        for link in values(&page, "href") {
            let target = link.strip_prefix('#').unwrap_or_else(|| panic!("{name}: {link} leads away"));
            assert!(unique.contains(&target.to_string()), "{name}: {link} leads nowhere");
            links = links.saturating_add(1);
        }
        for title in values(&page, "aria-labelledby") {
            assert!(unique.contains(&title), "{name}: {title} names nothing");
        }
    }
    assert!(links > 2000, "only {links} links were looked at");
}

#[test]
fn nothing_is_loaded_and_nothing_runs_that_does_not_stand_in_the_script() {
    for (name, explanation) in explanations() {
        let page = Html::parse_document(&html(&explanation));
        for attribute in ["src", "srcset", "data", "action", "onclick", "onload", "onmouseover"] {
            assert!(values(&page, attribute).is_empty(), "{name}: {attribute}");
        }
        for element in ["link", "iframe", "object", "embed", "img", "form", "base"] {
            assert!(select(&page, element).is_empty(), "{name}: {element}");
        }
        assert_eq!(select(&page, "script").len(), 1, "{name}");
        let style: String = select(&page, "style").into_iter().flat_map(|style| style.text()).collect();
        assert!(!style.contains("url(") && !style.contains("@import"), "the style loads something");
        let policy = select(&page, "meta[http-equiv=Content-Security-Policy]");
        let policy = policy.first().and_then(|meta| meta.attr("content")).unwrap_or_default();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
    }
}

/// Strings of an explanation that the page shows in other words, or as the last part of a longer one.
const OTHERWISE: &[&str] = &["kind", "origin", "part", "binding"];

#[test]
fn every_value_is_on_the_page() {
    let mut looked_at = 0usize;
    for (name, explanation) in explanations() {
        let page = shown(&Html::parse_document(&html(&explanation)));
        let mut value = serde_json::to_value(&explanation).expect("JSON");
        // What the text shows of a linked program are its changes.
        for linked in value["linked"].as_array_mut().expect("programs") {
            linked["instructions"] = Value::Null;
        }
        let mut strings = Vec::new();
        collect("", &value, &mut strings);
        for (key, string) in strings {
            for line in string.lines() {
                assert!(page.contains(&words(line)), "{name}: {key} {line:?} is not on the page");
                looked_at = looked_at.saturating_add(1);
            }
        }
    }
    assert!(looked_at > 20_000, "only {looked_at} values were looked at");
}

fn collect(key: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(string) if !OTHERWISE.contains(&key) => found.push((key.to_string(), string.clone())),
        Value::Array(all) => all.iter().for_each(|value| collect(key, value, found)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| collect(key, value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn numbers_are_on_the_page() {
    let page = shown(&Html::parse_document(&html(&explained("tail_kern.o", None))));
    for text in [
        "3,728",
        "the section table starts at byte 2768",
        "bytes 28 to 55",
        "1 instruction of 51 slots changed",
        "calls bpf_tail_call at slot 23: table jmp_table1, key 78",
        "xdp_prog uses jmp_table1 at slot 20",
        "slots 0 to 50",
        "expected_attach_type 37 (xdp)",
    ] {
        assert!(page.contains(text), "{text:?} is not on the page");
    }
}

#[test]
fn names_out_of_an_object_are_text() {
    let evil = "<img src=x onerror=alert(1)>&amp;\"'</script></style>";
    let mut explanation = with_kernel(explained("tail_kern.o", None));
    explanation.object.path = evil.to_string();
    explanation.object.name = evil.to_string();
    explanation.maps[0].name = evil.to_string();
    explanation.programs[0].name = evil.to_string();
    explanation.programs[0].section = evil.to_string();
    explanation.functions[0].name = evil.to_string();
    explanation.functions[0].lines[0].text = evil.to_string();
    explanation.functions[0].lines[0].file = evil.to_string();
    explanation.file.sections[1].name = evil.to_string();
    explanation.file.symbols[0].name = evil.to_string();
    explanation.graph.tables[0].name = evil.to_string();
    explanation.plan.calls[0].about = evil.to_string();
    explanation.linked[0].changes[0].symbol = evil.to_string();
    if let Some(kernel) = &mut explanation.kernel {
        kernel.prog_fd[0].log = format!("0: {evil}\n");
        kernel.refused[0].name = evil.to_string();
    }
    let text = html(&explanation);
    let page = Html::parse_document(&text);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    assert!(select(&page, "img").is_empty() && values(&page, "onerror").is_empty());
    assert!(!text.contains("<img") && text.contains("&lt;img"));
    assert_eq!((select(&page, "script").len(), select(&page, "style").len()), (1, 1));
    assert!(shown(&page).contains(&words(evil)), "it is shown as it is");
}

#[test]
fn a_large_object_makes_no_large_page() {
    let text = html(&explained("large/large.o", None));
    assert!(text.len() < LARGEST, "{} bytes", text.len());
    let page = Html::parse_document(&text);
    let rows = select(&page, ".function .code p:not(.s), .function .code details");
    assert!(rows.len() >= LARGE, "{} instructions are on the page", rows.len());
}

#[test]
fn the_page_is_the_same_every_time() {
    for name in ["tail_kern.o", "several.o", "data.o"] {
        assert_eq!(html(&explained(name, None)), html(&explained(name, None)), "{name}");
    }
}
