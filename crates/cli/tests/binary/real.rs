//! A real model on the published benchmarks: a few questions, few tokens, everything written.
//!
//! Needs `ENTRACE_SMOLLM2`, the path of SmolLM2-135M-Instruct as a GGUF file, and `ENTRACE_DATA_DIR`, a folder with `gsm8k`, `svamp` and
//! `arc_challenge`.

use crate::support::{Scratch, expect, rows};
use entrace_record::rows::Outcome;
use std::path::Path;

#[test]
fn four_questions_of_each_benchmark() {
    let (Ok(model), Ok(data)) = (std::env::var("ENTRACE_SMOLLM2"), std::env::var("ENTRACE_DATA_DIR")) else {
        println!("skipped: ENTRACE_SMOLLM2 and ENTRACE_DATA_DIR name no model and no folder of benchmarks");
        return;
    };
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let tasks = ["svamp", "gsm8k", "arc_challenge"];
    let args = ["run", "--model", &model, "--data-dir", &data, "--tasks", &tasks.join(","), "--limit", "4"];
    let less = ["--max-new-tokens", "24", "--max-steps", "3", "--max-nodes", "16", "--output-path", &out];
    expect(0, &[&args[..], &less].concat());
    let rows = rows(&out);
    for task in tasks {
        let traces: Vec<_> = rows.traces.iter().filter(|row| &*row.task == task).collect();
        assert_eq!(traces.len(), 4, "{task}");
        assert!(traces.iter().all(|row| row.outcome == Outcome::Measured), "{traces:?}");
        for trace in traces {
            let of = |control: &str| {
                let own = |row: &&entrace_record::rows::PrefixRow| {
                    (&row.task, &row.question_id, &*row.control) == (&trace.task, &trace.question_id, control)
                        && &*row.estimator != "rollout"
                };
                rows.prefixes.iter().filter(own).count()
            };
            assert_eq!(of("none"), trace.n_steps as usize + 1);
            assert!(of("swapped") >= 2, "{task} {}", trace.question_id);
        }
    }
    let (rolled_out, asked): (Vec<_>, Vec<_>) =
        rows.prefixes.iter().partition(|row| &*row.estimator == "rollout");
    assert!(!rolled_out.is_empty(), "open answers are rolled out by default");
    assert!(rolled_out.iter().all(|row| &*row.task != "arc_challenge"), "options need no rollouts");
    for row in asked {
        let choices = &*row.task == "arc_challenge";
        assert_eq!(&*row.estimator, if choices { "choices" } else { "enumerate" });
        assert!(row.target_logprob.is_some_and(|l| l.is_finite() && l <= 1e-6), "{row:?}");
        assert!(
            row.entropy_lower <= row.answer_entropy && row.answer_entropy <= row.entropy_upper,
            "{row:?}"
        );
        assert!(row.elicited_mass.is_some_and(|mass| mass > 0.0 && mass <= 1.0), "{row:?}");
    }
    for name in ["report.html", "metrics.json", "figures"] {
        assert!(Path::new(&out).join(name).exists(), "{name}");
    }
}
