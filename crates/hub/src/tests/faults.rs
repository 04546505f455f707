//! Networks and servers that fail.

use super::*;
use crate::scripted::Fault;
use crate::{Reason, Refusal};

/// The SHA-256 of the weights begins their path in the store, so any request there is one for them.
const IN_STORE: &str = "signature=s";

fn refusal(scene: &Scene) -> Refusal {
    match scene.fetch().unwrap_err() {
        Error::Refused(refusal) => *refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_wanted_comes_and_nothing_else() {
    let scene = Scene::new();
    let heard = Heard::default();
    let fetched = scene.client.model(&Name::parse(REPO).unwrap(), &heard).unwrap();
    assert_eq!(fetched.commit, COMMIT);
    assert_eq!(fetched.path, scene.store().join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read(fetched.path.join(WEIGHTS)).unwrap(), weights());
    let files = ["config.json", WEIGHTS, "tokenizer.json"].map(|file| format!("{COMMIT}/{file}"));
    assert_eq!(scene.snapshot_files(), files);
    assert_eq!(*heard.bytes.lock().unwrap() as u64, *heard.announced.lock().unwrap());
    assert!(*heard.announced.lock().unwrap() > 300_000);
}

#[test]
fn the_token_goes_to_the_endpoint_alone() {
    let scene = Scene::new();
    scene.hub.fault("GET", IN_STORE, 1, Fault::Cut(1000));
    scene.fetch().unwrap();
    assert!(scene.hub.seen().iter().all(|seen| seen.by_store == seen.authorization.is_none()));
    assert_eq!(scene.store_requests().len(), 2);
}

#[test]
fn a_redirect_to_the_same_host_keeps_the_token_and_one_elsewhere_loses_it() {
    let scene = Scene::new();
    let moved = format!("/{REPO}/resolve/{COMMIT}/config.json?moved=1");
    scene.hub.fault(
        "",
        "resolve/0123456789abcdef0123456789abcdef01234567/config.json",
        1,
        Fault::Status(307, vec![("Location", moved)]),
    );
    scene.fetch().unwrap();
    let moved = scene.requests("HEAD", "moved=1");
    assert_eq!(moved[0].authorization.as_deref(), Some("Bearer hf_secret"));

    let elsewhere = Scene::new();
    let target = format!("{}/listing", elsewhere.hub.store());
    elsewhere.hub.fault("GET", "/api/", 1, Fault::Status(302, vec![("Location", target)]));
    assert!(elsewhere.fetch().is_err());
    assert!(elsewhere.store_requests().iter().all(|seen| seen.authorization.is_none()));
}

#[test]
fn a_redirect_loop_has_an_end() {
    for part in ["/api/", "config.json", IN_STORE] {
        let scene = Scene::new();
        let target = format!("{}/loop?{part}", scene.hub.endpoint());
        scene.hub.fault("", part, usize::MAX, Fault::Status(302, vec![("Location", target.clone())]));
        let message = scene.fails();
        says(&message, &["redirected more than 10 times", &target]);
        assert!(scene.snapshot_files().is_empty());
        assert!(!scene.left().iter().any(|path| path.contains("/refs/")));
    }
    let nowhere = Scene::new();
    nowhere.hub.fault(
        "",
        "config.json",
        1,
        Fault::Status(302, vec![("Location", "file:///etc/passwd".into())]),
    );
    says(&nowhere.fails(), &["config.json", "file:///etc/passwd", "no address"]);
}

#[test]
fn a_cut_transfer_is_resumed_where_it_was_cut() {
    let scene = Scene::new();
    scene.hub.fault("GET", IN_STORE, 1, Fault::Cut(100_000));
    scene.hub.fault("GET", IN_STORE, 1, Fault::Cut(50_000));
    let fetched = scene.fetch().unwrap();
    assert_eq!(std::fs::read(fetched.path.join(WEIGHTS)).unwrap(), weights());
    let ranges: Vec<_> = scene.store_requests().into_iter().map(|seen| seen.range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".into()), Some("bytes=150000-".into())]);
}

#[test]
fn progress_starts_the_count_of_attempts_anew() {
    let scene = Scene::new();
    scene.hub.fault("GET", IN_STORE, 8, Fault::Cut(30_000));
    scene.fetch().unwrap();
    assert_eq!(scene.store_requests().len(), 9);
    let none = Scene::new();
    none.hub.fault("GET", IN_STORE, usize::MAX, Fault::Cut(0));
    says(&none.fails(), &["the connection was cut", "after 3 attempt(s)", "same command again"]);
    assert_eq!(none.store_requests().len(), 3);
}

#[test]
fn a_later_command_resumes_as_well() {
    let scene = Scene::new();
    scene.hub.fault("GET", IN_STORE, 1, Fault::Cut(120_000));
    scene.hub.fault("GET", IN_STORE, 3, Fault::Status(503, Vec::new()));
    let message = scene.fails();
    says(&message, &["503 Service Unavailable"]);
    assert!(!message.contains("gated"), "{message}");
    let partial = scene.left().into_iter().find(|path| path.ends_with(".incomplete")).unwrap();
    assert_eq!(std::fs::metadata(scene.home.path().join(partial)).unwrap().len(), 120_000);
    assert!(scene.snapshot_files().is_empty());
    scene.hub.forget();
    scene.fetch().unwrap();
    assert_eq!(scene.store_requests()[0].range.as_deref(), Some("bytes=120000-"));
    assert!(!scene.left().iter().any(|path| path.ends_with(".incomplete")));
}

#[test]
fn a_server_that_does_not_resume_sends_all() {
    let scene = Scene::new();
    scene.hub.fault("GET", IN_STORE, 1, Fault::Cut(100_000));
    scene.hub.fault("GET", IN_STORE, 1, Fault::NoRanges(usize::MAX));
    let heard = Heard::default();
    let fetched = scene.client.model(&Name::parse(REPO).unwrap(), &heard).unwrap();
    assert_eq!(std::fs::read(fetched.path.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(*heard.bytes.lock().unwrap() as u64, *heard.announced.lock().unwrap());

    let refused = Scene::new();
    refused.hub.fault("GET", IN_STORE, 1, Fault::Cut(100_000));
    refused.hub.fault("GET", IN_STORE, 1, Fault::Status(416, Vec::new()));
    refused.fetch().unwrap();
    assert_eq!(refused.store_requests().last().unwrap().range, None);

    // One that always sends all and never to its end makes no progress.
    let hopeless = Scene::new();
    hopeless.hub.fault("GET", IN_STORE, usize::MAX, Fault::NoRanges(1000));
    assert!(hopeless.fetch().is_err());
    assert_eq!(hopeless.store_requests().len(), 1 + 3 - 1);
}

#[test]
fn a_stalled_transfer_is_given_up_and_resumed() {
    let scene = Scene::new();
    scene.hub.fault("GET", IN_STORE, 1, Fault::Stall(70_000));
    let heard = Heard::default();
    scene.client.model(&Name::parse(REPO).unwrap(), &heard).unwrap();
    assert_eq!(scene.store_requests()[1].range.as_deref(), Some("bytes=70000-"));
    says(&heard.notes.lock().unwrap().join("\n"), &["fell silent for 1 s", "trying again"]);

    let dead = Scene::new();
    dead.hub.fault("", "/api/", usize::MAX, Fault::Stall(0));
    says(&dead.fails(), &["/api/models/org/tiny", "fell silent", "3 attempt(s)"]);
    assert!(dead.left().is_empty(), "{:?}", dead.left());
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let scene = Scene::new();
    scene.hub.fault("GET", "/api/", 1, Fault::Status(429, vec![("Retry-After", "1".into())]));
    for status in [500, 502, 503] {
        scene.hub.fault("", "config.json", 1, Fault::Status(status, Vec::new()));
        scene.hub.fault("GET", IN_STORE, 1, Fault::Status(status, Vec::new()));
        if status == 502 {
            break;
        }
    }
    let begun = std::time::Instant::now();
    scene.fetch().unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let limited = Scene::new();
    let limit = Fault::Status(429, vec![("RateLimit", "\"api\";r=0;t=3600".into())]);
    limited.hub.fault("GET", "/api/", usize::MAX, limit);
    says(&limited.fails(), &["429 Too Many Requests", "1 attempt(s)"]);
    assert_eq!(limited.hub.seen().len(), 1);
}

#[test]
fn a_damaged_file_is_fetched_once_more_and_never_kept() {
    for (part, file) in [(IN_STORE, WEIGHTS), ("config.json", "config.json")] {
        let scene = Scene::new();
        scene.hub.fault("GET", part, 1, Fault::Flip);
        let fetched = scene.fetch().unwrap();
        assert_eq!(std::fs::read(fetched.path.join(WEIGHTS)).unwrap(), weights());

        let scene = Scene::new();
        scene.hub.fault("GET", part, 2, Fault::Flip);
        says(&scene.fails(), &[file, REPO, "damaged", "hash", "nothing of it was kept"]);
        assert!(scene.snapshot_files().is_empty());
        let whole = scene.left().into_iter().filter(|path| path.contains("/blobs/"));
        for path in whole {
            let bytes = std::fs::read(scene.home.path().join(&path)).unwrap();
            assert!(path.ends_with(".incomplete") || bytes.len() < 100 || bytes == weights(), "{path}");
        }
    }
}

#[test]
fn a_file_of_another_length_is_not_taken() {
    let scene = Scene::new();
    scene.hub.fault("HEAD", WEIGHTS, 2, Fault::Header("X-Linked-Size", "299999".into()));
    assert!(scene.fetch().is_err());
    assert!(scene.snapshot_files().is_empty());
}

#[test]
fn refusals_are_told_apart_in_the_hubs_words() {
    let header = |code: &str, said: &str| {
        vec![("X-Error-Code", code.to_string()), ("X-Error-Message", said.to_string())]
    };
    for (status, headers, reason, fragments) in [
        (
            401,
            header("RepoNotFound", "Repository not found"),
            Reason::NoRepository,
            vec![REPO, "Repository not found"],
        ),
        (404, header("RepoNotFound", "Repository not found"), Reason::NoRepository, vec!["does not show it"]),
        (
            403,
            header("GatedRepo", "Access to model org/tiny is restricted"),
            Reason::Gated,
            vec!["gated", "is restricted"],
        ),
        (
            401,
            header("GatedRepo", "You must be authenticated"),
            Reason::Gated,
            vec!["/org/tiny with the account"],
        ),
        (
            404,
            header("RevisionNotFound", "Invalid rev id: main"),
            Reason::NoRevision,
            vec!["no revision \"main\"", "Invalid rev id"],
        ),
        (
            401,
            vec![("X-Error-Message", "Invalid credentials in Authorization header".into())],
            Reason::BadToken,
            vec!["does not accept the token"],
        ),
        (
            403,
            vec![("X-Error-Message", "Forbidden: pass a token with read access".into())],
            Reason::Forbidden,
            vec!["forbids", "read access"],
        ),
        (451, Vec::new(), Reason::Other, vec!["451"]),
    ] {
        let scene = Scene::new();
        scene.hub.fault("GET", "/api/", usize::MAX, Fault::Status(status, headers));
        let refusal = refusal(&scene);
        assert_eq!(refusal.reason, reason);
        says(&refusal.to_string(), &fragments);
        assert!(!refusal.to_string().contains(TOKEN));
        assert_eq!(scene.hub.seen().len(), 1, "{reason:?} is no failure that passes");
        assert!(scene.left().is_empty());
    }
}

#[test]
fn a_missing_repository_revision_and_file_are_three_things() {
    let mut scene = Scene::new();
    scene.client.token = None;
    let message = |name: &str| scene.fetch_named(name).unwrap_err().to_string();
    says(&message("org/other"), &["has no model org/other", "HF_TOKEN", "nor is it a path"]);
    says(&message("org/tiny@v9"), &["org/tiny has no revision \"v9\"", "Invalid rev id: v9"]);
    says(&message("org/tiny/x.gguf"), &["lacks what is needed: x.gguf", "no GGUF file"]);
    scene.hub.fault("HEAD", WEIGHTS, 1, Fault::Status(404, vec![("X-Error-Code", "EntryNotFound".into())]));
    says(&message(REPO), &["has no such file", WEIGHTS]);
    scene.hub.fault("GET", IN_STORE, 1, Fault::Status(403, Vec::new()));
    says(&message(REPO), &[&scene.hub.store(), "403 Forbidden"]);
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let mut scene = Scene::new();
    scene.client.endpoint = "http://127.0.0.1:9".into();
    says(&scene.fails(), &["http://127.0.0.1:9/api/models/org/tiny", "refused", "3 attempt(s)"]);
}

#[test]
fn a_full_disk_is_seen_before_the_first_byte() {
    let mut scene = Scene::new();
    scene.client.free_space = |_| Ok(100_000);
    let error = scene.fetch().unwrap_err();
    assert!(error.is_of_the_disk());
    says(&error.to_string(), &["1 more MB are needed for org/tiny", "HF_HUB_CACHE", "0 MB free"]);
    assert!(scene.store_requests().is_empty());
    assert!(scene.left().is_empty(), "{:?}", scene.left());
    // What is there already counts.
    scene.client.free_space = |_| Ok(u64::MAX);
    scene.hub.fault("GET", IN_STORE, 1, Fault::Cut(250_000));
    scene.hub.fault("GET", IN_STORE, 3, Fault::Cut(0));
    assert!(scene.fetch().is_err());
    scene.client.free_space = |_| Ok(60_000);
    scene.fetch().unwrap();
}

#[test]
fn a_mirror_without_head_serves_as_well() {
    let scene = Scene::new();
    scene.hub.fault("HEAD", "resolve", usize::MAX, Fault::Status(405, Vec::new()));
    scene.fetch().unwrap();
    assert_eq!(std::fs::read(scene.store().join("snapshots").join(COMMIT).join(WEIGHTS)).unwrap(), weights());
}
