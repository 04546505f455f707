//! What each kind of server is found to tell, and that it is told right.

use super::*;
use entrace_backend::conformance::{Tolerances, check_limited_tree};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::scripted::SpecialToken;
use entrace_backend::{Error, Fork, Generate, GenerateRequest, Reach, Sampling, Text, TokenScores};
use entrace_measure::StopReason;
use entrace_remote::scripted::Mischief;

#[test]
fn each_dialect_is_found_and_tells_what_the_model_says() {
    let model = model();
    for speaks in SCORING {
        let (_server, remote) = served(&model, Behaviour::new(speaks));
        let profile = remote.profile();
        // llama.cpp's server lists as many as are asked for: here, all.
        let listed = if speaks == Speaks::LlamaServer { model.info().vocab_size } else { 20 };
        assert_eq!((profile.top_k, profile.lacks().as_slice()), (listed, &[][..]), "{speaks:?}");
        assert_eq!(profile.is_raw, Some(true));
        assert_eq!(profile.tokenizer.0, profile.tokenizer.1);
        assert!(profile.tokenizer.1 >= 40, "{profile:?}");
        assert_eq!(profile.caches, Some(true));
        assert_eq!(remote.info().context_length, 512);
        let tolerances = Tolerances { nats: 1e-6, ..Tolerances::default() };
        check_limited_tree(remote.scorer().unwrap(), &*model, model.info(), &tolerances);
    }
}

#[test]
fn a_small_vocabulary_is_told_whole() {
    let model = Arc::new(Scripted::new(Vocabulary::bare(["a", "b", "c", "d"]), RandomScript::new(1)));
    let (_server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    assert_eq!(remote.scorer().unwrap().reach(), Reach::WHOLE);
    let branch = |n: usize| Branch {
        tokens: (0..n).map(|i| (i % 5) as TokenId).collect(),
        next: Some(NextRequest { top_k: 5, ..NextRequest::default() }),
        ..Branch::default()
    };
    for n in 1..6 {
        let told = remote.session().unwrap().extend(&[branch(n)]).unwrap().remove(0).next.unwrap();
        let truth = model.session().unwrap().extend(&[branch(n)]).unwrap().remove(0).next.unwrap();
        assert!((told.entropy.unwrap() - truth.entropy.unwrap()).abs() < 1e-9);
        assert_eq!(told.rest, truth.rest);
    }
}

#[test]
fn options_of_several_tokens_are_a_trie_of_reads() {
    let model = model();
    for speaks in SCORING {
        let (server, remote) = served(&model, Behaviour::new(speaks));
        server.forget();
        let root = Branch { tokens: tokens(30, 3), keep: true, ..Branch::default() };
        let option = |tokens: &[TokenId]| Branch {
            parent: Some(Parent { branch: BranchId(0), n_tokens: 30 }),
            tokens: tokens.to_vec(),
            token_scores: TokenScores::Logprobs,
            ..Branch::default()
        };
        let branches = [root, option(&[40, 41, 42]), option(&[40, 41, 43]), option(&[50, 51])];
        let told = remote.session().unwrap().extend(&branches).unwrap();
        let truth = model.session().unwrap().extend(&branches).unwrap();
        for (told, truth) in told.iter().zip(&truth).skip(1) {
            for (told, truth) in told.token_logprobs.iter().zip(&truth.token_logprobs) {
                assert!((told.unwrap() - truth.unwrap()).abs() < 1e-6, "{speaks:?}");
            }
        }
        // Four contexts tell it all: the root, 40, 40 41 and 50.
        let sequences = server.counted().sequences;
        let expected = if speaks == Speaks::LlamaServer { 6 } else { 4 };
        assert_eq!(sequences, expected, "{speaks:?}");
    }
}

#[test]
fn branches_at_fault_are_refused_without_a_request() {
    let model = model();
    let (server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    server.forget();
    let mut session = remote.session().unwrap();
    let fork = |branch: usize, n_tokens: usize, tokens: &[TokenId]| Branch {
        parent: Some(Parent { branch: BranchId(branch), n_tokens }),
        tokens: tokens.to_vec(),
        next: Some(chosen(&[7])),
        ..Branch::default()
    };
    let root = |tokens: Vec<TokenId>| Branch { tokens, next: Some(chosen(&[7])), ..Branch::default() };
    assert!(matches!(session.extend(&[root(vec![])]), Err(Error::EmptyContext)));
    assert!(matches!(session.extend(&[root(vec![999])]), Err(Error::UnknownToken { token: 999, .. })));
    assert!(matches!(
        session.extend(&[root(tokens(513, 3))]),
        Err(Error::ContextTooLong { n_tokens: 513, limit: 512 })
    ));
    assert!(matches!(
        session.extend(&[Branch { tokens: vec![9, 9], ..Branch::default() }, fork(0, 3, &[8])]),
        Err(Error::BadFork { branch: 1, available: 2, .. })
    ));
    assert_eq!(session.n_branches(), 0, "nothing of a call at fault stays");
    assert_eq!(server.counted().sequences, 0);
    session.extend(&[Branch { tokens: tokens(100, 3), keep: true, ..Branch::default() }]).unwrap();
    assert_eq!(server.counted().sequences, 0, "planting sends nothing");
}

fn drawing(max_new_tokens: usize, temperature: f64, stop: &[&str]) -> Sampling {
    let stop = stop.iter().map(|stop| (*stop).to_string()).collect();
    Sampling { temperature, top_p: 1.0, top_k: 0, max_new_tokens, stop }
}

fn request(context: &[TokenId], streams: usize) -> GenerateRequest {
    let fork = |n_tokens: usize| Fork {
        n_tokens,
        suffix: vec![6],
        streams: (0..streams as u64).collect(),
        max_new_tokens: None,
    };
    GenerateRequest { context: context.to_vec(), forks: vec![fork(context.len()), fork(3)] }
}

#[test]
fn completions_hold_together_and_are_cut_as_everywhere() {
    let model = model();
    for speaks in [
        Speaks::Vllm,
        Speaks::Sglang,
        Speaks::LlamaServer,
        Speaks::Completions(true),
        Speaks::Completions(false),
    ] {
        let (_server, remote) = served(&model, Behaviour::new(speaks));
        let sampling = drawing(30, 1.0, &["e"]);
        let found = remote
            .generator()
            .unwrap()
            .generate(&[request(&tokens(20, 3), 6)], &sampling, &mut |_| true)
            .unwrap();
        assert_eq!(found[0].iter().map(Vec::len).collect::<Vec<_>>(), [6, 6], "{speaks:?}");
        for completion in found.iter().flatten().flatten() {
            let n = completion.token_ids.len();
            assert_eq!((completion.token_ends.len(), completion.logprobs.len()), (n, n));
            assert!(!completion.text.contains('e') && n <= 30);
            assert!(!completion.token_ids.contains(&0), "the token that ends a turn is no part of it");
            let tells = !matches!(speaks, Speaks::Completions(_));
            assert!(completion.logprobs.iter().all(|logprob| logprob.is_some() == tells));
            if n == 30 {
                assert_eq!(completion.stop_reason, StopReason::Length);
            }
        }
        let texts: Vec<&str> = found.iter().flatten().flatten().map(|c| c.text.as_str()).collect();
        assert!(texts.iter().any(|text| *text != texts[0]), "draws differ: {texts:?}");
    }
}

#[test]
fn a_prompt_that_goes_as_text_is_the_same_tokens_there() {
    let model = model();
    let special = |token| model.vocabulary().special(token).unwrap();
    let begin = special(SpecialToken::Begin);
    let question = [special(SpecialToken::User)].into_iter().chain(tokens(30, 3));
    let context: Vec<TokenId> =
        [begin].into_iter().chain(question).chain([special(SpecialToken::Assistant)]).collect();
    let fork = |n_tokens: usize, streams: usize| Fork {
        n_tokens,
        suffix: vec![6],
        streams: (0..streams as u64).collect(),
        max_new_tokens: None,
    };
    let requests =
        [GenerateRequest { context: context.clone(), forks: vec![fork(context.len(), 1), fork(9, 2)] }];
    let sampling = drawing(24, 0.0, &[]);
    let truth = model.generate(&requests, &sampling, &mut |_| true).unwrap();
    let texts = |all: &[RequestCompletions]| -> Vec<String> {
        all.iter().flatten().flatten().map(|completion| completion.text.clone()).collect()
    };
    for begin in [None, Some(begin)] {
        let (server, remote) =
            served(&model, Behaviour { begin, ..Behaviour::new(Speaks::Completions(false)) });
        assert_eq!(remote.profile().begins_texts, begin.is_some());
        assert!(
            remote.profile().tokenizer.1 >= 40
                && remote.profile().tokenizer.0 == remote.profile().tokenizer.1
        );
        // Draws are neither narrowed nor penalised, as they are there by default.
        let found = remote.generate(&requests, &sampling, &mut |_| true).unwrap();
        assert_eq!(texts(&found), texts(&truth), "{begin:?}");
        let (sender, bodies) = std::sync::mpsc::channel();
        server.misbehave(move |seen| {
            sender.send(seen.body.clone()).unwrap();
            None
        });
        remote.generate(&requests, &drawing(3, 1.0, &[]), &mut |_| true).unwrap();
        let bodies: Vec<serde_json::Value> = bodies.try_iter().collect();
        assert_eq!(bodies.len(), 3, "one draw each");
        for body in bodies {
            assert_eq!(
                (&body["top_k"], &body["min_p"], &body["repeat_penalty"]),
                (&0.into(), &0.into(), &1.into())
            );
            let text = body["prompt"].as_str().unwrap();
            assert!(text.contains("<|user|>") && text.starts_with("<|begin|>") == begin.is_none(), "{text}");
        }
    }
}

#[test]
fn fields_that_a_server_refuses_are_not_sent() {
    let model = model();
    let server = start(&model, Behaviour::new(Speaks::Completions(true)));
    server.misbehave(|seen| {
        let refusal = r#"{"error": {"message": "Unrecognized request argument supplied: min_p"}}"#;
        seen.body.get("min_p").map(|_| Mischief::Status(400, Vec::new(), refusal.into()))
    });
    let remote = connect(&model, &[&server]).unwrap();
    assert_eq!(remote.profile().dialect.unwrap().name(), "completions");
    let found = remote.generate(&[request(&tokens(20, 3), 2)], &drawing(5, 1.0, &[]), &mut |_| true);
    assert_eq!(found.unwrap()[0].len(), 2);
}

#[test]
fn greedy_completions_are_those_of_the_model() {
    let model = model();
    let sampling = drawing(12, 0.0, &[]);
    let requests = [request(&tokens(20, 3), 2), request(&tokens(33, 5), 1)];
    let truth = model.generate(&requests, &sampling, &mut |_| true).unwrap();
    for speaks in SCORING {
        let (server, remote) = served(&model, Behaviour::new(speaks));
        server.forget();
        let found = remote.generate(&requests, &sampling, &mut |_| true).unwrap();
        for (found, truth) in found.iter().flatten().flatten().zip(truth.iter().flatten().flatten()) {
            assert_eq!((&found.token_ids, &found.text), (&truth.token_ids, &truth.text), "{speaks:?}");
            for (found, truth) in found.logprobs.iter().zip(&truth.logprobs) {
                // SGLang says nothing of the raw distribution at temperature 0.
                assert!(
                    found.map_or(speaks == Speaks::Sglang, |found| (found - truth.unwrap()).abs() < 1e-6)
                );
            }
        }
        assert_eq!(server.counted().sequences, 4, "equal greedy completions are asked for once");
    }
}

#[test]
fn tempered_log_probabilities_are_not_taken_for_raw_ones() {
    let model = model();
    let (_server, remote) = served(&model, Behaviour { tempered: true, ..Behaviour::new(Speaks::Vllm) });
    assert_eq!(remote.profile().is_raw, Some(false));
    let told = |temperature: f64| {
        let found = remote
            .generate(&[request(&tokens(20, 3), 1)], &drawing(5, temperature, &[]), &mut |_| true)
            .unwrap();
        found[0][0][0].logprobs.iter().all(Option::is_some)
    };
    assert!(told(1.0) && !told(0.5));
}

#[test]
fn more_draws_are_made_where_a_watcher_asks_for_them() {
    use entrace_backend::{Completion, More, Place, Watcher};
    struct Asks(usize);
    impl Watcher for Asks {
        fn progress(&mut self, _: usize) -> bool {
            true
        }
        fn ended(&mut self, place: Place, _: &Completion) -> Vec<More> {
            self.0 += 1;
            let more = More { request: place.request, fork: place.fork, streams: vec![8, 9] };
            if place.stream == 0 { vec![more] } else { vec![] }
        }
    }
    let model = model();
    let (_server, remote) = served(&model, Behaviour::new(Speaks::Vllm));
    let mut asks = Asks(0);
    let found =
        remote.generate_each(&[request(&tokens(20, 3), 3)], &drawing(4, 1.0, &[]), &mut asks).unwrap();
    assert_eq!(found[0].as_ref().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(asks.0, 10);
}
