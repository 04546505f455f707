//! Rewards as rows that trainers read: JSON Lines, one trace a row.
//!
//! * `jsonl`: everything there is ([`RewardedTrace`]).
//! * `trl`: TRL's stepwise supervision: `prompt`, `completions` (the steps), `labels` (whether the reward is above 0), and `rewards` beside them.
//! * `openrlhf`: OpenRLHF's process rewards: `input` is the prompt with the placeholder after every step, `label` has `+` or `-` for each of
//!   them, as its reward tokens; `rewards` beside them.
//! * `verl`: a row of verl's RLHF data set: `data_source`, `prompt` as messages, `ability`, `reward_model` with the true answer, and in
//!   `extra_info` the response with the ends of its steps in characters, as Python counts them, and their rewards.

use serde_json::{Value, json};

use crate::rewards::{Reward, RewardedTrace};

/// A format for trainers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TRL's stepwise supervision.
    Trl,
    /// OpenRLHF's process rewards.
    OpenRlhf,
    /// verl's data set.
    Verl,
    /// All rewards.
    Jsonl,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Trl, Self::OpenRlhf, Self::Verl, Self::Jsonl];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trl => "trl",
            Self::OpenRlhf => "openrlhf",
            Self::Verl => "verl",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Which reward, and how it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Writing {
    /// The format.
    pub format: Format,
    /// The reward that formats with one get.
    pub reward: Reward,
    /// Divided by the tokens of the step.
    pub per_token: bool,
    /// What stands after each step in `openrlhf`: one token of the tokenizer of the training.
    pub placeholder: String,
}

/// The line of a trace, without its line break; `None` where it lacks the reward.
pub fn line(
    trace: &RewardedTrace,
    task: &str,
    writing: &Writing,
) -> Result<Option<String>, serde_json::Error> {
    let values: Option<Vec<f64>> =
        trace.steps.iter().map(|step| writing.reward.of(step, writing.per_token)).collect();
    let row = match (writing.format, values) {
        (Format::Jsonl, _) => serde_json::to_value(trace)?,
        (_, None) => return Ok(None),
        (Format::Trl, Some(values)) => trl(trace, &values),
        (Format::OpenRlhf, Some(values)) => openrlhf(trace, &values, &writing.placeholder),
        (Format::Verl, Some(values)) => verl(trace, &values, task),
    };
    serde_json::to_string(&row).map(Some)
}

fn trl(trace: &RewardedTrace, values: &[f64]) -> Value {
    let completions: Vec<&str> = trace.steps.iter().map(|step| step.text.as_str()).collect();
    let labels: Vec<bool> = values.iter().map(|value| *value > 0.0).collect();
    json!({ "prompt": trace.prompt, "completions": completions, "labels": labels, "rewards": values })
}

fn openrlhf(trace: &RewardedTrace, values: &[f64], placeholder: &str) -> Value {
    let steps: String = trace.steps.iter().map(|step| format!("{}{placeholder}", step.text)).collect();
    let labels: Vec<&str> = values.iter().map(|value| if *value > 0.0 { "+" } else { "-" }).collect();
    json!({ "input": format!("{}{steps}", trace.prompt), "label": labels, "rewards": values })
}

fn verl(trace: &RewardedTrace, values: &[f64], task: &str) -> Value {
    let ends: Vec<usize> =
        trace.steps.iter().map(|step| trace.trace[..step.bytes[1]].chars().count()).collect();
    json!({
        "data_source": task,
        "prompt": [{ "role": "user", "content": trace.question }],
        "ability": "reasoning",
        "reward_model": { "style": "rule", "ground_truth": trace.target },
        "extra_info": {
            "id": trace.id, "sample": trace.sample, "response": trace.trace, "step_ends": ends, "rewards": values,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::StepReward;

    fn rewarded() -> RewardedTrace {
        let step = |text: &str, from: usize, gain: f64| StepReward {
            text: text.into(),
            tokens: [0, 1],
            bytes: [from, from + text.len()],
            gain,
            prob_gain: gain / 2.0,
            watermark: gain.max(0.0),
            calibrated_gain: None,
            gain_per_token: gain,
            prob_gain_per_token: gain / 2.0,
            watermark_per_token: gain.max(0.0),
            calibrated_gain_per_token: None,
            importance: None,
            importance_per_token: None,
        };
        RewardedTrace {
            id: "q1".into(),
            sample: 0,
            question: "Q?".into(),
            prompt: "Q: Q?\nA:".into(),
            trace: " é\n7".into(),
            target: "7".into(),
            answer: "7".into(),
            correct: Some(true),
            target_logprob: -1.0,
            total_gain: 0.5,
            steps: vec![step(" é\n", 0, 0.75), step("7", 4, -0.25)],
        }
    }

    fn row(format: Format) -> Value {
        let writing = Writing { format, reward: Reward::Gain, per_token: false, placeholder: "ки".into() };
        let text = line(&rewarded(), "made", &writing).unwrap().unwrap();
        assert_eq!(text.lines().count(), 1);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn trainers_get_their_columns() {
        let trl = row(Format::Trl);
        assert_eq!(trl["completions"], json!([" é\n", "7"]));
        assert_eq!(trl["labels"], json!([true, false]));
        let openrlhf = row(Format::OpenRlhf);
        assert_eq!(openrlhf["input"], "Q: Q?\nA: é\nки7ки");
        assert_eq!(openrlhf["label"], json!(["+", "-"]));
        let verl = row(Format::Verl);
        assert_eq!(verl["extra_info"]["step_ends"], json!([3, 4]));
        assert_eq!(verl["reward_model"]["ground_truth"], "7");
        assert_eq!(row(Format::Jsonl)["steps"][1]["prob_gain"], json!(-0.125));
    }

    #[test]
    fn a_trace_without_the_reward_has_no_line() {
        let reward = Reward::CalibratedGain;
        let writing = Writing { format: Format::Trl, reward, per_token: true, placeholder: String::new() };
        assert_eq!(line(&rewarded(), "made", &writing).unwrap(), None);
    }
}
