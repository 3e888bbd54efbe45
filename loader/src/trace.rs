//! Kernel calls as text: one line a call, `REQUEST = REPLY`, with names where the kernel has numbers.
//!
//! The text is the same for every run on the same kernel: descriptors are shown by the name of what they stand for,
//! ids by the order of their first appearance. It can be read back, and played instead of a kernel.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Kernel calls in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transcript {
    /// The calls.
    pub calls: Vec<Call>,
}

/// One kernel call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// What was asked: the command, a name, and `key=value` pairs.
    pub request: String,
    /// What was answered: `ok` or an errno's name, then `key=value` pairs.
    pub reply: String,
}

/// A line that is no call.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the recording is no kernel call: expected `REQUEST = REPLY`")]
pub struct TranscriptError {
    /// The line, from 1.
    pub line: usize,
}

const BETWEEN: &str = " = ";

impl Transcript {
    /// Without what was asked over netlink: the part that a `Replay` can play.
    #[must_use]
    pub fn without_netlink(mut self) -> Self {
        self.calls.retain(|call| !call.is_netlink());
        self
    }

    /// Reads the text that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// [`TranscriptError`] for the first line that is no call.
    pub fn parse(text: &str) -> Result<Self, TranscriptError> {
        let calls = text.lines().enumerate().map(|(at, line)| {
            let error = TranscriptError { line: at.saturating_add(1) };
            // The reply has no " = ", the request may: a licence is any text.
            let (request, reply) = line.rsplit_once(BETWEEN).ok_or(error)?;
            Ok(Call { request: request.to_string(), reply: reply.to_string() })
        });
        Ok(Self { calls: calls.collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.iter().try_for_each(|call| writeln!(f, "{}{BETWEEN}{}", call.request, call.reply))
    }
}

impl Call {
    /// The value of `key=` in the reply.
    pub fn field(&self, key: &str) -> Option<&str> {
        let value = |word: &'_ str| word.split_once('=').filter(|(k, _)| *k == key).is_some();
        let word = self.reply.split(' ').find(|word| value(word))?;
        word.split_once('=').map(|(_, value)| value)
    }

    /// Whether it was a call over netlink: `SETLINK` or `GETLINK`.
    pub fn is_netlink(&self) -> bool {
        ["SETLINK ", "GETLINK "].iter().any(|command| self.request.starts_with(command))
    }

    /// The first word of the reply: `ok` or an errno's name.
    pub fn outcome(&self) -> &str {
        self.reply.split(' ').next().unwrap_or_default()
    }
}

/// Any text as one word: no blanks, no line ends, no `=`.
pub fn word(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            ' ' => out.push_str("\\s"),
            '=' => out.push_str("\\e"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out
}

/// The text that [`word`] was given.
pub fn unword(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('s') => ' ',
                Some('e') => '=',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    out
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('?', |d| char::from(*d));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of hexadecimal digits; `None` if they are none.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: &u8| char::from(*digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// A short fingerprint of long data. Source: the public-domain function FNV-1a, 64 bits.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn text_reads_back() {
        let transcript = Transcript {
            calls: vec![Call {
                request: "PROG_LOAD x license=a = b".into(),
                reply: "ok id=1 tag=00ff".into(),
            }],
        };
        let text = transcript.to_string();
        assert_eq!(text, "PROG_LOAD x license=a = b = ok id=1 tag=00ff\n");
        let read = Transcript::parse(&text).unwrap();
        assert_eq!(read, transcript);
        assert_eq!(read.calls[0].field("tag"), Some("00ff"));
        assert_eq!((read.calls[0].field("ta"), read.calls[0].outcome()), (None, "ok"));
        assert_eq!(Transcript::parse("a = b\nnonsense\n"), Err(TranscriptError { line: 2 }));
    }

    #[test]
    fn words_and_bytes_read_back() {
        let text = "a = b\n\\s\r";
        assert!(!word(text).contains([' ', '\n', '=', '\r']));
        assert_eq!(unword(&word(text)), text);
        assert_eq!(unhex(&hex(&[0, 0xab, 255])), Some(vec![0, 0xab, 255]));
        assert_eq!((unhex("0"), unhex("zz")), (None, None));
    }
}
