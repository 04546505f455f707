//! Chat templates: a conversation rendered as the prompt that a model was trained on.
//!
//! A template is a Jinja program that a model brings along. It is rendered as transformers renders it: `trim_blocks` and
//! `lstrip_blocks`, loop controls, Python's string methods, its `%` and its spelling of `True` and `None`, `raise_exception`, `strftime_now`,
//! a `tojson` that escapes no HTML, the special tokens as variables, `tools` and `documents` none. `{% generation %}` marks are
//! read over. The clock is an argument, so a prompt is a function of its inputs.
//!
//! What a person wrote must not steer the model: a question that contains `<|im_end|>` is text, not the end of a turn.
//! [`ChatTemplate::render_segments`] therefore says which bytes of the prompt come from the template and which from messages, see
//! `segments.rs`.
//!
//! Not here: what to do when a template refuses a system message (Gemma's does); that is [`TemplateError::Refused`], and the caller
//! decides. Models without a template have no [`ChatTemplate`].

mod environment;
mod json;
mod python;
mod segments;
mod sizes;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use entrace_backend::ChatMessage;
use entrace_measure::Thoughts;
use jiff::civil::DateTime;
use minijinja::Environment;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// A stretch of a rendered prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// Whether the template wrote it; otherwise it is content of a message.
    pub is_template: bool,
}

/// Failures of loading and rendering a template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A file could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `tokenizer_config.json` is not JSON.
    #[error("parse {path}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Several named templates and none is the default.
    #[error("choose a chat template: none of {names} is named \"default\"")]
    NoDefault {
        /// The names there are.
        names: String,
    },
    /// The template is not valid Jinja.
    #[error("parse the chat template: {0}")]
    Syntax(String),
    /// The template is larger or nested deeper than any that was written for a model.
    #[error("the chat template is not rendered: {0}")]
    TooLarge(String),
    /// The template called `raise_exception`: it does not accept this conversation.
    #[error("render the conversation: the chat template refuses it: {0}")]
    Refused(String),
    /// The template failed.
    #[error("render the conversation: {0}")]
    Render(String),
    /// The template takes longer than any that was written for a model; it is not asked again.
    #[error("render the conversation: the chat template takes more time than a conversation needs")]
    TooSlow,
    /// The template changed a message so that its text cannot be found in the prompt.
    #[error(
        "render the conversation: the chat template rewrites message {message}, so its text cannot be told from the template's"
    )]
    Rewritten {
        /// Position of the message.
        message: usize,
    },
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    variables: Map<String, Value>,
    thoughts: Thoughts,
    hash: String,
    /// A rendering has taken too long and is still running: there must be no second one.
    is_too_slow: AtomicBool,
}

/// The name under which the environment holds the template.
const NAME: &str = "chat";

impl ChatTemplate {
    /// A template from its source; `named_tokens` (`bos_token` and so on) are variables of the template.
    pub fn new(source: &str, named_tokens: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let prepared = source::prepared(source).map_err(TemplateError::TooLarge)?;
        let parse = || {
            let mut environment = environment::new()?;
            environment.add_template_owned(NAME, prepared)?;
            Ok(environment)
        };
        let environment = environment::within_bounds(|| {
            parse().map_err(|error| TemplateError::Syntax(environment::said_by(&error)))
        })?;
        let variables =
            named_tokens.iter().map(|(name, token)| (name.clone(), token.as_str().into())).collect();
        let hash = base16ct::lower::encode_string(&Sha256::digest(source));
        Ok(Self {
            environment,
            variables,
            thoughts: Thoughts::of_template(source),
            hash,
            is_too_slow: AtomicBool::new(false),
        })
    }

    /// The template of a model folder: `chat_template.jinja`, else `chat_template` in `tokenizer_config.json`, where of several named
    /// ones the one called "default" counts. `None` if the folder has neither.
    pub fn from_dir(
        dir: &Path,
        named_tokens: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, TemplateError> {
        let source = match read_if_there(&dir.join("chat_template.jinja"))? {
            Some(source) => Some(source),
            None => template_of_config(&dir.join("tokenizer_config.json"))?,
        };
        source.map(|source| Self::new(&source, named_tokens)).transpose()
    }

    /// Sets a variable that the template reads beyond the conversation, such as `enable_thinking`. Returns whether the template reads one of
    /// that name.
    pub fn set_variable(&mut self, name: &str, value: Value) -> bool {
        self.variables.insert(name.to_owned(), value);
        self.environment.get_template(NAME).is_ok_and(|it| it.undeclared_variables(false).contains(name))
    }

    /// The marks between which the template has the model think.
    pub fn thoughts(&self) -> &Thoughts {
        &self.thoughts
    }

    /// Renders a conversation. `add_generation_prompt` opens the assistant's turn at the end; `now` is what `strftime_now` sees.
    pub fn render(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
        now: DateTime,
    ) -> Result<String, TemplateError> {
        let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        self.render_contents(messages, &contents, add_generation_prompt, now)
    }

    /// Renders a conversation and tells the template's text from the messages'. Joined, the segments are what
    /// [`ChatTemplate::render`] gives.
    pub fn render_segments(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
        now: DateTime,
    ) -> Result<Vec<Segment>, TemplateError> {
        segments::split(messages, |contents| {
            self.render_contents(messages, contents, add_generation_prompt, now)
        })
    }

    /// SHA-256 of the source, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Renders the conversation with other contents in place of the messages' own.
    fn render_contents(
        &self,
        messages: &[ChatMessage],
        contents: &[&str],
        add_generation_prompt: bool,
        now: DateTime,
    ) -> Result<String, TemplateError> {
        let messages: Vec<Value> = messages
            .iter()
            .zip(contents)
            .map(|(message, content)| json!({"role": message.role.name(), "content": content}))
            .collect();
        let mut context = Map::from_iter([
            ("messages".to_owned(), Value::Array(messages)),
            ("tools".to_owned(), Value::Null),
            ("documents".to_owned(), Value::Null),
            ("add_generation_prompt".to_owned(), Value::Bool(add_generation_prompt)),
        ]);
        context.extend(self.variables.clone());
        if self.is_too_slow.load(Ordering::Relaxed) {
            return Err(TemplateError::TooSlow);
        }
        let rendered = environment::render(&self.environment, NAME, Value::Object(context), now);
        if matches!(rendered, Err(TemplateError::TooSlow)) {
            self.is_too_slow.store(true, Ordering::Relaxed);
        }
        rendered
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, TemplateError> {
    match crate::ordinary::read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TemplateError::Read { path: path.to_owned(), source }),
    }
}

fn template_of_config(path: &Path) -> Result<Option<String>, TemplateError> {
    let Some(text) = read_if_there(path)? else { return Ok(None) };
    let config: Value = serde_json::from_str(&text)
        .map_err(|source| TemplateError::Json { path: path.to_owned(), source })?;
    match &config["chat_template"] {
        Value::String(source) => Ok(Some(source.clone())),
        Value::Array(named) => {
            let default = named.iter().find(|entry| entry["name"] == "default");
            let Some(source) = default.and_then(|entry| entry["template"].as_str()) else {
                let names: Vec<&str> = named.iter().filter_map(|entry| entry["name"].as_str()).collect();
                return Err(TemplateError::NoDefault { names: names.join(", ") });
            };
            Ok(Some(source.to_owned()))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrace_backend::Role;

    pub(super) fn message(role: Role, content: &str) -> ChatMessage {
        ChatMessage { role, content: content.to_owned() }
    }

    fn render(source: &str, messages: &[ChatMessage]) -> Result<String, TemplateError> {
        let named = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
        ChatTemplate::new(source, &named)?.render(
            messages,
            true,
            jiff::civil::date(2026, 3, 9).at(7, 5, 0, 0),
        )
    }

    #[test]
    fn blocks_are_trimmed_as_in_transformers() {
        let source = "{{ bos_token }}\n{% for m in messages %}\n  {% if true %}\n{{ m['content'] }}\n  {% endif %}\n{% endfor %}\nend\n";
        let conversation = [message(Role::User, "a"), message(Role::Assistant, "b")];
        assert_eq!(render(source, &conversation).unwrap(), "<s>\na\nb\nend");
    }

    #[test]
    fn values_print_as_in_python() {
        assert_eq!(
            render("{{ true }} {{ none }} {{ missing }} {{ 1.0 }} {{ 3 }}", &[]).unwrap(),
            "True None  1.0 3"
        );
        assert_eq!(render("{{ tools is none }} {{ documents is none }}", &[]).unwrap(), "True True");
    }

    #[test]
    fn values_without_end_are_not_written_out() {
        let cyclic = "{% set n = namespace() %}{% set n.a = n %}";
        let doubled =
            "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}";
        for values in [cyclic, doubled] {
            for written in ["{{ n.a }}", "{{ n.a|tojson }}", "{{ n.a|string }}"] {
                let error = render(&format!("{values}{written}"), &[]).unwrap_err();
                assert!(error.to_string().contains("too large, or nested too deeply"), "{error}");
            }
        }
        assert_eq!(render("{{ [[1], {'a': [2]}]|tojson }}", &[]).unwrap(), "[[1], {\"a\": [2]}]");
    }

    #[test]
    fn the_clock_is_an_argument() {
        assert_eq!(render("{{ strftime_now('%d %b %Y %-d %H:%M') }}", &[]).unwrap(), "09 Mar 2026 9 07:05");
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let data = "{'b': [1, 'ü<&>'], 'a': none, 'c': {}, 'd': []}";
        assert_eq!(
            render(&format!("{{{{ {data} | tojson }}}}"), &[]).unwrap(),
            r#"{"b": [1, "ü<&>"], "a": null, "c": {}, "d": []}"#
        );
        assert_eq!(
            render(&format!("{{{{ {data} | tojson(indent=2) }}}}"), &[]).unwrap(),
            "{\n  \"b\": [\n    1,\n    \"ü<&>\"\n  ],\n  \"a\": null,\n  \"c\": {},\n  \"d\": []\n}"
        );
    }

    #[test]
    fn a_refusal_is_its_own_error() {
        let source = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}";
        let error = render(source, &[message(Role::System, "s")]).unwrap_err();
        assert!(
            matches!(&error, TemplateError::Refused(why) if why == "System role not supported"),
            "{error:?}"
        );
        let within = "{% macro check() %}{{ raise_exception('no') }}{% endmacro %}{{ check() }}";
        assert!(matches!(render(within, &[]).unwrap_err(), TemplateError::Refused(_)));
        assert!(matches!(render("{{ messages.nope() }}", &[]).unwrap_err(), TemplateError::Render(_)));
        assert!(matches!(render("{% if %}", &[]).unwrap_err(), TemplateError::Syntax(_)));
    }

    #[test]
    fn errors_name_the_line_of_the_template() {
        let source = "{%- set a = 'b\\\r\n c' -%}\r\n{{ a.upper() }}\r\n{{ a.nothing() }}\r\n";
        let error = render(source, &[]).unwrap_err().to_string();
        assert!(error.starts_with("render the conversation: line 4: "), "{error}");
        let error = render("a\n{% for %}", &[]).unwrap_err().to_string();
        assert!(error.starts_with("parse the chat template: line 2: "), "{error}");
    }

    #[test]
    fn strings_have_pythons_methods() {
        let check =
            |source: &str, expected: &str| assert_eq!(render(source, &[]).unwrap(), expected, "{source}");
        check("{{ 'a</t>b</t>c'.rsplit('</t>', 1)[-1] }}", "c");
        check("{{ ' a  b c '.rsplit(maxsplit=1) | join('|') }}", " a  b|c");
        check("{{ 'a,b,c'.split(',', maxsplit=1) | join('|') }}", "a|b,c");
        check(
            "{{ 'a=b=c'.partition('=') | join('|') }} {{ 'abc'.rpartition('=') | join('|') }}",
            "a|=|b=c ||abc",
        );
        check("{{ 'abcb'.removeprefix('a').removesuffix('b') }}", "bc");
        check("{{ 'ab'.center(5, '*') }} {{ '-7'.zfill(4) }} {{ 'ab'.ljust(3) }}|", "**ab* -007 ab |");
        check(
            "{{ 'aBß'.swapcase() }} {{ 'Straße'.casefold() }} {{ ['x', 'y'].index('y') }}",
            "AbSS strasse 1",
        );
    }

    #[test]
    fn percent_formats_as_in_python() {
        let check =
            |source: &str, expected: &str| assert_eq!(render(source, &[]).unwrap(), expected, "{source}");
        check("{{ '%.2f' % 3 }} {{ '%s of %d' % ('a', 4) }} {{ '%(n)03d' % {'n': 7} }}", "3.00 a of 4 007");
        check("{% set f = '<%s>' %}{{ f % 'x' | upper }}", "<X>");
        check("{% set n = 3 %}{{ 7 % n }} {{ n % 2 }} {{ (0 - 7) % n }} {{ 10 * n % 7 }}", "1 1 2 2");
    }

    #[test]
    fn a_prompt_without_end_is_refused() {
        let error = render("{{ ('{0}' * 2000).format('x' * 1000) }}", &[]).unwrap_err();
        assert!(error.to_string().contains("a prompt of 2000000 bytes"), "{error}");
        let long = [message(Role::User, &"a ".repeat(1 << 20))];
        assert_eq!(render("{{ messages[0].content }}", &long).unwrap().len(), 2 << 20);
    }

    #[test]
    fn texts_are_joined_formatted_and_replaced_as_in_python() {
        let template = "{{ ['a', 1] | join('-') }} {{ [{'x': 'p'}, {'x': 'q'}] | join(', ', attribute='x') }} {{ 'ab' | list | join }} \
                        {{ '+'.join(['a', 'b']) }} {{ '%s is %d' | format('x', 2) }} {{ '%(n)s' | format(n=3) }} \
                        {{ '{} {k}'.format(1, k=2) }} {{ 'aXbX'.replace('X', 'yy') }} {{ 'aXbX'.replace('X', '', 1) }}";
        assert_eq!(render(template, &[]).unwrap(), "a-1 p, q ab a+b x is 2 3 1 2 ayybyy abX");
    }

    #[test]
    fn a_template_that_does_too_much_is_stopped() {
        let bombs = [
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
            "{% set ns = namespace(s='ab') %}{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "{% set ns = namespace(s=[1]) %}{% for a in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{{ [1] | tojson(indent=1000000000) }}",
            "{{ 'a'.ljust(1000000000) }}",
            "{{ '%1000000000d' % 1 }}",
            "{{ '%*d' % (1000000000, 1) }}",
            "{{ '{:1000000000}'.format(1) }}",
            "{% set a = 'a' * 60000 %}{{ ([a] * 15000) | join | length }}",
            "{% set a = 'a' * 60000 %}{{ ([a] * 15000) | select | join | length }}",
            "{% set a = 'a' * 60000 %}{{ ([{'x': a}] * 15000) | join(attribute='x') | length }}",
            "{% set a = 'a' * 60000 %}{{ ''.join([a] * 15000) | length }}",
            "{% set a = 'a' * 60000 %}{{ [a] * 15000 }}",
            "{% set a = 'a' * 60000 %}{{ ('{0}' * 20000).format(a) | length }}",
            "{% set a = 'a' * 60000 %}{{ ('%(x)s' * 12000) | format(x=a) | length }}",
            "{% set a = 'a' * 60000 %}{{ ('%s' * 2000) | format(*([a] * 2000)) | length }}",
            "{% set a = 'a' * 60000 %}{{ ('b' * 20000).replace('b', a) | length }}",
        ];
        for bomb in bombs {
            let error = render(bomb, &[]).unwrap_err();
            assert!(matches!(error, TemplateError::Render(_)), "{bomb}: {error}");
        }
        let slow = [
            "{% set ns = namespace(s=[1]) %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s|length }}",
            "{% set a = namespace(v=[1]) %}{% set b = namespace(v=[1]) %}{% for i in range(40) %}{% set a.v = [a.v, a.v] %}\
             {% set b.v = [b.v, b.v] %}{% endfor %}{{ a.v == b.v }}",
            "{% set ns = namespace(v={'a': 1}) %}{% for i in range(60) %}{% set ns.v = {'a': ns.v, 'b': ns.v} %}{% endfor %}\
             {{ ns.v|items|list }}",
        ];
        for bomb in slow {
            let began = std::time::Instant::now();
            let error = render(bomb, &[]).unwrap_err();
            assert!(matches!(error, TemplateError::Render(_) | TemplateError::TooSlow), "{bomb}: {error}");
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "{bomb}");
        }
        let deep = "{% set ns = namespace(v=[]) %}{% for i in range(99999) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v }}";
        assert!(render(deep, &[]).is_err());
        // Nothing of it is too much, but what walks and drops it descends with it.
        let nested =
            "{% set ns = namespace(x=[]) %}{% for a in range(50000) %}{% set ns.x = [ns.x] %}{% endfor %}b";
        assert_eq!(render(nested, &[]).unwrap(), "b");
        assert!(render(&format!("{{{{ {}a }}}}", "not ".repeat(1990)), &[]).is_ok());
    }

    #[test]
    fn variables_can_be_set() {
        let source = "{% if thinking is defined and thinking is false %}off{% endif %}";
        let mut template = ChatTemplate::new(source, &BTreeMap::new()).unwrap();
        let now = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
        assert_eq!(template.render(&[], true, now).unwrap(), "");
        assert!(
            template.set_variable("thinking", Value::Bool(false))
                && !template.set_variable("think", Value::Null)
        );
        assert_eq!(template.render(&[], true, now).unwrap(), "off");
    }

    #[test]
    fn generation_marks_are_read_over() {
        let source = "{% for m in messages %}\n{%- generation -%}\n {{ m.content }} \n{%- endgeneration %}|{% endfor %}";
        assert_eq!(render(source, &[message(Role::User, "a")]).unwrap(), "a|");
    }

    #[test]
    fn folders_hold_templates_in_several_places() {
        let dir = tempfile::tempdir().unwrap();
        let from_dir = || ChatTemplate::from_dir(dir.path(), &BTreeMap::new());
        let now = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
        assert!(from_dir().unwrap().is_none());
        let config = dir.path().join("tokenizer_config.json");
        std::fs::write(&config, json!({"chat_template": [{"name": "rag", "template": "r"}]}).to_string())
            .unwrap();
        assert!(matches!(from_dir().unwrap_err(), TemplateError::NoDefault { names } if names == "rag"));
        let named = json!({"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]});
        std::fs::write(&config, named.to_string()).unwrap();
        assert_eq!(from_dir().unwrap().unwrap().render(&[], true, now).unwrap(), "d");
        std::fs::write(dir.path().join("chat_template.jinja"), "j").unwrap();
        assert_eq!(from_dir().unwrap().unwrap().render(&[], true, now).unwrap(), "j");
    }
}
