//! OpenAI's `/v1/chat/completions`: whole replies, and nothing at a prefix of one.
//!
//! A conversation ends with the user's message; the server renders it and the model's turn begins afresh. Nothing can be asked after the
//! first half of a trace, so such a server is a source of traces that another engine scores. What a reasoning model thought comes in a field
//! of its own, `reasoning` from vLLM and `reasoning_content` from SGLang and others; it is put before the reply, between the marks that models write.
//! The limit on tokens has two names: hosted reasoning models refuse the older one.

use super::vllm::stop_reason;
use super::{Answer, Call, Draw, Drawn, Path, Question, Usage, check, parse};
use crate::fault::Fault;
use entrace_backend::ChatMessage;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a server calls the limit on tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

impl Limit {
    /// Both, the one that more servers know first.
    pub(crate) const ALL: [Self; 2] = [Self::MaxTokens, Self::MaxCompletionTokens];

    fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// A conversation as a POST. Of next tokens a chat tells nothing.
pub fn call(model: &str, question: &Question, limit: Limit) -> Call {
    let body = match question {
        Question::Next(_) => json!({"model": model, "messages": []}),
        Question::Draw(draw) => body(model, draw, limit),
    };
    Call { path: Path::Below("/chat/completions"), body }
}

fn body(model: &str, draw: &Draw, limit: Limit) -> Value {
    let message = |message: &ChatMessage| json!({"role": message.role.name(), "content": message.content});
    let messages: Vec<Value> = draw.messages.iter().map(message).collect();
    let sampling = &draw.sampling;
    let mut body = json!({
        "model": model, "messages": messages, "n": draw.n, "temperature": sampling.temperature, "top_p": sampling.top_p,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "stream": false,
    });
    body[limit.name()] = json!(sampling.max_new_tokens);
    // A hosted API refuses fields that it does not know.
    if !sampling.stop.is_empty() {
        body["stop"] = json!(sampling.stop);
    }
    if sampling.top_k > 0 {
        body["top_k"] = json!(sampling.top_k);
    }
    body
}

/// The replies of an answer.
pub fn read(question: &Question, body: &[u8]) -> Result<Answer, Fault> {
    let Question::Draw(draw) = question else {
        return Err(Fault::wrong("a server that only chats tells nothing of next tokens"));
    };
    let mut response: Response = parse(body)?;
    check::count("completions", response.choices.len(), draw.n)?;
    response.choices.sort_by_key(|choice| choice.index);
    let Counts { prompt_tokens, completion_tokens } = response.usage.unwrap_or_default();
    let usage = Usage { prompt_tokens, cached_tokens: None, completion_tokens };
    Ok(Answer::Draws(response.choices.into_iter().map(drawn).collect::<Result<_, _>>()?, usage))
}

fn drawn(choice: Choice) -> Result<Drawn, Fault> {
    let Message { content, reasoning, reasoning_content } = choice.message;
    let thought = reasoning.or(reasoning_content).filter(|thought| !thought.trim().is_empty());
    let text = match (thought, content) {
        (None, None) => return Err(Fault::broken("a message without text came")),
        (None, Some(reply)) => reply,
        (Some(thought), reply) => {
            format!("<think>\n{}\n</think>\n\n{}", thought.trim(), reply.unwrap_or_default().trim_start())
        }
    };
    let stop_reason = stop_reason(choice.finish_reason.as_deref())?;
    Ok(Drawn { token_ids: None, text, logprobs: None, stop_reason })
}

#[derive(Deserialize)]
struct Response {
    choices: Vec<Choice>,
    usage: Option<Counts>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Counts {
    prompt_tokens: usize,
    completion_tokens: usize,
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
    use super::super::tests_support::{next, raw};
    use super::*;
    use entrace_backend::Role;
    use entrace_measure::StopReason;

    fn question(n: usize) -> Question {
        let messages = vec![ChatMessage { role: Role::User, content: "2 + 2?".into() }];
        Question::Draw(Draw { context: vec![], text: None, messages, n, sampling: raw(7), seed: None })
    }

    fn reply(body: &Value) -> (Drawn, Usage) {
        match read(&question(1), body.to_string().as_bytes()).unwrap() {
            Answer::Draws(mut drawn, usage) => (drawn.remove(0), usage),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn thoughts_are_kept_apart_under_either_name() {
        for name in ["reasoning", "reasoning_content"] {
            let message = json!({"role": "assistant", "content": "\nFour.", name: "2 and 2\n"});
            let (drawn, usage) = reply(&json!({
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
            }));
            assert_eq!(drawn.text, "<think>\n2 and 2\n</think>\n\nFour.");
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), (9, 4));
        }
        // All tokens went into the thought.
        let message = json!({"content": null, "reasoning": "2 and"});
        let (drawn, _) = reply(&json!({"choices": [{"message": message, "finish_reason": "length"}]}));
        assert_eq!(
            (drawn.text.as_str(), drawn.stop_reason),
            ("<think>\n2 and\n</think>\n\n", StopReason::Length)
        );
    }

    #[test]
    fn what_is_no_reply_is_none() {
        let plain =
            json!({"choices": [{"message": {"content": "4", "reasoning": null}, "finish_reason": "length"}]});
        let (drawn, usage) = reply(&plain);
        assert_eq!(
            (drawn.text.as_str(), drawn.stop_reason, usage),
            ("4", StopReason::Length, Usage::default())
        );
        assert!(read(&question(2), plain.to_string().as_bytes()).is_err());
        let empty = br#"{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}"#;
        assert!(read(&question(1), empty).is_err());
        assert!(read(&next(&[&[1]], &[], 1), plain.to_string().as_bytes()).is_err());
    }

    #[test]
    fn a_conversation_is_sent_as_it_is() {
        let body = call("m", &question(2), Limit::MaxTokens).body;
        assert_eq!(body["messages"], json!([{"role": "user", "content": "2 + 2?"}]));
        assert_eq!((&body["n"], &body["max_tokens"]), (&json!(2), &json!(7)));
        let body = call("m", &question(2), Limit::MaxCompletionTokens).body;
        assert_eq!((&body["max_tokens"], &body["max_completion_tokens"]), (&Value::Null, &json!(7)));
    }
}
