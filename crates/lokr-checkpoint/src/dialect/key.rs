//! Taking a key apart.

use crate::module::{ALPHA, DORA_SCALE, FACTORS, LORA, MAGNITUDES, other_suffixes};

/// A key of a module's tensor: `<module>.<suffix>`; in the state of a live PEFT model `<module>.<factor>.<adapter>`, or
/// `<module>.lora_A.<adapter>.weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) module: &'a str,
    pub(crate) suffix: &'static str,
    pub(crate) adapter: Option<&'a str>,
}

impl<'a> Key<'a> {
    /// The parts of `key`, or `None` when it is no tensor of LoKr or of another algorithm that is understood.
    pub(crate) fn split(key: &'a str) -> Option<Self> {
        let plain = FACTORS.into_iter().chain([ALPHA, DORA_SCALE]).chain(MAGNITUDES).chain(other_suffixes());
        let of = |suffix| Some(Self { module: before(key, suffix)?, suffix, adapter: None });
        plain.into_iter().find_map(of).or_else(|| Self::live(key))
    }

    /// The parts of a key with the adapter's name in it.
    fn live(key: &'a str) -> Option<Self> {
        let (rest, last) = key.rsplit_once('.')?;
        if last != "weight" {
            let (module, suffix) = rest.rsplit_once('.')?;
            let suffix = FACTORS.iter().chain(&MAGNITUDES[..1]).find(|s| **s == suffix)?;
            return Some(Self { module, suffix, adapter: Some(last) });
        }
        // No program writes `lokr_w1.weight`; it would be a mistake to take it for an adapter of that name.
        let (rest, adapter) = rest.rsplit_once('.')?;
        let suffixes = [LORA[1].down, LORA[1].up, MAGNITUDES[1]];
        suffixes.into_iter().find_map(|suffix| {
            let module = before(rest, suffix.strip_suffix(".weight")?)?;
            Some(Self { module, suffix, adapter: Some(adapter) })
        })
    }

    /// Whether it is one of LoKr's factors, not `alpha` or `dora_scale`, which other algorithms have too.
    pub(crate) fn is_factor(&self) -> bool {
        FACTORS.contains(&self.suffix)
    }

    /// Whether it is a tensor that a LoKr module may have.
    pub(crate) fn is_lokr(&self) -> bool {
        self.is_factor() || self.suffix == ALPHA || self.suffix == DORA_SCALE
    }

    /// Whether it is a tensor that a LoRA of PEFT may have.
    pub(crate) fn is_peft_lora(&self) -> bool {
        let keys = LORA[1];
        [keys.down, keys.up, keys.bias].contains(&self.suffix) || MAGNITUDES[..2].contains(&self.suffix)
    }

    /// Whether it is a tensor of another algorithm.
    pub(crate) fn is_other(&self) -> bool {
        other_suffixes().any(|suffix| suffix == self.suffix)
    }
}

/// What stands before `.<suffix>`.
fn before<'a>(key: &'a str, suffix: &str) -> Option<&'a str> {
    key.strip_suffix(suffix)?.strip_suffix('.').filter(|module| !module.is_empty())
}

/// The other algorithm that a key belongs to, where [`Key::split`] does not know it or its dialect has no place for it,
/// and its module.
pub(crate) fn other_algorithm(key: &str) -> Option<(&str, &'static str)> {
    /// Beginnings of a component; not of the first, where kohya's prefixes `lora_unet_` and the like stand.
    const BEGINNINGS: [(&str, &str); 8] = [
        ("lora_embedding_", "LoRA of an embedding"),
        ("lora_", "LoRA"),
        ("hada_", "LoHa"),
        ("boft_", "BOFT"),
        ("oft_", "OFT"),
        ("ia3_", "IA3"),
        ("vera_", "VeRA"),
        ("cdka_", "CDKA"),
    ];
    /// What follows the module.
    const ENDINGS: [(&str, &str); 19] = [
        ("lora.down.weight", "LoRA"),
        ("lora.up.weight", "LoRA"),
        ("diff_b", "a full difference"),
        ("diff", "a full difference"),
        ("w_norm", "a norm"),
        ("b_norm", "a norm"),
        ("on_input", "IA3"),
        ("rescale", "OFT"),
        // LyCORIS, `modules/glora.py`.
        ("a1.weight", "GLoRA"),
        ("a2.weight", "GLoRA"),
        ("b1.weight", "GLoRA"),
        ("b2.weight", "GLoRA"),
        ("bm.weight", "GLoRA"),
        // What LyCORIS's extraction keeps of a weight beside its low-rank part (`utils/__init__.py`).
        ("bias_indices", "a sparse rest"),
        ("bias_values", "a sparse rest"),
        ("bias_size", "a sparse rest"),
        // ComfyUI, `comfy/weight_adapter/lora.py` and `comfy/lora.py`.
        ("reshape_weight", "a weight of a new shape"),
        ("set_weight", "a whole weight"),
        ("magnitude", "DoRA"),
    ];
    let mut start = 0;
    for component in key.split('.') {
        let begins = BEGINNINGS.iter().find(|(mark, _)| start > 0 && component.starts_with(mark));
        let found = begins.or_else(|| ENDINGS.iter().find(|(mark, _)| start > 0 && key[start..] == **mark));
        if let Some((_, algorithm)) = found {
            return Some((&key[..start - 1], algorithm));
        }
        start += component.len() + 1;
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
        for key in
            ["fc.weight", "lokr_w1", "fc.lokr_w1.weight", "fc.lokr_t1", "fc.lora_down.0.weight", "fc.alpha.default"]
        {
            assert_eq!(Key::split(key), None, "{key}");
        }
    }

    #[test]
    fn a_lora_has_several_spellings() {
        for (key, module, suffix, adapter) in [
            ("lora_unet_x.lora_up.weight", "lora_unet_x", "lora_up.weight", None),
            ("a.b.lora_mid.weight", "a.b", "lora_mid.weight", None),
            ("a.b.lora_A.weight", "a.b", "lora_A.weight", None),
            ("a.b.lora_B.default.weight", "a.b", "lora_B.weight", Some("default")),
            ("a.b.lora_B", "a.b", "lora_B", None),
            ("a.b.lora_B.bias", "a.b", "lora_B.bias", None),
            ("a.b.lora.down.weight", "a.b", "lora.down.weight", None),
            ("a.lora_linear_layer.up.weight", "a", "lora_linear_layer.up.weight", None),
            ("a.lora_magnitude_vector", "a", "lora_magnitude_vector", None),
            ("a.lora_magnitude_vector.default", "a", "lora_magnitude_vector", Some("default")),
            ("a.lora_magnitude_vector.default.weight", "a", "lora_magnitude_vector.weight", Some("default")),
        ] {
            assert_eq!(Key::split(key), Some(Key { module, suffix, adapter }), "{key}");
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
            ("a.b.lora_down.0.weight", "a.b", "LoRA"),
            ("a.b.lora_embedding_A", "a.b", "LoRA of an embedding"),
            ("a.lora.up.weight", "a", "LoRA"),
            ("lycoris_x.a1.weight", "lycoris_x", "GLoRA"),
            ("lycoris_x.bias_indices", "lycoris_x", "a sparse rest"),
            ("a.boft_R", "a", "BOFT"),
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
