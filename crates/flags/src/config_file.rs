//! Flags from a TOML file.
//!
//! `--config FILE` names a table of flags: `tasks = ["gsm8k", "svamp"]`, `limit = 20`, `quiet = true`, and of names and values where the flag
//! takes such: `template-vars = {enable_thinking = false}`. They are put before the flags of the command line, which therefore override them. A table named like the command (`[run]`, for `entrace train mle` it is `[mle]`) counts for that
//! command only, and before the lines outside of tables. Unknown flags are
//! an error, so a misspelled line does not go unnoticed.

use crate::program::Cli;
use crate::usage::{SetUp, Unparsed};
use clap::CommandFactory;
use std::path::Path;

/// Underscores in flag names become hyphens; values stay as they are.
pub(crate) fn with_hyphens(argv: Vec<String>) -> Vec<String> {
    let mut only_values = false;
    argv.into_iter()
        .map(|arg| {
            only_values |= arg == "--";
            match arg.strip_prefix("--") {
                Some(flag) if !only_values && !flag.is_empty() => match flag.split_once('=') {
                    Some((name, value)) => format!("--{}={value}", name.replace('_', "-")),
                    None if flag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') => {
                        format!("--{}", flag.replace('_', "-"))
                    }
                    None => arg,
                },
                _ => arg,
            }
        })
        .collect()
}

/// Puts the flags of the file that the command line names in front of its own.
pub(crate) fn expand(argv: Vec<String>, command: &clap::Command) -> Result<Vec<String>, SetUp> {
    let Some(path) = config_path(&argv) else { return Ok(argv) };
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let Some(at) = argv.iter().position(|arg| names.contains(&arg.as_str())) else { return Ok(argv) };
    let Some(mut subcommand) = command.find_subcommand(&argv[at]) else { return Ok(argv) };
    // `entrace train mle`: the flags are those of the method, and follow it.
    let mut last = at;
    if let Some(method) = argv.get(at + 1).and_then(|name| subcommand.find_subcommand(name)) {
        (subcommand, last) = (method, at + 1);
    }
    let methods: Vec<&str> = command
        .get_subcommands()
        .flat_map(clap::Command::get_subcommands)
        .map(clap::Command::get_name)
        .collect();
    let table = table("the configuration", Path::new(&path))?;
    let given: Vec<&str> = argv[last + 1..].iter().filter_map(|arg| flag_name(arg)).collect();
    let mut lines: Vec<(&String, &toml::Value)> = Vec::new();
    let mut own: Option<&toml::Table> = None;
    for (key, value) in &table {
        match value {
            toml::Value::Table(part) if key == &argv[last] => own = Some(part),
            toml::Value::Table(_) if names.contains(&key.as_str()) || methods.contains(&key.as_str()) => {}
            _ => lines.push((key, value)),
        }
    }
    // The command's own table replaces lines that count for all commands, lists included.
    lines.retain(|(key, _)| {
        !own.is_some_and(|own| own.keys().any(|k| k.replace('_', "-") == key.replace('_', "-")))
    });
    lines.extend(own.into_iter().flatten());
    let mut flags = Vec::new();
    for (key, value) in lines {
        flags.extend(flag(Path::new(&path), subcommand, key, value, &given)?);
    }
    let mut expanded = argv[..=last].to_vec();
    expanded.extend(flags);
    expanded.extend_from_slice(&argv[last + 1..]);
    Ok(expanded)
}

/// Reads a TOML file; `what` says what it is to the user.
pub(crate) fn table(what: &str, path: &Path) -> Result<toml::Table, SetUp> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| SetUp(format!("cannot read {what} {shown}: {error}")))?;
    text.parse().map_err(|error| SetUp(format!("{shown} is not valid TOML: {error}")))
}

/// A command of this program by itself, with the flags that all commands have.
pub(crate) fn command(name: &str) -> Result<clap::Command, SetUp> {
    let mut program = Cli::command();
    program.build();
    let command = program.find_subcommand(name).cloned();
    command.ok_or_else(|| SetUp(format!("there is no command {name}")))
}

/// Reads a command line of this command, with the flags of a configuration file that they name.
pub(crate) fn arguments(name: &str, argv: Vec<String>) -> Result<clap::ArgMatches, Unparsed> {
    let argv = expand(argv, &Cli::command())?;
    Ok(command(name)?.try_get_matches_from(argv.into_iter().skip(1))?)
}

fn config_path(argv: &[String]) -> Option<String> {
    let at = argv.iter().rposition(|arg| arg == "--config" || arg.starts_with("--config="))?;
    match argv[at].split_once('=') {
        Some((_, path)) => Some(path.to_string()),
        None => argv.get(at + 1).cloned(),
    }
}

fn flag_name(arg: &str) -> Option<&str> {
    let flag = arg.strip_prefix("--")?;
    Some(flag.split_once('=').map_or(flag, |(name, _)| name))
}

/// The arguments that one line of the file means; none if the command line gives the flag.
pub(crate) fn flag(
    path: &Path,
    command: &clap::Command,
    key: &str,
    value: &toml::Value,
    given: &[&str],
) -> Result<Vec<String>, SetUp> {
    let name = key.replace('_', "-");
    let problem = |what: &str| SetUp(format!("{}: {key}: {what}", path.display()));
    let known = command.get_arguments().find(|arg| arg.get_long() == Some(&name));
    // Each pair is a flag of its own, so the flag must be one that may be given several times.
    let takes_pairs = known.is_some_and(|arg| {
        let names = arg.get_value_names().unwrap_or_default();
        matches!(arg.get_action(), clap::ArgAction::Append) && names.iter().any(|name| name.contains('='))
    });
    if known.is_none() && name != "threads" {
        return Err(problem(&format!("no such flag of `entrace {}`", command.get_name())));
    }
    if given.contains(&name.as_str()) {
        return Ok(Vec::new());
    }
    let scalar = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        _ => Err(problem("expected a string, a number, true or false, or a list of strings and numbers")),
    };
    match value {
        toml::Value::Boolean(true) => Ok(vec![format!("--{name}")]),
        toml::Value::Boolean(false) => Ok(Vec::new()),
        toml::Value::Array(items) => {
            items.iter().map(|item| Ok(format!("--{name}={}", scalar(item)?))).collect()
        }
        toml::Value::Table(pairs) if takes_pairs => {
            let json = |value| serde_json::to_string(value).map_err(|e| problem(&e.to_string()));
            pairs.iter().map(|(key, value)| Ok(format!("--{name}={key}={}", json(value)?))).collect()
        }
        other => Ok(vec![format!("--{name}={}", scalar(other)?)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    fn expanded(file: &str, flags: &[&str]) -> Result<Vec<String>, SetUp> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        let mut argv = strings(&["entrace", "run", "--config"]);
        argv.push(path.display().to_string());
        argv.extend(strings(flags));
        let expanded = expand(argv, &Cli::command())?;
        Ok(expanded.into_iter().filter(|arg| !arg.contains("c.toml") && arg != "--config").collect())
    }

    #[test]
    fn underscores_are_accepted_in_names_only() {
        let argv = strings(&["entrace", "run", "--output_path", "a_b", "--data_dir=x_y", "--", "--a_b"]);
        let expected = strings(&["entrace", "run", "--output-path", "a_b", "--data-dir=x_y", "--", "--a_b"]);
        assert_eq!(with_hyphens(argv), expected);
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let file = "limit = 5\nquiet = true\ntasks = ['gsm8k', 'svamp']\n[run]\nseed = 3\n[score]\nseed = 4";
        let expected = strings(&[
            "entrace",
            "run",
            "--quiet",
            "--seed=3",
            "--tasks=gsm8k",
            "--tasks=svamp",
            "--limit",
            "7",
        ]);
        let mut found = expanded(file, &["--limit", "7"]).unwrap();
        found[2..6].sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_table_of_the_command_comes_before_lines_for_all() {
        let file = "tasks = ['gsm8k']\nseed = 1\n[run]\nseed = 2\ntasks = ['svamp']\n[score]\nlimit = 9";
        let mut found = expanded(file, &[]).unwrap();
        found.sort();
        assert_eq!(found, strings(&["--seed=2", "--tasks=svamp", "entrace", "run"]));
    }

    #[test]
    fn a_table_of_names_and_values_is_a_flag_for_each() {
        let file = "[run]\ntemplate-vars = {enable_thinking = false, effort = 'low'}\n";
        let mut found = expanded(file, &[]).unwrap();
        found.sort();
        let flags = ["--template-vars=effort=\"low\"", "--template-vars=enable_thinking=false"];
        assert_eq!(found, strings(&[&flags[..], &["entrace", "run"]].concat()));
        let file = "template_vars = ['enable_thinking=false']\n";
        assert_eq!(expanded(file, &[]).unwrap()[2..], strings(&["--template-vars=enable_thinking=false"]));
    }

    #[test]
    fn a_method_of_a_command_has_flags_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "steps = 5\n[mle]\nlayers = 2\n[run]\nlimit = 9\n").unwrap();
        let path = path.display().to_string();
        let argv = strings(&["entrace", "train", "mle", "--config", &path, "--seed", "1"]);
        let expected = strings(&[
            "entrace",
            "train",
            "mle",
            "--steps=5",
            "--layers=2",
            "--config",
            &path,
            "--seed",
            "1",
        ]);
        assert_eq!(expand(argv, &Cli::command()).unwrap(), expected);
    }

    #[test]
    fn unknown_flags_of_the_file_are_named() {
        let error = expanded("limt = 5", &[]).unwrap_err().to_string();
        assert!(error.contains("limt: no such flag of `entrace run`"), "{error}");
    }
}
