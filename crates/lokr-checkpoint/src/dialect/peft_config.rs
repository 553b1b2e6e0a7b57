//! PEFT's `adapter_config.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lokr_layers::NamePattern;
use serde_json::{Map, Value};

use crate::error::{CheckpointError, ConfigError, InFile, Result};
use crate::file::Fields;

/// The configuration of a PEFT adapter: what the scale depends on, read, and all fields as they were.
///
/// # Examples
/// ```
/// let config = lokr_checkpoint::PeftConfig::parse(br#"{"peft_type": "LOKR", "r": 4, "alpha": 2, "mine": [1]}"#)?;
/// assert_eq!(config.scale("layers.0.q", None)?, 0.5);
/// assert_eq!(config.fields()["mine"][0], 1);
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PeftConfig {
    kind: PeftKind,
    /// Whether a LoRA divides by the root of the rank (`use_rslora`).
    by_root: bool,
    r: usize,
    alpha: f64,
    rank_patterns: Vec<Pattern<usize>>,
    alpha_patterns: Vec<Pattern<f64>>,
    fields: Map<String, Value>,
}

/// What a configuration is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeftKind {
    Lokr,
    Lora,
}

#[derive(Debug, Clone)]
struct Pattern<V> {
    names: NamePattern,
    value: V,
}

const DEFAULT_RANK: usize = 8;
const DEFAULT_ALPHA: f64 = 8.0;

impl PeftConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] and those of [`PeftConfig::parse`], in the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let read = || Self::parse(&std::fs::read(path)?);
        read().map_err(|error: CheckpointError| error.in_file(path))
    }

    /// Checks a configuration's text.
    ///
    /// # Errors
    /// [`FileError::Json`](crate::FileError::Json), [`FileError::DuplicateKey`](crate::FileError::DuplicateKey);
    /// [`ConfigError::Field`] for another `peft_type` than `LOKR` and `LORA`, an `r` that is no positive integer, an
    /// `alpha` (`lora_alpha` of a LoRA) that is no finite number, patterns with such values, and a LoRA of weights that
    /// are stored transposed (`fan_in_fan_out`); [`ConfigError::Pattern`] for a pattern that is no regular expression
    /// (look-around and back-references, which Python knows, are none here).
    pub fn parse(json: &[u8]) -> Result<Self> {
        let fields: Fields<Value> = serde_json::from_slice(json)?;
        let fields: Map<String, Value> = fields.unique()?.into_iter().collect();
        let (kind, alpha) = match fields.get("peft_type") {
            Some(Value::String(kind)) if kind == "LOKR" => (PeftKind::Lokr, "alpha"),
            Some(Value::String(kind)) if kind == "LORA" => (PeftKind::Lora, "lora_alpha"),
            other => return Err(field_error("peft_type", "\"LOKR\" or \"LORA\"", other).into()),
        };
        let is_set = |field| kind == PeftKind::Lora && fields.get(field) == Some(&Value::Bool(true));
        if is_set("fan_in_fan_out") {
            let expected = "false: of weights that are stored transposed, LoRA is not read";
            return Err(field_error("fan_in_fan_out", expected, fields.get("fan_in_fan_out")).into());
        }
        let by_root = is_set("use_rslora");
        let r = fields.get("r").map_or(Ok(DEFAULT_RANK), |value| rank("r", value))?;
        let alpha = fields.get(alpha).map_or(Ok(DEFAULT_ALPHA), |value| finite(alpha, value))?;
        let rank_patterns = patterns(&fields, "rank_pattern", rank)?;
        let alpha_patterns = patterns(&fields, "alpha_pattern", finite)?;
        Ok(Self { kind, by_root, r, alpha, rank_patterns, alpha_patterns, fields })
    }

    /// Whether it is that of a LoRA, which PEFT configures otherwise.
    pub(crate) fn is_lora(&self) -> bool {
        self.kind == PeftKind::Lora
    }

    /// An error that names the kind, for tensors of the other.
    pub(crate) fn wrong_kind(&self) -> ConfigError {
        let expected = if self.is_lora() { "\"LOKR\", as the tensors are" } else { "\"LORA\", as the tensors are" };
        field_error("peft_type", expected, self.fields.get("peft_type"))
    }

    /// Every field of the file, known or not, with its value as it was.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The same with another value of a field that is not read here.
    pub(crate) fn with_field(&self, field: &str, value: Value) -> Self {
        let mut changed = self.clone();
        changed.fields.insert(field.to_owned(), value);
        changed
    }

    /// The `alpha` of a module; nothing where several patterns match and differ.
    #[must_use]
    pub fn alpha(&self, module: &str) -> Option<f64> {
        let (_, alphas) = matches(&self.alpha_patterns, module, self.alpha);
        alphas.first().copied().filter(|first| alphas.iter().all(|alpha| alpha == first))
    }

    /// The scale `alpha / r` of a module, `alpha / √r` of a LoRA with `use_rslora`. `rank` is that of its tensors, or
    /// `None` when both factors are full.
    ///
    /// A pattern counts when it matches the whole name or what follows a dot, as in PEFT. PEFT takes the first that
    /// does, but saves them sorted, so that their order is lost; several are accepted only where they agree in the
    /// scale.
    ///
    /// # Errors
    /// [`ConfigError::Rank`] when no rank that may be meant is that of the tensors,
    /// [`ConfigError::AmbiguousPattern`].
    pub fn scale(&self, module: &str, rank: Option<usize>) -> Result<f64> {
        let (mut texts, ranks) = matches(&self.rank_patterns, module, self.r);
        let (alpha_texts, alphas) = matches(&self.alpha_patterns, module, self.alpha);
        let ranks = match rank {
            Some(found) if !ranks.contains(&found) => {
                let field = if texts.is_empty() { "r" } else { "rank_pattern" };
                return Err(ConfigError::Rank { module: module.to_owned(), field, expected: ranks[0], found }.into());
            }
            Some(found) => vec![found],
            None => ranks,
        };
        let divisors = ranks.iter().map(|&rank| if self.by_root { (rank as f64).sqrt() } else { rank as f64 });
        let scales: BTreeSet<_> =
            divisors.flat_map(|divisor| alphas.iter().map(move |alpha| (alpha / divisor).to_bits())).collect();
        match scales.first() {
            Some(&bits) if scales.len() == 1 => Ok(f64::from_bits(bits)),
            _ => {
                texts.extend(alpha_texts);
                Err(ConfigError::AmbiguousPattern { module: module.to_owned(), patterns: texts }.into())
            }
        }
    }
}

/// The patterns that match a module and their values, or the default value when there are none.
fn matches<V: Copy>(patterns: &[Pattern<V>], module: &str, default: V) -> (Vec<String>, Vec<V>) {
    let found = patterns.iter().filter(|pattern| pattern.names.is_match(module));
    let (texts, values): (Vec<_>, Vec<_>) =
        found.map(|pattern| (pattern.names.as_str().to_owned(), pattern.value)).unzip();
    if values.is_empty() { (texts, vec![default]) } else { (texts, values) }
}

fn patterns<V>(
    fields: &Map<String, Value>,
    field: &'static str,
    read: impl Fn(&str, &Value) -> Result<V, ConfigError>,
) -> Result<Vec<Pattern<V>>, ConfigError> {
    let entries: BTreeMap<&String, &Value> = match fields.get(field) {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(entries)) => entries.iter().collect(),
        other => return Err(field_error(field, "an object of patterns", other)),
    };
    let compile = |(text, value): (&String, &Value)| {
        let names = NamePattern::ending(text.as_str()).map_err(|source| ConfigError::Pattern {
            field,
            pattern: text.clone(),
            source: Box::new(source),
        })?;
        Ok(Pattern { names, value: read(&format!("{field}.{text}"), value)? })
    };
    entries.into_iter().map(compile).collect()
}

fn rank(field: &str, value: &Value) -> Result<usize, ConfigError> {
    let rank = value.as_u64().and_then(|rank| usize::try_from(rank).ok()).filter(|&rank| rank > 0);
    rank.ok_or_else(|| field_error(field, "a positive integer", Some(value)))
}

fn finite(field: &str, value: &Value) -> Result<f64, ConfigError> {
    value.as_f64().filter(|x| x.is_finite()).ok_or_else(|| field_error(field, "a finite number", Some(value)))
}

fn field_error(field: &str, expected: &'static str, found: Option<&Value>) -> ConfigError {
    let found = found.map_or_else(|| "not there".to_owned(), Value::to_string);
    ConfigError::Field { field: field.to_owned(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FileError;

    fn config(rest: &str) -> Result<PeftConfig> {
        PeftConfig::parse(format!(r#"{{"peft_type": "LOKR", {rest}}}"#).as_bytes())
    }

    #[test]
    fn absent_fields_have_pefts_defaults() {
        let config = PeftConfig::parse(br#"{"peft_type": "LOKR"}"#).unwrap();
        assert_eq!(config.scale("fc", None).unwrap(), 1.0);
        assert_eq!(config.scale("fc", Some(8)).unwrap(), 1.0);
    }

    #[test]
    fn each_field_is_named_when_its_value_is_wrong() {
        for (text, wrong) in [
            (r#""r": 0"#, "r"),
            (r#""r": -2"#, "r"),
            (r#""r": 2.5"#, "r"),
            (r#""r": "two""#, "r"),
            (r#""r": null"#, "r"),
            (r#""alpha": "much""#, "alpha"),
            (r#""rank_pattern": []"#, "rank_pattern"),
            (r#""rank_pattern": {"fc": 0}"#, "rank_pattern.fc"),
            (r#""alpha_pattern": {"fc": true}"#, "alpha_pattern.fc"),
        ] {
            let error = config(text).unwrap_err();
            assert!(
                matches!(&error, CheckpointError::Config(ConfigError::Field { field, .. }) if field == wrong),
                "{text}: {error}"
            );
        }
        let error = PeftConfig::parse(br#"{"peft_type": "IA3"}"#).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::Config(ConfigError::Field { field, .. }) if field == "peft_type"),
            "{error}"
        );
        assert!(matches!(PeftConfig::parse(b"{}"), Err(CheckpointError::Config(ConfigError::Field { .. }))));
    }

    #[test]
    fn a_lora_has_its_own_fields() {
        let lora = |rest: &str| PeftConfig::parse(format!(r#"{{"peft_type": "LORA", "r": 4, {rest}}}"#).as_bytes());
        let plain = lora(r#""lora_alpha": 2, "alpha": 100, "alpha_pattern": {"k": 8}"#).unwrap();
        assert_eq!((plain.scale("a.q", Some(4)).unwrap(), plain.scale("a.k", Some(4)).unwrap()), (0.5, 2.0));
        assert!(plain.is_lora() && plain.alpha("a.k") == Some(8.0));
        assert_eq!(lora(r#""lora_alpha": 2, "use_rslora": true"#).unwrap().scale("q", Some(4)).unwrap(), 1.0);
        let error = lora(r#""fan_in_fan_out": true"#).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::Config(ConfigError::Field { field, .. }) if field == "fan_in_fan_out"),
            "{error}"
        );
    }

    #[test]
    fn patterns_match_whole_names_and_what_follows_a_dot() {
        let config =
            config(r#""r": 2, "alpha": 2, "alpha_pattern": {"fc": 4, "^a\\.x": 6, "b|c": 8, "y.z": 10}"#).unwrap();
        let scale = |name| config.scale(name, None).unwrap();
        assert_eq!(scale("fc"), 2.0);
        assert_eq!(scale("deep.fc"), 2.0);
        assert_eq!(scale("deepfc"), 1.0);
        assert_eq!(scale("fc.more"), 1.0);
        assert_eq!(scale("a.x"), 3.0);
        assert_eq!(scale("b.a.x"), 1.0); // `^` holds at the start only.
        assert_eq!(scale("d.c"), 4.0); // The alternatives belong together.
        assert_eq!((config.alpha("deep.fc"), config.alpha("other")), (Some(4.0), Some(2.0)));
        assert_eq!(scale("y.z"), 5.0);
    }

    #[test]
    fn overlapping_patterns_must_agree_in_the_scale() {
        let config =
            config(r#""r": 4, "alpha": 4, "rank_pattern": {"fc": 2, ".*fc": 8}, "alpha_pattern": {"fc": 2, "f.": 8}"#)
                .unwrap();
        assert_eq!(config.alpha("fc"), None);
        // The tensors tell the rank, not the alpha.
        for rank in [Some(2), None] {
            let error = config.scale("fc", rank).unwrap_err();
            assert!(matches!(&error, CheckpointError::Config(ConfigError::AmbiguousPattern { .. })), "{error}");
        }
        let same = super::tests::config(r#""rank_pattern": {"fc": 2, ".*fc": 4}, "alpha": 8"#).unwrap();
        assert_eq!(same.scale("fc", Some(4)).unwrap(), 2.0);
        assert!(matches!(same.scale("fc", None), Err(CheckpointError::Config(ConfigError::AmbiguousPattern { .. }))));
        let agree = super::tests::config(r#""r": 2, "alpha_pattern": {"fc": 6, ".*fc": 6}"#).unwrap();
        assert_eq!(agree.scale("fc", None).unwrap(), 3.0);
    }

    #[test]
    fn a_rank_that_the_tensors_do_not_have_is_an_error() {
        let config = config(r#""r": 4, "rank_pattern": {"fc": 2}"#).unwrap();
        let error = config.scale("fc", Some(4)).unwrap_err();
        let expected = "rank_pattern";
        assert!(
            matches!(&error, CheckpointError::Config(ConfigError::Rank { field, expected: 2, found: 4, .. }) if *field == expected),
            "{error}"
        );
        assert!(matches!(
            config.scale("x", Some(3)),
            Err(CheckpointError::Config(ConfigError::Rank { field: "r", .. }))
        ));
    }

    #[test]
    fn a_broken_regular_expression_is_named() {
        let error = config(r#""rank_pattern": {"(fc": 2}"#).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::Config(ConfigError::Pattern { field: "rank_pattern", pattern, .. }) if pattern == "(fc"),
            "{error}"
        );
    }

    #[test]
    fn json_errors_are_passed_on() {
        assert!(matches!(PeftConfig::parse(b"{\"r\": "), Err(CheckpointError::File(FileError::Json(_)))));
        assert!(matches!(config(r#""r": 2, "r": 3"#), Err(CheckpointError::File(FileError::DuplicateKey { .. }))));
    }
}
