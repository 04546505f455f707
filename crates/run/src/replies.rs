//! Traces of an engine that only replies to conversations: written and read for their answers, and not measured.
//!
//! The prompt of such a trace is recorded as the messages that were sent, in JSON, so that `score` puts them to another model through its own
//! template. What was thought stands between marks in the completion. Tokens are counted as the engine counts them, and none are recorded.
//! Parts, shards and resuming are those of every run (`walk`).

use crate::error::Error;
use crate::event::{Event, Observer, Phase};
use crate::plan::{Measurement, Prompting, TaskPlan, WorkItem};
use crate::rows::{self, NOT_MEASURED};
use crate::walk;
use entrace_backend::{Chat, ChatMessage, Reply, Role};
use entrace_measure::{StopReason, Thoughts};
use entrace_record::rows::{Outcome, Rows, TraceRow};
use entrace_record::{RunReader, RunWriter};
use serde_json::{Value, json};
use std::time::Instant;

/// Writes the traces of all tasks into a run folder and finishes the run. Parts that are in the folder are skipped; of a shard, which its manifest
/// names, the parts that belong to it are written.
///
/// # Errors
/// What stops a run; what was written before stays in the folder, and the next call continues there.
pub fn write_replies(
    chat: &dyn Chat,
    tasks: &[TaskPlan],
    how: &Measurement,
    writer: &mut RunWriter,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    walk::check_settings(tasks, how)?;
    let started = Instant::now();
    let written = write_parts(chat, tasks, how, writer, observer);
    walk::conclude(written, tasks, writer, started)
}

fn write_parts(
    chat: &dyn Chat,
    tasks: &[TaskPlan],
    how: &Measurement,
    writer: &RunWriter,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let finished = writer.finished_parts()?;
    let part_size = writer.manifest().settings.batch_size.max(1);
    if !finished.is_empty() {
        walk::check_parts(&RunReader::open(writer.dir())?, tasks, part_size, &finished)?;
    }
    let shard = writer.manifest().shard.map(|shard| shard.parts());
    let is_own = |part: &usize| shard.as_ref().is_none_or(|parts| parts.contains(part));
    let n_traces = |items: &[WorkItem]| items.iter().map(|item| item.traces.len()).sum::<usize>();
    let mut first_part = 0;
    for task in tasks {
        let parts = (first_part..).zip(task.items.chunks(part_size));
        let own: Vec<(usize, &[WorkItem])> = parts.filter(|(part, _)| is_own(part)).collect();
        first_part += task.items.len().div_ceil(part_size);
        if own.is_empty() {
            continue;
        }
        let done = own.iter().filter(|(part, _)| finished.contains(part));
        observer.event(Event::TaskBegins {
            task: &task.name,
            n_traces: own.iter().map(|(_, items)| n_traces(items)).sum(),
            n_done: done.map(|(_, items)| n_traces(items)).sum(),
            n_rolled_out: 0,
        });
        for (part, items) in own.iter().filter(|(part, _)| !finished.contains(part)) {
            if observer.should_stop() {
                return Err(Error::Interrupted);
            }
            writer.write_part(*part, &replies(chat, task, items, how, observer)?)?;
            observer.event(Event::TracesDone(n_traces(items)));
        }
        observer.event(Event::TaskEnds);
    }
    Ok(())
}

/// The rows of some questions.
fn replies(
    chat: &dyn Chat,
    task: &TaskPlan,
    items: &[WorkItem],
    how: &Measurement,
    observer: &mut dyn Observer,
) -> Result<Rows, Error> {
    let asked: Vec<Vec<ChatMessage>> = items.iter().map(|item| messages(&item.prompting)).collect();
    let wanted: Vec<(&WorkItem, u32, &[ChatMessage])> = items
        .iter()
        .zip(&asked)
        .flat_map(|(item, messages)| {
            item.traces.iter().map(move |(sample, _)| (item, *sample, messages.as_slice()))
        })
        .collect();
    if let (Some(first), Some(last)) = (items.first(), items.last()) {
        observer.event(Event::BatchBegins { first: &first.question.id, last: &last.question.id });
    }
    observer.event(Event::PhaseBegins { phase: Phase::Traces, n: wanted.len() });
    let conversations: Vec<&[ChatMessage]> = wanted.iter().map(|(_, _, messages)| *messages).collect();
    let mut stopped = false;
    let replied = chat.reply(&conversations, &how.traces.sampling, &mut |n_tokens| {
        if n_tokens > 0 {
            observer.event(Event::Tokens(n_tokens));
            observer.event(Event::PhaseAdvances(1));
        }
        stopped = observer.should_stop();
        !stopped
    });
    if stopped {
        return Err(Error::Interrupted);
    }
    let traces = wanted.iter().zip(replied?).map(|((item, sample, messages), reply)| {
        row(task, item, *sample, messages, reply.map_err(|error| error.to_string()))
    });
    Ok(Rows { traces: traces.collect(), ..Rows::default() })
}

/// What is said to the model; a prompt without roles is the message of a user.
fn messages(prompting: &Prompting) -> Vec<ChatMessage> {
    match prompting {
        Prompting::Chat(messages) => messages.clone(),
        Prompting::Verbatim(text) => vec![ChatMessage { role: Role::User, content: text.clone() }],
    }
}

fn row(
    task: &TaskPlan,
    item: &WorkItem,
    sample: u32,
    messages: &[ChatMessage],
    reply: Result<Reply, String>,
) -> TraceRow {
    let sent: Value = messages
        .iter()
        .map(|message| json!({"role": message.role.name(), "content": message.content}))
        .collect();
    let (question, prompt) = (&*item.question, sent.to_string());
    let reply = match reply {
        Ok(reply) => reply,
        Err(problem) => {
            return TraceRow {
                reason: Some(problem),
                ..rows::unmeasured_row(question, sample, prompt, Outcome::Failed)
            };
        }
    };
    let completion = reply.text;
    let is_cut = reply.stop_reason == StopReason::Length;
    let thoughts = Thoughts::default();
    let answer =
        thoughts.divide(&completion, None).answer(task.format.as_ref(), is_cut, question.choices.as_ref());
    TraceRow {
        answer: Some(answer.name().to_string()),
        correct: question.target.as_ref().map(|target| answer == *target),
        stop_reason: Some(reply.stop_reason.name().to_string()),
        n_prompt_tokens: rows::count(reply.n_prompt_tokens),
        n_trace_tokens: rows::count(reply.n_tokens),
        reason: Some(NOT_MEASURED.to_string()),
        completion,
        ..rows::unmeasured_row(question, sample, prompt, Outcome::Skipped)
    }
}
