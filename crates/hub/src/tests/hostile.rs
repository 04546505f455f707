//! Servers that lie: nothing that they send leads out of the cache.

use super::*;
use crate::scripted::Fault;

const OUTSIDE: [&str; 5] =
    ["\"../../../../outside\"", "\"/tmp/entrace-outside\"", "\"..\"", "\"a/b\"", "\"\""];

fn is_confined(scene: &Scene) {
    for path in scene.left() {
        assert!(path.starts_with("hub/models--org--tiny/"), "{path}");
    }
    assert!(!Path::new("/tmp/entrace-outside").exists());
}

#[test]
fn an_etag_is_no_path() {
    for etag in OUTSIDE {
        for (file, header) in [("config.json", "ETag"), (WEIGHTS, "X-Linked-ETag")] {
            let scene = Scene::new();
            scene.hub.fault("", file, usize::MAX, Fault::Header(header, etag.into()));
            says(&scene.fails(), &["ETag", "cannot be the name of a file", file]);
            is_confined(&scene);
            assert!(scene.snapshot_files().is_empty());
        }
    }
}

#[test]
fn a_commit_is_no_path() {
    for commit in ["../../../outside", "/tmp/entrace-outside", "..", ""] {
        let scene = Scene::new();
        scene.put_model(commit, &weights());
        says(&scene.fails(), &["which is no commit"]);
        is_confined(&scene);
        let scene = Scene::new();
        scene.hub.fault("", WEIGHTS, usize::MAX, Fault::Header("X-Repo-Commit", commit.into()));
        says(&scene.fails(), &["is of the commit", COMMIT]);
        is_confined(&scene);
    }
}

#[test]
fn a_listing_leads_nowhere_else() {
    let scene = Scene::new();
    let files: [(&str, &[u8], Place); 4] = [
        ("config.json", b"{}", Place::Hub),
        ("../../../../outside.safetensors", b"x", Place::Hub),
        ("/tmp/entrace-outside", b"x", Place::Hub),
        (
            "model.safetensors.index.json",
            br#"{"weight_map": {"a": "../../../../outside.safetensors"}}"#,
            Place::Hub,
        ),
    ];
    scene.hub.put(Kind::Model, REPO, COMMIT, &files);
    says(&scene.fails(), &["../../../../outside.safetensors, which model.safetensors.index.json names"]);
    is_confined(&scene);
}

#[test]
fn an_answer_that_is_no_listing_is_said_to_be_none() {
    let scene = Scene::new();
    scene.client.model(&Name::parse("org/tiny").unwrap(), &Silent).unwrap();
    scene.hub.fault("GET", "/api/", 1, Fault::Flip);
    says(&scene.fails(), &["not JSON", "HF_ENDPOINT"]);
}
