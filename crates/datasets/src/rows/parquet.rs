//! Parquet tables as rows.
//!
//! Structs and maps become objects, lists lists; decimals of any precision and floats become the fewest digits that name them,
//! dates and times ISO 8601 text. Bytes that are UTF-8 are text, as older writers leave text unmarked. A column of a type that
//! has no value here, or whose pages claim more than can be kept, is left unread and says so wherever it is asked for.
//!
//! The file may be damaged or hostile. What is unpacked at a time and what is kept in all is limited, and a panic of the library
//! is an error of the file.

mod pages;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::parquet::basic::ConvertedType;
use ::parquet::data_type::Decimal;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::{Field, Row as ParquetRow};
use ::parquet::schema::types::Type;
use bytes::Bytes;
use half::f16;
use num_bigint::BigInt;

use super::{Numbered, text_value};
use crate::quiet;
use crate::value::{Row, Value};

/// Most bytes of unpacked pages that are in memory together, over all columns.
const MAX_PAGE_BYTES: u64 = 1 << 30;

/// Most values of a column in one row group, elements of lists included.
const MAX_GROUP_VALUES: u64 = 1 << 24;

/// Most bytes of all rows in memory: of the texts, and of what holds them.
const MAX_TABLE_BYTES: usize = 1 << 30;

/// What a value takes besides its text, and a row besides its values.
const VALUE_BYTES: usize = 96;

/// The rows of a file; texts longer than `max_cell_bytes` are unreadable.
pub(super) fn rows(bytes: Vec<u8>, max_cell_bytes: usize) -> Result<Vec<Numbered>, ParquetError> {
    let read = || read(Bytes::from(bytes), max_cell_bytes, MAX_TABLE_BYTES);
    let caught = quiet::quietly(|| catch_unwind(AssertUnwindSafe(read)));
    caught.unwrap_or_else(|_| Err(damaged("its pages do not fit together")))
}

fn read(bytes: Bytes, max_cell_bytes: usize, max_table_bytes: usize) -> Result<Vec<Numbered>, ParquetError> {
    let reader = SerializedFileReader::new(bytes.clone())?;
    let schema = reader.metadata().file_metadata().schema();
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    let mut page_bytes = 0;
    for column in schema.get_fields() {
        let reason = unreadable_type(column)
            .or_else(|| too_large(column.name(), reader.metadata(), &bytes, &mut page_bytes));
        match reason {
            None => read.push(column.clone()),
            Some(reason) => unread.push((column.name().to_string(), Value::unreadable(reason))),
        }
    }
    if read.is_empty() {
        let reason = unread.iter().map(|(name, value)| format!(": {name} holds {}", value.kind())).next();
        return Err(damaged(&format!("it has no column that can be read{}", reason.unwrap_or_default())));
    }
    let projection = Type::group_type_builder(schema.name()).with_fields(read).build()?;
    let mut rows = Vec::new();
    let mut n_bytes = 0;
    for (i, row) in reader.get_row_iter(Some(projection))?.enumerate() {
        let row: Row = object(row?, max_cell_bytes).into_values().chain(unread.iter().cloned()).collect();
        n_bytes += VALUE_BYTES + row.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>();
        if n_bytes > max_table_bytes {
            let most = max_table_bytes >> 20;
            return Err(damaged(&format!(
                "its first {} rows take more than {most} MiB; split the file",
                i + 1
            )));
        }
        rows.push((i + 1, Ok(row)));
    }
    Ok(rows)
}

fn damaged(problem: &str) -> ParquetError {
    ParquetError::General(problem.to_string())
}

/// Bytes that a value takes in memory, roughly.
fn size(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Number(text) | Value::Text(text) => text.len(),
            Value::List(items) => items.iter().map(size).sum(),
            Value::Object(row) => row.iter().map(|(name, value)| name.len() + size(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Unreadable(_) => 0,
        }
}

/// Why a column cannot be read, if it cannot.
fn unreadable_type(column: &Arc<Type>) -> Option<String> {
    if column.is_group() {
        return column.get_fields().iter().find_map(unreadable_type);
    }
    let converted = column.get_basic_info().converted_type();
    let is_unknown = matches!(converted, ConvertedType::INTERVAL | ConvertedType::BSON);
    is_unknown.then(|| format!("values of the Parquet type {converted}, which are not read"))
}

/// Why a column is too large to be read, if it is. `page_bytes` is what the columns before it have in memory at a time.
fn too_large(name: &str, metadata: &ParquetMetaData, file: &Bytes, page_bytes: &mut u64) -> Option<String> {
    let mut most = 0;
    for group in metadata.row_groups() {
        let of_column = |chunk: &&ColumnChunkMetaData| {
            chunk.column_path().parts().first().is_some_and(|root| root == name)
        };
        let mut together = 0_u64;
        for chunk in group.columns().iter().filter(of_column) {
            let Some(claims) = pages_of(chunk, file).and_then(pages::claims) else {
                return Some("pages whose headers are damaged".into());
            };
            if claims.n_values > MAX_GROUP_VALUES {
                return Some(format!(
                    "{} values in one row group, more than {MAX_GROUP_VALUES}",
                    claims.n_values
                ));
            }
            together = together.saturating_add(claims.page_bytes);
        }
        most = most.max(together);
    }
    if most > MAX_PAGE_BYTES - *page_bytes {
        return Some(format!("pages that unpack to {most} bytes, more than there is room for"));
    }
    *page_bytes += most;
    None
}

/// The bytes of a column's pages in the file.
fn pages_of<'a>(chunk: &ColumnChunkMetaData, file: &'a Bytes) -> Option<&'a [u8]> {
    let start = chunk.dictionary_page_offset().filter(|&at| at > 0).unwrap_or(chunk.data_page_offset());
    let start = usize::try_from(start.min(chunk.data_page_offset())).ok()?;
    let end = start.checked_add(usize::try_from(chunk.compressed_size()).ok()?)?;
    file.get(start..end)
}

fn object(row: ParquetRow, max_cell_bytes: usize) -> Row {
    row.into_columns().into_iter().map(|(name, field)| (name, value(field, max_cell_bytes))).collect()
}

fn value(field: Field, max_cell_bytes: usize) -> Value {
    let value = |field| value(field, max_cell_bytes);
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(value),
        Field::Byte(value) => Value::Number(value.to_string()),
        Field::Short(value) => Value::Number(value.to_string()),
        Field::Int(value) => Value::Number(value.to_string()),
        Field::Long(value) => Value::Number(value.to_string()),
        Field::UByte(value) => Value::Number(value.to_string()),
        Field::UShort(value) => Value::Number(value.to_string()),
        Field::UInt(value) => Value::Number(value.to_string()),
        Field::ULong(value) => Value::Number(value.to_string()),
        Field::Float16(value) => float(value.to_f64(), shortest(value)),
        Field::Float(value) => float(value.into(), value.to_string()),
        Field::Double(value) => float(value, value.to_string()),
        Field::Decimal(value) => Value::Number(decimal(&value)),
        Field::Str(text) => text_value(text, max_cell_bytes),
        Field::Bytes(bytes) => match str::from_utf8(bytes.data()) {
            Ok(text) => text_value(text.to_string(), max_cell_bytes),
            Err(_) => Value::unreadable("bytes that are not UTF-8 text"),
        },
        Field::Group(row) => Value::Object(object(row, max_cell_bytes)),
        Field::ListInternal(list) => Value::List(list.elements().iter().cloned().map(value).collect()),
        Field::MapInternal(map) => {
            let pairs = map.entries().iter().cloned();
            let pairs: Result<Vec<(String, Value)>, String> =
                pairs.map(|(key, item)| Ok((crate::value::scalar(&value(key))?, value(item)))).collect();
            pairs.map_or_else(Value::unreadable, |pairs| Value::Object(pairs.into_iter().collect()))
        }
        time @ (Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)) => Value::Text(time.to_string()),
    }
}

fn float(value: f64, digits: String) -> Value {
    if value.is_finite() { Value::Number(digits) } else { Value::unreadable(digits) }
}

/// The fewest digits that name the number among those of 16 bits.
fn shortest(value: f16) -> String {
    let rounded =
        (0..5).map(|decimals| format!("{:.decimals$e}", value.to_f32()).parse().unwrap_or(f32::NAN));
    let mut same = rounded.filter(|&rounded| f16::from_f32(rounded) == value);
    same.next().unwrap_or_else(|| value.to_f32()).to_string()
}

/// All digits of a decimal, with as many after the point as its type has.
fn decimal(value: &Decimal) -> String {
    let unscaled = BigInt::from_signed_bytes_be(value.data());
    let scale = usize::try_from(value.scale()).unwrap_or(0);
    if scale == 0 {
        return unscaled.to_string();
    }
    let sign = if unscaled.sign() == num_bigint::Sign::Minus { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.magnitude().to_string(), width = scale + 1);
    let (whole, decimals) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{decimals}")
}

#[cfg(test)]
mod tests {
    use ::parquet::basic::{Compression, ZstdLevel};
    use ::parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
    use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    use super::*;

    /// A file with a column of text, `row` in each of `n` rows, and one of lists, with `n_nulls` elements in the first row.
    fn file(row: &str, n: usize, n_nulls: usize) -> Bytes {
        let schema = "message schema { required binary question (STRING);
            required group list (LIST) { repeated group list { optional int32 element; } } }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_page_size_limit(4 << 20);
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&vec![ByteArray::from(row); n], None, None).unwrap();
        column.close().unwrap();
        let mut repetition = vec![1; n_nulls];
        repetition.extend(vec![0; n - 1]);
        repetition[0] = 0;
        let definition: Vec<i16> =
            repetition.iter().enumerate().map(|(i, _)| i16::from(i < n_nulls)).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&[], Some(&definition), Some(&repetition)).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        Bytes::from(writer.into_inner().unwrap())
    }

    #[test]
    fn a_dictionary_that_unpacks_to_gigabytes_is_refused() {
        let bomb = file(&"a".repeat(1 << 20), 10_000, 1);
        assert!(bomb.len() < 20_000, "{}", bomb.len());
        let error = read(bomb.clone(), usize::MAX, 8 << 20).unwrap_err().to_string();
        assert!(error.contains("its first 8 rows take more than 8 MiB"), "{error}");
        let rows = read(bomb, 1 << 19, 8 << 20).unwrap();
        let row = rows[9_999].1.as_ref().unwrap();
        let reason = "a text of 1048576 bytes, more than the 524288 that a cell may have";
        assert_eq!(row.get("question"), Some(&Value::unreadable(reason)));
    }

    #[test]
    fn a_column_of_too_many_values_is_left_unread() {
        let n_nulls = usize::try_from(MAX_GROUP_VALUES).unwrap() + 1;
        let rows = read(file("How many?", 2, n_nulls), 99, usize::MAX).unwrap();
        let row = rows[1].1.as_ref().unwrap();
        assert_eq!(row.get("question"), Some(&Value::Text("How many?".into())));
        assert!(row.get("list").unwrap().kind().contains("values in one row group, more than 16777216"));
    }

    #[test]
    fn pages_that_do_not_fit_into_memory_together_are_left_unread() {
        let bytes = file(&"a".repeat(200), 3, 1);
        let reader = SerializedFileReader::new(bytes.clone()).unwrap();
        let mut page_bytes = 0;
        assert_eq!(too_large("question", reader.metadata(), &bytes, &mut page_bytes), None);
        assert!((200..300).contains(&page_bytes), "{page_bytes}");
        page_bytes = MAX_PAGE_BYTES - 100;
        let reason = too_large("question", reader.metadata(), &bytes, &mut page_bytes).unwrap();
        assert!(reason.contains("pages that unpack to 2"), "{reason}");
    }

    /// Whatever byte changes, the file is read or refused: no panic, no memory without end.
    #[test]
    fn flipped_bytes_are_rows_or_errors() {
        let good = file("How many?", 9, 3);
        for at in 0..good.len() {
            for flip in [1, 0x10, 0xff] {
                let mut bytes = good.to_vec();
                bytes[at] ^= flip;
                let _ = rows(bytes, 99);
            }
            assert!(rows(good[..at].to_vec(), 99).is_err());
        }
    }

    #[test]
    fn decimals_are_exact() {
        let of = |bytes: Vec<u8>, scale| decimal(&Decimal::from_bytes(bytes.into(), 60, scale));
        assert_eq!(of(vec![0xff, 0xff], 2), "-0.01");
        assert_eq!(of(vec![4, 0xd2], 0), "1234");
        assert_eq!(of(vec![4, 0xd2], 4), "0.1234");
        assert_eq!(of(vec![4, 0xd2], 6), "0.001234");
        let large = BigInt::parse_bytes(b"-123456789012345678901234567890", 10).unwrap();
        assert_eq!(of(large.to_signed_bytes_be(), 3), "-123456789012345678901234567.890");
        assert_eq!(decimal(&Decimal::from_i64(-5, 18, 1)), "-0.5");
        assert_eq!(of(Vec::new(), 2), "0.00");
    }

    #[test]
    fn floats_take_the_fewest_digits() {
        for text in ["0.1", "3", "-2.5", "65500", "0.00006", "1234"] {
            assert_eq!(shortest(f16::from_f64(text.parse().unwrap())), text);
        }
        assert_eq!(value(Field::Float(0.1), 9), Value::Number("0.1".into()));
        assert_eq!(value(Field::Double(1e21), 9), Value::Number("1000000000000000000000".into()));
        assert_eq!(value(Field::Double(f64::NAN), 9), Value::unreadable("NaN"));
    }
}
