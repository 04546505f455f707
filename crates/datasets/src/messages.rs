//! Conversations in a column, as chat interfaces and TRL write them.
//!
//! A message is `{"role": .., "content": ..}`; content is text or a list of parts `{"type": "text", "text": ..}`. Roles are
//! system (or developer), user and assistant. What cannot be shown to a model through its chat template as it was, such as the
//! result of a tool or an image, is refused. A reply's reasoning may be beside its content, as `reasoning_content` or
//! `reasoning`; the two are then joined as the model wrote them.

use crate::value::{Row, Value, text};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// The messages of a list.
pub(crate) fn read(conversation: &Value) -> Result<Vec<Message>, String> {
    let items =
        conversation.as_list().ok_or_else(|| format!("expected messages, found {}", conversation.kind()))?;
    items.iter().map(message).collect()
}

/// A conversation as what precedes its last message, and that message, which must be the assistant's.
pub(crate) fn split(conversation: &Value) -> Result<(Vec<Message>, String), String> {
    let items = conversation.as_list().unwrap_or_default();
    let (last, before) =
        items.split_last().ok_or_else(|| format!("expected messages, found {}", conversation.kind()))?;
    let before = before.iter().map(message).collect::<Result<_, String>>()?;
    Ok((before, reply(last)?))
}

/// What the assistant says, with its reasoning: a message, or a list of one.
pub(crate) fn reply(said: &Value) -> Result<String, String> {
    let message = match said {
        Value::List(items) => match items.as_slice() {
            [message] => message,
            _ => return Err(format!("expected one message of the assistant, found {}", items.len())),
        },
        message => message,
    };
    let row = message.as_object().ok_or_else(|| format!("expected a message, found {}", message.kind()))?;
    let role = row.get("role").map_or(Ok(Role::Assistant), |_| role(row))?;
    if role != Role::Assistant {
        return Err("the last message is not the assistant's, so there is no trace".into());
    }
    match (reasoning(row), row.get("content")) {
        (Some(thought), None | Some(Value::Null)) => Ok(joined(thought, "")),
        (Some(thought), _) => Ok(joined(thought, &content(row)?)),
        (None, _) => content(row),
    }
}

/// Whether this is a message with reasoning beside its content.
pub(crate) fn has_reasoning(message: &Value) -> bool {
    message.as_object().is_some_and(|row| reasoning(row).is_some())
}

/// A question asked as a conversation: the only message, if it is the user's.
pub(crate) fn question(conversation: &Value) -> Result<String, String> {
    match read(conversation)?.as_slice() {
        [Message { role: Role::User, content }] => Ok(content.clone()),
        messages => Err(format!(
            "the question is a conversation of {} messages; only a single one of the user's can be asked",
            messages.len()
        )),
    }
}

/// What the user said last.
pub(crate) fn last_asked(messages: &[Message]) -> Option<&str> {
    messages.iter().rev().find(|message| message.role == Role::User).map(|message| message.content.as_str())
}

fn message(value: &Value) -> Result<Message, String> {
    let row = value.as_object().ok_or_else(|| format!("expected a message, found {}", value.kind()))?;
    Ok(Message { role: role(row)?, content: content(row)? })
}

fn role(row: &Row) -> Result<Role, String> {
    match text(row, "role")? {
        "system" | "developer" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        other => {
            Err(format!("a message of the role {other:?}; known roles: system, developer, user, assistant"))
        }
    }
}

fn content(row: &Row) -> Result<String, String> {
    let part = |part: &Value| {
        let row =
            part.as_object().filter(|row| row.get("type").is_none_or(|kind| kind.as_text() == Some("text")));
        text(row.ok_or("a message has parts that are not text")?, "text").map(str::to_string)
    };
    match row.get("content") {
        Some(Value::List(parts)) => parts.iter().map(part).collect(),
        _ => text(row, "content").map(str::to_string),
    }
}

fn reasoning(row: &Row) -> Option<&str> {
    let found = ["reasoning_content", "reasoning"].into_iter().find_map(|name| row.get(name)?.as_text());
    found.filter(|thought| !thought.is_empty())
}

/// Thought and reply as reasoning models write them in one text.
pub(crate) fn joined(thought: &str, reply: &str) -> String {
    format!("<think>\n{}\n</think>\n\n{}", thought.trim(), reply.trim_start())
}
