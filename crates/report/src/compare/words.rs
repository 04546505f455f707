//! What changed, in a sentence or two.

use super::{Change, QuantityComparison};
use crate::format::{count, decimal};
use crate::sentence::p_value;

/// The changes from the first stage to the last: those that are clear with their sizes, the others by name.
pub(super) fn summary(quantities: &[QuantityComparison], stages: &[&str], n_questions: usize) -> String {
    let (Some(first), Some(last)) = (stages.first(), stages.last()) else { return String::new() };
    let known = || quantities.iter().filter_map(|q| Some((q, q.overall().filter(|c| c.holm_p.is_some())?)));
    let clear: Vec<String> = known().filter(|(_, c)| c.is_clear()).map(|(q, c)| sentence(q, c)).collect();
    let open: Vec<&str> = known().filter(|(_, c)| !c.is_clear()).map(|(q, _)| phrase(q)).collect();
    let base = format!("On the same {}, from {first} to {last}: ", count(n_questions, "question"));
    let untested = |q: &&QuantityComparison| q.overall().is_some_and(|c| c.untested.is_some());
    let untested: Vec<&str> = quantities.iter().filter(untested).map(phrase).collect();
    let changed = match (clear.len(), open.len()) {
        (0, 0) => "no change can be tested, for want of questions".to_string(),
        (0, _) => "nothing changes clearly".to_string(),
        _ => clear.join("; "),
    };
    let open = match open.len() {
        0 => String::new(),
        _ if clear.is_empty() => format!(" ({})", open.join(", ")),
        _ => format!(". No clear change: {}", open.join(", ")),
    };
    let untested = match untested.len() {
        0 => String::new(),
        _ if clear.is_empty() && open.is_empty() => String::new(),
        _ => format!(". Not tested, for want of questions: {}", untested.join(", ")),
    };
    format!("{base}{changed}{open}{untested}.")
}

fn sentence(quantity: &QuantityComparison, change: &Change) -> String {
    let value = change.difference.value.unwrap_or(0.0);
    let (factor, unit, decimals) =
        if quantity.quantity == "accuracy" { (100.0, " points", 1) } else { (1.0, unit(quantity), 2) };
    let show = |v: f64| decimal(factor * v, decimals);
    let interval =
        change.difference.low.zip(change.difference.high).map_or_else(String::new, |(low, high)| {
            let (low, high) = if value < 0.0 { (-high, -low) } else { (low, high) };
            format!(" [{}, {}]", show(low), show(high))
        });
    let verb = if value < 0.0 { "falls by" } else { "rises by" };
    let p = change.holm_p.map_or_else(String::new, |p| format!(", adjusted {}", p_value(p)));
    format!("{} {verb} {}{interval}{unit}{p}", phrase(quantity), show(value.abs()))
}

/// A quantity in the middle of a sentence.
fn phrase(quantity: &QuantityComparison) -> &str {
    match quantity.quantity.as_str() {
        "accuracy" => "accuracy",
        "usable_information" => "the usable information I(1)",
        "net_information" => "the information net of swapped traces",
        "information_per_step" => "the information per step",
        "information_per_100_tokens" => "the information per 100 tokens",
        "gain" => "the raw gain G(1)",
        "entropy_first" => "the entropy before reasoning",
        "entropy_last" => "the entropy at the end",
        "auroc" => "the AUROC of −H(1)",
        "lock_in_depth" => "the lock-in depth",
        "effective_answers" => "the number of effective answers at the end",
        "switches" => "the number of changes of the leading answer",
        "wasted_tokens" => "the number of tokens after lock-in",
        _ => &quantity.label,
    }
}

fn unit(quantity: &QuantityComparison) -> &'static str {
    if quantity.label.ends_with("nats") { " nats" } else { "" }
}
