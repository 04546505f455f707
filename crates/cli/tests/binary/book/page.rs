//! A page of the book, as far as its blocks go: their kinds, their commands, and whether what was printed is what they show.

use std::path::Path;

/// A fenced block of a page.
pub(crate) struct Block {
    /// The line that opens it, from 1.
    pub(crate) line: usize,
    /// `sh`, `console` and so on.
    pub(crate) kind: String,
    /// Whether it is marked `ignore`.
    pub(crate) ignored: bool,
    /// The HTML comment on the line before it, or nothing.
    pub(crate) comment: String,
    pub(crate) text: String,
}

/// A command and what a page shows of its output.
pub(crate) struct Command {
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
}

/// The text of a page with its `{{#include FILE}}` lines carried out, as mdBook does.
pub(crate) fn text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| match line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}")) {
        Some(included) => std::fs::read_to_string(path.parent().unwrap().join(included)).unwrap(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The fenced blocks of a page. Code that is only indented would be run by nobody, and fails the test.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut before = "";
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        match (inside, line.strip_prefix("```")) {
            (false, Some(info)) => {
                let mut words = info.split(',');
                let kind = words.next().unwrap_or_default().to_string();
                let ignored = words.any(|word| word == "ignore");
                let comment = if before.starts_with("<!--") { before.to_string() } else { String::new() };
                blocks.push(Block { line: number + 1, kind, ignored, comment, text: String::new() });
                inside = true;
            }
            (true, Some(_)) => inside = false,
            (true, None) => blocks.last_mut().unwrap().text += &format!("{line}\n"),
            (false, None) => {
                assert!(!line.starts_with("    "), "line {}: a block without a fence", number + 1)
            }
        }
        before = line;
    }
    assert!(!inside, "the last block is not closed");
    blocks
}

impl Block {
    /// The commands of a `console` block.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for line in self.text.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                commands.push(Command { command: command.to_string(), output: Vec::new() });
                continue;
            }
            let last = commands.last_mut().expect("a console block begins with a command");
            match line.strip_prefix("> ").filter(|_| last.output.is_empty()) {
                Some(more) => last.command += &format!("\n{more}"),
                None => last.output.push(line.to_string()),
            }
        }
        commands
    }
}

/// Whether a text is what a page shows, where `…` is any text and a line `…` any lines or none. Spaces at the ends of lines do not count.
pub(crate) fn matches(shown: &[String], printed: &str) -> bool {
    // A line break before every line makes the first like the others.
    let lines = |lines: &mut dyn Iterator<Item = &str>| {
        lines.map(|line| format!("\n{}", line.trim_end())).collect::<String>()
    };
    let printed = lines(&mut printed.lines());
    let pattern = lines(&mut shown.iter().map(String::as_str)).replace("\n…", "…");
    let parts: Vec<&str> = pattern.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return printed == pattern };
    let Some(rest) = printed.strip_prefix(first) else { return false };
    let found = middle.iter().try_fold(rest, |rest, part| Some(&rest[rest.find(part)? + part.len()..]));
    found.is_some_and(|rest| rest.ends_with(last))
}

#[test]
fn dots_stand_for_any_text() {
    let shown = |text: &str| text.lines().map(String::from).collect::<Vec<_>>();
    for (pattern, printed, expected) in [
        ("a\nb", "a\nb\n", true),
        ("a\nb", "a\nb\nc\n", false),
        ("a\n…\nc", "a\nc\n", true),
        ("a\n…\nc", "a\nx\ny\nc  \n", true),
        ("a 1.2…\nc", "a 1.23 d\nc\n", true),
        ("a 1.2…\nc", "a 1.13 d\nc\n", false),
        ("…\nb", "b\n", true),
        ("…\nb", "bb\n", false),
        ("…b…b…", "b\n", false),
        ("…", "", true),
        ("", "", true),
        ("a", "", false),
    ] {
        assert_eq!(matches(&shown(pattern), printed), expected, "{pattern:?} and {printed:?}");
    }
}

#[test]
fn blocks_know_how_they_are_marked() {
    let text = "<!-- Not run: slow. -->\n```sh,ignore\na\n```\n\n```console\n$ b\n> c\nd\n$ e\n```\n";
    let blocks = blocks(text);
    assert!(blocks[0].ignored && blocks[0].comment.contains("slow") && blocks[0].text == "a\n");
    let commands = blocks[1].commands();
    assert_eq!(
        (commands[0].command.as_str(), commands[0].output.as_slice()),
        ("b\nc", &["d".to_string()][..])
    );
    assert_eq!((commands[1].command.as_str(), commands[1].output.len()), ("e", 0));
}
