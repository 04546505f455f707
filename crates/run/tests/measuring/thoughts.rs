//! Models that think before they reply: the thought is the trace, the reply holds the answer, and cues come after the thought.
//!
//! The model writes one fixed turn. Asked for an answer elsewhere, it says 7 where no thought is open, and 5 within one.

use crate::support::{imported, measure, measurement, numbers, question};
use entrace_backend::scripted::{Scripted, SpecialToken, Vocabulary};
use entrace_backend::{ChatMessage, Role};
use entrace_measure::signal::Group;
use entrace_measure::{Estimator, Thoughts, TokenId};
use entrace_record::rows::Rows;
use entrace_run::{Control, EstimatorChoice, Measurement, Prompting, TraceInput, WorkItem};
use std::collections::BTreeSet;
use std::sync::Arc;

const THOUGHT: &str = "Is it 5? The answer is 5.\n\nWait. 3 + 4 = 7.\n";
const REPLY: &str = "</think>\n\nThe answer is 7.";

fn vocabulary() -> Vocabulary {
    let characters: Vec<String> = (' '..='~').chain(['\n']).map(String::from).collect();
    Vocabulary::chat(characters.iter().map(String::as_str).chain(["<think>", "</think>"]))
}

/// A model whose turn is `turn`, of which the template writes `opening`.
fn model(turn: String, opening: &str) -> Scripted {
    let words = vocabulary();
    let written = words.encode(&turn).unwrap();
    let script = move |tokens: &[TokenId]| {
        let begin = tokens.iter().rposition(|&token| Some(token) == words.special(SpecialToken::Assistant));
        let so_far = &tokens[begin.map_or(0, |at| at + 1)..];
        let next = match written.strip_prefix(so_far) {
            Some(rest) => rest.first().copied(),
            None => asked(&words.decode(so_far).text, &words),
        };
        let mut probs = vec![0.0; words.len()];
        probs[next.unwrap_or(words.end()) as usize] = 1.0;
        probs
    };
    let thoughts = Thoughts::of_template(r"{{ '<think>\n' + reasoning_content + '\n</think>\n\n' }}");
    Scripted::new(vocabulary(), script).thinking(thoughts, opening)
}

/// The next token after a cue.
fn asked(turn: &str, words: &Vocabulary) -> Option<TokenId> {
    let is_open = turn.rfind("<think>") > turn.rfind("</think>");
    let answer = |cue: &str, [closed, open]: [&'static str; 2]| {
        let answer = if is_open { open } else { closed };
        turn.rsplit_once(cue).and_then(|(_, begun)| answer.strip_prefix(begun))
    };
    let rest = answer("The answer is", [" 7.", " 5."])
        .or_else(|| answer("The letter is", [" A", " B"]))
        .or_else(|| answer("Confidence:", [" 90.", " 10."]))?;
    words.encode(rest).unwrap().first().copied()
}

/// DeepSeek-R1: the template opens the thought.
fn r1() -> Scripted {
    model(format!("<think>\n{THOUGHT}{REPLY}"), "<think>\n")
}

/// Qwen 3: the model opens it.
fn qwen3() -> Scripted {
    model(format!("<think>\n{THOUGHT}{REPLY}"), "")
}

fn asked_with(trace: TraceInput) -> WorkItem {
    let message = ChatMessage { role: Role::User, content: "3 + 4?".into() };
    WorkItem {
        question: Arc::new(question(0, Some("7"))),
        prompting: Prompting::Chat(vec![message]),
        traces: vec![(0, trace)],
    }
}

fn how(estimator: Estimator) -> Measurement {
    let mut how = Measurement {
        estimator: EstimatorChoice::Always(estimator),
        samples: 2,
        max_nodes: 50,
        ..measurement()
    };
    how.traces.sampling.max_new_tokens = 100;
    how
}

fn measured(model: &Scripted, trace: TraceInput, how: &Measurement) -> Rows {
    measure(model, &[numbers(vec![asked_with(trace)])], how)
}

/// The texts of the steps.
fn steps(rows: &Rows) -> Vec<String> {
    let mut steps = vec![String::new(); rows.traces[0].n_steps as usize];
    rows.tokens.iter().for_each(|token| steps[token.step as usize - 1] += &token.text);
    steps
}

/// What a trace that was written and the same one from a file must share.
fn check_alike(written: &Rows, scored: &Rows) {
    let [a, b] = [written, scored].map(|rows| &rows.traces[0]);
    assert_eq!((&a.completion, &a.answer, a.correct), (&b.completion, &b.answer, b.correct));
    assert_eq!((a.n_trace_tokens, a.n_steps), (b.n_trace_tokens, b.n_steps));
    let tokens =
        |rows: &Rows| rows.tokens.iter().map(|token| (token.token_id, token.step)).collect::<Vec<_>>();
    assert_eq!(tokens(written), tokens(scored));
    assert_eq!((&written.prefixes, &written.answers), (&scored.prefixes, &scored.answers));
}

fn leaders(rows: &Rows, control: &str) -> Vec<String> {
    let of_control = rows.prefixes.iter().filter(|at| &*at.control == control);
    of_control.map(|at| at.leader.to_string()).collect()
}

#[test]
fn the_thought_is_cut_into_steps_and_the_reply_is_read() {
    for (model, mark) in [(r1(), ""), (qwen3(), "<think>\n")] {
        for estimator in [Estimator::Enumerate, Estimator::Sample, Estimator::Rollout] {
            let how = how(estimator);
            let written = measured(&model, TraceInput::Generate, &how);
            let trace = &written.traces[0];
            assert_eq!(trace.completion, format!("{mark}{THOUGHT}{REPLY}"));
            assert_eq!((trace.answer.as_deref(), trace.correct), (Some("7"), Some(true)));
            let (first, second) = THOUGHT.split_at(THOUGHT.find("Wait").unwrap());
            assert_eq!(steps(&written), [format!("{mark}{first}"), second.to_string()]);
            assert_eq!(leaders(&written, "none"), ["7"; 3], "{}", estimator.name());
            check_alike(&written, &measured(&model, imported(&trace.completion), &how));
        }
    }
}

#[test]
fn a_thought_that_the_limit_cuts_has_no_answer() {
    for model in [r1(), qwen3()] {
        for (estimator, leader) in [(Estimator::Enumerate, "7"), (Estimator::Rollout, "[invalid]")] {
            let mut how = how(estimator);
            how.traces.sampling.max_new_tokens = 40;
            let written = measured(&model, TraceInput::Generate, &how);
            let trace = &written.traces[0];
            assert_eq!(trace.stop_reason.as_deref(), Some("length"));
            assert!(trace.completion.contains("The answer is 5."), "{:?}", trace.completion);
            assert_eq!((trace.answer.as_deref(), trace.correct), (Some("[invalid]"), Some(false)));
            assert_eq!(leaders(&written, "none"), [leader; 3]);
            if estimator == Estimator::Enumerate {
                check_alike(&written, &measured(&model, imported(&trace.completion), &how));
            }
        }
    }
}

#[test]
fn a_thought_without_its_opening_mark_is_one() {
    let other = model("Well.".into(), "");
    let rows = measured(&other, imported(&format!("{THOUGHT}{REPLY}")), &how(Estimator::Enumerate));
    assert_eq!((rows.traces[0].answer.as_deref(), rows.traces[0].n_steps), (Some("7"), 2));
    assert_eq!(steps(&rows).concat(), THOUGHT);
}

#[test]
fn the_opening_mark_stays_in_front_of_shuffled_steps() {
    let how = Measurement { controls: vec![Control::Shuffled], ..how(Estimator::Enumerate) };
    let rows = measured(&qwen3(), TraceInput::Generate, &how);
    assert_eq!(leaders(&rows, "shuffled"), ["7"; 3]);
}

#[test]
fn signals_that_ask_after_a_cue_close_thoughts_too() {
    let groups = BTreeSet::from([Group::PTrue, Group::Verbalised, Group::Layers]);
    for model in [r1(), qwen3()] {
        for max_new_tokens in [40, 100] {
            let mut how = Measurement { signals: groups.clone(), ..how(Estimator::Enumerate) };
            how.traces.sampling.max_new_tokens = max_new_tokens;
            let rows = measured(&model, TraceInput::Generate, &how);
            let value = |name: &str| rows.signals.iter().find(|row| &*row.signal == name).unwrap().value;
            assert_eq!((value("p_true"), value("verbalised_confidence")), (Some(1.0), Some(0.9)));
            assert!(value("lens_answer_depth").is_some());
        }
    }
}

#[test]
fn an_empty_thought_leaves_the_whole_text_as_trace() {
    let text = "<think>\n\n</think>\n\n3 + 4 = 7.\n\nThe answer is 7.";
    let model = model(text.into(), "");
    let how = how(Estimator::Enumerate);
    let written = measured(&model, TraceInput::Generate, &how);
    assert_eq!(steps(&written), ["<think>\n\n</think>\n\n3 + 4 = 7.\n\n", "The answer is 7."]);
    check_alike(&written, &measured(&model, imported(text), &how));
}

#[test]
fn what_runs_on_into_another_question_is_no_part_of_the_trace() {
    let own = "3 + 4 = 7.\n\nThe answer is 7.\n\n";
    let text = format!("{own}Q: 1 + 1?\nA: The answer is 2.");
    let model = model(text.clone(), "");
    for estimator in [Estimator::Enumerate, Estimator::Rollout] {
        let how = how(estimator);
        let written = measured(&model, TraceInput::Generate, &how);
        let trace = &written.traces[0];
        assert_eq!((&trace.completion, trace.answer.as_deref()), (&text, Some("7")));
        assert_eq!(steps(&written).concat(), own);
        assert_eq!(leaders(&written, "none"), ["7"; 3]);
        check_alike(&written, &measured(&model, imported(&text), &how));
    }
}
