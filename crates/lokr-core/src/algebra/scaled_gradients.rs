//! Gradients of a product's factors where what stands between them might leave the range of the type.

use ndarray::{Array2, ArrayView2};

use crate::decompose::{Keep, PowerOfTwo};
use crate::error::Result;
use crate::operator::{FactorList, KronBase, KronGradients};
use crate::scalar::Scalar;

/// Adds `times` the gradients of [`KronBase::gradients`] of the stored matrices to `gradients`. Where factors, `x` or
/// `dy` are extremely large or small, all are brought to the middle of the range by powers of two first.
///
/// # Errors
/// Those of the shapes, which must have been checked.
pub(super) fn add_gradients<T: Scalar, L: FactorList<Elem = T>>(
    operator: &KronBase<L>,
    times: T,
    x: ArrayView2<'_, T>,
    dy: ArrayView2<'_, T>,
    gradients: &mut KronGradients<T>,
) -> Result<()> {
    let mut unused = Array2::zeros(x.dim());
    let power = |matrix| PowerOfTwo::out_of_range(matrix, Keep::Squares);
    let (of_x, of_dy) = (power(x), power(dy));
    let of_parts: Vec<_> = operator.parts().map(power).collect();
    if [of_x, of_dy].iter().chain(&of_parts).all(|&power| power == PowerOfTwo::ONE) {
        return operator.gradients_into(times, &x, &dy, gradients, T::zero(), &mut unused);
    }
    let mut scaled = operator.clone().into_owned();
    scaled.parts_mut().zip(&of_parts).for_each(|(part, power)| power.inverse().scale(part));
    let (x, dy) = (of_x.inverse().times_matrix(x), of_dy.inverse().times_matrix(dy));
    let mut found = KronGradients::zeros(operator);
    scaled.gradients_into(times, &x, &dy, &mut found, T::zero(), &mut unused)?;
    let all = of_parts.iter().fold(of_x.and(of_dy), |product, &power| product.and(power));
    for ((sum, found), of_part) in gradients.parts_mut().iter_mut().zip(found.parts()).zip(of_parts) {
        *sum += &all.and(of_part.inverse()).times_matrix(found.view());
    }
    Ok(())
}
