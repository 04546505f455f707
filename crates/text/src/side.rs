//! Tokenizer and chat template together: all of `entrace_backend::Text` but what identifies the model.

use crate::template::{ChatTemplate, TemplateError};
use crate::tokenizer::{SpecialTokens, TextStart, Tokenizer, TokenizerError};
use entrace_backend::{ChatMessage, Decoded, Error, Prompt};
use entrace_measure::{Thoughts, TokenId};
use jiff::civil::DateTime;

/// A tokenizer with, where the model has one, its chat template.
pub struct TextSide {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    thoughts: Thoughts,
    now: DateTime,
}

impl TextSide {
    /// Puts the two together. `now` is the date that templates may print.
    pub fn new(mut tokenizer: Tokenizer, template: Option<ChatTemplate>, now: DateTime) -> Self {
        let thoughts = template.as_ref().map(|template| template.thoughts().clone()).unwrap_or_default();
        tokenizer.spell_out(|token| thoughts.is_mark(token));
        Self { tokenizer, template, thoughts, now }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Hash of the tokenizer's files.
    pub fn tokenizer_hash(&self) -> String {
        self.tokenizer.hash().to_string()
    }

    /// Hash of the template; `None` without one.
    pub fn template_hash(&self) -> Option<String> {
        self.template.as_ref().map(|template| template.hash().to_string())
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

    /// As `Text::encode_prompt`.
    pub fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        let token_ids = self.tokenizer.encode_prompt(text).map_err(unencodable)?;
        Ok(Prompt { text: text.to_string(), token_ids })
    }

    /// As `Text::encode_plain`.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.tokenizer.encode_plain(text).map_err(unencodable)
    }

    /// As `Text::encode_completion`.
    pub fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.tokenizer.encode_completion(text).map_err(Error::engine)
    }

    /// What is known of the marks between which the model thinks.
    pub fn thoughts(&self) -> &Thoughts {
        &self.thoughts
    }

    /// Whether there is a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// As `Text::render_chat`.
    pub fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        let template = self.template.as_ref().ok_or(Error::NoTemplate)?;
        let segments = template.render_segments(messages, true, self.now).map_err(|error| match error {
            TemplateError::Refused(reason) => Error::TemplateRefused(reason),
            other => Error::engine(other),
        })?;
        let token_ids = self.tokenizer.encode_segments(&segments).map_err(unencodable)?;
        let text = segments.iter().map(|segment| segment.text.as_str()).collect();
        Ok(Prompt { text, token_ids })
    }

    /// As `Text::decode`.
    pub fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        let decoded = self.tokenizer.decode(token_ids, SpecialTokens::Skip, TextStart::Continuation);
        Decoded { text: decoded.text, token_ends: decoded.token_ends }
    }

    /// As `Text::spell`.
    pub fn spell(&self, token_ids: &[TokenId]) -> String {
        self.tokenizer.decode(token_ids, SpecialTokens::Keep, TextStart::Beginning).text
    }

    /// As `Text::token_text`.
    pub fn token_text(&self, token: TokenId) -> String {
        self.tokenizer.token_text(token).to_string()
    }

    /// Most bytes of text that one token adds.
    pub fn max_token_bytes(&self) -> usize {
        self.tokenizer.max_token_bytes()
    }

    /// Tokens that end the model's turn.
    pub fn stop_tokens(&self) -> &[TokenId] {
        self.tokenizer.stop_tokens()
    }
}

/// What a tokenizer cannot do with one text is that text's own fault.
fn unencodable(error: TokenizerError) -> Error {
    let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
    Error::Unencodable(format!("{error}{cause}"))
}
