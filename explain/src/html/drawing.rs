//! Draws boxes in two columns and the lines between them, as SVG. The same boxes give the same picture.
//!
//! The picture is as narrow as a phone, so that nothing in it has to shrink: long names break instead.

use maud::{Markup, html};

/// Width of the picture, of a column, and the most letters in a line of it.
const WIDTH: u32 = 360;
const COLUMN: u32 = 146;
const LETTERS: usize = 18;

const LINE: u32 = 16;
const ROW: u32 = 22;
const PADDING: u32 = 9;
const GAP: u32 = 14;

/// A box: a name, and rows below it that lines can lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    /// Where a click on it leads; nowhere if empty.
    pub(super) link: String,
    pub(super) rows: Vec<String>,
}

impl Node {
    fn head(&self) -> u32 {
        let lines = u32::try_from(lines(&self.name).len()).unwrap_or(1);
        lines.saturating_mul(LINE).saturating_add(PADDING.saturating_mul(2)).saturating_sub(4)
    }

    fn height(&self) -> u32 {
        let rows = u32::try_from(self.rows.len()).unwrap_or(0);
        self.head().saturating_add(rows.saturating_mul(ROW))
    }
}

/// A line from a box on the left to one on the right, or back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Edge {
    /// Number of the box on the left.
    pub(super) left: usize,
    /// Number of the box on the right.
    pub(super) right: usize,
    /// Number of the row on the right; the box's head if there is none.
    pub(super) row: Option<usize>,
    pub(super) kind: EdgeKind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum EdgeKind {
    /// Left to right.
    To,
    /// Left to right, and not sure.
    Perhaps,
    /// Right to left.
    Back,
}

/// Boxes in two columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawing {
    pub(super) left: Vec<Node>,
    pub(super) right: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

impl Drawing {
    /// The picture. `label` says what it shows to who cannot see it.
    pub(super) fn svg(&self, label: &str) -> Markup {
        let (left, right) = (stack(&self.left), stack(&self.right));
        let height = bottom(&left).max(bottom(&right));
        let (left, right) = (centred(left, height), centred(right, height));
        let far = WIDTH.saturating_sub(COLUMN);
        html! {
            svg.graph viewBox={ "-1 -1 " (WIDTH.saturating_add(2)) " " (height.saturating_add(2)) } role="group" aria-label=(label) {
                @for edge in &self.edges { (self.edge(*edge, &left, &right)) }
                @for (node, place) in self.left.iter().zip(&left) { (boxed(node, "left", 0, place.top)) }
                @for (node, place) in self.right.iter().zip(&right) { (boxed(node, "right", far, place.top)) }
            }
        }
    }

    fn edge(&self, edge: Edge, left: &[Place], right: &[Place]) -> Markup {
        let (Some(from), Some(to), Some(node)) =
            (left.get(edge.left), right.get(edge.right), self.right.get(edge.right))
        else {
            return Markup::default();
        };
        let start = from.top.saturating_add(from.height / 2);
        let end = match edge.row.and_then(|row| u32::try_from(row).ok()) {
            Some(row) => {
                let top = to.top.saturating_add(node.head()).saturating_add(row.saturating_mul(ROW));
                top.saturating_add(ROW / 2)
            }
            None => to.top.saturating_add(node.head() / 2),
        };
        let (x1, x2) = (COLUMN, WIDTH.saturating_sub(COLUMN));
        // Lines in both directions do not lie on each other.
        match edge.kind {
            EdgeKind::To | EdgeKind::Perhaps => {
                let (y1, y2) = (start.saturating_sub(4), end.saturating_sub(4));
                curve(x1, y1, x2, y2, if edge.kind == EdgeKind::To { "to" } else { "perhaps" })
            }
            EdgeKind::Back => curve(x2, end.saturating_add(5), x1, start.saturating_add(5), "back"),
        }
    }
}

/// Where a box stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    top: u32,
    height: u32,
}

fn stack(nodes: &[Node]) -> Vec<Place> {
    let mut top = 0u32;
    nodes
        .iter()
        .map(|node| {
            let place = Place { top, height: node.height() };
            top = top.saturating_add(place.height).saturating_add(GAP);
            place
        })
        .collect()
}

fn bottom(places: &[Place]) -> u32 {
    places.last().map_or(0, |last| last.top.saturating_add(last.height))
}

fn centred(places: Vec<Place>, height: u32) -> Vec<Place> {
    let down = height.saturating_sub(bottom(&places)) / 2;
    places.into_iter().map(|place| Place { top: place.top.saturating_add(down), ..place }).collect()
}

/// A curve that leaves and arrives level, with a head where it arrives.
fn curve(x1: u32, y1: u32, x2: u32, y2: u32, class: &str) -> Markup {
    let right = x2 > x1;
    let neck = if right { x2.saturating_sub(7) } else { x2.saturating_add(7) };
    let middle = x1.saturating_add(x2) / 2;
    let path = format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {neck} {y2}");
    let head = format!("M{x2} {y2}L{neck} {}V{}Z", y2.saturating_sub(4), y2.saturating_add(4));
    html! {
        g class=(class) { path d=(path) {} path.head d=(head) {} }
    }
}

fn boxed(node: &Node, class: &str, x: u32, y: u32) -> Markup {
    let drawn = html! {
        rect x=(x) y=(y) width=(COLUMN) height=(node.height()) rx="6" {}
        @for (number, line) in lines(&node.name).iter().enumerate() {
            text x=(x.saturating_add(PADDING)) y=(below(y.saturating_add(PADDING).saturating_add(10), number, LINE)) { (line) }
        }
        @for (number, row) in node.rows.iter().enumerate() {
            @let top = below(y.saturating_add(node.head()), number, ROW);
            path.rule d=(format!("M{x} {top}h{COLUMN}")) {}
            text.row x=(x.saturating_add(PADDING)) y=(top.saturating_add(15)) { (row) }
        }
    };
    html! {
        @if node.link.is_empty() { g class=(class) { (drawn) } } @else { a class=(class) href={ "#" (node.link) } { (drawn) } }
    }
}

fn below(top: u32, number: usize, step: u32) -> u32 {
    top.saturating_add(u32::try_from(number).unwrap_or(0).saturating_mul(step))
}

/// A name in lines that fit a box: broken behind `_`, `.` or `/` where that is possible.
fn lines(name: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for piece in name.split_inclusive(['_', '.', '/', ' ']) {
        let letters: Vec<char> = piece.chars().collect();
        for part in letters.chunks(LETTERS) {
            let fits =
                lines.last().is_some_and(|line| line.chars().count().saturating_add(part.len()) <= LETTERS);
            if !fits {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.extend(part);
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_break_where_they_can_and_lose_nothing() {
        assert_eq!(lines("jmp_table1"), ["jmp_table1"]);
        assert_eq!(lines("a_rather_long_name_of_a_program"), ["a_rather_long_", "name_of_a_program"]);
        let long = "x".repeat(40);
        assert_eq!(lines(&long).concat(), long);
        assert!(lines(&long).iter().all(|line| line.len() <= LETTERS));
    }

    #[test]
    fn boxes_of_a_column_do_not_overlap() {
        let node =
            |rows: usize| Node { rows: vec![String::new(); rows], name: "n".repeat(30), ..Node::default() };
        let places = stack(&[node(0), node(3), node(1)]);
        for pair in places.windows(2) {
            let [above, below] = pair else { panic!("two") };
            assert!(above.top.saturating_add(above.height) < below.top);
        }
    }
}
