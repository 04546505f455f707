//! Which bytes of a rendered prompt come from the template and which from messages.
//!
//! A template is a program; where it puts a content cannot be read off its source. Three ways, each checked before it counts:
//!
//! 1. Render with a stand-in for every content and put the contents in afterwards. Templates strip contents, so a stand-in takes
//!    the place of what is left after stripping and keeps the white space around it; a content of white space alone stays. The
//!    result must equal the real prompt.
//! 2. The same, where an assistant's content keeps its reasoning tags visible to the template: templates of reasoning models cut
//!    their own earlier thoughts at `</think>`.
//! 3. If the template looks at contents in other ways, look for each content in the real prompt, in order. A content that also
//!    occurs in what the template writes around empty messages could be mistaken for it and is not searched for.
//!
//! If none works, the template rewrote a message, and that is an error rather than a guess. White space at the ends of a content
//! counts as template text; no special token is white space alone.

use entrace_backend::{ChatMessage, Role};

use super::{Segment, TemplateError};

/// Tags that templates look for in an assistant's content.
const REASONING_TAGS: [&str; 4] = ["<think>", "</think>", "[THINK]", "[/THINK]"];

/// Renders with `render(contents)` and splits the result.
pub(super) fn split(
    messages: &[ChatMessage],
    render: impl Fn(&[&str]) -> Result<String, TemplateError>,
) -> Result<Vec<Segment>, TemplateError> {
    let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
    let prompt = render(&contents)?;
    for keep_tags in [false, true] {
        let stand_ins = StandIns::new(messages, keep_tags);
        let masked: Vec<&str> = stand_ins.contents.iter().map(String::as_str).collect();
        // A template may refuse a stand-in that it would not refuse as content.
        let Ok(rendered) = render(&masked) else { continue };
        let segments = stand_ins.fill(&rendered);
        if joined(&segments) == prompt {
            return Ok(segments);
        }
    }
    search(&prompt, &contents, &render(&vec![""; contents.len()]).unwrap_or_default())
}

fn joined(segments: &[Segment]) -> String {
    segments.iter().map(|segment| segment.text.as_str()).collect()
}

/// Contents with stand-ins, and what they stand for.
struct StandIns {
    /// Starts and ends every stand-in; occurs in no content.
    fence: String,
    /// `originals[i]` is what stand-in `i` stands for.
    originals: Vec<String>,
    contents: Vec<String>,
}

impl StandIns {
    fn new(messages: &[ChatMessage], keep_tags: bool) -> Self {
        let mut fence = "\u{e123}".to_owned();
        while messages.iter().any(|message| message.content.contains(&fence)) {
            fence.push('\u{e321}');
        }
        let mut stand_ins = Self { fence, originals: Vec::new(), contents: Vec::new() };
        for message in messages {
            let keep_tags = keep_tags && message.role == Role::Assistant;
            let ranges =
                if keep_tags { between_tags(&message.content) } else { vec![(0, message.content.len())] };
            let mut content = String::new();
            let mut tag_start = 0;
            for (start, end) in ranges {
                content.push_str(&message.content[tag_start..start]);
                content.push_str(&stand_ins.masked(&message.content[start..end]));
                tag_start = end;
            }
            stand_ins.contents.push(content);
        }
        stand_ins
    }

    /// `text` with a stand-in for its stripped core.
    fn masked(&mut self, text: &str) -> String {
        let core = text.trim();
        if core.is_empty() {
            return text.to_owned();
        }
        let start = text.len() - text.trim_start().len();
        let stand_in = format!("{0}{1}{0}", self.fence, self.originals.len());
        self.originals.push(core.to_owned());
        [&text[..start], &stand_in, &text[start + core.len()..]].concat()
    }

    /// Puts the originals back and says where they went.
    fn fill(&self, rendered: &str) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut parts = rendered.split(self.fence.as_str());
        push(&mut segments, parts.next().unwrap_or_default(), true);
        while let Some(number) = parts.next() {
            let original = number.parse().ok().and_then(|index: usize| self.originals.get(index));
            push(&mut segments, original.map_or(number, String::as_str), false);
            push(&mut segments, parts.next().unwrap_or_default(), true);
        }
        segments
    }
}

/// Stretches of a text between reasoning tags.
fn between_tags(text: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let next_tag = |from: usize| {
        let hits =
            REASONING_TAGS.iter().filter_map(|tag| text[from..].find(tag).map(|at| (from + at, tag.len())));
        hits.min()
    };
    while let Some((at, length)) = next_tag(start) {
        ranges.push((start, at));
        start = at + length;
    }
    ranges.push((start, text.len()));
    ranges
}

/// Looks for stripped contents in the prompt, in order.
fn search(prompt: &str, contents: &[&str], template_text: &str) -> Result<Vec<Segment>, TemplateError> {
    let mut segments = Vec::new();
    let mut at = 0;
    for (message, content) in contents.iter().enumerate() {
        let core = content.trim();
        if core.is_empty() {
            continue;
        }
        let found = prompt[at..].find(core).filter(|_| !template_text.contains(core));
        let start = at + found.ok_or(TemplateError::Rewritten { message })?;
        push(&mut segments, &prompt[at..start], true);
        push(&mut segments, core, false);
        at = start + core.len();
    }
    push(&mut segments, &prompt[at..], true);
    Ok(segments)
}

fn push(segments: &mut Vec<Segment>, text: &str, is_template: bool) {
    if !text.is_empty() {
        segments.push(Segment { text: text.to_owned(), is_template });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::ChatTemplate;
    use super::super::tests::message;
    use super::*;

    const CHATML: &str = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}";

    fn segments(source: &str, messages: &[ChatMessage]) -> Result<Vec<(String, bool)>, TemplateError> {
        let template = ChatTemplate::new(source, &BTreeMap::new()).unwrap();
        let now = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
        let segments = template.render_segments(messages, false, now)?;
        assert_eq!(joined(&segments), template.render(messages, false, now).unwrap());
        Ok(segments.into_iter().map(|segment| (segment.text, segment.is_template)).collect())
    }

    fn pairs(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
        expected.iter().map(|(text, template)| (text.to_string(), *template)).collect()
    }

    #[test]
    fn content_is_told_from_template() {
        let conversation = [message(Role::User, " a<|end|> "), message(Role::Assistant, "")];
        let expected = [("<|user|>", true), ("a<|end|>", false), ("<|end|><|assistant|><|end|>", true)];
        assert_eq!(segments(CHATML, &conversation).unwrap(), pairs(&expected));
    }

    #[test]
    fn contents_may_hold_private_use_characters() {
        let conversation = [message(Role::User, "\u{e123}0\u{e123}\u{e123}\u{e321}")];
        let expected = [("<|user|>", true), (conversation[0].content.as_str(), false), ("<|end|>", true)];
        assert_eq!(segments(CHATML, &conversation).unwrap(), pairs(&expected));
    }

    #[test]
    fn thoughts_are_cut_at_their_tags() {
        let source =
            "{% for m in messages %}[{{ m.content.split('</think>')[-1].lstrip('\\n') }}]{% endfor %}";
        let conversation = [message(Role::Assistant, "<think>\nno\n</think>\n\nyes [x]")];
        assert_eq!(
            segments(source, &conversation).unwrap(),
            pairs(&[("[", true), ("yes [x]", false), ("]", true)])
        );
    }

    #[test]
    fn contents_that_the_template_looks_at_are_searched_for() {
        let source = "{% for m in messages %}{{ '#' if m.content.startswith('yes') else '-' }}{{ m.content }}{% endfor %}";
        let conversation = [message(Role::User, "yes"), message(Role::User, "no")];
        let expected = [("#", true), ("yes", false), ("-", true), ("no", false)];
        assert_eq!(segments(source, &conversation).unwrap(), pairs(&expected));
    }

    #[test]
    fn rewritten_and_ambiguous_contents_are_errors() {
        let conversation = [message(Role::User, "ok"), message(Role::User, "yes")];
        let upper = "{% for m in messages %}{{ m.content | upper }}{% endfor %}";
        assert!(matches!(segments(upper, &conversation), Err(TemplateError::Rewritten { message: 0 })));
        let looks = "{% for m in messages %}user{{ m.content | length }}{{ m.content }}{% endfor %}";
        assert!(segments(looks, &conversation).is_ok());
        let same = [message(Role::User, "user")];
        assert!(matches!(segments(looks, &same), Err(TemplateError::Rewritten { message: 0 })));
    }

    #[test]
    fn dropped_and_repeated_contents_are_followed() {
        let source = "{{ messages[1].content }}|{{ messages[1].content }}";
        let conversation = [message(Role::System, "gone"), message(Role::User, "x")];
        assert_eq!(
            segments(source, &conversation).unwrap(),
            pairs(&[("x", false), ("|", true), ("x", false)])
        );
    }
}
