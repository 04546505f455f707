//! Checks that every dialect shares: what a log-probability, a list of the most likely tokens, and a count may be.

use super::NextToken;
use crate::fault::Fault;
use entrace_measure::TokenId;
use std::collections::BTreeSet;

/// Servers compute in single precision: probabilities may sum to so much more than one, and a log-probability be so much above zero.
pub(crate) const ROUNDING: f64 = 1e-3;

/// At or below this a server means −∞: vLLM writes −9999, others the lowest single-precision number.
const IMPOSSIBLE: f64 = -9999.0;

/// A log-probability as it came: `null`, −9999 and less mean −∞.
pub(crate) fn logprob(number: Option<f64>, what: impl Fn() -> String) -> Result<f64, Fault> {
    match number {
        None => Ok(f64::NEG_INFINITY),
        Some(number) if number.is_nan() => {
            Err(Fault::wrong(format!("the log-probability of {} is not a number", what())))
        }
        Some(number) if number <= IMPOSSIBLE => Ok(f64::NEG_INFINITY),
        Some(number) if number > ROUNDING => Err(Fault::wrong(format!(
            "the log-probability of {} is {number}, above 0: a server that returns logits (logprobs mode raw_logits) cannot be used",
            what()
        ))),
        Some(number) => Ok(number.min(0.0)),
    }
}

/// The most likely tokens as they came, in any order: at least as many as asked for or as there are, none twice, their probabilities at most
/// one together. What exceeds the number asked for, as the sampled token does, is left out.
pub(crate) fn top(
    entries: impl IntoIterator<Item = (TokenId, Option<f64>)>,
    top_k: usize,
    vocab_size: Option<usize>,
) -> Result<Vec<(TokenId, f64)>, Fault> {
    let mut top = Vec::new();
    let mut seen = BTreeSet::new();
    for (token, number) in entries {
        known(token, vocab_size)?;
        if !seen.insert(token) {
            return Err(Fault::wrong(format!("token {token} is listed twice among the most likely")));
        }
        top.push((token, logprob(number, || format!("token {token}"))?));
    }
    let expected = top_k.min(vocab_size.unwrap_or(usize::MAX));
    if top.len() < expected {
        return Err(Fault::wrong(format!(
            "{} of the most likely tokens came where {expected} were asked for",
            top.len()
        )));
    }
    top.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    top.truncate(top_k);
    // One token of the smallest vocabulary has a probability; a list that begins with −∞ is none.
    if expected > 0 && top.first().is_some_and(|first| first.1.is_infinite()) {
        return Err(Fault::wrong("every one of the most likely tokens is said to be impossible"));
    }
    if expected > 1
        && top.get(1).is_some_and(|second| second.1.is_infinite())
        && vocab_size.is_none_or(|v| v > 8)
    {
        return Err(Fault::wrong(
            "all of the most likely tokens but one are said to be impossible: vLLM answers so where requests for chosen tokens \
             and for the most likely ones run together",
        ));
    }
    mass(&top)?;
    Ok(top)
}

/// The log-probabilities of chosen tokens, all of which have to be there.
pub(crate) fn gather(entries: &[(TokenId, Option<f64>)], gather: &[TokenId]) -> Result<Vec<f64>, Fault> {
    let of = |&token: &TokenId| {
        let entry = entries.iter().find(|(listed, _)| *listed == token);
        let entry = entry.ok_or_else(|| {
            Fault::wrong(format!(
                "the log-probability of token {token} was asked for and did not come; the server may not know the field that asks for it"
            ))
        })?;
        logprob(entry.1, || format!("token {token}"))
    };
    let found: Vec<f64> = gather.iter().map(of).collect::<Result<_, _>>()?;
    let mut distinct: Vec<(TokenId, f64)> = gather.iter().copied().zip(found.iter().copied()).collect();
    distinct.sort_by_key(|entry| entry.0);
    distinct.dedup_by_key(|entry| entry.0);
    mass(&distinct)?;
    Ok(found)
}

/// Probabilities of different tokens sum to one at most.
fn mass(entries: &[(TokenId, f64)]) -> Result<(), Fault> {
    let sum: f64 = entries.iter().map(|(_, logprob)| logprob.exp()).sum();
    if sum > 1.0 + ROUNDING {
        return Err(Fault::wrong(format!(
            "the probabilities of {} tokens sum to {sum:.4}, more than 1",
            entries.len()
        )));
    }
    Ok(())
}

/// A token number that the vocabulary has.
pub(crate) fn known(token: TokenId, vocab_size: Option<usize>) -> Result<(), Fault> {
    match vocab_size {
        Some(size) if token as usize >= size => Err(Fault::wrong(format!(
            "token {token} came, and the vocabulary has {size} tokens: is the tokenizer that of the model?"
        ))),
        _ => Ok(()),
    }
}

/// The number of tokens that the server counts in what was sent.
pub(crate) fn prompt_tokens(counted: Option<usize>, sent: usize) -> Result<(), Fault> {
    match counted {
        Some(counted) if counted != sent => Err(Fault::wrong(format!(
            "the server counts {counted} tokens where {sent} were sent: it adds or drops some, such as the one that begins a text"
        ))),
        _ => Ok(()),
    }
}

/// As many answers as were asked for.
pub(crate) fn count(what: &str, found: usize, expected: usize) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::wrong(format!("{found} {what} came where {expected} were asked for")))
}

/// Tokens of a completion and their log-probabilities.
pub(crate) fn drawn(
    tokens: &[TokenId],
    logprobs: Option<Vec<Option<f64>>>,
    max_new_tokens: usize,
    vocab_size: Option<usize>,
) -> Result<Option<Vec<f64>>, Fault> {
    tokens.iter().try_for_each(|&token| known(token, vocab_size))?;
    if tokens.len() > max_new_tokens {
        return Err(Fault::wrong(format!(
            "a completion of {} tokens came where at most {max_new_tokens} were asked for",
            tokens.len()
        )));
    }
    let Some(logprobs) = logprobs else { return Ok(None) };
    count("log-probabilities of a completion's tokens", logprobs.len(), tokens.len())?;
    let checked = logprobs.into_iter().zip(tokens).map(|(number, token)| {
        let logprob = logprob(number, || format!("token {token}"))?;
        if logprob.is_infinite() {
            return Err(Fault::wrong(format!("token {token} was drawn and is said to be impossible")));
        }
        Ok(logprob)
    });
    checked.collect::<Result<_, _>>().map(Some)
}

/// The checked answer for one context from what was listed.
pub(crate) fn next_token(
    listed: &[(TokenId, Option<f64>)],
    chosen: &[(TokenId, Option<f64>)],
    question: &super::Next,
    vocab_size: Option<usize>,
) -> Result<NextToken, Fault> {
    let top = if question.top_k == 0 {
        Vec::new()
    } else {
        top(listed.iter().copied(), question.top_k, vocab_size)?
    };
    Ok(NextToken { gather: gather(chosen, &question.gather)?, top })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_means_impossible_is_minus_infinity() {
        for number in [None, Some(-9999.0), Some(-3.4e38), Some(f64::NEG_INFINITY)] {
            assert!(logprob(number, String::new).unwrap().is_infinite());
        }
        assert!(logprob(Some(1e-4), String::new).unwrap().abs() < 1e-12);
        assert!((logprob(Some(-9998.0), String::new).unwrap() + 9998.0).abs() < 1e-12);
        for (number, says) in [(0.5, "above 0"), (f64::NAN, "not a number"), (f64::INFINITY, "above 0")] {
            let fault = logprob(Some(number), || "token 7".into()).unwrap_err();
            assert!(fault.problem().contains(says) && fault.problem().contains("token 7"), "{fault}");
        }
    }

    #[test]
    fn a_list_has_what_was_asked_for() {
        let half = Some(0.5f64.ln());
        let entries = [(2, Some(0.2f64.ln())), (1, half), (0, Some(0.1f64.ln()))];
        let listed = top(entries, 2, Some(100)).unwrap();
        assert_eq!(listed.iter().map(|e| e.0).collect::<Vec<_>>(), [1, 2]);
        let problem = |entries: &[(TokenId, Option<f64>)], k, v| {
            top(entries.iter().copied(), k, v).unwrap_err().to_string()
        };
        assert_eq!(
            problem(&entries, 4, Some(100)),
            "3 of the most likely tokens came where 4 were asked for"
        );
        assert!(top(entries, 4, Some(3)).is_ok(), "a vocabulary of three has no fourth");
        assert_eq!(
            problem(&[(1, half), (1, half)], 2, None),
            "token 1 is listed twice among the most likely"
        );
        assert!(problem(&[(1, half), (2, half), (3, half)], 3, None).contains("sum to 1.5000"));
        assert!(problem(&[(1, half), (0, Some(-9999.0))], 2, Some(100)).contains("vLLM answers so"));
        assert!(problem(&[(1, None)], 1, None).contains("impossible"));
        assert!(problem(&[(100, half)], 1, Some(100)).contains("is the tokenizer that of the model?"));
    }

    #[test]
    fn chosen_tokens_have_to_be_there() {
        let entries = [(5, Some(-1.0)), (9, Some(-9999.0))];
        assert_eq!(gather(&entries, &[9, 5, 5]).unwrap(), [f64::NEG_INFINITY, -1.0, -1.0]);
        assert!(gather(&entries, &[6]).unwrap_err().problem().contains("token 6"));
    }

    #[test]
    fn a_completion_has_a_number_for_each_token() {
        assert_eq!(
            drawn(&[1, 2], Some(vec![Some(-0.5), Some(-1.0)]), 2, None).unwrap(),
            Some(vec![-0.5, -1.0])
        );
        assert_eq!(drawn(&[1, 2], None, 2, None).unwrap(), None);
        for (tokens, logprobs) in [
            (&[1, 2][..], vec![Some(-0.5)]),
            (&[1, 2, 3], vec![Some(-0.5); 3]),
            (&[1], vec![None]),
            (&[1], vec![Some(2.0)]),
            (&[50], vec![Some(-1.0)]),
        ] {
            assert!(drawn(tokens, Some(logprobs), 2, Some(50)).is_err(), "{tokens:?}");
        }
    }

    proptest! {
        /// Whatever comes, what passes is a list of at most k distinct tokens that falls and has a mass of one at most.
        #[test]
        fn what_passes_is_in_order(
            entries in proptest::collection::vec((0u32..50, proptest::option::of(-20.0f64..2.0)), 0..30),
            k in 0usize..25,
        ) {
            if let Ok(found) = top(entries.iter().copied(), k, Some(50)) {
                prop_assert!(found.len() <= k);
                prop_assert!(found.windows(2).all(|pair| pair[0].1 >= pair[1].1 && pair[0].0 != pair[1].0));
                prop_assert!(found.iter().map(|e| e.1.exp()).sum::<f64>() <= 1.0 + ROUNDING);
            }
        }
    }
}
