//! The marks between which models think.
//!
//! | kind | opens | closes |
//! |---|---|---|
//! | tags `think`, `thinking`, `thought`, `reasoning` and such with a prefix (`seed:think`) | `<think>` | `</think>` |
//! | brackets | `[THINK]` | `[/THINK]` |
//! | channels (harmony) | `<\|channel\|>analysis<\|message\|>` | `<\|channel\|>final<\|message\|>`, with the end of the turn before it |
//! | the same without special tokens | `analysis`, at the very beginning | `assistantfinal` |
//! | parts | `<\|begin_of_thought\|>` | `<\|end_of_thought\|>`, `<\|begin_of_solution\|>` |
//! | a model's own | as its chat template writes it | |
//!
//! A thought that is closed from outside, so that an answer can be asked for, is closed as the model's template writes the closing mark, line
//! breaks included; where the template does not write it, as the models of that kind do.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Division, template};

/// Which marks a thought has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThoughtKind(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// `<think>`, in lower case and without the angles.
    Tag(String),
    /// `[THINK]`.
    Bracket,
    /// Channels of the harmony format.
    Channel,
    /// Names of channels without their special tokens.
    BareChannel,
    /// `<|begin_of_thought|>`.
    Part,
    /// Named by the template alone.
    Own,
}

/// One mark in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) kind: ThoughtKind,
    pub(super) opens: bool,
    pub(super) range: Range<usize>,
}

/// What is known of the thoughts of a model: the marks that many have, and those of its own chat template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thoughts {
    template: Option<Written>,
}

/// Marks as a template writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) kind: Kind,
    pub(super) open: String,
    pub(super) close: String,
    /// The closing mark with the line breaks around it.
    pub(super) closing: String,
}

static MARK: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)
        (?i: < (?P<tag_end>/?) (?P<tag> (?:[a-z]+:)? think(?:ing)? | thoughts? | reasoning ) > )
        | \[ (?P<bracket_end>/?) (?P<bracket>THINK) \]
        | (?P<analysis> <\|channel\|> \s* (?:analysis|commentary) (?: [^<] | <\|constrain\|> )*? <\|message\|> )
        | (?P<final> (?: <\|end\|>\s* )? (?: <\|start\|>\s*assistant\s* )?
            <\|channel\|> \s* final (?: [^<] | <\|constrain\|> )*? <\|message\|> )
        | (?P<part> <\|begin_of_thought\|> )
        | (?P<part_end> <\|end_of_thought\|> (?: \s* <\|begin_of_solution\|> )? | <\|begin_of_solution\|> )
        ",
    )
});

pub(super) fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

impl Kind {
    /// What closes a thought where no template says it.
    pub(super) fn usual_closing(&self) -> String {
        match self {
            Self::Tag(tag) => format!("\n</{tag}>\n\n"),
            Self::Bracket => "[/THINK]".into(),
            Self::Channel => "<|end|><|start|>assistant<|channel|>final<|message|>".into(),
            Self::BareChannel => "assistantfinal".into(),
            Self::Part => "\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n".into(),
            // A template that names a mark of its own also writes it.
            Self::Own => String::new(),
        }
    }
}

impl Mark {
    fn of(captures: &Captures<'_>) -> Self {
        let has = |name| captures.name(name).is_some_and(|part| !part.is_empty());
        let (kind, closes) = if let Some(tag) = captures.name("tag") {
            (Kind::Tag(tag.as_str().to_ascii_lowercase()), has("tag_end"))
        } else if has("bracket") {
            (Kind::Bracket, has("bracket_end"))
        } else if has("part") || has("part_end") {
            (Kind::Part, has("part_end"))
        } else {
            (Kind::Channel, has("final"))
        };
        Self { kind: ThoughtKind(kind), opens: !closes, range: captures.get_match().range() }
    }
}

/// The kind of a text that is a mark.
pub(super) fn known(mark: &str) -> Option<Kind> {
    let captures = MARK.captures(mark)?;
    (captures.get_match().len() == mark.len()).then(|| Mark::of(&captures).kind.0)
}

impl Thoughts {
    /// Those of a chat template, given its source.
    pub fn of_template(source: &str) -> Self {
        Self { template: template::marks(source) }
    }

    /// Divides a completion; `opened` is the thought that its prompt leaves open ([`Thoughts::opened_by`]).
    pub fn divide<'a>(&self, completion: &'a str, opened: Option<&ThoughtKind>) -> Division<'a> {
        Division::new(self, completion, opened)
    }

    /// The thought that a prompt leaves open: an opening mark is the last thing in it.
    pub fn opened_by(&self, prompt: &str) -> Option<ThoughtKind> {
        let last = self.marks(prompt).pop()?;
        (last.opens && prompt[last.range.end..].trim().is_empty()).then_some(last.kind)
    }

    /// The text that closes a thought, with the line breaks around the mark.
    pub fn closing(&self, kind: &ThoughtKind) -> String {
        let written = self.template.as_ref().filter(|written| written.kind == kind.0);
        written.map_or_else(|| kind.0.usual_closing(), |written| written.closing.clone())
    }

    /// The kind of thought that the model's template names.
    pub fn template_kind(&self) -> Option<ThoughtKind> {
        self.template.as_ref().map(|written| ThoughtKind(written.kind.clone()))
    }

    /// The text that closes a thought of the kind that the model's template names; `None` where it names none.
    pub fn template_closing(&self) -> Option<&str> {
        self.template.as_ref().map(|written| written.closing.as_str())
    }

    /// Whether a token of a vocabulary is a mark, or a part of one. Text keeps such tokens even where they are special.
    pub fn is_mark(&self, token: &str) -> bool {
        const PARTS: [&str; 4] = ["<|channel|>", "<|message|>", "<|constrain|>", "<|end_of_solution|>"];
        let is_written = |written: &Written| {
            let ends_turns = written.kind == Kind::Channel && ["<|start|>", "<|end|>"].contains(&token);
            ends_turns || token == written.open || token == written.close
        };
        known(token).is_some() || PARTS.contains(&token) || self.template.as_ref().is_some_and(is_written)
    }

    /// The marks of a text, in order.
    pub(super) fn marks(&self, text: &str) -> Vec<Mark> {
        let mut marks: Vec<Mark> = MARK.captures_iter(text).map(|captures| Mark::of(&captures)).collect();
        marks.extend(bare_channels(text));
        if let Some(own) = self.template.as_ref().filter(|written| written.kind == Kind::Own) {
            let find = |mark: &str, opens: bool| -> Vec<Mark> {
                let hits = text.match_indices(mark).map(|(at, _)| at..at + mark.len());
                hits.map(|range| Mark { kind: ThoughtKind(Kind::Own), opens, range }).collect()
            };
            marks.extend(find(&own.open, true));
            marks.extend(find(&own.close, false));
        }
        marks.sort_by_key(|mark| mark.range.start);
        marks
    }
}

/// `analysis..assistantfinal..`, which is left of channels when special tokens are not spelled out.
fn bare_channels(text: &str) -> Vec<Mark> {
    let Some(thought) = text.strip_prefix("analysis") else { return Vec::new() };
    let reply = text.find("assistantfinal");
    if reply.is_none() && !thought.starts_with(char::is_uppercase) {
        return Vec::new();
    }
    let mark = |opens, range| Mark { kind: ThoughtKind(Kind::BareChannel), opens, range };
    let closing = reply.map(|at| mark(false, at..at + "assistantfinal".len()));
    [mark(true, 0.."analysis".len())].into_iter().chain(closing).collect()
}

/// Whether a text is white space and marks alone.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty() || MARK.replace_all(text, "").trim().is_empty()
}
