//! The picture across the top: the stages of a load, each with its figures and a link to its part.

use maud::{Markup, html};

use super::parts::{count, number};
use crate::model::{Explanation, Kernel};

struct Stage {
    /// The part that it leads to.
    to: &'static str,
    name: &'static str,
    figure: String,
    more: String,
    /// What the stage does, in a few words.
    does: &'static str,
}

pub(super) fn picture(explanation: &Explanation) -> Markup {
    let stages = stages(explanation);
    html! {
        nav.pipeline aria-label="The stages of a load" {
            ol {
                @for stage in &stages {
                    li.below[stage.to == "kernel"] {
                        a href={ "#" (stage.to) } {
                            span.name { (stage.name) }
                            strong { (stage.figure) }
                            span.more { (stage.more) }
                            span.does { (stage.does) }
                        }
                    }
                }
            }
        }
    }
}

fn stages(explanation: &Explanation) -> [Stage; 6] {
    let Explanation { file, maps, programs, linked, plan, .. } = explanation;
    let changed: usize = linked.iter().map(|linked| linked.changed().0).sum();
    let slots: u64 = linked.iter().flat_map(|l| &l.layout).map(|span| u64::from(span.slots)).sum();
    let (figure, more) =
        explanation.kernel.as_ref().map_or(("not asked".to_string(), "--live asks it".to_string()), answers);
    [
        Stage {
            to: "file",
            name: "Bytes",
            figure: number(explanation.object.bytes),
            more: match &explanation.join {
                Some(join) => format!("bytes of {} ELF files", join.files.len()),
                None => "bytes of an ELF file".to_string(),
            },
            does: "what the compiler wrote",
        },
        Stage {
            to: "sections",
            name: "Sections",
            figure: number(u64::try_from(file.sections.len()).unwrap_or(u64::MAX)),
            more: count(file.symbols.len(), "named symbol"),
            does: "each gets a role",
        },
        Stage {
            to: "maps",
            name: "Maps, programs",
            figure: count(maps.len(), "map"),
            more: count(programs.len(), "program"),
            does: "what the object means",
        },
        Stage {
            to: "relocations",
            name: "Link",
            figure: format!("{} changed", number(u64::try_from(changed).unwrap_or(u64::MAX))),
            more: format!("of {} slots", number(slots)),
            does: "one stream a program",
        },
        Stage {
            to: "plan",
            name: "Plan",
            figure: count(plan.calls.len(), "call"),
            more: "in order".to_string(),
            does: "what to ask of the kernel",
        },
        Stage { to: "kernel", name: "Kernel", figure, more, does: "verifies, compiles, runs" },
    ]
}

fn answers(kernel: &Kernel) -> (String, String) {
    let loaded = format!("{} loaded", kernel.prog_fd.len());
    let refused = kernel.refused.len();
    let more = match (&kernel.attachment, refused) {
        (_, 1..) => format!("{} refused", count(refused, "program")),
        (Some(_), _) => "attached".to_string(),
        (None, _) => count(kernel.map_fd.len(), "map"),
    };
    (loaded, more)
}
