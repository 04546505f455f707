//! From a run folder to the files of its report.
//!
//! | file | content |
//! |---|---|
//! | `metrics.json` | all numbers ([`crate::metrics`]) |
//! | `report.html` | one self-contained page |
//! | `figures/<task>_<figure>.svg` | the figures |
//!
//! Tables are streamed twice: once for the numbers, once for the rows of the few traces that the page shows. The same record and
//! options give the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use entrace_record::interventions;
use entrace_record::rows::Rows;
use entrace_record::{Manifest, RunReader};

use crate::collect::Collector;
use crate::error::Error;
use crate::exemplar::{Choice, Exemplar, Gatherer, choose};
use crate::facts::TaskFacts;
use crate::interventions::{Changed, InterventionMetrics, chosen};
use crate::metrics::{MetricOptions, Metrics, resampling};
use crate::{figure, html};

/// What a report holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReportOptions {
    /// How intervals are made. The seed also draws the trace that is shown at random.
    pub metrics: MetricOptions,
    /// Most single traces of a task.
    pub traces_per_task: usize,
    /// Most single traces of the page; shared evenly between tasks, at least one each.
    pub traces_in_all: usize,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { metrics: MetricOptions::default(), traces_per_task: 5, traces_in_all: 24 }
    }
}

/// A report in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// All numbers.
    pub metrics: Metrics,
    /// Content of every file by its path below the report's folder.
    pub files: BTreeMap<String, String>,
}

impl Report {
    /// The report of a run folder.
    pub fn of_run(reader: &RunReader, options: &ReportOptions) -> Result<Self, Error> {
        let manifest = reader.manifest();
        let tasks = Collector::of_run(reader)?.finish();
        let exemplars = gather(reader, choices(&tasks, options))?;
        let mut report = Self::assemble(manifest, &tasks, &exemplars, options)?;
        if let Some((settings, rows)) = interventions::read(reader.dir())? {
            let traces = reader.traces()?;
            let resampling = resampling(&options.metrics, traces.len());
            report.metrics.interventions =
                Some(InterventionMetrics::of(&settings, &rows, &traces, &resampling));
            let share = options.traces_per_task;
            let changed = Changed { exemplars: gather(reader, chosen(&rows, share))?, rows };
            report.write_page(&exemplars, &changed)?;
        }
        Ok(report)
    }

    /// The report of rows in memory.
    pub fn of_rows(manifest: &Manifest, rows: &Rows, options: &ReportOptions) -> Result<Self, Error> {
        let mut collector = Collector::new(manifest);
        collector.add_rows(rows);
        let tasks = collector.finish();
        let mut gatherer = Gatherer::new(choices(&tasks, options), &manifest.settings);
        gatherer.add_rows(rows);
        Self::assemble(manifest, &tasks, &gatherer.finish(), options)
    }

    fn assemble(
        manifest: &Manifest,
        tasks: &[TaskFacts],
        exemplars: &[Exemplar],
        options: &ReportOptions,
    ) -> Result<Self, Error> {
        let metrics = Metrics::of_tasks(manifest, tasks, &options.metrics);
        let mut report = Self { metrics, files: BTreeMap::new() };
        report.write_page(exemplars, &Changed::default())?;
        for (name, svg) in figure::figures(&report.metrics)? {
            report.files.insert(format!("figures/{name}"), svg);
        }
        Ok(report)
    }

    /// Makes the numbers and the page of the metrics.
    fn write_page(&mut self, exemplars: &[Exemplar], changed: &Changed) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(&self.metrics)? + "\n";
        self.files.insert("metrics.json".to_string(), json);
        self.files.insert("report.html".to_string(), html::page(&self.metrics, exemplars, changed)?);
        Ok(())
    }

    /// Writes every file below a folder, each whole or not at all.
    pub fn write_to(&self, dir: &Path) -> Result<(), Error> {
        write_files(dir, &self.files)
    }
}

/// Writes files below a folder, each whole or not at all.
pub(crate) fn write_files(dir: &Path, files: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, content) in files {
        let path = dir.join(name);
        if let Some(folder) = path.parent() {
            create_folder(dir, folder)?;
        }
        entrace_record::file::write(&path, content.as_bytes())?;
    }
    Ok(())
}

/// Creates the folder that the user named, where it may be a link, or one within it, where it may not: a run folder may come from a
/// stranger.
fn create_folder(dir: &Path, folder: &Path) -> Result<(), Error> {
    if folder != dir {
        return Ok(entrace_record::file::create_inner_folder(folder)?);
    }
    std::fs::create_dir_all(folder).map_err(|source| Error::Folder { path: folder.to_owned(), source })
}

/// The report of the run in a folder, written beside its record.
pub fn write_report(run_dir: &Path, options: &ReportOptions) -> Result<Report, Error> {
    let reader = RunReader::open(run_dir)?;
    let report = match Report::of_run(&reader, options) {
        // A run that is finished meanwhile has its rows in other files.
        Err(_) if !reader.is_complete() => Report::of_run(&RunReader::open(run_dir)?, options)?,
        report => report?,
    };
    report.write_to(run_dir)?;
    Ok(report)
}

fn choices(tasks: &[TaskFacts], options: &ReportOptions) -> Vec<Choice> {
    let share = (options.traces_in_all / tasks.len().max(1)).max(1).min(options.traces_per_task);
    tasks.iter().flat_map(|task| choose(task, options.metrics.seed, share)).collect()
}

/// Reads the rows of the chosen traces.
fn gather(reader: &RunReader, choices: Vec<Choice>) -> Result<Vec<Exemplar>, Error> {
    let mut gatherer = Gatherer::new(choices, &reader.manifest().settings);
    for row in reader.stream_traces() {
        gatherer.add_trace(&row?);
    }
    for row in reader.stream_prefixes() {
        gatherer.add_prefix(&row?);
    }
    for row in reader.stream_answers() {
        gatherer.add_answer(&row?);
    }
    for row in reader.stream_tokens() {
        gatherer.add_token(&row?);
    }
    Ok(gatherer.finish())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use entrace_record::RunWriter;
    use entrace_record::rows::{Outcome, TraceRow};

    use super::*;
    use crate::synthetic;

    fn quick() -> ReportOptions {
        let metrics = MetricOptions { replicates: 60, ..MetricOptions::default() };
        ReportOptions { metrics, ..ReportOptions::default() }
    }

    fn report(manifest: &Manifest, rows: &Rows) -> Report {
        Report::of_rows(manifest, rows, &quick()).unwrap()
    }

    #[test]
    fn the_same_record_gives_the_same_bytes() {
        let (manifest, rows) = synthetic::run(30, 2);
        let first = report(&manifest, &rows);
        assert_eq!(first.files, report(&manifest, &rows).files);
        let names: Vec<&str> = first.files.keys().map(String::as_str).collect();
        assert_eq!(names.len(), 2 + 12, "{names:?}");
        assert!(names.contains(&"figures/gsm8k_lock_in.svg"));
    }

    #[test]
    fn the_page_stands_alone() {
        let (manifest, rows) = synthetic::run(60, 4);
        let page = &report(&manifest, &rows).files["report.html"];
        assert!(page.len() < 2_000_000, "{} bytes", page.len());
        for forbidden in ["<script", "<link", "<img", "src=", "@import", "url("] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src"
        ));
        let links = page.matches("http:").count() + page.matches("https:").count();
        assert_eq!(links, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
        assert!(!page.contains("NaN") && !page.contains(">inf"));
    }

    #[test]
    fn what_a_reader_wants_stands_first_and_the_rest_is_folded() {
        let (manifest, rows) = synthetic::run(60, 4);
        let page = &report(&manifest, &rows).files["report.html"];
        let (first, folded) = page.split_once("<details").unwrap();
        for wanted in ["p class=\"headline\"", "<figure>", "Right answers", "I(1)", "AUROC"] {
            assert!(first.contains(wanted), "{wanted}");
        }
        assert_eq!(first.matches("class=\"number\"").count(), 3);
        for kept in [
            "In words",
            "how it was decided",
            "All curves",
            "What predicts correctness",
            "How traces came to their ends",
            "All numbers",
            "Single traces",
            "The run",
            "How the numbers were made",
            "Glossary",
            "How to repeat this",
        ] {
            assert!(folded.contains(&format!("{kept}</h")), "{kept}");
        }
        // A link unfolds what it leads to: the place is within what is folded.
        assert!(folded.contains("</summary><div id=\"task-1-signals\">"));
        assert_eq!(page.matches("<details").count(), page.matches("</details>").count());
    }

    /// Markup, quotes, ends of style sheets and terminal controls.
    const HOSTILE: &str =
        "</style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{1b}[31m\u{0}|&amp;";

    fn poison(manifest: &mut Manifest, rows: &mut Rows) {
        let poison = |text: &mut String| *text = format!("{text}{HOSTILE}");
        let poison_name = |text: &mut Arc<str>| *text = format!("{text}{HOSTILE}").into();
        let settings = &mut manifest.settings;
        let model = &mut settings.model;
        for text in [&mut model.name, &mut model.architecture, &mut model.dtype, &mut model.device] {
            poison(text);
        }
        [&mut model.revision, &mut model.model_hash, &mut model.tokenizer_hash]
            .into_iter()
            .flatten()
            .for_each(poison);
        [&mut settings.segment, &mut settings.cue, &mut settings.choice_form].into_iter().for_each(poison);
        settings.controls.iter_mut().for_each(poison);
        for task in &mut settings.tasks {
            [&mut task.name, &mut task.source, &mut task.hash, &mut task.answer_format, &mut task.estimator]
                .into_iter()
                .for_each(poison);
        }
        manifest.command.iter_mut().for_each(poison);
        manifest.kernels = [HOSTILE.to_owned()].into();
        [&mut manifest.started_at, &mut manifest.entrace_version, &mut manifest.format_version]
            .into_iter()
            .for_each(poison);
        for row in &mut rows.traces {
            [&mut row.task, &mut row.question_id].into_iter().for_each(poison_name);
            [&mut row.question, &mut row.prompt, &mut row.completion].into_iter().for_each(poison);
            [&mut row.target, &mut row.answer, &mut row.stop_reason, &mut row.reason]
                .into_iter()
                .flatten()
                .for_each(poison);
            if row.choices.is_some() {
                let hostile = format!("A{HOSTILE}");
                row.choices =
                    Some(serde_json::json!({"labels": [hostile, "B"], "texts": [HOSTILE, "b"]}).to_string());
            }
        }
        for row in &mut rows.prefixes {
            [&mut row.task, &mut row.question_id, &mut row.estimator, &mut row.leader]
                .into_iter()
                .for_each(poison_name);
            if &*row.control != "none" {
                poison_name(&mut row.control);
            }
        }
        for row in &mut rows.answers {
            [&mut row.task, &mut row.question_id, &mut row.answer].into_iter().for_each(poison_name);
        }
        for row in &mut rows.tokens {
            [&mut row.task, &mut row.question_id].into_iter().for_each(poison_name);
            poison(&mut row.text);
        }
    }

    #[test]
    fn text_from_models_and_files_is_never_markup() {
        let (mut manifest, mut rows) = synthetic::run(25, 6);
        poison(&mut manifest, &mut rows);
        let report = report(&manifest, &rows);
        let page = &report.files["report.html"];
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(page.contains("&lt;script&gt;"), "the text itself is shown");
        for content in [page.as_str()].into_iter().chain(svgs(&report)) {
            for forbidden in ["<script", "<img", "\u{1b}", "\u{0}"] {
                assert!(!content.contains(forbidden), "{forbidden:?}");
            }
        }
        assert!(svgs(&report).all(|svg| !svg.contains("</style")));
        assert!(
            report
                .files
                .keys()
                .all(|name| !name.contains(['<', '"', ' ', '\u{1b}']) && name.matches('/').count() <= 1)
        );
        let table = crate::terminal::results(&report.metrics, Some(80));
        assert!(!table.contains('\u{1b}'));
        assert!(!crate::markdown::results(&report.metrics).contains("<script"));
    }

    fn svgs(report: &Report) -> impl Iterator<Item = &str> {
        report.files.iter().filter(|(name, _)| name.ends_with(".svg")).map(|(_, svg)| svg.as_str())
    }

    fn without_targets(rows: &mut Rows) {
        for row in &mut rows.traces {
            (row.target, row.correct) = (None, None);
        }
        for row in &mut rows.prefixes {
            (row.target_logprob, row.information_gain) = (None, None);
        }
    }

    /// A name for what is odd about a run, and how to make it so.
    type Oddity = (&'static str, fn(&mut Rows));

    fn oddities() -> [Oddity; 8] {
        [
            ("no rows", |rows| *rows = Rows::default()),
            ("no targets", without_targets),
            ("one question", |rows| rows.traces.truncate(1)),
            ("all correct", |rows| {
                rows.traces.iter_mut().for_each(|row| row.correct = row.correct.map(|_| true))
            }),
            ("all wrong", |rows| {
                rows.traces.iter_mut().for_each(|row| row.correct = row.correct.map(|_| false))
            }),
            ("all skipped", |rows| rows.traces.iter_mut().for_each(|row| row.outcome = Outcome::Skipped)),
            ("single prefix", |rows| {
                rows.prefixes.retain(|row| row.step == 0);
                rows.prefixes.iter_mut().for_each(|row| row.depth = 1.0);
                rows.traces.iter_mut().for_each(|row| (row.n_steps, row.n_trace_tokens) = (0, 0));
            }),
            ("no tokens, answers or controls", |rows| {
                rows.tokens.clear();
                rows.answers.clear();
                rows.prefixes.retain(|row| &*row.control == "none");
            }),
        ]
    }

    #[test]
    fn degenerate_runs_have_reports() {
        for (what, edit) in oddities() {
            let (manifest, mut rows) = synthetic::run(12, 8);
            edit(&mut rows);
            let report = report(&manifest, &rows);
            let page = &report.files["report.html"];
            assert!(page.ends_with("</html>"), "{what}");
            assert!(!page.contains("NaN") && !page.contains(">inf"), "{what}");
            crate::terminal::results(&report.metrics, Some(80));
        }
    }

    #[test]
    fn a_long_trace_is_cut() {
        let (manifest, mut rows) = synthetic::run(12, 8);
        rows.tokens.iter_mut().for_each(|row| row.text = row.text.repeat(2_000));
        let page = &report(&manifest, &rows).files["report.html"];
        assert!(page.len() < 1_000_000 && page.contains("more characters"), "{}", page.len());
    }

    #[test]
    fn files_are_written_below_the_folder() {
        let (manifest, rows) = synthetic::run(12, 8);
        let report = report(&manifest, &rows);
        let dir = tempfile::tempdir().unwrap();
        report.write_to(dir.path()).unwrap();
        for (name, content) in &report.files {
            assert_eq!(&fs::read_to_string(dir.path().join(name)).unwrap(), content);
        }
        let file = dir.path().join("metrics.json");
        let error = report.write_to(&file).unwrap_err();
        assert!(error.to_string().starts_with("could not"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_within_the_folder_is_not_followed() {
        let (manifest, rows) = synthetic::run(12, 8);
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), dir.path().join("figures")).unwrap();
        let error = report(&manifest, &rows).write_to(dir.path()).unwrap_err();
        assert!(error.to_string().contains("figures is a link"), "{error}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_folder_gives_the_report_of_its_rows() {
        let (begun, rows) = synthetic::run(12, 8);
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RunWriter::overwrite(dir.path(), &begun).unwrap();
        writer.write_part(0, &rows).unwrap();
        let unfinished = Report::of_run(&RunReader::open(dir.path()).unwrap(), &quick()).unwrap();
        writer.finish(1, "2026-11-20T10:12:31Z".parse().unwrap(), 1.0).unwrap();
        let finished = write_report(dir.path(), &quick()).unwrap();
        assert_eq!(finished.metrics.tasks, unfinished.metrics.tasks);
        assert_eq!(finished, report(&finished.metrics.run, &rows));
        assert_eq!(
            fs::read_to_string(dir.path().join("report.html")).unwrap(),
            finished.files["report.html"]
        );
        assert_eq!(write_report(dir.path(), &quick()).unwrap(), finished);
    }

    #[test]
    fn a_sample_report_can_be_looked_at() {
        let Ok(dir) = std::env::var("ENTRACE_REPORT_SAMPLE") else {
            println!("skipped: ENTRACE_REPORT_SAMPLE is not set to a folder");
            return;
        };
        let (manifest, rows) = synthetic::run(60, 4);
        let report = Report::of_rows(&manifest, &rows, &ReportOptions::default()).unwrap();
        report.write_to(Path::new(&dir)).unwrap();
        for (what, edit) in oddities() {
            let mut odd = rows.clone();
            edit(&mut odd);
            self::report(&manifest, &odd).write_to(&Path::new(&dir).join(what.replace(' ', "_"))).unwrap();
        }
        println!("{}", crate::terminal::results(&report.metrics, Some(120)));
        let runs = [("base".to_string(), report.metrics.clone()), ("tuned".to_string(), report.metrics)];
        println!("{}", crate::terminal::compare(&runs));
    }

    #[test]
    fn a_trace_row_that_comes_again_replaces_the_first() {
        let (manifest, mut rows) = synthetic::run(12, 8);
        let failed = TraceRow { outcome: Outcome::Failed, ..rows.traces[0].clone() };
        rows.traces.insert(0, failed);
        assert_eq!(report(&manifest, &rows).metrics.tasks[0].counts.failed, 0);
    }
}
