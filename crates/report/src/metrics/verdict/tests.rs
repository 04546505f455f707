//! Findings where the truth is known: rates over hundreds of seeded worlds, and the conditions of each finding.
//!
//! A world has questions with four answers and traces of four steps, one for each question, with a swapped control. Rates are held
//! against binomial bounds; each test states the probability with which it would fail by chance for other seeds. The seeds are fixed.

use std::sync::Arc;

use entrace_record::rows::{AnswerRow, Outcome, PrefixRow, Rows, TraceRow};
use entrace_stats::Level;

use super::*;
use crate::Metrics;
use crate::collect::Collector;
use crate::synthetic::{self, Random};

const ANSWERS: [&str; 5] = ["A", "B", "C", "D", "[invalid]"];
const STEPS: usize = 4;
const WORLDS: u64 = 200;
const QUESTIONS: usize = 50;

/// Belief at each prefix, as probabilities of the answers.
type Beliefs = Vec<Vec<f64>>;

/// What is recorded of one question.
struct Recorded {
    target: usize,
    ending: usize,
    own: Beliefs,
    swapped: Option<Beliefs>,
    draws: Option<u32>,
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|l| l.exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

fn trace_row(question: &Arc<str>, recorded: &Recorded) -> TraceRow {
    TraceRow {
        task: "t".into(),
        question_id: question.clone(),
        sample: 0,
        question: String::new(),
        choices: None,
        prompt: String::new(),
        completion: String::new(),
        target: Some(ANSWERS[recorded.target].into()),
        answer: Some(ANSWERS[recorded.ending].into()),
        correct: Some(recorded.target == recorded.ending),
        stop_reason: Some("stop".into()),
        n_prompt_tokens: 10,
        n_trace_tokens: 40,
        n_steps: STEPS as u32,
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

fn add_curve(rows: &mut Rows, question: &Arc<str>, control: &str, recorded: &Recorded, beliefs: &Beliefs) {
    let logprob = |k: usize| beliefs[k][recorded.target].max(1e-3).ln();
    for (step, masses) in beliefs.iter().enumerate() {
        let leader = (0..masses.len()).fold(0, |best, i| if masses[i] > masses[best] { i } else { best });
        let entropy = -masses.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
        rows.prefixes.push(PrefixRow {
            task: "t".into(),
            question_id: question.clone(),
            sample: 0,
            control: control.into(),
            step: step as u32,
            n_tokens: 10 * step as u32,
            depth: step as f64 / (beliefs.len() - 1).max(1) as f64,
            estimator: if recorded.draws.is_some() { "rollout" } else { "choices" }.into(),
            answer_entropy: entropy,
            entropy_lower: entropy,
            entropy_upper: entropy,
            entropy_drop: None,
            target_logprob: Some(logprob(step)),
            information_gain: Some(logprob(step) - logprob(0)),
            leader: ANSWERS[leader].into(),
            leader_prob: masses[leader],
            elicited_mass: None,
            residual_mass: 0.0,
            n_samples: recorded.draws,
            cue_entropy: None,
        });
        if recorded.draws.is_some() {
            rows.answers.extend(masses.iter().enumerate().filter(|(_, p)| **p > 0.0).map(|(i, &prob)| {
                AnswerRow {
                    task: "t".into(),
                    question_id: question.clone(),
                    sample: 0,
                    control: control.into(),
                    step: step as u32,
                    estimator: None,
                    answer: ANSWERS[i].into(),
                    prob,
                    logprob: prob.ln(),
                }
            }));
        }
    }
}

fn rows_of(questions: &[Recorded]) -> Rows {
    let mut rows = Rows::default();
    for (number, recorded) in questions.iter().enumerate() {
        let question: Arc<str> = format!("q{number:04}").into();
        rows.traces.push(trace_row(&question, recorded));
        add_curve(&mut rows, &question, "none", recorded, &recorded.own);
        if let Some(swapped) = &recorded.swapped {
            add_curve(&mut rows, &question, "swapped", recorded, swapped);
        }
    }
    rows
}

fn verdict_of(rows: &Rows) -> VerdictMetrics {
    let mut collector = Collector::new(&synthetic::manifest(&[("t", "choices", 1)]));
    collector.add_rows(rows);
    let resampling = Resampling { replicates: 300, seed: 1, level: Level::P95 };
    of(&collector.finish()[0], &resampling, &MetricOptions::default())
}

fn verdict(questions: &[Recorded]) -> VerdictMetrics {
    verdict_of(&rows_of(questions))
}

/// Logits that start near even, then move at each step by noise and by a pull to one answer.
fn walk(random: &mut Random, start: &[f64], noise: f64, pull: Option<(usize, f64)>) -> Beliefs {
    let mut logits = start.to_vec();
    let mut beliefs = vec![softmax(&logits)];
    for _ in 0..STEPS {
        logits.iter_mut().for_each(|logit| *logit += noise * random.normal());
        if let Some((answer, strength)) = pull {
            logits[answer] += strength;
        }
        beliefs.push(softmax(&logits));
    }
    beliefs
}

/// The same start, then noise around it that keeps no memory.
fn flicker(random: &mut Random, start: &[f64]) -> Beliefs {
    let mut at = || softmax(&start.iter().map(|logit| logit + 0.7 * random.normal()).collect::<Vec<_>>());
    (0..=STEPS).map(|_| at()).collect()
}

/// Posteriors of a hidden answer drawn from the start, as noisy evidence on it comes in: a martingale.
fn learn(random: &mut Random, start: &[f64]) -> Beliefs {
    let prior = softmax(start);
    let hidden = draw(random, &prior);
    let mut logits: Vec<f64> = prior.iter().map(|p| p.ln()).collect();
    let mut beliefs = vec![prior];
    for _ in 0..STEPS {
        // Evidence x ~ N(e_hidden, 1) has ln p(x | a) = x_a up to what all answers share.
        for (answer, logit) in logits.iter_mut().enumerate() {
            *logit += random.normal() + if answer == hidden { 1.0 } else { 0.0 };
        }
        beliefs.push(softmax(&logits));
    }
    beliefs
}

fn draw(random: &mut Random, probs: &[f64]) -> usize {
    let mut rest = random.uniform();
    probs
        .iter()
        .position(|p| {
            rest -= p;
            rest < 0.0
        })
        .unwrap_or(probs.len() - 1)
}

fn start(random: &mut Random, n_answers: usize) -> Vec<f64> {
    (0..n_answers).map(|_| 0.6 * random.normal()).collect()
}

/// Makes one curve from its start and the target.
type Curve = fn(&mut Random, &[f64], usize) -> Beliefs;

fn forced(random: &mut Random, own: Curve, swapped: Curve) -> Recorded {
    let start = start(random, 4);
    let target = draw(random, &[0.25; 4]);
    let own = own(random, &start, target);
    let swapped = swapped(random, &start, target);
    Recorded { target, ending: target, own, swapped: Some(swapped), draws: None }
}

/// Worlds by finding: (supported, not supported).
fn findings(own: Curve, swapped: Curve) -> (usize, usize) {
    let mut counts = (0, 0);
    for seed in 0..WORLDS {
        let mut random = Random::new(17 + 1_000 * seed);
        let questions: Vec<Recorded> = (0..QUESTIONS).map(|_| forced(&mut random, own, swapped)).collect();
        match verdict(&questions).finding {
            Finding::Supported => counts.0 += 1,
            Finding::NotSupported => counts.1 += 1,
            Finding::Inconclusive => {}
        }
    }
    counts
}

/// Of 200 worlds, more than 13 are falsely supported with probability 0.0006 at the nominal rate of 2.5 %.
const MOST_SUPPORTED: usize = 13;

fn wanders(random: &mut Random, start: &[f64], _: usize) -> Beliefs {
    walk(random, start, 0.5, None)
}

fn informs(random: &mut Random, start: &[f64], target: usize) -> Beliefs {
    walk(random, start, 0.5, Some((target, 0.5)))
}

#[test]
fn beliefs_that_ignore_the_trace_are_not_supported() {
    let ignores: Curve = |random, start, _| flicker(random, start);
    let (supported, _) = findings(ignores, ignores);
    println!("ignores: {supported} of {WORLDS}");
    assert!(supported <= MOST_SUPPORTED, "{supported}");
}

#[test]
fn swapped_labels_are_not_supported() {
    let of_another_label: Curve = |random, start, _| {
        let pulled = draw(random, &[0.25; 4]);
        walk(random, start, 0.5, Some((pulled, 0.8)))
    };
    let (supported, _) = findings(of_another_label, of_another_label);
    println!("swapped labels: {supported} of {WORLDS}");
    assert!(supported <= MOST_SUPPORTED, "{supported}");
}

/// Log-odds that wander leave G near 0, at the border of the null hypothesis; beliefs that learn of something else lower it.
#[test]
fn walks_are_not_supported() {
    let learns: Curve = |random, start, _| learn(random, start);
    for (what, own) in [("wandering log-odds", wanders as Curve), ("martingale beliefs", learns)] {
        let (supported, refuted) = findings(own, own);
        println!("{what}: {supported} supported, {refuted} not supported of {WORLDS}");
        assert!(supported <= MOST_SUPPORTED, "{what}: {supported}");
    }
}

/// Text of any question informs as much as the own: the trend is always there, and the control alone stands against it.
#[test]
fn gains_that_any_text_brings_are_not_supported() {
    let (supported, _) = findings(informs, informs);
    println!("any text informs: {supported} of {WORLDS}");
    assert!(supported <= MOST_SUPPORTED, "{supported}");
}

#[test]
fn informed_steps_are_supported() {
    let (supported, refuted) = findings(informs, wanders);
    println!("informed: {supported} of {WORLDS}");
    assert!(supported >= 195 && refuted == 0, "{supported} {refuted}");
}

/// Page's p-value alone would find a trend in wandering beliefs too often; the larger of the two does not.
#[test]
fn wandering_beliefs_have_no_trend() {
    let (mut by_page, mut by_both) = (0, 0);
    for seed in 0..WORLDS {
        let mut random = Random::new(3 + 1_000 * seed);
        let start = [0.0; 4];
        // Log-odds of two answers: g is symmetric around 0.
        let two = |random: &mut Random| {
            let beliefs = walk(random, &start[..2], 0.5, None);
            Recorded { target: 0, ending: 0, own: beliefs, swapped: None, draws: None }
        };
        let questions: Vec<Recorded> = (0..QUESTIONS).map(|_| two(&mut random)).collect();
        let trend = verdict(&questions).trend;
        by_page += usize::from(trend.page_p.unwrap() < 0.05);
        by_both += usize::from(trend.p_value.unwrap() < 0.05);
    }
    println!("trend in wandering log-odds: {by_page} by Page's p, {by_both} by both, of {WORLDS}");
    // P(Binomial(200, 0.05) > 22) = 0.0003.
    assert!(by_both <= 22 && by_page > by_both, "{by_page} {by_both}");
}

fn informed_world(n: usize, seed: u64) -> Vec<Recorded> {
    let mut random = Random::new(seed);
    (0..n).map(|_| forced(&mut random, informs, wanders)).collect()
}

#[test]
fn nothing_is_supported_without_the_swapped_control() {
    let mut rows = rows_of(&informed_world(50, 1));
    assert_eq!(verdict_of(&rows).finding, Finding::Supported);
    rows.prefixes
        .iter_mut()
        .filter(|row| &*row.control == "swapped")
        .for_each(|row| row.control = "shuffled".into());
    let shuffled = verdict_of(&rows);
    assert_eq!(shuffled.finding, Finding::Inconclusive);
    assert!(shuffled.reasons[0].contains("no swapped control") && shuffled.net_gains.len() == 1);
    rows.prefixes.retain(|row| &*row.control == "none");
    assert_eq!(verdict_of(&rows).finding, Finding::Inconclusive);
}

#[test]
fn a_gain_that_falls_is_refuted_without_any_control() {
    let falls: Curve = |random, start, target| walk(random, start, 0.3, Some((target, -0.5)));
    let mut random = Random::new(9);
    let mut questions: Vec<Recorded> = (0..30).map(|_| forced(&mut random, falls, wanders)).collect();
    questions.iter_mut().for_each(|q| q.swapped = None);
    assert_eq!(verdict(&questions).finding, Finding::NotSupported);
}

/// Rows of `n` questions whose gains are given by question and depth, for own and swapped traces.
fn with_gains(
    n: usize,
    own: impl Fn(&mut Random, usize, f64) -> f64,
    swapped: impl Fn(&mut Random, usize, f64) -> f64,
) -> Rows {
    let mut rows = rows_of(&informed_world(n, 5));
    let mut random = Random::new(6);
    for row in &mut rows.prefixes {
        let question: usize = row.question_id[1..].parse().unwrap();
        let gain = match (row.step, &*row.control) {
            (0, _) => 0.0,
            (_, "none") => own(&mut random, question, row.depth),
            _ => swapped(&mut random, question, row.depth),
        };
        (row.information_gain, row.target_logprob) = (Some(gain), Some(gain - 1.0));
    }
    rows
}

fn noisy(random: &mut Random, mean: f64) -> f64 {
    mean + 0.1 * random.normal()
}

/// Most questions gain a little and some lose much, so that g rises for most and falls on average; swapped traces do worse.
#[test]
fn less_harm_than_another_text_is_no_support() {
    let own = |random: &mut Random, question: usize, depth: f64| {
        if question.is_multiple_of(11) {
            (-9.0 + random.normal()) * depth
        } else {
            noisy(random, 0.6 * depth)
        }
    };
    let harmed = verdict_of(&with_gains(100, own, |random, _, depth| noisy(random, -7.0 * depth)));
    assert!(harmed.gain.value.unwrap() < 0.0 && harmed.net_gain().unwrap().low.unwrap() > 5.0);
    assert!(harmed.trend.p_value.unwrap() < 0.05 && harmed.gain.high.unwrap() > 0.0, "{harmed:?}");
    assert_eq!(harmed.finding, Finding::Inconclusive);
    let reasons = harmed.reasons.join("; ");
    assert!(reasons.contains("the interval of the gain itself holds the threshold of 0 nats"), "{reasons}");
    assert!(reasons.contains("not support it at any number") && harmed.questions_needed.is_none());
}

#[test]
fn a_gain_that_comes_with_the_last_step_says_so() {
    let last =
        |random: &mut Random, _: usize, depth: f64| noisy(random, if depth < 1.0 { -0.02 } else { 6.0 });
    let late = verdict_of(&with_gains(100, last, |random, _, _| noisy(random, 0.0)));
    assert_eq!(late.finding, Finding::Supported);
    assert!(late.comes_at_the_end() && late.reasons[1].contains("last steps only"), "{:?}", late.reasons);
    let early = verdict(&informed_world(50, 1));
    assert!(early.finding == Finding::Supported && !early.comes_at_the_end() && early.reasons.len() == 1);
    assert!(early.gain_before_end.is_above(0.0) && early.gain_before_end.value < early.gain.value);
}

#[test]
fn a_control_of_few_traces_does_not_decide() {
    let gains = |random: &mut Random, _: usize, depth: f64| noisy(random, depth);
    let mut rows = with_gains(200, gains, |random, _, _| noisy(random, 0.0));
    assert_eq!(verdict_of(&rows).finding, Finding::Supported);
    rows.prefixes.retain(|row| &*row.control == "none" || &*row.question_id < "q0012");
    let some = verdict_of(&rows);
    assert_eq!((some.finding, some.questions_needed), (Finding::Inconclusive, None));
    assert_eq!((some.net_gains[0].n_traces, some.net_gains[0].n_without_control), (12, 188));
    assert_eq!(some.reasons.len(), 1);
    assert!(
        some.reasons[0].starts_with("only 12 of 200 traces have a swapped control"),
        "{:?}",
        some.reasons
    );
    assert_eq!(crate::sentence::other_n(some.net_gain().unwrap(), some.gain.n_questions), " (n = 12)");
    rows.prefixes.retain(|row| &*row.control == "none" || &*row.question_id < "q0003");
    let few = verdict_of(&rows);
    assert!(few.reasons[0].starts_with("only 3 questions have") && few.questions_needed.is_none());
}

#[test]
fn reasons_state_the_threshold() {
    let high = MetricOptions { threshold: 0.25, ..MetricOptions::default() };
    let rows = rows_of(&informed_world(50, 1));
    for (options, part) in
        [(MetricOptions::default(), "threshold of 0 nats"), (high, "threshold of 0.25 nats")]
    {
        let reasons =
            Metrics::of(&synthetic::manifest(&[]), &rows, &options).tasks[0].verdict.reasons.join("; ");
        assert!(reasons.contains(part), "{reasons}");
    }
}

#[test]
fn few_questions_and_unknown_gains_leave_it_open() {
    let few = verdict(&informed_world(9, 2));
    assert_eq!((few.finding, few.questions_needed), (Finding::Inconclusive, None));
    let mut rows = rows_of(&informed_world(50, 1));
    for row in rows.prefixes.iter_mut().filter(|row| row.step == 2 && row.question_id.ends_with('3')) {
        row.information_gain = None;
    }
    let unknown = verdict_of(&rows);
    assert_eq!((unknown.finding, unknown.n_without_gain), (Finding::Inconclusive, 5));
    assert!(unknown.reasons[0].contains("5 of 50"), "{:?}", unknown.reasons);
    rows.prefixes.retain(|row| &*row.control == "none");
    assert!(verdict_of(&rows).reasons[0].contains("5 of 50 traces"));
}

#[test]
fn an_open_verdict_says_how_many_questions_are_needed() {
    let weak: Curve = |random, start, target| walk(random, start, 0.5, Some((target, 0.2)));
    let world = |n: usize, seed: u64| {
        let mut random = Random::new(seed);
        verdict(&(0..n).map(|_| forced(&mut random, weak, wanders)).collect::<Vec<_>>())
    };
    let open: Vec<VerdictMetrics> = (0..40).map(|seed| world(12, seed)).collect();
    let needed: Vec<usize> = open.iter().filter_map(|v| v.questions_needed).collect();
    assert!(needed.iter().all(|&n| n >= FEWEST_QUESTIONS) && needed.iter().any(|&n| n > 20), "{needed:?}");
    let is_open = |v: &VerdictMetrics| v.finding == Finding::Inconclusive || v.questions_needed.is_none();
    assert!(open.iter().all(is_open));
    assert_eq!(world(1_500, 4).finding, Finding::Supported);
}

/// How draws at a prefix are made of the true belief.
type Draws = fn(&mut Random, &[f64], usize, usize) -> Vec<f64>;

fn sampled(random: &mut Random, m: usize, next: impl Fn(&mut Random, usize) -> usize) -> Vec<f64> {
    let mut counts = vec![0.0; ANSWERS.len()];
    for i in 0..m {
        counts[next(random, i)] += 1.0;
    }
    counts.iter().map(|c| c / m as f64).collect()
}

fn rollout(random: &mut Random, draws: Draws) -> Recorded {
    let start = start(random, 5);
    let target = draw(random, &[0.25; 4]);
    let beliefs = learn(random, &start);
    let ending = draw(random, &beliefs[STEPS]);
    let own = beliefs.iter().enumerate().map(|(k, belief)| draws(random, belief, k, ending)).collect();
    Recorded { target, ending, own, swapped: None, draws: Some(8) }
}

fn checked(n_questions: usize, seed: u64, draws: Draws) -> CheckMetrics {
    let mut random = Random::new(seed);
    let questions: Vec<Recorded> = (0..n_questions).map(|_| rollout(&mut random, draws)).collect();
    let mut collector = Collector::new(&synthetic::manifest(&[]));
    collector.add_rows(&rows_of(&questions));
    martingale::check(&collector.finish()[0])
}

fn alarms(n_questions: usize, draws: Draws) -> usize {
    (0..WORLDS).filter(|seed| checked(n_questions, 5 + 977 * seed, draws).broken).count()
}

fn honest(random: &mut Random, belief: &[f64], _: usize, _: usize) -> Vec<f64> {
    sampled(random, 8, |random, _| draw(random, belief))
}

/// P(Binomial(200, 0.01) > 8) = 0.0002.
#[test]
fn an_honest_rollout_passes_its_check() {
    let count = alarms(60, honest);
    println!("honest: {count} alarms of {WORLDS}");
    assert!(count <= 8, "{count}");
}

/// Two of eight draws are the trace's own ending.
#[test]
fn draws_that_know_the_ending_are_found_out() {
    let leak: Draws = |random, belief, _, ending| {
        sampled(random, 8, |random, i| if i < 2 { ending } else { draw(random, belief) })
    };
    let count = alarms(100, leak);
    println!("own ending among the draws: {count} alarms of {WORLDS}");
    assert!(count >= 190, "{count}");
}

/// Continuations from early prefixes run out of tokens more often.
#[test]
fn a_short_budget_is_found_out() {
    let budget: Draws = |random, belief, k, _| {
        let cut = 0.3 * (1.0 - k as f64 / STEPS as f64);
        sampled(random, 8, |random, _| if random.uniform() < cut { 4 } else { draw(random, belief) })
    };
    let count = alarms(100, budget);
    println!("short budget: {count} alarms of {WORLDS}");
    assert!(count >= 190, "{count}");
}

#[test]
fn draws_that_differ_in_number_are_found_out() {
    let mut random = Random::new(1);
    let questions: Vec<Recorded> = (0..30).map(|_| rollout(&mut random, honest)).collect();
    let mut rows = rows_of(&questions);
    assert!(!verdict_of(&rows).estimator_check.unwrap().broken);
    rows.prefixes.iter_mut().filter(|row| row.step == 0).for_each(|row| row.n_samples = Some(16));
    let verdict = verdict_of(&rows);
    assert_eq!(verdict.finding, Finding::Inconclusive);
    let check = verdict.estimator_check.unwrap();
    assert!(check.broken && check.draws == Some((8, 16)));
    assert!(crate::sentence::broken(Some(&check)).unwrap().contains("between 8 and 16 draws"));
}

#[test]
fn imported_traces_are_not_checked() {
    let mut random = Random::new(1);
    let questions: Vec<Recorded> = (0..30).map(|_| rollout(&mut random, honest)).collect();
    let mut rows = rows_of(&questions);
    rows.traces.iter_mut().for_each(|row| row.stop_reason = Some("imported".into()));
    let check = verdict_of(&rows).estimator_check.unwrap();
    assert!(!check.broken && check.p_value.is_none() && check.reason.unwrap().contains("imported"));
}
