//! The marks of thoughts that a chat template names.
//!
//! Templates of reasoning models either write earlier thoughts out (`'<think>\n' + reasoning_content + '\n</think>\n\n'`), which tells both
//! marks with their line breaks, or cut them from what the model wrote (`content.split('</think>')`), which tells the closing mark. A mark
//! that is not among the known ones counts if its name speaks of thinking, or if it is around a variable whose name does.

use std::sync::LazyLock;

use regex::Regex;

use super::marks::{Kind, Written, known, regex};

/// A thought between two string literals.
static AROUND: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?x) ["'] (?P<open> [^"']* ) ["'] \s* [+~] \s*
        \(? [\w.]* (?: reasoning | thinking | thought ) \w* [^+~]{0,80}? [+~] \s* ["'] (?P<close> [^"']* ) ["']"#,
    )
});

/// A closing mark whose name speaks of thinking.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?xi) </ [\w:]* (?:think|thought|reason) \w* > | \[/ \w* think \w* \] | ◁/think▷
        | <\| (?: / | end_of_ | end_ ) \w* (?:think|thought|reason) \w* \|>",
    )
});

/// What makes a mark a closing one, and what an opening one has in its place.
const SIGNS: [(&str, &[&str]); 4] = [
    ("/", &[""]),
    ("end_of_", &["begin_of_", "start_of_"]),
    ("end_", &["start_", "begin_"]),
    ("END_", &["START_", "BEGIN_"]),
];

/// The marks in the source of a template; `None` where it names none.
pub(super) fn marks(source: &str) -> Option<Written> {
    channels(source).or_else(|| written_out(source)).or_else(|| named(source))
}

fn channels(source: &str) -> Option<Written> {
    source.contains("<|channel|>analysis").then(|| Written {
        kind: Kind::Channel,
        open: "<|channel|>analysis<|message|>".into(),
        close: "<|channel|>final<|message|>".into(),
        closing: Kind::Channel.usual_closing(),
    })
}

/// Marks around a variable.
fn written_out(source: &str) -> Option<Written> {
    AROUND.captures_iter(source).find_map(|hit| {
        let (open, closing) = (unescaped(&hit["open"]), unescaped(&hit["close"]));
        // Before the mark, on lines of their own, may be the tokens that begin a turn.
        let open = open.trim().rsplit('\n').next()?.to_string();
        let close = closing.trim().to_string();
        let kind = known(&close).unwrap_or(Kind::Own);
        (!open.is_empty() && !close.is_empty()).then_some(Written { kind, open, close, closing })
    })
}

/// Marks by their names.
fn named(source: &str) -> Option<Written> {
    NAMED.find_iter(source).find_map(|hit| {
        let close = hit.as_str().to_string();
        let (sign, openings) = SIGNS.iter().find(|(sign, _)| close.contains(sign))?;
        let open = openings
            .iter()
            .map(|opening| close.replacen(sign, opening, 1))
            .find(|open| source.contains(open.as_str()) || known(open).is_some())?;
        let kind = known(&close).unwrap_or(Kind::Own);
        let usual = if kind == Kind::Own { close.clone() } else { kind.usual_closing() };
        Some(Written { closing: literal(source, &close).unwrap_or(usual), kind, open, close })
    })
}

/// The longest string literal that the template writes and that holds the mark with nothing but white space around it. A literal in a call or
/// a comparison is only looked for.
fn literal(source: &str, mark: &str) -> Option<String> {
    let pattern = format!(r#"[+~{{-]\s*["']((?:\\n|\s)*{}(?:\\n|\s)*)["']"#, regex::escape(mark));
    let hits = Regex::new(&pattern).ok()?;
    let found = hits.captures_iter(source).map(|hit| unescaped(&hit[1]));
    found.max_by_key(String::len)
}

fn unescaped(literal: &str) -> String {
    literal.replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::super::Thoughts;

    /// Opening mark, closing mark and what closes a thought.
    fn found(source: &str) -> Option<(String, String, String)> {
        super::marks(source).map(|marks| (marks.open, marks.close, marks.closing))
    }

    fn texts(open: &str, close: &str, closing: &str) -> Option<(String, String, String)> {
        Some((open.into(), close.into(), closing.into()))
    }

    #[test]
    fn a_template_that_writes_thoughts_tells_the_line_breaks() {
        let source = r"{{- '<|im_start|>' + m.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content }}";
        assert_eq!(found(source), texts("<think>", "</think>", "\n</think>\n\n"));
        let source = r#"{{ "<think>" ~ m.reasoning_content|trim ~ "</think>" }}"#;
        assert_eq!(found(source), texts("<think>", "</think>", "</think>"));
        let source = r"{{ '<scratch>\n' + m['thinking_text'] + '\n</scratch>\n' }}";
        assert_eq!(found(source), None, "a subscript is not followed");
        let source = r"{{ '<scratch>\n' + m.thinking_text + '\n</scratch>\n' }}";
        assert_eq!(found(source), texts("<scratch>", "</scratch>", "\n</scratch>\n"));
    }

    #[test]
    fn a_template_that_cuts_thoughts_tells_the_mark() {
        let source =
            "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}";
        assert_eq!(found(source), texts("<think>", "</think>", "\n</think>\n\n"));
        let source =
            r"{{ content.split('</think>')[-1] }}{{ '<think>' }}{{ m.thoughts }}{{ '\n</think>\n' }}";
        assert_eq!(found(source), texts("<think>", "</think>", "\n</think>\n"));
        let source = "{{ '[THINK]' + chunk.text + '[/THINK]' }}";
        assert_eq!(found(source), texts("[THINK]", "[/THINK]", "[/THINK]"));
    }

    #[test]
    fn a_name_that_speaks_of_thinking_is_enough() {
        let source = "{{ '<|START_THINKING|>' }}{{ m.plan }}{{ '<|END_THINKING|>' }}";
        assert_eq!(found(source), texts("<|START_THINKING|>", "<|END_THINKING|>", "<|END_THINKING|>"));
        assert_eq!(found("{{ '<|END_THINKING|>' }}"), None, "nothing opens");
        assert_eq!(found("{{ '<tool>' + x + '</tool>' }}{{ content }}"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn marks_of_a_template_divide() {
        let thoughts =
            Thoughts::of_template("{{ '<|START_THINKING|>' }}{{ m.plan }}{{ '<|END_THINKING|>' }}");
        let prompt = thoughts.opened_by("<|bot|><|START_THINKING|>");
        let division = thoughts.divide("5?<|END_THINKING|>7", prompt.as_ref());
        assert_eq!((division.trace_end(), division.reply().as_deref()), (2, Some("7")));
        assert_eq!(thoughts.closing(&prompt.unwrap()), "<|END_THINKING|>");
        assert!(thoughts.is_mark("<|END_THINKING|>") && !Thoughts::default().is_mark("<|END_THINKING|>"));
        let other = thoughts.divide("<think>5?</think>7", None);
        assert_eq!(thoughts.closing(other.open_at(7).unwrap()), "\n</think>\n\n");
    }

    #[test]
    fn channels_close_with_the_turn() {
        let thoughts =
            Thoughts::of_template("{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.content }}");
        assert_eq!(thoughts.template_closing(), Some("<|end|><|start|>assistant<|channel|>final<|message|>"));
        assert!(["<|channel|>", "<|message|>", "<|end|>"].iter().all(|token| thoughts.is_mark(token)));
        assert!(!Thoughts::default().is_mark("<|end|>") && Thoughts::default().is_mark("[/THINK]"));
    }
}
