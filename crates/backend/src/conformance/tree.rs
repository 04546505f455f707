//! Scoring: forks, packing, what is reported of a distribution, errors.

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use super::{Tolerances, assert_all_close, assert_close, assert_same_sharpness, random_tokens};
use crate::{
    Branch, BranchId, BranchScore, Error, ModelInfo, NextRequest, NextScore, Parent, ScoreTree, Sharpness,
    TokenClasses, TokenScores, TreeSession,
};
use entrace_measure::TokenId;
use std::sync::Arc;

/// Everything that [`ScoreTree`] promises.
pub fn check_tree(model: &dyn ScoreTree, info: &ModelInfo, tolerances: &Tolerances) {
    let check = Check { model, vocab_size: info.vocab_size, limit: info.context_length, tolerances };
    check.forks_equal_whole_paths();
    check.calls_and_order_do_not_matter();
    check.numbers_of_one_distribution_agree();
    check.sequences_are_sums_of_steps();
    check.only_what_was_asked_for_is_reported();
    check.faulty_branches_are_refused();
    check.a_fault_stays_in_its_branch();
    check.sessions_do_not_share_anything();
    check.forgotten_branches_are_gone();
    check.what_forks_from_a_dropped_branch_stays();
}

struct Check<'a> {
    model: &'a dyn ScoreTree,
    vocab_size: usize,
    limit: usize,
    tolerances: &'a Tolerances,
}

/// Branches with parents by position, and the whole path of each.
struct Tree {
    branches: Vec<Branch>,
    paths: Vec<Vec<TokenId>>,
}

impl Tree {
    fn add(&mut self, parent: Option<(usize, usize)>, tokens: Vec<TokenId>, next: &NextRequest) {
        let mut path = match parent {
            None => Vec::new(),
            Some((index, n_tokens)) => {
                let before = self.paths[index].len() - self.branches[index].tokens.len();
                self.paths[index][..before + n_tokens].to_vec()
            }
        };
        path.extend(&tokens);
        self.paths.push(path);
        self.branches.push(Branch {
            parent: parent.map(|(index, n_tokens)| Parent { branch: BranchId(index), n_tokens }),
            tokens,
            token_scores: TokenScores::Full,
            next: Some(next.clone()),
            keep: true,
        });
    }
}

impl Check<'_> {
    fn tokens(&self, n: usize, seed: u64) -> Vec<TokenId> {
        random_tokens(n, self.vocab_size, seed)
    }

    /// A few tokens to gather, three classes and an empty one, and the top five.
    fn request(&self) -> NextRequest {
        let class_of = (0..self.vocab_size).map(|token| (token % 3) as u8).collect();
        NextRequest {
            gather: self.tokens(7, 99).into(),
            foremost: Vec::new(),
            classes: Some(Arc::new(TokenClasses { class_of, n_classes: 4 })),
            top_k: 5.min(self.vocab_size),
        }
    }

    /// Two roots, forks at the first, a middle and the last token, forks of forks, and forks without tokens.
    fn tree(&self) -> Tree {
        let next = self.request();
        let mut tree = Tree { branches: vec![], paths: vec![] };
        tree.add(None, self.tokens(13, 1), &next);
        tree.add(None, self.tokens(4, 2), &next);
        tree.add(Some((0, 1)), self.tokens(3, 3), &next);
        tree.add(Some((0, 7)), self.tokens(5, 4), &next);
        tree.add(Some((0, 13)), self.tokens(1, 5), &next);
        tree.add(Some((3, 2)), self.tokens(4, 6), &next);
        tree.add(Some((5, 4)), self.tokens(2, 7), &next);
        tree.add(Some((0, 5)), vec![], &next);
        tree.add(Some((3, 5)), vec![], &next);
        tree.add(Some((1, 4)), self.tokens(6, 8), &next);
        // The same tokens in two branches: each sees itself only.
        tree.add(Some((0, 7)), self.tokens(5, 4), &next);
        tree
    }

    fn session(&self) -> Box<dyn TreeSession + '_> {
        self.model.session().unwrap_or_else(|e| panic!("no session: {e}"))
    }

    /// Adds the branches in the given calls; scores by position in the tree.
    fn score(&self, tree: &Tree, calls: &[Vec<usize>]) -> Vec<BranchScore> {
        let mut session = self.session();
        let mut ids: Vec<Option<BranchId>> = vec![None; tree.branches.len()];
        let mut scores: Vec<Option<BranchScore>> = vec![None; tree.branches.len()];
        let mut n_added = 0;
        for call in calls {
            for (i, &index) in call.iter().enumerate() {
                ids[index] = Some(BranchId(n_added + i));
            }
            let renumbered = call.iter().map(|&index| {
                let mut branch = tree.branches[index].clone();
                if let Some(parent) = &mut branch.parent {
                    parent.branch = ids[parent.branch.0].unwrap();
                }
                branch
            });
            let found = extend(&mut *session, &renumbered.collect::<Vec<_>>());
            for (&index, score) in call.iter().zip(found) {
                assert_eq!(
                    Some(score.id),
                    ids[index],
                    "branches are numbered in the order of their addition"
                );
                scores[index] = Some(score);
            }
            n_added += call.len();
        }
        scores.into_iter().map(Option::unwrap).collect()
    }

    /// The path as one root.
    fn flat(&self, path: &[TokenId], next: &NextRequest) -> BranchScore {
        let root = Branch {
            tokens: path.to_vec(),
            token_scores: TokenScores::Full,
            next: Some(next.clone()),
            ..Branch::default()
        };
        extend(&mut *self.session(), &[root]).remove(0)
    }

    fn forks_equal_whole_paths(&self) {
        let tree = self.tree();
        let scores = self.score(&tree, &[(0..tree.branches.len()).collect()]);
        for (index, score) in scores.iter().enumerate() {
            let what = format!("branch {index} against its whole path as one root");
            let mut whole = self.flat(&tree.paths[index], &self.request());
            let n_before = tree.paths[index].len() - tree.branches[index].tokens.len();
            whole.token_logprobs.drain(..n_before);
            whole.token_sharpness.drain(..n_before);
            self.assert_same(&what, score, &whole);
        }
        for root in [0, 1] {
            assert_eq!(
                scores[root].token_logprobs[0], None,
                "the first token of a root is drawn from nothing"
            );
            assert_eq!(
                scores[root].token_sharpness[0], None,
                "the first token of a root is drawn from nothing"
            );
        }
        let defined = scores.iter().flat_map(|s| s.token_logprobs.iter().skip(1)).all(Option::is_some);
        assert!(defined, "every other token has a log-probability");
    }

    fn calls_and_order_do_not_matter(&self) {
        let tree = self.tree();
        let all = self.score(&tree, &[(0..tree.branches.len()).collect()]);
        let one_by_one: Vec<Vec<usize>> = (0..tree.branches.len()).map(|i| vec![i]).collect();
        let ways: [(&str, Vec<Vec<usize>>); 4] = [
            ("one branch a call", one_by_one),
            ("roots first", vec![vec![0, 1], vec![2, 3, 4, 5, 6, 7, 8, 9, 10]]),
            ("another order", vec![vec![1, 9, 0, 10, 7, 4, 3, 8, 5, 6, 2]]),
            ("other calls in another order", vec![vec![0, 3], vec![8, 5, 1], vec![2, 10, 9, 6], vec![7, 4]]),
        ];
        for (way, calls) in ways {
            for (index, (a, b)) in self.score(&tree, &calls).iter().zip(&all).enumerate() {
                self.assert_same(&format!("branch {index}, {way} against all in one call"), a, b);
            }
        }
    }

    fn numbers_of_one_distribution_agree(&self) {
        let all: Vec<TokenId> = (0..self.vocab_size as TokenId).collect();
        let request = NextRequest { gather: all.into(), ..self.request() };
        let next = self.flat(&self.tokens(9, 11), &request).next.unwrap();
        let gathered = told(&next);
        let probs: Vec<f64> = gathered.iter().map(|lp| lp.exp()).collect();
        let close = |what: &str, found, expected| assert_close(what, found, expected, self.tolerances);
        close("the probabilities of all tokens add up to one", probs.iter().sum(), 1.0);
        let surprises = probs.iter().zip(&gathered).filter(|(p, _)| **p > 0.0).map(|(p, lp)| -p * lp);
        close(
            "the entropy is that of the gathered log-probabilities",
            next.entropy.unwrap(),
            surprises.sum(),
        );

        assert_eq!(next.class_logmass.len(), 4, "one mass for each class");
        for (class, logmass) in next.class_logmass[..3].iter().enumerate() {
            let mass: f64 = probs.iter().skip(class).step_by(3).sum();
            close(&format!("the mass of class {class}"), *logmass, mass.ln());
        }
        close("the mass of an empty class", next.class_logmass[3], f64::NEG_INFINITY);

        assert_eq!(next.top.len(), request.top_k, "as many tokens as were asked for");
        let mut falling = gathered.clone();
        falling.sort_by(|a, b| b.total_cmp(a));
        let in_order = next.top.windows(2).all(|w| w[0].1 > w[1].1 || (w[0].1 >= w[1].1 && w[0].0 < w[1].0));
        assert!(in_order, "the top tokens fall, ties by number: {:?}", next.top);
        for (i, &(token, logprob)) in next.top.iter().enumerate() {
            close("a top token against the gathered one", logprob, gathered[token as usize]);
            close("a top token against all tokens sorted", logprob, falling[i]);
        }
    }

    fn sequences_are_sums_of_steps(&self) {
        let (context, continuation) = (self.tokens(6, 12), self.tokens(5, 13));
        let path = [context.as_slice(), &continuation].concat();
        let whole = self.flat(&path, &NextRequest::default());
        let mut session = self.session();
        let all: Arc<[TokenId]> = (0..self.vocab_size as TokenId).collect();
        let mut parent = None;
        let mut tokens = context;
        for (i, &token) in continuation.iter().enumerate() {
            let next = NextRequest { gather: Arc::clone(&all), ..NextRequest::default() };
            let n_tokens = tokens.len();
            let branch = Branch { parent, tokens, next: Some(next), keep: true, ..Branch::default() };
            let score = extend(&mut *session, &[branch]).remove(0);
            let next = score.next.unwrap();
            let at = path.len() - continuation.len() + i;
            let what = format!("token {at} of a sequence against one step at a time");
            let gathered = told(&next);
            let stepwise = gathered[token as usize];
            assert_close(&what, whole.token_logprobs[at].unwrap(), stepwise, self.tolerances);
            let sharpness = Sharpness::of_logprobs(&gathered);
            assert_same_sharpness(&what, &whole.token_sharpness[at].unwrap(), &sharpness, self.tolerances);
            assert_close(&what, sharpness.entropy.unwrap(), next.entropy.unwrap(), self.tolerances);
            parent = Some(Parent { branch: score.id, n_tokens });
            tokens = vec![token];
        }
    }

    fn only_what_was_asked_for_is_reported(&self) {
        let branch = |token_scores| Branch { tokens: self.tokens(4, 14), token_scores, ..Branch::default() };
        let kinds = [TokenScores::None, TokenScores::Logprobs, TokenScores::Full];
        let scores = extend(&mut *self.session(), &kinds.map(branch));
        let lengths: Vec<(usize, usize)> =
            scores.iter().map(|s| (s.token_logprobs.len(), s.token_sharpness.len())).collect();
        assert_eq!(lengths, [(0, 0), (4, 0), (4, 4)], "numbers of tokens are reported where asked for");
        assert!(scores.iter().all(|s| s.next.is_none()), "the next token is reported where asked for");
        assert_eq!(scores[1].token_logprobs, scores[2].token_logprobs);
    }

    fn faulty_branches_are_refused(&self) {
        let mut session = self.session();
        let root = Branch { tokens: self.tokens(5, 15), keep: true, ..Branch::default() };
        let dropped = Branch { keep: false, ..root.clone() };
        extend(&mut *session, &[root.clone(), dropped]);
        let fork = |branch, n_tokens| Branch {
            parent: Some(Parent { branch: BranchId(branch), n_tokens }),
            tokens: self.tokens(2, 16),
            token_scores: TokenScores::Logprobs,
            ..Branch::default()
        };
        let good = fork(0, 3);
        let unknown = self.vocab_size as TokenId;
        let gather = NextRequest { gather: [unknown].into(), ..NextRequest::default() };
        let too_long = self.tokens(self.limit - 2, 17);
        let classes = TokenClasses { class_of: vec![0; self.vocab_size - 1], n_classes: 1 };
        let classes = NextRequest { classes: Some(Arc::new(classes)), ..NextRequest::default() };
        let cases = [
            ("a root without tokens", Branch::default()),
            ("a parent that is not there", fork(7, 1)),
            ("a branch that is its own parent", fork(3, 1)),
            ("a fork before the first token", fork(0, 0)),
            ("a fork after more tokens than there are", fork(0, 6)),
            ("an unknown token", Branch { tokens: vec![unknown], ..good.clone() }),
            ("an unknown token to gather", Branch { next: Some(gather), ..good.clone() }),
            ("classes of another vocabulary", Branch { next: Some(classes), ..good.clone() }),
            ("more tokens than the context has room for", Branch { tokens: too_long, ..good.clone() }),
        ];
        for (what, faulty) in cases {
            let found = session.extend(&[good.clone(), faulty]);
            let expected = match (what, &found) {
                ("a root without tokens", Err(Error::EmptyContext)) => true,
                ("an unknown token" | "an unknown token to gather", Err(e)) => {
                    matches!(e, Error::UnknownToken { token, vocab_size } if (*token, *vocab_size) == (unknown, self.vocab_size))
                }
                ("classes of another vocabulary", Err(e)) => {
                    matches!(e, Error::BadClasses { n_tokens, vocab_size } if (*n_tokens, *vocab_size) == (self.vocab_size - 1, self.vocab_size))
                }
                ("more tokens than the context has room for", Err(e)) => {
                    matches!(e, Error::ContextTooLong { n_tokens, limit } if (*n_tokens, *limit) == (self.limit + 1, self.limit))
                }
                (_, Err(Error::BadFork { branch: 1, .. })) => true,
                _ => false,
            };
            assert!(expected, "{what} gives {found:?}");
        }
        let score = extend(&mut *session, &[good]).remove(0);
        assert_eq!(score.id, BranchId(2), "a refused call adds nothing");
        let path = [&root.tokens[..3], &self.tokens(2, 16)].concat();
        let whole = self.flat(&path, &NextRequest::default());
        for (a, b) in score.token_logprobs.iter().zip(&whole.token_logprobs[3..]) {
            assert_close("a session after refused calls", a.unwrap(), b.unwrap(), self.tolerances);
        }
    }

    fn sessions_do_not_share_anything(&self) {
        let tree = self.tree();
        let (mut first, mut second) = (self.session(), self.session());
        let a = extend(&mut *first, &tree.branches[..1]);
        extend(&mut *second, &tree.branches[1..2]);
        // The first session's branch 0 has 13 tokens, the second's has 4.
        let fork =
            Branch { parent: Some(Parent { branch: BranchId(0), n_tokens: 7 }), ..tree.branches[3].clone() };
        let b = extend(&mut *first, std::slice::from_ref(&fork));
        assert_eq!((a[0].id, b[0].id), (BranchId(0), BranchId(1)), "each session has its own numbers");
        let mut whole = self.flat(&tree.paths[3], &self.request());
        whole.token_logprobs.drain(..7);
        whole.token_sharpness.drain(..7);
        self.assert_same("a fork beside another session", &b[0], &whole);
        assert!(second.extend(&[fork]).is_err(), "a session knows its own branches only");
    }

    /// A branch at fault and its descendants fail, and take nothing but themselves away.
    fn a_fault_stays_in_its_branch(&self) {
        let mut session = self.session();
        let fork = |branch, n_tokens, seed| Branch {
            parent: Some(Parent { branch: BranchId(branch), n_tokens }),
            tokens: self.tokens(4, seed),
            token_scores: TokenScores::Full,
            next: Some(self.request()),
            keep: true,
        };
        let root = Branch { tokens: self.tokens(9, 23), keep: true, ..Branch::default() };
        let unknown = Branch { tokens: vec![self.vocab_size as TokenId], ..fork(0, 5, 24) };
        let too_long = Branch { tokens: self.tokens(self.limit, 25), ..fork(0, 5, 25) };
        let call =
            [root.clone(), unknown, fork(1, 1, 26), fork(0, 7, 27), too_long, fork(4, 2, 28), fork(3, 2, 29)];
        let found = session.extend_each(&call).unwrap();
        let is_unknown = |index: usize| matches!(found[index], Err(Error::UnknownToken { .. }));
        assert!(is_unknown(1) && is_unknown(2), "a fork fails as its parent does: {:?}", found[2]);
        let is_too_long = |index: usize| matches!(found[index], Err(Error::ContextTooLong { .. }));
        assert!(is_too_long(4) && is_too_long(5), "a fork fails as its parent does: {:?}", found[5]);
        assert_eq!(session.n_branches(), call.len(), "branches that failed keep their numbers");
        let later = extend(&mut *session, &[fork(6, 4, 30)]).remove(0);
        let first = [&root.tokens[..7], &self.tokens(4, 27)].concat();
        let second = [&first[..9], &self.tokens(4, 29)].concat();
        let third = [second.as_slice(), &self.tokens(4, 30)].concat();
        let sound =
            [(found[3].as_ref().unwrap(), first), (found[6].as_ref().unwrap(), second), (&later, third)];
        for ((score, path), number) in sound.into_iter().zip([3, 6, 7]) {
            assert_eq!(score.id, BranchId(number), "numbers count what failed");
            let mut whole = self.flat(&path, &self.request());
            whole.token_logprobs.drain(..path.len() - 4);
            whole.token_sharpness.drain(..path.len() - 4);
            self.assert_same("a branch beside faulty ones", score, &whole);
        }
        let orphan = session.extend(&[fork(1, 1, 31)]);
        assert!(matches!(orphan, Err(Error::BadFork { available: 0, .. })), "it holds no tokens: {orphan:?}");
    }

    fn forgotten_branches_are_gone(&self) {
        let tree = self.tree();
        let all = self.score(&tree, &[(0..tree.branches.len()).collect()]);
        let mut session = self.session();
        assert_eq!(session.n_branches(), 0, "a session begins empty");
        extend(&mut *session, &tree.branches[..4]);
        extend(&mut *session, &tree.branches[4..]);
        for kept in [9, 4, 2] {
            session.truncate(kept);
            assert_eq!(session.n_branches(), kept, "forgotten branches do not count");
            let gone = Parent { branch: BranchId(kept), n_tokens: 1 };
            let orphan = Branch { parent: Some(gone), ..tree.branches[4].clone() };
            let found = session.extend(&[orphan]);
            assert!(matches!(found, Err(Error::BadFork { .. })), "a forgotten parent: {found:?}");
            // Their places are taken by others, and then by themselves again.
            extend(&mut *session, &[Branch { tokens: self.tokens(20, 18), ..tree.branches[0].clone() }]);
            session.truncate(kept);
            let again = extend(&mut *session, &tree.branches[kept..]);
            for (score, expected) in again.iter().zip(&all[kept..]) {
                assert_eq!(score.id, expected.id, "numbers of forgotten branches are free again");
                self.assert_same("a branch that was forgotten and added again", score, expected);
            }
        }
    }

    fn what_forks_from_a_dropped_branch_stays(&self) {
        let mut session = self.session();
        let dropped = Branch { tokens: self.tokens(9, 19), ..Branch::default() };
        let fork = |branch, n_tokens, seed| Branch {
            parent: Some(Parent { branch: BranchId(branch), n_tokens }),
            tokens: self.tokens(4, seed),
            token_scores: TokenScores::Full,
            keep: true,
            ..Branch::default()
        };
        extend(&mut *session, &[dropped.clone(), fork(0, 9, 20)]);
        let filler = Branch { tokens: self.tokens(20, 21), keep: true, ..Branch::default() };
        extend(&mut *session, &[filler]);
        let score = extend(&mut *session, &[fork(1, 3, 22)]).remove(0);
        let path = [&dropped.tokens, &self.tokens(4, 20)[..3], &self.tokens(4, 22)].concat();
        let mut whole = self.flat(&path, &NextRequest::default());
        whole.token_logprobs.drain(..12);
        whole.token_sharpness.drain(..12);
        whole.next = None;
        self.assert_same("a fork of a kept fork of a dropped branch", &score, &whole);
    }

    fn assert_same(&self, what: &str, found: &BranchScore, expected: &BranchScore) {
        let numbers = |all: &[Option<f64>]| -> Vec<f64> { all.iter().map(|n| n.unwrap_or(0.0)).collect() };
        let (logprobs, expected_logprobs) =
            (numbers(&found.token_logprobs), numbers(&expected.token_logprobs));
        assert_all_close(
            &format!("log-probabilities of {what}"),
            &logprobs,
            &expected_logprobs,
            self.tolerances,
        );
        assert_eq!(found.token_sharpness.len(), expected.token_sharpness.len(), "sharpness of {what}");
        for (found, expected) in found.token_sharpness.iter().zip(&expected.token_sharpness) {
            match (found, expected) {
                (Some(found), Some(expected)) => {
                    assert_same_sharpness(what, found, expected, self.tolerances)
                }
                (found, expected) => assert_eq!(found, expected, "sharpness of {what}"),
            }
        }
        match (&found.next, &expected.next) {
            (Some(found), Some(expected)) => self.assert_same_next(what, found, expected),
            (found, expected) => assert_eq!(found, expected, "{what}"),
        }
    }

    fn assert_same_next(&self, what: &str, found: &NextScore, expected: &NextScore) {
        let values = |next: &NextScore| -> Vec<f64> { next.top.iter().map(|t| t.1).collect() };
        assert_eq!(found.rest, expected.rest, "what is left untold of {what}");
        let entropies = [found.entropy, expected.entropy].map(Option::unwrap);
        assert_close(&format!("next entropy of {what}"), entropies[0], entropies[1], self.tolerances);
        let pairs = [
            ("gathered tokens", &told(found), &told(expected)),
            ("class masses", &found.class_logmass, &expected.class_logmass),
            ("top tokens", &values(found), &values(expected)),
        ];
        for (kind, found, expected) in pairs {
            assert_all_close(&format!("{kind} of {what}"), found, expected, self.tolerances);
        }
    }
}

/// The log-probabilities that were asked for, of an engine that tells them all.
#[track_caller]
fn told(next: &NextScore) -> Vec<f64> {
    next.gather.iter().map(|lp| lp.expect("a log-probability of every token asked for")).collect()
}

fn extend(session: &mut dyn TreeSession, branches: &[Branch]) -> Vec<BranchScore> {
    let scores = session.extend(branches).unwrap_or_else(|e| panic!("branches that are in order: {e}"));
    assert_eq!(scores.len(), branches.len(), "one score for each branch");
    scores
}
