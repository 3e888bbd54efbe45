//! The face for a browser: an [`Explanation`] as one page of HTML that needs nothing but itself.
//!
//! Works nothing out: what is shown stands in the model. Everything that comes out of an object goes through `maud`, which
//! escapes it; style and script are files beside this one. Without the script all of it can be read: the script adds the
//! choice between before and after, and a panel about the instruction under the pointer.

mod btf;
mod changes;
mod code;
mod drawing;
mod file;
mod graph;
mod join;
mod kernel;
mod log;
mod maps;
mod parts;
mod pictures;
mod pipeline;
mod places;
mod programs;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::{Explanation, Part};
use crate::words;

use parts::wrap_at;
use places::Places;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the page may load and run: what stands in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// An explanation as a page of HTML: one file that loads nothing.
pub fn html(explanation: &Explanation) -> String {
    let places = Places::new(explanation);
    let title = format!("{}: how it is loaded", explanation.object.name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("rxdp-load ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#file" { "Skip to the file" }
                (top(explanation))
                (contents(explanation))
                main {
                    @for part in shown(explanation) {
                        (section(explanation, &places, part))
                    }
                }
                (foot())
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// The name of the file, or of all that were joined.
fn title_of(explanation: &Explanation) -> String {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
    match &explanation.join {
        Some(join) => join.files.iter().map(|file| name(&file.path)).collect::<Vec<_>>().join(" + "),
        None => name(&explanation.object.path),
    }
}

fn top(explanation: &Explanation) -> Markup {
    let object = &explanation.object;
    let machine = &explanation.machine;
    html! {
        header.top {
            p.kicker { "From bytes to a running program" }
            h1 { (wrap_at(&title_of(explanation))) }
            p.about {
                code { (wrap_at(&object.path)) } " · " (object.bytes) " bytes · for Linux " (machine.kernel)
                " · types: " (machine.types)
            }
            (pipeline::picture(explanation))
        }
    }
}

/// The parts that there are: one file was joined with nothing.
fn shown(explanation: &Explanation) -> impl Iterator<Item = Part> {
    let joined = explanation.join.is_some();
    Part::ALL.into_iter().filter(move |part| joined || *part != Part::Join)
}

/// The table of contents: parts, and what is in them.
fn contents(explanation: &Explanation) -> Markup {
    html! {
        nav.contents aria-label="Contents" {
            ol {
                @for part in shown(explanation) {
                    li {
                        a href={ "#" (part.name()) } { (heading(part)) }
                        (entries(explanation, part))
                    }
                }
            }
        }
    }
}

fn entries(explanation: &Explanation, part: Part) -> Markup {
    let named: Vec<(String, &str)> = match part {
        Part::Maps => {
            explanation.maps.iter().map(|map| (places::map(map.index), map.name.as_str())).collect()
        }
        Part::Programs => explanation
            .programs
            .iter()
            .map(|program| (places::program(program.index), program.name.as_str()))
            .collect(),
        Part::Code => explanation
            .functions
            .iter()
            .map(|function| (places::function(function.index), function.name.as_str()))
            .collect(),
        Part::Relocations => explanation
            .linked
            .iter()
            .map(|linked| (places::linked(linked.program), linked.name.as_str()))
            .collect(),
        Part::Kernel => explanation.kernel.iter().flat_map(kernel::entries).collect(),
        Part::Join | Part::File | Part::Graph | Part::Btf | Part::Plan => Vec::new(),
    };
    html! {
        @if !named.is_empty() {
            ol {
                @for (id, name) in &named {
                    li { a href={ "#" (id) } { (name) } }
                }
            }
        }
    }
}

const fn heading(part: Part) -> &'static str {
    match part {
        Part::Join => "Join",
        Part::File => "File",
        Part::Maps => "Maps",
        Part::Programs => "Programs",
        Part::Code => "Code",
        Part::Relocations => "Relocations",
        Part::Graph => "Graph",
        Part::Btf => "Types",
        Part::Plan => "Plan",
        Part::Kernel => "Kernel",
    }
}

fn section(explanation: &Explanation, places: &Places<'_>, part: Part) -> Markup {
    let problems = explanation.problems.iter().filter(|problem| problem.part == part);
    html! {
        section id=(part.name()) aria-labelledby={ (part.name()) "-title" } {
            h2 id={ (part.name()) "-title" } { (heading(part)) }
            p.about { (words::about(part)) }
            @for problem in problems {
                p.bad { strong { "Cannot be shown: " } (problem.why) }
            }
            (show(explanation, places, part))
        }
    }
}

fn show(explanation: &Explanation, places: &Places<'_>, part: Part) -> Markup {
    match part {
        Part::Join => match &explanation.join {
            Some(join) => join::join(join),
            None => html! {},
        },
        Part::File => file::file(&explanation.file),
        Part::Maps => maps::maps(&explanation.maps),
        Part::Programs => programs::programs(&explanation.programs),
        Part::Code => code::functions(explanation, places),
        Part::Relocations => changes::linked(explanation, places),
        Part::Graph => graph::graph(explanation, places),
        Part::Btf => btf::btf(&explanation.btf),
        Part::Plan => parts::plan(&explanation.plan),
        Part::Kernel => match &explanation.kernel {
            Some(kernel) => kernel::kernel(kernel, explanation),
            None => html! {
                p.none { "The kernel was not asked: " code { "--live" } " asks it (as root)." }
            },
        },
    }
}

fn foot() -> Markup {
    html! {
        footer {
            p {
                "Positions of instructions are in slots of 8 bytes, as the kernel counts them; a 64-bit load takes two. "
                "Made by " code { "rxdp-load explain --format html" } "."
            }
        }
        aside #look hidden aria-live="polite" aria-label="The instruction under the pointer" {}
    }
}
