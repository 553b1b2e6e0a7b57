//! How to read adapters: what every command that takes one has.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use lokr_checkpoint::{Dialect, ForeignTensors, NonFinite, ReadOptions, ZeroAlpha};

use super::values::rename;

/// How to read adapters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading adapters")]
pub(crate) struct ReadArgs {
    /// The dialect, instead of detecting it
    #[arg(long)]
    pub(crate) dialect: Option<DialectArg>,
    /// What stands before the names of a LyCORIS file instead of `lycoris_`
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// PEFT's adapter_config.json, where it is not beside the tensors
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Read the names of tensors with TO in place of every FROM in them, such as `my_net.=diffusion_model.`; may be
    /// repeated
    #[arg(long, value_name = "FROM=TO", value_parser = rename)]
    pub(crate) rename: Vec<(String, String)>,
    /// Only modules whose names begin with this, such as `lora_unet_`; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,
    /// Not the modules in whose name this regular expression is found; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub(crate) exclude: Vec<String>,
    /// Accept NaN and infinite values in factors
    #[arg(long)]
    pub(crate) allow_non_finite: bool,
    /// Leave out tensors of algorithms that cannot be applied, such as OFT and IA3, instead of refusing them
    #[arg(long)]
    pub(crate) skip_foreign: bool,
    /// What an alpha of 0 beside a low-rank factor means: alpha = rank (LyCORIS) or scale 0 (ComfyUI); refused
    /// otherwise
    #[arg(long, value_name = "MEANING")]
    pub(crate) zero_alpha: Option<ZeroAlphaArg>,
}

impl ReadArgs {
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            dialect: self.dialect.map(Dialect::from),
            prefix: self.prefix.clone(),
            config: self.config.clone(),
            rename: self.rename.clone(),
            only: self.only.clone(),
            exclude: self.exclude.clone(),
            non_finite: if self.allow_non_finite { NonFinite::Allow } else { NonFinite::Refuse },
            foreign: if self.skip_foreign { ForeignTensors::Skip } else { ForeignTensors::Refuse },
            zero_alpha: match self.zero_alpha {
                None => ZeroAlpha::Refuse,
                Some(ZeroAlphaArg::Rank) => ZeroAlpha::Rank,
                Some(ZeroAlphaArg::Zero) => ZeroAlpha::Zero,
            },
        }
    }
}

impl ReadArgs {
    /// The words of a command line that say the same.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |option: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([format!("--{option}"), value]);
            }
        };
        let name = |value: PossibleValue| value.get_name().to_owned();
        add("dialect", self.dialect.and_then(|dialect| dialect.to_possible_value()).map(name));
        add("prefix", self.prefix.clone());
        add("config", self.config.as_ref().map(|path| path.display().to_string()));
        self.only.iter().for_each(|only| add("only", Some(only.clone())));
        add("zero-alpha", self.zero_alpha.and_then(|meaning| meaning.to_possible_value()).map(name));
        words.extend(self.allow_non_finite.then(|| "--allow-non-finite".to_owned()));
        words.extend(self.skip_foreign.then(|| "--skip-foreign".to_owned()));
        words
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DialectArg {
    /// PEFT: a directory, or its tensors alone
    Peft,
    /// LyCORIS's wrapper: `lycoris_` and the path with underscores
    Lycoris,
    /// kohya's scripts and OneTrainer: `lora_unet_`, `lora_te_` and the path with underscores
    Kohya,
    /// ai-toolkit and ComfyUI: the path with dots
    Dotted,
    /// lokr's own, for sums of several products per module: the path with dots, then `.term0`, `.term1`
    Terms,
}

impl From<DialectArg> for Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Peft => Self::Peft,
            DialectArg::Lycoris => Self::Lycoris,
            DialectArg::Kohya => Self::Kohya,
            DialectArg::Dotted => Self::Dotted,
            DialectArg::Terms => Self::Terms,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ZeroAlphaArg {
    Rank,
    Zero,
}
