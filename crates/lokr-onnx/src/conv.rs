//! Convolutions as nodes, their adapters beside them where that is possible.

use lokr_core::Scalar;
use lokr_layers::{Form, LinearLayer, LoKrUpdate, Patches};
use ndarray::ArrayRef2;

use crate::activation;
use crate::adapter::{Term, active, add_updates, cost, inner_name};
use crate::check::{joined, unknown};
use crate::error::Result;
use crate::graph::{Attribute, Graph, Value};

/// The output of a convolution for the rows `x`, adapters included.
pub(crate) fn layer<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    linear: &dyn LinearLayer<T>,
    patches: &Patches,
    x: &str,
) -> Result<Value> {
    let z = match stays_apart(linear, patches) {
        true => apart(graph, name, linear, patches, x)?,
        false => convolution(graph, name, (linear, &linear.effective_weight()?), patches, x),
    };
    activation::activation::<T>(graph, name, linear.activation(), z)
}

/// Whether all that adapters add to a convolution can be written beside it.
fn stays_apart<T: Scalar>(linear: &dyn LinearLayer<T>, patches: &Patches) -> bool {
    match linear.form() {
        Form::Conv { .. } => true,
        Form::Shared(inner) => inner.as_linear().is_some_and(|inner| stays_apart(inner, patches)),
        Form::Adapter(of) => {
            let base = of.base().as_linear().is_some_and(|base| stays_apart(base, patches));
            base && active(of).all(|(_, update)| patches.groups() == 1 && is_sum_of_kernels(update, patches))
        }
        _ => false,
    }
}

/// Whether every `B` of an update is a kernel for some of the channels.
fn is_sum_of_kernels<T: Scalar>(update: &LoKrUpdate<T>, patches: &Patches) -> bool {
    let values = patches.kernel_values();
    let has_kernel = |delta: &lokr_core::Kron<'static, T>| delta.b().dim().1.is_multiple_of(values);
    let mut cores = update.tucker_terms().flatten();
    update.dora().is_none()
        && update.terms().all(|(_, delta)| has_kernel(delta))
        && cores.all(|factor| factor.kernel_values() == values)
}

/// The convolution and what is added to it, as rows, before the activation.
fn apart<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    linear: &dyn LinearLayer<T>,
    patches: &Patches,
    x: &str,
) -> Result<Value> {
    match linear.form() {
        Form::Shared(inner) => apart(graph, name, inner.as_linear().ok_or_else(|| unknown(name, inner))?, patches, x),
        Form::Adapter(of) => {
            let base = of.base().as_linear().ok_or_else(|| unknown(name, of.base()))?;
            let z = apart(graph, &inner_name(name, of), base, patches, x)?;
            Ok(add_updates(graph, name, of, z, &mut |graph, term| product(graph, term, patches, x)))
        }
        _ => Ok(convolution(graph, name, (linear, &linear.weight()), patches, x)),
    }
}

/// `weight ⋆ x + bias` for rows, with a weight `(out, channels/groups·K)`.
fn convolution<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    (linear, weight): (&dyn LinearLayer<T>, &ArrayRef2<T>),
    patches: &Patches,
    x: &str,
) -> Value {
    let out = weight.nrows();
    let weight = graph.shaped(&joined(name, "weight"), &patches.weight_shape(out), weight);
    let bias = linear.has_bias().then(|| graph.constant(&joined(name, "bias"), linear.bias()));
    let x = graph.reshape(&joined(name, "channels"), x, &shape(patches.channels(), patches.input()));
    let mut inputs = vec![x.as_str(), &weight];
    inputs.extend(bias.as_deref());
    let z = graph.node(&joined(name, "convolution"), "Conv", &inputs, settings(patches, patches.groups()));
    graph.reshape(&joined(name, "rows"), &z, &[0, (out * patches.places()) as i64])
}

/// What an update `A ⊗ B` adds to the convolution of rows, `(s·A)·(B ⋆ X)` with `B (p, q, kernel…)` on each of the `n`
/// parts of the channels; or, where that takes fewer multiplications, `B` on what `A` makes of them.
fn product<T: Scalar>(graph: &mut Graph, term: &Term<'_, T>, patches: &Patches, x: &str) -> Value {
    let ((m, n), (p, columns)) = (term.delta.a().dim(), term.delta.b().dim());
    let (places, q) = (patches.places(), columns / patches.kernel_values());
    let plane: usize = patches.input().iter().product();
    let (of_a, of_b) = (cost(&term.a), kernel_cost(term, patches));
    let y = if n * of_b + of_a * p * places <= of_a * q * plane + m * of_b {
        let y = apply_b(graph, term, patches, n, x);
        let y = graph.reshape(&term.named("parts"), &y, &[0, n as i64, (p * places) as i64]);
        term.apply_a(graph, y)
    } else {
        let y = graph.reshape(&term.named("unfolded"), x, &[0, n as i64, (q * plane) as i64]);
        let y = term.apply_a(graph, y);
        apply_b(graph, term, patches, m, &y)
    };
    graph.reshape(&term.named("delta"), &y, &[0, (m * p * places) as i64])
}

/// `B ⋆ Y` for each of so many parts `Y` of `q` channels: `(batch, parts·p, places…)` or `(batch, parts, p, places)`.
fn apply_b<T: Scalar>(graph: &mut Graph, term: &Term<'_, T>, patches: &Patches, parts: usize, y: &str) -> Value {
    let q = term.delta.b().dim().1 / patches.kernel_values();
    if let Some((core, a, b)) = term.tucker.map(|factor| factor.parts()) {
        let rank = b.nrows();
        let plane = patches.input().iter().product();
        let y = graph.reshape(&term.named("pixels"), y, &shape(parts, &[q, plane]));
        let right = term.constant(graph, "lokr_w2_b", b.shape(), b);
        let y = graph.node(&term.named("lokr_w2_b.applied"), "MatMul", &[&right, &y], Vec::new());
        let y = graph.reshape(&term.named("ranks"), &y, &shape(parts * rank, patches.input()));
        let core = term.constant(graph, "lokr_t2", &[&[rank, rank], patches.kernel()].concat(), core);
        let y = convolve(graph, term, "lokr_t2", (patches, parts), (&y, &core));
        let y = graph.reshape(&term.named("places"), &y, &shape(parts, &[rank, patches.places()]));
        let left = term.constant(graph, "lokr_w2_a", a.shape(), a);
        let left = graph.node(&term.named("lokr_w2_a.transposed"), "Transpose", &[&left], Vec::new());
        return graph.node(&term.named("lokr_w2_a.applied"), "MatMul", &[&left, &y], Vec::new());
    }
    let mut y = graph.reshape(&term.named("images"), y, &shape(parts * q, patches.input()));
    // The right half, or the whole factor, has the kernel.
    let mut matrices = term.b.iter().rev();
    if let Some((part, kernel)) = matrices.next() {
        let constant = term.constant(graph, part, &[&[kernel.nrows(), q], patches.kernel()].concat(), kernel);
        y = convolve(graph, term, part, (patches, parts), (&y, &constant));
    }
    for (part, left) in matrices {
        y = graph.reshape(&term.named("places"), &y, &shape(parts, &[left.ncols(), patches.places()]));
        let constant = term.constant(graph, part, left.shape(), left);
        y = graph.node(&term.named(&format!("{part}.applied")), "MatMul", &[&constant, &y], Vec::new());
    }
    y
}

/// The convolution of each of so many parts of the channels with the same kernel.
fn convolve<T: Scalar>(
    graph: &mut Graph,
    term: &Term<'_, T>,
    part: &str,
    (patches, parts): (&Patches, usize),
    (x, kernel): (&str, &str),
) -> Value {
    let repeated;
    let kernel = match parts {
        1 => kernel,
        _ => {
            let repeats: Vec<i64> = [parts as i64, 1].into_iter().chain(patches.kernel().iter().map(|_| 1)).collect();
            let repeats = graph.integers(&term.named(&format!("{part}.repeats")), &repeats);
            repeated = graph.node(&term.named(&format!("{part}.repeated")), "Tile", &[kernel, &repeats], Vec::new());
            &repeated
        }
    };
    graph.node(&term.named(&format!("{part}.applied")), "Conv", &[x, kernel], settings(patches, parts))
}

/// Multiplications of [`apply_b`] for one part.
fn kernel_cost<T: Scalar>(term: &Term<'_, T>, patches: &Patches) -> usize {
    let (places, plane) = (patches.places(), patches.input().iter().product::<usize>());
    match term.tucker.map(|factor| factor.parts()) {
        Some((core, a, b)) => b.len() * plane + (core.len() + a.len()) * places,
        None => cost(&term.b) * places,
    }
}

/// `(batch, channels, axes…)`.
fn shape(channels: usize, axes: &[usize]) -> Vec<i64> {
    [0, channels as i64].into_iter().chain(integers(axes)).collect()
}

fn integers(sizes: &[usize]) -> impl Iterator<Item = i64> {
    sizes.iter().map(|&size| size as i64)
}

fn settings(patches: &Patches, groups: usize) -> Vec<Attribute> {
    let padding = || integers(patches.padding());
    vec![
        Attribute::Ints("kernel_shape", integers(patches.kernel()).collect()),
        Attribute::Ints("strides", integers(patches.stride()).collect()),
        Attribute::Ints("pads", padding().chain(padding()).collect()),
        Attribute::Ints("dilations", integers(patches.dilation()).collect()),
        Attribute::Int("group", groups as i64),
    ]
}
