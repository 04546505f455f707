//! Whole trainings of a tiny model: it learns, it resumes with the same bits, its checkpoints are models, adapters merge, rewards rise.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use entrace_backend::{Fork, Generate, GenerateRequest, Sampling, Text};
use entrace_decoder::{LanguageModel, Options};
use entrace_text::tokenizer::Tokenizer;
use entrace_train::rl::{Objective, RlData, RlOptions, RlQuestions, reinforce};
use entrace_train::{
    AdamW, Adaptation, Checkpoints, Decay, Event, Example, ExportType, FitData, FitOptions, Flow, Lora,
    LossOn, Model, ModelSize, Outcome, Output, Schedule, Sequence, TextFiles, Vocabulary, encode, fit,
    last_resumable, logprobs, mean_loss, step_folder,
};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Sums of two digits: prompt `3+4=`, completion `7`.
struct Sums {
    folder: TempDir,
    texts: TextFiles,
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
}

impl Sums {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = Vocabulary::new([" is".to_string()]).unwrap();
        let texts = vocabulary.files(64);
        texts.write(folder.path()).unwrap();
        let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
        Self { folder, texts, vocabulary, tokenizer }
    }

    fn model(&self) -> Model {
        let size = ModelSize {
            hidden_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            intermediate_size: 64,
            max_position_embeddings: 32,
            ..ModelSize::default()
        };
        Model::from_scratch(size.config(&self.vocabulary.ids()), 7).unwrap()
    }

    fn sequences(&self) -> Vec<Sequence> {
        let sums = (0..100).map(|i| (i / 10, i % 10));
        let examples: Vec<Example> = sums
            .map(|(a, b)| Example {
                prompt: format!("{a}+{b}="),
                completion: format!("{}", a + b),
                ..Example::default()
            })
            .collect();
        encode(&self.tokenizer, &examples, LossOn::Completion, 32).unwrap().sequences
    }

    fn output(&self, name: &str) -> Output {
        Output {
            folder: self.folder.path().join(name),
            texts: self.texts.clone(),
            checkpoints: Checkpoints { every: Some(5), at: vec![0], rolling: None },
            export: ExportType::F32,
            resumable: true,
        }
    }
}

fn options(steps: u64) -> FitOptions {
    FitOptions {
        steps,
        batch_tokens: 160,
        shards: 3,
        seed: 1,
        schedule: Schedule { peak: 1e-2, warmup_steps: 4, decay: Decay::Cosine(0.1) },
        evaluate_every: Some(4),
        ..FitOptions::default()
    }
}

fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Rows without what depends on the clock.
fn rows(folder: &Path) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let text = String::from_utf8(bytes(folder.join("metrics.jsonl"))).unwrap();
    let row = |line: &str| {
        let mut row: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
        row.retain(|key, _| !["tokens_per_sec", "elapsed_secs"].contains(&key.as_str()));
        row
    };
    text.lines().map(row).collect()
}

#[test]
fn a_resumed_training_has_the_bits_of_an_uninterrupted_one() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all[10..], held_out: &all[..10] };
    let whole = sums.output("whole");
    fit(&sums.model(), data, &options(13), &whole, None, &mut |_| Flow::Continue).unwrap();

    let halved = sums.output("halved");
    let mut stop_at_7 = |event: &Event<'_>| match event {
        Event::Fitted(row) if row.step == 7 => Flow::Stop,
        _ => Flow::Continue,
    };
    let stopped = fit(&sums.model(), data, &options(13), &halved, None, &mut stop_at_7).unwrap();
    let Outcome::Stopped(ending) = stopped else { panic!("{stopped:?}") };
    assert_eq!(ending.checkpoint, step_folder(&halved.folder, 7));
    // From the checkpoint before the last, so that rows have to be dropped.
    let from = step_folder(&halved.folder, 5);
    let resumed =
        fit(&sums.model(), data, &options(13), &halved, Some(&from), &mut |_| Flow::Continue).unwrap();
    assert!(matches!(resumed, Outcome::Finished(_)));
    for file in ["model.safetensors", "trainer_state.safetensors", "config.json", "tokenizer.json"] {
        let path = |output: &Output| step_folder(&output.folder, 13).join(file);
        assert_eq!(bytes(path(&whole)), bytes(path(&halved)), "{file}");
    }
    assert_eq!(rows(&whole.folder), rows(&halved.folder));

    let other = FitOptions { seed: 2, ..options(13) };
    let refused = fit(&sums.model(), data, &other, &halved, Some(&from), &mut |_| Flow::Continue);
    assert!(refused.unwrap_err().to_string().contains("seed"));
    let data = FitData { train: &all[11..], held_out: &[] };
    assert!(fit(&sums.model(), data, &options(13), &halved, Some(&from), &mut |_| Flow::Continue).is_err());
}

#[test]
fn a_checkpoint_is_a_model_that_has_learnt() {
    let sums = Sums::new();
    let all = sums.sequences();
    let model = sums.model();
    let before = mean_loss(&model, &all).unwrap().unwrap();
    let output = Output { export: ExportType::Bf16, resumable: false, ..sums.output("learnt") };
    let data = FitData { train: &all, held_out: &[] };
    let options = FitOptions { batch_tokens: 400, ..options(400) };
    let outcome = fit(&model, data, &options, &output, None, &mut |_| Flow::Continue).unwrap();
    let Outcome::Finished(ending) = outcome else { panic!("{outcome:?}") };
    let after = mean_loss(&model, &all).unwrap().unwrap();
    assert!(before > 4.0 && after < 0.1, "{before} to {after}");
    assert!(!ending.checkpoint.join("trainer_state.json").exists());

    let now = jiff::civil::DateTime::default();
    let read = LanguageModel::open("sums", &ending.checkpoint, Options::default(), now).unwrap();
    let sampling = Sampling { temperature: 0.0, top_p: 1.0, top_k: 0, max_new_tokens: 5, stop: Vec::new() };
    let asked = [(3, 4), (9, 8), (0, 0)].map(|(a, b)| format!("{a}+{b}="));
    let requests = asked.map(|text| {
        let context = read.encode_prompt(&text).unwrap().token_ids;
        let fork =
            Fork { n_tokens: context.len(), suffix: Vec::new(), streams: vec![0], max_new_tokens: None };
        GenerateRequest { context, forks: vec![fork] }
    });
    let completions = read.generate(&requests, &sampling, &mut |_| true).unwrap();
    let texts: Vec<&str> = completions.iter().flatten().flatten().map(|c| c.text.as_str()).collect();
    assert_eq!(texts, ["7", "17", "0"]);
    let loaded = Model::load(&ending.checkpoint, &Adaptation::Full, 0).unwrap();
    assert!((mean_loss(&loaded, &all).unwrap().unwrap() - after).abs() < 0.05);
}

#[test]
fn adapters_start_as_nothing_and_merge_into_what_they_learnt() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all, held_out: &[] };
    let base = sums.output("base");
    fit(&sums.model(), data, &options(5), &base, None, &mut |_| Flow::Continue).unwrap();
    let base = step_folder(&base.folder, 5);

    let lora = Adaptation::Lora(Lora { rank: 4, alpha: 8.0, ..Lora::default() });
    let adapted = Model::load(&base, &lora, 3).unwrap();
    let full = Model::load(&base, &Adaptation::Full, 3).unwrap();
    assert_eq!(logprobs(&adapted, &all).unwrap(), logprobs(&full, &all).unwrap());
    assert!(adapted.n_trained() < adapted.n_parameters() / 2);

    let output = sums.output("adapted");
    fit(&adapted, data, &options(10), &output, None, &mut |_| Flow::Continue).unwrap();
    let merged = Model::load(&step_folder(&output.folder, 10), &Adaptation::Full, 0).unwrap();
    let (found, expected) = (logprobs(&merged, &all).unwrap(), logprobs(&adapted, &all).unwrap());
    let unadapted = logprobs(&full, &all).unwrap();
    let mut moved = 0.0f64;
    for ((found, expected), before) in
        found.iter().flatten().zip(expected.iter().flatten()).zip(unadapted.iter().flatten())
    {
        assert!((found - expected).abs() < 1e-4);
        moved = moved.max((found - before).abs());
    }
    assert!(moved > 0.01);

    // Resuming takes the base from where it was and the adapters from the checkpoint.
    let again = Model::load(&base, &lora, 3).unwrap();
    let from = step_folder(&output.folder, 5);
    let resumed = sums.output("resumed");
    fit(&again, data, &options(10), &resumed, Some(&from), &mut |_| Flow::Continue).unwrap();
    let last = |output: &Output| bytes(step_folder(&output.folder, 10).join("model.safetensors"));
    assert_eq!(last(&resumed), last(&output));
}

#[test]
fn rewards_rise_and_resume_with_the_same_bits() {
    let sums = Sums::new();
    let prompts: Vec<Vec<u32>> =
        (0..20).map(|i| sums.tokenizer.encode_prompt(&format!("{}+{}=", i / 2, i % 2)).unwrap()).collect();
    // A reward that a fresh model finds by chance: the first token is a digit.
    let reward = |_: usize, completion: &entrace_backend::Completion| {
        f64::from(u8::from(completion.text.starts_with(|c: char| c.is_ascii_digit())))
    };
    let questions = RlQuestions { prompts: &prompts, reward: &reward };
    let held_out = Some(RlQuestions { prompts: &prompts[..5], reward: &reward });
    let data = RlData { train: questions, held_out, rehearsed: &[] };
    let options = RlOptions {
        steps: 12,
        questions: 8,
        samples: 8,
        max_new_tokens: 2,
        updates: 2,
        shards: 2,
        seed: 5,
        objective: Objective { kl_weight: 0.01, entropy_weight: 0.001, ..Objective::default() },
        optimizer: AdamW { weight_decay: 0.0, ..AdamW::default() },
        schedule: Schedule { peak: 5e-3, warmup_steps: 0, decay: Decay::Constant },
        max_kl: None,
        evaluate_every: Some(6),
        ..RlOptions::default()
    };
    let output = sums.output("rl");
    let mut rewards = Vec::new();
    let outcome = reinforce(&sums.model(), data, &options, &output, None, &mut |event| {
        if let Event::Reinforced(row) = event {
            rewards.push(row.reward);
        }
        Flow::Continue
    })
    .unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
    let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
    assert!(mean(&rewards[..2]) < 0.3 && mean(&rewards[9..]) > 0.5, "{rewards:?}");

    let resumed = sums.output("rl-again");
    let from = step_folder(&output.folder, 5);
    reinforce(&sums.model(), data, &options, &resumed, Some(&from), &mut |_| Flow::Continue).unwrap();
    let last = |output: &Output| bytes(step_folder(&output.folder, 12).join("trainer_state.safetensors"));
    assert_eq!(last(&resumed), last(&output));

    let limited = RlOptions { max_kl: Some(1e-6), ..options };
    let outcome =
        reinforce(&sums.model(), data, &limited, &sums.output("limited"), None, &mut |_| Flow::Continue);
    let Outcome::Diverged { reason, step, checkpoint } = outcome.unwrap() else { panic!("no divergence") };
    assert!(reason.contains("divergence") && step < 12);
    assert!(checkpoint.unwrap().join("model.safetensors").exists());
}

#[test]
fn drafts_are_given_and_not_learnt() {
    let sums = Sums::new();
    let example = |draft: &str, completion: &str| Example {
        prompt: "1+".to_string(),
        draft: draft.to_string(),
        completion: completion.to_string(),
    };
    let all = [example("", "2=3"), example("2=", "3")];
    let encoded = encode(&sums.tokenizer, &all, LossOn::Completion, 64).unwrap().sequences;
    assert_eq!(encoded[0].token_ids(), encoded[1].token_ids());
    let answer = sums.tokenizer.encode_plain("3").unwrap().len();
    assert_eq!(encoded[1].n_learnt(), answer + 1);
    assert!(encoded[0].n_learnt() > answer + 1);
}

#[test]
fn rehearsed_traces_are_learnt_beside_rewards_and_resume_with_the_same_bits() {
    let sums = Sums::new();
    let all = sums.sequences();
    let prompts: Vec<Vec<u32>> =
        (0..6).map(|i| sums.tokenizer.encode_prompt(&format!("{i}+1=")).unwrap()).collect();
    let reward = |_: usize, completion: &entrace_backend::Completion| completion.token_ids.len() as f64;
    let train = RlQuestions { prompts: &prompts, reward: &reward };
    let data = RlData { train, held_out: None, rehearsed: &all };
    let options = RlOptions {
        steps: 30,
        questions: 3,
        samples: 4,
        max_new_tokens: 3,
        shards: 2,
        rehearsal_weight: 5.0,
        rehearsal_tokens: 128,
        schedule: Schedule { peak: 1e-2, warmup_steps: 0, decay: Decay::Constant },
        max_kl: None,
        ..RlOptions::default()
    };
    let output = sums.output("rehearsed");
    let mut losses = Vec::new();
    reinforce(&sums.model(), data, &options, &output, None, &mut |event| {
        if let Event::Reinforced(row) = event {
            losses.extend(row.update.as_ref().and_then(|update| update.rehearsal_loss));
        }
        Flow::Continue
    })
    .unwrap();
    assert!(losses.len() > 10 && losses[losses.len() - 1] < 0.6 * losses[0], "{losses:?}");

    let resumed = sums.output("rehearsed-again");
    let from = step_folder(&output.folder, 25);
    reinforce(&sums.model(), data, &options, &resumed, Some(&from), &mut |_| Flow::Continue).unwrap();
    let last = |output: &Output| bytes(step_folder(&output.folder, 30).join("trainer_state.safetensors"));
    assert_eq!(last(&resumed), last(&output));
}

#[test]
fn numbers_that_are_not_finite_end_training_and_spare_the_weights() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all, held_out: &[] };
    let schedule = Schedule { peak: 1e30, warmup_steps: 0, decay: Decay::Constant };
    let output = sums.output("diverged");
    let mut skipped = Vec::new();
    let outcome =
        fit(&sums.model(), data, &FitOptions { schedule, ..options(40) }, &output, None, &mut |event| {
            if let Event::Fitted(row) = event {
                skipped.push(row.skipped);
            }
            Flow::Continue
        });
    let Outcome::Diverged { step, reason, checkpoint } = outcome.unwrap() else { panic!("no divergence") };
    assert!(reason.contains("not finite in the last 10 updates"), "{reason}");
    assert_eq!(step as usize, skipped.len());
    assert!(!skipped[0] && skipped[skipped.len() - 10..].iter().all(|&s| s));
    assert_eq!(checkpoint, Some(step_folder(&output.folder, 0)));
    assert_eq!(checkpoints(&output), ["step-000000"]);
    let line = std::fs::read_to_string(output.folder.join("metrics.jsonl")).unwrap();
    assert!(line.contains("\"grad_norm\":null"));
}

#[test]
fn weights_that_are_not_finite_are_not_written() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all, held_out: &[] };
    let schedule = Schedule { peak: 1e300, warmup_steps: 0, decay: Decay::Constant };
    let one = FitOptions { schedule, ..options(1) };
    let output = sums.output("infinite");
    let outcome = fit(&sums.model(), data, &one, &output, None, &mut |_| Flow::Continue).unwrap();
    let Outcome::Diverged { step: 1, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("weights are not finite"), "{reason}");
    assert_eq!(checkpoints(&output), ["step-000000"]);
    for peak in [f64::NAN, f64::INFINITY, -1e-3] {
        let schedule = Schedule { peak, ..Schedule::default() };
        let bad = FitOptions { schedule, ..options(1) };
        let refused = fit(&sums.model(), data, &bad, &sums.output("bad"), None, &mut |_| Flow::Continue);
        assert!(refused.unwrap_err().to_string().contains("schedule.peak"));
    }
}

/// The checkpoints in a folder.
fn checkpoints(output: &Output) -> Vec<String> {
    let entries = std::fs::read_dir(&output.folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "metrics.jsonl");
    names.sort();
    names
}

#[test]
fn a_rolling_checkpoint_is_there_until_the_next_and_resumes_with_the_same_bits() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all, held_out: &[] };
    let rolling = |name: &str| {
        let checkpoints = Checkpoints { rolling: Some(Duration::ZERO), ..Checkpoints::default() };
        Output { checkpoints, ..sums.output(name) }
    };
    let whole = rolling("whole");
    let mut seen = Vec::new();
    fit(&sums.model(), data, &options(6), &whole, None, &mut |event| {
        if let Event::Fitted(row) = event {
            seen.push((row.step, checkpoints(&whole)));
        }
        Flow::Continue
    })
    .unwrap();
    assert_eq!(seen[3], (4, vec!["step-000003".to_string()]));
    assert_eq!(checkpoints(&whole), ["step-000006"]);

    // As if killed while the checkpoint of step 5 was being written.
    let killed = rolling("killed");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        fit(&sums.model(), data, &options(6), &killed, None, &mut |event| match event {
            Event::Fitted(row) if row.step == 5 => panic!("killed"),
            _ => Flow::Continue,
        })
    }));
    assert!(panicked.is_err());
    std::fs::create_dir(killed.folder.join(".step-000005.entrace-tmp")).unwrap();
    let last = last_resumable(&killed.folder).unwrap();
    assert_eq!(last, step_folder(&killed.folder, 4));
    fit(&sums.model(), data, &options(6), &killed, Some(&last), &mut |_| Flow::Continue).unwrap();
    assert_eq!(checkpoints(&killed), ["step-000006"]);
    let weights = |output: &Output| bytes(step_folder(&output.folder, 6).join("trainer_state.safetensors"));
    assert_eq!(weights(&killed), weights(&whole));
    assert_eq!(rows(&killed.folder), rows(&whole.folder));
}

#[test]
fn a_checkpoint_of_a_stop_stays_and_a_finished_training_is_not_written_again() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all, held_out: &[] };
    let zero = Checkpoints { rolling: Some(Duration::ZERO), ..Checkpoints::default() };
    let output = Output { checkpoints: zero, ..sums.output("stopped") };
    let mut stop_at_2 = |event: &Event<'_>| match event {
        Event::Fitted(row) if row.step == 2 => Flow::Stop,
        _ => Flow::Continue,
    };
    let stopped = fit(&sums.model(), data, &options(4), &output, None, &mut stop_at_2).unwrap();
    assert!(matches!(stopped, Outcome::Stopped(_)));
    let go_on = |output: &Output| {
        let last = last_resumable(&output.folder).unwrap();
        let mut n_saved = 0;
        let outcome = fit(&sums.model(), data, &options(4), output, Some(&last), &mut |event| {
            n_saved += usize::from(matches!(event, Event::Saved { .. }));
            Flow::Continue
        });
        assert!(matches!(outcome.unwrap(), Outcome::Finished(ending) if ending.step == 4));
        n_saved
    };
    assert_eq!(go_on(&output), 1);
    assert_eq!(checkpoints(&output), ["step-000002", "step-000004"]);
    assert_eq!(go_on(&output), 0);
    assert_eq!(go_on(&Output { export: ExportType::Bf16, ..output }), 1);
}

#[test]
fn another_model_does_not_go_on() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all, held_out: &[] };
    let output = sums.output("one");
    fit(&sums.model(), data, &options(5), &output, None, &mut |_| Flow::Continue).unwrap();
    let from = step_folder(&output.folder, 5);
    let other = Model::load(&from, &Adaptation::Full, 0).unwrap();
    let refused = fit(&other, data, &options(5), &output, Some(&from), &mut |_| Flow::Continue);
    assert!(refused.unwrap_err().to_string().contains("another model"));
}

#[test]
fn what_cannot_be_continued_is_refused() {
    let sums = Sums::new();
    let all = sums.sequences();
    let data = FitData { train: &all, held_out: &[] };
    let output = sums.output("refused");
    fit(&sums.model(), data, &options(5), &output, None, &mut |_| Flow::Continue).unwrap();
    let from = step_folder(&output.folder, 5);
    let resume = || {
        let again = sums.output("refused-again");
        fit(&sums.model(), data, &options(5), &again, Some(&from), &mut |_| Flow::Continue)
            .map_err(|e| e.to_string())
    };
    assert!(resume().is_ok());
    let state = from.join("trainer_state.safetensors");
    let whole = bytes(&state);
    std::fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    assert!(resume().unwrap_err().contains("cannot be resumed"));
    std::fs::write(&state, &whole).unwrap();
    let json = from.join("trainer_state.json");
    let text = String::from_utf8(bytes(&json)).unwrap();
    std::fs::write(&json, text.replace("\"format_version\": 1", "\"format_version\": 2")).unwrap();
    assert!(resume().unwrap_err().contains("another version"));
    std::fs::remove_file(&json).unwrap();
    assert!(resume().unwrap_err().contains("no trainer state"));

    let none = FitData { train: &[], held_out: &[] };
    assert!(fit(&sums.model(), none, &options(5), &output, None, &mut |_| Flow::Continue).is_err());
    let zero = FitOptions { shards: 0, ..options(5) };
    assert!(fit(&sums.model(), data, &zero, &output, None, &mut |_| Flow::Continue).is_err());
}
