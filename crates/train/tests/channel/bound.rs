//! Information of trained models against what their divergence from the truth implies.
//!
//! Five models learn five channels from 200 to 60,000 episodes; at twelve checkpoints of each, from the random start on, everything is an exact
//! sum over the channel: I_θ(A; C_{1:k} | Q), KL(p ‖ p_θ), the gain on true prefixes, and the floor that the divergence puts under I_θ.
//! A model counts as restricted to sequences of the channel; what it gives to other tokens is the share lost.

use crate::world::{Lesson, World};
use entrace_worlds::channel::{Asked, Bound, Channel, Comparison, Options, compare};

/// A model at one step of its training.
struct Checkpoint {
    step: u64,
    leaked: f64,
    /// At each depth 0..=K.
    depths: Vec<Comparison>,
}

impl Checkpoint {
    fn last(&self) -> &Comparison {
        self.depths.last().unwrap()
    }

    /// The floor at the greatest depth, where there is one.
    fn floor(&self) -> Option<f64> {
        match self.last().bound {
            Bound::Holds { floor_nats, .. } => Some(floor_nats),
            _ => None,
        }
    }

    fn print(&self) {
        let informations: Vec<String> =
            self.depths[1..].iter().map(|at| format!("{:.3}", at.model_information_nats)).collect();
        let floor = self.floor().map_or("-".into(), |floor| format!("{floor:.3}"));
        let Comparison { kl_nats, total_variation, gain_nats, accuracy, .. } = self.last();
        println!(
            "| {} | {:.4} | {kl_nats:.4} | {total_variation:.4} | {} | {gain_nats:.3} | {accuracy:.3} | {floor} |",
            self.step,
            self.leaked,
            informations.join(" "),
        );
    }
}

/// A training with all its checkpoints.
fn history(options: Options, lesson: &Lesson) -> Vec<Checkpoint> {
    let world = World::new(options);
    let truth = world.channel.law();
    let folder = tempfile::tempdir().unwrap();
    let mut history = Vec::new();
    lesson.teach(&world, folder.path(), &mut |step, model| {
        let found = world.law(model);
        let depths = (0..=truth.n_steps()).map(|k| compare(truth, &found.law, k)).collect();
        history.push(Checkpoint { step, leaked: found.leaked, depths });
    });
    print_history(&world.channel, lesson, &history);
    history
}

fn print_history(channel: &Channel, lesson: &Lesson, history: &[Checkpoint]) {
    let Options { n_questions, n_answers, n_steps, flip, asked, .. } = channel.options();
    let joint = channel.law().prefix_joint(*n_steps);
    println!(
        "\n{n_questions} questions, {n_answers} answers, {n_steps} steps, flip {flip}, asked {asked:?}; E {}, {} episodes",
        lesson.hidden_size, lesson.n_episodes
    );
    println!(
        "H(A|Q) {:.3}, I(A; C_1:{n_steps} | Q) {:.3}, best accuracy {:.3}\n",
        joint.answer_entropy_nats(),
        joint.information_nats(),
        joint.bayes_accuracy()
    );
    println!(
        "| step | leaked | KL | TV | I_theta by k | G | accuracy | floor |\n|---|---|---|---|---|---|---|---|"
    );
    history.iter().for_each(Checkpoint::print);
}

/// What holds of every model, good or bad.
fn check(channel: &Channel, at: &Comparison) {
    let truth = channel.law().prefix_joint(at.depth);
    assert!(!matches!(at.bound, Bound::Violated { .. }), "{at:?}");
    let entropy = truth.answer_entropy_nats();
    assert!(at.scored_information_nats <= at.data_information_nats + 1e-9, "{at:?}");
    assert!(at.gain_nats <= entropy, "{at:?}");
    assert!(at.accuracy <= at.bayes_accuracy + 1e-9, "{at:?}");
    assert!(at.total_variation <= (at.kl_nats / 2.0).sqrt() + 1e-9, "{at:?}");
}

const SHORT: [u64; 12] = [0, 20, 60, 100, 140, 180, 220, 260, 300, 360, 420, 480];

/// Channels and lessons of every kind: few episodes, which are learnt by heart; steps that say little; another number of everything.
fn short_lessons() -> [(Options, Lesson); 4] {
    let lesson = |seed, n_episodes| Lesson {
        hidden_size: 32,
        n_episodes,
        batch_tokens: 256,
        seed,
        checkpoints: SHORT.to_vec(),
    };
    let two = Options { n_questions: 2, ..Options::default() };
    [
        (Options { seed: 1, n_steps: 2, ..two }, lesson(1, 200)),
        (Options { seed: 2, flip: 0.3, ..two }, lesson(2, 8000)),
        (Options { seed: 3, n_answers: 2, n_steps: 3, flip: 0.02, ..two }, lesson(3, 8000)),
        (Options { seed: 4, n_answers: 5, asked: Asked::AtEnd, ..two }, lesson(4, 8000)),
    ]
}

#[test]
fn models_of_many_channels_keep_to_the_bound() {
    let mut n_models = 0;
    for (options, lesson) in short_lessons() {
        let history = history(options, &lesson);
        let channel = Channel::new(options).unwrap();
        history.iter().flat_map(|checkpoint| &checkpoint.depths).for_each(|at| check(&channel, at));
        n_models += history.len();
    }
    assert_eq!(n_models, 48);
}

#[test]
fn a_model_that_fits_well_is_informative_because_it_does() {
    let options = Options { n_questions: 2, n_steps: 2, flip: 0.05, ..Options::default() };
    let lesson = Lesson {
        hidden_size: 48,
        n_episodes: 60_000,
        batch_tokens: 512,
        seed: 0,
        checkpoints: vec![0, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900],
    };
    let history = history(options, &lesson);
    let channel = Channel::new(options).unwrap();
    history.iter().flat_map(|checkpoint| &checkpoint.depths).for_each(|at| check(&channel, at));
    assert_eq!(history.len(), 12);

    let (first, last) = (&history[0], &history[11]);
    assert!(first.leaked > 0.5 && last.leaked < 0.01, "{}, {}", first.leaked, last.leaked);
    assert!(first.last().gain_nats.abs() < 0.05 && first.last().model_information_nats < 0.05);
    assert!(first.floor().is_none_or(|floor| floor < 0.0));
    assert!(last.last().kl_nats < 0.01, "{}", last.last().kl_nats);
    assert!(history.windows(2).all(|pair| pair[1].last().kl_nats < 1.5 * pair[0].last().kl_nats));
    for at in &last.depths {
        assert!((at.gain_nats - at.data_information_nats).abs() < 0.02, "{at:?}");
        assert!((at.model_information_nats - at.data_information_nats).abs() < 0.05, "{at:?}");
    }
    // The theorem says something: the model cannot but be informative.
    assert!(history[9..].iter().all(|checkpoint| checkpoint.floor().is_some_and(|floor| floor > 0.0)));
}
