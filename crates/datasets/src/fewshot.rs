//! Worked examples before the question, as Q/A blocks.
//!
//! Examples come from the benchmark's training split; from SVAMP's single published file they are taken from its end, which the
//! pool says in its note. A question is never its own example. The choice is the same for every question of a run, apart from
//! that: the first n of the pool, or n drawn by a seed.
//!
//! A block is `Q: question and options`, `A: worked solution. The answer is X.` Source: Brown et al. 2020; with solutions, Wei
//! et al. 2022.

use std::path::Path;

use entrace_measure::Question;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::loaded::{BadLines, Loaded};
use crate::prompt::asked;
use crate::task::{self, Split, TaskSpec};

/// Questions from which examples are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// The questions, in the order in which they are chosen.
    pub loaded: Loaded,
    /// The split that they come from.
    pub split: Split,
    /// What a user should know about it.
    pub note: Option<String>,
}

/// Which questions of a pool are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As the pool has them.
    #[default]
    First,
    /// Drawn by a seed: in the order of a hash of seed and identity, so that a longer pool changes no more than it must.
    Seeded(u64),
}

/// The pool of a benchmark: the first of its few-shot splits that is there.
pub fn pool(task: &TaskSpec, data_dir: &Path, bad_lines: BadLines) -> Result<Pool, Error> {
    let mut missing = None;
    for &split in task.fewshot_splits {
        match task::load(task, data_dir, split, bad_lines) {
            Err(error @ Error::Missing { .. }) => missing = missing.or(Some(error)),
            Err(error) => return Err(error),
            Ok(loaded) if split == task.evaluation_split => return Ok(from_the_end(task, loaded, split)),
            Ok(loaded) => return Ok(Pool { loaded, split, note: None }),
        }
    }
    Err(missing.unwrap_or(Error::NoSplit {
        task: task.name,
        split: Split::Train.name(),
        available: Vec::new(),
    }))
}

fn from_the_end(task: &TaskSpec, mut loaded: Loaded, split: Split) -> Pool {
    loaded.questions.reverse();
    let note = format!(
        "{} has one file for everything here: few-shot examples are taken from the end of the {} split, which is also measured",
        task.name,
        split.name()
    );
    Pool { loaded, split, note: Some(note) }
}

/// Chooses `n` examples with a known target, fewer if the pool has no more; never `question` itself, nor one of the same text.
pub fn choose<'a>(pool: &'a [Question], n: usize, order: Order, question: &Question) -> Vec<&'a Question> {
    let same = |other: &Question| {
        (&other.task, &other.id) == (&question.task, &question.id) || other.text == question.text
    };
    let mut fit: Vec<&Question> = pool
        .iter()
        .filter(|other| !same(other) && other.target.as_ref().is_some_and(|target| !target.is_invalid()))
        .collect();
    if let Order::Seeded(seed) = order {
        fit.sort_by_cached_key(|other| draw(seed, &other.id));
    }
    fit.truncate(n);
    fit
}

fn draw(seed: u64, id: &str) -> Vec<u8> {
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update(id).finalize().to_vec()
}

/// The blocks of the examples and the question's own, open after `A:`, blank lines between them.
pub fn render(examples: &[&Question], question: &Question) -> String {
    let mut blocks: Vec<String> = examples.iter().map(|example| block(example)).collect();
    blocks.push(format!("Q: {}\nA:", asked(question)));
    blocks.join("\n\n")
}

/// One worked example.
fn block(example: &Question) -> String {
    let solution = example.rationale.as_deref().map_or(String::new(), |rationale| {
        let stop = if rationale.ends_with(['.', '!', '?']) { "" } else { "." };
        format!(" {rationale}{stop}")
    });
    let answer = example.target.as_ref().map_or("unknown", |target| target.name());
    format!("Q: {}\nA:{solution} The answer is {answer}.", asked(example))
}

#[cfg(test)]
mod tests {
    use entrace_measure::Answer;
    use expect_test::expect;

    use super::*;

    fn question(id: &str, rationale: Option<&str>) -> Question {
        Question {
            task: "t".into(),
            id: id.into(),
            text: format!("What is {id} plus 1?"),
            choices: None,
            target: Some(Answer::Value("3".into())),
            rationale: rationale.map(str::to_string),
        }
    }

    #[test]
    fn examples_are_chosen_the_same_way_each_time_and_never_the_question() {
        let pool: Vec<Question> = (0..20).map(|i| question(&i.to_string(), None)).collect();
        let ids = |n, order, of: &Question| -> Vec<String> {
            choose(&pool, n, order, of).iter().map(|example| example.id.clone()).collect()
        };
        assert_eq!(ids(2, Order::First, &pool[5]), ["0", "1"]);
        assert_eq!(ids(2, Order::First, &pool[0]), ["1", "2"]);
        let drawn = ids(3, Order::Seeded(7), &pool[5]);
        assert_eq!(drawn, ids(3, Order::Seeded(7), &pool[5]));
        assert_ne!(drawn, ids(3, Order::Seeded(8), &pool[5]));
        assert_eq!(ids(50, Order::Seeded(7), &pool[5]).len(), 19);
        let mut copy = pool[0].clone();
        copy.id = "elsewhere".into();
        assert_eq!(ids(1, Order::First, &copy), ["1"]);
    }

    #[test]
    fn blocks() {
        let (first, second) = (question("2", Some("2 + 1 = 3")), question("2b", None));
        let text = render(&[&first, &second], &question("4", None));
        expect![[r#"
            Q: What is 2 plus 1?
            A: 2 + 1 = 3. The answer is 3.

            Q: What is 2b plus 1?
            A: The answer is 3.

            Q: What is 4 plus 1?
            A:"#]]
        .assert_eq(&text);
    }
}
