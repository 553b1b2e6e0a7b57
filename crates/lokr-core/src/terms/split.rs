//! The inner product of two Kronecker products that split the same matrix in different ways.
//!
//! Row `r` of the matrix is row `r / p` of the first factor and `r % p` of the second. With another split it is `r /
//! p'` and `r % p'`. Between two neighbouring multiples of `p` or `p'` neither quotient changes and both remainders
//! count up; and all of that repeats after the least common multiple `L` of `p` and `p'`, with quotients that are
//! larger by `L / p` and `L / p'`. So the rows fall into a few pieces, the columns likewise, and for each pair of
//! pieces the sum of products is one inner product of parts of the second factors times one of parts of the first.
//!
//! Where one split refines the other, `L` is the larger of the two, and every value of a factor is used once: that is
//! the rule `⟨A ⊗ B, A' ⊗ B'⟩ = vec(A)ᵀ·R(A')·R(B)·vec(B')` with Van Loan's rearrangement `R`. Equal splits have one
//! piece. In the worst case `L` is the whole side, and all the elements of the matrix are met, but none is formed.

use ndarray::s;

use crate::operator::Kron;
use crate::sums::{Extended, dot};

/// `⟨A ⊗ B, C ⊗ D⟩` of products of equal shape; low-rank factors are formed.
pub(super) fn inner(k: &Kron<'_, f64>, l: &Kron<'_, f64>) -> Extended<f64> {
    let (of_k, of_l) = (k.shape(), l.shape());
    let (a, b, c, d) = (k.a().dense(), k.b().dense(), l.a().dense(), l.b().dense());
    let (rows, cols) = (pieces(of_k.p, of_l.p), pieces(of_k.q, of_l.q));
    let products = rows.iter().flat_map(|row| cols.iter().map(move |col| (row, col))).map(|(row, col)| {
        let ([a_row, c_row], [a_col, c_col]) = (&row.outer, &col.outer);
        let ([b_row, d_row], [b_col, d_col]) = (&row.inner, &col.inner);
        let outer = dot(
            a.slice(s![a_row.start..; a_row.step, a_col.start..; a_col.step]),
            c.slice(s![c_row.start..; c_row.step, c_col.start..; c_col.step]),
        );
        let (b, d) = (b.slice(s![b_row.clone(), b_col.clone()]), d.slice(s![d_row.clone(), d_col.clone()]));
        outer * dot(b, d)
    });
    products.sum()
}

/// Every `step`-th index from `start` on.
#[derive(Debug, PartialEq)]
struct Comb {
    start: usize,
    step: usize,
}

/// Rows (or columns) that repeat: which of the first factors, which of the second ones, of both products.
#[derive(Debug, PartialEq)]
struct Piece {
    outer: [Comb; 2],
    inner: [std::ops::Range<usize>; 2],
}

/// The pieces of one period, for second factors of these lengths.
fn pieces(p: usize, q: usize) -> Vec<Piece> {
    let period = least_common_multiple(p, q);
    let (mut start, mut pieces) = (0, Vec::new());
    while start < period {
        let length = (p - start % p).min(q - start % q);
        let comb = |inner: usize| Comb { start: start / inner, step: period / inner };
        let range = |inner: usize| start % inner..start % inner + length;
        pieces.push(Piece { outer: [comb(p), comb(q)], inner: [range(p), range(q)] });
        start += length;
    }
    pieces
}

/// Of two divisors of a side, so that the result is one too.
fn least_common_multiple(p: usize, q: usize) -> usize {
    let (mut divisor, mut rest) = (p, q);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    p / divisor * q
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::close;
    use lokr_testing::matrix;

    /// All splits of both sides, against each other.
    #[test]
    fn every_pair_of_splits_agrees_with_the_dense_elements() {
        let splits = |side: usize| (1..=side).filter(move |p| side.is_multiple_of(*p)).map(move |p| (side / p, p));
        for (height, width) in [(12, 6), (5, 12), (1, 30)] {
            let products: Vec<_> = splits(height)
                .flat_map(|rows| splits(width).map(move |cols| (rows, cols)))
                .zip(1..)
                .map(|(((m, p), (n, q)), seed)| Kron::new(matrix(m, n, seed), matrix(p, q, seed + 100)).unwrap())
                .collect();
            for k in &products {
                for l in &products {
                    close(inner(k, l).value(), (k.to_dense() * l.to_dense()).sum(), (height * width) as f64);
                }
            }
        }
    }

    #[test]
    fn splits_that_refine_each_other_have_few_pieces() {
        assert_eq!(pieces(6, 6).len(), 1);
        assert_eq!(pieces(12, 3).len(), 4);
        assert_eq!(pieces(2, 3).len(), 4); // 0..2, 2..3, 3..4, 4..6
        assert_eq!(
            pieces(2, 3)[2],
            Piece { outer: [Comb { start: 1, step: 3 }, Comb { start: 1, step: 2 }], inner: [1..2, 0..1] }
        );
    }
}
