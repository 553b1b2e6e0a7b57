//! What every layer can do, and what a layer with a weight matrix and an adapter can do besides. Each trait speaks of
//! the others, so they stand together.

use std::sync::Arc;

use lokr_core::{Scalar, memory};
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2, CowArray, Ix2};

use super::arguments::{GradientAt, GradientVisitorMut, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut};
use super::form::Form;
use super::merges::{Merges, Restore};
use super::rows::RowUpdates;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::patches::Patches;
use crate::update::{DeltaPlacement, LoKrUpdate};

/// A differentiable map from rows of `input_size` values to rows of `output_size` values.
///
/// Object-safe: `Box<dyn Layer<T>>` is itself a [`Layer`]. `Send + Sync`: [`Layer::predict`] takes `&self` and keeps
/// nothing, so a trained layer can be shared between threads.
///
/// Parameters are visited in one fixed order, the order of the flat vectors of [`Layer::parameters`] and
/// [`Layer::gradients`]; frozen parameters are not visited. Gradients add up over calls of [`Layer::backward`] until
/// [`Layer::clear_gradients`].
///
/// # When parameters change
/// One rule for every layer and every way of changing them. A backward belongs to the parameters of its forward: after
/// any change it needs a new one ([`LayerError::BackwardBeforeForward`]). Setting parameters, by
/// [`Layer::set_parameters`], [`crate::load_parameters`], [`crate::Linear::set_weights`],
/// [`crate::LoKrAdapter::set_scaling`] and the like, drops the gradients too, which were those of other parameters.
/// A step by gradients ([`Layer::update_parameters`], an [`crate::Optimizer`]) leaves them to be looked at until they
/// are cleared. Whoever writes through [`Layer::visit_mut`] makes a step.
pub trait Layer<T: Scalar>: Send + Sync {
    /// Values in one row of the input.
    fn input_size(&self) -> usize;

    /// Values in one row of the output.
    fn output_size(&self) -> usize;

    /// Name of the layer's type, for messages.
    fn type_name(&self) -> &'static str;

    /// Inference: writes the output for `x` `(batch, input_size)` over `y` `(batch, output_size)`, keeping nothing.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()>;

    /// Inference on a batch whose rows use different updates of the adapters inside: each row the one of its name,
    /// whether it is enabled or not, and no other; an adapter without an update of that name passes the row through its
    /// base alone. Layers without adapters do what [`Layer::predict_into`] does.
    ///
    /// The product with a base's weight is made once for the whole batch; then each update is applied to its rows,
    /// gathered, in the order of the names. See [`crate::Sequential::predict_mixed`].
    ///
    /// # Errors
    /// [`LayerError::Shape`]; [`LayerError::Length`] for another number of names; [`LayerError::AlreadyMerged`] while
    /// updates are in the weight of their base; [`LayerError::InvalidSetting`] for an update that decomposes the weight
    /// and is disabled.
    fn predict_mixed_into(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>, y: &mut ArrayRef2<T>) -> Result<()> {
        let _ = rows;
        self.predict_into(x, y)
    }

    /// Training: like [`Layer::predict_into`], and keeps what [`Layer::backward_into`] needs.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()>;

    /// Adds to the gradients of the trainable parameters and writes the gradient of the input of the last `forward`
    /// over `dx` `(batch, input_size)`, from the gradient `dy` `(batch, output_size)`.
    ///
    /// # Errors
    /// [`LayerError::BackwardBeforeForward`], [`LayerError::Shape`], [`LayerError::NoPreActivation`].
    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()>;

    /// [`Layer::backward_into`] where nobody asks for the gradient of the input, as at the start of a network: adds to
    /// the gradients of the trainable parameters, with the same bits.
    ///
    /// Layers with a weight save the product with it; others compute the gradient and drop it.
    ///
    /// # Errors
    /// As [`Layer::backward_into`].
    fn backward_parameters(&mut self, dy: &ArrayRef2<T>, at: GradientAt) -> Result<()> {
        let mut dx = memory::zeros("an input gradient", (dy.nrows(), self.input_size()))?;
        self.backward_into(dy, at, &mut dx)
    }

    /// Shows every trainable parameter, in order: its name, its values, and its gradient if there is one.
    fn visit(&self, visitor: Visitor<'_, T>);

    /// Like [`Layer::visit`], with writable values. The next backward needs a new forward.
    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>);

    /// Shows every value that the layer holds, frozen ones too, under the names of [`Layer::visit`]: what a file of the
    /// whole network has.
    ///
    /// A layer of your own that can be frozen, or holds values it does not train, implements this and
    /// [`Layer::visit_values_mut`]; the others show their parameters.
    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        self.visit(&mut |name, values, _| visitor(name, values));
    }

    /// [`Layer::visit_values`], writable: sets parameters, so gradients are dropped and a backward needs a new forward.
    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        self.visit_mut(&mut |name, values, _| visitor(name, values));
        self.clear_gradients();
    }

    /// Shows every gradient that there is, in the order of [`Layer::visit`], writable: for clipping and scaling.
    ///
    /// # Errors
    /// [`LayerError::FixedGradients`] where the layer, or one inside it, does not implement this method; layers before
    /// that one have been visited then.
    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        let _ = visitor;
        Err(LayerError::FixedGradients { layer: self.type_name() })
    }

    /// Drops all gradients. The next [`Layer::backward`] starts from zero.
    fn clear_gradients(&mut self);

    /// Drops the stored input and the gradients; parameters stay.
    fn reset_state(&mut self);

    /// Switches between training and inference behaviour, in this layer and all layers inside it.
    fn set_training_mode(&mut self, training: bool);

    /// Keeps all parameters as they are, in this layer and all layers inside it, or lets them train: frozen ones are
    /// not visited and get no gradients, while the input's gradient passes through. Gradients are dropped when this
    /// changes anything. All layers of this crate can be frozen; what they keep frozen of their own, such as the base
    /// of an adapter, stays frozen.
    ///
    /// # Errors
    /// [`LayerError::NotFreezable`] from a layer with parameters that does not implement this.
    fn set_frozen(&mut self, frozen: bool) -> Result<()> {
        if frozen && self.parameter_count() > 0 {
            return Err(LayerError::NotFreezable { layer: self.type_name() });
        }
        Ok(())
    }

    /// Whether [`Layer::set_frozen`] keeps the parameters as they are.
    fn is_frozen(&self) -> bool {
        false
    }

    /// The layers this one is made of, with their names, first to last: those of a [`crate::Sequential`].
    fn children(&self) -> Vec<(&str, &dyn Layer<T>)> {
        Vec::new()
    }

    /// [`Layer::children`], to be changed, or replaced by layers of the same sizes.
    fn children_mut(&mut self) -> Vec<(&str, &mut Box<dyn Layer<T>>)> {
        Vec::new()
    }

    /// This layer as an adapter, if it is one.
    fn as_adapter(&self) -> Option<&dyn Adapter<T>> {
        None
    }

    /// [`Layer::as_adapter`], writable.
    fn as_adapter_mut(&mut self) -> Option<&mut dyn Adapter<T>> {
        None
    }

    /// Shows every number that decides which random values training draws next, with a name, and lets it be set: with
    /// the parameters restored and these, a run goes on with the same bits.
    fn visit_random_states(&mut self, visitor: &mut dyn FnMut(&str, &mut u64)) {
        let _ = visitor;
    }

    /// Whether `backward` works.
    fn supports_training(&self) -> bool {
        true
    }

    /// A deep copy behind a new box.
    fn clone_box(&self) -> Box<dyn Layer<T>>;

    /// A deep copy in which every adapter is merged into its base, and nothing is frozen: [`crate::LoKrAdapter`] gives
    /// its merged base, adapters around adapters included, a [`crate::Sequential`] does so for each of its layers, any
    /// other layer is copied as it is.
    ///
    /// # Errors
    /// Those of the adapters' merges, [`LayerError::NotMergeable`], [`LayerError::MergeThroughActivation`],
    /// [`LayerError::NonFinite`].
    fn merged(&self) -> Result<Box<dyn Layer<T>>> {
        let mut copy = self.clone_box();
        copy.set_frozen(false)?;
        Ok(copy)
    }

    /// This layer as one with a weight matrix, if it has one. Adapters need it to put their delta before the
    /// activation and to merge.
    fn as_linear(&self) -> Option<&dyn LinearLayer<T>> {
        None
    }

    /// [`Layer::as_linear`], writable.
    fn as_linear_mut(&mut self) -> Option<&mut dyn LinearLayer<T>> {
        None
    }

    /// How rows are cut into patches, for a layer whose weight acts on those, such as a convolution; `None` where it
    /// acts on whole rows.
    ///
    /// Where there are patches, [`Layer::as_linear`] is the linear layer over them: its weight is
    /// `(out, width)`, and the rows of its methods are patches and what is made of each. Its activation is applied to
    /// whole rows of the output, not to those. An adapter of such a layer has the same patches.
    fn patches(&self) -> Option<&Arc<Patches>> {
        None
    }

    /// What the layer is made of, as far as it says: by default an adapter, a linear layer or a network where
    /// [`Layer::as_adapter`], [`Layer::as_linear`] or [`Layer::children`] tell so.
    fn form(&self) -> Form<'_, T> {
        match (self.as_adapter(), self.as_linear()) {
            (Some(adapter), _) => Form::Adapter(adapter),
            // A weight that acts on patches is no matrix product of rows.
            (None, Some(linear)) if self.patches().is_none() => Form::Linear(linear),
            (None, _) if !self.children().is_empty() => Form::Sequence(self.children()),
            (None, _) => Form::Unknown,
        }
    }

    /// The activation that the output has passed last, where it is known: what a gradient at the pre-activation skips.
    ///
    /// That of [`Layer::as_linear`], unless the layer says otherwise. Losses are paired with it: see
    /// [`crate::LossFunction::check_activation`].
    fn output_activation(&self) -> Option<Activation> {
        self.as_linear().map(|linear| linear.activation())
    }

    /// Inference into a new matrix `(batch, output_size)`.
    ///
    /// # Errors
    /// [`LayerError::Shape`]; [`LayerError::Kron`] where memory for it is refused.
    fn predict(&self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut y = memory::zeros("an output", (x.nrows(), self.output_size()))?;
        self.predict_into(x, &mut y)?;
        Ok(y)
    }

    /// Training forward into a new matrix `(batch, output_size)`.
    ///
    /// # Errors
    /// [`LayerError::Shape`]; [`LayerError::Kron`] where memory for it is refused.
    fn forward(&mut self, x: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut y = memory::zeros("an output", (x.nrows(), self.output_size()))?;
        self.forward_into(x, &mut y)?;
        Ok(y)
    }

    /// [`Layer::backward_into`] from a gradient of the output, into a new matrix `(batch, input_size)`.
    ///
    /// # Errors
    /// As [`Layer::backward_into`].
    fn backward(&mut self, dy: &ArrayRef2<T>) -> Result<Array2<T>> {
        let mut dx = memory::zeros("an input gradient", (dy.nrows(), self.input_size()))?;
        self.backward_into(dy, GradientAt::Output, &mut dx)?;
        Ok(dx)
    }

    /// Number of trainable values.
    fn parameter_count(&self) -> usize {
        let mut count = 0;
        self.visit(&mut |_, values, _| count += values.len());
        count
    }

    /// All trainable values in one vector, each matrix in row-major order.
    fn parameters(&self) -> Array1<T> {
        let mut flat = Vec::with_capacity(self.parameter_count());
        self.visit(&mut |_, values, _| flat.extend(values.iter().copied()));
        Array1::from_vec(flat)
    }

    /// Sets all trainable values from one vector, in the order of [`Layer::parameters`]. Gradients are dropped, and a
    /// backward needs a new forward.
    ///
    /// # Errors
    /// [`LayerError::Length`], [`LayerError::NonFinite`]; nothing is changed then.
    fn set_parameters(&mut self, parameters: &ArrayRef1<T>) -> Result<()> {
        LayerError::check_length(self.type_name(), "parameters", self.parameter_count(), parameters.len())?;
        LayerError::check_finite(self.type_name(), "parameters", parameters.iter())?;
        let mut source = parameters.iter();
        self.visit_mut(&mut |_, mut values, _| values.iter_mut().zip(&mut source).for_each(|(v, &s)| *v = s));
        self.clear_gradients();
        Ok(())
    }

    /// All gradients in one vector, in the order of [`Layer::parameters`].
    ///
    /// # Errors
    /// [`LayerError::NoGradients`].
    fn gradients(&self) -> Result<Array1<T>> {
        require_gradients(self)?;
        let mut flat = Vec::with_capacity(self.parameter_count());
        self.visit(&mut |_, _, gradient| flat.extend(gradient.iter().flatten().copied()));
        Ok(Array1::from_vec(flat))
    }

    /// A plain gradient step, `value ← value − learning_rate·gradient`.
    ///
    /// # Errors
    /// [`LayerError::NoGradients`]; [`LayerError::InvalidSetting`] for a learning rate that is not finite. Nothing is
    /// changed then.
    fn update_parameters(&mut self, learning_rate: T) -> Result<()> {
        if !learning_rate.is_finite() {
            return Err(LayerError::invalid("learning rate", learning_rate, "a finite number"));
        }
        require_gradients(self)?;
        self.visit_mut(&mut |_, mut values, gradient| {
            if let Some(gradient) = gradient {
                values.zip_mut_with(&gradient, |v, &g| *v -= learning_rate * g);
            }
        });
        Ok(())
    }
}

/// A layer `y = activation(x·Wᵀ + bias)` whose pieces can be reached one by one.
///
/// However a layer stores its weight, here it is `W (out, in)`; a layer that keeps it input-major hands out the
/// transposed view. Merging therefore honours every orientation.
///
/// An adapter of a linear layer is a linear layer: what it computes before the activation is the base's and its own
/// update. Its *stored* weight is the base's, and its *effective* weight the sum.
pub trait LinearLayer<T: Scalar>: Layer<T> {
    /// The stored weight, which updates are merged into, as `W (out, in)`.
    fn weight(&self) -> ArrayView2<'_, T>;

    /// The stored weight as `W (out, in)`, writable.
    fn weight_mut(&mut self) -> ArrayViewMut2<'_, T>;

    /// The bias, `out` values; zeros where the layer has none.
    fn bias(&self) -> ArrayView1<'_, T>;

    /// Whether the layer has a bias; else what [`LinearLayer::bias`] gives is no parameter.
    fn has_bias(&self) -> bool {
        true
    }

    /// The activation applied to `x·Wᵀ + bias`.
    fn activation(&self) -> Activation;

    /// The pre-activation `z ← x·Wᵀ + bias`, `(batch, out)`; keeps nothing.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn pre_activation_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()>;

    /// The input gradient `dx ← dz·W`, `(batch, in)`, from the gradient `dz` of the pre-activation.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn input_gradient_into(&self, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()>;

    /// Adds `dzᵀ·x` and the column sums of `dz` to the gradients of weight and bias.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn accumulate_gradients(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>) -> Result<()>;

    /// `z ← x·Wᵀ`, `(batch, out)`: the pre-activation without the bias.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn product_into(&self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.pre_activation_into(x, z)?;
        *z -= &*self.bias();
        Ok(())
    }

    /// [`LinearLayer::pre_activation_into`] for rows that use different updates: see [`Layer::predict_mixed_into`].
    ///
    /// # Errors
    /// As there.
    fn pre_activation_mixed_into(&self, x: &ArrayRef2<T>, rows: &RowUpdates<'_>, z: &mut ArrayRef2<T>) -> Result<()> {
        let _ = rows;
        self.pre_activation_into(x, z)
    }

    /// [`LinearLayer::pre_activation_into`] in training, for a layer that does then what it does not in inference.
    ///
    /// # Errors
    /// [`LayerError::Shape`].
    fn train_pre_activation_into(&mut self, x: &ArrayRef2<T>, z: &mut ArrayRef2<T>) -> Result<()> {
        self.pre_activation_into(x, z)
    }

    /// The way back of [`LinearLayer::train_pre_activation_into`] with the same `x`: adds to all gradients and writes
    /// that of the input over `dx`.
    ///
    /// # Errors
    /// [`LayerError::Shape`], [`LayerError::BackwardBeforeForward`].
    fn train_backward_into(&mut self, x: &ArrayRef2<T>, dz: &ArrayRef2<T>, dx: &mut ArrayRef2<T>) -> Result<()> {
        self.input_gradient_into(dz, dx)?;
        self.accumulate_gradients(x, dz)
    }

    /// Whether [`LinearLayer::train_backward_into`] may need what the last [`LinearLayer::train_pre_activation_into`]
    /// kept, so that one must follow the other; else rows can be computed in any parts. A convolution is, block by
    /// block.
    fn keeps_forward(&self) -> bool {
        true
    }

    /// The weight `W (out, in)` that the layer computes with: the stored one, or one made for the purpose.
    ///
    /// # Errors
    /// [`LayerError::Kron`] where memory for it is refused.
    fn effective_weight(&self) -> Result<CowArray<'_, T, Ix2>> {
        Ok(self.weight().into())
    }

    /// Where merges into the stored weight are written down, so that none is made twice; `None` from a layer that
    /// keeps no such list.
    fn merges(&mut self) -> Option<&mut Merges> {
        None
    }
}

/// An adapter without the type of its base: what a network, a saver or a report needs of it.
///
/// [`crate::LoKrAdapter`] is one around any base. From a layer behind a box it is reached by [`Layer::as_adapter`], in
/// a network by its name with [`crate::Sequential::adapter`].
pub trait Adapter<T: Scalar>: Layer<T> {
    /// The adapted layer.
    fn base(&self) -> &dyn Layer<T>;

    /// The updates by name, the adapter's own first: it is called `default`, as in PEFT, unless
    /// [`crate::Sequential::put_updates`] has given it another name.
    fn updates(&self) -> Vec<(&str, &LoKrUpdate<T>)>;

    /// One of the updates.
    ///
    /// # Errors
    /// [`LayerError::UnknownName`].
    fn named_update(&self, name: &str) -> Result<&LoKrUpdate<T>>;

    /// Whether an update acts. All do until [`Adapter::set_enabled`].
    ///
    /// # Errors
    /// [`LayerError::UnknownName`].
    fn is_enabled(&self, name: &str) -> Result<bool>;

    /// Switches an update on or off. One that is off costs nothing, does not train and is not visited.
    ///
    /// # Errors
    /// [`LayerError::UnknownName`]; [`LayerError::AlreadyMerged`] while the updates are in the base's weight, as from
    /// every method that changes one. Nothing is changed then, else gradients are dropped and a backward needs a new
    /// forward.
    fn set_enabled(&mut self, name: &str, enabled: bool) -> Result<()>;

    /// Adds an update under a name: those that are enabled add up. Its values are visited as `name.lokr_w1` and so on.
    ///
    /// # Errors
    /// [`LayerError::DuplicateName`]; [`LayerError::InvalidName`] for one that is empty, `base`, or has a dot in it;
    /// [`LayerError::Shape`] for an update of other sizes; [`LayerError::InvalidSetting`] beside one that decomposes
    /// the weight; as [`Adapter::set_enabled`].
    fn add_update(&mut self, name: &str, update: LoKrUpdate<T>) -> Result<()>;

    /// Takes an update off that was added.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] for the adapter's own, which can only be replaced or switched off; as
    /// [`Adapter::set_enabled`].
    fn remove_update(&mut self, name: &str) -> Result<LoKrUpdate<T>>;

    /// Puts `update` in the place of the one of that name, which is handed back.
    ///
    /// # Errors
    /// [`LayerError::Shape`], [`LayerError::InvalidSetting`] as [`Adapter::add_update`]; as [`Adapter::set_enabled`].
    fn replace_update(&mut self, name: &str, update: LoKrUpdate<T>) -> Result<LoKrUpdate<T>>;

    /// Changes the scaling of the adapter's own update; zero switches it off.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless it is finite; as [`Adapter::set_enabled`].
    fn set_scaling(&mut self, scaling: T) -> Result<()>;

    /// Changes how strongly an update is applied, its weight among the others, which is not saved.
    ///
    /// # Errors
    /// [`LayerError::InvalidSetting`] unless it is finite; as [`Adapter::set_enabled`].
    fn set_update_multiplier(&mut self, name: &str, multiplier: T) -> Result<()>;

    /// Changes the updates that are enabled, one after the other, in place: [`LoKrUpdate::balance`],
    /// [`LoKrUpdate::limit_norm`] and the like.
    ///
    /// # Errors
    /// The first of `change`, which ends it; as [`Adapter::set_enabled`].
    fn change_updates(&mut self, change: &mut dyn FnMut(&mut LoKrUpdate<T>) -> Result<()>) -> Result<()>;

    /// Whether the updates are in the base's weight.
    fn is_merged(&self) -> bool;

    /// Merges the updates that are enabled into the weight of the adapter's own base: inference then costs what the
    /// base costs. Until [`Adapter::unmerge_in_place`] nothing of the adapter can be changed or trained.
    ///
    /// # Errors
    /// [`LayerError::AlreadyMerged`]; those of [`crate::LoKrAdapter::merge_into`]. Nothing is changed then.
    fn merge_in_place(&mut self, restore: Restore) -> Result<()>;

    /// Takes the updates out of the base's weight again.
    ///
    /// # Errors
    /// [`LayerError::NotMerged`] where they are not in it, or, without a copy, the weight has been written to since.
    /// Nothing is changed then.
    fn unmerge_in_place(&mut self) -> Result<()>;

    /// Where the update enters.
    fn placement(&self) -> DeltaPlacement;

    /// Whether the base's parameters are kept as they are.
    fn is_base_frozen(&self) -> bool;

    /// Freezes the base or lets it train. Gradients are dropped when this changes anything.
    fn set_base_frozen(&mut self, frozen: bool);
}

/// `Ok` when every trainable parameter of `layer` has a gradient, else [`LayerError::NoGradients`].
pub(crate) fn require_gradients<T: Scalar>(layer: &(impl Layer<T> + ?Sized)) -> Result<()> {
    let mut missing = false;
    layer.visit(&mut |_, _, gradient| missing |= gradient.is_none());
    if missing { Err(LayerError::NoGradients { layer: layer.type_name() }) } else { Ok(()) }
}
