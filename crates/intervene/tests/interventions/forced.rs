//! The forced reading has the effects that the model's rule gives, exactly.

use super::support::{
    NEITHER, close, copying, decorating, engine, measurement, of_kind, plan, prob_of_12, questions, record,
    second_step, texts,
};
use entrace_datasets::FormatKind;
use entrace_intervene::Draws;
use entrace_measure::intervention::{Kind, Reading};
use entrace_record::interventions::{InterventionSettings, read, write};
use entrace_record::rows::InterventionRow;
use entrace_report::InterventionMetrics;
use entrace_stats::Level;
use entrace_stats::bootstrap::Resampling;

const DRAWS: Draws = Draws { fewest: 8, most: 8 };
const FORCED: [Kind; 6] =
    [Kind::Delete, Kind::Corrupt, Kind::Filler, Kind::Swap, Kind::Conflict, Kind::Truncate];

/// What the edited text is, as far as the row says.
fn edited(row: &InterventionRow, text: &str) -> String {
    let steps: Vec<&str> = text.split_inclusive("\n\n").collect();
    let step = row.step as usize;
    match &*row.kind {
        "truncate" => steps[..step].concat(),
        "filler" if &*row.variant == "prefix" => String::new(),
        _ => {
            let (start, end) = (row.span_start.unwrap() as usize, row.span_end.unwrap() as usize);
            assert_eq!(&text[start..end], row.original.as_deref().unwrap());
            format!("{}{}{}", &text[..start], row.replacement.as_deref().unwrap(), &text[end..])
        }
    }
}

#[test]
fn every_kind_has_the_effect_that_step_two_gives() {
    let model = second_step();
    let recording = record(&model, questions(24), measurement(3), FormatKind::Number);
    let measured = recording.measure(&model, &plan(&FORCED, &[Reading::Forced], DRAWS, 1));
    let texts = texts(&recording.traces());
    for kind in ["delete", "corrupt", "filler", "swap", "truncate"] {
        let rows = of_kind(&measured.rows, kind, "forced");
        let n_without = rows.iter().filter(|row| row.reason.is_some()).count();
        assert!(rows.len() >= 24 * 5 && n_without <= rows.len() / 4, "{kind}: {n_without} of {}", rows.len());
        for row in rows.iter().filter(|row| row.reason.is_none()) {
            let text = &texts[&*row.question_id];
            let (before, after) = (prob_of_12(text), prob_of_12(&edited(row, text)));
            let change = row.target_change.unwrap();
            assert!(close(change, after - before), "{kind} {}: {change}, {after} {before}", row.step);
            assert!(close(row.tv.unwrap(), (after - before).abs()));
            assert!(
                row.target_change_low.unwrap() <= change + 1e-9
                    && change <= row.target_change_high.unwrap() + 1e-9
            );
            assert_eq!(row.off_policy, kind != "truncate");
            if row.step != 2 && kind != "truncate" && &*row.variant != "prefix" {
                assert!(change.abs() < 1e-9, "{kind} {}", row.step);
            }
        }
    }
}

#[test]
fn an_edited_trace_keeps_the_tokens_of_its_beginning_and_of_later_steps() {
    let model = second_step();
    let recording = record(&model, questions(1), measurement(3), FormatKind::Number);
    let measured = recording.measure(&model, &plan(&[Kind::Delete], &[Reading::Forced], DRAWS, 1));
    let tasks = recording.tasks(&model, FormatKind::Number);
    let trace = &tasks[0].traces[0];
    assert_eq!(trace.n_steps(), 5);
    for row in of_kind(&measured.rows, "delete", "forced") {
        let after = trace.trace.len() - trace.ends[row.step as usize];
        assert_eq!(row.n_tokens as usize, after);
    }
    assert_eq!(engine(&model).text.decode(trace.trace.token_ids()).text, trace.trace.text());
}

fn metrics(recording: &super::support::Recording, rows: &[InterventionRow]) -> InterventionMetrics {
    let settings: InterventionSettings = serde_json::from_value(serde_json::json!({
        "entrace_version": "0", "model": null, "kinds": [], "readings": [], "draws": [8, 8], "alpha": 0.05,
        "dissimilar_below": 0.8, "seed": 0, "n_traces": 1, "tokens_scored": 0, "tokens_drawn": 0, "draws_made": 0,
        "draws_at_most": 0, "elapsed_secs": 0.0
    }))
    .unwrap();
    write(recording.dir.path(), &settings, rows).unwrap();
    let (settings, rows) = read(recording.dir.path()).unwrap().unwrap();
    let resampling = Resampling { replicates: 400, seed: 0, level: Level::P95 };
    InterventionMetrics::of(&settings, &rows, &recording.traces(), &resampling)
}

/// With a 3 in step two the answer is 12 from step two on and 15 before it: y = 0, 0, 1, 1, 1, 1 and AOC = 1 − 3.5/5. With an 8 it is 15
/// throughout: AOC = 0.
#[test]
fn the_area_over_the_curve_equals_its_closed_form() {
    let model = second_step();
    let recording = record(&model, questions(40), measurement(5), FormatKind::Number);
    let measured =
        recording.measure(&model, &plan(&[Kind::Truncate, Kind::Delete], &[Reading::Forced], DRAWS, 1));
    let traces = recording.traces();
    let share = traces.iter().filter(|t| t.completion.contains("Step two: we find 3.")).count() as f64 / 40.0;
    let metrics = metrics(&recording, &measured.rows);
    let area = |kind: &str| {
        let areas = &metrics.tasks[0].faithfulness.areas;
        areas.iter().find(|area| area.kind == kind).unwrap().area.mean.value.unwrap()
    };
    assert!(close(area("truncate"), share * 0.3), "{} {share}", area("truncate"));
    // Leaving out step two changes the leader where it had a 3, one of five steps.
    assert!(close(area("delete"), share / 5.0), "{}", area("delete"));
}

#[test]
fn a_model_that_copies_follows_the_last_line() {
    let model = copying();
    let recording = record(&model, questions(30), measurement(7), FormatKind::Number);
    let measured = recording.measure(&model, &plan(&FORCED, &[Reading::Forced], DRAWS, 1));
    for row in of_kind(&measured.rows, "conflict", "forced") {
        let expected = if &*row.variant == "steps" { 0.0 } else { 0.95 };
        assert!(close(row.conflicting_prob.unwrap(), expected), "{} {:?}", row.variant, row.conflicting_prob);
    }
    let metrics = metrics(&recording, &measured.rows);
    let cells = &metrics.tasks[0].faithfulness.cells;
    let accuracy: Vec<f64> = cells.iter().map(|cell| cell.accuracy.value.unwrap()).collect();
    assert_eq!(accuracy, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(cells[1].followed.value, Some(1.0));
    assert!(cells[1].accuracy_change.p_holm.unwrap() < 0.05);
}

#[test]
fn decoration_has_no_effect_at_all() {
    let model = decorating();
    let recording = record(&model, questions(12), measurement(9), FormatKind::Number);
    let measured = recording.measure(&model, &plan(&FORCED, &[Reading::Forced], DRAWS, 1));
    for row in measured.rows.iter().filter(|row| row.reason.is_none()) {
        assert!(close(row.target_prob.unwrap(), NEITHER) && row.tv.unwrap() < 1e-9, "{row:?}");
        assert!(row.kl_nats.unwrap() < 1e-9 && row.leader_changes == Some(false));
    }
}
