//! Why the kernel refused an object's types (BTF): which type, which member of it, and what is wrong with it.
//!
//! The log describes one type a line, `[7] FUNC main type_id=1`, its members on lines of their own behind a tab, and the
//! message at the end of the last of them.
//!
//! Source: `__btf_verifier_log_type`, `btf_verifier_log_member`, `kernel/bpf/btf.c`.

use alloc::string::{String, ToString};
use core::fmt;

use super::Why;
use super::causes;
use super::messages::Known;

/// Why the kernel refused an object's types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypesRefusal {
    /// The line of the log with the message.
    pub message: String,
    /// Number, kind and name of the type: `[7] FUNC main`.
    pub ty: Option<String>,
    /// The member of it.
    pub member: Option<String>,
    /// What the message means; `None` for one that is not in the table.
    pub why: Option<Why>,
}

impl fmt::Display for TypesRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, ty, member, why } = self;
        let Some(why) = why else {
            return f.write_str(message);
        };
        if let Some(ty) = ty {
            write!(f, "{ty}")?;
        }
        if let Some(member) = member {
            write!(f, ", member {member}")?;
        }
        if ty.is_some() {
            f.write_str(": ")?;
        }
        let Why { cause, explanation, advice } = why;
        write!(f, "{explanation} ({}): {advice}", cause.name)
    }
}

/// Explains a refusal from what the kernel wrote about the types; `None` if it wrote nothing.
pub fn explain_types(log: &str) -> Option<TypesRefusal> {
    let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
    let line = lines.next()?;
    let member = line.starts_with('\t');
    let described = if member { lines.find_map(described) } else { described(line) };
    let known = Known::at_end(line, causes::types());
    Some(TypesRefusal {
        message: line.trim().to_string(),
        ty: described,
        member: member.then(|| line.split_whitespace().next().unwrap_or_default().to_string()),
        why: known.map(|known| known.why()),
    })
}

/// `[7] FUNC main` of the line that describes it.
fn described(line: &str) -> Option<String> {
    let rest = line.strip_prefix('[')?;
    let mut blanks = rest.match_indices(' ').map(|(at, _)| at);
    // Number, kind and name.
    let end = blanks.nth(2).unwrap_or(rest.len());
    Some(alloc::format!("[{}", rest.get(..end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named() {
        let log = "[6] INT int size=4 bits_offset=0 nr_bits=32 encoding=SIGNED\n\
                   [7] FUNC code_dead type_id=1 \n[7] FUNC code_dead type_id=1 Invalid arg#1\n\n";
        let refusal = explain_types(log).unwrap();
        assert_eq!(refusal.why.as_ref().unwrap().cause.name, "btf-argument");
        assert_eq!((refusal.ty.as_deref(), refusal.member), (Some("[7] FUNC code_dead"), None));
    }

    #[test]
    fn a_member_is_named_with_its_type() {
        let log = "[2] STRUCT pair size=8 vlen=2\n\ta type_id=1 bits_offset=0\n\
                   \tb type_id=1 bits_offset=64 Member exceeds struct_size\n";
        let refusal = explain_types(log).unwrap();
        assert_eq!(refusal.why.as_ref().unwrap().cause.name, "btf-member");
        assert_eq!((refusal.ty.as_deref(), refusal.member.as_deref()), (Some("[2] STRUCT pair"), Some("b")));
    }

    #[test]
    fn unknown_words_stay_as_they_are() {
        let refusal = explain_types("[3] FUTURE x y=1 Something new\n").unwrap();
        assert_eq!((refusal.to_string().as_str(), refusal.why), ("[3] FUTURE x y=1 Something new", None));
        assert_eq!(explain_types("\n"), None);
    }
}
