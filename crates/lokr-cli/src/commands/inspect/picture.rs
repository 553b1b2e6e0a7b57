//! The picture of the norms by module.

use std::path::Path;

use super::module::ModuleReport;
use crate::args::InspectArgs;
use crate::error::CliError;
use crate::outputs::check_output;
use crate::plot::{self, Format, Plot, Row};

/// What the picture shows.
#[derive(Clone, Copy)]
pub(super) enum Norms {
    OfChanges,
    RelativeToWeights,
}

impl Norms {
    /// The picture of these modules.
    pub(super) fn plot<'a>(self, adapter: &Path, modules: &'a [ModuleReport]) -> Plot<'a> {
        let (axis, marks) = match self {
            Self::OfChanges => {
                ("Frobenius norm ‖ΔW‖F, in units of the weight", Some("spectral norm ‖ΔW‖2, in the same units"))
            }
            Self::RelativeToWeights => ("‖ΔW‖F / ‖W‖F: the change relative to the weight", None),
        };
        let title = format!("{}: how much each module changes its weight", adapter.display());
        Plot { title, axis, marks, rows: modules.iter().map(|module| self.row(module)).collect() }
    }

    fn row(self, module: &ModuleReport) -> Row<'_> {
        let (value, mark) = match self {
            Self::OfChanges => (module.frobenius_norm, module.spectral_norm),
            Self::RelativeToWeights => (module.relative_norm, None),
        };
        Row { name: &module.name, value, mark }
    }
}

/// Where it goes, and as what.
pub(super) struct Picture<'a> {
    path: &'a Path,
    format: Format,
}

impl<'a> Picture<'a> {
    /// The one that the command line asks for; an error if it cannot be where it should.
    pub(super) fn asked_for(args: &'a InspectArgs) -> Result<Option<Self>, CliError> {
        let Some(path) = &args.plot else { return Ok(None) };
        let format = Format::of(path)?;
        check_output(path, args.overwrite())?;
        Ok(Some(Self { path, format }))
    }

    pub(super) fn draw(&self, adapter: &Path, modules: &[ModuleReport], norms: Norms) -> Result<(), CliError> {
        plot::save(self.path, self.format, &norms.plot(adapter, modules))
    }
}
