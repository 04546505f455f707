//! A channel as text, models that learn it, and the law that a model believes in.

use entrace_text::tokenizer::Tokenizer;
use entrace_train::{
    AdamW, Checkpoints, Decay, Event, ExportType, FitData, FitOptions, Flow, Model, ModelSize, Outcome,
    Output, Schedule, Sequence, TextFiles, Vocabulary, fit, logprobs,
};
use entrace_worlds::channel::{Channel, Episode, ModelLaw, Options};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most positions of a model; an episode of four steps has nine tokens.
const CONTEXT: usize = 32;

/// A channel with a tokenizer in which every token of the channel is one token, except that `<bos>q2` are three.
pub(crate) struct World {
    pub(crate) channel: Channel,
    vocabulary: Vocabulary,
    texts: TextFiles,
    /// By the channel's token.
    token_ids: Vec<Vec<u32>>,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let channel = Channel::new(options).unwrap();
        let tokens = channel.tokens();
        let (questions, others) = tokens.split_at(options.n_questions);
        let vocabulary = Vocabulary::new(others.iter().cloned()).unwrap();
        let texts = vocabulary.files(CONTEXT);
        let folder = tempfile::tempdir().unwrap();
        texts.write(folder.path()).unwrap();
        let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
        let questions = questions.iter().map(|token| tokenizer.encode_prompt(token).unwrap());
        let others = others.iter().map(|token| tokenizer.encode_plain(token).unwrap());
        let world = Self { token_ids: questions.chain(others).collect(), channel, vocabulary, texts };
        for (episode, _) in world.channel.episodes() {
            let text = world.channel.text(&episode);
            assert_eq!(world.sequence(&episode).token_ids(), tokenizer.encode_prompt(&text).unwrap());
        }
        world
    }

    /// An episode of which all is learnt but the question.
    fn sequence(&self, episode: &Episode) -> Sequence {
        let ids = self.channel.token_ids(episode);
        let n_given = self.token_ids[ids[0]].len();
        let token_ids = ids.iter().flat_map(|&id| &self.token_ids[id]).copied().collect();
        Sequence::new(token_ids, n_given).unwrap()
    }

    /// The model's next-token probabilities on every context of the channel, read along all episodes, as a law.
    pub(crate) fn law(&self, model: &Model) -> ModelLaw {
        let contexts: BTreeMap<Vec<usize>, usize> = self.channel.contexts().into_iter().zip(0..).collect();
        let mut next = vec![vec![0.0; self.token_ids.len()]; contexts.len()];
        let episodes: Vec<Episode> =
            self.channel.episodes().into_iter().map(|(episode, _)| episode).collect();
        let sequences: Vec<Sequence> = episodes.iter().map(|episode| self.sequence(episode)).collect();
        for (episode, logprobs) in episodes.iter().zip(logprobs(model, &sequences).unwrap()) {
            let ids = self.channel.token_ids(episode);
            for (n, logprob) in (1..).zip(logprobs) {
                if let Some(&row) = contexts.get(&ids[..n]) {
                    next[row][ids[n]] = logprob.exp();
                }
            }
        }
        self.channel.model_law(&next).unwrap()
    }
}

/// How a model learns a channel by maximum likelihood, from how many episodes.
pub(crate) struct Lesson {
    /// E, with two layers of four heads.
    pub(crate) hidden_size: usize,
    pub(crate) n_episodes: u64,
    pub(crate) batch_tokens: usize,
    /// Of weights, episodes and their order.
    pub(crate) seed: u64,
    /// Updates at which there is a checkpoint; the last one is the end.
    pub(crate) checkpoints: Vec<u64>,
}

impl Lesson {
    /// Teaches a model, shows it at every checkpoint, and says where the last one is.
    pub(crate) fn teach(&self, world: &World, folder: &Path, look: &mut dyn FnMut(u64, &Model)) -> PathBuf {
        let size = ModelSize {
            hidden_size: self.hidden_size,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 4,
            intermediate_size: 2 * self.hidden_size,
            max_position_embeddings: CONTEXT,
            rope_theta: 100.0,
            tie_word_embeddings: false,
        };
        let model = Model::from_scratch(size.config(&world.vocabulary.ids()), self.seed).unwrap();
        let episodes = (0..self.n_episodes).map(|index| world.channel.sample(self.seed, index));
        let episodes: Vec<Sequence> = episodes.map(|episode| world.sequence(&episode)).collect();
        let options = FitOptions {
            steps: *self.checkpoints.last().unwrap(),
            batch_tokens: self.batch_tokens,
            shards: 2,
            seed: self.seed,
            optimizer: AdamW { beta2: 0.99, weight_decay: 0.0, ..AdamW::default() },
            schedule: Schedule { peak: 3e-3, warmup_steps: 20, decay: Decay::Cosine(0.01) },
            evaluate_every: None,
            ..FitOptions::default()
        };
        let output = Output {
            folder: folder.to_path_buf(),
            texts: world.texts.clone(),
            checkpoints: Checkpoints { at: self.checkpoints.clone(), ..Checkpoints::default() },
            export: ExportType::F32,
            resumable: false,
        };
        let data = FitData { train: &episodes, held_out: &[] };
        let outcome = fit(&model, data, &options, &output, None, &mut |event| {
            if let Event::Saved { step, .. } = event {
                look(*step, &model);
            }
            Flow::Continue
        });
        let Outcome::Finished(ending) = outcome.unwrap() else { panic!("training did not end well") };
        ending.checkpoint
    }
}
