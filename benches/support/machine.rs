//! What is measured on.

use lokr::core::Backend;

/// Makes this thread one of the pool's, so that a call starts at once instead of waking a worker and waiting for it.
/// Not with a BLAS, which is called from outside the pool only.
pub fn join_pool() {
    if lokr::core::backend() == Backend::Embedded {
        let joined = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
        joined.expect("nothing has used the pool yet");
    }
}

/// One line that says what is measured on: backend and threads.
pub fn machine() -> String {
    format!("backend {}, {} rayon threads", lokr::core::backend(), rayon::current_num_threads())
}
