//! A value as people read it, in the words of C. What is written here, [`write`](super::write()) reads again.

use core::fmt::{self, Display, Formatter, Write as _};

use super::{Field, Value};

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Signed(number) | Self::Enum(None, number) => write!(f, "{number}"),
            Self::Bool(yes) => write!(f, "{yes}"),
            Self::Enum(Some(name), _) => f.write_str(name),
            Self::Float(number) => write!(f, "{number}"),
            Self::Pointer(address) => write!(f, "{address:#x}"),
            Self::Text(text) => quoted(f, text),
            Self::Bytes(bytes) if bytes.is_empty() => f.write_str("[]"),
            Self::Bytes(bytes) => listed(f, ("", ":", ""), bytes, |f, byte| write!(f, "{byte:02x}")),
            Self::Array(values) => listed(f, ("[", ", ", "]"), values, |f, value| value.fmt(f)),
            Self::Fields(fields) => {
                listed(f, ("{", ", ", "}"), fields, |f, Field { name, value }| write!(f, "{name} = {value}"))
            }
        }
    }
}

fn listed<T>(
    f: &mut Formatter<'_>,
    (open, between, close): (&str, &str, &str),
    items: &[T],
    write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(open)?;
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        write(f, item)?;
    }
    f.write_str(close)
}

/// Text between quotes, without anything that moves a cursor.
fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '\'' => f.write_char(c)?,
            c => write!(f, "{}", c.escape_debug())?,
        }
    }
    f.write_char('"')
}
