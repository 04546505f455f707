//! `entrace ls`: what is built in, as columns; those of signals have a head line.

use crate::exit::Exit;
use anyhow::Result;
use entrace_flags::{Listing, LsArgs};
use entrace_study::list;
use std::io::Write;

pub(crate) fn ls(args: &LsArgs) -> Result<Exit> {
    let rows = match args.what {
        Listing::Tasks => list::tasks(),
        Listing::Architectures => list::architectures(),
        Listing::Estimators => list::estimators(),
        Listing::Signals => {
            let mut rows = list::signals();
            // What a run is asked for is a flag here.
            rows[0][4] = "--signals".to_string();
            rows
        }
    };
    let mut out = crate::terminal::stdout();
    for line in aligned(&rows) {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::success())
}

/// Rows with all columns but the last as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| match column + 1 == row.len() {
            true => cell.clone(),
            false => format!("{cell:<width$}", width = widths[column]),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [["−∞", "b"], ["longer", "c"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(aligned(&rows), ["−∞      b", "longer  c"]);
    }
}
