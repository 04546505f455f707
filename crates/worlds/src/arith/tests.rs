//! Problems of all kinds against what the module doc promises.

use std::collections::{BTreeSet, HashSet};

use entrace_measure::Statement;

use super::*;

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

fn many(split: Split, n: u64) -> impl Iterator<Item = Problem> {
    (0..n).map(move |index| generate(5, split, index, &Difficulty::default()))
}

/// The equations that the steps write, read back from the text.
fn written(solution: &Solution) -> Vec<(i64, char, i64, i64)> {
    let read = |step: &String| {
        let words: Vec<&str> = step.split(' ').collect();
        let at = words.iter().position(|word| *word == "=").unwrap();
        let number = |i: usize| words[i].trim_end_matches(',').parse::<i64>().unwrap();
        (number(at - 3), words[at - 2].chars().next().unwrap(), number(at - 1), number(at + 1))
    };
    solution.steps.iter().map(read).collect()
}

fn value((left, sign, right, _): (i64, char, i64, i64)) -> i64 {
    match sign {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        _ => left / right,
    }
}

#[test]
fn problems_are_the_same_each_time_and_differ_by_index_and_seed() {
    let limits = Difficulty::default();
    let problem = |seed, index| generate(seed, Split::Train, index, &limits);
    assert_eq!(problem(1, 17), problem(1, 17));
    assert_ne!(problem(1, 17).question, problem(1, 18).question);
    assert_ne!(problem(1, 17).question, problem(2, 17).question);
    assert_eq!(problem(1, 17).id, "arith-train-000017");
}

#[test]
fn equations_are_true_and_within_limits() {
    for problem in SPLITS.into_iter().flat_map(|split| many(split, 3000)) {
        let equations = written(&problem.solution);
        assert!((2..=4).contains(&equations.len()), "{}", problem.id);
        for equation in &equations {
            assert_eq!(value(*equation), equation.3, "{problem:?}");
            assert!(
                (2..=120).contains(&equation.3)
                    && equation.0 % if equation.1 == '/' { equation.2 } else { 1 } == 0
            );
        }
        let told: Vec<String> = equations.iter().map(|(a, sign, b, c)| format!("{a}{sign}{b}={c}")).collect();
        assert_eq!(told.join(";"), problem.equations());
        assert_eq!(equations.last().unwrap().3, problem.solution.answer);
        assert!(!problem.question.contains(['{', '}', '\n']) && !problem.question.contains("  "));
    }
}

#[test]
fn splits_share_no_question_and_no_chain_of_equations() {
    let seen = |of: fn(Problem) -> String| -> Vec<HashSet<String>> {
        SPLITS.iter().map(|&split| many(split, 20_000).map(of).collect()).collect()
    };
    for sets in [seen(|p| p.question), seen(|p| p.equations())] {
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            assert!(sets[i].is_disjoint(&sets[j]));
        }
    }
    // Other seeds and difficulties do not move a chain into another split.
    let hard =
        Difficulty { min_ops: 1, max_ops: 5, max_number: 20, max_distractors: 3, ..Difficulty::default() };
    let train: HashSet<String> = many(Split::Train, 20_000).map(|p| p.equations()).collect();
    assert!((0..20_000).all(|i| !train.contains(&generate(9, Split::Test, i, &hard).equations())));
}

#[test]
fn steps_are_the_lines_of_the_trace() {
    let problem = generate(0, Split::Test, 3, &Difficulty::default());
    let trace = problem.solution.trace();
    let lines: Vec<&str> = trace.lines().collect();
    assert_eq!(lines.len(), problem.solution.steps.len() + 1);
    assert_eq!(lines[lines.len() - 1], format!("The answer is {}.", problem.solution.answer));
    assert!(trace.lines().all(|line| line.ends_with('.')));
}

#[test]
fn an_interruption_is_a_prefix_and_the_answer() {
    let solution = Solution { steps: vec!["A.".into(), "B.".into()], answer: 7 };
    assert_eq!(solution.completion(), " A.\nB.\nThe answer is 7.");
    assert_eq!(solution.interrupted(0), "\nThe answer is 7.");
    assert_eq!(solution.interrupted(1), " A.\nThe answer is 7.");
    assert_eq!(solution.interrupted(2), solution.completion());
    assert_eq!(solution.interrupted(3), " A.\nB.\nThe answer is 7.\nThe answer is 7.");
}

#[test]
fn noise_spoils_the_stated_share_and_stays_consistent() {
    let n = 4000;
    let mut n_wrong = 0;
    for problem in many(Split::Train, n) {
        let NoisySolution { solution, wrong_step } = noisy(&problem, 0.3, 11);
        assert_eq!(noisy(&problem, 0.0, 11).wrong_step, None);
        let Some(at) = wrong_step else {
            assert_eq!(solution, problem.solution);
            continue;
        };
        n_wrong += 1;
        assert_ne!(solution.answer, problem.solution.answer);
        let (right, wrong) = (written(&problem.solution), written(&solution));
        assert_eq!(right[..at], wrong[..at]);
        assert_ne!(right[at], wrong[at]);
        assert!(wrong.iter().enumerate().all(|(i, equation)| i == at || value(*equation) == equation.3));
        assert_eq!(wrong.last().unwrap().3, solution.answer);
    }
    // 1200 expected; 5 standard deviations are 145.
    assert!(i64::abs(n_wrong - 1200) < 145, "{n_wrong}");
}

#[test]
fn an_aside_is_a_line_that_nothing_uses() {
    let n = 4000;
    let mut n_with = 0;
    for problem in many(Split::Train, n) {
        let own = &problem.solution;
        let Aside { line, before } = problem.aside(5);
        assert!(before <= own.steps.len() && !line.contains('\n') && !own.steps.contains(&line));
        let with = own.clone().with(problem.aside(5));
        assert_eq!((with.answer, with.steps.len()), (own.answer, own.steps.len() + 1));
        assert_eq!(with.steps[before], line);
        assert!(line.chars().any(|c| c.is_ascii_digit()) && !line.contains('='), "{line}");
        assert_eq!(problem.with_aside(own.clone(), 0.0, 5), *own);
        n_with += i64::from(problem.with_aside(own.clone(), 0.3, 5) != *own);
    }
    // 1200 expected; 5 standard deviations are 145.
    assert!(i64::abs(n_with - 1200) < 145, "{n_with}");
}

#[test]
fn pieces_cover_every_text() {
    let known: BTreeSet<String> = pieces().into_iter().collect();
    assert!(known.len() < 400, "{}", known.len());
    let hard = Difficulty {
        min_ops: 1,
        max_ops: 5,
        max_number: 99,
        max_result: 999,
        max_factor: 9,
        max_distractors: 3,
    };
    let problems = SPLITS.into_iter().flat_map(|split| many(split, 5000));
    for problem in problems.chain((0..5000).map(|i| generate(2, Split::Train, i, &hard))) {
        let noisy = noisy(&problem, 0.5, 1).solution;
        let own = &problem.solution;
        let texts = [
            prompt(&problem.question) + &own.completion(),
            problem.question.clone(),
            noisy.trace(),
            own.interrupted(0),
            own.interrupted(9),
            own.clone().with(problem.aside(3)).trace(),
        ];
        for text in texts {
            let cut = split_pieces(&text);
            assert_eq!(cut.concat(), text);
            for piece in cut {
                assert!(known.contains(piece), "{piece:?} of {text:?}");
            }
        }
    }
}

#[test]
fn any_text_is_cut_in_one_way() {
    assert_eq!(split_pieces("A  34.\n\nThe é1"), ["A", " ", " 3", "4", ".", "\n", "\nThe", " é", "1"]);
    assert_eq!(split_pieces(" \n"), [" ", "\n"]);
    assert!(split_pieces("").is_empty());
}

#[test]
fn limits_are_checked() {
    let limits = Difficulty::default();
    assert_eq!(limits.check(), Ok(()));
    assert_eq!(Difficulty { min_ops: 5, ..limits }.check(), Err(NotADifficulty::Operations));
    assert_eq!(Difficulty { max_number: 200, ..limits }.check(), Err(NotADifficulty::Numbers));
    assert_eq!(Difficulty { max_factor: 1, ..limits }.check(), Err(NotADifficulty::Factors));
    assert_eq!(Difficulty { max_distractors: 9, ..limits }.check(), Err(NotADifficulty::Distractors));
}

#[test]
fn lines_are_json() {
    let problem = generate(0, Split::Test, 1, &Difficulty::default());
    let line: serde_json::Value = serde_json::from_str(&problem.json_line(&problem.solution)).unwrap();
    assert_eq!(line["question"], problem.question.as_str());
    assert_eq!(line["trace"], problem.solution.completion());
    assert_eq!(line["target"], problem.solution.answer.to_string());
}

/// `entrace_measure::statement` against the equations that the text was made from.
#[test]
fn an_answer_is_stated_at_the_first_step_that_holds_it() {
    let mut n_later = 0;
    for problem in SPLITS.into_iter().flat_map(|split| many(split, 2000)) {
        for solution in [problem.solution.clone(), noisy(&problem, 1.0, 3).solution] {
            let text = solution.completion();
            let mut ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
            ends.push(text.len());
            let statement = Statement::of(&solution.answer.to_string(), None).unwrap();
            let holds = |&(left, _, right, result): &(i64, char, i64, i64)| {
                [left, right, result].contains(&solution.answer)
            };
            let equations = written(&solution);
            let expected = equations.iter().position(holds).map(|at| at + 1);
            assert_eq!(statement.first_step(&text, &ends), expected, "{text}");
            n_later += usize::from(expected == Some(equations.len()));
        }
    }
    // Elsewhere a number that the story tells, or an earlier result, is the answer by chance.
    assert!(n_later > 12_000 * 9 / 10, "{n_later}");
}
