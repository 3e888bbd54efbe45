//! The book in `docs/book`: its commands print what it shows, its code is the project's, its links lead somewhere.
#![cfg(test)]

#[path = "common/console.rs"]
mod console;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use console::{Who, root};
use rxdp_sandbox::testing::kernel_or_skip;

const BOOK: &str = "docs/book/src";
const SUMMARY: &str = "docs/book/src/SUMMARY.md";

#[test]
fn commands_print_what_the_book_shows() {
    let pages = console::pages(BOOK);
    let shown: usize = pages.iter().map(|page| console::commands(page)).sum();
    assert!(shown >= 30, "the book shows commands, not only {shown}");
    let wrong: Vec<String> = pages.iter().flat_map(|page| console::differences(page, Who::Anybody)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[test]
fn commands_of_root_print_what_the_book_shows() {
    let Some(sandbox) = kernel_or_skip("commands_of_root_print_what_the_book_shows") else {
        return;
    };
    sandbox.add_veth("eth0", "peer0").expect("an interface with the name that people use");
    let pages = console::pages(BOOK);
    let wrong: Vec<String> =
        pages.iter().flat_map(|page| console::differences(page, Who::Root(&sandbox))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[test]
fn code_is_the_project_s() {
    let mut blocks = 0;
    for page in console::pages(BOOK) {
        for (info, text) in fenced(&read(&page)) {
            let (language, file) = info.split_once(',').unwrap_or((&info, ""));
            match language {
                // Run, or drawn.
                "console" | "text" => continue,
                "c" | "rust" | "toml" => {}
                other => panic!("{page}: a block of {other:?}, which nothing checks"),
            }
            let source = read(file);
            for piece in text.split("[...]\n") {
                assert!(source.contains(piece), "{page}: {file} does not have:\n{piece}");
            }
            blocks += 1;
        }
    }
    assert!(blocks >= 5, "the book shows code");
}

#[test]
fn every_page_is_in_the_summary() {
    let listed: BTreeSet<String> =
        links(&read(SUMMARY)).into_iter().map(|target| format!("{BOOK}/{target}")).collect();
    let mut there: BTreeSet<String> = console::pages(BOOK).into_iter().collect();
    there.remove(SUMMARY);
    assert_eq!(listed, there);
}

/// What is said in `docs/` is not said again in the book: it takes those pages in as they are.
#[test]
fn every_page_of_docs_is_in_the_book() {
    for page in console::pages("docs") {
        let name = Path::new(&page).file_name().expect("a name").to_string_lossy().into_owned();
        let (chapter, wanted) = (format!("{BOOK}/{name}"), format!("{{{{#include ../../{name}}}}}\n"));
        let found = fs::read_to_string(root().join(&chapter)).ok();
        assert_eq!(found.as_ref(), Some(&wanted), "{chapter} is to be this one line, and in the summary");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let pages = [
        vec!["README.md".to_string(), "ARCHITECTURE.md".to_string(), "CONTRIBUTING.md".to_string()],
        console::pages("docs"),
        console::pages("docs/decisions"),
        console::pages(BOOK),
    ]
    .concat();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in &pages {
        for target in links(&whole(page)) {
            if target.contains("://") {
                continue;
            }
            checked += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { page.clone() } else { beside(page, file) };
            if page.starts_with(BOOK) && !file.starts_with(BOOK) {
                wrong.push(format!("{page}: {target} leads out of the book"));
            } else if !root().join(&file).exists() {
                wrong.push(format!("{page}: {target}: no {file}"));
            } else if !anchor.is_empty() && !anchors(&whole(&file)).contains(anchor) {
                wrong.push(format!("{page}: {target}: {file} has no such heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked > 50, "links are found, not only {checked}");
}

#[test]
fn links_and_headings_are_found() {
    let text =
        "# A `title`, or two\n[a](b.md#c) and [d](#e)\n```text\n# no\n[x](y)\n```\n`[x](y)` ![p](q.png)\n";
    assert_eq!(links(text), ["b.md#c", "#e", "q.png"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-title-or-two".to_string()]));
    assert_eq!(beside("docs/book/src/a.md", "../../b.md"), "docs/b.md");
}

/// Blocks of code: what stands behind the fence, and what is in them.
fn fenced(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_string(), String::new())),
            (None, None) => {}
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => *text += &format!("{line}\n"),
        }
    }
    found
}

/// A page with the pages that it takes in.
fn whole(page: &str) -> String {
    let include = |line: &str| {
        let file = line.strip_prefix("{{#include ")?.strip_suffix("}}")?;
        Some(read(&beside(page, file)))
    };
    read(page).lines().map(|line| include(line).unwrap_or(format!("{line}\n"))).collect()
}

/// A page without its code.
fn prose(text: &str) -> String {
    let mut code = false;
    let mut prose = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        if !code && !fence {
            prose += &format!("{line}\n");
        }
    }
    prose
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    // Every second piece between backquotes is code.
    let words: String =
        prose.split('`').enumerate().map(|(at, piece)| if at % 2 == 0 { piece } else { "code" }).collect();
    words
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_string())
        .collect()
}

/// The names by which a page's headings can be linked to, as mdBook and code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The path that a link in `page` means, from the repository's root.
fn beside(page: &str, target: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(target).components() {
        if part == Component::ParentDir {
            assert!(path.pop(), "{page}: {target} leads out of the repository");
        } else {
            path.push(part);
        }
    }
    path.display().to_string()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
