//! Traces that a rule of `decide` stops while they are written.

use entrace_backend::Sharpness;
use entrace_decide::Rule;
use entrace_decide::online::Online;
use entrace_decide::recorded::Tokens;
use entrace_decide::rule::{Condition, ConditionFile};
use entrace_record::manifest::StoppingRecord;
use entrace_run::{Judged, Seen, StopWatch, Stopping, StoppingRule};
use serde_json::json;
use std::sync::Arc;

/// The rule, as a measurement follows it. `whole_tokens` is the mean number of tokens of a whole trace on the questions on which it was chosen,
/// where it was chosen on some.
pub fn stopping(rule: &Rule, whole_tokens: Option<f64>) -> Stopping {
    let condition = |condition: &Option<Condition>| condition.as_ref().map(ConditionFile::of);
    let conditions = json!({"stop": condition(&rule.stop), "give_up": condition(&rule.give_up)});
    Stopping {
        rule: Arc::new(ByRule(rule.clone())),
        record: StoppingRecord { rule: rule.to_string(), conditions, whole_tokens },
    }
}

#[derive(Debug)]
struct ByRule(Rule);

struct Watching<'a>(Online<'a>);

impl StoppingRule for ByRule {
    fn watch(&self) -> Box<dyn StopWatch + '_> {
        Box::new(Watching(Online::new(&self.0)))
    }
}

impl StopWatch for Watching<'_> {
    fn next(&mut self, seen: &Seen<'_>) -> Judged {
        let of_token = |(logprob, sharpness): (&Option<f64>, &Sharpness)| {
            let Sharpness { entropy, top2_margin, topk_confidence, uniform_divergence } = *sharpness;
            [*logprob, entropy, top2_margin, topk_confidence, uniform_divergence]
        };
        let numbers: Vec<[Option<f64>; 5]> = seen.logprobs.iter().zip(seen.sharpness).map(of_token).collect();
        let n_tokens = u32::try_from(seen.n_tokens).unwrap_or(u32::MAX);
        let said = self.0.next(n_tokens, seen.belief, Tokens::drawn(&numbers));
        Judged { act: said.act, stop: said.stop, give_up: said.give_up }
    }
}
