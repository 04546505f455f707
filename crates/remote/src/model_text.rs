//! The text side of a model whose weights are elsewhere.

use entrace_backend::{ChatMessage, Decoded, Error, ModelInfo, Prompt, Text};
use entrace_measure::{Thoughts, TokenId};
use entrace_text::TextSide;

/// Context length where neither server nor files say one.
pub(crate) const CONTEXT_LENGTH: usize = 4096;

/// Tokenizer and chat template of a model behind servers.
pub struct ModelText {
    side: TextSide,
    info: ModelInfo,
}

impl ModelText {
    /// Takes tokenizer and template of the model of this name.
    pub fn new(name: &str, side: TextSide) -> Self {
        let info = ModelInfo {
            name: name.to_string(),
            architecture: "remote".into(),
            n_parameters: None,
            dtype: "unknown".into(),
            device: "unknown".into(),
            context_length: CONTEXT_LENGTH,
            vocab_size: side.tokenizer().vocab_size(),
            n_layers: None,
            model_hash: None,
            tokenizer_hash: Some(side.tokenizer_hash()),
            template_hash: side.template_hash(),
        };
        Self { side, info }
    }

    /// Tokenizer and template.
    pub fn side(&self) -> &TextSide {
        &self.side
    }

    /// Tokenizer and template, to set what the template sees.
    pub fn side_mut(&mut self) -> &mut TextSide {
        &mut self.side
    }
}

impl Text for ModelText {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        self.side.encode_prompt(text)
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.side.encode_plain(text)
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.side.encode_completion(text)
    }

    fn thoughts(&self) -> &Thoughts {
        self.side.thoughts()
    }

    fn has_chat_template(&self) -> bool {
        self.side.has_chat_template()
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        self.side.render_chat(messages)
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        self.side.decode(token_ids)
    }

    fn spell(&self, token_ids: &[TokenId]) -> String {
        self.side.spell(token_ids)
    }

    fn token_text(&self, token: TokenId) -> String {
        self.side.token_text(token)
    }

    fn max_token_bytes(&self) -> Option<usize> {
        Some(self.side.max_token_bytes())
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.side.stop_tokens()
    }
}
