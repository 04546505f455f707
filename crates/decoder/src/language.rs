//! A decoder with its text side: tokenizer, chat template, and everything that needs them.

use crate::decoder::{Decoder, Files, Options};
use crate::error::Error as DecoderError;
use crate::generate::Writing;
use entrace_backend::{
    ChatMessage, Decoded, Error, LayerRequest, LayerScores, ModelInfo, Prompt, ReadLayers, SamplingSession,
    ScoreTree, Text, TreeSession,
};
use entrace_measure::{Thoughts, TokenId};
use entrace_text::TextSide;
use entrace_text::template::ChatTemplate;
use entrace_text::tokenizer::{Tokenizer, TokenizerError};
use jiff::civil::DateTime;
use std::path::Path;

/// A model that reads and writes text.
pub struct LanguageModel {
    pub(crate) decoder: Decoder,
    text: TextSide,
    info: ModelInfo,
}

impl LanguageModel {
    /// Loads a model with its tokenizer and, if it has one, its chat template. `now` is the date that templates may print.
    pub fn open(name: &str, path: &Path, options: Options, now: DateTime) -> Result<Self, DecoderError> {
        let files = Files::open(path, options.base.as_deref())?;
        let (tokenizer, template) = text_side(path, &files)?;
        let decoder = Decoder::from_files(name, path, &files, options)?;
        if tokenizer.vocab_size() > decoder.info().vocab_size {
            return Err(DecoderError::VocabularyMismatch {
                path: path.to_path_buf(),
                tokenizer: tokenizer.vocab_size(),
                model: decoder.info().vocab_size,
            });
        }
        let text = TextSide::new(tokenizer, template, now);
        let info = ModelInfo {
            tokenizer_hash: Some(text.tokenizer_hash()),
            template_hash: text.template_hash(),
            ..decoder.info().clone()
        };
        Ok(Self { decoder, text, info })
    }

    /// Sets a variable of the chat template, such as `enable_thinking`. Returns whether the template reads one of that name; `None` if the
    /// model has no template.
    pub fn set_template_variable(&mut self, name: &str, value: serde_json::Value) -> Option<bool> {
        self.text.set_template_variable(name, value)
    }

    /// The date and time that templates may print.
    pub fn clock(&self) -> DateTime {
        self.text.clock()
    }

    /// Sets the date and time that templates may print.
    pub fn set_clock(&mut self, now: DateTime) {
        self.text.set_clock(now);
    }

    /// The decoder by itself.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.text.tokenizer()
    }
}

/// The text side of a model alone, from its folder or its GGUF file; a folder need not hold weights. `now` is the date that templates may
/// print.
pub fn open_text(path: &Path, now: DateTime) -> Result<TextSide, DecoderError> {
    let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let (tokenizer, template) =
        if is_gguf { text_side(path, &Files::open(path, None)?)? } else { of_folder(path)? };
    Ok(TextSide::new(tokenizer, template, now))
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
        Files::Folder(_) | Files::Adapted { .. } => of_folder(path),
    }
}

fn of_folder(path: &Path) -> Result<(Tokenizer, Option<ChatTemplate>), DecoderError> {
    let tokenizer = Tokenizer::from_dir(path).map_err(|e| match e {
        TokenizerError::NoTokenizer { hint, .. } => {
            DecoderError::NoTokenizer { path: path.to_path_buf(), missing: "tokenizer.json", hint }
        }
        other => other.into(),
    })?;
    let template = ChatTemplate::from_dir(path, tokenizer.named_tokens())?;
    Ok((tokenizer, template))
}

impl Text for LanguageModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        self.text.encode_prompt(text)
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.text.encode_plain(text)
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.text.encode_completion(text)
    }

    fn thoughts(&self) -> &Thoughts {
        self.text.thoughts()
    }

    fn has_chat_template(&self) -> bool {
        self.text.has_chat_template()
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        self.text.render_chat(messages)
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        self.text.decode(token_ids)
    }

    fn spell(&self, token_ids: &[TokenId]) -> String {
        self.text.spell(token_ids)
    }

    fn token_text(&self, token: TokenId) -> String {
        self.text.token_text(token)
    }

    fn max_token_bytes(&self) -> Option<usize> {
        Some(self.text.max_token_bytes())
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.text.stop_tokens()
    }
}

impl ScoreTree for LanguageModel {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        self.decoder.session()
    }

    fn sampling_session(&self) -> Result<Option<Box<dyn SamplingSession + '_>>, Error> {
        Ok(Some(Box::new(Writing::new(self)?)))
    }
}

impl ReadLayers for LanguageModel {
    fn read_layers(&self, token_ids: &[TokenId], request: &LayerRequest) -> Result<LayerScores, Error> {
        self.decoder.read_layers(token_ids, request)
    }
}
