//! Columns that are read in the background, after a run has been opened.
//!
//! In this order: beginnings of questions, numbers of beliefs with the small curves, signals, entropies of tokens; then the hashes of the
//! tables are checked. Each row group is read once and forgotten. A table that is damaged ends the reading; the page says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use entrace_record::tables::{PrefixHead, TokenHead};
use entrace_record::{Error, RunReader, Tables};
use serde::Serialize;

use crate::index::{CURVE_POINTS, Column, Curve, Index, NO_POINT, single};
use crate::texts::{Texts, beginning};

/// Bytes for the beginnings of all questions of a run; each has at least `LEAST_BEGINNING` and at most `MOST_BEGINNING`.
const QUESTION_BYTES: usize = 64 << 20;
const LEAST_BEGINNING: usize = 80;
const MOST_BEGINNING: usize = 2000;

/// Most signals of a run that become columns.
const MOST_SIGNALS: usize = 64;

/// How far the reading is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Progress {
    /// What is being read; absent when all is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reading: Option<&'static str>,
    /// Share of it, from 0 to 1.
    pub(crate) share: f64,
    /// What stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// The reading of one run.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    progress: Mutex<Progress>,
    stop: AtomicBool,
}

/// Why the reading ended early.
enum End {
    Stopped,
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Filling {
    pub(crate) fn begun() -> Self {
        let progress = Progress { reading: Some("questions"), ..Progress::default() };
        Self { progress: Mutex::new(progress), stop: AtomicBool::new(false) }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the reading after the row group at hand.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Reads everything. `tables` are its own, so that nobody who looks at a trace waits for it.
    pub(crate) fn fill(&self, reader: &RunReader, tables: &Tables, index: &Index) {
        let end = self.read_all(reader, tables, index);
        let problem = match end {
            Err(End::Failed(error)) => Some(error.to_string()),
            _ => None,
        };
        self.tell(Progress { problem, ..Progress::default() });
    }

    /// Notes what kept the reading from beginning.
    pub(crate) fn fail(&self, error: &Error) {
        self.tell(Progress { problem: Some(error.to_string()), ..Progress::default() });
    }

    fn tell(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    fn read_all(&self, reader: &RunReader, tables: &Tables, index: &Index) -> Result<(), End> {
        let mut questions = Texts::default();
        let most = (QUESTION_BYTES / index.len().max(1)).clamp(LEAST_BEGINNING, MOST_BEGINNING);
        self.each("questions", tables.questions(), |question| {
            questions.push(Some(beginning(&question, most)));
        })?;
        questions.shrink();
        let _ = index.questions.set(questions);

        let mut beliefs = Beliefs::new(index);
        let settings = &reader.manifest().settings;
        self.each("beliefs", tables.prefix_heads(), |row| {
            if &*row.control == "none" && row.cue.unwrap_or(0) == 0 && !settings.is_beside(&row.estimator) {
                beliefs.add(&row);
            }
        })?;
        beliefs.finish();

        let mut signals: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        let mut near = 0;
        self.each("signals", tables.signals(), |row| {
            if signals.len() == MOST_SIGNALS && !signals.contains_key(&*row.signal) {
                return;
            }
            let Some(number) = index.find(near, &row.task, &row.question_id, row.sample) else { return };
            near = number;
            let values = signals.entry(row.signal.to_string()).or_insert_with(|| vec![f32::NAN; index.len()]);
            values[number as usize] = single(row.value);
        })?;
        for (name, values) in signals {
            index.add(Column::new(&format!("signal:{name}"), &name, values));
        }

        let mut means = TokenMeans::new(index);
        self.each("tokens", tables.token_heads(), |row| means.add(&row))?;
        index.add(Column::new("token_entropy", "mean token entropy", means.finish()));

        self.tell(Progress { reading: Some("hashes"), ..Progress::default() });
        reader.verify()?;
        Ok(())
    }

    /// Reads a table.
    fn each<R>(
        &self,
        reading: &'static str,
        groups: impl ExactSizeIterator<Item = Result<Vec<R>, Error>>,
        mut row: impl FnMut(R),
    ) -> Result<(), End> {
        let n = groups.len();
        for (done, group) in groups.enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(End::Stopped);
            }
            self.tell(Progress { reading: Some(reading), share: done as f64 / n as f64, problem: None });
            group?.into_iter().for_each(&mut row);
        }
        Ok(())
    }
}

/// Numbers of the last belief of each trace, and its small curve.
struct Beliefs<'a> {
    index: &'a Index,
    gain: Vec<f32>,
    entropy: Vec<f32>,
    prob: Vec<f32>,
    curves: Vec<Curve>,
    /// The trace at hand, and its entropies by depth.
    at: Option<u32>,
    points: Vec<(f64, f64)>,
}

impl<'a> Beliefs<'a> {
    fn new(index: &'a Index) -> Self {
        let none = || vec![f32::NAN; index.len()];
        let curves = vec![[NO_POINT; CURVE_POINTS]; index.len()];
        Self { index, gain: none(), entropy: none(), prob: none(), curves, at: None, points: Vec::new() }
    }

    fn add(&mut self, row: &PrefixHead) {
        let near = self.at.unwrap_or(0);
        let Some(number) = self.index.find(near, &row.task, &row.question_id, row.sample) else { return };
        if self.at != Some(number) {
            self.draw();
            self.at = Some(number);
        }
        self.points.push((row.depth, row.answer_entropy));
        let is_last = self.points.iter().all(|(depth, _)| *depth <= row.depth);
        if is_last {
            let at = number as usize;
            self.gain[at] = single(row.information_gain);
            self.entropy[at] = single(Some(row.answer_entropy));
            self.prob[at] = single(Some(row.leader_prob));
        }
    }

    /// Draws the curve of the trace at hand.
    fn draw(&mut self) {
        if let Some(number) = self.at {
            self.curves[number as usize] = curve(&mut self.points);
        }
        self.points.clear();
    }

    fn finish(mut self) {
        self.draw();
        let _ = self.index.curves.set(self.curves);
        self.index.add(Column::new("gain", "gain (nats)", self.gain));
        self.index.add(Column::new("final_entropy", "final entropy (nats)", self.entropy));
        self.index.add(Column::new("final_prob", "final probability", self.prob));
    }
}

/// Entropies at even depths, straight between those that were measured.
fn curve(points: &mut [(f64, f64)]) -> Curve {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    std::array::from_fn(|i| {
        let depth = i as f64 / (CURVE_POINTS - 1) as f64;
        let after = points.partition_point(|point| point.0 < depth);
        let entropy = match (after.checked_sub(1).and_then(|before| points.get(before)), points.get(after)) {
            (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (depth - a.0) / (b.0 - a.0),
            (Some(only), None) | (None, Some(only)) => only.1,
            (None, None) => return NO_POINT,
        };
        if entropy.is_finite() { (entropy * 32.0).clamp(0.0, 254.0) as u8 } else { NO_POINT }
    })
}

/// The mean entropy of the tokens of each trace.
struct TokenMeans<'a> {
    index: &'a Index,
    near: u32,
    sums: Vec<f32>,
    counts: Vec<u32>,
}

impl<'a> TokenMeans<'a> {
    fn new(index: &'a Index) -> Self {
        Self { index, near: 0, sums: vec![0.0; index.len()], counts: vec![0; index.len()] }
    }

    fn add(&mut self, row: &TokenHead) {
        let Some(entropy) = row.token_entropy else { return };
        let Some(number) = self.index.find(self.near, &row.task, &row.question_id, row.sample) else {
            return;
        };
        self.near = number;
        self.sums[number as usize] += entropy as f32;
        self.counts[number as usize] += 1;
    }

    fn finish(mut self) -> Vec<f32> {
        for (sum, count) in self.sums.iter_mut().zip(&self.counts) {
            *sum = if *count == 0 { f32::NAN } else { *sum / *count as f32 };
        }
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_curves_go_straight_between_points() {
        let at = |points: &[(f64, f64)], i: usize| curve(&mut points.to_vec())[i];
        let line = [(0.0, 2.0), (1.0, 0.0)];
        assert_eq!((at(&line, 0), at(&line, CURVE_POINTS - 1)), (64, 0));
        assert!((30..=34).contains(&at(&line, 7)));
        assert_eq!(curve(&mut []), [NO_POINT; CURVE_POINTS]);
        assert_eq!(at(&[(0.0, f64::NAN)], 3), NO_POINT);
        assert_eq!(at(&[(0.5, 1e9)], 3), 254);
    }
}
