//! The face for a terminal: an [`Explanation`] as text, at most 100 columns wide.
//!
//! Works nothing out: what is shown stands in the model.

mod btf;
mod code;
mod graph;
mod join;
mod kernel;
mod maps;
mod page;
mod parts;

use crate::model::{Explanation, Part};
use crate::words;

use page::{Page, bad, dim, name, plain, title};

/// How to show an explanation.
#[derive(Clone, Debug)]
pub struct Style {
    /// The parts to show; all if there are none.
    pub parts: Vec<Part>,
    /// Whether the terminal takes colours.
    pub colors: bool,
}

/// An explanation as text.
pub fn text(explanation: &Explanation, style: &Style) -> String {
    let mut page = Page::new(style.colors);
    let all = style.parts.is_empty();
    if all {
        summary(&mut page, explanation);
    }
    let mut first = !all;
    for part in Part::ALL {
        let asked = all || style.parts.contains(&part);
        if !asked || (all && is_left_out(explanation, part)) {
            continue;
        }
        if !first {
            page.blank();
        }
        first = false;
        heading(&mut page, part);
        for problem in explanation.problems.iter().filter(|problem| problem.part == part) {
            page.line(2, 4, &[bad("cannot be shown: "), plain(&problem.why)]);
        }
        show(&mut page, explanation, part);
    }
    page.finish()
}

/// Parts that only some explanations have.
fn is_left_out(explanation: &Explanation, part: Part) -> bool {
    part == Part::Kernel && explanation.kernel.is_none() || part == Part::Join && explanation.join.is_none()
}

fn summary(page: &mut Page, explanation: &Explanation) {
    let object = &explanation.object;
    page.line(0, 4, &[name(&object.path), plain(format!(": {} bytes", object.bytes))]);
    let machine = &explanation.machine;
    page.line(0, 4, &[plain(format!("for Linux {}; types: {}", machine.kernel, machine.types))]);
}

fn heading(page: &mut Page, part: Part) {
    let word = part.name().to_uppercase();
    page.line(0, 4, &[title(word), plain("  "), dim(words::about(part))]);
}

fn show(page: &mut Page, explanation: &Explanation, part: Part) {
    match part {
        Part::Join => match &explanation.join {
            Some(join) => join::join(page, join),
            None => page.line(2, 4, &[plain("it is one file: --link joins it with others")]),
        },
        Part::File => parts::file(page, &explanation.file),
        Part::Maps => maps::maps(page, &explanation.maps),
        Part::Programs => parts::programs(page, &explanation.programs),
        Part::Code => code::functions(page, &explanation.functions),
        Part::Relocations => code::linked(page, explanation),
        Part::Graph => graph::graph(page, &explanation.graph, &explanation.maps, &explanation.programs),
        Part::Btf => btf::btf(page, &explanation.btf),
        Part::Plan => parts::plan(page, &explanation.plan),
        Part::Kernel => match &explanation.kernel {
            Some(kernel) => kernel::kernel(page, kernel),
            None => page.line(2, 4, &[plain("the kernel was not asked: --live asks it (as root)")]),
        },
    }
}
