//! The promises of the backend's traits, kept by the decoder.
//!
//! The token tree and the layers are checked on every tiny checkpoint of `goldens/models/out`. Text and sampling need a tokenizer: for
//! them a few of these checkpoints are given the vocabulary of a small tokenizer of `goldens/text/out`, with random rows in embedding and
//! output head. With `ENTRACE_SMOLLM2` set to the path of SmolLM2-135M-Instruct as a GGUF file the whole suite runs on that as well.
//!
//! What should be equal may differ by 2e-4 nats: float32 sums in another order. Then the same numbers again in other ways: storage types,
//! numbers of threads, sizes of passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{DType, Device, Tensor};
use entrace_backend::conformance::{self, Tolerances};
use entrace_backend::sampling::Counting;
use entrace_backend::{
    Branch, BranchId, Fork, Generate, GenerateRequest, NextRequest, Parent, Sampled, Sampling, ScoreTree,
    Stem, Text, TokenScores,
};
use entrace_decoder::{Decoder, LanguageModel, Options, StorageType};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens")
}

fn checkpoints() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(goldens().join("models/out")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn tolerances() -> Tolerances {
    Tolerances { nats: 2e-4, n_draws: 1500, ..Tolerances::default() }
}

fn open(folder: &Path, options: Options) -> Decoder {
    Decoder::open("tiny", folder, options).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_family_scores_trees_as_promised() {
    for folder in &checkpoints() {
        println!("{}", folder.display());
        let decoder = open(folder, Options::default());
        conformance::check_tree(&decoder, decoder.info(), &tolerances());
    }
}

#[test]
fn every_family_reads_layers_as_promised() {
    for folder in checkpoints() {
        println!("{}", folder.display());
        let decoder = open(&folder, Options::default());
        conformance::check_layers(&decoder, decoder.info(), &tolerances());
    }
}

/// A checkpoint with the vocabulary of a tokenizer.
fn with_tokenizer(checkpoint: &str, tokenizer: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = goldens().join("text/out").join(tokenizer);
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    let vocab_size = entrace_text::tokenizer::Tokenizer::from_dir(&source).unwrap().vocab_size();
    let checkpoint = goldens().join("models/out").join(checkpoint);
    let config = std::fs::read_to_string(checkpoint.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["vocab_size"] = vocab_size.into();
    config.as_object_mut().unwrap().remove("eos_token_id");
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();

    let mut weights =
        candle_core::safetensors::load(checkpoint.join("model.safetensors"), &Device::Cpu).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(vocab_size as u64);
    for (name, scale) in [("model.embed_tokens.weight", 1.0), ("lm_head.weight", 0.6)] {
        let Some(weight) = weights.get_mut(name) else { continue };
        let width = weight.dim(1).unwrap();
        let numbers: Vec<f32> =
            (0..vocab_size * width).map(|_| scale * (2.0 * rng.random::<f32>() - 1.0)).collect();
        let bigger = Tensor::from_vec(numbers, (vocab_size, width), &Device::Cpu).unwrap();
        *weight = bigger.to_dtype(weight.dtype()).unwrap();
    }
    candle_core::safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
    folder
}

fn language_model(path: &Path, options: Options) -> LanguageModel {
    let now = jiff::civil::date(2026, 3, 9).at(7, 5, 0, 0);
    LanguageModel::open("tiny", path, options, now).unwrap_or_else(|e| panic!("{e}"))
}

/// Checkpoints, each with the tokenizer whose vocabulary it is given.
const WITH_TOKENIZERS: [(&str, &str); 7] = [
    ("llama-gqa", "llama3"),
    ("qwen2-window", "qwen"),
    ("gemma2", "gemma"),
    ("mistral", "mistral"),
    ("olmo2", "olmo"),
    ("phi3", "phi3"),
    ("llama-mha", "llama2"),
];

const TEXTS: [&str; 4] = ["What is 3 + 4?", "é 日本 🙂\n\n", "naïve\tcafé  twice", "\nThe answer is"];

#[test]
fn language_models_keep_all_promises() {
    for (checkpoint, tokenizer) in WITH_TOKENIZERS {
        println!("{checkpoint} with the tokenizer {tokenizer}");
        let folder = with_tokenizer(checkpoint, tokenizer);
        // Small passes and few live sequences, so that requests are cut and queued.
        let options = Options { max_rows: 11, max_sequences: 5, ..Options::default() };
        let model = language_model(folder.path(), options);
        conformance::check(&model, &TEXTS, &tolerances());
    }
}

#[test]
fn a_real_model_keeps_all_promises() {
    let Some(path) = std::env::var_os("ENTRACE_SMOLLM2") else {
        println!("skipped: set ENTRACE_SMOLLM2 to the path of SmolLM2-135M-Instruct as a GGUF file");
        return;
    };
    let model = language_model(Path::new(&path), Options::default());
    let tolerances = Tolerances { nats: 1e-3, n_draws: 400, ..Tolerances::default() };
    conformance::check(&model, &TEXTS, &tolerances);
}

fn logits(decoder: &Decoder, input_ids: &[u32]) -> Vec<f32> {
    let (_, logits) = decoder.hidden_states(input_ids).unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

fn input_ids(folder: &Path) -> Vec<u32> {
    let golden = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
    golden["input_ids"].to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Sums are float32 whatever weights are kept in: a checkpoint in its own type loses no bit. In another type of 8 or 11 significant bits
/// weights are off by up to 2^-9 or 2^-12 of themselves; logits of these checkpoints have a deviation of about 1.
#[test]
fn storage_types_keep_the_numbers() {
    for folder in checkpoints() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let ids = input_ids(&folder);
        let exact = logits(&open(&folder, Options::default()), &ids);
        let weights = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let own = weights.values().next().unwrap().dtype();
        for (dtype, storage, loss) in
            [(DType::BF16, StorageType::BF16, 0.1), (DType::F16, StorageType::F16, 0.01)]
        {
            let decoder = open(&folder, Options { dtype: storage, ..Options::default() });
            assert_eq!(decoder.info().dtype, storage.name());
            let difference = largest_difference(&logits(&decoder, &ids), &exact);
            let limit = if dtype == own { 0.0 } else { loss };
            assert!(difference <= limit, "{name} as {}: off by {difference}", storage.name());
        }
    }
}

/// Rows are rounded before every product as well: off by up to 2^-9 of themselves, layer after layer. Experts are left out: where two of
/// them score nearly the same, rounding may pick the other one.
#[test]
fn bf16_products_are_close() {
    let has_experts = |folder: &PathBuf| {
        std::fs::read_to_string(folder.join("config.json")).unwrap().contains("n_routed_experts")
    };
    for folder in checkpoints().into_iter().filter(|folder| !has_experts(folder)) {
        let ids = input_ids(&folder);
        let rounding = Options { dtype: StorageType::BF16Products, ..Options::default() };
        let storing = Options { dtype: StorageType::BF16, ..Options::default() };
        let found = logits(&open(&folder, rounding), &ids);
        let difference = largest_difference(&found, &logits(&open(&folder, storing), &ids));
        assert!(difference <= 0.1, "{}: off by {difference}", folder.display());
    }
}

/// Work is divided by rows and heads, never within a sum, so that the number of threads changes no bit.
#[test]
fn threads_do_not_change_a_bit() {
    for folder in checkpoints() {
        let ids = input_ids(&folder);
        let with_threads = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| logits(&open(&folder, Options::default()), &ids))
        };
        assert_eq!(with_threads(1), with_threads(3), "{}", folder.display());
    }
}

/// Where angles depend on the length of the sequence, each token is drawn as if the sequence so far had been run by itself: contexts of 16
/// tokens are the longest that turn by the first angles of these checkpoints.
#[test]
fn completions_that_outgrow_their_angles_go_on_as_from_scratch() {
    for (checkpoint, tokenizer) in [("phi3-longrope", "phi3"), ("llama-rope-dynamic", "llama2")] {
        let folder = with_tokenizer(checkpoint, tokenizer);
        let options = Options { max_rows: 11, max_sequences: 5, ..Options::default() };
        let model = language_model(folder.path(), options);
        let ids: Vec<u32> = (40..62).collect();
        let fork = |n_tokens: usize, suffix: &[u32]| Fork {
            n_tokens,
            suffix: suffix.to_vec(),
            streams: vec![1, 2],
            max_new_tokens: None,
        };
        let requests = [
            GenerateRequest {
                context: ids.clone(),
                forks: vec![fork(22, &[]), fork(9, &[]), fork(15, &[7, 8])],
            },
            GenerateRequest { context: ids[..12].to_vec(), forks: vec![fork(12, &[5]), fork(10, &[5, 6])] },
        ];
        let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 40, stop: vec![] };
        let completions = model.generate(&requests, &sampling, &mut |_| true).unwrap();
        let mut n_checked = 0;
        for (request, completions) in requests.iter().zip(&completions) {
            for (fork, completions) in request.forks.iter().zip(completions) {
                for completion in completions {
                    let mut path = [&request.context[..fork.n_tokens], &fork.suffix].concat();
                    for (&token, &logprob) in completion.token_ids.iter().zip(&completion.logprobs) {
                        let next = NextRequest { gather: [token].into(), ..NextRequest::default() };
                        let root = Branch { tokens: path.clone(), next: Some(next), ..Branch::default() };
                        let score = model.session().unwrap().extend(&[root]).unwrap().remove(0);
                        let (alone, logprob) = (score.next.unwrap().gather[0].unwrap(), logprob.unwrap());
                        assert!((alone - logprob).abs() < 2e-4, "{checkpoint}: {alone} against {logprob}");
                        path.push(token);
                        n_checked += 1;
                    }
                }
            }
        }
        assert!(n_checked > 100, "{checkpoint}: only {n_checked} tokens");
    }
}

#[test]
fn sizes_of_passes_do_not_matter() {
    let folder = with_tokenizer("qwen3", "qwen");
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 40, stop: vec![] };
    let complete = |max_rows, max_sequences| {
        let options = Options { max_rows, max_sequences, ..Options::default() };
        let model = language_model(folder.path(), options);
        let context = model.encode_prompt(&TEXTS.concat()).unwrap().token_ids;
        let fork = Fork {
            n_tokens: context.len(),
            suffix: vec![],
            streams: (0..20).collect(),
            max_new_tokens: None,
        };
        let request = GenerateRequest { context, forks: vec![fork] };
        model.generate(&[request], &sampling, &mut |_| true).unwrap().remove(0).remove(0)
    };
    let wide = complete(1024, 64);
    for (max_rows, max_sequences) in [(7, 64), (7, 3), (1, 1)] {
        for (a, b) in complete(max_rows, max_sequences).iter().zip(&wide) {
            assert_eq!(a.token_ids, b.token_ids, "{max_rows} rows, {max_sequences} sequences");
            assert_eq!(a.logprobs, b.logprobs, "{max_rows} rows, {max_sequences} sequences");
        }
    }
}

/// Prompts of one task begin alike; each is scored, and continued, with the same bits by itself and among the others.
#[test]
fn what_begins_alike_has_the_same_bits_alone_and_together() {
    for folder in checkpoints() {
        let ids = input_ids(&folder);
        let decoder = open(&folder, Options { max_rows: 5, ..Options::default() });
        let prompts: Vec<Vec<u32>> = (0..4)
            .map(|last| {
                let mut prompt = ids[..10 + usize::from(last == 3)].to_vec();
                prompt.extend([last, last + 1, last, 7]);
                prompt
            })
            .chain([ids[..10].to_vec()])
            .collect();
        let branches = |prompts: &[Vec<u32>]| -> Vec<Branch> {
            let next = || Some(NextRequest { gather: [1, 2, 3].into(), ..NextRequest::default() });
            let roots = prompts.iter().map(|prompt| Branch {
                tokens: prompt.clone(),
                token_scores: TokenScores::Full,
                keep: true,
                next: next(),
                ..Branch::default()
            });
            let forks = (0..prompts.len()).map(|root| Branch {
                parent: Some(Parent { branch: BranchId(root), n_tokens: 9 }),
                tokens: vec![4, 5],
                token_scores: TokenScores::Full,
                next: next(),
                ..Branch::default()
            });
            roots.chain(forks).collect()
        };
        let score = |prompts: &[Vec<u32>]| decoder.session().unwrap().extend(&branches(prompts)).unwrap();
        let together = score(&prompts);
        for (number, prompt) in prompts.iter().enumerate() {
            let alone = score(std::slice::from_ref(prompt));
            for (alone, together) in alone.iter().zip([&together[number], &together[prompts.len() + number]])
            {
                assert_eq!(alone.token_logprobs, together.token_logprobs, "{}", folder.display());
                assert_eq!(alone.token_sharpness, together.token_sharpness, "{}", folder.display());
                assert_eq!(alone.next, together.next, "{}", folder.display());
            }
        }
    }
}

/// A completion that is kept becomes a branch with the keys that it was written with; belief after any of its tokens has the bits that it has
/// where the same text is read.
#[test]
fn what_is_written_has_the_bits_of_what_is_read() {
    for (checkpoint, tokenizer) in WITH_TOKENIZERS {
        let folder = with_tokenizer(checkpoint, tokenizer);
        let options = Options { max_rows: 11, max_sequences: 5, ..Options::default() };
        let model = language_model(folder.path(), options);
        let prompt = model.encode_plain(TEXTS[0]).unwrap();
        let root = Branch { tokens: prompt.clone(), keep: true, ..Branch::default() };
        let stem = Stem {
            from: Parent { branch: BranchId(0), n_tokens: prompt.len() },
            streams: (0..7).collect(),
            max_new_tokens: None,
            keep: true,
        };
        let sampling =
            Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 45, stop: Vec::new() };
        let mut written = model.sampling_session().unwrap().unwrap();
        written.extend(std::slice::from_ref(&root)).unwrap();
        let drawn =
            written.sample(&[stem], &sampling, &mut Counting(&mut |_| true)).unwrap().remove(0).unwrap();
        let mut read = model.session().unwrap();
        read.extend(&[root]).unwrap();
        for Sampled { completion, branch, .. } in drawn {
            let tokens = completion.token_ids;
            let text = Branch {
                parent: Some(Parent { branch: BranchId(0), n_tokens: prompt.len() }),
                tokens: tokens.clone(),
                keep: true,
                ..Branch::default()
            };
            let text = read.extend(&[text]).unwrap()[0].id;
            let asked = |branch: BranchId| -> Vec<Branch> {
                let places = [1, tokens.len() / 2, tokens.len()].into_iter().filter(|&n| n > 0);
                let fork = |n_tokens| Branch {
                    parent: Some(Parent { branch, n_tokens }),
                    tokens: vec![5, 6],
                    token_scores: TokenScores::Full,
                    next: Some(NextRequest { gather: [1, 2, 3].into(), ..NextRequest::default() }),
                    ..Branch::default()
                };
                places.map(fork).collect()
            };
            let found = written.extend(&asked(branch.unwrap())).unwrap();
            for (found, expected) in found.iter().zip(read.extend(&asked(text)).unwrap()) {
                assert_eq!(found.token_logprobs, expected.token_logprobs, "{checkpoint}");
                assert_eq!(found.token_sharpness, expected.token_sharpness, "{checkpoint}");
                assert_eq!(found.next, expected.next, "{checkpoint}");
            }
        }
    }
}
