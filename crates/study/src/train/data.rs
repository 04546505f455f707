//! What models learn from: traces and questions, of the world `arith`, of built-in tasks, or from files.
//!
//! A prompt is what `entrace run` would put before the trace of the same question: the model's chat template where it has one, else plain
//! text. Completions end with the answer in the words of the default cue.

use super::file::{self, Reading};
use crate::error::Error;
use crate::host::Host;
use crate::prompt::{Asking, PromptOptions, chat_message};
use crate::tasks::training_split;
use entrace_backend::{ChatMessage, Text, stream_seed};
use entrace_datasets::{FormatKind, Message, Role, fewshot, is_file_name};
use entrace_decoder::LanguageModel;
use entrace_measure::{Answer, Question};
use entrace_run::Prompting;
use entrace_text::tokenizer::Tokenizer;
use entrace_train::{Encoded, Example, LossOn, Sequence, encode};
use entrace_worlds::arith::{self, Difficulty, Solution, noisy};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// The task whose problems are made in any number.
pub const ARITH: &str = "arith";
const ARITH_EXAMPLES: usize = 100_000;
const ARITH_QUESTIONS: usize = 20_000;

/// Which traces are learnt.
#[derive(Debug, Clone)]
pub struct TraceData {
    /// A task with rationales, or a file.
    pub source: String,
    /// How files are read.
    pub reading: Reading,
    /// File of traces on which the loss is only measured; by default others of arith's problems, of other data none.
    pub eval_file: Option<PathBuf>,
    /// Folder of benchmark files; by default they are fetched from the Hub.
    pub data_dir: Option<PathBuf>,
    /// Traces to learn from; by default all there are.
    pub n_examples: Option<usize>,
    /// Traces on which the loss is measured.
    pub n_eval_examples: usize,
    /// Which tokens are learnt.
    pub loss_on: LossOn,
    /// Seed of arith's problems.
    pub seed: u64,
    /// Who wrote the solutions of arith's problems.
    pub annotators: Annotators,
}

/// Which questions are asked in reinforcement learning.
#[derive(Debug, Clone)]
pub struct QuestionData {
    /// A task.
    pub source: String,
    /// Folder of benchmark files; by default they are fetched from the Hub.
    pub data_dir: Option<PathBuf>,
    /// Questions to learn from; by default all there are.
    pub n_examples: Option<usize>,
    /// Questions that are only answered.
    pub n_eval_examples: usize,
    /// Seed of arith's problems.
    pub seed: u64,
}

/// Which traces are rehearsed beside the rewards.
#[derive(Debug, Clone)]
pub struct RehearsalData {
    /// A task with rationales, or a file; `None` for none.
    pub source: Option<String>,
    /// Who wrote the solutions of arith's problems.
    pub annotators: Annotators,
}

/// Traces to learn, and others on which the loss is measured.
pub(crate) struct Traces {
    pub(crate) learnt: Vec<Pair>,
    pub(crate) held_out: Vec<Pair>,
}

/// A trace with what precedes it.
pub(crate) struct Pair {
    pub(crate) asked: Asked,
    /// The part of the trace that is given, not learnt; often empty.
    pub(crate) draft: String,
    pub(crate) completion: String,
}

/// How a trace was asked for.
pub(crate) enum Asked {
    /// In this text.
    Text(String),
    /// With this question, in the model's own form.
    Question(Box<Question>, FormatKind),
    /// In this conversation, of which the question is the user's last message.
    Conversation(Vec<Message>, Box<Question>),
}

/// Who wrote the solutions of arith's problems: the shares of traces that are wrong, interrupted, or say more than is needed.
#[derive(Debug, Clone, Copy)]
pub struct Annotators {
    /// Share of traces with a wrong step.
    pub wrong_share: f64,
    /// Share of traces that end, after any of their lines, with the true answer.
    pub interrupted_share: f64,
    /// Share of the interrupted drafts with a wrong step, where drafts are given and only the answer after them is learnt; `None` to learn all
    /// of an interrupted trace.
    pub draft_wrong_share: Option<f64>,
    /// Share of traces with a line that no other line uses.
    pub aside_share: f64,
}

/// Collects traces.
pub(crate) fn traces(data: &TraceData, host: &dyn Host) -> Result<Traces, Error> {
    let (learnt, mut held_out) = if is_file_name(&data.source) {
        (file::traces(Path::new(&data.source), &data.reading)?, Vec::new())
    } else if data.source == ARITH {
        let n = data.n_examples.unwrap_or(ARITH_EXAMPLES);
        let pairs = |split, n| arith_pairs(split, n, data.seed, &data.annotators);
        (pairs(arith::Split::Train, n), pairs(arith::Split::Validation, data.n_eval_examples))
    } else {
        (from_task(&data.source, data.data_dir.as_deref(), host)?, Vec::new())
    };
    if let Some(path) = &data.eval_file {
        held_out = file::traces(path, &data.reading)?;
    }
    let mut traces = Traces { learnt, held_out };
    traces.learnt.truncate(data.n_examples.unwrap_or(usize::MAX));
    traces.held_out.truncate(data.n_eval_examples);
    Ok(traces)
}

/// Traces that reinforcement learning rehearses; none where none are asked for.
pub(crate) fn rehearsed(
    rehearsal: &RehearsalData,
    questions: &QuestionData,
    host: &dyn Host,
) -> Result<Vec<Pair>, Error> {
    match rehearsal.source.as_deref() {
        None => Ok(Vec::new()),
        Some(path) if is_file_name(path) => file::traces(Path::new(path), &Reading::default()),
        Some(ARITH) => {
            let n = questions.n_examples.unwrap_or(ARITH_QUESTIONS);
            Ok(arith_pairs(arith::Split::Train, n, questions.seed, &rehearsal.annotators))
        }
        Some(task) => from_task(task, questions.data_dir.as_deref(), host),
    }
}

/// Problems of `arith` with the traces of their annotators.
fn arith_pairs(split: arith::Split, n: usize, seed: u64, annotators: &Annotators) -> Vec<Pair> {
    let pair = |index: u64| {
        let problem = arith::generate(seed, split, index, &Difficulty::default());
        let asked = Asked::Text(arith::prompt(&problem.question));
        let written_by = |wrong_share: f64| {
            let solution = noisy(&problem, wrong_share, seed).solution;
            problem.with_aside(solution, annotators.aside_share, seed)
        };
        let stream = |what: &str| stream_seed(seed, &[&problem.id, what]);
        if stream("interrupted") as f64 / (u64::MAX as f64) >= annotators.interrupted_share {
            let completion = written_by(annotators.wrong_share).completion();
            return Pair { asked, draft: String::new(), completion };
        }
        let trace = written_by(annotators.draft_wrong_share.unwrap_or(annotators.wrong_share));
        let n_lines = stream("interrupted after") % (trace.steps.len() as u64 + 2);
        let told = first_lines(&trace, n_lines as usize);
        let answer = format!("\n{}", problem.solution.answer_line());
        match annotators.draft_wrong_share {
            None => Pair { asked, draft: String::new(), completion: told + &answer },
            Some(_) => Pair { asked, draft: told, completion: answer },
        }
    };
    (0..n as u64).into_par_iter().map(pair).collect()
}

/// What an interrupted trace says before the true answer is told; what is learnt from the two is p(answer | prefix) of annotators who
/// make mistakes.
fn first_lines(trace: &Solution, n_lines: usize) -> String {
    if n_lines > trace.steps.len() { trace.completion() } else { trace.prefix(n_lines) }
}

/// The training split of a built-in task, with its rationales and answers.
fn from_task(name: &str, data_dir: Option<&Path>, host: &dyn Host) -> Result<Vec<Pair>, Error> {
    let (spec, questions) = training_split(name, data_dir, host)?;
    let pairs: Vec<Pair> = questions
        .into_iter()
        .filter_map(|question| {
            let answer = match question.target.as_ref()? {
                Answer::Value(answer) => answer.clone(),
                Answer::Invalid => return None,
            };
            let completion = format!("{}\nThe answer is {answer}.", question.rationale.as_ref()?);
            let asked = Asked::Question(Box::new(question), spec.answer_format);
            Some(Pair { asked, draft: String::new(), completion })
        })
        .collect();
    if pairs.is_empty() {
        return Err(Error::NothingToLearn {
            source_name: name.to_string(),
            what: "rationales to learn from",
        });
    }
    Ok(pairs)
}

/// Traces as tokens for a model that has no text side but a tokenizer. Questions are asked as plain text.
pub(crate) fn encode_plain(
    tokenizer: &Tokenizer,
    pairs: &[Pair],
    loss_on: LossOn,
    max_tokens: usize,
) -> Result<Encoded, Error> {
    if let Some((id, n_messages)) = pairs.iter().find_map(Pair::beyond_one_message) {
        return Err(Error::Conversation { id, n_messages });
    }
    let examples: Vec<Example> = pairs.iter().map(Pair::as_plain).collect();
    Ok(encode(tokenizer, &examples, loss_on, max_tokens)?)
}

/// Traces as tokens for a model that is there already, asked as `entrace run` asks it.
pub(crate) fn encode_for(
    model: &LanguageModel,
    pairs: &[Pair],
    loss_on: LossOn,
    max_tokens: usize,
) -> Result<Encoded, Error> {
    if !model.has_chat_template() {
        return encode_plain(model.tokenizer(), pairs, loss_on, max_tokens);
    }
    let asking = Asking::of(&PromptOptions::default(), model)?;
    let end = model.stop_tokens().first().copied();
    let mut sequences = Vec::new();
    for pair in pairs {
        let mut token_ids = match &pair.asked {
            Asked::Text(prompt) => model.encode_prompt(prompt)?.token_ids,
            Asked::Question(question, kind) => prompt_tokens(model, &asking, question, *kind)?,
            Asked::Conversation(messages, _) => {
                let messages: Vec<ChatMessage> = messages.iter().map(chat_message).collect();
                model.render_chat(&messages)?.token_ids
            }
        };
        token_ids.extend(model.encode_completion(&pair.draft)?);
        let n_given = if loss_on == LossOn::All { 1 } else { token_ids.len() };
        token_ids.extend(model.encode_completion(&pair.completion)?);
        token_ids.extend(end);
        if token_ids.len() <= max_tokens {
            sequences.extend(Sequence::new(token_ids, n_given));
        }
    }
    Ok(Encoded { n_too_long: pairs.len() - sequences.len(), sequences })
}

fn prompt_tokens(
    model: &LanguageModel,
    asking: &Asking,
    question: &Question,
    kind: FormatKind,
) -> Result<Vec<u32>, Error> {
    let prompt = match asking.prompting(question, kind, &[]) {
        Prompting::Verbatim(text) => model.encode_prompt(&text)?,
        Prompting::Chat(messages) => model.render_chat(&messages)?,
    };
    Ok(prompt.token_ids)
}

impl Pair {
    /// The question of a conversation that is more than it, and so cannot be plain text, with the number of messages.
    fn beyond_one_message(&self) -> Option<(String, usize)> {
        match &self.asked {
            Asked::Conversation(messages, question)
                if !matches!(messages[..], [Message { role: Role::User, .. }]) =>
            {
                Some((question.id.clone(), messages.len()))
            }
            _ => None,
        }
    }

    /// As text for a model without a chat template; there is one space between `A:` and what follows.
    pub(crate) fn as_plain(&self) -> Example {
        let (draft, completion) = (self.draft.clone(), self.completion.clone());
        match &self.asked {
            Asked::Text(prompt) => Example { prompt: prompt.clone(), draft, completion },
            Asked::Question(question, _) | Asked::Conversation(_, question) => {
                let space = if completion.starts_with(char::is_whitespace) { "" } else { " " };
                Example {
                    prompt: fewshot::render(&[], question),
                    draft,
                    completion: format!("{space}{completion}"),
                }
            }
        }
    }
}

/// Questions with exact answers, as prompts.
pub(crate) struct Questions {
    pub(crate) prompts: Vec<Vec<u32>>,
    pub(crate) targets: Vec<Answer>,
    pub(crate) kind: FormatKind,
}

/// Questions to learn from, and questions that are only answered: the last ones of the training split, or of `arith` others.
pub(crate) fn questions(
    data: &QuestionData,
    model: &LanguageModel,
    host: &dyn Host,
) -> Result<(Questions, Questions), Error> {
    let (kind, learnt, held_out) = if data.source == ARITH {
        let made = |split, n| (0..n as u64).map(|i| arith_question(split, i, data.seed)).collect();
        let n = data.n_examples.unwrap_or(ARITH_QUESTIONS);
        let (learnt, held_out): (Vec<_>, Vec<_>) =
            (made(arith::Split::Train, n), made(arith::Split::Validation, data.n_eval_examples));
        (FormatKind::Number, learnt, held_out)
    } else {
        let (spec, mut learnt) = training_split(&data.source, data.data_dir.as_deref(), host)?;
        learnt.retain(|question| question.target.is_some());
        let n = learnt.len().saturating_sub(data.n_eval_examples);
        let held_out = learnt.split_off(n);
        learnt.truncate(data.n_examples.unwrap_or(n));
        (spec.answer_format, learnt, held_out)
    };
    let asking = Asking::of(&PromptOptions::default(), model)?;
    let asked = |all: Vec<Question>| -> Result<Questions, Error> {
        let prompts = all
            .iter()
            .map(|question| prompt_tokens(model, &asking, question, kind))
            .collect::<Result<_, Error>>()?;
        Ok(Questions { prompts, targets: all.into_iter().filter_map(|q| q.target).collect(), kind })
    };
    Ok((asked(learnt)?, asked(held_out)?))
}

fn arith_question(split: arith::Split, index: u64, seed: u64) -> Question {
    let problem = arith::generate(seed, split, index, &Difficulty::default());
    Question {
        task: ARITH.to_string(),
        id: problem.id,
        text: problem.question,
        choices: None,
        target: Some(Answer::Value(problem.solution.answer.to_string())),
        rationale: None,
    }
}
