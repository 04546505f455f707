//! Solutions with a line that nothing uses.
//!
//! An aside is a sentence of the kind that stories have for distraction, with a number that does not matter: no later line and no answer
//! depends on it. Whether a model depends on it all the same is then a question with a known right answer.

use super::Problem;
use super::solution::Solution;
use crate::stream::{Purpose, Stream};
use entrace_measure::seed::{fnv1a, mix};

/// A line that nothing uses, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// One sentence with a number, without a line break.
    pub line: String,
    /// Index of the step that it precedes, from 0; the number of steps where it precedes the answer.
    pub before: usize,
}

impl Problem {
    /// A line that nothing uses, a function of seed and problem. It precedes any step, or the answer.
    pub fn aside(&self, seed: u64) -> Aside {
        let mut stream = Stream::new(seed, Purpose::Aside, mix(fnv1a(self.id.bytes())));
        let before = stream.below(self.solution.steps.len() as u32 + 1) as usize;
        Aside { line: self.story.aside(&mut stream), before }
    }

    /// This solution of the problem with an aside in `share` of all problems, a function of seed and problem.
    pub fn with_aside(&self, solution: Solution, share: f64, seed: u64) -> Solution {
        let mut stream = Stream::new(seed, Purpose::AsideShare, mix(fnv1a(self.id.bytes())));
        if stream.uniform() < share { solution.with(self.aside(seed)) } else { solution }
    }
}

impl Solution {
    /// The solution with this line in it.
    pub fn with(mut self, aside: Aside) -> Self {
        self.steps.insert(aside.before.min(self.steps.len()), aside.line);
        self
    }
}
