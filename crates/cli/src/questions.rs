//! The questions that `--tasks` names, with their prompts.

use crate::args::RunArgs;
use crate::download::Download;
use crate::exit::{InSetUp, SetUp};
use crate::fault;
use crate::model;
use anyhow::Result;
use entrace_backend::{ChatMessage, Role, Text};
use entrace_datasets::fewshot::{self, Order};
use entrace_datasets::task::{Published, SplitFiles};
use entrace_datasets::{
    BadLine, BadLines, ColumnMap, FormatKind, Loaded, Message, NumberStyle, Split, TaskSpec, Template,
    is_file_name, jsonl, prompt, stem, task,
};
use entrace_hub::{Hub, Name, Part};
use entrace_measure::Question;
use entrace_record::manifest::TaskRecord;
use entrace_run::{Measurement, Prompting, TaskPlan, TraceInput, WorkItem};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// End the completions of prompts in Q/A blocks before a question of the model's own.
const BLOCK_STOPS: [&str; 5] = ["\n\nQ:", "\nQuestion:", "\nProblem:", "\nHuman:", "\n### Instruction"];

/// What `--tasks` names.
pub(crate) struct Asked {
    pub(crate) tasks: Vec<(Vec<TaskPlan>, TaskRecord)>,
    /// Lines that could not be read.
    pub(crate) bad_lines: Vec<BadLine>,
}

/// Questions of one task and where examples come from.
pub(crate) struct Source {
    name: String,
    loaded: Loaded,
    /// The answer format of each question.
    kinds: Vec<FormatKind>,
    style: NumberStyle,
    pool: Vec<Question>,
    notes: Vec<String>,
}

/// Opens all tasks, which needs no model.
pub(crate) fn sources(args: &RunArgs) -> Result<Vec<Source>> {
    if args.tasks.is_empty() {
        let names: Vec<&str> = task::registry().iter().map(|task| task.name).collect();
        return Err(
            SetUp(format!("--tasks is missing: any of {}, or a file of your own", names.join(", "))).into()
        );
    }
    let of_ones_own = [("--map", &args.map), ("--answer-format", &args.answer_format)];
    if let Some((flag, _)) = of_ones_own.iter().find(|(_, value)| value.is_some())
        && !args.tasks.iter().any(|name| is_file_name(name))
    {
        return Err(SetUp(format!("{flag} is for files of your own; no task named is one")).into());
    }
    crate::measure::limited(0, args.limit)?;
    let mut sources: Vec<Source> = Vec::new();
    for name in &args.tasks {
        let source = source(name, args)?;
        if sources.iter().any(|other| other.name == source.name) {
            let problem =
                format!("--tasks: two tasks are named {:?}; rename a file, or run them apart", source.name);
            return Err(SetUp(problem).into());
        }
        sources.push(source);
    }
    Ok(sources)
}

/// What is to be measured of all tasks. `notes` receives what the user should know.
pub(crate) fn plans(
    sources: Vec<Source>,
    args: &RunArgs,
    asking: &Asking,
    how: &Measurement,
    notes: &mut Vec<String>,
) -> Result<Asked> {
    notes.extend(asking.note());
    let (mut plans, mut bad_lines) = (Vec::new(), Vec::new());
    for source in sources {
        notes.extend(source.notes.clone());
        bad_lines.extend(source.loaded.bad_lines.clone());
        plans.push(plan(source, args, how, asking)?);
    }
    Ok(Asked { tasks: plans, bad_lines })
}

/// The names in comma-separated lists. A file may have commas in its name: the longest run of pieces that is one is taken whole.
pub(crate) fn names(lists: &[String], is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names = Vec::new();
    for list in lists {
        let pieces: Vec<&str> = list.split(',').collect();
        let mut at = 0;
        while at < pieces.len() {
            let file = (at + 2..=pieces.len()).rev().find(|&end| is_there(&pieces[at..end].join(",")));
            let end = file.unwrap_or(at + 1);
            names.push(pieces[at..end].join(","));
            at = end;
        }
    }
    names
}

fn bad_lines(args: &RunArgs) -> BadLines {
    if args.measure.strict { BadLines::Stop } else { BadLines::Skip }
}

/// A format by name; none where every question has its own.
pub(crate) fn format_kind(name: Option<&str>) -> Result<Option<FormatKind>> {
    name.filter(|&name| name != "auto").map(FormatKind::from_name).transpose().in_set_up()
}

/// A column map, empty where none is given.
pub(crate) fn columns(map: Option<&str>) -> Result<ColumnMap> {
    map.map(ColumnMap::parse).transpose().in_set_up().map(Option::unwrap_or_default)
}

fn source(name: &str, args: &RunArgs) -> Result<Source> {
    if is_file_name(name) {
        return custom(Path::new(name), args);
    }
    let spec = task::find(name)?;
    let split = match &args.split {
        None => spec.evaluation_split,
        Some(name) => Split::from_name(name)
            .ok_or_else(|| SetUp(format!("--split: {name:?} is none of train, validation, test")))?,
    };
    let folder = match (&args.data_dir, &spec.source) {
        (Some(folder), _) => folder.clone(),
        (None, task::Source::Published(published)) => {
            let examples = if args.num_fewshot > 0 { spec.fewshot_splits } else { &[] };
            from_hub(spec, published, &[&[split], examples].concat(), args.measure.quiet)?
        }
        (None, task::Source::Made(_)) => PathBuf::new(),
    };
    fault::doing(format!("reading {}", folder.display()));
    let loaded = task::load(spec, &folder, split, bad_lines(args))?;
    let (pool, note) = if args.num_fewshot > 0 {
        let pool = fewshot::pool(spec, &folder, bad_lines(args))?;
        (pool.loaded.questions, pool.note)
    } else {
        (Vec::new(), None)
    };
    let kinds = vec![spec.answer_format; loaded.questions.len()];
    Ok(Source {
        name: spec.name.to_string(),
        loaded,
        kinds,
        style: NumberStyle::default(),
        pool,
        notes: note.into_iter().collect(),
    })
}

/// The folder with the files of splits, downloaded if need be. The first split must exist; of the others those that do are fetched.
pub(crate) fn from_hub(
    spec: &TaskSpec,
    published: &Published,
    splits: &[Split],
    quiet: bool,
) -> Result<PathBuf> {
    let mut files = Vec::new();
    for (i, &split) in splits.iter().enumerate() {
        match published.files(spec.name, split) {
            Err(error) if i == 0 => return Err(error.into()),
            found => files.extend(found.ok()),
        }
    }
    let holds: Vec<_> =
        files.iter().map(|&files: &&SplitFiles| move |path: &str| files.is_hub_file(path)).collect();
    let parts: Vec<Part<'_>> = files
        .iter()
        .zip(&holds)
        .map(|(files, holds)| Part {
            what: format!("Parquet files of the split {}", files.split.name()),
            holds,
        })
        .collect();
    let hub = Hub::from_env()?;
    Ok(hub.dataset(&Name::parse(published.hub_repo)?, &parts, &Download::new(quiet))?.path)
}

fn custom(path: &Path, args: &RunArgs) -> Result<Source> {
    if args.num_fewshot > 0 {
        return Err(SetUp(
            "--num-fewshot needs a task with a training split; files of your own have none".into(),
        )
        .into());
    }
    let name = stem(path).unwrap_or_else(|| "custom".into());
    let options = jsonl::Options {
        columns: columns(args.map.as_deref())?,
        answer_format: format_kind(args.answer_format.as_deref())?,
        bad_lines: bad_lines(args),
        max_cell_bytes: args.measure.max_cell_bytes,
    };
    fault::doing(format!("reading {}", path.display()));
    let custom = jsonl::load(path, &name, &options)?;
    Ok(Source {
        name,
        loaded: custom.loaded,
        kinds: custom.kinds,
        style: custom.style,
        pool: Vec::new(),
        notes: custom.notes,
    })
}

fn plan(
    source: Source,
    args: &RunArgs,
    how: &Measurement,
    asking: &Asking,
) -> Result<(Vec<TaskPlan>, TaskRecord)> {
    let n = crate::measure::limited(source.loaded.questions.len(), args.limit)?;
    let record = TaskRecord {
        name: source.name.clone(),
        source: source.loaded.source.clone(),
        hash: source.loaded.hash.clone(),
        items_hash: String::new(),
        n_available: source.loaded.questions.len(),
        n_questions: n,
        n_bad_lines: source.loaded.bad_lines.len(),
        answer_format: FormatKind::names(&source.kinds[..n]),
        estimator: how.estimator.name().to_string(),
    };
    let items = source.loaded.questions.into_iter().zip(source.kinds).take(n).map(|(question, kind)| {
        let item = WorkItem {
            prompting: asking.prompting(&question, kind, &source.pool, args.num_fewshot),
            question: Arc::new(question),
            traces: (0..args.repeats).map(|sample| (sample, TraceInput::Generate)).collect(),
        };
        (kind, item)
    });
    Ok((crate::measure::plans(&source.name, source.style, items.collect(), how.seed), record))
}

/// The template of `--prompt-template`.
pub(crate) fn parse_template(template: Option<&str>) -> Result<Option<Template>> {
    let unescaped = template.map(|t| t.replace("\\n", "\n"));
    let parsed = unescaped.map(|t| Template::parse(&t).map_err(|e| SetUp(format!("--prompt-template: {e}"))));
    Ok(parsed.transpose()?)
}

/// How questions are put to the model.
pub(crate) struct Asking {
    system: Option<String>,
    template: Option<Template>,
    chat: bool,
    fewshot: bool,
}

impl Asking {
    pub(crate) fn new(args: &RunArgs, text: &dyn Text) -> Result<Self> {
        Self::of(args.system.as_deref(), args.prompt_template.as_deref(), args.num_fewshot > 0, text)
    }

    /// From flags and the model: with examples or without a chat template the prompt is plain text.
    pub(crate) fn of(
        system: Option<&str>,
        template: Option<&str>,
        fewshot: bool,
        text: &dyn Text,
    ) -> Result<Self> {
        let template = parse_template(template)?;
        let chat = !fewshot && text.has_chat_template();
        if system.is_some() && !chat {
            return Err(
                SetUp("--system needs a model with a chat template, and no --num-fewshot".into()).into()
            );
        }
        if chat {
            model::check_template(text)?;
        }
        Ok(Self { system: system.map(str::to_string), template, chat, fewshot })
    }

    /// Whether prompts are plain text in Q/A blocks.
    fn in_blocks(&self) -> bool {
        self.fewshot || (!self.chat && self.template.is_none())
    }

    /// What ends a completion besides the model's end of turn.
    pub(crate) fn stop(&self) -> Vec<String> {
        if self.in_blocks() { BLOCK_STOPS.map(str::to_string).to_vec() } else { Vec::new() }
    }

    /// What the user should know.
    pub(crate) fn note(&self) -> Option<String> {
        let plain = !self.chat && !self.fewshot;
        plain.then(|| {
            "the model has no chat template: questions are asked as plain text (Q: ... A:)".to_string()
        })
    }

    /// The name under which the manifest records the prompt.
    pub(crate) fn name(template: Option<&str>, chat: bool) -> String {
        match template {
            Some(template) => template.to_string(),
            None if chat => "chat".to_string(),
            None => "plain".to_string(),
        }
    }

    /// How a recorded conversation is put to the model: through its chat template. A model without one is asked the question of the only
    /// message.
    pub(crate) fn conversation(
        &self,
        messages: &[Message],
        question: &Question,
        kind: FormatKind,
    ) -> Result<Prompting> {
        if self.chat {
            return Ok(Prompting::Chat(messages.iter().map(chat_message).collect()));
        }
        let [Message { role: entrace_datasets::Role::User, content }] = messages else {
            let (id, n) = (&question.id, messages.len());
            let problem =
                format!("{id} is a conversation of {n} messages, which needs a model with a chat template");
            return Err(SetUp(problem).into());
        };
        Ok(self.prompting(&Question { text: content.clone(), ..question.clone() }, kind, &[], 0))
    }

    /// How one question is asked.
    pub(crate) fn prompting(
        &self,
        question: &Question,
        kind: FormatKind,
        pool: &[Question],
        num_fewshot: usize,
    ) -> Prompting {
        if self.in_blocks() {
            let examples = fewshot::choose(pool, num_fewshot, Order::First, question);
            return Prompting::Verbatim(fewshot::render(&examples, question));
        }
        let message = match &self.template {
            Some(template) => template.render(question),
            None => prompt::zero_shot(question, kind),
        };
        if !self.chat {
            return Prompting::Verbatim(message);
        }
        let system = self.system.iter().map(|text| ChatMessage { role: Role::System, content: text.clone() });
        Prompting::Chat(system.chain([ChatMessage { role: Role::User, content: message }]).collect())
    }
}

/// A message of a file, for the model.
pub(crate) fn chat_message(message: &Message) -> ChatMessage {
    let role = match message.role {
        entrace_datasets::Role::System => Role::System,
        entrace_datasets::Role::User => Role::User,
        entrace_datasets::Role::Assistant => Role::Assistant,
    };
    ChatMessage { role, content: message.content.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_names_unless_a_file_has_them() {
        let names = |list: &str| names(&[list.to_string()], |name| ["a,b.jsonl", "b.jsonl"].contains(&name));
        assert_eq!(names("gsm8k,svamp"), ["gsm8k", "svamp"]);
        assert_eq!(names("gsm8k,a,b.jsonl,b.jsonl"), ["gsm8k", "a,b.jsonl", "b.jsonl"]);
        assert_eq!(names("x,y.jsonl"), ["x", "y.jsonl"]);
    }
}
