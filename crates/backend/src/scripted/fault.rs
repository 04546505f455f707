//! A script that fails on purpose.

use super::{Script, Vocabulary};
use crate::Error;
use entrace_measure::TokenId;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a script fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The engine reports an error.
    Engine,
    /// The model's numbers are not finite.
    NotANumber,
}

type Condition = Box<dyn Fn(usize, &str) -> bool + Send + Sync>;

/// Another script that fails where a condition holds.
pub struct Faulty<S> {
    inner: S,
    fault: Fault,
    when: Condition,
    n_calls: AtomicUsize,
}

impl<S: Script> Faulty<S> {
    /// Fails where `when` holds of the number of the call (one for each distribution that is asked for, from 0) and the text so far,
    /// special tokens spelled out.
    pub fn when(inner: S, fault: Fault, when: impl Fn(usize, &str) -> bool + Send + Sync + 'static) -> Self {
        Self { inner, fault, when: Box::new(when), n_calls: AtomicUsize::new(0) }
    }

    /// Fails at one call only, counted from 0, and works again afterwards.
    pub fn at_call(inner: S, fault: Fault, call: usize) -> Self {
        Self::when(inner, fault, move |n, _| n == call)
    }

    /// Fails for every context with this text in it.
    pub fn where_text_has(inner: S, fault: Fault, part: &str) -> Self {
        let part = part.to_string();
        Self::when(inner, fault, move |_, text| text.contains(&part))
    }
}

impl<S: Script> Script for Faulty<S> {
    fn next(&self, vocabulary: &Vocabulary, tokens: &[TokenId]) -> Result<Vec<f64>, Error> {
        let call = self.n_calls.fetch_add(1, Ordering::Relaxed);
        let text: String = tokens.iter().map(|&token| vocabulary.spelling(token)).collect();
        match (self.fault, (self.when)(call, &text)) {
            (_, false) => self.inner.next(vocabulary, tokens),
            (Fault::Engine, true) => Err(Error::engine("the script fails here")),
            (Fault::NotANumber, true) => Ok(vec![f64::NAN; vocabulary.len()]),
        }
    }
}
