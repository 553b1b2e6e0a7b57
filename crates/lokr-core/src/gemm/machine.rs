//! What is the machine, as far as it decides how products are cut? Its registers, and its caches as the system tells
//! them.

use std::sync::OnceLock;

use gemm_common::cache::CACHE_INFO;

/// Registers and caches of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    /// Bytes of a vector register.
    pub(super) register: usize,
    /// Bytes of the second-level cache of one core.
    pub(super) second: usize,
    /// Bytes of the last-level cache, which cores share.
    pub(super) last: usize,
    /// Whether a core multiplies faster than the last level hands values out.
    pub(super) outruns_last: bool,
}

/// Says other sizes than the system does: of the second and the last level in KiB, as `LOKR_CACHES=1024,32768`.
const OVERRIDE: &str = "LOKR_CACHES";

impl Machine {
    /// The one at hand, looked at once.
    pub(super) fn here() -> Self {
        static HERE: OnceLock<Machine> = OnceLock::new();
        *HERE.get_or_init(|| {
            let [_, second, last] = CACHE_INFO.map(|level| level.cache_bytes);
            let (second, last) = std::env::var(OVERRIDE).ok().as_deref().and_then(sizes).unwrap_or((second, last));
            // A system that says nothing of a last level has no more than the second.
            Self { register: register(), second, last: last.max(second), outruns_last: outruns_last() }
        })
    }
}

/// Two positive numbers of KiB, in bytes.
fn sizes(text: &str) -> Option<(usize, usize)> {
    let (second, last) = text.split_once(',')?;
    let bytes = |text: &str| text.trim().parse::<usize>().ok().filter(|&n| n > 0)?.checked_mul(1 << 10);
    Some((bytes(second)?, bytes(last)?))
}

/// The widest registers that the kernels use here.
fn register() -> usize {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if is_x86_feature_detected!("avx512f") {
        return 64;
    } else if is_x86_feature_detected!("avx2") {
        return 32;
    }
    16
}

/// Intel's processors with AVX-512: most have two multipliers of full width, and a last level behind a mesh of cores.
/// AMD's with AVX2 and multipliers of that width, so Zen 2 and 3: their last level is that of eight cores. Zen 1 has
/// multipliers of half the width, and Zen 4 reaches its rate from the last level as well.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn outruns_last() -> bool {
    let id = raw_cpuid::CpuId::new();
    let wide = is_x86_feature_detected!("avx512f");
    match id.get_vendor_info().as_ref().map(|vendor| vendor.as_str()) {
        Some("GenuineIntel") => wide,
        Some("AuthenticAMD") => {
            let whole = id.get_feature_info().is_some_and(|info| whole_registers(info.family_id(), info.model_id()));
            whole && !wide && is_x86_feature_detected!("avx2")
        }
        _ => false,
    }
}

/// Whether AMD's processors of this family and model multiply registers of 32 bytes as a whole. A bit says so, too, but
/// virtual machines do not always pass it on.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn whole_registers(family: u8, model: u8) -> bool {
    const ZEN: u8 = 0x17;
    const FIRST_OF_ZEN_2: u8 = 0x30;
    family > ZEN || (family == ZEN && model >= FIRST_OF_ZEN_2)
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn outruns_last() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_or_not_taken() {
        assert_eq!(sizes("512, 8192"), Some((512 << 10, 8 << 20)));
        for text in ["", "512", "512,", "0,8192", "1024,-1", "1M,32M", "18446744073709551615,1"] {
            assert_eq!(sizes(text), None, "{text}");
        }
    }

    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    #[test]
    fn generations_are_told_apart_by_their_numbers() {
        let [excavator, zen_1, zen_plus] = [(0x15, 0x70), (0x17, 0x01), (0x17, 0x08)];
        assert!([excavator, zen_1, zen_plus].iter().all(|&(family, model)| !whole_registers(family, model)));
        let [zen_2, zen_3] = [(0x17, 0x31), (0x19, 0x01)];
        assert!([zen_2, zen_3].iter().all(|&(family, model)| whole_registers(family, model)));
    }

    #[test]
    fn there_are_caches() {
        let here = Machine::here();
        assert!(here.second > 0 && here.last >= here.second);
        assert_eq!(here, Machine::here());
    }
}
