//! Rows of single traces against all rows of the tables.

use super::*;
use crate::example;
use crate::writer::RunWriter;
use std::collections::BTreeMap;
use std::path::Path;

/// A run of some parts, finished or not.
fn run(dir: &Path, n_parts: usize, finished: bool) {
    let mut writer = RunWriter::overwrite(dir, &example::manifest()).unwrap();
    for index in 0..n_parts {
        writer.write_part(index, &example::rows(index)).unwrap();
    }
    if finished {
        writer.finish(n_parts, jiff::Timestamp::UNIX_EPOCH, 1.0).unwrap();
    }
}

/// First and last trace of each question.
fn numbers(tables: &Tables) -> BTreeMap<(String, String), RangeInclusive<u32>> {
    let mut numbers = BTreeMap::new();
    let heads = tables.trace_heads().flat_map(Result::unwrap);
    for (number, head) in (0..).zip(heads) {
        let entry = numbers.entry((head.task.to_string(), head.question_id)).or_insert(number..=number);
        *entry = *entry.start()..=number;
    }
    numbers
}

#[test]
fn rows_of_a_trace_are_those_of_the_tables() {
    for finished in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), 3, finished);
        let reader = RunReader::open_unverified(dir.path()).unwrap();
        let tables = Tables::open(&reader).unwrap();
        let numbers = numbers(&tables);
        let find = |task: &str, id: &str| numbers.get(&(task.to_owned(), id.to_owned())).cloned();
        let places = tables.places(find).unwrap();
        assert_eq!(tables.n_traces(), 6);
        for number in 0..6 {
            let trace = tables.trace(number).unwrap().unwrap();
            let found = tables.rows_of(trace.clone(), number, &places).unwrap().rows;
            let all = example::rows(number as usize / 2);
            assert_eq!(trace, all.traces[number as usize % 2]);
            let expected = if trace.sample == 0 {
                Rows { traces: vec![trace], ..all }
            } else {
                Rows { traces: vec![trace], ..Rows::default() }
            };
            assert_eq!(found, expected);
        }
        assert_eq!(tables.trace(6).unwrap(), None);
    }
}

#[test]
fn parts_of_rows_are_columns_of_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), 2, true);
    let tables = Tables::open(&RunReader::open(dir.path()).unwrap()).unwrap();
    let questions: Vec<String> = tables.questions().flat_map(Result::unwrap).collect();
    assert_eq!(questions, ["1 + 2 = ?"; 4]);
    let prefixes: Vec<PrefixHead> = tables.prefix_heads().flat_map(Result::unwrap).collect();
    assert_eq!((prefixes.len(), &*prefixes[2].question_id, prefixes[3].depth), (4, "q1", 1.0));
    let tokens: Vec<TokenHead> = tables.token_heads().flat_map(Result::unwrap).collect();
    assert_eq!((tokens.len(), tokens[0].token_entropy), (6, Some(2.0)));
    assert_eq!(tables.signals().flat_map(Result::unwrap).count(), 4);
}

#[test]
fn a_table_in_another_order_gives_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, second) = (example::rows(0), example::rows(1));
    // The first part holds late rows of the second question too.
    first.prefixes.extend(second.prefixes.clone());
    let writer = RunWriter::overwrite(dir.path(), &example::manifest()).unwrap();
    writer.write_part(0, &first).unwrap();
    writer.write_part(1, &Rows { prefixes: Vec::new(), ..second.clone() }).unwrap();
    let tables = Tables::open(&RunReader::open(dir.path()).unwrap()).unwrap();
    let numbers = numbers(&tables);
    let places = tables.places(|task, id| numbers.get(&(task.to_owned(), id.to_owned())).cloned()).unwrap();
    let trace = tables.trace(2).unwrap().unwrap();
    assert_eq!(tables.rows_of(trace, 2, &places).unwrap().rows.prefixes, second.prefixes);
}
