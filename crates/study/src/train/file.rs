//! Traces to learn from a file, read as `entrace score` reads traces.
//!
//! A row's `question` is asked as `entrace run` would ask it: through the model's chat template, else as `Q: ...` and `A:`. Its `prompt` is
//! taken verbatim, and counts where a row has both; a conversation goes through the chat template as it is. What follows is under `completion`
//! or `trace`, or under `answer` if the first row has neither, as in GSM8K's files. A line that cannot be read ends the training before it
//! begins: what a model learns is not left to chance.

use super::data::{Asked, Pair};
use crate::{error, parse};
use entrace_datasets::imported::{self, Imported, ImportedTrace, TracePrompt};
use entrace_datasets::{BadLines, Error, jsonl};
use entrace_train::strip_annotations;
use std::path::Path;

/// How the rows of a file are read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Columns, as for `entrace run`.
    pub map: Option<String>,
    /// Kind of the answers, which the question's message names.
    pub answer_format: Option<String>,
    /// Whether calculator annotations are removed.
    pub strip_annotations: bool,
}

/// The traces of a file.
pub(crate) fn traces(path: &Path, reading: &Reading) -> Result<Vec<Pair>, error::Error> {
    let read = load(path, reading)?.map_err(refused)?;
    let pairs = read.traces.into_iter().map(|trace| pair(trace, reading.strip_annotations));
    Ok(pairs.collect())
}

/// Under the usual names, or with `answer` as the trace.
fn load(path: &Path, reading: &Reading) -> Result<Result<Imported, Error>, error::Error> {
    let map = reading.map.as_deref().unwrap_or_default();
    let read = |map: &str| -> Result<Result<Imported, Error>, error::Error> {
        let options = jsonl::Options {
            columns: parse::columns(Some(map))?,
            answer_format: parse::answer_format(reading.answer_format.as_deref())?,
            bad_lines: BadLines::Stop,
            max_cell_bytes: None,
        };
        Ok(imported::load(path, "file", &options))
    };
    let maps_trace = map.split(',').any(|pair| pair.trim_start().starts_with("trace"));
    match read(map)? {
        Err(Error::BadLine(first)) if first.line_number == 1 && !maps_trace => {
            Ok(read(&format!("trace=answer,{map}"))?.map_err(|error| match error {
                Error::BadLine(line) if line.line_number > 1 => Error::BadLine(line),
                _ => Error::BadLine(first),
            }))
        }
        found => Ok(found),
    }
}

fn refused(error: Error) -> error::Error {
    match error {
        Error::BadLine(line) => error::Error::BadTrainingLine(line),
        Error::NoUsableLine { path, .. } => error::Error::NothingToLearn {
            source_name: path.display().to_string(),
            what: "traces: there is no line in it",
        },
        error => error.into(),
    }
}

fn pair(trace: ImportedTrace, strip: bool) -> Pair {
    let asked = match trace.prompt {
        Some(TracePrompt::Text(prompt)) => Asked::Text(prompt),
        Some(TracePrompt::Messages(messages)) => Asked::Conversation(messages, Box::new(trace.question)),
        None => Asked::Question(Box::new(trace.question), trace.answer_format),
    };
    let completion = if strip { strip_annotations(&trace.trace) } else { trace.trace };
    Pair { asked, draft: String::new(), completion }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, map: Option<&str>) -> Result<Vec<(String, String)>, error::Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, text).unwrap();
        let map = map.map(str::to_string);
        let reading = Reading { map, strip_annotations: true, ..Reading::default() };
        let plain = |pair: &Pair| {
            let example = pair.as_plain();
            (example.prompt, example.completion)
        };
        Ok(traces(&path, &reading)?.iter().map(plain).collect())
    }

    fn one(text: &str, map: Option<&str>) -> (String, String) {
        read(text, map).unwrap().remove(0)
    }

    fn texts(prompt: &str, completion: &str) -> (String, String) {
        (prompt.to_string(), completion.to_string())
    }

    #[test]
    fn questions_are_asked_and_prompts_are_verbatim() {
        let asked = texts("Q: How many?\nA:", " Two.");
        assert_eq!(one(r#"{"question": "How many?", "completion": "Two."}"#, None), asked);
        assert_eq!(one(r#"{"question": " How many?", "trace": " Two."}"#, None), asked);
        let verbatim = r#"{"question": "q", "prompt": "How many? ", "trace": "Two."}"#;
        assert_eq!(one(verbatim, None), texts("How many? ", "Two."));
        let options = r#"{"question": "Which?", "choices": ["ice", "tea"], "trace": "Ice.", "target": "A"}"#;
        assert_eq!(one(options, None), texts("Q: Which?\nA. ice\nB. tea\nA:", " Ice."));
    }

    #[test]
    fn conversations_of_one_question_are_asked_as_it() {
        let messages = r#"{"messages": [{"role": "user", "content": "2+3?"}, {"role": "assistant", "content": "Five."}]}"#;
        assert_eq!(one(messages, None), texts("Q: 2+3?\nA:", " Five."));
        let parted = r#"{"prompt": [{"role": "user", "content": "2+3?"}],
            "completion": [{"role": "assistant", "content": "Five."}]}"#;
        assert_eq!(one(&parted.replace('\n', ""), None), texts("Q: 2+3?\nA:", " Five."));
    }

    #[test]
    fn an_answer_is_the_trace_where_there_is_no_other() {
        let solution = r#"{"question": "2+3?", "answer": "2+3=<<2+3=5>>5\n#### 5"}"#;
        assert_eq!(one(solution, None).1, " 2+3=5\n#### 5");
        let both = r#"{"question": "2+3?", "trace": "Five.", "answer": "5"}"#;
        assert_eq!(one(both, None).1, " Five.");
        let named = r#"{"ask": "2+3?", "solution": "Five."}"#;
        assert_eq!(one(named, Some("question=ask, trace=solution")), texts("Q: 2+3?\nA:", " Five."));
    }

    #[test]
    fn a_bad_line_is_named_with_its_file() {
        let good = r#"{"question": "q", "answer": "a"}"#;
        for (line, problem) in [
            ("{broken", "not JSON"),
            (r#"{"question": "q"}"#, "\"answer\" is missing"),
            (r#"{"question": ["q"], "answer": "a"}"#, "expected text or a number, found a list"),
        ] {
            let said = read(&format!("{good}\n\n{line}\n"), None).unwrap_err().to_string();
            assert!(said.contains("rows.jsonl:3: ") && said.contains(problem), "{said}");
        }
        let said = read(r#"{"question": "q"}"#, None).unwrap_err().to_string();
        assert!(said.contains("rows.jsonl:1: there is no column trace or completion"), "{said}");
        assert!(read("", None).unwrap_err().to_string().contains("no traces"));
    }
}
