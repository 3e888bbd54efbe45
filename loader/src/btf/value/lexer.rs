//! From text to the form that people gave it: words, texts, lists. What they mean is decided with the type in hand.

use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

use super::{MAX_DEPTH, Unwritable};

/// What somebody wrote for a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Literal {
    /// A number, a name, an address, bytes.
    Word(String),
    /// Text between quotes.
    Text(String),
    /// `[a, b]`, or `{a, b}`.
    List(Vec<Self>),
    /// `{name = a}`, `{.name = a}` or `{"name": a}`.
    Fields(Vec<(String, Self)>),
}

/// Characters that end a word.
const ENDS: &[char] = &['{', '}', '[', ']', ',', '=', '"'];

impl Literal {
    /// Reads all of a text.
    ///
    /// # Errors
    /// [`Unwritable::Syntax`].
    pub fn parse(text: &str) -> Result<Self, Unwritable> {
        let mut lexer = Lexer { rest: text.chars().peekable(), text };
        let literal = lexer.literal(0)?;
        match lexer.next_char() {
            None => Ok(literal),
            Some(c) => Err(lexer.wrong(alloc::format!("{c:?} stands behind the value"))),
        }
    }

    /// As it was written, for messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(word) => alloc::format!("{word:?}"),
            Self::Text(text) => alloc::format!("the text {text:?}"),
            Self::List(items) => alloc::format!("a list of {}", items.len()),
            Self::Fields(_) => "a list of members".into(),
        }
    }
}

/// A number: its sign, and how much. Decimal, `0x`, `0o`, `0b`, or a character such as `'a'`; `_` may stand between digits.
pub fn number(word: &str) -> Option<(bool, u128)> {
    if let Some(c) = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        let mut all = c.chars();
        return all.next().filter(|_| all.next().is_none()).map(|c| (false, u32::from(c).into()));
    }
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    const BASES: [(&str, u32); 3] = [("0x", 16), ("0o", 8), ("0b", 2)];
    let (base, digits) = BASES
        .iter()
        .find_map(|(mark, base)| Some((*base, digits.strip_prefix(mark)?)))
        .unwrap_or((10, digits));
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    u128::from_str_radix(&digits, base).ok().map(|number| (negative, number))
}

struct Lexer<'t> {
    rest: Peekable<Chars<'t>>,
    text: &'t str,
}

impl Lexer<'_> {
    fn literal(&mut self, depth: usize) -> Result<Literal, Unwritable> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("too many brackets stand in each other".into()));
        }
        match self.peek() {
            Some('"') => self.quoted().map(Literal::Text),
            Some('{') => self.list('}', depth),
            Some('[') => self.list(']', depth),
            Some(c) if ENDS.contains(&c) => {
                Err(self.wrong(alloc::format!("a value is expected before {c:?}")))
            }
            Some(_) => Ok(Literal::Word(self.word())),
            None => Err(self.wrong("a value is expected at its end".into())),
        }
    }

    fn list(&mut self, close: char, depth: usize) -> Result<Literal, Unwritable> {
        self.rest.next();
        let (mut items, mut fields) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                Some(c) if c == close => break,
                Some(_) => {}
                None => return Err(self.wrong(alloc::format!("{close:?} is missing"))),
            }
            let item = self.literal(depth.saturating_add(1))?;
            match self.peek() {
                Some('=' | ':') => {
                    self.rest.next();
                    let (Literal::Word(name) | Literal::Text(name)) = item else {
                        return Err(self.wrong("a name is expected before \"=\"".into()));
                    };
                    let name = name.strip_prefix('.').unwrap_or(&name).into();
                    fields.push((name, self.literal(depth.saturating_add(1))?));
                }
                _ => items.push(item),
            }
            match self.peek() {
                Some(',') => {
                    self.rest.next();
                }
                Some(c) if c == close => {}
                Some(c) => return Err(self.wrong(alloc::format!("\",\" is expected before {c:?}"))),
                None => {}
            }
        }
        self.rest.next();
        match (items.is_empty(), fields.is_empty()) {
            (_, true) => Ok(Literal::List(items)),
            (true, false) => Ok(Literal::Fields(fields)),
            (false, false) => Err(self.wrong("give all members with their names, or none".into())),
        }
    }

    /// All that stands up to a blank, or to what ends a word.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| !ENDS.contains(c) && !c.is_whitespace()) {
            word.push(c);
        }
        word
    }

    fn quoted(&mut self) -> Result<String, Unwritable> {
        self.rest.next();
        let mut text = String::new();
        loop {
            match self.rest.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(c) => text.push(c),
                None => return Err(self.wrong("the quote at its end is missing".into())),
            }
        }
    }

    /// What a backslash and the characters behind it mean.
    fn escaped(&mut self) -> Result<char, Unwritable> {
        const ESCAPES: [(char, char); 7] =
            [('n', '\n'), ('t', '\t'), ('r', '\r'), ('0', '\0'), ('\\', '\\'), ('"', '"'), ('\'', '\'')];
        let c = self.rest.next().unwrap_or(' ');
        if let Some((_, meant)) = ESCAPES.iter().find(|(escape, _)| *escape == c) {
            return Ok(*meant);
        }
        let unknown = |lexer: &Self| lexer.wrong(alloc::format!("\"\\{c}\" means nothing here"));
        if c != 'u' || self.rest.next_if_eq(&'{').is_none() {
            return Err(unknown(self));
        }
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
            digits.push(digit);
        }
        let meant = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
        meant.filter(|_| self.rest.next_if_eq(&'}').is_some()).ok_or_else(|| unknown(self))
    }

    /// The next character that is no blank, which stays.
    fn peek(&mut self) -> Option<char> {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    fn next_char(&mut self) -> Option<char> {
        self.peek()?;
        self.rest.next()
    }

    fn wrong(&self, why: String) -> Unwritable {
        Unwritable::Syntax { text: self.text.into(), why }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn word(word: &str) -> Literal {
        Literal::Word(word.into())
    }

    #[test]
    fn forms() {
        let read = |text| Literal::parse(text).unwrap();
        assert_eq!(read(" 17 "), word("17"));
        assert_eq!(read("02:00:00:00:00:01"), word("02:00:00:00:00:01"));
        assert_eq!(read(r#""a\"b\u{7f}\n""#), Literal::Text("a\"b\u{7f}\n".into()));
        assert_eq!(
            read("[1, {2,3,}]"),
            Literal::List(vec![word("1"), Literal::List(vec![word("2"), word("3")])])
        );
        let fields = Literal::Fields(vec![("a".into(), word("1")), ("b".into(), Literal::List(vec![]))]);
        assert_eq!(read("{a = 1, b = {}}"), fields);
        assert_eq!(read("{.a=1,.b=[]}"), fields);
        assert_eq!(read(r#"{"a": 1, "b": []}"#), fields);
    }

    #[test]
    fn what_is_no_form_is_said() {
        for (text, why) in [
            ("", "a value is expected at its end"),
            ("1 2", "'2' stands behind the value"),
            ("[1", "']' is missing"),
            ("{1]", "\",\" is expected before ']'"),
            ("{a = 1, 2}", "give all members with their names, or none"),
            ("{[1] = 2}", "a name is expected before \"=\""),
            ("\"a", "the quote at its end is missing"),
            ("\"\\q\"", "\"\\q\" means nothing here"),
            ("\"\\u{d800}\"", "\"\\u\" means nothing here"),
            ("=", "a value is expected before '='"),
            (&"[".repeat(1000), "too many brackets stand in each other"),
        ] {
            assert_eq!(Literal::parse(text).unwrap_err().to_string(), alloc::format!("{text:?}: {why}"));
        }
    }

    #[test]
    fn numbers_have_bases_and_signs() {
        assert_eq!(number("1_000"), Some((false, 1000)));
        assert_eq!(number("-0x10"), Some((true, 16)));
        assert_eq!((number("0b101"), number("0o17")), (Some((false, 5)), Some((false, 15))));
        assert_eq!(number("'a'"), Some((false, 97)));
        for none in ["", "-", "0x", "1.5", "a", "_1", "'ab'", "''", "+1", "0x-1", "1e3"] {
            assert_eq!(number(none), None, "{none}");
        }
    }
}
