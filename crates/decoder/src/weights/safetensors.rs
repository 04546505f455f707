//! Weights in a folder of `*.safetensors` files, mapped into memory.
//!
//! One file, or shards named by `model.safetensors.index.json`. The header of every file is checked against its length when it is
//! opened, so that a cut-off download is found before anything runs.

use super::{Numbers, WeightFile};
use crate::error::Error;
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, SafeTensors};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

struct Shard {
    path: PathBuf,
    map: Mmap,
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
        let mut shard_of = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for name in shard.metadata.tensors().into_keys() {
                shard_of.insert(name, index);
            }
        }
        Ok(Self { path: folder.to_path_buf(), shards, shard_of })
    }

    /// A fingerprint of the weights: sizes, headers and 256 blocks of 4 KiB spread evenly over each file. Reading every byte of a
    /// large model would take longer than measuring with it; two checkpoints of one training run differ in every block.
    pub(crate) fn fingerprint(&self, hasher: &mut Sha256) {
        for shard in &self.shards {
            fingerprint_blocks(&shard.map, shard.data_start, hasher);
        }
    }
}

/// Adds length, the first `header` bytes, and blocks of the rest.
pub(super) fn fingerprint_blocks(bytes: &[u8], header: usize, hasher: &mut Sha256) {
    const BLOCK: usize = 4096;
    const N_BLOCKS: usize = 256;
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(&bytes[..header.min(bytes.len())]);
    let rest = &bytes[header.min(bytes.len())..];
    let stride = (rest.len() / N_BLOCKS).max(BLOCK);
    for start in (0..rest.len()).step_by(stride) {
        hasher.update(&rest[start..(start + BLOCK).min(rest.len())]);
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

/// A file that stands for one that was not downloaded.
pub(super) fn is_git_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs")
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let file = File::open(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        // SAFETY: the file is only read; a model folder that is rewritten while it is in use gives wrong numbers either way.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::Io { path: path.clone(), source })?;
        let damaged = |problem: String| Error::DamagedWeights { path: path.clone(), problem };
        if is_git_lfs_pointer(&map) {
            return Err(damaged("it is a Git LFS pointer, not the weights".into()));
        }
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|e| damaged(e.to_string()))?;
        let data_start = 8 + header;
        let data_len = metadata.tensors().values().map(|info| info.data_offsets.1).max().unwrap_or(0);
        if map.len() < data_start + data_len {
            let problem =
                format!("it has {} bytes, its header announces {}", map.len(), data_start + data_len);
            return Err(damaged(problem));
        }
        Ok(Self { path, map, metadata, data_start })
    }

    /// Tells the system that these bytes of the data will not be read again, so that memory never holds file and weights at once.
    fn let_go(&self, start: usize, end: usize) {
        #[cfg(unix)]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is of a file and only read: pages that are needed after all come from the file again. It is a hint: a
            // system that refuses it keeps the pages.
            let _ = unsafe { self.map.unchecked_advise_range(advice, self.data_start + start, end - start) };
        }
        #[cfg(not(unix))]
        let _ = (start, end);
    }
}

impl WeightFile for SafetensorsFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let shard = &self.shards[*self.shard_of.get(name)?];
        Some(shard.metadata.info(name)?.shape.clone())
    }

    fn read(&self, name: &str) -> Result<Numbers, Error> {
        let missing = || Error::MissingWeight { path: self.path.clone(), name: name.to_string() };
        let shard = &self.shards[*self.shard_of.get(name).ok_or_else(missing)?];
        let info = shard.metadata.info(name).ok_or_else(missing)?;
        let (start, end) = info.data_offsets;
        let bytes = &shard.map[shard.data_start + start..shard.data_start + end];
        let numbers = match info.dtype {
            Dtype::F32 => Numbers::F32(numbers(bytes, f32::from_le_bytes)),
            Dtype::BF16 => Numbers::BF16(numbers(bytes, half::bf16::from_le_bytes)),
            Dtype::F16 => Numbers::F16(numbers(bytes, half::f16::from_le_bytes)),
            Dtype::F64 => Numbers::F32(numbers(bytes, |b| f64::from_le_bytes(b) as f32)),
            other => {
                return Err(Error::UnsupportedType {
                    path: shard.path.clone(),
                    name: name.to_string(),
                    found: format!("{other:?}"),
                });
            }
        };
        shard.let_go(start, end);
        Ok(numbers)
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}
