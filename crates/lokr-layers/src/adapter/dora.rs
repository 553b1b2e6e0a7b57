//! The adapter with weight decomposition: `z = x·(b·W + gains∘V)ᵀ + bias` with `V = W + ΔW`, and its way back.

use lokr_core::Scalar;
use ndarray::{Array1, Array2, ArrayRef2, ArrayView1, Zip};

use crate::buffer::Buffer;
use crate::error::Result;
use crate::layer::LinearLayer;
use crate::update::{DoraAxis, Gains, LoKrUpdate, Scratch};

/// What a training step with weight decomposition keeps. Its memory is kept from step to step.
#[derive(Debug, Clone)]
pub(super) struct DoraPass<T> {
    /// Output axis: `x·Vᵀ`, and the gradient of it. Input axis: the scaled input, and the gradient of it.
    through: Buffer<T>,
    gradient: Buffer<T>,
    /// Where `W` is multiplied by another number than `V`: what is handed to the base.
    to_base: Buffer<T>,
    /// The gradient of the gains, then the factors of rows or columns of `V` in its gradient.
    of_gains: Array1<T>,
    pub(super) scratch: Scratch<T>,
}

impl<T: Scalar> DoraPass<T> {
    pub(super) fn new() -> Self {
        let [through, gradient, to_base] = std::array::from_fn(|_| Buffer::new());
        Self { through, gradient, to_base, of_gains: Array1::zeros(0), scratch: Scratch::new() }
    }
}

/// Each row of `to` times `factors`, value by value.
fn times<T: Scalar>(to: &mut ArrayRef2<T>, factors: &ArrayView1<'_, T>) {
    for mut row in to.rows_mut() {
        row *= factors;
    }
}

/// `z = b·x·Wᵀ + gains∘(x·Vᵀ) + bias` or `x∘(b + gains)·Wᵀ + x∘gains·ΔWᵀ + bias`, for inference.
pub(super) fn pre_activation<T: Scalar>(
    base: &dyn LinearLayer<T>,
    update: &LoKrUpdate<T>,
    (axis, gains): (DoraAxis, &Gains<T>),
    x: &ArrayRef2<T>,
    z: &mut ArrayRef2<T>,
) -> Result<()> {
    let mut pass = DoraPass::new();
    train_pre_activation(base, update, (axis, gains), &mut pass, x, z)
}

/// The same, keeping what [`backward`] needs.
pub(super) fn train_pre_activation<T: Scalar>(
    base: &dyn LinearLayer<T>,
    update: &LoKrUpdate<T>,
    (axis, gains): (DoraAxis, &Gains<T>),
    pass: &mut DoraPass<T>,
    x: &ArrayRef2<T>,
    z: &mut ArrayRef2<T>,
) -> Result<()> {
    match axis {
        DoraAxis::Output => {
            base.product_into(x, z)?;
            let mut through = pass.through.try_resize(z.dim())?;
            through.assign(z);
            update.apply_into(x, &mut through)?;
            for (mut z, through) in z.rows_mut().into_iter().zip(through.rows()) {
                Zip::from(&mut z).and(&through).and(&gains.values).and(&base.bias()).for_each(|z, &v, &gain, &bias| {
                    // What is multiplied by zero may be anything.
                    let of_base = if gains.base == T::zero() { T::zero() } else { gains.base * *z };
                    *z = of_base + gain * v + bias;
                });
            }
            Ok(())
        }
        DoraAxis::Input => {
            let mut through = pass.through.try_resize(x.dim())?;
            through.assign(x);
            times(&mut through, &gains.values.view());
            if gains.base == T::zero() {
                base.pre_activation_into(&through, z)?;
            } else {
                let mut to_base = pass.to_base.try_resize(x.dim())?;
                Zip::from(&mut to_base).and(&through).and(x).for_each(|to, &v, &x| *to = v + gains.base * x);
                base.pre_activation_into(&to_base, z)?;
            }
            update.apply_into(&through, z)
        }
    }
}

/// The input gradient, from the gradient `dz` of the pre-activation; nothing is trained.
pub(super) fn input_gradient<T: Scalar>(
    base: &dyn LinearLayer<T>,
    update: &LoKrUpdate<T>,
    (axis, gains): (DoraAxis, &Gains<T>),
    dz: &ArrayRef2<T>,
    dx: &mut ArrayRef2<T>,
) -> Result<()> {
    match axis {
        DoraAxis::Output => {
            let mut of_v = dz.to_owned();
            times(&mut of_v, &gains.values.view());
            let of_base = &of_v + &(dz * gains.base);
            base.input_gradient_into(&of_base, dx)?;
            update.apply_transposed_into(&of_v, dx)
        }
        DoraAxis::Input => {
            base.input_gradient_into(dz, dx)?;
            let mut of_delta = Array2::zeros(dx.dim());
            update.apply_transposed_into(dz, &mut of_delta)?;
            join_input(gains, &of_delta, dx);
            Ok(())
        }
    }
}

/// `dx ← (b + gains)∘dx + gains∘of_delta`.
fn join_input<T: Scalar>(gains: &Gains<T>, of_delta: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) {
    for (mut dx, of_delta) in dx.rows_mut().into_iter().zip(of_delta.rows()) {
        Zip::from(&mut dx).and(&of_delta).and(&gains.values).for_each(|dx, &delta, &gain| {
            *dx = (gains.base + gain) * *dx + gain * delta;
        });
    }
}

/// The way back of [`train_pre_activation`]: adds to the gradients of factors and norms, and writes that of the input
/// over `dx`.
pub(super) fn backward<T: Scalar>(
    base: &dyn LinearLayer<T>,
    update: &mut LoKrUpdate<T>,
    (axis, gains): (DoraAxis, &Gains<T>),
    pass: &mut DoraPass<T>,
    (x, dz): (&ArrayRef2<T>, &ArrayRef2<T>),
    dx: &mut ArrayRef2<T>,
) -> Result<()> {
    if pass.of_gains.len() != gains.values.len() {
        pass.of_gains = Array1::zeros(gains.values.len());
    }
    pass.of_gains.fill(T::zero());
    let through = pass.through.view();
    match axis {
        DoraAxis::Output => {
            add_products(&mut pass.of_gains, dz, &through);
            let mut of_v = pass.gradient.try_resize(dz.dim())?;
            of_v.assign(dz);
            times(&mut of_v, &gains.values.view());
            if gains.base == T::zero() {
                base.input_gradient_into(&of_v, dx)?;
            } else {
                let mut to_base = pass.to_base.try_resize(dz.dim())?;
                Zip::from(&mut to_base).and(&of_v).and(dz).for_each(|to, &v, &dz| *to = v + gains.base * dz);
                base.input_gradient_into(&to_base, dx)?;
            }
            update.add_gradients(x, &of_v, dx)?;
        }
        DoraAxis::Input => {
            base.input_gradient_into(dz, dx)?;
            let mut of_delta = pass.gradient.try_resize(dx.dim())?;
            of_delta.fill(T::zero());
            update.add_gradients(&through, dz, &mut of_delta)?;
            add_products(&mut pass.of_gains, x, dx);
            add_products(&mut pass.of_gains, x, &of_delta);
            join_input(gains, &of_delta, dx);
        }
    }
    update.gain_gradients(gains, &mut pass.of_gains);
    update.add_norm_gradients(&base.effective_weight()?, axis, &pass.of_gains, &mut pass.scratch);
    Ok(())
}

/// Adds the products of equal elements, summed over the rows.
fn add_products<T: Scalar>(sums: &mut Array1<T>, x: &ArrayRef2<T>, y: &ArrayRef2<T>) {
    for (x, y) in x.rows().into_iter().zip(y.rows()) {
        Zip::from(&mut *sums).and(&x).and(&y).for_each(|sum, &x, &y| *sum += x * y);
    }
}

/// The decomposed weight `b·W + gains∘V` in the place of `W`.
pub(super) fn decompose<T: Scalar>(update: &LoKrUpdate<T>, (axis, gains): (DoraAxis, &Gains<T>), w: &mut ArrayRef2<T>) {
    update.change_rows(w, axis, &gains.values, |w, delta, gain| *w = (gains.base + gain) * *w + gain * delta);
}

/// `W` from [`decompose`]d.
pub(super) fn recompose<T: Scalar>(update: &LoKrUpdate<T>, (axis, gains): (DoraAxis, &Gains<T>), w: &mut ArrayRef2<T>) {
    update.change_rows(w, axis, &gains.values, |w, delta, gain| *w = (*w - gain * delta) / (gains.base + gain));
}
