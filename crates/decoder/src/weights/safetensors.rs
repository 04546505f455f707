//! Weights in a folder of `*.safetensors` files, mapped into memory.
//!
//! One file, or shards named by `model.safetensors.index.json`. The header of every file is checked against its length when it is
//! opened, so that a cut-off download is found before anything runs.

use super::WeightFile;
use super::mapped::Mapped;
use super::rows::{Encoding, Rows};
use crate::error::Error;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, SafeTensors, TensorInfo};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

struct Shard {
    file: Mapped,
    metadata: Metadata,
    data_start: usize,
}

/// An opened folder.
pub(crate) struct SafetensorsFolder {
    path: PathBuf,
    shards: Vec<Shard>,
    shard_of: BTreeMap<String, usize>,
}

impl SafetensorsFolder {
    /// Opens all shards and checks their headers.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let shards = shard_paths(folder)?.into_iter().map(Shard::open).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self::of_shards(folder, shards))
    }

    /// Opens one file.
    pub(crate) fn open_file(path: &Path) -> Result<Self, Error> {
        Ok(Self::of_shards(path, vec![Shard::open(path.to_path_buf())?]))
    }

    fn of_shards(path: &Path, shards: Vec<Shard>) -> Self {
        let mut shard_of = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for name in shard.metadata.tensors().into_keys() {
                shard_of.insert(name, index);
            }
        }
        Self { path: path.to_path_buf(), shards, shard_of }
    }

    /// Names of all weights.
    pub(crate) fn names(&self) -> Vec<String> {
        self.shard_of.keys().cloned().collect()
    }

    fn raw(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let shard = &self.shards[*self.shard_of.get(name)?];
        Some((shard, shard.metadata.info(name)?))
    }

    /// A fingerprint of the weights: sizes, headers and blocks of each file.
    pub(crate) fn fingerprint(&self, hasher: &mut Sha256) {
        for shard in &self.shards {
            shard.file.fingerprint(shard.data_start, hasher);
        }
    }
}

fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        let config = crate::config::Config::read(&index)?;
        let map = config
            .get("weight_map")
            .and_then(|v| v.as_object())
            .ok_or_else(|| config.refuse("weight_map", "missing"))?;
        let files: BTreeSet<&str> = map.values().filter_map(|v| v.as_str()).collect();
        let leaves = |file: &&&str| !Path::new(file).components().all(|c| matches!(c, Component::Normal(_)));
        if let Some(outside) = files.iter().find(leaves) {
            let problem = format!("names {outside:?}, which is outside of the folder");
            return Err(config.refuse("weight_map", problem));
        }
        if let Some(missing) = files.iter().find(|file| !folder.join(file).is_file()) {
            let problem = format!("names {missing}, which is not in the folder; download it");
            return Err(config.refuse("weight_map", problem));
        }
        return Ok(files.into_iter().map(|file| folder.join(file)).collect());
    }
    let entries =
        std::fs::read_dir(folder).map_err(|source| Error::Io { path: folder.to_path_buf(), source })?;
    let (mut files, others): (Vec<PathBuf>, Vec<PathBuf>) = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .partition(|path| path.extension().is_some_and(|e| e == "safetensors"));
    files.sort();
    if let Some(single) = files.iter().find(|f| f.file_name().is_some_and(|n| n == "model.safetensors")) {
        return Ok(vec![single.clone()]);
    }
    if files.is_empty() {
        return Err(Error::NotAModel {
            path: folder.to_path_buf(),
            problem: format!("there is no *.safetensors file in it{}", hint_of_others(&others)),
        });
    }
    Ok(files)
}

/// What to do with weights of another kind.
fn hint_of_others(files: &[PathBuf]) -> &'static str {
    let some = |extension: &str| files.iter().any(|file| file.extension().is_some_and(|e| e == extension));
    if some("gguf") {
        ", but a .gguf file: give the path of that"
    } else if some("bin") || some("pth") {
        ", only PyTorch's own format, which is not read: save it with transformers as safetensors"
    } else {
        ""
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let file = Mapped::open(path)?;
        let (header, metadata) =
            SafeTensors::read_metadata(file.bytes()).map_err(|e| file.damaged(e.to_string()))?;
        let data_start = 8 + header;
        let data_len = metadata.tensors().values().map(|info| info.data_offsets.1).max().unwrap_or(0);
        let (found, announced) = (file.bytes().len(), data_start.saturating_add(data_len));
        if found < announced {
            let problem = format!("it has {found} bytes, its header announces {announced}");
            return Err(file.damaged(problem));
        }
        Ok(Self { file, metadata, data_start })
    }

    fn place(&self, info: &TensorInfo) -> Range<usize> {
        self.data_start + info.data_offsets.0..self.data_start + info.data_offsets.1
    }
}

impl WeightFile for SafetensorsFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.raw(name)?.1.shape.clone())
    }

    fn same(&self, a: &str, b: &str) -> bool {
        let of = |name: &str| {
            let (shard, info) = self.raw(name)?;
            Some((info.dtype, &shard.file.bytes()[shard.place(info)]))
        };
        matches!((of(a), of(b)), (Some(a), Some(b)) if a == b)
    }

    fn rows(&self, name: &str) -> Result<Rows<'_>, Error> {
        let missing = || Error::MissingWeight { path: self.path.clone(), name: name.to_string() };
        let (shard, info) = self.raw(name).ok_or_else(missing)?;
        let encoding = match info.dtype {
            Dtype::F32 => Encoding::F32,
            Dtype::BF16 => Encoding::BF16,
            Dtype::F16 => Encoding::F16,
            Dtype::F64 => Encoding::F64,
            other => {
                return Err(Error::UnsupportedType {
                    path: shard.file.path.clone(),
                    name: name.to_string(),
                    found: format!("{other:?}"),
                    known: "F32, BF16, F16 and F64".into(),
                });
            }
        };
        let columns = info.shape.last().copied().unwrap_or(1);
        Ok(Rows::encoded(&shard.file.bytes()[shard.place(info)], encoding, columns))
    }

    fn let_go(&self, name: &str) {
        if let Some((shard, info)) = self.raw(name) {
            shard.file.let_go(shard.place(info));
        }
    }
}
