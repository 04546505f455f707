//! Text to tokens, with two choices that the `tokenizers` crate leaves to its caller.
//!
//! **Which special tokens count.** In text that a person or a model wrote, `<|im_end|>` is six or so ordinary tokens; in a rendered
//! template it is one special token. Tokens that were added to a vocabulary without being special (Gemma's runs of newlines,
//! Qwen's `</think>`) are ordinary vocabulary and are recognised in both, as transformers does under `split_special_tokens`.
//!
//! **What precedes a text.** SentencePiece tokenizers put a space before a text, so "A" becomes "▁A". Prompt, trace, cue and option
//! are tokenised apart and joined as tokens, so only the first of them may get that space:
//!
//! | [`Place`] | normalizer `Prepend` (Llama 2 as published) | `Metaspace` first | `Metaspace` always | byte-level `add_prefix_space` |
//! |---|---|---|---|---|
//! | `Beginning` | space | space | space | space |
//! | `AfterSpecial` | space | none | space | space |
//! | `Continuation` | none | none | none | none |
//!
//! The first two rows are what transformers does within one text. In a continuation a space is a space only if the text has it,
//! hence `decode(a ++ b) = decode(a) + decode(b)`.

use std::collections::HashSet;

use serde_json::Value;
use tokenizers::{
    AddedToken, AddedVocabulary, Encoding, Model as _, NormalizerWrapper, OffsetType, PreTokenizer as _,
    PreTokenizerWrapper,
};

use super::error::TokenizerError;
use super::guard;
use crate::template::Segment;

/// How often a text is cut to keep special tokens from forming, before it is cut into characters.
const MOST_CUTS: usize = 8;

/// What precedes a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing: the text begins a sequence.
    Beginning,
    /// A special token of the same text.
    AfterSpecial,
    /// Tokens of another text.
    Continuation,
}

/// Normalizer and pre-tokenizer for one [`Place`].
#[derive(Debug)]
struct Stage {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
}

/// A special token to look for in template text.
#[derive(Debug)]
struct Marker {
    token: AddedToken,
    id: u32,
}

/// A special token found in a text, with the spaces that it swallows.
struct Found {
    start: usize,
    end: usize,
    id: u32,
}

/// The encoding half of a tokenizer.
#[derive(Debug)]
pub(super) struct Encoder {
    inner: tokenizers::Tokenizer,
    stages: [Stage; 3],
    /// The added vocabulary with special tokens switched off.
    plain: AddedVocabulary,
    /// Special tokens, longest first.
    markers: Vec<Marker>,
    /// Their ids.
    special: HashSet<u32>,
}

impl Encoder {
    pub(super) fn new(inner: tokenizers::Tokenizer) -> Result<Self, serde_json::Error> {
        let mut plain = inner.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        let mut markers: Vec<Marker> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, token)| Marker { token, id })
            .collect();
        markers.sort_by_key(|marker| (std::cmp::Reverse(marker.token.content.len()), marker.id));
        let special = markers.iter().map(|marker| marker.id).collect();
        let stages = [
            stage(&inner, Place::Beginning)?,
            stage(&inner, Place::AfterSpecial)?,
            stage(&inner, Place::Continuation)?,
        ];
        Ok(Self { inner, stages, plain, markers, special })
    }

    pub(super) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// Every special token of the text is recognised.
    pub(super) fn with_special(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.run(text, Place::Beginning, self.inner.get_added_vocabulary())?.get_ids().to_vec())
    }

    /// No special token comes out.
    pub(super) fn without_special(&self, text: &str, place: Place) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        self.append_without_special(text, place, &mut ids)?;
        Ok(ids)
    }

    /// Special tokens and their ids.
    pub(super) fn special_tokens(&self) -> impl Iterator<Item = (&str, u32)> {
        self.markers.iter().map(|marker| (marker.token.content.as_str(), marker.id))
    }

    /// A continuation in which those special tokens are recognised that `is_spelled_out` names. They swallow no spaces.
    pub(super) fn with_spelled_out(
        &self,
        text: &str,
        is_spelled_out: impl Fn(u32) -> bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        let marks: Vec<&Marker> = self.markers.iter().filter(|marker| is_spelled_out(marker.id)).collect();
        let mut ids = Vec::new();
        let mut rest = text;
        // Of those that begin first, the longest: markers are sorted so, and `min_by_key` takes the first.
        let next = |rest: &str| {
            let hits = marks.iter().filter_map(|mark| Some((rest.find(&mark.token.content)?, *mark)));
            hits.min_by_key(|(at, _)| *at)
        };
        while let Some((at, mark)) = next(rest) {
            self.append_without_special(&rest[..at], Place::Continuation, &mut ids)?;
            ids.push(mark.id);
            rest = &rest[at + mark.token.content.len()..];
        }
        self.append_without_special(rest, Place::Continuation, &mut ids)?;
        Ok(ids)
    }

    /// Special tokens are recognised in template text only. Between two of them, template text and content are one text, so
    /// ordinary content gives exactly the tokens of the whole rendered prompt.
    pub(super) fn segments(&self, segments: &[Segment]) -> Result<Vec<u32>, TokenizerError> {
        let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        let mut ids = Vec::new();
        let mut start = 0;
        for found in self.find_markers(segments, &text) {
            self.append_without_special(&text[start..found.start], place_at(start), &mut ids)?;
            ids.push(found.id);
            start = found.end;
        }
        self.append_without_special(&text[start..], place_at(start), &mut ids)?;
        Ok(ids)
    }

    fn append_without_special(
        &self,
        text: &str,
        place: Place,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        self.append_taken_apart(text, place, 0, ids)
    }

    /// The vocabulary itself can hold special spellings that merges reach without the added vocabulary's help. Such tokens are taken
    /// apart: the text is cut after the first character of each, and the parts are encoded on their own. Where parts form special tokens
    /// again and again, they are cut into single characters in the end.
    fn append_taken_apart(
        &self,
        text: &str,
        place: Place,
        n_cuts_before: usize,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if text.is_empty() {
            return Ok(());
        }
        let behind = |start: usize| start + text[start..].chars().next().map_or(0, char::len_utf8);
        let mut cuts: Vec<usize> = {
            let encoding = self.run(text, place, &self.plain)?;
            let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
            let special: Vec<(u32, usize)> = tokens
                .filter(|(id, _)| self.special.contains(id))
                .map(|(id, offsets)| (*id, offsets.0))
                .collect();
            let Some(&(token, first)) = special.first() else {
                ids.extend_from_slice(encoding.get_ids());
                return Ok(());
            };
            if behind(first) >= text.len() {
                return Err(TokenizerError::OnlySpecial { text: text.to_owned(), token });
            }
            special.into_iter().map(|(_, start)| behind(start)).collect()
        };
        if n_cuts_before >= MOST_CUTS {
            cuts = text.char_indices().map(|(start, c)| start + c.len_utf8()).collect();
        }
        cuts.push(text.len());
        let mut start = 0;
        for cut in cuts {
            let place = if start == 0 { place } else { Place::Continuation };
            self.append_taken_apart(&text[start..cut.max(start)], place, n_cuts_before + 1, ids)?;
            start = cut.max(start);
        }
        Ok(())
    }

    fn run(&self, text: &str, place: Place, added: &AddedVocabulary) -> Result<Encoding, TokenizerError> {
        let stage = &self.stages[place as usize];
        let encode = || {
            let mut pieces = added.extract_and_normalize(stage.normalizer.as_ref(), text);
            if let Some(pre_tokenizer) = &stage.pre_tokenizer {
                pre_tokenizer.pre_tokenize(&mut pieces)?;
            }
            pieces.tokenize(|piece| self.inner.get_model().tokenize(piece.get()))?;
            pieces.into_encoding(None, 0, OffsetType::Byte)
        };
        guard::caught(encode).map_err(|source| TokenizerError::Encode { n_bytes: text.len(), source })
    }

    /// Leftmost, then longest; a match lies within one stretch of template text, the spaces it swallows may not.
    fn find_markers(&self, segments: &[Segment], text: &str) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for (start, end) in template_ranges(segments) {
            let mut at = start;
            while at < end {
                let here =
                    self.markers.iter().find(|marker| text[at..end].starts_with(&marker.token.content));
                let Some(marker) = here else {
                    at += text[at..].chars().next().map_or(1, char::len_utf8);
                    continue;
                };
                let earliest = found.last().map_or(0, |before| before.end);
                let mut hit = Found { start: at, end: at + marker.token.content.len(), id: marker.id };
                at = hit.end;
                if marker.token.lstrip {
                    hit.start = text[..hit.start].trim_end().len().max(earliest);
                }
                if marker.token.rstrip {
                    hit.end = text.len() - text[hit.end..].trim_start().len();
                }
                if hit.start >= earliest {
                    found.push(hit);
                }
            }
        }
        found
    }
}

fn place_at(offset: usize) -> Place {
    if offset == 0 { Place::Beginning } else { Place::AfterSpecial }
}

/// Byte ranges of template text in the joined text; neighbouring template segments are one range.
fn template_ranges(segments: &[Segment]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut offset = 0;
    for segment in segments.iter().filter(|segment| !segment.text.is_empty()) {
        let end = offset + segment.text.len();
        match ranges.last_mut() {
            Some(last) if segment.is_template && last.1 == offset => last.1 = end,
            _ if segment.is_template => ranges.push((offset, end)),
            _ => {}
        }
        offset = end;
    }
    ranges
}

fn stage(inner: &tokenizers::Tokenizer, place: Place) -> Result<Stage, serde_json::Error> {
    let normalizer = serde_json::to_value(inner.get_normalizer())?;
    let pre_tokenizer = serde_json::to_value(inner.get_pre_tokenizer())?;
    Ok(Stage {
        normalizer: serde_json::from_value(at_place(normalizer, place))?,
        pre_tokenizer: serde_json::from_value(at_place(pre_tokenizer, place))?,
    })
}

/// Takes out of a normalizer's or pre-tokenizer's definition what does not apply at `place`.
fn at_place(mut definition: Value, place: Place) -> Value {
    for key in ["normalizers", "pretokenizers"] {
        if let Some(steps) = definition.get_mut(key).and_then(Value::as_array_mut) {
            *steps =
                steps.drain(..).map(|step| at_place(step, place)).filter(|step| !step.is_null()).collect();
        }
    }
    let continuation = place == Place::Continuation;
    match definition["type"].as_str() {
        Some("Prepend") if continuation => return Value::Null,
        Some("Metaspace")
            if continuation || (place == Place::AfterSpecial && definition["prepend_scheme"] == "first") =>
        {
            definition["prepend_scheme"] = "never".into();
        }
        Some("ByteLevel") if continuation => definition["add_prefix_space"] = false.into(),
        _ => {}
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_change_only_the_leading_space() {
        let prepend = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "NFC"}]});
        let without = json!({"type": "Sequence", "normalizers": [{"type": "NFC"}]});
        assert_eq!(at_place(prepend.clone(), Place::AfterSpecial), prepend);
        assert_eq!(at_place(prepend, Place::Continuation), without);
        let scheme = |scheme: &str, place| {
            at_place(json!({"type": "Metaspace", "prepend_scheme": scheme}), place)["prepend_scheme"].clone()
        };
        assert_eq!(scheme("first", Place::Beginning), "first");
        assert_eq!(scheme("first", Place::AfterSpecial), "never");
        assert_eq!(scheme("always", Place::AfterSpecial), "always");
        assert_eq!(scheme("always", Place::Continuation), "never");
        assert_eq!(at_place(Value::Null, Place::Continuation), Value::Null);
    }

    /// An encoder whose merges spell the special tokens, which are all runs of `a` of two to `longest`.
    fn of_runs(longest: usize) -> Encoder {
        let token = |n: usize| "a".repeat(n);
        let added: Vec<Value> = (2..=longest)
            .map(|n| {
                json!({"id": n - 1, "content": token(n), "special": true, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false})
            })
            .collect();
        let vocab: serde_json::Map<_, _> = (1..=longest).map(|n| (token(n), json!(n - 1))).collect();
        let merges: Vec<_> = (2..=longest).map(|n| [token(n - 1), token(1)]).collect();
        let definition = json!({"version": "1.0", "added_tokens": added, "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": null, "model": {"type": "BPE", "vocab": vocab, "merges": merges}});
        Encoder::new(guard::build(definition.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn texts_full_of_special_spellings_are_taken_apart_in_time() {
        let text = "a".repeat(16_000);
        for longest in [2, 3, 40] {
            let ids = of_runs(longest).without_special(&text, Place::Continuation).unwrap();
            assert_eq!(ids, vec![0; text.len()], "runs up to {longest}");
        }
    }

    #[test]
    fn neighbouring_template_segments_join() {
        let segment = |text: &str, is_template| Segment { text: text.into(), is_template };
        let segments = [
            segment("ab", true),
            segment("", false),
            segment("c", true),
            segment("d", false),
            segment("e", true),
        ];
        assert_eq!(template_ranges(&segments), [(0, 3), (4, 5)]);
    }
}
