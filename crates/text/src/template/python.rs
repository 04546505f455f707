//! Python's methods on strings and lists, and its `%`, as far as templates use them and minijinja's own set lacks them.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};

use super::sizes;

/// The widest text that padding may ask for.
const WIDEST: usize = 1 << 16;

/// A method that minijinja does not know itself.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let own = match value.as_str() {
        Some(text) => {
            check_method(text, name, args)?;
            string_method(text, name, args)?
        }
        None if value.kind() == ValueKind::Seq => list_method(value, name, args)?,
        None => None,
    };
    match own {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// Refuses what would make texts of any length: methods that write others many times over.
fn check_method(text: &str, name: &str, args: &[Value]) -> Result<(), Error> {
    match (name, args) {
        ("format", values) => {
            check_widths(FormatStyle::StrFormat, text)?;
            sizes::check_formatted(FormatStyle::StrFormat, text, values)
        }
        ("join", [list]) => sizes::check_extent(list).map(|_| ()),
        ("replace", [old, new, ..]) => match (old.as_str(), new.as_str()) {
            (Some(old), Some(new)) => sizes::check_replaced(text, old, new),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// `left % right`, where several values on the right are a tuple's.
pub(super) fn percent(left: &Value, values: Rest<Value>) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        check_widths(FormatStyle::Printf, text)?;
        sizes::check_formatted(FormatStyle::Printf, text, &values)?;
        return format(FormatStyle::Printf, text, &values).map(Value::from);
    }
    let wrong = || Error::new(ErrorKind::InvalidOperation, "tried to use % on what is no number");
    let [right] = values.as_slice() else { return Err(wrong()) };
    match (left.as_i64(), right.as_i64()) {
        (Some(a), Some(b)) if b != 0 => {
            // Python's remainder has the sign of the divisor.
            let remainder = a.checked_rem(b).unwrap_or(0);
            let other_sign = remainder != 0 && (remainder < 0) != (b < 0);
            Ok(Value::from(if other_sign { remainder + b } else { remainder }))
        }
        _ => {
            let number = |value: &Value| f64::try_from(value.clone()).map_err(|_| wrong());
            let (a, b) = (number(left)?, number(right)?);
            if b == 0.0 { Err(wrong()) } else { Ok(Value::from(a - b * (a / b).floor())) }
        }
    }
}

/// Refuses a format with more than five digits of width or precision, or one that takes them from its values.
fn check_widths(style: FormatStyle, text: &str) -> Result<(), Error> {
    let digits = |spec: &str| spec.len() - spec.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let wide = |spec: &str| spec.starts_with('*') || digits(spec) > 5;
    let refused = match style {
        FormatStyle::Printf => text.split('%').skip(1).any(|spec| {
            let spec = spec.trim_start_matches(['-', '+', ' ', '#', '0']);
            wide(spec) || spec[digits(spec)..].strip_prefix('.').is_some_and(wide)
        }),
        FormatStyle::StrFormat => text.split('{').skip(1).any(|field| match field.split_once('}') {
            Some((field, _)) => {
                let spec = field.split_once(':').map_or("", |(_, spec)| spec);
                spec.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > 5)
            }
            // The width is a field of its own.
            None => field.contains(':'),
        }),
    };
    if refused {
        let problem = "a format may be at most five digits wide, and says so itself";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    Ok(())
}

fn string_method(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match name {
        "split" | "rsplit" => {
            let (separator, most) = split_arguments(args)?;
            Value::from(split(text, separator.as_deref(), most, name == "rsplit")?)
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let from_the_right = name == "rpartition";
            let halves =
                if from_the_right { text.rsplit_once(separator) } else { text.split_once(separator) };
            let (before, found, after) = match halves {
                Some((before, after)) => (before, separator, after),
                None if from_the_right => ("", "", text),
                None => (text, "", ""),
            };
            Value::from(Tuple::from([before, found, after].map(Value::from)))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "ljust" | "rjust" | "center" => {
            let (width, fill): (usize, Option<&str>) = from_args(args)?;
            Value::from(padded(text, width, fill.unwrap_or(" "), name)?)
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            Value::from(format!("{sign}{}", padded(digits, width.saturating_sub(sign.len()), "0", "rjust")?))
        }
        "index" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            let found = if name == "index" { text.find(part) } else { text.rfind(part) };
            let missing = || Error::new(ErrorKind::InvalidOperation, format!("{part:?} is not in the text"));
            Value::from(text[..found.ok_or_else(missing)?].chars().count())
        }
        "casefold" => {
            let () = from_args(args)?;
            Value::from(text.to_lowercase().replace('ß', "ss"))
        }
        "swapcase" => {
            let () = from_args(args)?;
            let swapped = text.chars().flat_map(|c| {
                let upper = c.is_uppercase();
                let lowered = c.to_lowercase().filter(move |_| upper);
                lowered.chain(c.to_uppercase().filter(move |_| !upper))
            });
            Value::from(swapped.collect::<String>())
        }
        "isdecimal" => {
            let () = from_args(args)?;
            Value::from(!text.is_empty() && text.chars().all(|c| c.is_ascii_digit()))
        }
        _ => return Ok(None),
    }))
}

fn list_method(list: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    if name != "index" {
        return Ok(None);
    }
    let (item,): (Value,) = from_args(args)?;
    match list.try_iter()?.position(|other| other == item) {
        Some(at) => Ok(Some(Value::from(at))),
        None => Err(Error::new(ErrorKind::InvalidOperation, format!("{item} is not in the list"))),
    }
}

/// `sep` and `maxsplit`, by position or by name; a negative limit is none.
fn split_arguments(args: &[Value]) -> Result<(Option<String>, Option<usize>), Error> {
    let (separator, most, named): (Option<String>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(separator) => Some(separator),
        None => named.get::<Option<String>>("sep")?,
    };
    let most = match most {
        Some(most) => Some(most),
        None => named.get::<Option<i64>>("maxsplit")?,
    };
    named.assert_all_used()?;
    Ok((separator, most.and_then(|most| usize::try_from(most).ok())))
}

fn split(
    text: &str,
    separator: Option<&str>,
    most: Option<usize>,
    from_the_right: bool,
) -> Result<Vec<String>, Error> {
    let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
    let parts: Vec<&str> = match separator {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "the separator is empty")),
        Some(separator) if from_the_right => text.rsplitn(most, separator).collect(),
        Some(separator) => text.splitn(most, separator).collect(),
        None => words(text, most, from_the_right),
    };
    let parts = parts.into_iter().map(str::to_owned);
    Ok(if from_the_right { parts.rev().collect() } else { parts.collect() })
}

/// At most `most` words, the last of them with all that is left; from the right if asked, then in that order.
fn words(text: &str, most: usize, from_the_right: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = if from_the_right { text.trim_end() } else { text.trim_start() };
    while !rest.is_empty() {
        let cut = if from_the_right {
            rest.rfind(char::is_whitespace).map(|at| {
                let space = rest[at..].chars().next().map_or(1, char::len_utf8);
                (&rest[at + space..], rest[..at].trim_end())
            })
        } else {
            rest.find(char::is_whitespace).map(|at| (&rest[..at], rest[at..].trim_start()))
        };
        match cut.filter(|_| words.len() + 1 < most) {
            Some((word, left)) => {
                words.push(word);
                rest = left;
            }
            None => {
                words.push(rest);
                break;
            }
        }
    }
    words
}

fn padded(text: &str, width: usize, fill: &str, side: &str) -> Result<String, Error> {
    if width > WIDEST || fill.chars().count() != 1 {
        let problem =
            format!("{side} takes a width of up to {WIDEST} and one character, got {width} and {fill:?}");
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let missing = width.saturating_sub(text.chars().count());
    // Python puts the odd space on the left where the width is odd, and on the right where it is even.
    let left = match side {
        "ljust" => 0,
        "rjust" => missing,
        _ => missing / 2 + (missing & width & 1),
    };
    Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)))
}
