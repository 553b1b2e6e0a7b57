//! Low-rank factors whose halves are brought to a common scale.

use crate::operator::Factor;
use crate::scalar::Scalar;
use crate::sums::{dot, times_two_to, wide_exponent};

/// A factor and an `e` that stand for `factor·2^e`. A full factor is as it was; the halves of a low-rank one are scaled
/// by powers of two where their products with each other, or their squares, might leave the range of the type.
pub(super) fn in_range<'a, T: Scalar>(factor: &'a Factor<'_, T>) -> (Factor<'a, T>, i64) {
    let Factor::LowRank(low) = factor else { return (factor.view(), 0) };
    let sizes = [low.left(), low.right()].map(|half| dot(half, half).sqrt().exponent());
    let safe = wide_exponent::<T>() / 4;
    if sizes.iter().all(|size| size.abs() <= safe) {
        return (factor.view(), 0);
    }
    let [left, right] = sizes;
    let scaled = low.mapped(|value| times_two_to(value, -left), |value| times_two_to(value, -right));
    (scaled, left + right)
}
