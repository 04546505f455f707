//! Solutions by annotators who make mistakes.
//!
//! A stated share of solutions has one wrong step: its result is off by 1, 2 or 10, or the step takes another operation. What follows
//! is worked out correctly from the wrong result, so the solution is consistent after the mistake and its answer is wrong. Where a
//! later division would not come out even, another mistake is made instead.

use super::Problem;
use super::plan::{Equation, Op};
use super::solution::Solution;
use crate::stream::{Purpose, Stream};
use entrace_measure::seed::{fnv1a, mix};

/// A solution that may have a wrong step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoisySolution {
    /// What the annotator wrote.
    pub solution: Solution,
    /// Index of the wrong step; `None` if every step is right.
    pub wrong_step: Option<usize>,
}

/// The solution of an annotator who makes a mistake with probability `share`, a function of seed and problem.
pub fn noisy(problem: &Problem, share: f64, seed: u64) -> NoisySolution {
    let mut stream = Stream::new(seed, Purpose::Noise, mix(fnv1a(problem.id.bytes())));
    if stream.uniform() >= share {
        return NoisySolution { solution: problem.solution.clone(), wrong_step: None };
    }
    let equations = &problem.plan.equations;
    loop {
        let at = stream.below(equations.len() as u32) as usize;
        let mistake = Mistake::draw(&mut stream, equations[at].op);
        if let Some((wrong, results)) = mistake.follow(equations, at, problem.solution.answer) {
            return NoisySolution {
                solution: problem.story.solution(&wrong, &results),
                wrong_step: Some(at),
            };
        }
    }
}

/// What goes wrong in a step.
#[derive(Debug, Clone, Copy)]
enum Mistake {
    /// The result is off by so much.
    Off(i64),
    /// Another operation is carried out, correctly.
    Operation(Op),
}

impl Mistake {
    fn draw(stream: &mut Stream, right: Op) -> Self {
        if stream.below(2) == 0 {
            return Self::Off(*stream.pick(&[-10, -2, -1, 1, 2, 10]));
        }
        let others: Vec<Op> = Op::ALL.into_iter().filter(|op| *op != right).collect();
        Self::Operation(*stream.pick(&others))
    }

    /// The equations with this mistake at step `at`, and all results; `None` if something does not come out as a number of things, or
    /// if the answer is right all the same.
    fn follow(self, equations: &[Equation], at: usize, answer: i64) -> Option<(Vec<Equation>, Vec<i64>)> {
        let mut wrong = equations.to_vec();
        if let Self::Operation(op) = self {
            wrong[at].op = op;
        }
        let mut results = Vec::new();
        for (i, equation) in wrong.iter().enumerate() {
            let mut result =
                equation.op.apply(equation.left.value(&results), equation.right.value(&results))?;
            if let (true, Self::Off(by)) = (i == at, self) {
                result += by;
            }
            results.push((2..=999).contains(&result).then_some(result)?);
        }
        (results.last() != Some(&answer)).then_some((wrong, results))
    }
}
