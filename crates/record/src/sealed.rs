//! JSON files that notice a change.
//!
//! The last field, `checksum`, is the SHA-256 of all that stands before it, as JSON without spaces. A flipped bit in a name or a number then ends in an
//! error instead of another result. It is no signature: whoever means to change the file can remove the field, and files of earlier
//! versions have none.

use crate::hash;
use serde_json::{Map, Value};

const CHECKSUM: &str = "checksum";

/// The text of a file that holds these fields.
pub(crate) fn seal(mut fields: Map<String, Value>) -> String {
    fields.remove(CHECKSUM);
    let checksum = checksum(&fields);
    fields.insert(CHECKSUM.to_owned(), Value::String(checksum));
    format!("{:#}\n", Value::Object(fields))
}

/// Takes the checksum out of the fields of a file. What is wrong, if it is not theirs.
pub(crate) fn unseal(json: &mut Value) -> Result<(), String> {
    let Some(fields) = json.as_object_mut() else { return Ok(()) };
    match fields.remove(CHECKSUM) {
        None => Ok(()),
        Some(stated) if stated == checksum(fields) => Ok(()),
        Some(_) => Err(format!(
            "it was changed after it was written: its `{CHECKSUM}` is not that of its fields (remove the field if the change is meant)"
        )),
    }
}

fn checksum(fields: &Map<String, Value>) -> String {
    let parts: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(&**name))).collect();
    hash::sha256(format!("{{{}}}", parts.join(",")).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn example() -> Map<String, Value> {
        json!({"name": "sümß", "elapsed": 0.1, "whole": 1.0, "seed": u64::MAX, "deep": {"list": [null, 1e-300]}})
            .as_object()
            .unwrap()
            .clone()
    }

    #[test]
    fn what_was_sealed_is_read_back() {
        let mut read: Value = serde_json::from_str(&seal(example())).unwrap();
        assert!(read.get(CHECKSUM).is_some());
        unseal(&mut read).unwrap();
        assert_eq!(read, Value::Object(example()));
    }

    #[test]
    fn each_flipped_bit_is_noticed_or_changes_nothing() {
        let sealed = seal(example()).into_bytes();
        for (at, bit) in (0..sealed.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1 << bit;
            let Ok(mut read) = serde_json::from_slice::<Value>(&damaged) else { continue };
            let renamed = read.get(CHECKSUM).is_none();
            if unseal(&mut read).is_ok() {
                if let Some(fields) = read.as_object_mut().filter(|_| renamed) {
                    fields.retain(|name, _| example().contains_key(name));
                }
                assert_eq!(read, Value::Object(example()), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn without_a_checksum_there_is_nothing_to_check() {
        let mut read = json!({"seed": 1});
        unseal(&mut read).unwrap();
        unseal(&mut json!([])).unwrap();
        assert_eq!(read, json!({"seed": 1}));
    }
}
