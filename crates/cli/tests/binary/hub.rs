//! Models and benchmarks from a Hub on loopback: the commands of the README, and what a person reads when they fail.

use crate::support::{Scratch, command, rows, said};
use entrace_hub::Kind;
use entrace_hub::scripted::{Fault, Place, ScriptedHub};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKENS: [&str; 4] = ["tokens", "--token-ids", "3,4,5", "--model"];

/// The program with a Hub and an empty home, the token being a stored one.
fn at(hub: &ScriptedHub, scratch: &Scratch, args: &[&str]) -> Command {
    std::fs::create_dir_all(scratch.path("hf")).unwrap();
    std::fs::write(scratch.path("hf/token"), "hf_stored\n").unwrap();
    let mut command = command(args);
    for variable in ["HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH"] {
        command.env_remove(variable);
    }
    command
        .env("HF_ENDPOINT", hub.endpoint())
        .env("HF_HOME", scratch.path("hf"))
        .env("HF_HUB_OFFLINE", "0")
        .env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    command
}

fn expect(code: i32, mut command: Command, fragments: &[&str]) -> String {
    let output: Output = command.output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?} said:\n{said}");
    for fragment in fragments {
        assert!(said.contains(fragment), "{command:?} does not say {fragment:?}:\n{said}");
    }
    said
}

/// Puts every file of a folder into a repository, the weights into the store.
fn put(hub: &ScriptedHub, id: &str, folder: &Path) {
    let files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    let place = |name: &str| {
        let is_large = name.ends_with(".safetensors") || name.ends_with(".gguf");
        if is_large { Place::Store } else { Place::Hub }
    };
    let files: Vec<(&str, &[u8], Place)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice(), place(name))).collect();
    hub.put(Kind::Model, id, COMMIT, &files);
}

/// A golden checkpoint without a vocabulary.
fn put_golden(hub: &ScriptedHub, id: &str, name: &str) {
    put(hub, id, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name));
}

/// GSM8K's columns with two questions.
fn gsm8k() -> Vec<u8> {
    let schema = "message schema { required binary question (STRING); required binary answer (STRING); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for texts in
        [["Mia has 3 pens and buys 4. How many?", "What is 9 minus 8?"], ["3+4=7\n#### 7", "9-8=1\n#### 1"]]
    {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&texts.map(ByteArray::from), None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn a_model_and_a_benchmark_come_from_the_hub() {
    let (hub, scratch) = (ScriptedHub::start().unwrap(), Scratch::new());
    scratch.model();
    put(&hub, "org/tiny", &scratch.path("model"));
    let test = gsm8k();
    let files: [(&str, &[u8], Place); 2] = [
        ("main/test-00000-of-00001.parquet", &test, Place::Store),
        ("main/train-00000-of-00001.parquet", b"not wanted", Place::Store),
    ];
    hub.put(Kind::Dataset, "openai/gsm8k", COMMIT, &files);
    hub.fault("GET", "signature", 1, Fault::Stall(100));
    let out = scratch.arg("out");
    let run = ["run", "--model", "org/tiny", "--tasks", "gsm8k", "--limit", "20", "--max-nodes", "4"];
    let run = [&run[..], &["--max-new-tokens", "8", "--output-path", &out]].concat();
    expect(
        0,
        at(&hub, &scratch, &run),
        &["downloading org/tiny", "fell silent for 1 s", "downloading openai/gsm8k"],
    );
    assert_eq!(rows(&out).traces.len(), 2);
    let manifest = std::fs::read_to_string(scratch.path("out/manifest.json")).unwrap();
    assert!(manifest.contains(COMMIT));
    assert!(
        hub.seen()
            .iter()
            .all(|seen| seen.by_store || seen.authorization.as_deref() == Some("Bearer hf_stored"))
    );
    assert!(hub.seen().iter().all(|seen| !seen.by_store || seen.authorization.is_none()));

    hub.forget();
    let quiet = [&run[..], &["--overwrite", "--quiet"]].concat();
    let mut offline = at(&hub, &scratch, &quiet);
    offline.env("HF_HUB_OFFLINE", "1");
    assert!(!expect(0, offline, &[]).contains("downloading"));
    assert!(hub.seen().is_empty());
}

#[test]
fn a_gguf_file_is_opened_by_its_quantisation() {
    let (hub, scratch) = (ScriptedHub::start().unwrap(), Scratch::new());
    let model = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/gguf/out/qwen2-q8_0/model.gguf"),
    );
    let model = model.unwrap();
    let files: [(&str, &[u8], Place); 2] =
        [("tiny-Q8_0.gguf", &model, Place::Store), ("tiny-Q4_0.gguf", b"not wanted", Place::Store)];
    hub.put(Kind::Model, "org/tiny-GGUF", COMMIT, &files);
    for name in ["org/tiny-GGUF:Q8_0", "org/tiny-GGUF/tiny-Q8_0.gguf"] {
        expect(0, at(&hub, &scratch, &[&TOKENS[..], &[name]].concat()), &["logprob"]);
    }
    expect(
        2,
        at(&hub, &scratch, &[&TOKENS[..], &["org/tiny-GGUF:Q5_0"]].concat()),
        &["Q5_0", "tiny-Q4_0.gguf, tiny-Q8_0.gguf"],
    );
    let train = ["train", "sft", "--model", "org/tiny-GGUF:Q8_0", "--data", "arith"];
    expect(2, at(&hub, &scratch, &train), &["training needs", "GGUF"]);
}

#[test]
fn what_cannot_be_fetched_is_said_once() {
    let (hub, scratch) = (ScriptedHub::start().unwrap(), Scratch::new());
    put_golden(&hub, "org/tiny", "models/out/gemma2");
    let fails = |code: i32, model: &str, fragments: &[&str]| {
        hub.forget();
        let said = expect(code, at(&hub, &scratch, &[&TOKENS[..], &[model]].concat()), fragments);
        assert!(!said.contains("hf_stored"), "{said}");
    };
    fails(2, "org/other", &["has no model org/other", "Repository not found", "nor is it a path"]);
    assert_eq!(hub.seen().len(), 1);
    fails(2, "org/tiny@v9", &["no revision \"v9\""]);
    fails(2, "folder/model.gguf", &["no file or folder \"folder/model.gguf\""]);
    assert!(hub.seen().is_empty());
    let gated =
        vec![("X-Error-Code", "GatedRepo".to_string()), ("X-Error-Message", "Access is restricted".into())];
    hub.fault("GET", "/api/", 1, Fault::Status(403, gated));
    fails(2, "org/tiny", &["gated", "Access is restricted"]);
    hub.fault("", "safetensors", 99, Fault::Header("X-Linked-ETag", "\"../../../../outside\"".into()));
    fails(2, "org/tiny", &["ETag", "cannot be the name of a file"]);
    assert!(!scratch.path("outside").exists());
    hub.mend();
    let cache = scratch.file("in-the-way", "x");
    let mut full = at(&hub, &scratch, &[&TOKENS[..], &["org/tiny"]].concat());
    full.env("HF_HUB_CACHE", &cache);
    expect(3, full, &["in-the-way"]);
    let mut strange = at(&hub, &scratch, &[&TOKENS[..], &["org/tiny"]].concat());
    strange.env("HF_ENDPOINT", "huggingface.co");
    expect(2, strange, &["HF_ENDPOINT=\"huggingface.co\""]);
}

#[test]
fn two_processes_fetch_a_model_once() {
    let (hub, scratch) = (ScriptedHub::start().unwrap(), Scratch::new());
    put_golden(&hub, "org/tiny", "models/out/gemma2");
    // Long enough for the second to meet the first at work.
    hub.fault("GET", "signature", 1, Fault::Stall(1000));
    let start = || {
        let mut command = at(&hub, &scratch, &[&TOKENS[..], &["org/tiny"]].concat());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    for child in [start(), start()] {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let ranges: Vec<_> = hub.seen().into_iter().filter(|seen| seen.by_store).map(|seen| seen.range).collect();
    assert_eq!(ranges, [None, Some("bytes=1000-".to_string())]);
}
