//! The text side of an engine written in Python: tokenizer files that it names, read as those of any model, or its own `encode` and `decode`.
//!
//! Of its own methods, where each token ends in the text is found by decoding every beginning, and what one token adds by decoding it after
//! another one. Text that ends within a character is cut back to the character before.

use super::Engine;
use crate::failure::raised;
use entrace_backend::{ChatMessage, Decoded, Error, ModelInfo, Prompt, Text};
use entrace_measure::{Thoughts, TokenId};
use entrace_text::TextSide;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Where text comes from.
pub(super) enum Side {
    /// Tokenizer files.
    Files(Box<TextSide>),
    /// The object's own methods.
    Own(Box<Own>),
}

/// The object's own methods.
pub(super) struct Own {
    object: Py<PyAny>,
    can_chat: bool,
    stop_tokens: Vec<TokenId>,
    thoughts: Thoughts,
    /// What each token adds in the middle of a text, once that is known.
    token_texts: std::sync::OnceLock<Vec<String>>,
    vocab_size: std::sync::OnceLock<usize>,
}

impl Side {
    pub(super) fn of(object: &Bound<'_, PyAny>, folder: Option<PathBuf>) -> PyResult<Self> {
        if let Some(folder) = folder {
            let side = entrace_decoder::open_text(&folder, jiff::Zoned::now().datetime());
            let side = side.map_err(|error| PyValueError::new_err(error.to_string()))?;
            return Ok(Self::Files(Box::new(side)));
        }
        for method in ["encode", "decode"] {
            if !object.hasattr(method)? {
                let class = object.get_type().name()?;
                return Err(PyTypeError::new_err(format!("{class} has no {method}, nor a tokenizer_folder")));
            }
        }
        let own = Own {
            object: object.clone().unbind(),
            can_chat: object.hasattr("chat")?,
            stop_tokens: super::optional(object, "stop_tokens")?.unwrap_or_default(),
            thoughts: Thoughts::default(),
            token_texts: std::sync::OnceLock::new(),
            vocab_size: std::sync::OnceLock::new(),
        };
        let tried = "a b";
        let back = own.decoded(object.py(), &own.encoded(object.py(), tried, false)?)?;
        if back != tried {
            let problem = format!("encode and decode make {back:?} of {tried:?}; expected the same text");
            return Err(PyValueError::new_err(problem));
        }
        Ok(Self::Own(Box::new(own)))
    }

    /// Is told the size of the vocabulary.
    pub(super) fn begin(&self, _: Python<'_>, vocab_size: usize) {
        if let Self::Own(own) = self {
            own.vocab_size.get_or_init(|| vocab_size);
        }
    }

    pub(super) fn files(&self) -> Option<&TextSide> {
        match self {
            Self::Files(side) => Some(side),
            Self::Own(_) => None,
        }
    }

    pub(super) fn files_mut(&mut self) -> Option<&mut TextSide> {
        match self {
            Self::Files(side) => Some(side),
            Self::Own(_) => None,
        }
    }

    pub(super) fn tokenizer_hash(&self) -> Option<String> {
        self.files().map(TextSide::tokenizer_hash)
    }

    pub(super) fn template_hash(&self) -> Option<String> {
        self.files().and_then(TextSide::template_hash)
    }

    pub(super) fn stop_tokens(&self) -> &[TokenId] {
        match self {
            Self::Files(side) => side.stop_tokens(),
            Self::Own(own) => &own.stop_tokens,
        }
    }

    /// Text of tokens, without the ends of each.
    pub(super) fn text_of(&self, token_ids: &[TokenId]) -> String {
        match self {
            Self::Files(side) => side.decode(token_ids).text,
            Self::Own(own) => own.text_of(token_ids),
        }
    }
}

impl Own {
    fn encoded(&self, py: Python<'_>, text: &str, special: bool) -> PyResult<Vec<TokenId>> {
        let ids = self.object.bind(py).call_method1("encode", (text, special))?;
        // NumPy arrays and lists alike.
        ids.try_iter()?.map(|id| id?.extract()).collect()
    }

    fn decoded(&self, py: Python<'_>, token_ids: &[TokenId]) -> PyResult<String> {
        let ids = super::ids(py, token_ids.iter().map(|&token| token as usize));
        self.object.bind(py).call_method1("decode", (ids.call_method0("tolist")?,))?.extract()
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<TokenId>, Error> {
        if text.is_empty() && !special {
            return Ok(Vec::new());
        }
        Python::attach(|py| {
            let said = |error| Error::Unencodable(format!("encode {text:?}: {}", raised(py, error)));
            self.encoded(py, text, special).map_err(said)
        })
    }

    fn text_of(&self, token_ids: &[TokenId]) -> String {
        if token_ids.is_empty() {
            return String::new();
        }
        Python::attach(|py| {
            self.decoded(py, token_ids).map_err(|error| raised(py, error)).unwrap_or_default()
        })
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        let text = self.text_of(token_ids);
        let mut token_ends = Vec::with_capacity(token_ids.len());
        let mut last = 0;
        for n in 1..token_ids.len() {
            let begun = self.text_of(&token_ids[..n]);
            let same =
                begun.trim_end_matches('\u{fffd}').chars().zip(text.chars()).take_while(|(a, b)| a == b);
            last = same.map(|(c, _)| c.len_utf8()).sum::<usize>().max(last);
            token_ends.push(last);
        }
        token_ends.extend((!token_ids.is_empty()).then_some(text.len()));
        Decoded { text, token_ends }
    }

    fn token_text(&self, token: TokenId) -> String {
        let texts = self.token_texts.get_or_init(|| {
            let before = self.encode("a", false).unwrap_or_default();
            let known = self.text_of(&before);
            let added = |token: TokenId| {
                let both = self.text_of(&[before.as_slice(), &[token]].concat());
                both.strip_prefix(&known)
                    .filter(|text| !text.contains('\u{fffd}'))
                    .unwrap_or_default()
                    .to_string()
            };
            (0..self.vocab_size.get().copied().unwrap_or(0) as TokenId).map(added).collect()
        });
        texts.get(token as usize).cloned().unwrap_or_default()
    }

    fn render(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        let text: String = Python::attach(|py| {
            let turns: Vec<(&str, &str)> =
                messages.iter().map(|message| (message.role.name(), message.content.as_str())).collect();
            let rendered = self.object.bind(py).call_method1("chat", (turns,));
            let rendered = rendered.and_then(|text| text.extract());
            rendered.map_err(|error| Error::TemplateRefused(raised(py, error)))
        })?;
        let token_ids = self.encode(&text, true)?;
        Ok(Prompt { text, token_ids })
    }
}

impl Text for Engine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        match &self.side {
            Side::Files(side) => side.encode_prompt(text),
            Side::Own(own) => Ok(Prompt { text: text.to_string(), token_ids: own.encode(text, true)? }),
        }
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        match &self.side {
            Side::Files(side) => side.encode_plain(text),
            Side::Own(own) => own.encode(text, false),
        }
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        match &self.side {
            Side::Files(side) => side.encode_completion(text),
            Side::Own(own) => own.encode(text, false),
        }
    }

    fn thoughts(&self) -> &Thoughts {
        match &self.side {
            Side::Files(side) => side.thoughts(),
            Side::Own(own) => &own.thoughts,
        }
    }

    fn has_chat_template(&self) -> bool {
        match &self.side {
            Side::Files(side) => side.has_chat_template(),
            Side::Own(own) => own.can_chat,
        }
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        match &self.side {
            Side::Files(side) => side.render_chat(messages),
            Side::Own(own) if own.can_chat => own.render(messages),
            Side::Own(_) => Err(Error::NoTemplate),
        }
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        match &self.side {
            Side::Files(side) => side.decode(token_ids),
            Side::Own(own) => own.decode(token_ids),
        }
    }

    fn token_text(&self, token: TokenId) -> String {
        match &self.side {
            Side::Files(side) => side.token_text(token),
            Side::Own(own) => own.token_text(token),
        }
    }

    fn max_token_bytes(&self) -> Option<usize> {
        self.side.files().map(TextSide::max_token_bytes)
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.side.stop_tokens()
    }
}
