//! Every way in which attaching is known to fail: provoked, and what is said about it compared with
//! `docs/attach-failures.md`, word for word.
//!
//! Each case stands on a sandbox of its own. `UPDATE_EXPECT=1` writes our column anew. With `RXDP_PEERS=1` besides, bpftool, ip
//! and xdp-loader are brought into the same situations, where they are installed, and their words are written down, too: no
//! test compares those.
#![cfg(test)]

#[path = "common/attach_cases.rs"]
mod attach_cases;
mod common;
#[path = "common/console.rs"]
mod console;

use std::fmt::Write as _;
use std::fs;

use attach_cases::{CASES, Case, peers};
use common::in_sandbox;

const PAGE: &str = "docs/attach-failures.md";

/// What stands before the cases.
const MARK: &str = "<!-- The rest is written by tests/attach_failures.rs. -->\n";

/// The first line of what other programs say.
const OTHERS: &str = "The others:\n";

#[test]
fn every_failure_is_explained_as_the_page_says() {
    in_sandbox(|_| {
        let page = fs::read_to_string(console::root().join(PAGE)).expect("the page");
        let (head, shown) = page.split_once(MARK).expect("the mark");
        let shown: Vec<&str> = shown.split("\n## ").skip(1).collect();
        let mut wrong = Vec::new();
        let mut anew = format!("{head}{MARK}");
        let mut differs = Vec::new();
        for (at, case) in CASES.iter().enumerate() {
            let title = format!("{}. {}", at.saturating_add(1), case.title);
            let old = shown.iter().find(|old| title_of(old) == Some(case.title));
            let ours = ours(case, &mut wrong);
            let others = match std::env::var("RXDP_PEERS").as_deref() {
                Ok("1") => peers(case),
                _ => {
                    old.and_then(|old| old.split_once(OTHERS)).map_or("", |(_, rest)| rest.trim()).to_string()
                }
            };
            let section = section(case, &title, &ours, &others);
            let lines = |text: &str| text.trim().lines().map(console::normal).collect::<Vec<_>>();
            let is_shown = old.is_some_and(|old| lines(old) == lines(&section));
            if !is_shown {
                differs.push(format!("{title}: it is\n{section}"));
            }
            // What differs from run to run only stays as it is.
            let kept =
                if is_shown { old.map_or(section.clone(), |old| (*old).trim().to_string()) } else { section };
            write!(anew, "\n## {}\n", kept.trim()).expect("text");
        }
        assert!(CASES.len() >= 25);
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        if console::update() {
            fs::write(console::root().join(PAGE), anew).expect("the page");
            return;
        }
        assert!(differs.is_empty(), "{PAGE}\n{}", differs.join("\n\n"));
        assert_eq!(shown.len(), CASES.len(), "the page has the cases, and no others");
    });
}

/// The title of a section, without its number.
fn title_of(section: &str) -> Option<&str> {
    section.lines().next()?.split_once(". ").map(|(_, title)| title)
}

/// What the command says; notes in `wrong` what is missing of it.
fn ours(case: &Case, wrong: &mut Vec<String>) -> String {
    let ran = case.run();
    let missing: Vec<&&str> = case.says.iter().filter(|word| !ran.err.contains(**word)).collect();
    if ran.code != Some(case.code) || !ran.out.is_empty() || !missing.is_empty() {
        wrong.push(format!("{}: no {missing:?} in {ran:#?}", case.title));
    }
    ran.err
}

fn section(case: &Case, title: &str, ours: &str, others: &str) -> String {
    let (how, code) = (case.how, case.code);
    let mut text =
        format!("{title}\n\n{how}\n\n```text\n# rxdp-load {}\n{ours}exit code {code}\n```\n", case.command());
    if !others.is_empty() {
        write!(text, "\n{OTHERS}\n{others}\n").expect("text");
    }
    text
}
