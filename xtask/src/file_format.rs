//! `docs/file-format.md`: the columns of a run folder's tables, from the row types that declare them.
//!
//! Input: `crates/record/src/rows.rs` as text. Each public struct named `...Row` is a table, each public field with its doc a column.
//! Output: the whole page. `cargo xtask file-format` writes it, and `tidy` compares it with the one that is there.

use anyhow::{Context, Result};
use std::fmt::Write;

/// The page, from the root.
pub(crate) const PAGE: &str = "docs/file-format.md";
/// Where rows are declared, from the root.
pub(crate) const ROWS: &str = "crates/record/src/rows.rs";

const HEAD: &str = "\
# The tables of a run folder

<!-- Written by `cargo xtask file-format` from crates/record/src/rows.rs. -->

Parquet files, compressed with zstd, format 1. While a run is unfinished its tables are in `parts/00000/`, `parts/00001/` and so on. Each file's key-value metadata hold `entrace.format_version`, `entrace.table` and
`entrace.unit`; how versions are read and written is in the doc of `crates/record/src/manifest.rs`. With `entrace.checksums` and
`entrace.footer_checksum` (CRC-32) they cover every byte: whatever entrace reads of a table it compares with them first, so that a flipped bit is
noticed though only some rows are read (`crates/record/src/checked.rs`). Tables of earlier versions have none. The manifest has the SHA-256 of whole
tables.

A trace is known by (`task`, `question_id`, `sample`), a prefix by these with `control` and `step`, and a belief at it by `estimator` as
well: with `--rollouts` some prefixes have two. `control` is `none` for the trace itself, `swapped` for another question's trace in its place,
`shuffled` for its own steps in random order, `unstated` for the trace without the sentences and lines that state its answer. Controls and
rollouts are measured at some of the prefixes only. Under further cues (`--cue` given again) there are rows of the trace itself with their
number in `cue`; the numbers of a run are those of cue 0, so most readers want `cue` to be 0 or null. Columns that a minor version added are
null in the tables of earlier ones. `decisions.parquet` is there where a rule stopped traces while they were written, `interventions.parquet` once `entrace intervene` was run, with its settings in `interventions.json`.

Units: entropies, drops, gains and log-probabilities are in nats; probabilities, shares, masses and depth are in [0, 1]; lengths are in tokens,
and `n_steps` in steps. What is undefined is null, never NaN; a probability of zero has the log-probability −∞.
";

/// The page that belongs to these row types.
pub(crate) fn page(rows: &str) -> Result<String> {
    let mut page = HEAD.to_string();
    let mut doc = String::new();
    let mut in_table = false;
    for line in rows.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc = if doc.is_empty() { text.to_string() } else { format!("{doc} {text}") };
        } else if let Some(name) = line.strip_prefix("pub struct ") {
            let table = name.split_whitespace().next().and_then(|name| name.strip_suffix("Row"));
            in_table = table.is_some();
            if let Some(table) = table {
                write!(page, "\n## `{}`\n\n{doc}\n\n", file(table))?;
                page.push_str("| column | type | meaning |\n|---|---|---|\n");
            }
            doc.clear();
        } else if let (true, Some(field)) = (in_table, line.strip_prefix("pub ")) {
            let (name, kind) = field.split_once(": ").with_context(|| format!("{ROWS}: {field:?}"))?;
            writeln!(page, "| `{name}` | {} | {} |", column_type(kind)?, doc.replace('|', "\\|"))?;
            doc.clear();
        } else if !line.starts_with("#[") {
            in_table &= line != "}";
            doc.clear();
        }
    }
    Ok(page)
}

/// The file of a row type: `Trace` is in `traces.parquet`, `Prefix` in `prefixes.parquet`.
fn file(row: &str) -> String {
    let name = row.to_lowercase();
    let ending = if name.ends_with('x') { "es" } else { "s" };
    format!("{name}{ending}.parquet")
}

/// A column's type on disk.
fn column_type(kind: &str) -> Result<String> {
    let kind = kind.trim_end_matches(',');
    if let Some(inner) = kind.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')) {
        return Ok(format!("{}, or null", column_type(inner)?));
    }
    let name = match kind {
        "Arc<str>" | "String" | "Outcome" => "string",
        "u32" => "uint32",
        "f64" => "double",
        "bool" => "boolean",
        other => anyhow::bail!("{ROWS}: no name for the type {other}"),
    };
    Ok(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_row_types_are_columns() {
        let rows = "/// A belief.\n#[derive(Debug)]\npub struct PrefixRow {\n    /// H_k,\n    /// in short.\n    \
                    pub entropy: Option<f64>,\n}\n\n/// Not a table.\npub struct Rows {\n    /// All.\n    pub all: Vec<X>,\n}\n";
        let page = page(rows).unwrap();
        let tables = page.strip_prefix(HEAD).unwrap();
        let expected = "\n## `prefixes.parquet`\n\nA belief.\n\n| column | type | meaning |\n|---|---|---|\n\
                        | `entropy` | double, or null | H_k, in short. |\n";
        assert_eq!(tables, expected);
    }
}
