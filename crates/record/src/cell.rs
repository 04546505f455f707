//! How one value is kept in a Parquet column.
//!
//! | Rust | Parquet | encoding |
//! |---|---|---|
//! | `Arc<str>`, `String`, `Outcome` | BYTE_ARRAY (STRING) | dictionary |
//! | `u32` | INT32 (INTEGER(32, false)) | dictionary |
//! | `f64` | DOUBLE | plain |
//! | `bool` | BOOLEAN | plain |
//! | `Option<C>` | as `C`, OPTIONAL; `None` is null | as `C` |
//!
//! Floats keep their bits: −0 and infinities come back as they were.

use std::collections::HashSet;
use std::sync::Arc;

use parquet::basic::LogicalType;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type};

use crate::rows::Outcome;

/// A value as the Parquet library holds it.
pub(crate) type Raw<C> = <<C as Cell>::Physical as DataType>::T;

/// A type that a column can hold.
pub(crate) trait Cell: Sized {
    /// The type on disk.
    type Physical: DataType;
    /// Whether the column may hold nulls.
    const NULLABLE: bool = false;
    /// Whether values repeat, so that a dictionary pays.
    const DICTIONARY: bool;

    /// What the type on disk means, where it says less than the column does.
    fn logical_type() -> Option<LogicalType> {
        None
    }

    /// The value on disk; `None` is null.
    fn encode(&self) -> Option<Raw<Self>>;

    /// The value in memory, or what is wrong with the one on disk.
    fn decode(raw: Option<&Raw<Self>>, strings: &mut Strings) -> Result<Self, String>;

    /// Memory that the value takes, roughly.
    fn n_bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// Strings beyond which they are not remembered from one row group to the next.
const MOST_STRINGS: usize = 1 << 16;

/// Strings that were seen before: equal strings share one allocation.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    known: HashSet<Arc<str>>,
    last: Option<Arc<str>>,
}

impl Strings {
    /// Lets strings go once there are many, as question ids are in a long table.
    pub(crate) fn forget(&mut self) {
        if self.known.len() > MOST_STRINGS {
            self.known.clear();
        }
    }

    /// The shared copy of a string. Neighbours in a column are often equal, hence the look at the last one.
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(last) = &self.last
            && **last == *text
        {
            return Arc::clone(last);
        }
        let shared = self.known.get(text).map_or_else(|| Arc::from(text), Arc::clone);
        self.known.insert(Arc::clone(&shared));
        self.last = Some(Arc::clone(&shared));
        shared
    }
}

fn present<T>(raw: Option<&T>) -> Result<&T, String> {
    raw.ok_or_else(|| "a null where a value must be".to_owned())
}

fn text(raw: Option<&ByteArray>) -> Result<&str, String> {
    std::str::from_utf8(present(raw)?.data()).map_err(|e| format!("text that is not UTF-8 ({e})"))
}

impl Cell for Arc<str> {
    type Physical = ByteArrayType;
    const DICTIONARY: bool = true;

    fn logical_type() -> Option<LogicalType> {
        Some(LogicalType::String)
    }

    fn encode(&self) -> Option<ByteArray> {
        Some(ByteArray::from(&**self))
    }

    fn decode(raw: Option<&ByteArray>, strings: &mut Strings) -> Result<Self, String> {
        text(raw).map(|text| strings.share(text))
    }

    fn n_bytes(&self) -> usize {
        self.len()
    }
}

impl Cell for String {
    type Physical = ByteArrayType;
    const DICTIONARY: bool = true;

    fn logical_type() -> Option<LogicalType> {
        Some(LogicalType::String)
    }

    fn encode(&self) -> Option<ByteArray> {
        Some(ByteArray::from(self.as_str()))
    }

    fn decode(raw: Option<&ByteArray>, _: &mut Strings) -> Result<Self, String> {
        text(raw).map(str::to_owned)
    }

    fn n_bytes(&self) -> usize {
        self.len()
    }
}

impl Cell for Outcome {
    type Physical = ByteArrayType;
    const DICTIONARY: bool = true;

    fn logical_type() -> Option<LogicalType> {
        Some(LogicalType::String)
    }

    fn encode(&self) -> Option<ByteArray> {
        Some(ByteArray::from(self.name()))
    }

    fn decode(raw: Option<&ByteArray>, _: &mut Strings) -> Result<Self, String> {
        let name = text(raw)?;
        [Self::Measured, Self::Skipped, Self::Failed]
            .into_iter()
            .find(|outcome| outcome.name() == name)
            .ok_or_else(|| format!("{name:?}, which is none of measured, skipped, failed"))
    }
}

impl Cell for u32 {
    type Physical = Int32Type;
    const DICTIONARY: bool = true;

    fn logical_type() -> Option<LogicalType> {
        Some(LogicalType::integer(32, false))
    }

    fn encode(&self) -> Option<i32> {
        Some(self.cast_signed())
    }

    fn decode(raw: Option<&i32>, _: &mut Strings) -> Result<Self, String> {
        present(raw).map(|value| value.cast_unsigned())
    }
}

impl Cell for f64 {
    type Physical = DoubleType;
    const DICTIONARY: bool = false;

    fn encode(&self) -> Option<f64> {
        Some(*self)
    }

    fn decode(raw: Option<&f64>, _: &mut Strings) -> Result<Self, String> {
        present(raw).copied()
    }
}

impl Cell for bool {
    type Physical = BoolType;
    const DICTIONARY: bool = false;

    fn encode(&self) -> Option<bool> {
        Some(*self)
    }

    fn decode(raw: Option<&bool>, _: &mut Strings) -> Result<Self, String> {
        present(raw).copied()
    }
}

impl<C: Cell> Cell for Option<C> {
    type Physical = C::Physical;
    const NULLABLE: bool = true;
    const DICTIONARY: bool = C::DICTIONARY;

    fn logical_type() -> Option<LogicalType> {
        C::logical_type()
    }

    fn encode(&self) -> Option<Raw<C>> {
        self.as_ref().and_then(C::encode)
    }

    fn decode(raw: Option<&Raw<C>>, strings: &mut Strings) -> Result<Self, String> {
        raw.map(|raw| C::decode(Some(raw), strings)).transpose()
    }

    fn n_bytes(&self) -> usize {
        self.as_ref().map_or(0, C::n_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_one_allocation() {
        let mut strings = Strings::default();
        let first = strings.share("a");
        let other = strings.share("b");
        let again = strings.share("a");
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!((&*other, &*again), ("b", "a"));
    }

    #[test]
    fn a_null_in_a_required_column_is_refused() {
        assert!(f64::decode(None, &mut Strings::default()).unwrap_err().contains("null"));
        assert_eq!(Option::<f64>::decode(None, &mut Strings::default()), Ok(None));
    }

    #[test]
    fn an_unknown_outcome_is_refused_by_name() {
        let raw = ByteArray::from("lost");
        let problem = Outcome::decode(Some(&raw), &mut Strings::default()).unwrap_err();
        assert!(problem.contains("\"lost\""), "{problem}");
    }

    #[test]
    fn large_unsigned_numbers_keep_their_value() {
        let raw = u32::MAX.encode();
        assert_eq!(u32::decode(raw.as_ref(), &mut Strings::default()), Ok(u32::MAX));
    }
}
