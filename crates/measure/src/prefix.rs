//! Prefixes of a trace: where its steps end, counted in tokens.
//!
//! `prefixes[0]` is the question alone (`n_tokens` = 0); `prefixes[k]` is the trace up to the end of step k. Token counts rise
//! strictly, and the last prefix is the whole trace.

/// One prefix of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Number of steps k that it holds.
    pub step: usize,
    /// Number of trace tokens t_k that it holds.
    pub n_tokens: usize,
}

/// How a trace is cut into steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Segmentation {
    /// Recorded steps where there are some, else blank lines, else lines, else sentences: the first that gives at least two steps.
    Auto,
    /// The steps that came with an imported trace.
    Steps,
    /// Blank lines.
    BlankLine,
    /// Line breaks.
    Line,
    /// Ends of sentences.
    Sentence,
    /// Every N tokens.
    Tokens(usize),
    /// After each match of a regular expression.
    Regex(String),
}
