//! Which files of a repository are wanted.
//!
//! A model needs `config.json`, its weights and what describes its text. The weights are `model.safetensors`, else the files that
//! `model.safetensors.index.json` names, else every `*.safetensors` at the top; so `consolidated.safetensors`, the same weights once more,
//! stays where it is. A repository of adapters has `adapter_config.json` in the place of `config.json`. GGUF files are chosen by path or
//! quantisation, with all parts of a file that is split. Of other repositories the caller says which parts it wants, and gets each whole.

use crate::error::Error;
use crate::name::{Gguf, is_gguf};
use std::collections::{BTreeMap, BTreeSet};

const CONFIG: &str = "config.json";
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The file without which there is a vocabulary only in the older form.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// That form.
pub(crate) const OLDER_TOKENIZER: [&str; 2] = ["vocab.json", "merges.txt"];
/// What describes a model's text, where it is there.
const TEXT: [&str; 7] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    TOKENIZER,
];
/// Names that a message lists before it says how many more there are.
const MOST_NAMED: usize = 12;

/// A part of a repository, such as the files of a split.
pub struct Part<'a> {
    /// What it is, for messages.
    pub what: String,
    /// Whether a path in the repository belongs to it.
    pub holds: &'a (dyn Fn(&str) -> bool + Sync),
}

/// What is wanted.
pub(crate) enum Wanted<'a> {
    Model,
    /// Tokenizer and chat template alone.
    Text,
    Gguf(&'a Gguf),
    Parts(&'a [Part<'a>]),
}

/// Files to have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) files: Vec<String>,
    /// The one to open, where that is not the folder.
    pub(crate) opened: Option<String>,
}

/// Why nothing can be chosen.
#[derive(Debug)]
pub(crate) enum Lack {
    /// What is not there, in words.
    Missing(String),
    Failed(Error),
}

impl From<Error> for Lack {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads a file of the repository.
pub(crate) type Read<'a> = dyn FnMut(&str) -> Result<Vec<u8>, Lack> + 'a;

impl Wanted<'_> {
    /// The files to have, of those that a repository has.
    pub(crate) fn choose(&self, paths: &[String], read: &mut Read<'_>) -> Result<Choice, Lack> {
        match self {
            Self::Model => Ok(Choice { files: model(paths, read)?, opened: None }),
            Self::Text => Ok(Choice { files: text(paths)?, opened: None }),
            Self::Gguf(wanted) => gguf(wanted, paths),
            Self::Parts(parts) => Ok(Choice { files: of_parts(parts, paths)?, opened: None }),
        }
    }
}

fn missing<T>(what: String) -> Result<T, Lack> {
    Err(Lack::Missing(what))
}

fn text(paths: &[String]) -> Result<Vec<String>, Lack> {
    if !paths.iter().any(|path| path == TOKENIZER) {
        return missing(TOKENIZER.to_string());
    }
    Ok(TEXT.into_iter().filter(|name| paths.iter().any(|path| path == name)).map(str::to_string).collect())
}

fn model(paths: &[String], read: &mut Read<'_>) -> Result<Vec<String>, Lack> {
    let has = |name: &str| paths.iter().any(|path| path == name);
    let is_adapter = ADAPTER.iter().all(|name| has(name));
    let mut files = if has(CONFIG) && !(is_adapter && !has(SINGLE) && !has(INDEX)) {
        let mut files = weights(paths, read)?;
        files.push(CONFIG.to_string());
        files
    } else if is_adapter {
        ADAPTER.map(str::to_string).to_vec()
    } else {
        return missing(format!("{CONFIG}{}", instead(paths)));
    };
    files.extend(TEXT.iter().filter(|name| has(name)).map(|name| name.to_string()));
    if !has(TOKENIZER) {
        files.extend(OLDER_TOKENIZER.iter().filter(|name| has(name)).map(|name| name.to_string()));
    }
    Ok(files)
}

fn weights(paths: &[String], read: &mut Read<'_>) -> Result<Vec<String>, Lack> {
    let has = |name: &str| paths.iter().any(|path| path == name);
    if has(SINGLE) {
        return Ok(vec![SINGLE.to_string()]);
    }
    if has(INDEX) {
        let named = named_by_index(&read(INDEX)?)?;
        if let Some(lacking) = named.iter().find(|name| !has(name)) {
            return missing(format!("{lacking}, which {INDEX} names"));
        }
        return Ok(named.into_iter().chain([INDEX.to_string()]).collect());
    }
    let at_the_top = |path: &&String| path.ends_with(".safetensors") && !path.contains('/');
    let (twice, mut files): (Vec<String>, Vec<String>) =
        paths.iter().filter(at_the_top).cloned().partition(|path| path.starts_with("consolidated"));
    if files.is_empty() {
        files = twice;
    }
    if files.is_empty() {
        return missing(format!("weights (*.safetensors){}", instead(paths)));
    }
    whole(files)
}

fn named_by_index(text: &[u8]) -> Result<BTreeSet<String>, Lack> {
    let json: serde_json::Value = match serde_json::from_slice(text) {
        Ok(json) => json,
        Err(error) => return missing(format!("a readable {INDEX} ({error})")),
    };
    let map = json.get("weight_map").and_then(|map| map.as_object()).filter(|map| !map.is_empty());
    let named = map.map(|map| map.values().map(|file| file.as_str().map(str::to_string)).collect());
    match named {
        Some(Some(files)) => Ok(files),
        _ => missing(format!("names of files in the weight_map of {INDEX}")),
    }
}

/// What a repository has instead of what was looked for, as the rest of a sentence.
fn instead(paths: &[String]) -> String {
    let ggufs: Vec<&String> = paths.iter().filter(|path| is_model_gguf(path)).collect();
    if let Some(first) = ggufs.first() {
        let named = named(&ggufs);
        return format!(
            "; it has GGUF files: name one, as org/name/{first} or org/name:QUANTISATION (there are {named})"
        );
    }
    let older = |path: &&String| [".bin", ".pt", ".pth"].iter().any(|ending| path.ends_with(ending));
    match paths.iter().find(older) {
        Some(path) => format!(
            "; it has only PyTorch's own format ({path}), which is not read: save it with transformers as safetensors"
        ),
        None => String::new(),
    }
}

fn named(paths: &[&String]) -> String {
    let first: Vec<&str> = paths.iter().take(MOST_NAMED).map(|path| path.as_str()).collect();
    let more = paths.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// Whether a file is a language model rather than the part of one that sees or what calibrated a quantisation.
fn is_model_gguf(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    is_gguf(path) && !name.starts_with("mmproj") && !name.contains("imatrix")
}

fn gguf(wanted: &Gguf, paths: &[String]) -> Result<Choice, Lack> {
    let mut ggufs: Vec<&String> = paths.iter().filter(|path| is_model_gguf(path)).collect();
    ggufs.sort();
    let there = || if ggufs.is_empty() { "no GGUF file".into() } else { named(&ggufs) };
    let fitting: Vec<String> = match wanted {
        Gguf::File(file) => match Shard::of(file) {
            Some(shard) => paths
                .iter()
                .filter(|path| Shard::of(path).is_some_and(|s| s.is_beside(&shard)))
                .cloned()
                .collect(),
            None => paths.iter().filter(|path| *path == file).cloned().collect(),
        },
        Gguf::Quantisation(tag) => {
            ggufs.iter().filter(|path| has_tag(path, tag)).map(|path| path.to_string()).collect()
        }
    };
    let what = match wanted {
        Gguf::File(file) => file.clone(),
        Gguf::Quantisation(tag) => format!("a GGUF file of the quantisation {tag}"),
    };
    if fitting.is_empty() {
        return missing(format!("{what}; there is {}", there()));
    }
    let mut models: Vec<&String> =
        fitting.iter().filter(|path| Shard::of(path).is_none_or(|shard| shard.is_first(&fitting))).collect();
    models.sort();
    let [opened] = models[..] else {
        return missing(format!(
            "one file that {what} can mean; there are {}: name one, as org/name/FILE",
            named(&models)
        ));
    };
    let opened = Some(opened.clone());
    Ok(Choice { files: whole(fitting)?, opened })
}

/// Whether a path has a quantisation in it, as a word: `Q4_K` is not in `Q4_K_M`, nor `F16` in `BF16`.
fn has_tag(path: &str, tag: &str) -> bool {
    let (path, tag) = (path.to_ascii_lowercase(), tag.to_ascii_lowercase());
    path.match_indices(&tag).any(|(at, _)| {
        let before = path[..at].chars().next_back();
        let after = path[at + tag.len()..].chars().next();
        before.is_none_or(|c| !c.is_ascii_alphanumeric()) && after.is_some_and(|c| "-./".contains(c))
    })
}

fn of_parts(parts: &[Part<'_>], paths: &[String]) -> Result<Vec<String>, Lack> {
    let mut chosen = BTreeSet::new();
    for part in parts {
        let files: Vec<String> = paths.iter().filter(|path| (part.holds)(path)).cloned().collect();
        if files.is_empty() {
            return missing(part.what.clone());
        }
        chosen.extend(whole(files)?);
    }
    Ok(chosen.into_iter().collect())
}

/// A name such as `train-00000-of-00002.parquet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard<'a> {
    stem: &'a str,
    index: u32,
    total: u32,
    ending: &'a str,
}

impl<'a> Shard<'a> {
    fn of(path: &'a str) -> Option<Self> {
        const DIGITS: usize = 5;
        let (name, ending) = path.rsplit_once('.')?;
        let (rest, total) = name.rsplit_once("-of-")?;
        let (stem, index) = rest.rsplit_once('-')?;
        let number = |text: &str| if text.len() == DIGITS { text.parse().ok() } else { None };
        Some(Self { stem, index: number(index)?, total: number(total)?, ending })
    }

    /// Whether both are of one file.
    fn is_beside(&self, other: &Self) -> bool {
        (self.stem, self.total, self.ending) == (other.stem, other.total, other.ending)
    }

    fn is_first(&self, paths: &[String]) -> bool {
        let mut beside =
            paths.iter().filter_map(|path| Shard::of(path)).filter(|shard| shard.is_beside(self));
        beside.all(|shard| shard.index >= self.index)
    }
}

/// The files, if of each that is split all shards are there.
fn whole(files: Vec<String>) -> Result<Vec<String>, Lack> {
    let mut groups: BTreeMap<(&str, u32, &str), u32> = BTreeMap::new();
    for shard in files.iter().filter_map(|path| Shard::of(path)) {
        *groups.entry((shard.stem, shard.total, shard.ending)).or_default() += 1;
    }
    for ((stem, total, ending), found) in groups {
        if found < total {
            return missing(format!(
                "{} of the {total} files {stem}-*-of-{total:05}.{ending}",
                total - found
            ));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(wanted: &Wanted<'_>, paths: &[&str]) -> Result<Choice, String> {
        let paths: Vec<String> = paths.iter().map(|path| path.to_string()).collect();
        let index = br#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
        let mut choice = wanted.choose(&paths, &mut |_| Ok(index.to_vec())).map_err(|lack| match lack {
            Lack::Missing(what) => what,
            Lack::Failed(error) => panic!("{error}"),
        })?;
        choice.files.sort();
        Ok(choice)
    }

    fn files(wanted: &Wanted<'_>, paths: &[&str]) -> Vec<String> {
        choose(wanted, paths).unwrap().files
    }

    const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

    #[test]
    fn a_model_is_what_its_index_names() {
        let paths = [
            "README.md",
            "config.json",
            INDEX,
            SHARDS[0],
            SHARDS[1],
            "consolidated.safetensors",
            "onnx/model.onnx",
            TOKENIZER,
        ];
        assert_eq!(files(&Wanted::Model, &paths), ["config.json", SHARDS[0], SHARDS[1], INDEX, TOKENIZER]);
        let lacking = choose(&Wanted::Model, &["config.json", INDEX, SHARDS[0]]).unwrap_err();
        assert!(lacking.contains(SHARDS[1]) && lacking.contains(INDEX), "{lacking}");
    }

    #[test]
    fn a_single_file_comes_before_an_index_and_odd_names_last() {
        assert_eq!(
            files(&Wanted::Model, &["config.json", SINGLE, INDEX, SHARDS[0]]),
            ["config.json", SINGLE]
        );
        let odd = ["config.json", "consolidated.safetensors", "weights.safetensors", "sub/x.safetensors"];
        assert_eq!(files(&Wanted::Model, &odd), ["config.json", "weights.safetensors"]);
        let older = choose(&Wanted::Model, &["config.json", "pytorch_model.bin"]).unwrap_err();
        assert!(older.contains("pytorch_model.bin"), "{older}");
    }

    #[test]
    fn an_older_vocabulary_is_wanted_where_there_is_no_other() {
        let with = files(&Wanted::Model, &["config.json", SINGLE, "vocab.json", "merges.txt", TOKENIZER]);
        assert_eq!(with, ["config.json", SINGLE, TOKENIZER]);
        let without = files(&Wanted::Model, &["config.json", SINGLE, "vocab.json", "merges.txt"]);
        assert_eq!(without, ["config.json", "merges.txt", SINGLE, "vocab.json"]);
        assert_eq!(
            files(&Wanted::Model, &[ADAPTER[0], ADAPTER[1], TOKENIZER]),
            [ADAPTER[0], ADAPTER[1], TOKENIZER]
        );
    }

    #[test]
    fn a_gguf_file_is_found_by_quantisation_as_a_word() {
        let paths = [
            "x-BF16.gguf",
            "x-F16.gguf",
            "x-Q4_K_M.gguf",
            "x-Q4_K_S.gguf",
            "x-IQ4_XS.gguf",
            "mmproj-x-F16.gguf",
        ];
        let opened = |tag: &str| {
            choose(&Wanted::Gguf(&Gguf::Quantisation(tag.into())), &paths).map(|c| c.opened.unwrap())
        };
        assert_eq!(opened("q4_k_m").unwrap(), "x-Q4_K_M.gguf");
        assert_eq!(opened("F16").unwrap(), "x-F16.gguf");
        for tag in ["Q4_K", "Q4_XS", "Q8_0"] {
            let lacking = opened(tag).unwrap_err();
            assert!(lacking.contains(tag) && lacking.contains("x-Q4_K_M.gguf"), "{lacking}");
        }
        let hint = choose(&Wanted::Model, &paths).unwrap_err();
        assert!(hint.contains("org/name/x-BF16.gguf") && hint.contains(":QUANTISATION"), "{hint}");
    }

    #[test]
    fn a_split_gguf_file_is_wanted_whole() {
        let (one, two) = ("Q8_0/x-Q8_0-00001-of-00002.gguf", "Q8_0/x-Q8_0-00002-of-00002.gguf");
        for wanted in [Gguf::Quantisation("Q8_0".into()), Gguf::File(two.into())] {
            let choice = choose(&Wanted::Gguf(&wanted), &[two, one, "x-Q4_0.gguf"]).unwrap();
            assert_eq!(choice, Choice { files: vec![one.into(), two.into()], opened: Some(one.into()) });
            assert!(choose(&Wanted::Gguf(&wanted), &[two]).unwrap_err().contains("1 of the 2 files"));
        }
        let two_kinds =
            choose(&Wanted::Gguf(&Gguf::Quantisation("Q8_0".into())), &["a-Q8_0.gguf", "b-Q8_0.gguf"]);
        assert!(two_kinds.unwrap_err().contains("name one"));
    }

    #[test]
    fn every_part_is_wanted_whole() {
        let holds = |split: &'static str| move |path: &str| path.starts_with(split);
        let (train, test) = (holds("train"), holds("test"));
        let parts = [
            Part { what: "the split train".into(), holds: &train },
            Part { what: "the split test".into(), holds: &test },
        ];
        let wanted = Wanted::Parts(&parts);
        assert_eq!(files(&wanted, &["test.parquet", "train-00000-of-00001.parquet", "x"]).len(), 2);
        assert_eq!(choose(&wanted, &["test.parquet"]).unwrap_err(), "the split train");
        assert!(choose(&wanted, &["test.parquet", "train-00000-of-00002.parquet"]).is_err());
    }
}
