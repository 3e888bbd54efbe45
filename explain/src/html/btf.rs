//! Types on their way to the kernel: how many become what, and what is other about those that change.

use maud::{Markup, html};

use super::parts::{count, fact, maybe, number, wrap_at};
use crate::model::{Btf, Detail, Fate, FateKind, TypeChange};

pub(super) fn btf(btf: &Btf) -> Markup {
    html! {
        @if let Some(problem) = &btf.problem { p.bad { strong { "Not sent: " } (problem) } }
        dl.facts {
            @if btf.types > 0 { (fact("in the object", object(btf))) }
            (maybe("to the kernel", btf.sent_bytes.map(|bytes| sent(btf, bytes))))
            (maybe("all are needed", btf.all_needed.as_ref()))
        }
        @if !btf.fates.is_empty() { (fates(&btf.fates)) }
        @for changes in btf.changes.chunk_by(|one, next| one.reason == next.reason) {
            (alike(changes, btf.sent_bytes.is_some()))
        }
        @if btf.more_changes > 0 { p.none { "And " (btf.more_changes) " more changes." } }
    }
}

fn object(btf: &Btf) -> Markup {
    html! {
        (types(btf.types))
        @if let Some(bytes) = btf.file_bytes { ", " (number(bytes)) " bytes" }
        @if btf.added > 0 { "; " (btf.added) " added" }
    }
}

fn sent(btf: &Btf, bytes: u64) -> Markup {
    html! {
        code { "BPF_BTF_LOAD" } " of " (number(bytes)) " bytes: " (types(btf.types.saturating_add(btf.added)))
        " under the same numbers, " (number(btf.name_bytes)) " bytes of names and source lines"
    }
}

fn types(many: u32) -> String {
    count(usize::try_from(many).unwrap_or(usize::MAX), "type")
}

fn fates(fates: &[Fate]) -> Markup {
    html! {
        div.wide {
            table.create {
                thead {
                    tr { th.n { "types" } th { "what becomes of them" } th { "why" } th { "kinds" } }
                }
                tbody { @for fate in fates { (self::fate(fate)) } }
            }
        }
    }
}

fn fate(fate: &Fate) -> Markup {
    let word = match fate.what {
        FateKind::Kept => "kept as they are",
        FateKind::Changed => "changed",
        FateKind::Placeholder => "placeholder: a pointer to void",
    };
    let kinds: Vec<String> = fate.kinds.iter().map(|of| format!("{} {}", of.types, of.kind)).collect();
    html! {
        tr {
            td.n data-is="types" { (number(fate.types.into())) }
            td { (word) }
            td.prose { (fate.why) }
            td.prose {
                (kinds.join(", "))
                @if !fate.names.is_empty() {
                    ": "
                    @for (at, name) in fate.names.iter().enumerate() {
                        @if at > 0 { ", " }
                        code { (wrap_at(name)) }
                    }
                }
            }
        }
    }
}

/// Changes of one reason.
fn alike(changes: &[TypeChange], any_sent: bool) -> Markup {
    html! {
        article {
            @if let Some(first) = changes.first() { p { (first.reason) "." } }
            div.wide {
                table.create {
                    thead { tr { th.n { "type" } th { "kind and name" } th { "what" } th { "before" } th { "now" } } }
                    tbody { @for change in changes { (self::change(change, any_sent)) } }
                }
            }
        }
    }
}

fn change(change: &TypeChange, any_sent: bool) -> Markup {
    let TypeChange { id, kind, name, details, more_details, sent, .. } = change;
    html! {
        @for (at, Detail { what, before, after }) in details.iter().enumerate() {
            tr {
                td.n data-is=[(at == 0).then_some("type")] { @if at == 0 { (id) } }
                td { @if at == 0 { (kind) " " code { (wrap_at(name)) } } }
                td { (wrap_at(what)) }
                td { code { (before) } }
                td { code { (after) } }
            }
        }
        @if *more_details > 0 { tr { td.n {} td.prose colspan="4" { "and " (more_details) " more" } } }
        @if !sent && any_sent {
            tr { td.n {} td.prose colspan="4" { "A pointer to void is sent all the same: the kernel will not ask." } }
        }
    }
}
