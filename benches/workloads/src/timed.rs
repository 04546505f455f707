//! A model that keeps the time of what it is asked.
//!
//! Everything that a run spends on passes, draws and readings of layers happens inside of these calls; what is left of the run's time is
//! entrace's own: text, statistics, files.

use entrace_backend::{
    Branch, BranchId, BranchScore, ChatMessage, Decoded, Each, Error, Generate, GenerateRequest,
    LayerRequest, LayerScores, ModelInfo, Prompt, Reach, ReadLayers, Sampled, Sampling, SamplingSession,
    ScoreTree, Stem, Text, TreeSession, Watcher, generate::RequestCompletions,
};
use entrace_decoder::LanguageModel;
use entrace_measure::{Thoughts, TokenId};
use entrace_study::OwnEngine;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time that was spent in a model, for whoever looks on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    /// All time so far.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        self.0.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        done
    }
}

/// A model with a clock.
pub(crate) struct Timed {
    pub(crate) model: Arc<LanguageModel>,
    pub(crate) clock: Clock,
}

impl OwnEngine for Timed {
    fn as_text(&self) -> &dyn Text {
        self
    }

    fn generator(&self) -> Option<&dyn Generate> {
        Some(self)
    }

    fn scorer(&self) -> Option<&dyn ScoreTree> {
        Some(self)
    }

    fn layers(&self) -> Option<&dyn ReadLayers> {
        Some(self)
    }
}

impl Generate for Timed {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions> {
        self.clock.time(|| self.model.generate_each(requests, sampling, watcher))
    }
}

impl ReadLayers for Timed {
    fn read_layers(&self, token_ids: &[TokenId], request: &LayerRequest) -> Result<LayerScores, Error> {
        self.clock.time(|| self.model.read_layers(token_ids, request))
    }
}

impl ScoreTree for Timed {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        Ok(Box::new(Session { own: self.model.session()?, clock: &self.clock }))
    }

    fn sampling_session(&self) -> Result<Option<Box<dyn SamplingSession + '_>>, Error> {
        let session = |own| Box::new(Session { own, clock: &self.clock }) as Box<dyn SamplingSession + '_>;
        Ok(self.model.sampling_session()?.map(session))
    }

    fn reach(&self) -> Reach {
        self.model.reach()
    }

    fn holds(&self) -> usize {
        self.model.holds()
    }
}

/// A session with a clock.
struct Session<'a, S: ?Sized> {
    own: Box<S>,
    clock: &'a Clock,
}

impl<S: TreeSession + ?Sized> TreeSession for Session<'_, S> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        self.clock.time(|| self.own.extend_each(branches))
    }

    fn truncate(&mut self, n_branches: usize) {
        self.own.truncate(n_branches);
    }

    fn n_branches(&self) -> usize {
        self.own.n_branches()
    }
}

impl<S: SamplingSession + ?Sized> SamplingSession for Session<'_, S> {
    fn sample(
        &mut self,
        stems: &[Stem],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Vec<Sampled>> {
        self.clock.time(|| self.own.sample(stems, sampling, watcher))
    }

    fn resume(
        &mut self,
        paused: &[BranchId],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Sampled> {
        self.clock.time(|| self.own.resume(paused, sampling, watcher))
    }
}

impl Text for Timed {
    fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        self.model.encode_prompt(text)
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.model.encode_plain(text)
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.model.encode_completion(text)
    }

    fn thoughts(&self) -> &Thoughts {
        self.model.thoughts()
    }

    fn has_chat_template(&self) -> bool {
        self.model.has_chat_template()
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        self.model.render_chat(messages)
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        self.model.decode(token_ids)
    }

    fn token_text(&self, token: TokenId) -> String {
        self.model.token_text(token)
    }

    fn max_token_bytes(&self) -> Option<usize> {
        self.model.max_token_bytes()
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.model.stop_tokens()
    }
}
