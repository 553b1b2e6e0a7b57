//! Layers whose values many networks share.

use std::sync::Arc;

use lokr_core::Scalar;
use ndarray::{ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2, CowArray, Ix2};

use super::freeze::set_all_frozen;
use super::reach::{leaf_names, leaves_mut};
use super::select::Select;
use super::sequential::Sequential;
use crate::activation::{Activation, ActivationState};
use crate::buffer::Buffer;
use crate::error::{LayerError, Result};
use crate::layer::{
    Form, GradientAt, GradientVisitorMut, Layer, LinearLayer, Merges, ValueVisitor, ValueVisitorMut, Visitor,
    VisitorMut, pre_activation_gradient,
};
use crate::patches::{Patches, Walk};

/// A frozen layer whose values are held once, however many copies there are of it: copying it copies a pointer. The
/// base of many adapters.
///
/// It stays frozen. Whoever writes into its weight all the same, such as a merge in place or a file that is loaded,
/// gets a copy of his own first, and the others keep what they have. A layer without a weight matrix is copied by the
/// first training forward too.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, Layer, LoKrAdapter, Shared};
/// use ndarray::{Array1, Array2};
///
/// let base = Dense::from_arrays(Array2::<f32>::from_elem((64, 64), 0.1), Array1::zeros(64), Activation::Relu)?;
/// let base = Shared::new(base)?;
/// let adapters: Vec<_> = (0..10).map(|_| LoKrAdapter::new(base.clone(), 2, None, true)).collect::<Result<_, _>>()?;
/// assert_eq!(base.holders(), 11); // of one matrix of 4096 values
/// let merged = adapters[0].merge()?; // has a weight of its own now
/// assert_eq!((base.holders(), merged.holders()), (11, 1));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Shared<T: Scalar> {
    layer: Arc<Held<T>>,
    /// Rows of the last training forward, if nothing has changed since.
    rows: Option<usize>,
    activation: ActivationState<T>,
    dz: Buffer<T>,
    walk: Walk<T>,
}

/// The layer itself, frozen.
#[derive(Clone)]
struct Held<T: Scalar>(Box<dyn Layer<T>>);

impl<T: Scalar> std::fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} → {}", self.0.type_name(), self.0.input_size(), self.0.output_size())
    }
}

impl<T: Scalar> Shared<T> {
    /// Shares a layer, which is frozen from now on.
    ///
    /// # Errors
    /// [`LayerError::NotFreezable`].
    pub fn new(layer: impl Layer<T> + 'static) -> Result<Self> {
        Self::of(Box::new(layer))
    }

    fn of(mut layer: Box<dyn Layer<T>>) -> Result<Self> {
        layer.set_frozen(true)?;
        layer.reset_state();
        let layer = Arc::new(Held(layer));
        Ok(Self { layer, rows: None, activation: ActivationState::new(), dz: Buffer::new(), walk: Walk::new() })
    }

    /// The layer itself.
    #[must_use]
    pub fn layer(&self) -> &dyn Layer<T> {
        &*self.layer.0
    }

    /// How many there are that share its values, this one included.
    #[must_use]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.layer)
    }

    /// The layer, as one of its own.
    fn own(&mut self) -> &mut dyn Layer<T> {
        self.rows = None;
        &mut *Arc::make_mut(&mut self.layer).0
    }

    fn linear(&self) -> Result<&dyn LinearLayer<T>> {
        self.layer.0.as_linear().ok_or(LayerError::NoPreActivation { layer: self.type_name() })
    }
}

impl<T: Scalar> Layer<T> for Shared<T> {
    fn input_size(&self) -> usize {
        self.layer.0.input_size()
    }

    fn output_size(&self) -> usize {
        self.layer.0.output_size()
    }

    /// That of the layer it shares.
    fn type_name(&self) -> &'static str {
        self.layer.0.type_name()
    }

    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.layer.0.predict_into(x, y)
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        let Some(linear) = self.layer.0.as_linear() else { return self.own().forward_into(x, y) };
        self.rows = None;
        let patches = self.layer.0.patches().map(Arc::as_ref);
        self.walk.forward(patches, false, (x, y), &mut |x, z| linear.pre_activation_into(x, z))?;
        self.activation.forward(linear.activation(), y)?;
        self.rows = Some(x.nrows());
        Ok(())
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        let Some(linear) = self.layer.0.as_linear() else {
            return Arc::make_mut(&mut self.layer).0.backward_into(dy, at, dx);
        };
        let layer = self.layer.0.type_name();
        let batch = self.rows.ok_or(LayerError::BackwardBeforeForward { layer })?;
        LayerError::check_shape(layer, "dy", (batch, self.layer.0.output_size()), dy.dim())?;
        LayerError::check_shape(layer, "dx", (batch, self.layer.0.input_size()), dx.dim())?;
        let dz = &*pre_activation_gradient(&self.activation, linear.activation(), (dy, at), &mut self.dz)?;
        let patches = self.layer.0.patches().map(Arc::as_ref);
        self.walk.input_gradient(patches, (dz, dx), &mut |dz, dx| linear.input_gradient_into(dz, dx))
    }

    /// Nothing trains.
    fn visit(&self, _visitor: Visitor<'_, T>) {}

    fn visit_mut(&mut self, _visitor: VisitorMut<'_, T>) {}

    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        self.layer.0.visit_values(visitor);
    }

    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        self.own().visit_values_mut(visitor);
    }

    fn visit_gradients_mut(&mut self, _visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        Ok(())
    }

    fn clear_gradients(&mut self) {}

    fn reset_state(&mut self) {
        self.rows = None;
        self.activation.clear();
        self.dz.clear();
        self.walk = Walk::new();
    }

    /// Does nothing: what can be shared behaves alike in both modes.
    fn set_training_mode(&mut self, _training: bool) {}

    /// Does nothing: it stays frozen.
    fn set_frozen(&mut self, _frozen: bool) -> Result<()> {
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        true
    }

    fn supports_training(&self) -> bool {
        self.layer.0.supports_training()
    }

    fn output_activation(&self) -> Option<Activation> {
        self.layer.0.output_activation()
    }

    fn form(&self) -> Form<'_, T> {
        Form::Shared(self.layer())
    }

    /// Shares the values.
    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    /// A copy of the layer itself, which shares nothing.
    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        self.layer.0.merged()
    }

    fn patches(&self) -> Option<&Arc<Patches>> {
        self.layer.0.patches()
    }

    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        self.layer.0.as_linear().map(|_| self as &dyn LinearLayer<T>)
    }

    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        if self.layer.0.as_linear().is_some() { Some(self) } else { None }
    }
}

/// Of a layer without a weight matrix it is none, [`Layer::as_linear`] says so, and what is asked here is empty or
/// [`LayerError::NoPreActivation`].
impl<T: Scalar> LinearLayer<T> for Shared<T> {
    fn weight(&self) -> ArrayView2<'_, T> {
        let empty: &[[T; 0]; 0] = &[];
        self.layer.0.as_linear().map_or(empty.into(), |linear| linear.weight())
    }

    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T> {
        let empty: &mut [[T; 0]; 0] = &mut [];
        self.own().as_linear_mut().map_or(empty.into(), |linear| linear.weight_mut())
    }

    fn bias(&self) -> ArrayView1<'_, T> {
        self.layer.0.as_linear().map_or((&[]).into(), |linear| linear.bias())
    }

    fn has_bias(&self) -> bool {
        self.layer.0.as_linear().is_some_and(|linear| linear.has_bias())
    }

    fn activation(&self) -> Activation {
        self.layer.0.as_linear().map_or(Activation::Identity, |linear| linear.activation())
    }

    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.linear()?.pre_activation_into(x, z)
    }

    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.linear()?.input_gradient_into(dz, dx)
    }

    /// Nothing trains.
    fn accumulate_gradients(&mut self, _x: &ArrayRef2<T>, _dz: &ArrayRef2<T>) -> Result<()> {
        Ok(())
    }

    fn product_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.linear()?.product_into(x, z)
    }

    fn keeps_forward(&self) -> bool {
        false
    }

    fn effective_weight(&self) -> Result<CowArray<'_, T, Ix2>> {
        self.linear()?.effective_weight()
    }

    fn merges(&mut self) -> Option<&mut Merges> {
        self.own().as_linear_mut()?.merges()
    }
}

impl<T: Scalar> Sequential<T> {
    /// Freezes the layers that are meant and holds their values once for all copies of this network that are made from
    /// now on: see [`Shared`]. Adapters are passed over: share first, then copy, then [`Sequential::adapt`]. Layers
    /// that are to train whole, such as a head, are left out by [`Select::except`].
    ///
    /// # Errors
    /// As [`Sequential::freeze`]; nothing is changed then.
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, Dense, Layer, LoKrSettings, Select, Sequential};
    /// use ndarray::{Array1, Array2};
    ///
    /// let layer = || Dense::<f32>::from_arrays(Array2::zeros((64, 64)), Array1::zeros(64), Activation::Relu);
    /// let mut base = Sequential::empty();
    /// base.push_named("body", layer()?)?.push_named("head", layer()?)?;
    /// base.share(Select::all().except("head"))?;
    /// let mut tasks = vec![base.clone(), base.clone(), base]; // one body, three heads
    /// for network in &mut tasks {
    ///     network.adapt("body", LoKrSettings::new().rank(2))?;
    /// }
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn share(&mut self, layers: impl Into<Select>) -> Result<()> {
        let meant = layers.into().of(&leaf_names(self))?;
        let mut wanted: Vec<_> = leaves_mut(self)
            .into_iter()
            .zip(meant)
            .filter_map(|((_, layer), meant)| (meant && layer.as_adapter().is_none()).then_some(layer))
            .collect();
        set_all_frozen(wanted.iter_mut().map(|layer| &mut **layer), true)?;
        for place in wanted {
            let layer = std::mem::replace(place, Box::new(Self::empty()));
            *place = Box::new(Shared::of(layer)?); // It is frozen already.
        }
        Ok(())
    }
}
