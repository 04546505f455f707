//! Whether two engines draw answers from the same distributions: a two-sample permutation test of rollouts.
//!
//! An existing trace is rolled out m times from each prefix by both engines. The statistic is the sum over prefixes of the total variation between the two
//! shares of answers. If both draw alike, any division of the 2 m draws at a prefix into two halves was as likely as the one that was seen, so
//! the draws are permuted within their prefix, and p is the share of [`PERMUTATIONS`] such permutations, the observed one among them, whose
//! statistic is at least as large. The test holds its level whatever the distributions are. That it finds a difference is shown each time, by
//! draws of the next prefix in the place of those of this one, and by draws at another temperature.

use crate::support::{Scratch, expect, rows};
use std::collections::BTreeMap;

/// Permutations of the draws, the observed order among them.
const PERMUTATIONS: usize = 10_000;
/// The p-value below which engines differ.
const ALPHA: f64 = 1e-3;
/// Draws m at each prefix.
const DRAWS: usize = 24;

/// A trace whose beginnings leave open what comes, and whose end hardly does.
const TRACE: &str = concat!(
    r#"{"id": "a", "question": "Jack owns 34 beads. Rosa brings Jack 5 packs of 9 beads each. Find how many beads Jack has at the end.", "#,
    r#""target": "79", "trace": "5 * 9 = 45, so the packs hold 45 beads.\n34 + 45 = 79, so Jack has 79 beads.\nThe answer is"}"#,
    "\n",
);

/// The draws at a prefix, as numbers of answers.
type Draws = Vec<usize>;

/// Rolls a trace out here and there, and says how far the answers differ.
///
/// # Panics
/// Where they differ more than chance lets them, and where wrong comparisons go unnoticed.
pub(crate) fn compare(model: &str, there: &[&str], max_new_tokens: &str) -> String {
    let scratch = Scratch::new();
    let traces = scratch.file("traces.jsonl", TRACE);
    let mut answers = BTreeMap::new();
    let mut roll_out = |name: &str, engine: &[&str], temperature: &str, seed: &str| {
        let out = scratch.arg(name);
        let input = ["--traces", &traces, "--estimator", "rollout", "--samples", &DRAWS.to_string()];
        let how = ["--temperature", temperature, "--max-new-tokens", max_new_tokens, "--seed", seed];
        let short = ["--controls", "none", "--output-path", &out];
        expect(0, &[&["score"][..], engine, &input, &how, &short].concat());
        draws(&out, &mut answers)
    };
    let here = roll_out("here", &["--model", model], "1", "1");
    let there = roll_out("there", there, "1", "2");
    let hot = roll_out("hot", &["--model", model], "2", "3");
    let n_prefixes = here.len();
    let next: Vec<Draws> = (0..n_prefixes).map(|prefix| there[(prefix + 1) % n_prefixes].clone()).collect();
    let [same, shifted, hotter] = [&there, &next, &hot].map(|other| p_value(&here, other));
    let said = format!(
        "rollouts at {n_prefixes} prefixes, {DRAWS} draws each: p = {same:.4}; of the next prefix {shifted:.4}, of temperature 2 {hotter:.4}"
    );
    assert!(n_prefixes > 3 && same >= ALPHA, "{said}");
    assert!(shifted < ALPHA && hotter < ALPHA, "a wrong comparison goes unnoticed: {said}");
    said
}

/// The draws of a run at each prefix, in the order of questions and steps.
fn draws(dir: &str, numbers: &mut BTreeMap<String, usize>) -> Vec<Draws> {
    let rows = rows(dir);
    let mut at: BTreeMap<(&str, u32), Draws> = BTreeMap::new();
    for row in &rows.answers {
        let next = numbers.len();
        let number = *numbers.entry(row.answer.to_string()).or_insert(next);
        let n = (row.prob * DRAWS as f64).round() as usize;
        at.entry((&row.question_id, row.step)).or_default().extend(std::iter::repeat_n(number, n));
    }
    assert_eq!(at.len(), rows.prefixes.len());
    assert!(at.values().all(|draws| draws.len() == DRAWS), "each draw is of one answer");
    at.into_values().collect()
}

/// The p-value of the test.
fn p_value(ours: &[Draws], theirs: &[Draws]) -> f64 {
    let mut pooled: Vec<Draws> =
        ours.iter().zip(theirs).map(|(ours, theirs)| [ours.as_slice(), theirs].concat()).collect();
    let statistic =
        |pooled: &[Draws]| pooled.iter().map(|draws| distance(draws.split_at(draws.len() / 2))).sum::<f64>();
    let observed = statistic(&pooled);
    let mut random = Random(1);
    let reaches = |_: &usize| {
        pooled.iter_mut().for_each(|draws| random.shuffle(draws));
        statistic(&pooled) >= observed - 1e-9
    };
    let n_reaching = 1 + (1..PERMUTATIONS).filter(reaches).count();
    n_reaching as f64 / PERMUTATIONS as f64
}

/// Total variation between the shares of equally many draws.
fn distance((ours, theirs): (&[usize], &[usize])) -> f64 {
    let n_answers = ours.iter().chain(theirs).max().map_or(0, |most| most + 1);
    let mut differences = vec![0_i32; n_answers];
    ours.iter().for_each(|&answer| differences[answer] += 1);
    theirs.iter().for_each(|&answer| differences[answer] -= 1);
    f64::from(differences.iter().map(|n| n.abs()).sum::<i32>()) / (2 * ours.len().max(1)) as f64
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn shuffle(&mut self, draws: &mut [usize]) {
        (1..draws.len()).rev().for_each(|at| draws.swap(at, self.below(at + 1)));
    }
}

#[test]
fn draws_from_one_distribution_are_told_apart_as_rarely_as_stated() {
    let mut random = Random(7);
    let mut draw = |n_answers: usize| -> Draws { (0..DRAWS).map(|_| random.below(n_answers)).collect() };
    let mut sample = || -> Vec<Draws> { [2, 5, 40].map(&mut draw).to_vec() };
    // Of 60 pairs more than 12 have p < 0.1 with a probability of 0.005.
    let n_low = (0..60).filter(|_| p_value(&sample(), &sample()) < 0.1).count();
    assert!(n_low <= 12, "{n_low}");
}

#[test]
fn other_distributions_are_found() {
    let mut random = Random(8);
    let mut sample = |share: usize| -> Vec<Draws> {
        (0..8).map(|_| (0..DRAWS).map(|_| usize::from(random.below(10) < share)).collect()).collect()
    };
    assert!(p_value(&sample(3), &sample(7)) < ALPHA);
    assert!(p_value(&sample(5), &sample(5)) > ALPHA);
}
