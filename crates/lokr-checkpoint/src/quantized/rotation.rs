//! Weights stored in another basis: groups of columns times a Hadamard matrix, which spreads large values (`ComfyUI`'s
//! `convrot`).

use lokr_core::Scalar;

/// Sizes of groups: powers of four that divide the blocks in which weights are worked on.
pub(super) const GROUPS: [usize; 4] = [4, 16, 64, 256];

/// Multiplies each group of a row by the regular Hadamard matrix of its size over the root of that: the Kronecker power
/// of
///
/// ```text
/// 1  1  1 −1
/// 1  1 −1  1
/// 1 −1  1  1
/// −1 1  1  1
/// ```
///
/// It is symmetric and its own inverse.
#[inline(always)]
pub(super) fn rotate<T: Scalar>(values: &mut [T], group: usize) {
    let half = T::from_f64_lossy(0.5);
    for group in values.chunks_exact_mut(group) {
        let mut stride = 1;
        while stride < group.len() {
            for block in group.chunks_exact_mut(4 * stride) {
                for i in 0..stride {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|n| block[i + n * stride]);
                    let sum = a + b + c + d;
                    // Each row of the matrix leaves one sign out: the sum less twice that one.
                    for (n, left_out) in [d, c, b, a].into_iter().enumerate() {
                        block[i + n * stride] = half * sum - left_out;
                    }
                }
            }
            stride *= 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_kronecker_power_and_its_own_inverse() {
        const H: [[f64; 4]; 4] =
            [[1.0, 1.0, 1.0, -1.0], [1.0, 1.0, -1.0, 1.0], [1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]];
        let x: Vec<f64> = (0..32).map(|i| f64::from(i * i % 23) - 7.0).collect();
        let mut y = x.clone();
        rotate(&mut y, 16);
        for (group, x) in x.chunks(16).enumerate() {
            for i in 0..16 {
                let right: f64 = (0..16).map(|j| H[i / 4][j / 4] * H[i % 4][j % 4] / 4.0 * x[j]).sum();
                assert!((y[16 * group + i] - right).abs() < 1e-12);
            }
        }
        rotate(&mut y, 16);
        assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 1e-12));
    }
}
