//! What a manifest says of how a run was measured.
//!
//! Every field of a [`Measurement`] is taken apart here, so that one that is added later cannot be forgotten in the record.

use crate::METHOD;
use crate::plan::{Measurement, Rollouts};
use entrace_backend::{ModelInfo, Sampling, Text};
use entrace_record::manifest::{
    ModelRecord, RolloutRecord, SamplingRecord, Settings, TaskRecord, TraceSource,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is measured, for the record.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The tasks, in order.
    pub tasks: Vec<TaskRecord>,
    /// How traces come to be.
    pub traces: TraceSource,
    /// Revision of a Hub repository that the model came from.
    pub revision: Option<String>,
    /// Variables that the chat template was given.
    pub template_vars: BTreeMap<String, Value>,
}

impl Measurement {
    /// The settings of a run of a model: everything that its results depend on.
    pub fn settings(&self, text: &dyn Text, measured: Measured) -> Settings {
        let Self {
            estimator: _, // Of each task, in its record.
            cue,
            more_cues,
            choice_form,
            samples,
            epsilon,
            max_nodes,
            max_answer_tokens,
            segmentation,
            max_steps,
            controls,
            control_depths,
            control_nodes,
            rollouts,
            signals,
            stopping,
            traces: _, // In `TraceSource`.
            seed,
            batch_size,
        } = self;
        Settings {
            model: model_record(text.info(), measured.revision),
            tasks: measured.tasks,
            traces: measured.traces,
            segment: segmentation.name(),
            max_steps: *max_steps,
            cue: cue.clone(),
            more_cues: more_cues.clone(),
            thought_close: text.thoughts().template_closing().map(str::to_string),
            template_vars: measured.template_vars,
            choice_form: choice_form.name().to_string(),
            samples: *samples,
            enumerate_epsilon: *epsilon,
            enumerate_nodes: *max_nodes,
            max_answer_tokens: Some(*max_answer_tokens),
            controls: controls.iter().map(|control| control.name().to_string()).collect(),
            control_depths: control_depths.clone(),
            control_nodes: Some(*control_nodes),
            rollouts: rollouts.map(|rollouts| self.rollout_record(rollouts)),
            stopping: stopping.as_ref().map(|stopping| stopping.record.clone()),
            signals: signals.iter().map(|group| group.name().to_string()).collect(),
            seed: *seed,
            batch_size: *batch_size,
            method: METHOD,
        }
    }

    fn rollout_record(&self, rollouts: Rollouts) -> RolloutRecord {
        RolloutRecord {
            n_questions: Some(rollouts.n_questions).filter(|&n| n < usize::MAX),
            draws: rollouts.draws,
            sampling: sampling_record(&self.rollout_sampling()),
        }
    }
}

/// How completions are sampled, for the record.
pub fn sampling_record(sampling: &Sampling) -> SamplingRecord {
    let Sampling { temperature, top_p, top_k, max_new_tokens, stop } = sampling;
    SamplingRecord {
        temperature: *temperature,
        top_p: *top_p,
        top_k: *top_k,
        max_new_tokens: *max_new_tokens,
        stop: stop.clone(),
    }
}

/// What identifies a model, for the record.
pub fn model_record(info: &ModelInfo, revision: Option<String>) -> ModelRecord {
    ModelRecord {
        name: info.name.clone(),
        revision,
        architecture: info.architecture.clone(),
        n_parameters: info.n_parameters,
        dtype: info.dtype.clone(),
        device: info.device.clone(),
        context_length: info.context_length,
        model_hash: info.model_hash.clone(),
        tokenizer_hash: info.tokenizer_hash.clone(),
        template_hash: info.template_hash.clone(),
    }
}
