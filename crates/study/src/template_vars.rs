//! Variables of the chat template, as people write them.
//!
//! `name=value`, several with commas between them, in one text or several; the last value of a name counts. A value is JSON
//! (`enable_thinking=false`, `budget=512`, `tools=["a","b"]`) or else a bare word, which is a text (`reasoning_effort=low`). Python's `True`,
//! `False` and `None` are refused: as texts they would all be true.

use crate::error::Error;
use serde_json::Value;
use std::collections::BTreeMap;

/// Names that templates read, but that are not the user's to set.
const OWN: [&str; 2] = ["messages", "add_generation_prompt"];

/// Reads variables of a chat template: `name=value`, the value as JSON or a bare word.
pub fn parse(texts: &[String]) -> Result<BTreeMap<String, Value>, Error> {
    let mut variables = BTreeMap::new();
    for text in texts {
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, value) = rest.split_once('=').ok_or_else(|| wrong(rest, "is not name=value"))?;
            let name = name.trim();
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(wrong(name, "is no name of a variable"));
            }
            if OWN.contains(&name) {
                return Err(wrong(name, "is what entrace itself tells the template"));
            }
            let (value, after) = first_value(value)?;
            variables.insert(name.to_string(), value);
            rest = after;
        }
    }
    Ok(variables)
}

/// The value that a text begins with, and what follows the comma after it.
fn first_value(text: &str) -> Result<(Value, &str), Error> {
    let mut json = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = json.next();
    let after = text[json.byte_offset()..].trim_start();
    if let (Some(Ok(value)), true) = (value, after.is_empty() || after.starts_with(',')) {
        return Ok((value, after.strip_prefix(',').unwrap_or("").trim_start()));
    }
    let (word, after) = text.split_once(',').unwrap_or((text, ""));
    let word = word.trim();
    match word {
        "True" | "False" => Err(wrong(word, "is not JSON; write true or false")),
        "None" => Err(wrong(word, "is not JSON; write null")),
        _ if word.is_empty() || word.contains(['"', '[', ']', '{', '}', '=']) => {
            Err(wrong(text.trim(), "does not begin with a JSON value or a word"))
        }
        _ => Ok((word.into(), after.trim_start())),
    }
}

fn wrong(what: &str, problem: &str) -> Error {
    Error::new("template_vars", format!("{what:?} {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(flags: &[&str]) -> Result<Value, String> {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        parse(&flags).map(|variables| json!(variables)).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_json_or_words() {
        let flags =
            ["enable_thinking=false, budget = 512", r#"tools=["a,b", {"c": 1}],effort=low"#, "budget=1.5"];
        let expected = json!({
            "budget": 1.5, "effort": "low", "enable_thinking": false, "tools": ["a,b", {"c": 1}],
        });
        assert_eq!(parsed(&flags), Ok(expected));
        assert_eq!(parsed(&["x=null", "y=10 apples"]), Ok(json!({"x": null, "y": "10 apples"})));
        assert_eq!(parsed(&[""]), Ok(json!({})));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (flag, problem) in [
            ("enable_thinking", "is not name=value"),
            ("enable_thinking=False", "write true or false"),
            ("tools=None", "write null"),
            ("messages=[]", "entrace itself"),
            ("x=", "does not begin with"),
            ("x=[1,2", "does not begin with"),
            ("a b=1", "is no name"),
        ] {
            let error = parsed(&[flag]).unwrap_err();
            assert!(error.contains(problem), "{flag}: {error}");
        }
    }
}
