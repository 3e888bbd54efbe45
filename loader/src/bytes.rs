//! The one door through which input bytes enter: a bounds-checked cursor that knows the byte order.
//!
//! Nothing else in this crate slices a file's bytes. The room imports nothing; it knows neither ELF nor BTF.

use alloc::borrow::Cow;
use alloc::string::String;

/// Byte order of an object file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endian {
    /// Least significant byte first (`bpfel`).
    Little,
    /// Most significant byte first (`bpfeb`).
    Big,
}

impl Endian {
    /// The byte order of the machine that this code was compiled for.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };
}

/// A read went past the end of what was given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} needs {need} bytes at offset {at}, but only {have} are left")]
pub struct Truncated {
    /// What was being read.
    pub what: &'static str,
    /// Where it was to start, in bytes from the start of the reader's data.
    pub at: u64,
    /// Bytes needed.
    pub need: u64,
    /// Bytes there.
    pub have: u64,
}

/// A cursor over borrowed bytes. It never reads outside of them and never panics.
#[derive(Clone, Debug)]
pub struct Reader<'d> {
    data: &'d [u8],
    at: usize,
    endian: Endian,
}

impl<'d> Reader<'d> {
    /// A reader that stands at the first byte of `data`.
    pub const fn new(data: &'d [u8], endian: Endian) -> Self {
        Self { data, at: 0, endian }
    }

    /// Bytes not read yet.
    pub const fn remaining(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left.
    pub fn bytes(&mut self, len: usize, what: &'static str) -> Result<&'d [u8], Truncated> {
        let end = self.at.checked_add(len);
        let Some(taken) = end.and_then(|end| self.data.get(self.at..end)) else {
            return Err(self.truncated(what, len));
        };
        self.at = self.at.saturating_add(len);
        Ok(taken)
    }

    /// Takes the next `len` bytes as a reader of their own, which cannot leave its range.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left.
    pub fn sub(&mut self, len: usize, what: &'static str) -> Result<Self, Truncated> {
        Ok(Self::new(self.bytes(len, what)?, self.endian))
    }

    /// A reader over `len` bytes that start `offset` bytes into this reader's data, wherever the cursor stands.
    ///
    /// # Errors
    /// [`Truncated`] if the range is not inside the data.
    pub fn range(&self, offset: u32, len: u32, what: &'static str) -> Result<Self, Truncated> {
        let mut whole = Self::new(self.data, self.endian);
        whole.bytes(to_usize(offset), what)?;
        whole.sub(to_usize(len), what)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`Truncated`] at the end of the data.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Truncated> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Reads two bytes as a number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Truncated> {
        let raw = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u16::from_le_bytes(raw),
            Endian::Big => u16::from_be_bytes(raw),
        })
    }

    /// Reads four bytes as a number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Truncated> {
        let raw = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u32::from_le_bytes(raw),
            Endian::Big => u32::from_be_bytes(raw),
        })
    }

    /// Reads as many numbers of four bytes as there are words about them.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left: about the first that is not there.
    pub fn u32s<const N: usize>(&mut self, what: [&'static str; N]) -> Result<[u32; N], Truncated> {
        let mut numbers = [0; N];
        let len = N.saturating_mul(4);
        if self.remaining() >= len {
            let all = self.bytes(len, "")?.chunks_exact(4);
            for (number, raw) in numbers.iter_mut().zip(all) {
                *number = Self::new(raw, self.endian).u32("")?;
            }
        } else {
            for (number, what) in numbers.iter_mut().zip(what) {
                *number = self.u32(what)?;
            }
        }
        Ok(numbers)
    }

    /// Reads four bytes as a signed number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, Truncated> {
        self.u32(what).map(signed)
    }

    /// Reads eight bytes as a number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Truncated> {
        let raw = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u64::from_le_bytes(raw),
            Endian::Big => u64::from_be_bytes(raw),
        })
    }

    /// Reads eight bytes as a signed number.
    ///
    /// # Errors
    /// [`Truncated`] if fewer are left.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, Truncated> {
        self.u64(what).map(|n| i64::from_ne_bytes(n.to_ne_bytes()))
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Truncated> {
        self.bytes(N, what)?.try_into().map_err(|_wrong_length| self.truncated(what, N))
    }

    const fn truncated(&self, what: &'static str, need: usize) -> Truncated {
        Truncated { what, at: self.at as u64, need: need as u64, have: self.remaining() as u64 }
    }
}

/// The bytes up to the first NUL, or all of them, as text; what is not UTF-8 is shown as U+FFFD.
pub fn until_nul(bytes: &[u8]) -> String {
    text(before_nul(bytes)).into_owned()
}

/// Bytes as text; what is not UTF-8 is shown as U+FFFD.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly all is UTF-8, which the first of the two is much quicker to see.
    core::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The bytes up to the first NUL, or all of them.
pub fn before_nul(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    bytes.split_at_checked(end).map_or(bytes, |(text, _)| text)
}

/// A 32-bit count as an index. Lossless on every target with BPF, where `usize` has 32 bits or more.
pub const fn to_usize(n: u32) -> usize {
    n as usize
}

/// The same 32 bits read as a signed number.
pub const fn signed(n: u32) -> i32 {
    i32::from_ne_bytes(n.to_ne_bytes())
}

/// The same 32 bits read as an unsigned number.
pub const fn unsigned(n: i32) -> u32 {
    u32::from_ne_bytes(n.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_byte_order() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(Reader::new(&bytes, Endian::Little).u32("n"), Ok(0x0403_0201));
        assert_eq!(Reader::new(&bytes, Endian::Big).u32("n"), Ok(0x0102_0304));
        assert_eq!(Reader::new(&bytes, Endian::Big).u16("n"), Ok(0x0102));
    }

    #[test]
    fn a_read_past_the_end_says_what_was_missing_and_moves_nothing() {
        let mut r = Reader::new(&[1, 2, 3], Endian::Little);
        r.u8("first").unwrap();
        assert_eq!(r.u32("header length"), Err(Truncated { what: "header length", at: 1, need: 4, have: 2 }));
        assert_eq!(r.remaining(), 2);
    }

    #[test]
    fn a_sub_reader_cannot_leave_its_range() {
        let mut r = Reader::new(&[1, 2, 3, 4], Endian::Little);
        let mut inner = r.sub(2, "part").unwrap();
        assert!(inner.u32("n").is_err());
        assert_eq!(r.u16("rest"), Ok(0x0403));
        assert!(r.range(3, 2, "out").is_err());
        assert!(r.range(u32::MAX, u32::MAX, "far out").is_err());
    }

    #[test]
    fn text_ends_at_the_first_nul() {
        assert_eq!(until_nul(b"GPL\0junk"), "GPL");
        assert_eq!(until_nul(b""), "");
    }
}
