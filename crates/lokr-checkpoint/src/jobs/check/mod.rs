//! Whether another program will read a file, and what makes it so.
//!
//! - `program`, `facts`, `table`: the programs, what can be known of one, and one table of what each of them reads,
//!   from its own sources.
//! - `stored`: what a file holds, module by module, whatever its algorithms: keys and shapes, no values.
//! - `feature`: what some programs cannot do with a module.
//! - `judge`: each module beside a program's facts.
//! - `remedy`: the conversion after which the program reads it.
//! - `check`: the job; `report`: its answer.

#[allow(clippy::module_inception)] // The job after which the room is named.
mod check;
mod facts;
mod feature;
mod judge;
mod program;
mod remedy;
mod report;
mod stored;
mod table;

pub use check::check;
pub use program::Program;
pub use report::{CheckReport, CheckedModule, ConvertTo, Fit, Remedy};
