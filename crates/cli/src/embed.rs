//! Commands inside another program: the same flags, defaults and checks, without printing or exiting.
//!
//! A command line is parsed ([`Asked::parse`]) and carried out with a [`Front`] of the caller's, which sees notes and progress and may stop the
//! work. What comes of it is the run folder with its report ([`Done`]), or a [`Failure`] with its parts.

use crate::front::Front;
use crate::{compare, fault, run, score};
use entrace_flags::{Command, MAX_NEW_TOKENS, SetUp};
use entrace_study::{Measurement, ModelOptions};

pub use crate::compare::Compared;
pub use crate::failure::{Failure, Origin};
pub use crate::measured::Measured;

/// A command that is asked for.
pub struct Asked {
    command: Command,
    threads: Option<usize>,
}

/// What a command comes to.
pub enum Done {
    /// `run` or `score`.
    Measured(Box<Measured>),
    /// `compare`.
    Compared(Box<Compared>),
}

impl Asked {
    /// Reads a command line, whose first argument is the program's name. Of commands it takes `run`, `score` and `compare`.
    ///
    /// # Errors
    /// What is wrong with a flag or its value.
    pub fn parse(argv: Vec<String>) -> Result<Self, Failure> {
        let cli = entrace_flags::parse(argv).map_err(|unparsed| Failure::of_unparsed(&unparsed))?;
        Ok(Self { command: cli.command, threads: cli.threads })
    }

    /// The model that the flags of `run` or `score` name.
    ///
    /// # Errors
    /// Of another command.
    pub fn model(&self) -> Result<ModelOptions, Failure> {
        match &self.command {
            Command::Run(args) => Ok(args.model.options()),
            Command::Score(args) => Ok(args.model.options()),
            _ => Err(no_measurement()),
        }
    }

    /// How the flags of `run` or `score` measure.
    ///
    /// # Errors
    /// What is wrong with a value.
    pub fn measurement(&self) -> Result<Measurement, Failure> {
        let args = match &self.command {
            Command::Run(args) => &args.measure,
            Command::Score(args) => &args.measure,
            _ => return Err(no_measurement()),
        };
        args.measurement(MAX_NEW_TOKENS).map_err(Failure::of_study)
    }

    /// Carries it out on this thread, and on as many others as are asked for.
    ///
    /// # Errors
    /// What ended it. What was measured before is kept, and the same command resumes there.
    pub fn carry_out(self, front: &dyn Front) -> Result<Done, Failure> {
        let Self { command, threads } = self;
        let work = || {
            let done = fault::guarded(|| match command {
                Command::Run(args) => {
                    run::run(args, front).map(|measured| Done::Measured(Box::new(measured)))
                }
                Command::Score(args) => {
                    score::score(args, front).map(|measured| Done::Measured(Box::new(measured)))
                }
                Command::Compare(args) => {
                    compare::compare(&args, front).map(|compared| Done::Compared(Box::new(compared)))
                }
                _ => Err(SetUp("expected run, score or compare".into()).into()),
            });
            done.map_err(Failure::of_fault)?.map_err(|error| Failure::of_error(&error))
        };
        match threads.filter(|&threads| threads > 0) {
            None => work(),
            Some(threads) => {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.map_err(|error| Failure::of_fault(error.to_string()))?.install(work)
            }
        }
    }
}

fn no_measurement() -> Failure {
    Failure::of_usage("expected run or score".to_string())
}
