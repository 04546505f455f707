//! Rust files: each opens with a module doc, fits a reader, and leaves nothing for later.
//!
//! Libraries know no flags: their messages say what is wrong, and the command line adds which flag helps.
//!
//! A file of more than [`MOST_LINES`] lines says why in a line that begins with `// Long: `.

use super::entries;
use crate::read;
use anyhow::Result;
use std::path::Path;

/// Lines after which a file should say why it is one.
const MOST_LINES: usize = 700;

/// What is written only until somebody comes back. In halves, so that this file does not find itself.
const LEFTOVERS: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("HA", "CK"),
    concat!("dbg", "!("),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ig", "nore"),
];

/// A Rust file.
pub(crate) struct Source {
    /// Path from the root, with slashes.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// Every Rust file of the crates, of the Python package, of the benchmarks and of this one.
    pub(crate) fn load_all(root: &Path) -> Result<Vec<Self>> {
        Self::load(root, &["crates", "python", "benches", "xtask"], &["rs"])
    }

    /// The scripts of the Python package, which read variables too.
    pub(crate) fn load_scripts(root: &Path) -> Result<Vec<Self>> {
        Self::load(root, &["python"], &["py", "sh"])
    }

    fn load(root: &Path, folders: &[&str], extensions: &[&str]) -> Result<Vec<Self>> {
        let mut sources = Vec::new();
        for folder in folders {
            collect(root, &root.join(folder), extensions, &mut sources)?;
        }
        Ok(sources)
    }
}

fn collect(root: &Path, folder: &Path, extensions: &[&str], sources: &mut Vec<Source>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(root, &path, extensions, sources)?;
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        {
            let relative = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            sources.push(Source { path: relative, text: read(&path)? });
        }
    }
    Ok(())
}

/// What is untidy in one file.
pub(crate) fn problems(source: &Source) -> Vec<String> {
    let Source { path, text } = source;
    let mut problems = Vec::new();
    if !text.starts_with("//! ") {
        problems.push(format!("{path}: does not open with a module doc"));
    }
    let n_lines = text.lines().count();
    if n_lines > MOST_LINES && !text.lines().any(|line| line.starts_with("// Long: ")) {
        problems.push(format!(
            "{path}: has {n_lines} lines, more than {MOST_LINES}, and no line that begins with `// Long: `"
        ));
    }
    let mut of_library = is_library(path);
    for (number, line) in text.lines().enumerate() {
        for leftover in LEFTOVERS.iter().filter(|leftover| line.contains(**leftover)) {
            problems.push(format!("{path}:{}: {leftover}", number + 1));
        }
        if of_library && names_a_flag(line) {
            problems.push(format!("{path}:{}: a flag in a message of a library", number + 1));
        }
        of_library &= !(line.starts_with("#[cfg(") && line.contains("test"));
        if line.trim_start().starts_with("#[allow(") || line.starts_with("#![allow(") {
            problems.push(format!("{path}:{}: an exception is `expect` with a reason", number + 1));
        }
    }
    problems
}

/// Whether a file is the code of a library, not of its tests nor of examples of command lines.
fn is_library(path: &str) -> bool {
    let mut parts = path.split('/');
    let is_crate = parts.next() == Some("crates")
        && !matches!(parts.next(), Some("cli" | "flags"))
        && parts.next() == Some("src");
    is_crate
        && !path.contains("tests")
        && !["example.rs", "synthetic.rs"].iter().any(|name| path.ends_with(name))
}

/// Whether a line of code has a flag in it, which can only be in a text.
fn names_a_flag(line: &str) -> bool {
    let code = line.trim_start();
    let mut dashes =
        code.match_indices("--").map(|(at, _)| (code[..at].chars().last(), code[at + 2..].chars().next()));
    let begins = |before: Option<char>| before.is_none_or(|c| "\" (`[=".contains(c));
    !code.starts_with("//")
        && dashes.any(|(before, next)| begins(before) && next.is_some_and(|c| c.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        problems(&Source { path: "a.rs".into(), text: text.into() })
    }

    #[test]
    fn a_file_opens_with_its_doc() {
        assert_eq!(problems_of("//! What it is.\nfn f() {}\n"), [""; 0]);
        assert_eq!(problems_of("use x;\n//! Late.\n"), ["a.rs: does not open with a module doc"]);
    }

    #[test]
    fn libraries_name_no_flags() {
        let found = |path: &str, line: &str| {
            let text = format!("//! X.\n{line}\n#[cfg(test)]\nlet x = \"--limit\";\n");
            problems(&Source { path: path.into(), text }).len()
        };
        for line in ["(\"give --limit\")", "another one (--map x=y)\",", "    \"--limit\","] {
            assert_eq!(found("crates/run/src/walk.rs", line), 1, "{line}");
            assert_eq!(found("crates/cli/src/run.rs", line), 0, "{line}");
            assert_eq!(found("crates/run/tests/walk.rs", line), 0, "{line}");
        }
        assert_eq!(found("crates/run/src/walk.rs", "// as --limit does"), 0);
        assert_eq!(found("crates/run/src/walk.rs", "\"models--org--tiny\""), 0);
    }

    #[test]
    fn a_long_file_says_why() {
        let long = format!("//! Long.\n{}", "x();\n".repeat(MOST_LINES));
        assert_eq!(problems_of(&long).len(), 1);
        assert_eq!(problems_of(&format!("{long}// Long: one table.\n")), [""; 0]);
    }

    #[test]
    fn nothing_is_left_for_later() {
        for leftover in LEFTOVERS {
            assert_eq!(problems_of(&format!("//! Doc.\n    {leftover}")), [format!("a.rs:2: {leftover}")]);
        }
        assert_eq!(problems_of("//! Doc.\n#[allow(x)]\n").len(), 1);
    }
}
