//! The size of the adapter, beside other ways to hold such a change.

use std::collections::BTreeMap;
use std::fmt;

use lokr_checkpoint::Dialect;
use serde::Serialize;

use super::module::ModuleReport;
use super::others::OtherReport;
use super::size::Size;
use crate::table::{Align, Table};
use crate::text::{bytes, counted};

/// Sizes in bytes are those of the elements, in each module's own type.
#[derive(Serialize)]
pub(super) struct Totals {
    /// Of LoKr and others; what follows compares those of LoKr alone.
    modules: usize,
    parameters: usize,
    file_bytes: u64,
    /// LoRA of the same rank setting `r`, where every module has one.
    lora_same_setting: Option<Size>,
    /// LoRA whose change has the same rank as these modules' at most.
    lora_equal_rank: Size,
    full_weights: Size,
}

impl Totals {
    pub(super) fn new(modules: &[ModuleReport], others: &[OtherReport], dialect: Dialect, file_bytes: u64) -> Self {
        // The terms of one module change one weight.
        let mut weights = BTreeMap::new();
        for module in modules {
            weights.insert(dialect.path(&module.name), module.size(module.weight.0 * module.weight.1));
        }
        let lora = |rank: &dyn Fn(&ModuleReport) -> usize| modules.iter().map(|module| module.lora(rank(module))).sum();
        let ranked = modules.iter().all(|module| module.rank.is_some());
        Self {
            modules: modules.len() + others.len(),
            parameters: modules.iter().map(|module| module.parameters).sum::<usize>()
                + others.iter().map(|module| module.parameters).sum::<usize>(),
            file_bytes,
            lora_same_setting: ranked.then(|| lora(&|module| module.rank.unwrap_or(0))),
            lora_equal_rank: lora(&|module| module.rank_bound),
            full_weights: weights.into_values().sum(),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(vec![("", Align::Left), ("values", Align::Right), ("size", Align::Right)]);
        table.row(vec![
            format!("this file, {}", counted(self.modules, "module")),
            self.parameters.to_string(),
            bytes(self.file_bytes),
        ]);
        if self.full_weights.parameters == 0 {
            return write!(f, "{table}");
        }
        let mut row = |name: &str, size: Size| {
            table.row(vec![name.to_owned(), size.parameters.to_string(), bytes(size.bytes)]);
        };
        if let Some(size) = self.lora_same_setting {
            row("LoRA with the same r", size);
        }
        row("LoRA of a change of equal rank", self.lora_equal_rank);
        row("the full weights", self.full_weights);
        write!(f, "{table}")
    }
}
