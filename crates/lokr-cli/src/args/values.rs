//! Values of arguments that several commands have.

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use lokr_checkpoint::{FloatType, Overwrite, Program, ScaleRule, Unmatched};

pub(super) fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Replace } else { Overwrite::Refuse }
}

pub(super) fn unmatched(allowed: bool) -> Unmatched {
    if allowed { Unmatched::Allow } else { Unmatched::Refuse }
}

pub(super) fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("expected a finite number".to_owned()),
    }
}

pub(super) fn rename(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("expected FROM=TO".to_owned()),
    }
}

pub(super) fn scale(text: &str) -> Result<ScaleRule, String> {
    match text {
        "trained" => Ok(ScaleRule::Trained),
        "like-lycoris-merge" => Ok(ScaleRule::LikeLycorisMerge),
        _ => finite(text)
            .map(ScaleRule::Fixed)
            .map_err(|_| "expected `trained`, `like-lycoris-merge` or a finite number".to_owned()),
    }
}

/// A program by its name.
pub(super) fn programs() -> impl TypedValueParser<Value = Program> {
    let names = Program::ALL.map(|program| PossibleValue::new(program.name()).help(program.to_string()));
    PossibleValuesParser::new(names).try_map(|name| Program::named(&name).ok_or("no program of that name"))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FloatArg {
    F16,
    Bf16,
    F32,
    F64,
}

impl From<FloatArg> for FloatType {
    fn from(dtype: FloatArg) -> Self {
        match dtype {
            FloatArg::F16 => Self::F16,
            FloatArg::Bf16 => Self::Bf16,
            FloatArg::F32 => Self::F32,
            FloatArg::F64 => Self::F64,
        }
    }
}
