//! The Python library `huggingface_hub` finds what this crate downloaded, and the other way round.
//!
//! Needs `ENTRACE_PYTHON_HUB`, a Python with `huggingface_hub`.

use super::*;
use std::process::Command;

/// Prints the folder of a snapshot.
const SNAPSHOT: &str = "import huggingface_hub as h; print(h.snapshot_download('org/tiny', allow_patterns=['config.json', 'tokenizer.json', 'model.safetensors']))";

fn python(scene: &Scene, offline: bool) -> Option<String> {
    let Ok(python) = std::env::var("ENTRACE_PYTHON_HUB") else {
        println!("skipped: ENTRACE_PYTHON_HUB names no Python with huggingface_hub");
        return None;
    };
    let output = Command::new(python)
        .args(["-c", SNAPSHOT])
        .env("HF_HUB_CACHE", &scene.client.cache)
        .env("HF_HOME", scene.home.path())
        .env("HF_ENDPOINT", scene.hub.endpoint())
        .env("HF_HUB_OFFLINE", if offline { "1" } else { "0" })
        .env("HF_HUB_DISABLE_XET", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    Some(String::from_utf8(output.stdout).unwrap().trim().to_string())
}

#[test]
fn python_finds_what_was_downloaded_here() {
    let scene = Scene::new();
    let fetched = scene.fetch().unwrap();
    scene.hub.forget();
    if let Some(found) = python(&scene, true) {
        assert_eq!(
            Path::new(&found),
            std::fs::canonicalize(&scene.client.cache)
                .unwrap()
                .join(fetched.path.strip_prefix(&scene.client.cache).unwrap())
        );
        assert!(scene.hub.seen().is_empty());
    }
    // With a network it fetches nothing of it again.
    if python(&scene, false).is_some() {
        assert!(scene.store_requests().is_empty());
        assert!(scene.requests("GET", "resolve").is_empty());
    }
}

#[test]
fn what_python_downloaded_is_found_here() {
    let scene = Scene::new();
    if let Some(found) = python(&scene, false) {
        let fetched = scene.offline().unwrap();
        assert_eq!(std::fs::canonicalize(&fetched.path).unwrap(), Path::new(&found));
        scene.hub.forget();
        assert_eq!(scene.fetch().unwrap(), fetched);
        assert_eq!(scene.hub.seen().len(), 1);
    }
}
