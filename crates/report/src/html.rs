//! The report as one self-contained page.
//!
//! What a reader wants stands first: for each task the verdict, the curve and three numbers. The rest is folded below, under headings; a link to
//! a part unfolds it, and print shows everything.
//!
//! Input: metrics and the single traces to show. Output: HTML with its style sheet and figures inside; no script, no font, no link to
//! another place, so the page reads the same offline and in years. Text from models and files is escaped; only our own style sheet and
//! figures go in as they are. The same input gives the same bytes: no clock is read, the date is that of the run.

mod closing;
mod interventions;
mod overview;
pub(crate) mod parts;
mod predict;
mod profile;
mod reading;
mod task;
mod trace;
mod verdict;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::error::Error;
use crate::exemplar::Exemplar;
use crate::figure::task_figures;
use crate::format::printable;
use crate::interventions::Changed;
use crate::metrics::Metrics;

/// What a page may load: nothing. Its style is part of it, and there are no scripts, frames or forms.
pub(crate) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(crate) const STYLE: &str = include_str!("html/style.css");

/// The page. `exemplars` are the traces to show, of any task; `changed` those that were changed.
pub(crate) fn page(metrics: &Metrics, exemplars: &[Exemplar], changed: &Changed) -> Result<String, Error> {
    let mut tasks: Vec<Markup> = Vec::new();
    for (number, task) in metrics.tasks.iter().enumerate() {
        let figures = task_figures(task, &metrics.depths, metrics.options.level)?;
        let shown: Vec<&Exemplar> = exemplars.iter().filter(|e| *e.choice.task == *task.task).collect();
        tasks.push(task::section(number, task, metrics, &figures, &shown)?);
    }
    let title = format!("{}: answer entropy along reasoning", metrics.run.settings.model.name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "entrace " (metrics.run.entrace_version) };
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (overview::header(metrics))
                    @for section in &tasks { (section) }
                    (interventions::sections(metrics.interventions.as_ref(), changed))
                    (overview::about(metrics))
                    (closing::method(metrics))
                    (closing::glossary())
                    (closing::reproduce(metrics))
                }
            }
        }
    };
    Ok(printable(&page.into_string()))
}
