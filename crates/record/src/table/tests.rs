//! Round trips, row groups and hostile files of tables.

use std::fs;

use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use super::*;
use crate::example;
use crate::rows::Outcome;

fn write<R: Row>(path: &Path, rows: &[R]) {
    let mut table = TableWriter::<R, &R>::create(path).unwrap();
    rows.iter().for_each(|row| table.push(row).unwrap());
    table.finish().unwrap();
}

fn read<R: Row>(path: &Path) -> Result<Vec<R>, Error> {
    TableReader::new(vec![path.to_owned()]).collect()
}

fn n_groups(path: &Path) -> usize {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap().num_row_groups()
}

// Round trips.

/// Text with everything that text may hold: nothing, NUL, letters beyond ASCII, quotes.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("\0".to_owned()),
        Just("a\0b\r\n\"✓\u{10ffff}".to_owned()),
        ".{0,12}"
    ]
}

fn any_shared() -> impl Strategy<Value = Arc<str>> {
    any_text().prop_map(Arc::from)
}

/// Every number that is not NaN, with −0 and the infinities.
fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(-0.0),
        Just(0.0),
        Just(f64::NEG_INFINITY),
        Just(f64::INFINITY),
        Just(f64::MIN_POSITIVE / 2.0),
        any::<f64>().prop_filter("a number", |x| !x.is_nan())
    ]
}

fn maybe<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(of)
}

prop_compose! {
    fn any_trace()(
        (task, question_id) in (any_shared(), any_shared()),
        (question, prompt, completion) in (any_text(), any_text(), any_text()),
        [choices, target, answer, stop_reason, reason] in [(); 5].map(|()| maybe(any_text())),
        [sample, n_prompt_tokens, n_trace_tokens, n_steps] in [(); 4].map(|()| any::<u32>()),
        [lock_in_step, n_violations, wasted_tokens] in [(); 3].map(|()| maybe(any::<u32>())),
        [total_drop, late_slope] in [(); 2].map(|()| maybe(any_float())),
        [correct, monotone] in [(); 2].map(|()| maybe(any::<bool>())),
        outcome in prop_oneof![Just(Outcome::Measured), Just(Outcome::Skipped), Just(Outcome::Failed)],
    ) -> TraceRow {
        TraceRow {
            task, question_id, sample, question, choices, prompt, completion, target, answer, correct, stop_reason, n_prompt_tokens,
            n_trace_tokens, n_steps, outcome, reason, lock_in_step, total_drop, monotone, n_violations, late_slope, wasted_tokens,
        }
    }
}

prop_compose! {
    fn any_prefix()(
        [task, question_id, control, estimator, leader] in [(); 5].map(|()| any_shared()),
        [sample, step, n_tokens] in [(); 3].map(|()| any::<u32>()),
        [depth, answer_entropy, entropy_lower, entropy_upper, leader_prob, residual_mass] in [(); 6].map(|()| any_float()),
        [entropy_drop, target_logprob, information_gain, elicited_mass, cue_entropy] in [(); 5].map(|()| maybe(any_float())),
        [n_samples, cue] in [(); 2].map(|()| maybe(any::<u32>())),
        [answer_stated, target_stated] in [(); 2].map(|()| maybe(any::<bool>())),
    ) -> PrefixRow {
        PrefixRow {
            task, question_id, sample, control, step, n_tokens, depth, estimator, answer_entropy, entropy_lower, entropy_upper,
            entropy_drop, target_logprob, information_gain, leader, leader_prob, elicited_mass, residual_mass, n_samples, cue_entropy,
            answer_stated, target_stated, cue,
        }
    }
}

prop_compose! {
    fn any_answer()(
        [task, question_id, control, answer] in [(); 4].map(|()| any_shared()),
        [sample, step] in [(); 2].map(|()| any::<u32>()),
        [prob, logprob] in [(); 2].map(|()| any_float()),
        cue in maybe(any::<u32>()),
        estimator in maybe(any_shared()),
    ) -> AnswerRow {
        AnswerRow { task, question_id, sample, control, step, estimator, answer, prob, logprob, cue }
    }
}

prop_compose! {
    fn any_token()(
        [task, question_id] in [(); 2].map(|()| any_shared()),
        [sample, index, step, token_id] in [(); 4].map(|()| any::<u32>()),
        text in any_text(),
        [logprob, token_entropy, top2_margin, topk_confidence, uniform_divergence] in [(); 5].map(|()| maybe(any_float())),
    ) -> TokenRow {
        TokenRow {
            task, question_id, sample, index, step, token_id, text, logprob, token_entropy, top2_margin, topk_confidence,
            uniform_divergence,
        }
    }
}

prop_compose! {
    fn any_signal()(
        [task, question_id, signal] in [(); 3].map(|()| any_shared()),
        sample in any::<u32>(),
        value in maybe(any_float()),
        reason in maybe(any_text()),
    ) -> SignalRow {
        SignalRow { task, question_id, sample, signal, value, reason }
    }
}

/// Debug output tells −0 from 0, which equality does not.
fn check_round_trip<R: Row + std::fmt::Debug>(rows: &[R]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write(&path, rows);
    let back: Vec<R> = read(&path).unwrap();
    assert_eq!(format!("{back:?}"), format!("{rows:?}"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back_exactly(
        traces in proptest::collection::vec(any_trace(), 0..6),
        prefixes in proptest::collection::vec(any_prefix(), 0..6),
        answers in proptest::collection::vec(any_answer(), 0..6),
        tokens in proptest::collection::vec(any_token(), 0..6),
        signals in proptest::collection::vec(any_signal(), 0..6),
    ) {
        check_round_trip(&traces);
        check_round_trip(&prefixes);
        check_round_trip(&answers);
        check_round_trip(&tokens);
        check_round_trip(&signals);
    }
}

#[test]
fn equal_strings_are_shared_across_files() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..2).map(|i| dir.path().join(format!("{i}"))).collect();
    paths.iter().for_each(|path| write(path, &example::rows(0).prefixes));
    let rows: Vec<PrefixRow> = TableReader::new(paths).collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| Arc::ptr_eq(&row.question_id, &rows[0].question_id)));
}

// Row groups.

#[test]
fn a_row_group_ends_after_so_many_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    let row = example::rows(0).answers.swap_remove(0);
    let rows: Vec<AnswerRow> =
        (0..GROUP_ROWS as u32 + 1).map(|step| AnswerRow { step, ..row.clone() }).collect();
    write(&path, &rows);
    assert_eq!(n_groups(&path), 2);
    assert_eq!(read::<AnswerRow>(&path).unwrap(), rows);
}

#[test]
fn a_row_group_ends_after_so_many_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.parquet");
    let row = example::rows(0).tokens.swap_remove(0);
    let rows = vec![TokenRow { text: "x".repeat(GROUP_BYTES / 2), ..row }; 3];
    write(&path, &rows);
    assert_eq!(n_groups(&path), 3);
    assert_eq!(read::<TokenRow>(&path).unwrap(), rows);
}

// Hostile files.

/// The problem that a reader states, which always names the file.
fn problem<R: Row>(path: &Path) -> String {
    let Err(error) = read::<R>(path) else { panic!("{} was read", path.display()) };
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()), "{message}");
    message
}

#[track_caller]
fn check_problem(message: &str, expected: &str) {
    assert!(message.contains(expected), "{message:?} does not contain {expected:?}");
}

/// A file without rows whose schema, metadata or both are not those of `answers`.
fn write_other(path: &Path, schema: &str, metadata: &[(&str, &str)]) {
    let metadata = metadata.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned())).collect();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties))
        .unwrap()
        .close()
        .unwrap();
}

/// The columns of 1.0.
const ANSWERS: &str = "message answers {
    required binary task (STRING); required binary question_id (STRING); required int32 sample (INTEGER(32,false));
    required binary control (STRING); required int32 step (INTEGER(32,false)); required binary answer (STRING);
    required double prob; required double logprob; }";
const METADATA: [(&str, &str); 3] = [(VERSION_KEY, "1.0"), (TABLE_KEY, "answers"), (UNIT_KEY, "nats")];

fn check_schema(schema: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    write_other(&path, schema, &METADATA);
    check_problem(&problem::<AnswerRow>(&path), expected);
}

#[test]
fn the_schema_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    write_other(&path, ANSWERS, &METADATA);
    assert_eq!(read::<AnswerRow>(&path).unwrap(), []);
    check_schema(&ANSWERS.replace("required double prob;", ""), "column prob is missing");
    check_schema(
        &ANSWERS.replace("double prob", "float prob"),
        "column prob is required FLOAT, not required DOUBLE",
    );
    check_schema(
        &ANSWERS.replace("required double prob", "optional double prob"),
        "column prob is optional DOUBLE",
    );
    check_schema(
        &ANSWERS.replace("step (INTEGER(32,false))", "step"),
        "not required INT32 (32 bits, unsigned)",
    );
    check_schema(&ANSWERS.replace("task (STRING)", "task"), "column task is required BYTE_ARRAY, not");
    check_schema(
        &ANSWERS.replace("required double prob;", "required double prob; required double extra;"),
        "column extra does not belong to the table",
    );
}

#[test]
fn a_newer_minor_version_may_have_more_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    let more = "required double extra; required double prob; optional int32 cue (INTEGER(32,false)); \
                optional binary estimator (STRING);";
    let schema = ANSWERS.replace("required double prob;", more);
    let metadata = [(VERSION_KEY, "1.99"), METADATA[1], METADATA[2]];
    write_other(&path, &schema, &metadata);
    assert_eq!(read::<AnswerRow>(&path).unwrap(), []);
}

#[test]
fn a_column_of_a_later_minor_version_is_missed_only_in_files_of_that_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    let metadata = [(VERSION_KEY, "1.1"), METADATA[1], METADATA[2]];
    write_other(&path, ANSWERS, &metadata);
    check_problem(&problem::<AnswerRow>(&path), "column cue is missing");
}

#[test]
fn the_metadata_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    let check = |metadata: &[(&str, &str)], expected: &str| {
        write_other(&path, ANSWERS, metadata);
        check_problem(&problem::<AnswerRow>(&path), expected);
    };
    check(&METADATA[1..], "entrace.format_version is missing");
    check(
        &[(VERSION_KEY, "2.0"), METADATA[1], METADATA[2]],
        "has format version 2.0, this entrace knows 1.1",
    );
    check(&[(VERSION_KEY, "one"), METADATA[1], METADATA[2]], "entrace.format_version is \"one\"");
    check(&[METADATA[0], (TABLE_KEY, "tokens"), METADATA[2]], "holds the table tokens, not answers");
    check(&[METADATA[0], METADATA[1], (UNIT_KEY, "bits")], "entrace.unit is Some(\"bits\"), not nats");
}

#[test]
fn what_is_not_parquet_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    check_problem(&problem::<AnswerRow>(&path), "is missing");
    for bytes in ["", "PAR1", "not a table at all, but a text", "PAR1PAR1PAR1PAR1"] {
        fs::write(&path, bytes).unwrap();
        check_problem(&problem::<AnswerRow>(&path), "cut off, damaged or not Parquet");
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("traces.parquet");
    write(&path, &example::rows(0).traces);
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(37) {
        fs::write(&path, &whole[..length]).unwrap();
        check_problem(&problem::<TraceRow>(&path), "cut off");
    }
}

/// Without checksums damage is found or goes unseen, but never ends the process. (The panics that it prints are caught.)
#[test]
fn a_damaged_byte_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    write(&path, &example::rows(0).answers);
    let whole = without_checksums(fs::read(&path).unwrap());
    for at in 0..whole.len() {
        for bit in [0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[at] ^= bit;
            fs::write(&path, &damaged).unwrap();
            let _ = read::<AnswerRow>(&path);
        }
    }
}

/// A table as versions without checksums wrote it, but for two entries of other names.
fn without_checksums(mut table: Vec<u8>) -> Vec<u8> {
    for key in ["entrace.checksums", "entrace.footer_checksum"] {
        let at = table.windows(key.len()).rposition(|window| window == key.as_bytes()).unwrap();
        table[at..at + 7].copy_from_slice(b"another");
    }
    table
}

#[test]
fn a_table_without_checksums_is_read_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    let rows = example::rows(0).answers;
    write(&path, &rows);
    fs::write(&path, without_checksums(fs::read(&path).unwrap())).unwrap();
    assert_eq!(read::<AnswerRow>(&path).unwrap(), rows);
}

/// Of every byte of a table, whatever it belongs to.
#[test]
fn each_flipped_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    for rows in [example::rows(0).answers, Vec::new()] {
        let _ = fs::remove_file(&path);
        write(&path, &rows);
        let whole = fs::read(&path).unwrap();
        assert_eq!(read::<AnswerRow>(&path).unwrap(), rows);
        for (at, bit) in (0..whole.len()).map(|at| (at, at % 8)) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            fs::write(&path, &damaged).unwrap();
            assert!(read::<AnswerRow>(&path).is_err(), "bit {bit} of byte {at} of {}", whole.len());
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answers.parquet");
    let mut rows = example::rows(0).answers;
    rows.iter_mut().for_each(|row| row.answer = Arc::from("~~~~~~~~"));
    write(&path, &rows);
    let mut bytes = without_checksums(fs::read(&path).unwrap());
    let at = bytes.windows(8).position(|w| w == b"~~~~~~~~").expect("short values are stored as they are");
    bytes[at] = 0xff;
    fs::write(&path, &bytes).unwrap();
    check_problem(&problem::<AnswerRow>(&path), "row group 0: column answer holds text that is not UTF-8");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_the_path_and_what_to_do() {
    let path = Path::new("/dev/full");
    let full = fs::File::options().write(true).open(path).unwrap();
    let mut table = TableWriter::<TraceRow, TraceRow>::into_file(full, path).unwrap();
    let traces = example::rows(0).traces;
    let error =
        traces.into_iter().try_for_each(|row| table.push(row)).and_then(|()| table.finish()).unwrap_err();
    check_problem(&error.to_string(), "could not write /dev/full: No space left on device");
    check_problem(&error.to_string(), "finished parts are kept");
}
