//! What interventions will take, before they are made.
//!
//! Scored tokens are known: prompt and trace once, and what follows each edit. Drawn tokens are not; a draw from prefix k is taken to be as long
//! as the rest of the recorded trace, T − t_k. Cues and answer strings come on top: some tens of tokens at each place.

use crate::error::Error;
use crate::plan::{Edit, Plan, Planner, Pool};
use crate::recorded::Recorded;
use crate::walk::{TaskFormat, is_drawn};
use entrace_backend::{Branch, Fork, GenerateRequest};
use entrace_measure::intervention::{Kind, Reading};
use entrace_run::{Engine, Measurement};
use std::collections::BTreeMap;
use std::time::Instant;

/// What one kind takes under one reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Changes that can be made.
    pub n_edits: usize,
    /// Tokens that are scored.
    pub tokens_scored: u64,
    /// Tokens that are drawn with the fewest draws everywhere.
    pub tokens_drawn_at_least: u64,
    /// Tokens that are drawn with the most draws everywhere.
    pub tokens_drawn_at_most: u64,
}

/// Costs by reading and kind; `none` is prompts and traces, which all kinds share.
pub type Costs = BTreeMap<(Reading, &'static str), Cost>;

/// What a plan takes.
pub fn costs(engine: Engine<'_>, tasks: &[TaskFormat], plan: &Plan) -> Costs {
    let mut costs = Costs::new();
    for task in tasks {
        let pool = Pool::of(&task.traces);
        let planner = Planner { text: engine.text, plan, pool: &pool, all: &task.traces };
        for (at, recorded) in task.traces.iter().enumerate() {
            let edits = planner.edits(at);
            if plan.readings.contains(&Reading::Forced) {
                add_forced(&mut costs, recorded, &edits);
                if plan.kinds.contains(&Kind::Paraphrase) {
                    add_paraphrases(&mut costs, recorded);
                }
            }
            if plan.readings.contains(&Reading::Rollout) {
                add_rollouts(&mut costs, recorded, &edits, plan);
            }
        }
    }
    costs
}

fn add_forced(costs: &mut Costs, recorded: &Recorded, edits: &[Edit]) {
    let whole = costs.entry((Reading::Forced, crate::rows::UNCHANGED)).or_default();
    whole.n_edits += 1;
    whole.tokens_scored += (recorded.prompt.token_ids.len() + recorded.trace.len()) as u64;
    for edit in edits {
        if let Ok(path) = &edit.path {
            let cost = costs.entry((Reading::Forced, edit.kind.name())).or_default();
            cost.n_edits += 1;
            cost.tokens_scored += path.tail.len() as u64;
        }
    }
}

/// A paraphrase is as long as its step, and the rest is scored after it.
fn add_paraphrases(costs: &mut Costs, recorded: &Recorded) {
    let cost = costs.entry((Reading::Forced, Kind::Paraphrase.name())).or_default();
    for step in 1..=recorded.n_steps() {
        let tokens = recorded.tokens(step);
        cost.n_edits += 1;
        cost.tokens_scored += (recorded.trace.len() - tokens.start) as u64;
        cost.tokens_drawn_at_least += tokens.len() as u64;
        cost.tokens_drawn_at_most += tokens.len() as u64;
    }
}

fn add_rollouts(costs: &mut Costs, recorded: &Recorded, edits: &[Edit], plan: &Plan) {
    let rest = |step: usize| (recorded.trace.len() - recorded.ends[step]) as u64;
    let mut add = |kind: &'static str, step: usize| {
        let cost = costs.entry((Reading::Rollout, kind)).or_default();
        cost.n_edits += 1;
        cost.tokens_drawn_at_least += rest(step) * plan.draws.fewest as u64;
        cost.tokens_drawn_at_most += rest(step) * plan.draws.most as u64;
    };
    (0..=recorded.n_steps()).for_each(|step| add(Kind::Truncate.name(), step));
    for edit in edits.iter().filter(|edit| is_drawn(edit) && edit.path.is_ok()) {
        add(edit.kind.name(), edit.step);
    }
    for kind in [Kind::Mistake, Kind::Paraphrase] {
        if plan.kinds.contains(&kind) {
            (1..=recorded.n_steps()).for_each(|step| add(kind.name(), step));
        }
    }
}

/// Tokens per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Of scoring.
    pub scored: f64,
    /// Of drawing.
    pub drawn: f64,
}

/// Tokens that are drawn to measure the rate.
const TRIAL_TOKENS: usize = 32;

/// Measures how fast the engine scores and draws, on the first trace; `None` without one.
pub fn rates(
    engine: Engine<'_>,
    tasks: &[TaskFormat],
    how: &Measurement,
    plan: &Plan,
) -> Result<Option<Rates>, Error> {
    let Some(recorded) = tasks.iter().flat_map(|task| &task.traces).next() else { return Ok(None) };
    let tokens = [&recorded.prompt.token_ids[..], recorded.trace.token_ids()].concat();
    let began = Instant::now();
    engine.scorer()?.session()?.extend(&[Branch {
        tokens: tokens.clone(),
        keep: true,
        ..Branch::default()
    }])?;
    let scored = tokens.len() as f64 / began.elapsed().as_secs_f64().max(1e-9);
    if !plan.readings.contains(&Reading::Rollout) {
        return Ok(Some(Rates { scored, drawn: scored }));
    }
    let n_tokens = recorded.prompt.token_ids.len();
    let streams: Vec<u64> = (0..plan.draws.fewest as u64).collect();
    let fork = Fork { n_tokens, suffix: Vec::new(), streams, max_new_tokens: Some(TRIAL_TOKENS) };
    let request = GenerateRequest { context: recorded.prompt.token_ids.clone(), forks: vec![fork] };
    let began = Instant::now();
    let mut n_drawn = 0;
    engine.generator()?.generate(&[request], &how.rollout_sampling(), &mut |n| {
        n_drawn += n;
        true
    })?;
    Ok(Some(Rates { scored, drawn: n_drawn.max(1) as f64 / began.elapsed().as_secs_f64().max(1e-9) }))
}

/// What each kind will take, as a table for a terminal.
pub fn table(costs: &Costs, rates: Option<Rates>, plan: &Plan) -> String {
    let mut text = format!(
        "{:<9} {:<11} {:>8} {:>14} {:>26} {:>20}\n",
        "reading", "kind", "changes", "tokens scored", "tokens drawn", "time"
    );
    let mut all = Cost::default();
    for (&(reading, kind), cost) in costs {
        text += &line(reading.name(), kind, cost, rates);
        all.n_edits += cost.n_edits;
        all.tokens_scored += cost.tokens_scored;
        all.tokens_drawn_at_least += cost.tokens_drawn_at_least;
        all.tokens_drawn_at_most += cost.tokens_drawn_at_most;
    }
    text += &line("all", "", &all, rates);
    if let Some(rates) = rates {
        text += &format!("At {:.0} tokens/s scored", rates.scored);
        if plan.readings.contains(&Reading::Rollout) {
            text +=
                &format!(" and {:.0} tokens/s drawn ({} draws side by side)", rates.drawn, plan.draws.fewest);
        }
        text += ", measured on the first trace. Cues and answers come on top.\n";
    }
    text
}

fn line(reading: &str, kind: &str, cost: &Cost, rates: Option<Rates>) -> String {
    let range = |least: String, most: String| {
        if least == most { least } else { format!("{least} to {most}") }
    };
    let (least, most) = (cost.tokens_drawn_at_least, cost.tokens_drawn_at_most);
    let time = |n_drawn: u64| {
        let secs = |rates: Rates| cost.tokens_scored as f64 / rates.scored + n_drawn as f64 / rates.drawn;
        rates.map(|rates| duration(secs(rates))).unwrap_or_default()
    };
    let (drawn, time) = (range(least.to_string(), most.to_string()), range(time(least), time(most)));
    format!("{reading:<9} {kind:<11} {:>8} {:>14} {drawn:>26} {time:>20}\n", cost.n_edits, cost.tokens_scored)
}

fn duration(secs: f64) -> String {
    match secs {
        ..100.0 => format!("{secs:.0} s"),
        100.0..6000.0 => format!("{:.0} min", secs / 60.0),
        _ => format!("{:.1} h", secs / 3600.0),
    }
}
