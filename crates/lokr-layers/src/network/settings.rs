//! Which adapters a network gets.

use lokr_core::Scalar;

use super::pattern::NamePattern;
use super::select::Select;
use crate::error::Result;
use crate::update::LoKrSettings;

/// How [`crate::Sequential::adapt`] adapts layers: settings for all of them, ranks and alphas for some, and what
/// becomes of the rest. [`LoKrSettings`] alone are such settings too.
///
/// # Examples
/// ```
/// use lokr_layers::{AdaptSettings, LoKrSettings};
///
/// let settings = AdaptSettings::from(LoKrSettings::<f32>::new().rank(8).alpha(4.0))
///     .rank_pattern("q|k", 16) // layers whose names are or end with `.q` or `.k`
///     .alpha_pattern(r"blocks\.0\..*", 1.0)
///     .train_whole("head");
/// # let _ = settings;
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields),
    serde(bound(serialize = "T: Scalar + serde::Serialize", deserialize = "T: Scalar + serde::Deserialize<'de>"))
)]
#[must_use = "settings do nothing until `Sequential::adapt`"]
pub struct AdaptSettings<T> {
    pub(super) adapter: LoKrSettings<T>,
    /// Patterns and what is for them, the first that fits counting.
    #[cfg_attr(feature = "serde", serde(rename = "rank_pattern"))]
    ranks: Vec<(String, usize)>,
    #[cfg_attr(feature = "serde", serde(rename = "alpha_pattern"))]
    alphas: Vec<(String, T)>,
    pub(super) train_whole: Select,
    pub(super) freeze_rest: bool,
}

impl<T: Scalar> Default for AdaptSettings<T> {
    fn default() -> Self {
        Self::from(LoKrSettings::new())
    }
}

impl<T: Scalar> From<LoKrSettings<T>> for AdaptSettings<T> {
    fn from(adapter: LoKrSettings<T>) -> Self {
        Self { adapter, ranks: Vec::new(), alphas: Vec::new(), train_whole: Select::none(), freeze_rest: true }
    }
}

impl<T: Scalar> AdaptSettings<T> {
    /// The rank of the layers whose names end as `pattern` says ([`NamePattern::ending`]); the first pattern that fits
    /// counts. PEFT's `rank_pattern`.
    pub fn rank_pattern(mut self, pattern: impl Into<String>, rank: usize) -> Self {
        self.ranks.push((pattern.into(), rank));
        self
    }

    /// The alpha of such layers. PEFT's `alpha_pattern`. A layer of another rank keeps the alpha of all, if one is set.
    pub fn alpha_pattern(mut self, pattern: impl Into<String>, alpha: T) -> Self {
        self.alphas.push((pattern.into(), alpha));
        self
    }

    /// Layers that are trained as they are, such as a new head. PEFT's `modules_to_save`. They get no adapters.
    pub fn train_whole(mut self, layers: impl Into<Select>) -> Self {
        self.train_whole = layers.into();
        self
    }

    /// Whether layers that are neither adapted nor trained whole are frozen; they are unless this says otherwise.
    pub fn freeze_rest(mut self, freeze: bool) -> Self {
        self.freeze_rest = freeze;
        self
    }

    /// The settings of each of these layers, with a seed of its own.
    pub(super) fn of(&self, names: &[String]) -> Result<Vec<LoKrSettings<T>>> {
        let (ranks, alphas) = (compile(&self.ranks)?, compile(&self.alphas)?);
        let of_layer = |(index, name): (usize, &String)| {
            let mut settings = self.adapter.clone().reseeded(index as u64);
            if let Some(rank) = first(&ranks, name) {
                settings = settings.rank(rank);
            }
            match first(&alphas, name) {
                Some(alpha) => settings.alpha(alpha),
                None => settings,
            }
        };
        Ok(names.iter().enumerate().map(of_layer).collect())
    }
}

fn compile<V: Copy>(patterns: &[(String, V)]) -> Result<Vec<(NamePattern, V)>> {
    patterns.iter().map(|(text, value)| Ok((NamePattern::ending(text)?, *value))).collect()
}

fn first<V: Copy>(patterns: &[(NamePattern, V)], name: &str) -> Option<V> {
    patterns.iter().find(|(pattern, _)| pattern.is_match(name)).map(|&(_, value)| value)
}
