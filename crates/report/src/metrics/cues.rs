//! How far belief depends on the words that ask for the answer.
//!
//! For each further cue of a run: the mean total variation between belief under it and under the first cue, and the share of prefixes at
//! which both have the same most likely answer, by depth. What differs by the cue is of the readout, not of the reasoning.

use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::quantity::{Curve, QuestionMeans};
use crate::depth::{N_DEPTHS, last_prefix};
use crate::facts::TaskFacts;

/// One further cue against the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CueMetrics {
    /// The cue.
    pub cue: String,
    /// Mean total variation between the answer distributions, in [0, 1].
    pub distance: Curve,
    /// Share of prefixes with the same most likely answer.
    pub agreement: Curve,
}

/// Further cues in their order; `cues` are their texts.
pub(super) fn of(task: &TaskFacts, cues: &[String], resampling: &Resampling) -> Vec<CueMetrics> {
    let measured = |cue: u32| task.traces.iter().any(|trace| trace.cues.iter().any(|point| point.cue == cue));
    let numbered = (1_u32..).zip(cues).filter(|(number, _)| measured(*number));
    numbered.map(|(number, cue)| one(task, number, cue, resampling)).collect()
}

fn one(task: &TaskFacts, number: u32, cue: &str, resampling: &Resampling) -> CueMetrics {
    let mut means = QuestionMeans::new(task.n_questions, 2 * N_DEPTHS);
    for (trace, points) in task.measured() {
        let under: Vec<_> = trace.cues.iter().filter(|point| point.cue == number).collect();
        let steps = under.iter().filter_map(|at| points.iter().find(|point| point.step == at.step));
        let depths: Vec<f64> = steps.map(|point| point.depth).collect();
        if depths.is_empty() {
            continue;
        }
        for (column, i) in last_prefix(&depths).into_iter().enumerate() {
            means.add(trace.question, column, under[i].distance);
            means.add(trace.question, N_DEPTHS + column, if under[i].agrees { 1.0 } else { 0.0 });
        }
    }
    let mut distances = means.per_question().quantities(resampling);
    let agreements = distances.split_off(N_DEPTHS);
    let distances: Vec<_> = distances.into_iter().map(|distance| distance.within(0.0, 1.0)).collect();
    let agreements: Vec<_> = agreements.into_iter().map(|share| share.into_share(resampling.level)).collect();
    CueMetrics { cue: cue.to_string(), distance: Curve::of(&distances), agreement: Curve::of(&agreements) }
}

#[cfg(test)]
mod tests {
    use entrace_record::rows::{AnswerRow, Rows};

    use super::super::tests::{curve, trace};
    use super::super::{MetricOptions, Metrics};
    use super::*;
    use crate::depth::FINAL;
    use crate::synthetic;

    /// Answers A and B at one prefix of question `a`.
    fn answers(cue: u32, step: u32, probs: [f64; 2]) -> impl Iterator<Item = AnswerRow> {
        ["A", "B"].into_iter().zip(probs).map(move |(answer, prob)| AnswerRow {
            task: "t".into(),
            question_id: "a".into(),
            sample: 0,
            control: "none".into(),
            step,
            estimator: None,
            answer: answer.into(),
            prob,
            logprob: prob.ln(),
            cue: Some(cue),
        })
    }

    #[test]
    fn a_further_cue_is_set_against_the_first_and_changes_no_other_number() {
        let mut rows = Rows::default();
        rows.traces.push(trace("a", 0, Some(true)));
        rows.prefixes.extend(curve("a", 0, "none", &[(1.0, -1.0, "A"), (0.5, -0.6, "A"), (0.4, -0.5, "A")]));
        rows.answers.extend((0..3).flat_map(|step| answers(0, step, [0.75, 0.25])));
        let mut manifest = synthetic::manifest(&[("t", "choices", 1)]);
        let of = |manifest: &entrace_record::Manifest, rows: &Rows| {
            Metrics::of(manifest, rows, &MetricOptions::default()).tasks.swap_remove(0)
        };
        let alone = of(&manifest, &rows);
        assert!(alone.cues.is_empty());
        let mut under = curve("a", 0, "none", &[(0.1, -3.0, "B"), (0.1, -3.0, "A"), (0.1, -3.0, "A")]);
        under.iter_mut().for_each(|row| row.cue = Some(1));
        rows.prefixes.extend(under);
        rows.answers.extend(
            (0..3).flat_map(|step| answers(1, step, [[0.25, 0.75], [1.0, 0.0], [0.75, 0.25]][step as usize])),
        );
        manifest.settings.more_cues = vec!["\nSo:".to_string()];
        let both = of(&manifest, &rows);
        let [cue] = &both.cues[..] else { panic!("one further cue") };
        assert_eq!(cue.cue, "\nSo:");
        let at = |curve: &Curve| [0, 10, FINAL].map(|depth| curve.value[depth].unwrap());
        assert_eq!((at(&cue.distance), at(&cue.agreement)), ([0.5, 0.25, 0.0], [0.0, 1.0, 1.0]));
        assert_eq!(
            (both.entropy, both.information_gain, both.fano),
            (alone.entropy, alone.information_gain, alone.fano)
        );
    }
}
