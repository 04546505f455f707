//! Reading layers: shapes, and the last layer as the model itself.

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use super::{Tolerances, assert_close, random_tokens};
use crate::{Branch, Error, ModelInfo, ReadLayers, ScoreTree, TokenScores};
use entrace_measure::TokenId;

/// Everything that [`ReadLayers`] promises.
pub fn check_layers<M: ReadLayers + ScoreTree + ?Sized>(
    model: &M,
    info: &ModelInfo,
    tolerances: &Tolerances,
) {
    let tokens = random_tokens(11, info.vocab_size, 31);
    let found =
        model.read_layers(&tokens).unwrap_or_else(|e| panic!("layers of 11 tokens: {e}")).lens_entropy;
    assert_eq!(found.len(), info.n_layers + 1, "the embeddings and every layer");
    let most = (info.vocab_size as f64).ln() + tolerances.nats;
    for (layer, entropies) in found.iter().enumerate() {
        assert_eq!(entropies.len(), tokens.len(), "layer {layer} has an entropy for each token");
        assert_eq!(entropies[0], None, "the first token is drawn from nothing");
        let in_range = entropies[1..].iter().all(|h| h.is_some_and(|h| (0.0..=most).contains(&h)));
        assert!(in_range, "layer {layer} has entropies between 0 and ln V: {entropies:?}");
    }
    let scored = Branch { tokens: tokens.clone(), token_scores: TokenScores::Full, ..Branch::default() };
    let scores = model.session().and_then(|mut session| session.extend(&[scored])).unwrap().remove(0);
    for (lens, own) in found[info.n_layers].iter().zip(&scores.token_sharpness).skip(1) {
        assert_close("the lens at the last layer", lens.unwrap(), own.unwrap().entropy, tolerances);
    }
    errors(model, info);
}

fn errors<M: ReadLayers + ?Sized>(model: &M, info: &ModelInfo) {
    let (limit, vocab_size) = (info.context_length, info.vocab_size);
    let found = model.read_layers(&[]);
    assert!(matches!(found, Err(Error::EmptyContext)), "no tokens: {found:?}");
    let found = model.read_layers(&[0, vocab_size as TokenId]);
    assert!(matches!(found, Err(Error::UnknownToken { .. })), "an unknown token: {found:?}");
    let found = model.read_layers(&vec![0; limit + 1]);
    assert!(matches!(found, Err(Error::ContextTooLong { .. })), "too many tokens: {found:?}");
}
