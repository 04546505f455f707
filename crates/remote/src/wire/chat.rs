//! OpenAI's `/v1/chat/completions`: whole traces, and nothing at a prefix of one.
//!
//! A conversation ends with the user's message; the server renders it and the model's turn begins afresh. Nothing can be asked after the
//! first half of a trace, so such a server is a source of traces that another engine scores. What a reasoning model thought comes in a field
//! of its own, `reasoning` from vLLM and `reasoning_content` from SGLang and others; it is kept as the thought.

use super::vllm::stop_reason;
use super::{Call, Path, check, parse};
use crate::fault::Fault;
use entrace_backend::{ChatMessage, Sampling};
use entrace_measure::StopReason;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a chat returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTrace {
    /// What the model thought, where the server tells that apart.
    pub thought: Option<String>,
    /// What it said.
    pub reply: String,
    /// Why it ended.
    pub stop_reason: StopReason,
}

impl ChatTrace {
    /// Thought and reply as one completion, the thought between marks.
    pub fn completion(&self, open: &str, close: &str) -> String {
        match &self.thought {
            Some(thought) => format!("{open}\n{}\n{close}\n\n{}", thought.trim(), self.reply.trim_start()),
            None => self.reply.clone(),
        }
    }
}

/// A conversation as a POST.
pub fn call(model: &str, messages: &[ChatMessage], n: usize, sampling: &Sampling) -> Call {
    let messages: Vec<Value> = messages
        .iter()
        .map(|message| json!({"role": message.role.name(), "content": message.content}))
        .collect();
    let mut body = json!({
        "model": model, "messages": messages, "n": n, "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature, "top_p": sampling.top_p, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "stream": false,
    });
    if !sampling.stop.is_empty() {
        body["stop"] = json!(sampling.stop);
    }
    if sampling.top_k > 0 {
        body["top_k"] = json!(sampling.top_k);
    }
    Call { path: Path::Below("/chat/completions"), body }
}

/// The `n` traces of an answer.
pub fn read(body: &[u8], n: usize) -> Result<Vec<ChatTrace>, Fault> {
    let mut response: Response = parse(body)?;
    check::count("completions", response.choices.len(), n)?;
    response.choices.sort_by_key(|choice| choice.index);
    let traces = response.choices.into_iter().map(|choice| {
        let Message { content, reasoning, reasoning_content } = choice.message;
        let thought = reasoning.or(reasoning_content).filter(|thought| !thought.trim().is_empty());
        if content.is_none() && thought.is_none() {
            return Err(Fault::broken("a message without text came"));
        }
        let stop_reason = stop_reason(choice.finish_reason.as_deref())?;
        Ok(ChatTrace { thought, reply: content.unwrap_or_default(), stop_reason })
    });
    traces.collect()
}

#[derive(Deserialize)]
struct Response {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::raw;
    use super::*;
    use entrace_backend::Role;

    #[test]
    fn thoughts_are_kept_apart_under_either_name() {
        for name in ["reasoning", "reasoning_content"] {
            let message = json!({"role": "assistant", "content": "Four.", name: "2 and 2\n"});
            let body =
                json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string();
            let trace = read(body.as_bytes(), 1).unwrap().remove(0);
            assert_eq!(trace.thought.as_deref(), Some("2 and 2\n"));
            assert_eq!(trace.completion("<think>", "</think>"), "<think>\n2 and 2\n</think>\n\nFour.");
        }
        let plain =
            json!({"choices": [{"message": {"content": "4", "reasoning": null}, "finish_reason": "length"}]})
                .to_string();
        let trace = read(plain.as_bytes(), 1).unwrap().remove(0);
        assert_eq!(
            (trace.completion("<think>", "</think>").as_str(), trace.stop_reason),
            ("4", StopReason::Length)
        );
        let empty = json!({"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}).to_string();
        assert!(read(empty.as_bytes(), 1).is_err());
        assert!(read(plain.as_bytes(), 2).is_err());
    }

    #[test]
    fn a_conversation_is_sent_as_it_is() {
        let messages = [ChatMessage { role: Role::User, content: "2 + 2?".into() }];
        let body = call("m", &messages, 2, &raw(7)).body;
        assert_eq!(body["messages"], json!([{"role": "user", "content": "2 + 2?"}]));
        assert_eq!((&body["n"], &body["max_tokens"]), (&json!(2), &json!(7)));
    }
}
