//! Adapters that are applied to a model, by merging them, taking them out, or checking that they were.

use std::fmt;

use lokr_checkpoint::{Adapter, AdapterReport, Strength};

use super::one_for_each;
use crate::args::ApplyArgs;
use crate::error::CliError;
use crate::report::Reporter;
use crate::text::counted;

/// The adapters of a command line in their order, each with how strongly it acts.
pub(super) struct Applied(Vec<(Adapter, Strength)>);

impl Applied {
    pub(super) fn read(args: &ApplyArgs) -> Result<Self, CliError> {
        let multipliers = one_for_each("multiplier", &args.multipliers, args.adapters.len())?;
        let (options, scale, dora) = (args.read.options(), args.scale, args.dora.into());
        let read = |(path, multiplier)| Ok((Adapter::read(path, &options)?, Strength { multiplier, scale, dora }));
        args.adapters.iter().zip(multipliers).map(read).collect::<Result<_, _>>().map(Self)
    }

    /// As the jobs take them.
    pub(super) fn pairs(&self) -> Vec<(&Adapter, Strength)> {
        self.0.iter().map(|(adapter, strength)| (adapter, *strength)).collect()
    }

    /// What reading them gave reason to warn of.
    pub(super) fn warn(&self, reporter: &Reporter) {
        for (adapter, _) in &self.0 {
            reporter.warnings(adapter.warnings());
        }
    }
}

/// How each adapter was understood, a line each.
pub(super) fn write_adapters(f: &mut fmt::Formatter<'_>, adapters: &[AdapterReport]) -> fmt::Result {
    for adapter in adapters {
        writeln!(f, "{}: {}, multiplier {}", adapter.path, counted(adapter.modules, "module"), adapter.multiplier)?;
        writeln!(f, "  {}", adapter.convention)?;
        for name in &adapter.left_out {
            writeln!(f, "  left out, as asked: {name}")?;
        }
        for name in &adapter.tied {
            writeln!(f, "  the same as another tensor, to which the model ties it: {name}")?;
        }
        for name in &adapter.unmatched {
            writeln!(f, "  left out, not in the base model: {name}")?;
        }
        for name in &adapter.placeholders {
            writeln!(f, "  left out, changes nothing beside a module of the same rows: {name}")?;
        }
    }
    writeln!(f)
}

/// What was left out without being named on the command line: on standard error, whatever is reported besides.
pub(super) fn warn_left_out(reporter: &Reporter, adapters: &[AdapterReport]) {
    for adapter in adapters.iter().filter(|adapter| !adapter.unmatched.is_empty()) {
        let modules = counted(adapter.unmatched.len(), "module");
        let names = adapter.unmatched.join(", ");
        reporter.warnings(&[format!("{}: {modules} left out, not in the base model: {names}", adapter.path)]);
    }
}
