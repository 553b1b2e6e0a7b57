//! Each module beside a program's facts.

use super::facts::{Facts, Names, Only, Opens};
use super::feature::{Feature, features};
use super::report::{CheckedModule, Fit};
use super::stored::{Kind, Stored, StoredFile};
use crate::dialect::peft;

/// What stands against the file as a whole, and what the program makes of each module.
pub(super) fn judge(facts: &Facts, file: &StoredFile) -> (Vec<String>, Vec<CheckedModule>) {
    let is_flux2 = is_flux2(file);
    let modules = file.modules.iter().map(|(name, stored)| module(facts, name, stored, is_flux2)).collect();
    (problems(facts, file), modules)
}

/// Whether the program reads modules of these algorithms and forms, under whatever names and with whatever `alpha`.
pub(super) fn forms_are_read(facts: &Facts, file: &StoredFile) -> bool {
    file.modules.values().all(|stored| {
        let found = features(stored);
        let limits = facts.limits.iter().filter(|limit| !matches!(limit.feature, Feature::Alpha | Feature::NoAlpha));
        facts.reads.contains(&stored.kind) && !limits.into_iter().any(|limit| found.contains(&limit.feature))
    })
}

fn problems(facts: &Facts, file: &StoredFile) -> Vec<String> {
    let title = facts.title;
    let mut problems = Vec::new();
    match (facts.opens, file.in_directory) {
        (Opens::File, true) => problems.push(format!("{title} opens a file, not PEFT's directory")),
        (Opens::Directory, false) => {
            problems.push(format!("{title} opens a directory with {} and {}", peft::TENSORS, peft::CONFIG));
        }
        (Opens::Directory, true) if file.config.is_none() => problems.push(format!("{} is not there", peft::CONFIG)),
        (Opens::Directory, true) => problems.extend(config_problem(file)),
        (Opens::File, false) => {}
    }
    if file.modules.is_empty() {
        problems.push("it holds no tensors".to_owned());
    }
    problems
}

/// PEFT goes by the configuration: one of another kind makes it load nothing.
fn config_problem(file: &StoredFile) -> Option<String> {
    let kind = file.config.as_ref()?.get("peft_type").and_then(|kind| kind.as_str()).unwrap_or_default();
    let needed = file.modules.values().find_map(|stored| match stored.kind {
        Kind::Lokr => Some("LOKR"),
        Kind::LoraA => Some("LORA"),
        _ => None,
    })?;
    (kind != needed).then(|| format!("{} says peft_type {kind:?}, but the tensors are those of {needed}", peft::CONFIG))
}

fn module(facts: &Facts, name: &str, stored: &Stored, is_flux2: bool) -> CheckedModule {
    let (fit, reason) = match verdict(facts, name, stored, is_flux2) {
        None => (Fit::Reads, None),
        Some((fit, reason)) => (fit, Some(reason)),
    };
    CheckedModule { name: name.to_owned(), algorithm: stored.kind.name(), fit, reason }
}

/// Why the program does not read a module, or not as it was trained.
fn verdict(facts: &Facts, name: &str, stored: &Stored, is_flux2: bool) -> Option<(Fit, String)> {
    let title = facts.title;
    if !facts.reads.contains(&stored.kind) {
        let what = match stored.kind {
            Kind::LoraA if facts.reads.contains(&Kind::LoraDown) => "LoRA under the names lora_A and lora_B".to_owned(),
            Kind::LoraDown if facts.reads.contains(&Kind::LoraA) => {
                "LoRA under the names lora_down and lora_up".to_owned()
            }
            kind => kind.name().to_owned(),
        };
        return Some((Fit::Fails, format!("{title} reads no {what}")));
    }
    if !facts.names.iter().any(|names| names.have(name, stored.kind, is_flux2)) {
        return Some((Fit::Fails, format!("{title} does not look this name up")));
    }
    let found = features(stored);
    let limit = |fit| facts.limits.iter().find(|limit| limit.fit == fit && found.contains(&limit.feature));
    if let Some(limit) = limit(Fit::Fails).or_else(|| limit(Fit::Differs)) {
        return Some((limit.fit, limit.why.to_owned()));
    }
    let difference = ["diff", "diff_b", "w_norm", "b_norm"].into_iter().find(|suffix| stored.shape(suffix).is_some());
    difference
        .filter(|_| stored.kind != Kind::Difference && !facts.reads.contains(&Kind::Difference))
        .map(|suffix| (Fit::Differs, format!("{title} leaves its {suffix} out")))
}

impl Names {
    fn have(&self, name: &str, kind: Kind, is_flux2: bool) -> bool {
        let Some(path) = name.strip_prefix(self.prefix) else {
            return false;
        };
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| path.starts_with(beginning));
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.paths.is_empty() || begins(self.paths))
            && !begins(self.except)
            && self.only.is_none_or(|only| match only {
                Only::Flux2 => is_flux2,
            })
    }
}

/// Whether blocks named like those of Flux.1 are Flux.2's. Its MLPs have gates, so that the layers into them have more
/// rows: `linear1` nine times the model's width, where Flux.1 has seven; `img_mlp.0` six times, where Flux.1 has four.
fn is_flux2(file: &StoredFile) -> bool {
    const SHARED: [&str; 3] =
        ["double_stream_modulation_img", "double_stream_modulation_txt", "single_stream_modulation"];
    file.modules.iter().any(|(name, stored)| {
        let times = if name.ends_with(".linear1") {
            Some(9)
        } else if name.ends_with("_mlp.0") {
            Some(6)
        } else {
            None
        };
        let wide = || times.zip(size(stored)).is_some_and(|(times, (out, input))| out == times * input);
        SHARED.iter().any(|part| name.contains(part)) || wide()
    })
}

/// The sizes of the layer that a module's factors are of, where they are those of a linear one.
fn size(stored: &Stored) -> Option<(usize, usize)> {
    let pair = |a: &str, b: &str| Some((*stored.shape(a)?.first()?, *stored.shape(b)?.get(1)?));
    match stored.kind {
        Kind::Lokr => {
            let first = pair("lokr_w1", "lokr_w1").or_else(|| pair("lokr_w1_a", "lokr_w1_b"))?;
            let second = pair("lokr_w2", "lokr_w2").or_else(|| pair("lokr_w2_a", "lokr_w2_b"))?;
            Some((first.0 * second.0, first.1 * second.1))
        }
        Kind::LoraDown => pair("lora_up.weight", "lora_down.weight"),
        Kind::LoraA => pair("lora_B.weight", "lora_A.weight"),
        _ => None,
    }
}
