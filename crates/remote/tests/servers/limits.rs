//! What a server cannot do is found out before any work, and said with what would do.

use super::*;
use entrace_remote::scripted::Seeds;

fn refusal(behaviour: Behaviour) -> String {
    let model = model();
    let server = start(&model, behaviour);
    match connect(&model, &[&server]) {
        Ok(remote) => panic!("it was taken: {:?}", remote.profile()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_server_that_lists_tokens_by_text_draws_and_does_not_score() {
    let model = model();
    for takes_tokens in [true, false] {
        let (_server, remote) = served(&model, Behaviour::new(Speaks::Completions(takes_tokens)));
        assert!(remote.scorer().is_none() && remote.generator().is_some());
        let lacks = remote.profile().lacks();
        assert_eq!(lacks.len(), 1);
        assert!(
            lacks[0].contains("by text, where several tokens may be one")
                && lacks[0].contains("sample and rollout do without")
        );
        // One that ignores n is asked one at a time.
        assert_eq!(remote.profile().n_at_once, if takes_tokens { 64 } else { 1 });
    }
}

#[test]
fn a_token_in_front_of_every_text_that_prompts_do_not_have_is_noticed() {
    let model = Arc::new(Scripted::new(Vocabulary::bare(["a", "b", "c", "d"]), RandomScript::new(1)));
    let server = start(&model, Behaviour { begin: Some(1), ..Behaviour::new(Speaks::Completions(false)) });
    let Err(refused) = connect(&model, &[&server]) else { panic!("it was taken") };
    assert!(refused.to_string().contains("puts a token in front of every text"), "{refused}");
}

#[test]
fn chat_alone_gives_traces_and_no_more() {
    let model = model();
    let (_server, remote) = served(&model, Behaviour::new(Speaks::Chat));
    assert!(remote.scorer().is_none() && remote.generator().is_none());
    assert!(remote.profile().lacks()[0].contains("gives traces and no more"));
    assert!(remote.profile().lacks()[0].contains("entrace score"));
}

#[test]
fn draws_that_are_copies_are_noticed() {
    let model = model();
    let (_server, remote) =
        served(&model, Behaviour { seeds: Seeds::Fixed, ..Behaviour::new(Speaks::Sglang) });
    assert!(remote.profile().draws_are_copies && remote.generator().is_none());
    assert!(remote.profile().lacks()[0].contains("copies of one another"));
    for (seeds, honoured) in [(Seeds::Honoured, true), (Seeds::Ignored, false)] {
        let (_server, remote) = served(&model, Behaviour { seeds, ..Behaviour::new(Speaks::Sglang) });
        assert_eq!(remote.profile().seeds, Some(honoured), "{seeds:?}");
        assert!(!remote.profile().draws_are_copies);
    }
}

#[test]
fn fields_that_are_ignored_are_noticed() {
    let model = model();
    for (speaks, field, gather) in
        [(Speaks::Vllm, "logprob_token_ids", 0), (Speaks::LlamaServer, "logit_bias", 0)]
    {
        let server = start(&model, Behaviour::new(speaks));
        server.misbehave(move |_| Some(entrace_remote::scripted::Mischief::Ignore(field)));
        let remote = connect(&model, &[&server]).unwrap();
        assert_eq!(remote.profile().gather, gather, "{field}");
        assert!(remote.profile().lacks()[0].contains("give bounds"), "{:?}", remote.profile().lacks());
    }
    let server = start(&model, Behaviour::new(Speaks::Vllm));
    server.misbehave(|_| Some(entrace_remote::scripted::Mischief::Ignore("return_tokens_as_token_ids")));
    let refused = connect(&model, &[&server]).err().unwrap().to_string();
    assert!(refused.contains("came by text"), "{refused}");
}

#[test]
fn another_tokenizer_is_noticed() {
    let model = model();
    let other: Vec<String> =
        ('a'..='z').chain(' '..='`').chain(['\n', '{', '|', '}', '~']).map(String::from).collect();
    let other = Vocabulary::chat(other.iter().map(String::as_str));
    let other = Arc::new(Scripted::new(other, RandomScript::new(7)).with_context_length(512));
    let server = start(&model, Behaviour::new(Speaks::Vllm));
    let refused = connect(&other, &[&server]).err().unwrap().to_string();
    assert!(refused.contains("the tokenizer is not that of the model"), "{refused}");
}

#[test]
fn a_model_that_is_not_served_is_named() {
    let model = model();
    let server = start(&model, Behaviour::new(Speaks::Vllm));
    let named = Options {
        replicas: vec![Endpoint::parse(&format!("{}#other", server.url())).unwrap()],
        ..options(&[&server])
    };
    let refused = Remote::connect(&named, Arc::clone(&model)).err().unwrap();
    assert_eq!(refused.to_string(), format!("{} serves scripted, not other", server.url()));
    let elsewhere = Options {
        replicas: vec![Endpoint::parse(&server.url().replace("/v1", "")).unwrap()],
        ..options(&[&server])
    };
    let refused = Remote::connect(&elsewhere, Arc::clone(&model)).err().unwrap().to_string();
    assert!(refused.contains("404"), "{refused}");
}

#[test]
fn replicas_are_alike_or_refused() {
    let model = model();
    let [a, b] = ["scripted", "another"]
        .map(|name| start(&model, Behaviour { name: name.into(), ..Behaviour::new(Speaks::Vllm) }));
    let refused = connect(&model, &[&a, &b]).err().unwrap().to_string();
    assert!(refused.contains("the model of") && refused.contains("another"), "{refused}");
    let c = start(&model, Behaviour { most_listed: 5, ..Behaviour::new(Speaks::Vllm) });
    assert_eq!(connect(&model, &[&a, &c]).unwrap().profile().top_k, 5, "what all of them can do");
}

#[test]
fn logits_and_positive_numbers_are_refused() {
    let model = model();
    let server = start(&model, Behaviour::new(Speaks::Vllm));
    server.misbehave(|seen| {
        let raise = |value: &mut serde_json::Value| {
            for choice in value["choices"].as_array_mut().into_iter().flatten() {
                for list in choice["logprobs"]["top_logprobs"].as_array_mut().into_iter().flatten() {
                    for number in list.as_object_mut().into_iter().flat_map(|list| list.values_mut()) {
                        *number = serde_json::json!(number.as_f64().unwrap() + 12.0);
                    }
                }
            }
        };
        (seen.path == "/v1/completions").then(|| entrace_remote::scripted::Mischief::Change(Box::new(raise)))
    });
    let refused = connect(&model, &[&server]).err().unwrap().to_string();
    assert!(refused.contains("above 0") && refused.contains("raw_logits"), "{refused}");
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let model = model();
    let server = start(&model, Behaviour::new(Speaks::LlamaServer));
    server.die();
    let now = connect(&model, &[&server]).err().unwrap();
    assert!(matches!(now, Unfit::Unreachable(_)), "{now}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            server.come_back();
        });
        let waiting = Options { wait: Duration::from_secs(20), ..options(&[&server]) };
        Remote::connect(&waiting, Arc::clone(&model)).unwrap();
    });
    assert!(
        refusal(Behaviour { key: Some("right".into()), ..Behaviour::new(Speaks::Vllm) })
            .contains("OPENAI_API_KEY")
    );
}
