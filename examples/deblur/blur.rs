//! Blur along one axis, as a matrix. Of both axes it is the Kronecker product of two: `Y = A·X·Bᵀ`.

use ndarray::Array2;

/// What is beyond the edge of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The picture, mirrored. As many pixels come out as go in.
    Mirror,
    /// Something that is not known: only the pixels whose surroundings are in the picture come out.
    Unknown,
}

/// Convolution of `n` pixels with a Gaussian of standard deviation `sigma`, cut off at three of these.
pub fn gaussian(n: usize, sigma: f64, edge: Edge) -> Array2<f64> {
    let reach = (3.0 * sigma).ceil() as usize;
    let weight = |distance: usize| match distance {
        0 => 1.0, // without any blur, too
        _ => (-0.5 * (distance as f64 / sigma).powi(2)).exp(),
    };
    let total = weight(0) + 2.0 * (1..=reach).map(weight).sum::<f64>();
    // Pixel `i` of the blurred axis lies at pixel `i + offset` of the sharp one.
    let (rows, offset) = match edge {
        Edge::Mirror => (n, 0),
        Edge::Unknown => (n.saturating_sub(2 * reach), reach),
    };
    let mut blur = Array2::zeros((rows, n));
    for (i, mut row) in blur.rows_mut().into_iter().enumerate() {
        for k in 0..=2 * reach {
            let position = mirrored((i + offset + k) as isize - reach as isize, n as isize);
            row[position] += weight(k.abs_diff(reach)) / total;
        }
    }
    blur
}

/// The pixel from 0 to `n` that is seen at `position` in mirrors at both edges.
fn mirrored(position: isize, n: isize) -> usize {
    let position = position.rem_euclid(2 * n);
    position.min(2 * n - 1 - position) as usize
}
