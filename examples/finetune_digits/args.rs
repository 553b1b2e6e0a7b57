//! The options. Their defaults were chosen by the accuracy on validation images.

use std::path::PathBuf;

use clap::Parser;

/// Trains a network on upright handwritten digits, then teaches it turned and inverted ones through LoKr adapters, its
/// own weights frozen; trains LoRA adapters with as many parameters and all weights beside it for comparison.
#[derive(Debug, Parser)]
#[command(name = "finetune_digits", version)]
pub struct Args {
    /// Seed of the split, the initial weights and the order of the samples
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A small convolutional network in place of one of linear layers
    #[arg(long)]
    pub conv: bool,
    /// Sizes of the hidden layers of the network of linear layers
    #[arg(long, value_delimiter = ',', default_value = "256,256,64")]
    pub hidden: Vec<usize>,
    /// Epochs of training the base network on upright digits
    #[arg(long, default_value_t = 15)]
    pub pretrain_epochs: usize,
    /// Epochs of fine-tuning on shifted digits, for every method
    #[arg(long, default_value_t = 40)]
    pub epochs: usize,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    pub batch_size: usize,
    /// Rank of the adapters: factor B is low-rank where its longer side is more than twice this, and full elsewhere
    #[arg(long, default_value_t = 16)]
    pub rank: usize,
    /// Splits each size of a layer into this times the rest: factor A has the one, B the other; -1 for a balanced split
    #[arg(long, default_value_t = 8, allow_negative_numbers = true)]
    pub factor: i64,
    /// Learning rate of the adapters, and of the last layer trained alone
    #[arg(long, default_value_t = 0.01)]
    pub lr: f64,
    /// Learning rate where all weights are trained
    #[arg(long, default_value_t = 0.001)]
    pub full_lr: f64,
    /// Where to save the picture of the curves [default: target/finetune_digits.svg in the repository, or
    /// finetune_digits_conv.svg]
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Print the results only, no progress
    #[arg(long, short)]
    pub quiet: bool,
}

impl Args {
    /// Where the picture goes.
    pub fn plot(&self) -> PathBuf {
        let name = if self.conv { "finetune_digits_conv.svg" } else { "finetune_digits.svg" };
        let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).join(name);
        self.plot.clone().unwrap_or_else(default)
    }
}
