//! What `run` and `score` share: how a study is carried out, beside what is measured.

use crate::front::Front;
use crate::measured::Measured;
use anyhow::Result;
use entrace_flags::MeasureArgs;
use entrace_run::{Event, Observer};
use entrace_study::{
    Ending, Host, Measurement, Model, ModelOptions, Place, Share, Study, template_variables, usual_rollouts,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a study is carried out, beside what is measured.
pub(crate) struct Sitting<'f> {
    front: &'f dyn Front,
    template_vars: BTreeMap<String, Value>,
    /// Whether a flag says how many rollouts there are; else it is up to the size of the model.
    has_own_rollouts: bool,
    /// The run folder.
    pub(crate) folder: Option<PathBuf>,
    overwrite: bool,
    share: Option<Share>,
    quiet: bool,
}

impl<'f> Sitting<'f> {
    /// All of a study, in the folder that it gives the name.
    pub(crate) fn new(front: &'f dyn Front) -> Self {
        Self {
            front,
            template_vars: BTreeMap::new(),
            has_own_rollouts: false,
            folder: None,
            overwrite: false,
            share: None,
            quiet: false,
        }
    }

    pub(crate) fn of(args: &MeasureArgs, front: &'f dyn Front) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        Ok(Self {
            front,
            template_vars: template_variables(&args.template_vars)?,
            has_own_rollouts: args.rollouts.is_some(),
            folder: args.output_path.clone(),
            overwrite: args.overwrite,
            share: args.shard.as_deref().map(|text| Share::parse(text, variable)).transpose()?,
            quiet: args.quiet,
        })
    }

    /// The program around it.
    pub(crate) fn host(&self) -> Box<dyn Host + 'f> {
        self.front.host(self.quiet)
    }

    /// Opens the model and settles what depends on it.
    pub(crate) fn open(&self, options: &ModelOptions, how: &mut Measurement) -> Result<Model> {
        let host = self.host();
        let mut model = Model::open(options, &*host)?;
        for name in model.set_template_variables(&self.template_vars)? {
            host.note(&format!("--template-vars: the chat template reads no variable {name}"));
        }
        if !self.has_own_rollouts && how.stopping.is_none() {
            how.rollouts = usual_rollouts(how.estimator, model.info());
        }
        Ok(model)
    }

    /// Watches the measurement of this model.
    pub(crate) fn observer(&self, model: &Model) -> Box<dyn Observer + 'f> {
        self.front.observer(self.quiet, model)
    }

    /// Measures.
    pub(crate) fn measure(self, study: Study<'_>, mut observer: Box<dyn Observer + 'f>) -> Result<Measured> {
        study.notes().iter().for_each(|note| observer.event(Event::Warning(note)));
        let host = self.host();
        let place = Place {
            folder: self.folder.unwrap_or_else(|| study.default_folder()),
            overwrite: self.overwrite,
            share: self.share,
            command: self.front.command_line(),
        };
        let measured = study.measure(&place, &mut *observer);
        drop(observer);
        let mut recorded = measured?;
        let folder = recorded.dir().to_path_buf();
        let dir = folder.display();
        match recorded.ending {
            Ending::Shard => {
                host.note(&format!("{dir} is complete; `entrace merge` puts all shards together"));
                return Ok(Measured::new(folder, None, self.quiet));
            }
            Ending::WasComplete => {
                host.note(&format!("{dir} is complete already; making its outputs again"));
            }
            Ending::Measured => {}
        }
        let report = Some(recorded.write_outputs()?);
        Ok(Measured::new(folder, report, self.quiet))
    }
}
