//! What models learn from: traces and questions, of the world `arith`, of built-in tasks, or from files.
//!
//! A prompt is what `entrace run` would put before the trace of the same question: the model's chat template where it has one, else plain
//! text. Completions end with the answer in the words of the default cue.

use crate::exit::SetUp;
use crate::questions::{self, Asking};
use crate::train::file::{self, Reading};
use crate::train::flags::{DataArgs, LossOnArg, QuestionArgs, RlArgs};
use anyhow::Result;
use entrace_backend::{ChatMessage, Text, stream_seed};
use entrace_datasets::{BadLines, FormatKind, Message, Role, Split, TaskSpec, fewshot, is_file_name, task};
use entrace_decoder::LanguageModel;
use entrace_measure::{Answer, Question};
use entrace_run::Prompting;
use entrace_text::tokenizer::Tokenizer;
use entrace_train::{Encoded, Example, Sequence, encode};
use entrace_worlds::arith::{self, Difficulty, Solution, noisy};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// The task whose problems are made in any number.
pub(crate) const ARITH: &str = "arith";
const ARITH_EXAMPLES: usize = 100_000;
const ARITH_QUESTIONS: usize = 20_000;

/// Traces to learn, and others on which the loss is measured.
pub(crate) struct Traces {
    pub(crate) learnt: Vec<Pair>,
    pub(crate) held_out: Vec<Pair>,
}

/// A trace with what stands before it.
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

/// Who wrote the solutions of arith's problems: the shares of traces that are wrong or interrupted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Annotators {
    pub(crate) wrong_share: f64,
    pub(crate) interrupted_share: f64,
    pub(crate) draft_wrong_share: Option<f64>,
}

/// Collects traces.
pub(crate) fn traces(args: &DataArgs) -> Result<Traces> {
    let reading = args.reading();
    let (learnt, mut held_out) = if is_file_name(&args.data) {
        (file::traces(Path::new(&args.data), reading)?, Vec::new())
    } else if args.data == ARITH {
        let n = args.examples.unwrap_or(ARITH_EXAMPLES);
        let pairs = |split, n| arith_pairs(split, n, args.arith.data_seed, &args.arith.annotators());
        (pairs(arith::Split::Train, n), pairs(arith::Split::Validation, args.eval_examples))
    } else {
        (from_task(&args.data, args.data_dir.as_deref())?, Vec::new())
    };
    if let Some(path) = &args.eval_data {
        held_out = file::traces(path, reading)?;
    }
    let mut traces = Traces { learnt, held_out };
    traces.learnt.truncate(args.examples.unwrap_or(usize::MAX));
    traces.held_out.truncate(args.eval_examples);
    Ok(traces)
}

/// Traces that reinforcement learning rehearses; none where none are asked for.
pub(crate) fn rehearsed(args: &RlArgs) -> Result<Vec<Pair>> {
    let questions = &args.questions;
    match args.rehearsal.rehearse.as_deref() {
        None => Ok(Vec::new()),
        Some(path) if is_file_name(path) => file::traces(Path::new(path), Reading::default()),
        Some(ARITH) => {
            let n = questions.examples.unwrap_or(ARITH_QUESTIONS);
            Ok(arith_pairs(arith::Split::Train, n, questions.data_seed, &args.rehearsal.annotators()))
        }
        Some(task) => from_task(task, questions.data_dir.as_deref()),
    }
}

/// Problems of `arith` with the traces of their annotators.
fn arith_pairs(split: arith::Split, n: usize, seed: u64, annotators: &Annotators) -> Vec<Pair> {
    let pair = |index: u64| {
        let problem = arith::generate(seed, split, index, &Difficulty::default());
        let asked = Asked::Text(arith::prompt(&problem.question));
        let written_by = |wrong_share: f64| noisy(&problem, wrong_share, seed).solution;
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
fn from_task(name: &str, data_dir: Option<&Path>) -> Result<Vec<Pair>> {
    let (spec, questions) = training_questions(name, data_dir)?;
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
        return Err(SetUp(format!("--data: {name} has no rationales to learn from")).into());
    }
    Ok(pairs)
}

fn training_questions(name: &str, data_dir: Option<&Path>) -> Result<(&'static TaskSpec, Vec<Question>)> {
    let spec = task::find(name)?;
    let folder = match (data_dir, &spec.source) {
        (Some(folder), _) => folder.to_path_buf(),
        (None, task::Source::Published(published)) => {
            questions::from_hub(spec, published, &[Split::Train], true)?
        }
        (None, task::Source::Made(_)) => PathBuf::new(),
    };
    let loaded = task::load(spec, &folder, Split::Train, BadLines::Skip)?;
    Ok((spec, loaded.questions))
}

/// Traces as tokens for a model that has no text side but a tokenizer. Questions are asked as plain text.
pub(crate) fn encode_plain(
    tokenizer: &Tokenizer,
    pairs: &[Pair],
    loss_on: LossOnArg,
    max_tokens: usize,
) -> Result<Encoded> {
    if let Some(n) = pairs.iter().find_map(Pair::n_messages_beyond_one) {
        let problem = format!("--data: a conversation of {n} messages needs a model with a chat template");
        return Err(SetUp(problem).into());
    }
    let examples: Vec<Example> = pairs.iter().map(Pair::as_plain).collect();
    Ok(encode(tokenizer, &examples, loss_on.loss_on(), max_tokens)?)
}

/// Traces as tokens for a model that is there already, asked as `entrace run` asks it.
pub(crate) fn encode_for(
    model: &LanguageModel,
    pairs: &[Pair],
    loss_on: LossOnArg,
    max_tokens: usize,
) -> Result<Encoded> {
    if !model.has_chat_template() {
        return encode_plain(model.tokenizer(), pairs, loss_on, max_tokens);
    }
    let asking = Asking::of(None, None, false, model)?;
    let end = model.stop_tokens().first().copied();
    let mut sequences = Vec::new();
    for pair in pairs {
        let mut token_ids = match &pair.asked {
            Asked::Text(prompt) => model.encode_prompt(prompt)?.token_ids,
            Asked::Question(question, kind) => prompt_tokens(model, &asking, question, *kind)?,
            Asked::Conversation(messages, _) => {
                let messages: Vec<ChatMessage> = messages.iter().map(questions::chat_message).collect();
                model.render_chat(&messages)?.token_ids
            }
        };
        token_ids.extend(model.encode_completion(&pair.draft)?);
        let n_given = if loss_on == LossOnArg::All { 1 } else { token_ids.len() };
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
) -> Result<Vec<u32>> {
    let prompt = match asking.prompting(question, kind, &[], 0) {
        Prompting::Verbatim(text) => model.encode_prompt(&text)?,
        Prompting::Chat(messages) => model.render_chat(&messages)?,
    };
    Ok(prompt.token_ids)
}

impl Pair {
    /// Messages of a conversation that is more than one question, and so cannot be plain text.
    fn n_messages_beyond_one(&self) -> Option<usize> {
        match &self.asked {
            Asked::Conversation(messages, _)
                if !matches!(messages[..], [Message { role: Role::User, .. }]) =>
            {
                Some(messages.len())
            }
            _ => None,
        }
    }

    /// As text for a model without a chat template; one space stands between `A:` and what follows.
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
pub(crate) fn questions(args: &QuestionArgs, model: &LanguageModel) -> Result<(Questions, Questions)> {
    let (kind, learnt, held_out) = if args.data == ARITH {
        let made = |split, n| (0..n as u64).map(|i| arith_question(split, i, args.data_seed)).collect();
        let n = args.examples.unwrap_or(ARITH_QUESTIONS);
        let (learnt, held_out): (Vec<_>, Vec<_>) =
            (made(arith::Split::Train, n), made(arith::Split::Validation, args.eval_examples));
        (FormatKind::Number, learnt, held_out)
    } else {
        let (spec, mut learnt) = training_questions(&args.data, args.data_dir.as_deref())?;
        learnt.retain(|question| question.target.is_some());
        let n = learnt.len().saturating_sub(args.eval_examples);
        let held_out = learnt.split_off(n);
        learnt.truncate(args.examples.unwrap_or(n));
        (spec.answer_format, learnt, held_out)
    };
    let asking = Asking::of(None, None, false, model)?;
    let asked = |all: Vec<Question>| -> Result<Questions> {
        let prompts = all
            .iter()
            .map(|question| prompt_tokens(model, &asking, question, kind))
            .collect::<Result<_>>()?;
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
