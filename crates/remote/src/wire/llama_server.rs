//! llama.cpp's server, `/completion`.
//!
//! Its own protocol tells more than the OpenAI one: tokens have numbers, `n_probs` has no limit, and log-probabilities are of the whole
//! vocabulary before any sampler. A chosen token is read exactly by forcing it: with a bias of 10⁶ it is drawn for certain, and what is said
//! of it is its raw log-probability. So a request reads one chosen token after every context. Its samplers are all on by default (temperature
//! 0.8, top_k 40, min_p 0.05) and are all set here.

use super::{Answer, Call, Drawn, NextToken, Path, Question, Usage, check, parse};
use crate::fault::Fault;
use entrace_measure::{StopReason, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

/// Most contexts in a request.
pub const MOST_CONTEXTS: usize = 64;
/// Most chosen tokens in a request.
pub const MOST_CHOSEN: usize = 1;
/// Makes a token the only one that can be drawn.
const FORCE: f64 = 1e6;

/// A question as a POST.
pub fn call(question: &Question) -> Call {
    let body = match question {
        Question::Next(next) => {
            let mut body = samplers(next.temperature, 1.0, 0, 1);
            body["prompt"] = json!(next.contexts);
            body["n_probs"] = json!(next.top_k.max(1));
            if let Some(&token) = next.gather.first() {
                body["logit_bias"] = json!([[token, FORCE]]);
            }
            body
        }
        Question::Draw(draw) => {
            let s = &draw.sampling;
            let mut body = samplers(s.temperature, s.top_p, s.top_k, s.max_new_tokens);
            body["prompt"] = json!(draw.context);
            body["n_probs"] = json!(1);
            body["n_cmpl"] = json!(draw.n);
            body["stop"] = json!(s.stop);
            if let Some(seed) = draw.seed {
                // 2³² − 1 asks for a random one.
                body["seed"] = json!((seed >> 33) as u32);
            }
            body
        }
    };
    Call { path: Path::Beside("/completion"), body }
}

fn samplers(temperature: f64, top_p: f64, top_k: usize, n_predict: usize) -> Value {
    json!({
        "n_predict": n_predict, "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": 0.0,
        "dynatemp_range": 0.0, "typical_p": 1.0, "top_n_sigma": -1.0, "xtc_probability": 0.0, "mirostat": 0,
        "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry_multiplier": 0.0,
        "samplers": ["top_k", "top_p", "temperature"], "post_sampling_probs": false,
        "cache_prompt": true, "return_tokens": true, "stream": false,
    })
}

/// The checked answer to a question.
pub fn read(question: &Question, body: &[u8], vocab_size: Option<usize>) -> Result<Answer, Fault> {
    let mut items = match parse::<OneOrMany>(body)? {
        OneOrMany::One(item) => vec![*item],
        OneOrMany::Many(items) => items,
    };
    items.sort_by_key(|item| item.index);
    let usage = Usage {
        prompt_tokens: items.iter().map(|item| item.tokens_evaluated).sum(),
        cached_tokens: items
            .iter()
            .map(|item| item.timings.as_ref().and_then(|timings| timings.cache_n))
            .sum(),
        completion_tokens: items.iter().map(|item| item.tokens_predicted).sum(),
    };
    match question {
        Question::Next(next) => {
            check::count("answers", items.len(), next.contexts.len())?;
            let tokens = items.iter().zip(&next.contexts).map(|(item, context)| {
                check::prompt_tokens(Some(item.tokens_evaluated), context.len())?;
                let first = item.completion_probabilities.as_ref().and_then(|all| all.first());
                let first = first.ok_or_else(|| Fault::wrong("no log-probabilities came"))?;
                let listed: Vec<_> =
                    first.top_logprobs.iter().map(|entry| (entry.id, entry.logprob)).collect();
                let Some(&forced) = next.gather.first() else {
                    return check::next_token(&listed, &[], next, vocab_size);
                };
                if first.id != forced {
                    return Err(Fault::wrong(format!(
                        "token {} was drawn where {forced} was forced: logit_bias is ignored",
                        first.id
                    )));
                }
                let found: NextToken =
                    check::next_token(&listed, &[(first.id, first.logprob)], next, vocab_size)?;
                Ok(found)
            });
            Ok(Answer::Next(tokens.collect::<Result<_, _>>()?, usage))
        }
        Question::Draw(draw) => {
            check::count("completions", items.len(), draw.n)?;
            let usage = Usage { prompt_tokens: draw.context.len(), ..usage };
            let draws = items.into_iter().map(|item| {
                check::prompt_tokens(Some(item.tokens_evaluated), draw.context.len())?;
                if item.truncated {
                    return Err(Fault::wrong("the server cut the context to make room (truncated)"));
                }
                let stop_reason = match item.stop_type.as_str() {
                    "eos" | "word" => StopReason::Stop,
                    "limit" => StopReason::Length,
                    other => {
                        return Err(Fault::broken(format!("a completion ended for the reason {other:?}")));
                    }
                };
                let probabilities = item.completion_probabilities.unwrap_or_default();
                let numbers = numbers(&item.tokens, &probabilities);
                let logprobs = check::drawn(&item.tokens, numbers, draw.sampling.max_new_tokens, vocab_size)?;
                Ok(Drawn { token_ids: Some(item.tokens), text: item.content, logprobs, stop_reason })
            });
            Ok(Answer::Draws(draws.collect::<Result<_, _>>()?, usage))
        }
    }
}

/// The numbers of drawn tokens. Tokens that a stop string ate have some and are not returned; those after which the text ends within a character
/// are returned and have none. Where that leaves no number in the place of its token, none is taken.
fn numbers(tokens: &[TokenId], probabilities: &[Probability]) -> Option<Vec<Option<f64>>> {
    let own = probabilities.get(..tokens.len())?;
    let are_in_place = own.iter().zip(tokens).all(|(entry, token)| entry.id == *token);
    are_in_place.then(|| own.iter().map(|entry| entry.logprob).collect())
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
    index: usize,
    #[serde(default)]
    content: String,
    #[serde(default)]
    tokens: Vec<TokenId>,
    #[serde(default)]
    truncated: bool,
    tokens_evaluated: usize,
    #[serde(default)]
    tokens_predicted: usize,
    #[serde(default)]
    stop_type: String,
    timings: Option<Timings>,
    completion_probabilities: Option<Vec<Probability>>,
}

#[derive(Deserialize)]
struct Timings {
    cache_n: Option<usize>,
}

#[derive(Deserialize)]
struct Probability {
    id: TokenId,
    logprob: Option<f64>,
    #[serde(default)]
    top_logprobs: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: TokenId,
    logprob: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{draw, next};
    use super::*;

    fn item(index: usize, tokens_evaluated: usize, drawn: TokenId, logprob: f64) -> Value {
        json!({"index": index, "content": " was", "tokens": [drawn], "id_slot": 2, "stop": true, "tokens_predicted": 1,
               "tokens_evaluated": tokens_evaluated, "truncated": false, "stop_type": "limit", "stopping_word": "",
               "timings": {"cache_n": 4, "prompt_n": 1},
               "completion_probabilities": [{"id": drawn, "token": " was", "bytes": [], "logprob": logprob, "top_logprobs": [
                   {"id": 288, "token": " to", "bytes": [], "logprob": -2.0}, {"id": 314, "token": " is", "bytes": [], "logprob": -2.2}]}]})
    }

    #[test]
    fn every_sampler_is_set() {
        let body = call(&next(&[&[1, 2]], &[9], 0)).body;
        assert_eq!(
            (&body["logit_bias"], &body["n_probs"], &body["n_predict"]),
            (&json!([[9, 1e6]]), &json!(1), &json!(1))
        );
        for (name, neutral) in [
            ("min_p", 0.0),
            ("typical_p", 1.0),
            ("repeat_penalty", 1.0),
            ("xtc_probability", 0.0),
            ("temperature", 1.0),
        ] {
            assert_eq!(body[name], neutral, "{name}");
        }
        assert_eq!(body["top_k"], 0);
    }

    #[test]
    fn forced_tokens_and_lists_are_read() {
        let question = next(&[&[1, 2, 3], &[4, 5, 6]], &[436], 0);
        let body = json!([item(1, 3, 436, -4.5), item(0, 3, 436, -14.9)]).to_string();
        let Answer::Next(found, usage) = read(&question, body.as_bytes(), None).unwrap() else {
            panic!("a list")
        };
        assert_eq!((found[0].gather[0], found[1].gather[0]), (-14.9, -4.5));
        assert_eq!(usage, Usage { prompt_tokens: 6, cached_tokens: Some(8), completion_tokens: 2 });
        let Answer::Next(found, _) =
            read(&next(&[&[1, 2, 3]], &[], 2), item(0, 3, 7, -3.0).to_string().as_bytes(), None).unwrap()
        else {
            panic!("a list")
        };
        assert_eq!(found[0].top, [(288, -2.0), (314, -2.2)]);
    }

    #[test]
    fn faults_are_named() {
        let question = next(&[&[1, 2, 3]], &[9], 0);
        let problem = |question: &Question, value: Value| {
            read(question, value.to_string().as_bytes(), None).unwrap_err().to_string()
        };
        assert!(problem(&question, item(0, 3, 436, -4.5)).contains("logit_bias is ignored"));
        assert!(problem(&question, item(0, 4, 9, -4.5)).contains("counts 4 tokens where 3"));
        assert!(problem(&question, item(0, 3, 9, 4.5)).contains("above 0"));
        assert!(
            problem(&next(&[&[1, 2, 3]], &[], 3), item(0, 3, 9, -4.5))
                .contains("2 of the most likely tokens came where 3")
        );
        let mut cut = item(0, 3, 9, -4.5);
        cut["truncated"] = json!(true);
        assert!(problem(&draw(&[1, 2, 3], 1, 1), cut).contains("cut the context"));
        assert!(problem(&draw(&[1, 2, 3], 2, 1), item(0, 3, 9, -4.5)).contains("1 completions came where 2"));
    }

    #[test]
    fn the_token_that_ends_a_turn_is_there() {
        let mut ended = item(0, 3, 2, -2.6);
        ended["stop_type"] = json!("eos");
        let Answer::Draws(draws, _) =
            read(&draw(&[1, 2, 3], 1, 4), ended.to_string().as_bytes(), None).unwrap()
        else {
            panic!("draws")
        };
        assert_eq!(draws[0].token_ids, Some(vec![2]));
        assert_eq!(draws[0].stop_reason, StopReason::Stop);
    }

    #[test]
    fn numbers_that_are_not_in_place_are_not_taken() {
        let drawn = |tokens: &[TokenId], entries: &[TokenId]| {
            let entry = |id: &TokenId| json!({"id": id, "logprob": -0.5, "top_logprobs": []});
            let mut item = item(0, 3, 2, -2.6);
            item["tokens"] = json!(tokens);
            item["completion_probabilities"] = entries.iter().map(entry).collect();
            match read(&draw(&[1, 2, 3], 1, 4), item.to_string().as_bytes(), None).unwrap() {
                Answer::Draws(mut draws, _) => draws.remove(0).logprobs.map(|numbers| numbers.len()),
                Answer::Next(..) => panic!("no draws"),
            }
        };
        assert_eq!(drawn(&[7, 8, 9], &[7, 8, 9]), Some(3));
        assert_eq!(drawn(&[7, 8], &[7, 8, 9]), Some(2), "a stop string ate one");
        assert_eq!(drawn(&[7, 8, 9], &[7]), None, "two end within a character");
        assert_eq!(drawn(&[7, 8], &[8, 9]), None, "both");
    }
}
