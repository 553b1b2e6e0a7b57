//! Derivatives without formulas.

/// The derivative of `at` at 0 by central differences, in `f64`: `at(delta)` is a loss with one value moved by `delta`.
///
/// # Examples
/// ```
/// let slope = lokr_testing::central_difference(|delta| (3.0 + delta) * (3.0 + delta));
/// assert!((slope - 6.0).abs() < 1e-9);
/// ```
pub fn central_difference(mut at: impl FnMut(f64) -> f64) -> f64 {
    const STEP: f64 = 1e-5;
    (at(STEP) - at(-STEP)) / (2.0 * STEP)
}
