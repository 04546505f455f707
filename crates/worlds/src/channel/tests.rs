//! Exact quantities against sums that are written out, and inequalities on random laws.

use std::collections::BTreeMap;

use entrace_measure::fano::binary_entropy;
use entrace_measure::information::kl_divergence;

use super::*;

fn channel(n_questions: usize, n_answers: usize, n_steps: usize, flip: f64, seed: u64) -> Channel {
    Channel::new(Options { n_questions, n_answers, n_steps, flip, seed, asked: Asked::Anywhere }).unwrap()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-10
}

/// p(q, c_{1:k}, a) by multiplying out p(q) p(a|q) Π p(c_j|q, a) over all sequences of K steps.
fn brute_force(channel: &Channel, k: usize) -> BTreeMap<(usize, Vec<usize>, usize), f64> {
    let options = channel.options();
    let mut joint = BTreeMap::new();
    for question in 0..options.n_questions {
        for answer in 0..options.n_answers {
            for code in 0..1_usize << options.n_steps {
                let steps: Vec<usize> = (0..options.n_steps).map(|j| code >> j & 1).collect();
                let likelihood: f64 = steps
                    .iter()
                    .enumerate()
                    .map(|(j, &s)| channel.step_prob(question, answer, j, s))
                    .product();
                let prob = channel.priors[question][answer] * likelihood / options.n_questions as f64;
                *joint.entry((question, steps[..k].to_vec(), answer)).or_insert(0.0) += prob;
            }
        }
    }
    joint
}

fn total(
    joint: &BTreeMap<(usize, Vec<usize>, usize), f64>,
    of: impl Fn(&(usize, Vec<usize>, usize)) -> bool,
) -> f64 {
    joint.iter().filter(|(key, _)| of(key)).map(|(_, p)| p).sum()
}

#[test]
fn exact_quantities_agree_with_brute_force() {
    for channel in [channel(4, 4, 4, 0.1, 1), channel(3, 5, 3, 0.3, 2), channel(1, 2, 5, 0.5, 3)] {
        for k in 0..=channel.options().n_steps {
            let joint = brute_force(&channel, k);
            let mut information = 0.0;
            for ((q, c, a), p) in &joint {
                let p_qc = total(&joint, |key| (key.0, &key.1) == (*q, c));
                let p_qa = total(&joint, |key| (key.0, key.2) == (*q, *a));
                let p_q = total(&joint, |key| key.0 == *q);
                information += p * (p * p_q / (p_qc * p_qa)).ln();
                assert!(close(channel.law().posterior(*q, c)[*a], p / p_qc));
            }
            let exact = channel.law().prefix_joint(k);
            assert!(close(exact.information_nats(), information), "{k}: {information}");
            let entropy: f64 = channel.priors.iter().flatten().map(|p| -p * p.ln()).sum();
            assert!(close(exact.answer_entropy_nats(), entropy / channel.options().n_questions as f64));
            let mut best: BTreeMap<(usize, Vec<usize>), f64> = BTreeMap::new();
            for ((q, c, _), p) in &joint {
                let hit = best.entry((*q, c.clone())).or_insert(0.0);
                *hit = hit.max(*p);
            }
            assert!(close(exact.bayes_accuracy(), best.values().sum()));
        }
    }
}

#[test]
fn one_noisy_bit_is_a_binary_symmetric_channel() {
    let channel = channel(1, 2, 1, 0.2, 7);
    let p = channel.priors[0][1];
    let shown = p * 0.8 + (1.0 - p) * 0.2;
    let information = channel.law().prefix_joint(1).information_nats();
    assert!(close(information, binary_entropy(shown) - binary_entropy(0.2)));
}

#[test]
fn information_grows_along_prefixes_and_stays_below_the_entropy() {
    let channel = channel(4, 4, 6, 0.15, 5);
    let informations: Vec<f64> = (0..=6).map(|k| channel.law().prefix_joint(k).information_nats()).collect();
    assert!(
        informations[0].abs() < 1e-12
            && informations[6] < channel.law().prefix_joint(0).answer_entropy_nats()
    );
    assert!(informations.windows(2).all(|pair| pair[1] > pair[0] + 0.01), "{informations:?}");
    // At even odds a step says nothing.
    let deaf = Channel::new(Options { flip: 0.5, ..Options::default() }).unwrap();
    assert!(deaf.law().prefix_joint(4).information_nats() < 1e-12);
}

#[test]
fn episodes_are_all_there_and_are_drawn_as_often_as_they_should() {
    for asked in [Asked::AtEnd, Asked::Anywhere] {
        let options = Options { n_questions: 2, n_answers: 3, n_steps: 2, asked, ..Options::default() };
        let channel = Channel::new(options).unwrap();
        let episodes = channel.episodes();
        assert!(close(episodes.iter().map(|(_, p)| p).sum(), 1.0));
        let n = 40_000_u64;
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        for index in 0..n {
            *counts.entry(channel.text(&channel.sample(3, index))).or_insert(0.0) += 1.0;
        }
        for (episode, p) in &episodes {
            let found = counts.remove(&channel.text(episode)).unwrap_or(0.0);
            let deviation = (n as f64 * p * (1.0 - p)).sqrt();
            assert!(
                (found - n as f64 * p).abs() < 5.0 * deviation,
                "{episode:?}: {found} of {}",
                n as f64 * p
            );
        }
        assert!(counts.is_empty());
        assert_eq!(channel.sample(3, 9), channel.sample(3, 9));
    }
}

#[test]
fn episodes_have_texts() {
    let channel = Channel::new(Options::default()).unwrap();
    let episode = Episode { question: 2, steps: vec![0, 1], answer: 1 };
    assert_eq!(channel.text(&episode), "q2 0 1 = B");
    assert_eq!(channel.token_ids(&episode), [2, 4, 5, 6, 8]);
    assert_eq!(channel.tokens().len(), 11);
}

/// The true next-token probabilities on each context, times `kept`.
fn true_next(channel: &Channel, kept: f64) -> Vec<Vec<f64>> {
    let tokens = channel.tokens();
    let next = |context: Vec<usize>| {
        let mut sums = vec![0.0; tokens.len()];
        for (episode, p) in channel.episodes() {
            let ids = channel.token_ids(&episode);
            if ids.len() > context.len() && ids[..context.len()] == context {
                sums[ids[context.len()]] += p;
            }
        }
        let sum: f64 = sums.iter().sum();
        sums.into_iter().map(|p| kept * p / sum).collect()
    };
    channel.contexts().into_iter().map(next).collect()
}

#[test]
fn an_exact_model_is_the_truth() {
    for (asked, n_contexts) in [(Asked::Anywhere, 4 * (15 + 31)), (Asked::AtEnd, 4 * (15 + 16))] {
        let channel = Channel::new(Options { asked, ..Options::default() }).unwrap();
        assert_eq!(channel.contexts().len(), n_contexts);
        for kept in [1.0, 0.75] {
            let model = channel.model_law(&true_next(&channel, kept)).unwrap();
            assert!(close(model.leaked, 1.0 - kept));
            for k in 0..=4 {
                let found = compare(channel.law(), &model.law, k);
                assert!(
                    found.kl_nats < 1e-12 && close(found.model_information_nats, found.data_information_nats)
                );
                assert!(close(found.gain_nats, found.data_information_nats));
                assert!(close(found.scored_information_nats, found.data_information_nats));
                assert!(close(found.accuracy, found.bayes_accuracy));
                assert!(matches!(found.bound, Bound::Holds { .. }));
            }
        }
    }
}

#[test]
fn tables_that_are_no_law_are_refused() {
    let channel = Channel::new(Options::default()).unwrap();
    let good = true_next(&channel, 1.0);
    let expected = good.len();
    assert_eq!(channel.model_law(&good[1..]), Err(BadTable::Rows { expected, found: expected - 1 }));
    let spoiled = |row: Vec<f64>| {
        let mut rows = good.clone();
        rows[7] = row;
        channel.model_law(&rows)
    };
    for row in [vec![0.0; 11], vec![1.0; 11], vec![0.0; 3], vec![f64::NAN; 11], vec![-1.0; 11]] {
        assert_eq!(spoiled(row), Err(BadTable::NotADistribution { row: 7 }));
    }
    assert_eq!(Channel::new(Options { n_answers: 1, ..Options::default() }), Err(NotAChannel::Size));
    assert_eq!(Channel::new(Options { flip: 0.0, ..Options::default() }), Err(NotAChannel::Flip(0.0)));
}

/// The tables of a law, each row mixed with a random one.
fn neighbour(law: &Law, stream: &mut Stream) -> Law {
    let share = stream.uniform().powi(4);
    let mut mix = |row: &[f64]| -> Vec<f64> {
        let weights = row.iter().map(|_| -(1.0 - stream.uniform()).ln()).collect();
        let (random, _) = law::normalised(weights);
        row.iter().zip(random).map(|(p, r)| (1.0 - share) * p + share * r).collect()
    };
    let mut near = law.clone();
    for row in near.steps.iter_mut().flatten() {
        let mixed = mix(row);
        *row = [mixed[0], mixed[1]];
    }
    for row in near.answers.iter_mut().flatten() {
        *row = mix(row);
    }
    near
}

#[test]
fn the_bound_holds_on_random_models() {
    let mut stream = Stream::new(1, Purpose::Noise, 0);
    let (mut n_applicable, mut n_telling) = (0, 0);
    for round in 0..400 {
        let (n_answers, flip) = (2 + round % 5, [0.02, 0.1, 0.3][round % 3]);
        let channel = channel(1 + round % 3, n_answers, 3, flip, round as u64);
        let model = neighbour(channel.law(), &mut stream);
        for law in [&model, &model.implied()] {
            for k in 0..=3 {
                match compare(channel.law(), law, k).bound {
                    Bound::Violated { by_nats, .. } => panic!("{round}, {k}: violated by {by_nats}"),
                    Bound::NotApplicable => {}
                    Bound::Holds { floor_nats, .. } => {
                        n_applicable += 1;
                        n_telling += usize::from(floor_nats > 0.0);
                    }
                }
            }
        }
    }
    assert!(n_applicable > 2500 && n_telling > 300, "{n_applicable}, {n_telling}");
}

#[test]
fn a_false_claim_is_seen() {
    assert_eq!(Bound::check(1.0, 1.0, f64::INFINITY, 4), Bound::NotApplicable);
    assert!(matches!(Bound::check(1.0, 0.5, 0.0, 4), Bound::Violated { by_nats, .. } if close(by_nats, 0.5)));
}

#[test]
fn scores_obey_gibbs_and_guesses_the_exact_observer() {
    let mut stream = Stream::new(2, Purpose::Noise, 0);
    for seed in 0..300 {
        let channel = channel(2, 4, 3, 0.1, seed);
        let model = neighbour(channel.law(), &mut stream);
        let prior_gap = channel.law().prefix_joint(0).kl_nats(&model.prefix_joint(0));
        for k in 0..=3 {
            let found = compare(channel.law(), &model, k);
            assert!(found.scored_information_nats <= found.data_information_nats + 1e-12);
            assert!(found.accuracy <= found.bayes_accuracy + 1e-12);
            assert!(close(found.gain_nats, found.scored_information_nats + prior_gap));
            assert!(found.total_variation <= (found.kl_nats / 2.0).sqrt() + 1e-12);
            let flat = |law: &Law| law.prefix_joint(k).rows().concat();
            assert!(close(found.kl_nats, kl_divergence(&flat(channel.law()), &flat(&model))));
        }
    }
}

#[test]
fn divergence_and_implied_information_grow_with_depth() {
    let mut stream = Stream::new(3, Purpose::Noise, 0);
    for seed in 0..300 {
        let channel = channel(2, 3, 4, 0.2, seed);
        let model = neighbour(channel.law(), &mut stream).implied();
        let found: Vec<Comparison> = (0..=4).map(|k| compare(channel.law(), &model, k)).collect();
        for pair in found.windows(2) {
            assert!(pair[1].model_information_nats >= pair[0].model_information_nats - 1e-12);
            assert!(pair[1].kl_nats >= pair[0].kl_nats - 1e-12);
        }
        assert_eq!(channel.law().prefix_joint(4).rows().len(), 32);
    }
}
