//! Steps in other words, said by a model.
//!
//! A paraphrase is kept where it says the same numbers and not the same words. The model is asked through its chat template, or with a plain
//! prompt where it has none; it answers greedily, with one line.

use crate::error::Error;
use crate::recorded::Recorded;
use entrace_backend::generate::RequestCompletions;
use entrace_backend::sampling::Counting;
use entrace_backend::{ChatMessage, Fork, GenerateRequest, Role, Sampling};
use entrace_measure::intervention::edit::{Change, reword, same_numbers};
use entrace_run::{Engine, Event, Observer};

/// Every step of a trace in other words, or why there are none.
pub(crate) fn steps(
    engine: Engine<'_>,
    recorded: &Recorded,
    observer: &mut dyn Observer,
) -> Result<(Vec<Result<Change, String>>, u64), Error> {
    let steps = 1..=recorded.n_steps();
    let words: Vec<&str> = steps.clone().map(|step| recorded.text_of_step(step).trim()).collect();
    let (replies, n_tokens) = ask(engine, &words, observer)?;
    let change = |(step, (words, reply)): (usize, (&str, Reply))| {
        let reply = reply?;
        let said = reply.trim().lines().next().unwrap_or_default().trim();
        if said.is_empty() || said == words {
            return Err("the model did not say it in other words".to_string());
        }
        if !same_numbers(said, words) {
            return Err("the paraphrase changed the step's numbers".to_string());
        }
        Ok(reword(recorded.trace.text(), &recorded.bytes(step), said))
    };
    Ok((steps.zip(words.into_iter().zip(replies)).map(change).collect(), n_tokens))
}

/// What the model said, or why it said nothing.
type Reply = Result<String, String>;

fn ask(engine: Engine<'_>, words: &[&str], observer: &mut dyn Observer) -> Result<(Vec<Reply>, u64), Error> {
    let text = engine.text;
    let mut requests = Vec::new();
    let mut longest = 0;
    for words in words {
        let prompt = if text.has_chat_template() {
            let content = format!(
                "Say the following sentence in other words. Keep every number as it is. Reply with the new sentence alone.\n\n{words}"
            );
            text.render_chat(&[ChatMessage { role: Role::User, content }])?
        } else {
            text.encode_prompt(&format!("Sentence: {words}\nThe same in other words:"))?
        };
        longest = longest.max(text.encode_plain(words)?.len());
        let n_tokens = prompt.token_ids.len();
        let fork = Fork { n_tokens, suffix: Vec::new(), streams: vec![0], max_new_tokens: None };
        requests.push(GenerateRequest { context: prompt.token_ids, forks: vec![fork] });
    }
    let sampling = Sampling {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        max_new_tokens: 2 * longest + 16,
        stop: Vec::new(),
    };
    let mut n_drawn = 0;
    let mut progress = |n| {
        n_drawn += n as u64;
        observer.event(Event::Tokens(n));
        !observer.should_stop()
    };
    let drawn = engine.generator()?.generate_each(&requests, &sampling, &mut Counting(&mut progress));
    if observer.should_stop() {
        return Err(entrace_run::Error::Interrupted.into());
    }
    let reply = |forks: Result<RequestCompletions, entrace_backend::Error>| match forks {
        Ok(forks) => Ok(forks.into_iter().flatten().map(|completion| completion.text).collect()),
        Err(error) => Err(error.to_string()),
    };
    Ok((drawn?.into_iter().map(reply).collect(), n_drawn))
}
