//! Damage that is the same every time: made from seeds.

/// Numbers at which something often changes.
pub(crate) const TELLING: &[u64] =
    &[0, 1, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, u64::MAX >> 1, u64::MAX];

/// The bytes with one to four numbers in it changed, of one to eight bytes each.
pub(crate) fn damaged(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let width = [1, 1, 1, 2, 4, 8][random.below(6)];
        let at = random.below(out.len() / width) * width;
        let place = &mut out[at..at + width];
        let mut raw = [0; 8];
        raw[..width].copy_from_slice(place);
        let number = match random.below(4) {
            0 => TELLING[random.below(TELLING.len())],
            1 => u64::from_le_bytes(raw).wrapping_add(1),
            2 => u64::from_le_bytes(raw) ^ 1 << random.below(8 * width),
            _ => random.next(),
        };
        place.copy_from_slice(&number.to_le_bytes()[..width]);
    }
    out
}

/// Numbers that look random and are the same every time. Source: Marsaglia's xorshift64.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        // Small seeds give small first numbers: spread them.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from(self.next() % limit).unwrap()
    }
}
