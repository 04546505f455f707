//! Log-probability and entropy of every token of a text.
//!
//! For each token: its log-probability given what precedes it, and how sharp the distribution was that it was drawn from, in nats; on request
//! the entropy of that distribution as each layer's logit lens reads it, embeddings first. Of the first token nothing is known.

use crate::error::Error;
use crate::host::Host;
use crate::model::{ModelOptions, open_decoder, open_language};
use entrace_backend::{Branch, LayerRequest, ReadLayers, ScoreTree, Sharpness, Text, TokenScores};
use entrace_decoder::{Decoder, LanguageModel};

/// A model with its text side, or without.
pub enum Opened {
    /// With.
    Language(Box<LanguageModel>),
    /// Without: it has none, or it cannot be used.
    Decoder(Box<Decoder>),
}

/// What is known of one token.
pub struct TokenLine {
    /// Its number.
    pub token_id: u32,
    /// Its text; of a model without a tokenizer `None`.
    pub text: Option<String>,
    /// Its log-probability.
    pub logprob: Option<f64>,
    /// How sharp the distribution was.
    pub sharpness: Option<Sharpness>,
    /// Entropies of the layers, if they were asked for.
    pub layers: Vec<Option<f64>>,
}

impl Opened {
    /// Opens a model. Without a text to read, one whose text side cannot be used will do.
    pub fn open(options: &ModelOptions, needs_text: bool, host: &dyn Host) -> Result<Self, Error> {
        match open_language(options, host) {
            Ok((model, _)) => Ok(Self::Language(Box::new(model))),
            Err(error) if needs_text || matches!(error, Error::Hub(_)) => Err(error),
            Err(_) => Ok(Self::Decoder(Box::new(open_decoder(options, host)?))),
        }
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder {
        match self {
            Self::Language(model) => model.decoder(),
            Self::Decoder(decoder) => decoder,
        }
    }

    fn language(&self) -> Option<&LanguageModel> {
        match self {
            Self::Language(model) => Some(model),
            Self::Decoder(_) => None,
        }
    }

    /// The tokens of a text, with what a prompt gets in front; `None` without a text side.
    pub fn tokens(&self, text: &str) -> Result<Option<Vec<u32>>, Error> {
        let encode = |model: &LanguageModel| Ok(model.encode_prompt(text).map_err(Error::Refused)?.token_ids);
        self.language().map(encode).transpose()
    }

    /// What is known of each token; `layers` asks for the lens of every layer as well.
    pub fn score(&self, token_ids: &[u32], layers: bool) -> Result<Vec<TokenLine>, Error> {
        let decoder = self.decoder();
        let root =
            Branch { tokens: token_ids.to_vec(), token_scores: TokenScores::Full, ..Branch::default() };
        let scored = decoder.session()?.extend(&[root]).map_err(Error::Refused)?.remove(0);
        let request = LayerRequest { tokens: 0..token_ids.len(), lens: layers, ..LayerRequest::default() };
        let lens = if layers { decoder.read_layers(token_ids, &request)?.lens_entropy } else { Vec::new() };
        let lines = token_ids.iter().enumerate().map(|(index, &token_id)| TokenLine {
            token_id,
            text: self.language().map(|model| model.token_text(token_id)),
            logprob: scored.token_logprobs[index],
            sharpness: scored.token_sharpness[index],
            layers: lens.iter().map(|layer| layer[index]).collect(),
        });
        Ok(lines.collect())
    }
}
