//! The scripted model against probabilities worked out by hand.

use super::sampler::candidates;
use super::*;
use crate::{Branch, Completion, Fork, NextRequest, Parent, TokenScores};
use entrace_measure::StopReason;
use std::collections::BTreeMap;

fn sampling(temperature: f64, max_new_tokens: usize) -> Sampling {
    Sampling { temperature, top_p: 1.0, top_k: 0, max_new_tokens, stop: vec![] }
}

fn question(model: &Scripted) -> Vec<TokenId> {
    let message = ChatMessage { role: Role::User, content: "Which way?".into() };
    model.render_chat(&[message]).unwrap().token_ids
}

fn complete(model: &Scripted, n: u64, temperature: f64) -> Vec<Completion> {
    let context = question(model);
    let fork =
        Fork { n_tokens: context.len(), suffix: vec![], streams: (0..n).collect(), max_new_tokens: None };
    let request = GenerateRequest { context, forks: vec![fork] };
    model.generate(&[request], &sampling(temperature, 200), &mut |_| true).unwrap().remove(0).remove(0)
}

/// Probability of `continuation` and the end of the turn, after the question and `text`.
fn prob_of(model: &Scripted, text: &str, continuation: &str) -> f64 {
    let mut session = model.session().unwrap();
    let mut tokens = question(model);
    tokens.extend(model.encode_plain(text).unwrap());
    let n_tokens = tokens.len();
    let root = Branch { tokens, keep: true, ..Branch::default() };
    let mut tokens = model.encode_plain(continuation).unwrap();
    tokens.extend(model.stop_tokens());
    let id = session.extend(&[root]).unwrap()[0].id;
    let branch = Branch {
        parent: Some(Parent { branch: id, n_tokens }),
        tokens,
        token_scores: TokenScores::Logprobs,
        ..Branch::default()
    };
    let score = session.extend(&[branch]).unwrap().remove(0);
    score.token_logprobs.iter().map(|lp| lp.unwrap()).sum::<f64>().exp()
}

#[test]
fn a_known_reasoner_writes_steps_and_an_answer() {
    let model = Scripted::new(Vocabulary::ascii(), KnownAnswers::informed(3, " 12", &[" 7"], 1.0, 1.0));
    let completion = complete(&model, 1, 0.0).remove(0);
    assert_eq!(completion.text, "Step 1: down.\n\nStep 2: down.\n\nStep 3: down.\n\nThe answer is 12.");
    assert_eq!(completion.stop_reason, StopReason::Stop);
}

#[test]
fn forced_answers_are_the_table_at_every_step() {
    let others = [" 7", " -125"];
    let model = Scripted::new(Vocabulary::ascii(), KnownAnswers::informed(4, " 12", &others, 0.2, 0.9));
    let mut text = String::new();
    for k in 0..=4 {
        let expected = 0.2 + 0.7 * k as f64 / 4.0;
        // An unfinished step does not count, and the white space around the cue does not matter.
        for before_cue in ["\n", "\n\n", "\n\nStep x", ""] {
            let cued = format!("{text}{before_cue}The answer is");
            assert!((prob_of(&model, &cued, " 12.") - expected).abs() < 1e-7, "{cued:?}");
            assert!((prob_of(&model, &cued, " -125.") - (1.0 - expected) / 2.0).abs() < 1e-7, "{cued:?}");
        }
        text += &format!("{}Step {}: up.", if k == 0 { "" } else { "\n\n" }, k + 1);
    }
}

#[test]
fn beliefs_can_ignore_the_trace() {
    let script = KnownAnswers::ignoring_the_trace(2, &[(" A", 0.25), (" B", 0.75)]);
    let model = Scripted::new(Vocabulary::ascii(), script);
    for text in ["The answer is", "Step 2: up. Step 1: down.\nThe answer is"] {
        assert!((prob_of(&model, text, " B.") - 0.75).abs() < 1e-7);
    }
}

#[test]
fn rollouts_average_over_the_steps_to_come() {
    let script = KnownAnswers::following_the_steps(2, " 1", " 23");
    let none = Reasoning { prompt: String::new(), steps: vec![] };
    let up = Reasoning { steps: vec!["Step 1: up.".into()], ..none.clone() };
    assert!((script.forced(&up)[" 1"] - 0.75).abs() < 1e-12);
    assert!((script.rollout(&up)[" 1"] - (0.9 + 0.5) / 2.0).abs() < 1e-12);
    let expected = script.rollout(&none)[" 1"];
    let model = Scripted::new(Vocabulary::ascii(), script);
    let n = 400;
    let completions = complete(&model, n, 1.0);
    let found = completions.iter().filter(|c| c.text.ends_with("The answer is 1.")).count();
    // The standard deviation is 0.025; a false alarm has probability below 1e-6.
    assert!((found as f64 / n as f64 - expected).abs() < 0.125, "{found} of {n}, expected {expected}");
}

#[test]
fn pieces_that_begin_alike_keep_their_probabilities() {
    let pieces = ["1", "12", "2", ".", "\n", " ", "Q", "The answer is", "Step", ":", "up", "down"];
    let answers = [("1", 0.3), ("12", 0.6), ("2", 0.1)];
    let script = KnownAnswers::ignoring_the_trace(0, &answers).with_floor(0.0);
    let model = Scripted::new(Vocabulary::chat(pieces), script);
    for (answer, p) in answers {
        assert!((prob_of(&model, "The answer is", &format!("{answer}.")) - p).abs() < 1e-12);
    }
}

#[test]
fn all_strings_of_a_random_model_have_probability_one() {
    let vocabulary = Vocabulary::bare(["a", "b", "ab"]);
    let script = RandomScript { longest: Some(6), ..RandomScript::new(3) };
    let model = Scripted::new(vocabulary, script);
    let mut finished: BTreeMap<Vec<TokenId>, f64> = BTreeMap::new();
    let mut open = vec![(model.encode_plain("a").unwrap(), 1.0)];
    while let Some((tokens, p)) = open.pop() {
        for (token, q) in (0..).zip(model.distribution(&tokens).unwrap()) {
            let longer = [tokens.as_slice(), &[token]].concat();
            if token == model.vocabulary().end() {
                finished.insert(longer, p * q);
            } else if q > 0.0 {
                open.push((longer, p * q));
            }
        }
    }
    assert_eq!(finished.len(), (0..=5).map(|n| 3usize.pow(n)).sum::<usize>());
    assert!((finished.values().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn faults_come_when_they_are_due() {
    let random = || RandomScript::new(1);
    let model = Scripted::new(Vocabulary::ascii(), Faulty::at_call(random(), Fault::Engine, 1));
    assert!(model.distribution(&[1]).is_ok());
    assert!(matches!(model.distribution(&[1]), Err(Error::Engine(_))));
    assert!(model.distribution(&[1]).is_ok());

    let script = Faulty::where_text_has(random(), Fault::NotANumber, "bad");
    let model = Scripted::new(Vocabulary::ascii(), script);
    let root = |text: &str| Branch {
        tokens: model.encode_plain(text).unwrap(),
        next: Some(NextRequest::default()),
        ..Branch::default()
    };
    let mut session = model.session().unwrap();
    assert!(matches!(session.extend(&[root("good"), root("bad")]), Err(Error::NotFinite { index: 2 })));
    assert_eq!(session.extend(&[root("good")]).unwrap()[0].id.0, 0);
}

#[test]
fn scripts_that_are_no_distributions_are_refused() {
    for probs in [vec![0.5, 0.6], vec![1.5, -0.5], vec![1.0]] {
        let model = Scripted::new(Vocabulary::bare(["a"]), move |_: &[TokenId]| probs.clone());
        assert!(matches!(model.distribution(&[1]), Err(Error::Engine(_))));
    }
}

#[test]
fn special_tokens_are_recognised_in_prompts_only() {
    let model = Scripted::new(Vocabulary::ascii(), RandomScript::new(1));
    let text = "<|user|>é";
    assert_eq!(model.encode_prompt(text).unwrap().token_ids.len(), 3);
    assert_eq!(model.encode_plain(text).unwrap().len(), 9);
    assert_eq!(model.decode(&model.encode_plain(text).unwrap()).text, "<|user|>\u{fffd}");
    let twice = [Role::User, Role::System].map(|role| ChatMessage { role, content: String::new() });
    assert!(matches!(model.render_chat(&twice), Err(Error::TemplateRefused(_))));
    let bare = Scripted::new(Vocabulary::bare(["a"]), RandomScript::new(1));
    assert!(matches!(bare.render_chat(&twice), Err(Error::NoTemplate)));
    assert!(bare.encode_plain("b").is_err());
}

#[test]
fn cuts_keep_the_likeliest_tokens() {
    let probs = [0.1, 0.5, 0.15, 0.25];
    let kept = |top_k, top_p| {
        let all = candidates(&probs, &Sampling { top_k, top_p, ..sampling(1.0, 1) });
        all.into_iter().map(|c| c.0).collect::<Vec<_>>()
    };
    assert_eq!(kept(0, 1.0), [0, 1, 2, 3]);
    assert_eq!(kept(3, 1.0), [1, 3, 2]);
    assert_eq!(kept(0, 0.7), [1, 3]);
    assert_eq!(kept(2, 0.6), [1]);
    assert_eq!(kept(0, 0.0), [1]);
}
