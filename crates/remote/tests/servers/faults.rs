//! Every fault that clients have met: no number is wrong, nothing is lost that can be had, and what happened is said.

use super::*;
use entrace_backend::sampling::Counting;
use entrace_backend::{BranchScore, Fork, Generate, GenerateRequest, Sampling};
use entrace_remote::scripted::Mischief;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

type Make = fn() -> Mischief;

const TOKENS: [TokenId; 3] = [40, 41, 42];
const PREFIXES: [usize; 3] = [10, 20, 33];

fn status(status: u16, headers: &[(&str, &str)]) -> Mischief {
    let headers = headers.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect();
    Mischief::Status(status, headers, r#"{"error": {"message": "scripted failure"}}"#.into())
}

/// Something that goes wrong the first `n` times and never again.
fn first(
    n: usize,
    what: impl Fn() -> Mischief + Send + 'static,
) -> impl FnMut(&entrace_remote::scripted::Seen) -> Option<Mischief> + Send {
    let n_seen = AtomicUsize::new(0);
    move |seen| {
        let counts = seen.path.starts_with("/v1/completions")
            || seen.path == "/generate"
            || seen.path == "/completion";
        (counts && n_seen.fetch_add(1, Ordering::SeqCst) < n).then(&what)
    }
}

fn always(
    what: impl Fn() -> Mischief + Send + 'static,
) -> impl FnMut(&entrace_remote::scripted::Seen) -> Option<Mischief> + Send {
    first(usize::MAX, what)
}

/// Changes every number of every list of vLLM's answer.
fn numbers(change: fn(f64) -> Value) -> Mischief {
    Mischief::Change(Box::new(move |value| {
        for choice in value["choices"].as_array_mut().into_iter().flatten() {
            for list in choice["logprobs"]["top_logprobs"].as_array_mut().into_iter().flatten() {
                for number in list.as_object_mut().into_iter().flat_map(|list| list.values_mut()) {
                    *number = change(number.as_f64().unwrap());
                }
            }
        }
    }))
}

#[test]
fn what_passes_is_asked_again_and_the_numbers_are_right() {
    let model = model();
    let truth = at_prefixes(&*model, &PREFIXES, &chosen(&TOKENS)).unwrap();
    for speaks in SCORING {
        let (server, remote) = served(&model, Behaviour::new(speaks));
        let faults: Vec<(&str, Make)> = vec![
            ("reset", || Mischief::Reset),
            ("500", || status(500, &[])),
            ("502", || status(502, &[])),
            ("429", || status(429, &[])),
            ("429 with Retry-After", || status(429, &[("Retry-After", "0.3")])),
            ("503", || status(503, &[])),
            ("cut", || Mischief::Cut(60)),
            ("truncated", || Mischief::Truncated(80)),
            ("empty", || Mischief::Body(String::new())),
            ("no JSON", || Mischief::Body("<html>Bad Gateway</html>".into())),
            ("other JSON", || Mischief::Body(r#"{"ok": true}"#.into())),
            ("NaN", || Mischief::Text(Box::new(|text| text.replacen("-", "NaN, -", 1)))),
        ];
        for (name, fault) in faults {
            server.misbehave(first(1, fault));
            let told = at_prefixes(&remote, &PREFIXES, &chosen(&TOKENS))
                .unwrap_or_else(|e| panic!("{speaks:?} {name}: {e}"));
            assert!(difference(&told, &truth) < 1e-6, "{speaks:?} {name}");
        }
    }
}

#[test]
fn wrong_numbers_are_never_taken() {
    let model = model();
    let truth = at_prefixes(&*model, &PREFIXES, &chosen(&TOKENS)).unwrap();
    let cases: Vec<(&str, &str, Make)> = vec![
        ("positive", "above 0", || numbers(|x| json!(x + 9.0))),
        ("too much mass", "sum to", || numbers(|_| json!(-0.3))),
        ("NaN", "NaN", || {
            Mischief::Text(Box::new(|text| text.replace(":-", ":NaN").replace(": -", ": NaN")))
        }),
        ("an entry less", "did not come", || {
            Mischief::Change(Box::new(|value| {
                let last = value["choices"].as_array_mut().unwrap().last_mut().unwrap();
                let lists = last["logprobs"]["top_logprobs"].as_array_mut().unwrap();
                lists[0].as_object_mut().unwrap().retain(|name, _| name != "token_id:41");
            }))
        }),
        ("an ignored field", "did not come", || Mischief::Ignore("logprob_token_ids")),
        ("a choice less", "2 completions came where 3", || {
            Mischief::Change(Box::new(|value| drop(value["choices"].as_array_mut().unwrap().pop())))
        }),
        ("a choice twice", "another came twice", || {
            Mischief::Change(Box::new(|value| {
                let choices = value["choices"].as_array_mut().unwrap();
                let others = usize::from(choices.len() == 1);
                choices.last_mut().unwrap()["index"] = json!(others);
            }))
        }),
        ("token counts", "tokens where", || {
            Mischief::Change(Box::new(|value| value["usage"]["prompt_tokens"] = json!(7)))
        }),
    ];
    for (name, says, fault) in cases {
        let server = start(&model, Behaviour::new(Speaks::Vllm));
        let patience = Patience { attempts: 2, ..quick() };
        let options = Options { patience, ..options(&[&server]) };
        let remote = Remote::connect(&options, Arc::clone(&model)).unwrap();
        server.misbehave(always(fault));
        let error = at_prefixes(&remote, &PREFIXES, &chosen(&TOKENS))
            .err()
            .unwrap_or_else(|| panic!("{name} was taken"));
        assert!(error.is_about_the_item() && error.to_string().contains(says), "{name}: {error}");
        server.behave();
        assert!(
            difference(&at_prefixes(&remote, &PREFIXES, &chosen(&TOKENS)).unwrap(), &truth) < 1e-6,
            "{name}"
        );
    }
}

#[test]
fn a_path_that_a_server_refuses_takes_nothing_but_itself_away() {
    let model = model();
    let (server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    let root = Branch { tokens: tokens(40, 3), keep: true, ..Branch::default() };
    let cue = |n_tokens: usize, tokens: &[TokenId]| Branch {
        parent: Some(Parent { branch: BranchId(0), n_tokens }),
        tokens: tokens.to_vec(),
        next: Some(chosen(&TOKENS)),
        keep: true,
        ..Branch::default()
    };
    let mut branches = vec![root];
    branches.extend(PREFIXES.iter().map(|&n| cue(n, &[])));
    let next = |score: BranchScore| score.next.unwrap();
    let truth = model.session().unwrap().extend(&branches).unwrap();
    let truth: Vec<NextScore> = truth.into_iter().skip(1).map(next).collect();
    branches.insert(2, cue(5, &[44, 44]));
    let on_it = Branch { parent: Some(Parent { branch: BranchId(2), n_tokens: 1 }), ..cue(1, &[9]) };
    branches.push(on_it);
    server.misbehave(|seen| seen.body.to_string().contains("44,44]").then(|| status(400, &[])));
    let mut found = remote.session().unwrap().extend_each(&branches).unwrap();
    for at_fault in [found.pop().unwrap(), found.remove(2)] {
        let error = at_fault.err().unwrap();
        assert!(error.is_about_the_item() && error.to_string().contains("(400)"), "{error}");
    }
    let told: Vec<NextScore> = found.drain(1..).map(|score| next(score.unwrap())).collect();
    assert!(difference(&told, &truth) < 1e-6);
}

#[test]
fn what_means_impossible_is_minus_infinity() {
    let model = model();
    let server = start(&model, Behaviour::new(Speaks::Vllm));
    let remote = connect(&model, &[&server]).unwrap();
    for impossible in [|_: f64| json!(-9999.0), |_: f64| Value::Null, |_: f64| json!(-3.4e38)] {
        server.misbehave(always(move || numbers(impossible)));
        let told = at_prefixes(&remote, &PREFIXES, &chosen(&TOKENS)).unwrap();
        assert!(told.iter().flat_map(|next| &next.gather).all(|logprob| *logprob == Some(f64::NEG_INFINITY)));
    }
}

#[test]
fn requests_that_a_server_would_mix_up_never_meet() {
    let model = model();
    let behaviour =
        Behaviour { mixes_up: true, latency: Duration::from_millis(5), ..Behaviour::new(Speaks::Vllm) };
    let (_server, remote) = served(&model, behaviour);
    let list = NextRequest { top_k: 20, ..NextRequest::default() };
    let truth = at_prefixes(&*model, &PREFIXES, &list).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (remote, list, truth) = (&remote, &list, &truth);
            scope.spawn(move || {
                for _ in 0..10 {
                    if worker % 2 == 0 {
                        at_prefixes(remote, &PREFIXES, &chosen(&TOKENS)).unwrap();
                        continue;
                    }
                    for (told, truth) in at_prefixes(remote, &PREFIXES, list).unwrap().iter().zip(truth) {
                        for (told, truth) in told.top.iter().zip(&truth.top) {
                            assert!(told.0 == truth.0 && (told.1 - truth.1).abs() < 1e-6);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(remote.standing()().retries, 0, "no answer had to be asked for again");
}

#[test]
fn a_corrupted_list_is_a_fault() {
    let model = model();
    let server = start(&model, Behaviour::new(Speaks::Vllm));
    let options = Options { patience: Patience { attempts: 1, ..quick() }, ..options(&[&server]) };
    let remote = Remote::connect(&options, Arc::clone(&model)).unwrap();
    server.misbehave(always(|| {
        Mischief::Change(Box::new(|value| {
            for choice in value["choices"].as_array_mut().unwrap() {
                choice["logprobs"]["top_logprobs"][0] = json!({"token_id:9": -2.5, "token_id:0": -9999.0});
            }
        }))
    }));
    let error =
        at_prefixes(&remote, &PREFIXES, &NextRequest { top_k: 20, ..NextRequest::default() }).err().unwrap();
    assert!(
        error.to_string().contains("2 of the most likely tokens came where 20 were asked for"),
        "{error}"
    );
}

#[test]
fn a_systematic_refusal_stops_the_run_and_one_bad_item_does_not() {
    let model = model();
    let (server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    server.misbehave(|seen| seen.body.to_string().contains("[44,").then(|| status(400, &[])));
    let ask = |token: TokenId| {
        let root = Branch { tokens: vec![token, 9], next: Some(chosen(&[7])), ..Branch::default() };
        remote.session().and_then(|mut session| session.extend(&[root]).map(drop))
    };
    ask(43).unwrap();
    let one = ask(44).unwrap_err();
    assert!(one.is_about_the_item() && one.to_string().contains("(400)"), "{one}");
    ask(45).unwrap();
    server.misbehave(always(|| status(400, &[])));
    let all: Vec<entrace_backend::Error> = (20..30).filter_map(|token| ask(token).err()).collect();
    assert_eq!(all.len(), 10);
    let last = all.last().unwrap();
    assert!(!last.is_about_the_item() && last.to_string().contains("8 requests in a row failed"), "{last}");
}

#[test]
fn long_waits_stop_the_run_where_it_can_be_resumed() {
    let model = model();
    let (server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    server.misbehave(always(|| status(429, &[("Retry-After", "7200")])));
    let error = at_prefixes(&remote, &PREFIXES, &chosen(&TOKENS)).err().unwrap();
    assert!(!error.is_about_the_item() && error.to_string().contains("asks to wait 7200 s"), "{error}");
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let model = model();
    let server = start(&model, Behaviour::new(Speaks::Vllm));
    let short = (Duration::from_secs(1), Duration::ZERO);
    let patience = Patience { read: short.0, draw: short, ..quick() };
    let options = Options { patience, ..options(&[&server]) };
    let remote = Remote::connect(&options, Arc::clone(&model)).unwrap();
    let truth = at_prefixes(&*model, &PREFIXES, &chosen(&TOKENS)).unwrap();
    server.misbehave(first(1, || Mischief::Hang(Duration::from_secs(8))));
    let began = Instant::now();
    let told = at_prefixes(&remote, &PREFIXES, &chosen(&TOKENS)).unwrap();
    assert!(difference(&told, &truth) < 1e-6 && began.elapsed() < Duration::from_secs(8));
    // A draw that took too long is not drawn again: the short ones would be left.
    server.misbehave(first(1, || Mischief::Hang(Duration::from_secs(8))));
    let fork = Fork { n_tokens: 5, suffix: vec![], streams: vec![1, 2], max_new_tokens: None };
    let request = GenerateRequest { context: tokens(5, 3), forks: vec![fork] };
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 4, stop: vec![] };
    let error = remote.generate(std::slice::from_ref(&request), &sampling, &mut |_| true).err().unwrap();
    assert!(error.is_about_the_item() && error.to_string().contains("no answer within 1 s"), "{error}");
    // What was asked for beside it comes, and is not drawn again either.
    server.misbehave(first(1, || Mischief::Hang(Duration::from_secs(8))));
    server.forget();
    let fork = Fork { n_tokens: 9, ..request.forks[0].clone() };
    let other = GenerateRequest { context: tokens(9, 3), forks: vec![fork] };
    let both = remote.generate_each(&[request, other], &sampling, &mut Counting(&mut |_| true)).unwrap();
    assert_eq!(both.iter().filter(|found| found.is_ok()).count(), 1, "{both:?}");
    assert_eq!((server.counted().sequences, remote.standing()().redrawn), (1, 0));
}

#[test]
fn a_replica_dies_and_comes_back() {
    let model = model();
    let [a, b] = [(); 2].map(|()| {
        start(&model, Behaviour { latency: Duration::from_millis(3), ..Behaviour::new(Speaks::Vllm) })
    });
    let remote = connect(&model, &[&a, &b]).unwrap();
    let truth: Vec<Vec<NextScore>> =
        (0..40).map(|n| at_prefixes(&*model, &[n % 30 + 1, 40], &chosen(&TOKENS)).unwrap()).collect();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (remote, truth) = (&remote, &truth);
            scope.spawn(move || {
                for n in (worker..40).step_by(4) {
                    let told = at_prefixes(remote, &[n % 30 + 1, 40], &chosen(&TOKENS)).unwrap();
                    assert!(difference(&told, &truth[n]) < 1e-6);
                }
            });
        }
        for server in [&a, &b] {
            server.die();
            std::thread::sleep(Duration::from_millis(60));
            server.come_back();
            std::thread::sleep(Duration::from_millis(700));
        }
    });
    let root =
        |token: TokenId| Branch { tokens: vec![token, 9], next: Some(chosen(&[7])), ..Branch::default() };
    let roots: Vec<Branch> = (5..95).map(root).collect();
    std::thread::sleep(Duration::from_millis(600));
    // One that is out is looked at while there is something to send, and that may have been answered by the other before it was found back.
    let began = Instant::now();
    loop {
        remote.session().unwrap().extend(&roots).unwrap();
        let standing = remote.standing()();
        if standing.replicas.iter().all(|replica| replica.is_alive) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{standing:?}");
    }
}

#[test]
fn when_all_die_for_good_the_run_stops_and_says_so() {
    let model = model();
    let (server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    server.die();
    let began = Instant::now();
    let error = at_prefixes(&remote, &PREFIXES, &chosen(&TOKENS)).err().unwrap();
    assert!(!error.is_about_the_item() && error.to_string().contains("could not be reached for"), "{error}");
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_request_that_kills_servers_is_given_up() {
    let model = model();
    let (server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    server.misbehave(|seen| seen.body.to_string().contains("[44,").then_some(Mischief::Reset));
    let ask = |token: TokenId| {
        let root = Branch { tokens: vec![token, 9], next: Some(chosen(&[7])), ..Branch::default() };
        remote.session().and_then(|mut session| session.extend(&[root]).map(drop))
    };
    let error = ask(44).unwrap_err();
    assert!(error.is_about_the_item() && error.to_string().contains("the connection broke"), "{error}");
    ask(45).unwrap();
}

#[test]
fn two_busy_replicas_finish_everything() {
    let model = model();
    let behaviour = Behaviour { most: 3, latency: Duration::from_millis(2), ..Behaviour::new(Speaks::Vllm) };
    let [a, b] = [(); 2].map(|()| start(&model, behaviour.clone()));
    let remote = connect(&model, &[&a, &b]).unwrap();
    let root =
        |token: usize| Branch { tokens: tokens(10, token), next: Some(chosen(&[7])), ..Branch::default() };
    let roots: Vec<Branch> = (1..60).map(root).collect();
    let told = remote.session().unwrap().extend(&roots).unwrap();
    let truth = model.session().unwrap().extend(&roots).unwrap();
    for (told, truth) in told.iter().zip(&truth) {
        let of = |score: &entrace_backend::BranchScore| score.next.as_ref().unwrap().gather[0].unwrap();
        assert!((of(told) - of(truth)).abs() < 1e-6);
    }
    assert!(remote.standing()().retries > 0);
}
