//! Scratch memory that threads keep, so that steady work allocates nothing.

use std::cell::RefCell;

/// Types with a scratch buffer per thread. A supertrait of the sealed [`crate::Scalar`].
pub trait Scratch: Sized {
    /// Runs `work` with `length` values of unspecified content. The buffer belongs to the thread and is kept for its
    /// next use; a nested call gets a buffer of its own.
    fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [Self]) -> R) -> R;
}

macro_rules! scratch {
    ($($float:ty),*) => {$(
        impl Scratch for $float {
            fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
                thread_local!(static POOL: RefCell<Vec<Vec<$float>>> = const { RefCell::new(Vec::new()) });
                let mut buffer = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
                if buffer.len() < length {
                    buffer.resize(length, 0.0);
                }
                let result = work(&mut buffer[..length]);
                POOL.with_borrow_mut(|pool| pool.push(buffer));
                result
            }
        }
    )*};
}

scratch!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_are_distinct_and_reused() {
        let outer = f64::with_scratch(8, |a| {
            a.fill(1.0);
            f64::with_scratch(8, |b| b.fill(2.0));
            assert_eq!(a, [1.0; 8]);
            a.as_ptr()
        });
        let again = f64::with_scratch(4, |a| a.as_ptr());
        assert_eq!(outer, again);
    }
}
