//! Runs as one file: the page with all its data inside.

use std::collections::HashMap;
use std::sync::Arc;

use entrace_record::tables::TraceRows;
use entrace_record::{Error as Damaged, interventions};
use serde_json::{Value, json};

use crate::error::Error;
use crate::page;
use crate::view::{Run, View};

/// Most traces that one file holds.
pub const MOST_TRACES: usize = 5_000;

/// Most bytes of the data that one file holds.
pub const MOST_BYTES: usize = 128 << 20;

/// The page of runs with all their traces, which needs neither server nor network.
pub fn export(view: &View) -> Result<String, Error> {
    let found = view.n_traces();
    if found > MOST_TRACES {
        return Err(Error::TooManyTraces { found, most: MOST_TRACES });
    }
    let mut data: Vec<String> = Vec::new();
    let mut n_bytes = 0;
    for run in view.runs() {
        run.reader.verify()?;
        run.fill();
        if let Some(problem) = run.problem() {
            return Err(Damaged::BadTable { path: run.reader.dir().to_owned(), problem }.into());
        }
        let mut traces: Vec<String> = Vec::new();
        for (number, rows) in (0..).zip(all_rows(run)?) {
            let Some(trace) = run.trace_json(number, rows) else { continue };
            let text = trace.to_string();
            n_bytes += text.len();
            if n_bytes > MOST_BYTES {
                return Err(Error::TooLarge { most: MOST_BYTES });
            }
            traces.push(text);
        }
        data.push(format!("[{}]", traces.join(",\n")));
    }
    let state: Value = json!(view.state());
    Ok(page::with_data(&format!("{{\"state\":{state},\"traces\":[{}]}}", data.join(",\n"))))
}

/// The rows of every trace, all tables read once.
fn all_rows(run: &Run) -> Result<Vec<TraceRows>, Error> {
    let reader = &run.reader;
    let traces = reader.traces()?;
    let mut all: Vec<TraceRows> = Vec::with_capacity(traces.len());
    let mut places: HashMap<(Arc<str>, Arc<str>, u32), usize> = HashMap::with_capacity(traces.len());
    for trace in traces {
        places.entry((trace.task.clone(), trace.question_id.clone(), trace.sample)).or_insert(all.len());
        let mut rows = TraceRows::default();
        rows.rows.traces.push(trace);
        all.push(rows);
    }
    macro_rules! hand_out {
        ($rows:expr, $($to:tt)+) => {
            for row in $rows {
                let row = row?;
                if let Some(&place) = places.get(&(row.task.clone(), row.question_id.clone(), row.sample)) {
                    all[place].$($to)+.push(row);
                }
            }
        };
    }
    hand_out!(reader.stream_prefixes(), rows.prefixes);
    hand_out!(reader.stream_answers(), rows.answers);
    hand_out!(reader.stream_tokens(), rows.tokens);
    hand_out!(reader.stream_signals(), rows.signals);
    hand_out!(reader.stream_decisions(), rows.decisions);
    let changes = interventions::read(reader.dir())?.map(|(_, rows)| rows).unwrap_or_default();
    hand_out!(changes.into_iter().map(Ok::<_, Damaged>), interventions);
    Ok(all)
}
