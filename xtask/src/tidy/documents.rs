//! Documents against the code.
//!
//! README.md lists the commands, the crates and the environment variables of the tests, in tables headed `command`, `crate` and
//! `variable`; each must be complete and hold nothing that is gone. Flags in its command lines must exist. Relative links in any
//! document must lead to a file.

use super::arrows::Crate;
use super::sources::Source;
use super::{entries, table_rows};
use crate::read;
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

/// Prefix of the variables that switch tests on.
const VARIABLE: &str = concat!("ENTRACE", "_");
/// Prefix of variables that a test sets for a process of its own.
const BETWEEN_PROCESSES: &str = concat!("ENTRACE", "_TEST_");

/// The documents in the root and in `docs/`, by path from the root.
pub(crate) fn load_all(root: &Path) -> Result<Vec<(String, String)>> {
    let paths = [entries(root)?, entries(&root.join("docs"))?].concat();
    let documents = paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md"));
    documents
        .map(|path| Ok((path.strip_prefix(root)?.to_string_lossy().replace('\\', "/"), read(&path)?)))
        .collect()
}

/// Differences between the README's crate table and the crates.
pub(crate) fn crate_problems(crates: &[Crate], readme: &str) -> Vec<String> {
    let listed = first_cells(readme, "crate");
    differences("crate", &listed, &crates.iter().map(|c| c.name.as_str()).collect())
}

/// Differences between the README's command table and the command line, and flags in its examples that do not exist; `flags` is the code of
/// the crate of that name.
pub(crate) fn command_problems(readme: &str, flags: &str) -> Vec<String> {
    let commands = commands(flags);
    let listed = first_cells(readme, "command");
    let listed = listed.iter().filter_map(|cell| cell.strip_prefix("entrace ")?.split(' ').next()).collect();
    let mut problems = differences("command", &listed, &commands.iter().map(String::as_str).collect());
    for line in readme.lines() {
        let Some((_, arguments)) = line.split_once(" -- ").or_else(|| line.split_once("entrace ")) else {
            continue;
        };
        for flag in arguments.split(|c: char| c.is_whitespace() || "`|,;)".contains(c)) {
            let Some(name) = flag.strip_prefix("--") else { continue };
            let name = name.split('=').next().unwrap_or(name).replace('-', "_");
            if !["", "help", "version"].contains(&name.as_str()) && !flags.contains(&format!("pub {name}:")) {
                problems.push(format!("README.md: there is no flag {flag}"));
            }
        }
    }
    problems
}

/// The subcommands, from the variants of `enum Command`.
fn commands(flags: &str) -> Vec<String> {
    let variants = flags.lines().skip_while(|line| !line.contains("enum Command ")).skip(1);
    let variants =
        variants.take_while(|line| *line != "}").filter(|line| !line.trim_start().starts_with("//"));
    variants.filter_map(|line| Some(line.trim().split_once('(')?.0.to_lowercase())).collect()
}

/// Differences between the README's variable table and the variables in the code.
pub(crate) fn variable_problems<'a>(
    readme: &str,
    sources: impl IntoIterator<Item = &'a Source>,
) -> Vec<String> {
    let mut used = BTreeSet::new();
    for source in sources {
        let starts = source.text.match_indices(VARIABLE).map(|(at, _)| &source.text[at..]);
        let ends =
            |text: &&str| text.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        used.extend(starts.map(|text| &text[..ends(&text).unwrap_or(text.len())]));
    }
    used.retain(|name| !name.starts_with(BETWEEN_PROCESSES) && *name != VARIABLE);
    differences("variable", &first_cells(readme, "variable"), &used)
}

/// Relative links that lead nowhere.
pub(crate) fn link_problems(root: &Path, name: &str, text: &str) -> Vec<String> {
    let folder = root.join(name);
    let folder = folder.parent().unwrap_or(root);
    let targets = text.match_indices("](").filter_map(|(at, mark)| text[at + mark.len()..].split(')').next());
    let paths = targets.map(|target| target.split('#').next().unwrap_or(target));
    paths
        .filter(|path| !path.is_empty() && !path.contains("://") && !folder.join(path).exists())
        .map(|path| format!("{name}: the link to {path} leads nowhere"))
        .collect()
}

fn first_cells<'a>(readme: &'a str, head: &str) -> BTreeSet<&'a str> {
    table_rows(readme, head).into_iter().map(|row| row[0]).collect()
}

fn differences(what: &str, listed: &BTreeSet<&str>, existing: &BTreeSet<&str>) -> Vec<String> {
    let gone = listed.difference(existing).map(|name| format!("README.md: there is no {what} {name}"));
    let missing =
        existing.difference(listed).map(|name| format!("README.md: the {what} {name} is not listed"));
    gone.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &str =
        "pub enum Command {\n    /// Doc (of it)\n    Run(RunArgs),\n    Ls(LsArgs),\n}\npub data_dir: X";

    #[test]
    fn commands_and_flags_are_those_of_the_command_line() {
        let readme = "| command | what |\n|---|---|\n| `entrace run` | a |\n| `entrace walk` | b |\n\n\
                      cargo run --release -- run --data-dir X --limt 3\n";
        assert_eq!(
            command_problems(readme, FLAGS),
            [
                "README.md: there is no command walk",
                "README.md: the command ls is not listed",
                "README.md: there is no flag --limt"
            ]
        );
    }

    #[test]
    fn variables_are_listed() {
        let text = format!("var(\"{VARIABLE}NEW\"); var(\"{BETWEEN_PROCESSES}DIR\")");
        let sources = [Source { path: "a.rs".into(), text }];
        let readme = format!("| variable | what |\n|---|---|\n| `{VARIABLE}OLD` | a |\n");
        assert_eq!(
            variable_problems(&readme, &sources),
            [
                format!("README.md: there is no variable {VARIABLE}OLD"),
                format!("README.md: the variable {VARIABLE}NEW is not listed")
            ]
        );
    }

    #[test]
    fn links_lead_somewhere() {
        let root = crate::root();
        let text = "[a](Cargo.toml) [b](nowhere.md#part) [c](https://example.org) [d](#here)";
        assert_eq!(
            link_problems(root, "README.md", text),
            ["README.md: the link to nowhere.md leads nowhere"]
        );
    }
}
