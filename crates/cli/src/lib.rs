//! The command line: flags become options, options become calls to `study` and the crates below it.
//!
//! The only crate that prints or exits: [`main`] is the program, and [`command`] its flags for whoever makes something of them. Another program
//! that takes the same flags uses [`embed`], which does neither.
//!
//! In reading order: `args` (every flag), `config_file` (flags from a file), one file per command, `measure` (what `run` and `score` share),
//! `front` (the program around a command), `console` (the terminal as such a program), `sprout` (the model that comes with it), `progress` and
//! `download` (what a person sees while it works), `exit` (exit codes), `failure` (the parts of an error),
//! `hint` (which flags help), `terminal` (how text of strangers is
//! printed), `fault` (what a panic becomes).

mod args;
mod compare;
mod completions;
mod config_file;
mod console;
mod decide;
mod doctor;
mod download;
pub mod embed;
mod exit;
mod failure;
mod fault;
mod front;
mod hint;
mod intervene;
mod ls;
mod man;
mod measure;
mod merge;
mod progress;
mod report;
mod rewards;
mod run;
mod score;
pub mod sprout;
mod stopping;
mod terminal;
mod tokens;
mod train;
mod view;

use args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use console::Terminal;
use exit::{Exit, SetUp, Unparsed};
pub use front::Front;
use std::ffi::OsString;

/// The program: reads the command line of this process, carries it out, and says how that ended.
pub fn main() -> std::process::ExitCode {
    program(std::env::args_os()).into()
}

/// The program with this command line, whose first argument is the program's name; returns its exit code.
pub fn program(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = as_text(arguments).and_then(|argv| parse(argv).map_err(Exit::of_unparsed));
    let exit = match parsed.and_then(|cli| set_threads(cli.threads).map(|()| cli.command)) {
        Ok(command) => fault::guarded(|| dispatch(command)).unwrap_or_else(Exit::fault),
        Err(exit) => exit,
    };
    exit.report()
}

/// Every command with its flags and their help.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The command line as text.
fn as_text(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Exit> {
    let text = |(i, argument): (usize, OsString)| {
        argument.into_string().map_err(|bytes| {
            let shown = bytes.to_string_lossy().into_owned();
            Exit::usage(SetUp(format!("argument {i} is not UTF-8 text: {shown:?}")).into())
        })
    };
    arguments.into_iter().enumerate().map(text).collect()
}

/// Reads flags, with those of a configuration file put in front of the command line's own.
fn parse(argv: Vec<String>) -> Result<Cli, Unparsed> {
    let argv = config_file::with_hyphens(argv);
    let argv = config_file::expand(argv, &Cli::command())?;
    let matches = Cli::command().try_get_matches_from(argv)?;
    Ok(Cli::from_arg_matches(&matches)?)
}

fn dispatch(command: Command) -> Exit {
    let result = match command {
        Command::Run(args) => run::run(args, &Terminal).and_then(|measured| measured.show()),
        Command::Score(args) => score::score(args, &Terminal).and_then(|measured| measured.show()),
        Command::Report(args) => report::report(&args),
        Command::View(args) => view::view(&args),
        Command::Compare(args) => compare::compare(&args, &Terminal).and_then(|compared| compared.show()),
        Command::Intervene(args) => intervene::intervene(args),
        Command::Decide(args) => decide::decide(&args),
        Command::Rewards(args) => rewards::write(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::Train(args) => train::train(args),
        Command::Tokens(args) => tokens::tokens(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Ls(args) => ls::ls(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => man::man(&args),
    };
    result.unwrap_or_else(Exit::of_error)
}

/// Tells the thread pools how many threads to use.
///
/// candle's own pool, which is for the elements of large tensors, gets none but the caller: trainings run several packs side by side, and
/// threads that wait in turn for one more pool take half of the processor's time.
fn set_threads(threads: Option<usize>) -> Result<(), Exit> {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = 8 * n_cores.max(8);
    let from_environment =
        || Some(("RAYON_NUM_THREADS", std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok()?));
    let asked = threads.map(|threads| ("--threads", threads)).or_else(from_environment);
    if let Some((name, threads)) = asked.filter(|&(_, threads)| threads > most) {
        let problem = format!("{name} {threads}: at most {most} on this machine, which has {n_cores} cores");
        return Err(Exit::usage(SetUp(problem).into()));
    }
    // SAFETY: nothing else runs yet; no other thread can read the environment at this point.
    unsafe {
        std::env::set_var("CANDLE_NUM_THREADS", "1");
        if let Some(threads) = threads {
            std::env::set_var("RAYON_NUM_THREADS", threads.to_string());
        }
    }
    Ok(())
}
