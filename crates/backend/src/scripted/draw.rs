//! Completions drawn by the definition: the script is asked at every token, and each completion draws from its own stream, one uniform
//! number a token.

use super::tree::{Path, Session};
use super::{Scripted, sampler, sharpness_of};
use crate::{
    BranchId, Completion, Decoded, Each, Error, More, Parent, Place, Sampled, Sampling, SamplingSession,
    Sharpness, Stem, Text, TreeSession, Watcher,
};
use entrace_measure::{StopReason, TokenId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A completion in progress.
pub(super) struct Drawing {
    /// Tokens up to the newest one.
    path: Vec<TokenId>,
    /// Those before the completion.
    n_before: usize,
    /// Tokens of the completion that are branches already.
    n_planted: usize,
    limit: usize,
    keep: bool,
    rng: ChaCha8Rng,
    logprobs: Vec<Option<f64>>,
    sharpness: Vec<Sharpness>,
}

/// How far a completion has come.
enum Came {
    Paused,
    Ended { stop_reason: StopReason, cut: Option<usize> },
}

impl Drawing {
    fn new(path: Vec<TokenId>, seed: u64, limit: usize, keep: bool) -> Self {
        Self {
            n_before: path.len(),
            path,
            n_planted: 0,
            limit,
            keep,
            rng: ChaCha8Rng::seed_from_u64(seed),
            logprobs: Vec::new(),
            sharpness: Vec::new(),
        }
    }

    fn drawn(&self) -> &[TokenId] {
        &self.path[self.n_before..]
    }

    /// Draws until the completion ends or is paused.
    fn draw(
        &mut self,
        model: &Scripted,
        place: Place,
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Result<Came, Error> {
        let ended = |stop_reason, cut| Ok(Came::Ended { stop_reason, cut });
        while self.drawn().len() < self.limit && self.path.len() < model.info.context_length {
            let probs = model.distribution(&self.path)?;
            let token = sampler::draw(&probs, sampling, self.rng.random());
            if model.stop_tokens.contains(&token) {
                return ended(StopReason::Stop, None);
            }
            self.path.push(token);
            self.logprobs.push(Some(probs[token as usize].ln()));
            self.sharpness.push(sharpness_of(&probs));
            if !watcher.progress(1) {
                return Err(Error::engine("interrupted"));
            }
            let cut = first_stop(&model.decode(self.drawn()).text, &sampling.stop);
            if cut.is_some() {
                return ended(StopReason::Stop, cut);
            }
            let is_full = self.drawn().len() >= self.limit || self.path.len() >= model.info.context_length;
            if !is_full && watcher.pauses(place, self.drawn()) {
                return Ok(Came::Paused);
            }
        }
        ended(StopReason::Length, None)
    }

    fn completion(&self, model: &Scripted, stop_reason: StopReason, cut: Option<usize>) -> Completion {
        let token_ids = self.drawn().to_vec();
        let Decoded { text, token_ends } = model.decode(&token_ids);
        let (logprobs, sharpness) = (self.logprobs.clone(), self.sharpness.clone());
        let completion = Completion { token_ids, text, token_ends, logprobs, sharpness, stop_reason };
        match cut {
            Some(at) => cut_text(completion, at),
            None => completion,
        }
    }
}

impl SamplingSession for Session<'_> {
    fn sample(
        &mut self,
        stems: &[Stem],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Vec<Sampled>> {
        let n_branches = self.n_branches();
        let paths: Vec<Result<Vec<TokenId>, Error>> =
            stems.iter().enumerate().map(|(index, stem)| self.origin(index, stem.from)).collect();
        let mut waiting: Vec<(usize, u64)> = Vec::new();
        for (index, stem) in stems.iter().enumerate() {
            waiting.extend(stem.streams.iter().map(|&stream| (index, stream)));
        }
        let begun = |path: &Result<_, Error>| path.as_ref().map(|_| Vec::new()).map_err(Error::clone);
        let mut sampled: Vec<Result<Vec<Sampled>, Error>> = paths.iter().map(begun).collect();
        let mut next = 0;
        while let Some(&(index, stream)) = waiting.get(next) {
            next += 1;
            let (Ok(path), Ok(known)) = (&paths[index], &mut sampled[index]) else { continue };
            let place = Place { request: index, fork: 0, stream: known.len() };
            let most = stems[index].max_new_tokens.unwrap_or(usize::MAX).min(sampling.max_new_tokens);
            let drawing = Drawing::new(path.clone(), stream, most, stems[index].keep);
            match self.draw_on(drawing, place, sampling, watcher) {
                Ok((drawn, more)) => {
                    known.push(drawn);
                    let more = more.into_iter().filter(|more| more.request < stems.len());
                    waiting.extend(
                        more.flat_map(|more| {
                            more.streams.into_iter().map(move |stream| (more.request, stream))
                        }),
                    );
                }
                Err(error) if error.is_about_the_item() => sampled[index] = Err(error),
                Err(error) => {
                    self.truncate(n_branches);
                    return Err(error);
                }
            }
        }
        Ok(sampled)
    }

    fn resume(
        &mut self,
        paused: &[BranchId],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Sampled> {
        let n_branches = self.n_branches();
        let drawings: Vec<Option<Drawing>> = paused.iter().map(|id| self.paused.remove(id)).collect();
        let mut resumed = Vec::with_capacity(paused.len());
        for (index, drawing) in drawings.into_iter().enumerate() {
            let place = Place { request: index, fork: 0, stream: 0 };
            let drawing = drawing.ok_or(Error::NotPaused { branch: paused[index].0 });
            let drawn = drawing.and_then(|drawing| self.draw_on(drawing, place, sampling, watcher));
            match drawn.map(|(drawn, _)| drawn) {
                Err(error) if !error.is_about_the_item() => {
                    self.truncate(n_branches);
                    return Err(error);
                }
                drawn => resumed.push(drawn),
            }
        }
        Ok(resumed)
    }
}

impl Session<'_> {
    /// All tokens up to the place of a stem, if they leave room for another one.
    fn origin(&self, index: usize, from: Parent) -> Result<Vec<TokenId>, Error> {
        let path = self.path_of(index, Some(from), &[])?;
        let limit = self.model.info.context_length;
        if path.len() >= limit {
            return Err(Error::ContextTooLong { n_tokens: path.len() + 1, limit });
        }
        Ok(path)
    }

    /// Draws on, and makes a branch of it where that is wanted.
    fn draw_on(
        &mut self,
        mut drawing: Drawing,
        place: Place,
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Result<(Sampled, Vec<More>), Error> {
        let came = drawing.draw(self.model, place, sampling, watcher)?;
        let id = BranchId(self.n_branches());
        match came {
            Came::Paused => {
                let completion = drawing.completion(self.model, StopReason::Length, None);
                let n_own = drawing.drawn().len() - drawing.n_planted;
                self.add(Path { tokens: drawing.path.clone(), n_own });
                drawing.n_planted = drawing.drawn().len();
                drawing.keep = true;
                self.paused.insert(id, drawing);
                Ok((Sampled { completion, branch: Some(id), is_paused: true }, Vec::new()))
            }
            Came::Ended { stop_reason, cut } => {
                let completion = drawing.completion(self.model, stop_reason, cut);
                let more = watcher.ended(place, &completion);
                if drawing.keep {
                    let n_own = completion.token_ids.len().saturating_sub(drawing.n_planted);
                    drawing.path.truncate(drawing.n_before + drawing.n_planted + n_own);
                    self.add(Path { tokens: drawing.path, n_own });
                }
                let branch = drawing.keep.then_some(id);
                Ok((Sampled { completion, branch, is_paused: false }, more))
            }
        }
    }
}

/// Where the first stop string begins.
fn first_stop(text: &str, stop: &[String]) -> Option<usize> {
    stop.iter().filter_map(|stop| text.find(stop.as_str())).min()
}

/// Ends the text at `at`; the token in which that lies is kept.
fn cut_text(mut completion: Completion, at: usize) -> Completion {
    let within = completion.token_ends.iter().filter(|&&end| end < at).count();
    let n_tokens = if at == 0 { 0 } else { within + 1 };
    completion.text.truncate(at);
    completion.token_ends.truncate(n_tokens);
    completion.token_ends.iter_mut().for_each(|end| *end = (*end).min(at));
    completion.token_ids.truncate(n_tokens);
    completion.logprobs.truncate(n_tokens);
    completion.sharpness.truncate(n_tokens);
    completion
}
