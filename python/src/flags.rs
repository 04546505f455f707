//! Keyword arguments as a command line: every flag of a command under its name, with the program's own definitions.

use clap::{Arg, ArgAction, Command};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PySet, PyString, PyTuple};

/// Names, help, defaults and shapes of the flags of a command: dictionaries with `name`, `help`, `default`, `kind` (`switch`, `list` or
/// `value`) and `heading`.
#[pyfunction]
pub(crate) fn flags<'py>(py: Python<'py>, command: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let command = definition(command)?;
    let flag = |arg: &Arg| {
        let flag = PyDict::new(py);
        flag.set_item("name", keyword(arg))?;
        flag.set_item("help", arg.get_help().map(ToString::to_string))?;
        let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
        let defaults: Vec<String> = defaults.filter(|_| arg.get_action().takes_values()).collect();
        flag.set_item("default", (!defaults.is_empty()).then(|| defaults.join(",")))?;
        flag.set_item("kind", kind(arg))?;
        flag.set_item("heading", arg.get_help_heading())?;
        Ok(flag)
    };
    known(&command).map(flag).collect()
}

/// The command line of a call: `positional` arguments, then keywords as flags.
#[pyfunction]
pub(crate) fn command_line(
    command: &str,
    positional: Vec<String>,
    keywords: &Bound<'_, PyDict>,
) -> PyResult<Vec<String>> {
    let definition = definition(command)?;
    let mut argv = vec!["entrace".to_string(), command.to_string()];
    for (key, value) in keywords {
        let key: String = key.extract()?;
        let arg = known(&definition).find(|arg| keyword(arg) == key);
        let arg = arg.ok_or_else(|| unknown(&definition, &key))?;
        argv.extend(flag(arg, &key, &value)?);
    }
    if !positional.is_empty() {
        argv.push("--".to_string());
        argv.extend(positional);
    }
    Ok(argv)
}

fn definition(name: &str) -> PyResult<Command> {
    let mut program = entrace_cli::command();
    program.build();
    let found = program.find_subcommand(name).cloned();
    found.ok_or_else(|| PyValueError::new_err(format!("there is no command {name}")))
}

/// The flags that are keyword arguments.
fn known(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some_and(|name| name != "help" && name != "version"))
}

/// A flag's name in Python. `for` is a word of the language.
fn keyword(arg: &Arg) -> String {
    match arg.get_long().unwrap_or_default() {
        "for" => "for_steps".to_string(),
        name => name.replace('-', "_"),
    }
}

fn kind(arg: &Arg) -> &'static str {
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => "switch",
        ArgAction::Append => "list",
        _ if arg.get_value_delimiter().is_some() => "list",
        _ => "value",
    }
}

/// What is said of a keyword that is no flag, with the names that are near it.
fn unknown(command: &Command, key: &str) -> PyErr {
    let mut near: Vec<(usize, String)> =
        known(command).map(|arg| (distance(&keyword(arg), key), keyword(arg))).collect();
    near.sort();
    let most = (key.chars().count() / 3).max(2);
    let near: Vec<String> =
        near.into_iter().filter(|(n, _)| *n <= most).take(3).map(|(_, name)| format!("'{name}'")).collect();
    let name = command.get_name();
    let hint = match near.is_empty() {
        true => format!("help(entrace.{name}) lists them"),
        false => format!("did you mean {}?", near.join(" or ")),
    };
    PyTypeError::new_err(format!("{name}() has no argument '{key}'; {hint}"))
}

/// Edits between two names: letters put in, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The arguments that one keyword means.
fn flag(arg: &Arg, key: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let name = arg.get_long().unwrap_or_default();
    if value.is_none() {
        return Ok(Vec::new());
    }
    let wrong = |expected: &str| {
        let found = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("{key}: expected {expected}, found {found}"))
    };
    if kind(arg) == "switch" {
        let is_on = value.cast::<PyBool>().map_err(|_| wrong("True or False"))?.is_true();
        return Ok(if is_on { vec![format!("--{name}")] } else { Vec::new() });
    }
    if value.is_instance_of::<PyBool>() {
        return Err(wrong("a value"));
    }
    let takes_pairs = arg
        .get_value_names()
        .is_some_and(|names| names.iter().any(|name| name.contains('=') || *name == "MAP"));
    if let Ok(pairs) = value.cast::<PyDict>() {
        if !takes_pairs {
            return Err(wrong("a value"));
        }
        let is_list = kind(arg) == "list";
        let pairs: Vec<String> = pairs.iter().map(|(k, v)| pair(&k, &v, is_list)).collect::<PyResult<_>>()?;
        return Ok(match is_list {
            true => pairs.into_iter().map(|pair| format!("--{name}={pair}")).collect(),
            false => vec![format!("--{name}={}", pairs.join(","))],
        });
    }
    if value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
    {
        if kind(arg) != "list" {
            return Err(wrong("one value"));
        }
        return value.try_iter()?.map(|item| Ok(format!("--{name}={}", text(&item?)?))).collect();
    }
    Ok(vec![format!("--{name}={}", text(value)?)])
}

/// A name with its value, which of a list's pairs is JSON.
fn pair(key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, is_json: bool) -> PyResult<String> {
    let value = match is_json {
        true => value.py().import("json")?.getattr("dumps")?.call1((value,))?.extract()?,
        false => text(value)?,
    };
    Ok(format!("{}={value}", text(key)?))
}

/// A value as a flag has it: paths as their text.
fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        return text.extract();
    }
    let py = value.py();
    if value.hasattr("__fspath__")? {
        return py.import("os")?.getattr("fspath")?.call1((value,))?.extract();
    }
    Ok(value.str()?.to_string())
}
