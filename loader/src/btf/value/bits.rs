//! Where the bits of a number stand in bytes, in either byte order.
//!
//! A number of whole bytes at a whole byte is the common case; bitfields are the other one. Source:
//! `Documentation/bpf/btf.rst`, `__btf_int_print` of `kernel/bpf/btf.c`: bits are counted from the least significant one of the first
//! byte on little-endian machines, from the most significant one on big-endian machines.

use crate::bytes::{Endian, to_usize};

/// The `bits` **bits** from bit `at` on as a number; `None` if there are not so many, or more than 128 are asked for.
pub(super) fn get(bytes: &[u8], at: u32, bits: u32, endian: Endian) -> Option<u128> {
    if bits > 128 || at.checked_add(bits)? > u32::try_from(bytes.len()).ok()?.checked_mul(8)? {
        return None;
    }
    if at % 8 == 0 && bits % 8 == 0 {
        let (from, len) = (to_usize(at / 8), to_usize(bits / 8));
        let whole = bytes.get(from..from.checked_add(len)?)?;
        return Some(match endian {
            Endian::Little => whole.iter().rev().fold(0, push),
            Endian::Big => whole.iter().fold(0, push),
        });
    }
    let bit = |number: u32| {
        let byte = bytes.get(to_usize(number / 8)).copied().unwrap_or(0);
        u128::from(byte >> shift(number, endian) & 1)
    };
    Some((0..bits).fold(0, |sum, n| {
        let place = at.saturating_add(n);
        match endian {
            Endian::Little => sum | bit(place) << n,
            Endian::Big => sum << 1 | bit(place),
        }
    }))
}

/// Writes the lowest `bits` **bits** of a number from bit `at` on; `None` as with [`get`].
pub(super) fn set(bytes: &mut [u8], at: u32, bits: u32, endian: Endian, number: u128) -> Option<()> {
    get(bytes, at, bits, endian)?;
    for n in 0..bits {
        let place = at.saturating_add(n);
        // A number of whole bytes is bytes in this order, a bitfield is bits in this order: on big-endian machines the same.
        let from = match endian {
            Endian::Little => n,
            Endian::Big => bits.saturating_sub(1).saturating_sub(n),
        };
        let byte = bytes.get_mut(to_usize(place / 8))?;
        let mask = 1u8 << shift(place, endian);
        if number >> from & 1 == 1 { *byte |= mask } else { *byte &= !mask }
    }
    Some(())
}

/// A number of so many bits with its sign.
pub(super) fn signed(number: u128, bits: u32) -> i128 {
    let unused = 128u32.saturating_sub(bits);
    let shifted = number.checked_shl(unused).unwrap_or(0);
    i128::from_ne_bytes(shifted.to_ne_bytes()).checked_shr(unused).unwrap_or(0)
}

fn push(sum: u128, byte: &u8) -> u128 {
    sum << 8 | u128::from(*byte)
}

/// How far a bit of a byte has to be shifted down.
fn shift(number: u32, endian: Endian) -> u32 {
    match endian {
        Endian::Little => number % 8,
        Endian::Big => 7u32.saturating_sub(number % 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_bytes_follow_the_byte_order() {
        let bytes = [0, 1, 2, 3, 4];
        assert_eq!(get(&bytes, 8, 32, Endian::Little), Some(0x0403_0201));
        assert_eq!(get(&bytes, 8, 32, Endian::Big), Some(0x0102_0304));
        assert_eq!(get(&bytes, 16, 32, Endian::Big), None);
        assert_eq!(get(&[0; 32], 0, 129, Endian::Big), None);
        assert_eq!(get(&bytes, u32::MAX, 8, Endian::Big), None);
    }

    #[test]
    fn bitfields_begin_at_either_end_of_a_byte() {
        // 0b1010_0110 0b0000_0001
        let bytes = [0xa6, 0x01];
        assert_eq!(get(&bytes, 0, 3, Endian::Little), Some(0b110));
        assert_eq!(get(&bytes, 6, 3, Endian::Little), Some(0b110));
        assert_eq!(get(&bytes, 0, 3, Endian::Big), Some(0b101));
        assert_eq!(get(&bytes, 6, 10, Endian::Big), Some(0b10_0000_0001));
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_changes() {
        for endian in [Endian::Little, Endian::Big] {
            for (at, bits) in [(0, 8), (3, 5), (5, 9), (8, 16), (1, 1), (0, 24)] {
                for number in [0, 1, 0x155, 0xff_ffff] {
                    let number = number & ((1 << bits) - 1);
                    let mut bytes = [0x5a; 3];
                    set(&mut bytes, at, bits, endian, number).unwrap();
                    assert_eq!(get(&bytes, at, bits, endian), Some(number), "{at} {bits} {endian:?}");
                    for other in (0..24).filter(|other| !(at..at + bits).contains(other)) {
                        assert_eq!(get(&bytes, other, 1, endian), get(&[0x5a; 3], other, 1, endian));
                    }
                }
            }
        }
        assert_eq!(set(&mut [0; 2], 9, 8, Endian::Little, 0), None);
    }

    #[test]
    fn signs_are_widened() {
        assert_eq!((signed(0b111, 3), signed(0b011, 3)), (-1, 3));
        assert_eq!(signed(u128::MAX, 128), -1);
        assert_eq!(signed(1 << 63, 64), i128::from(i64::MIN));
    }
}
