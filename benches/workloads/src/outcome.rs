//! Measurements: what one repetition gives, what is told of several, the table and the file.

use crate::machine::Machine;
use anyhow::{Context, Result};
use entrace_backend::Text;
use entrace_decoder::LanguageModel;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One repetition of a workload.
#[derive(Debug, Clone)]
pub(crate) struct Once {
    pub(crate) seconds: f64,
    /// Work that was done, in units.
    pub(crate) amount: f64,
    /// What the amount counts.
    pub(crate) unit: &'static str,
    /// Floating-point operations of the arithmetic floor; `None` where that means nothing.
    pub(crate) flop: Option<f64>,
    /// Further numbers by name.
    pub(crate) notes: BTreeMap<&'static str, f64>,
}

/// All repetitions of a workload.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    name: String,
    /// Of each repetition.
    seconds: Vec<f64>,
    best_seconds: f64,
    median_seconds: f64,
    amount: f64,
    unit: &'static str,
    seconds_per_unit: f64,
    units_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflop: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_sgemm: Option<f64>,
    peak_bytes: Option<u64>,
    notes: BTreeMap<&'static str, f64>,
}

impl Outcome {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), best_seconds: f64::INFINITY, ..Self::default() }
    }

    /// Rates are those of the best repetition.
    pub(crate) fn add(&mut self, once: Once, peak_bytes: Option<u64>) {
        self.seconds.push(once.seconds);
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        self.median_seconds = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
        self.peak_bytes = self.peak_bytes.max(peak_bytes);
        if once.seconds < self.best_seconds {
            self.best_seconds = once.seconds;
            (self.amount, self.unit) = (once.amount, once.unit);
            self.seconds_per_unit = once.seconds / once.amount;
            self.units_per_second = once.amount / once.seconds;
            self.gflop = once.flop.map(|flop| flop / 1e9);
            self.gflops = self.gflop.map(|gflop| gflop / once.seconds);
            self.notes = once.notes;
        }
    }
}

/// The model that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct ModelNote {
    name: String,
    architecture: String,
    n_parameters: u64,
    dtype: String,
    weight_bytes: u64,
    cache_bytes_per_token: usize,
}

impl ModelNote {
    pub(crate) fn of(model: &LanguageModel) -> Self {
        let info = model.info();
        let name = Path::new(&info.name).file_name().map(|name| name.to_string_lossy().into_owned());
        Self {
            name: name.unwrap_or_else(|| info.name.clone()),
            architecture: info.architecture.clone(),
            n_parameters: model.decoder().model().n_parameters(),
            dtype: info.dtype.clone(),
            weight_bytes: model.decoder().model().n_parameters() * if info.dtype == "f32" { 4 } else { 2 },
            cache_bytes_per_token: model.decoder().cache_bytes_per_token(),
        }
    }
}

/// Operations of one pass that runs `n_tokens` tokens through the layers and `n_heads` rows through the output head.
pub(crate) fn flop(model: &LanguageModel, n_tokens: usize, n_heads: usize) -> f64 {
    let spec = model.decoder().model().spec();
    let table = (spec.vocab_size * spec.hidden_size) as f64;
    let tables = if spec.tie_word_embeddings { table } else { 2.0 * table };
    let layers = model.decoder().model().n_parameters() as f64 - tables;
    2.0 * (layers * n_tokens as f64 + table * n_heads as f64)
}

/// Everything that a call of the program found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) model: Option<ModelNote>,
    pub(crate) outcomes: Vec<Outcome>,
    sgemm_gflops: Vec<f64>,
}

impl Results {
    pub(crate) fn see_sgemm(&mut self, gflops: f64) {
        self.sgemm_gflops.push(gflops);
    }

    /// Prints the table and writes the file.
    pub(crate) fn tell(mut self, json: Option<&Path>) -> Result<()> {
        let best = self.sgemm_gflops.iter().copied().fold(0.0, f64::max);
        for outcome in &mut self.outcomes {
            outcome.share_of_sgemm = outcome.gflops.filter(|_| best > 0.0).map(|gflops| gflops / best);
        }
        self.print(best);
        let Some(path) = json else { return Ok(()) };
        let file = serde_json::json!({
            "date": jiff::Zoned::now().date().to_string(),
            "entrace_version": env!("CARGO_PKG_VERSION"),
            "machine": Machine::look(),
            "model": self.model,
            "sgemm_gflops": {"best": best, "each": self.sgemm_gflops},
            "outcomes": self.outcomes,
        });
        std::fs::write(path, serde_json::to_string_pretty(&file)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    #[expect(clippy::print_stdout, reason = "the output of the command")]
    fn print(&self, sgemm: f64) {
        if let Some(model) = &self.model {
            println!("model {}: {} parameters, {}", model.name, model.n_parameters, model.dtype);
        }
        if sgemm > 0.0 {
            println!("sgemm {sgemm:.0} GFLOP/s on {} threads", rayon::current_num_threads());
        }
        println!(
            "{:<28} {:>9} {:>9} {:>22} {:>8} {:>7} {:>9}",
            "", "best s", "median s", "rate", "GFLOP/s", "share", "peak MiB"
        );
        for o in &self.outcomes {
            let rate = if ["tokens", "rows"].contains(&o.unit) {
                format!("{:.1} {}/s", o.units_per_second, o.unit)
            } else {
                format!("{:.4} s/{}", o.seconds_per_unit, o.unit)
            };
            let number = |value: Option<f64>, scale: f64, suffix: &str| {
                value.map_or_else(|| "-".to_string(), |value| format!("{:.0}{suffix}", value * scale))
            };
            println!(
                "{:<28} {:>9.3} {:>9.3} {:>22} {:>8} {:>7} {:>9}",
                o.name,
                o.best_seconds,
                o.median_seconds,
                rate,
                number(o.gflops, 1.0, ""),
                number(o.share_of_sgemm, 100.0, "%"),
                number(o.peak_bytes.map(|bytes| bytes as f64), 1.0 / 1048576.0, ""),
            );
            for (name, value) in &o.notes {
                println!("    {name}: {value:.4}");
            }
        }
    }
}
