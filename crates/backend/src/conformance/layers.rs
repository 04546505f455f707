//! Reading layers: shapes, ranges of numbers, and the last layer as the model itself.

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use super::{Tolerances, assert_all_close, assert_close, random_tokens};
use crate::{
    Branch, Error, LayerRequest, LayerScores, ModelInfo, NextRequest, ReadLayers, ScoreTree, TokenScores,
};
use entrace_measure::TokenId;
use std::ops::Range;

/// Everything that [`ReadLayers`] promises.
pub fn check_layers<M: ReadLayers + ScoreTree + ?Sized>(
    model: &M,
    info: &ModelInfo,
    tolerances: &Tolerances,
) {
    let tokens = random_tokens(11, info.vocab_size, 31);
    let whole = read(model, &tokens, 0..tokens.len());
    check_shapes(&whole, tokens.len(), info.n_layers.unwrap());
    check_ranges(&whole, info.vocab_size, tolerances);
    check_last_layer(model, &tokens, &whole, tolerances);
    check_parts(model, &tokens, &whole, tolerances);
    let nothing = model.read_layers(&tokens, &LayerRequest::default()).unwrap();
    assert_eq!(nothing, LayerScores::default(), "what was not asked for is empty");
    errors(model, info);
}

fn read<M: ReadLayers + ?Sized>(model: &M, token_ids: &[TokenId], tokens: Range<usize>) -> LayerScores {
    let request = LayerRequest { tokens, lens: true, drift: true, attention: true, middle: true };
    let found = model.read_layers(token_ids, &request);
    found.unwrap_or_else(|e| panic!("layers of {} tokens: {e}", token_ids.len()))
}

fn check_shapes(scores: &LayerScores, n: usize, n_layers: usize) {
    assert_eq!(scores.lens_entropy.len(), n_layers + 1, "the embeddings and every layer");
    assert_eq!(scores.lens_leaders.len(), n_layers + 1, "a leader for the embeddings and every layer");
    assert!(scores.lens_entropy.iter().all(|layer| layer.len() == n), "an entropy for each token");
    for numbers in [&scores.drift, &scores.self_attention, &scores.attention_entropy] {
        assert_eq!(numbers.len(), n_layers, "numbers of every layer");
        assert!(numbers.iter().all(|layer| layer.len() == n), "a number for each token");
    }
    assert!(!scores.middle_state.is_empty() && scores.middle_state.iter().all(|x| x.is_finite()));
}

fn check_ranges(scores: &LayerScores, vocab_size: usize, tolerances: &Tolerances) {
    let most = (vocab_size as f64).ln() + tolerances.nats;
    for (layer, entropies) in scores.lens_entropy.iter().enumerate() {
        assert_eq!(entropies[0], None, "the first token is drawn from nothing");
        let in_range = entropies[1..].iter().all(|h| h.is_some_and(|h| (0.0..=most).contains(&h)));
        assert!(in_range, "layer {layer} has entropies between 0 and ln V: {entropies:?}");
    }
    assert!(scores.drift.iter().flatten().all(|d| *d >= 0.0 && d.is_finite()), "distances are not negative");
    for (own, entropies) in scores.self_attention.iter().zip(&scores.attention_entropy) {
        for (at, (own, entropy)) in own.iter().zip(entropies).enumerate() {
            let most = ((at + 1) as f64).ln() + tolerances.nats;
            assert!((-tolerances.nats..=most).contains(entropy), "token {at} attends with entropy {entropy}");
            assert!(*own <= tolerances.nats, "token {at} attends to itself by e^{own}");
        }
        assert_close("the first token sees itself alone", own[0], 0.0, tolerances);
    }
}

fn check_last_layer<M: ReadLayers + ScoreTree + ?Sized>(
    model: &M,
    tokens: &[TokenId],
    whole: &LayerScores,
    tolerances: &Tolerances,
) {
    let scored = Branch {
        tokens: tokens.to_vec(),
        token_scores: TokenScores::Full,
        next: Some(NextRequest { top_k: 2, ..NextRequest::default() }),
        ..Branch::default()
    };
    let scores = model.session().and_then(|mut session| session.extend(&[scored])).unwrap().remove(0);
    let last = whole.lens_entropy.last().unwrap();
    for (lens, own) in last.iter().zip(&scores.token_sharpness).skip(1) {
        assert_close("the lens at the last layer", lens.unwrap(), own.unwrap().entropy.unwrap(), tolerances);
    }
    let top = &scores.next.as_ref().unwrap().top;
    if top.len() < 2 || top[0].1 - top[1].1 > tolerances.nats {
        assert_eq!(
            whole.lens_leaders.last(),
            Some(&top[0].0),
            "the lens at the last layer leads as the model"
        );
    }
}

/// Numbers of some of the tokens are those of the whole context, which what comes later does not change.
fn check_parts<M: ReadLayers + ?Sized>(
    model: &M,
    tokens: &[TokenId],
    whole: &LayerScores,
    tolerances: &Tolerances,
) {
    for (context, range) in [(tokens, 3..8), (&tokens[..8], 3..8), (tokens, 8..99)] {
        let part = read(model, context, range.clone());
        let range = range.start..range.end.min(tokens.len());
        let kinds = [
            ("distances", &part.drift, &whole.drift),
            ("own attention", &part.self_attention, &whole.self_attention),
            ("attention entropies", &part.attention_entropy, &whole.attention_entropy),
        ];
        for (kind, part, whole) in kinds {
            for (part, whole) in part.iter().zip(whole) {
                // Distances have the scale of the hidden states, whose float32 errors are relative; the others are in nats.
                let largest = whole.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
                let unit = if kind == "distances" { largest } else { 1.0 };
                let in_units = |all: &[f64]| all.iter().map(|x| x / unit).collect::<Vec<f64>>();
                let (part, whole) = (in_units(part), in_units(&whole[range.clone()]));
                assert_all_close(&format!("{kind} of some tokens"), &part, &whole, tolerances);
            }
        }
        for (part, whole) in part.lens_entropy.iter().zip(&whole.lens_entropy) {
            let numbers = |all: &[Option<f64>]| all.iter().map(|h| h.unwrap()).collect::<Vec<f64>>();
            let expected = numbers(&whole[range.clone()]);
            assert_all_close("lens entropies of some tokens", &numbers(part), &expected, tolerances);
        }
    }
}

fn errors<M: ReadLayers + ?Sized>(model: &M, info: &ModelInfo) {
    let (limit, vocab_size) = (info.context_length, info.vocab_size);
    let read = |tokens: &[TokenId]| {
        model.read_layers(tokens, &LayerRequest { lens: true, ..LayerRequest::default() })
    };
    let found = read(&[]);
    assert!(matches!(found, Err(Error::EmptyContext)), "no tokens: {found:?}");
    let found = read(&[0, vocab_size as TokenId]);
    assert!(matches!(found, Err(Error::UnknownToken { .. })), "an unknown token: {found:?}");
    let found = read(&vec![0; limit + 1]);
    assert!(matches!(found, Err(Error::ContextTooLong { .. })), "too many tokens: {found:?}");
}
