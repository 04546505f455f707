//! What the model says of its own answer when the conversation continues.
//!
//! The completion is the assistant's turn and a question about it the next one of the user, through the chat template; where the trace was
//! asked for with verbatim text, the question follows the completion as plain text. The reply begins with a cue, so that the next tokens
//! are what was asked for:
//!
//! - `verbalised_confidence`: the number that the model writes greedily after `Confidence:`, read as per cent (a number with a decimal
//!   point that is at most 1 is read as a share, and so are `9/10` and `8 out of 10`); an integer that the limit on tokens may have cut is
//!   none; arXiv:2305.14975
//! - `p_true`: of the raw probabilities of ` A` (true) and ` B` (false) after `The letter is`, the share of ` A`; arXiv:2207.05221
//!
//! The completion is rendered anew by the template, which may leave a reasoning part out, as it would in use. A thought that the completion
//! leaves open, or that the template opens for the reply, is closed first; what runs on into another question is left out.

use super::Asked;
use crate::cue;
use crate::error::{Capability, Error, own_failure};
use crate::event::{Event, Observer};
use crate::plan::{Engine, Prompting, TaskRun};
use crate::trace::{Traced, sample_each};
use entrace_backend::{
    Branch, BranchId, ChatMessage, Fork, GenerateRequest, Parent, Role, Sampling, TokenScores,
};
use entrace_measure::{StopReason, TokenId};

/// A question about the answer, and how the reply begins.
struct Question {
    text: &'static str,
    cue: &'static str,
}

const VERBALISED: Question = Question {
    text: "How likely is it, in per cent, that your final answer is correct? Reply with one number from 0 to 100.",
    cue: "Confidence:",
};

const P_TRUE: Question = Question {
    text: "Is your final answer correct?\n(A) True\n(B) False\nReply with the letter alone.",
    cue: "The letter is",
};

const OPTIONS: [&str; 2] = [" A", " B"];

/// Most tokens of a number.
const NUMBER_TOKENS: usize = 8;

/// The confidence that each model states, in [0, 1].
pub(super) fn verbalised(
    TaskRun { engine, task, .. }: TaskRun<'_>,
    asked: &[Asked<'_>],
    observer: &mut dyn Observer,
) -> Result<Vec<Result<f64, String>>, Error> {
    let sampling = Sampling {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        max_new_tokens: NUMBER_TOKENS,
        stop: vec!["\n".to_string()],
    };
    let limit = engine.text.info().context_length;
    let mut requests = Vec::new();
    let mut contexts = Vec::with_capacity(asked.len());
    for one in asked {
        let context = own_failure(context(engine, one.traced, &VERBALISED))?;
        let context = context.and_then(|context| match context.len() + NUMBER_TOKENS {
            n if n > limit => Err(format!("the question about the answer needs {n} of {limit} tokens")),
            _ => Ok(context),
        });
        if let Ok(context) = &context {
            let forks = vec![Fork {
                n_tokens: context.len(),
                suffix: Vec::new(),
                streams: vec![0],
                max_new_tokens: None,
            }];
            requests.push(GenerateRequest { context: context.clone(), forks });
        }
        contexts.push(context.map(|_| ()));
    }
    let mut replies = sample_each(engine, &requests, &sampling, observer)?.into_iter();
    let read = contexts.into_iter().map(|context| match context {
        Err(reason) => Err(reason),
        Ok(()) => match replies.next().map(|reply| reply.map(|forks| forks.into_iter().flatten().next())) {
            Some(Ok(Some(reply))) => confidence(whole_numbers(&reply.text, reply.stop_reason))
                .ok_or_else(|| format!("no number from 0 to 100 in the reply {:?}", reply.text)),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(None)) | None => Err(format!("the engine returned too few replies for {}", task.name)),
        },
    });
    Ok(read.collect())
}

/// The share of "true".
pub(super) fn p_true(
    engine: Engine<'_>,
    asked: &[Asked<'_>],
    observer: &mut dyn Observer,
) -> Result<Vec<Result<f64, String>>, Error> {
    let mut shares = Vec::with_capacity(asked.len());
    for one in asked {
        if observer.should_stop() {
            return Err(Error::Interrupted);
        }
        shares.push(own_failure(share_of_true(engine, one.traced, observer))?);
    }
    Ok(shares)
}

fn share_of_true(engine: Engine<'_>, traced: &Traced, observer: &mut dyn Observer) -> Result<f64, Error> {
    let context = context(engine, traced, &P_TRUE)?;
    observer.event(Event::Tokens(context.len()));
    first_option_share(engine, context)
}

/// p(` A`) / (p(` A`) + p(` B`)) after a context.
pub(super) fn first_option_share(engine: Engine<'_>, context: Vec<TokenId>) -> Result<f64, Error> {
    let parent = Parent { branch: BranchId(0), n_tokens: context.len() };
    let mut branches = vec![Branch { tokens: context, keep: true, ..Branch::default() }];
    for option in OPTIONS {
        branches.push(Branch {
            parent: Some(parent),
            tokens: engine.text.encode_plain(option)?,
            token_scores: TokenScores::Logprobs,
            ..Branch::default()
        });
    }
    let scores = engine.scorer()?.session()?.extend(&branches)?;
    let logprob = |branch: usize| scores[branch].token_logprobs.iter().copied().sum::<Option<f64>>();
    let (Some(a), Some(b)) = (logprob(1), logprob(2)) else {
        return Err(Error::Lacks(Capability::ScoreTree));
    };
    // 1/(1 + e^(ln p_B − ln p_A)) does not underflow where both are small.
    Ok(1.0 / (1.0 + (b - a).exp()))
}

/// Tokens of a question with options that has nothing to do with a conversation, up to where the reply's letter is due.
pub(super) fn rendered(engine: Engine<'_>, prompting: &Prompting, text: &str) -> Result<Vec<TokenId>, Error> {
    match prompting {
        Prompting::Chat(_) => {
            let message = ChatMessage { role: Role::User, content: text.to_string() };
            let prompt = engine.text.render_chat(&[message])?;
            let cue = cue::after_prompt(engine.text, &prompt, P_TRUE.cue)?;
            Ok([prompt.token_ids, cue].concat())
        }
        Prompting::Verbatim(_) => {
            let mut tokens = engine.text.encode_prompt("")?.token_ids;
            tokens.extend(engine.text.encode_plain(&format!("{text}\n"))?);
            tokens.extend(engine.text.encode_plain(P_TRUE.cue)?);
            Ok(tokens)
        }
    }
}

/// Tokens up to where the reply continues after its cue.
fn context(engine: Engine<'_>, traced: &Traced, question: &Question) -> Result<Vec<TokenId>, Error> {
    let text = engine.text;
    let division = text.thoughts().divide(&traced.completion, traced.posed.opened.as_ref());
    let completion = &traced.completion[..division.end()];
    let open = if division.reply().is_none() { division.last_kind() } else { None };
    match &traced.posed.prompting {
        Prompting::Chat(messages) => {
            let message = |role, content: &str| ChatMessage { role, content: content.to_string() };
            let mut messages = messages.clone();
            let closing = open.map(|kind| cue::closing(text, completion, kind)).unwrap_or_default();
            messages.push(message(Role::Assistant, &format!("{completion}{closing}")));
            messages.push(message(Role::User, question.text));
            let prompt = text.render_chat(&messages)?;
            let cue = cue::after_prompt(text, &prompt, question.cue)?;
            Ok([prompt.token_ids, cue].concat())
        }
        Prompting::Verbatim(_) => {
            let mut tokens = [traced.posed.prompt.token_ids.as_slice(), traced.trace.token_ids()].concat();
            let rest = completion.strip_prefix(traced.trace.text()).unwrap_or_default();
            tokens.extend(text.encode_completion(rest)?);
            let cue = format!("\n\n{}\n{}", question.text, question.cue);
            tokens.extend(cue::after(text, completion, open, &cue)?);
            Ok(tokens)
        }
    }
}

/// The reply without an integer that the limit on tokens may have cut. More decimals would change little.
fn whole_numbers(reply: &str, stop_reason: StopReason) -> &str {
    let before = reply.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_cut = stop_reason == StopReason::Length && !before.ends_with('.');
    if is_cut { before } else { reply }
}

/// The first number of a reply as a share; `None` where there is none, or it is not one of 0 to 100, or of 0 to the number it is out of.
fn confidence(reply: &str) -> Option<f64> {
    let start = reply.find(|c: char| c.is_ascii_digit())?;
    let (number, rest) = leading_number(&reply[start..]);
    let negative = reply[..start].ends_with('-');
    let value: f64 = number.parse().ok().filter(|_| !negative)?;
    let share = match out_of(rest) {
        Some(whole) => value / whole?,
        None if number.contains('.') && value <= 1.0 => value,
        None => value / 100.0,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// What a number is out of, where something is said of that; `Some(None)` where that is no positive number.
fn out_of(rest: &str) -> Option<Option<f64>> {
    let rest = rest.trim_start();
    let whole = rest.strip_prefix('/').or_else(|| rest.strip_prefix("out of "))?;
    let whole: Option<f64> = leading_number(whole.trim_start()).0.parse().ok();
    Some(whole.filter(|&whole| whole > 0.0))
}

/// The number that a text begins with, which may be empty, and what follows it.
fn leading_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].trim_end_matches('.');
    text.split_at(number.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_replies() {
        let cases = [
            (" 85", Some(0.85)),
            (" 100%.", Some(1.0)),
            (" about 62.5 %", Some(0.625)),
            (" 0.9", Some(0.9)),
            (" 1.0", Some(1.0)),
            (" 1", Some(0.01)),
            (" 0", Some(0.0)),
            (" 90/100", Some(0.9)),
            (" 9/10", Some(0.9)),
            (" 8 out of 10.", Some(0.8)),
            (" 9 / 10", Some(0.9)),
            (" 11/10", None),
            (" 9/", None),
            (" 9/0", None),
            (" 9 out of ten", None),
            (" 120", None),
            (" -5", None),
            (" high", None),
            ("", None),
        ];
        for (reply, expected) in cases {
            assert_eq!(confidence(reply), expected, "{reply:?}");
        }
    }
    #[test]
    fn an_integer_at_the_limit_is_none() {
        let read = |reply: &str, stop_reason| confidence(whole_numbers(reply, stop_reason));
        assert_eq!(read(" I would say 8", StopReason::Length), None);
        assert_eq!(read(" I would say 8", StopReason::Stop), Some(0.08));
        assert_eq!(read(" about 9/1", StopReason::Length), None);
        assert_eq!(read(" 85 of 1", StopReason::Length), Some(0.85));
        assert_eq!(read(" 0.85", StopReason::Length), Some(0.85));
    }
}
