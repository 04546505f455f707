//! Maximum likelihood on worked solutions of word problems, then reinforcement learning on their answers.
//!
//! `cargo run --release -p entrace-train --example arith -- FOLDER [mle steps] [rl steps]` prints losses, rewards and the share of right answers.

#![expect(clippy::print_stdout, reason = "an example that prints its result")]

use entrace_backend::Completion;
use entrace_decoder::tokenizer::Tokenizer;
use entrace_train::rl::{RlData, RlOptions, RlQuestions, reinforce};
use entrace_train::{
    Checkpoints, Event, Example, ExportType, FitData, FitOptions, Flow, LossOn, Model, ModelSize, Output,
    Schedule, Vocabulary, encode, fit,
};
use entrace_worlds::arith::{Difficulty, Problem, Split, generate, pieces, prompt};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = PathBuf::from(arguments.first().ok_or("give a folder")?);
    let number = |index: usize, default: u64| arguments.get(index).map_or(Ok(default), |a| a.parse());
    let (mle_steps, rl_steps) = (number(1, 1000)?, number(2, 20)?);

    let vocabulary = Vocabulary::new(pieces())?;
    let texts = vocabulary.files(256);
    texts.write(&folder)?;
    let tokenizer = Tokenizer::from_dir(&folder)?;
    let model = Model::from_scratch(ModelSize::default().config(&vocabulary.ids()), 0)?;
    let problems = |split: Split, n: u64| -> Vec<Problem> {
        (0..n).map(|i| generate(0, split, i, &Difficulty::default())).collect()
    };
    let (train, held_out) = (problems(Split::Train, 20_000), problems(Split::Test, 200));
    let example = |p: &Problem| Example { prompt: prompt(&p.question), completion: p.solution.completion() };
    let sequences = |problems: &[Problem]| {
        let examples: Vec<Example> = problems.iter().map(example).collect();
        encode(&tokenizer, &examples, LossOn::Completion, 256)
    };
    let output = |name: &str| Output {
        folder: folder.join(name),
        texts: texts.clone(),
        checkpoints: Checkpoints { every: Some(500), at: vec![0] },
        export: ExportType::F32,
        resumable: true,
    };
    let options = FitOptions {
        steps: mle_steps,
        schedule: Schedule { peak: 3e-3, warmup_steps: 100, ..Schedule::default() },
        ..FitOptions::default()
    };
    let (learnt, measured) = (sequences(&train)?.sequences, sequences(&held_out)?.sequences);
    println!("{} tokens in the vocabulary, {} weights", vocabulary.ids().size, model.n_parameters());
    fit(&model, FitData { train: &learnt, held_out: &measured }, &options, &output("mle"), None, &mut tell)?;

    let prompts = |problems: &[Problem]| -> Result<Vec<Vec<u32>>, _> {
        problems.iter().map(|p| tokenizer.encode_prompt(&prompt(&p.question))).collect()
    };
    let (train_prompts, held_out_prompts) = (prompts(&train)?, prompts(&held_out)?);
    let right = |problem: &Problem, completion: &Completion| {
        f64::from(u8::from(completion.text.ends_with(&problem.solution.answer_line())))
    };
    let train_reward = |i: usize, completion: &Completion| right(&train[i], completion);
    let held_out_reward = |i: usize, completion: &Completion| right(&held_out[i], completion);
    let data = RlData {
        train: RlQuestions { prompts: &train_prompts, reward: &train_reward },
        held_out: Some(RlQuestions { prompts: &held_out_prompts, reward: &held_out_reward }),
    };
    let options = RlOptions { steps: rl_steps, questions: 32, max_new_tokens: 128, ..RlOptions::default() };
    reinforce(&model, data, &options, &output("rl"), None, &mut tell)?;
    Ok(())
}

fn tell(event: &Event<'_>) -> Flow {
    match event {
        Event::Fitted(row) if row.step % 50 == 0 => println!(
            "step {}: loss {:.3}, norm {:.2}, {:.0} tokens/s, {:.0} s",
            row.step, row.loss, row.grad_norm, row.tokens_per_sec, row.elapsed_secs
        ),
        Event::Evaluated(row) => println!("step {}: held-out loss {:.3}", row.step, row.eval_loss),
        Event::Reinforced(row) => println!(
            "step {}: accuracy {:.3}, length {:.0}, {} groups, {:?}, {:.0} s",
            row.step, row.accuracy, row.length, row.n_groups_used, row.update, row.elapsed_secs
        ),
        Event::Rewarded(row) => println!("step {}: held-out accuracy {:.3}", row.step, row.eval_accuracy),
        _ => {}
    }
    Flow::Continue
}
