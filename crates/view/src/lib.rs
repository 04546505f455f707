//! A page to explore recorded runs: a list of traces to filter and sort, and each trace with its curve, answers and tokens.
//!
//! [`View`] opens run folders and answers the questions of the page as JSON; [`Server`] serves it from loopback, [`export()`] writes all of it into
//! one file. In reading order: `index` (what the list needs of each trace), `fill` (which of it is read in the background), `query` (filters and
//! sorts), `detail` (one trace), `view`, `server`, `export`; `page/` has the page, plain HTML, CSS and JavaScript without a build.
//!
//! Memory: of a trace the index keeps about half a kilobyte, the rest stays on the disk and is read by row group when a trace is looked at
//! ([`entrace_record::Tables`]). What comes from models and files is data to the page and never markup.

mod detail;
mod error;
mod export;
mod fill;
mod index;
#[cfg(test)]
mod made_up;
mod page;
mod query;
mod server;
mod texts;
mod view;

pub use error::Error;
pub use export::{MOST_BYTES, MOST_TRACES, export};
pub use server::Server;
pub use view::View;
