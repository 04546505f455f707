//! The cache: its layout, two at once, without a network.

use super::*;
use crate::scripted::Fault;
use std::sync::Arc;

#[test]
fn the_layout_is_pythons() {
    let scene = Scene::new();
    scene.fetch().unwrap();
    let store = scene.store();
    assert_eq!(std::fs::read_to_string(store.join("refs/main")).unwrap(), COMMIT);
    let link = std::fs::read_link(store.join("snapshots").join(COMMIT).join(WEIGHTS)).unwrap();
    let (folder, name) = (link.parent().unwrap(), link.file_name().unwrap().to_str().unwrap());
    assert_eq!((folder.to_str().unwrap(), name.len()), ("../../blobs", 64));
    let config = std::fs::read_link(store.join("snapshots").join(COMMIT).join("config.json")).unwrap();
    assert_eq!(config.file_name().unwrap().len(), 40);
    assert!(scene.client.cache.join(".locks/models--org--tiny").join(format!("{name}.lock")).is_file());
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let scene = Scene::new();
    scene.fetch().unwrap();
    scene.hub.forget();
    scene.fetch().unwrap();
    assert_eq!(scene.hub.seen().len(), 1);

    // A new commit brings what changed.
    let newer = "f".repeat(40);
    scene.put_model(&newer, b"other weights");
    scene.hub.forget();
    assert_eq!(scene.fetch().unwrap().commit, newer);
    assert_eq!(scene.requests("GET", "resolve").len(), 1);
    assert_eq!(scene.fetch_named(&format!("{REPO}@{COMMIT}")).unwrap().commit, COMMIT);

    // A blob that was removed or cut is fetched again.
    let link = scene.store().join("snapshots").join(&newer).join("config.json");
    std::fs::remove_file(std::fs::canonicalize(&link).unwrap()).unwrap();
    let fetched = scene.fetch().unwrap();
    assert!(std::fs::read_to_string(fetched.path.join("config.json")).unwrap().contains("llama"));
}

#[test]
fn two_at_once_fetch_once() {
    let scene = Arc::new(Scene::new());
    scene.hub.fault("GET", "signature=s", 1, Fault::Stall(1000));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let scene = scene.clone();
            std::thread::spawn(move || scene.fetch().unwrap())
        })
        .collect();
    let fetched: Vec<Fetched> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(fetched.iter().all(|one| *one == fetched[0]));
    assert_eq!(std::fs::read(fetched[0].path.join(WEIGHTS)).unwrap(), weights());
    let ranges: Vec<_> = scene.store_requests().into_iter().map(|seen| seen.range).collect();
    assert_eq!(ranges, [None, Some("bytes=1000-".to_string())]);
    assert!(!scene.left().iter().any(|path| path.ends_with(".incomplete")));
}

#[test]
fn a_lock_that_another_holds_is_waited_for() {
    let scene = Arc::new(Scene::new());
    scene.fetch().unwrap();
    let locks = scene.client.cache.join(".locks/models--org--tiny");
    let weights = scene.store().join("snapshots").join(COMMIT).join(WEIGHTS);
    let blob = std::fs::canonicalize(&weights).unwrap();
    let name = blob.file_name().unwrap().to_str().unwrap().to_string();
    std::fs::remove_file(&weights).unwrap();
    std::fs::rename(&blob, blob.with_extension("aside")).unwrap();
    let lock = std::fs::File::create(locks.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let heard = Arc::new(Heard::default());
    let waiting = {
        let (scene, heard) = (scene.clone(), heard.clone());
        std::thread::spawn(move || scene.client.model(&Name::parse(REPO).unwrap(), &*heard).unwrap())
    };
    while heard.notes.lock().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    says(&heard.notes.lock().unwrap()[0], &["another process", WEIGHTS]);
    scene.hub.forget();
    std::fs::rename(blob.with_extension("aside"), &blob).unwrap();
    drop(lock);
    waiting.join().unwrap();
    assert!(scene.store_requests().is_empty(), "the other process had fetched it");
}

#[test]
fn without_a_network_a_snapshot_is_whole_or_not_at_all() {
    let scene = Scene::new();
    says(&scene.offline().unwrap_err().to_string(), &["HF_HUB_OFFLINE", "nothing of that revision"]);
    let fetched = scene.fetch().unwrap();
    scene.hub.forget();
    assert_eq!(scene.offline().unwrap(), fetched);
    assert!(scene.hub.seen().is_empty());
    for file in ["config.json", WEIGHTS, "tokenizer.json"] {
        let path = fetched.path.join(file);
        let blob = std::fs::canonicalize(&path).unwrap();
        let aside = blob.with_extension("aside");
        std::fs::rename(&blob, &aside).unwrap();
        let message = scene.offline().unwrap_err().to_string();
        let named = if file == WEIGHTS { "safetensors" } else { file };
        says(&message, &[named, COMMIT, "HF_HUB_OFFLINE"]);
        std::fs::rename(&aside, &blob).unwrap();
    }
    assert_eq!(scene.offline().unwrap(), fetched);
}

#[test]
fn without_a_network_every_shard_must_be_there() {
    let scene = Scene::new();
    let index = br#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    let files: [(&str, &[u8], Place); 5] = [
        ("config.json", b"{}", Place::Hub),
        ("model.safetensors.index.json", index, Place::Hub),
        ("model-00001-of-00002.safetensors", b"one", Place::Store),
        ("model-00002-of-00002.safetensors", b"two", Place::Store),
        ("consolidated.safetensors", b"onetwo", Place::Store),
    ];
    scene.hub.put(Kind::Model, REPO, COMMIT, &files);
    let fetched = scene.fetch().unwrap();
    assert_eq!(scene.snapshot_files().len(), 4);
    // The repository has no vocabulary, and that is remembered.
    assert_eq!(scene.offline().unwrap(), fetched);
    std::fs::remove_file(fetched.path.join("model-00002-of-00002.safetensors")).unwrap();
    says(&scene.offline().unwrap_err().to_string(), &["model-00002-of-00002.safetensors"]);
    scene.hub.forget();
    scene.fetch().unwrap();
    assert!(scene.store_requests().is_empty(), "its blob is still there");
    // A listing that the Python library left names what it knows of.
    let trees = scene.store().join("trees");
    std::fs::create_dir(&trees).unwrap();
    let tree = r#"{"format_version": 1, "files": {"config.json": {}, "model.safetensors": {}, "tokenizer.json": {}}}"#;
    std::fs::write(trees.join(format!("{COMMIT}.json")), tree).unwrap();
    says(&scene.offline().unwrap_err().to_string(), &["model.safetensors, tokenizer.json"]);
}

#[test]
fn a_hub_that_is_down_leaves_what_is_cached() {
    let scene = Scene::new();
    let fetched = scene.fetch().unwrap();
    scene.hub.fault("GET", "/api/", usize::MAX, Fault::Status(503, Vec::new()));
    let heard = Heard::default();
    assert_eq!(scene.client.model(&Name::parse(REPO).unwrap(), &heard).unwrap(), fetched);
    says(&heard.notes.lock().unwrap().join("\n"), &["503", "what the cache has", COMMIT]);
    // An update that breaks off leaves the older snapshot to be found.
    scene.hub.mend();
    scene.put_model(&"e".repeat(40), b"newer");
    scene.hub.fault("GET", "signature=s", usize::MAX, Fault::Status(503, Vec::new()));
    assert!(scene.fetch().is_err());
    assert_eq!(scene.offline().unwrap(), fetched);
}

#[test]
fn a_gguf_file_and_the_parts_of_a_data_set_come_alone() {
    let scene = Scene::new();
    let files: [(&str, &[u8], Place); 4] = [
        ("README.md", b"#", Place::Hub),
        ("tiny-Q4_K_M.gguf", b"four", Place::Store),
        ("tiny-Q8_0-00001-of-00002.gguf", b"eight", Place::Store),
        ("tiny-Q8_0-00002-of-00002.gguf", b"more", Place::Store),
    ];
    scene.hub.put(Kind::Model, "org/tiny-GGUF", COMMIT, &files);
    let fetched = scene.fetch_named("org/tiny-GGUF:q4_k_m").unwrap();
    assert!(fetched.path.ends_with(format!("{COMMIT}/tiny-Q4_K_M.gguf")));
    assert_eq!(scene.snapshot_files().len(), 1);
    let split = scene.fetch_named("org/tiny-GGUF/tiny-Q8_0-00001-of-00002.gguf").unwrap();
    assert!(split.path.ends_with("tiny-Q8_0-00001-of-00002.gguf"));
    assert_eq!(scene.snapshot_files().len(), 3);
    says(&scene.fetch_named("org/tiny-GGUF").unwrap_err().to_string(), &["org/name/tiny-Q4_K_M.gguf"]);
    let offline = Hub { offline: true, ..scene.client.clone() };
    let name = Name::parse("org/tiny-GGUF:Q4_K_M").unwrap();
    assert_eq!(offline.model(&name, &Silent).unwrap(), fetched);

    let files: [(&str, &[u8], Place); 3] = [
        ("main/test-00000-of-00001.parquet", b"test", Place::Store),
        ("main/train-00000-of-00001.parquet", b"train", Place::Store),
        ("socratic/test-00000-of-00001.parquet", b"other", Place::Store),
    ];
    scene.hub.put(Kind::Dataset, "org/sums", COMMIT, &files);
    let holds = |path: &str| path.starts_with("main/test");
    let part = [crate::Part { what: "the split test".into(), holds: &holds }];
    let sums = Name::parse("org/sums").unwrap();
    let fetched = scene.client.dataset(&sums, &part, &Silent).unwrap();
    assert_eq!(std::fs::read(fetched.path.join("main/test-00000-of-00001.parquet")).unwrap(), b"test");
    let link = std::fs::read_link(fetched.path.join("main/test-00000-of-00001.parquet")).unwrap();
    assert!(link.starts_with("../../../blobs"));
    assert_eq!(offline.dataset(&sums, &part, &Silent).unwrap(), fetched);
    let holds = |path: &str| path.starts_with("main/train");
    let part = [crate::Part { what: "the split train".into(), holds: &holds }];
    says(&offline.dataset(&sums, &part, &Silent).unwrap_err().to_string(), &["the split train"]);
}
