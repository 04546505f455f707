//! Measurements as people write them: names in lists, depths, numbers of rollouts, sampling as `key=value`.
//!
//! Each function reads one option, and names it in its error.

use crate::error::Error;
use entrace_backend::Sampling;
use entrace_datasets::{ColumnMap, FormatKind};
use entrace_intervene::{Draws, Plan};
use entrace_measure::intervention::{Kind, Reading};
use entrace_measure::signal::Group;
use entrace_measure::{Control, Segmentation};
use entrace_run::{Measurement, Rollouts};
use std::collections::BTreeSet;

/// Most draws at a prefix or place.
const MOST_DRAWS: usize = 10_000;

/// `\n` and `\t` as a shell user writes them.
pub fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// Columns of a file, `question=COL,target=COL`; the usual ones where none are named.
pub fn columns(map: Option<&str>) -> Result<ColumnMap, Error> {
    Ok(map.map(ColumnMap::parse).transpose()?.unwrap_or_default())
}

/// How answers are read: `number`, `choice` or `text`; none and `auto` leave it to each question.
pub fn answer_format(name: Option<&str>) -> Result<Option<FormatKind>, Error> {
    Ok(name.filter(|&name| name != "auto").map(FormatKind::from_name).transpose()?)
}

/// How traces are cut into steps.
pub fn segmentation(text: &str) -> Result<Segmentation, Error> {
    Segmentation::parse(text).map_err(|error| Error::new("segment", error.to_string()))
}

/// The first cue and the further ones, each different from the others.
pub fn cues(texts: &[String]) -> Result<(String, Vec<String>), Error> {
    let mut cues: Vec<String> = texts.iter().map(|cue| unescaped(cue)).collect();
    if let Some(again) = (1..cues.len()).find(|&i| cues[..i].contains(&cues[i])) {
        return Err(Error::new("cue", format!("{:?} is given twice", texts[again])));
    }
    let first = if cues.is_empty() { String::new() } else { cues.remove(0) };
    Ok((first, cues))
}

/// Controls by name; `none` for none.
pub fn controls(names: &[String]) -> Result<Vec<Control>, Error> {
    let mut controls = Vec::new();
    for name in names.iter().filter(|name| !["none", ""].contains(&name.as_str())) {
        let control = Control::from_name(name).ok_or_else(|| {
            let known = Control::ALL.map(Control::name).join(", ");
            Error::new("controls", format!("{name:?} is none of {known}, none"))
        })?;
        if !controls.contains(&control) {
            controls.push(control);
        }
    }
    Ok(controls)
}

/// Relative depths at which controls are measured; `None` for all prefixes.
pub fn control_depths(list: &[String]) -> Result<Option<Vec<f64>>, Error> {
    if let [only] = list
        && only == "all"
    {
        return Ok(None);
    }
    let mut depths = Vec::new();
    for text in list {
        match text.parse::<f64>() {
            Ok(depth) if (0.0..=1.0).contains(&depth) => depths.push(depth),
            _ => {
                let problem = format!("expected depths from 0 to 1, or all, found {text:?}");
                return Err(Error::new("control_depths", problem));
            }
        }
    }
    depths.sort_by(f64::total_cmp);
    depths.dedup();
    Ok(Some(depths))
}

/// Rollouts beside the estimator: `QUESTIONS:DRAWS`, `all:DRAWS`, or `0` for none.
pub fn rollouts(text: &str) -> Result<Option<Rollouts>, Error> {
    if text == "0" {
        return Ok(None);
    }
    let parts = text.split_once(':').and_then(|(questions, draws)| {
        let n_questions = if questions == "all" { usize::MAX } else { questions.parse().ok()? };
        let draws = draws.parse().ok().filter(|draws| (1..=MOST_DRAWS).contains(draws))?;
        Some(Rollouts { n_questions, draws })
    });
    match parts {
        Some(Rollouts { n_questions: 0, .. }) => Ok(None),
        Some(rollouts) => Ok(Some(rollouts)),
        None => {
            let expected =
                format!("QUESTIONS:DRAWS such as 100:8 or all:8, with 1 to {MOST_DRAWS} draws, or 0");
            Err(Error::new("rollouts", format!("expected {expected}, found {text:?}")))
        }
    }
}

/// Groups of signals by name; `all` for all of them, `none` for none.
pub fn signals(names: &[String]) -> Result<BTreeSet<Group>, Error> {
    let mut groups = BTreeSet::new();
    for name in names {
        match (name.as_str(), Group::from_name(name)) {
            ("all", _) => groups.extend(Group::ALL),
            ("none" | "", _) => {}
            (_, Some(group)) => groups.extend([group]),
            (other, None) => {
                let known = Group::ALL.map(Group::name).join(", ");
                return Err(Error::new("signals", format!("{other:?} is none of {known}, all, none")));
            }
        }
    }
    Ok(groups)
}

/// Adds sampling options as lm-eval writes them, `key=value` with commas between them.
pub fn gen_kwargs(text: &str, sampling: &mut Sampling) -> Result<(), Error> {
    let wrong = |problem: String| Error::new("gen_kwargs", problem);
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| wrong(format!("{pair:?} is not key=value")))?;
        let (key, value) = (key.trim(), value.trim());
        let bad = || wrong(format!("{value:?} is not a value of {key}"));
        match key {
            "temperature" => sampling.temperature = value.parse().map_err(|_| bad())?,
            "top_p" => sampling.top_p = value.parse().map_err(|_| bad())?,
            "top_k" => sampling.top_k = value.parse().map_err(|_| bad())?,
            "max_gen_toks" | "max_new_tokens" | "max_tokens" => {
                sampling.max_new_tokens = value.parse().map_err(|_| bad())?;
            }
            "until" | "stop" => sampling.stop.push(unescaped(value)),
            "do_sample" if value.eq_ignore_ascii_case("false") => sampling.temperature = 0.0,
            "do_sample" if value.eq_ignore_ascii_case("true") => {}
            _ => {
                let known = "temperature, top_p, top_k, max_gen_toks, until, do_sample";
                return Err(wrong(format!("{key} is not known; known are {known}")));
            }
        }
    }
    Ok(())
}

/// Refuses numbers that mean nothing, or that would take memory without end, before any is taken.
pub fn check(how: &Measurement) -> Result<(), Error> {
    let out_of_range = |option: &'static str, value: String, expected: &str| {
        Err(Error::new(option, format!("{value} is out of range: {expected}")))
    };
    if !(0.0..1.0).contains(&how.epsilon) {
        return out_of_range("epsilon", how.epsilon.to_string(), "from 0 to below 1");
    }
    if how.max_steps == Some(0) {
        return out_of_range("max_steps", "0".into(), "at least 1");
    }
    for (option, value, fewest, most) in [
        ("samples", how.samples, 0, 100_000),
        ("max_nodes", how.max_nodes, 0, 10_000_000),
        ("max_answer_tokens", how.max_answer_tokens, 1, 100_000),
        ("batch_size", how.batch_size, 1, 100_000),
    ] {
        if value < fewest {
            return out_of_range(option, value.to_string(), &format!("at least {fewest}"));
        }
        if value > most {
            return out_of_range(option, value.to_string(), &format!("at most {most}"));
        }
    }
    let sampling = &how.traces.sampling;
    if sampling.stop.iter().any(String::is_empty) {
        let problem = "an empty text would end every trace where it begins; leave it out";
        return Err(Error::new("stop", problem));
    }
    if !(sampling.temperature.is_finite() && sampling.temperature >= 0.0) {
        return out_of_range("temperature", sampling.temperature.to_string(), "at least 0");
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return out_of_range("top_p", sampling.top_p.to_string(), "above 0, at most 1");
    }
    if sampling.max_new_tokens == 0 {
        return out_of_range("max_new_tokens", "0".into(), "at least 1");
    }
    Ok(())
}

/// Kinds of changes by name; `all` for all of them.
pub fn kinds(names: &[String]) -> Result<BTreeSet<Kind>, Error> {
    let mut kinds = BTreeSet::new();
    for name in names {
        match (name.as_str(), Kind::from_name(name)) {
            ("all", _) => kinds.extend(Kind::ALL),
            (_, Some(kind)) => kinds.extend([kind]),
            (other, None) => {
                let known = Kind::ALL.map(Kind::name).join(", ");
                return Err(Error::new("kinds", format!("{other:?} is none of {known}, all")));
            }
        }
    }
    Ok(kinds)
}

/// Readings by name.
pub fn readings(names: &[String]) -> Result<BTreeSet<Reading>, Error> {
    let reading = |name: &String| {
        Reading::from_name(name)
            .ok_or_else(|| Error::new("readings", format!("{name:?} is none of forced, rollout")))
    };
    names.iter().map(reading).collect()
}

/// A number of draws, or a range.
pub fn draws(text: &str) -> Result<Draws, Error> {
    let (fewest, most) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse().ok().filter(|n| (1..=MOST_DRAWS).contains(n));
    match (number(fewest), number(most)) {
        (Some(fewest), Some(most)) if fewest <= most => Ok(Draws { fewest, most }),
        _ => {
            let expected = format!("a number of draws from 1 to {MOST_DRAWS}, or a range such as 8..64");
            Err(Error::new("draws", format!("expected {expected}, found {text:?}")))
        }
    }
}

/// Refuses a plan of interventions with numbers that mean nothing.
pub fn check_plan(plan: &Plan) -> Result<(), Error> {
    if (0.0..=1.0).contains(&plan.dissimilar_below) {
        return Ok(());
    }
    Err(Error::new("dissimilar_below", "expected a cosine from 0 to 1"))
}
