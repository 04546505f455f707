//! What a measurement costs: requests and tokens, counted by the server.

use super::*;
use entrace_remote::scripted::BLOCK;

/// The prompt has P = 40 tokens, the trace T = 60, the cue c = 4, in blocks of B = 16.
const PREFIXES: [usize; 5] = [10, 20, 33, 47, 60];

#[test]
fn labels_at_all_prefixes_of_a_trace_are_one_request() {
    let model = model();
    for (speaks, path) in [(Speaks::Vllm, "/v1/completions"), (Speaks::Sglang, "/generate")] {
        let (server, remote) = served(&model, Behaviour::new(speaks));
        server.forget();
        let told = at_prefixes(&remote, &PREFIXES, &chosen(&[40, 41, 42, 43])).unwrap();
        let truth = at_prefixes(&*model, &PREFIXES, &chosen(&[40, 41, 42, 43])).unwrap();
        assert!(difference(&told, &truth) < 1e-6);
        let counted = server.counted();
        assert_eq!(counted.requests[path], 1, "{speaks:?}");
        assert_eq!(counted.sequences, 5);
        let most = 40 + 60 + PREFIXES.len() * (4 + BLOCK);
        assert!(counted.prefilled_tokens <= most, "{} prefilled, at most {most}", counted.prefilled_tokens);
        assert!(counted.prompt_tokens > 2 * counted.prefilled_tokens, "{counted:?}");
    }
    // llama.cpp's server reads one chosen token in a request.
    let (server, remote) = served(&model, Behaviour::new(Speaks::LlamaServer));
    server.forget();
    let told = at_prefixes(&remote, &PREFIXES, &chosen(&[40, 41, 42, 43])).unwrap();
    assert!(difference(&told, &at_prefixes(&*model, &PREFIXES, &chosen(&[40, 41, 42, 43])).unwrap()) < 1e-6);
    let counted = server.counted();
    assert_eq!((counted.requests["/completion"], counted.sequences), (4, 20));
}

#[test]
fn a_list_with_tokens_apart_is_two_requests_and_one_where_they_come_together() {
    let model = model();
    let all: Vec<TokenId> = (5..100).collect();
    let request =
        NextRequest { gather: all.into(), foremost: vec![40, 41], top_k: 5, ..NextRequest::default() };
    for (speaks, path, n) in [(Speaks::Vllm, "/v1/completions", 2), (Speaks::Sglang, "/generate", 1)] {
        let (server, remote) = served(&model, Behaviour { most_listed: 5, ..Behaviour::new(speaks) });
        // Few enough that chosen tokens have to be asked for apart.
        server.forget();
        let _ = at_prefixes(&remote, &PREFIXES, &request).unwrap();
        let found = server.counted().requests[path];
        assert!(found <= n, "{speaks:?}: {found} requests");
    }
}

#[test]
fn the_requests_of_a_trace_go_to_one_replica() {
    let model = model();
    let [a, b] = [(); 2].map(|()| start(&model, Behaviour::new(Speaks::Vllm)));
    let remote = connect(&model, &[&a, &b]).unwrap();
    a.forget();
    b.forget();
    for _ in 0..5 {
        at_prefixes(&remote, &PREFIXES, &chosen(&[40, 41])).unwrap();
    }
    let mut sequences = [a.counted().sequences, b.counted().sequences];
    sequences.sort_unstable();
    assert_eq!(sequences, [0, 25]);
}
