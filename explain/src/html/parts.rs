//! What several parts of the page are made of: facts, kernel calls, names that may break.

use maud::{Markup, PreEscaped, html};

use crate::model::{Argument, Call, Plan};

/// A word and what is to be said about it; stands in a `dl.facts`.
pub(super) fn fact(word: &str, text: impl maud::Render) -> Markup {
    html! { dt { (word) } dd { (text) } }
}

/// The same of what may not be there.
pub(super) fn maybe(word: &str, text: Option<impl maud::Render>) -> Markup {
    html! { @if let Some(text) = text { (fact(word, text)) } }
}

/// A long name that may break behind `/`, `_` and `.`, so that it fits a phone.
pub(super) fn wrap_at(name: &str) -> Markup {
    html! {
        @for piece in name.split_inclusive(['/', '_', '.']) {
            (piece) (PreEscaped("<wbr>"))
        }
    }
}

/// A number with commas between thousands.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// "1 map", "2 maps".
pub(super) fn count(many: usize, what: &str) -> String {
    let s = if many == 1 { "" } else { "s" };
    format!("{} {what}{s}", number(u64::try_from(many).unwrap_or(u64::MAX)))
}

pub(super) fn plan(plan: &Plan) -> Markup {
    html! {
        @if let Some(inference) = &plan.inference { p.note { (inference) } }
        (calls(&plan.calls))
        @for refused in &plan.refused {
            p.bad { strong { "Not loaded: " } (refused) }
        }
        @if plan.calls.is_empty() && plan.refused.is_empty() { p.none { "No calls." } }
    }
}

/// Calls with their arguments. Why a command is called is said at its first call.
pub(super) fn calls(calls: &[Call]) -> Markup {
    let mut explained: Vec<&str> = Vec::new();
    html! {
        ol.calls {
            @for call in calls {
                @let first = !explained.contains(&call.why.as_str());
                li {
                    span.n { (call.number) }
                    div {
                        p.call {
                            code.command { (call.command) } " " strong { (wrap_at(&call.about)) }
                            @if let Some(reply) = &call.reply {
                                span.reply.no[!reply.starts_with("ok")] { "→ " (reply) }
                            }
                        }
                        @if first {
                            @let () = explained.push(&call.why);
                            p.why { (call.why) }
                        }
                        @if !call.arguments.is_empty() { p.arguments { (arguments(&call.arguments)) } }
                        @if !call.answer.is_empty() { p.arguments { "→ " (arguments(&call.answer)) } }
                    }
                }
            }
        }
    }
}

fn arguments(all: &[Argument]) -> Markup {
    html! {
        @for argument in all {
            code { span { (argument.name) "=" } (argument.value) } " "
        }
    }
}
