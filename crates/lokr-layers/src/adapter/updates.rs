//! The updates of an adapter: its own, and those that were added to it by name.

use lokr_core::Scalar;
use ndarray::{Array2, ArrayRef2};

use crate::error::{LayerError, Result};
use crate::layer::{GradientVisitorMut, Merges, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut};
use crate::update::{Gains, LoKrUpdate, TYPE_NAME};

/// The name of an adapter's own update, as in PEFT.
pub(crate) const OWN: &str = "default";

/// An update with a name.
#[derive(Debug, Clone)]
struct Named<T: Scalar> {
    name: String,
    enabled: bool,
    update: LoKrUpdate<T>,
}

/// What it takes to undo a merge into the base.
#[derive(Debug, Clone)]
pub(super) struct InPlace<T> {
    /// The weight before it and what was known to be in it, where a copy was asked for.
    pub(super) original: Option<(Array2<T>, Option<Merges>)>,
    /// The gains over that weight, where it was decomposed.
    pub(super) gains: Option<Gains<T>>,
}

/// At least the adapter's own, which comes first. Those that are enabled act, unless they are in the base's weight.
#[derive(Debug, Clone)]
pub(super) struct Updates<T: Scalar> {
    list: Vec<Named<T>>,
    /// Set while those that are enabled are in the weight of the adapter's base.
    pub(super) in_place: Option<InPlace<T>>,
}

impl<T: Scalar> Updates<T> {
    pub(super) fn new(name: &str, own: LoKrUpdate<T>) -> Self {
        Self { list: vec![Named { name: name.to_owned(), enabled: true, update: own }], in_place: None }
    }

    pub(super) fn own(&self) -> &LoKrUpdate<T> {
        &self.list[0].update
    }

    pub(super) fn own_mut(&mut self) -> &mut LoKrUpdate<T> {
        &mut self.list[0].update
    }

    pub(super) fn into_own(mut self) -> LoKrUpdate<T> {
        self.list.swap_remove(0).update
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &LoKrUpdate<T>)> {
        self.list.iter().map(|named| (named.name.as_str(), &named.update))
    }

    /// Those that are enabled, whether they are in the weight or not.
    pub(super) fn enabled(&self) -> impl Iterator<Item = &LoKrUpdate<T>> {
        self.list.iter().filter(|named| named.enabled).map(|named| &named.update)
    }

    /// [`Updates::enabled`], writable.
    pub(super) fn enabled_mut(&mut self) -> impl Iterator<Item = &mut LoKrUpdate<T>> {
        self.list.iter_mut().filter(|named| named.enabled).map(|named| &mut named.update)
    }

    /// Those that act beside the base.
    pub(super) fn active(&self) -> impl Iterator<Item = &LoKrUpdate<T>> {
        self.enabled().filter(|_| self.in_place.is_none())
    }

    fn active_mut(&mut self) -> impl Iterator<Item = &mut LoKrUpdate<T>> {
        let merged = self.in_place.is_some();
        self.list.iter_mut().filter(move |named| named.enabled && !merged).map(|named| &mut named.update)
    }

    /// The one that decomposes the weight, if it acts; it is alone then.
    pub(super) fn decomposing(&self) -> Option<&LoKrUpdate<T>> {
        self.active().find(|update| update.dora().is_some())
    }

    fn place(&self, name: &str) -> Result<usize> {
        let unknown = || LayerError::UnknownName { layer: TYPE_NAME, name: name.to_owned() };
        self.list.iter().position(|named| named.name == name).ok_or_else(unknown)
    }

    pub(super) fn get(&self, name: &str) -> Result<&LoKrUpdate<T>> {
        Ok(&self.list[self.place(name)?].update)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Result<&mut LoKrUpdate<T>> {
        let place = self.place(name)?;
        Ok(&mut self.list[place].update)
    }

    pub(super) fn is_enabled(&self, name: &str) -> Result<bool> {
        Ok(self.list[self.place(name)?].enabled)
    }

    pub(super) fn set_enabled(&mut self, name: &str, enabled: bool) -> Result<()> {
        let place = self.place(name)?;
        self.list[place].enabled = enabled;
        Ok(())
    }

    pub(super) fn add(&mut self, name: &str, update: LoKrUpdate<T>) -> Result<()> {
        let name = name.to_owned();
        if self.place(&name).is_ok() {
            return Err(LayerError::DuplicateName { layer: TYPE_NAME, name });
        }
        check_name(&name)?;
        self.check(&update, self.list.len())?;
        self.list.push(Named { name, enabled: true, update });
        Ok(())
    }

    pub(super) fn replace(&mut self, name: &str, update: LoKrUpdate<T>) -> Result<LoKrUpdate<T>> {
        let place = self.place(name)?;
        self.check(&update, self.list.len() - 1)?;
        Ok(std::mem::replace(&mut self.list[place].update, update))
    }

    /// Whether `update` fits beside so many others.
    fn check(&self, update: &LoKrUpdate<T>, others: usize) -> Result<()> {
        LayerError::check_shape(TYPE_NAME, "an update", self.own().dim(), update.dim())?;
        let decomposes = update.dora().is_some() || self.list.iter().any(|named| named.update.dora().is_some());
        if decomposes && others > 0 {
            let expected = "one alone, where the weight is decomposed: such updates do not add up";
            return Err(LayerError::invalid("number of updates", others + 1, expected));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<LoKrUpdate<T>> {
        match self.place(name)? {
            0 => Err(LayerError::invalid("update to remove", name, "one that was added; this one can be disabled")),
            place => Ok(self.list.remove(place).update),
        }
    }

    /// [`LoKrUpdate::apply_into`] of those that act.
    pub(super) fn apply_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.active().try_for_each(|update| update.apply_into(x, y))
    }

    /// [`LoKrUpdate::apply_transposed_into`] of those that act.
    pub(super) fn apply_transposed_into(&self, y: &ArrayRef2<T>, x: &mut ArrayRef2<T>) -> Result<()> {
        self.active().try_for_each(|update| update.apply_transposed_into(y, x))
    }

    /// The training forward of those that act.
    pub(super) fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.active_mut().try_for_each(|update| update.forward_into(x, y))
    }

    /// The way back of [`Updates::forward_into`].
    pub(super) fn backward_into(&mut self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.active_mut().try_for_each(|update| update.backward_into(x, dy, dx))
    }

    /// Whether one of those that act keeps more of a training forward than that there was one.
    pub(super) fn keep_forward(&self) -> bool {
        self.active().any(LoKrUpdate::keeps_forward)
    }

    pub(super) fn visit(&self, visitor: Visitor<'_, T>) {
        for named in self.list.iter().filter(|named| named.enabled && self.in_place.is_none()) {
            named.update.visit(&prefix(&named.name), visitor);
        }
    }

    pub(super) fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        for named in self.list.iter_mut().filter(|named| named.enabled && self.in_place.is_none()) {
            named.update.visit_mut(&prefix(&named.name), visitor);
        }
    }

    pub(super) fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        for named in &self.list {
            named.update.visit(&prefix(&named.name), &mut |name, values, _| visitor(name, values));
        }
    }

    pub(super) fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        for named in &mut self.list {
            named.update.visit_mut(&prefix(&named.name), &mut |name, values, _| visitor(name, values));
        }
    }

    pub(super) fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) {
        for named in self.list.iter_mut().filter(|named| named.enabled && self.in_place.is_none()) {
            named.update.visit_gradients_mut(&prefix(&named.name), visitor);
        }
    }

    pub(super) fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        for named in &mut self.list {
            named.update.visit_random_states(&prefix(&named.name), visitor);
        }
    }

    pub(super) fn each(&mut self, what: impl FnMut(&mut LoKrUpdate<T>)) {
        self.list.iter_mut().map(|named| &mut named.update).for_each(what);
    }
}

/// Whether an update can have that name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let problem = match name {
        "" => "it is empty",
        "base" => "it stands for the base",
        text if text.contains('.') => "it has a dot in it",
        _ => return Ok(()),
    };
    Err(LayerError::InvalidName { layer: TYPE_NAME, name: name.to_owned(), problem })
}

/// What stands in front of the names of an update's values: nothing for the adapter's own.
fn prefix(name: &str) -> std::borrow::Cow<'static, str> {
    if name == OWN { "".into() } else { format!("{name}.").into() }
}
