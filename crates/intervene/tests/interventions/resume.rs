//! A measurement that was interrupted and resumed has the rows of one that was not.

use super::support::{engine, measurement, plan, questions, record, second_step};
use entrace_datasets::FormatKind;
use entrace_intervene::{Draws, measure};
use entrace_measure::intervention::{Kind, Reading};
use entrace_record::interventions::{InterventionSettings, Unfinished};
use entrace_run::{Event, Observer};

/// Stops once a number of traces is done, and counts those that it is told of.
struct Stopping {
    after: usize,
    n_done: usize,
    n_found: usize,
}

impl Stopping {
    fn after(after: usize) -> Self {
        Self { after, n_done: 0, n_found: 0 }
    }
}

impl Observer for Stopping {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::TaskBegins { n_done, .. } => self.n_found = n_done,
            Event::TracesDone(n) => self.n_done += n,
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        self.n_done >= self.after
    }
}

fn settings(n_traces: usize) -> InterventionSettings {
    let kinds = vec!["delete".into(), "resample".into()];
    InterventionSettings { kinds, draws: [8, 8], n_traces, ..InterventionSettings::default() }
}

#[test]
fn an_interrupted_measurement_is_resumed() {
    let model = second_step();
    let recording = record(&model, questions(20), measurement(3), FormatKind::Number);
    let tasks = recording.tasks(&model, FormatKind::Number);
    let draws = Draws { fewest: 8, most: 8 };
    let plan = plan(&[Kind::Delete, Kind::Resample], &[Reading::Forced, Reading::Rollout], draws, 0);
    let run = recording.reader().dir().to_path_buf();
    let unfinished = Unfinished::of(&run, &settings(20));
    let measured = |unfinished: Option<&Unfinished>, observer: &mut Stopping| {
        measure(engine(&model), None, &tasks, &recording.how, &plan, unfinished, observer)
    };
    let whole = measured(None, &mut Stopping::after(usize::MAX)).unwrap();
    let mut stopping = Stopping::after(16);
    let interrupted = measured(Some(&unfinished), &mut stopping).unwrap_err();
    assert!(matches!(interrupted, entrace_intervene::Error::Run(entrace_run::Error::Interrupted)));
    let mut resuming = Stopping::after(usize::MAX);
    let resumed = measured(Some(&unfinished), &mut resuming).unwrap();
    assert_eq!((resuming.n_found, resuming.n_done), (16, 4));
    assert_eq!(resumed.rows, whole.rows);
    assert_eq!(
        (resumed.tokens_scored, resumed.tokens_drawn, resumed.draws_made),
        (whole.tokens_scored, whole.tokens_drawn, whole.draws_made)
    );
    unfinished.remove().unwrap();
    assert!(!run.join("interventions.parts").exists());
}
