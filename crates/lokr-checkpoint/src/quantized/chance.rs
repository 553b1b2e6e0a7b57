//! Randomness that depends on a name and a number only.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

/// What the numbers of a tensor's elements are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chance(u64);

/// The step from one state of `SplitMix64` to the next.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// Seeded by a tensor's name, as `ComfyUI` does it: by its CRC-32.
    pub(crate) fn of(name: &str) -> Self {
        Self(SplitMix64::seed_from_u64(crc32(name.as_bytes()).into()).next_u64())
    }

    /// A number in `0..1` of 16 bits for one element, whichever were asked for before: the generator's state after so
    /// many steps is known.
    #[inline(always)]
    pub(crate) fn number(self, element: usize) -> f32 {
        let state = self.0.wrapping_add(STEP.wrapping_mul(element as u64));
        (SplitMix64::seed_from_u64(state).next_u64() >> 48) as f32 / 65536.0
    }
}

/// The checksum of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn numbers_are_uniform_and_differ_between_names() {
        let (a, b) = (Chance::of("a.weight"), Chance::of("b.weight"));
        let numbers: Vec<_> = (0..10_000).map(|i| a.number(i)).collect();
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = numbers.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
        assert!((0..100).any(|i| a.number(i) != b.number(i)));
        assert_eq!(a.number(77), Chance::of("a.weight").number(77));
    }
}
