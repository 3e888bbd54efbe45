//! Names of flags, as the kernel's header has them. Data and the way to write and read it; the flags that decide something
//! have constants beside the other numbers.
//!
//! Source: `include/uapi/linux/bpf.h`.

use core::fmt;

use super::{MapFlags, ProgFlags, UpdateFlags};

/// Flags of `BPF_MAP_CREATE` by their bits.
const MAP: &[(u64, &str)] = &[
    (1 << 0, "BPF_F_NO_PREALLOC"),
    (1 << 1, "BPF_F_NO_COMMON_LRU"),
    (1 << 2, "BPF_F_NUMA_NODE"),
    (1 << 3, "BPF_F_RDONLY"),
    (1 << 4, "BPF_F_WRONLY"),
    (1 << 5, "BPF_F_STACK_BUILD_ID"),
    (1 << 6, "BPF_F_ZERO_SEED"),
    (1 << 7, "BPF_F_RDONLY_PROG"),
    (1 << 8, "BPF_F_WRONLY_PROG"),
    (1 << 9, "BPF_F_CLONE"),
    (1 << 10, "BPF_F_MMAPABLE"),
    (1 << 11, "BPF_F_PRESERVE_ELEMS"),
    (1 << 12, "BPF_F_INNER_MAP"),
    (1 << 13, "BPF_F_LINK"),
    (1 << 14, "BPF_F_PATH_FD"),
    (1 << 15, "BPF_F_VTYPE_BTF_OBJ_FD"),
    (1 << 16, "BPF_F_TOKEN_FD"),
    (1 << 17, "BPF_F_SEGV_ON_FAULT"),
    (1 << 18, "BPF_F_NO_USER_CONV"),
];

/// Flags of `BPF_PROG_LOAD` by their bits.
const PROG: &[(u64, &str)] = &[
    (1 << 0, "BPF_F_STRICT_ALIGNMENT"),
    (1 << 1, "BPF_F_ANY_ALIGNMENT"),
    (1 << 2, "BPF_F_TEST_RND_HI32"),
    (1 << 3, "BPF_F_TEST_STATE_FREQ"),
    (1 << 4, "BPF_F_SLEEPABLE"),
    (1 << 5, "BPF_F_XDP_HAS_FRAGS"),
    (1 << 6, "BPF_F_XDP_DEV_BOUND_ONLY"),
    (1 << 7, "BPF_F_TEST_REG_INVARIANTS"),
];

/// Flags of `BPF_MAP_UPDATE_ELEM` by their bits.
const UPDATE: &[(u64, &str)] = &[(1, "BPF_NOEXIST"), (2, "BPF_EXIST"), (4, "BPF_F_LOCK")];

/// Names with `|` between them; bits that have none as a number; this word where no bit is set.
fn write(f: &mut fmt::Formatter<'_>, bits: u64, names: &[(u64, &str)], none: &str) -> fmt::Result {
    if bits == 0 {
        return f.write_str(none);
    }
    let mut between = "";
    for (_, name) in names.iter().filter(|(bit, _)| bits & bit != 0) {
        write!(f, "{between}{name}")?;
        between = "|";
    }
    match names.iter().fold(bits, |rest, (bit, _)| rest & !bit) {
        0 => Ok(()),
        rest => write!(f, "{between}{rest:#x}"),
    }
}

/// The bits of what [`write`] wrote; `None` for other words.
fn read(words: &str, names: &[(u64, &str)]) -> Option<u64> {
    let bit = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => names.iter().find(|(_, name)| *name == word).map(|(bit, _)| *bit),
    };
    words.split('|').filter(|word| *word != "0").try_fold(0, |bits, word| Some(bits | bit(word)?))
}

impl fmt::Display for MapFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.bits().into(), MAP, "0")
    }
}

impl MapFlags {
    /// The flags that [`Display`](fmt::Display) shows so; `None` for other words.
    pub fn from_words(words: &str) -> Option<Self> {
        read(words, MAP).and_then(|bits| u32::try_from(bits).ok()).map(Self::from_bits_retain)
    }
}

impl fmt::Display for ProgFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.bits().into(), PROG, "0")
    }
}

impl fmt::Display for UpdateFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.bits(), UPDATE, "BPF_ANY")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn flags_read_back() {
        for bits in [0, 1, 1 << 7 | 1 << 10, 1 << 31, 1 << 31 | 1] {
            let flags = MapFlags::from_bits_retain(bits);
            assert_eq!(MapFlags::from_words(&flags.to_string()), Some(flags), "{flags}");
        }
        let flags = MapFlags::RDONLY_PROG | MapFlags::MMAPABLE;
        assert_eq!(flags.to_string(), "BPF_F_RDONLY_PROG|BPF_F_MMAPABLE");
        assert_eq!(MapFlags::from_words("BPF_F_NONE"), None);
        assert_eq!(UpdateFlags::empty().to_string(), "BPF_ANY");
        assert_eq!(ProgFlags::from_bits_retain(0x110).to_string(), "BPF_F_SLEEPABLE|0x100");
    }

    #[test]
    fn the_names_are_those_of_the_constants() {
        let named = [
            (MapFlags::NO_PREALLOC, "BPF_F_NO_PREALLOC"),
            (MapFlags::NUMA_NODE, "BPF_F_NUMA_NODE"),
            (MapFlags::RDONLY_PROG, "BPF_F_RDONLY_PROG"),
            (MapFlags::MMAPABLE, "BPF_F_MMAPABLE"),
            (MapFlags::LINK, "BPF_F_LINK"),
            (MapFlags::VTYPE_BTF_OBJ_FD, "BPF_F_VTYPE_BTF_OBJ_FD"),
            (MapFlags::INNER_MAP, "BPF_F_INNER_MAP"),
        ];
        named.iter().for_each(|(flag, name)| assert_eq!(flag.to_string(), *name));
    }
}
