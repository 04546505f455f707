//! Scoring by an engine that tells only part of a distribution: what it tells is right, and what it leaves untold is bounded.
//!
//! Such an engine is compared with one of the same model that tells everything (for an engine over HTTP, the model in this process).

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use super::{Tolerances, assert_close, random_tokens};
use crate::{Branch, ModelInfo, NextRequest, NextScore, Rest, ScoreTree, TokenClasses};
use entrace_measure::TokenId;
use std::sync::Arc;

/// Everything that [`ScoreTree`] promises of an engine whose reach is limited; `whole` tells everything of the same model.
pub fn check_limited_tree(
    limited: &dyn ScoreTree,
    whole: &dyn ScoreTree,
    info: &ModelInfo,
    tolerances: &Tolerances,
) {
    let reach = limited.reach();
    let all: Arc<[TokenId]> = (0..info.vocab_size as TokenId).collect();
    let class_of = (0..info.vocab_size).map(|token| (token % 3) as u8).collect();
    let classes = Arc::new(TokenClasses { class_of, n_classes: 3 });
    for seed in 0..4 {
        let tokens = random_tokens(6, info.vocab_size, 40 + seed);
        let foremost = random_tokens(2, info.vocab_size, 50 + seed);
        let request = NextRequest {
            gather: Arc::clone(&all),
            foremost: foremost.clone(),
            classes: Some(Arc::clone(&classes)),
            top_k: reach.top_k.unwrap_or(info.vocab_size),
        };
        let found = next(limited, &tokens, request.clone());
        let truth = next(whole, &tokens, request);
        check_part(&found, &truth, tolerances);
        if reach.gather.is_none_or(|most| most >= foremost.len()) {
            let told = foremost.iter().all(|&token| found.gather[token as usize].is_some());
            assert!(told, "the foremost tokens {foremost:?} are told");
        }
        let few = random_tokens(reach.gather.unwrap_or(4).min(4), info.vocab_size, 60 + seed);
        let asked = NextRequest { gather: few.clone().into(), ..NextRequest::default() };
        let told = next(limited, &tokens, asked).gather;
        assert!(told.iter().all(Option::is_some), "as many tokens as are in reach are told: {told:?}");
        for (token, told) in few.into_iter().zip(told) {
            let expected = truth.gather[token as usize].unwrap();
            assert_close(&format!("token {token} asked for by number"), told.unwrap(), expected, tolerances);
        }
    }
}

fn next(model: &dyn ScoreTree, tokens: &[TokenId], request: NextRequest) -> NextScore {
    let branch = Branch { tokens: tokens.to_vec(), next: Some(request), ..Branch::default() };
    let scores = model.session().and_then(|mut session| session.extend(&[branch])).unwrap();
    scores.into_iter().next().unwrap().next.unwrap()
}

fn check_part(found: &NextScore, truth: &NextScore, tolerances: &Tolerances) {
    let slack = tolerances.nats;
    for (token, (found, truth)) in found.gather.iter().zip(&truth.gather).enumerate() {
        if let Some(found) = found {
            assert_close(&format!("token {token}"), *found, truth.unwrap(), tolerances);
        }
    }
    for ((token, found), (expected, truth)) in found.top.iter().zip(&truth.top) {
        assert_close(&format!("likely token {token} (expected {expected})"), *found, *truth, tolerances);
    }
    for (found, truth) in found.class_logmass.iter().zip(&truth.class_logmass) {
        assert!(*found <= truth + slack, "a class has no more mass than it has: {found} against {truth}");
    }
    let untold: Vec<f64> = (found.gather.iter().zip(&truth.gather))
        .filter_map(|(found, truth)| if found.is_none() { *truth } else { None })
        .collect();
    match found.rest {
        Rest::Nothing => {
            assert!(untold.is_empty(), "nothing is left untold, and {} tokens are", untold.len())
        }
        Rest::Unlisted { logmass, each_at_most, n_tokens } => {
            assert_eq!(n_tokens, untold.len(), "the number of tokens left untold");
            let mass: f64 = untold.iter().map(|logprob| logprob.exp()).sum();
            assert!(
                (logmass.exp() - mass).abs() <= 1e-3_f64.max(slack),
                "the mass left untold: {} against {mass}",
                logmass.exp()
            );
            let most = untold.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(
                most <= each_at_most + slack,
                "an untold token has {most}, above the bound {each_at_most}"
            );
        }
    }
}
