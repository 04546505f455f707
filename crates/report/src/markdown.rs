//! The results table in Markdown, for a paper's appendix or a pull request.

use crate::depth::FINAL;
use crate::format::{Scale, decimal, optional, percent, printable, thousands};
use crate::gaps;
use crate::metrics::{Metrics, TaskMetrics};
use crate::sentence;
use crate::terminal::{LEFT_OUT, WIDTH, left_out, net_information};

/// A heading-free table, one line per task, and a line that says what it shows; then for each task what was found and
/// what is missing. An unfinished run says so first, and one that measured nothing says that in place of the table.
pub fn results(metrics: &Metrics) -> String {
    let mut text = gaps::unfinished(metrics)
        .map_or_else(String::new, |how_far| format!("**Unfinished:** {}.\n\n", cell(&how_far)));
    match gaps::nothing(metrics) {
        Some(nothing) => text.push_str(&format!("{nothing}\n")),
        None => text.push_str(&table(metrics)),
    }
    metrics.tasks.iter().for_each(|task| text.push_str(&paragraph(task)));
    text
}

fn table(metrics: &Metrics) -> String {
    let mut text = String::from(
        "| task | estimator | n | accuracy, % | H(0) | H(1) | I(1) | net I(1) | before | G(1) | AUROC(1) | lock-in | invalid, % | left out |\n\
         |:--|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for task in &metrics.tasks {
        let estimator =
            task.n_samples.map_or_else(|| task.estimator.clone(), |m| format!("{}, m = {m}", task.estimator));
        let cells = [
            cell(&task.task),
            cell(&estimator),
            thousands(task.counts.questions_measured),
            Scale::Percent.with_interval(&task.accuracy),
            optional(task.entropy.all.at(0).value, 2),
            optional(task.entropy.all.at(FINAL).value, 2),
            Scale::Plain.with_interval(&task.verdict.usable_information),
            Scale::Plain.with_interval(&net_information(task)),
            Scale::Plain.with_interval(&task.verdict.before_statement),
            optional(task.information_gain.all.at(FINAL).value, 2),
            Scale::Plain.with_interval(&task.separability.at(FINAL)),
            optional(task.lock_in.all.median_depth, 2),
            percent(task.invalid_share.value),
            left_out(task),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text.push_str(&format!(
        "\n{}: n questions; H (answer entropy), I (usable information about the true answer; net of swapped traces; before the trace states its answer) and G (raw \
         gain of the target's log-probability) in nats at relative depths 0 and 1; AUROC of −H(1) for correctness; median lock-in depth; {LEFT_OUT}; {} % intervals over questions.\n",
        cell(&metrics.run.settings.model.name),
        decimal(100.0 * metrics.options.level, 0)
    ));
    text
}

/// The verdict of a task, the signals that predict best, and a list of what was left out and why.
fn paragraph(task: &TaskMetrics) -> String {
    let mut text = format!("\n**{}.** {}", cell(&task.task), cell(&sentence::verdict(task)));
    for further in [sentence::best_signals(&task.predict), sentence::duplicates(task)].into_iter().flatten() {
        text.push_str(&format!(" {}", cell(&further)));
    }
    text.push('\n');
    let gaps = gaps::lines(&task.counts, WIDTH);
    if !gaps.is_empty() {
        text.push('\n');
    }
    gaps.iter().for_each(|line| text.push_str(&format!("- {}\n", cell(line))));
    text
}

/// Text that stays in its cell and is no markup. An underscore between letters, as in the name of a signal, is none anyway.
fn cell(text: &str) -> String {
    let chars: Vec<char> = printable(text).chars().collect();
    let is_letter = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphanumeric());
    let escaped = |(at, &c): (usize, &char)| match c {
        '\n' | '\t' => " ".to_string(),
        '<' => "&lt;".to_string(),
        '>' => "&gt;".to_string(),
        '&' => "&amp;".to_string(),
        '_' if is_letter(at.checked_sub(1)) && is_letter(Some(at + 1)) => "_".to_string(),
        '|' | '\\' | '`' | '*' | '[' | ']' | '_' | '$' | '~' => format!("\\{c}"),
        other => other.to_string(),
    };
    chars.iter().enumerate().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_markup() {
        assert_eq!(cell("_it_ $a$ ~~b~~ c_d |x|\ny"), r"\_it\_ \$a\$ \~\~b\~\~ c_d \|x\| y");
        assert_eq!(cell("final_answer_entropy"), "final_answer_entropy");
    }
}
