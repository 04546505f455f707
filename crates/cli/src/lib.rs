//! The command line: what flags come to is carried out by `study` and the crates below it, and printed.
//!
//! The only crate that prints or exits: [`main`] is the program, and [`command`] its flags for whoever makes something of them. Another program
//! that takes the same flags uses [`embed`], which does neither.
//!
//! In reading order: one file per command, `sitting` (what `run` and `score` share) with `measured` (what they come to), `front` (the program
//! around a command), `console` (the terminal as such a program), `sprout` (the model that comes with it), `progress` and `download` (what a
//! person sees while it works), `failure` (the parts of an error), `exit` (exit codes), `terminal` (how text of strangers is printed), `fault`
//! (what a panic becomes). The flags are a crate of their own, `entrace_flags`.

mod compare;
mod completions;
mod console;
mod decide;
mod doctor;
mod download;
pub mod embed;
mod exit;
mod failure;
mod fault;
mod front;
mod intervene;
mod ls;
mod man;
mod measured;
mod merge;
mod progress;
mod report;
mod rewards;
mod run;
mod score;
mod sitting;
pub mod sprout;
mod terminal;
mod tokens;
mod train;
mod view;

use console::Terminal;
use entrace_flags::Command;
use exit::Exit;
use failure::Failure;
pub use front::Front;
use std::ffi::OsString;

/// The program: reads the command line of this process, carries it out, and says how that ended.
pub fn main() -> std::process::ExitCode {
    program(std::env::args_os()).into()
}

/// The program with this command line, whose first argument is the program's name; returns its exit code.
pub fn program(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = as_text(arguments).and_then(|argv| entrace_flags::parse(argv).map_err(Exit::of_unparsed));
    let exit = match parsed.and_then(|cli| set_threads(cli.threads).map(|()| cli.command)) {
        Ok(command) => fault::guarded(|| dispatch(command))
            .unwrap_or_else(|message| Exit::of_failure(&Failure::of_fault(message))),
        Err(exit) => exit,
    };
    exit.report()
}

/// Every command with its flags and their help.
pub fn command() -> clap::Command {
    entrace_flags::command()
}

/// The command line as text.
fn as_text(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Exit> {
    let text = |(i, argument): (usize, OsString)| {
        argument.into_string().map_err(|bytes| {
            let shown = bytes.to_string_lossy().into_owned();
            Exit::of_failure(&Failure::of_usage(format!("argument {i} is not UTF-8 text: {shown:?}")))
        })
    };
    arguments.into_iter().enumerate().map(text).collect()
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
        return Err(Exit::of_failure(&Failure::of_usage(problem)));
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
