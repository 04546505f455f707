//! OpenAI's `/v1/completions` and no more: llama-cpp-python, hosted APIs, gateways.
//!
//! Log-probabilities come by text there, if at all, and tokens of the same text would be one; so nothing is scored through it. It draws
//! completions, from which any answer distribution that is sampled can be made.
//!
//! llama-cpp-python and others like it draw with top_k 40, min_p 0.05 and a repeat penalty of 1.1 unless they are told otherwise, so these are
//! turned off where the server takes such fields; OpenAI's API refuses them, and has no such defaults. Where a prompt can only be text, the
//! server makes tokens of it again, and the number that it counts is compared with the number here.

use super::vllm::{ByText, Counts, stop_reason};
use super::{Answer, Call, Drawn, Path, Question, Usage, check, parse};
use crate::fault::Fault;
use serde::Deserialize;
use serde_json::json;

/// A question as a POST. `token_ids` says whether the prompt goes as tokens, `neutral` whether defaults are turned off.
pub fn call(model: &str, question: &Question, token_ids: bool, neutral: bool) -> Call {
    let body = match question {
        Question::Draw(draw) => {
            let s = &draw.sampling;
            let prompt = match (&draw.text, token_ids) {
                (Some(spelled), false) => json!(spelled.text),
                _ => json!(draw.context),
            };
            let mut body = json!({
                "model": model, "prompt": prompt, "max_tokens": s.max_new_tokens, "n": draw.n,
                "temperature": s.temperature, "top_p": s.top_p, "presence_penalty": 0.0, "frequency_penalty": 0.0,
                "echo": false, "stream": false,
            });
            if neutral {
                for (field, off) in NEUTRAL {
                    body[field] = json!(off);
                }
            }
            // A hosted API refuses fields that it does not know, and more than four stop strings.
            if !s.stop.is_empty() {
                body["stop"] = json!(s.stop[..s.stop.len().min(MOST_STOPS)]);
            }
            if s.top_k > 0 {
                body["top_k"] = json!(s.top_k);
            }
            if let Some(seed) = draw.seed {
                body["seed"] = json!(seed >> 1);
            }
            body
        }
        Question::Next(next) => json!({
            "model": model, "prompt": next.contexts, "max_tokens": 1, "n": 1, "temperature": next.temperature, "top_p": 1.0,
            "logprobs": next.top_k, "return_tokens_as_token_ids": true, "echo": false, "stream": false,
        }),
    };
    Call { path: Path::Below("/completions"), body }
}

/// What servers do to draws by default, under the names that they have for it, and the value that turns it off.
const NEUTRAL: [(&str, u32); 4] =
    [("top_k", 0), ("min_p", 0), ("repeat_penalty", 1), ("repetition_penalty", 1)];

/// Most stop strings that OpenAI's API takes; the others are found in the text all the same.
const MOST_STOPS: usize = 4;

/// The checked answer to a question.
pub fn read(question: &Question, body: &[u8], vocab_size: Option<usize>) -> Result<Answer, Fault> {
    let draw = match question {
        // Only a probe asks so, to find out whether tokens come by number; then the answer is one of vLLM's.
        Question::Next(_) => return super::vllm::read(question, body, vocab_size),
        Question::Draw(draw) => draw,
    };
    let mut response: Response = parse(body)?;
    check::count("completions", response.choices.len(), draw.n)?;
    response.choices.sort_by_key(|choice| choice.index);
    let sent = draw.text.as_ref().map_or(Some(draw.context.len()), |spelled| spelled.n_tokens);
    if let Some(sent) = sent {
        check::prompt_tokens(response.usage.map(|usage| usage.prompt_tokens), sent)?;
    }
    let usage = response.usage.map(Usage::from).unwrap_or_default();
    let draws = response.choices.into_iter().map(|choice| {
        let stop_reason = stop_reason(choice.finish_reason.as_deref())?;
        Ok(Drawn { token_ids: None, text: choice.text, logprobs: None, stop_reason })
    });
    Ok(Answer::Draws(draws.collect::<Result<_, _>>()?, usage))
}

/// Whether a list of log-probabilities came, and by text.
pub fn lists_by_text(body: &[u8]) -> bool {
    parse::<WithLists>(body).is_ok_and(|response| {
        let lists = response.choices.into_iter().filter_map(|choice| choice.logprobs?.top_logprobs);
        lists.flatten().flatten().any(|list: ByText| list.keys().any(|name| !name.starts_with("token_id:")))
    })
}

#[derive(Deserialize)]
struct WithLists {
    choices: Vec<WithList>,
}

#[derive(Deserialize)]
struct WithList {
    logprobs: Option<Lists>,
}

#[derive(Deserialize)]
struct Lists {
    top_logprobs: Option<Vec<Option<ByText>>>,
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
    finish_reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::raw;
    use super::super::{Draw, Spelled};
    use super::*;
    use entrace_measure::StopReason;

    fn question(n: usize) -> Question {
        let sampling = entrace_backend::Sampling {
            stop: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
            ..raw(5)
        };
        Question::Draw(Draw {
            context: vec![1, 2],
            text: Some(Spelled { text: "Q".into(), n_tokens: Some(1) }),
            messages: vec![],
            n,
            sampling,
            seed: None,
        })
    }

    #[test]
    fn prompts_are_tokens_where_the_server_takes_them() {
        assert_eq!(call("m", &question(1), true, true).body["prompt"], json!([1, 2]));
        let by_text = call("m", &question(1), false, false).body;
        assert_eq!(by_text["prompt"], json!("Q"));
        assert_eq!(by_text["stop"], json!(["a", "b", "c", "d"]));
        assert!(by_text.get("top_k").is_none() && by_text.get("logprobs").is_none());
    }

    #[test]
    fn defaults_of_sampling_are_turned_off() {
        let body = call("m", &question(1), false, true).body;
        assert_eq!(
            (&body["top_k"], &body["min_p"], &body["repeat_penalty"]),
            (&json!(0), &json!(0), &json!(1))
        );
        let Question::Draw(mut draw) = question(1) else { panic!("draws") };
        draw.sampling.top_k = 5;
        assert_eq!(call("m", &Question::Draw(draw), false, true).body["top_k"], json!(5));
    }

    #[test]
    fn tokens_of_a_text_are_counted() {
        let counted = |n: usize| {
            json!({"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": {"prompt_tokens": n}})
                .to_string()
        };
        assert!(read(&question(1), counted(1).as_bytes(), None).is_ok());
        let problem = read(&question(1), counted(2).as_bytes(), None).unwrap_err().to_string();
        assert!(problem.contains("counts 2 tokens where 1 were sent"), "{problem}");
    }

    #[test]
    fn an_ignored_n_is_noticed() {
        let body = json!({"choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}).to_string();
        let Answer::Draws(draws, _) = read(&question(1), body.as_bytes(), None).unwrap() else {
            panic!("draws")
        };
        assert_eq!(
            (draws[0].text.as_str(), draws[0].stop_reason, &draws[0].token_ids),
            ("hi", StopReason::Stop, &None)
        );
        let problem = read(&question(4), body.as_bytes(), None).unwrap_err().to_string();
        assert_eq!(problem, "1 completions came where 4 were asked for");
    }

    #[test]
    fn lists_by_text_are_told_apart() {
        let list =
            |name: &str| json!({"choices": [{"logprobs": {"top_logprobs": [{name: -0.5}]}}]}).to_string();
        assert!(lists_by_text(list(" A").as_bytes()));
        assert!(!lists_by_text(list("token_id:4").as_bytes()));
        assert!(!lists_by_text(b"{}"));
    }
}
