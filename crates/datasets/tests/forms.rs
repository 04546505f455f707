//! Every form of file: the rows that a small one gives, and what a damaged one says.
//!
//! The Parquet files are those of `goldens/data/generate.py`.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use entrace_datasets::jsonl::{self, Custom, Options};
use entrace_datasets::{
    BadLines, ColumnMap, Error, FormatKind, Imported, Message, Role, TracePrompt, imported, is_file_name,
    stem,
};
use entrace_measure::Answer;

fn options(map: &str) -> Options {
    Options { columns: ColumnMap::parse(map).unwrap(), ..Options::default() }
}

/// The questions of a file with this name and content.
fn read(name: &str, bytes: impl AsRef<[u8]>, map: &str) -> Result<Custom, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    jsonl::load(&path, "mine", &options(map))
}

fn traces(name: &str, bytes: impl AsRef<[u8]>, map: &str) -> Result<Imported, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    imported::load(&path, "mine", &options(map))
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../goldens/data/out").join(format!("{name}.parquet"))
}

fn table(name: &str, map: &str) -> Result<Custom, Error> {
    jsonl::load(&golden(name), "mine", &options(map))
}

/// Questions with their targets.
fn pairs(read: &Custom) -> Vec<(&str, Option<&str>)> {
    let questions = &read.loaded.questions;
    questions
        .iter()
        .map(|question| (question.text.as_str(), question.target.as_ref().map(Answer::name)))
        .collect()
}

fn reasons(read: &Custom) -> Vec<String> {
    read.loaded.bad_lines.iter().map(|line| format!("{}: {}", line.line_number, line.reason)).collect()
}

/// The error and its causes in one line.
fn said(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

const ROWS: &str = "{\"question\": \"1 + 1?\", \"target\": 2}\n{\"question\": \"Größe?\", \"target\": 3}\n";
const EXPECTED: [(&str, Option<&str>); 2] = [("1 + 1?", Some("2")), ("Größe?", Some("3"))];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    file.write_all(bytes).unwrap();
    file.finish().unwrap()
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(to_bytes).collect()
}

#[test]
fn one_table_in_every_form() {
    let list = "[{\"question\": \"1 + 1?\", \"target\": 2}, {\"question\": \"Größe?\", \"target\": 3}]";
    let delimited = |by: &str| format!("question{by}target\n1 + 1?{by}2\n\"Größe?\"{by}3\n");
    let zstd = zstd::encode_all(delimited(",").as_bytes(), 3).unwrap();
    let forms: [(&str, Vec<u8>); 15] = [
        ("a.jsonl", ROWS.into()),
        ("a.ndjson", ROWS.into()),
        ("a.json", ROWS.into()),
        ("a.json", list.into()),
        ("a.json", format!("{{\"version\": \"1.0\", \"data\": {list}}}").into()),
        ("a.json", format!("{{\n  \"rows\": {list}\n}}\n").into()),
        ("a.csv", delimited(",").into()),
        ("a.tsv", delimited("\t").into()),
        ("a.jsonl", format!("\u{feff}{ROWS}").into()),
        ("a.jsonl", utf16(ROWS, u16::to_le_bytes)),
        ("a.csv", utf16(&delimited(",").replace('\n', "\r\n"), u16::to_be_bytes)),
        ("a.jsonl.gz", gzip(ROWS.as_bytes())),
        ("a.jsonl", [gzip(&ROWS.as_bytes()[..40]), gzip(&ROWS.as_bytes()[40..])].concat()),
        ("a.CSV.zst", zstd),
        ("a.json.gz", gzip(&utf16(list, u16::to_le_bytes))),
    ];
    for (name, bytes) in forms {
        let read = read(name, &bytes, "").unwrap_or_else(|error| panic!("{name}: {}", said(&error)));
        assert_eq!(pairs(&read), EXPECTED, "{name}");
        assert_eq!((&read.kinds[..], read.notes.len()), (&[FormatKind::Number; 2][..], 0), "{name}");
    }
}

#[test]
fn damaged_files_say_what_is_wrong() {
    let packed = gzip(ROWS.as_bytes());
    let odd = [&utf16(ROWS, u16::to_le_bytes)[..], &[0]].concat();
    let cut_zstd = &zstd::encode_all(ROWS.as_bytes(), 3).unwrap()[..20];
    let half = ["\u{feff}".encode_utf16().next().unwrap(), 0xd800, 0x41].map(u16::to_le_bytes).concat();
    let table = fs::read(golden("packed_zstd")).unwrap();
    let cases: [(&str, &[u8], &str); 16] = [
        ("a.jsonl.gz", &packed[..packed.len() - 9], "could not unpack"),
        ("a.jsonl.gz", b"\x1f\x8b\x08nonsense", "with gzip"),
        ("a.jsonl.zst", cut_zstd, "with zstd"),
        ("a.jsonl", &odd, "as UTF-16LE, which its byte order mark announces"),
        ("a.jsonl", &half, "as UTF-16LE"),
        (
            "a.json",
            b"[{\"question\": 1},\n {\"question\": 2}",
            "as JSON: expected a comma or ], found the end at line 2",
        ),
        ("a.json", b"{\"data\": [{\"question\": 1}", "a.json:1: not JSON: expected a comma or ]"),
        (
            "a.json",
            b"{\"train\": [{\"q\": 1}], \"test\": [{\"q\": 1}]}",
            "several lists of rows, train and test",
        ),
        ("a.json", b"{\"a\": 1}", "there is no column question; name it with question=COLUMN; there are a"),
        ("a.csv", b"question,target\n1,2,3\n", "a.csv:2: 3 cells in a table of 2 columns"),
        ("a.csv", b"question,target\n\"1 + 1?,2\n", "a.csv:2: a quote that opens here is not closed"),
        ("a.csv", b"question,target,target\n1,2,3\n", "two columns are named \"target\""),
        ("a.csv", b"question,target\n\xff,2\n", "to be the question: it holds text that is not UTF-8"),
        ("a.tsv", b"question,target\n1,2\n", "there are question,target"),
        ("a.parquet", &table[..table.len() - 1], "as Parquet"),
        ("a.parquet", b"PAR1 no parquet PAR1", "as Parquet"),
    ];
    for (name, bytes, fragment) in cases {
        let error = said(&read(name, bytes, "").unwrap_err());
        assert!(error.contains(fragment), "{name} does not say {fragment:?}: {error}");
    }
}

#[test]
fn endings_tell_files_from_tasks() {
    for (name, of) in [("a/q.jsonl", "q"), ("q.CSV.gz", "q"), ("q.v2.json.zst", "q.v2"), ("q.parquet", "q")] {
        assert!(is_file_name(name), "{name}");
        assert_eq!(stem(&PathBuf::from(name)).as_deref(), Some(of));
    }
    for name in ["gsm8k", "q.txt", "q.gz", "jsonl", ".jsonl"] {
        assert!(!is_file_name(name) || name == ".jsonl", "{name}");
    }
    assert_eq!(stem(&PathBuf::from("a/traces.txt")).as_deref(), Some("traces"));
}

#[test]
fn numbers_of_any_size_are_exact_and_odd_values_do_no_harm_unused() {
    let rows = r#"{"question": "a", "target": 123456789012345678901234567890, "loss": NaN, "bound": [-Infinity], "raw": "\ud83d"}
{"question": "b", "target": -0.10000000000000000000000001, "loss": 1e999}
{"question": "c", "target": NaN}
{"question": "d", "target": 1e3}"#;
    let read = read("a.jsonl", rows, "").unwrap();
    let targets = pairs(&read);
    assert_eq!(targets[0].1, Some("123456789012345678901234567890"));
    assert_eq!(targets[1].1, Some("-0.10000000000000000000000001"));
    assert_eq!(targets[2].1, Some("1000"));
    assert_eq!(reasons(&read), ["3: the target column \"target\" holds NaN"]);
}

#[test]
fn parquet_targets_of_every_type() {
    let large = format!("-1{}.5555555555", "0".repeat(60));
    for (column, target) in [
        ("decimal9", "-1234.5"),
        ("decimal38", "123456789012345678901234567890.0001"),
        ("decimal76", large.as_str()),
        ("integer30", "123456789012345678901234567890"),
        ("half", "0.1"),
        ("single", "0.1"),
        ("double", "0.1"),
        ("int8", "-128"),
        ("uint8", "255"),
        ("uint64", "18446744073709551615"),
        ("large_text", "text"),
        ("words", "twelve"),
        ("bytes", "as text"),
    ] {
        let read =
            table("targets", &format!("target={column}")).unwrap_or_else(|error| panic!("{}", said(&error)));
        assert_eq!(pairs(&read), [("How much?", Some(target))], "{column}");
        assert_eq!(reasons(&read).len(), 1, "{column}");
        assert!(
            reasons(&read)[0].starts_with(&format!("2: the target column \"{column}\" is missing")),
            "{column}"
        );
    }
    for (column, id) in
        [("day", "2024-02-29"), ("moment", "2024-02-29 12:30:00.000 +00:00"), ("decimal9", "-1234.50")]
    {
        let read =
            table("targets", &format!("id={column}")).unwrap_or_else(|error| panic!("{}", said(&error)));
        assert_eq!(read.loaded.questions[0].id, id, "{column}");
    }
    let read = table("decimals_as_integers", "").unwrap();
    assert_eq!(pairs(&read), [("How much?", Some("-1234.5")), ("How many?", None)]);
    assert_eq!(read.notes, ["1 of 2 rows have no target: whether their answers are correct is not known"]);
}

#[test]
fn columns_that_cannot_be_read_are_named_and_refused() {
    for (column, reason) in [
        ("pickle", "bytes that are not UTF-8 text"),
        ("uuid", "bytes that are not UTF-8 text"),
        ("not_a_number", "NaN"),
    ] {
        let error = said(&table("targets", &format!("target={column}")).unwrap_err());
        let expected = format!("could not read the column \"{column}\" of ");
        assert!(error.starts_with(&expected) && error.contains(&format!("it holds {reason}")), "{error}");
    }
    for column in ["always_null", "nothing"] {
        let error = said(&table("targets", &format!("target={column}")).unwrap_err());
        assert!(error.contains(&format!("the target column \"{column}\" is missing")), "{error}");
    }
}

#[test]
fn a_file_without_targets_says_so() {
    let read = table("targets", "").unwrap();
    assert_eq!(pairs(&read), [("How much?", None), ("How many?", None)]);
    assert!(read.notes[0].starts_with("no row has a target"), "{:?}", read.notes);
    assert!(read.notes[0].contains("there are question, decimal9, "), "{:?}", read.notes);
}

#[test]
fn choices_of_every_shape() {
    let medqa = r#"{"question": "What melts?", "list": ["ice", "2"], "map": {"A": "ice", "B": "2"}, "answer": 0, "answer_idx": "A"}"#;
    let csv = "question,list,answer,answer_idx\nWhat melts?,\"[\"\"ice\"\", \"\"2\"\"]\",0,A\n";
    let columns = ["list", "map", "struct", "labelled", "keyed", "parallel"];
    let tables = columns.map(|column| {
        let target = if column == "list" { "answer" } else { "answer_idx" };
        table("choices", &format!("choices={column},target={target}"))
    });
    let texts = [
        read("a.jsonl", medqa, "choices=list"),
        read("a.jsonl", medqa, "choices=map,target=answer_idx"),
        read("a.csv", csv, "choices=list"),
    ];
    for read in tables.into_iter().chain(texts) {
        let read = read.unwrap_or_else(|error| panic!("{}", said(&error)));
        assert_eq!(read.kinds, [FormatKind::Choice]);
        let question = &read.loaded.questions[0];
        let choices = question.choices.as_ref().unwrap();
        assert_eq!(
            (choices.labels(), choices.texts()),
            (&["A", "B"].map(String::from)[..], &["ice", "2"].map(String::from)[..])
        );
        assert_eq!(question.target.as_ref().unwrap().name(), "A");
    }
    let error = said(&read("a.csv", "question,choices\n?,\"['a' 'b']\"\n", "").unwrap_err());
    assert!(error.contains("the choices column is not JSON: expected a value at column 2"), "{error}");
}

#[test]
fn parquet_in_every_compression() {
    for compression in ["none", "snappy", "gzip", "lz4", "zstd"] {
        let read =
            table(&format!("packed_{compression}"), "").unwrap_or_else(|error| panic!("{}", said(&error)));
        assert_eq!(read.loaded.questions.len(), 40, "{compression}");
        assert_eq!(pairs(&read)[1], ("2 + 2?", Some("4")), "{compression}");
    }
}

fn conversation() -> Vec<Message> {
    let message = |role, content: &str| Message { role, content: content.into() };
    vec![message(Role::System, "Be brief."), message(Role::User, "2 + 3?")]
}

#[test]
fn conversations_are_prompt_and_trace() {
    let lines = [
        r#"{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "2 + 3?"}]}, {"role": "assistant", "content": "2 + 3 = 5. The answer is 5."}], "answer": "5"}"#,
        r#"{"prompt": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "2 + 3?"}], "completion": [{"role": "assistant", "content": "2 + 3 = 5. The answer is 5."}], "answer": 5}"#,
    ];
    let files = [
        imported::load(&golden("messages"), "mine", &Options::default()),
        imported::load(&golden("prompt_completion"), "mine", &Options::default()),
        traces("a.jsonl", lines.join("\n"), ""),
        traces("a.jsonl", lines[0], ""),
    ];
    for read in files {
        let read = read.unwrap_or_else(|error| panic!("{}", said(&error)));
        for trace in &read.traces {
            assert_eq!(trace.prompt, Some(TracePrompt::Messages(conversation())));
            assert_eq!(trace.trace, "2 + 3 = 5. The answer is 5.");
            assert_eq!(trace.question.text, "2 + 3?");
            assert_eq!(trace.question.target.as_ref().unwrap().name(), "5");
        }
    }
}

#[test]
fn conversations_that_cannot_be_used_say_why() {
    let user = r#"{"role": "user", "content": "?"}"#;
    for (messages, reason) in [
        (format!("[{user}]"), "the last message is not the assistant's"),
        (
            format!(
                "[{user}, {{\"role\": \"tool\", \"content\": \"5\"}}, {{\"role\": \"assistant\", \"content\": \"5\"}}]"
            ),
            "of the role \"tool\"",
        ),
        (
            r#"[{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "5"}]"#
                .into(),
            "parts that are not text",
        ),
        (r#"[{"role": "assistant", "content": "5"}]"#.into(), "no message of a user"),
        (
            format!("[{user}, {{\"role\": \"assistant\", \"content\": null}}]"),
            "column \"content\" holds null",
        ),
        ("[]".into(), "expected messages"),
        ("\"text\"".into(), "expected messages, found text"),
    ] {
        let error = said(&traces("a.jsonl", format!("{{\"messages\": {messages}}}"), "").unwrap_err());
        assert!(error.contains(reason), "{messages} does not say {reason:?}: {error}");
    }
    let asked = r#"{"question": [{"role": "user", "content": "1 + 1?"}], "target": 2}"#;
    assert_eq!(pairs(&read("a.jsonl", asked, "").unwrap()), [("1 + 1?", Some("2"))]);
    let asked = asked.replace("[{", r#"[{"role": "system", "content": "x"}, {"#);
    let error = said(&read("a.jsonl", asked, "").unwrap_err());
    assert!(error.contains("a conversation of 2 messages"), "{error}");
}

#[test]
fn texts_that_begin_with_brackets_are_texts() {
    let rows = "{\"question\": \"{1, 2} has how many elements?\", \"target\": 2}\n{\"question\": \"[MASK] is what?\", \"target\": 3}";
    assert_eq!(pairs(&read("a.jsonl", rows, "").unwrap()).len(), 2);
    let row = r#"{"prompt": "[INST] 2 + 3? [/INST]", "trace": "[1] 5."}"#;
    let read = traces("a.jsonl", row, "").unwrap();
    assert_eq!(read.traces[0].prompt, Some(TracePrompt::Text("[INST] 2 + 3? [/INST]".into())));
    assert_eq!(read.traces[0].trace, "[1] 5.");
    let csv = "prompt,completion\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"2 + 3?\"\"}]\",5.\n";
    let read = traces("a.csv", csv, "").unwrap();
    assert_eq!(read.traces[0].question.text, "2 + 3?");
    assert_eq!(read.traces[0].trace, "5.");
}

#[test]
fn batch_outputs_of_chat_interfaces_are_reached_by_their_path() {
    let row = |message: &str| {
        format!(
            r#"{{"custom_id": "r-1", "q": "2 + 3?", "response": {{"status_code": 200, "body": {{"choices": [{{"index": 0, "message": {message}}}]}}}}, "error": null}}"#
        )
    };
    let map = "id=custom_id,question=q,trace=response.body.choices.0.message.content";
    let plain = traces("out.jsonl", row(r#"{"role": "assistant", "content": "5."}"#), map).unwrap();
    assert_eq!((plain.traces[0].trace.as_str(), plain.traces[0].question.id.as_str()), ("5.", "r-1"));
    for name in ["reasoning_content", "reasoning"] {
        let message = format!(r#"{{"role": "assistant", "{name}": "2 + 3 = 5.\n", "content": "5."}}"#);
        for map in [map, &map.replace(".content", "")] {
            let read = traces("out.jsonl", row(&message), map).unwrap();
            assert_eq!(read.traces[0].trace, "<think>\n2 + 3 = 5.\n</think>\n\n5.", "{map}");
        }
    }
    let failed =
        r#"{"q": "2 + 3?", "custom_id": "r-2", "response": {"status_code": 500, "body": {"error": {}}}}"#;
    let both = [row(r#"{"role": "assistant", "content": "5."}"#), failed.to_string()].join("\n");
    let read = traces("out.jsonl", both, map).unwrap();
    assert_eq!(read.traces.len(), 1);
    assert!(
        read.bad_lines[0].reason.contains("choices.0.message.content\" is missing"),
        "{}",
        read.bad_lines[0]
    );
}

#[test]
fn a_strict_reading_stops_at_the_first_bad_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "question,target\n1 + 1?,2\n2 + 2?\n").unwrap();
    let strict = Options { bad_lines: BadLines::Stop, ..Options::default() };
    let error = said(&jsonl::load(&path, "mine", &strict).unwrap_err());
    assert!(error.contains("a.csv:3: 1 cells in a table of 2 columns"), "{error}");
}
