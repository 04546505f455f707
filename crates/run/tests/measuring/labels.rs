//! What a trace's own ending is read as.

use crate::support::{asked, measure, measurement, numbers, question};
use entrace_backend::scripted::{KnownAnswers, Scripted, Vocabulary};
use entrace_run::TraceInput;

#[test]
fn a_trace_that_the_limit_cut_has_no_answer_unless_it_states_one() {
    let vocabulary =
        Vocabulary::chat(["1", "2", ".", "\n", " ", "Q", "The answer is", "Step", ":", "up", "down"]);
    let model = Scripted::new(vocabulary, KnownAnswers::following_the_steps(2, " 1", " 2"));
    let task = || numbers(vec![asked(question(0, Some("1")), "Q0\nA:", &[TraceInput::Generate])]);
    let mut reasons = Vec::new();
    for max_new_tokens in 1..30 {
        let mut how = measurement();
        how.traces.sampling.max_new_tokens = max_new_tokens;
        let rows = measure(&model, &[task()], &how);
        let trace = &rows.traces[0];
        let is_cut = trace.stop_reason.as_deref() == Some("length");
        assert_eq!(trace.answer.as_deref() == Some("[invalid]"), is_cut, "{:?}", trace.completion);
        reasons.push(is_cut);
    }
    assert!(reasons.contains(&true) && reasons.contains(&false));
}
