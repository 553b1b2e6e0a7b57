//! Taking a key apart.

use crate::module::{ALPHA, DORA_SCALE, FACTORS};

/// A key of a LoKr tensor: `<module>.<suffix>`, or `<module>.<suffix>.<adapter>` in the state of a live PEFT model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) module: &'a str,
    pub(crate) suffix: &'static str,
    pub(crate) adapter: Option<&'a str>,
}

impl<'a> Key<'a> {
    /// The parts of `key`, or `None` when it is not a LoKr tensor's.
    pub(crate) fn split(key: &'a str) -> Option<Self> {
        let (module, last) = key.rsplit_once('.')?;
        if let Some(suffix) = FACTORS.iter().chain(&[ALPHA, DORA_SCALE]).find(|s| **s == last) {
            return Some(Self { module, suffix, adapter: None });
        }
        let (module, suffix) = module.rsplit_once('.')?;
        let suffix = FACTORS.iter().find(|s| **s == suffix)?;
        // No program writes `lokr_w1.weight`; it would be a mistake to take it for an adapter of that name.
        (last != "weight").then_some(Self { module, suffix, adapter: Some(last) })
    }

    /// Whether it is a factor, not `alpha` or `dora_scale`, which other algorithms have too.
    pub(crate) fn is_factor(&self) -> bool {
        self.suffix != ALPHA && self.suffix != DORA_SCALE
    }
}

/// The other algorithm a key belongs to, and its module.
pub(crate) fn other_algorithm(key: &str) -> Option<(&str, &'static str)> {
    const MARKS: [(&str, &str); 12] = [
        ("lora_", "LoRA"),
        ("hada_", "LoHa"),
        ("oft_", "OFT"),
        ("boft_", "BOFT"),
        ("diff_b", "a full difference"),
        ("diff", "a full difference"),
        ("w_norm", "a norm"),
        ("b_norm", "a norm"),
        ("on_input", "IA3"),
        ("rescale", "OFT"),
        ("vera_", "VeRA"),
        ("cdka_", "CDKA"),
    ];
    let mut start = 0;
    for component in key.split('.') {
        let end = start + component.len();
        let mark = MARKS.iter().find(|(mark, _)| match mark.strip_suffix('_') {
            // Not at the start, where kohya's prefixes `lora_unet_` and the like stand.
            Some(_) => start > 0 && component.starts_with(mark),
            None => end == key.len() && component == *mark,
        });
        if let Some((_, algorithm)) = mark {
            return Some((key[..start].trim_end_matches('.'), algorithm));
        }
        start = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_suffix_wins() {
        let key = Key::split("a.b.lokr_w1_a").unwrap();
        assert_eq!(key, Key { module: "a.b", suffix: "lokr_w1_a", adapter: None });
        assert_eq!(Key::split("m.alpha").unwrap().suffix, "alpha");
    }

    #[test]
    fn a_live_model_puts_the_adapters_name_last() {
        let key = Key::split("base_model.model.fc.lokr_w2.default").unwrap();
        assert_eq!(key, Key { module: "base_model.model.fc", suffix: "lokr_w2", adapter: Some("default") });
    }

    #[test]
    fn other_tensors_are_none() {
        for key in ["fc.weight", "lokr_w1", "fc.lokr_w1.weight", "fc.lokr_t1", "fc.lora_A.weight", "fc.alpha.default"] {
            assert_eq!(Key::split(key), None, "{key}");
        }
    }

    #[test]
    fn other_algorithms_are_recognised_by_their_keys_but_not_by_their_prefixes() {
        for (key, module, algorithm) in [
            ("lora_unet_x.lora_up.weight", "lora_unet_x", "LoRA"),
            ("a.b.lora_A.weight", "a.b", "LoRA"),
            ("lycoris_x.hada_w1_a", "lycoris_x", "LoHa"),
            ("lycoris_x.oft_blocks", "lycoris_x", "OFT"),
            ("lycoris_x.cdka_a", "lycoris_x", "CDKA"),
            ("x.diff", "x", "a full difference"),
            ("x.diff_b", "x", "a full difference"),
            ("x.w_norm", "x", "a norm"),
        ] {
            assert_eq!(other_algorithm(key), Some((module, algorithm)), "{key}");
        }
        for key in
            ["lora_unet_x.weight", "classifier.weight", "a.diff.weight", "diffusion_model.x.weight", "lora_te1_x.bias"]
        {
            assert_eq!(other_algorithm(key), None, "{key}");
        }
    }
}
