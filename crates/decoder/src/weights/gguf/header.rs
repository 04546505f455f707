//! The header of a GGUF file: metadata, and where each tensor lies.
//!
//! Nothing in a header is believed before it is checked: lengths stay within the file, names are unique, and tensors follow one another
//! without gaps or overlaps, as ggml itself demands, so that most damage to a header is found before a number is read. Lists are not
//! unpacked until they are asked for; what is kept is no larger than the file.
//! Source: the GGUF specification, versions 1 to 3.

use super::types::TensorType;
use std::collections::HashMap;
use std::ops::Range;

/// What ggml allows.
const MOST_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Any whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text; what is not UTF-8 is replaced.
    Text(String),
    /// A list, still packed.
    List(List),
}

/// A list that has been passed over: `n` values of a type, from a place in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct List {
    kind: u32,
    n: usize,
    start: usize,
}

/// Where a tensor lies.
#[derive(Debug)]
pub(super) struct TensorInfo {
    /// Outermost dimension first.
    pub(super) shape: Vec<usize>,
    /// How its numbers are stored.
    pub(super) kind: &'static TensorType,
    /// Its bytes in the file.
    pub(super) bytes: Range<usize>,
}

/// A header that was read.
pub(super) struct Header {
    /// Values by key.
    pub(super) metadata: HashMap<String, Value>,
    /// Tensors by name.
    pub(super) tensors: HashMap<String, TensorInfo>,
    /// Where the data of tensors begin.
    pub(super) data_start: usize,
    version: u32,
}

impl Header {
    /// Reads the header of a whole file. The error says what is wrong with it.
    pub(super) fn read(file: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { file, at: 4, version: 3 };
        reader.version = reader.u32()?;
        if !(1..=3).contains(&reader.version) {
            return Err(match reader.version.swap_bytes() {
                1..=3 => "it was written on a big-endian machine, which is not read".into(),
                _ => format!("its format version is {}; 1 to 3 are known", reader.version),
            });
        }
        let n_tensors = reader.count()?;
        let n_values = reader.count()?;
        let mut metadata = HashMap::new();
        for _ in 0..n_values {
            let key = reader.text()?;
            let value = reader.value().map_err(|problem| format!("{key}: {problem}"))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        let mut tensors: Vec<(String, TensorInfo, u64)> = Vec::new();
        for _ in 0..n_tensors {
            let name = reader.text()?;
            let (info, offset) =
                reader.tensor().map_err(|problem| format!("the weight {name}: {problem}"))?;
            tensors.push((name, info, offset));
        }
        let alignment = alignment(&metadata)?;
        let data_start = reader.at.checked_next_multiple_of(alignment).ok_or("its alignment is too large")?;
        let tensors = placed(tensors, data_start, alignment, file.len())?;
        Ok(Self { metadata, tensors, data_start, version: reader.version })
    }

    /// The values of a list.
    pub(super) fn values<'a>(&self, file: &'a [u8], list: &List) -> impl Iterator<Item = Value> + use<'a> {
        let mut reader = Reader { file, at: list.start, version: self.version };
        let (kind, n) = (list.kind, list.n);
        // It was read before, so that nothing is missing now.
        (0..n).map_while(move |_| reader.scalar(kind).ok())
    }
}

fn alignment(metadata: &HashMap<String, Value>) -> Result<usize, String> {
    let alignment = match metadata.get("general.alignment") {
        None => i128::from(DEFAULT_ALIGNMENT),
        Some(Value::Integer(n)) if *n > 0 && n % 8 == 0 => *n,
        Some(other) => {
            return Err(format!("general.alignment: expected a positive multiple of 8, found {other}"));
        }
    };
    usize::try_from(alignment).map_err(|_| "general.alignment is too large".into())
}

/// Checks that tensors follow one another, and turns offsets into places in the file.
fn placed(
    mut tensors: Vec<(String, TensorInfo, u64)>,
    data_start: usize,
    alignment: usize,
    file_len: usize,
) -> Result<HashMap<String, TensorInfo>, String> {
    tensors.sort_by_key(|(_, _, offset)| *offset);
    let mut expected = 0usize;
    let mut found = HashMap::new();
    for (name, mut info, offset) in tensors {
        if offset != expected as u64 {
            return Err(format!("the weight {name} begins at {offset}, those before it end at {expected}"));
        }
        let start = data_start.checked_add(expected);
        let end = start.and_then(|start| start.checked_add(info.bytes.len()));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(format!("the size of the weight {name} is out of range"));
        };
        if end > file_len {
            return Err(format!("it has {file_len} bytes, the weight {name} ends at {end}"));
        }
        expected = (expected + info.bytes.len())
            .checked_next_multiple_of(alignment)
            .ok_or_else(|| format!("the size of the weight {name} is out of range"))?;
        info.bytes = start..end;
        if found.insert(name.clone(), info).is_some() {
            return Err(format!("the weight {name} is there twice"));
        }
    }
    Ok(found)
}

/// A place in the file.
struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    version: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let bytes = self.at.checked_add(n).and_then(|end| self.file.get(self.at..end));
        let bytes = bytes.ok_or("its header ends before it is complete")?;
        self.at += n;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length, which the first version wrote in half the bytes.
    fn count(&mut self) -> Result<u64, String> {
        if self.version == 1 { self.u32().map(u64::from) } else { self.u64() }
    }

    fn length(&mut self) -> Result<usize, String> {
        let length = self.count()?;
        usize::try_from(length).map_err(|_| format!("a length of {length} is out of range"))
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        // Some writers end texts with a zero.
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn value(&mut self) -> Result<Value, String> {
        const LIST: u32 = 9;
        let kind = self.u32()?;
        if kind != LIST {
            return self.scalar(kind);
        }
        let kind = self.u32()?;
        let n = self.length()?;
        let list = List { kind, n, start: self.at };
        for _ in 0..n {
            self.pass(kind)?;
        }
        Ok(Value::List(list))
    }

    /// Goes past a value of a list.
    fn pass(&mut self, kind: u32) -> Result<(), String> {
        const TEXT: u32 = 8;
        if kind == TEXT {
            let length = self.length()?;
            return self.take(length).map(drop);
        }
        self.scalar(kind).map(drop)
    }

    fn scalar(&mut self, kind: u32) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(format!("expected true or false, found {other}")),
            },
            8 => Value::Text(self.text()?),
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(format!("values of type {other} are not known")),
        })
    }

    /// A tensor's entry, with its offset; its bytes begin at 0.
    fn tensor(&mut self) -> Result<(TensorInfo, u64), String> {
        let n_dims = self.u32()?;
        if n_dims == 0 || n_dims > MOST_DIMENSIONS {
            return Err(format!("{n_dims} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dims {
            shape.push(self.length()?);
        }
        let id = self.u32()?;
        let kind = TensorType::find(id).ok_or_else(|| format!("tensors of type {id} are not known"))?;
        if !shape[0].is_multiple_of(kind.block) {
            let problem = format!("rows of {} numbers are not whole blocks of {}", shape[0], kind.name);
            return Err(problem);
        }
        let n = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim)).filter(|&n| n > 0);
        let n_bytes = n.and_then(|n| kind.bytes(n)).ok_or_else(|| format!("its shape is {shape:?}"))?;
        // The file has the innermost dimension first.
        shape.reverse();
        Ok((TensorInfo { shape, kind, bytes: 0..n_bytes }, self.u64()?))
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Bool(yes) => write!(f, "{yes}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(list) => write!(f, "a list of {}", list.n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    /// A file of some values and tensors of four float32 each, at the given offsets.
    fn file(values: &[(&str, u32, Vec<u8>)], offsets: &[u64]) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend((offsets.len() as u64).to_le_bytes());
        file.extend((values.len() as u64).to_le_bytes());
        for (key, kind, bytes) in values {
            file.extend([text(key), kind.to_le_bytes().to_vec(), bytes.clone()].concat());
        }
        for (i, offset) in offsets.iter().enumerate() {
            file.extend(text(&format!("w{i}")));
            file.extend(1u32.to_le_bytes());
            file.extend(4u64.to_le_bytes());
            file.extend(0u32.to_le_bytes());
            file.extend(offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32) + offsets.len() * 32, 0);
        file
    }

    fn problem(file: &[u8]) -> String {
        Header::read(file).err().unwrap_or_default()
    }

    #[test]
    fn values_and_lists_are_read() {
        let list = [8u32.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec(), text("a"), text("b")].concat();
        let bytes = file(&[("n", 4, vec![7, 0, 0, 0]), ("list", 9, list)], &[0, 32]);
        let header = Header::read(&bytes).unwrap();
        assert_eq!(header.metadata["n"], Value::Integer(7));
        let Value::List(list) = &header.metadata["list"] else { panic!("{:?}", header.metadata) };
        let found: Vec<Value> = header.values(&bytes, list).collect();
        assert_eq!(found, [Value::Text("a".into()), Value::Text("b".into())]);
        assert_eq!(header.tensors["w1"].bytes, header.data_start + 32..header.data_start + 48);
    }

    #[test]
    fn an_alignment_of_nothing_is_refused() {
        for alignment in [0u32, 1, 12] {
            let bytes = file(&[("general.alignment", 4, alignment.to_le_bytes().to_vec())], &[0]);
            assert!(problem(&bytes).starts_with("general.alignment: expected"), "{}", problem(&bytes));
        }
        let wide = file(&[("general.alignment", 10, (u64::MAX - 7).to_le_bytes().to_vec())], &[0]);
        assert_ne!(problem(&wide), "");
    }

    #[test]
    fn tensors_neither_overlap_nor_leave_gaps() {
        assert_eq!(problem(&file(&[], &[0, 0])), "the weight w1 begins at 0, those before it end at 32");
        assert_eq!(problem(&file(&[], &[32])), "the weight w0 begins at 32, those before it end at 0");
        assert_eq!(problem(&file(&[], &[0, 64])), "the weight w1 begins at 64, those before it end at 32");
    }

    #[test]
    fn lengths_beyond_the_file_are_refused() {
        let list = [0u32.to_le_bytes().to_vec(), u64::MAX.to_le_bytes().to_vec()].concat();
        assert_eq!(problem(&file(&[("l", 9, list)], &[])), "l: its header ends before it is complete");
        let nested = [9u32.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat();
        assert_eq!(problem(&file(&[("l", 9, nested)], &[])), "l: values of type 9 are not known");
        let twice = file(&[("n", 7, vec![1]), ("n", 7, vec![1])], &[]);
        assert_eq!(problem(&twice), "n is there twice");
    }
}
