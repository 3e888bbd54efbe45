//! Types on their way to the kernel.

use super::page::{Page, bad, dim, name, plain};
use crate::model::{Btf, Detail, Fate, FateKind, TypeChange};

pub(super) fn btf(page: &mut Page, btf: &Btf) {
    if btf.types > 0 {
        let bytes = btf.file_bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
        let added = if btf.added == 0 { String::new() } else { format!("; {} added", btf.added) };
        line(page, "in the object", &format!("{} types{bytes}{added}", btf.types));
    }
    if let Some(bytes) = btf.sent_bytes {
        let types = btf.types.saturating_add(btf.added);
        let words = format!(
            "BPF_BTF_LOAD of {bytes} bytes: {types} types under the same numbers, {} bytes of names and source lines",
            btf.name_bytes
        );
        line(page, "to the kernel", &words);
    }
    if let Some(problem) = &btf.problem {
        page.line(2, 19, &[bad(format!("{:<17}", "not sent")), plain(problem)]);
    }
    if let Some(why) = &btf.all_needed {
        line(page, "all are needed", why);
    }
    btf.fates.iter().for_each(|fate| self::fate(page, fate));
    for changes in btf.changes.chunk_by(|one, next| one.reason == next.reason) {
        page.blank();
        alike(page, changes, btf.sent_bytes.is_some());
    }
    if btf.more_changes > 0 {
        page.blank();
        page.line(2, 4, &[dim(format!("and {} more changes", btf.more_changes))]);
    }
}

fn line(page: &mut Page, word: &str, text: &str) {
    page.line(2, 19, &[dim(format!("{word:<17}")), plain(text)]);
}

fn fate(page: &mut Page, fate: &Fate) {
    let word = match fate.what {
        FateKind::Kept => "as they are",
        FateKind::Changed => "changed",
        FateKind::Placeholder => "a pointer to void",
    };
    let title = format!("{:>7}  {word:<17}  ", fate.types);
    page.line(2, 30, &[plain(title), plain(&fate.why)]);
    let kinds: Vec<String> = fate.kinds.iter().map(|of| format!("{} {}", of.types, of.kind)).collect();
    let mut words = kinds.join(", ");
    if !fate.names.is_empty() {
        words += &format!(": {}", fate.names.join(", "));
    }
    page.line(30, 30, &[dim(words)]);
}

/// Changes of one reason.
fn alike(page: &mut Page, changes: &[TypeChange], any_sent: bool) {
    let none_sent = changes.iter().all(|change| !change.sent);
    let more = if none_sent && any_sent { format!(". {NOT_SENT}") } else { String::new() };
    if let Some(first) = changes.first() {
        page.line(2, 4, &[plain(format!("{}{more}", first.reason))]);
    }
    changes.iter().for_each(|change| self::change(page, change, !none_sent));
}

/// Of a type that is changed and not sent.
const NOT_SENT: &str = "A pointer to void is sent all the same: the kernel will not ask";

fn change(page: &mut Page, change: &TypeChange, say_not_sent: bool) {
    let TypeChange { id, kind, name: called, .. } = change;
    page.line(4, 6, &[plain(format!("type {id}  {kind}  ")), name(called)]);
    for Detail { what, before, after } in &change.details {
        let arrow = if before.is_empty() { String::new() } else { format!("{before} -> ") };
        page.line(8, 36, &[dim(format!("{what:<26}  ")), plain(format!("{arrow}{after}"))]);
    }
    if change.more_details > 0 {
        page.line(8, 8, &[dim(format!("and {} more", change.more_details))]);
    }
    if !change.sent && say_not_sent {
        page.line(8, 8, &[dim(NOT_SENT)]);
    }
}
