//! Several trainings from one file: each stage is the flags of one.
//!
//! `[[stage]]` tables, in order; `train` names the method, every other line is a flag of `entrace train METHOD` under its name. A later stage
//! starts from an earlier one by naming its output folder as `model`.

use crate::config_file;
use crate::train::{RecipeArgs, TrainArgs};
use crate::usage::SetUp;
use clap::FromArgMatches;

/// The stages that are asked for, each with its place from 1 in the recipe.
///
/// # Errors
/// What is wrong with the file or with a flag in it.
pub fn stages(args: &RecipeArgs) -> Result<Vec<(usize, TrainArgs)>, SetUp> {
    let path = args.recipe.display().to_string();
    let table = config_file::table("the recipe", &args.recipe)?;
    let command = config_file::command("train")?;
    let mut stages = Vec::new();
    for (number, mut line) in (1..).zip(lines(&path, &table, &command)?) {
        if !args.stages.is_empty() && !args.stages.contains(&number) {
            continue;
        }
        line.extend(args.overwrite.then(|| "--overwrite".to_string()));
        line.extend(args.quiet.then(|| "--quiet".to_string()));
        let matches = command.clone().try_get_matches_from(&line);
        let stage = matches
            .and_then(|matches| TrainArgs::from_arg_matches(&matches))
            .map_err(|error| SetUp(format!("{path}: stage {number}: {}", error.to_string().trim_end())))?;
        stages.push((number, stage));
    }
    if stages.is_empty() {
        return Err(SetUp(format!("{path} has no such stage")));
    }
    Ok(stages)
}

/// The command line of each stage.
fn lines(path: &str, table: &toml::Table, train: &clap::Command) -> Result<Vec<Vec<String>>, SetUp> {
    let refuse = |problem: String| SetUp(format!("{path}: {problem}"));
    if let Some(other) = table.keys().find(|key| *key != "stage") {
        return Err(refuse(format!("{other}: a recipe has [[stage]] tables only")));
    }
    let stages = table.get("stage").and_then(toml::Value::as_array);
    let stages = stages.ok_or_else(|| refuse("there is no [[stage]]".to_string()))?;
    let mut lines = Vec::new();
    for (number, stage) in (1..).zip(stages) {
        let stage = stage.as_table().ok_or_else(|| refuse("[[stage]] is not a table".to_string()))?;
        let method = stage.get("train").and_then(toml::Value::as_str);
        let method = method.filter(|name| ["mle", "sft", "rl"].contains(name));
        let method = method.and_then(|name| train.find_subcommand(name));
        let method =
            method.ok_or_else(|| refuse(format!("stage {number}: train is none of mle, sft, rl")))?;
        let mut line = ["train", method.get_name()].map(String::from).to_vec();
        for (key, value) in stage.iter().filter(|(key, _)| *key != "train") {
            line.extend(config_file::flag(std::path::Path::new(path), method, key, value, &[])?);
        }
        lines.push(line);
    }
    Ok(lines)
}
