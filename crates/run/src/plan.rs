//! What to measure, and how.

use crate::error::{Capability, Error};
use crate::stopping::Stopping;
use entrace_backend::{ChatMessage, Generate, ReadLayers, Sampling, ScoreTree, Text};
use entrace_measure::signal::Group;
use entrace_measure::{AnswerFormat, Control, Estimator, Question, Segmentation};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An engine with what it can do. What a run needs and it lacks is refused before anything is measured (`check`).
#[derive(Clone, Copy)]
pub struct Engine<'a> {
    /// Text to tokens and back.
    pub text: &'a dyn Text,
    /// Sampling, where the engine can.
    pub generator: Option<&'a dyn Generate>,
    /// Scoring of continuations, where the engine can.
    pub scorer: Option<&'a dyn ScoreTree>,
    /// Reading of layers, where the engine can.
    pub layers: Option<&'a dyn ReadLayers>,
}

impl<'a> Engine<'a> {
    /// Its sampling, which must be there.
    pub fn generator(self) -> Result<&'a dyn Generate, Error> {
        self.generator.ok_or(Error::Lacks(Capability::Generate))
    }

    /// Its scoring of continuations, which must be there.
    pub fn scorer(self) -> Result<&'a dyn ScoreTree, Error> {
        self.scorer.ok_or(Error::Lacks(Capability::ScoreTree))
    }
}

/// One task that is being measured: what goes wherever its questions go.
#[derive(Clone, Copy)]
pub(crate) struct TaskRun<'a> {
    pub(crate) engine: Engine<'a>,
    pub(crate) task: &'a TaskPlan,
    pub(crate) how: &'a Measurement,
}

/// Parts of a run of these tasks.
pub fn n_parts(tasks: &[TaskPlan], part_size: usize) -> usize {
    tasks.iter().map(|task| task.items.len().div_ceil(part_size.max(1))).sum()
}

/// The questions of one task.
pub struct TaskPlan {
    /// Its name.
    pub name: String,
    /// How answers are read.
    pub format: Arc<dyn AnswerFormat>,
    /// What is measured, in the order in which it is measured. A random order makes an unfinished run a random sample, and the
    /// neighbour whose trace is swapped in a random other question.
    pub items: Vec<WorkItem>,
}

/// One question with its prompt and the traces wanted for it.
#[derive(Debug, Clone)]
pub struct WorkItem {
    /// The question.
    pub question: Arc<Question>,
    /// How the model is asked.
    pub prompting: Prompting,
    /// Its traces, each with its number.
    pub traces: Vec<(u32, TraceInput)>,
}

/// How the model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompting {
    /// Through its chat template.
    Chat(Vec<ChatMessage>),
    /// With this text; special tokens in it are recognised.
    Verbatim(String),
}

/// Where a trace comes from.
#[derive(Debug, Clone)]
pub enum TraceInput {
    /// The model writes it.
    Generate,
    /// It was written elsewhere.
    Imported {
        /// Its text.
        text: String,
        /// Byte ends of its steps, if they were recorded.
        step_ends: Option<Vec<usize>>,
        /// Whether its answer was judged correct, if that was recorded.
        correct: Option<bool>,
    },
}

/// How traces are sampled.
#[derive(Debug, Clone)]
pub struct TraceMaking {
    /// Temperature, cuts, length, stop strings.
    pub sampling: Sampling,
}

/// How answer distributions are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EstimatorChoice {
    /// `choices` where the question lists options, else `enumerate`.
    Auto,
    /// Always this one.
    Always(Estimator),
    /// None: traces are written, and no belief is measured.
    Nothing,
}

impl EstimatorChoice {
    /// Every choice.
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::Always(Estimator::Choices),
        Self::Always(Estimator::Enumerate),
        Self::Always(Estimator::Sample),
        Self::Always(Estimator::Rollout),
        Self::Nothing,
    ];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always(estimator) => estimator.name(),
            Self::Nothing => "none",
        }
    }

    /// The estimator for a question; `None` where nothing is measured.
    pub fn for_question(self, question: &Question) -> Option<Estimator> {
        match self {
            Self::Auto if question.choices.is_some() => Some(Estimator::Choices),
            Self::Auto => Some(Estimator::Enumerate),
            Self::Always(estimator) => Some(estimator),
            Self::Nothing => None,
        }
    }
}

/// What `choices` scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChoiceForm {
    /// The option's label.
    Label,
    /// The option's text, log-probabilities summed.
    Text,
    /// The option's text, mean log-probability of a token.
    TextMean,
}

impl ChoiceForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Label, Self::Text, Self::TextMean];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Text => "text",
            Self::TextMean => "text-mean",
        }
    }
}

/// The relative depths that tables show.
pub const QUARTERS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Rollouts beside the estimator of a question: at the quarters of its trace, where answers are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollouts {
    /// On so many questions of each task, the first that are measured.
    pub n_questions: usize,
    /// Most draws m at a prefix.
    pub draws: usize,
}

/// How everything is measured.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Estimator of answer distributions.
    pub estimator: EstimatorChoice,
    /// Text after which an answer is asked for; the forced estimators append it to the prefix.
    pub cue: String,
    /// Further cues, under which the forced estimators measure the traces themselves as well.
    pub more_cues: Vec<String>,
    /// What `choices` scores.
    pub choice_form: ChoiceForm,
    /// Draws m of the sampling estimators.
    pub samples: usize,
    /// `enumerate` stops once at most this mass is unexplored.
    pub epsilon: f64,
    /// Most nodes that `enumerate` expands at a prefix.
    pub max_nodes: usize,
    /// Most tokens of an answer string.
    pub max_answer_tokens: usize,
    /// How traces are cut into steps.
    pub segmentation: Segmentation,
    /// Most steps of a trace.
    pub max_steps: Option<usize>,
    /// Controls besides the traces themselves.
    pub controls: Vec<Control>,
    /// Relative depths at which controls are measured; `None` for every prefix.
    pub control_depths: Option<Vec<f64>>,
    /// As `max_nodes`, at a prefix of a control.
    pub control_nodes: usize,
    /// Rollouts beside the estimator; `None` for no such, and where the estimator is `rollout` itself.
    pub rollouts: Option<Rollouts>,
    /// Signals that are measured because they were asked for.
    pub signals: BTreeSet<Group>,
    /// The rule by which traces are stopped while they are written; `None` to write all of them to their ends.
    pub stopping: Option<Stopping>,
    /// How traces are sampled, and how `rollout` continues them.
    pub traces: TraceMaking,
    /// Seed of every random stream.
    pub seed: u64,
    /// Questions in one batch.
    pub batch_size: usize,
}

/// What `entrace run` measures unless told otherwise, but for the number of rollouts, which depends on the model.
impl Default for Measurement {
    fn default() -> Self {
        Self {
            estimator: EstimatorChoice::Auto,
            cue: "\nThe answer is".to_string(),
            more_cues: Vec::new(),
            choice_form: ChoiceForm::Label,
            samples: 16,
            epsilon: 0.01,
            max_nodes: 64,
            max_answer_tokens: 16,
            segmentation: Segmentation::Auto,
            max_steps: None,
            controls: vec![Control::Swapped],
            control_depths: Some(QUARTERS.to_vec()),
            control_nodes: 16,
            rollouts: None,
            signals: BTreeSet::new(),
            stopping: None,
            traces: TraceMaking {
                sampling: Sampling {
                    temperature: 0.0,
                    top_p: 1.0,
                    top_k: 0,
                    max_new_tokens: 512,
                    stop: Vec::new(),
                },
            },
            seed: 0,
            batch_size: 16,
        }
    }
}

impl Measurement {
    /// How rollouts are sampled: as the traces are, and from the raw distribution where those are greedy, since greedy ones are all alike.
    pub fn rollout_sampling(&self) -> Cow<'_, Sampling> {
        let traces = &self.traces.sampling;
        if traces.temperature > 0.0 {
            return Cow::Borrowed(traces);
        }
        Cow::Owned(Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, ..traces.clone() })
    }
}
