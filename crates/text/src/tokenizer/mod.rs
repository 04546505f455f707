//! Tokenizers of Hugging Face folders and GGUF files.
//!
//! Text goes in as one of three things. A **verbatim prompt** ([`Tokenizer::encode_prompt`]) may spell special tokens, and gets the
//! beginning token in front exactly where transformers' `tokenizer(text)` adds it. A **rendered conversation**
//! ([`Tokenizer::encode_segments`]) has special tokens only in the template's own text and gets no beginning token beyond what the
//! template writes, as `apply_chat_template` does. **Any other text** ([`Tokenizer::encode_plain`]: a trace, a cue, an option)
//! continues a context: it never becomes a special token and gets no leading space. Of what a model wrote
//! ([`Tokenizer::encode_completion`]) only the marks of its thoughts become special tokens, where the vocabulary has them as such
//! ([`Tokenizer::spell_out`]). See `encode.rs`.
//!
//! Tokens come out as bytes, see `decode.rs`: [`Tokenizer::decode`] also says how many bytes of the text each token covers.
//!
//! The folder's `tokenizer.json` is taken at its word. transformers 5 rebuilds some classes (`LlamaTokenizer`) from vocabulary
//! and merges alone and then differs from the file in the leading space of texts that start with one.
//! An end-of-sequence token that a post-processor would append is left out: every text here is continued.

mod decode;
mod encode;
mod error;
mod files;
mod gguf;
mod guard;
mod pre_tokenizer;

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokenizers::AddedToken;

pub use decode::{DecodeStream, SpecialTokens, TextStart};
pub use error::TokenizerError;
pub use gguf::GgufVocabulary;

use crate::template::Segment;
use decode::{Pieces, Spelling};
use encode::{Encoder, Place};

/// Special tokens that end a turn or a document in the chat formats of the supported families. They stop generation wherever the
/// vocabulary has them, because configurations often list only one of several.
const END_MARKERS: [&str; 11] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<|end|>",
    "<|eot|>",
    "<｜end▁of▁sentence｜>",
    "<|EOT|>",
    "</s>",
];

/// Text of tokens, with its relation to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecodedText {
    /// The text.
    pub text: String,
    /// For each token, how many bytes of `text` the tokens up to and including it cover. A token that ends within a character
    /// does not cover it; the last token covers everything.
    pub token_ends: Vec<usize>,
}

/// What a tokenizer definition does not say about itself.
struct Settings {
    /// Tokens to add where the definition lacks them.
    added: Vec<AddedToken>,
    /// `bos_token` and so on.
    named: BTreeMap<String, String>,
    /// Tokens that end a turn.
    end_ids: Vec<u32>,
    /// For error messages.
    origin: String,
}

/// Text to tokens and back.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    pieces: Pieces,
    prefix: Vec<u32>,
    named: BTreeMap<String, String>,
    stop_tokens: Vec<u32>,
    hash: String,
}

impl Tokenizer {
    /// Loads the tokenizer of a model folder. The hash is the SHA-256 of `tokenizer.json`.
    pub fn from_dir(dir: &Path) -> Result<Self, TokenizerError> {
        let (definition, settings) = files::read(dir)?;
        Self::new(&definition, settings)
    }

    /// Builds the tokenizer that a GGUF file describes. The hash is the SHA-256 of the equivalent `tokenizer.json`.
    pub fn from_gguf_metadata(vocabulary: &GgufVocabulary) -> Result<Self, TokenizerError> {
        let (definition, settings) = gguf::definition(vocabulary)?;
        Self::new(&definition, settings)
    }

    fn new(definition: &[u8], settings: Settings) -> Result<Self, TokenizerError> {
        let origin = settings.origin;
        let broken = |source| TokenizerError::Definition { origin: origin.clone(), source };
        let mut inner = guard::build(definition).map_err(broken)?;
        add_missing_tokens(&mut inner, settings.added, &settings.named).map_err(broken)?;

        let decoder = serde_json::to_value(inner.get_decoder()).map_err(|e| broken(e.into()))?;
        let pieces = read_pieces(&inner, &Spelling::from_decoder(&decoder)?);
        let prefix = post_processor_prefix(&inner, pieces.len()).map_err(broken)?;
        let stop_tokens = stop_tokens(&inner, &pieces, settings.named.get("eos_token"), settings.end_ids);
        let encoder = Encoder::new(inner).map_err(|e| broken(e.into()))?;
        let hash = base16ct::lower::encode_string(&Sha256::digest(definition));
        Ok(Self { encoder, pieces, prefix, named: settings.named, stop_tokens, hash })
    }

    /// Tokens of a verbatim prompt. Special tokens are recognised; the beginning token is put in front where the model's tokenizer
    /// adds one and the text does not already begin with it.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let ids = self.encoder.with_special(text)?;
        if ids.starts_with(&self.prefix) { Ok(ids) } else { Ok([self.prefix.as_slice(), &ids].concat()) }
    }

    /// Tokens of a rendered conversation: special tokens are recognised in template text only.
    pub fn encode_segments(&self, segments: &[Segment]) -> Result<Vec<u32>, TokenizerError> {
        self.encoder.segments(segments)
    }

    /// Tokens of a text that continues a context. Nothing in it becomes a special token.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encoder.without_special(text, Place::Continuation)
    }

    /// Tokens of a text that a model wrote after a context. Special tokens that are spelled out become themselves, all others text.
    pub fn encode_completion(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encoder.with_spelled_out(text, |id| self.pieces.is_spelled_out(id))
    }

    /// Makes special tokens whose string is a mark be spelled out in decoded text, and be recognised in what a model wrote.
    pub fn spell_out(&mut self, is_mark: impl Fn(&str) -> bool) {
        let special = self.encoder.special_tokens();
        let ids: Vec<u32> = special.filter(|(token, _)| is_mark(token)).map(|(_, id)| id).collect();
        self.pieces.spell_out(&ids);
    }

    /// Tokens that the model's tokenizer puts in front of a plain prompt: the beginning token or nothing.
    pub fn prompt_prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// Text of tokens, and how far each token reaches in it.
    pub fn decode(&self, ids: &[u32], special: SpecialTokens, start: TextStart) -> DecodedText {
        let mut stream = self.decode_stream(special, start);
        let mut decoded = DecodedText::default();
        for &id in ids {
            stream.push_onto(id, &mut decoded.text);
            decoded.token_ends.push(decoded.text.len());
        }
        decoded.text.push_str(&stream.finish());
        if let Some(last) = decoded.token_ends.last_mut() {
            *last = decoded.text.len();
        }
        decoded
    }

    /// Decodes token by token; the parts add up to what [`Tokenizer::decode`] gives.
    pub fn decode_stream(&self, special: SpecialTokens, start: TextStart) -> DecodeStream<'_> {
        DecodeStream::new(&self.pieces, special, start)
    }

    /// Text that a token adds within a text; empty for special tokens that are not spelled out, unknown ids and parts of characters.
    pub fn token_text(&self, id: u32) -> &str {
        if self.pieces.is_left_out(id) { "" } else { std::str::from_utf8(self.token_bytes(id)).unwrap_or("") }
    }

    /// Bytes that a token stands for; empty for unknown ids.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.pieces.bytes(id)
    }

    /// Bytes of the longest token; at least 1.
    pub fn max_token_bytes(&self) -> usize {
        self.pieces.max_bytes().max(1)
    }

    /// The token as the vocabulary spells it, such as `Ġthe`.
    pub fn token_string(&self, id: u32) -> Option<String> {
        self.encoder.inner().id_to_token(id)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.encoder.inner().token_to_id(token)
    }

    /// Whether a token is special.
    pub fn is_special(&self, id: u32) -> bool {
        self.pieces.is_special(id)
    }

    /// One more than the highest id. A model can have more logits, as padding.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Named special tokens (`bos_token`, `eos_token`, ...), as chat templates see them.
    pub fn named_tokens(&self) -> &BTreeMap<String, String> {
        &self.named
    }

    /// The beginning-of-sequence token, if one is named.
    pub fn bos(&self) -> Option<u32> {
        self.token_id(self.named.get("bos_token")?)
    }

    /// Tokens that end the model's turn, the tokenizer's own first.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    /// SHA-256 of the definition, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Adds what configuration files list beyond the definition. Named tokens are special, whatever the definition says.
fn add_missing_tokens(
    inner: &mut tokenizers::Tokenizer,
    added: Vec<AddedToken>,
    named: &BTreeMap<String, String>,
) -> tokenizers::Result<()> {
    let known = inner.get_added_vocabulary().get_vocab().clone();
    let missing = added.into_iter().filter(|token| !known.contains_key(&token.content));
    inner.add_tokens(missing.collect::<Vec<_>>())?;
    let vocabulary = inner.get_added_vocabulary();
    let unmarked = named.values().filter(|token| !vocabulary.is_special_token(token));
    let special: Vec<AddedToken> = unmarked.map(|token| AddedToken::from(token.as_str(), true)).collect();
    inner.add_special_tokens(special)?;
    Ok(())
}

fn read_pieces(inner: &tokenizers::Tokenizer, spelling: &Spelling) -> Pieces {
    let n_ids = inner.get_vocab(true).into_values().max().map_or(0, |id| id + 1);
    let strings: Vec<Option<String>> = (0..n_ids).map(|id| inner.id_to_token(id)).collect();
    let added = inner.get_added_vocabulary().get_added_tokens_decoder();
    let special = (0..n_ids).map(|id| added.get(&id).is_some_and(|token| token.special)).collect();
    Pieces::new(&strings, special, spelling)
}

/// Tokens that the post-processor puts before a text.
fn post_processor_prefix(inner: &tokenizers::Tokenizer, n_ids: usize) -> tokenizers::Result<Vec<u32>> {
    let probe = guard::caught(|| inner.encode("a", true))?;
    let leading = probe.get_special_tokens_mask().iter().take_while(|&&mask| mask == 1).count();
    let ids = &probe.get_ids()[..leading];
    match ids.iter().find(|&&id| id as usize >= n_ids) {
        Some(id) => {
            Err(format!("its post-processor adds the token {id}, which is none of its {n_ids}").into())
        }
        None => Ok(ids.to_vec()),
    }
}

fn stop_tokens(
    inner: &tokenizers::Tokenizer,
    pieces: &Pieces,
    eos: Option<&String>,
    listed: Vec<u32>,
) -> Vec<u32> {
    // Where turns have channels, a message may end and the turn go on.
    let has_channels = inner.token_to_id("<|channel|>").is_some();
    let end_markers = END_MARKERS.iter().filter(|&&marker| !(has_channels && marker == "<|end|>"));
    let markers = end_markers.filter_map(|marker| inner.token_to_id(marker));
    let named = eos.and_then(|eos| inner.token_to_id(eos));
    let mut ids: Vec<u32> = Vec::new();
    let known = named.into_iter().chain(listed).filter(|&id| (id as usize) < pieces.len());
    for id in known.chain(markers.filter(|&id| pieces.is_special(id))) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}
