//! A row of values for each of some tokens or categories.

use lokr_core::{Scalar, memory};
use ndarray::{Array2, ArrayRef2, ArrayView2};
use ndarray_rand::rand::Rng;

use super::parameters::Parameter;
use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::layer::{Form, GradientAt, GradientVisitorMut, Layer, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut};
use crate::linear::Init;

const TYPE_NAME: &str = "Embedding";
const WEIGHT: &str = "weight";

/// A table with a row of values for each of some tokens or categories. An input row holds their numbers, from 0, as
/// values: `(i, j)` becomes the rows `i` and `j` of the table, one after the other. Further columns can be passed
/// through as they are ([`Embedding::passing`]): the numbers of a tabular model beside its categories.
///
/// Its parameter is `weight (tokens, values)`, as in PyTorch. Numbers of tokens have no gradient; theirs is zero.
///
/// # Cost
/// A copy of the rows, and for a training step a gradient of the table's size.
///
/// # Examples
/// ```
/// use lokr_layers::{Embedding, Layer};
/// use ndarray::array;
///
/// let table = array![[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]];
/// let layer = Embedding::from_table(table, 2)?.passing(1); // two tokens, and a number
/// assert_eq!((layer.input_size(), layer.output_size()), (3, 5));
/// assert_eq!(layer.predict(&array![[2.0, 0.0, 7.5]])?, array![[2.0, 2.5, 0.0, 0.5, 7.5]]);
/// assert!(layer.predict(&array![[3.0, 0.0, 7.5]]).is_err()); // there is no fourth row
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Embedding<T> {
    table: Parameter<T>,
    columns: usize,
    passed: usize,
    /// Of the last forward: the tokens, row by row, and how many rows.
    tokens: Vec<usize>,
    batch: Option<usize>,
    frozen: bool,
}

impl<T: Scalar> Embedding<T> {
    /// A table of `tokens` rows with `values` each, drawn from `rng` as `init` says (`Init::Normal { deviation: 1.0 }`
    /// is PyTorch's), for inputs of `columns` tokens.
    ///
    /// # Errors
    /// [`LayerError::ZeroSize`]; [`LayerError::InvalidSetting`] for more tokens than `T` has whole numbers (2²⁴ in
    /// `f32`), and for `init`; [`LayerError::Kron`] where memory is refused.
    pub fn new(
        tokens: usize,
        values: usize,
        columns: usize,
        init: Init,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Self> {
        Self::check(tokens, values, columns)?;
        let mut table = memory::zeros(TYPE_NAME, (tokens, values))?;
        init.fill(&mut table, rng)?;
        Ok(Self::of(table, columns))
    }

    /// A given table `(tokens, values)`, for inputs of `columns` tokens.
    ///
    /// # Errors
    /// As [`Embedding::new`], and [`LayerError::NonFinite`].
    pub fn from_table(table: Array2<T>, columns: usize) -> Result<Self> {
        let (tokens, values) = table.dim();
        Self::check(tokens, values, columns)?;
        LayerError::check_finite(TYPE_NAME, "the table", table.iter())?;
        let table = if table.is_standard_layout() { table } else { table.as_standard_layout().into_owned() };
        Ok(Self::of(table, columns))
    }

    /// The same with so many further columns, which are passed through.
    #[must_use]
    pub fn passing(mut self, columns: usize) -> Self {
        self.passed = columns;
        self.batch = None;
        self
    }

    /// The table `(tokens, values)`.
    #[must_use]
    pub fn table(&self) -> ArrayView2<'_, T> {
        self.table.values.view()
    }

    fn of(table: Array2<T>, columns: usize) -> Self {
        let table = Parameter::matrix(table);
        Self { table, columns, passed: 0, tokens: Vec::new(), batch: None, frozen: false }
    }

    fn check(tokens: usize, values: usize, columns: usize) -> Result<()> {
        let (input_size, output_size) = (tokens.min(columns), values);
        if input_size == 0 || output_size == 0 {
            return Err(LayerError::ZeroSize { layer: TYPE_NAME, input_size, output_size });
        }
        let last = T::from_usize_lossy(tokens - 1).to_f64_exact();
        if last != (tokens - 1) as f64 || last > 1.0 / T::epsilon().to_f64_exact() * 2.0 {
            return Err(LayerError::invalid("number of tokens", tokens, "as many as the type has whole numbers"));
        }
        Ok(())
    }

    /// Shows the tokens of `x`, row by row, if the shapes fit; it fails at the first that is none.
    fn read(&self, x: &ArrayRef2<T>, y: &ArrayRef2<T>, each: impl FnMut(usize)) -> Result<()> {
        LayerError::check_shape(TYPE_NAME, "y", (x.nrows(), self.output_size()), y.dim())?;
        self.tokens_of(x, each)
    }

    fn tokens_of(&self, x: &ArrayRef2<T>, mut each: impl FnMut(usize)) -> Result<()> {
        LayerError::check_shape(TYPE_NAME, "x", (x.nrows(), self.input_size()), x.dim())?;
        let count = self.table.values.nrows();
        for (row, x) in x.rows().into_iter().enumerate() {
            for (column, &value) in x.iter().take(self.columns).enumerate() {
                let number = value.to_f64_exact();
                if !(number >= 0.0 && number < count as f64 && number.fract() == 0.0) {
                    return Err(LayerError::Token { layer: TYPE_NAME, row, column, value: number, count });
                }
                each(number as usize);
            }
        }
        Ok(())
    }

    /// Whether `x` can be read.
    pub(crate) fn check_tokens(&self, x: &ArrayRef2<T>) -> Result<()> {
        self.tokens_of(x, |_| ())
    }

    /// The rows of what has been read without an error.
    fn write(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) {
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            let mut to = y.iter_mut();
            for token in x.iter().take(self.columns) {
                // The table's row comes first: it ends before another place of `y` is taken.
                self.table
                    .values
                    .row(token.to_f64_exact() as usize)
                    .iter()
                    .zip(to.by_ref())
                    .for_each(|(&from, to)| *to = from);
            }
            to.zip(x.iter().skip(self.columns)).for_each(|(to, &from)| *to = from);
        }
    }
}

impl<T: Scalar> Layer<T> for Embedding<T> {
    fn input_size(&self) -> usize {
        self.columns + self.passed
    }

    fn output_size(&self) -> usize {
        self.columns * self.table.values.ncols() + self.passed
    }

    fn type_name(&self) -> &'static str {
        TYPE_NAME
    }

    /// # Errors
    /// Also [`LayerError::Token`] for what is no token; `y` is then untouched. As from [`Layer::forward_into`].
    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.read(x, y, |_| ())?;
        self.write(x, y);
        Ok(())
    }

    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.batch = None;
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.clear();
        let read = self.read(x, y, |token| tokens.push(token));
        if read.is_ok() {
            self.write(x, y);
            self.batch = Some(x.nrows());
        }
        self.tokens = tokens;
        read
    }

    fn backward_into(&mut self, dy: &ArrayRef2<T>, at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        if let Some(batch) = self.batch {
            LayerError::check_shape(TYPE_NAME, "dx", (batch, self.input_size()), dx.dim())?;
        }
        self.backward_parameters(dy, at)?;
        let values = self.table.values.ncols();
        for (dy, mut dx) in dy.rows().into_iter().zip(dx.rows_mut()) {
            let mut to = dx.iter_mut();
            to.by_ref().take(self.columns).for_each(|to| *to = T::zero());
            to.zip(dy.iter().skip(self.columns * values)).for_each(|(to, &from)| *to = from);
        }
        Ok(())
    }

    fn backward_parameters(&mut self, dy: &ArrayRef2<T>, _at: GradientAt) -> Result<()> {
        let batch = self.batch.ok_or(LayerError::BackwardBeforeForward { layer: TYPE_NAME })?;
        LayerError::check_shape(TYPE_NAME, "dy", (batch, self.output_size()), dy.dim())?;
        if !self.frozen {
            let gradient = self.table.accumulate()?;
            let mut tokens = self.tokens.iter();
            for dy in dy.rows() {
                let mut from = dy.iter();
                for &token in tokens.by_ref().take(self.columns) {
                    // The table's row comes first: it ends before another value of `dy` is taken.
                    gradient.row_mut(token).iter_mut().zip(from.by_ref()).for_each(|(to, &from)| *to += from);
                }
            }
        }
        Ok(())
    }

    fn visit(&self, visitor: Visitor<'_, T>) {
        if !self.frozen {
            visitor(WEIGHT, self.table.view(), self.table.gradient());
        }
    }

    fn visit_mut(&mut self, visitor: VisitorMut<'_, T>) {
        if !self.frozen {
            self.batch = None;
            let (values, gradient) = self.table.both();
            visitor(WEIGHT, values, gradient);
        }
    }

    fn visit_values(&self, visitor: ValueVisitor<'_, T>) {
        visitor(WEIGHT, self.table.view());
    }

    fn visit_values_mut(&mut self, visitor: ValueVisitorMut<'_, T>) {
        self.batch = None;
        self.table.clear_gradient();
        visitor(WEIGHT, self.table.both().0);
    }

    fn visit_gradients_mut(&mut self, visitor: GradientVisitorMut<'_, T>) -> Result<()> {
        if let Some(gradient) = self.table.gradient_mut().filter(|_| !self.frozen) {
            visitor(WEIGHT, gradient);
        }
        Ok(())
    }

    fn clear_gradients(&mut self) {
        self.table.clear_gradient();
    }

    fn reset_state(&mut self) {
        self.table.reset();
        (self.tokens, self.batch) = (Vec::new(), None);
    }

    /// Does nothing: this layer behaves alike in both modes.
    fn set_training_mode(&mut self, _training: bool) {}

    fn set_frozen(&mut self, frozen: bool) -> Result<()> {
        if self.frozen != frozen {
            self.frozen = frozen;
            self.clear_gradients();
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }

    fn form(&self) -> Form<'_, T> {
        Form::Embedding { table: self.table(), columns: self.columns, passed: self.passed }
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(Activation::Identity)
    }
}
