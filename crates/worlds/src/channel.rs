//! A finite joint p(q, a, c_1..c_K) in which the answer is random given the question, and steps reveal it bit by bit.
//!
//! * Q is uniform. A given Q = q is drawn from a distribution p(a|q) that is even to one half and random to the other, so it is no
//!   function of q, and information about it can only come from the steps.
//! * Step k shows bit (k − 1) mod B of the answer's index, B = ⌈log2 |A|⌉ its length, turned round for some pairs of question and step,
//!   and flipped with probability `flip`, independently of everything else given (q, a).
//!
//! Every prefix has positive probability, and there are few enough to list: |Q| (2^(K+1) − 1) prefixes in all. So everything is a finite
//! sum: entropies, information, the posterior of an exact Bayesian observer (`law`), and what a trained model makes of it, from its
//! next-token probabilities on every context (`model`, `bound`).
//!
//! As tokens a sequence is `q2 0 1 = B`: question, steps, the cue ` =`, the answer's label. With [`Asked::Anywhere`] the answer is asked
//! for after a number of steps that is uniform on 0..=K and independent of all else, so that a model learns p(a|q, c_{1:k}) for every
//! k; with [`Asked::AtEnd`] always after K.
//!
//! Not here: a random question for the model to predict. The question is given, so a model's joint has the true p(q).

mod bound;
mod law;
mod model;

pub use self::bound::{Bound, Comparison, compare};
pub use self::law::{Law, PrefixJoint};
pub use self::model::{BadTable, ModelLaw};

use crate::stream::{Purpose, Stream};

/// When the answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// After the last step.
    AtEnd,
    /// After 0 to K steps, each equally likely.
    Anywhere,
}

/// The size of a channel and its noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// |Q|, 1 to 64.
    pub n_questions: usize,
    /// |A|, 2 to 26.
    pub n_answers: usize,
    /// K, 1 to 10.
    pub n_steps: usize,
    /// Probability that a step shows the wrong bit, above 0 and at most one half.
    pub flip: f64,
    /// When the answer is asked for.
    pub asked: Asked,
    /// Seed of p(a|q) and of which bits are turned round.
    pub seed: u64,
}

impl Default for Options {
    /// 4 questions, 4 answers, 4 steps that are wrong one time in ten: 124 prefixes.
    fn default() -> Self {
        Self { n_questions: 4, n_answers: 4, n_steps: 4, flip: 0.1, asked: Asked::Anywhere, seed: 0 }
    }
}

/// Which option is out of range.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NotAChannel {
    /// Too few or too many questions, answers or steps.
    #[error("a channel needs 1 to 64 questions, 2 to 26 answers and 1 to 10 steps")]
    Size,
    /// Steps would be certain, or tell by being wrong.
    #[error("the probability of a wrong bit must be above 0 and at most 0.5, found {0}")]
    Flip(f64),
}

/// A finite joint of question, steps and answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    options: Options,
    /// p(a|q) `[Q, A]`.
    priors: Vec<Vec<f64>>,
    /// Whether step k turns its bit round `[Q, K]`.
    turned: Vec<Vec<bool>>,
    law: Law,
}

/// One draw: a question, the steps before the answer was asked for, the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Index of the question.
    pub question: usize,
    /// The symbols 0 and 1 that were shown.
    pub steps: Vec<usize>,
    /// Index of the answer.
    pub answer: usize,
}

impl Channel {
    /// The channel of these options.
    pub fn new(options: Options) -> Result<Self, NotAChannel> {
        let sizes = (1..=64).contains(&options.n_questions)
            && (2..=26).contains(&options.n_answers)
            && (1..=10).contains(&options.n_steps);
        if !sizes {
            return Err(NotAChannel::Size);
        }
        if !(options.flip > 0.0 && options.flip <= 0.5) {
            return Err(NotAChannel::Flip(options.flip));
        }
        let mut stream = Stream::new(options.seed, Purpose::ChannelLaw, 0);
        let priors = (0..options.n_questions).map(|_| prior(&mut stream, options.n_answers)).collect();
        let mut turn = |_| (0..options.n_steps).map(|_| stream.below(2) == 1).collect();
        let turned = (0..options.n_questions).map(&mut turn).collect();
        let law = Law::empty(options.n_questions, options.n_steps);
        let mut channel = Self { options, priors, turned, law };
        channel.law = channel.exact_law();
        Ok(channel)
    }

    /// The options it was made from.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The true distribution: its answer tables are the posteriors of an exact Bayesian observer.
    pub fn law(&self) -> &Law {
        &self.law
    }

    /// p(c_{k+1} = symbol | q, a), where k steps came before.
    fn step_prob(&self, question: usize, answer: usize, k: usize, symbol: usize) -> f64 {
        let n_bits = usize::BITS - (self.options.n_answers - 1).leading_zeros();
        let bit = answer >> (k % n_bits as usize) & 1;
        let shown = bit ^ usize::from(self.turned[question][k]);
        if symbol == shown { 1.0 - self.options.flip } else { self.options.flip }
    }

    /// Bayes' rule along every sequence of symbols.
    fn exact_law(&self) -> Law {
        let Options { n_questions, n_steps, .. } = self.options;
        let mut law = Law::empty(n_questions, n_steps);
        for (question, prior) in self.priors.iter().enumerate() {
            law.answers[0].push(prior.clone());
            for k in 0..n_steps {
                for code in 0..1 << k {
                    let posterior = law.answers[k][law::row(question, k, code)].clone();
                    let joint = |symbol: usize| -> Vec<f64> {
                        let term = |(a, p): (usize, &f64)| p * self.step_prob(question, a, k, symbol);
                        posterior.iter().enumerate().map(term).collect()
                    };
                    let (rows, probs): (Vec<_>, Vec<f64>) =
                        [0, 1].map(|s| law::normalised(joint(s))).into_iter().unzip();
                    law.answers[k + 1].extend(rows);
                    law.steps[k].push([probs[0], probs[1]]);
                }
            }
        }
        law
    }

    /// Draw `index` of a set; other indices need not be drawn.
    pub fn sample(&self, seed: u64, index: u64) -> Episode {
        let mut stream = Stream::new(seed, Purpose::ChannelEpisode, index);
        let question = stream.below(self.options.n_questions as u32) as usize;
        let answer = draw(&mut stream, &self.priors[question]);
        let n_asked = match self.options.asked {
            Asked::AtEnd => self.options.n_steps,
            Asked::Anywhere => stream.below(self.options.n_steps as u32 + 1) as usize,
        };
        let mut step = |k| usize::from(stream.uniform() < self.step_prob(question, answer, k, 1));
        let steps = (0..n_asked).map(&mut step).collect();
        Episode { question, steps, answer }
    }

    /// Every episode with its probability; they sum to 1.
    pub fn episodes(&self) -> Vec<(Episode, f64)> {
        let n_steps = self.options.n_steps;
        let (first, share) = match self.options.asked {
            Asked::AtEnd => (n_steps, 1.0),
            Asked::Anywhere => (0, 1.0 / (n_steps + 1) as f64),
        };
        let mut episodes = Vec::new();
        for k in first..=n_steps {
            for (row, probs) in self.law.prefix_joint(k).rows().iter().enumerate() {
                let steps: Vec<usize> = (0..k).map(|j| row >> (k - 1 - j) & 1).collect();
                let episode = |answer| Episode { question: row >> k, steps: steps.clone(), answer };
                episodes
                    .extend(probs.iter().enumerate().map(|(answer, prob)| (episode(answer), share * prob)));
            }
        }
        episodes
    }

    /// The vocabulary; a token's id is its index. Questions `q0`.., the symbols ` 0` and ` 1`, the cue ` =`, the answers ` A`...
    pub fn tokens(&self) -> Vec<String> {
        let questions = (0..self.options.n_questions).map(|q| format!("q{q}"));
        let answers = ('A'..='Z').take(self.options.n_answers).map(|label| format!(" {label}"));
        questions.chain([" 0", " 1", " ="].map(String::from)).chain(answers).collect()
    }

    /// The tokens of an episode: question, steps, cue, answer.
    pub fn token_ids(&self, episode: &Episode) -> Vec<usize> {
        let mut ids = self.context(episode.question, &episode.steps);
        ids.extend([self.cue(), self.answer_token(episode.answer)]);
        ids
    }

    /// The text of an episode, such as `q2 0 1 = B`.
    pub fn text(&self, episode: &Episode) -> String {
        let tokens = self.tokens();
        self.token_ids(episode).into_iter().map(|id| tokens[id].as_str()).collect()
    }

    /// Question and steps as token ids.
    fn context(&self, question: usize, steps: &[usize]) -> Vec<usize> {
        let symbols = steps.iter().map(|symbol| self.options.n_questions + symbol);
        std::iter::once(question).chain(symbols).collect()
    }

    /// The id of the cue.
    fn cue(&self) -> usize {
        self.options.n_questions + 2
    }

    /// The id of an answer.
    fn answer_token(&self, answer: usize) -> usize {
        self.cue() + 1 + answer
    }
}

/// Half even, half random: no answer is impossible and none is certain.
fn prior(stream: &mut Stream, n_answers: usize) -> Vec<f64> {
    let weights: Vec<f64> = (0..n_answers).map(|_| -(1.0 - stream.uniform()).ln()).collect();
    let (random, _) = law::normalised(weights);
    random.into_iter().map(|p| f64::midpoint(p, 1.0 / n_answers as f64)).collect()
}

/// An index with these probabilities.
fn draw(stream: &mut Stream, probs: &[f64]) -> usize {
    let mut left = stream.uniform();
    let hit = probs.iter().position(|prob| {
        left -= prob;
        left < 0.0
    });
    hit.unwrap_or(probs.len() - 1)
}

#[cfg(test)]
mod tests;
