//! The text side of a model: its tokenizer and its chat template, read from the files of a folder or of a GGUF file.
//!
//! [`TextSide`] is both together, with what `entrace_backend::Text` asks of a model but what identifies it. An engine in this process and
//! an engine behind a server have the same text side, so nothing here knows of tensors. `ordinary` reads the small files.

pub mod ordinary;
mod side;
pub mod template;
pub mod tokenizer;

pub use side::TextSide;
