//! The programs.

use std::fmt;

use super::facts::Facts;
use super::table::PROGRAMS;

/// A program that reads adapters.
///
/// # Examples
/// ```
/// use lokr_checkpoint::Program;
///
/// assert_eq!(Program::named("comfyui"), Some(Program::ComfyUi));
/// assert_eq!(Program::LlamaCpp.to_string(), "llama.cpp");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Program {
    /// `ComfyUI`.
    ComfyUi,
    /// Stable Diffusion WebUI Forge.
    Forge,
    /// `InvokeAI`.
    InvokeAi,
    /// Hugging Face's diffusers.
    Diffusers,
    /// Hugging Face's PEFT.
    Peft,
    /// LyCORIS: its wrapper and its module for kohya's scripts.
    Lycoris,
    /// kohya's sd-scripts, without LyCORIS.
    Kohya,
    /// llama.cpp's converter of adapters.
    LlamaCpp,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ComfyUi,
        Self::Forge,
        Self::InvokeAi,
        Self::Diffusers,
        Self::Peft,
        Self::Lycoris,
        Self::Kohya,
        Self::LlamaCpp,
    ];

    /// The word for it on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The program of that word.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.name() == name)
    }

    /// Where what is known of it was read.
    #[must_use]
    pub fn source(self) -> &'static str {
        self.facts().source
    }

    pub(super) fn facts(self) -> &'static Facts {
        &PROGRAMS[self as usize]
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_has_its_own_facts() {
        for program in Program::ALL {
            assert_eq!(Program::named(program.name()), Some(program));
        }
        assert_eq!(Program::ALL.map(Program::name)[0], "comfyui");
        assert_eq!(Program::ALL.map(Program::name)[7], "llama.cpp");
    }
}
