//! Weights, configuration and vocabulary of a `.gguf` file, or of the parts that one was split into.
//!
//! Tensors are read as float32 numbers, or as whole numbers with scales where they are quantised. Metadata becomes the `config.json` that
//! the same model has on the Hub, so that families are read in one way (`config.rs`); names become checkpoint keys (`names.rs`). Three
//! things that converters change are undone: the rows of LLaMA's and OLMo's query and key matrices (interleaved for ggml's rotation),
//! Gemma's norm weights (stored plus one), and scalings that are stored as divisors of the rotary frequencies (`rope_freqs.weight`, and
//! Phi-3's `rope_factors_…`). Source: the GGUF specification and converters of ggml.

mod config;
mod header;
mod names;
mod types;

use super::mapped::Mapped;
use super::{Rows, WeightFile};
use crate::error::{Error, tensor_problem};
use entrace_text::tokenizer::GgufVocabulary;
use header::{Header, List, TensorInfo, Value};
use names::Source;
use sha2::Sha256;
use std::ops::Range;
use std::path::{Path, PathBuf};
use types::TensorType;

/// An opened file; metadata are in the first part.
pub(crate) struct GgufFile {
    parts: Vec<Part>,
    architecture: String,
}

struct Part {
    file: Mapped,
    header: Header,
}

impl Part {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let file = Mapped::open(path)?;
        if !file.bytes().starts_with(b"GGUF") {
            let problem = "it does not begin with the letters GGUF".into();
            return Err(Error::NotAModel { path: file.path, problem });
        }
        let header = Header::read(file.bytes()).map_err(|problem| file.damaged(problem))?;
        let mut unread: Vec<_> = header.tensors.iter().filter(|(_, info)| !info.kind.is_read()).collect();
        unread.sort_by_key(|(_, info)| info.bytes.start);
        match unread.first() {
            Some((name, info)) => Err(Error::UnsupportedType {
                path: file.path.clone(),
                name: name.to_string(),
                found: info.kind.name.into(),
                known: TensorType::readable(),
            }),
            None => Ok(Self { file, header }),
        }
    }

    /// How many parts there are by the file's own word.
    fn n_parts(&self) -> usize {
        match self.header.metadata.get("split.count") {
            Some(Value::Integer(n)) => usize::try_from(*n).unwrap_or(1).max(1),
            _ => 1,
        }
    }
}

impl GgufFile {
    /// Reads the headers. Any part of a split file stands for all of them.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let parts = match parts_of(path) {
            None => vec![Part::open(path.to_path_buf())?],
            Some(paths) => {
                if let Some(missing) = paths.iter().find(|part| !part.is_file()) {
                    let problem = format!("the part {} is missing; download it", missing.display());
                    return Err(Error::NotAModel { path: path.to_path_buf(), problem });
                }
                paths.into_iter().map(Part::open).collect::<Result<Vec<_>, _>>()?
            }
        };
        let first = &parts[0];
        if first.n_parts() != parts.len() {
            let problem = format!(
                "it is one of {} parts; give them the names that they were published under ({})",
                first.n_parts(),
                part_name("model", 1, first.n_parts())
            );
            return Err(Error::NotAModel { path: path.to_path_buf(), problem });
        }
        let architecture = match first.header.metadata.get("general.architecture") {
            Some(Value::Text(name)) => name.clone(),
            _ => return Err(first.file.damaged("general.architecture is missing")),
        };
        Ok(Self { parts, architecture })
    }

    /// Adds length, header and blocks of the data, as for safetensors.
    pub(crate) fn fingerprint(&self, hasher: &mut Sha256) {
        for part in &self.parts {
            part.file.fingerprint(part.header.data_start, hasher);
        }
    }

    fn metadata(&self, key: &str) -> Option<&Value> {
        self.parts[0].header.metadata.get(key)
    }

    fn values(&self, list: &List) -> impl Iterator<Item = Value> {
        self.parts[0].header.values(self.parts[0].file.bytes(), list)
    }

    /// The vocabulary, for the tokenizer.
    pub(crate) fn vocabulary(&self) -> Result<GgufVocabulary, Error> {
        let get = |key: &str| self.metadata(&format!("tokenizer.ggml.{key}"));
        let text = |value: Option<&Value>| match value {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let token = |key: &str| match get(key) {
            Some(Value::Integer(id)) => u32::try_from(*id).ok(),
            _ => None,
        };
        let flag = |key: &str| match get(key) {
            Some(Value::Bool(yes)) => Some(*yes),
            _ => None,
        };
        let model = text(get("model")).ok_or_else(|| Error::NoTokenizer {
            path: self.path().to_path_buf(),
            missing: "tokenizer.ggml.model",
            hint: "",
        })?;
        Ok(GgufVocabulary {
            architecture: self.architecture.clone(),
            model,
            pre: text(get("pre")).unwrap_or_default(),
            tokens: self.list("tokens", |value| text(Some(&value))),
            scores: self.list("scores", |value| match value {
                Value::Float(score) => Some(score as f32),
                _ => None,
            }),
            token_types: self.list("token_type", |value| match value {
                Value::Integer(kind) => i32::try_from(kind).ok(),
                _ => None,
            }),
            merges: self.list("merges", |value| text(Some(&value))),
            bos: token("bos_token_id"),
            eos: token("eos_token_id"),
            eot: token("eot_token_id"),
            pad: token("padding_token_id"),
            unk: token("unknown_token_id"),
            add_bos: flag("add_bos_token"),
            add_space_prefix: flag("add_space_prefix"),
            chat_template: text(self.metadata("tokenizer.chat_template")),
        })
    }

    fn list<T>(&self, key: &str, read: impl Fn(Value) -> Option<T>) -> Vec<T> {
        match self.metadata(&format!("tokenizer.ggml.{key}")) {
            Some(Value::List(list)) => self.values(list).filter_map(read).collect(),
            _ => Vec::new(),
        }
    }

    fn find(&self, tensor: &str) -> Option<(&Part, &TensorInfo)> {
        self.parts.iter().find_map(|part| Some((part, part.header.tensors.get(tensor)?)))
    }

    /// Where the bytes of a tensor, or of one of the matrices that it stacks, lie.
    fn place(&self, source: &Source) -> Option<(&Part, &TensorInfo, Range<usize>)> {
        match source {
            Source::Whole(tensor) => self.find(tensor).map(|(part, info)| (part, info, info.bytes.clone())),
            Source::Slice { tensor, index } => {
                let (part, info) = self.find(tensor)?;
                let n_bytes = info.bytes.len() / info.shape[0];
                let start = info.bytes.start + index * n_bytes;
                Some((part, info, start..start + n_bytes))
            }
            Source::KeysAndValues { .. } => None,
        }
    }

    fn raw_shape(&self, tensor: &str) -> Option<Vec<usize>> {
        Some(self.find(tensor)?.1.shape.clone())
    }

    /// All numbers of a tensor.
    fn raw_numbers(&self, tensor: &str) -> Result<Vec<f32>, Error> {
        let (part, info) = self.find(tensor).ok_or_else(|| self.missing(tensor))?;
        part.numbers(tensor, &part.rows(tensor, info, info.bytes.clone())?)
    }

    fn missing(&self, name: &str) -> Error {
        Error::MissingWeight { path: self.path().to_path_buf(), name: name.to_string() }
    }

    fn source(&self, name: &str) -> Option<Source> {
        names::source(&self.architecture, name, |tensor| self.find(tensor).is_some())
    }

    /// Heads whose rows llama.cpp's rotation wants interleaved.
    fn interleaved_heads(&self, name: &str) -> Result<Option<usize>, Error> {
        let key = if name.contains("self_attn.q_proj") {
            "attention.head_count"
        } else if name.contains("self_attn.k_proj") {
            "attention.head_count_kv"
        } else {
            return Ok(None);
        };
        if !matches!(self.architecture.as_str(), "llama" | "olmo") {
            return Ok(None);
        }
        match self.count(key)? {
            Some(n) => Ok(Some(n)),
            None => self.count("attention.head_count"),
        }
    }
}

impl Part {
    /// The rows in some of a tensor's bytes.
    fn rows(&self, name: &str, info: &TensorInfo, bytes: Range<usize>) -> Result<Rows<'_>, Error> {
        let unread = || self.file.damaged(format!("the weight {name} has type {}", info.kind.name));
        let encoding = info.kind.encoding.ok_or_else(unread)?;
        let columns = info.shape.last().copied().unwrap_or(1);
        Ok(Rows::encoded(&self.file.bytes()[bytes], encoding, columns))
    }

    fn numbers(&self, name: &str, rows: &Rows<'_>) -> Result<Vec<f32>, Error> {
        rows.read_all().map_err(|e| self.file.damaged(format!("the weight {name}: {}", tensor_problem(&e))))
    }
}

impl WeightFile for GgufFile {
    fn path(&self) -> &Path {
        &self.parts[0].file.path
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self.source(name)? {
            Source::Whole(tensor) => self.raw_shape(&tensor),
            Source::Slice { tensor, index } => {
                let (n, matrix) = self.find(&tensor)?.1.shape.split_first()?;
                (index < *n).then(|| matrix.to_vec())
            }
            Source::KeysAndValues { keys, values } => {
                let (keys, values) = (self.raw_shape(&keys)?, self.raw_shape(&values)?);
                match (keys.as_slice(), values.as_slice()) {
                    (&[heads, rank, key], &[n, value, r]) if (heads, rank) == (n, r) => {
                        Some(vec![heads * (key + value), rank])
                    }
                    _ => None,
                }
            }
        }
    }

    fn rows(&self, name: &str) -> Result<Rows<'_>, Error> {
        let shape = self.shape(name).ok_or_else(|| self.missing(name))?;
        let columns = shape.last().copied().unwrap_or(1);
        let source = self.source(name).ok_or_else(|| self.missing(name))?;
        let rows = match &source {
            Source::KeysAndValues { keys, values } => {
                let n_heads = self.raw_shape(keys).ok_or_else(|| self.missing(keys))?[0];
                let (keys, values) = (self.raw_numbers(keys)?, self.raw_numbers(values)?);
                return Ok(Rows::computed(keys_and_values(&keys, &values, n_heads, columns), columns));
            }
            Source::Whole(tensor) | Source::Slice { tensor, .. } => {
                let (part, info, bytes) = self.place(&source).ok_or_else(|| self.missing(tensor))?;
                part.rows(name, info, bytes)?
            }
        };
        let interleaved = self.interleaved_heads(name)?;
        let norm = self.architecture.starts_with("gemma") && name.ends_with("norm.weight");
        if let Some(n_heads) = interleaved {
            let order = halves_from_pairs(shape[0], n_heads);
            if shape.len() > 1 {
                return Ok(rows.reordered(order));
            }
            let bias = self.parts[0].numbers(name, &rows)?;
            return Ok(Rows::computed(order.into_iter().map(|i| bias[i]).collect(), columns));
        }
        if norm {
            let mut numbers = self.parts[0].numbers(name, &rows)?;
            numbers.iter_mut().for_each(|weight| *weight -= 1.0);
            return Ok(Rows::computed(numbers, columns));
        }
        Ok(rows)
    }

    fn let_go(&self, name: &str) {
        let places = match self.source(name) {
            Some(Source::KeysAndValues { keys, values }) => vec![Source::Whole(keys), Source::Whole(values)],
            source => source.into_iter().collect(),
        };
        for (part, _, bytes) in places.iter().filter_map(|source| self.place(source)) {
            part.file.let_go(bytes);
        }
    }

    fn same(&self, a: &str, b: &str) -> bool {
        let of = |name: &str| match self.source(name)? {
            Source::Whole(tensor) => {
                let (part, info) = self.find(&tensor)?;
                Some((info.kind.name, &part.file.bytes()[info.bytes.clone()]))
            }
            _ => None,
        };
        matches!((of(a), of(b)), (Some(a), Some(b)) if a == b)
    }
}

/// The paths of all parts, if the name is that of one (`…-00001-of-00003.gguf`).
fn parts_of(path: &Path) -> Option<Vec<PathBuf>> {
    let stem = path.file_stem()?.to_str()?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse::<usize>().ok()).flatten();
    let (number, count) = (digits(number)?, digits(count)?);
    let one_of_them = (1..=count).contains(&number);
    one_of_them.then(|| (1..=count).map(|i| path.with_file_name(part_name(name, i, count))).collect())
}

fn part_name(name: &str, number: usize, count: usize) -> String {
    format!("{name}-{number:05}-of-{count:05}.gguf")
}

/// For each row the row that it is in the file, where rows i and i + D/2 of each head are its rows 2i and 2i + 1.
fn halves_from_pairs(n_rows: usize, n_heads: usize) -> Vec<usize> {
    let head_dim = (n_rows / n_heads.max(1)).max(1);
    let half = head_dim / 2;
    let before = |row: usize| {
        let (head, within) = (row / head_dim, row % head_dim);
        let pair = if within < half { 2 * within } else { 2 * (within - half) + 1 };
        (head * head_dim + pair).min(n_rows - 1)
    };
    (0..n_rows).map(before).collect()
}

/// Keys `[H, rank, D]` and values `[H, Dv, rank]` as rows `[H · (D + Dv), rank]`.
fn keys_and_values(keys: &[f32], values: &[f32], n_heads: usize, rank: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(keys.len() + values.len());
    let heads = keys.chunks(keys.len() / n_heads).zip(values.chunks(values.len() / n_heads));
    for (keys, values) in heads {
        let key_dim = keys.len() / rank;
        out.extend((0..key_dim).flat_map(|row| (0..rank).map(move |column| keys[column * key_dim + row])));
        out.extend_from_slice(values);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_rows_go_back_to_halves() {
        // Two heads of four rows; ggml order is (0, 2, 1, 3) of each head.
        assert_eq!(halves_from_pairs(8, 2), [0, 2, 1, 3, 4, 6, 5, 7]);
    }

    #[test]
    fn keys_are_turned_back_and_values_follow_them() {
        // One head, rank 2, two key rows (1, 2) and (3, 4), one value row (5, 6).
        assert_eq!(keys_and_values(&[1.0, 3.0, 2.0, 4.0], &[5.0, 6.0], 1, 2), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn any_part_names_all() {
        let names = |path: &str| {
            let parts = parts_of(Path::new(path))?;
            Some(parts.iter().map(|p| p.display().to_string()).collect::<Vec<_>>())
        };
        let both = ["a/m-Q4-00001-of-00002.gguf", "a/m-Q4-00002-of-00002.gguf"].map(String::from).to_vec();
        assert_eq!(names("a/m-Q4-00002-of-00002.gguf"), Some(both));
        assert_eq!(names("a/m-00003-of-00002.gguf"), None);
        assert_eq!(names("a/m-of-two.gguf"), None);
    }
}
