//! A configuration under which PEFT makes tensors of the shapes and scales that an adapter has.
//!
//! PEFT does not take shapes from the file: it makes them from the layer's sizes, one `decompose_factor`, one
//! `decompose_both`, one `use_effective_conv2d` and a rank per module, and then loads the tensors into them.

use std::collections::BTreeMap;

use lokr_core::sizes::{FactorizationRule, factorization, is_low_rank, lowest_full_rank};
use serde_json::{Map, Value, json};

use super::peft_config::PeftConfig;
use crate::dialects::Dialect;
use crate::error::{ConfigError, ModuleError, Result};
use crate::file::product;
use crate::module::{Module, W1, W2};

/// What a module demands of the configuration.
struct Demand<'a> {
    module: &'a Module,
    scale: f64,
    w1: (usize, usize),
    /// Without kernel.
    w2: (usize, usize),
    rank: Rank,
}

#[derive(Clone, Copy)]
enum Rank {
    /// That of low-rank factors.
    Exactly(usize),
    /// Both factors are full, which PEFT makes of large ranks.
    AtLeast(usize),
}

impl Rank {
    fn near(self, rank: usize) -> usize {
        match self {
            Self::Exactly(rank) => rank,
            Self::AtLeast(least) => least.max(rank),
        }
    }
}

/// What of a configuration is true of the modules it is to be written for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Holds {
    /// They are those it was read with; ranks and scales are checked all the same.
    #[default]
    Everything,
    /// Names and splits. Ranks and scales are written anew.
    Splits,
    /// What says nothing of names, shapes, ranks and scales.
    Rest,
}

/// The configuration for these modules. That of a PEFT adapter is kept as far as it holds.
pub(crate) fn config_for(
    modules: &BTreeMap<String, Module>,
    weights: &BTreeMap<String, Vec<usize>>,
    source: Option<(&PeftConfig, Holds)>,
) -> Result<PeftConfig> {
    let given = |config: &PeftConfig, name: &String, module: &Module| {
        config.scale(name, module.rank()).ok().is_some_and(|s| Some(s) == module.scale())
    };
    match source {
        Some((config, Holds::Everything)) if modules.iter().all(|(name, module)| given(config, name, module)) => {
            return Ok(config.clone());
        }
        _ => {}
    }
    let both = modules.values().any(|module| matches!(module.w1(), W1::LowRank { .. }));
    let effective = modules.values().any(|module| matches!(module.w2(), W2::Tucker { .. }));
    let demands = modules
        .iter()
        .map(|(name, module)| demand(module, weights.get(name).map(Vec::as_slice), both, effective))
        .collect::<Result<Vec<_>, _>>()?;
    let mut fields = source.map_or_else(defaults, |(config, _)| config.fields().clone());
    let holds = source.map_or(Holds::Rest, |(_, holds)| holds);
    if holds != Holds::Everything {
        // At a lower rank PEFT might make factors low-rank that are full.
        fields.insert("decompose_both".to_owned(), both.into());
        fields.insert("use_effective_conv2d".to_owned(), effective.into());
    }
    if holds == Holds::Rest {
        for field in ["exclude_modules", "layers_pattern", "layers_to_transform"] {
            fields.insert(field.to_owned(), Value::Null);
        }
        fields.insert("decompose_factor".to_owned(), decompose_factor(&demands)?.into());
        fields.insert("target_modules".to_owned(), modules.keys().cloned().collect());
    }
    ranks_and_alphas(&demands, &mut fields);
    let text = serde_json::to_vec(&fields)?;
    PeftConfig::parse(&text)
}

fn defaults() -> Map<String, Value> {
    let fields = json!({
        "auto_mapping": null, "base_model_name_or_path": null, "exclude_modules": null, "inference_mode": true,
        "init_weights": true, "layers_pattern": null, "layers_to_transform": null, "module_dropout": 0.0,
        "modules_to_save": null, "peft_type": "LOKR", "rank_dropout": 0.0, "rank_dropout_scale": false,
        "revision": null, "task_type": null,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn demand<'a>(
    module: &'a Module,
    weight: Option<&[usize]>,
    both: bool,
    effective: bool,
) -> Result<Demand<'a>, ModuleError> {
    let refuse = |reason| {
        let module = module.name().to_owned();
        Err(ModuleError::CannotHold { module, dialect: Dialect::Peft, reason })
    };
    let kernel = product(weight.map(|shape| &shape[2..]).or(module.w2().kernel()).unwrap_or_default());
    let (w1, (p, columns)) = (module.w1().dim(), module.w2().dim());
    let w2 = (p, columns / kernel.max(1));
    let (large1, large2) = (w1.0.max(w1.1), w2.0.max(w2.1));
    let rank = match module.rank() {
        Some(rank) => Rank::Exactly(rank),
        None => Rank::AtLeast(lowest_full_rank((large2, if both { large1 } else { 0 }))),
    };
    if let Rank::Exactly(rank) = rank {
        match module.w1() {
            W1::LowRank { .. } if !is_low_rank(rank, w1) => return refuse("PEFT makes lokr_w1 full at this rank"),
            W1::Full(_) if both && is_low_rank(rank, w1) => {
                return refuse(
                    "lokr_w1 is full, but low-rank in other modules, and PEFT has one decompose_both for all",
                );
            }
            _ => {}
        }
        match module.w2() {
            W2::Full(_) if is_low_rank(rank, w2) => return refuse("PEFT makes lokr_w2 low-rank at this rank"),
            W2::Full(_) => {}
            _ if !is_low_rank(rank, w2) => return refuse("PEFT makes lokr_w2 full at this rank"),
            W2::LowRank { .. } if effective && kernel > 1 => {
                return refuse("lokr_t2 is in other convolutions, and PEFT has one use_effective_conv2d for all");
            }
            W2::Tucker { .. } if kernel == 1 => return refuse("PEFT has no lokr_t2 for a kernel of one element"),
            _ => {}
        }
    }
    let scale = module.scale().ok_or_else(|| ModuleError::ScaleUnknown { module: module.name().to_owned() })?;
    Ok(Demand { module, scale, w1, w2, rank })
}

/// The factor that makes PEFT split all layers as they are split.
fn decompose_factor(demands: &[Demand<'_>]) -> Result<i64, ConfigError> {
    let fits = |factor: i64, demand: &Demand<'_>| {
        let split = |first: usize, second: usize| {
            let dim = first.checked_mul(second)?;
            factorization(dim, factor, FactorizationRule::Peft).ok().filter(|pair| *pair == (first, second))
        };
        split(demand.w1.0, demand.w2.0).is_some() && split(demand.w1.1, demand.w2.1).is_some()
    };
    let largest = demands.iter().map(|demand| demand.w1.0.max(demand.w1.1)).max().unwrap_or_default();
    // One beyond the largest part of w1 is enough, unless it divides a size by chance.
    let largest = i64::try_from(largest).unwrap_or(i64::MAX - 64);
    let mut furthest = 0;
    for factor in std::iter::once(-1).chain(1..=largest + 64) {
        match demands.iter().position(|demand| !fits(factor, demand)) {
            None => return Ok(factor),
            Some(place) => furthest = furthest.max(place),
        }
    }
    let Demand { module, w1, w2, .. } = &demands[furthest];
    Err(ConfigError::Factors { module: module.name().to_owned(), w1: *w1, w2: *w2 })
}

/// `r` and `alpha` as most modules have them, the others in patterns of their whole names.
fn ranks_and_alphas(demands: &[Demand<'_>], fields: &mut Map<String, Value>) {
    let exact = demands.iter().filter_map(|demand| match demand.rank {
        Rank::Exactly(rank) => Some(rank),
        Rank::AtLeast(_) => None,
    });
    let least = demands.iter().map(|demand| demand.rank.near(1)).max().unwrap_or(1);
    let r = most_common(exact).unwrap_or(least);
    let alpha_of = |demand: &Demand<'_>| demand.scale * demand.rank.near(r) as f64;
    let alpha = most_common(demands.iter().map(|demand| alpha_of(demand).to_bits())).map_or(1.0, f64::from_bits);
    let (mut ranks, mut alphas) = (Map::new(), Map::new());
    for demand in demands {
        let pattern = || format!("^{}", regex::escape(demand.module.name()));
        if demand.rank.near(r) != r {
            ranks.insert(pattern(), demand.rank.near(r).into());
        }
        if alpha_of(demand) != alpha {
            alphas.insert(pattern(), number(alpha_of(demand)));
        }
    }
    fields.insert("r".to_owned(), r.into());
    fields.insert("alpha".to_owned(), number(alpha));
    fields.insert("rank_pattern".to_owned(), ranks.into());
    fields.insert("alpha_pattern".to_owned(), alphas.into());
}

/// The value most often there, the smallest of several.
fn most_common<V: Ord + Copy>(values: impl Iterator<Item = V>) -> Option<V> {
    let mut counts = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_insert(0usize) += 1);
    counts.into_iter().rev().max_by_key(|&(_, count)| count).map(|(value, _)| value)
}

/// A whole number as one, as PEFT's own type for `alpha` is.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}
