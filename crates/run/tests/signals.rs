//! Signals on demand, against a scripted model whose every reading can be worked out by hand.
//!
//! The model is certain of every token but two: after `The letter is` it writes ` A` three times as often as ` B`, and after the answer
//! cue ` A` with 0.7. Its hidden state l of 2 mixes the even distribution with the script's, and its attention is even.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use entrace_backend::scripted::{Scripted, Vocabulary};
use entrace_backend::{ChatMessage, Role, Sampling};
use entrace_measure::signal::Group;
use entrace_measure::{
    Answer, AnswerFormat, AnswerGrammar, Choices, Estimator, GrammarState, Question, Segmentation, TokenId,
    Verdict,
};
use entrace_record::manifest::{Manifest, TraceSource};
use entrace_record::rows::{Outcome, SignalRow};
use entrace_record::{RunReader, RunWriter};
use entrace_run::{
    Capability, ChoiceForm, Engine, Error, EstimatorChoice, Measured, Measurement, Prompting, TaskPlan,
    TraceInput, TraceMaking, WorkItem,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One letter, with a space before it; a format of this name.
struct Letter(&'static str);

impl AnswerFormat for Letter {
    fn name(&self) -> &'static str {
        self.0
    }

    fn extract(&self, completion: &str, choices: Option<&Choices>) -> Answer {
        completion
            .rfind(" is ")
            .map_or(Answer::Invalid, |at| self.canonical(&completion[at + 3..at + 5], choices))
    }

    fn canonical(&self, surface: &str, _: Option<&Choices>) -> Answer {
        match surface.trim() {
            letter @ ("A" | "B") => Answer::Value(letter.into()),
            _ => Answer::Invalid,
        }
    }

    fn surface_forms(&self, answer: &Answer, _: Option<&Choices>) -> Vec<String> {
        answer.value().map(|letter| format!(" {letter}")).into_iter().collect()
    }

    fn grammar(&self, _: Option<&Choices>) -> Box<dyn AnswerGrammar> {
        Box::new(Letter(self.0))
    }
}

impl AnswerGrammar for Letter {
    fn start(&self) -> GrammarState {
        GrammarState(0)
    }

    fn step(&self, state: GrammarState, character: char) -> GrammarState {
        match (state.0, character) {
            (0, ' ') => GrammarState(1),
            (1, 'A' | 'B') => GrammarState(2),
            (2, _) => GrammarState(3),
            _ => GrammarState(4),
        }
    }

    fn verdict(&self, state: GrammarState) -> Verdict {
        [Verdict::Open, Verdict::Open, Verdict::Complete, Verdict::Closed, Verdict::Invalid][state.0 as usize]
    }
}

const COMPLETION: &str = "It is A.";

fn model() -> Scripted {
    let vocabulary = Vocabulary::ascii();
    let spelling = vocabulary.clone();
    let script = move |tokens: &[TokenId]| {
        let text: String = tokens.iter().map(|&token| spelling.spelling(token)).collect();
        let mut probs = vec![0.0; spelling.len()];
        for (character, p) in next(&text) {
            let token = match character {
                Some(character) => spelling.encode(&character.to_string()).unwrap()[0],
                None => spelling.end(),
            };
            probs[token as usize] += p;
        }
        probs
    };
    Scripted::new(vocabulary, script)
}

/// Characters that may follow; none is the end of the turn.
fn next(text: &str) -> Vec<(Option<char>, f64)> {
    let turn = text.rsplit("<|assistant|>").next().unwrap_or_default();
    for (cue, letters) in [("The letter is", [0.6, 0.2]), ("The answer is", [0.7, 0.3])] {
        if turn.ends_with(cue) {
            return vec![(Some(' '), 1.0)];
        }
        if turn.ends_with(&format!("{cue} ")) {
            let rest = 1.0 - letters[0] - letters[1];
            return vec![(Some('A'), letters[0]), (Some('B'), letters[1]), (Some('C'), rest)];
        }
    }
    let line = turn.rsplit('\n').next().unwrap_or_default();
    let (written, so_far) =
        if line.starts_with("Conf") { ("Confidence: 85%\n", line) } else { (COMPLETION, turn) };
    if let Some(rest) = written.strip_prefix(so_far) {
        return vec![(rest.chars().next(), 1.0)];
    }
    vec![(None, 1.0)]
}

fn measurement(estimator: Estimator, signals: &[Group]) -> Measurement {
    let sampling =
        Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 30, stop: vec!["\n".into()] };
    Measurement {
        estimator: EstimatorChoice::Always(estimator),
        cue: "\nThe answer is".into(),
        more_cues: Vec::new(),
        choice_form: ChoiceForm::Label,
        samples: 3,
        epsilon: 0.01,
        max_nodes: 64,
        max_answer_tokens: 4,
        segmentation: Segmentation::parse("line").unwrap(),
        max_steps: None,
        controls: vec![],
        control_depths: None,
        control_nodes: 10_000,
        rollouts: None,
        signals: signals.iter().copied().collect(),
        stopping: None,
        traces: TraceMaking { sampling },
        seed: 1,
        batch_size: 4,
    }
}

fn question(id: &str) -> Arc<Question> {
    let list = |texts: [&str; 2]| texts.map(String::from).to_vec();
    Arc::new(Question {
        task: "letters".into(),
        id: id.into(),
        text: "A or B?".into(),
        choices: Some(Choices::new(list(["A", "B"]), list(["one", "two"])).unwrap()),
        target: Some(Answer::Value("A".into())),
        rationale: None,
    })
}

/// The same question by chat and as plain text.
fn plan(format: &'static str) -> TaskPlan {
    let chat = Prompting::Chat(vec![ChatMessage { role: Role::User, content: "A or B?".into() }]);
    let plain = Prompting::Verbatim("<|begin|>A or B?<|assistant|>".into());
    let item = |id: &str, prompting| WorkItem {
        question: question(id),
        prompting,
        traces: vec![(0, TraceInput::Generate)],
    };
    TaskPlan {
        name: "letters".into(),
        format: Arc::new(Letter(format)),
        items: vec![item("chat", chat), item("plain", plain)],
    }
}

fn manifest(model: &Scripted, how: &Measurement) -> Manifest {
    let measured = Measured {
        tasks: Vec::new(),
        traces: TraceSource::Imported { path: String::new(), hash: String::new(), sampling: None },
        revision: None,
        template_vars: BTreeMap::new(),
    };
    Manifest::begun(how.settings(model, measured), Vec::new(), None)
}

struct Recorded {
    reader: RunReader,
    signals: Vec<SignalRow>,
    _folder: tempfile::TempDir,
}

fn run(model: &Scripted, how: &Measurement, reads_layers: bool) -> Result<Recorded, Error> {
    run_as("letter", model, how, reads_layers)
}

fn run_as(
    format: &'static str,
    model: &Scripted,
    how: &Measurement,
    reads_layers: bool,
) -> Result<Recorded, Error> {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = RunWriter::open(folder.path(), &manifest(model, how)).unwrap();
    let layers = if reads_layers { Some(model as &dyn entrace_backend::ReadLayers) } else { None };
    let engine = Engine { text: model, generator: Some(model), scorer: Some(model), layers };
    entrace_run::run(engine, &[plan(format)], how, &mut writer, &mut ())?;
    let reader = RunReader::open(folder.path()).unwrap();
    let signals = reader.signals().unwrap();
    Ok(Recorded { reader, signals, _folder: folder })
}

impl Recorded {
    fn row(&self, question: &str, signal: &str) -> &SignalRow {
        let mut rows = self.signals.iter().filter(|r| &*r.question_id == question && &*r.signal == signal);
        let row = rows.next().unwrap_or_else(|| panic!("{signal} of {question} is not there"));
        assert!(rows.next().is_none(), "{signal} of {question} is there once");
        row
    }

    #[track_caller]
    fn check(&self, question: &str, signal: &str, expected: f64) {
        let row = self.row(question, signal);
        let value = row.value.unwrap_or_else(|| panic!("{signal} of {question}: {:?}", row.reason));
        assert!((value - expected).abs() < 1e-9, "{signal} of {question}: {value} against {expected}");
    }
}

#[test]
fn every_reading_is_what_the_script_gives() {
    let model = model();
    let found = run(&model, &measurement(Estimator::Choices, &Group::ALL), true).unwrap();
    let v = model.vocabulary().len() as f64;
    for trace in found.reader.traces().unwrap() {
        assert_eq!((&*trace.completion, trace.outcome), (COMPLETION, Outcome::Measured));
        let id = &trace.question_id;
        found.check(id, "p_true", 0.75);
        found.check(id, "verbalised_confidence", 0.85);
        found.check(id, "semantic_entropy", -0.7 * 0.7f64.ln() - 0.3 * 0.3f64.ln());
        // Half of the first layer's distribution is even, half on one token; the second layer is certain.
        let (one, other) = (0.5 + 0.5 / v, 0.5 / v);
        let entropy = -one * one.ln() - (v - 1.0) * other * other.ln();
        found.check(id, "lens_entropy", entropy / 2.0);
        found.check(id, "lens_last_drop", entropy);
        found.check(id, "lens_answer_depth", 0.5);
        found.check(id, "depth_drift", 0.5 * (1.0 - 1.0 / v).sqrt());
        let (n_prompt, n_trace) = (trace.n_prompt_tokens, trace.n_trace_tokens);
        found.check(id, "attention_entropy", f64::from(n_prompt + n_trace).ln());
        let own = (n_prompt + 1..=n_prompt + n_trace).map(|n| -f64::from(n).ln()).sum::<f64>();
        found.check(id, "attention_score", own / f64::from(n_trace));
        let eigen = found.row(id, "eigen_score");
        assert!(eigen.value.is_none() && eigen.reason.as_deref().unwrap().contains("estimator sample"));
    }
}

#[test]
fn drawn_answers_give_an_eigen_score() {
    let found = run(&model(), &measurement(Estimator::Rollout, &[Group::Hidden]), true).unwrap();
    // All draws are the same: the states are equal, and two of three eigenvalues are α.
    let value = found.row("chat", "eigen_score").value.unwrap();
    let v = model().vocabulary().len() as f64;
    let variance = 0.25 * (1.0 - 1.0 / v) / (v - 1.0);
    let expected = ((3.0 * variance + 1e-3).ln() + 2.0 * 1e-3f64.ln()) / 3.0;
    assert!((value - expected).abs() < 1e-3, "{value} against {expected}");
    let prefixes = found.reader.prefixes().unwrap();
    assert!(prefixes.iter().all(|row| row.cue_entropy.is_none()), "rollouts ask nothing after a cue");
}

#[test]
fn free_text_is_judged_by_the_model() {
    // The script says yes to whatever is asked with two letters, so all answers mean the same.
    let found =
        run_as("text", &model(), &measurement(Estimator::Choices, &[Group::Semantic]), false).unwrap();
    found.check("chat", "semantic_entropy", 0.0);
    found.check("plain", "semantic_entropy", 0.0);
}

#[test]
fn nothing_is_measured_unasked_and_tokens_are_scored_in_full() {
    let found = run(&model(), &measurement(Estimator::Choices, &[]), true).unwrap();
    assert!(found.signals.is_empty());
    let tokens = found.reader.tokens().unwrap();
    assert_eq!(tokens.len(), 2 * COMPLETION.len());
    for token in tokens {
        // The script is certain: no entropy, and an infinite distance from what it never writes.
        assert!(token.token_entropy.unwrap().abs() < 1e-12);
        assert!(token.top2_margin.unwrap().is_infinite() && token.uniform_divergence.unwrap().is_infinite());
        assert!(token.topk_confidence.is_some());
    }
    let prefixes = found.reader.prefixes().unwrap();
    // The script is certain of the space after the cue.
    assert!(prefixes.iter().all(|row| row.cue_entropy.is_some_and(|h| h.abs() < 1e-12)));
}

#[test]
fn a_question_that_does_not_fit_is_a_reason() {
    let model = model().with_context_length(70);
    let found =
        run(&model, &measurement(Estimator::Choices, &[Group::PTrue, Group::Verbalised]), true).unwrap();
    for signal in ["p_true", "verbalised_confidence"] {
        let row = found.row("chat", signal);
        assert_eq!(row.value, None);
        assert!(row.reason.as_deref().expect("a reason").contains("70"), "{:?}", row.reason);
    }
    assert!(found.reader.traces().unwrap().iter().all(|trace| trace.outcome == Outcome::Measured));
}

#[test]
fn an_engine_without_layers_is_refused_at_once() {
    let how = measurement(Estimator::Choices, &[Group::Attention]);
    assert!(matches!(run(&model(), &how, false), Err(Error::Lacks(Capability::ReadLayers))));
    let how = measurement(Estimator::Choices, &[Group::PTrue]);
    assert!(run(&model(), &how, false).is_ok());
}
