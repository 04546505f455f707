//! When to stop a trace: conditions as text, and the file `rule.json`.
//!
//! A condition is a signal, `<` or `>`, a number, and on request over how many successive prefixes it must hold and from how many tokens on:
//! `answer_entropy < 0.1 for 2 after 30`. A rule has a condition to stop because the answer is sure, one to give up because the trace is
//! hopeless, or both; where both hold, the trace stops.
//!
//! `rule.json` is written for entrace and for people, with the guarantee under which the rule was chosen. It may come from a stranger: it is
//! read up to a size, its version is checked, every number must be finite, and every signal known. Changelog of the format: 1.0, the first; 1.1
//! adds `segment` and `whole_tokens`.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fit::Combined;
use crate::signal::Signal;

/// The version of `rule.json` that is written.
pub const FORMAT_VERSION: &str = "1.1";
/// Largest file that is read.
const MOST_BYTES: u64 = 1 << 20;

/// On which side of the value a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Below it.
    Below,
    /// Above it.
    Above,
}

/// A condition on one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The signal.
    pub signal: Signal,
    /// Where it holds.
    pub side: Side,
    /// The value it is compared with; equal is not enough.
    pub value: f64,
    /// Over how many successive prefixes it must hold, at least 1.
    pub for_steps: u32,
    /// Trace tokens from which on it may hold.
    pub after_tokens: u32,
}

impl Condition {
    /// "Sure": the signal is beyond the value on its confident side.
    pub fn sure(signal: Signal, value: f64) -> Self {
        let side = if signal.falls() { Side::Below } else { Side::Above };
        Self { signal, side, value, for_steps: 1, after_tokens: 0 }
    }

    /// "Hopeless": the signal is beyond the value on its other side.
    pub fn hopeless(signal: Signal, value: f64, after_tokens: u32) -> Self {
        let side = if signal.falls() { Side::Above } else { Side::Below };
        Self { signal, side, value, for_steps: 1, after_tokens }
    }

    /// Whether a value is on the condition's side; no value is on neither.
    pub fn holds(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| match self.side {
            Side::Below => value < self.value,
            Side::Above => value > self.value,
        })
    }

    /// Reads a condition on a signal that needs no parameters.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, condition) = parts(text)?;
        let signal = Signal::plain(name).ok_or_else(|| Signal::unknown(name))?;
        Ok(condition(signal))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Below { '<' } else { '>' };
        write!(f, "{} {side} {}", self.signal.name(), self.value)?;
        if self.for_steps > 1 {
            write!(f, " for {}", self.for_steps)?;
        }
        if self.after_tokens > 0 {
            write!(f, " after {}", self.after_tokens)?;
        }
        Ok(())
    }
}

/// The name of the signal in a condition, and the condition but for its signal.
fn parts(text: &str) -> Result<(&str, impl FnOnce(Signal) -> Condition + use<>), Error> {
    let bad = |problem: String| Error::Condition { text: text.chars().take(200).collect(), problem };
    let at = text.find(['<', '>']).ok_or_else(|| bad("it has neither < nor >".into()))?;
    let side = if text[at..].starts_with('<') { Side::Below } else { Side::Above };
    let name = text[..at].trim();
    let mut words = text[at + 1..].split_whitespace();
    let number = words.next().unwrap_or_default();
    let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
    let value = value.ok_or_else(|| bad(format!("{number:?} is no number")))?;
    let (mut for_steps, mut after_tokens) = (1, 0);
    while let Some(word) = words.next() {
        let count = words.next().and_then(|count| count.parse::<u32>().ok());
        match (word, count) {
            ("for", Some(count)) if count >= 1 => for_steps = count,
            ("after", Some(count)) => after_tokens = count,
            ("for" | "after", _) => return Err(bad(format!("{word} needs a whole number"))),
            _ => return Err(bad(format!("{word:?} is not understood"))),
        }
    }
    Ok((name, move |signal| Condition { signal, side, value, for_steps, after_tokens }))
}

/// When to stop a trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// The answer is sure: it is taken from the belief.
    pub stop: Option<Condition>,
    /// The trace is hopeless: no answer is taken.
    pub give_up: Option<Condition>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.stop, &self.give_up) {
            (Some(stop), Some(give_up)) => write!(f, "stop when {stop}; give up when {give_up}"),
            (Some(stop), None) => write!(f, "stop when {stop}"),
            (None, Some(give_up)) => write!(f, "give up when {give_up}"),
            (None, None) => write!(f, "never stop"),
        }
    }
}

/// What is promised of a risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guarantee {
    /// `wrong`, `gave-up` or `differs`.
    pub loss: String,
    /// The limit of the risk.
    pub epsilon: f64,
    /// The probability with which the limit may be missed; null where it holds in expectation.
    pub delta: Option<f64>,
    /// `fixed-sequence`, `bonferroni` or `conformal`.
    pub method: String,
    /// `binomial`, `hoeffding-bentkus` or `betting`; null for `conformal`.
    pub bound: Option<String>,
    /// Questions on which the rule was chosen.
    pub n_questions: usize,
    /// Mean loss on them.
    pub observed: f64,
}

/// `rule.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleFile {
    /// Version of the format.
    pub format_version: String,
    /// The task of the run that the rule is from.
    pub task: String,
    /// Its model.
    pub model: String,
    /// SHA-256 of the model's weights; null where the run does not know it.
    pub model_hash: Option<String>,
    /// Its estimator of the belief.
    pub estimator: String,
    /// Its cue.
    pub cue: String,
    /// How its traces are cut into steps, in a way that is known while they are written; null where it is not, and in format 1.0.
    #[serde(default)]
    pub segment: Option<String>,
    /// Mean tokens of a whole trace on the questions on which the rule was chosen; null in format 1.0.
    #[serde(default)]
    pub whole_tokens: Option<f64>,
    /// Its seed, by which questions were divided.
    pub seed: u64,
    /// When the answer is sure.
    pub stop: Option<ConditionFile>,
    /// When the trace is hopeless.
    pub give_up: Option<ConditionFile>,
    /// What is promised.
    pub guarantees: Vec<Guarantee>,
}

/// A condition with the parameters of its signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConditionFile {
    /// The condition as text.
    pub when: String,
    /// τ of `tempered_entropy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Weights of `combined`, by signal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<WeightFile>,
    /// Intercept of `combined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intercept: Option<f64>,
}

/// The weight of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightFile {
    /// Its name.
    pub signal: String,
    /// Change of the logit for one unit.
    pub weight: f64,
}

impl ConditionFile {
    /// The file's form of a condition.
    pub fn of(condition: &Condition) -> Self {
        let mut file =
            Self { when: condition.to_string(), temperature: None, weights: Vec::new(), intercept: None };
        match &condition.signal {
            Signal::TemperedEntropy(temperature) => file.temperature = Some(*temperature),
            Signal::Combined(combined) => {
                file.intercept = Some(combined.intercept);
                let weight = |(signal, weight): &(Signal, f64)| WeightFile {
                    signal: signal.name().into(),
                    weight: *weight,
                };
                file.weights = combined.weights.iter().map(weight).collect();
            }
            _ => {}
        }
        file
    }

    fn condition(&self) -> Result<Condition, Error> {
        let (name, condition) = parts(&self.when)?;
        let missing = |what: &str| Error::Signal { problem: format!("{name} has no {what}") };
        let signal = match name {
            "tempered_entropy" => {
                let temperature = self.temperature.filter(|t| t.is_finite() && *t > 0.0);
                Signal::TemperedEntropy(temperature.ok_or_else(|| missing("temperature above 0"))?)
            }
            "combined" => {
                let weights: Result<Vec<_>, Error> = self.weights.iter().map(WeightFile::read).collect();
                let weights = weights?;
                if weights.is_empty() {
                    return Err(missing("weights"));
                }
                Signal::Combined(Combined {
                    weights,
                    intercept: self.intercept.ok_or_else(|| missing("intercept"))?,
                })
            }
            _ => Signal::plain(name).ok_or_else(|| Signal::unknown(name))?,
        };
        Ok(condition(signal))
    }
}

impl WeightFile {
    fn read(&self) -> Result<(Signal, f64), Error> {
        let signal = Signal::plain(&self.signal).ok_or_else(|| Signal::unknown(&self.signal))?;
        Ok((signal, self.weight))
    }
}

impl RuleFile {
    /// The rule of the file.
    pub fn rule(&self) -> Result<Rule, Error> {
        let read = |file: &Option<ConditionFile>| file.as_ref().map(ConditionFile::condition).transpose();
        Ok(Rule { stop: read(&self.stop)?, give_up: read(&self.give_up)? })
    }

    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<(Self, Rule), Error> {
        let refused = |problem: String| Error::RuleFile { path: path.to_path_buf(), problem };
        let unread = |source| Error::Read { path: path.to_path_buf(), source };
        let metadata = std::fs::metadata(path).map_err(unread)?;
        if !metadata.is_file() {
            return Err(refused("it is not an ordinary file".into()));
        }
        if metadata.len() > MOST_BYTES {
            return Err(refused(format!("it has {} bytes, more than {MOST_BYTES}", metadata.len())));
        }
        let bytes = std::fs::read(path).map_err(unread)?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| refused(e.to_string()))?;
        let version = value.get("format_version").and_then(|version| version.as_str());
        if version.and_then(|version| version.split('.').next()) != Some("1") {
            let found = version.map_or("none".to_string(), |version| format!("{version:?}"));
            return Err(refused(format!("format_version is {found}, expected \"{FORMAT_VERSION}\"")));
        }
        let file: Self = serde_json::from_value(value).map_err(|e| refused(e.to_string()))?;
        let rule = file.rule().map_err(|e| refused(e.to_string()))?;
        if rule == Rule::default() {
            return Err(refused("it has neither stop nor give_up".into()));
        }
        Ok((file, rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_they_are_written() {
        for text in ["answer_entropy < 0.1 for 2", "leader_prob > 0.9", "cue_entropy < 0.25 for 3 after 40"] {
            assert_eq!(Condition::parse(text).unwrap().to_string(), text);
        }
        let condition = Condition::parse("leader_prob>0.9").unwrap();
        assert!(condition.holds(Some(0.91)) && !condition.holds(Some(0.9)) && !condition.holds(None));
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for (text, said) in [
            ("answer_entropy 0.1", "neither < nor >"),
            ("answer_entropy < x", "\"x\" is no number"),
            ("answer_entropy < NaN", "no number"),
            ("answer_entropy < 0.1 for", "needs a whole number"),
            ("answer_entropy < 0.1 for 0", "needs a whole number"),
            ("answer_entropy < 0.1 until 3", "\"until\" is not understood"),
            ("p_true > 0.5", "no signal \"p_true\" of prefixes"),
        ] {
            let message = Condition::parse(text).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }

    fn file() -> RuleFile {
        let weights = vec![(Signal::AnswerEntropy, -1.25), (Signal::plain("mean_logprob").unwrap(), 0.5)];
        let combined = Signal::Combined(Combined { weights, intercept: 0.1 });
        RuleFile {
            format_version: FORMAT_VERSION.into(),
            task: "arith".into(),
            model: "sprout".into(),
            model_hash: Some("ab".into()),
            estimator: "enumerate".into(),
            cue: "\nThe answer is".into(),
            segment: Some("line".into()),
            whole_tokens: Some(40.5),
            seed: 0,
            stop: Some(ConditionFile::of(&Condition::sure(combined, 0.9375))),
            give_up: Some(ConditionFile::of(&Condition::hopeless(Signal::TemperedEntropy(1.5), 2.5, 40))),
            guarantees: Vec::new(),
        }
    }

    fn loaded(text: &str) -> Result<(RuleFile, Rule), Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rule.json");
        std::fs::write(&path, text).unwrap();
        RuleFile::load(&path)
    }

    #[test]
    fn a_file_is_read_back() {
        let file = file();
        let (read, rule) = loaded(&serde_json::to_string(&file).unwrap()).unwrap();
        assert_eq!(read, file);
        assert_eq!(
            rule.to_string(),
            "stop when combined > 0.9375; give up when tempered_entropy > 2.5 after 40"
        );
        assert_eq!(ConditionFile::of(rule.stop.as_ref().unwrap()), file.stop.unwrap());
    }

    #[test]
    fn foreign_files_are_refused_with_a_reason() {
        let text = serde_json::to_string(&file()).unwrap();
        for (from, to, said) in [
            ("\"1.1\"", "\"2.0\"", "format_version is \"2.0\", expected \"1.1\""),
            ("\"format_version\":\"1.1\",", "", "format_version is none"),
            ("combined > 0.9375", "combined > 1e999", "no number"),
            ("combined > 0.9375", "nonsense > 1", "no signal \"nonsense\""),
            ("\"temperature\":1.5", "\"temperature\":-1", "no temperature above 0"),
            ("-1.25", "\"much\"", "invalid type"),
            ("\"intercept\":0.1", "\"intercept\":null", "no intercept"),
        ] {
            assert!(text.contains(from), "{text}");
            let message = loaded(&text.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
        assert!(loaded("[1]").is_err() && loaded("").is_err());
    }
}
