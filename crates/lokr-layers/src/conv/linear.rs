//! The convolution as a linear layer, whose rows are patches.

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2};

use super::parameters::Conv;
use crate::activation::Activation;
use crate::error::Result;
use crate::layer::{LinearLayer, Merges};

/// On patches: see [`crate::Layer::patches`].
impl<T: Scalar, const N: usize> LinearLayer<T> for Conv<T, N> {
    fn weight(&self) -> ArrayView2<'_, T> {
        self.kernel.weight()
    }

    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T> {
        self.ran_forward = false;
        self.kernel.weight_mut()
    }

    fn bias(&self) -> ArrayView1<'_, T> {
        self.kernel.bias()
    }

    fn has_bias(&self) -> bool {
        self.kernel.has_bias()
    }

    fn activation(&self) -> Activation {
        self.kernel.activation()
    }

    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.kernel.pre_activation_into(x, z)
    }

    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.kernel.input_gradient_into(dz, dx)
    }

    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()> {
        self.kernel.accumulate_gradients(x, dz)
    }

    fn product_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.kernel.product_into(x, z)
    }

    fn keeps_forward(&self) -> bool {
        false
    }

    fn merges(&mut self) -> Option<&mut Merges> {
        self.kernel.merges()
    }
}
