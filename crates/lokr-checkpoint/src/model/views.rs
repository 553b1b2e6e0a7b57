//! The other names that a model's tensors have, and those of their parts.
//!
//! Programs call the modules of one architecture by different names, and some keep in one tensor what others keep in
//! several. The tables of `family` say which; here they are applied to the tensors that a model stores, both ways and
//! as often as something new comes out, so that a model has all names that its adapters may carry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::family::{self, BODY, GENERIC, Lines, Share, Spelling, TEXT, shares};

/// Rows of a stored tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Piece {
    /// The tensor's name.
    pub(crate) tensor: String,
    pub(crate) rows: Range<usize>,
}

/// A tensor by another name than it is stored under, or of parts of stored ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// What it consists of, one below the other.
    pub(super) pieces: Vec<Piece>,
    pub(super) shape: Vec<usize>,
}

/// A module whose rows cannot be what its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The module that is stored, or the first of several.
    pub(super) module: String,
    pub(super) size: (usize, usize),
    pub(super) parts: Vec<String>,
}

/// All views of a model.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// By the names of tensors.
    pub(super) tensors: BTreeMap<String, View>,
    /// Modules by names under which nothing can be found, because sizes do not add up.
    pub(super) misfits: BTreeMap<String, Misfit>,
    /// Names that mean several things, and what they may mean.
    pub(super) doubtful: BTreeMap<String, BTreeSet<String>>,
    /// The families that the names were recognised as.
    pub(super) families: BTreeSet<&'static str>,
}

/// Parameters of fused modules whose names are none of a module's, and what they would be called.
pub(super) const FUSED: [(&str, &str); 2] = [("in_proj_weight", "in_proj.weight"), ("in_proj_bias", "in_proj.bias")];

/// A module's name and that of its parameter. Norms that call their weight `scale` have a weight, too.
fn split(tensor: &str) -> Option<(String, &'static str)> {
    let fused = FUSED.iter().find_map(|(stored, name)| {
        let path = tensor.strip_suffix(stored)?;
        (path.is_empty() || path.ends_with('.')).then(|| format!("{path}{name}"))
    });
    let name = fused.as_deref().unwrap_or(tensor);
    let parameters = [("weight", ".weight"), ("weight", ".scale"), ("bias", ".bias")];
    parameters.into_iter().find_map(|(parameter, suffix)| Some((name.strip_suffix(suffix)?.to_owned(), parameter)))
}

/// A module as far as its rows are concerned: the stored modules it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rows {
    parts: Vec<(String, Range<usize>)>,
    columns: usize,
}

impl Rows {
    fn count(&self) -> usize {
        self.parts.iter().map(|(_, rows)| rows.len()).sum()
    }

    /// Some of its rows, in ranges one below the other; those that follow each other in a stored module are one.
    fn cut(&self, ranges: &[Range<usize>]) -> Self {
        let mut cut = Self { parts: Vec::new(), columns: self.columns };
        for range in ranges {
            let mut first = 0;
            for (module, rows) in &self.parts {
                let (start, end) = (range.start.max(first), range.end.min(first + rows.len()));
                if start < end {
                    cut.push(module, rows.start + start - first..rows.start + end - first);
                }
                first += rows.len();
            }
        }
        cut
    }

    fn push(&mut self, module: &str, rows: Range<usize>) {
        match self.parts.last_mut() {
            Some((last, before)) if last == module && before.end == rows.start => before.end = rows.end,
            _ => self.parts.push((module.to_owned(), rows)),
        }
    }

    fn join(parts: &[&Self]) -> Self {
        let mut joined = Self { parts: Vec::new(), columns: parts[0].columns };
        for (module, rows) in parts.iter().flat_map(|part| &part.parts) {
            joined.push(module, rows.clone());
        }
        joined
    }
}

impl Views {
    /// The views of a model that stores tensors of these names and shapes.
    pub(super) fn new<'a>(stored: impl Iterator<Item = (&'a str, &'a [usize])>) -> Self {
        let mut tensors: BTreeMap<(String, &str), (&str, &[usize])> = BTreeMap::new();
        for (tensor, shape) in stored {
            // Sizes of tensors without values may be any numbers; those of others are bounded by their files.
            if let Some(key) = split(tensor).filter(|_| !shape.is_empty() && !shape.contains(&0)) {
                let entry = tensors.entry(key).or_insert((tensor, shape));
                if tensor.ends_with(".weight") {
                    *entry = (tensor, shape);
                }
            }
        }
        let mut modules = Modules::default();
        for ((module, parameter), (_, shape)) in &tensors {
            if *parameter == "weight" {
                let rows = Rows { parts: vec![(module.clone(), 0..shape[0])], columns: shape[1..].iter().product() };
                modules.known.insert(module.clone(), rows);
            }
        }
        modules.find();
        let Modules { known, own, misfits, doubtful, families, .. } = modules;
        let mut views = Self { tensors: BTreeMap::new(), misfits, doubtful, families };
        for (module, Rows { parts, .. }) in known {
            if own.contains(&module) && tensors[&(module.clone(), "weight")].0 == format!("{module}.weight") {
                continue;
            }
            for parameter in ["weight", "bias"] {
                let find = |(part, rows): &(String, Range<usize>)| {
                    let (tensor, shape) = tensors.get(&(part.clone(), parameter))?;
                    (rows.end <= shape[0]).then(|| (Piece { tensor: (*tensor).to_owned(), rows: rows.clone() }, *shape))
                };
                if let Some(found) = parts.iter().map(find).collect::<Option<Vec<_>>>() {
                    let rest = &found[0].1[1..];
                    if found.iter().all(|(_, shape)| shape[1..] == *rest) {
                        let rows = found.iter().map(|(piece, _)| piece.rows.len()).sum();
                        let shape = [&[rows], rest].concat();
                        let pieces = found.into_iter().map(|(piece, _)| piece).collect();
                        views.tensors.insert(format!("{module}.{parameter}"), View { pieces, shape });
                    }
                }
            }
        }
        views
    }
}

/// The modules of a model on the way to its views.
#[derive(Default)]
struct Modules {
    known: BTreeMap<String, Rows>,
    /// Those that are stored.
    own: BTreeSet<String>,
    misfits: BTreeMap<String, Misfit>,
    doubtful: BTreeMap<String, BTreeSet<String>>,
    families: BTreeSet<&'static str>,
}

impl Modules {
    fn find(&mut self) {
        self.own = self.known.keys().cloned().collect();
        let mut tables: Vec<(&str, &Lines)> = vec![("", &GENERIC)];
        for place in BODY.into_iter().chain(TEXT) {
            let paths: Vec<_> = self.own.iter().filter_map(|name| name.strip_prefix(place)).collect();
            for family in family::of(paths.into_iter(), Spelling::Dotted) {
                self.families.insert(family.name);
                tables.push((place, &family.lines));
            }
        }
        let mut queue: VecDeque<String> = self.own.iter().cloned().collect();
        while let Some(name) = queue.pop_front() {
            for (place, lines) in &tables {
                let Some(path) = name.strip_prefix(place) else { continue };
                for line in &lines.0 {
                    if let Some((parts, out)) = line.parts_of(path) {
                        let parts = parts.iter().map(|part| format!("{place}{part}")).collect();
                        let out = out.and_then(|out| self.known.get(&format!("{place}{out}")));
                        let first = out.map(|out| out.columns);
                        self.take_apart(&name, parts, &line.share, first, &mut queue);
                    }
                    if let Some((whole, parts)) = line.whole_of(path) {
                        let parts = parts.iter().map(|part| format!("{place}{part}")).collect();
                        self.put_together(format!("{place}{whole}"), parts, &line.share, &mut queue);
                    }
                }
            }
        }
    }

    fn take_apart(
        &mut self,
        name: &str,
        parts: Vec<String>,
        share: &Share,
        first: Option<usize>,
        queue: &mut VecDeque<String>,
    ) {
        // What is stored under a name of its own is that.
        if parts.iter().any(|part| self.own.contains(part)) {
            return;
        }
        let rows = &self.known[name];
        let known = parts.iter().map(|part| self.known.get(part)).collect::<Option<Vec<_>>>();
        if known.is_some_and(|parts| Rows::join(&parts) == *rows) {
            return;
        }
        let size = (rows.count(), rows.columns);
        match shares(share, parts.len(), size, first) {
            Some(ranges) => {
                let cut: Vec<_> = ranges.iter().map(|ranges| rows.cut(ranges)).collect();
                parts.into_iter().zip(cut).for_each(|(part, rows)| self.add(part, rows, queue));
            }
            None => {
                for part in &parts {
                    let misfit = Misfit { module: name.to_owned(), size, parts: parts.clone() };
                    self.misfits.insert(part.clone(), misfit);
                }
            }
        }
    }

    fn put_together(&mut self, whole: String, parts: Vec<String>, share: &Share, queue: &mut VecDeque<String>) {
        let Some(found) = parts.iter().map(|part| self.known.get(part)).collect::<Option<Vec<_>>>() else {
            return;
        };
        if self.own.contains(&whole) {
            return;
        }
        let rows = Rows::join(&found);
        if found.iter().any(|part| part.columns != rows.columns) {
            let misfit = Misfit { module: parts[0].clone(), size: (rows.count(), rows.columns), parts };
            self.misfits.insert(whole, misfit);
            return;
        }
        // Parts of other sizes are another model's, whose parts are called so, too.
        let first = Some(found[0].count()).filter(|_| matches!(share, Share::ColumnsOf(_)));
        let Some(ranges) = shares(share, parts.len(), (rows.count(), rows.columns), first) else {
            return;
        };
        let counts = ranges.iter().map(|ranges| ranges.iter().map(Range::len).sum::<usize>());
        if !counts.eq(found.iter().map(|part| part.count())) {
            return;
        }
        // Halves change places in either direction; all other parts stand as they are listed.
        let rows = if parts.len() == 1 { rows.cut(&ranges[0]) } else { rows };
        self.add(whole, rows, queue);
    }

    /// A new name; one that means other rows already is doubtful.
    fn add(&mut self, name: String, rows: Rows, queue: &mut VecDeque<String>) {
        match self.known.get(&name) {
            Some(known) if *known == rows => {}
            Some(_) if self.own.contains(&name) => {}
            Some(known) => {
                let modules = known.parts.iter().chain(&rows.parts).map(|(module, _)| module.clone()).collect();
                self.doubtful.entry(name).or_insert(modules);
            }
            None => {
                self.known.insert(name.clone(), rows);
                queue.push_back(name);
            }
        }
    }
}
