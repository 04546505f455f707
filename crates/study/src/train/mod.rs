//! Trainings from end to end: maximum likelihood, fine-tuning and reinforcement learning of small models.
//!
//! In reading order: `data`, what is learnt; `file`, traces of one's own; `vocabulary`, the tokenizer of a new model; `place`, its folder and
//! where it resumes; [`Training`], all of it together.

mod data;
mod file;
mod place;
mod vocabulary;

pub use data::{ARITH, Annotators, QuestionData, RehearsalData, TraceData};
pub use file::Reading;
pub use place::Place;

use crate::error::{Error, LAYOUT};
use crate::host::Host;
use crate::model::{Located, locate};
use data::{Pair, Questions};
use entrace_backend::Completion;
use entrace_decoder::{LanguageModel, Options};
use entrace_hub::Name;
use entrace_measure::Thoughts;
use entrace_text::tokenizer::Tokenizer;
use entrace_train::rl::{RlData, RlOptions, RlQuestions, reinforce};
use entrace_train::{
    Adaptation, Checkpoints, Encoded, Event, ExportType, FitData, FitOptions, Flow, LossOn, Model, ModelSize,
    Outcome, Output, Sequence, TextFiles, fit,
};
use std::path::Path;

/// Most tokens of an example of a model with a long context.
const CONTEXT_IN_TRAINING: usize = 2048;

/// Which model a training starts from, and which of its weights change.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its name.
    pub model: Option<String>,
    /// All weights, or adapters.
    pub adaptation: Adaptation,
}

/// What becomes of checkpoints.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// When they are written.
    pub checkpoints: Checkpoints,
    /// Type of their weights.
    pub export: ExportType,
    /// Whether they can be resumed.
    pub resumable: bool,
}

/// Maximum likelihood: what is learnt, and how.
#[derive(Debug, Clone)]
pub struct FitPlan {
    /// The traces.
    pub data: TraceData,
    /// Batches and updates.
    pub options: FitOptions,
    /// The checkpoints.
    pub keeping: Keeping,
}

/// Reinforcement learning: what is asked, and how rewards are learnt.
#[derive(Debug, Clone)]
pub struct RlPlan {
    /// The questions.
    pub questions: QuestionData,
    /// What is rehearsed beside the rewards.
    pub rehearsal: RehearsalData,
    /// Samples, rewards and updates.
    pub options: RlOptions,
    /// The checkpoints.
    pub keeping: Keeping,
}

/// A training with its model and data, ready to begin or to resume.
pub struct Training {
    model: Model,
    work: Work,
    output: Output,
    place: Place,
    /// Traces that are longer than the context, and left out.
    pub n_too_long: usize,
}

enum Work {
    Fit { learnt: Vec<Sequence>, held_out: Vec<Sequence>, options: FitOptions },
    Reinforce { learnt: Questions, held_out: Questions, rehearsed: Vec<Sequence>, options: Box<RlOptions> },
}

impl Training {
    /// Maximum likelihood from scratch: a new model of this size learns traces.
    pub fn mle(size: &ModelSize, plan: FitPlan, place: Place, host: &dyn Host) -> Result<Self, Error> {
        let FitPlan { data, options, keeping } = plan;
        let traces = data::traces(&data, host)?;
        let vocabulary = vocabulary::of(&data.source, &traces)?;
        let texts = vocabulary.files(size.max_position_embeddings);
        let model = Model::from_scratch(size.config(&vocabulary.ids()), options.seed)?;
        let tokenizer = tokenizer_of(&texts)?;
        let encode = |pairs: &[Pair]| {
            data::encode_plain(&tokenizer, pairs, data.loss_on, size.max_position_embeddings)
        };
        let encoded = (encode(&traces.learnt)?, encode(&traces.held_out)?);
        Ok(Self::fitting(model, encoded, options, keeping.output(&place, texts), place))
    }

    /// Fine-tuning: a model learns further traces.
    pub fn sft(start: &Start, plan: FitPlan, place: Place, host: &dyn Host) -> Result<Self, Error> {
        let FitPlan { data, options, keeping } = plan;
        let Opened { located, text, texts } = open(start.model.as_deref(), host)?;
        let traces = data::traces(&data, host)?;
        let model = Model::load(&located.path, &start.adaptation, options.seed)?;
        let most = model.context_length().min(CONTEXT_IN_TRAINING);
        let encode = |pairs: &[Pair]| data::encode_for(&text, pairs, data.loss_on, most);
        let encoded = (encode(&traces.learnt)?, encode(&traces.held_out)?);
        Ok(Self::fitting(model, encoded, options, keeping.output(&place, texts), place))
    }

    fn fitting(
        model: Model,
        (learnt, held_out): (Encoded, Encoded),
        options: FitOptions,
        output: Output,
        place: Place,
    ) -> Self {
        let n_too_long = learnt.n_too_long;
        let work = Work::Fit { learnt: learnt.sequences, held_out: held_out.sequences, options };
        Self { model, work, output, place, n_too_long }
    }

    /// Reinforcement learning: a model answers and is rewarded where its answer is exact.
    pub fn rl(start: &Start, plan: RlPlan, place: Place, host: &dyn Host) -> Result<Self, Error> {
        let Opened { located, text, texts } = open(start.model.as_deref(), host)?;
        let (learnt, held_out) = data::questions(&plan.questions, &text, host)?;
        let model = Model::load(&located.path, &start.adaptation, plan.options.seed)?;
        let most = model.context_length().min(CONTEXT_IN_TRAINING);
        let pairs = data::rehearsed(&plan.rehearsal, &plan.questions, host)?;
        let rehearsed = data::encode_for(&text, &pairs, LossOn::Completion, most)?;
        if let (Some(name), true) = (plan.rehearsal.source, rehearsed.sequences.is_empty()) {
            let what = "traces that fit into the context";
            return Err(Error::NothingToLearn { source_name: name, what });
        }
        let output = plan.keeping.output(&place, texts);
        let n_too_long = rehearsed.n_too_long;
        let options = Box::new(plan.options);
        let work = Work::Reinforce { learnt, held_out, rehearsed: rehearsed.sequences, options };
        Ok(Self { model, work, output, place, n_too_long })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Updates or steps until the end.
    pub fn steps(&self) -> u64 {
        match &self.work {
            Work::Fit { options, .. } => options.steps,
            Work::Reinforce { options, .. } => options.steps,
        }
    }

    /// Of maximum likelihood: weights, traces and tokens.
    pub fn sizes(&self) -> Option<(usize, usize, usize)> {
        match &self.work {
            Work::Fit { learnt, .. } => {
                let n_tokens = learnt.iter().map(Sequence::n_run).sum();
                Some((self.model.n_parameters(), learnt.len(), n_tokens))
            }
            Work::Reinforce { .. } => None,
        }
    }

    /// Trains. `observe` is told what happens and may stop it.
    pub fn run(&self, observe: &mut dyn FnMut(&Event<'_>) -> Flow) -> Result<Outcome, Error> {
        self.place.clear()?;
        let resume = self.place.resume.as_deref();
        let outcome = match &self.work {
            Work::Fit { learnt, held_out, options } => {
                let data = FitData { train: learnt, held_out };
                fit(&self.model, data, options, &self.output, resume, observe)
            }
            Work::Reinforce { learnt, held_out, rehearsed, options } => {
                let rewards = (exact(learnt), exact(held_out));
                let data = RlData {
                    train: RlQuestions { prompts: &learnt.prompts, reward: &rewards.0 },
                    held_out: Some(RlQuestions { prompts: &held_out.prompts, reward: &rewards.1 }),
                    rehearsed,
                };
                reinforce(&self.model, data, options, &self.output, resume, observe)
            }
        };
        self.place.explain(outcome)
    }
}

impl Keeping {
    fn output(self, place: &Place, texts: TextFiles) -> Output {
        let Self { checkpoints, export, resumable } = self;
        Output { folder: place.folder.clone(), texts, checkpoints, export, resumable }
    }
}

fn tokenizer_of(texts: &TextFiles) -> Result<Tokenizer, Error> {
    let folder = tempfile::tempdir().map_err(Error::io("create a folder in", std::env::temp_dir()))?;
    texts.write(folder.path())?;
    Tokenizer::from_dir(folder.path()).map_err(|error| entrace_train::Error::from(error).into())
}

/// The model that a training starts from.
struct Opened {
    located: Located,
    text: LanguageModel,
    texts: TextFiles,
}

fn open(name: Option<&str>, host: &dyn Host) -> Result<Opened, Error> {
    let located = locate_trainable(name, host)?;
    let now = jiff::Zoned::now().datetime();
    let text = LanguageModel::open(&located.name, &located.path, Options::default(), now)?;
    let texts = TextFiles::read(&located.path)?;
    Ok(Opened { located, text, texts })
}

/// Finds the files of a model that can be trained.
fn locate_trainable(name: Option<&str>, host: &dyn Host) -> Result<Located, Error> {
    let Some(name) = name else {
        let expected =
            format!("{LAYOUT}, the folder of a training, org/name on the Hub, or a model that is built in");
        return Err(Error::Missing { option: "model", expected });
    };
    let refuse = |problem: String| Error::CannotBeTrained { name: name.to_string(), problem };
    let is_gguf_on_the_hub =
        !Path::new(name).exists() && Name::parse(name).is_ok_and(|name| name.gguf.is_some());
    if name.ends_with(".gguf") || is_gguf_on_the_hub {
        return Err(refuse("GGUF files can only be measured".to_string()));
    }
    let located = locate(Some(name), host)?;
    if !located.path.join("config.json").is_file() {
        return Err(refuse(format!("{} has no config.json", located.path.display())));
    }
    Ok(located)
}

/// 1 for a completion whose answer is the target, else 0.
fn exact(questions: &Questions) -> impl Fn(usize, &Completion) -> f64 + Sync {
    let format = questions.kind.format();
    move |question, completion| {
        let answer = Thoughts::default().divide(&completion.text, None).answer(format.as_ref(), false, None);
        f64::from(u8::from(answer == questions.targets[question]))
    }
}
