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

/// A run whose tables have several row groups.
fn run_of_groups(dir: &Path) {
    let mut writer = RunWriter::overwrite(dir, &example::manifest()).unwrap();
    let mut rows = example::rows(0);
    let token = rows.tokens[0].clone();
    rows.tokens.extend((0..66_000).map(|index| TokenRow { index, ..token.clone() }));
    writer.write_part(0, &rows).unwrap();
    writer.write_part(1, &example::rows(1)).unwrap();
    writer.finish(2, jiff::Timestamp::UNIX_EPOCH, 1.0).unwrap();
}

/// All that can be read of a run, trace by trace and column by column, without its tables being hashed as a whole.
fn all_of(dir: &Path) -> Result<Vec<TraceRows>, Error> {
    let tables = Tables::open(&RunReader::open_unverified(dir)?)?;
    let heads: Vec<TraceHead> = tables.trace_heads().collect::<Result<Vec<_>, _>>()?.concat();
    let number_of = |task: &str, id: &str| {
        let numbers =
            || (0..).zip(&heads).filter(|(_, head)| (&*head.task, &*head.question_id) == (task, id));
        Some(numbers().map(|(number, _)| number).min()?..=numbers().map(|(number, _)| number).max()?)
    };
    let places = tables.places(number_of)?;
    let rows = (0..heads.len() as u32).map(|number| {
        let Some(trace) = tables.trace(number)? else { return Ok(TraceRows::default()) };
        tables.rows_of(trace, number, &places)
    });
    rows.collect()
}

/// Bits flip at places without a pattern; who reads trace by trace, all rows, or shards that are merged, is told or gets the same rows.
#[test]
fn a_flipped_bit_is_noticed_by_whoever_reads_what_it_is_in() {
    let dir = tempfile::tempdir().unwrap();
    run_of_groups(dir.path());
    let whole = all_of(dir.path()).unwrap();
    let mut place = 7_u64;
    for table in crate::table::TABLES {
        let path = dir.path().join(crate::table::file_name(table));
        let bytes = std::fs::read(&path).unwrap();
        for _ in 0..30 {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (place >> 33) as usize % bytes.len();
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (place >> 20 & 7);
            std::fs::write(&path, &damaged).unwrap();
            // Every row group holds rows of some trace, so none goes unread.
            assert!(all_of(dir.path()).is_err(), "byte {at} of {} of {table}", bytes.len());
            assert!(RunReader::open(dir.path()).is_err());
            let reader = RunReader::open_unverified(dir.path());
            let all = reader.and_then(|reader| {
                let prefixes = reader.prefixes()?;
                let (answers, signals) = (reader.answers()?, reader.signals()?);
                let (traces, tokens) = (reader.traces()?, reader.tokens()?);
                Ok(Rows { traces, prefixes, answers, tokens, signals, ..Rows::default() })
            });
            assert!(all.is_err(), "byte {at} of {} of {table}", bytes.len());
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(all_of(dir.path()).unwrap(), whole);
}

#[test]
fn one_trace_is_read_though_another_row_group_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    run_of_groups(dir.path());
    let path = dir.path().join("tokens.parquet");
    let groups = TableFile::<TokenRow>::open(&path).unwrap().group_sizes();
    assert!(groups.len() > 1, "{groups:?}");
    let whole = all_of(dir.path()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Within the first column of the first row group.
    bytes[12] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let tables = Tables::open(&RunReader::open_unverified(dir.path()).unwrap()).unwrap();
    // The first trace is in the first row group of tokens, the third in the second.
    let rows_of = |number: u32, group: usize| {
        let only = || vec![Some(number..=number)];
        let mut tokens = vec![None; 2];
        tokens[group] = Some(number..=number);
        let places =
            Places { tokens, prefixes: only(), answers: only(), signals: only(), ..Places::default() };
        tables.rows_of(tables.trace(number).unwrap().unwrap(), number, &places)
    };
    assert_eq!(rows_of(2, 1).unwrap(), whole[2]);
    let problem = rows_of(0, 0).unwrap_err().to_string();
    assert!(problem.contains("row group 0") && problem.contains("not those that were written"), "{problem}");
}
