//! `entrace train`: maximum likelihood, fine-tuning and reinforcement learning of small models.
//!
//! In reading order: `flags` with their `numbers`; `data`, what is learnt; `file`, traces of one's own; `vocabulary`, the tokenizer of a new model; `watch`,
//! progress and measuring; `recipe`, several stages from a file.

mod data;
mod file;
pub(crate) mod flags;
mod numbers;
mod recipe;
mod vocabulary;
mod watch;

use crate::exit::{Exit, InSetUp, SetUp};
use crate::model::Located;
use anyhow::Result;
use data::Questions;
use entrace_backend::Completion;
use entrace_decoder::tokenizer::Tokenizer;
use entrace_decoder::{LanguageModel, Options};
use entrace_train::rl::{RlData, RlQuestions, reinforce};
use entrace_train::{FitData, FitOptions, Model, Outcome, Output, Sequence, TextFiles, fit};
use flags::{DataArgs, LossOnArg, Method, MleArgs, OutputArgs, RlArgs, SftArgs, TrainArgs};
use std::io::Write;
use std::path::{Path, PathBuf};
use watch::{Measuring, Watch};

/// Most tokens of an example of a model with a long context.
const CONTEXT_IN_TRAINING: usize = 2048;

pub(crate) fn train(args: TrainArgs) -> Result<Exit> {
    match args.method {
        Method::Mle(args) => mle(&args),
        Method::Sft(args) => sft(&args),
        Method::Rl(args) => rl(&args),
        Method::Recipe(args) => recipe::follow(&args),
    }
}

fn mle(args: &MleArgs) -> Result<Exit> {
    let folder = output_folder(&args.output, "mle")?;
    let size = args.size.size()?;
    let traces = data::traces(&args.data)?;
    let vocabulary = vocabulary::of(&args.data, &traces)?;
    let texts = vocabulary.files(size.max_position_embeddings);
    let model = Model::from_scratch(size.config(&vocabulary.ids()), args.update.seed).in_set_up()?;
    let tokenizer = tokenizer_of(&texts)?;
    let encode = |pairs: &[data::Pair]| {
        let encoded = data::encode_plain(&tokenizer, pairs, args.data.loss_on, size.max_position_embeddings)?;
        Ok::<_, anyhow::Error>((encoded.sequences, encoded.n_too_long))
    };
    let ((learnt, n_too_long), (held_out, _)) = (encode(&traces.learnt)?, encode(&traces.held_out)?);
    drop(traces);
    let options = args.fit.options(&args.update);
    fit_model(&model, texts, (&learnt, &held_out, n_too_long), &options, (&args.data, &args.output), &folder)
}

fn tokenizer_of(texts: &TextFiles) -> Result<Tokenizer> {
    let folder = tempfile::tempdir()?;
    texts.write(folder.path())?;
    Ok(Tokenizer::from_dir(folder.path())?)
}

fn sft(args: &SftArgs) -> Result<Exit> {
    let folder = output_folder(&args.output, "sft")?;
    let Start { located, text, texts } = start(args.model.as_deref())?;
    let traces = data::traces(&args.data)?;
    let model = Model::load(&located.path, &args.lora.adaptation(), args.update.seed).in_set_up()?;
    let most = model.context_length().min(CONTEXT_IN_TRAINING);
    let encode = |pairs: &[data::Pair]| data::encode_for(&text, pairs, args.data.loss_on, most);
    let (learnt, held_out) = (encode(&traces.learnt)?, encode(&traces.held_out)?);
    drop((traces, text));
    let options = args.fit.options(&args.update);
    let data = (learnt.sequences.as_slice(), held_out.sequences.as_slice(), learnt.n_too_long);
    fit_model(&model, texts, data, &options, (&args.data, &args.output), &folder)
}

/// The model that a training starts from.
struct Start {
    located: Located,
    text: LanguageModel,
    texts: TextFiles,
}

fn start(name: Option<&str>) -> Result<Start> {
    let located = crate::model::locate(name)?;
    let now = jiff::Zoned::now().datetime();
    let text = LanguageModel::open(&located.name, &located.path, Options::default(), now).in_set_up()?;
    let texts = TextFiles::read(&located.path)?;
    Ok(Start { located, text, texts })
}

fn fit_model(
    model: &Model,
    texts: TextFiles,
    (learnt, held_out, n_too_long): (&[Sequence], &[Sequence], usize),
    options: &FitOptions,
    (data, args): (&DataArgs, &OutputArgs),
    folder: &Path,
) -> Result<Exit> {
    let output = output(args, folder, texts, options.steps);
    let measuring = Measuring { output: args, data: &data.data, data_dir: data.data_dir.as_deref() };
    let mut watch = Watch::new(measuring, folder, options.steps)?;
    let n_tokens: usize = learnt.iter().map(Sequence::n_run).sum();
    watch.note(&format!("{} weights, {} traces, {n_tokens} tokens", model.n_parameters(), learnt.len()));
    watch.note_too_long(n_too_long);
    let data = FitData { train: learnt, held_out };
    let outcome = fit(model, data, options, &output, args.resume.as_deref(), &mut |event| watch.event(event));
    conclude(outcome.in_set_up()?, watch)
}

fn rl(args: &RlArgs) -> Result<Exit> {
    let folder = output_folder(&args.output, "rl")?;
    let Start { located, text, texts } = start(args.model.as_deref())?;
    let (learnt, held_out) = data::questions(&args.questions, &text)?;
    let model = Model::load(&located.path, &args.lora.adaptation(), args.update.seed).in_set_up()?;
    let most = model.context_length().min(CONTEXT_IN_TRAINING);
    let rehearsed = data::encode_for(&text, &data::rehearsed(args)?, LossOnArg::Completion, most)?;
    drop(text);
    if let (Some(what), true) = (&args.rehearsal.rehearse, rehearsed.sequences.is_empty()) {
        return Err(SetUp(format!("--rehearse: {what} has no traces that fit into the context")).into());
    }
    let options = args.group.options(&args.update, &args.rehearsal);
    let output = output(&args.output, &folder, texts, options.steps);
    let measuring = Measuring {
        output: &args.output,
        data: &args.questions.data,
        data_dir: args.questions.data_dir.as_deref(),
    };
    let mut watch = Watch::new(measuring, &folder, options.steps)?;
    watch.note_too_long(rehearsed.n_too_long);
    let (learnt_reward, held_out_reward) = (exact(&learnt), exact(&held_out));
    let data = RlData {
        train: RlQuestions { prompts: &learnt.prompts, reward: &learnt_reward },
        held_out: Some(RlQuestions { prompts: &held_out.prompts, reward: &held_out_reward }),
        rehearsed: &rehearsed.sequences,
    };
    let resume = args.output.resume.as_deref();
    let outcome = reinforce(&model, data, &options, &output, resume, &mut |event| watch.event(event));
    conclude(outcome.in_set_up()?, watch)
}

/// 1 for a completion whose answer is the target, else 0.
fn exact(questions: &Questions) -> impl Fn(usize, &Completion) -> f64 + Sync {
    let format = questions.kind.format();
    move |question, completion| {
        let answer = format.extract(&completion.text, None);
        f64::from(u8::from(answer == questions.targets[question]))
    }
}

fn output(args: &OutputArgs, folder: &Path, texts: TextFiles, steps: u64) -> Output {
    Output {
        folder: folder.to_path_buf(),
        texts,
        checkpoints: args.checkpoints(steps),
        export: args.export(),
        resumable: !args.no_resume,
    }
}

/// The output folder, which must not hold another training unless that is resumed or replaced.
fn output_folder(args: &OutputArgs, method: &str) -> Result<PathBuf> {
    let folder = args.output_path.clone().unwrap_or_else(|| Path::new("entrace-train").join(method));
    if args.resume.is_none() && folder.join("metrics.jsonl").exists() {
        if !args.overwrite {
            let problem = format!(
                "{} holds a training already: give --resume CHECKPOINT, --overwrite or another --output-path",
                folder.display()
            );
            return Err(SetUp(problem).into());
        }
        for checkpoint in crate::model::checkpoints(&folder) {
            std::fs::remove_dir_all(checkpoint)?;
        }
    }
    Ok(folder)
}

/// Says how training ended.
fn conclude(outcome: Outcome, watch: Watch<'_>) -> Result<Exit> {
    let measured = watch.end()?;
    let (ending, exit) = match &outcome {
        Outcome::Finished(ending) => (ending, Exit::success()),
        Outcome::Stopped(ending) => (ending, Exit::interrupted()),
        Outcome::Diverged { ending, reason } => {
            anyhow::bail!("training ended at step {}: {reason}; lower --learning-rate", ending.step)
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} updates in {:.0} s: {}",
        ending.step,
        ending.elapsed_secs,
        ending.checkpoint.display()
    )?;
    if ending.n_skipped > 0 {
        writeln!(out, "{} updates were left out: loss or gradient was not finite", ending.n_skipped)?;
    }
    if !measured.is_empty() {
        let runs: Vec<String> = measured.iter().map(|run| run.display().to_string()).collect();
        writeln!(out, "entrace compare {}", runs.join(" "))?;
    }
    Ok(exit)
}
