//! How byte-level vocabularies split text before merging, by the name that GGUF files store under `tokenizer.ggml.pre`.
//!
//! GGUF files carry vocabulary and merges but name their pre-tokenizer only. Names and expressions are those of llama.cpp; where a
//! model's own `tokenizer.json` says more (Unicode normalisation for Qwen and OLMo, digits split one by one), that is followed,
//! because it is what the model was trained with.

use serde_json::{Value, json};

/// One way to split text, and what goes with it.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    steps: &'static [Step],
    /// Canonical composition before splitting.
    pub(super) nfc: bool,
    /// A split that is a vocabulary entry becomes that token, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Whether a beginning token is added when the file does not say.
    pub(super) adds_bos: bool,
}

#[derive(Debug)]
enum Step {
    /// Matches become pieces of their own.
    Split(&'static str),
    /// Every numeral becomes a piece of its own.
    SingleDigits,
    /// GPT-2's expression, which is built into the byte-level step.
    Gpt2,
}

const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const DEEPSEEK_V3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##,
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const GPT4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// Chinese, Japanese and Korean stretches, as DeepSeek's first tokenizers delimit them.
const DEEPSEEK_CJK: &str = r"[一-龥ࠀ-一가-퟿]+";

const PRE_TOKENIZERS: [PreTokenizer; 12] = [
    PreTokenizer::plain(&["gpt-2", "gpt2", "default", "mpt", "jais"], &[Step::Gpt2]),
    PreTokenizer { nfc: true, ..PreTokenizer::plain(&["olmo"], &[Step::Gpt2]) },
    PreTokenizer::plain(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"],
        &[Step::SingleDigits, Step::Gpt2],
    ),
    PreTokenizer {
        ignore_merges: true,
        adds_bos: true,
        ..PreTokenizer::plain(&["llama-bpe", "llama3", "llama-v3"], &[Step::Split(LLAMA3)])
    },
    PreTokenizer::plain(&["dbrx", "smaug-bpe"], &[Step::Split(LLAMA3)]),
    PreTokenizer { nfc: true, ..PreTokenizer::plain(&["qwen2"], &[Step::Split(QWEN2)]) },
    PreTokenizer::plain(&["deepseek-r1-qwen", "stablelm2"], &[Step::Split(QWEN2)]),
    PreTokenizer::plain(
        &["deepseek-llm"],
        &[
            Step::Split(r"[\r\n]"),
            Step::Split(r"\s?[\p{Lu}\p{Ll}\p{Lt}]+"),
            Step::Split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            Step::Split(r"\s+$"),
            Step::Split(DEEPSEEK_CJK),
            Step::SingleDigits,
        ],
    ),
    PreTokenizer::plain(
        &["deepseek-coder"],
        &[
            Step::Split(r"[\r\n]"),
            Step::Split(r"\s?\p{L}+"),
            Step::Split(r"\s?\p{P}+"),
            Step::Split(DEEPSEEK_CJK),
            Step::SingleDigits,
        ],
    ),
    PreTokenizer::plain(
        &["deepseek-v3"],
        &[Step::Split(r"\p{N}{1,3}"), Step::Split(r"[一-龥぀-ゟ゠-ヿ]+"), Step::Split(DEEPSEEK_V3)],
    ),
    PreTokenizer::plain(&["gpt-4o"], &[Step::Split(GPT4O)]),
    PreTokenizer {
        ignore_merges: true,
        adds_bos: true,
        ..PreTokenizer::plain(&["tekken"], &[Step::Split(TEKKEN)])
    },
];

impl PreTokenizer {
    const fn plain(names: &'static [&'static str], steps: &'static [Step]) -> Self {
        Self { names, steps, nfc: false, ignore_merges: false, adds_bos: false }
    }

    /// The pre-tokenizer of that name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        PRE_TOKENIZERS.iter().find(|known| known.names.contains(&name))
    }

    /// Every known name.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        PRE_TOKENIZERS.iter().flat_map(|known| known.names).copied()
    }

    /// Its definition as in `tokenizer.json`.
    pub(super) fn definition(&self) -> Value {
        let mut steps: Vec<Value> = self.steps.iter().filter_map(Step::definition).collect();
        let gpt2 = self.steps.iter().any(|step| matches!(step, Step::Gpt2));
        steps.push(
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": gpt2}),
        );
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

impl Step {
    fn definition(&self) -> Option<Value> {
        match self {
            Self::Split(regex) => Some(
                json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false}),
            ),
            Self::SingleDigits => Some(json!({"type": "Digits", "individual_digits": true})),
            Self::Gpt2 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{
        OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, PreTokenizerWrapper,
    };

    fn split(name: &str, text: &str) -> Vec<String> {
        let definition = PreTokenizer::find(name).unwrap().definition();
        let pre_tokenizer: PreTokenizerWrapper = serde_json::from_value(definition).unwrap();
        let mut pieces = PreTokenizedString::from(text);
        pre_tokenizer.pre_tokenize(&mut pieces).unwrap();
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, (start, end), _)| text[start..end].to_owned()).collect()
    }

    #[test]
    fn numbers_split_as_each_family_was_trained() {
        let text = "in 1234  5";
        assert_eq!(split("gpt-2", text), ["in", " 1234", " ", " 5"]);
        assert_eq!(split("smollm", text), ["in", " ", "1", "2", "3", "4", "  ", "5"]);
        assert_eq!(split("llama-bpe", text), ["in", " ", "123", "4", " ", " ", "5"]);
        assert_eq!(split("qwen2", text), ["in", " ", "1", "2", "3", "4", " ", " ", "5"]);
        assert_eq!(split("deepseek-llm", text), ["in", " ", "1", "2", "3", "4", "  ", "5"]);
        assert_eq!(split("deepseek-v3", text), ["in", " ", "123", "4", "  ", "5"]);
        assert_eq!(split("tekken", text), ["in", " ", "1", "2", "3", "4", " ", " ", "5"]);
    }

    #[test]
    fn every_pre_tokenizer_keeps_all_text() {
        let text = "Don't  STOP\r\n\n 你好, мир! 12½ e\u{301} \u{200d}👩‍👩‍👧\u{0}\t x  ";
        for name in PreTokenizer::names() {
            assert_eq!(split(name, text).concat(), text, "{name}");
        }
    }
}
