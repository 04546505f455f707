//! The book in `docs/book` does what it says: the commands of every page are run, and print what the page shows.
//!
//! A page is run in a folder of its own, block after block, with the program first on the path, and without a network:
//!
//! | block | what is done |
//! |---|---|
//! | `sh` | run by bash; every command of it succeeds |
//! | `console` | each command after `$ ` is run (`> ` continues it) and prints what follows it, where `…` stands for any text |
//! | `json`, `toml` | is read as such; JSON also with a value a line |
//! | `rust` | compiled by rustdoc (`study`) |
//! | `python` | run by `python/tests/test_book.py` |
//! | `…,ignore` | not run: an HTML comment before it says why. The commands and flags of entrace in it exist |
//!
//! Servers and models that pages name are stand-ins: port 8000 is a scripted vLLM, 8080 a scripted llama.cpp server, and
//! `Qwen/Qwen3-0.6B` a tiny model in the cache of the Hub.

mod page;

use crate::servers;
use crate::support::{Scratch, command};
use entrace_remote::scripted::{Behaviour, Server, Speaks};
use page::{Block, Command as Shown};
use std::path::{Path, PathBuf};
use std::process::Command;

const MODEL_OF_PAGES: &str = "Qwen/Qwen3-0.6B";
const SERVERS: [(&str, Speaks); 2] =
    [("http://127.0.0.1:8000/v1", Speaks::Vllm), ("http://127.0.0.1:8080/v1", Speaks::LlamaServer)];

#[test]
fn pages_do_what_they_say() {
    if Command::new("bash").arg("--version").output().is_err() {
        println!("skipped: there is no bash here");
        return;
    }
    let pages = pages();
    assert!(pages.len() > 5, "{pages:?}");
    let faults: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = pages.iter().map(|page| scope.spawn(|| Reader::new().read(page))).collect();
        running.into_iter().flat_map(|page| page.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "\n{}", faults.join("\n\n"));
}

/// The pages of the book, sorted.
fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src");
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages
}

/// Someone who follows a page, with what it takes for granted.
struct Reader {
    scratch: Scratch,
    servers: Vec<(&'static str, Server)>,
}

impl Reader {
    fn new() -> Self {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.path("here")).unwrap();
        Self { scratch, servers: Vec::new() }
    }

    /// What is wrong with a page.
    fn read(mut self, path: &Path) -> Vec<String> {
        let text = page::text(path);
        self.provide(&text);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut faults = Vec::new();
        for block in page::blocks(&text) {
            if let Err(fault) = self.follow(&block) {
                faults.push(format!("{name}:{}: {fault}", block.line));
            }
        }
        faults
    }

    /// Puts the model into the cache and starts the servers that a text names.
    fn provide(&mut self, text: &str) {
        if !text.contains(MODEL_OF_PAGES) {
            return;
        }
        let model = PathBuf::from(self.scratch.model());
        let cached = format!("hub/models--{}", MODEL_OF_PAGES.replace('/', "--"));
        let (revision, cached) = ("0".repeat(40), self.scratch.path(&cached));
        std::fs::create_dir_all(cached.join("refs")).unwrap();
        std::fs::create_dir_all(cached.join("snapshots")).unwrap();
        std::fs::write(cached.join("refs/main"), &revision).unwrap();
        let snapshot = cached.join("snapshots").join(revision);
        std::fs::rename(model, &snapshot).unwrap();
        for (address, speaks) in SERVERS.into_iter().filter(|(address, _)| text.contains(address)) {
            let server = servers::serve(&snapshot.display().to_string(), Behaviour::new(speaks));
            self.servers.push((address, server));
        }
    }

    fn follow(&self, block: &Block) -> Result<(), String> {
        match block.kind.as_str() {
            "sh" if block.ignored => self.flags_exist(block),
            "sh" => self.run(&block.text).map(drop),
            "console" => block.commands().iter().try_for_each(|shown| self.compare(shown)),
            "json" => json(&block.text),
            "toml" => block.text.parse::<toml::Table>().map(drop).map_err(|e| e.to_string()),
            // Compiled by rustdoc, and run by the tests of the Python package.
            "rust" | "python" => Ok(()),
            _ if block.ignored => Ok(()),
            other => Err(format!("nothing runs blocks of {other:?}")),
        }
        .and_then(|()| match block.ignored && !block.comment.contains("Not run: ") {
            true => Err("no comment before it says why it is not run (<!-- Not run: … -->)".to_string()),
            false => Ok(()),
        })
    }

    /// Runs commands, and gives back what they print.
    fn run(&self, script: &str) -> Result<String, String> {
        let mut script = script.to_string();
        for (address, server) in &self.servers {
            script = script.replace(address, &server.url());
        }
        let program = Path::new(env!("CARGO_BIN_EXE_entrace"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(program.parent().unwrap().to_path_buf());
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let output = in_the_same_environment("bash")
            .args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{script}")])
            .current_dir(self.scratch.path("here"))
            .env("PATH", path)
            .env("HF_HUB_CACHE", self.scratch.path("hub"))
            .output()
            .map_err(|e| e.to_string())?;
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        for (address, server) in &self.servers {
            printed = printed.replace(&server.url(), address);
        }
        match output.status.success() {
            true => Ok(printed),
            false => Err(format!("{script}\nfailed with {}:\n{printed}", output.status)),
        }
    }

    fn compare(&self, shown: &Shown) -> Result<(), String> {
        let printed = self.run(&shown.command)?;
        match page::matches(&shown.output, &printed) {
            true => Ok(()),
            false => Err(format!(
                "{}\nprinted:\n{printed}\nThe page shows:\n{}",
                shown.command,
                shown.output.join("\n")
            )),
        }
    }

    /// Whether the help of each command of entrace in a block knows the flags that it is given.
    fn flags_exist(&self, block: &Block) -> Result<(), String> {
        let joined = block.text.replace("\\\n", " ");
        for line in joined.lines() {
            let Some((_, call)) = line.split_once("entrace ").filter(|(before, _)| is_a_call(before)) else {
                continue;
            };
            let name = call.split_whitespace().next().unwrap_or_default();
            let help = self.run(&format!("entrace {name} --help"))?;
            let flags = call.split_whitespace().map_while(|word| (word != "#").then_some(word));
            for flag in flags.filter(|word| word.starts_with("--")) {
                let end = flag.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(flag.len());
                let flag = &flag[..end];
                if !help.contains(&format!("{flag} ")) && !help.contains(&format!("{flag}\n")) {
                    return Err(format!("entrace {name} has no flag {flag}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether `entrace` is called after this text of a line: at its beginning, or after another program that runs it.
fn is_a_call(before: &str) -> bool {
    let before = before.trim_end();
    ["", "srun", "--"].contains(&before) || before.ends_with("--") || before.ends_with('(')
}

/// A command with the environment in which the program is tested.
fn in_the_same_environment(program: &str) -> Command {
    let mut here = Command::new(program);
    for (name, value) in command(&[]).get_envs() {
        match value {
            Some(value) => here.env(name, value),
            None => here.env_remove(name),
        };
    }
    here
}

/// One JSON value, or one on each line.
fn json(text: &str) -> Result<(), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    values.try_for_each(|value| value.map(drop)).map_err(|e| e.to_string())
}
