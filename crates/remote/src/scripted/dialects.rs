//! What each kind of server takes and returns, from a server's side.

use super::sampling::{self, Asked, Written, likeliest};
use super::{Seen, Shared, Speaks, locked};
use entrace_measure::TokenId;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

fn ok(body: Value) -> Reply {
    Reply { status: 200, body }
}

fn refused(status: u16, message: &str) -> Reply {
    Reply { status, body: json!({"error": {"message": message, "code": status}}) }
}

pub(super) fn reply(shared: &Shared, seen: &Seen) -> Reply {
    let behaviour = &shared.behaviour;
    if let Some(key) = &behaviour.key
        && seen.authorization.as_deref() != Some(&format!("Bearer {key}"))
    {
        // As OpenAI does, it repeats what it was shown.
        let shown = seen.authorization.clone().unwrap_or_default();
        return refused(401, &format!("Incorrect API key provided: {shown}"));
    }
    match (behaviour.speaks, seen.path.as_str()) {
        (_, "/v1/models") => ok(models(shared)),
        (Speaks::LlamaServer, "/props") => ok(
            json!({"total_slots": 4, "build_info": "b1-scripted", "default_generation_settings": {"n_ctx": shared.oracle.context_length()}}),
        ),
        (Speaks::Vllm, "/version") => ok(json!({"version": "0.32.0"})),
        (Speaks::Sglang, "/get_server_info" | "/server_info") => ok(json!({"version": "0.5.23"})),
        (Speaks::Vllm | Speaks::Sglang | Speaks::LlamaServer, "/tokenize")
        | (Speaks::Completions(false), "/extras/tokenize") => tokenize(shared, &seen.body),
        (Speaks::Vllm | Speaks::Completions(_), "/v1/completions")
        | (Speaks::Sglang, "/generate")
        | (Speaks::LlamaServer, "/completion")
        | (Speaks::Chat, "/v1/chat/completions") => generate(shared, &seen.body),
        _ => refused(404, "Not Found"),
    }
}

fn models(shared: &Shared) -> Value {
    let owned_by = match shared.behaviour.speaks {
        Speaks::Vllm => "vllm",
        Speaks::Sglang => "sglang",
        Speaks::LlamaServer => "llamacpp",
        Speaks::Completions(_) | Speaks::Chat => "me",
    };
    let n_ctx = shared.oracle.context_length();
    let mut model = json!({"id": shared.behaviour.name, "object": "model", "owned_by": owned_by});
    match shared.behaviour.speaks {
        Speaks::Vllm | Speaks::Sglang => {
            model["root"] = json!(shared.behaviour.name);
            model["max_model_len"] = json!(n_ctx);
        }
        Speaks::LlamaServer => {
            model["meta"] = json!({"n_vocab": shared.oracle.vocab_size(), "n_ctx": n_ctx, "n_params": 1000})
        }
        _ => {}
    }
    json!({"object": "list", "data": [model]})
}

fn tokenize(shared: &Shared, body: &Value) -> Reply {
    let name = match shared.behaviour.speaks {
        Speaks::LlamaServer => "content",
        Speaks::Completions(_) => "input",
        _ => "prompt",
    };
    match shared.oracle.encode(body[name].as_str().unwrap_or_default()) {
        Ok(mut tokens) => {
            tokens.splice(..0, shared.behaviour.begin).for_each(drop);
            ok(
                json!({"count": tokens.len(), "tokens": tokens, "max_model_len": shared.oracle.context_length()}),
            )
        }
        Err(error) => refused(400, &error.to_string()),
    }
}

/// Runs a request within the server's limits.
fn generate(shared: &Shared, body: &Value) -> Reply {
    let asked = match asked(shared, body) {
        Ok(asked) => asked,
        // llama-cpp-python fails over what it does not take.
        Err(problem) if shared.behaviour.speaks == Speaks::Completions(false) => {
            return refused(500, &problem);
        }
        Err(problem) => return refused(400, &problem),
    };
    let limit = shared.oracle.context_length();
    if let Some(long) = asked.prompts.iter().find(|prompt| prompt.len() + asked.max_tokens.min(1) > limit) {
        return refused(
            400,
            &format!("the context length is {limit} tokens and the request has {}", long.len()),
        );
    }
    let n_running = shared.n_running.fetch_add(1, Ordering::SeqCst) + 1;
    let chooses = body.get("logprob_token_ids").is_some();
    if chooses {
        shared.n_choosing.fetch_add(1, Ordering::SeqCst);
    }
    {
        let mut counted = locked(&shared.counted);
        counted.most_at_once = counted.most_at_once.max(n_running);
    }
    let reply = if n_running > shared.behaviour.most {
        refused(429, "too many requests")
    } else {
        let (slots, freed) = &shared.slots;
        let mut free = freed
            .wait_while(locked(slots), |free| *free == 0)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *free -= 1;
        drop(free);
        std::thread::sleep(shared.behaviour.latency);
        let is_mixed = shared.behaviour.mixes_up && !chooses && shared.n_choosing.load(Ordering::SeqCst) > 0;
        let reply = match sampling::write(shared, &asked) {
            Ok(written) => ok(rendered(shared, body, &asked, &written, is_mixed)),
            Err(error) => refused(500, &error.to_string()),
        };
        *locked(slots) += 1;
        freed.notify_one();
        reply
    };
    if chooses {
        shared.n_choosing.fetch_sub(1, Ordering::SeqCst);
    }
    shared.n_running.fetch_sub(1, Ordering::SeqCst);
    reply
}

fn asked(shared: &Shared, body: &Value) -> Result<Asked, String> {
    let speaks = shared.behaviour.speaks;
    let oracle = &*shared.oracle;
    let number = |body: &Value, name: &str, default: f64| body[name].as_f64().unwrap_or(default);
    let count = |body: &Value, name: &str, default: usize| {
        body[name].as_i64().map_or(default, |n| usize::try_from(n).unwrap_or(0))
    };
    let stop = |body: &Value| -> Vec<String> {
        body["stop"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|stop| stop.as_str().map(str::to_string))
            .collect()
    };
    let listed = |k: usize| {
        if k > shared.behaviour.most_listed {
            Err(format!("at most {} logprobs", shared.behaviour.most_listed))
        } else {
            Ok(())
        }
    };
    Ok(match speaks {
        Speaks::Vllm | Speaks::Completions(_) => {
            listed(count(body, "logprobs", 0))?;
            let by_text = speaks == Speaks::Completions(false);
            let mut prompts = sampling::prompts(oracle, &body["prompt"], !by_text)?;
            let begin = shared.behaviour.begin.filter(|_| body["prompt"].is_string());
            prompts.iter_mut().for_each(|prompt| prompt.splice(..0, begin).for_each(drop));
            // llama-cpp-python ignores n, and narrows and penalises draws.
            let (top_p, top_k, min_p, repeat_penalty) =
                if by_text { (0.95, 40, 0.05, 1.1) } else { (1.0, 0, 0.0, 1.0) };
            Asked {
                prompts,
                n: if by_text { 1 } else { count(body, "n", 1) },
                max_tokens: count(body, "max_tokens", 16),
                temperature: number(body, "temperature", 1.0),
                top_p: number(body, "top_p", top_p),
                top_k: count(body, "top_k", top_k),
                min_p: number(body, "min_p", min_p),
                repeat_penalty: number(body, "repeat_penalty", repeat_penalty),
                stop: stop(body),
                seed: body["seed"].as_u64(),
                forced: None,
            }
        }
        Speaks::Sglang => {
            let p = &body["sampling_params"];
            listed(count(body, "top_logprobs_num", 0))?;
            Asked {
                prompts: sampling::prompts(oracle, &body["input_ids"], true)?,
                n: count(p, "n", 1),
                max_tokens: count(p, "max_new_tokens", 128),
                temperature: number(p, "temperature", 1.0),
                top_p: number(p, "top_p", 1.0),
                top_k: count(p, "top_k", 0),
                min_p: 0.0,
                repeat_penalty: 1.0,
                stop: stop(p),
                seed: p["sampling_seed"].as_u64(),
                forced: None,
            }
        }
        Speaks::LlamaServer => Asked {
            prompts: sampling::prompts(oracle, &body["prompt"], true)?,
            n: count(body, "n_cmpl", 1),
            max_tokens: count(body, "n_predict", 128).max(1),
            temperature: number(body, "temperature", 0.8),
            top_p: number(body, "top_p", 0.95),
            top_k: count(body, "top_k", 40),
            min_p: number(body, "min_p", 0.05),
            repeat_penalty: number(body, "repeat_penalty", 1.0),
            stop: stop(body),
            seed: body["seed"].as_u64(),
            forced: body["logit_bias"][0][0].as_u64().map(|token| token as TokenId),
        },
        Speaks::Chat => {
            let text =
                body["messages"].as_array().and_then(|all| all.last()).and_then(|m| m["content"].as_str());
            Asked {
                prompts: vec![oracle.encode(text.unwrap_or_default()).map_err(|error| error.to_string())?],
                n: count(body, "n", 1),
                max_tokens: count(body, "max_tokens", 128),
                temperature: number(body, "temperature", 1.0),
                top_p: number(body, "top_p", 1.0),
                top_k: 0,
                min_p: 0.0,
                repeat_penalty: 1.0,
                stop: stop(body),
                seed: body["seed"].as_u64(),
                forced: None,
            }
        }
    })
}

fn rendered(shared: &Shared, body: &Value, asked: &Asked, written: &[Written], is_mixed: bool) -> Value {
    match shared.behaviour.speaks {
        Speaks::Vllm | Speaks::Completions(_) => completions(shared, body, asked, written, is_mixed),
        Speaks::Sglang => sglang(body, asked, written),
        Speaks::LlamaServer => llama_server(shared, body, asked, written),
        Speaks::Chat => chat(asked, written),
    }
}

/// −∞ as vLLM writes it.
fn clamped(logprob: f64) -> f64 {
    logprob.max(-9999.0)
}

fn completions(shared: &Shared, body: &Value, asked: &Asked, written: &[Written], is_mixed: bool) -> Value {
    let by_number = shared.behaviour.speaks == Speaks::Vllm && body["return_tokens_as_token_ids"] == true;
    let name =
        |token: TokenId| if by_number { format!("token_id:{token}") } else { shared.oracle.decode(&[token]) };
    let k = body["logprobs"].as_u64().map(|k| k as usize);
    let chosen: Option<Vec<TokenId>> = body["logprob_token_ids"]
        .as_array()
        .map(|all| all.iter().filter_map(|t| t.as_u64().map(|t| t as TokenId)).collect());
    let list = |token: TokenId, row: &[f64]| -> Map<String, Value> {
        let mut entries = vec![(token, row[token as usize])];
        match &chosen {
            Some(chosen) => entries.extend(chosen.iter().map(|&token| (token, row[token as usize]))),
            None if is_mixed => entries.push((0, -9999.0)),
            None => entries.extend(likeliest(row, k.unwrap_or(0))),
        }
        entries.into_iter().map(|(token, logprob)| (name(token), json!(clamped(logprob)))).collect()
    };
    let choice = |(index, written): (usize, &Written)| {
        let places = || written.tokens.iter().zip(&written.rows);
        let logprobs = k.map(|_| {
            json!({
                "tokens": places().map(|(&token, _)| name(token)).collect::<Vec<_>>(),
                "token_logprobs": places().map(|(&token, row)| clamped(row[token as usize])).collect::<Vec<_>>(),
                "top_logprobs": places().map(|(&token, row)| list(token, row)).collect::<Vec<_>>(),
                "text_offset": places().map(|_| 0).collect::<Vec<_>>(),
            })
        });
        let reason = if written.reason == "length" { "length" } else { "stop" };
        let mut choice =
            json!({"index": index, "text": written.text, "logprobs": logprobs, "finish_reason": reason});
        if by_number && body["return_token_ids"] == true {
            choice["token_ids"] = json!(written.tokens);
        }
        choice
    };
    let prompt_tokens: usize = asked.prompts.iter().map(Vec::len).sum();
    let completion_tokens: usize = written.iter().map(|w| w.tokens.len()).sum();
    let cached: usize = asked
        .prompts
        .iter()
        .enumerate()
        .filter_map(|(i, _)| written.iter().find(|w| w.prompt == i))
        .map(|w| w.cached)
        .sum();
    json!({
        "id": "cmpl-scripted", "object": "text_completion", "model": shared.behaviour.name,
        "choices": written.iter().enumerate().map(choice).collect::<Vec<_>>(),
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": prompt_tokens + completion_tokens,
                  "prompt_tokens_details": {"cached_tokens": cached}},
    })
}

fn sglang(body: &Value, asked: &Asked, written: &[Written]) -> Value {
    let k = body["top_logprobs_num"].as_u64().unwrap_or(0) as usize;
    let chosen: Vec<TokenId> = body["token_ids_logprob"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|t| t.as_u64().map(|t| t as TokenId))
        .collect();
    let entry = |token: TokenId, row: &[f64]| json!([clamped(row[token as usize]), token, null]);
    let item = |written: &Written| {
        let reason = if written.reason == "length" { "length" } else { "stop" };
        let drawn: Vec<Value> =
            written.tokens.iter().zip(&written.rows).map(|(&token, row)| entry(token, row)).collect();
        let top: Vec<Vec<Value>> = written
            .rows
            .iter()
            .map(|row| likeliest(row, k).into_iter().map(|(token, _)| entry(token, row)).collect())
            .collect();
        let asked_for: Vec<Vec<Value>> =
            written.rows.iter().map(|row| chosen.iter().map(|&t| entry(t, row)).collect()).collect();
        json!({"text": written.text, "output_ids": written.tokens, "meta_info": {
            "id": "scripted", "finish_reason": {"type": reason}, "prompt_tokens": asked.prompts[written.prompt].len(),
            "completion_tokens": written.tokens.len(), "cached_tokens": written.cached,
            "output_token_logprobs": drawn, "output_top_logprobs": top, "output_token_ids_logprobs": asked_for}})
    };
    let items: Vec<Value> = written.iter().map(item).collect();
    let is_batch = body["input_ids"][0].is_array() || asked.n > 1;
    if is_batch { json!(items) } else { items.into_iter().next().unwrap_or_default() }
}

fn llama_server(shared: &Shared, body: &Value, asked: &Asked, written: &[Written]) -> Value {
    let k = body["n_probs"].as_u64().unwrap_or(0) as usize;
    let entry = |token: TokenId, row: &[f64]| json!({"id": token, "token": shared.oracle.decode(&[token]), "bytes": [], "logprob": row[token as usize].max(f64::from(f32::MIN))});
    let item = |(index, written): (usize, &Written)| {
        let probabilities = written.tokens.iter().zip(&written.rows).map(|(&token, row)| {
            let mut drawn = entry(token, row);
            drawn["top_logprobs"] =
                likeliest(row, k).into_iter().map(|(token, _)| entry(token, row)).collect();
            drawn
        });
        let reason = match written.reason {
            "length" => "limit",
            "stop" => "eos",
            word => word,
        };
        json!({"index": index, "content": written.text, "tokens": written.tokens, "stop": true, "stop_type": reason, "truncated": false,
               "tokens_evaluated": asked.prompts[written.prompt].len(), "tokens_predicted": written.tokens.len(),
               "timings": {"cache_n": written.cached}, "completion_probabilities": probabilities.collect::<Vec<_>>()})
    };
    let items: Vec<Value> = written.iter().enumerate().map(item).collect();
    if items.len() == 1 { items.into_iter().next().unwrap_or_default() } else { json!(items) }
}

fn chat(asked: &Asked, written: &[Written]) -> Value {
    let choice = |(index, written): (usize, &Written)| {
        let reason = if written.reason == "length" { "length" } else { "stop" };
        json!({"index": index, "finish_reason": reason, "message": {"role": "assistant", "content": written.text, "reasoning": "So."}})
    };
    let prompt_tokens: usize = asked.prompts.iter().map(Vec::len).sum();
    let completion_tokens: usize = written.iter().map(|written| written.tokens.len()).sum();
    json!({
        "choices": written.iter().enumerate().map(choice).collect::<Vec<_>>(),
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": prompt_tokens + completion_tokens},
    })
}
