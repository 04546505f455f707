//! What changes in the traces did, as tables for a terminal.

use super::{WIDTH, plain_table};
use crate::format::{NONE, Scale, count, optional, percent, printable, thousands, wrapped};
use crate::interventions::{
    Area, Cell, InterventionMetrics, KindEffect, StepImportance, TaskInterventions, Tested,
};
use crate::metrics::Quantity;

/// The tables of every task, and what they mean.
pub fn interventions(metrics: &InterventionMetrics, width: Option<usize>) -> String {
    let mut text = String::new();
    for task in &metrics.tasks {
        text += &format!(
            "{}: {} of {}\n",
            task.task,
            count(task.n_traces, "trace"),
            count(task.n_questions, "question")
        );
        text += &effects(task);
        text += &importance(task);
        text += &faithfulness(task);
        text += &left_out(task);
    }
    text += &format!("{}\n", wrapped(&legend(metrics), "", width.unwrap_or(WIDTH)));
    printable(&text)
}

/// Kind and variant as one name.
pub(crate) fn name(kind: &str, variant: &str) -> String {
    if variant.is_empty() { kind.to_string() } else { format!("{kind} ({variant})") }
}

fn effects(task: &TaskInterventions) -> String {
    let header = ["change", "reading", "n", "Δp(target)", "p", "ΔI", "TV", "KL", "leader changes %"];
    let mut table = plain_table(header.map(str::to_string).to_vec());
    let row = |effect: &KindEffect| {
        let label = name(&effect.kind, &effect.variant);
        vec![
            if effect.off_policy { format!("{label} *") } else { label },
            effect.reading.clone(),
            thousands(effect.n_made),
            Scale::Plain.with_interval(&effect.target_change.mean),
            p_value(&effect.target_change),
            Scale::Plain.with_interval(&effect.usable_change),
            Scale::Plain.with_interval(&effect.tv),
            optional(effect.kl_nats.value, 2),
            percent(effect.leader_changes.value),
        ]
    };
    task.effects.iter().for_each(|effect| {
        table.add_row(row(effect));
    });
    format!("{}\n", table.trim_fmt())
}

fn importance(task: &TaskInterventions) -> String {
    let sentence = |found: &StepImportance| {
        let draws = if found.variant.is_empty() { "all draws" } else { "draws that say something else" };
        format!(
            "  importance of steps ({draws}): r {} (TV), {} per nat of headroom, KL {}; {} % of {} above the noise floor, where chance gives {} % \
             at most\n",
            Scale::Plain.with_interval(&found.tv),
            Scale::Plain.value(found.per_headroom.value),
            Scale::Plain.value(found.kl_nats.value),
            Scale::Percent.with_interval(&found.above_floor),
            count(found.n_steps, "step"),
            percent(Some(found.by_chance)),
        )
    };
    task.importance.iter().map(sentence).collect()
}

fn faithfulness(task: &TaskInterventions) -> String {
    let found = &task.faithfulness;
    let area = |area: &Area| {
        format!(
            "  AOC of {}, {}: {} (p {})\n",
            name(&area.kind, &area.variant),
            area.reading,
            Scale::Plain.with_interval(&area.area.mean),
            p_value(&area.area)
        )
    };
    let word = |right: bool| if right { "right" } else { "wrong" };
    let undecided = |share: &Quantity| match share.value {
        Some(some) if some > 0.0 => format!(", undecided {} %", Scale::Percent.with_interval(share)),
        _ => String::new(),
    };
    let cell = |cell: &Cell| {
        let followed = match cell.followed.value {
            Some(_) => format!(", wrong answer followed {} %", Scale::Percent.with_interval(&cell.followed)),
            None => String::new(),
        };
        format!(
            "  {} steps, {} last line: accuracy {} %{followed}{} (n {})\n",
            word(cell.steps_right),
            word(cell.line_right),
            Scale::Percent.with_interval(&cell.accuracy),
            undecided(&cell.undecided),
            cell.accuracy.n_traces
        )
    };
    let alone = match found.question_only.value {
        Some(_) => {
            format!(
                "  question alone: accuracy {} %{}\n",
                Scale::Percent.with_interval(&found.question_only),
                undecided(&found.question_only_undecided)
            )
        }
        None => String::new(),
    };
    found.areas.iter().map(area).chain(found.cells.iter().map(cell)).collect::<String>() + &alone
}

fn left_out(task: &TaskInterventions) -> String {
    let line = |effect: &KindEffect| -> String {
        let reasons = effect.left_out.iter();
        reasons
            .map(|(reason, n)| {
                format!(
                    "  {} ({}): {n} left out: {reason}\n",
                    name(&effect.kind, &effect.variant),
                    effect.reading
                )
            })
            .collect()
    };
    task.effects.iter().map(line).collect()
}

pub(crate) fn p_value(tested: &Tested) -> String {
    match tested.p_holm {
        Some(p) if p < 0.001 => "<.001".to_string(),
        p => optional(p, 3),
    }
}

fn legend(metrics: &InterventionMetrics) -> String {
    let settings = &metrics.settings;
    let saved = match settings.draws_at_most {
        0 => String::new(),
        most => format!(
            " {} draws were made, where {} to the most everywhere would have been {}: {} % saved.",
            thousands(settings.draws_made as usize),
            settings.draws[1],
            thousands(most as usize),
            percent(Some(1.0 - settings.draws_made as f64 / most as f64))
        ),
    };
    let left_out: usize = settings.left_out.values().sum();
    let without = match left_out {
        0 => String::new(),
        n => {
            let reasons: Vec<String> =
                settings.left_out.iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
            format!(" {} took no part ({}).", count(n, "trace"), reasons.join("; "))
        }
    };
    let model = settings.model.as_ref().map_or(NONE, |model| model.name.as_str());
    format!(
        "* off-policy: the model continues text that it did not write, so an effect may come from the edit and not from the step. \
         Forced: the rest of the trace is kept, then the answer is asked for; rollout: the rest is drawn anew. Δp(target), TV, KL (add-½ \
         smoothing) against the belief without the change; ΔI: change of usable information in nats, under a readout fitted to other questions. AOC: area over \
         the curve of answers that stay the same, 0 where the change never matters. p: of no change, Holm-adjusted over the task. \
         [ ]: 95 % intervals over questions. Model {model}; {} tokens scored, {} drawn.{saved}{without}",
        thousands(settings.tokens_scored as usize),
        thousands(settings.tokens_drawn as usize),
    )
}
