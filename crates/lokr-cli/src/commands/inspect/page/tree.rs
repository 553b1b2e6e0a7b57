//! The modules by the parts of their names.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::module::ModuleReport;
use super::html::escaped;
use super::spectrum::Spectrum;
use crate::text::{counted, dimensions, number, rank};

/// What the columns of a module's line are.
pub(super) const HEAD: &str = "<p class=\"legend\">Of each change ΔW = s·(w1 ⊗ w2): its Frobenius norm as a bar beside \
    that of the largest; its Frobenius and spectral norms; its stable rank ‖ΔW‖F²/‖ΔW‖2²; how many singular values hold \
    90 % and 99 % of its squares; and all of them, on a scale of powers of ten.</p>";

/// A module, and the singular values of its change.
pub(super) struct Line<'a> {
    pub(super) module: &'a ModuleReport,
    pub(super) spectrum: Option<Spectrum>,
}

/// Modules whose names begin alike.
pub(super) struct Group<'a> {
    lines: Vec<(&'a str, &'a Line<'a>)>,
    groups: Vec<(String, Group<'a>)>,
}

impl<'a> Group<'a> {
    /// All modules, in their order.
    pub(super) fn of(lines: &'a [Line<'a>]) -> Self {
        Self::split(lines.iter().map(|line| (line.module.name.as_str(), line)).collect())
    }

    /// By the first part of what is left of the names; groups keep the order in which they begin.
    fn split(lines: Vec<(&'a str, &'a Line<'a>)>) -> Self {
        let (mut own, mut groups): (Vec<_>, Vec<(&str, Vec<_>)>) = (Vec::new(), Vec::new());
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, line) in lines {
            let Some((first, rest)) = name.split_once('.') else {
                own.push((name, line));
                continue;
            };
            let place = *places.entry(first).or_insert_with(|| {
                groups.push((first, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push((rest, line));
        }
        let groups = groups.into_iter().map(|(name, lines)| Self::split(lines).named(name)).collect();
        Self { lines: own, groups }
    }

    /// With its name; a group of a single group is that one.
    fn named(mut self, name: &str) -> (String, Self) {
        if self.lines.is_empty()
            && self.groups.len() == 1
            && let Some((inner, group)) = self.groups.pop()
        {
            return (format!("{name}.{inner}"), group);
        }
        (name.to_owned(), self)
    }

    fn count(&self) -> usize {
        self.lines.len() + self.groups.iter().map(|(_, group)| group.count()).sum::<usize>()
    }

    /// The sum of the squares of the norms.
    fn squares(&self) -> f64 {
        let own = self.lines.iter().filter_map(|(_, line)| line.module.frobenius_norm).map(|norm| norm * norm);
        own.sum::<f64>() + self.groups.iter().map(|(_, group)| group.squares()).sum::<f64>()
    }

    fn largest(&self) -> f64 {
        let own = self.lines.iter().filter_map(|(_, line)| line.module.frobenius_norm).filter(|norm| norm.is_finite());
        let groups = self.groups.iter().map(|(_, group)| group.largest());
        own.chain(groups).fold(0.0, f64::max)
    }

    /// As nested lists that open and close; the outer ones are open.
    pub(super) fn html(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, self.largest(), 0);
        text
    }

    fn write(&self, text: &mut String, largest: f64, depth: usize) {
        for (name, group) in &self.groups {
            let open = if depth < 1 || group.count() <= 4 { " open" } else { "" };
            let (name, modules) = (escaped(name), counted(group.count(), "module"));
            let norm = number(Some(group.squares().sqrt()));
            let _ = writeln!(
                text,
                "<details{open}><summary>{name} <span class=\"sum\">{modules}, ‖ΔW‖F {norm} in all</span></summary>"
            );
            group.write(text, largest, depth + 1);
            text.push_str("</details>\n");
        }
        if self.lines.is_empty() {
            return;
        }
        text.push_str("<table class=\"modules\">\n<tr><th>module</th><th>kind</th><th>w1</th><th>w2</th><th>rank</th>");
        text.push_str("<th>scale</th><th>dtype</th><th></th><th>‖ΔW‖F</th><th>‖ΔW‖2</th><th>stable</th><th>90 %</th>");
        text.push_str("<th>99 %</th><th>singular values</th></tr>\n");
        for (name, line) in &self.lines {
            line.write(text, name, largest);
        }
        text.push_str("</table>\n");
    }
}

impl Line<'_> {
    fn write(&self, text: &mut String, name: &str, largest: f64) {
        let module = self.module;
        let product =
            |shapes: &[Vec<usize>]| shapes.iter().map(|shape| dimensions(shape)).collect::<Vec<_>>().join("·");
        let share = module.frobenius_norm.filter(|norm| norm.is_finite() && largest > 0.0).map(|norm| norm / largest);
        let spectrum = self.spectrum.as_ref();
        let dora = if module.dora { "+dora" } else { "" };
        let _ = write!(text, "<tr><th title=\"{}\">{}</th>", escaped(&module.name), escaped(name));
        let left = [format!("{}{dora}", module.kind), product(&module.w1), product(&module.w2), rank(module.rank)];
        for cell in left.into_iter().chain([number(module.scale), module.dtype.clone()]) {
            let _ = write!(text, "<td>{}</td>", escaped(&cell));
        }
        let _ = write!(
            text,
            "<td class=\"bar\"><svg width=\"80\" height=\"10\"><rect width=\"{:.1}\" height=\"10\"/></svg></td>",
            80.0 * share.unwrap_or(0.0)
        );
        let whole = |rank: Option<usize>| rank.map_or("-".to_owned(), |rank| rank.to_string());
        for cell in [
            number(module.frobenius_norm),
            number(module.spectral_norm),
            number(spectrum.and_then(Spectrum::stable_rank)),
            whole(spectrum.and_then(|spectrum| spectrum.rank_of(0.9))),
            whole(spectrum.and_then(|spectrum| spectrum.rank_of(0.99))),
        ] {
            let _ = write!(text, "<td class=\"number\">{cell}</td>");
        }
        let picture = spectrum.map(Spectrum::svg).unwrap_or_default();
        let _ = writeln!(text, "<td>{picture}</td></tr>");
    }
}
