//! Sampling: what is drawn, what is reported of it, when it ends, and that nothing depends on the company.

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use super::{Tolerances, assert_close, assert_same_sharpness, random_tokens};
use crate::generate::RequestCompletions;
use crate::sampling::Counting;
use crate::scripted::candidates;
use crate::{
    Branch, BranchId, Completion, Error, Fork, Generate, GenerateRequest, More, NextRequest, Parent, Place,
    Sampling, ScoreTree, Text, TokenScores, Watcher,
};
use entrace_measure::{StopReason, TokenId};

/// Everything that [`Generate`] promises. The first of `texts` is the prompt, and all are things to fork to.
pub fn check_generate<M: Text + Generate + ScoreTree + ?Sized>(
    model: &M,
    texts: &[&str],
    tolerances: &Tolerances,
) {
    let context = model.encode_prompt(texts[0]).unwrap().token_ids;
    let suffix = model.encode_plain(texts[texts.len() - 1]).unwrap();
    let check = Check { model, context, suffix, tolerances };
    check.completions_hold_together();
    check.greedy_follows_the_scores();
    check.logprobs_are_the_scores();
    check.company_and_order_do_not_matter();
    check.forks_are_contexts();
    check.repeating_the_context_changes_nothing();
    check.what_is_asked_for_later_is_the_same();
    check.frequencies_follow_the_distribution();
    check.limits_are_kept();
    check.stop_strings_end_the_text();
    check.progress_is_told();
    check.faulty_requests_fail_alone();
    check.the_context_may_be_filled();
}

struct Check<'a, M: ?Sized> {
    model: &'a M,
    context: Vec<TokenId>,
    suffix: Vec<TokenId>,
    tolerances: &'a Tolerances,
}

/// Raw distribution, at most this many tokens.
fn plain(max_new_tokens: usize) -> Sampling {
    Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens, stop: vec![] }
}

fn greedy(max_new_tokens: usize) -> Sampling {
    Sampling { temperature: 0.0, ..plain(max_new_tokens) }
}

impl<M: Text + Generate + ScoreTree + ?Sized> Check<'_, M> {
    fn generate(&self, requests: &[GenerateRequest], sampling: &Sampling) -> Vec<Vec<Vec<Completion>>> {
        let found = self.model.generate(requests, sampling, &mut |_| true);
        let found = found.unwrap_or_else(|e| panic!("requests that are in order: {e}"));
        let shape = |fork: &Fork| fork.streams.len();
        for (request, completions) in requests.iter().zip(&found) {
            let wanted: Vec<usize> = request.forks.iter().map(shape).collect();
            let given: Vec<usize> = completions.iter().map(Vec::len).collect();
            assert_eq!(given, wanted, "one completion for each stream of each fork");
        }
        assert_eq!(found.len(), requests.len(), "an answer to each request");
        found
    }

    /// Completions of one context.
    fn complete(&self, context: &[TokenId], streams: &[u64], sampling: &Sampling) -> Vec<Completion> {
        self.generate(&[request(context, streams)], sampling).remove(0).remove(0)
    }

    fn completions_hold_together(&self) {
        for completion in self.complete(&self.context, &[1, 2, 3, 4, 5, 6], &plain(12)) {
            self.assert_holds_together(&completion);
        }
    }

    fn assert_holds_together(&self, completion: &Completion) {
        let n = completion.token_ids.len();
        let lengths = [completion.token_ends.len(), completion.logprobs.len(), completion.sharpness.len()];
        assert_eq!(
            lengths, [n; 3],
            "an end, a log-probability and a sharpness for each token: {completion:?}"
        );
        let decoded = self.model.decode(&completion.token_ids);
        assert_eq!(completion.text, decoded.text, "the text is that of the tokens");
        assert_eq!(completion.token_ends, decoded.token_ends, "the ends are those of the tokens");
        let ended = completion.token_ids.iter().any(|token| self.model.stop_tokens().contains(token));
        assert!(!ended, "the token that ended the turn is not part of the completion: {completion:?}");
    }

    fn greedy_follows_the_scores(&self) {
        let completion = self.complete(&self.context, &[7], &greedy(10)).remove(0);
        let n = self.context.len();
        let path = [self.context.as_slice(), &completion.token_ids].concat();
        let mut branches = vec![Branch { tokens: path.clone(), keep: true, ..Branch::default() }];
        for n_tokens in n..=path.len() {
            branches.push(Branch {
                parent: Some(Parent { branch: BranchId(0), n_tokens }),
                next: Some(NextRequest { top_k: 2, ..NextRequest::default() }),
                ..Branch::default()
            });
        }
        let scores = self.model.session().and_then(|mut session| session.extend(&branches)).unwrap();
        for (i, score) in scores[1..].iter().enumerate() {
            let top = &score.next.as_ref().unwrap().top;
            let clear = top.len() < 2 || top[0].1 - top[1].1 > self.tolerances.nats;
            match completion.token_ids.get(i) {
                Some(&token) if clear => {
                    assert_eq!(token, top[0].0, "token {i} of a greedy completion is the likeliest");
                }
                None if clear && completion.stop_reason == StopReason::Stop => {
                    let stops = self.model.stop_tokens().contains(&top[0].0);
                    assert!(stops, "a greedy completion stops where a stop token is the likeliest");
                }
                _ => {}
            }
        }
        let again = self.complete(&self.context, &[8], &greedy(10)).remove(0);
        assert_eq!(again.token_ids, completion.token_ids, "greedy completions do not depend on the stream");
    }

    /// Numbers of a completion are of the raw distribution, however it was drawn.
    fn logprobs_are_the_scores(&self) {
        let cooled = Sampling { temperature: 0.6, top_k: 9, top_p: 0.9, ..plain(10) };
        for sampling in [plain(10), greedy(10), cooled] {
            for completion in self.complete(&self.context, &[11, 12], &sampling) {
                self.assert_holds_together(&completion);
                let path = Branch {
                    tokens: [self.context.as_slice(), &completion.token_ids].concat(),
                    token_scores: TokenScores::Full,
                    ..Branch::default()
                };
                let mut session = self.model.session().unwrap();
                let score = session.extend(&[path]).unwrap().remove(0);
                let n = self.context.len();
                for i in 0..completion.token_ids.len() {
                    let what = format!("token {i} of a completion at temperature {}", sampling.temperature);
                    let scored = score.token_logprobs[n + i].unwrap();
                    if let Some(logprob) = completion.logprobs[i] {
                        assert_close(&what, logprob, scored, self.tolerances);
                    }
                    let scored = score.token_sharpness[n + i].unwrap();
                    assert_same_sharpness(&what, &completion.sharpness[i], &scored, self.tolerances);
                }
            }
        }
    }

    fn company_and_order_do_not_matter(&self) {
        let sampling = plain(8);
        let long = [self.context.as_slice(), &self.suffix].concat();
        let forks = vec![
            Fork { n_tokens: long.len(), suffix: vec![], streams: vec![21, 22, 21], max_new_tokens: None },
            Fork {
                n_tokens: self.context.len(),
                suffix: self.suffix.clone(),
                streams: vec![],
                max_new_tokens: None,
            },
            Fork {
                n_tokens: self.context.len(),
                suffix: self.suffix.clone(),
                streams: vec![21, 23],
                max_new_tokens: None,
            },
        ];
        let first = GenerateRequest { context: long, forks };
        let many: Vec<u64> = (30..60).collect();
        let requests = [first.clone(), request(&self.context, &many), request(&self.suffix, &[21])];
        let together = self.generate(&requests, &sampling);
        let turned: Vec<GenerateRequest> = requests.iter().rev().cloned().collect();
        let turned = self.generate(&turned, &sampling);
        for (index, request) in requests.iter().enumerate() {
            let alone = self.generate(std::slice::from_ref(request), &sampling).remove(0);
            self.assert_same("requests together against each alone", &together[index], &alone);
            self.assert_same("requests in another order", &turned[requests.len() - 1 - index], &alone);
        }
        let [all, _, again] = together[0].as_slice() else { panic!("three forks") };
        self.assert_same("one stream twice", &[vec![all[0].clone()]], &[vec![all[2].clone()]]);
        self.assert_same("one stream at equal contexts", &[vec![all[0].clone()]], &[vec![again[0].clone()]]);
        let one = self.complete(&requests[0].context, &[22], &sampling);
        self.assert_same("a stream without its neighbours", &[one], &[vec![all[1].clone()]]);
        let differ = together[1][0].iter().any(|c| c.token_ids != together[1][0][0].token_ids);
        assert!(differ, "thirty streams do not all draw the same");
    }

    fn assert_same(&self, what: &str, found: &[Vec<Completion>], expected: &[Vec<Completion>]) {
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert_eq!(found.token_ids, expected.token_ids, "{what}: the tokens");
            assert_eq!(found.text, expected.text, "{what}: the text");
            assert_eq!(found.stop_reason, expected.stop_reason, "{what}: why it ended");
            for (found, expected) in found.logprobs.iter().flatten().zip(expected.logprobs.iter().flatten()) {
                let (found, expected) = (*found, *expected);
                assert_close(what, found, expected, self.tolerances);
            }
        }
    }

    fn forks_are_contexts(&self) {
        let junk = self.model.encode_plain(&self.model.decode(&self.suffix).text.repeat(2)).unwrap();
        let context = [self.context.as_slice(), &junk].concat();
        let fork = Fork {
            n_tokens: self.context.len(),
            suffix: self.suffix.clone(),
            streams: vec![41, 42, 43],
            max_new_tokens: None,
        };
        let forked = self.generate(&[GenerateRequest { context, forks: vec![fork] }], &plain(8)).remove(0);
        let whole = [self.context.as_slice(), &self.suffix].concat();
        let whole = self.complete(&whole, &[41, 42, 43], &plain(8));
        self.assert_same("a fork against its own context", &forked, &[whole]);
    }

    /// What the model would write anyway may follow the fork in the context.
    fn repeating_the_context_changes_nothing(&self) {
        let written = self.complete(&self.context, &[7], &greedy(10)).remove(0).token_ids;
        let context = [self.context.as_slice(), &written].concat();
        let ends = [0, written.len() / 2, written.len()].map(|n| self.context.len() + n);
        for sampling in
            [greedy(12), Sampling { temperature: 0.3, ..plain(12) }, Sampling { top_k: 2, ..plain(4) }]
        {
            let fork = |&n_tokens: &usize| Fork {
                n_tokens,
                suffix: vec![],
                streams: vec![7, 71, 72],
                max_new_tokens: None,
            };
            let forks = ends.iter().map(fork).collect();
            let found = self.generate(&[GenerateRequest { context: context.clone(), forks }], &sampling);
            let alone = ends.map(|end| self.complete(&context[..end], &[7, 71, 72], &sampling));
            self.assert_same("forks within what the model writes", &found[0], &alone);
        }
    }

    fn what_is_asked_for_later_is_the_same(&self) {
        let fork = |streams: &[u64]| Fork {
            n_tokens: self.context.len(),
            suffix: self.suffix.clone(),
            streams: streams.to_vec(),
            max_new_tokens: None,
        };
        let request = |first: &[u64], second: &[u64]| GenerateRequest {
            context: self.context.clone(),
            forks: vec![fork(first), fork(second)],
        };
        let all = self.generate(&[request(&[1, 2, 3, 4], &[5, 6, 7])], &plain(6));
        let mut watcher = AsksForMore { ended: Vec::new() };
        let found = self.model.generate_each(&[request(&[1, 2], &[5])], &plain(6), &mut watcher);
        let found: Vec<RequestCompletions> = found.unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(found[0].iter().map(Vec::len).collect::<Vec<_>>(), [4, 3], "what was asked for is there");
        self.assert_same("streams asked for later", &found[0], &all[0]);
        watcher.ended.sort_unstable();
        let places = [0, 1, 2, 3].map(|stream| Place { request: 0, fork: 0, stream }).into_iter();
        let places = places.chain([0, 1, 2].map(|stream| Place { request: 0, fork: 1, stream }));
        assert!(watcher.ended.iter().copied().eq(places), "each is told once: {:?}", watcher.ended);
    }

    fn frequencies_follow_the_distribution(&self) {
        for sampling in [
            plain(1),
            Sampling { temperature: 0.5, ..plain(1) },
            Sampling { temperature: 1.5, top_k: 6, ..plain(1) },
            Sampling { top_p: 0.6, ..plain(1) },
            Sampling { top_k: 20, top_p: 0.7, ..plain(1) },
        ] {
            self.check_frequencies(&sampling);
        }
    }

    /// A chi-squared test on the first token; stop tokens count as one outcome. Five of these tests are made.
    fn check_frequencies(&self, sampling: &Sampling) {
        let vocab_size = self.model.info().vocab_size;
        let all: Vec<TokenId> = (0..vocab_size as TokenId).collect();
        let next = NextRequest { gather: all.into(), ..NextRequest::default() };
        let branch = Branch { tokens: self.context.clone(), next: Some(next), ..Branch::default() };
        let scores = self.model.session().and_then(|mut session| session.extend(&[branch])).unwrap();
        let probs: Vec<f64> =
            scores[0].next.as_ref().unwrap().gather.iter().flatten().map(|lp| lp.exp()).collect();

        let streams: Vec<u64> = (1000..1000 + self.tolerances.n_draws).collect();
        let mut counts = vec![0.0; vocab_size + 1];
        for completion in self.complete(&self.context, &streams, sampling) {
            counts[completion.token_ids.first().map_or(vocab_size, |&token| token as usize)] += 1.0;
        }
        let candidates = candidates(&probs, sampling);
        let total: f64 = candidates.iter().map(|c| c.1).sum();
        let mut expected = vec![0.0; vocab_size + 1];
        for (token, weight) in candidates {
            let stops = self.model.stop_tokens().contains(&token);
            expected[if stops { vocab_size } else { token as usize }] +=
                weight / total * self.tolerances.n_draws as f64;
        }
        for (token, (count, expected)) in counts.iter().zip(&expected).enumerate() {
            assert!(*expected > 0.0 || *count == 0.0, "{sampling:?} draws token {token}, which it cuts off");
        }
        let (chi_squared, n_cells) = chi_squared(&counts, &expected);
        let limit = chi_squared_limit(n_cells.saturating_sub(1), self.tolerances.false_alarm / 5.0);
        assert!(
            chi_squared <= limit,
            "frequencies under {sampling:?}: chi-squared {chi_squared} on {n_cells} cells, at most {limit}"
        );
    }

    fn limits_are_kept(&self) {
        let none = self.complete(&self.context, &[51], &plain(0)).remove(0);
        assert!(none.token_ids.is_empty() && none.text.is_empty(), "no room for tokens: {none:?}");
        assert_eq!(none.stop_reason, StopReason::Length, "no room for tokens");
        let fork = |max_new_tokens| Fork {
            n_tokens: self.context.len(),
            suffix: vec![],
            streams: vec![51],
            max_new_tokens,
        };
        let forks = [0, 4, 99].map(|most| fork(Some(most))).to_vec();
        let forked = self.generate(&[GenerateRequest { context: self.context.clone(), forks }], &plain(9));
        let limited = [0, 4, 9].map(|n| self.complete(&self.context, &[51], &plain(n)));
        self.assert_same("a limit of a fork's own", &forked[0], &limited);
        let streams = [51, 52, 53, 54, 55, 56, 57, 58];
        let long = self.complete(&self.context, &streams, &plain(9));
        for n in [1, 4] {
            for (short, long) in self.complete(&self.context, &streams, &plain(n)).iter().zip(&long) {
                assert!(short.token_ids.len() <= n, "at most {n} tokens: {short:?}");
                assert!(
                    long.token_ids.starts_with(&short.token_ids),
                    "a limit only cuts: {short:?}, {long:?}"
                );
                let full = long.token_ids.len() >= n;
                assert_eq!(short.token_ids.len() == n, full, "a limit cuts no more than it must");
                let reason = if full { StopReason::Length } else { StopReason::Stop };
                assert_eq!(short.stop_reason, reason, "a completion of at most {n} tokens: {short:?}");
            }
        }
    }

    fn stop_strings_end_the_text(&self) {
        let streams: Vec<u64> = (61..93).collect();
        let free = self.complete(&self.context, &streams, &plain(24));
        let with_stop = streams.iter().zip(&free).filter_map(|(&s, c)| Some((s, c, part_of(&c.text)?)));
        let mut n_tried = 0;
        for (stream, free, stop) in with_stop.take(3) {
            n_tried += 1;
            let never = "\u{1f9ca}\u{1f9ca}".to_string();
            let sampling = Sampling { stop: vec![never, stop.clone()], ..plain(24) };
            let stopped = self.complete(&self.context, &[stream], &sampling).remove(0);
            let at = free.text.find(&stop).unwrap();
            assert_eq!(stopped.text, free.text[..at], "the text ends before the stop string {stop:?}");
            assert_eq!(stopped.stop_reason, StopReason::Stop, "a stop string ends the completion");
            assert!(free.token_ids.starts_with(&stopped.token_ids), "the tokens are those drawn without it");
            let n = stopped.token_ids.len();
            let lengths = [stopped.token_ends.len(), stopped.logprobs.len(), stopped.sharpness.len()];
            assert_eq!(lengths, [n; 3], "numbers are cut with the tokens");
            let covered = stopped.token_ends.last().copied().unwrap_or(0);
            assert_eq!(covered, at, "the tokens reach to the end of the text");
            let needless = n > 1 && stopped.token_ends[n - 2] >= at;
            assert!(!needless, "no token is kept beyond the text: {stopped:?}");
        }
        assert!(n_tried > 0, "none of {} completions has a text that a stop string could end", free.len());
    }

    fn progress_is_told(&self) {
        let streams: Vec<u64> = (101..105).collect();
        let mut told = 0;
        let requests = [request(&self.context, &streams)];
        let completions = self.model.generate(&requests, &plain(8), &mut |n| {
            told += n;
            true
        });
        let completions = completions.unwrap().remove(0).remove(0);
        let n_tokens: usize = completions.iter().map(|c| c.token_ids.len()).sum();
        // Whether the token that ends a turn counts is left open.
        let in_range = (n_tokens..=n_tokens + completions.len()).contains(&told);
        assert!(in_range, "progress adds up to the tokens generated: told {told} of {n_tokens}");
        if completions.iter().any(|c| c.token_ids.len() > 2) {
            let stopped = self.model.generate(&requests, &plain(8), &mut |_| false);
            assert!(matches!(stopped, Err(Error::Engine(_))), "progress can stop the engine: {stopped:?}");
        }
    }

    fn faulty_requests_fail_alone(&self) {
        let info = self.model.info();
        let unknown = info.vocab_size as TokenId;
        let n = self.context.len();
        let good = request(&self.context, &[1]);
        let with = |n_tokens, suffix: Vec<TokenId>| GenerateRequest {
            context: self.context.clone(),
            forks: vec![
                good.forks[0].clone(),
                Fork { n_tokens, suffix, streams: vec![1], max_new_tokens: None },
            ],
        };
        let alone = self.generate(std::slice::from_ref(&good), &plain(2)).remove(0);
        let refused = |faulty: GenerateRequest| {
            let requests = [good.clone(), faulty, good.clone()];
            let all_or_none = self.model.generate(&requests, &plain(2), &mut |_| true).is_err();
            let each = self.model.generate_each(&requests, &plain(2), &mut Counting(&mut |_| true));
            let [before, faulty, after] = each.unwrap().try_into().unwrap();
            for found in [before, after] {
                let tokens = |found: &RequestCompletions| found[0][0].token_ids.clone();
                assert_eq!(tokens(&found.unwrap()), tokens(&alone), "a request beside a faulty one");
            }
            assert!(all_or_none, "where all are wanted, one fault is one of all");
            faulty.err()
        };
        let found = refused(with(n + 1, vec![]));
        let bad_fork = matches!(found, Some(Error::BadFork { branch: 1, parent: 1, n_tokens, available })
            if (n_tokens, available) == (n + 1, n));
        assert!(bad_fork, "a fork after more tokens than there are: {found:?}");
        let found = refused(with(0, vec![]));
        assert!(matches!(found, Some(Error::EmptyContext)), "nothing to start from: {found:?}");
        let found = refused(with(n, vec![unknown]));
        assert!(matches!(found, Some(Error::UnknownToken { .. })), "an unknown token: {found:?}");
        let found = refused(request(&[self.context[0], unknown], &[1]));
        assert!(matches!(found, Some(Error::UnknownToken { .. })), "an unknown token: {found:?}");
        let limit = info.context_length;
        let found = refused(with(n, random_tokens(limit - n, info.vocab_size, 3)));
        let too_long = matches!(found, Some(Error::ContextTooLong { n_tokens, .. }) if n_tokens == limit + 1);
        assert!(too_long, "no room for a single token: {found:?}");
        assert!(self.generate(&[], &plain(2)).is_empty(), "no requests have no completions");
    }

    fn the_context_may_be_filled(&self) {
        let info = self.model.info();
        if info.context_length > self.tolerances.longest_context {
            return;
        }
        let context = random_tokens(info.context_length - 3, info.vocab_size, 4);
        for completion in self.complete(&context, &[1, 2, 3, 4], &plain(10)) {
            let n = completion.token_ids.len();
            let as_expected = match completion.stop_reason {
                StopReason::Length => n == 3,
                _ => n < 3,
            };
            assert!(as_expected, "with room for three tokens: {completion:?}");
        }
    }
}

/// Wants streams 3 and 4 of the first fork once its second completion has ended, then 6 and 7 of the second.
struct AsksForMore {
    ended: Vec<Place>,
}

impl Watcher for AsksForMore {
    fn progress(&mut self, _: usize) -> bool {
        true
    }

    fn ended(&mut self, place: Place, _: &Completion) -> Vec<More> {
        self.ended.push(place);
        let (fork, streams) = match (place.fork, place.stream) {
            (0, 1) => (0, vec![3, 4]),
            (0, 3) => (1, vec![6, 7]),
            _ => return Vec::new(),
        };
        vec![More { request: 0, fork, streams }]
    }
}

fn request(context: &[TokenId], streams: &[u64]) -> GenerateRequest {
    let fork =
        Fork { n_tokens: context.len(), suffix: vec![], streams: streams.to_vec(), max_new_tokens: None };
    GenerateRequest { context: context.to_vec(), forks: vec![fork] }
}

/// Two neighbouring characters from the later half of a text, both whole.
fn part_of(text: &str) -> Option<String> {
    let characters: Vec<char> = text.chars().collect();
    let later = characters.get(characters.len() / 2..)?;
    later.windows(2).find(|pair| pair.iter().all(|&c| c != '\u{fffd}')).map(|pair| pair.iter().collect())
}

/// The statistic and the number of cells. Outcomes of which fewer than ten are expected make one cell.
fn chi_squared(counts: &[f64], expected: &[f64]) -> (f64, usize) {
    let (mut sum, mut n_cells) = (0.0, 0);
    let (mut rare_count, mut rare_expected) = (0.0, 0.0);
    for (&count, &expected) in counts.iter().zip(expected) {
        if expected < 10.0 {
            rare_count += count;
            rare_expected += expected;
        } else {
            sum += (count - expected).powi(2) / expected;
            n_cells += 1;
        }
    }
    if rare_expected >= 10.0 {
        sum += (rare_count - rare_expected).powi(2) / rare_expected;
        n_cells += 1;
    }
    (sum, n_cells)
}

/// An upper quantile of the chi-squared distribution that is on the safe side: Laurent and Massart 2000, lemma 1,
/// P(X ≥ k + 2√(kx) + 2x) ≤ e^−x.
fn chi_squared_limit(degrees: usize, false_alarm: f64) -> f64 {
    let x = -false_alarm.ln();
    let k = degrees as f64;
    k + 2.0 * (k * x).sqrt() + 2.0 * x
}
