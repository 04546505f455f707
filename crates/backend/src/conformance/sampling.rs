//! Drawing on a tree: completions are those of [`Generate`], their branches are branches, and a pause changes nothing.

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use super::{Tolerances, assert_all_close, assert_close};
use crate::sampling::Counting;
use crate::{
    Branch, BranchId, Completion, Each, Error, Fork, Generate, GenerateRequest, NextRequest, Parent, Place,
    Sampled, Sampling, SamplingSession, ScoreTree, Stem, Text, Watcher,
};
use entrace_measure::TokenId;

/// Everything that [`SamplingSession`] promises, of a model that draws as [`Generate`] too; nothing of one that has no such session.
pub fn check_sampling<M: Text + Generate + ScoreTree + ?Sized>(
    model: &M,
    texts: &[&str],
    tolerances: &Tolerances,
) {
    if model.sampling_session().unwrap().is_none() {
        return;
    }
    let context = model.encode_prompt(texts[0]).unwrap().token_ids;
    let suffix = model.encode_plain(texts[texts.len() - 1]).unwrap();
    let check = Check { model, context, suffix, tolerances };
    for temperature in [0.0, 1.0] {
        let sampling =
            Sampling { temperature, top_p: 1.0, top_k: 0, max_new_tokens: 9, stop: vec!["\u{1f9ca}".into()] };
        check.completions_are_those_of_requests(&sampling);
        check.branches_score_as_their_paths(&sampling);
        check.pauses_change_nothing(&sampling);
        check.what_is_forgotten_leaves_no_trace(&sampling);
    }
    check.faulty_stems_fail_alone();
}

struct Check<'a, M: ?Sized> {
    model: &'a M,
    context: Vec<TokenId>,
    suffix: Vec<TokenId>,
    tolerances: &'a Tolerances,
}

const STREAMS: [u64; 7] = [7, 8, 9, 10, 11, 12, 13];

/// Pauses every completion after each third token.
struct EveryThird;

impl Watcher for EveryThird {
    fn progress(&mut self, _: usize) -> bool {
        true
    }

    fn pauses(&mut self, _: Place, token_ids: &[TokenId]) -> bool {
        token_ids.len().is_multiple_of(3)
    }
}

impl<M: Text + Generate + ScoreTree + ?Sized> Check<'_, M> {
    /// A session with the context as a root and the suffix as a fork of it, and a stem after each.
    fn planted(&self, keep: bool) -> (Box<dyn SamplingSession + '_>, Vec<Stem>) {
        let mut session = self.model.sampling_session().unwrap().unwrap();
        let context = Parent { branch: BranchId(0), n_tokens: self.context.len() };
        let suffix = Parent { branch: BranchId(1), n_tokens: self.suffix.len() };
        let root = Branch { tokens: self.context.clone(), keep: true, ..Branch::default() };
        let fork =
            Branch { parent: Some(context), tokens: self.suffix.clone(), keep: true, ..Branch::default() };
        session.extend(&[root, fork]).unwrap();
        let stem = |from| Stem { from, streams: STREAMS.to_vec(), max_new_tokens: None, keep };
        let stems = vec![stem(context), Stem { max_new_tokens: Some(5), ..stem(suffix) }];
        (session, stems)
    }

    /// The same by requests.
    fn expected(&self, sampling: &Sampling) -> Vec<Vec<Completion>> {
        let fork = |suffix: &[TokenId], max_new_tokens| Fork {
            n_tokens: self.context.len(),
            suffix: suffix.to_vec(),
            streams: STREAMS.to_vec(),
            max_new_tokens,
        };
        let forks = vec![fork(&[], None), fork(&self.suffix, Some(5))];
        let request = GenerateRequest { context: self.context.clone(), forks };
        self.model.generate(&[request], sampling, &mut |_| true).unwrap().remove(0)
    }

    fn completions_are_those_of_requests(&self, sampling: &Sampling) {
        let (mut session, stems) = self.planted(false);
        let found = drawn(session.sample(&stems, sampling, &mut Counting(&mut |_| true)));
        for (found, expected) in found.iter().zip(&self.expected(sampling)) {
            assert_eq!(found.len(), expected.len(), "one completion for each stream");
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    found.branch.is_none() && !found.is_paused,
                    "what is not kept is no branch: {found:?}"
                );
                self.assert_same("a stem against a request", &found.completion, expected);
            }
        }
        assert_eq!(session.n_branches(), 2, "what is not kept has no number");
    }

    fn assert_same(&self, what: &str, found: &Completion, expected: &Completion) {
        assert_eq!(found.token_ids, expected.token_ids, "{what}: the tokens");
        assert_eq!(
            (&found.text, &found.token_ends),
            (&expected.text, &expected.token_ends),
            "{what}: the text"
        );
        assert_eq!(found.stop_reason, expected.stop_reason, "{what}: why it ended");
        let numbers =
            |completion: &Completion| completion.logprobs.iter().flatten().copied().collect::<Vec<f64>>();
        assert_all_close(what, &numbers(found), &numbers(expected), self.tolerances);
        assert_eq!(found.sharpness.len(), expected.sharpness.len(), "{what}: a sharpness for each token");
    }

    /// Entropy of the next token after a path that is a root.
    fn entropy_after(&self, path: &[TokenId]) -> Option<f64> {
        let next = Some(NextRequest::default());
        let branch = Branch { tokens: path.to_vec(), next, ..Branch::default() };
        let mut session = self.model.session().unwrap();
        session.extend(&[branch]).unwrap().remove(0).next.unwrap().entropy
    }

    fn assert_scores(&self, session: &mut dyn SamplingSession, at: Parent, path: &[TokenId]) {
        let next = Some(NextRequest::default());
        let asked = Branch { parent: Some(at), tokens: self.suffix.clone(), next, ..Branch::default() };
        let n_branches = session.n_branches();
        let found = session.extend(&[asked]).unwrap().remove(0).next.unwrap().entropy;
        session.truncate(n_branches);
        if let (Some(found), Some(expected)) = (found, self.entropy_after(&[path, &self.suffix].concat())) {
            assert_close("a fork of a completion against its path", found, expected, self.tolerances);
        }
    }

    fn branches_score_as_their_paths(&self, sampling: &Sampling) {
        let (mut session, stems) = self.planted(true);
        let found = drawn(session.sample(&stems, sampling, &mut Counting(&mut |_| true)));
        let before = [self.context.clone(), [self.context.as_slice(), &self.suffix].concat()];
        for (before, sampled) in before.iter().zip(&found) {
            for Sampled { completion, branch, .. } in &sampled[..2] {
                let branch = branch.unwrap();
                for n_tokens in [1, completion.token_ids.len()] {
                    if (1..=completion.token_ids.len()).contains(&n_tokens) {
                        let path = [before, &completion.token_ids[..n_tokens]].concat();
                        self.assert_scores(session.as_mut(), Parent { branch, n_tokens }, &path);
                    }
                }
            }
        }
    }

    fn pauses_change_nothing(&self, sampling: &Sampling) {
        let (mut session, mut stems) = self.planted(true);
        stems.truncate(1);
        let expected = self.expected(sampling).remove(0);
        let mut found = drawn(session.sample(&stems, sampling, &mut EveryThird)).remove(0);
        let mut n_pauses = 0;
        while found.iter().any(|sampled| sampled.is_paused) {
            n_pauses += 1;
            // The others are let go on first, so that order is seen not to matter.
            let places: Vec<usize> = (0..found.len()).rev().filter(|&place| found[place].is_paused).collect();
            let ids: Vec<BranchId> = places.iter().map(|&place| found[place].branch.unwrap()).collect();
            for &place in &places {
                let Sampled { completion, branch, .. } = &found[place];
                let path = [self.context.as_slice(), &completion.token_ids].concat();
                self.assert_scores(session.as_mut(), Parent { branch: branch.unwrap(), n_tokens: 3 }, &path);
            }
            let resumed = drawn(session.resume(&ids, sampling, &mut EveryThird));
            places.into_iter().zip(resumed).for_each(|(place, resumed)| found[place] = resumed);
        }
        for (found, expected) in found.iter().zip(&expected) {
            self.assert_same("a completion with pauses", &found.completion, expected);
        }
        let longest = expected.iter().map(|completion| completion.token_ids.len()).max().unwrap_or(0);
        assert!(n_pauses >= longest / 4, "{n_pauses} rounds of pauses in {longest} tokens");
    }

    fn what_is_forgotten_leaves_no_trace(&self, sampling: &Sampling) {
        let (mut session, stems) = self.planted(true);
        let first = drawn(session.sample(&stems, sampling, &mut EveryThird));
        session.truncate(2);
        let again = drawn(session.sample(&stems, sampling, &mut EveryThird));
        assert_eq!(session.n_branches(), 2 + 2 * STREAMS.len(), "numbers are free again");
        for (first, again) in first.iter().flatten().zip(again.iter().flatten()) {
            self.assert_same("the same stem again", &again.completion, &first.completion);
        }
    }

    fn faulty_stems_fail_alone(&self) {
        let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 2, stop: vec![] };
        let (mut session, stems) = self.planted(true);
        let mut goes_on = |_| true;
        let expected = drawn(session.sample(&stems, &sampling, &mut Counting(&mut goes_on)));
        let n = self.context.len();
        for n_tokens in [0, n + 1] {
            session.truncate(2);
            let from = Parent { branch: BranchId(0), n_tokens };
            let faulty = [stems[0].clone(), Stem { from, ..stems[0].clone() }, stems[1].clone()];
            let found = session.sample(&faulty, &sampling, &mut Counting(&mut goes_on)).unwrap();
            let is_refused = matches!(found[1], Err(Error::BadFork { branch: 1, parent: 0, .. }));
            assert!(is_refused, "a stem after {n_tokens} of {n} tokens: {:?}", found[1]);
            for (found, expected) in [&found[0], &found[2]].into_iter().zip(&expected) {
                for (found, expected) in found.as_ref().unwrap().iter().zip(expected) {
                    self.assert_same("a stem beside a faulty one", &found.completion, &expected.completion);
                    assert!(found.branch.is_some(), "its completions are branches");
                }
            }
        }
        session.truncate(2);
        let found = session.resume(&[BranchId(0)], &sampling, &mut Counting(&mut goes_on)).unwrap();
        let is_refused = matches!(found[..], [Err(Error::NotPaused { branch: 0 })]);
        assert!(is_refused, "a branch that is not paused: {found:?}");
        let found = session.sample(&stems, &sampling, &mut Counting(&mut |_| false));
        let are_empty = |all: &Vec<Result<Vec<Sampled>, Error>>| {
            all.iter().flatten().flatten().all(|sampled| sampled.completion.token_ids.is_empty())
        };
        assert!(
            matches!(found, Err(Error::Engine(_))) || found.as_ref().is_ok_and(are_empty),
            "progress can stop the engine"
        );
        assert!(found.is_ok() || session.n_branches() == 2, "a call that failed added nothing");
    }
}

/// What was drawn of stems or completions that are in order.
fn drawn<T>(found: Each<T>) -> Vec<T> {
    found.unwrap().into_iter().map(Result::unwrap).collect()
}
