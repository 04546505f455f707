//! Numbers against a run small enough to work out by hand, and runs in which little is defined.

use std::sync::Arc;

use entrace_record::manifest::TraceSource;
use entrace_record::rows::{AnswerRow, Outcome, PrefixRow, Rows, TokenRow, TraceRow};

use super::*;
use crate::depth::FINAL;
use crate::synthetic;

/// A trace of question `id`, correct or not, that was measured.
pub(super) fn trace(id: &str, sample: u32, correct: Option<bool>) -> TraceRow {
    TraceRow {
        task: "t".into(),
        question_id: id.into(),
        sample,
        question: "how many?".into(),
        choices: Some(r#"{"labels":["A","B","C","D"],"texts":["1","2","3","4"]}"#.into()),
        prompt: String::new(),
        completion: String::new(),
        target: correct.map(|_| "A".into()),
        answer: Some(if correct == Some(true) { "A".into() } else { "[invalid]".into() }),
        correct,
        stop_reason: Some("stop".into()),
        n_prompt_tokens: 10,
        n_trace_tokens: 40,
        n_steps: 2,
        outcome: Outcome::Measured,
        reason: None,
        lock_in_step: None,
        total_drop: None,
        monotone: None,
        n_violations: None,
        late_slope: None,
        wasted_tokens: None,
    }
}

/// A curve given as (entropy, target log-probability, leader) for each prefix.
pub(super) fn curve(id: &str, sample: u32, control: &str, points: &[(f64, f64, &str)]) -> Vec<PrefixRow> {
    let last = (points.len() - 1).max(1) as f64;
    let row = |(step, &(entropy, logprob, leader)): (usize, &(f64, f64, &str))| PrefixRow {
        task: "t".into(),
        question_id: id.into(),
        sample,
        control: control.into(),
        step: step as u32,
        n_tokens: 20 * step as u32,
        depth: if points.len() == 1 { 1.0 } else { step as f64 / last },
        estimator: "choices".into(),
        answer_entropy: entropy,
        entropy_lower: entropy,
        entropy_upper: entropy + 0.1,
        entropy_drop: None,
        target_logprob: Some(logprob),
        information_gain: Some(logprob - points[0].1),
        leader: leader.into(),
        leader_prob: 0.6,
        elicited_mass: Some(0.5),
        residual_mass: 0.0,
        n_samples: None,
        cue_entropy: None,
        answer_stated: None,
        target_stated: None,
        cue: Some(0),
    };
    points.iter().enumerate().map(row).collect()
}

/// Question a: two correct traces of one step; question b: a wrong one of two steps; a swapped control for a's first trace.
fn tiny() -> Rows {
    let mut rows = Rows::default();
    let monotone = |row: TraceRow, monotone, lock_in_step, wasted_tokens| TraceRow {
        n_steps: 1,
        monotone: Some(monotone),
        lock_in_step,
        wasted_tokens,
        total_drop: Some(0.5),
        ..row
    };
    rows.traces.push(monotone(trace("a", 0, Some(true)), true, Some(1), Some(10)));
    rows.traces.push(monotone(trace("a", 1, Some(true)), true, Some(0), Some(20)));
    rows.traces.push(TraceRow { monotone: Some(false), ..trace("b", 0, Some(false)) });
    let skipped = TraceRow {
        outcome: Outcome::Skipped,
        reason: Some("too long".into()),
        answer: None,
        ..trace("c", 0, None)
    };
    rows.traces.push(skipped);
    rows.prefixes.extend(curve("a", 0, "none", &[(1.0, -1.0, "A"), (0.5, -0.6, "A")]));
    rows.prefixes.extend(curve("a", 1, "none", &[(1.0, -1.0, "B"), (0.1, -0.2, "A")]));
    rows.prefixes.extend(curve("b", 0, "none", &[(1.2, -1.0, "B"), (0.8, -0.9, "A"), (0.6, -1.2, "B")]));
    rows.prefixes.extend(curve("a", 0, "swapped", &[(1.0, -1.0, "A"), (0.9, -1.1, "A")]));
    rows
}

fn of(rows: &Rows) -> TaskMetrics {
    let manifest = synthetic::manifest(&[("t", "choices", 3)]);
    Metrics::of(&manifest, rows, &MetricOptions::default()).tasks.swap_remove(0)
}

/// Two traces of one question that say the same, under sampling settings.
fn twins(temperature: f64, top_p: f64) -> TaskMetrics {
    let mut rows = tiny();
    for sample in 0..2 {
        rows.traces[sample].n_trace_tokens = 1;
        rows.tokens.push(TokenRow {
            task: "t".into(),
            question_id: "a".into(),
            sample: sample as u32,
            index: 0,
            step: 1,
            token_id: 7,
            text: "?".into(),
            logprob: Some(0.1f64.ln()),
            token_entropy: None,
            top2_margin: None,
            topk_confidence: None,
            uniform_divergence: None,
        });
    }
    let mut manifest = synthetic::manifest(&[("t", "choices", 3)]);
    let TraceSource::Generated { temperature: t, top_p: p, .. } = &mut manifest.settings.traces else {
        panic!("the traces are generated")
    };
    (*t, *p) = (temperature, top_p);
    Metrics::of(&manifest, &rows, &MetricOptions::default()).tasks.swap_remove(0)
}

#[test]
fn identical_traces_are_counted_against_what_chance_explains() {
    let found = twins(1.0, 1.0).duplicates.unwrap();
    assert_eq!((found.n_pairs, found.n_identical), (1, 1));
    assert_close(found.expected, 0.1);
    assert!(!found.are_suspicious(), "one pair, and 0.1 + 3 √0.1 > 1");
    let cut = twins(1.0, 0.9);
    assert_eq!(cut.duplicates.unwrap().expected, None);
    let sentence = crate::sentence::duplicates(&cut).unwrap();
    assert!(sentence.starts_with("1 of 1 pairs of traces of one question are identical:"), "{sentence}");
    assert_eq!(twins(0.0, 1.0).duplicates, None, "greedy traces are all alike");
}

fn assert_close(found: Option<f64>, expected: f64) {
    assert!(found.is_some_and(|f| (f - expected).abs() < 1e-12), "{found:?} is not {expected}");
}

#[test]
fn counts_have_denominators() {
    let counts = of(&tiny()).counts;
    assert_eq!(counts.questions_planned, Some(3));
    assert_eq!((counts.questions, counts.questions_measured), (3, 2));
    assert_eq!((counts.traces, counts.measured, counts.skipped, counts.failed), (4, 3, 1, 0));
    assert_eq!((counts.with_target, counts.correct, counts.wrong, counts.invalid), (3, 2, 1, 1));
    assert_eq!(counts.reasons.len(), 1);
    assert_eq!(counts.reasons[0].reason.as_deref(), Some("too long"));
}

#[test]
fn totals_are_sums_over_tasks() {
    let (mut manifest, rows) = synthetic::run(20, 1);
    manifest.settings.tasks[1].n_bad_lines = 2;
    let metrics = Metrics::of(&manifest, &rows, &MetricOptions::default());
    let expected = Totals {
        questions_planned: 40,
        questions: 40,
        bad_lines: 2,
        traces: 40,
        measured: 36,
        skipped: 2,
        failed: 2,
    };
    assert_eq!(metrics.totals(), expected);
    assert!(metrics.is_finished());
}

#[test]
fn questions_count_once_however_many_traces_they_have() {
    let task = of(&tiny());
    assert_close(task.accuracy.value, 0.5);
    assert_close(task.invalid_share.value, 0.5);
    assert_eq!((task.accuracy.n_questions, task.accuracy.n_traces), (2, 3));
    let entropy = &task.entropy;
    assert_close(entropy.all.value[0], (1.0 + 1.2) / 2.0);
    assert_close(entropy.all.value[10], (1.0 + 0.8) / 2.0);
    assert_close(entropy.all.value[FINAL], (0.3 + 0.6) / 2.0);
    assert_close(entropy.correct.value[FINAL], 0.3);
    assert_close(entropy.wrong.value[FINAL], 0.6);
    assert_close(task.entropy_gap.value[FINAL], 0.3);
    assert_close(task.entropy_upper[FINAL], 0.55);
    assert_eq!((entropy.correct.n_questions, entropy.correct.n_traces), (1, 2));
}

#[test]
fn answers_count_whether_or_not_their_traces_were_measured() {
    let mut rows = tiny();
    rows.traces[3].correct = Some(false);
    rows.traces[3].answer = Some("[invalid]".into());
    let task = of(&rows);
    assert_close(task.accuracy.value, 1.0 / 3.0);
    assert_close(task.invalid_share.value, 2.0 / 3.0);
    assert_eq!((task.accuracy.n_questions, task.accuracy.n_traces), (3, 4));
    assert_eq!((task.counts.correct, task.counts.wrong, task.counts.measured), (2, 1, 3));
    assert_eq!(task.separability.n_traces, 3);
}

#[test]
fn standard_errors_are_those_of_question_means() {
    let (manifest, rows) = synthetic::run(60, 5);
    let task = Metrics::of(&manifest, &rows, &MetricOptions::default()).tasks.swap_remove(0);
    let right: Vec<f64> = rows
        .traces
        .iter()
        .filter(|row| &*row.task == "arc_easy")
        .filter_map(|row| row.correct)
        .map(f64::from)
        .collect();
    let n = right.len() as f64;
    let expected = entrace_stats::summary::standard_deviation(&right).unwrap() / n.sqrt();
    let found = task.accuracy.standard_error.unwrap();
    // 2,000 replicates leave 1.6 % of noise.
    assert!((found / expected - 1.0).abs() < 0.08, "{found} {expected}");
    assert_eq!(task.entropy.all.standard_error.len(), task.entropy.all.value.len());
}

#[test]
fn intervals_of_few_questions_are_wide_and_within_range() {
    let (manifest, rows) = synthetic::run(4, 5);
    let task = Metrics::of(&manifest, &rows, &MetricOptions::default()).tasks.swap_remove(0);
    let entropy = task.entropy.all.at(FINAL);
    let half = entropy.high.unwrap() - entropy.value.unwrap();
    // t of three degrees of freedom.
    assert!((half / entropy.standard_error.unwrap() - 3.182).abs() < 0.001, "{entropy:?}");
    assert!(entropy.low.unwrap() >= 0.0);
    for share in [&task.accuracy, &task.lock_in.all.wasted_token_share] {
        assert!(share.low.unwrap() >= 0.0 && share.high.unwrap() <= 1.0, "{share:?}");
    }
}

#[test]
fn a_prefix_that_is_no_belief_fails_its_trace() {
    for (edit, column) in [
        ((|row| row.answer_entropy = f64::NAN) as fn(&mut PrefixRow), "answer_entropy"),
        (|row| row.entropy_upper = f64::INFINITY, "entropy_upper"),
        (|row| row.entropy_lower = f64::NAN, "entropy_lower"),
        (|row| row.depth = f64::NAN, "depth"),
        (|row| row.leader_prob = f64::NAN, "leader_prob"),
        (|row| row.residual_mass = f64::NAN, "residual_mass"),
    ] {
        let mut rows = tiny();
        edit(&mut rows.prefixes[0]);
        let task = of(&rows);
        assert_eq!((task.counts.measured, task.counts.failed), (2, 1), "{column}");
        let reason = format!("the record's {column} after step 0 is not finite");
        assert!(task.counts.reasons.iter().any(|r| r.reason.as_deref() == Some(&reason)), "{reason}");
        assert!(serde_json::to_string(&task).is_ok());
        let mut rows = tiny();
        edit(rows.prefixes.last_mut().unwrap());
        let task = of(&rows);
        assert!(task.counts.failed == 0 && task.control("swapped").is_none(), "{column}");
    }
}

#[test]
fn what_enumeration_left_open_is_told_at_both_ends() {
    let (manifest, mut rows) = synthetic::run(20, 5);
    let metrics = Metrics::of(&manifest, &rows, &MetricOptions::default());
    let ends = |task: &TaskMetrics| (task.mass.residual_first, task.mass.residual_last);
    assert_eq!(ends(&metrics.tasks[0]), (None, None));
    assert_close(metrics.tasks[1].mass.residual_first, 0.006);
    assert_close(metrics.tasks[1].mass.residual_last, 0.006);
    let page = crate::html::page(&metrics, &[], &Default::default()).unwrap();
    assert_eq!(page.matches("left 0.6 % of the probability unexplored").count(), 1);

    assert_eq!((metrics.tasks[0].mass.leader_open, metrics.tasks[1].mass.leader_open), (None, Some(0.0)));
    assert!(!page.contains("another may be more likely"));
    let is_of = |row: &PrefixRow| *row.task == *metrics.tasks[1].task && &*row.control == "none";
    let n = rows.prefixes.iter().filter(|row| is_of(row)).count();
    for row in rows.prefixes.iter_mut().filter(|row| is_of(row)).take(n / 2) {
        row.residual_mass = row.leader_prob + 0.01;
    }
    let metrics = Metrics::of(&manifest, &rows, &MetricOptions::default());
    assert_close(metrics.tasks[1].mass.leader_open, (n / 2) as f64 / n as f64);
    let page = crate::html::page(&metrics, &[], &Default::default()).unwrap();
    assert_eq!(page.matches("more was left unexplored than the most likely answer has").count(), 1);
}

#[test]
fn gain_and_net_gain_are_paired_by_question() {
    let task = of(&tiny());
    assert_close(task.information_gain.all.value[FINAL], (0.6 - 0.2) / 2.0);
    assert_close(task.information_gain.all.value[10], (0.0 + 0.1) / 2.0);
    let swapped = task.control("swapped").unwrap();
    assert_close(swapped.information_gain.value[FINAL], -0.1);
    assert_close(swapped.net_gain.value[FINAL], 0.6 + 0.1);
    assert_eq!(swapped.net_gain.n_questions, 1);
    assert!(swapped.net_gain.low[FINAL].is_none() && swapped.net_gain.reason.is_some());
}

#[test]
fn separability_ranks_traces() {
    let area = of(&tiny()).separability;
    assert_close(area.value[0], 1.0);
    assert_close(area.value[10], 0.0);
    assert_close(area.value[FINAL], 1.0);
    assert!(area.low[FINAL].is_none(), "one question with wrong traces gives no interval");
}

#[test]
fn lock_in_counts_tokens() {
    let task = of(&tiny());
    let lock_in = &task.lock_in.all;
    assert_eq!((lock_in.histogram[0], lock_in.histogram[9], lock_in.never), (1, 1, 1));
    assert_close(lock_in.median_depth, 0.5);
    assert_close(lock_in.share.value, 0.5);
    assert_close(lock_in.wasted_token_share.value, 30.0 / 120.0);
    assert_close(task.lock_in.wrong.wasted_token_share.value, 0.0);
    assert_close(task.descent.accuracy_monotone.value, 1.0);
    assert_close(task.descent.accuracy_not_monotone.value, 0.0);
    assert_close(task.descent.accuracy_difference.value, 1.0);
    assert_close(task.descent.total_drop.all.value, 0.5);
}

#[test]
fn fano_states_its_alphabet() {
    let fano = of(&tiny()).fano;
    assert_eq!(fano.alphabet, Some(Alphabet { size: 4, source: "listed options".into() }));
    assert_close(fano.mean_entropy[0], 1.1);
    assert_close(fano.weak_bound[0], (1.1 - std::f64::consts::LN_2) / 3_f64.ln());
    assert_eq!(fano.weak_bound[FINAL], None);
    assert_close(fano.forced_error.value[0], (0.5 + 1.0) / 2.0);
    assert_close(fano.forced_error.value[FINAL], 0.5);
    assert_close(fano.expected_error[FINAL], 0.4);
    let slack = fano.forced_error.value[0].unwrap() - fano.exact_bound[0].unwrap();
    assert_close(fano.slack[0], slack);
    assert!(fano.exact_bound[0] > fano.weak_bound[0]);
}

#[test]
fn masses_are_summarised_over_prefixes_of_the_traces_themselves() {
    let mass = of(&tiny()).mass;
    assert_eq!(mass.n_prefixes, 7);
    assert_close(mass.elicited.map(|s| s.median), 0.5);
    assert_close(mass.entropy_width.map(|s| s.max), 0.1);
}

#[test]
fn unlisted_answers_are_counted() {
    let mut rows = tiny();
    rows.traces.iter_mut().for_each(|row| row.choices = None);
    let answer = |name: &str| AnswerRow {
        task: "t".into(),
        question_id: "a".into(),
        sample: 0,
        control: "none".into(),
        step: 0,
        estimator: None,
        answer: name.into(),
        prob: 0.1,
        logprob: 0.1_f64.ln(),
        cue: Some(0),
    };
    rows.answers = vec![answer("A"), answer("E"), answer("[invalid]")];
    let alphabet = of(&rows).fano.alphabet.unwrap();
    assert_eq!(alphabet.size, 4, "A, B, E and what cannot be read");
}

#[test]
fn the_order_of_rows_changes_nothing() {
    let (manifest, rows) = synthetic::run(40, 3);
    let options = MetricOptions { replicates: 100, ..MetricOptions::default() };
    let forward = Metrics::of(&manifest, &rows, &options);
    let mut reversed = rows;
    reversed.traces.reverse();
    reversed.prefixes.reverse();
    let backward = Metrics::of(&manifest, &reversed, &options);
    assert_eq!(forward, backward);
}

#[test]
fn intervals_hold_their_values_and_json_returns_them() {
    let (manifest, rows) = synthetic::run(60, 5);
    let metrics = Metrics::of(&manifest, &rows, &MetricOptions::default());
    for task in &metrics.tasks {
        for curve in
            [&task.entropy.all, &task.entropy.correct, &task.information_gain.all, &task.separability]
        {
            for ((value, low), high) in curve.value.iter().zip(&curve.low).zip(&curve.high) {
                let (value, low, high) = (value.unwrap(), low.unwrap(), high.unwrap());
                assert!(low - 1e-12 <= value && value <= high + 1e-12, "{low} {value} {high}");
            }
        }
        assert!(task.information_gain.all.at(FINAL).is_above(0.0));
        assert!(task.control("swapped").unwrap().net_gain.at(FINAL).is_above(0.0));
        assert!(task.verdict.usable_information.is_above(0.0));
    }
    let json = serde_json::to_string(&metrics).unwrap();
    assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), metrics);
}

/// Names that other programs read; a change here is a change of `METRICS_VERSION`.
#[test]
fn field_names_are_stable() {
    let json = serde_json::to_value(Metrics::of(
        &synthetic::manifest(&[("t", "choices", 3)]),
        &tiny(),
        &MetricOptions::default(),
    ))
    .unwrap();
    let names = |value: &serde_json::Value| -> String {
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&json), "metrics_version unit options run depths tasks");
    let task = &json["tasks"][0];
    assert_eq!(
        names(task),
        "task estimator n_samples replicates counts accuracy invalid_share entropy entropy_lower entropy_upper entropy_gap \
         information_gain usable_information overconfidence_cost before_statement by_length rollouts controls separability lock_in descent statement duplicates fano verdict profile predict mass tokens"
    );
    assert_eq!(names(&task["accuracy"]), "value low high standard_error n_questions n_traces");
    assert_eq!(names(&task["entropy"]), "all correct wrong");
    assert_eq!(names(&task["controls"][0]), "control entropy information_gain net_gain usable_information");
    assert_eq!(
        task["separability"]["value"].as_array().unwrap().len(),
        json["depths"].as_array().unwrap().len()
    );
}

#[test]
fn a_perfect_separation_has_no_interval() {
    let mut rows = tiny();
    for number in 0..20 {
        let (id, correct) = (format!("d{number}"), number % 2 == 0);
        rows.traces.push(trace(&id, 0, Some(correct)));
        let last = if correct { 0.2 } else { 1.9 };
        rows.prefixes.extend(curve(&id, 0, "none", &[(0.4, -1.0, "A"), (last, -0.6, "A")]));
    }
    let area = of(&rows).separability;
    assert_close(area.value[FINAL], 1.0);
    assert_eq!((area.low[FINAL], area.standard_error[FINAL]), (None, None));
    assert!(area.low[10].is_some() || area.reason.is_some());
    assert!(area.at(FINAL).reason.unwrap().contains("interval"));
}

#[test]
fn few_of_a_verdict_have_an_area_without_interval() {
    let (manifest, mut rows) = synthetic::run(100, 5);
    let mut n = 0;
    for row in rows.traces.iter_mut().filter(|row| row.correct.is_some()) {
        n += 1;
        row.correct = Some(n % 40 == 1);
    }
    let task = Metrics::of(&manifest, &rows, &MetricOptions::default()).tasks.swap_remove(0);
    let area = task.separability.at(FINAL);
    assert!(area.value.is_some() && area.low.is_none() && area.standard_error.is_none());
    let reason = area.reason.unwrap();
    assert!(reason.starts_with("no interval: only 3 questions have traces of the rarer verdict"), "{reason}");
    assert!(task.predict.signals.iter().all(|signal| signal.p_value.is_none() && signal.holm_p.is_none()));
    assert!(task.predict.ranked().iter().all(|signal| signal.auroc.low.is_none() && signal.delong.is_none()));
    assert!(crate::sentence::best_signals(&task.predict).is_some());
    let manifest = Manifest { ..manifest };
    let report = crate::Report::of_rows(&manifest, &rows, &crate::ReportOptions::default()).unwrap();
    assert!(report.files.iter().all(|(_, text)| !text.contains("NaN")));
}

#[test]
fn nothing_measured_is_null_with_reasons() {
    let (manifest, _) = synthetic::run(1, 1);
    let metrics = Metrics::of(&manifest, &Rows::default(), &MetricOptions::default());
    assert_eq!(metrics.tasks.len(), 2);
    let task = &metrics.tasks[0];
    assert_eq!(task.counts.questions_planned, Some(1));
    assert_eq!(metrics.totals(), Totals { questions_planned: 2, ..Totals::default() });
    assert_eq!((task.accuracy.value, task.mass.n_prefixes), (None, 0));
    assert!(
        task.accuracy.reason.is_some() && task.fano.reason.is_some() && task.separability.reason.is_some()
    );
}

#[test]
fn without_targets_nothing_is_correct_or_wrong() {
    let mut rows = tiny();
    for row in &mut rows.traces {
        (row.target, row.correct) = (None, None);
    }
    for row in &mut rows.prefixes {
        (row.target_logprob, row.information_gain) = (None, None);
    }
    let task = of(&rows);
    assert_close(task.entropy.all.value[FINAL], 0.45);
    assert!(!task.entropy.wrong.is_defined() && !task.information_gain.all.is_defined());
    assert!(task.accuracy.value.is_none() && task.fano.alphabet.is_none());
}

#[test]
fn one_verdict_has_no_separability_and_an_honest_interval() {
    let mut rows = tiny();
    for row in &mut rows.traces {
        row.correct = row.target.as_ref().map(|_| true);
    }
    let task = of(&rows);
    assert_close(task.accuracy.value, 1.0);
    assert!(task.accuracy.low.is_some_and(|low| low < 0.5), "two questions show little");
    assert_eq!(task.separability.value[0], None);
    assert!(task.separability.reason.is_some() && task.entropy_gap.reason.is_some());
}

#[test]
fn an_infinite_gain_leaves_its_trace_out_of_g() {
    let mut rows = tiny();
    rows.prefixes[1].information_gain = Some(f64::NEG_INFINITY);
    let task = of(&rows);
    assert_eq!(task.information_gain.all.n_traces, 2);
    assert_close(task.information_gain.all.value[FINAL], (0.8 - 0.2) / 2.0);
}

#[test]
fn many_questions_are_resampled_less_often() {
    let options = MetricOptions::default();
    assert_eq!(resampling(&options, 1_319).replicates, 2_000);
    assert_eq!(resampling(&options, 20_000).replicates, 400);
    assert_eq!(resampling(&MetricOptions { replicates: 50, ..options }, 20_000).replicates, 50);
}

/// Set to a number of questions, prints how long metrics of so large a run take: 20 prefixes, 40 answers and 40 tokens of each.
#[test]
fn large_runs_take_seconds() {
    let Some(n) = std::env::var("ENTRACE_REPORT_SCALE").ok().and_then(|n| n.parse::<usize>().ok()) else {
        println!("skipped: ENTRACE_REPORT_SCALE is not set to a number of questions");
        return;
    };
    let (manifest, rows) = large(n);
    let start = std::time::Instant::now();
    let mut collector = Collector::new(&manifest);
    collector.add_rows(&rows);
    let tasks = collector.finish();
    println!("{} prefixes of {n} traces, collected: {:?}", rows.prefixes.len(), start.elapsed());
    drop(rows);
    let metrics = Metrics::of_tasks(&manifest, &tasks, &MetricOptions::default());
    println!("metrics, verdict and prediction as well: {:?}", start.elapsed());
    assert_eq!(metrics.tasks[0].counts.questions, n);
    assert!(metrics.tasks[0].predict.combined.auroc.value.is_some());
}

fn large(n_questions: usize) -> (Manifest, Rows) {
    let mut rows = Rows::default();
    let mut random = synthetic::Random::new(1);
    let answers = ["A", "B", "C", "D"];
    for question in 0..n_questions {
        let id: Arc<str> = question.to_string().into();
        rows.traces.push(trace(&id, 0, Some(random.uniform() < 0.6)));
        for control in ["none", "swapped"] {
            let points: Vec<(f64, f64, &str)> = (0..10)
                .map(|_| {
                    (1.3 * random.uniform(), -random.uniform(), answers[(4.0 * random.uniform()) as usize])
                })
                .collect();
            rows.prefixes.extend(curve(&id, 0, control, &points));
        }
        for (step, answer) in (0..10).flat_map(|step| answers.map(|answer| (step, answer))) {
            let control = "none".into();
            let (prob, logprob) = (0.25, 0.25_f64.ln());
            let (task, answer) = ("t".into(), answer.into());
            rows.answers.push(AnswerRow {
                task,
                question_id: id.clone(),
                sample: 0,
                control,
                step,
                estimator: None,
                answer,
                prob,
                logprob,
                cue: Some(0),
            });
        }
        for index in 0..40 {
            rows.tokens.push(TokenRow {
                task: "t".into(),
                question_id: id.clone(),
                sample: 0,
                index,
                step: 1 + index / 20,
                token_id: 1,
                text: String::new(),
                logprob: Some(-random.uniform()),
                token_entropy: Some(random.uniform()),
                top2_margin: None,
                topk_confidence: None,
                uniform_divergence: None,
            });
        }
    }
    (synthetic::manifest(&[("t", "choices", n_questions)]), rows)
}
