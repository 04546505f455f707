//! A model by its name, wherever it is: in this process, or behind servers.

use crate::error::Error;
use crate::host::{Host, OwnEngine};
use entrace_backend::{Chat, ChatMessage, ModelInfo, Role, Text};
use entrace_decoder::{Decoder, DeviceKind, LanguageModel, Options, StorageType};
use entrace_hub::{Hub, Name};
use entrace_remote::{Chats, Endpoint, Headers, ModelText, Patience, Remote, Secret, Standing};
use entrace_run::Engine;
use jiff::civil::DateTime;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Which model, and how it is opened.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Its name: a folder in Hugging Face layout, the folder of a training, a .gguf file, a model of the program, or `org/name` on the Hub. Of
    /// a model behind servers the addresses, one for each replica. Of other names the last one counts.
    pub names: Vec<String>,
    /// The model that adapters were trained on, where the name is that of adapters.
    pub base: Option<String>,
    /// What weights are kept in.
    pub dtype: StorageType,
    /// Where it runs.
    pub device: DeviceKind,
    /// How servers are reached.
    pub server: ServerOptions,
}

/// How servers are reached. A key is taken from the environment, OPENAI_API_KEY.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Addresses of the model that the name names; without any, OPENAI_BASE_URL where the name is none of this machine's.
    pub base_urls: Vec<String>,
    /// The model whose tokenizer and chat template it has; by default what the server says.
    pub tokenizer: Option<String>,
    /// Headers of every request, as `NAME: VALUE`; a value `$VARIABLE` is taken from the environment.
    pub headers: Vec<String>,
    /// How long to wait for a server that does not answer yet.
    pub wait: Duration,
}

impl ModelOptions {
    /// The model of this name, on the processor in float32.
    pub fn named(name: impl Into<String>) -> Self {
        let Options { dtype, device, .. } = Options::default();
        Self { names: vec![name.into()], base: None, dtype, device, server: ServerOptions::default() }
    }

    /// The name, of which the last one counts.
    pub fn name(&self) -> Option<&str> {
        self.names.last().map(String::as_str)
    }

    fn decoder(&self, base: Option<&Located>) -> Options {
        let base = base.map(|base| base.path.clone());
        Options { dtype: self.dtype, device: self.device, base, ..Options::default() }
    }
}

/// A name, where its files are, and the Hub's revision if they came from there.
pub(crate) struct Located {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) revision: Option<String>,
    /// Keeps the files of a built-in model until they have been read.
    _unpacked: Option<TempDir>,
}

/// Finds the files of a model, downloading them if need be. The folder of a training means its last checkpoint.
pub(crate) fn locate(name: Option<&str>, host: &dyn Host) -> Result<Located, Error> {
    let expected =
        "a folder in Hugging Face layout, a .gguf file, org/name on the Hub, or a model that is built in";
    let name = name.ok_or_else(|| Error::Missing { option: "model", expected: expected.into() })?;
    if Endpoint::is_meant(name) {
        return Err(Error::Served { name: name.to_string() });
    }
    let name = name.to_string();
    host.doing(format!("opening the model {name}"));
    let path = Path::new(&name);
    if path.exists() {
        let is_training = !path.join("config.json").exists() && path.join("metrics.jsonl").exists();
        let last = if is_training { checkpoints(path).pop() } else { None };
        let path = last.unwrap_or_else(|| path.to_path_buf());
        return Ok(Located { path, name, revision: None, _unpacked: None });
    }
    if let Some(model) = host.built_in(&name)? {
        let folder = model.unpack()?;
        let path = folder.path().to_path_buf();
        return Ok(Located { name: model.name, path, revision: None, _unpacked: Some(folder) });
    }
    let fetched = Hub::from_env()?.model(&Name::parse(&name)?, host.downloads())?;
    Ok(Located { name, path: fetched.path, revision: Some(fetched.commit), _unpacked: None })
}

/// The checkpoints in the folder of a training, in order.
pub fn checkpoints(training: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(training).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_checkpoint = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("step-")).is_some()
    };
    let mut found: Vec<PathBuf> = entries.filter(is_checkpoint).collect();
    found.sort();
    found
}

/// Opens a model in this process with its tokenizer: the model, and the Hub's revision if it came from there.
pub fn open_language(
    options: &ModelOptions,
    host: &dyn Host,
) -> Result<(LanguageModel, Option<String>), Error> {
    let located = locate(options.name(), host)?;
    let base = base(options, host)?;
    let now = jiff::Zoned::now().datetime();
    let model = LanguageModel::open(&located.name, &located.path, options.decoder(base.as_ref()), now)?;
    model.decoder().notes().iter().for_each(|note| host.note(note));
    Ok((model, located.revision))
}

/// Opens a model in this process without its text side.
pub fn open_decoder(options: &ModelOptions, host: &dyn Host) -> Result<Decoder, Error> {
    let located = locate(options.name(), host)?;
    let base = base(options, host)?;
    let decoder = Decoder::open(&located.name, &located.path, options.decoder(base.as_ref()))?;
    decoder.notes().iter().for_each(|note| host.note(note));
    Ok(decoder)
}

fn base(options: &ModelOptions, host: &dyn Host) -> Result<Option<Located>, Error> {
    options.base.as_deref().map(|base| locate(Some(base), host)).transpose()
}

/// Refuses a chat template that cannot render a question. One that refuses the question does what it was written for.
pub(crate) fn check_template(text: &dyn Text) -> Result<(), Error> {
    use entrace_backend::Error::{NoTemplate, TemplateRefused};
    let question = ChatMessage { role: Role::User, content: "What is 2 + 2?".into() };
    match text.render_chat(&[question]) {
        Ok(_) | Err(NoTemplate | TemplateRefused(_)) => Ok(()),
        Err(error) => Err(Error::Refused(error)),
    }
}

/// Servers of one model, and how they are asked.
pub type Remotes = entrace_remote::Options;

/// The servers that options and environment name, if they name some.
pub fn remotes(options: &ModelOptions, host: &dyn Host) -> Result<Option<Remotes>, Error> {
    let server = &options.server;
    let parse = |option: &'static str, texts: &[String]| -> Result<Vec<Endpoint>, Error> {
        let endpoint =
            |text: &String| Endpoint::parse(text).map_err(|error| Error::new(option, error.to_string()));
        texts.iter().map(endpoint).collect()
    };
    let n_addresses = options.names.iter().filter(|name| Endpoint::is_meant(name)).count();
    let replicas = if n_addresses > 0 {
        if n_addresses < options.names.len() || !server.base_urls.is_empty() {
            let problem = "replicas are addresses all: http://host:port/v1#NAME, once for each, and no base URL beside them";
            return Err(Error::new("model", problem));
        }
        parse("model", &options.names)?
    } else if !server.base_urls.is_empty() {
        parse("base_url", &server.base_urls)?
    } else {
        let variable = std::env::var("OPENAI_BASE_URL").ok().filter(|url| !url.trim().is_empty());
        match (variable, options.name()) {
            (Some(url), Some(name)) if !is_here(name, host)? => parse("base_url", &[url])?,
            _ => return refuse_server_options(server).map(|()| None),
        }
    };
    let name = Endpoint::one_model(&replicas).map_err(|error| Error::new("model", error.to_string()))?;
    let name = name.map(str::to_string);
    let named = name.as_deref().or_else(|| options.name().filter(|name| !Endpoint::is_meant(name)));
    let replicas = replicas.iter().map(|endpoint| endpoint.clone().or_model(named)).collect();
    let patience = Patience::default();
    let patience = Patience { away: patience.away.max(server.wait), ..patience };
    Ok(Some(Remotes { replicas, headers: headers(server)?, patience, wait: server.wait }))
}

fn headers(server: &ServerOptions) -> Result<Headers, Error> {
    let key = std::env::var("OPENAI_API_KEY").ok().filter(|key| !key.trim().is_empty());
    let mut headers = Headers::with_key(key.map(|key| Secret::new(key.trim())));
    for line in &server.headers {
        let added = headers.add(line, |name| std::env::var(name).ok());
        added.map_err(|error| Error::new("header", error.to_string()))?;
    }
    Ok(headers)
}

/// Whether a name is that of a model in this machine.
fn is_here(name: &str, host: &dyn Host) -> Result<bool, Error> {
    Ok(Path::new(name).exists() || host.built_in(name)?.is_some())
}

fn refuse_server_options(server: &ServerOptions) -> Result<(), Error> {
    let given = [("tokenizer", server.tokenizer.is_some()), ("header", !server.headers.is_empty())];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            Err(Error::new(option, "is for a model behind a server (http://host:port/v1#NAME)"))
        }
        None => Ok(()),
    }
}

/// A model that can be measured.
pub struct Model {
    place: Where,
    revision: Option<String>,
    template_vars: BTreeMap<String, Value>,
}

enum Where {
    /// In this process.
    Here(Box<LanguageModel>),
    /// Behind servers, whose addresses are kept for the record.
    Served { remote: Box<Remote<Box<ModelText>>>, addresses: Vec<String> },
    /// Behind servers that only chat.
    Chatting { chats: Box<Chats>, addresses: Vec<String> },
    /// In the program around.
    Brought(Box<dyn OwnEngine>),
}

impl Model {
    /// Opens the model that the options name.
    ///
    /// # Errors
    /// Where there is no such model, its files are damaged or its servers cannot be used.
    pub fn open(options: &ModelOptions, host: &dyn Host) -> Result<Self, Error> {
        if let Some(engine) = options.name().map(|name| host.engine(name)).transpose()?.flatten() {
            let place = Where::Brought(engine);
            return Ok(Self { place, revision: None, template_vars: BTreeMap::new() });
        }
        match remotes(options, host)? {
            Some(remotes) => Self::connect(options, &remotes, host),
            None => {
                let (model, revision) = open_language(options, host)?;
                let place = Where::Here(Box::new(model));
                Ok(Self { place, revision, template_vars: BTreeMap::new() })
            }
        }
    }

    /// Connects to servers.
    pub fn connect(options: &ModelOptions, remotes: &Remotes, host: &dyn Host) -> Result<Self, Error> {
        let addresses: Vec<String> = remotes.replicas.iter().map(Endpoint::base).collect();
        host.doing(format!("asking {}", addresses.join(", ")));
        if let Some(chats) = Chats::connect(remotes)? {
            let place = Where::Chatting { chats: Box::new(chats), addresses };
            return Ok(Self { place, revision: None, template_vars: BTreeMap::new() });
        }
        let root = match &options.server.tokenizer {
            Some(tokenizer) => tokenizer.clone(),
            None => entrace_remote::root_of_model(remotes)?.ok_or_else(|| {
                let problem = format!("{} does not say where its model came from; name it", addresses[0]);
                Error::new("tokenizer", problem)
            })?,
        };
        let (path, _unpacked) = tokenizer(&root, host)?;
        let side = entrace_decoder::open_text(&path, jiff::Zoned::now().datetime())?;
        let text = Box::new(ModelText::new(&root, side));
        let remote = Box::new(Remote::connect(remotes, text)?);
        let place = Where::Served { remote, addresses };
        Ok(Self { place, revision: None, template_vars: BTreeMap::new() })
    }

    /// Its text side.
    pub fn text(&self) -> &dyn Text {
        match &self.place {
            Where::Here(model) => &**model,
            Where::Served { remote, .. } => &**remote,
            Where::Chatting { chats, .. } => &**chats,
            Where::Brought(engine) => engine.as_text(),
        }
    }

    /// What identifies it.
    pub fn info(&self) -> &ModelInfo {
        self.text().info()
    }

    /// It as an engine with what it can do.
    pub fn engine(&self) -> Engine<'_> {
        match &self.place {
            Where::Here(model) => engine(model),
            Where::Served { remote, .. } => Engine {
                text: &**remote,
                generator: remote.generator(),
                scorer: remote.scorer(),
                layers: None,
            },
            Where::Chatting { chats, .. } => {
                Engine { text: &**chats, generator: None, scorer: None, layers: None }
            }
            Where::Brought(engine) => Engine {
                text: engine.as_text(),
                generator: engine.generator(),
                scorer: engine.scorer(),
                layers: engine.layers(),
            },
        }
    }

    /// It as an engine that replies to conversations, where it can do no more.
    pub fn chat(&self) -> Option<&dyn Chat> {
        match &self.place {
            Where::Chatting { chats, .. } => Some(&**chats),
            Where::Here(_) | Where::Served { .. } | Where::Brought(_) => None,
        }
    }

    /// The Hub's revision, if it came from there.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// Gives the chat template variables beside those it has. Returns the names of those that it does not read.
    ///
    /// # Errors
    /// Where the model has no chat template.
    pub fn set_template_variables(&mut self, new: &BTreeMap<String, Value>) -> Result<Vec<String>, Error> {
        let mut unread = Vec::new();
        for (name, value) in new {
            let value = value.clone();
            let is_read = match &mut self.place {
                Where::Here(model) => model.set_template_variable(name, value),
                Where::Served { remote, .. } => {
                    remote.text_mut().side_mut().set_template_variable(name, value)
                }
                Where::Chatting { .. } => {
                    let problem = "is for a chat template of ours; a server that only chats has its own";
                    return Err(Error::new("template_vars", problem));
                }
                Where::Brought(engine) => {
                    engine.side_mut().and_then(|side| side.set_template_variable(name, value))
                }
            };
            match is_read {
                Some(true) => {}
                Some(false) => unread.push(name.clone()),
                None => return Err(Error::new("template_vars", "needs a model with a chat template")),
            }
        }
        self.template_vars.extend(new.clone());
        Ok(unread)
    }

    /// The variables that its chat template was given.
    pub fn template_variables(&self) -> &BTreeMap<String, Value> {
        &self.template_vars
    }

    /// The date and time that templates may print.
    pub fn clock(&self) -> DateTime {
        match &self.place {
            Where::Here(model) => model.clock(),
            Where::Served { remote, .. } => remote.text().side().clock(),
            Where::Chatting { .. } => jiff::Zoned::now().datetime(),
            Where::Brought(engine) => {
                engine.side().map_or_else(|| jiff::Zoned::now().datetime(), |side| side.clock())
            }
        }
    }

    /// Sets the date and time that templates may print.
    pub fn set_clock(&mut self, now: DateTime) {
        match &mut self.place {
            Where::Here(model) => model.set_clock(now),
            Where::Served { remote, .. } => remote.text_mut().side_mut().set_clock(now),
            Where::Chatting { .. } => {}
            Where::Brought(engine) => {
                if let Some(side) = engine.side_mut() {
                    side.set_clock(now);
                }
            }
        }
    }

    /// What multiplies with its weights, for the manifest; none of a model outside this program.
    pub(crate) fn kernels(&self) -> BTreeSet<String> {
        match &self.place {
            Where::Here(model) => model.decoder().model().kernels().clone(),
            Where::Served { .. } | Where::Chatting { .. } | Where::Brought(_) => BTreeSet::new(),
        }
    }

    /// What was found out about its servers, for the manifest.
    pub(crate) fn servers(&self) -> Option<Value> {
        let addresses = match &self.place {
            Where::Served { addresses, .. } | Where::Chatting { addresses, .. } => addresses,
            Where::Here(_) | Where::Brought(_) => return None,
        };
        Some(json!({"addresses": addresses, "found": self.profile()?.to_json()}))
    }

    /// What was found out about its servers; none of a model in this process.
    pub fn profile(&self) -> Option<&entrace_remote::Profile> {
        match &self.place {
            Where::Here(_) | Where::Brought(_) => None,
            Where::Served { remote, .. } => Some(remote.profile()),
            Where::Chatting { chats, .. } => Some(chats.profile()),
        }
    }

    /// Tells the state of its servers, from any thread and for as long as it is kept.
    pub fn standing(&self) -> Option<Box<dyn Fn() -> Standing + Send + Sync>> {
        match &self.place {
            Where::Here(_) | Where::Brought(_) => None,
            Where::Served { remote, .. } => Some(Box::new(remote.standing())),
            Where::Chatting { chats, .. } => Some(Box::new(chats.standing())),
        }
    }
}

/// A model in this process as an engine, which can do everything.
pub(crate) fn engine(model: &LanguageModel) -> Engine<'_> {
    Engine { text: model, generator: Some(model), scorer: Some(model), layers: Some(model) }
}

/// Where the tokenizer of a model is, and what keeps its files there until they have been read.
fn tokenizer(name: &str, host: &dyn Host) -> Result<(PathBuf, Option<TempDir>), Error> {
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok((path, None));
    }
    if let Some(model) = host.built_in(name)? {
        let folder = model.unpack()?;
        return Ok((folder.path().to_path_buf(), Some(folder)));
    }
    Ok((Hub::from_env()?.text(&Name::parse(name)?, host.downloads())?.path, None))
}
