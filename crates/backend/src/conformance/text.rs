//! Text to tokens and back.

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use crate::{ChatMessage, Error, Role, Text};

/// Everything that [`Text`] promises. `texts` are what the vocabulary can spell.
pub fn check_text(model: &dyn Text, texts: &[&str]) {
    tokens_spell_their_text(model, texts);
    prompts_begin_as_the_model_expects(model, texts);
    conversations_keep_their_text(model, texts);
    stop_tokens_exist(model);
}

fn tokens_spell_their_text(model: &dyn Text, texts: &[&str]) {
    assert_eq!(model.encode_plain("").unwrap(), [], "no text has no tokens");
    assert_eq!(model.decode(&[]).text, "", "no tokens have no text");
    for &text in texts {
        let tokens = model.encode_plain(text).unwrap();
        let in_vocabulary = tokens.iter().all(|&token| (token as usize) < model.info().vocab_size);
        assert!(in_vocabulary, "tokens of {text:?} are below the size of the vocabulary");
        let decoded = model.decode(&tokens);
        assert_eq!(decoded.text, text, "text comes back from its tokens");
        assert_eq!(decoded.token_ends.len(), tokens.len(), "each token of {text:?} has an end");
        assert_eq!(decoded.token_ends.last().copied().unwrap_or(0), text.len(), "the tokens cover {text:?}");
        assert!(decoded.token_ends.is_sorted(), "ends of tokens never fall: {:?}", decoded.token_ends);
        let between_characters = decoded.token_ends.iter().all(|&end| text.is_char_boundary(end));
        assert!(between_characters, "ends of tokens lie between characters of {text:?}");
        let written = model.encode_completion(text).unwrap();
        assert_eq!(model.decode(&written).text, text, "what a model wrote comes back from its tokens");
        // Text tokenised apart joins as text.
        let twice = model.decode(&[tokens.as_slice(), &tokens].concat());
        assert_eq!(twice.text, text.repeat(2), "texts that are tokenised apart join");
    }
}

fn prompts_begin_as_the_model_expects(model: &dyn Text, texts: &[&str]) {
    for &text in texts {
        let prompt = model.encode_prompt(text).unwrap();
        assert_eq!(prompt.text, text, "a prompt keeps its text");
        let shown = model.decode(&prompt.token_ids).text;
        assert!(shown.trim_start() == text.trim_start(), "the prompt {text:?} reads {shown:?}");
    }
}

fn conversations_keep_their_text(model: &dyn Text, texts: &[&str]) {
    let message = |content: &str| ChatMessage { role: Role::User, content: content.into() };
    if !model.has_chat_template() {
        let refused = model.render_chat(&[message("hello")]);
        assert!(matches!(refused, Err(Error::NoTemplate)), "without a template: {refused:?}");
        return;
    }
    for &text in texts.iter().filter(|text| !text.trim().is_empty()) {
        let prompt = model.render_chat(&[message(text)]).unwrap();
        assert!(prompt.text.contains(text.trim()), "the message is in the prompt: {:?}", prompt.text);
        let shown = model.decode(&prompt.token_ids).text;
        assert!(shown.contains(text.trim()), "the message is in the tokens: {shown:?}");

        // Special tokens have no text; whoever types their names gets names.
        let spelled = prompt.text.as_str();
        let plain = model.encode_plain(spelled).unwrap();
        assert_eq!(model.decode(&plain).text, spelled, "spelled special tokens stay text after a context");
        let quoted = model.render_chat(&[message(spelled)]).unwrap();
        let shown = model.decode(&quoted.token_ids).text;
        assert!(shown.contains(spelled.trim()), "spelled special tokens stay text in messages: {shown:?}");
    }
}

fn stop_tokens_exist(model: &dyn Text) {
    let vocab_size = model.info().vocab_size;
    for &token in model.stop_tokens() {
        assert!((token as usize) < vocab_size, "stop token {token} is in the vocabulary");
    }
}
