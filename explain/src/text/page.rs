//! Lines of text with tones, no wider than a page. Knows nothing of what is written on it.

use anstyle::{AnsiColor, Style};

/// Most columns of a line.
pub(super) const WIDTH: usize = 100;

/// How a piece of text is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Plain,
    /// A title.
    Title,
    /// The name of something in the object.
    Name,
    /// An instruction.
    Code,
    /// Source code.
    Source,
    /// Less important.
    Dim,
    /// What was there before.
    Before,
    /// What is there now.
    After,
    /// What went wrong.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Title => Style::new().bold().underline(),
            Self::Name => Style::new().bold(),
            Self::Code => color(AnsiColor::Cyan),
            Self::Source => color(AnsiColor::Yellow),
            Self::Dim => Style::new().dimmed(),
            Self::Before => color(AnsiColor::Red),
            Self::After => color(AnsiColor::Green),
            Self::Bad => color(AnsiColor::Red).bold(),
        }
    }
}

/// A piece of text.
pub(super) type Piece = (Tone, String);

/// Text in columns.
#[derive(Debug)]
pub(super) struct Page {
    out: String,
    colors: bool,
}

impl Page {
    pub(super) const fn new(colors: bool) -> Self {
        Self { out: String::new(), colors }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A line that starts behind `indent` blanks. What does not fit goes on in the next line, behind `hang` blanks.
    pub(super) fn line(&mut self, indent: usize, hang: usize, pieces: &[Piece]) {
        let mut rest: Vec<(Tone, char)> = Vec::new();
        rest.extend(std::iter::repeat_n((Tone::Plain, ' '), indent));
        for (tone, text) in pieces {
            rest.extend(text.chars().map(|c| (*tone, printable(c))));
        }
        while rest.last().is_some_and(|(_, c)| *c == ' ') {
            rest.pop();
        }
        let mut first = indent;
        while rest.len() > WIDTH {
            let behind = rest.split_off(break_at(&rest, first));
            self.put(&rest);
            let hang = hang.min(WIDTH / 2);
            rest = std::iter::repeat_n((Tone::Plain, ' '), hang).collect();
            rest.extend(behind.into_iter().skip_while(|(_, c)| *c == ' '));
            first = hang;
        }
        self.put(&rest);
    }

    fn put(&mut self, line: &[(Tone, char)]) {
        let mut tone = Tone::Plain;
        let end = line.iter().rposition(|(_, c)| *c != ' ').map_or(0, |at| at.saturating_add(1));
        for (next, c) in line.iter().take(end) {
            if *next != tone && *c != ' ' {
                self.switch(tone, *next);
                tone = *next;
            }
            self.out.push(if *c == TOGETHER { ' ' } else { *c });
        }
        self.switch(tone, Tone::Plain);
        self.out.push('\n');
    }

    fn switch(&mut self, from: Tone, to: Tone) {
        if !self.colors || from == to {
            return;
        }
        if from != Tone::Plain {
            self.out += &from.style().render_reset().to_string();
        }
        self.out += &to.style().render().to_string();
    }
}

/// A blank at which no line is broken: a no-break space, which an object's text hardly has.
const TOGETHER: char = '\u{a0}';

/// A short text that stays in one line.
pub(super) fn together(text: &str) -> String {
    if text.chars().count() > WIDTH / 2 { text.to_string() } else { text.replace(' ', &TOGETHER.to_string()) }
}

/// Where a line that is too long is broken: behind the last blank that fits, or where the page ends.
fn break_at(line: &[(Tone, char)], indent: usize) -> usize {
    let fits = line.iter().take(WIDTH.saturating_add(1));
    let last_blank =
        fits.enumerate().filter(|(at, (_, c))| *c == ' ' && *at > indent).map(|(at, _)| at).next_back();
    last_blank.unwrap_or(WIDTH)
}

/// What an object says must not control the terminal.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

pub(super) fn plain(text: impl Into<String>) -> Piece {
    (Tone::Plain, text.into())
}

pub(super) fn title(text: impl Into<String>) -> Piece {
    (Tone::Title, text.into())
}

pub(super) fn name(text: impl Into<String>) -> Piece {
    (Tone::Name, text.into())
}

pub(super) fn code(text: impl Into<String>) -> Piece {
    (Tone::Code, text.into())
}

pub(super) fn source(text: impl Into<String>) -> Piece {
    (Tone::Source, text.into())
}

pub(super) fn dim(text: impl Into<String>) -> Piece {
    (Tone::Dim, text.into())
}

pub(super) fn bad(text: impl Into<String>) -> Piece {
    (Tone::Bad, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(indent: usize, hang: usize, text: &str) -> String {
        let mut page = Page::new(false);
        page.line(indent, hang, &[plain(text)]);
        page.finish()
    }

    #[test]
    fn long_lines_go_on_below() {
        let words = "word ".repeat(30);
        let shown = shown(2, 6, &words);
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.lines().all(|line| line.len() <= WIDTH && line.trim_end() == line));
        assert!(shown.lines().nth(1).unwrap().starts_with("      word"));
        assert_eq!(shown.split_whitespace().count(), 30, "no word is lost");
    }

    #[test]
    fn what_has_no_blank_is_cut_at_the_edge() {
        let shown = shown(4, 4, &"x".repeat(250));
        let widths: Vec<usize> = shown.lines().map(str::len).collect();
        assert_eq!(widths, [100, 100, 62]);
    }

    #[test]
    fn what_belongs_together_stays_in_one_line() {
        let text = format!("{} {}", "x".repeat(90), together("4 bytes or more"));
        assert_eq!(shown(0, 2, &text), format!("{}\n  4 bytes or more\n", "x".repeat(90)));
    }

    #[test]
    fn an_object_cannot_control_the_terminal() {
        assert_eq!(shown(0, 0, "a\x1b[31mb\tc"), "a\u{fffd}[31mb c\n");
    }

    #[test]
    fn colors_take_no_columns() {
        let mut page = Page::new(true);
        page.line(0, 0, &[name("x".repeat(60)), plain(" "), code("y".repeat(39))]);
        let text = page.finish();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains('\x1b') && text.ends_with("\x1b[0m\n"));
    }
}
