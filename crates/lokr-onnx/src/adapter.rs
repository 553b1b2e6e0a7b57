//! Adapters as nodes, beside their bases.

use lokr_core::{Factor, Kron, Scalar};
use lokr_layers::{Adapter, DeltaPlacement, DoraAxis, LoKrUpdate, TuckerFactor};
use ndarray::{Array1, ArrayView2};

use crate::check::{base_name, joined, unknown};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::{activation, layers};

/// The output of an adapter.
pub(crate) fn adapter<T: Scalar>(graph: &mut Graph, name: &str, of: &dyn Adapter<T>, x: Value) -> Result<Value> {
    match of.as_linear() {
        Some(linear) if of.placement() == DeltaPlacement::BeforeActivation => {
            let z = pre_activation(graph, name, of, x, true)?;
            activation::activation::<T>(graph, name, linear.activation(), z)
        }
        Some(_) => pre_activation(graph, name, of, x, true), // There is no activation then.
        None => {
            let y = layers::layer(graph, &inner_name(name, of), of.base(), x.clone())?;
            Ok(add_updates(graph, name, of, y, &mut |graph, term| product(graph, term, &x)))
        }
    }
}

/// What an adapter of a linear layer computes before the activation.
pub(crate) fn pre_activation<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    of: &dyn Adapter<T>,
    x: Value,
    with_bias: bool,
) -> Result<Value> {
    let base = of.base().as_linear().ok_or_else(|| unknown(name, of.base()))?;
    let inner = inner_name(name, of);
    for (_, update) in active(of) {
        if let Some((axis, _)) = update.dora()
            && let Some(gains) = update.dora_gains(&base.effective_weight()?)?
        {
            return decomposed(graph, (name, &inner), (of, axis, gains), x, with_bias);
        }
    }
    let z = layers::pre_activation(graph, &inner, base, x.clone(), with_bias)?;
    Ok(add_updates(graph, name, of, z, &mut |graph, term| product(graph, term, &x)))
}

/// The same with norms of the weight's own: `g∘(x·Wᵀ + x·ΔWᵀ) + b·x·Wᵀ + bias` along the outputs, and with `x∘g` in
/// place of `x` along the inputs.
fn decomposed<T: Scalar>(
    graph: &mut Graph,
    (name, inner): (&str, &str),
    (of, axis, (of_base, gains)): (&dyn Adapter<T>, DoraAxis, (T, Array1<T>)),
    x: Value,
    with_bias: bool,
) -> Result<Value> {
    let base = of.base().as_linear().ok_or_else(|| unknown(name, of.base()))?;
    let gains = graph.constant(&joined(name, "dora_gains"), gains.view());
    let scaled_base = |graph: &mut Graph, value: &str| {
        let factor = graph.number(&joined(name, "dora_base"), of_base);
        graph.node(&joined(name, "from_base"), "Mul", &[value, &factor], Vec::new())
    };
    let is_apart = of_base != T::zero();
    match axis {
        DoraAxis::Output => {
            let product = layers::pre_activation(graph, inner, base, x.clone(), false)?;
            let whole =
                add_updates(graph, name, of, product.clone(), &mut |graph, term| self::product(graph, term, &x));
            let mut z = graph.node(&joined(name, "decomposed"), "Mul", &[&whole, &gains], Vec::new());
            if is_apart {
                let rest = scaled_base(graph, &product);
                z = graph.node(&joined(name, "with_base"), "Add", &[&z, &rest], Vec::new());
            }
            if with_bias && base.has_bias() {
                let bias = graph.constant(&joined(name, "bias"), base.bias());
                z = graph.node(&joined(name, "with_bias"), "Add", &[&z, &bias], Vec::new());
            }
            Ok(z)
        }
        DoraAxis::Input => {
            let through = graph.node(&joined(name, "decomposed"), "Mul", &[&x, &gains], Vec::new());
            let mut to_base = through.clone();
            if is_apart {
                let rest = scaled_base(graph, &x);
                to_base = graph.node(&joined(name, "with_base"), "Add", &[&through, &rest], Vec::new());
            }
            let z = layers::pre_activation(graph, inner, base, to_base, with_bias)?;
            Ok(add_updates(graph, name, of, z, &mut |graph, term| product(graph, term, &through)))
        }
    }
}

/// A base that is an adapter has names of its own; the others keep theirs, as in the network.
pub(crate) fn inner_name<T: Scalar>(name: &str, of: &dyn Adapter<T>) -> String {
    if of.base().as_adapter().is_some() { base_name(name) } else { name.to_owned() }
}

/// The updates that act beside the base, with what stands in front of their names.
pub(crate) fn active<T: Scalar>(of: &dyn Adapter<T>) -> impl Iterator<Item = (&str, &LoKrUpdate<T>)> {
    let acts = move |name: &str| !of.is_merged() && of.is_enabled(name).unwrap_or(false);
    of.updates().into_iter().filter(move |(name, _)| acts(name))
}

/// A product of an update, with what is written of it.
pub(crate) struct Term<'u, T: Scalar> {
    /// What stands in front of the names of its values.
    pub(crate) name: String,
    strength: T,
    pub(crate) delta: &'u Kron<'static, T>,
    /// The second factor, where it is held in Tucker form.
    pub(crate) tucker: Option<&'u TuckerFactor<T>>,
    /// The stored matrices of both factors with their names, from left to right; none of the `A` of a LoRA, which is 1.
    pub(crate) a: Vec<(&'static str, ArrayView2<'u, T>)>,
    pub(crate) b: Vec<(&'static str, ArrayView2<'u, T>)>,
}

impl<T: Scalar> Term<'_, T> {
    /// The name of a value inside.
    pub(crate) fn named(&self, part: &str) -> String {
        joined(&self.name, part)
    }

    /// Values that are stored. Those on the left of all are multiplied by the strength, which engines do once.
    pub(crate) fn constant<'v>(
        &self,
        graph: &mut Graph,
        part: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = &'v T>,
    ) -> Value {
        let constant = graph.shaped(&self.named(part), shape, values);
        if self.a.first().or(self.b.first()).is_none_or(|(leftmost, _)| *leftmost != part) {
            return constant;
        }
        let scaling = graph.number(&self.named("lokr_scaling"), self.strength);
        graph.node(&self.named(&format!("{part}.scaled")), "Mul", &[&constant, &scaling], Vec::new())
    }

    /// `A·Y` for each sample `Y` of `n` rows.
    pub(crate) fn apply_a(&self, graph: &mut Graph, mut y: Value) -> Value {
        for (part, matrix) in self.a.iter().rev() {
            let constant = self.constant(graph, part, matrix.shape(), matrix);
            y = graph.node(&self.named(&format!("{part}.applied")), "MatMul", &[&constant, &y], Vec::new());
        }
        y
    }
}

/// `y`, and what `product` makes of each product of the updates that act.
pub(crate) fn add_updates<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    of: &dyn Adapter<T>,
    mut y: Value,
    product: &mut dyn FnMut(&mut Graph, &Term<'_, T>) -> Value,
) -> Value {
    for (own, update) in active(of) {
        let prefix = if own == "default" { name.to_owned() } else { joined(name, own) };
        let several = update.terms().len() > 1;
        for (index, ((strength, delta), tucker)) in update.terms().zip(update.tucker_terms()).enumerate() {
            let name = if several { joined(&prefix, &format!("term{index}")) } else { prefix.clone() };
            let (a, b) = match update.is_lora() {
                true => (Vec::new(), halves(delta.b(), ["", "lora_B", "lora_A"])),
                false => (
                    halves(delta.a(), ["lokr_w1", "lokr_w1_a", "lokr_w1_b"]),
                    halves(delta.b(), ["lokr_w2", "lokr_w2_a", "lokr_w2_b"]),
                ),
            };
            let term = Term { name, strength, delta, tucker, a, b };
            let delta = product(graph, &term);
            y = graph.node(&term.named("sum"), "Add", &[&y, &delta], Vec::new());
        }
    }
    y
}

/// `s·x·(A ⊗ B)ᵀ`, row by row `(s·A)·X·Bᵀ`: the product is not formed.
fn product<T: Scalar>(graph: &mut Graph, term: &Term<'_, T>, x: &str) -> Value {
    let ((m, n), (p, q)) = (term.delta.a().dim(), term.delta.b().dim());
    let mut y = graph.reshape(&term.named("unfolded"), x, &[0, n as i64, q as i64]);
    let b_first = n * cost(&term.b) + p * cost(&term.a) <= q * cost(&term.a) + m * cost(&term.b);
    for is_b in [b_first, !b_first] {
        if !is_b {
            y = term.apply_a(graph, y);
            continue;
        }
        // The right half meets x first, on either side.
        for (part, matrix) in term.b.iter().rev() {
            let constant = term.constant(graph, part, matrix.shape(), matrix);
            let name = term.named(&format!("{part}.transposed"));
            let transposed = graph.node(&name, "Transpose", &[&constant], Vec::new());
            y = graph.node(&term.named(&format!("{part}.applied")), "MatMul", &[&y, &transposed], Vec::new());
        }
    }
    graph.reshape(&term.named("delta"), &y, &[0, (m * p) as i64])
}

/// The stored matrices of a factor with their names, from left to right: the first of the names is that of a full one.
fn halves<'f, T: Scalar>(
    factor: &'f Factor<'_, T>,
    [full, left, right]: [&'static str; 3],
) -> Vec<(&'static str, ArrayView2<'f, T>)> {
    match factor {
        Factor::Full(_) => [full].into_iter().zip(factor.parts()).collect(),
        Factor::LowRank(_) => [left, right].into_iter().zip(factor.parts()).collect(),
    }
}

/// Multiplications for one column.
pub(crate) fn cost<T>(halves: &[(&str, ArrayView2<'_, T>)]) -> usize {
    halves.iter().map(|(_, matrix)| matrix.len()).sum()
}
