//! vLLM's `/v1/completions`.
//!
//! Prompts are lists of tokens, many in a request. `logprob_token_ids` takes the place of the list of the most likely tokens, so that chosen
//! tokens and likely ones are two requests; with the V1 runner they must not run at the same time (`pool` sees to that). Tokens are named
//! `token_id:N` (`return_tokens_as_token_ids`), else two of the same text would be one. −∞ comes as −9999. Log-probabilities are raw where
//! `--logprobs-mode` is not changed, which `probe` finds out.

use super::{Answer, Call, Draw, Drawn, Next, NextToken, Path, Question, Usage, check, parse};
use crate::fault::Fault;
use entrace_measure::{StopReason, TokenId};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most contexts in a request.
pub const MOST_CONTEXTS: usize = 1024;
/// Most chosen tokens in a request.
pub const MOST_CHOSEN: usize = 128;

/// A question as a POST.
pub fn call(model: &str, question: &Question) -> Call {
    let body = match question {
        Question::Next(next) => next_body(model, next),
        Question::Draw(draw) => draw_body(model, draw),
    };
    Call { path: Path::Below("/completions"), body }
}

fn next_body(model: &str, next: &Next) -> Value {
    let mut body = json!({
        "model": model, "prompt": next.contexts, "max_tokens": 1, "n": 1,
        "temperature": next.temperature, "top_p": 1.0, "top_k": 0, "min_p": 0.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0,
        "logprobs": if next.gather.is_empty() { next.top_k } else { 1 },
        "return_tokens_as_token_ids": true, "return_token_ids": true, "echo": false, "stream": false,
    });
    if !next.gather.is_empty() {
        body["logprob_token_ids"] = json!(next.gather);
    }
    body
}

fn draw_body(model: &str, draw: &Draw) -> Value {
    let sampling = &draw.sampling;
    let mut body = json!({
        "model": model, "prompt": draw.context, "max_tokens": sampling.max_new_tokens, "n": draw.n,
        "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": 0.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0,
        "stop": sampling.stop, "logprobs": 0,
        "return_tokens_as_token_ids": true, "return_token_ids": true, "echo": false, "stream": false,
    });
    if let Some(seed) = draw.seed {
        // Seeds are signed there.
        body["seed"] = json!(seed >> 1);
    }
    body
}

/// The checked answer to a question.
pub fn read(question: &Question, body: &[u8], vocab_size: Option<usize>) -> Result<Answer, Fault> {
    let mut response: Response = parse(body)?;
    let asked = match question {
        Question::Next(next) => next.contexts.len(),
        Question::Draw(draw) => draw.n,
    };
    check::count("completions", response.choices.len(), asked)?;
    response.choices.sort_by_key(|choice| choice.index);
    if let Some(place) = (0..asked).find(|&place| response.choices[place].index != place) {
        return Err(Fault::wrong(format!("completion {place} did not come, and another came twice")));
    }
    let usage = response.usage.map(Usage::from).unwrap_or_default();
    let sent = match question {
        Question::Next(next) => next.contexts.iter().map(Vec::len).sum(),
        Question::Draw(draw) => draw.context.len(),
    };
    check::prompt_tokens(response.usage.map(|usage| usage.prompt_tokens), sent)?;
    match question {
        Question::Next(next) => {
            let read = |choice| next_token(choice, next, vocab_size);
            Ok(Answer::Next(response.choices.into_iter().map(read).collect::<Result<_, _>>()?, usage))
        }
        Question::Draw(draw) => {
            let read = |choice| drawn(choice, draw, vocab_size);
            Ok(Answer::Draws(response.choices.into_iter().map(read).collect::<Result<_, _>>()?, usage))
        }
    }
}

fn next_token(choice: Choice, next: &Next, vocab_size: Option<usize>) -> Result<NextToken, Fault> {
    let lists = choice
        .logprobs
        .ok_or_else(|| Fault::wrong("no log-probabilities came"))?
        .top_logprobs
        .unwrap_or_default();
    let first = lists.into_iter().next().flatten();
    let first = first.ok_or_else(|| Fault::wrong("no list of log-probabilities came for the next token"))?;
    let entries: Vec<(TokenId, Option<f64>)> = first
        .iter()
        .map(|(name, number)| Ok((token_of(name)?, number.as_f64())))
        .collect::<Result<_, Fault>>()?;
    let (listed, chosen) =
        if next.gather.is_empty() { (&entries[..], &[][..]) } else { (&[][..], &entries[..]) };
    let listed_only = Next { contexts: Vec::new(), ..next.clone() };
    let asked = if next.gather.is_empty() { listed_only } else { Next { top_k: 0, ..listed_only } };
    check::next_token(listed, chosen, &asked, vocab_size)
}

fn drawn(choice: Choice, draw: &Draw, vocab_size: Option<usize>) -> Result<Drawn, Fault> {
    let stop_reason = stop_reason(choice.finish_reason.as_deref())?;
    let logprobs =
        choice.logprobs.ok_or_else(|| Fault::wrong("no log-probabilities came with a completion"))?;
    let tokens: Vec<TokenId> = match choice.token_ids {
        Some(token_ids) => token_ids,
        None => logprobs.tokens.iter().map(|name| token_of(name)).collect::<Result<_, _>>()?,
    };
    let numbers = logprobs.token_logprobs;
    let logprobs = check::drawn(&tokens, Some(numbers), draw.sampling.max_new_tokens, vocab_size)?;
    Ok(Drawn { token_ids: Some(tokens), text: choice.text, logprobs, stop_reason })
}

/// Why a completion ended, by OpenAI's names.
pub(crate) fn stop_reason(name: Option<&str>) -> Result<StopReason, Fault> {
    match name {
        Some("stop") => Ok(StopReason::Stop),
        Some("length") => Ok(StopReason::Length),
        other => {
            Err(Fault::broken(format!("a completion ended for the reason {:?}", other.unwrap_or("none"))))
        }
    }
}

/// The token of `token_id:N`.
pub(crate) fn token_of(name: &str) -> Result<TokenId, Fault> {
    let number = name.strip_prefix("token_id:").and_then(|number| number.parse().ok());
    number.ok_or_else(|| {
        let shown: String = name.chars().take(20).collect();
        Fault::wrong(format!(
            "log-probabilities came by text ({shown:?}), which several tokens may share; the server may not know return_tokens_as_token_ids"
        ))
    })
}

#[derive(Deserialize)]
struct Response {
    choices: Vec<Choice>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    #[serde(default)]
    text: String,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
    token_ids: Option<Vec<TokenId>>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    token_logprobs: Vec<Option<f64>>,
    top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

/// `usage` of OpenAI's protocol.
#[derive(Deserialize, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) prompt_tokens: usize,
    #[serde(default)]
    completion_tokens: usize,
    prompt_tokens_details: Option<Cached>,
}

#[derive(Deserialize, Clone, Copy)]
struct Cached {
    cached_tokens: Option<usize>,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        Self {
            prompt_tokens: counts.prompt_tokens,
            cached_tokens: counts.prompt_tokens_details.and_then(|details| details.cached_tokens),
            completion_tokens: counts.completion_tokens,
        }
    }
}

/// The names and numbers of a list by text, for servers that know no other names.
pub(crate) type ByText = BTreeMap<String, Option<f64>>;

#[cfg(test)]
mod tests {
    use super::super::tests_support::{draw, next, raw};
    use super::*;

    fn body(choices: Value, prompt_tokens: usize) -> Vec<u8> {
        let usage = json!({"prompt_tokens": prompt_tokens, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}});
        json!({"id": "cmpl-1", "object": "text_completion", "choices": choices, "usage": usage})
            .to_string()
            .into_bytes()
    }

    fn choice(index: usize, top: Value) -> Value {
        json!({"index": index, "text": "x", "finish_reason": "length", "stop_reason": null,
               "logprobs": {"tokens": ["token_id:7"], "token_logprobs": [-1.5], "text_offset": [0], "top_logprobs": [top]}})
    }

    #[test]
    fn every_parameter_is_sent() {
        let asked = call("m", &next(&[&[1, 2], &[1, 2, 3]], &[], 20));
        assert_eq!(asked.path, Path::Below("/completions"));
        let body = &asked.body;
        assert_eq!(body["prompt"], json!([[1, 2], [1, 2, 3]]));
        assert_eq!(body["logprobs"], 20);
        for name in [
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "presence_penalty",
            "frequency_penalty",
            "repetition_penalty",
        ] {
            assert!(body.get(name).is_some(), "{name}");
        }
        assert!(body.get("logprob_token_ids").is_none() && body.get("seed").is_none());
        let chosen = call("m", &next(&[&[1]], &[4, 5], 0)).body;
        assert_eq!((&chosen["logprob_token_ids"], &chosen["logprobs"]), (&json!([4, 5]), &json!(1)));
        let seeded = Question::Draw(Draw {
            context: vec![1],
            text: None,
            messages: vec![],
            n: 2,
            sampling: raw(9),
            seed: Some(u64::MAX),
        });
        assert_eq!(call("m", &seeded).body["seed"], json!(i64::MAX));
    }

    #[test]
    fn a_list_is_read_whatever_the_order_of_its_choices() {
        let question = next(&[&[1, 2], &[1, 2, 3]], &[], 2);
        let first = json!({"token_id:7": -1.5, "token_id:3": -0.5, "token_id:9": -2.5});
        let second = json!({"token_id:8": -0.1, "token_id:3": -3.0});
        let answer =
            read(&question, &body(json!([choice(1, second), choice(0, first)]), 5), Some(10)).unwrap();
        let Answer::Next(found, usage) = answer else { panic!("a list") };
        assert_eq!(found[0].top, [(3, -0.5), (7, -1.5)]);
        assert_eq!(found[1].top, [(8, -0.1), (3, -3.0)]);
        assert_eq!((usage.prompt_tokens, usage.cached_tokens), (5, Some(2)));
    }

    #[test]
    fn chosen_tokens_are_read_by_number() {
        let question = next(&[&[1, 2]], &[4, 5], 0);
        let list = json!({"token_id:7": -1.5, "token_id:4": -0.7, "token_id:5": -9999.0});
        let Answer::Next(found, _) = read(&question, &body(json!([choice(0, list)]), 2), None).unwrap()
        else {
            panic!("a list")
        };
        assert_eq!(found[0].gather, [-0.7, f64::NEG_INFINITY]);
    }

    #[test]
    fn faults_are_named() {
        let question = next(&[&[1, 2]], &[], 3);
        let problem = |body: &[u8]| read(&question, body, Some(100)).unwrap_err().to_string();
        let three = json!({"token_id:7": -1.5, "token_id:3": -0.9, "token_id:9": -2.5});
        let with = |list: Value| body(json!([choice(0, list)]), 2);
        for (body, says) in [
            (
                with(json!({"token_id:7": -1.5, "token_id:0": -9999.0})),
                "2 of the most likely tokens came where 3",
            ),
            (with(json!({"token_id:7": 1.5, "token_id:3": -0.5, "token_id:9": -2.5})), "above 0"),
            (with(json!({"token_id:7": 0.0, "token_id:3": -0.5, "token_id:9": -2.5})), "sum to"),
            (with(json!({" A": -1.5, " B": -0.5, " C": -2.5})), "came by text (\" A\")"),
            (body(json!([choice(0, three.clone())]), 3), "counts 3 tokens where 2 were sent"),
            (
                body(json!([choice(0, three.clone()), choice(1, three.clone())]), 2),
                "2 completions came where 1",
            ),
            (body(json!([choice(1, three.clone())]), 2), "completion 0 did not come"),
            (
                body(json!([{"index": 0, "text": "x", "logprobs": null, "finish_reason": "length"}]), 2),
                "no log-probabilities came",
            ),
            (
                with(json!({"token_id:700": -1.5, "token_id:3": -0.5, "token_id:9": -2.5})),
                "vocabulary has 100",
            ),
        ] {
            assert!(problem(&body).contains(says), "{} does not say {says:?}", problem(&body));
        }
        let nan = String::from_utf8(with(three)).unwrap().replace("-2.5", "NaN");
        assert!(problem(nan.as_bytes()).contains("NaN"));
    }

    #[test]
    fn draws_have_tokens_and_numbers() {
        let question = draw(&[1, 2, 3], 2, 4);
        let one = |index: usize, tokens: Value, numbers: Value, reason: &str| {
            json!({"index": index, "text": "ab", "finish_reason": reason, "token_ids": tokens,
                   "logprobs": {"tokens": ["token_id:5", "token_id:6"], "token_logprobs": numbers, "top_logprobs": [{}, {}]}})
        };
        let good = json!([
            one(0, json!([5, 6]), json!([-0.1, -0.2]), "stop"),
            one(1, Value::Null, json!([-0.1, -0.2]), "length")
        ]);
        let Answer::Draws(draws, _) = read(&question, &body(good, 3), None).unwrap() else { panic!("draws") };
        assert_eq!(draws[0].token_ids.as_deref(), Some(&[5, 6][..]));
        assert_eq!(draws[1].logprobs.as_deref(), Some(&[-0.1, -0.2][..]));
        assert_eq!(
            draws.iter().map(|d| d.stop_reason).collect::<Vec<_>>(),
            [StopReason::Stop, StopReason::Length]
        );
        for bad in [
            json!([one(0, json!([5, 6]), json!([-0.1, -0.2]), "stop")]),
            json!([
                one(0, json!([5]), json!([-0.1, -0.2]), "stop"),
                one(1, json!([5, 6]), json!([-0.1, -0.2]), "stop")
            ]),
            json!([
                one(0, json!([5, 6]), json!([-0.1, -0.2]), "abort"),
                one(1, json!([5, 6]), json!([-0.1, -0.2]), "stop")
            ]),
            json!([
                one(0, json!([5, 6]), json!([-0.1, null]), "stop"),
                one(1, json!([5, 6]), json!([-0.1, -0.2]), "stop")
            ]),
        ] {
            assert!(read(&question, &body(bad.clone(), 3), None).is_err(), "{bad}");
        }
    }
}
