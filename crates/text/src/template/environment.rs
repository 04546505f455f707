//! Jinja as transformers sets it up.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use super::{TemplateError, json, python, sizes, source};

/// Variable that carries the clock into `strftime_now`.
const NOW: &str = "__now";

/// What a rendering may cost, in minijinja's units: about an instruction or 64 bytes each.
const FUEL: u64 = 1_000_000;

/// Bytes of stack that it may use, which are taken as they are needed.
const STACK: usize = 256 << 20;

/// Bytes of a prompt beside the messages, and how often a message may stand in it.
const LONGEST_FRAME: usize = 1 << 18;
const MOST_TIMES: usize = 8;

/// Time that it may take, and how often it is looked at. Fuel does not count what single instructions cost: comparing, adding and joining large
/// lists are one each.
const MOST_TIME: Duration = Duration::from_millis(500);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What a template says when it calls `raise_exception`.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// An environment without templates.
pub(super) fn new() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(python::method);
    environment.add_filter(source::PERCENT, python::percent);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None => Ok(out.write_str("None")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        _ => {
            sizes::check_extent(value)?;
            minijinja::escape_formatter(out, state, value)
        }
    });
    environment.add_filter("string", |value: Value| -> Result<String, Error> {
        sizes::check_extent(&value)?;
        Ok(value.to_string())
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Refusal(message)))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", json::to_json);
    sizes::bound_filters(&mut environment);
    Ok(environment)
}

/// Renders a template of the environment.
pub(super) fn render(
    environment: &Environment<'static>,
    name: &'static str,
    context: serde_json::Value,
    now: DateTime,
) -> Result<String, TemplateError> {
    let environment = environment.clone();
    let most_bytes = LONGEST_FRAME + MOST_TIMES * context.to_string().len();
    within_bounds(move || {
        let context = minijinja::context! { __now => now.to_string(), ..Value::from(Serde(context)) };
        let rendered = environment.get_template(name).and_then(|template| template.render(context));
        rendered
            .map_err(|error| match refusal(&error) {
                Some(message) => TemplateError::Refused(message),
                None => TemplateError::Render(said_by(&error)),
            })
            .and_then(|rendered| match rendered.len() > most_bytes {
                true => {
                    Err(TemplateError::TooLarge(format!("it makes a prompt of {} bytes", rendered.len())))
                }
                false => Ok(rendered),
            })
    })
}

/// Does work of minijinja's on a thread of its own, for the time and with the stack that it may use. Values and expressions may be nested as
/// deeply as fuel and `source` allow, and are walked and dropped by recursion, so that none leaves that thread. One that has taken too long is
/// left behind: nothing can end it but the process.
pub(super) fn within_bounds<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send + 'static,
) -> Result<T, TemplateError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = move || {
        // Who waited may have gone.
        let _ = sender.send(work());
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    let thread = thread.map_err(|why| TemplateError::Render(format!("there is no room for it: {why}")))?;
    let began = Instant::now();
    loop {
        match receiver.recv_timeout(BETWEEN_LOOKS) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(TemplateError::Render("minijinja gave up on it".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {
                if time_used(&thread).unwrap_or_else(|| began.elapsed()) > MOST_TIME {
                    return Err(TemplateError::TooSlow);
                }
            }
        }
    }
}

/// Time of the processor that a thread has used, so that a busy machine is no fault of a template; `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn time_used(thread: &JoinHandle<()>) -> Option<Duration> {
    use std::os::unix::thread::JoinHandleExt as _;
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the thread was not joined, so that its handle is one; both places are written to only.
    let known = unsafe {
        libc::pthread_getcpuclockid(thread.as_pthread_t(), &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let (secs, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    known.then(|| Duration::new(secs, nanos))
}

#[cfg(not(target_os = "linux"))]
fn time_used(_: &JoinHandle<()>) -> Option<Duration> {
    None
}

/// What went wrong, with the line of the template.
pub(super) fn said_by(error: &Error) -> String {
    let mut said = match error.kind() {
        ErrorKind::OutOfFuel => "it does more than a conversation needs".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    if let Some(line) = error.line() {
        said = format!("line {line}: {said}");
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{said}: {cause}"),
        None => said,
    }
}

fn refusal(error: &Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(refusal) = current.downcast_ref::<Refusal>() {
            return Some(refusal.0.clone());
        }
        cause = current.source();
    }
    None
}

fn strftime_now(state: &State, format: String) -> Result<String, Error> {
    let broken =
        |why: String| Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {why}"));
    let now: DateTime = state
        .lookup(NOW)
        .and_then(|now| now.as_str().and_then(|text| text.parse().ok()))
        .ok_or_else(|| broken("there is no clock".to_owned()))?;
    jiff::fmt::strtime::format(&format, now).map_err(|why| broken(why.to_string()))
}
