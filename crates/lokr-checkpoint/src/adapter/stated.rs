//! What a file's header states of ranks and alphas.
//!
//! LyCORIS, kohya's scripts, musubi-tuner, ai-toolkit, OneTrainer and ComfyUI store `alpha` as a tensor of each module;
//! what the first three say of it in the header (`ss_network_dim`, `ss_network_alpha`, `ss_network_args`) is what was
//! asked for, and no reader applies it. diffusers, and SimpleTuner through it, store the `alpha` of a LoRA in the
//! header alone, in the entry `lora_adapter_metadata` (`loaders/lora_base.py`); some publishers write a single `alpha`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::dialect::PeftConfig;

/// From this on a number is no rank, but says that factors are to be full: LyCORIS's users ask for a rank of 10000 and
/// more, ai-toolkit for 9999999999 (`toolkit/config_modules.py`).
const FULL_MARKER: f64 = 10_000.0;

/// Whether a rank, or an alpha that repeats it, stands for full factors.
pub(super) fn is_full_marker(number: f64) -> bool {
    number >= FULL_MARKER
}

/// What the header states.
#[derive(Debug, Default)]
pub(super) struct Stated {
    /// `ss_network_dim`, or the rank in SimpleTuner's `lycoris_config`.
    pub(super) network_dim: Option<f64>,
    /// That of convolutions, in `ss_network_args`.
    pub(super) conv_dim: Option<f64>,
    pub(super) network_alpha: Option<f64>,
    /// Fields of diffusers' LoRA configurations by the components of a pipeline.
    lora: BTreeMap<String, Map<String, Value>>,
    /// One `alpha` for all.
    single_alpha: Option<f64>,
}

impl Stated {
    /// From the texts of the header of a file, with or without `alpha` tensors.
    pub(super) fn new(metadata: &BTreeMap<String, String>, has_alphas: bool) -> Self {
        let text = |entry: &str| metadata.get(entry);
        let object = |entry: &str| -> Option<Map<String, Value>> { serde_json::from_str(text(entry)?).ok() };
        let parsed = |entry: &str| text(entry)?.parse().ok().filter(|x: &f64| x.is_finite());
        let (args, lycoris) = (object("ss_network_args"), object("lycoris_config"));
        let of = |object: &Option<Map<String, Value>>, field: &str| number(object.as_ref()?.get(field)?);
        let header = metadata.iter().map(|(key, value)| (key.clone(), Value::String(value.clone())));
        let fields = object("lora_adapter_metadata").unwrap_or_else(|| header.collect());
        let mut lora: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for (key, value) in fields {
            let (component, field) = key.rsplit_once('.').unwrap_or_default();
            if !component.is_empty() {
                lora.entry(component.to_owned()).or_default().insert(field.to_owned(), value);
            }
        }
        lora.retain(|_, fields| fields.get("lora_alpha").and_then(number).is_some());
        let single = ["lora_alpha", "network_alpha", "alpha"].iter().find_map(|entry| parsed(entry));
        Self {
            network_dim: parsed("ss_network_dim").or_else(|| of(&lycoris, "linear_dim")),
            conv_dim: of(&args, "conv_dim"),
            network_alpha: parsed("ss_network_alpha").or_else(|| of(&lycoris, "linear_alpha")),
            lora,
            single_alpha: single.filter(|_| !has_alphas),
        }
    }

    /// What to store as an `alpha` that is ignored: the rank, so that readers are not warned.
    pub(super) fn placeholder(&self) -> f64 {
        self.network_dim.unwrap_or(1.0)
    }

    /// Whether an ignored `alpha` is what LyCORIS writes there, the rank, up to rounding in bf16.
    pub(super) fn explains(&self, alpha: f64) -> bool {
        let close = |dim: f64| (alpha - dim).abs() <= dim.abs() / 128.0;
        match self.network_dim {
            _ if is_full_marker(alpha) => true,
            // Half types round placeholders, and f16 rounds whole numbers from 2048 on, but never to fractions.
            None => alpha.fract() == 0.0,
            Some(dim) => is_full_marker(dim) || close(dim) || self.conv_dim.is_some_and(close),
        }
    }

    /// The scale that the trainer of full factors may have meant by an `alpha` that is not explained: `alpha / r`. With
    /// `rs_lora`, LyCORIS stores `r^1.5` beside full factors, which are trained with `r^0.5`.
    pub(super) fn scale_of_full_factors(&self, alpha: f64) -> f64 {
        self.network_dim.map_or_else(|| alpha.cbrt(), |dim| alpha / dim)
    }

    /// The scale that the header gives for factors of rank `rank` without an `alpha`, in an entry that no reader
    /// applies.
    pub(super) fn scale_without_alpha(&self, rank: usize) -> Option<f64> {
        let alpha = self.network_alpha.or(self.single_alpha)?;
        let rank = self.network_dim.filter(|dim| !is_full_marker(*dim)).unwrap_or(rank as f64);
        Some(alpha / rank).filter(|scale| scale.is_finite())
    }

    /// The `alpha` of a LoRA and its scale, where the header is the place for it.
    pub(super) fn lora_scale(&self, module: &str, rank: usize) -> Option<(f64, f64)> {
        let Some((fields, path)) = self.lora_fields(module) else {
            return self.single_alpha.map(|alpha| (alpha, alpha / rank as f64));
        };
        let alpha = fields.get("lora_alpha").and_then(number)?;
        let patterns = json!({"peft_type": "LOKR", "alpha": alpha, "alpha_pattern": fields.get("alpha_pattern")});
        let config = serde_json::to_vec(&patterns).ok().and_then(|text| PeftConfig::parse(&text).ok());
        let alpha = config.and_then(|config| config.alpha(path)).unwrap_or(alpha);
        let is_root = fields.get("use_rslora").is_some_and(|value| matches!(value, Value::Bool(true)));
        let rank = rank as f64;
        Some((alpha, alpha / if is_root { rank.sqrt() } else { rank }))
    }

    /// The fields of a module's component, and the module's path in it. Where the header has one component, it is that
    /// of all modules, whatever their prefix.
    fn lora_fields<'a>(&self, module: &'a str) -> Option<(&Map<String, Value>, &'a str)> {
        let (component, path) = module.split_once('.').unwrap_or(("", module));
        let own = self.lora.get(component);
        let only = || self.lora.values().next().filter(|_| self.lora.len() == 1);
        own.or_else(only).map(|fields| (fields, path))
    }
}

/// A number, or the text of one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        value => value.as_f64()?,
    };
    Some(number).filter(|x: &f64| x.is_finite())
}
