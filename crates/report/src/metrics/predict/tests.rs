//! Prediction on runs where the answer is known: signals that say everything, nothing or the opposite, and tasks with nothing to predict.

use entrace_record::rows::{Rows, SignalRow};
use entrace_stats::Level;

use super::*;
use crate::collect::Collector;
use crate::synthetic;

fn predict(rows: &Rows) -> PredictMetrics {
    let mut collector = Collector::new(&synthetic::manifest(&[]));
    collector.add_rows(rows);
    of(&collector.finish()[0], &Resampling { replicates: 100, seed: 3, level: Level::P95 })
}

fn arc(n_questions: usize) -> Rows {
    let (_, mut rows) = synthetic::run(n_questions, 11);
    rows.traces.retain(|row| &*row.task == "arc_easy");
    rows
}

fn signal<'a>(predict: &'a PredictMetrics, name: &str) -> &'a SignalMetrics {
    predict.signals.iter().find(|signal| signal.signal == name).unwrap()
}

#[test]
fn every_signal_has_a_score_or_a_reason() {
    let predict = predict(&arc(120));
    assert_eq!(predict.signals.len(), SIGNALS.len());
    for signal in &predict.signals {
        assert_eq!(signal.auroc.value.is_none(), signal.absent.is_some(), "{}", signal.signal);
        assert_eq!(signal.n_traces == 0, signal.absent.is_some(), "{}", signal.signal);
    }
    let present = predict.signals.iter().filter(|s| s.absent.is_none()).count();
    assert_eq!(present, 24);
    assert_eq!(
        signal(&predict, "p_true").absent.as_deref(),
        Some("the probability of \"true\" (signals p_true) not recorded")
    );
    let self_consistency = signal(&predict, "self_consistency").absent.as_deref();
    assert_eq!(self_consistency, Some("the agreement of sampled traces not recorded"));
}

#[test]
fn what_tables_hold_beside_the_curve_is_scored() {
    let mut rows = arc(40);
    for (n, token) in rows.tokens.iter_mut().enumerate() {
        token.top2_margin = Some(0.1 * (n % 7) as f64);
        token.topk_confidence = Some(10.0 + (n % 5) as f64);
        token.uniform_divergence = Some(5.0 + (n % 3) as f64);
    }
    rows.prefixes.iter_mut().for_each(|prefix| prefix.cue_entropy = Some(2.0 - prefix.depth));
    let measured = rows.traces.iter().enumerate().map(|(n, trace)| SignalRow {
        task: trace.task.clone(),
        question_id: trace.question_id.clone(),
        sample: trace.sample,
        signal: "depth_drift".into(),
        value: (n % 4 > 0).then_some(n as f64),
        reason: (n % 4 == 0).then(|| "too long".into()),
    });
    rows.signals = measured.collect();
    let predict = predict(&rows);
    for name in ["mean_top2_margin", "deepconf_tail", "self_certainty", "cue_entropy"] {
        assert_eq!(signal(&predict, name).n_traces, predict.n_traces, "{name}");
    }
    let drift = signal(&predict, "depth_drift");
    assert!(drift.n_traces > 0 && drift.n_traces < predict.n_traces && drift.negated);
    assert!(signal(&predict, "lens_entropy").absent.as_deref().unwrap().contains("signals layers"));
}

#[test]
fn the_answer_at_the_end_predicts_and_random_tokens_do_not() {
    let predict = predict(&arc(150));
    let entropy = signal(&predict, "final_answer_entropy");
    assert!(entropy.auroc.low.unwrap() > 0.6, "{:?}", entropy.auroc);
    assert!(entropy.holm_p.unwrap() < 0.01 && entropy.p_value <= entropy.holm_p);
    assert!(entropy.prr.unwrap() > 0.2 && entropy.aurc_excess.unwrap() < 0.2);
    let (low, high) = entropy.delong.unwrap();
    assert!(
        (low - entropy.auroc.low.unwrap()).abs() < 1e-9 && (high - entropy.auroc.high.unwrap()).abs() < 1e-9
    );
    let tokens = signal(&predict, "mean_token_entropy");
    assert!((tokens.auroc.value.unwrap() - 0.5).abs() < 0.2, "{:?}", tokens.auroc);
    assert!(tokens.holm_p.unwrap() > 0.05);
    let top = signal(&predict, "top_answer_prob");
    assert!(top.probability.is_some() && entropy.probability.is_none());
    let (isotonic, platt) = (entropy.isotonic.unwrap(), entropy.platt.unwrap());
    assert!(isotonic.n_traces < predict.n_traces && platt.brier < platt.uncertainty, "{platt:?}");
}

/// Scores from rows are those of the signals on the same trace in memory.
#[test]
fn scores_from_rows_are_those_of_the_trace() {
    let rows = arc(12);
    let mut collector = Collector::new(&synthetic::manifest(&[]));
    collector.add_rows(&rows);
    let task = &collector.finish()[0];
    let trace = task.traces.iter().find(|trace| trace.correct.is_some()).unwrap();
    let score = |name: &str| {
        let position = SIGNALS.iter().position(|signal| signal.name == name).unwrap();
        trace.scores.get(position).unwrap()
    };
    let prefixes: Vec<_> = rows
        .prefixes
        .iter()
        .filter(|p| &*p.task == "arc_easy" && p.question_id == trace.question_id && &*p.control == "none")
        .collect();
    let (first, last) = (prefixes[0], prefixes[prefixes.len() - 1]);
    assert!((score("total_drop") - (first.answer_entropy - last.answer_entropy)).abs() < 1e-12);
    assert!((score("top_answer_prob") - last.leader_prob).abs() < 1e-12);
    let switches = prefixes.windows(2).filter(|w| w[0].leader != w[1].leader).count();
    assert!((score("leader_switches") + switches as f64).abs() < 1e-12);
    let tokens: Vec<f64> = rows
        .tokens
        .iter()
        .filter(|t| &*t.task == "arc_easy" && t.question_id == trace.question_id)
        .filter_map(|t| t.logprob)
        .collect();
    assert!((score("sequence_logprob") - tokens.iter().sum::<f64>()).abs() < 1e-9);
    assert!(score("mean_step_entropy_sum") < score("mean_token_entropy"));
}

#[test]
fn agreement_needs_two_traces_of_a_question() {
    let mut rows = arc(40);
    let again: Vec<_> =
        rows.traces.iter().cloned().map(|row| entrace_record::rows::TraceRow { sample: 1, ..row }).collect();
    rows.traces.extend(again);
    let predict = predict(&rows);
    let agreement = signal(&predict, "self_consistency");
    assert!(agreement.absent.is_none() && agreement.probability.is_some() && agreement.delong.is_none());
    assert!(agreement.auroc.n_questions * 2 == agreement.auroc.n_traces);
}

#[test]
fn the_combination_is_judged_out_of_fold() {
    let combined = predict(&arc(200)).combined;
    assert!(combined.auroc.low.unwrap() > 0.55, "{combined:?}");
    assert!(combined.signals.len() > 10 && combined.lambdas.len() == 5);
    assert!(combined.difference.value.is_some() && combined.calibration.is_some());
    let few = predict(&arc(30)).combined;
    assert!(few.auroc.value.is_none() && few.reason.unwrap().contains("20 traces"));
}

/// Labels that have nothing to do with the scores: the combination finds nothing in 25 signals either.
#[test]
fn nothing_is_predicted_where_nothing_is_to_predict() {
    let mut random = synthetic::Random::new(8);
    let mut rows = arc(200);
    rows.traces.iter_mut().for_each(|row| row.correct = row.correct.map(|_| random.uniform() < 0.5));
    let predict = predict(&rows);
    assert!(predict.signals.iter().filter_map(|s| s.holm_p).all(|p| p > 0.01));
    assert!(predict.combined.auroc.low.unwrap() < 0.5, "{:?}", predict.combined.auroc);
}

#[test]
fn one_class_has_no_areas() {
    let mut rows = arc(40);
    rows.traces.iter_mut().for_each(|row| row.correct = row.correct.map(|_| true));
    let predict = predict(&rows);
    assert_eq!(predict.reason.as_deref(), Some("all traces are correct"));
    assert!(predict.ranked().is_empty() && predict.combined.reason.is_some());
    let reason = predict.signals[0].auroc.reason.as_deref().unwrap();
    assert!(reason.contains("one class"), "{reason}");
    rows.traces.clear();
    let mut collector = Collector::new(&synthetic::manifest(&[("t", "choices", 0)]));
    collector.add_rows(&rows);
    let empty = of(&collector.finish()[0], &Resampling::default());
    assert_eq!(empty.reason.as_deref(), Some("no measured trace has a known verdict"));
}

/// Labels that have nothing to do with the scores, of which a quarter is wrong: areas of the combination lie around one half.
#[test]
fn noise_is_combined_to_chance() {
    let mut rows = arc(120);
    let mut areas = Vec::new();
    for seed in 0..12 {
        let mut random = synthetic::Random::new(seed);
        rows.traces.iter_mut().for_each(|row| row.correct = row.correct.map(|_| random.uniform() < 0.75));
        let combined = predict(&rows).combined;
        areas.push(combined.auroc.value.unwrap());
        assert!(combined.auroc.high.unwrap() > 0.45, "{combined:?}");
    }
    // Twelve areas of standard deviation 0.08: a mean 0.07 away from one half has probability 0.003.
    let mean = entrace_stats::summary::mean(&areas).unwrap();
    assert!((mean - 0.5).abs() < 0.07, "{areas:?}");
}

#[test]
fn the_best_signals_have_their_signs() {
    let mut predict = predict(&arc(60));
    predict.signals.retain(|signal| signal.signal == "final_answer_entropy");
    let sentence = crate::sentence::best_signals(&predict).unwrap();
    assert!(sentence.contains(": −final_answer_entropy 0."), "{sentence}");
}
