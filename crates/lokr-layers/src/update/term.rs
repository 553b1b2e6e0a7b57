//! One product of an update.

use lokr_core::{Factor, Kron, KronGradients, Scalar};
use ndarray::{ArrayViewD, ArrayViewMutD};

use super::learned::Learned;
use super::tucker::TuckerFactor;
use crate::buffer::Buffer;
use crate::error::Result;

/// A product, a weight of its own if it has one, and what training keeps of both.
#[derive(Debug, Clone)]
pub(super) struct Term<T: Scalar> {
    /// The product that is computed with.
    pub(super) delta: Kron<'static, T>,
    pub(super) form: Form<T>,
    pub(super) weight: Option<Learned<T>>,
    /// Of the matrices of the product; zeros where another form has taken them over.
    pub(super) gradients: Option<KronGradients<T>>,
    /// `x·(A ⊗ B)ᵀ` of the last training forward, where backward needs it.
    pub(super) output: Buffer<T>,
}

/// What of a product is trained.
#[derive(Debug, Clone)]
pub(super) enum Form<T> {
    /// The matrices of both factors.
    LoKr,
    /// Those of the low-rank `B` alone; `A` is the number 1.
    Lora,
    /// Those of `A`, and in place of the low-rank `B` what that is made of, with gradients.
    Tucker(Box<Tucker<T>>),
}

/// A factor in Tucker form and the gradients of its parts.
#[derive(Debug, Clone)]
pub(super) struct Tucker<T> {
    pub(super) factor: TuckerFactor<T>,
    pub(super) gradients: TuckerFactor<T>,
}

impl<T: Scalar> Term<T> {
    pub(super) fn new(delta: Kron<'static, T>, weight: Option<T>) -> Self {
        let weight = weight.map(Learned::new);
        Self { delta, form: Form::LoKr, weight, gradients: None, output: Buffer::new() }
    }

    /// LoRA: `1 ⊗ b` with a low-rank `b`, of which the 1 stays.
    pub(super) fn lora(delta: Kron<'static, T>, weight: Option<T>) -> Self {
        Self { form: Form::Lora, ..Self::new(delta, weight) }
    }

    /// # Errors
    /// As [`TuckerFactor::to_factor`].
    pub(super) fn tucker(a: Factor<'static, T>, b: TuckerFactor<T>, weight: Option<T>) -> Result<Self> {
        let delta = Kron::new(a, b.to_factor()?)?;
        let tucker = Tucker { gradients: b.zeros_like(), factor: b };
        Ok(Self { form: Form::Tucker(Box::new(tucker)), ..Self::new(delta, weight) })
    }

    /// Its weight, one if it has none.
    pub(super) fn weight(&self) -> T {
        self.weight.map_or(T::one(), |weight| weight.value)
    }

    pub(super) fn parameter_count(&self) -> usize {
        self.parts().map(|(_, part)| part.len()).sum::<usize>() + usize::from(self.weight.is_some())
    }

    /// How many of the product's matrices are skipped at the start and taken at most.
    fn trained_matrices(&self) -> (usize, usize) {
        let of_a = self.delta.a().parts().count();
        match self.form {
            Form::LoKr => (0, usize::MAX),
            Form::Lora => (of_a, usize::MAX),
            Form::Tucker(_) => (0, of_a),
        }
    }

    /// Names of the trained arrays, in the order of [`Term::parts`], as they stand in files.
    fn names(&self) -> impl Iterator<Item = &'static str> + use<T> {
        let a: &'static [&'static str] = match (&self.form, self.delta.a()) {
            (Form::Lora, _) => &[],
            (_, Factor::Full(_)) => &["lokr_w1"],
            (_, Factor::LowRank(_)) => &["lokr_w1_a", "lokr_w1_b"],
        };
        let b: &'static [&'static str] = match (&self.form, self.delta.b()) {
            (Form::Lora, _) => &["lora_B", "lora_A"],
            (Form::Tucker(_), _) => &["lokr_t2", "lokr_w2_a", "lokr_w2_b"],
            (Form::LoKr, Factor::Full(_)) => &["lokr_w2"],
            (Form::LoKr, Factor::LowRank(_)) => &["lokr_w2_a", "lokr_w2_b"],
        };
        a.iter().chain(b).copied()
    }

    /// The trained arrays with their names.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, ArrayViewD<'_, T>)> {
        let (skip, take) = self.trained_matrices();
        let matrices = self.delta.parts().skip(skip).take(take).map(|matrix| matrix.into_dyn());
        let tucker = match &self.form {
            Form::Tucker(tucker) => Some(tucker.factor.views()),
            _ => None,
        };
        self.names().zip(matrices.chain(tucker.into_iter().flatten()))
    }

    /// [`Term::parts`] with gradients, if there are any.
    pub(super) fn gradient_parts(&self) -> impl Iterator<Item = ArrayViewD<'_, T>> {
        let (skip, take) = self.trained_matrices();
        let matrices = self.gradients.iter().flat_map(|gradients| gradients.parts()).skip(skip).take(take);
        let tucker = match &self.form {
            Form::Tucker(tucker) => Some(tucker.gradients.views()),
            _ => None,
        };
        matrices.map(|matrix| matrix.view().into_dyn()).chain(tucker.into_iter().flatten())
    }

    /// Shows each trained array, writable, with its name and its gradient if there is one; then puts together what is
    /// made of them.
    pub(super) fn change_parts(
        &mut self,
        has_gradients: bool,
        mut change: impl FnMut(&'static str, ArrayViewMutD<'_, T>, Option<ArrayViewD<'_, T>>),
    ) {
        let (skip, take) = self.trained_matrices();
        let mut names = self.names();
        let gradients = self.gradients.as_ref().filter(|_| has_gradients);
        let mut of_matrices = gradients.into_iter().flat_map(|gradients| gradients.parts()).skip(skip);
        for (matrix, name) in self.delta.parts_mut().skip(skip).take(take).zip(&mut names) {
            change(name, matrix.into_dyn(), of_matrices.next().map(|gradient| gradient.view().into_dyn()));
        }
        if let Form::Tucker(tucker) = &mut self.form {
            let Tucker { factor, gradients } = &mut **tucker;
            for ((part, gradient), name) in factor.views_mut().into_iter().zip(gradients.views()).zip(names) {
                change(name, part, has_gradients.then_some(gradient));
            }
            let mut halves = self.delta.parts_mut().skip(take);
            if let (Some(mut left), Some(mut right)) = (halves.next(), halves.next()) {
                factor.rebuild(&mut left, &mut right);
            }
        }
    }

    /// Shows each gradient, writable, with its name.
    pub(super) fn change_gradients(&mut self, mut change: impl FnMut(&'static str, ArrayViewMutD<'_, T>)) {
        let (skip, take) = self.trained_matrices();
        let mut names = self.names();
        let matrices = self.gradients.iter_mut().flat_map(|gradients| gradients.parts_mut()).skip(skip).take(take);
        for (matrix, name) in matrices.zip(&mut names) {
            change(name, matrix.view_mut().into_dyn());
        }
        if let Form::Tucker(tucker) = &mut self.form {
            tucker.gradients.views_mut().into_iter().zip(names).for_each(|(gradient, name)| change(name, gradient));
        }
    }

    /// After gradients of the product's matrices have been added: those of what these are made of.
    pub(super) fn settle_gradients(&mut self) {
        let (_, take) = self.trained_matrices();
        if let (Form::Tucker(tucker), Some(gradients)) = (&mut self.form, &mut self.gradients) {
            let Tucker { factor, gradients: of_parts } = &mut **tucker;
            if let Some([left, right]) = gradients.parts_mut().get_mut(take..) {
                factor.pull(left, right, of_parts);
            }
        }
    }

    /// Sets all gradients to zero, made where there are none.
    ///
    /// # Errors
    /// [`crate::LayerError::Kron`] where memory is refused.
    pub(super) fn zero_gradients(&mut self) -> Result<()> {
        match &mut self.gradients {
            None => self.gradients = Some(KronGradients::try_zeros(&self.delta)?),
            Some(gradients) => gradients.fill_zero(),
        }
        if let Form::Tucker(tucker) = &mut self.form {
            tucker.gradients.fill_zero();
        }
        Ok(())
    }
}
