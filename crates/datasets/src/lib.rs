//! Benchmarks, imported traces, answer extraction and canonical forms.
//!
//! Files of a benchmark, of the user, or of another harness come in; questions and traces go out, with what could not be read
//! counted beside them. In reading order:
//!
//! - `format`: the three kinds of answers, each an `AnswerFormat`: `number`, `choice`, `text`. Shared by them are `lead` (what
//!   may stand before an answer), `markers` with `abroad` (where a completion states its answer) and `plain` (LaTeX and other scripts as
//!   plain text).
//! - `rows`: JSON, Parquet, CSV as rows of named values, each a `value`; `loaded`: what became of them.
//! - `task`: the built-in benchmarks, one file each, and where their files are looked for; one of them is computed.
//! - `jsonl`: questions from a user's own file; `imported`: traces made elsewhere; `columns`: how their columns are named;
//!   `messages`: conversations in a column.
//! - `prompt`, `fewshot`: the text that a model is shown.
//!
//! Nothing here uses the network or a model: a caller that wants a benchmark from the Hub fetches the files that a task names
//! and hands over the folder.

mod abroad;
pub mod choice;
pub mod columns;
pub mod error;
pub mod fewshot;
pub mod format;
pub mod imported;
pub mod jsonl;
mod lead;
pub mod loaded;
mod markers;
pub mod messages;
pub mod number;
mod plain;
pub mod prompt;
mod quiet;
mod rows;
pub mod task;
pub mod text;
mod value;

pub use columns::ColumnMap;
pub use error::Error;
pub use format::{FormatKind, NumberStyle};
pub use imported::{Imported, ImportedTrace, TracePrompt};
pub use loaded::{BadLine, BadLines, Loaded};
pub use messages::{Message, Role};
pub use prompt::Template;
pub use rows::{is_file_name, stem};
pub use task::{Source, Split, TaskSpec};
