//! From (task, question, sample) to what belongs to a trace.
//!
//! Rows of one trace are mostly together, so the last look-up is remembered, found or not.

use std::collections::HashMap;
use std::sync::Arc;

/// (task, question, sample)
type Key = (Arc<str>, Arc<str>, u32);

/// A map over traces.
#[derive(Debug, Default)]
pub(crate) struct TraceIndex<T> {
    values: HashMap<Key, T>,
    last: Option<(Key, Option<T>)>,
}

impl<T: Copy> TraceIndex<T> {
    pub(crate) fn new() -> Self {
        Self { values: HashMap::new(), last: None }
    }

    /// Sets the value of a trace.
    pub(crate) fn insert(&mut self, task: &Arc<str>, question: &Arc<str>, sample: u32, value: T) {
        self.values.insert((task.clone(), question.clone(), sample), value);
        self.last = None;
    }

    /// The value of a trace.
    pub(crate) fn get(&mut self, task: &Arc<str>, question: &Arc<str>, sample: u32) -> Option<T> {
        if let Some((key, value)) = &self.last
            && key.2 == sample
            && key.1 == *question
            && key.0 == *task
        {
            return *value;
        }
        let key = (task.clone(), question.clone(), sample);
        let value = self.values.get(&key).copied();
        self.last = Some((key, value));
        value
    }
}
