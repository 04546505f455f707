//! `enumerate` against the answer distribution added up over every string.
//!
//! The models are random, over vocabularies so small that all strings up to the longest context can be listed. What a listed string
//! answers is read here character by character, apart from the way in which the estimator sorts tokens.

use crate::support::{
    answers_at, asked, close, engine, entropy, imported, manifest, measure, measurement, plan, question, rows,
};
use entrace_backend::scripted::{RandomScript, Scripted, Vocabulary};
use entrace_backend::{Reach, Text};
use entrace_datasets::FormatKind;
use entrace_measure::{
    Answer, AnswerFormat, AnswerGrammar, Choices, GrammarState, Segmentation, TokenId, Verdict,
};
use entrace_record::RunWriter;
use entrace_record::rows::{Outcome, PrefixRow, Rows};
use entrace_run::{Event, Measurement, Observer, TaskPlan};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Words of up to four letters a and b, ended by a full stop or the end of the turn. Capitals are surface forms of small letters.
struct Words;

const LONGEST: u32 = 4;
const CLOSED: GrammarState = GrammarState(100);
const INVALID: GrammarState = GrammarState(101);

impl AnswerGrammar for Words {
    fn start(&self) -> GrammarState {
        GrammarState(0)
    }

    fn step(&self, state: GrammarState, character: char) -> GrammarState {
        match (state, character) {
            (CLOSED | INVALID, _) => state,
            // The first letter is an a, so that fewer tokens extend the beginning than what follows it.
            (GrammarState(0), 'a' | 'A') => GrammarState(1),
            (GrammarState(n), 'a' | 'b' | 'A') if (1..LONGEST).contains(&n) => GrammarState(n + 1),
            (GrammarState(n), '.') if n > 0 => CLOSED,
            _ => INVALID,
        }
    }

    fn verdict(&self, state: GrammarState) -> Verdict {
        match state {
            CLOSED => Verdict::Closed,
            INVALID => Verdict::Invalid,
            GrammarState(0) => Verdict::Open,
            _ => Verdict::Complete,
        }
    }
}

impl AnswerFormat for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn extract(&self, completion: &str, choices: Option<&Choices>) -> Answer {
        self.canonical(completion, choices)
    }

    fn canonical(&self, surface: &str, _: Option<&Choices>) -> Answer {
        Answer::Value(surface.to_lowercase())
    }

    fn surface_forms(&self, answer: &Answer, _: Option<&Choices>) -> Vec<String> {
        answer.value().map(|value| vec![value.to_string(), value.replace('a', "A")]).unwrap_or_default()
    }

    fn grammar(&self, _: Option<&Choices>) -> Box<dyn AnswerGrammar> {
        Box::new(Self)
    }
}

/// What a finished string answers.
fn read_word(text: &str) -> Option<String> {
    let word = text.split('.').next().unwrap_or_default();
    let letters = word.chars().all(|c| matches!(c, 'a' | 'b' | 'A'));
    let fits = word.starts_with(['a', 'A']) && word.len() <= LONGEST as usize && letters;
    fits.then(|| word.to_lowercase())
}

/// What a finished string answers as a number of at most one comma.
fn read_number(text: &str) -> Option<String> {
    let mut grammar_text = String::new();
    let grammar = FormatKind::Number.format().grammar(None);
    let mut state = grammar.start();
    for character in text.chars() {
        state = grammar.step(state, character);
        match grammar.verdict(state) {
            Verdict::Invalid => return None,
            Verdict::Closed => break,
            Verdict::Open | Verdict::Complete => grammar_text.push(character),
        }
    }
    if grammar.verdict(state) == Verdict::Open {
        return None;
    }
    let answer = FormatKind::Number.format().canonical(&grammar_text, None);
    answer.value().map(str::to_string)
}

/// A kind of answers with everything to list them by.
struct Case {
    format: Arc<dyn AnswerFormat>,
    read: fn(&str) -> Option<String>,
    pieces: &'static [&'static str],
    vocabulary: fn(&[&'static str]) -> Vocabulary,
    target: &'static str,
    /// Contexts of so many tokens end for certain.
    longest: usize,
}

fn words() -> Case {
    Case {
        format: Arc::new(Words),
        read: read_word,
        pieces: &["a", "b", "A", "ab", "b.", "x", "."],
        vocabulary: |pieces| Vocabulary::bare(pieces.iter().copied()),
        target: "ab",
        longest: 6,
    }
}

fn number_case() -> Case {
    let format = FormatKind::Number.format();
    Case {
        format,
        read: read_number,
        pieces: &["1", "2", "12", ".", " ", "-", "a", "b"],
        vocabulary: |pieces| Vocabulary::chat(pieces.iter().copied()),
        target: "12",
        longest: 7,
    }
}

/// Probability of every answer after the context; `None` is what is no answer. A special token within an answer leaves the grammar.
fn listed(model: &Scripted, context: &[TokenId], case: &Case) -> BTreeMap<Option<String>, f64> {
    let grammar = case.format.grammar(None);
    let mut found = BTreeMap::new();
    let mut open = vec![(context.to_vec(), 1.0)];
    while let Some((tokens, mass)) = open.pop() {
        let text = model.decode(&tokens[context.len()..]).text;
        let decided = grammar.verdict(grammar.walk(grammar.start(), &text)) == Verdict::Closed;
        for (token, p) in (0..).zip(model.distribution(&tokens).unwrap()) {
            if decided || token == model.vocabulary().end() {
                *found.entry((case.read)(&text)).or_insert(0.0) += mass * p;
            } else if model.token_text(token).is_empty() {
                *found.entry(None).or_insert(0.0) += mass * p;
            } else if p > 0.0 {
                open.push(([tokens.as_slice(), &[token]].concat(), mass * p));
            }
        }
    }
    found
}

fn task(case: &Case, target: Option<&str>) -> TaskPlan {
    let item = |(i, prompt): (usize, &&str)| asked(question(i, target), prompt, &[imported("a")]);
    plan(Arc::clone(&case.format), ["a", "b"].iter().enumerate().map(item).collect())
}

fn how(epsilon: f64, max_nodes: usize, max_answer_tokens: usize) -> Measurement {
    let segmentation = Segmentation::Tokens(1);
    Measurement { cue: "b".into(), epsilon, max_nodes, max_answer_tokens, segmentation, ..measurement() }
}

fn model(case: &Case, seed: u64) -> Scripted {
    let sharpness = [0.5, 1.5, 4.0][seed as usize % 3];
    let script = RandomScript { seed, sharpness, longest: Some(case.longest) };
    Scripted::new((case.vocabulary)(case.pieces), script)
}

fn context(model: &Scripted, task: &TaskPlan, at: &PrefixRow) -> Vec<TokenId> {
    let index: usize = at.question_id[1..].parse().unwrap();
    let entrace_run::Prompting::Verbatim(prompt) = &task.items[index].prompting else { panic!("a prompt") };
    let trace = &model.encode_plain("a").unwrap()[..at.n_tokens as usize];
    let parts = [&model.encode_prompt(prompt).unwrap().token_ids, trace, &model.encode_plain("b").unwrap()];
    parts.concat()
}

/// Holds one prefix against the list; `whole` if nothing may be left unexplored.
fn check(rows: &Rows, at: &PrefixRow, listed: &BTreeMap<Option<String>, f64>, whole: bool) {
    let declined = listed.get(&None).copied().unwrap_or(0.0);
    let exact =
        |answer: &str| listed.get(&Some(answer.to_string())).copied().unwrap_or(0.0) / (1.0 - declined);
    let truth = entropy(listed.iter().filter(|(answer, _)| answer.is_some()).map(|(_, &p)| p));
    assert!(at.entropy_lower <= truth + 1e-9 && truth <= at.entropy_upper + 1e-9, "{truth} {at:?}");
    assert!(at.entropy_lower <= at.answer_entropy && at.answer_entropy <= at.entropy_upper, "{at:?}");
    let found = answers_at(rows, at);
    for row in &found {
        assert!(row.prob <= exact(&row.answer) + 1e-12, "{row:?} {}", exact(&row.answer));
    }
    let sum: f64 = found.iter().map(|row| row.prob).sum();
    assert!(close(sum + at.residual_mass, 1.0), "{sum} {at:?}");
    assert!(at.elicited_mass.unwrap() >= 1.0 - declined - 1e-12, "{declined} {at:?}");
    if whole {
        // Strings of less than 1e-12 are not followed.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(at.residual_mass < 1e-6, "{at:?}");
        assert!(near(at.answer_entropy, truth) && near(at.elicited_mass.unwrap(), 1.0 - declined), "{at:?}");
        assert!(found.iter().all(|row| near(row.prob, exact(&row.answer))), "{at:?}");
    }
}

/// Raw mass of the token strings that the target's own surface forms are, read to their end.
fn forced_mass(model: &Scripted, case: &Case, context: &[TokenId]) -> f64 {
    let grammar = case.format.grammar(None);
    let forms = case.format.surface_forms(&Answer::Value(case.target.into()), None);
    let written = forms.iter().map(|form| (form, model.encode_plain(form).unwrap()));
    let mut paths: Vec<Vec<TokenId>> =
        written.filter(|(form, path)| model.decode(path).text == **form).map(|(_, path)| path).collect();
    paths.sort();
    paths.dedup();
    let mass = |path: &Vec<TokenId>| {
        let mut tokens = context.to_vec();
        let mut mass = 1.0;
        for &token in path {
            mass *= model.distribution(&tokens).unwrap()[token as usize];
            tokens.push(token);
        }
        let state = grammar.walk(grammar.start(), &model.decode(path).text);
        let ends = |token: TokenId| {
            let text = model.token_text(token);
            let first = text.chars().next();
            token == model.vocabulary().end()
                || first.is_some_and(|c| grammar.verdict(grammar.step(state, c)) == Verdict::Closed)
        };
        let next = model.distribution(&tokens).unwrap();
        mass * (0..).zip(next).filter(|&(token, _)| ends(token)).map(|(_, p)| p).sum::<f64>()
    };
    paths.iter().map(mass).sum()
}

#[test]
fn of_an_engine_that_tells_part_of_each_distribution_the_interval_holds() {
    let mut n_measured = 0;
    for (case, seed) in [words(), number_case()].iter().flat_map(|case| (0..6).map(move |seed| (case, seed)))
    {
        let whole = model(case, seed);
        let tasks = [task(case, Some(case.target))];
        for (top_k, gather) in [(3, 2), (1, 1), (4, 0)] {
            let limited = model(case, seed).telling(Reach { top_k: Some(top_k), gather: Some(gather) });
            let rows = measure(&limited, &tasks, &how(0.0, 100_000, 12));
            n_measured += rows.prefixes.len();
            for at in &rows.prefixes {
                let list = listed(&whole, &context(&whole, &tasks[0], at), case);
                check(&rows, at, &list, false);
                assert!(at.residual_mass > 0.0, "what is untold is unexplored: {at:?}");
            }
        }
    }
    // Of 144; elsewhere no answer was completed.
    assert!(n_measured > 100, "{n_measured}");
}

fn check_all_budgets(case: &Case, seeds: u64) {
    for seed in 0..seeds {
        let model = model(case, seed);
        let task = task(case, Some(case.target));
        let tasks = [task];
        let mut lists = BTreeMap::new();
        for (epsilon, max_nodes) in [(0.0, 100_000), (0.0, 1), (0.0, 4), (0.01, 64), (0.3, 64)] {
            let rows = measure(&model, &tasks, &how(epsilon, max_nodes, 12));
            assert_eq!(rows.prefixes.len(), 4);
            for at in &rows.prefixes {
                let context = context(&model, &tasks[0], at);
                let list = lists.entry(context.clone()).or_insert_with(|| listed(&model, &context, case));
                check(&rows, at, list, max_nodes == 100_000);
                let elicited = at.elicited_mass.unwrap();
                let target = at.target_logprob.unwrap().exp() * elicited;
                let forced = forced_mass(&model, case, &context);
                assert!(target >= forced - 1e-12, "{target} {forced} {at:?}");
                let exact = list[&Some(case.target.to_string())];
                assert!(target <= exact + 1e-12 && target >= 0.9 * exact, "{target} {exact} {at:?}");
                if max_nodes == 64 && at.residual_mass > epsilon {
                    assert!(at.residual_mass < 0.5, "{at:?}");
                }
            }
        }
    }
}

#[test]
fn intervals_hold_the_exact_entropy_and_masses_stay_below_the_exact_ones() {
    check_all_budgets(&words(), 12);
}

#[test]
fn numbers_of_several_tokens_likewise() {
    check_all_budgets(&number_case(), 3);
}

#[test]
fn without_a_target_the_search_is_content_sooner_and_still_right() {
    let case = words();
    for seed in 0..6 {
        let model = model(&case, seed);
        let tasks = [task(&case, None)];
        for (epsilon, max_nodes) in [(0.2, 64), (0.0, 6)] {
            let rows = measure(&model, &tasks, &how(epsilon, max_nodes, 12));
            for at in &rows.prefixes {
                let list = listed(&model, &context(&model, &tasks[0], at), &case);
                check(&rows, at, &list, false);
                assert_eq!((at.target_logprob, at.information_gain), (None, None));
                assert!(max_nodes < 64 || at.residual_mass <= epsilon + 1e-12, "{at:?}");
            }
        }
    }
}

#[test]
fn a_budget_that_completes_no_answer_is_said_to() {
    let case = words();
    let rows = measure(&model(&case, 0), &[task(&case, None)], &how(0.0, 0, 12));
    assert!(rows.prefixes.is_empty());
    for trace in &rows.traces {
        assert_eq!(trace.outcome, Outcome::Failed);
        assert!(
            trace.reason.as_ref().unwrap().contains("no answer was completed within 0 nodes"),
            "{trace:?}"
        );
    }
}

/// Counts tokens that are run.
struct Counting {
    n_tokens: usize,
}

impl Observer for Counting {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Tokens(n) = event {
            self.n_tokens += n;
        }
    }

    fn should_stop(&self) -> bool {
        false
    }
}

/// The ways to write a sentence in tokens are without number, and one that is longer than answers may be is never found.
#[test]
fn a_sentence_as_target_stays_within_the_budget() {
    let sentence = "ba bab aba bb ab bbb ab bb";
    let pieces = ["a", "b", "ab", "ba", "bb", "aa", "bab", " ", " a", " b", "a ", "b ", ".", "\n", "x"];
    let script = RandomScript { seed: 3, sharpness: 1.0, longest: None };
    let model = Scripted::new(Vocabulary::chat(pieces), script);
    let item = asked(question(0, Some(sentence)), "a", &[imported("x")]);
    let tasks = [plan(FormatKind::Text.format(), vec![item])];
    for (max_answer_tokens, reached) in [(4, false), (40, true)] {
        let how = Measurement { max_answer_tokens, ..how(0.01, 64, max_answer_tokens) };
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = RunWriter::open(dir.path(), &manifest(&tasks, &how)).unwrap();
        let mut observer = Counting { n_tokens: 0 };
        entrace_run::run(engine(&model), &tasks, &how, &mut writer, &mut observer).unwrap();
        // Two prefixes: cue and nodes.
        assert!(observer.n_tokens <= 2 * (1 + 64 + 64) + 2, "{}", observer.n_tokens);
        let rows = rows(dir.path());
        assert_eq!(rows.prefixes.len(), 2);
        for at in &rows.prefixes {
            assert_eq!(at.target_logprob.is_some(), reached, "{at:?}");
            assert!(at.residual_mass > 0.1, "what is not explored bounds it: {at:?}");
        }
    }
}

#[test]
fn answers_longer_than_the_limit_stay_in_the_residual() {
    let case = words();
    let model = model(&case, 2);
    let tasks = [task(&case, Some(case.target))];
    let rows = measure(&model, &tasks, &how(0.0, 100_000, 2));
    for at in &rows.prefixes {
        let list = listed(&model, &context(&model, &tasks[0], at), &case);
        let found = answers_at(&rows, at);
        assert!(
            found
                .iter()
                .all(|row| row.prob <= list[&Some(row.answer.to_string())] / (1.0 - list[&None]) + 1e-12)
        );
        assert!(at.residual_mass > 0.0, "{at:?}");
        let target = at.target_logprob.unwrap().exp() * at.elicited_mass.unwrap();
        let forced = forced_mass(&model, &case, &context(&model, &tasks[0], at));
        assert!(target >= forced - 1e-12, "an answer of two tokens is read: {target} {forced} {at:?}");
    }
}
