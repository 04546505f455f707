//! `entrace train`: maximum likelihood, fine-tuning and reinforcement learning of small models.
//!
//! In reading order: `flags` with their `numbers`; `data`, what is learnt; `file`, traces of one's own; `vocabulary`, the tokenizer of a new model;
//! `place`, its folder and where it resumes; `watch`, progress and measuring; `recipe`, several stages from a file.

mod data;
mod file;
pub(crate) mod flags;
mod numbers;
mod place;
mod recipe;
mod vocabulary;
mod watch;

use crate::exit::{Exit, InSetUp, SetUp};
use crate::model::Located;
use anyhow::Result;
use data::Questions;
use entrace_backend::Completion;
use entrace_decoder::{LanguageModel, Options};
use entrace_hub::Name;
use entrace_measure::Thoughts;
use entrace_text::tokenizer::Tokenizer;
use entrace_train::rl::{RlData, RlQuestions, reinforce};
use entrace_train::{FitData, FitOptions, Model, Outcome, Output, Sequence, TextFiles, fit};
use flags::{DataArgs, LossOnArg, Method, MleArgs, OutputArgs, RlArgs, SftArgs, TrainArgs};
use place::Place;
use std::io::Write;
use std::path::Path;
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
    let place = Place::of(&args.output, "mle")?;
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
    fit_model(&model, texts, (&learnt, &held_out, n_too_long), &options, (&args.data, &args.output), &place)
}

fn tokenizer_of(texts: &TextFiles) -> Result<Tokenizer> {
    let folder = tempfile::tempdir()?;
    texts.write(folder.path())?;
    Ok(Tokenizer::from_dir(folder.path())?)
}

fn sft(args: &SftArgs) -> Result<Exit> {
    let place = Place::of(&args.output, "sft")?;
    let Start { located, text, texts } = start(args.model.as_deref(), args.output.quiet)?;
    let traces = data::traces(&args.data)?;
    let model = Model::load(&located.path, &args.lora.adaptation(), args.update.seed).in_set_up()?;
    let most = model.context_length().min(CONTEXT_IN_TRAINING);
    let encode = |pairs: &[data::Pair]| data::encode_for(&text, pairs, args.data.loss_on, most);
    let (learnt, held_out) = (encode(&traces.learnt)?, encode(&traces.held_out)?);
    drop((traces, text));
    let options = args.fit.options(&args.update);
    let data = (learnt.sequences.as_slice(), held_out.sequences.as_slice(), learnt.n_too_long);
    fit_model(&model, texts, data, &options, (&args.data, &args.output), &place)
}

/// The model that a training starts from.
struct Start {
    located: Located,
    text: LanguageModel,
    texts: TextFiles,
}

fn start(name: Option<&str>, quiet: bool) -> Result<Start> {
    let located = locate(name, quiet)?;
    let now = jiff::Zoned::now().datetime();
    let text = LanguageModel::open(&located.name, &located.path, Options::default(), now).in_set_up()?;
    let texts = TextFiles::read(&located.path)?;
    Ok(Start { located, text, texts })
}

/// Finds the files of a model that can be trained.
fn locate(name: Option<&str>, quiet: bool) -> Result<Located> {
    const LAYOUT: &str = "a folder in Hugging Face layout (config.json, tokenizer.json, *.safetensors)";
    let refuse = |problem: String| anyhow::Error::new(SetUp(problem));
    let name = name.ok_or_else(|| {
        refuse(format!(
            "--model is missing: {LAYOUT}, the folder of a training, org/name on the Hub, or sprout"
        ))
    })?;
    let is_gguf_on_the_hub =
        !Path::new(name).exists() && Name::parse(name).is_ok_and(|name| name.gguf.is_some());
    if name.ends_with(".gguf") || is_gguf_on_the_hub {
        return Err(refuse(format!(
            "--model {name}: training needs {LAYOUT}; GGUF files can only be measured"
        )));
    }
    let located = crate::model::locate(Some(name), quiet)?;
    if !located.path.join("config.json").is_file() {
        let where_it_is = located.path.display();
        return Err(refuse(format!(
            "--model {name}: training needs {LAYOUT}; {where_it_is} has no config.json"
        )));
    }
    Ok(located)
}

fn fit_model(
    model: &Model,
    texts: TextFiles,
    (learnt, held_out, n_too_long): (&[Sequence], &[Sequence], usize),
    options: &FitOptions,
    (data, args): (&DataArgs, &OutputArgs),
    place: &Place<'_>,
) -> Result<Exit> {
    let output = output(args, &place.folder, texts, options.steps);
    let measuring = Measuring { output: args, data: &data.data, data_dir: data.data_dir.as_deref() };
    let mut watch = Watch::new(measuring, place, options.steps)?;
    let n_tokens: usize = learnt.iter().map(Sequence::n_run).sum();
    watch.note(&format!("{} weights, {} traces, {n_tokens} tokens", model.n_parameters(), learnt.len()));
    watch.note_too_long(n_too_long);
    let data = FitData { train: learnt, held_out };
    place.clear()?;
    let resume = place.resume.as_deref();
    let outcome = fit(model, data, options, &output, resume, &mut |event| watch.event(event));
    conclude(&place.explain(outcome)?, watch, place)
}

fn rl(args: &RlArgs) -> Result<Exit> {
    let place = Place::of(&args.output, "rl")?;
    let Start { located, text, texts } = start(args.model.as_deref(), args.output.quiet)?;
    let (learnt, held_out) = data::questions(&args.questions, &text)?;
    let model = Model::load(&located.path, &args.lora.adaptation(), args.update.seed).in_set_up()?;
    let most = model.context_length().min(CONTEXT_IN_TRAINING);
    let rehearsed = data::encode_for(&text, &data::rehearsed(args)?, LossOnArg::Completion, most)?;
    drop(text);
    if let (Some(what), true) = (&args.rehearsal.rehearse, rehearsed.sequences.is_empty()) {
        return Err(SetUp(format!("--rehearse: {what} has no traces that fit into the context")).into());
    }
    let options = args.group.options(&args.update, &args.rehearsal);
    let output = output(&args.output, &place.folder, texts, options.steps);
    let measuring = Measuring {
        output: &args.output,
        data: &args.questions.data,
        data_dir: args.questions.data_dir.as_deref(),
    };
    let mut watch = Watch::new(measuring, &place, options.steps)?;
    watch.note_too_long(rehearsed.n_too_long);
    let (learnt_reward, held_out_reward) = (exact(&learnt), exact(&held_out));
    let data = RlData {
        train: RlQuestions { prompts: &learnt.prompts, reward: &learnt_reward },
        held_out: Some(RlQuestions { prompts: &held_out.prompts, reward: &held_out_reward }),
        rehearsed: &rehearsed.sequences,
    };
    place.clear()?;
    let resume = place.resume.as_deref();
    let outcome = reinforce(&model, data, &options, &output, resume, &mut |event| watch.event(event));
    conclude(&place.explain(outcome)?, watch, &place)
}

/// 1 for a completion whose answer is the target, else 0.
fn exact(questions: &Questions) -> impl Fn(usize, &Completion) -> f64 + Sync {
    let format = questions.kind.format();
    move |question, completion| {
        let answer = Thoughts::default().divide(&completion.text, None).answer(format.as_ref(), false, None);
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

/// Says how training ended.
fn conclude(outcome: &Outcome, watch: Watch<'_>, place: &Place<'_>) -> Result<Exit> {
    let (steps, measured) = (watch.steps, watch.end()?);
    let mut out = crate::terminal::stdout();
    let (ending, is_stopped) = match outcome {
        Outcome::Finished(ending) => (ending, false),
        Outcome::Stopped(ending) => (ending, true),
        Outcome::Diverged { step, reason, checkpoint } => {
            let last =
                checkpoint.as_ref().map(|folder| format!("the last checkpoint is {}", folder.display()));
            let last = last.unwrap_or_else(|| "no checkpoint was written".to_string());
            anyhow::bail!("training ended at update {step}: {reason}; lower --learning-rate; {last}")
        }
    };
    let (step, secs, checkpoint) = (ending.step, ending.elapsed_secs, ending.checkpoint.display());
    if is_stopped {
        writeln!(out, "interrupted after update {step} of {steps}: {checkpoint}")?;
    } else {
        writeln!(out, "{step} updates in {secs:.0} s: {checkpoint}")?;
    }
    if ending.n_skipped > 0 {
        writeln!(out, "{} updates were left out: loss or gradient was not finite", ending.n_skipped)?;
    }
    if !measured.runs.is_empty() {
        let runs: Vec<String> = measured.runs.iter().map(|run| run.display().to_string()).collect();
        writeln!(out, "entrace compare {}", runs.join(" "))?;
    }
    if is_stopped || !measured.is_complete {
        writeln!(out, "{}", place.way_on())?;
        return Ok(Exit::interrupted());
    }
    Ok(Exit::success())
}
