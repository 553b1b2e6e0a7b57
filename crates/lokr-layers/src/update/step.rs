//! What training computes: the update's part of a forward and of a backward.

use lokr_core::Scalar;
use ndarray::{ArrayRef1, ArrayRef2, Zip};

use super::checks::TYPE_NAME;
use super::decomposed::{Scratch, add_norm_gradients};
use super::dora::DoraAxis;
use super::lokr_update::LoKrUpdate;
use super::pass::{Kind, Pass};
use super::term::Term;
use crate::error::{LayerError, Result};

impl<T: Scalar> LoKrUpdate<T> {
    /// Whether a number beside the factors is trained.
    pub(super) fn learns_numbers(&self) -> bool {
        self.scalar.is_some() || self.terms.iter().any(|term| term.weight.is_some())
    }

    /// Whether a training forward leaves numbers for the backward, which then belongs to its rows.
    pub(crate) fn keeps_forward(&self) -> bool {
        self.dropout.acts() || self.learns_numbers()
    }

    /// [`LoKrUpdate::apply_into`] in training: leaves out what dropout says, and keeps what backward needs.
    pub(crate) fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.pass.ready = false;
        self.pass.kind = if self.keeps_forward() {
            self.forward_kept(x, y)?
        } else {
            self.apply_into(x, y)?;
            Kind::Plain
        };
        self.pass.ready = true;
        Ok(())
    }

    fn forward_kept(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<Kind> {
        let (out, _) = self.dim();
        let mut drawn = self.dropout.acts().then(|| self.dropout.draw());
        if drawn.as_ref().is_some_and(|drawn| drawn.all) {
            return Ok(Kind::Skipped);
        }
        self.pass.rows.clear();
        if let Some(drawn) = drawn.as_mut().filter(|_| self.dropout.rank > 0.0) {
            self.dropout.rows(drawn, out, &mut self.pass.rows);
        }
        let masked = drawn.as_mut().filter(|_| self.dropout.input > 0.0);
        let inputs = masked.is_some();
        if let Some(drawn) = masked {
            let mut mask = self.pass.inputs.try_resize(x.dim())?;
            self.dropout.inputs(drawn, mask.view_mut());
            let mut product = self.pass.x.try_resize(x.dim())?;
            Zip::from(&mut product).and(x).and(&mask).for_each(|product, &x, &mask| *product = x * mask);
        }
        let masked = self.pass.x.view();
        let x = if inputs { &*masked } else { x };
        for index in 0..self.terms.len() {
            let strength = self.strength(&self.terms[index]);
            let term = &mut self.terms[index];
            let mut output = term.output.try_resize(y.dim())?;
            term.delta.apply_into(T::one(), x, T::zero(), &mut output)?;
            for (mut y, output) in y.rows_mut().into_iter().zip(output.rows()) {
                if self.pass.rows.is_empty() {
                    y.zip_mut_with(&output, |y, &output| *y += strength * output);
                } else {
                    let values = y.iter_mut().zip(&output).zip(&self.pass.rows);
                    values.for_each(|((y, &output), &row)| *y += strength * row * output);
                }
            }
        }
        Ok(Kind::Kept { inputs })
    }

    /// Adds to the gradients, and to `dx` what passes back through the update, from the gradient `dy` of its output;
    /// `x` is that of the last [`LoKrUpdate::forward_into`].
    pub(crate) fn backward_into(&mut self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.begin_backward()?;
        match self.pass.kind {
            Kind::Skipped => Ok(()),
            Kind::Plain => self.add_gradients(x, dy, dx),
            Kind::Kept { inputs } => self.backward_kept(inputs, x, dy, dx),
        }
    }

    /// Begins a training forward whose output is made elsewhere, with weight decomposition; whether it leaves the
    /// update out.
    pub(crate) fn begin_forward(&mut self) -> bool {
        let skipped = self.dropout.acts() && self.dropout.draw().all;
        self.pass.kind = if skipped { Kind::Skipped } else { Kind::Plain };
        self.pass.ready = true;
        skipped
    }

    /// Begins the backward of such a forward; whether that left the update out.
    ///
    /// # Errors
    /// [`LayerError::BackwardBeforeForward`].
    pub(crate) fn begin_backward(&mut self) -> Result<bool> {
        if !self.pass.ready {
            return Err(LayerError::BackwardBeforeForward { layer: TYPE_NAME });
        }
        self.start_gradients()?;
        Ok(self.pass.kind == Kind::Skipped)
    }

    /// Adds to the gradients of the factors what comes through the norms of the decomposed weight `W + ΔW`.
    pub(crate) fn add_norm_gradients(
        &mut self,
        w: &ArrayRef2<T>,
        axis: DoraAxis,
        c: &ArrayRef1<T>,
        scratch: &mut Scratch<T>,
    ) {
        add_norm_gradients(self, w, axis, c, scratch);
        self.terms.iter_mut().for_each(Term::settle_gradients);
    }

    /// Sets gradients to zero that are not of the current parameters.
    fn start_gradients(&mut self) -> Result<()> {
        for term in &mut self.terms {
            if term.gradients.is_none() || !self.has_gradients {
                term.zero_gradients()?;
            }
        }
        if !self.has_gradients {
            let weights = self.terms.iter_mut().filter_map(|term| term.weight.as_mut());
            weights.chain(&mut self.scalar).for_each(|learned| learned.gradient = T::zero());
            if let Some(dora) = &mut self.dora {
                dora.gradient.fill(T::zero());
            }
        }
        self.has_gradients = true;
        Ok(())
    }

    /// Adds to the gradients of the factors, and to `dx`, what the output `ΔW·x` of the gradient `dy` gives.
    pub(crate) fn add_gradients(&mut self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        for index in 0..self.terms.len() {
            let strength = self.strength(&self.terms[index]);
            let term = &mut self.terms[index];
            if let Some(gradients) = &mut term.gradients {
                term.delta.gradients_into(strength, x, dy, gradients, T::one(), dx)?;
                term.settle_gradients();
            }
        }
        Ok(())
    }

    fn backward_kept(
        &mut self,
        inputs: bool,
        x: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: &mut ArrayRef2<T>,
    ) -> Result<()> {
        let mut pass = std::mem::replace(&mut self.pass, Pass::new());
        let result = self.backward_through(&mut pass, inputs, x, dy, dx);
        self.pass = pass;
        result
    }

    fn backward_through(
        &mut self,
        pass: &mut Pass<T>,
        inputs: bool,
        x: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: &mut ArrayRef2<T>,
    ) -> Result<()> {
        let stored_dy;
        let dy = if pass.rows.is_empty() {
            dy
        } else {
            let mut product = pass.dy.try_resize(dy.dim())?;
            for (mut product, dy) in product.rows_mut().into_iter().zip(dy.rows()) {
                product.iter_mut().zip(dy).zip(&pass.rows).for_each(|((product, &dy), &row)| *product = dy * row);
            }
            stored_dy = product;
            &*stored_dy
        };
        self.add_number_gradients(dy);
        if !inputs {
            return self.add_gradients(x, dy, dx);
        }
        let mut inner = pass.dx.try_resize(dx.dim())?;
        inner.fill(T::zero());
        self.add_gradients(&pass.x.view(), dy, &mut inner)?;
        Zip::from(dx).and(&inner).and(&pass.inputs.view()).for_each(|dx, &inner, &mask| *dx += inner * mask);
        Ok(())
    }

    /// The gradients of the scalar and of the terms' weights: `⟨dY, X·(Aᵢ ⊗ Bᵢ)ᵀ⟩` times what else stands there.
    fn add_number_gradients(&mut self, dy: &ArrayRef2<T>) {
        if !self.learns_numbers() {
            return;
        }
        let fixed = self.multiplier() * self.scaling();
        let scalar = self.scalar.map_or(T::one(), |scalar| scalar.value);
        for term in &mut self.terms {
            let output = term.output.view();
            let rows = dy.rows().into_iter().zip(output.rows());
            let of_rows = rows.map(|(dy, output)| dy.iter().zip(output).map(|(&dy, &y)| dy * y).sum::<T>());
            let product = fixed * of_rows.sum::<T>();
            let weight = term.weight();
            if let Some(scalar) = &mut self.scalar {
                scalar.gradient += weight * product;
            }
            if let Some(weight) = &mut term.weight {
                weight.gradient += scalar * product;
            }
        }
    }
}
