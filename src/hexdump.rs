//! A packet before and after, byte by byte, with what changed marked. Text only.

use std::io::{self, Write};

/// Bytes of a row.
const ROW: usize = 16;

/// Blanks before a row's first byte: a sign, the offset, and the gaps around it.
const INDENT: usize = 8;

/// Offsets of bytes that are not what they were, or are new, in **bytes** from the packet's start.
pub(crate) fn changed(before: &[u8], after: &[u8]) -> Vec<usize> {
    let same = |at: &usize| before.get(*at) == after.get(*at);
    (0..after.len()).filter(|at| !same(at)).collect()
}

/// Writes the packet row by row: one line for a row that is as it was, else the old one behind `-`, the new one behind
/// `+`, and marks below what changed.
pub(crate) fn write(out: &mut impl Write, before: &[u8], after: &[u8]) -> io::Result<()> {
    let rows = before.len().max(after.len()).div_ceil(ROW);
    for start in (0..rows).map(|row| row.saturating_mul(ROW)) {
        let (old, new) = (row(before, start), row(after, start));
        if old == new { line(out, ' ', start, old)? } else { pair(out, start, old, new)? }
    }
    Ok(())
}

/// The same, without rows that are as they were; `...` stands for those.
pub(crate) fn write_changed(out: &mut impl Write, before: &[u8], after: &[u8]) -> io::Result<()> {
    let mut left_out = false;
    let rows = before.len().max(after.len()).div_ceil(ROW);
    for start in (0..rows).map(|row| row.saturating_mul(ROW)) {
        let (old, new) = (row(before, start), row(after, start));
        if old != new {
            pair(out, start, old, new)?;
        } else if !left_out {
            writeln!(out, "  ...")?;
        }
        left_out = old == new;
    }
    Ok(())
}

/// A row as it was and as it is.
fn pair(out: &mut impl Write, start: usize, old: &[u8], new: &[u8]) -> io::Result<()> {
    if !old.is_empty() {
        line(out, '-', start, old)?;
    }
    if !new.is_empty() {
        line(out, '+', start, new)?;
        marks(out, old, new)?;
    }
    Ok(())
}

fn row(bytes: &[u8], start: usize) -> &[u8] {
    let rest = bytes.get(start..).unwrap_or_default();
    rest.get(..ROW).unwrap_or(rest)
}

fn line(out: &mut impl Write, sign: char, start: usize, bytes: &[u8]) -> io::Result<()> {
    let hex: String = (0..ROW).map(|at| cell(at, bytes.get(at).map(|byte| format!("{byte:02x}")))).collect();
    let text: String = bytes.iter().map(|byte| printable(*byte)).collect();
    writeln!(out, "{sign} {start:04x}  {hex}  {text}")
}

/// Two characters and the gap before them; a wider one in the middle of a row.
fn cell(at: usize, text: Option<String>) -> String {
    let gap = match at {
        0 => "",
        _ if at == ROW / 2 => "  ",
        _ => " ",
    };
    format!("{gap}{:2}", text.unwrap_or_default())
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
}

fn marks(out: &mut impl Write, old: &[u8], new: &[u8]) -> io::Result<()> {
    let mark = |at: usize| (new.get(at) != old.get(at)).then(|| "^^".to_string());
    let marks: String = (0..new.len()).map(|at| cell(at, mark(at))).collect();
    writeln!(out, "{:INDENT$}{}", "", marks.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &[u8], after: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, before, after).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn changed_rows_are_shown_twice_and_marked() {
        let before: Vec<u8> = (0x38..0x4a).collect();
        let mut after = before.clone();
        after[17] = 0xff;
        let expected = "  0000  38 39 3a 3b 3c 3d 3e 3f  40 41 42 43 44 45 46 47  89:;<=>?@ABCDEFG\n\
                        - 0010  48 49                                             HI\n\
                        + 0010  48 ff                                             H.\n          \x20   ^^\n";
        assert_eq!(shown(&before, &after), expected.replace("          \x20   ^^", "           ^^"));
        assert_eq!(changed(&before, &after), [17]);
    }

    #[test]
    fn rows_that_stay_can_be_left_out() {
        let before = [7; 80];
        let mut after = before;
        after[40] = 1;
        let mut out = Vec::new();
        write_changed(&mut out, &before, &after).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
        assert_eq!((text.lines().count(), lines[1], lines[2]), (5, "- 0020", "+ 0020"), "{text}");
        assert_eq!((text.lines().next(), text.lines().last()), (Some("  ..."), Some("  ...")));
    }

    #[test]
    fn packets_grow_and_shrink() {
        assert_eq!(changed(&[1, 2], &[1, 2, 2]), [2]);
        assert_eq!(changed(&[1, 2], &[1]), [0usize; 0]);
        assert_eq!(shown(&[1; 17], &[1; 16]).lines().count(), 2);
        assert!(shown(&[1; 17], &[1; 16]).contains("- 0010  01 "));
        assert!(
            shown(&[1; 16], &[1; 17])
                .ends_with("+ 0010  01                                                .\n        ^^\n")
        );
        assert_eq!(shown(&[], &[]), "");
    }
}
