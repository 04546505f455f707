//! A hash of what is measured, so that a run is resumed only with the same questions.
//!
//! A file's own hash does not tell which of its columns were read, how many of its lines, or how its questions are put to the model. This
//! one covers, in the order in which they are measured, the questions with their options and targets, the prompts, and the traces if they
//! were imported.

use entrace_run::{Prompting, TaskPlan, TraceInput, WorkItem};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// SHA-256 of the items of a task's plans, hexadecimal.
pub(crate) fn of(plans: &[TaskPlan]) -> String {
    let mut hasher = Sha256::new();
    for item in plans.iter().flat_map(|plan| &plan.items) {
        hasher.update(item_json(item).to_string());
        hasher.update("\n");
    }
    base16ct::lower::encode_string(&hasher.finalize())
}

fn item_json(item: &WorkItem) -> Value {
    let question = &item.question;
    let prompt = match &item.prompting {
        Prompting::Verbatim(text) => json!(text),
        Prompting::Chat(messages) => {
            messages.iter().map(|message| json!([message.role.name(), message.content])).collect()
        }
    };
    let traces = item.traces.iter().map(|(sample, input)| match input {
        TraceInput::Generate => json!(sample),
        TraceInput::Imported { text, step_ends, correct } => json!([sample, text, step_ends, correct]),
    });
    json!({
        "id": question.id,
        "question": question.text,
        "choices": question.choices.as_ref().map(|choices| [choices.labels(), choices.texts()]),
        "target": question.target.as_ref().map(|target| target.name()),
        "prompt": prompt,
        "traces": traces.collect::<Vec<Value>>(),
    })
}
