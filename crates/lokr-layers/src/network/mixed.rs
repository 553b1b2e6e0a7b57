//! A batch whose rows use different updates, through a whole network.

use lokr_core::{Scalar, memory};
use ndarray::{Array2, ArrayRef2};

use super::sequential::{Sequential, TYPE_NAME};
use crate::error::{LayerError, Result};
use crate::layer::{Layer, RowUpdates};

impl<T: Scalar> Sequential<T> {
    /// Inference on a batch `x (batch, inputs)` whose rows use different adapters of one base: each row the updates of
    /// the name given for it, whether they are enabled or not, and a row without a name the base alone. PEFT calls
    /// these `adapter_names`.
    ///
    /// Each layer multiplies the whole batch by its base's weight once; then each update is applied to the rows that
    /// use it. Rows keep their places. Of the updates the bits are those of a forward of the gathered rows alone; of
    /// the base, those of a forward of the whole batch.
    ///
    /// # Cost
    /// That of the base on the batch, and of the Kronecker paths on as many rows as use any: for many adapters with a
    /// few rows each far less than a forward for each, which reads the base's weight again and again.
    /// # Errors
    /// [`LayerError::UnknownName`] for a name that no adapter has; as [`Layer::predict_mixed_into`].
    /// # Examples
    /// ```
    /// use lokr_core::Kron;
    /// use lokr_layers::{Activation, FullyConnected, LoKrUpdate, PlacedUpdate, Sequential};
    /// use ndarray::{Array1, Array2, array};
    ///
    /// let mut network = Sequential::empty();
    /// network.push_named("q", FullyConnected::from_arrays(Array2::eye(2), Array1::zeros(2), Activation::Identity)?)?;
    /// for (name, size) in [("double", 1.0), ("tenfold", 9.0)] {
    ///     let update = LoKrUpdate::from_terms(vec![Kron::new(array![[size]], Array2::eye(2))?], 1.0)?;
    ///     network.put_updates(name, vec![PlacedUpdate { layer: "q".into(), update, placement: None }])?;
    /// }
    /// let x = array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
    /// let y = network.predict_mixed(&x, &[Some("tenfold"), None, Some("double")])?;
    /// assert_eq!(y, array![[10.0, 20.0], [3.0, 4.0], [10.0, 12.0]]);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn predict_mixed(&self, x: &ArrayRef2<T>, names: &[Option<&str>]) -> Result<Array2<T>> {
        LayerError::check_length(TYPE_NAME, "names of updates", x.nrows(), names.len())?;
        self.check_update_names(names.iter().flatten().copied())?;
        let mut y = memory::zeros("an output", (x.nrows(), self.output_size()))?;
        self.predict_mixed_into(x, &RowUpdates::new(names), &mut y)?;
        Ok(y)
    }
}
