//! Weights of a folder in Hugging Face layout, as float32.

use crate::error::Error;
use crate::shape::WeightSpec;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Opened weight files.
pub(crate) struct WeightFolder {
    path: PathBuf,
    files: MmapedSafetensors,
}

impl WeightFolder {
    /// Opens `model.safetensors`, or all shards where there is no such file.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let single = folder.join("model.safetensors");
        let paths = if single.is_file() { vec![single] } else { shards(folder)? };
        // SAFETY: the files are only read, and not for longer than it takes to copy them.
        let files = unsafe { MmapedSafetensors::multi(&paths) }?;
        Ok(Self { path: folder.to_path_buf(), files })
    }

    /// The numbers of a weight, which must have the shape that the configuration asks for.
    pub(crate) fn read(&self, spec: &WeightSpec) -> Result<Vec<f32>, Error> {
        let refuse =
            |problem: String| Error::Weight { path: self.path.clone(), name: spec.name.clone(), problem };
        let view = self.files.get(&spec.name).map_err(|_| refuse("is missing".into()))?;
        if view.shape() != spec.dims {
            let problem = format!("has shape {:?}, the configuration asks for {:?}", view.shape(), spec.dims);
            return Err(refuse(problem));
        }
        let tensor = self.files.load(&spec.name, &Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    }
}

fn shards(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// A JSON object in a file.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::io("read", path)(e.into()))
}
