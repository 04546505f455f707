//! SGLang's `/generate`.
//!
//! The log-probabilities of the next token are those of the first position after the prompt, which come without drawing a token
//! (`max_new_tokens: 0`); likely tokens and chosen ones come side by side. What the server says of drawn tokens is of the tempered
//! distribution, unless it was started with `SGLANG_RETURN_ORIGINAL_LOGPROB=1`: next tokens are asked for at temperature 1, where both are
//! the same, and of draws at another temperature no log-probabilities are taken.

use super::{Answer, Call, Drawn, Path, Question, Usage, check, parse};
use crate::fault::Fault;
use entrace_measure::{StopReason, TokenId};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// Most contexts in a request.
pub const MOST_CONTEXTS: usize = 256;
/// Most chosen tokens in a request.
pub const MOST_CHOSEN: usize = 4096;

/// A question as a POST.
pub fn call(question: &Question) -> Call {
    let body = match question {
        Question::Next(next) => {
            let mut body = json!({
                "input_ids": next.contexts,
                "sampling_params": parameters(next.temperature, 1.0, 0, 0, 1, &[]),
                "return_logprob": true, "top_logprobs_num": next.top_k, "return_text_in_logprobs": false, "stream": false,
            });
            if !next.gather.is_empty() {
                body["token_ids_logprob"] = json!(next.gather);
            }
            body
        }
        Question::Draw(draw) => {
            let s = &draw.sampling;
            let mut parameters =
                parameters(s.temperature, s.top_p, s.top_k, s.max_new_tokens, draw.n, &s.stop);
            if let Some(seed) = draw.seed {
                parameters["sampling_seed"] = json!(seed >> 33);
            }
            json!({
                "input_ids": draw.context, "sampling_params": parameters,
                "return_logprob": true, "top_logprobs_num": 0, "return_text_in_logprobs": false, "stream": false,
            })
        }
    };
    Call { path: Path::Beside("/generate"), body }
}

fn parameters(
    temperature: f64,
    top_p: f64,
    top_k: usize,
    max_new_tokens: usize,
    n: usize,
    stop: &[String],
) -> Value {
    // −1 keeps every token.
    let top_k = if top_k == 0 { -1 } else { i64::try_from(top_k).unwrap_or(-1) };
    json!({
        "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": 0.0, "max_new_tokens": max_new_tokens, "n": n,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0, "stop": stop,
        "skip_special_tokens": true, "spaces_between_special_tokens": true,
    })
}

/// The checked answer to a question.
pub fn read(question: &Question, body: &[u8], vocab_size: Option<usize>) -> Result<Answer, Fault> {
    let items = match parse::<OneOrMany>(body)? {
        OneOrMany::One(item) => vec![*item],
        OneOrMany::Many(items) => items,
    };
    if let Some(aborted) =
        items.iter().find_map(|item| item.meta_info.finish_reason.as_ref().filter(|r| r.kind == "abort"))
    {
        return Err(Fault::broken(format!(
            "the server gave up: {}",
            aborted.message.as_deref().unwrap_or("no reason")
        )));
    }
    let usage = |items: &[Item]| Usage {
        prompt_tokens: items.iter().map(|item| item.meta_info.prompt_tokens).sum(),
        cached_tokens: items.iter().map(|item| item.meta_info.cached_tokens).sum(),
        completion_tokens: items.iter().map(|item| item.meta_info.completion_tokens).sum(),
    };
    match question {
        Question::Next(next) => {
            check::count("answers", items.len(), next.contexts.len())?;
            let tokens = items.iter().zip(&next.contexts).map(|(item, context)| {
                check::prompt_tokens(Some(item.meta_info.prompt_tokens), context.len())?;
                let first = |lists: &Option<Vec<Option<Vec<Entry>>>>| {
                    lists.as_ref().and_then(|lists| lists.first()).cloned().flatten().unwrap_or_default()
                };
                let listed = entries(&first(&item.meta_info.output_top_logprobs));
                let chosen = entries(&first(&item.meta_info.output_token_ids_logprobs));
                check::next_token(&listed, &chosen, next, vocab_size)
            });
            Ok(Answer::Next(tokens.collect::<Result<_, _>>()?, usage(&items)))
        }
        Question::Draw(draw) => {
            check::count("completions", items.len(), draw.n)?;
            let usage = Usage { prompt_tokens: draw.context.len(), ..usage(&items) };
            let is_raw = (draw.sampling.temperature - 1.0).abs() < 1e-9;
            let draws = items.into_iter().map(|item| {
                check::prompt_tokens(Some(item.meta_info.prompt_tokens), draw.context.len())?;
                let reason =
                    item.meta_info.finish_reason.as_ref().map_or("none", |reason| reason.kind.as_str());
                let stop_reason = match reason {
                    "stop" => StopReason::Stop,
                    "length" => StopReason::Length,
                    other => {
                        return Err(Fault::broken(format!("a completion ended for the reason {other:?}")));
                    }
                };
                let drawn = entries(&item.meta_info.output_token_logprobs.unwrap_or_default());
                let listed: Vec<TokenId> = drawn.iter().map(|entry| entry.0).collect();
                let token_ids = item.output_ids.unwrap_or_else(|| listed.clone());
                let numbers = is_raw.then(|| drawn.iter().map(|entry| entry.1).collect());
                let logprobs = check::drawn(&token_ids, numbers, draw.sampling.max_new_tokens, vocab_size)?;
                Ok(Drawn { token_ids: Some(token_ids), text: item.text, logprobs, stop_reason })
            });
            Ok(Answer::Draws(draws.collect::<Result<_, _>>()?, usage))
        }
    }
}

fn entries(list: &[Entry]) -> Vec<(TokenId, Option<f64>)> {
    list.iter().map(|(number, token, _)| (*token, *number)).collect()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Item>),
    One(Box<Item>),
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    text: String,
    output_ids: Option<Vec<TokenId>>,
    meta_info: Meta,
}

#[derive(Deserialize)]
struct Meta {
    finish_reason: Option<Reason>,
    prompt_tokens: usize,
    #[serde(default)]
    completion_tokens: usize,
    cached_tokens: Option<usize>,
    output_token_logprobs: Option<Vec<Entry>>,
    output_top_logprobs: Option<Vec<Option<Vec<Entry>>>>,
    output_token_ids_logprobs: Option<Vec<Option<Vec<Entry>>>>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(rename = "type")]
    kind: String,
    message: Option<String>,
}

/// Log-probability, token, and its text if that was asked for.
type Entry = (Option<f64>, TokenId, IgnoredAny);

#[cfg(test)]
mod tests {
    use super::super::Draw;
    use super::super::tests_support::{draw, next, raw};
    use super::*;

    fn item(prompt_tokens: usize, extra: Value) -> Value {
        let mut meta = json!({"id": "a", "finish_reason": {"type": "length", "length": 0}, "prompt_tokens": prompt_tokens,
                              "completion_tokens": 0, "cached_tokens": 1});
        for (name, value) in extra.as_object().unwrap() {
            meta[name] = value.clone();
        }
        json!({"text": "x", "meta_info": meta})
    }

    #[test]
    fn likely_and_chosen_tokens_come_side_by_side() {
        let question = next(&[&[1, 2, 3]], &[8], 2);
        let body = call(&question).body;
        assert_eq!((&body["top_logprobs_num"], &body["token_ids_logprob"]), (&json!(2), &json!([8])));
        assert_eq!(body["sampling_params"]["max_new_tokens"], 0);
        assert_eq!(body["sampling_params"]["top_k"], -1);
        let lists = json!({"output_top_logprobs": [[[-0.5, 4, null], [-1.5, 6, null]]], "output_token_ids_logprobs": [[[-7.5, 8, null]]]});
        let Answer::Next(found, usage) =
            read(&question, json!([item(3, lists)]).to_string().as_bytes(), Some(10)).unwrap()
        else {
            panic!("a list")
        };
        assert_eq!(
            (found[0].top.as_slice(), found[0].gather.as_slice()),
            (&[(4, -0.5), (6, -1.5)][..], &[-7.5][..])
        );
        assert_eq!(usage.cached_tokens, Some(1));
    }

    #[test]
    fn faults_are_named() {
        let question = next(&[&[1, 2, 3]], &[8], 2);
        let problem =
            |value: Value| read(&question, value.to_string().as_bytes(), Some(10)).unwrap_err().to_string();
        let top = json!([[[-0.5, 4, null], [-1.5, 6, null]]]);
        let good = json!({"output_top_logprobs": top, "output_token_ids_logprobs": [[[-7.5, 8, null]]]});
        for (value, says) in [
            (json!([item(3, json!({"output_top_logprobs": top}))]), "token 8 was asked for and did not come"),
            (
                json!([item(3, json!({"output_token_ids_logprobs": [[[-7.5, 8, null]]]}))]),
                "0 of the most likely tokens",
            ),
            (
                json!([item(3, json!({"output_top_logprobs": [null], "output_token_ids_logprobs": [null]}))]),
                "0 of the most likely",
            ),
            (json!([item(4, good.clone())]), "counts 4 tokens where 3"),
            (json!([item(3, good.clone()), item(3, good.clone())]), "2 answers came where 1"),
            (
                json!([item(3, json!({"finish_reason": {"type": "abort", "message": "out of memory"}}))]),
                "gave up: out of memory",
            ),
        ] {
            assert!(problem(value.clone()).contains(says), "{} does not say {says:?}", problem(value));
        }
    }

    #[test]
    fn tempered_log_probabilities_are_not_taken() {
        let answer = |temperature: f64| {
            let sampling = entrace_backend::Sampling { temperature, ..raw(4) };
            let question = Question::Draw(Draw {
                context: vec![1, 2],
                text: None,
                messages: vec![],
                n: 1,
                sampling,
                seed: None,
            });
            let drawn = json!({"finish_reason": {"type": "stop", "matched": 0}, "output_token_logprobs": [[-0.5, 4, null], [-0.1, 0, null]]});
            let Answer::Draws(mut draws, _) =
                read(&question, item(2, drawn).to_string().as_bytes(), None).unwrap()
            else {
                panic!("draws")
            };
            draws.remove(0)
        };
        assert_eq!(answer(1.0).logprobs, Some(vec![-0.5, -0.1]));
        assert_eq!(answer(0.7).logprobs, None);
        assert_eq!(answer(0.7).token_ids, Some(vec![4, 0]));
        assert!(read(&draw(&[1, 2], 2, 4), item(2, json!({})).to_string().as_bytes(), None).is_err());
    }
}
