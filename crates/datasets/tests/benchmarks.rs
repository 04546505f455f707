//! The built-in benchmarks, read from small files in their publishers' formats.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use entrace_datasets::fewshot::{self, Order};
use entrace_datasets::task::{find, load};
use entrace_datasets::{BadLines, Error, Split};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const GSM8K: &str = concat!(
    r#"{"question": "A hen lays 3 eggs on each of 4 days. How many?", "answer": "It lays 3*4=<<3*4=12>>12 eggs.\n#### 12"}"#,
    "\n",
    r#"{"question": "No answer here", "answer": "It lays 12."}"#,
    "\nnot json\n\n",
    r#"{"question": "Now 1,000 times as many?", "answer": "Many.\n#### 12,000"}"#,
    "\n",
);

#[test]
fn gsm8k_names_questions_by_line_and_lists_bad_lines() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "gsm8k/test.jsonl", GSM8K);
    let task = find("gsm8k").unwrap();
    let loaded = load(task, folder.path(), Split::Test, BadLines::Skip).unwrap();
    let ids: Vec<&str> = loaded.questions.iter().map(|question| question.id.as_str()).collect();
    assert_eq!(ids, ["test-1", "test-5"]);
    assert_eq!(loaded.questions[1].target.as_ref().unwrap().name(), "12000");
    assert_eq!(loaded.questions[0].rationale.as_deref(), Some("It lays 3*4=12 eggs."));
    assert_eq!(loaded.questions[0].task, "gsm8k");
    let bad: Vec<(usize, &str)> =
        loaded.bad_lines.iter().map(|line| (line.line_number, line.reason.as_str())).collect();
    assert_eq!(bad[0], (2, "the solution has no line that begins with ####"));
    assert_eq!(bad[1].0, 3);
    assert!(bad[1].1.starts_with("not JSON: "), "{}", bad[1].1);
    assert_eq!(loaded.hash.len(), 64);
    assert!(loaded.source.ends_with("test.jsonl"));

    let error = load(task, folder.path(), Split::Test, BadLines::Stop).unwrap_err();
    assert!(matches!(&error, Error::BadLine(line) if line.line_number == 2), "{error}");
}

#[test]
fn a_missing_file_lists_the_names_that_were_tried() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(find("gsm8k").unwrap(), folder.path(), Split::Train, BadLines::Skip).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "could not find the train split of gsm8k: looked in {} for gsm8k/train.jsonl, gsm8k/main/train-*.parquet, train.jsonl, \
             main/train-*.parquet; a folder that holds one of them is needed",
            folder.path().display()
        )
    );
    let error = load(find("gsm8k").unwrap(), folder.path(), Split::Validation, BadLines::Skip).unwrap_err();
    assert_eq!(error.to_string(), "could not find the validation split of gsm8k, which has train, test");
}

#[test]
fn a_file_of_another_kind_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "test.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
    let error = load(find("gsm8k").unwrap(), folder.path(), Split::Test, BadLines::Skip).unwrap_err();
    assert!(matches!(&error, Error::NoUsableLine { first: Some(_), .. }), "{error}");
    write(folder.path(), "test.jsonl", "");
    let error = load(find("gsm8k").unwrap(), folder.path(), Split::Test, BadLines::Skip).unwrap_err();
    assert!(matches!(&error, Error::NoUsableLine { first: None, .. }), "{error}");
}

const SVAMP: &str = r#"[
  {"ID": "chal-1", "Body": "A box costs 76.0 coins", "Question": "What do 2 cost?", "Equation": "( 76.0 * 2.0 )", "Answer": 152.0, "Type": "Multiplication"},
  {"ID": "chal-2", "Body": "Ann had 4 pens.", "Question": "She lost 3. How many are left?", "Equation": "( 4.0 - 3.0 )", "Answer": "1", "Type": "Subtraction"},
  {"ID": "chal-2", "Body": "Twice.", "Question": "Twice?", "Equation": "( 4.0 - 3.0 )", "Answer": 1, "Type": "Subtraction"},
  {"ID": "chal-4", "Body": "None.", "Question": "None?", "Equation": "( 4.0 - 3.0 )", "Answer": null, "Type": "Subtraction"}
]"#;

#[test]
fn svamp_is_one_file_and_lends_its_end_to_examples() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "svamp/SVAMP.json", SVAMP);
    let task = find("svamp").unwrap();
    let loaded = load(task, folder.path(), task.evaluation_split, BadLines::Skip).unwrap();
    assert_eq!(loaded.questions.len(), 2);
    let first = &loaded.questions[0];
    assert_eq!(first.text, "A box costs 76.0 coins What do 2 cost?");
    assert_eq!(first.target.as_ref().unwrap().name(), "152");
    assert_eq!(first.rationale.as_deref(), Some("( 76 * 2 ) = 152"));
    let bad: Vec<(usize, &str)> =
        loaded.bad_lines.iter().map(|line| (line.line_number, line.reason.as_str())).collect();
    assert_eq!(
        bad,
        [
            (3, "the id \"chal-2\" appeared before"),
            (4, "column \"Answer\": expected text or a number, found null")
        ]
    );

    let pool = fewshot::pool(task, folder.path(), BadLines::Skip).unwrap();
    assert!(pool.note.unwrap().contains("from the end"));
    let chosen = fewshot::choose(&pool.loaded.questions, 1, Order::First, first);
    assert_eq!(chosen[0].id, "chal-2");
    let chosen = fewshot::choose(&pool.loaded.questions, 5, Order::First, chosen[0]);
    assert_eq!(chosen.iter().map(|example| example.id.as_str()).collect::<Vec<_>>(), ["chal-1"]);
}

const ARC: &str = concat!(
    r#"{"id":"Q1","question":{"stem":"What melts?","choices":[{"text":"ice","label":"A"},{"text":"fire","label":"B"},{"text":"air","label":"C"}]},"answerKey":"A"}"#,
    "\n",
    r#"{"id":"Q2","question":{"stem":"What burns?","choices":[{"text":"ice","label":"1"},{"text":"wood","label":"2"},{"text":"air","label":"3"},{"text":"sand","label":"4"},{"text":"salt","label":"5"}]},"answerKey":"2"}"#,
    "\n",
    r#"{"id":"Q3","question":{"stem":"What?","choices":[{"text":"ice","label":"A"},{"text":"fire","label":"B"}]},"answerKey":"E"}"#,
    "\n",
    r#"{"id":"Q4","question":{"stem":"What?","choices":[{"text":"ice","label":"A"},{"text":"fire","label":"A"}]},"answerKey":"A"}"#,
    "\n",
);

#[test]
fn arc_keeps_labels_as_they_are_spelled() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl", ARC);
    write(folder.path(), "arc_easy/dev.jsonl", ARC);
    let task = find("arc_easy").unwrap();
    let loaded = load(task, folder.path(), Split::Test, BadLines::Skip).unwrap();
    let targets: Vec<&str> =
        loaded.questions.iter().map(|question| question.target.as_ref().unwrap().name()).collect();
    assert_eq!(targets, ["A", "2"]);
    assert_eq!(loaded.questions[1].choices.as_ref().unwrap().len(), 5);
    let reasons: Vec<&str> = loaded.bad_lines.iter().map(|line| line.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["the answer key \"E\" is none of the labels A, B", "the choice label \"A\" appears twice"]
    );
    let pool = fewshot::pool(task, folder.path(), BadLines::Skip).unwrap();
    assert_eq!((pool.split, pool.note), (Split::Validation, None));
    assert!(load(find("arc_challenge").unwrap(), folder.path(), Split::Test, BadLines::Skip).is_err());
}

/// Writes a Parquet file of text columns; each column is its values with their definition and repetition levels.
fn write_parquet(path: &Path, schema: &str, columns: &[(&[&str], &[i16], &[i16])]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (values, definition, repetition) in columns {
        let values: Vec<ByteArray> = values.iter().map(|value| ByteArray::from(*value)).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(definition), Some(repetition)).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn the_hubs_parquet_gives_the_same_questions() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "jsonl/test.jsonl", &ARC.lines().take(2).collect::<Vec<_>>().join("\n"));
    let schema = "message schema {
        optional binary id (STRING); optional binary question (STRING);
        optional group choices {
            optional group text (LIST) { repeated group list { optional binary element (STRING); } }
            optional group label (LIST) { repeated group list { optional binary element (STRING); } }
        }
        optional binary answerKey (STRING);
    }";
    let texts = ["ice", "fire", "air", "ice", "wood", "air", "sand", "salt"];
    let labels = ["A", "B", "C", "1", "2", "3", "4", "5"];
    let (all, starts) = ([4_i16; 8], [0_i16, 1, 1, 0, 1, 1, 1, 1]);
    write_parquet(
        &folder.path().join("hub/ARC-Challenge/test-00000-of-00001.parquet"),
        schema,
        &[
            (&["Q1", "Q2"], &[1, 1], &[0, 0]),
            (&["What melts?", "What burns?"], &[1, 1], &[0, 0]),
            (&texts, &all, &starts),
            (&labels, &all, &starts),
            (&["A", "2"], &[1, 1], &[0, 0]),
        ],
    );
    let task = find("arc_challenge").unwrap();
    let of = |name: &str| load(task, &folder.path().join(name), Split::Test, BadLines::Stop).unwrap();
    assert_eq!(of("jsonl").questions, of("hub").questions);
}

#[test]
fn several_parquet_files_count_on() {
    let folder = tempfile::tempdir().unwrap();
    let schema = "message schema { optional binary question (STRING); optional binary answer (STRING); }";
    for (i, answer) in ["#### 1", "#### 2"].into_iter().enumerate() {
        write_parquet(
            &folder.path().join(format!("main/test-0000{i}-of-00002.parquet")),
            schema,
            &[(&["How many?"], &[1], &[0]), (&[answer], &[1], &[0])],
        );
    }
    let loaded = load(find("gsm8k").unwrap(), folder.path(), Split::Test, BadLines::Stop).unwrap();
    let read: Vec<(&str, &str)> = loaded
        .questions
        .iter()
        .map(|question| (question.id.as_str(), question.target.as_ref().unwrap().name()))
        .collect();
    assert_eq!(read, [("test-1", "1"), ("test-2", "2")]);
    assert!(loaded.source.contains(','));
}
