//! What the program runs on, and how much memory it takes.
//!
//! Peak memory is the kernel's high-water mark of resident bytes, mapped weights included; it is set back before each workload. Where
//! there is no such mark (other systems than Linux) it is unknown.

use serde::Serialize;

/// Notes on the machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: Option<String>,
    /// Instruction sets beyond the baseline that matrix products use.
    features: Vec<&'static str>,
    n_threads: usize,
    memory_bytes: Option<u64>,
    system: &'static str,
}

impl Machine {
    pub(crate) fn look() -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            features: features(),
            n_threads: rayon::current_num_threads(),
            memory_bytes: field("/proc/meminfo", "MemTotal").and_then(|value| kibibytes(&value)),
            system: std::env::consts::OS,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    known.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

/// Sets the high-water mark back to what is resident now.
pub(crate) fn reset_peak() {
    // Where it cannot be set back the mark is that of the whole process, which is an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Most bytes that were resident since the mark was set back.
pub(crate) fn peak_bytes() -> Option<u64> {
    field("/proc/self/status", "VmHWM").and_then(|value| kibibytes(&value))
}

fn kibibytes(value: &str) -> Option<u64> {
    Some(value.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The first value of that name in a file of lines `name: value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}
