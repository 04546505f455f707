//! A decoder with its text side: tokenizer, chat template, and everything that needs them.

use crate::decoder::{Decoder, Files, Options};
use crate::error::Error as DecoderError;
use crate::template::{ChatTemplate, TemplateError};
use crate::tokenizer::{SpecialTokens, TextStart, Tokenizer, TokenizerError};
use entrace_backend::{
    ChatMessage, Decoded, Error, LayerRequest, LayerScores, ModelInfo, Prompt, ReadLayers, ScoreTree, Text,
    TreeSession,
};
use entrace_measure::{Thoughts, TokenId};
use jiff::civil::DateTime;
use std::path::Path;

/// A model that reads and writes text.
pub struct LanguageModel {
    pub(crate) decoder: Decoder,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    thoughts: Thoughts,
    info: ModelInfo,
    now: DateTime,
}

impl LanguageModel {
    /// Loads a model with its tokenizer and, if it has one, its chat template. `now` is the date that templates may print.
    pub fn open(name: &str, path: &Path, options: Options, now: DateTime) -> Result<Self, DecoderError> {
        let files = Files::open(path, options.base.as_deref())?;
        let (mut tokenizer, template) = text_side(path, &files)?;
        let decoder = Decoder::from_files(name, path, &files, options)?;
        if tokenizer.vocab_size() > decoder.info().vocab_size {
            return Err(DecoderError::VocabularyMismatch {
                path: path.to_path_buf(),
                tokenizer: tokenizer.vocab_size(),
                model: decoder.info().vocab_size,
            });
        }
        let info = ModelInfo {
            tokenizer_hash: Some(tokenizer.hash().to_string()),
            template_hash: template.as_ref().map(|t| t.hash().to_string()),
            ..decoder.info().clone()
        };
        let thoughts = template.as_ref().map(|template| template.thoughts().clone()).unwrap_or_default();
        tokenizer.spell_out(|token| thoughts.is_mark(token));
        Ok(Self { decoder, tokenizer, template, thoughts, info, now })
    }

    /// Sets a variable of the chat template, such as `enable_thinking`. Returns whether the template reads one of that name; `None` if the
    /// model has no template.
    pub fn set_template_variable(&mut self, name: &str, value: serde_json::Value) -> Option<bool> {
        Some(self.template.as_mut()?.set_variable(name, value))
    }

    /// The date and time that templates may print.
    pub fn clock(&self) -> DateTime {
        self.now
    }

    /// Sets the date and time that templates may print.
    pub fn set_clock(&mut self, now: DateTime) {
        self.now = now;
    }

    /// The decoder by itself.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

/// Tokenizer and template of a model's files. Adapters may bring their own.
fn text_side(path: &Path, files: &Files) -> Result<(Tokenizer, Option<ChatTemplate>), DecoderError> {
    match files {
        Files::Gguf(file) => {
            let vocabulary = file.vocabulary()?;
            let tokenizer = Tokenizer::from_gguf_metadata(&vocabulary)?;
            let source = vocabulary.chat_template.as_deref();
            let template =
                source.map(|source| ChatTemplate::new(source, tokenizer.named_tokens())).transpose()?;
            Ok((tokenizer, template))
        }
        Files::Adapted { base, model, .. } if !path.join("tokenizer.json").is_file() => {
            text_side(base, model)
        }
        Files::Folder(_) | Files::Adapted { .. } => {
            let tokenizer = Tokenizer::from_dir(path).map_err(|e| match e {
                TokenizerError::NoTokenizer { hint, .. } => {
                    DecoderError::NoTokenizer { path: path.to_path_buf(), missing: "tokenizer.json", hint }
                }
                other => other.into(),
            })?;
            let template = ChatTemplate::from_dir(path, tokenizer.named_tokens())?;
            Ok((tokenizer, template))
        }
    }
}

impl Text for LanguageModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        let token_ids = self.tokenizer.encode_prompt(text).map_err(unencodable)?;
        Ok(Prompt { text: text.to_string(), token_ids })
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.tokenizer.encode_plain(text).map_err(unencodable)
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.tokenizer.encode_completion(text).map_err(Error::engine)
    }

    fn thoughts(&self) -> &Thoughts {
        &self.thoughts
    }

    fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        let template = self.template.as_ref().ok_or(Error::NoTemplate)?;
        let segments = template.render_segments(messages, true, self.now).map_err(|error| match error {
            TemplateError::Refused(reason) => Error::TemplateRefused(reason),
            other => Error::engine(other),
        })?;
        let token_ids = self.tokenizer.encode_segments(&segments).map_err(unencodable)?;
        let text = segments.iter().map(|segment| segment.text.as_str()).collect();
        Ok(Prompt { text, token_ids })
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        let decoded = self.tokenizer.decode(token_ids, SpecialTokens::Skip, TextStart::Continuation);
        Decoded { text: decoded.text, token_ends: decoded.token_ends }
    }

    fn token_text(&self, token: TokenId) -> String {
        self.tokenizer.token_text(token).to_string()
    }

    fn max_token_bytes(&self) -> Option<usize> {
        Some(self.tokenizer.max_token_bytes())
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.tokenizer.stop_tokens()
    }
}

/// What a tokenizer cannot do with one text is that text's own fault.
fn unencodable(error: TokenizerError) -> Error {
    let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
    Error::Unencodable(format!("{error}{cause}"))
}

impl ScoreTree for LanguageModel {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        self.decoder.session()
    }
}

impl ReadLayers for LanguageModel {
    fn read_layers(&self, token_ids: &[TokenId], request: &LayerRequest) -> Result<LayerScores, Error> {
        self.decoder.read_layers(token_ids, request)
    }
}
