//! Development tasks: `cargo xtask tidy`, `cargo xtask file-format`, `cargo xtask bench`.

mod file_format;
mod tidy;

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(root()),
        ["file-format"] => write_file_format(root()),
        ["bench", ..] => bench(root(), &arguments[1..]),
        _ => bail!("usage: cargo xtask tidy | file-format | bench [--help]"),
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn tidy(root: &Path) -> Result<ExitCode> {
    let problems = tidy::problems(root)?;
    #[expect(clippy::print_stdout, reason = "the output of the command")]
    for problem in &problems {
        println!("{problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_file_format(root: &Path) -> Result<ExitCode> {
    let page = file_format::page(&read(&root.join(file_format::ROWS))?)?;
    std::fs::write(root.join(file_format::PAGE), page)
        .with_context(|| format!("cannot write {}", file_format::PAGE))?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the benchmark program as users build entrace and runs it. It is a package of its own, so that `tidy` is quick to compile.
fn bench(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--package", "entrace-bench", "--manifest-path"]);
    let status = command.arg(root.join("Cargo.toml")).arg("--").args(arguments).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a text file.
fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
