//! The command line: flags become options, options become calls to the other crates.
//!
//! The only crate that prints or exits. In reading order: `args` (every flag), `config_file` (flags from a file), one file per command,
//! `model` and `questions` (what flags name, opened), `progress` (what a person sees while it works), `exit` (exit codes),
//! `fingerprint` (what makes a run the same run).

mod args;
mod compare;
mod config_file;
mod doctor;
mod exit;
mod fingerprint;
mod ls;
mod measure;
mod model;
mod outputs;
mod progress;
mod questions;
mod report;
mod run;
mod score;
mod sprout;
mod template_vars;
mod tokens;
mod train;

use args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use exit::Exit;

fn main() -> std::process::ExitCode {
    let argv: Vec<String> = std::env::args().collect();
    let exit = match parse(argv) {
        Ok(cli) => {
            set_threads(cli.threads);
            dispatch(cli.command)
        }
        Err(exit) => exit,
    };
    exit.report()
}

/// Reads flags, with those of a configuration file put in front of the command line's own.
fn parse(argv: Vec<String>) -> Result<Cli, Exit> {
    let argv = config_file::with_hyphens(argv);
    let argv = config_file::expand(argv, &Cli::command()).map_err(Exit::usage)?;
    let matches = Cli::command().try_get_matches_from(argv).map_err(Exit::of_clap)?;
    Cli::from_arg_matches(&matches).map_err(Exit::of_clap)
}

fn dispatch(command: Command) -> Exit {
    let result = match command {
        Command::Run(args) => run::run(args),
        Command::Score(args) => score::score(args),
        Command::Report(args) => report::report(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Train(args) => train::train(args),
        Command::Tokens(args) => tokens::tokens(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Ls(args) => ls::ls(&args),
    };
    result.unwrap_or_else(Exit::of_error)
}

/// Tells the thread pools how many threads to use.
///
/// candle's own pool, which is for the elements of large tensors, gets none but the caller: trainings run several packs side by side, and
/// threads that wait in turn for one more pool take half of the processor's time.
fn set_threads(threads: Option<usize>) {
    // SAFETY: nothing else runs yet; no other thread can read the environment at this point.
    unsafe {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
        if let Some(threads) = threads {
            std::env::set_var("RAYON_NUM_THREADS", threads.to_string());
        }
    }
}
