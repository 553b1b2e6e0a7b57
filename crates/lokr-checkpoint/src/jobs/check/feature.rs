//! What some programs cannot do with a module.

use lokr_core::{FactorizationRule, factorization};

use super::stored::{Kind, Stored};

/// A trait of a module's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    /// A low-rank `lokr_w1`.
    LowRankW1,
    /// A low-rank `lokr_w1` and a full `lokr_w2`.
    LowRankW1BesideFullW2,
    /// A core `lokr_t2` and a full `lokr_w1`.
    TuckerBesideFullW1,
    /// A core `lokr_t2` for another kernel than one of two axes.
    TuckerNot2d,
    /// A full `lokr_w2` with a kernel of one or three axes.
    KernelNot2d,
    /// A kernel of three axes.
    Kernel3d,
    /// Norms of DoRA.
    Dora,
    /// Norms of DoRA by output rows.
    DoraOnOutput,
    /// Norms of DoRA by input columns.
    DoraOnInput,
    /// An `alpha` of its own.
    Alpha,
    /// No `alpha`.
    NoAlpha,
    /// Factors that LyCORIS would split otherwise when it makes a module for them.
    NotSplitByLycoris,
    /// A LoRA with kernel axes.
    LoraKernel,
}

/// All that a module has.
pub(super) fn features(stored: &Stored) -> Vec<Feature> {
    let has = |suffix: &str| stored.tensors.keys().any(|own| own == suffix || own.starts_with(&format!("{suffix}.")));
    let dora = stored.shape("dora_scale");
    let mut found = Vec::new();
    let mut add = |feature, is_there: bool| {
        if is_there {
            found.push(feature);
        }
    };
    add(Feature::Dora, dora.is_some());
    add(Feature::DoraOnOutput, dora.is_some_and(|shape| shape.first().is_some_and(|&rows| rows > 1)));
    add(Feature::DoraOnInput, dora.is_some_and(|shape| shape.first() == Some(&1)));
    add(Feature::Alpha, has("alpha"));
    add(Feature::NoAlpha, !has("alpha"));
    match stored.kind {
        Kind::Lokr => {
            let (low_w1, full_w1) = (has("lokr_w1_a"), has("lokr_w1"));
            let (full_w2, core) = (stored.shape("lokr_w2"), stored.shape("lokr_t2"));
            let kernel = |shape: &[usize]| shape.len().saturating_sub(2);
            add(Feature::LowRankW1, low_w1);
            add(Feature::LowRankW1BesideFullW2, low_w1 && full_w2.is_some());
            add(Feature::TuckerBesideFullW1, core.is_some() && full_w1);
            add(Feature::TuckerNot2d, core.is_some_and(|shape| kernel(shape) != 2));
            add(Feature::KernelNot2d, full_w2.is_some_and(|shape| matches!(kernel(shape), 1 | 3)));
            add(Feature::Kernel3d, full_w2.or(core).is_some_and(|shape| kernel(shape) == 3));
            add(Feature::NotSplitByLycoris, !is_split_by_lycoris(stored));
        }
        Kind::LoraDown | Kind::LoraA => {
            let down = stored.shape("lora_down.weight").or_else(|| stored.shape("lora_A.weight"));
            add(Feature::LoraKernel, down.is_some_and(|shape| shape.len() > 2));
        }
        _ => {}
    }
    found
}

/// Whether LyCORIS makes a module of these shapes when it reads them: it finds a factor in them and splits the layer's
/// sizes by it. Source: `make_module_from_state_dict` in `lycoris/modules/lokr.py`.
fn is_split_by_lycoris(stored: &Stored) -> bool {
    let pair = |rows: Option<&[usize]>, columns: Option<&[usize]>| Some((*rows?.first()?, *columns?.get(1)?));
    let full = |name: &str| pair(stored.shape(name), stored.shape(name));
    let halves = |name: &str| {
        let half = |side: &str| stored.shape(&format!("{name}_{side}"));
        pair(half("a"), half("b"))
    };
    let (Some(w1), Some(w2)) = (full("lokr_w1").or(halves("lokr_w1")), full("lokr_w2").or(halves("lokr_w2"))) else {
        return true; // Broken, which others say better.
    };
    if stored.shape("lokr_t2").is_some() {
        return true; // Its halves have other shapes; the core is a feature of its own.
    }
    let split = |size: usize, factor: i64| factorization(size, factor, FactorizationRule::Lycoris).unwrap_or((1, size));
    let (out, input) = (w1.0 * w2.0, w1.1 * w2.1);
    let factor = if w1.0 == split(out, -1).0 && w1.1 == split(input, -1).0 {
        -1
    } else {
        let (first, second) = (w1.0.max(w1.1), w2.0.max(w2.1));
        let is_factor = |factor: usize| {
            out % factor == 0
                && input % factor == 0
                && (factor == w1.0 || factor == w2.0)
                && (factor == w1.1 || factor == w2.1)
        };
        let found = [first, second].into_iter().find(|&factor| factor > 0 && is_factor(factor));
        found.unwrap_or(first.min(second)) as i64
    };
    // A low-rank factor of a convolution has the kernel in its columns, and only the layer tells it.
    const KERNELS: [usize; 8] = [1, 3, 5, 7, 9, 25, 27, 49];
    let is_low_rank = stored.shape("lokr_w2_a").is_some();
    let kernels = if is_low_rank { &KERNELS[..] } else { &KERNELS[..1] };
    split(out, factor) == (w1.0, w2.0)
        && kernels.iter().any(|kernel| w2.1 % kernel == 0 && split(input / kernel, factor) == (w1.1, w2.1 / kernel))
}

#[cfg(test)]
mod tests {
    use super::super::stored::StoredFile;
    use super::*;

    fn of(tensors: &[(&str, &[usize])]) -> Vec<Feature> {
        let keys: Vec<_> = tensors.iter().map(|(suffix, shape)| (format!("m.{suffix}"), *shape)).collect();
        let file = StoredFile::from_keys(keys.iter().map(|(key, shape)| (key.as_str(), *shape)));
        features(&file.modules["m"])
    }

    #[test]
    fn features_come_from_keys_and_shapes() {
        let plain = of(&[("lokr_w1", &[8, 8]), ("lokr_w2_a", &[40, 2]), ("lokr_w2_b", &[2, 40]), ("alpha", &[])]);
        assert_eq!(plain, [Feature::Alpha]);
        let conv1d = of(&[("lokr_w1", &[4, 4]), ("lokr_w2", &[8, 8, 3]), ("alpha", &[])]);
        assert_eq!(conv1d, [Feature::Alpha, Feature::KernelNot2d]);
        let core = [("lokr_w1_a", &[4, 2][..]), ("lokr_w1_b", &[2, 4]), ("lokr_t2", &[2, 2, 3, 3, 3])];
        let core = of(&[&core[..], &[("lokr_w2_a", &[2, 8]), ("lokr_w2_b", &[2, 8])]].concat());
        assert_eq!(core, [Feature::NoAlpha, Feature::LowRankW1, Feature::TuckerNot2d, Feature::Kernel3d]);
        let dora = of(&[("lokr_w1", &[4, 4]), ("lokr_w2", &[4, 4]), ("dora_scale", &[1, 16])]);
        assert_eq!(dora, [Feature::Dora, Feature::DoraOnInput, Feature::NoAlpha]);
    }

    /// 64 × 64 is split 8 by 8, and with the factor 4 as 4 by 16; 16 by 4 is no split of LyCORIS.
    #[test]
    fn splits_of_lycoris_are_told_from_others() {
        let split = |w1: [usize; 2], w2: [usize; 2]| {
            !of(&[("lokr_w1", &w1), ("lokr_w2", &w2), ("alpha", &[])]).contains(&Feature::NotSplitByLycoris)
        };
        assert!(split([8, 8], [8, 8]) && split([4, 4], [16, 16]));
        assert!(!split([16, 16], [4, 4]) && !split([4, 16], [16, 4]));
    }
}
