//! Settings of adapters, read and written by `serde`. What is not given has its default; what is given is checked where
//! settings always are, when an adapter is made of them.

use lokr_core::{FactorizationRule, KronShape, Scalar};
use ndarray::Array2;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::builder::LoKrSettings;
use super::dora::{DoraAxis, DoraStrength};
use super::dropout::Dropout;
use super::init::LoKrInit;
use super::placement::DeltaPlacement;
use super::settings::Settings;
use super::spec::DropoutSpec;

/// All settings, by the names of the builder's methods.
#[derive(Serialize, Deserialize)]
#[serde(rename = "LoKrSettings", default, deny_unknown_fields)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Scalar + Deserialize<'de>"))]
struct Record<T> {
    rank: usize,
    alpha: Option<T>,
    rs_lora: bool,
    freeze_base: bool,
    factor: i64,
    factor_rule: Rule,
    factor_shapes: Option<((usize, usize), (usize, usize))>,
    decompose_both: bool,
    full_matrix: bool,
    tucker: bool,
    lora: bool,
    terms: usize,
    term_weights: bool,
    init: LoKrInit,
    nearest_to: Option<Matrix<T>>,
    learned_scalar: bool,
    dora: Option<DoraAxis>,
    dora_strength: DoraStrength,
    dropout: DropoutSpec,
    placement: Option<DeltaPlacement>,
}

/// [`FactorizationRule`] by name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    Lycoris,
    Peft,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix<T> {
    shape: (usize, usize),
    /// Row after row.
    values: Vec<T>,
}

impl<T: Scalar> Default for Record<T> {
    fn default() -> Self {
        Self::of(&LoKrSettings::<T>::new().settings)
    }
}

impl<T: Scalar> Record<T> {
    fn of(settings: &Settings<T>) -> Self {
        let Dropout { input, rank, rescale_rank, module, .. } = settings.dropout;
        let matrix = |matrix: &Array2<T>| Matrix { shape: matrix.dim(), values: matrix.iter().copied().collect() };
        Self {
            rank: settings.rank,
            alpha: settings.alpha,
            rs_lora: settings.rs_lora,
            freeze_base: settings.freeze_base,
            factor: settings.factor,
            factor_rule: match settings.factor_rule {
                FactorizationRule::Lycoris => Rule::Lycoris,
                FactorizationRule::Peft => Rule::Peft,
            },
            factor_shapes: settings.factor_shapes.map(|KronShape { m, n, p, q }| ((m, n), (p, q))),
            decompose_both: settings.decompose_both,
            full_matrix: settings.full_matrix,
            tucker: settings.tucker,
            lora: settings.lora,
            terms: settings.terms,
            term_weights: settings.term_weights,
            init: settings.init,
            nearest_to: settings.nearest_to.as_ref().map(matrix),
            learned_scalar: settings.learned_scalar,
            dora: settings.dora,
            dora_strength: settings.dora_strength,
            dropout: DropoutSpec { input, rank, rescale_rank, module, seed: settings.seed },
            placement: settings.placement,
        }
    }

    fn settings(self) -> Result<LoKrSettings<T>, ndarray::ShapeError> {
        let DropoutSpec { input, rank, rescale_rank, module, seed } = self.dropout;
        let matrix = |Matrix { shape, values }| Array2::from_shape_vec(shape, values);
        let settings = Settings {
            rank: self.rank,
            alpha: self.alpha,
            rs_lora: self.rs_lora,
            freeze_base: self.freeze_base,
            factor: self.factor,
            factor_rule: match self.factor_rule {
                Rule::Lycoris => FactorizationRule::Lycoris,
                Rule::Peft => FactorizationRule::Peft,
            },
            factor_shapes: self.factor_shapes.map(|((m, n), (p, q))| KronShape { m, n, p, q }),
            decompose_both: self.decompose_both,
            full_matrix: self.full_matrix,
            tucker: self.tucker,
            lora: self.lora,
            terms: self.terms,
            term_weights: self.term_weights,
            init: self.init,
            nearest_to: self.nearest_to.map(matrix).transpose()?,
            learned_scalar: self.learned_scalar,
            dora: self.dora,
            dora_strength: self.dora_strength,
            dropout: Dropout { input, rank, rescale_rank, module, ..Dropout::none() },
            seed,
            placement: self.placement,
        };
        Ok(LoKrSettings { base: (), settings })
    }
}

/// # Examples
/// ```
/// use lokr_layers::LoKrSettings;
///
/// let settings: LoKrSettings<f32> = serde_json::from_str(r#"{"rank": 4, "alpha": 8.0, "init": "peft"}"#)?;
/// assert_eq!(settings.update((30, 42))?.scaling(), 2.0);
/// assert!(serde_json::from_str::<LoKrSettings<f32>>(r#"{"rnak": 4}"#).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Scalar + Serialize> Serialize for LoKrSettings<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record::of(&self.settings).serialize(serializer)
    }
}

/// Fails for names that no setting has, and for a matrix whose values do not fill its shape.
impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for LoKrSettings<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Record::deserialize(deserializer)?.settings().map_err(D::Error::custom)
    }
}
