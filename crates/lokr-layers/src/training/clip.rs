//! Gradients that are too long, made shorter.

use lokr_core::Scalar;

use crate::error::{LayerError, Result};
use crate::layer::{Layer, require_gradients};

/// The Euclidean norm of all gradients together, in `f64`. NaN where one of them is.
///
/// # Errors
/// [`LayerError::NoGradients`].
pub fn gradient_norm<T: Scalar>(network: &dyn Layer<T>) -> Result<f64> {
    require_gradients(network)?;
    let norm = scaled_norm(network, 1.0);
    if norm.is_nan() || (1e-140..1e140).contains(&norm) {
        return Ok(norm);
    }
    // Squares may have left the range of an f64: once more, with the largest value as the unit.
    let mut largest = 0.0_f64;
    network.visit(&mut |_, _, gradient| {
        gradient.iter().flatten().for_each(|g| largest = largest.max(g.to_f64_exact().abs()));
    });
    if largest == 0.0 || largest.is_infinite() {
        return Ok(largest);
    }
    Ok(largest * scaled_norm(network, largest))
}

/// The norm of the gradients divided by `unit`.
fn scaled_norm<T: Scalar>(network: &dyn Layer<T>, unit: f64) -> f64 {
    let mut sum = 0.0;
    let square = |g: &T| (g.to_f64_exact() / unit).powi(2);
    network.visit(&mut |_, _, gradient| {
        let Some(gradient) = gradient else { return };
        sum += match gradient.as_slice() {
            Some(values) => {
                // Eight sums at once, which a processor adds side by side.
                let (eights, rest) = values.as_chunks::<8>();
                let mut sums = [0.0; 8];
                for eight in eights {
                    sums.iter_mut().zip(eight).for_each(|(sum, g)| *sum += square(g));
                }
                sums.iter().sum::<f64>() + rest.iter().map(square).sum::<f64>()
            }
            None => gradient.iter().map(square).sum(),
        };
    });
    sum.sqrt()
}

/// Scales all gradients down together so that their norm is at most `limit`, and gives the norm from before. Gradients
/// that are shorter, and those whose norm is NaN, stay as they are.
///
/// # Errors
/// [`LayerError::NoGradients`]; [`LayerError::InvalidSetting`] unless `limit` is finite and positive;
/// [`LayerError::FixedGradients`] for a layer that does not implement [`Layer::visit_gradients_mut`]. Nothing is
/// changed then.
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, clip_gradient_norm};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// layer.forward(&array![[0.75]])?;
/// layer.backward(&array![[4.0]])?; // gradients 3 and 4
/// assert_eq!(clip_gradient_norm(&mut layer, 2.5)?, 5.0);
/// assert_eq!(layer.gradients()?, array![1.5, 2.0]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn clip_gradient_norm<T: Scalar>(network: &mut dyn Layer<T>, limit: f64) -> Result<f64> {
    check_limit::<T>("limit of the gradient's norm", limit)?;
    let norm = gradient_norm(network)?;
    check_writable(network)?;
    if norm > limit {
        let factor = T::from_f64_lossy(limit / norm);
        network.visit_gradients_mut(&mut |_, mut gradient| gradient.mapv_inplace(|g| g * factor))?;
    }
    Ok(norm)
}

/// Puts every value of the gradients between `−limit` and `limit`. NaN stays NaN.
///
/// # Errors
/// As [`clip_gradient_norm`].
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, clip_gradient_values};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![0.0], Activation::Identity)?;
/// layer.forward(&array![[0.5]])?;
/// layer.backward(&array![[-2.0]])?; // gradients −1 and −2
/// clip_gradient_values(&mut layer, 1.5)?;
/// assert_eq!(layer.gradients()?, array![-1.0, -1.5]);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub fn clip_gradient_values<T: Scalar>(network: &mut dyn Layer<T>, limit: f64) -> Result<()> {
    check_limit::<T>("limit of the gradient's values", limit)?;
    require_gradients(network)?;
    check_writable(network)?;
    let limit = T::from_f64_lossy(limit);
    // Not by `min` and `max`, which would lose NaN.
    let clip = |g: T| {
        if g > limit {
            limit
        } else if g < -limit {
            -limit
        } else {
            g
        }
    };
    network.visit_gradients_mut(&mut |_, mut gradient| gradient.mapv_inplace(clip))
}

/// Checks that a limit is one in `T`.
pub(super) fn check_limit<T: Scalar>(setting: &'static str, limit: f64) -> Result<()> {
    let value = T::from_f64_lossy(limit);
    if value.is_finite() && value > T::zero() {
        Ok(())
    } else {
        Err(LayerError::invalid(setting, limit, "a number that is finite in the type and positive"))
    }
}

/// Checks that all gradients can be written, before any is.
fn check_writable<T: Scalar>(network: &mut dyn Layer<T>) -> Result<()> {
    network.visit_gradients_mut(&mut |_, _| {})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::adapter::LoKrAdapter;
    use crate::layer::Adapter;
    use crate::linear::Dense;
    use crate::test_support::ModeProbe;
    use crate::training::Sequential;
    use crate::update::{DoraAxis, LoKrInit, LoKrSettings};
    use lokr_testing::matrix;
    use ndarray::{Array1, Array2, array};

    /// A layer whose gradients are `scale`·(3, 4).
    fn layer<T: Scalar>(scale: f64) -> Dense<T> {
        let one = T::one();
        let mut layer = Dense::from_arrays(array![[one]], array![one], Activation::Identity).unwrap();
        layer.forward(&array![[T::from_f64_lossy(0.75)]]).unwrap();
        layer.backward(&array![[T::from_f64_lossy(4.0 * scale)]]).unwrap();
        layer
    }

    fn at_scale<T: Scalar>(scale: f64, epsilon: f64) {
        let mut layer = layer::<T>(scale);
        let norm = gradient_norm(&layer).unwrap();
        assert!((norm / (5.0 * scale) - 1.0).abs() < epsilon, "{norm}");
        clip_gradient_norm(&mut layer, 0.5 * scale).unwrap();
        let found = layer.gradients().unwrap().mapv(|g| g.to_f64_exact() / scale);
        assert!((found - array![0.3, 0.4]).iter().all(|d| d.abs() < epsilon));
        let before = layer.gradients();
        clip_gradient_norm(&mut layer, scale).unwrap();
        assert_eq!(layer.gradients(), before, "short enough");
    }

    #[test]
    fn norms_hold_at_every_scale() {
        for scale in [1.0, 1e30, 1e-30] {
            at_scale::<f32>(scale, 1e-6);
        }
        for scale in [1.0, 1e200, 1e-200, 1e300] {
            at_scale::<f64>(scale, 1e-14);
        }
        assert_eq!(gradient_norm(&layer::<f64>(0.0)), Ok(0.0));
        assert_eq!(gradient_norm(&layer::<f64>(f64::INFINITY)), Ok(f64::INFINITY));
    }

    #[test]
    fn nan_is_not_lost() {
        let mut layer = layer::<f32>(f64::NAN);
        assert!(gradient_norm(&layer).unwrap().is_nan());
        assert!(clip_gradient_norm(&mut layer, 1.0).unwrap().is_nan());
        clip_gradient_values(&mut layer, 1.0).unwrap();
        assert!(layer.gradients().unwrap().iter().all(|g| g.is_nan()));
    }

    #[test]
    fn the_norm_is_that_of_all_layers() {
        let first = Dense::from_arrays(matrix::<f64>(7, 5, 1), Array1::zeros(5), Activation::Tanh).unwrap();
        let second = Dense::from_arrays(matrix(5, 3, 2), Array1::zeros(3), Activation::Identity).unwrap();
        let mut network = Sequential::new(vec![Box::new(first), Box::new(second)]).unwrap();
        assert_eq!(gradient_norm(&network), Err(LayerError::NoGradients { layer: "Sequential" }));
        network.forward(&matrix(4, 7, 3)).unwrap();
        network.backward(&matrix(4, 3, 4)).unwrap();
        let gradients = network.gradients().unwrap();
        let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!((gradient_norm(&network).unwrap() / norm - 1.0).abs() < 1e-14);
        clip_gradient_norm(&mut network, norm / 2.0).unwrap();
        let off = network.gradients().unwrap() - &gradients / 2.0;
        assert!(off.iter().all(|d| d.abs() < 1e-14));
    }

    #[test]
    fn gradients_are_written_by_the_names_they_are_read_by() {
        let base = Dense::from_arrays(matrix::<f64>(6, 4, 1), Array1::zeros(4), Activation::Tanh).unwrap();
        let builder = || LoKrAdapter::builder(base.clone()).rank(1).init(LoKrInit::Random).freeze_base(false);
        let mut several = builder().build().unwrap();
        several.add_update("second", LoKrSettings::new().update((4, 6)).unwrap()).unwrap();
        several.add_update("off", LoKrSettings::new().update((4, 6)).unwrap()).unwrap();
        several.set_enabled("off", false).unwrap();
        let mut frozen = builder().build().unwrap();
        frozen.set_frozen(true).unwrap();
        for adapter in [
            LoKrAdapter::new(base.clone(), 1, None, true).unwrap().clone_box(),
            builder().terms(2).term_weights(true).learned_scalar(true).build().unwrap().clone_box(),
            LoKrAdapter::builder(base.clone()).dora(DoraAxis::Output).build().unwrap().clone_box(),
            LoKrAdapter::builder(several.clone()).freeze_base(false).build().unwrap().clone_box(),
            several.clone_box(),
            frozen.clone_box(),
        ] {
            let last = Dense::from_arrays(matrix(4, 4, 5), Array1::zeros(4), Activation::Tanh).unwrap();
            let mut network = Sequential::new(vec![adapter, last.clone_box()]).unwrap();
            network.visit_gradients_mut(&mut |_, _| panic!("there are none yet")).unwrap();
            network.forward(&matrix(3, 6, 2)).unwrap();
            network.backward(&matrix(3, 4, 3)).unwrap();
            let (mut read, mut written) = (Vec::new(), Vec::new());
            network.visit(&mut |name, _, gradient| read.push((name.to_owned(), gradient.map(|g| g.to_owned()))));
            network
                .visit_gradients_mut(&mut |name, mut gradient| {
                    written.push((name.to_owned(), Some(gradient.to_owned())));
                    gradient.fill(0.5);
                })
                .unwrap();
            assert_eq!(read, written);
            assert!(network.gradients().unwrap().iter().all(|g| *g == 0.5));
        }
    }

    #[test]
    fn what_cannot_be_clipped_is_named_and_nothing_changes() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e39] {
            let setting = "limit of the gradient's norm";
            let error = clip_gradient_norm(&mut layer::<f32>(1.0), wrong).unwrap_err();
            assert!(matches!(error, LayerError::InvalidSetting { setting: found, .. } if found == setting));
            assert!(clip_gradient_values(&mut layer::<f32>(1.0), wrong).is_err());
        }
        // A layer of the user's own, that hands nothing out, behind one that does.
        let probe = ModeProbe { inner: layer(1.0), events: Default::default(), trainable: true };
        let mut network = Sequential::new(vec![Box::new(layer(1.0)), Box::new(probe)]).unwrap();
        network.forward(&Array2::ones((1, 1))).unwrap();
        network.backward(&Array2::from_elem((1, 1), 9.0)).unwrap();
        let before = network.gradients();
        let fixed = LayerError::FixedGradients { layer: "ModeProbe" };
        assert_eq!(clip_gradient_norm(&mut network, 1.0), Err(fixed.clone()));
        assert_eq!(clip_gradient_values(&mut network, 1.0), Err(fixed));
        assert_eq!(network.gradients(), before);
    }
}
