//! Tests against what PyTorch computes on the tiny checkpoints of `goldens/train/out`, and against differences.

use crate::checkpoint::ExportType;
use crate::gradients::{BatchGradients, gradients};
use crate::model::{Adaptation, Model};
use crate::ops::numbers::{change, of_tensor};
use crate::optimizer::{AdamW, Moments};
use crate::scoring::{logprobs, mean_loss, packs};
use crate::sequence::Sequence;
use crate::vocabulary::Vocabulary;
use candle_core::{DType, Device, Tensor};
use entrace_backend::Text;
use entrace_decoder::LanguageModel;
use std::collections::HashMap;
use std::path::PathBuf;

/// A checkpoint with what PyTorch made of it.
pub(crate) struct Golden {
    pub(crate) folder: PathBuf,
    pub(crate) model: Model,
    pub(crate) sequences: Vec<Sequence>,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    pub(crate) fn all() -> Vec<Self> {
        ["llama", "qwen2"].map(Self::load).into()
    }

    fn load(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens/train/out").join(name);
        let tensors =
            candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
        let rows = tensors["tokens"].to_vec2::<i64>().unwrap();
        let given = tensors["n_given"].to_vec1::<i64>().unwrap();
        let sequences = rows.iter().zip(given).map(|(row, given)| {
            let token_ids = row.iter().filter(|&&id| id >= 0).map(|&id| id as u32).collect();
            Sequence::new(token_ids, given as usize).unwrap()
        });
        let sequences = sequences.collect();
        let model = Model::load(&folder, &Adaptation::Full, 0).unwrap();
        Self { folder, model, sequences, tensors }
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        let tensor = self.tensors[name].to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Loss and gradient of maximum likelihood on all sequences.
    fn fitted(&self, n_packs: usize, shards: usize) -> BatchGradients<()> {
        let all: Vec<&Sequence> = self.sequences.iter().collect();
        let n: usize = all.iter().map(|s| s.n_learnt()).sum();
        let packs = packs(&all, n_packs);
        gradients(&self.model, packs.len(), shards, |i| {
            let logprobs = self.model.scores(&packs[i].1)?.get(0)?;
            Ok(((logprobs.sum_all()? * (-1.0 / n as f64))?, ()))
        })
        .unwrap()
    }

    /// Compares gradients with those whose names begin with `prefix`: each number to `tolerance` of the largest of its weight.
    pub(crate) fn compare_gradients(&self, found: &[Vec<f32>], prefix: &str, tolerance: f64) {
        for (trained, found) in self.model.trained().iter().zip(found) {
            let expected = self.numbers(&format!("{prefix}{}", trained.name));
            let largest = expected.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
            assert_eq!(found.len(), expected.len());
            for (f, e) in found.iter().zip(&expected) {
                assert!((f64::from(*f) - e).abs() < tolerance * largest, "{}: {f} against {e}", trained.name);
            }
        }
    }
}

#[test]
fn loss_and_gradients_equal_pytorch() {
    for golden in Golden::all() {
        for n_packs in [1, 2, 3] {
            let found = golden.fitted(n_packs, 2);
            assert!((found.loss - golden.numbers("loss")[0]).abs() < 2e-6);
            let norm = golden.numbers("grad_norm")[0];
            assert!((found.gradients.norm() - norm).abs() < 3e-6 * norm);
            golden.compare_gradients(&found.gradients.0, "grad.", 1e-5);
        }
    }
}

#[test]
fn updates_equal_pytorch() {
    let optimizer = AdamW { weight_decay: 0.1, clip_norm: Some(0.5), decay_all: false, ..AdamW::default() };
    for golden in Golden::all() {
        let trained = golden.model.trained();
        let mut moments = Moments::new(trained);
        for step in 1..=3 {
            let found = golden.fitted(2, 2).gradients;
            optimizer.update(trained, &mut moments, &found, found.norm(), 3e-3).unwrap();
            if step == 2 {
                continue;
            }
            for trained in trained {
                let expected = golden.numbers(&format!("step{step}.{}", trained.name));
                let found = of_tensor(&trained.tensor).unwrap();
                // The first steps of Adam turn rounding in tiny gradients into a share of the step, 3e-3: 1 % of it is allowed.
                for (f, e) in found.iter().zip(&expected) {
                    assert!(
                        (f64::from(*f) - e).abs() < 3e-5,
                        "{}, step {step}: {f} against {e}",
                        trained.name
                    );
                }
            }
        }
    }
}

#[test]
fn gradients_equal_differences() {
    for golden in Golden::all() {
        let found = golden.fitted(2, 2).gradients.0;
        for (trained, gradient) in golden.model.trained().iter().zip(&found) {
            // Along its own gradient every weight's loss changes by norm² for each unit.
            let square: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
            let step = 4e-3 / square.sqrt();
            let moved = |by: f64| {
                let add = |sign: f64| {
                    let move_by = |w: &mut [f32]| {
                        w.iter_mut().zip(gradient).for_each(|(w, g)| *w += (sign * by) as f32 * g);
                    };
                    change(&trained.tensor, move_by).unwrap();
                };
                add(1.0);
                let loss = mean_loss(&golden.model, &golden.sequences).unwrap().unwrap();
                add(-1.0);
                loss
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((slope / square - 1.0).abs() < 2e-2, "{}: {slope} against {square}", trained.name);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for golden in Golden::all() {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| golden.fitted(4, 3))
        };
        let (one, two) = (with(1), with(2));
        assert_eq!(one.loss.to_bits(), two.loss.to_bits());
        assert_eq!(one.gradients, two.gradients);
    }
}

#[test]
fn log_probabilities_are_those_of_the_decoder() {
    for golden in Golden::all() {
        let options = entrace_decoder::Options::default();
        let decoder = entrace_decoder::Decoder::open("tiny", &golden.folder, options).unwrap();
        let found = logprobs(&golden.model, &golden.sequences).unwrap();
        for (sequence, found) in golden.sequences.iter().zip(found) {
            let (_, logits) = decoder.hidden_states(sequence.token_ids()).unwrap();
            let logits = logits.to_vec2::<f32>().unwrap();
            let first = sequence.token_ids().len() - sequence.n_learnt();
            assert_eq!(found.len(), sequence.n_learnt());
            for (at, found) in (first..).zip(found) {
                let row = &logits[at - 1];
                let total: f64 = row.iter().map(|&z| f64::from(z).exp()).sum();
                let expected = f64::from(row[sequence.token_ids()[at] as usize]) - total.ln();
                assert!((found - expected).abs() < 1e-5, "{found} against {expected}");
            }
        }
    }
}

/// `goldens/train/out/trained` was made by the example `tiny_checkpoint` and read by transformers.
#[test]
fn transformers_reads_our_checkpoints_as_we_do() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens/train/out/trained");
    let tensors = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
    let now = jiff::civil::DateTime::default();
    let read = LanguageModel::open("trained", &folder, entrace_decoder::Options::default(), now).unwrap();
    let model = Model::load(&folder, &Adaptation::Full, 0).unwrap();
    let texts = json["texts"].as_array().unwrap();
    for (i, text) in texts.iter().enumerate() {
        let token_ids = read.encode_prompt(text.as_str().unwrap()).unwrap().token_ids;
        let expected = tensors[&format!("tokens.{i}")].to_vec1::<i64>().unwrap();
        assert_eq!(token_ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>(), expected);
        assert_eq!(read.decode(&token_ids).text, json["decoded"][i].as_str().unwrap());
        let (_, found) = read.decoder().hidden_states(&token_ids).unwrap();
        let logits = &tensors[&format!("logits.{i}")];
        crate::ops::tests_support::assert_close(&found, logits, 1e-4);
        let logs = candle_core::Tensor::log_sum_exp(logits, 1).unwrap().to_vec1::<f32>().unwrap();
        let rows = logits.to_vec2::<f32>().unwrap();
        let sequence = Sequence::new(token_ids.clone(), 1).unwrap();
        for (at, found) in logprobs(&model, &[sequence]).unwrap()[0].iter().enumerate() {
            let expected = rows[at][token_ids[at + 1] as usize] - logs[at];
            assert!((found - f64::from(expected)).abs() < 1e-4, "{found} against {expected}");
        }
    }
}

/// What is written today is what the committed checkpoint has, numbers apart.
#[test]
fn the_files_of_a_checkpoint_stay_as_they_are() {
    let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens/train/out/trained");
    let model = Model::load(&committed, &Adaptation::Full, 0).unwrap();
    let texts = Vocabulary::new([" is", "What"].map(String::from)).unwrap().files(64);
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("again");
    crate::checkpoint::write(&written, &model, &texts, ExportType::Bf16, None).unwrap();
    for entry in std::fs::read_dir(&written).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(committed.join(name)).unwrap(), "{name:?}");
    }
}
