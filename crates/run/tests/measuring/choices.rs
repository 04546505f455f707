//! `choices` against the script asked directly.

use crate::support::{
    answers_at, asked, choices, close, entropy, imported, measure, measurement, plan, question,
};
use entrace_backend::scripted::{RandomScript, Scripted, Vocabulary};
use entrace_backend::{Reach, Text};
use entrace_datasets::FormatKind;
use entrace_measure::{Answer, Estimator, Question, Segmentation, TokenId};
use entrace_record::rows::Outcome;
use entrace_run::{ChoiceForm, EstimatorChoice, Measurement};

/// Labels of one token (`A`, `B`) and of several (`C1`); texts of one to four.
fn asked_question(id: usize) -> Question {
    let choices = choices(&["A", "B", "C1"], &["ab", "b", "a b 1"]);
    Question { choices: Some(choices), ..question(id, Some("C1")) }
}

fn model(seed: u64) -> Scripted {
    let pieces = [" A", " B", " ", "C", "1", "a", "b", "ab", "\n"];
    Scripted::new(Vocabulary::bare(pieces), RandomScript::new(seed))
}

/// ln p of the tokens of `text` after the context.
fn logprob(model: &Scripted, context: &[TokenId], text: &str) -> (f64, usize) {
    let mut tokens = context.to_vec();
    let path = model.encode_plain(text).unwrap();
    let mut sum = 0.0;
    for &token in &path {
        sum += model.distribution(&tokens).unwrap()[token as usize].ln();
        tokens.push(token);
    }
    (sum, path.len())
}

fn check(form: ChoiceForm, cue: &str) {
    let surfaces = match form {
        ChoiceForm::Label => [" A", " B", " C1"],
        ChoiceForm::Text | ChoiceForm::TextMean => [" ab", " b", " a b 1"],
    };
    for seed in 0..10 {
        let model = model(seed);
        let items =
            ["a", "b"].iter().enumerate().map(|(i, p)| asked(asked_question(i), p, &[imported("ab1b")]));
        let segmentation = Segmentation::Tokens(1);
        let how = Measurement { choice_form: form, cue: cue.into(), segmentation, ..measurement() };
        let rows = measure(&model, &[plan(FormatKind::Choice.format(), items.collect())], &how);
        assert_eq!(rows.prefixes.len(), 2 * 4);
        for at in &rows.prefixes {
            let prompt = if &*at.question_id == "q0" { "a" } else { "b" };
            let trace = &model.encode_plain("ab1b").unwrap()[..at.n_tokens as usize];
            let context =
                [&model.encode_prompt(prompt).unwrap().token_ids, trace, &model.encode_plain(cue).unwrap()]
                    .concat();
            let raw = surfaces.map(|surface| match (form, logprob(&model, &context, surface)) {
                (ChoiceForm::TextMean, (sum, n)) => (sum / n as f64).exp(),
                (_, (sum, _)) => sum.exp(),
            });
            let total: f64 = raw.iter().sum();
            for row in answers_at(&rows, at) {
                let index = ["A", "B", "C1"].iter().position(|label| *label == &*row.answer).unwrap();
                assert!(close(row.prob, raw[index] / total) && close(row.logprob, (raw[index] / total).ln()));
            }
            assert!(close(at.answer_entropy, entropy(raw.into_iter())));
            assert!(close(at.entropy_lower, at.entropy_upper));
            assert!(close(at.target_logprob.unwrap(), (raw[2] / total).ln()));
            match form {
                ChoiceForm::TextMean => assert_eq!(at.elicited_mass, None),
                _ => assert!(close(at.elicited_mass.unwrap(), total)),
            }
        }
    }
}

#[test]
fn options_that_the_engine_does_not_tell_are_within_the_interval() {
    for seed in 0..10 {
        let items = || vec![asked(asked_question(0), "a", &[imported("ab1b")])];
        let how = Measurement { segmentation: Segmentation::Tokens(1), ..measurement() };
        let tasks = [plan(FormatKind::Choice.format(), items())];
        let truth = measure(&model(seed), &tasks, &how);
        for top_k in [1, 2, 4] {
            let limited = model(seed).telling(Reach { top_k: Some(top_k), gather: Some(0) });
            let rows = measure(&limited, &tasks, &how);
            for at in &rows.prefixes {
                let exact = truth.prefixes.iter().find(|row| row.step == at.step).unwrap();
                let holds = at.entropy_lower <= exact.answer_entropy + 1e-9
                    && exact.answer_entropy <= at.entropy_upper + 1e-9;
                assert!(holds, "{} is outside of {at:?}", exact.answer_entropy);
                for row in answers_at(&rows, at) {
                    let exact =
                        answers_at(&truth, exact).into_iter().find(|e| e.answer == row.answer).unwrap();
                    assert!(row.prob <= exact.prob + 1e-9, "{row:?} {exact:?}");
                }
            }
        }
    }
}

#[test]
fn labels_of_one_and_of_several_tokens() {
    check(ChoiceForm::Label, "\n");
}

#[test]
fn without_a_cue_options_follow_the_prefix() {
    check(ChoiceForm::Label, "");
}

#[test]
fn texts_summed() {
    check(ChoiceForm::Text, "\n");
}

#[test]
fn texts_by_the_mean_of_a_token() {
    check(ChoiceForm::TextMean, "\n");
}

#[test]
fn enumerating_the_labels_agrees_where_one_token_string_writes_each() {
    // Renormalised over the labels, the two estimators differ by what may follow a label; with a model that ends there, by nothing.
    let vocabulary = Vocabulary::chat([" A", " B", "\n", "a"]);
    let [a, b, other] = [" A", " B", "a"].map(|text| vocabulary.encode(text).unwrap()[0]);
    let (n_tokens, end) = (vocabulary.len(), vocabulary.end());
    let script = move |tokens: &[TokenId]| {
        let mut probs = vec![0.0; n_tokens];
        let mut put = |token: TokenId, p: f64| probs[token as usize] = p;
        if tokens.last().is_some_and(|last| [a, b].contains(last)) {
            put(end, 1.0);
        } else {
            let towards_b = 0.05 * tokens.len() as f64;
            let rows = [(a, 0.5 - towards_b), (b, 0.2 + towards_b), (other, 0.2), (end, 0.1)];
            rows.into_iter().for_each(|(token, p)| put(token, p));
        }
        probs
    };
    let model = Scripted::new(vocabulary, script);
    let question =
        |i| Question { choices: Some(choices(&["A", "B"], &["x", "y"])), ..question(i, Some("B")) };
    let of = |estimator| {
        let items = vec![asked(question(0), "a", &[imported("aa")])];
        let segmentation = Segmentation::Tokens(1);
        let estimator = EstimatorChoice::Always(estimator);
        let how = Measurement { estimator, cue: "\n".into(), segmentation, ..measurement() };
        measure(&model, &[plan(FormatKind::Choice.format(), items)], &how).prefixes
    };
    let (by_label, by_string) = (of(Estimator::Choices), of(Estimator::Enumerate));
    assert_eq!(by_label.len(), 3);
    for (a, b) in by_label.iter().zip(&by_string) {
        assert!(close(a.answer_entropy, b.answer_entropy), "{a:?} {b:?}");
        assert!(close(a.target_logprob.unwrap(), b.target_logprob.unwrap()), "{a:?} {b:?}");
        assert!(close(a.elicited_mass.unwrap(), b.elicited_mass.unwrap()), "{a:?} {b:?}");
    }
}

#[test]
fn a_question_without_options_fails_with_the_reason() {
    let mut bare = question(0, None);
    bare.target = Some(Answer::Value("1".into()));
    let how = Measurement {
        estimator: EstimatorChoice::Always(Estimator::Choices),
        cue: "\n".into(),
        ..measurement()
    };
    let items = vec![asked(bare, "a", &[imported("ab")]), asked(asked_question(1), "b", &[imported("ab")])];
    let rows = measure(&model(0), &[plan(FormatKind::Number.format(), items)], &how);
    assert_eq!(rows.traces[0].outcome, Outcome::Failed);
    assert!(rows.traces[0].reason.as_ref().unwrap().contains("lists no choices"));
}

#[test]
fn options_of_one_text_fail_with_the_reason_unless_labels_are_scored() {
    let alike = Question { choices: Some(choices(&["A", "B"], &["ab", "ab"])), ..question(0, Some("A")) };
    let items = || {
        vec![asked(alike.clone(), "a", &[imported("ab")]), asked(asked_question(1), "b", &[imported("ab")])]
    };
    let run = |choice_form| {
        let how = Measurement { choice_form, cue: "\n".into(), ..measurement() };
        measure(&model(0), &[plan(FormatKind::Choice.format(), items())], &how).traces
    };
    for form in [ChoiceForm::Text, ChoiceForm::TextMean] {
        let traces = run(form);
        assert_eq!(
            traces.iter().map(|t| t.outcome).collect::<Vec<_>>(),
            [Outcome::Failed, Outcome::Measured]
        );
        assert!(traces[0].reason.as_ref().unwrap().contains("options A and B read alike"), "{traces:?}");
    }
    assert!(run(ChoiceForm::Label).iter().all(|trace| trace.outcome == Outcome::Measured));
}
