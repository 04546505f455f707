//! Rollouts find the step that matters within their intervals, and nothing where nothing matters.

use super::support::{
    EIGHT, NEITHER, THREE, decorating, measurement, of_kind, plan, prob_of_12, questions, record,
    second_step, texts,
};
use entrace_datasets::FormatKind;
use entrace_intervene::Draws;
use entrace_measure::intervention::{Kind, Reading};

const ROLLOUT: [Kind; 2] = [Kind::Resample, Kind::Mistake];

/// p(12) after the first k steps of a text, the steps to come marginalised.
fn rolled_out(text: &str, k: usize) -> f64 {
    if k < 2 { f64::midpoint(THREE, EIGHT) } else { prob_of_12(text) }
}

/// 200 traces with 24 draws. The interval of a change has 95 %: fewer than 180 of 200 have a probability of 0.002.
#[test]
fn known_effects_lie_within_their_intervals() {
    let model = second_step();
    let draws = Draws { fewest: 24, most: 24 };
    let recording = record(&model, questions(200), measurement(11), FormatKind::Number);
    let measured = recording.measure(&model, &plan(&ROLLOUT, &[Reading::Rollout], draws, 2));
    let texts = texts(&recording.traces());
    let steps = |id: &str| -> Vec<String> { texts[id].split_inclusive("\n\n").map(str::to_string).collect() };
    let mut covered = [0; 2];
    for (which, kind) in ["resample", "mistake"].into_iter().enumerate() {
        let rows = of_kind(&measured.rows, kind, "rollout");
        let second = rows.iter().filter(|row| row.step == 2 && row.variant.is_empty());
        for row in second {
            let text = &texts[&*row.question_id];
            let before = rolled_out(text, 2);
            let after = match kind {
                "resample" => rolled_out(text, 1),
                _ => {
                    let said = &steps(&row.question_id)[1];
                    let replaced =
                        said.replace(row.original.as_deref().unwrap(), row.replacement.as_deref().unwrap());
                    prob_of_12(&replaced)
                }
            };
            let truth = after - before;
            let (low, high) = (row.target_change_low.unwrap(), row.target_change_high.unwrap());
            covered[which] += usize::from(low <= truth && truth <= high);
        }
    }
    println!("covered: {covered:?} of 200");
    assert!(covered.iter().all(|&n| n >= 180), "{covered:?}");
    let above = |step: u32| {
        let rows = of_kind(&measured.rows, "resample", "rollout");
        let of_step = rows.iter().filter(|row| row.step == step && row.variant.is_empty());
        of_step.filter(|row| row.tv.unwrap() > row.noise_floor.unwrap() + 1e-9).count()
    };
    // Step two moves p(12) by 0.35; others by nothing: 5 % of 200 is 10, and more than 20 has a probability of 0.001.
    println!("above the floor: {:?} of 200", [1, 2, 3, 4, 5].map(above));
    assert!(above(2) > 100 && [1, 3, 4].iter().all(|&step| above(step) <= 20));
}

/// 100 traces with four steps that do not matter before the one that states the answer: 5 % of 400 is 20, and more than 36 has a probability of
/// 0.0004. Adaptive draws stay within the same rate.
#[test]
fn decoration_is_above_the_floor_at_the_nominal_rate() {
    let model = decorating();
    let recording = record(&model, questions(100), measurement(13), FormatKind::Number);
    for draws in [Draws { fewest: 16, most: 16 }, Draws { fewest: 4, most: 16 }] {
        let measured = recording.measure(&model, &plan(&[Kind::Resample], &[Reading::Rollout], draws, 4));
        let rows = of_kind(&measured.rows, "resample", "rollout");
        let all: Vec<_> =
            rows.iter().filter(|row| row.variant.is_empty() && row.step < row.n_steps).collect();
        let above = all.iter().filter(|row| row.tv.unwrap() > row.noise_floor.unwrap() + 1e-9).count();
        println!(
            "{draws:?}: {above} of {}, {} of {} draws",
            all.len(),
            measured.draws_made,
            measured.draws_at_most
        );
        assert!(all.len() == 400 && above <= 36, "{above} of {}", all.len());
        if draws.fewest < draws.most {
            assert!(measured.draws_made < measured.draws_at_most * 9 / 10, "{measured:?}");
        }
    }
}

#[test]
fn counterfactual_draws_say_something_else() {
    let model = second_step();
    let draws = Draws { fewest: 40, most: 40 };
    let recording = record(&model, questions(6), measurement(17), FormatKind::Number);
    let measured = recording.measure(&model, &plan(&[Kind::Resample], &[Reading::Rollout], draws, 4));
    let texts = texts(&recording.traces());
    let rows = of_kind(&measured.rows, "resample", "rollout");
    let second = rows.iter().filter(|row| row.step == 2 && &*row.variant == "counterfactual");
    for row in second {
        // Half of the draws have the other number, and all of those its belief.
        assert!((8..=32).contains(&row.n_draws.unwrap()), "{row:?}");
        let other = if prob_of_12(&texts[&*row.question_id]) > NEITHER { EIGHT } else { THREE };
        assert!((row.target_prob.unwrap() - other).abs() < 0.35, "{row:?}");
    }
    let last = rows.iter().filter(|row| row.step == 5 && &*row.variant == "counterfactual");
    assert!(last.clone().count() == 6);
}
