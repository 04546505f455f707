//! The model that flags name, wherever it is: loaded here, or behind servers.

use crate::args::ModelArgs;
use crate::download::Download;
use crate::exit::{InSetUp, SetUp};
use crate::{fault, model, sprout};
use anyhow::Result;
use entrace_backend::{ModelInfo, Text};
use entrace_decoder::LanguageModel;
use entrace_hub::{Hub, Name};
use entrace_remote::{Endpoint, Headers, ModelText, Options, Patience, Remote, Secret, Standing};
use entrace_run::Engine;
use jiff::civil::DateTime;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A model that can be measured.
pub(crate) enum Model {
    /// In this process.
    Here(Box<LanguageModel>),
    /// Behind servers, whose addresses are kept for the record.
    Served(Box<Served>),
}

/// A model behind servers.
pub(crate) struct Served {
    pub(crate) remote: Remote<Box<ModelText>>,
    addresses: Vec<String>,
}

/// Opens a model: its name, and the Hub's revision if it came from there.
pub(crate) fn open(args: &ModelArgs, quiet: bool) -> Result<(Model, Option<String>)> {
    match servers(args)? {
        Some(options) => Ok((Model::Served(Box::new(connect(args, options, quiet)?)), None)),
        None => {
            let (model, revision) = model::open(args, quiet)?;
            Ok((Model::Here(Box::new(model)), revision))
        }
    }
}

/// The servers that flags and environment name, if they name some.
pub(crate) fn servers(args: &ModelArgs) -> Result<Option<Options>> {
    let address = |text: &String| Endpoint::parse(text).map_err(|error| SetUp(error.to_string()));
    let n_addresses = args.model.iter().filter(|name| Endpoint::is_meant(name)).count();
    let replicas: Vec<Endpoint> = if n_addresses > 0 {
        if n_addresses < args.model.len() || !args.server.base_url.is_empty() {
            let problem = "replicas are addresses all: --model http://host:port/v1#NAME, once for each, and no --base-url";
            return Err(SetUp(problem.into()).into());
        }
        args.model.iter().map(address).collect::<Result<_, _>>()?
    } else if !args.server.base_url.is_empty() {
        args.server.base_url.iter().map(address).collect::<Result<_, _>>()?
    } else {
        let variable = std::env::var("OPENAI_BASE_URL").ok().filter(|url| !url.trim().is_empty());
        match (variable, args.name()) {
            (Some(url), Some(name)) if !is_here(name)? => vec![address(&url)?],
            _ => {
                return refuse_server_flags(args).map(|()| None);
            }
        }
    };
    let name = Endpoint::one_model(&replicas).map_err(|error| SetUp(error.to_string()))?.map(str::to_string);
    let named = name.as_deref().or_else(|| args.name().filter(|name| !Endpoint::is_meant(name)));
    let replicas = replicas.iter().map(|endpoint| endpoint.clone().or_model(named)).collect();
    let key = std::env::var("OPENAI_API_KEY").ok().filter(|key| !key.trim().is_empty());
    let mut headers = Headers::with_key(key.map(|key| Secret::new(key.trim())));
    for line in &args.server.header {
        headers
            .add(line, |name| std::env::var(name).ok())
            .map_err(|error| SetUp(format!("--header: {error}")))?;
    }
    let wait = Duration::from_secs(args.server.wait_for_server);
    let patience = Patience::default();
    let patience = Patience { away: patience.away.max(wait), ..patience };
    Ok(Some(Options { replicas, headers, patience, wait }))
}

/// Whether a name is that of a model in this machine.
fn is_here(name: &str) -> Result<bool> {
    Ok(Path::new(name).exists() || sprout::Stage::named(name)?.is_some())
}

fn refuse_server_flags(args: &ModelArgs) -> Result<()> {
    let server = &args.server;
    let given = [("--tokenizer", server.tokenizer.is_some()), ("--header", !server.header.is_empty())];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => {
            Err(SetUp(format!("{flag} goes with a model behind a server (--model http://host:port/v1#NAME)"))
                .into())
        }
        None => Ok(()),
    }
}

/// Connects to servers.
pub(crate) fn connect(args: &ModelArgs, options: Options, quiet: bool) -> Result<Served> {
    let addresses: Vec<String> = options.replicas.iter().map(Endpoint::base).collect();
    fault::doing(format!("asking {}", addresses.join(", ")));
    let root = match &args.server.tokenizer {
        Some(tokenizer) => tokenizer.clone(),
        None => entrace_remote::root_of_model(&options)?.ok_or_else(|| {
            SetUp(format!(
                "{} does not say where its model came from; name its tokenizer by --tokenizer",
                addresses[0]
            ))
        })?,
    };
    let located = tokenizer(&root, quiet)?;
    let now = jiff::Zoned::now().datetime();
    let side = entrace_decoder::open_text(&located.path, now).in_set_up()?;
    let text = ModelText::new(&root, side);
    Ok(Served { remote: Remote::connect(&options, Box::new(text))?, addresses })
}

/// Files of a tokenizer.
struct Tokenizer {
    path: PathBuf,
    /// Keeps the files of an embedded model until they have been read.
    _unpacked: Option<TempDir>,
}

fn tokenizer(name: &str, quiet: bool) -> Result<Tokenizer> {
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok(Tokenizer { path, _unpacked: None });
    }
    if let Some(stage) = sprout::Stage::named(name)? {
        let folder = stage.unpack()?;
        return Ok(Tokenizer { path: folder.path().to_path_buf(), _unpacked: Some(folder) });
    }
    let fetched = Hub::from_env()?.text(&Name::parse(name)?, &Download::new(quiet))?;
    Ok(Tokenizer { path: fetched.path, _unpacked: None })
}

impl Model {
    /// Its text side.
    pub(crate) fn text(&self) -> &dyn Text {
        match self {
            Self::Here(model) => &**model,
            Self::Served(served) => &served.remote,
        }
    }

    /// What identifies it.
    pub(crate) fn info(&self) -> &ModelInfo {
        self.text().info()
    }

    /// It as an engine with what it can do.
    pub(crate) fn engine(&self) -> Engine<'_> {
        match self {
            Self::Here(model) => Engine {
                text: &**model,
                generator: Some(&**model),
                scorer: Some(&**model),
                layers: Some(&**model),
            },
            Self::Served(served) => {
                let remote = &served.remote;
                Engine { text: remote, generator: remote.generator(), scorer: remote.scorer(), layers: None }
            }
        }
    }

    /// Sets a variable of the chat template, as `LanguageModel::set_template_variable` does.
    pub(crate) fn set_template_variable(&mut self, name: &str, value: Value) -> Option<bool> {
        match self {
            Self::Here(model) => model.set_template_variable(name, value),
            Self::Served(served) => served.remote.text_mut().side_mut().set_template_variable(name, value),
        }
    }

    /// The date and time that templates may print.
    pub(crate) fn clock(&self) -> DateTime {
        match self {
            Self::Here(model) => model.clock(),
            Self::Served(served) => served.remote.text().side().clock(),
        }
    }

    /// Sets the date and time that templates may print.
    pub(crate) fn set_clock(&mut self, now: DateTime) {
        match self {
            Self::Here(model) => model.set_clock(now),
            Self::Served(served) => served.remote.text_mut().side_mut().set_clock(now),
        }
    }

    /// What was found out about its servers, for the manifest.
    pub(crate) fn servers(&self) -> Option<Value> {
        let Self::Served(served) = self else { return None };
        Some(json!({"addresses": served.addresses, "found": served.remote.profile().to_json()}))
    }

    /// What its servers cannot do, each with what would do.
    pub(crate) fn lacks(&self) -> Vec<String> {
        match self {
            Self::Here(_) => Vec::new(),
            Self::Served(served) => served.remote.profile().lacks(),
        }
    }

    /// Tells how things stand with its servers.
    pub(crate) fn standing(&self) -> Option<Box<dyn Fn() -> Standing + Send + Sync>> {
        match self {
            Self::Here(_) => None,
            Self::Served(served) => Some(Box::new(served.remote.standing())),
        }
    }
}
