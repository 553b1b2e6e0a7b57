//! Adapters as nodes, beside their bases.

use lokr_core::{Factor, Kron, Scalar};
use lokr_layers::{Adapter, DeltaPlacement, DoraAxis, LoKrUpdate};
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
            Ok(add_updates(graph, name, of, &x, y))
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
    Ok(add_updates(graph, name, of, &x, z))
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
            let whole = add_updates(graph, name, of, &x, product.clone());
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
            Ok(add_updates(graph, name, of, &through, z))
        }
    }
}

/// A base that is an adapter has names of its own; the others keep theirs, as in the network.
fn inner_name<T: Scalar>(name: &str, of: &dyn Adapter<T>) -> String {
    if of.base().as_adapter().is_some() { base_name(name) } else { name.to_owned() }
}

/// The updates that act beside the base, with what stands in front of their names.
fn active<T: Scalar>(of: &dyn Adapter<T>) -> impl Iterator<Item = (&str, &LoKrUpdate<T>)> {
    let acts = move |name: &str| !of.is_merged() && of.is_enabled(name).unwrap_or(false);
    of.updates().into_iter().filter(move |(name, _)| acts(name))
}

/// `y + x·ΔWᵀ`.
fn add_updates<T: Scalar>(graph: &mut Graph, name: &str, of: &dyn Adapter<T>, x: &str, mut y: Value) -> Value {
    for (own, update) in active(of) {
        let prefix = if own == "default" { name.to_owned() } else { joined(name, own) };
        let several = update.terms().len() > 1;
        for (index, (strength, delta)) in update.terms().enumerate() {
            let prefix = if several { joined(&prefix, &format!("term{index}")) } else { prefix.clone() };
            let delta = term(graph, &prefix, (strength, delta), x);
            y = graph.node(&joined(&prefix, "sum"), "Add", &[&y, &delta], Vec::new());
        }
    }
    y
}

/// `s·x·(A ⊗ B)ᵀ`, row by row `(s·A)·X·Bᵀ`: the product is not formed. What `s` multiplies is a constant, which engines
/// compute once.
fn term<T: Scalar>(graph: &mut Graph, name: &str, (strength, delta): (T, &Kron<'static, T>), x: &str) -> Value {
    let named = |part: &str| joined(name, part);
    let ((m, n), (p, q)) = (delta.a().dim(), delta.b().dim());
    let (a, b) = (halves(delta.a(), "lokr_w1"), halves(delta.b(), "lokr_w2"));
    let scaling = graph.number(&named("lokr_scaling"), strength);
    let mut y = graph.reshape(&named("unfolded"), x, &[0, n as i64, q as i64]);
    let b_first = n * cost(&b) + p * cost(&a) <= q * cost(&a) + m * cost(&b);
    for is_b in [b_first, !b_first] {
        // The right half meets x first, on either side.
        let side = if is_b { &b } else { &a };
        for (index, (part, matrix)) in side.iter().enumerate().rev() {
            let mut constant = graph.constant(&named(part), matrix.view());
            if !is_b && index == 0 {
                constant = graph.node(&named(&format!("{part}.scaled")), "Mul", &[&constant, &scaling], Vec::new());
            }
            y = if is_b {
                let transposed =
                    graph.node(&named(&format!("{part}.transposed")), "Transpose", &[&constant], Vec::new());
                graph.node(&named(&format!("{part}.applied")), "MatMul", &[&y, &transposed], Vec::new())
            } else {
                graph.node(&named(&format!("{part}.applied")), "MatMul", &[&constant, &y], Vec::new())
            };
        }
    }
    graph.reshape(&named("delta"), &y, &[0, (m * p) as i64])
}

/// The stored matrices of a factor with their names, from left to right.
fn halves<'f, T: Scalar>(factor: &'f Factor<'_, T>, name: &str) -> Vec<(String, ArrayView2<'f, T>)> {
    let several = matches!(factor, Factor::LowRank(_));
    let named = |suffix: &str| if several { format!("{name}_{suffix}") } else { name.to_owned() };
    factor.parts().zip(["a", "b"]).map(|(matrix, suffix)| (named(suffix), matrix)).collect()
}

/// Multiplications for one column.
fn cost<T>(halves: &[(String, ArrayView2<'_, T>)]) -> usize {
    halves.iter().map(|(_, matrix)| matrix.len()).sum()
}
