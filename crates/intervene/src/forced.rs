//! The forced reading: the rest of the trace is kept, then the answer is asked for.

use crate::error::Error;
use crate::plan::{Edit, truncated};
use crate::recorded::Recorded;
use crate::rows::{self, Found};
use entrace_measure::intervention::Reading;
use entrace_measure::intervention::effect::Belief;
use entrace_record::rows::InterventionRow;
use entrace_run::Observer;
use entrace_run::probe::{Path, Probe, Probed, Prober};

/// Rows of every trace's changes, the unchanged trace first; and the tokens that were scored but for cues and answers.
pub(crate) fn measure(
    prober: &mut Prober<'_>,
    traces: &[(&Recorded, Vec<Edit>)],
    observer: &mut dyn Observer,
) -> Result<(Vec<InterventionRow>, u64), Error> {
    let whole: Vec<Edit> =
        traces.iter().map(|(recorded, _)| truncated(recorded, recorded.n_steps())).collect();
    let probed: Vec<Probed<'_>> =
        traces.iter().zip(&whole).map(|(trace, whole)| probed(trace, whole)).collect();
    let probes = prober.forced(&probed, observer)?;
    let mut found = Vec::new();
    let mut n_tokens = 0;
    for (((recorded, edits), whole), probes) in traces.iter().zip(&whole).zip(probes) {
        n_tokens += recorded.prompt.token_ids.len() + recorded.trace.len();
        let mut beliefs = probes.into_iter().map(belief);
        let before = beliefs.next().unwrap_or_else(|| Err("nothing was read".into()));
        let of_trace =
            Found { before: before.as_ref().ok(), after: as_found(&before), n_tokens: 0, importance: None };
        found.push(rows::unchanged(recorded, whole, Reading::Forced, &of_trace));
        for edit in edits {
            let after = match &edit.path {
                Ok(_) => beliefs.next().unwrap_or_else(|| Err("nothing was read".into())),
                Err(reason) => Err(reason.clone()),
            };
            let run = edit.path.as_ref().map_or(0, |path| path.tail.len());
            n_tokens += run;
            let of_edit = Found {
                before: before.as_ref().ok(),
                after: as_found(&after),
                n_tokens: run,
                importance: None,
            };
            found.push(rows::row(recorded, edit, Reading::Forced, &of_edit));
        }
    }
    Ok((found, n_tokens as u64))
}

fn probed<'a>((recorded, edits): &'a (&Recorded, Vec<Edit>), whole: &'a Edit) -> Probed<'a> {
    let paths = std::iter::once(whole).chain(edits).filter_map(|edit| edit.path.as_ref().ok());
    Probed {
        question: &recorded.question,
        prompt: &recorded.prompt,
        opened: recorded.opened.as_ref(),
        trace: recorded.trace.token_ids(),
        paths: paths.collect::<Vec<&Path>>(),
    }
}

fn belief(probe: Probe) -> Result<Belief, String> {
    probe.map(|distribution| Belief::of(&distribution))
}

fn as_found(belief: &Result<Belief, String>) -> Result<&Belief, &str> {
    belief.as_ref().map_err(String::as_str)
}
