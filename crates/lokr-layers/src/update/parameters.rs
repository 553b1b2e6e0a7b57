//! The trainable values by name.

use std::fmt::Write;

use lokr_core::Scalar;
use ndarray::{ArrayViewD, ArrayViewMutD};

use super::lokr_update::LoKrUpdate;

/// What a layer's visitor is: name, values, and gradient if there is one.
type Visitor<'v, T> = &'v mut dyn FnMut(&str, ArrayViewD<'_, T>, Option<ArrayViewD<'_, T>>);

/// The same with writable values.
type VisitorMut<'v, T> = &'v mut dyn FnMut(&str, ArrayViewMutD<'_, T>, Option<ArrayViewD<'_, T>>);

/// Name and writable gradient.
type GradientVisitorMut<'v, T> = &'v mut dyn FnMut(&str, ArrayViewMutD<'_, T>);

/// Names as they stand in files, behind `prefix`; those of several terms behind `term0.` and so on.
struct Names<'p> {
    prefix: &'p str,
    several: bool,
    name: String,
}

impl Names<'_> {
    fn of_term<'n>(&'n mut self, index: usize, name: &'n str) -> &'n str {
        if !self.several {
            return self.of_all(name);
        }
        self.name.clear();
        // Writing to a `String` cannot fail.
        let _ = write!(self.name, "{}term{index}.{name}", self.prefix);
        &self.name
    }

    fn of_all<'n>(&'n mut self, name: &'n str) -> &'n str {
        if self.prefix.is_empty() {
            return name;
        }
        self.name.clear();
        self.name.push_str(self.prefix);
        self.name.push_str(name);
        &self.name
    }
}

const SCALAR: &str = "lokr_scalar";
const DORA: &str = "dora_scale";
const TERM_WEIGHT: &str = "lokr_weight";

impl<T: Scalar> LoKrUpdate<T> {
    /// Shows every trainable value, in order: of each term the arrays, then its weight; last the scalar and
    /// the norms.
    pub(crate) fn visit(&self, prefix: &str, visitor: Visitor<'_, T>) {
        let mut names = Names { prefix, several: self.terms.len() > 1, name: String::new() };
        for (index, term) in self.terms.iter().enumerate() {
            let mut gradients = self.has_gradients.then(|| term.gradient_parts());
            for (name, part) in term.parts() {
                visitor(names.of_term(index, name), part, gradients.as_mut().and_then(Iterator::next));
            }
            if let Some(weight) = &term.weight {
                let gradient = self.has_gradients.then(|| weight.gradient());
                visitor(names.of_term(index, TERM_WEIGHT), weight.value(), gradient);
            }
        }
        if let Some(scalar) = &self.scalar {
            visitor(names.of_all(SCALAR), scalar.value(), self.has_gradients.then(|| scalar.gradient()));
        }
        if let Some(dora) = &self.dora {
            let gradient = self.has_gradients.then(|| dora.gradient.view().into_dyn());
            visitor(names.of_all(DORA), dora.magnitude.view().into_dyn(), gradient);
        }
    }

    /// [`LoKrUpdate::visit`] with writable values; the next backward needs a new forward.
    pub(crate) fn visit_mut(&mut self, prefix: &str, visitor: VisitorMut<'_, T>) {
        self.pass.ready = false;
        let mut names = Names { prefix, several: self.terms.len() > 1, name: String::new() };
        for (index, term) in self.terms.iter_mut().enumerate() {
            term.change_parts(self.has_gradients, |name, part, gradient| {
                visitor(names.of_term(index, name), part, gradient);
            });
            if let Some(weight) = &mut term.weight {
                let (value, gradient) = weight.both();
                visitor(names.of_term(index, TERM_WEIGHT), value, self.has_gradients.then_some(gradient));
            }
        }
        if let Some(scalar) = &mut self.scalar {
            let (value, gradient) = scalar.both();
            visitor(names.of_all(SCALAR), value, self.has_gradients.then_some(gradient));
        }
        if let Some(dora) = &mut self.dora {
            let gradient = self.has_gradients.then(|| dora.gradient.view().into_dyn());
            visitor(names.of_all(DORA), dora.magnitude.view_mut().into_dyn(), gradient);
        }
    }

    /// Shows the gradients, if there are any, in the order of [`LoKrUpdate::visit`] and writable.
    pub(crate) fn visit_gradients_mut(&mut self, prefix: &str, visitor: GradientVisitorMut<'_, T>) {
        if !self.has_gradients {
            return;
        }
        let mut names = Names { prefix, several: self.terms.len() > 1, name: String::new() };
        for (index, term) in self.terms.iter_mut().enumerate() {
            term.change_gradients(|name, gradient| visitor(names.of_term(index, name), gradient));
            if let Some(weight) = &mut term.weight {
                visitor(names.of_term(index, TERM_WEIGHT), weight.gradient_mut());
            }
        }
        if let Some(scalar) = &mut self.scalar {
            visitor(names.of_all(SCALAR), scalar.gradient_mut());
        }
        if let Some(dora) = &mut self.dora {
            visitor(names.of_all(DORA), dora.gradient.view_mut().into_dyn());
        }
    }
}
