//! Whether a server cuts texts into the tokens that they are here.

use super::{Probe, Profile, Unfit, WAIT, texts};
use crate::generate::is_special;
use crate::wire::{Dialect, Path};
use entrace_backend::{ChatMessage, Role};
use entrace_measure::TokenId;
use serde_json::{Value, json};

impl Probe<'_> {
    /// Whether the server puts the token that begins a text in front of a prompt that is text.
    pub(super) fn begins_texts(&self) -> Result<bool, Unfit> {
        let counted = self.ask(self.dialect, &self.draw(1, 1, None))?.usage().prompt_tokens;
        let Ok(own) = self.text.encode_plain(&self.text.spell(&self.context)) else { return Ok(false) };
        let begins = counted == own.len() + 1;
        if counted != 0 && counted != own.len() && !begins {
            return Err(Unfit::OtherTokenizer(format!(
                "a text of {} tokens is {counted} there: the tokenizer is not that of the model",
                own.len()
            )));
        }
        if begins && !self.prompts_begin() {
            return Err(Unfit::OtherTokenizer(
                "the server puts a token in front of every text and the tokenizer here does not: it is not that of the model"
                    .into(),
            ));
        }
        Ok(begins)
    }

    /// Whether prompts begin with a token that is no text.
    fn prompts_begin(&self) -> bool {
        let hello = ChatMessage { role: Role::User, content: "Hello".into() };
        let prompt = if self.text.has_chat_template() {
            self.text.render_chat(&[hello])
        } else {
            self.text.encode_prompt("Hello")
        };
        let first = prompt.ok().and_then(|prompt| prompt.token_ids.first().copied());
        first.is_some_and(|token| is_special(self.text, token))
    }

    /// Compares what texts are in tokens, where the server says.
    pub(super) fn tokenizer(&mut self, profile: &mut Profile) -> Result<(), Unfit> {
        let mut differing: Option<&str> = None;
        for text in texts::compared() {
            let Ok(here) = self.text.encode_plain(text) else { continue };
            let Some(mut there) = self.tokenized(text) else { return Ok(()) };
            if profile.begins_texts && there.len() == here.len() + 1 {
                there.remove(0);
            }
            profile.tokenizer.1 += 1;
            if here == there {
                profile.tokenizer.0 += 1;
            } else {
                differing.get_or_insert(text);
            }
        }
        let (equal, n) = profile.tokenizer;
        match differing {
            Some(text) if equal * 10 < n * 9 => Err(Unfit::OtherTokenizer(format!(
                "{} of {n} texts are other tokens there than here, the first {text:?}: the tokenizer is not that of the model",
                n - equal
            ))),
            _ => Ok(()),
        }
    }

    fn tokenized(&self, text: &str) -> Option<Vec<TokenId>> {
        let (path, body) = match self.dialect {
            Dialect::LlamaServer => {
                ("/tokenize", json!({"content": text, "add_special": false, "parse_special": false}))
            }
            Dialect::Vllm | Dialect::Sglang => (
                "/tokenize",
                json!({"model": self.served.model, "prompt": text, "add_special_tokens": false}),
            ),
            // As llama-cpp-python has it.
            Dialect::Completions { .. } => {
                ("/extras/tokenize", json!({"model": self.served.model, "input": text}))
            }
            Dialect::Chat { .. } => return None,
        };
        let body = self.client.post(Path::Beside(path), &body, WAIT).ok()?;
        let value: Value = serde_json::from_slice(&body).ok()?;
        value["tokens"].as_array()?.iter().map(|token| TokenId::try_from(token.as_u64()?).ok()).collect()
    }
}
