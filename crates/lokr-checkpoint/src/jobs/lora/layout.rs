//! What the tensors of a layout are called, and what else its file holds.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};

use super::options::LoraLayout;
use crate::dialect::peft::PREFIX;
use crate::error::Result;
use crate::file::{FloatType, Tensor};

impl LoraLayout {
    /// The keys of a module's halves, `down` and `up`.
    pub(in crate::jobs) fn keys(self, module: &str) -> [String; 2] {
        let halves = if self == Self::Kohya { ["down", "up"] } else { ["A", "B"] };
        halves.map(|half| format!("{}{module}.lora_{half}.weight", self.prefix()))
    }

    /// What stands before every key and is no part of a module's name.
    pub(in crate::jobs) fn prefix(self) -> &'static str {
        if self == Self::Peft { PREFIX } else { "" }
    }

    /// The `alpha` of a module of that rank, where the layout stores one: the rank, so that the scale is 1. In `f32`,
    /// because half types do not hold every rank.
    pub(super) fn alpha(self, module: &str, rank: usize) -> Result<Option<(String, Tensor)>> {
        if self != Self::Kohya {
            return Ok(None);
        }
        let key = format!("{module}.alpha");
        let alpha = Tensor::rounded(&key, &ArrayD::from_elem(IxDyn(&[]), rank as f64), FloatType::F32)?;
        Ok(Some((key, alpha)))
    }

    /// The rank that all tensors have, where the layout wants one for all.
    pub(super) fn common_rank(self, ranks: impl Iterator<Item = usize>) -> Option<usize> {
        if self == Self::Peft { ranks.max() } else { None }
    }
}

/// The texts of a file's header that stay true of a LoRA: none about the network, its settings and hashes.
pub(super) fn kept_metadata(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const OF_THE_NETWORK: [&str; 6] =
        ["ss_network_", "sshs_", "lokr_format", "lycoris_config", "lora_adapter_metadata", "networkType"];
    let stays = |key: &str| !OF_THE_NETWORK.iter().any(|beginning| key.starts_with(beginning));
    let kept = metadata.iter().filter(|(key, _)| stays(key));
    kept.map(|(key, text)| (key.clone(), text.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_about_the_network_are_left_out() {
        let texts = [("ss_network_dim", "8"), ("sshs_model_hash", "1"), ("ss_base_model_version", "sdxl_base_v1-0")];
        let texts = texts.map(|(key, text)| (key.to_owned(), text.to_owned())).into_iter().collect();
        assert_eq!(kept_metadata(&texts).into_keys().collect::<Vec<_>>(), ["ss_base_model_version"]);
    }
}
