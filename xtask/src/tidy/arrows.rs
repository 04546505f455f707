//! Which crate may depend on which.
//!
//! The crate map is a table in ARCHITECTURE.md, `| crate | may depend on | ... |`; the rule is what that table says. A manifest may name
//! fewer of our crates than the map allows, never more. Tests may use any crate: the null models of `run` are judged by `report`. What a crate reaches through others is read from
//! Cargo.lock, where dependencies of tests count as well.

use super::{entries, table_rows};
use crate::read;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The crates that may reach the tensor library.
const ENGINES: [&str; 6] = ["decoder", "train", "study", "flags", "cli", "python"];
const TENSORS: &str = "candle-core";

/// A crate of ours.
pub(crate) struct Crate {
    /// The name of its folder, by which documents speak of it.
    pub(crate) name: String,
    /// Its manifest, from the root.
    manifest: String,
    /// Its package name.
    package: String,
    /// Names of its direct dependencies among packages, those of builds included, those of tests not.
    dependencies: BTreeSet<String>,
    /// Whether it takes the workspace's lints.
    has_lints: bool,
}

impl Crate {
    /// All crates below `crates/`, and that of the Python package.
    pub(crate) fn load_all(root: &Path) -> Result<Vec<Self>> {
        let folders = entries(&root.join("crates"))?.into_iter().filter(|path| path.is_dir());
        let folders = folders.chain([root.join("python")]);
        folders
            .map(|folder| {
                let name = folder.file_name().context("a crate has a folder")?.to_string_lossy().into_owned();
                let manifest = folder.join("Cargo.toml");
                let path = manifest.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
                Self::parse(name, path, &read(&manifest)?)
                    .with_context(|| format!("in {}", manifest.display()))
            })
            .collect()
    }

    fn parse(name: String, path: String, text: &str) -> Result<Self> {
        let manifest: toml::Table = text.parse()?;
        let package = manifest.get("package").and_then(|package| package.get("name"));
        let package = package.and_then(toml::Value::as_str).context("no package.name")?.to_string();
        let sections = ["dependencies", "build-dependencies"];
        let tables = sections.iter().filter_map(|section| manifest.get(*section)?.as_table());
        let dependencies = tables.flat_map(toml::Table::keys).cloned().collect();
        let workspace = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        let has_lints = workspace.and_then(toml::Value::as_bool) == Some(true);
        Ok(Self { name, manifest: path, package, dependencies, has_lints })
    }
}

/// Where manifests and the crate map differ.
pub(crate) fn map_problems(crates: &[Crate], architecture: &str) -> Vec<String> {
    let rows = table_rows(architecture, "crate");
    let map: BTreeMap<&str, Vec<&str>> =
        rows.iter().map(|row| (row[0], row.get(1).map(|cell| names(cell)).unwrap_or_default())).collect();
    let known: BTreeSet<&str> = crates.iter().map(|c| c.name.as_str()).collect();
    let mut problems = Vec::new();
    for name in map.keys().chain(map.values().flatten()).filter(|name| !known.contains(**name)) {
        problems
            .push(format!("ARCHITECTURE.md: the crate map names {name:?}, which is no folder of a crate"));
    }
    for one in crates {
        let manifest = &one.manifest;
        if !one.has_lints {
            problems.push(format!("{manifest}: does not take the workspace's lints"));
        }
        let Some(allowed) = map.get(one.name.as_str()) else {
            problems.push(format!("ARCHITECTURE.md: the crate map lacks {}", one.name));
            continue;
        };
        let ours = crates.iter().filter(|other| one.dependencies.contains(&other.package));
        for other in ours.filter(|other| !allowed.contains(&other.name.as_str())) {
            problems
                .push(format!("{manifest}: depends on {}, which the crate map does not allow", other.name));
        }
    }
    problems
}

/// The crates that a cell of the map lists.
fn names(cell: &str) -> Vec<&str> {
    cell.split(',').map(|name| name.trim().trim_matches('`')).filter(|name| !name.is_empty()).collect()
}

/// Crates that reach the tensor library and should not.
pub(crate) fn reach_problems(crates: &[Crate], lock: &str) -> Result<Vec<String>> {
    let graph = graph(lock)?;
    let reaches = |one: &&Crate| {
        !ENGINES.contains(&one.name.as_str()) && reachable(&graph, &one.package).contains(TENSORS)
    };
    let problem = |one: &Crate| format!("{}: reaches {TENSORS} through its dependencies", one.manifest);
    Ok(crates.iter().filter(reaches).map(problem).collect())
}

/// Package names to the names of their dependencies; versions of one name count as one.
fn graph(lock: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let lock: toml::Table = lock.parse().context("in Cargo.lock")?;
    let packages =
        lock.get("package").and_then(toml::Value::as_array).context("no packages in Cargo.lock")?;
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        let name = package.get("name").and_then(toml::Value::as_str).context("a package without a name")?;
        let listed = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        let listed = listed.filter_map(|entry| entry.as_str()?.split(' ').next());
        graph.entry(name.to_string()).or_default().extend(listed.map(str::to_string));
    }
    Ok(graph)
}

fn reachable<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(name) = waiting.pop() {
        if seen.insert(name) {
            waiting.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(name: &str, dependencies: &str) -> Crate {
        let manifest = format!(
            "package.name = \"entrace-{name}\"\nlints.workspace = true\n[dependencies]\n{dependencies}"
        );
        Crate::parse(name.to_string(), format!("crates/{name}/Cargo.toml"), &manifest).unwrap()
    }

    #[test]
    fn an_arrow_that_the_map_lacks_is_found() {
        let crates = [
            crate_of("low", "entrace-high.workspace = true"),
            crate_of("high", "entrace-low.workspace = true"),
        ];
        let map = "| crate | may depend on |\n|---|---|\n| `low` | |\n| `high` | `low` |\n";
        assert_eq!(
            map_problems(&crates, map),
            ["crates/low/Cargo.toml: depends on high, which the crate map does not allow"]
        );
    }

    #[test]
    fn map_and_folders_hold_the_same_crates() {
        let map = "| crate | may depend on |\n|---|---|\n| `gone` | |\n";
        let problems = map_problems(&[crate_of("new", "")], map);
        assert!(problems[0].contains("\"gone\"") && problems[1].contains("lacks new"), "{problems:?}");
    }

    #[test]
    fn the_tensor_library_is_found_through_others() {
        let lock = r#"
            [[package]]
            name = "entrace-report"
            dependencies = ["helper 1.0.0"]
            [[package]]
            name = "helper"
            dependencies = ["candle-core"]
            [[package]]
            name = "entrace-stats"
        "#;
        let problems = reach_problems(&[crate_of("report", ""), crate_of("stats", "")], lock).unwrap();
        assert_eq!(problems, ["crates/report/Cargo.toml: reaches candle-core through its dependencies"]);
    }
}
