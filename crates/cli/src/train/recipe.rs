//! Several trainings from one file: each stage is the flags of one.
//!
//! `[[stage]]` tables, in order; `train` names the method, every other line is a flag of `entrace train METHOD` under its name. A later stage
//! starts from an earlier one by naming its output folder as `model`.

use crate::config_file;
use crate::exit::{Exit, SetUp};
use crate::train::flags::{RecipeArgs, TrainArgs};
use anyhow::{Context, Result};
use clap::FromArgMatches;

pub(crate) fn follow(args: &RecipeArgs) -> Result<Exit> {
    let path = args.recipe.display().to_string();
    let text = std::fs::read_to_string(&args.recipe)
        .map_err(|error| SetUp(format!("cannot read the recipe {path}: {error}")))?;
    let table: toml::Table =
        text.parse().map_err(|error| SetUp(format!("{path} is not valid TOML: {error}")))?;
    let command = config_file::command("train")?;
    let chosen = flags(&path, &table, &command)?
        .into_iter()
        .enumerate()
        .filter(|(index, _)| args.stages.is_empty() || args.stages.contains(&(index + 1)));
    let mut stages = Vec::new();
    for (index, mut line) in chosen {
        line.extend(args.overwrite.then(|| "--overwrite".to_string()));
        line.extend(args.quiet.then(|| "--quiet".to_string()));
        // All stages are read before the first one is trained.
        let matches = command.clone().try_get_matches_from(&line);
        let stage = matches.and_then(|matches| TrainArgs::from_arg_matches(&matches)).map_err(|error| {
            SetUp(format!("{path}: stage {}: {}", index + 1, error.to_string().trim_end()))
        })?;
        stages.push((index, stage));
    }
    if stages.is_empty() {
        return Err(SetUp(format!("{path} has no such stage")).into());
    }
    for (index, stage) in stages {
        let exit = super::train(stage).with_context(|| format!("stage {}", index + 1))?;
        if !exit.is_success() {
            return Ok(exit);
        }
    }
    Ok(Exit::success())
}

/// The method and flags of each stage.
fn flags(path: &str, table: &toml::Table, train: &clap::Command) -> Result<Vec<Vec<String>>> {
    let refuse = |problem: String| anyhow::Error::new(SetUp(format!("{path}: {problem}")));
    if let Some(other) = table.keys().find(|key| *key != "stage") {
        return Err(refuse(format!("{other}: a recipe has [[stage]] tables only")));
    }
    let stages = table.get("stage").and_then(toml::Value::as_array);
    let stages = stages.ok_or_else(|| refuse("there is no [[stage]]".to_string()))?;
    let mut lines = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let stage = stage.as_table().ok_or_else(|| refuse("[[stage]] is not a table".to_string()))?;
        let method = stage.get("train").and_then(toml::Value::as_str).unwrap_or_default();
        let method = ["mle", "sft", "rl"].into_iter().find(|known| *known == method);
        let method =
            method.ok_or_else(|| refuse(format!("stage {}: train is none of mle, sft, rl", index + 1)))?;
        let known = train.find_subcommand(method).context("a method is missing")?;
        let mut line = ["train", method].map(String::from).to_vec();
        for (key, value) in stage.iter().filter(|(key, _)| *key != "train") {
            line.extend(config_file::flag(std::path::Path::new(path), known, key, value, &[])?);
        }
        lines.push(line);
    }
    Ok(lines)
}
