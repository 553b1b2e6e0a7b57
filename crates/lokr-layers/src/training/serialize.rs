//! The plain settings of a run, read and written by `serde`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::plain_settings::TrainingSettings;
use super::schedule::Schedule;
use super::shape::Shape;
use super::step::{Clip, StepSettings};

/// All of them, by the names of the methods of [`Training`](super::Training).
#[derive(Serialize, Deserialize)]
#[serde(rename = "TrainingSettings", default, deny_unknown_fields)]
struct Record {
    epochs: usize,
    batch_size: usize,
    seed: u64,
    /// That of a batch where it is not given; with `fixed_order` the samples of a block.
    micro_batch_size: Option<usize>,
    fixed_order: bool,
    schedule: Schedule,
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    measure_gradient_norm: bool,
    balance_factors: bool,
    limit_update_norm: Option<f64>,
    early_stopping: Option<usize>,
    check_ranks_every: usize,
}

impl Default for Record {
    fn default() -> Self {
        Self::from(&TrainingSettings::default())
    }
}

impl From<&TrainingSettings> for Record {
    fn from(settings: &TrainingSettings) -> Self {
        let StepSettings { clip, micro_batch_size, fixed_order, measures_norm, shape } = settings.step;
        let (clip_norm, clip_value) = match clip {
            None => (None, None),
            Some(Clip::Norm(limit)) => (Some(limit), None),
            Some(Clip::Value(limit)) => (None, Some(limit)),
        };
        Self {
            epochs: settings.epochs,
            batch_size: settings.batch_size,
            seed: settings.seed,
            micro_batch_size: Some(micro_batch_size).filter(|&size| size != StepSettings::PLAIN.micro_batch_size),
            fixed_order,
            schedule: settings.schedule,
            clip_norm,
            clip_value,
            measure_gradient_norm: measures_norm,
            balance_factors: shape.balance,
            limit_update_norm: shape.limit,
            early_stopping: settings.patience,
            check_ranks_every: settings.check_every,
        }
    }
}

impl From<Record> for TrainingSettings {
    fn from(record: Record) -> Self {
        let step = StepSettings {
            // Where both are given, as where both are set, one takes the place of the other.
            clip: record.clip_value.map(Clip::Value).or(record.clip_norm.map(Clip::Norm)),
            micro_batch_size: record.micro_batch_size.unwrap_or(StepSettings::PLAIN.micro_batch_size),
            fixed_order: record.fixed_order,
            measures_norm: record.measure_gradient_norm,
            shape: Shape { balance: record.balance_factors, limit: record.limit_update_norm },
        };
        Self {
            epochs: record.epochs,
            batch_size: record.batch_size,
            seed: record.seed,
            step,
            schedule: record.schedule,
            patience: record.early_stopping,
            check_every: record.check_ranks_every,
        }
    }
}

/// # Examples
/// ```
/// use lokr_layers::{Schedule, TrainingSettings};
///
/// let settings: TrainingSettings = serde_json::from_str(r#"{"epochs": 3, "clip_norm": 1.0}"#)?;
/// assert_eq!(serde_json::from_str::<TrainingSettings>(&serde_json::to_string(&settings)?)?, settings);
/// assert!(serde_json::from_str::<TrainingSettings>(r#"{"epoch": 3}"#).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Serialize for TrainingSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record::from(self).serialize(serializer)
    }
}

/// Fails for names that no setting has.
impl<'de> Deserialize<'de> for TrainingSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Record::deserialize(deserializer).map(Self::from)
    }
}
