//! Values of `.kconfig` variables: from the text of the kernel's configuration to the bytes of a C variable.
//!
//! Source: libbpf `bpf_object__process_kconfig_line`, `set_kcfg_value_tri`, `_str`, `_num`.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::to_usize;
use crate::features::{Features, Machine};
use crate::spec::{KconfigForm, KconfigSource};

/// The kernel's configuration: what stands behind `CONFIG_X=`.
#[derive(Debug, Default)]
pub(super) struct Config<'t>(BTreeMap<&'t str, &'t str>);

/// A configuration value that does not fit its variable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("extern {name:?}: the kernel's configuration says {value}, which does not fit the variable ({why})")]
pub struct KconfigError {
    /// The variable.
    pub name: String,
    /// What the configuration says.
    pub value: String,
    /// Why it does not fit.
    pub why: &'static str,
}

impl<'t> Config<'t> {
    /// Reads `CONFIG_X=y` lines; anything else is a comment.
    pub(super) fn parse(text: &'t str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with("CONFIG_"));
        Self(lines.filter_map(|line| line.split_once('=')).collect())
    }
}

/// The variable's bytes, and who says so; `None` if nobody says what its value is.
pub(super) fn value(
    name: &str,
    form: KconfigForm,
    size: u32,
    config: &Config<'_>,
    machine: &Machine,
) -> Result<Option<(Vec<u8>, KconfigSource)>, KconfigError> {
    if let Some(number) = of_loader(name, machine) {
        let bytes = number_bytes(name, form, size, &number.to_string(), number)?;
        return Ok(Some((bytes, KconfigSource::Loader)));
    }
    let Some(text) = config.0.get(name) else {
        return Ok(None);
    };
    let said = KconfigSource::Configuration((*text).to_string());
    Ok(configured(name, form, size, text)?.map(|bytes| (bytes, said)))
}

/// What the configuration says, as bytes.
fn configured(name: &str, form: KconfigForm, size: u32, text: &str) -> Result<Option<Vec<u8>>, KconfigError> {
    match text.as_bytes() {
        [letter @ (b'y' | b'm' | b'n')] => letter_bytes(name, form, size, *letter).map(Some),
        [b'"', .., b'"'] => string_bytes(name, form, size, text).map(Some),
        _ => match number(text) {
            Some(number) => number_bytes(name, form, size, text, number).map(Some),
            None => Err(wrong(name, text, "it is neither y, m, n, nor a string, nor a number")),
        },
    }
}

/// Whether system calls have wrappers that kprobes must attach to.
pub(super) const SYSCALL_WRAPPER: &str = "LINUX_HAS_SYSCALL_WRAPPER";

/// Variables that no configuration has: the loader knows them.
fn of_loader(name: &str, machine: &Machine) -> Option<u64> {
    match name {
        "LINUX_KERNEL_VERSION" => Some(u64::from(machine.kernel.code())),
        "LINUX_HAS_BPF_COOKIE" => Some(u64::from(machine.features.contains(Features::BPF_COOKIE))),
        SYSCALL_WRAPPER => Some(u64::from(machine.features.contains(Features::SYSCALL_WRAPPER))),
        _ => None,
    }
}

fn wrong(name: &str, value: &str, why: &'static str) -> KconfigError {
    KconfigError { name: name.to_string(), value: value.to_string(), why }
}

fn letter_bytes(name: &str, form: KconfigForm, size: u32, letter: u8) -> Result<Vec<u8>, KconfigError> {
    let text = char::from(letter).to_string();
    let number = match (form, letter) {
        (KconfigForm::Bool, b'm') => return Err(wrong(name, &text, "a bool knows only y and n")),
        // `enum libbpf_tristate`: no 0, yes 1, module 2.
        (KconfigForm::Tristate, b'm') => 2,
        (KconfigForm::Bool | KconfigForm::Tristate, letter) => u64::from(letter == b'y'),
        (KconfigForm::Char { .. }, letter) => u64::from(letter),
        (KconfigForm::Int { .. } | KconfigForm::Chars, _) => {
            return Err(wrong(name, &text, "it is neither bool, nor tristate, nor char"));
        }
    };
    Ok(native(number, size))
}

fn string_bytes(name: &str, form: KconfigForm, size: u32, text: &str) -> Result<Vec<u8>, KconfigError> {
    if form != KconfigForm::Chars {
        return Err(wrong(name, text, "it is no array of char"));
    }
    let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    let mut bytes = vec![0; to_usize(size)];
    // The last byte stays NUL, also where the text is too long.
    let room = bytes.len().saturating_sub(1);
    for (to, from) in bytes.iter_mut().take(room).zip(inside.bytes()) {
        *to = from;
    }
    Ok(bytes)
}

fn number_bytes(
    name: &str,
    form: KconfigForm,
    size: u32,
    text: &str,
    number: u64,
) -> Result<Vec<u8>, KconfigError> {
    let signed = match form {
        KconfigForm::Int { signed } | KconfigForm::Char { signed } => signed,
        KconfigForm::Bool if number <= 1 => false,
        KconfigForm::Bool | KconfigForm::Tristate | KconfigForm::Chars => {
            return Err(wrong(name, text, "it is no number"));
        }
    };
    let bits = size.saturating_mul(8).min(64);
    let fits = match (bits, signed) {
        (64, _) => true,
        (bits, false) => number >> bits == 0,
        (bits, true) => {
            let value = i64::from_ne_bytes(number.to_ne_bytes());
            let half = 1i64 << bits.saturating_sub(1);
            (half.wrapping_neg()..half).contains(&value)
        }
    };
    if !fits {
        return Err(wrong(name, text, "it is too large"));
    }
    Ok(native(number, size))
}

/// The low `size` **bytes** of a number, in this machine's order.
fn native(number: u64, size: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = number.to_le_bytes().into_iter().take(to_usize(size)).collect();
    bytes.resize(to_usize(size), 0);
    if cfg!(target_endian = "big") {
        bytes.reverse();
    }
    bytes
}

/// Decimal, or hexadecimal with 0x, or negative.
fn number(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    let negative = || text.parse::<i64>().ok().map(|n| u64::from_ne_bytes(n.to_ne_bytes()));
    text.parse().ok().or_else(negative)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# CONFIG_OFF is not set\nCONFIG_ON=y\nCONFIG_MOD=m\nCONFIG_HZ=1000\nCONFIG_BASE=0xffff\n\
                        CONFIG_NEG=-5\nCONFIG_NAME=\"(none)\"\nCONFIG_ODD=yes\n";

    fn get(name: &str, form: KconfigForm, size: u32) -> Result<Option<Vec<u8>>, KconfigError> {
        value(name, form, size, &Config::parse(TEXT), &Machine::NEWEST)
            .map(|found| found.map(|(bytes, _)| bytes))
    }

    #[test]
    fn letters_become_what_the_variable_is() {
        assert_eq!(get("CONFIG_ON", KconfigForm::Bool, 1), Ok(Some(vec![1])));
        assert_eq!(get("CONFIG_MOD", KconfigForm::Tristate, 4), Ok(Some(native(2, 4))));
        assert_eq!(get("CONFIG_ON", KconfigForm::Char { signed: true }, 1), Ok(Some(vec![b'y'])));
        assert!(get("CONFIG_MOD", KconfigForm::Bool, 1).is_err());
        assert!(get("CONFIG_ON", KconfigForm::Int { signed: true }, 4).is_err());
        assert_eq!(get("CONFIG_OFF", KconfigForm::Bool, 1), Ok(None));
    }

    #[test]
    fn numbers_must_fit() {
        let int = KconfigForm::Int { signed: true };
        assert_eq!(get("CONFIG_HZ", int, 4), Ok(Some(native(1000, 4))));
        assert!(get("CONFIG_HZ", int, 1).is_err());
        assert!(get("CONFIG_BASE", int, 2).is_err(), "0xffff is no 16-bit signed number");
        assert_eq!(get("CONFIG_BASE", KconfigForm::Int { signed: false }, 2), Ok(Some(vec![255, 255])));
        assert_eq!(get("CONFIG_NEG", int, 4), Ok(Some((-5i32).to_ne_bytes().to_vec())));
        assert!(get("CONFIG_NEG", KconfigForm::Int { signed: false }, 4).is_err());
        assert!(get("CONFIG_ODD", int, 4).is_err());
    }

    #[test]
    fn strings_are_cut_and_end_in_nul() {
        assert_eq!(get("CONFIG_NAME", KconfigForm::Chars, 4), Ok(Some(b"(no\0".to_vec())));
        assert_eq!(get("CONFIG_NAME", KconfigForm::Chars, 8), Ok(Some(b"(none)\0\0".to_vec())));
        assert!(get("CONFIG_NAME", KconfigForm::Bool, 1).is_err());
    }

    #[test]
    fn the_loader_knows_the_kernel_s_version() {
        let int = KconfigForm::Int { signed: false };
        assert_eq!(get("LINUX_KERNEL_VERSION", int, 4), Ok(Some(0x0006_1200u32.to_ne_bytes().to_vec())));
        assert_eq!(get("LINUX_HAS_BPF_COOKIE", KconfigForm::Bool, 1), Ok(Some(vec![1])));
    }
}
