//! Products of one singular value of each factor, and their order.

use std::cmp::Ordering;

use ndarray::Array1;
use num_traits::One;

use crate::decompose::Scaled;
use crate::error::{KronError, Result};
use crate::memory;
use crate::scalar::Scalar;
use crate::sums::Extended;

/// The products of one value of every list, the last list running fastest: the singular values of a product in the
/// order of its vectors. The values of a list are its power of two times what stands there.
pub(super) fn products<T: Scalar>(operation: &'static str, lists: &[Scaled<Array1<T>>]) -> Result<Vec<Extended<T>>> {
    let sizes: Vec<usize> = lists.iter().map(|list| list.result.len()).collect();
    // All of it is asked for before the first of the products, which become longer and longer.
    let _: Vec<Extended<T>> = memory::list(operation, KronError::checked_product(operation, &sizes)?)?;
    let mut products = vec![Extended::one()];
    for Scaled { result: values, power } in lists.iter().rev() {
        let mut next = memory::list(operation, values.len() * products.len())?;
        for &value in values {
            let value = Extended::new(value).times_two_to(power.exponent());
            next.extend(products.iter().map(|&product| value * product));
        }
        products = next;
    }
    Ok(products)
}

/// The places of the values, the largest first; those of equal ones in their order.
pub(super) fn descending<T: Scalar>(operation: &'static str, values: &Array1<T>) -> Result<Vec<usize>> {
    let mut places = memory::list(operation, values.len())?;
    places.extend(0..values.len());
    places.sort_unstable_by(|&i, &j| values[j].partial_cmp(&values[i]).unwrap_or(Ordering::Equal).then(i.cmp(&j)));
    Ok(places)
}
