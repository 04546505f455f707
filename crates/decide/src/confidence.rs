//! The confidence of a run's traces, as inspect's scorer `precomputed_scores` reads it.
//!
//! One line a trace: `id` and `epoch` (from 1) of the sample, `value` the probability of the leading answer at the end of the trace, `answer` the
//! answer that the trace states, and in `metadata` the entropy of the answer and the leader. A run on a log of inspect has its sample ids.

use entrace_record::RunReader;
use serde_json::json;

use crate::error::Error;
use crate::recorded::{RecordedTrace, TaskTraces};

/// The lines, each with its line break.
pub fn precomputed_scores(reader: &RunReader, task: Option<&str>) -> Result<String, Error> {
    let task = TaskTraces::read(reader, task)?;
    let lines: Result<Vec<String>, _> = task.traces.iter().map(line).collect();
    Ok(lines?.concat())
}

fn line(trace: &RecordedTrace) -> Result<String, serde_json::Error> {
    let last = &trace.prefixes[trace.prefixes.len() - 1];
    let row = json!({
        "id": *trace.question_id,
        "epoch": trace.sample + 1,
        "value": last.leader_prob,
        "answer": trace.states_answer.then_some(&*trace.answer),
        "metadata": { "answer_entropy": last.entropy, "leader": *last.leader },
    });
    Ok(serde_json::to_string(&row)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{prefix, trace};

    #[test]
    fn a_line_has_what_inspect_reads() {
        let line = line(&trace(3, "7", vec![prefix("3", 0.5), prefix("7", 0.75)])).unwrap();
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&row["id"], &row["epoch"], &row["value"]), (&json!("q3"), &json!(1), &json!(0.75)));
        assert_eq!(row["answer"], "7");
    }
}
