//! Scratch memory that threads keep, so that steady work allocates nothing.

use std::cell::RefCell;
use std::thread::LocalKey;

use crate::scalar::{PerType, Scalar, per_type};

/// Bytes of a cache line, and of the widest registers.
pub(super) const LINE: usize = 64;

/// Buffers of one thread that nobody uses now.
type Pool<T> = RefCell<Vec<Vec<T>>>;

/// The pools of the calling thread, one for each element type.
struct Pools;

impl PerType for Pools {
    type Of<T: Scalar> = &'static LocalKey<Pool<T>>;

    fn f32(self) -> Self::Of<f32> {
        thread_local!(static POOL: Pool<f32> = const { RefCell::new(Vec::new()) });
        &POOL
    }

    fn f64(self) -> Self::Of<f64> {
        thread_local!(static POOL: Pool<f64> = const { RefCell::new(Vec::new()) });
        &POOL
    }
}

/// Runs `work` with `length` values of unspecified content, which begin with a cache line: registers that lie across
/// two lines are read at half the rate. The buffer belongs to the thread and is kept for its next use; a nested call
/// gets a buffer of its own.
pub(crate) fn with_scratch<T: Scalar, R>(length: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    let pool = per_type::<T, _>(Pools);
    let mut buffer = pool.with_borrow_mut(Vec::pop).unwrap_or_default();
    let line = LINE / size_of::<T>();
    if buffer.len() < length + line {
        buffer.resize(length + line, T::zero());
    }
    let start = buffer.as_ptr().align_offset(LINE).min(line);
    let result = work(&mut buffer[start..start + length]);
    pool.with_borrow_mut(|pool| pool.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_are_distinct_and_reused() {
        let outer = with_scratch(8, |a: &mut [f64]| {
            a.fill(1.0);
            with_scratch(8, |b: &mut [f64]| b.fill(2.0));
            assert_eq!(a, [1.0; 8]);
            a.as_ptr()
        });
        let again = with_scratch(4, |a: &mut [f64]| a.as_ptr());
        assert_eq!(outer, again);
        assert_eq!(outer.align_offset(LINE), 0);
    }
}
