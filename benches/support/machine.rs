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

/// One line that says what is measured on: processor, caches, backend and threads.
pub fn machine() -> String {
    let details = lokr::core::backend_details();
    let threads = rayon::current_num_threads();
    let mut line = format!("{}; backend {details}; {threads} rayon threads", processor());
    if let Some(advice) = details.advice {
        line.push_str(&format!("; note: {advice}"));
    }
    line
}

/// The processor's name and the sizes of its caches, as far as the system tells them.
pub fn processor() -> String {
    let name = read("/proc/cpuinfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(':').map(|(_, name)| name.trim().to_owned())
    });
    let caches = (0..8).filter_map(|index| {
        let of_cache = |what: &str| read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{what}"));
        let (level, size, kind) = (of_cache("level")?, of_cache("size")?, of_cache("type")?);
        (kind != "Instruction").then(|| format!("L{level} {size}"))
    });
    let parts: Vec<String> = name.into_iter().chain(caches).collect();
    if parts.is_empty() { std::env::consts::ARCH.to_owned() } else { parts.join(", ") }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
