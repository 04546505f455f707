//! How much one instruction of a template may make.
//!
//! Fuel counts instructions, and not what each of them costs: joining, formatting and replacing multiply texts in one, and a namespace may hold
//! itself. What they would make is reckoned before they make it.

use minijinja::formatting::FormatStyle;
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

/// Values within one another, and values in all, that are written out as text.
const DEEPEST_VALUE: usize = 64;
const MOST_VALUES: usize = 20_000;

/// Bytes that one text may have.
const LONGEST_TEXT: usize = 1 << 25;

/// minijinja's own filters, under names that no template can write.
const JOIN: &str = "join, unbounded";
const FORMAT: &str = "format, unbounded";

/// Puts bounds before filters that multiply texts.
pub(super) fn bound_filters(environment: &mut Environment<'static>) {
    environment.add_filter(JOIN, minijinja::filters::join);
    environment.add_filter("join", |state: &mut State, list: Value, rest: Rest<ValueOrKwargs>| {
        check_extent(&list)?;
        let args: Vec<Value> = [list].into_iter().chain(rest.into_values()).collect();
        state.apply_filter(JOIN, &args)
    });
    environment.add_filter(FORMAT, minijinja::filters::format);
    environment.add_filter("format", |state: &mut State, text: Value, rest: Rest<ValueOrKwargs>| {
        let values = rest.into_values();
        check_formatted(FormatStyle::Printf, text.as_str().unwrap_or_default(), &values)?;
        let args: Vec<Value> = [text].into_iter().chain(values).collect();
        state.apply_filter(FORMAT, &args)
    });
}

/// Refuses to write out a value that is nested without end, or has too much text in it. Bytes of its text, about.
pub(super) fn check_extent(value: &Value) -> Result<usize, Error> {
    let mut open = vec![(value.clone(), 0)];
    let (mut n_seen, mut n_bytes) = (0, 0);
    while let Some((value, depth)) = open.pop() {
        n_seen += 1;
        n_bytes += value.as_str().map_or(8, str::len);
        if depth > DEEPEST_VALUE || n_seen + open.len() > MOST_VALUES || n_bytes > LONGEST_TEXT {
            let problem = "a value is too large, or nested too deeply, to be written out";
            return Err(Error::new(ErrorKind::InvalidOperation, problem));
        }
        let is_map = value.kind() == ValueKind::Map;
        if is_map || matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
            for item in value.try_iter()?.take(MOST_VALUES + 1) {
                if is_map {
                    open.push((value.get_item(&item)?, depth + 1));
                    n_bytes += item.as_str().map_or(8, str::len);
                } else {
                    open.push((item, depth + 1));
                }
            }
        }
    }
    Ok(n_bytes)
}

/// Refuses a format that writes values out too often.
pub(super) fn check_formatted(style: FormatStyle, text: &str, values: &[Value]) -> Result<(), Error> {
    let sign = match style {
        FormatStyle::Printf => '%',
        FormatStyle::StrFormat => '{',
    };
    let sizes: Vec<usize> = values.iter().map(check_extent).collect::<Result<_, _>>()?;
    check_repeated(text.matches(sign).count(), sizes.into_iter().max().unwrap_or(0))
}

/// Refuses to put a text in the place of another too often.
pub(super) fn check_replaced(text: &str, old: &str, new: &str) -> Result<(), Error> {
    check_repeated(text.matches(old).count(), new.len())
}

fn check_repeated(n_times: usize, n_bytes: usize) -> Result<(), Error> {
    if n_times.saturating_mul(n_bytes) > LONGEST_TEXT {
        let problem = format!("a text of {n_bytes} bytes would be written {n_times} times");
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    Ok(())
}
