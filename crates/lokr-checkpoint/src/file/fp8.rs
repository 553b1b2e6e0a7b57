//! Floats of eight bits: a sign, an exponent and two or three bits more.
//!
//! E4M3 is the kind that torch calls `float8_e4m3fn` (Micikevicius et al. 2022, "FP8 Formats for Deep Learning"): no
//! infinities, NaN where all bits but the sign are ones, 448 at most. E5M2 is the upper half of an f16: infinities,
//! 57344 at most.

/// What distinguishes the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fp8 {
    /// Bits behind the leading one.
    mantissa: u32,
    bias: u32,
    /// The code of what is too large: NaN or infinity.
    overflow: u32,
    /// The largest finite value.
    pub(crate) largest: f32,
}

pub(crate) const E4M3: Fp8 = Fp8 { mantissa: 3, bias: 7, overflow: 0x7f, largest: 448.0 };
pub(crate) const E5M2: Fp8 = Fp8 { mantissa: 2, bias: 15, overflow: 0x7c, largest: 57344.0 };

static E4M3_VALUES: [f32; 256] = E4M3.values();
static E5M2_VALUES: [f32; 256] = E5M2.values();

/// Values of all codes of E4M3.
#[inline(always)]
pub(super) fn e4m3_value(code: u8) -> f32 {
    E4M3_VALUES[usize::from(code)]
}

/// Values of all codes of E5M2.
#[inline(always)]
pub(super) fn e5m2_value(code: u8) -> f32 {
    E5M2_VALUES[usize::from(code)]
}

/// Bits behind the leading one of an f32, and its exponent's bias.
const F32_MANTISSA: u32 = 23;
const F32_BIAS: u32 = 127;

/// `2^exponent`, given with f32's bias.
const fn power(biased: u32) -> f32 {
    f32::from_bits(biased << F32_MANTISSA)
}

impl Fp8 {
    /// The gap between the values nearest to zero.
    pub(crate) const fn smallest_step(self) -> f32 {
        power(F32_BIAS + 1 - self.bias - self.mantissa)
    }

    /// The gap between 1 and the next larger value.
    pub(crate) const fn epsilon(self) -> f32 {
        power(F32_BIAS - self.mantissa)
    }

    const fn values(self) -> [f32; 256] {
        let mut values = [0.0; 256];
        let mut code = 0;
        while code < 128 {
            let (exponent, mantissa) = (code >> self.mantissa, code & ((1 << self.mantissa) - 1));
            let size = if code > self.overflow || code == self.overflow && self.overflow == 0x7f {
                f32::NAN
            } else if code == self.overflow {
                f32::INFINITY
            } else if exponent == 0 {
                mantissa as f32 * self.smallest_step()
            } else {
                f32::from_bits(
                    (exponent + F32_BIAS - self.bias) << F32_MANTISSA | mantissa << (F32_MANTISSA - self.mantissa),
                )
            };
            values[code as usize] = size;
            values[code as usize + 128] = -size;
            code += 1;
        }
        values
    }

    /// The code of the nearest value, ties to the even code. What lies beyond the largest value by half a step or more
    /// becomes infinite, or NaN where there are no infinities, as in torch.
    #[inline(always)]
    pub(crate) fn nearest(self, x: f32) -> u8 {
        let dropped = F32_MANTISSA - self.mantissa;
        let sign = (x.to_bits() >> 24) as u8 & 0x80;
        let size = x.to_bits() & 0x7fff_ffff;
        // Below the half nothing is carried, above it always, and at it where the last bit kept is 1.
        let carry = ((1 << (dropped - 1)) - 1) + (size >> dropped & 1);
        let normal = size.wrapping_add(carry).wrapping_sub((F32_BIAS - self.bias) << F32_MANTISSA) >> dropped;
        // The last bit of a sum with this number is the smallest step: the addition rounds.
        let aligned = (F32_BIAS + 1 + dropped - self.bias) << F32_MANTISSA;
        let subnormal = (f32::from_bits(size) + f32::from_bits(aligned)).to_bits().wrapping_sub(aligned);
        let code =
            if size < (F32_BIAS + 1 - self.bias) << F32_MANTISSA { subnormal } else { normal.min(self.overflow) };
        sign | if x.is_nan() { 0x7f } else { code as u8 }
    }

    /// One of the two neighbours' codes: the one away from zero with the probability that keeps the mean, if `chance`
    /// is uniform in `0..1` and of at most 16 bits. Values beyond the largest become that.
    ///
    /// The rule is that of `ComfyUI` (`comfy/float.py`, read in 2026): `⌊|x| / step + chance⌋` steps.
    #[inline(always)]
    pub(crate) fn stochastic(self, x: f32, chance: f32) -> u8 {
        if !x.is_finite() {
            return self.nearest(x);
        }
        let size = x.abs().min(self.largest);
        let exponent = (size.to_bits() >> F32_MANTISSA).max(F32_BIAS + 1 - self.bias);
        // Both are powers of two: nothing is rounded before the sum, which has no more than 24 bits where it matters.
        let step = power(exponent - self.mantissa);
        let rounded = (settled(size / step) + chance).floor() * step;
        self.nearest(rounded.min(self.largest).copysign(x))
    }
}

/// A number of steps, whole where it is so but for errors of arithmetic: values of codes stay themselves, whatever the
/// chance. Up to the 127 steps of an integer, a quotient in f32 is off by less than this.
#[inline(always)]
pub(crate) fn settled(steps: f32) -> f32 {
    const NOTHING: f32 = 3e-5;
    let whole = steps.round();
    if (steps - whole).abs() < NOTHING { whole } else { steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: `(−1)^sign · 2^(exponent − bias) · (1 + mantissa / 2^bits)`, subnormals without the 1.
    fn by_definition(code: u8, bits: i32, bias: i32) -> f64 {
        let (exponent, mantissa) =
            (i32::from(code & 127) >> bits, f64::from(i32::from(code & 127) & ((1 << bits) - 1)));
        let fraction = mantissa / 2f64.powi(bits);
        let size = match exponent {
            0 => 2f64.powi(1 - bias) * fraction,
            _ => 2f64.powi(exponent - bias) * (1.0 + fraction),
        };
        if code > 127 { -size } else { size }
    }

    #[test]
    fn every_code_has_its_value() {
        for code in 0..=255u8 {
            let (e4m3, e5m2) = (f64::from(e4m3_value(code)), f64::from(e5m2_value(code)));
            match code & 127 {
                127 => assert!(e4m3.is_nan() && e5m2.is_nan()),
                size => {
                    assert_eq!(e4m3, by_definition(code, 3, 7), "{code:x}");
                    // The upper half of an f16.
                    let half = half::f16::from_bits(u16::from(code) << 8);
                    assert!(e5m2 == half.to_f64() || e5m2.is_nan() && half.is_nan(), "{code:x}");
                    assert!(size >= 0x7c || e5m2 == by_definition(code, 2, 15), "{code:x}");
                }
            }
        }
        assert_eq!((e4m3_value(0x7e), e5m2_value(0x7b), e5m2_value(0xfc)), (448.0, 57344.0, f32::NEG_INFINITY));
    }

    /// Every code, every middle between two, and a hair to both sides of it.
    #[test]
    fn the_nearest_code_is_found_and_ties_go_to_the_even_one() {
        for (kind, value) in [(E4M3, e4m3_value as fn(u8) -> f32), (E5M2, e5m2_value)] {
            for sign in [0u8, 0x80] {
                let last = kind.nearest(kind.largest);
                for code in 0..=last {
                    let x = value(code | sign);
                    assert_eq!(kind.nearest(x), code | sign, "{kind:?} {code:x}");
                    if code == last {
                        continue;
                    }
                    let middle = (x + value((code + 1) | sign)) / 2.0;
                    let even = code + (code & 1);
                    assert_eq!(kind.nearest(middle), even | sign, "{kind:?} {middle}");
                    let (below, above) = (f32::from_bits(middle.to_bits() - 1), f32::from_bits(middle.to_bits() + 1));
                    assert_eq!(
                        [kind.nearest(below), kind.nearest(above)],
                        [code | sign, (code + 1) | sign],
                        "{middle}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_becomes_what_torch_makes_of_it() {
        // 464 lies in the middle between 448 and what would be 480; 61440 between 57344 and 65536.
        assert_eq!(
            [464.0, 464.1, -464.1, f32::INFINITY, 1e30].map(|x| E4M3.nearest(x)),
            [0x7e, 0x7f, 0xff, 0x7f, 0x7f]
        );
        assert_eq!([61439.0, 61440.0, -1e30, f32::INFINITY].map(|x| E5M2.nearest(x)), [0x7b, 0x7c, 0xfc, 0x7c]);
        assert_eq!([E4M3, E5M2].map(|kind| kind.nearest(f32::NAN) & 0x7f), [0x7f, 0x7f]);
        assert_eq!([E4M3.nearest(0.0), E4M3.nearest(-0.0), E4M3.nearest(1e-30)], [0, 0x80, 0]);
    }

    /// Of all chances, as many round away from zero as the distance says; codes stay themselves.
    #[test]
    fn stochastic_rounding_keeps_the_mean() {
        for (kind, value) in [(E4M3, e4m3_value as fn(u8) -> f32), (E5M2, e5m2_value)] {
            for code in (0..kind.nearest(kind.largest)).step_by(5) {
                let (low, high) = (value(code), value(code + 1));
                for share in [0.0, 0.25, 0.75] {
                    let x = low + share * (high - low);
                    let codes = (0..256).map(|i| kind.stochastic(-x, i as f32 / 256.0));
                    let mean = codes.map(|code| f64::from(value(code))).sum::<f64>() / 256.0;
                    assert_eq!(mean, f64::from(-x), "{kind:?} {code:x} {share}");
                }
                // Also where a division by a scale left an error behind.
                for x in [low, low * (1.0 - f32::EPSILON), low * (1.0 + f32::EPSILON)] {
                    assert_eq!([0.0, 65535.0 / 65536.0].map(|chance| kind.stochastic(x, chance)), [code, code]);
                }
            }
            assert_eq!(kind.stochastic(1e9, 0.999), kind.nearest(kind.largest));
            assert_eq!(kind.stochastic(f32::NAN, 0.5) & 0x7f, 0x7f);
        }
    }
}
