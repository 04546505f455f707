//! What a compiler does not check of this repository.
//!
//! - `arrows`: crates depend on each other as the crate map in ARCHITECTURE.md says; only the engine and the command line reach candle
//! - `book`: the pages of the book are in its summary, and links lead to pages and headings
//! - `sources`: every Rust file opens with a module doc, is not too long, and leaves nothing for later
//! - `documents`: commands, flags, crates and environment variables in README.md are those of the code, links lead somewhere, and
//!   `docs/file-format.md` is that of the row types
//!
//! A rule takes text and gives back problems, each a line `file: what is wrong`. Nothing is run and no network is used. Stray prints and
//! unused exceptions are clippy's part (`[workspace.lints]`).

mod arrows;
mod book;
mod documents;
mod sources;

use crate::{file_format, read};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Everything that is untidy, in a stable order.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>> {
    let read = |path: &str| read(&root.join(path));
    let crates = arrows::Crate::load_all(root)?;
    let architecture = read("ARCHITECTURE.md")?;
    let sources = sources::Source::load_all(root)?;
    let readme = read("README.md")?;
    let of_flags = sources.iter().filter(|source| source.path.starts_with("crates/flags/src/"));
    let flags: String = of_flags.map(|source| source.text.as_str()).collect();
    let mut problems = arrows::map_problems(&crates, &architecture);
    problems.extend(arrows::reach_problems(&crates, &read("Cargo.lock")?)?);
    problems.extend(sources.iter().flat_map(sources::problems));
    problems.extend(book::problems(&book::load(root)?));
    problems.extend(documents::crate_problems(&crates, &readme));
    problems.extend(documents::command_problems(&readme, &flags));
    let scripts = sources::Source::load_scripts(root)?;
    problems.extend(documents::variable_problems(&readme, sources.iter().chain(&scripts)));
    if file_format::page(&read(file_format::ROWS)?)? != read(file_format::PAGE)? {
        problems
            .push(format!("{}: is not of these row types; run `cargo xtask file-format`", file_format::PAGE));
    }
    for (name, text) in documents::load_all(root)? {
        problems.extend(documents::link_problems(root, &name, &text));
    }
    Ok(problems)
}

/// The entries of a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().with_context(|| format!("cannot list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// The rows of Markdown tables whose first column is headed `head`, as cells without backquotes.
fn table_rows<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let cells = |line: &'a str| -> Vec<&'a str> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    };
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let is_row = line.starts_with('|');
        if is_row && !inside {
            inside = cells(line)[0] == head;
        } else if is_row {
            rows.extend((!line.starts_with("|--")).then(|| cells(line)));
        }
        inside &= is_row;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let problems = problems(crate::root()).unwrap();
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }

    #[test]
    fn rows_are_those_of_the_tables_with_that_head() {
        let text = "| a | b |\n|---|---|\n| `x` | 1 |\n\n| other | b |\n|---|---|\n| no | 2 |\n\n| a | c |\n|--|--|\n| y | 3 |\n";
        assert_eq!(table_rows(text, "a"), [["x", "1"], ["y", "3"]]);
    }
}
