//! One function per subcommand.

pub mod completions;
pub mod doctor;
pub mod inspect;
