//! How questions are put to a model.

use crate::error::Error;
use crate::model::check_template;
use entrace_backend::{ChatMessage, Role, Text};
use entrace_datasets::fewshot::{self, Order};
use entrace_datasets::{FormatKind, Message, Template, prompt};
use entrace_measure::Question;
use entrace_run::Prompting;

/// End the completions of prompts in Q/A blocks before a question of the model's own.
const BLOCK_STOPS: [&str; 5] = ["\n\nQ:", "\nQuestion:", "\nProblem:", "\nHuman:", "\n### Instruction"];

/// How questions are put to a model, as far as that is not up to the model.
#[derive(Debug, Clone, Default)]
pub struct PromptOptions {
    /// Examples with solutions before the question. With some, prompts are plain text whatever the model.
    pub num_fewshot: usize,
    /// System prompt, for a model with a chat template.
    pub system: Option<String>,
    /// The user's message, with `{question}` and, if they are to be apart, `{choices}`; a line break may be written as `\n`.
    pub template: Option<String>,
}

impl PromptOptions {
    /// Refuses a template that cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        self.parsed().map(|_| ())
    }

    fn parsed(&self) -> Result<Option<Template>, Error> {
        let parse = |text: &String| {
            Template::parse(&text.replace("\\n", "\n"))
                .map_err(|problem| Error::new("prompt_template", problem.to_string()))
        };
        self.template.as_ref().map(parse).transpose()
    }

    /// The name under which the manifest records the prompt.
    pub(crate) fn recorded_name(&self, text: &dyn Text) -> String {
        match &self.template {
            Some(template) => template.clone(),
            None if text.has_chat_template() && self.num_fewshot == 0 => "chat".to_string(),
            None => "plain".to_string(),
        }
    }
}

/// How questions are put to one model.
pub(crate) struct Asking {
    system: Option<String>,
    template: Option<Template>,
    chat: bool,
    num_fewshot: usize,
}

impl Asking {
    /// With examples or without a chat template the prompt is plain text.
    pub(crate) fn of(options: &PromptOptions, text: &dyn Text) -> Result<Self, Error> {
        let template = options.parsed()?;
        let chat = options.num_fewshot == 0 && text.has_chat_template();
        if options.system.is_some() && !chat {
            return Err(Error::new(
                "system",
                "needs a model with a chat template, and no examples in the prompt",
            ));
        }
        if chat {
            check_template(text)?;
        }
        Ok(Self { system: options.system.clone(), template, chat, num_fewshot: options.num_fewshot })
    }

    /// Whether prompts are plain text in Q/A blocks.
    fn in_blocks(&self) -> bool {
        self.num_fewshot > 0 || (!self.chat && self.template.is_none())
    }

    /// What ends a completion besides the model's end of turn.
    pub(crate) fn stop(&self) -> Vec<String> {
        if self.in_blocks() { BLOCK_STOPS.map(str::to_string).to_vec() } else { Vec::new() }
    }

    /// What the user should know.
    pub(crate) fn note(&self) -> Option<String> {
        let plain = !self.chat && self.num_fewshot == 0;
        plain.then(|| {
            "the model has no chat template: questions are asked as plain text (Q: ... A:)".to_string()
        })
    }

    /// How a recorded conversation is put to the model: through its chat template. A model without one is asked the question of the only
    /// message.
    pub(crate) fn conversation(
        &self,
        messages: &[Message],
        question: &Question,
        kind: FormatKind,
    ) -> Result<Prompting, Error> {
        if self.chat {
            return Ok(Prompting::Chat(messages.iter().map(chat_message).collect()));
        }
        let [Message { role: entrace_datasets::Role::User, content }] = messages else {
            return Err(Error::Conversation { id: question.id.clone(), n_messages: messages.len() });
        };
        Ok(self.prompting(&Question { text: content.clone(), ..question.clone() }, kind, &[]))
    }

    /// How one question is asked, with examples from the pool.
    pub(crate) fn prompting(&self, question: &Question, kind: FormatKind, pool: &[Question]) -> Prompting {
        if self.in_blocks() {
            let examples = fewshot::choose(pool, self.num_fewshot, Order::First, question);
            return Prompting::Verbatim(fewshot::render(&examples, question));
        }
        let message = match &self.template {
            Some(template) => template.render(question),
            None => prompt::zero_shot(question, kind),
        };
        if !self.chat {
            return Prompting::Verbatim(message);
        }
        let system = self.system.iter().map(|text| ChatMessage { role: Role::System, content: text.clone() });
        Prompting::Chat(system.chain([ChatMessage { role: Role::User, content: message }]).collect())
    }
}

/// A message of a file, for the model.
pub(crate) fn chat_message(message: &Message) -> ChatMessage {
    let role = match message.role {
        entrace_datasets::Role::System => Role::System,
        entrace_datasets::Role::User => Role::User,
        entrace_datasets::Role::Assistant => Role::Assistant,
    };
    ChatMessage { role, content: message.content.clone() }
}
