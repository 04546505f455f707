//! What the pages of a Parquet column claim to hold, before any is unpacked.
//!
//! The header of a page states its size unpacked and its number of values, and the library takes memory by them: a kilobyte can claim
//! gigabytes. Headers are structs in Thrift's compact protocol, of which three numbers are read here and the rest is passed over.
//! Source: apache/parquet-format, `parquet.thrift`; apache/thrift, `thrift-compact-protocol.md`.

/// What a column claims within one row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Claims {
    /// Bytes, unpacked, of the dictionary and the largest page of values, which are in memory together.
    pub(super) page_bytes: u64,
    /// Values of all pages, nulls included.
    pub(super) n_values: u64,
}

/// The claims of pages that follow one another; `None` where their headers are damaged.
pub(super) fn claims(mut pages: &[u8]) -> Option<Claims> {
    let (mut dictionary, mut largest, mut n_values) = (0_u64, 0_u64, 0_u64);
    while !pages.is_empty() {
        let mut header = Thrift { bytes: pages };
        let page = header.page()?;
        pages = header.bytes.get(usize::try_from(page.packed_bytes).ok()?..)?;
        match page.n_values {
            Some(n) => {
                largest = largest.max(page.bytes);
                n_values = n_values.checked_add(n)?;
            }
            None => dictionary = dictionary.max(page.bytes),
        }
    }
    Some(Claims { page_bytes: dictionary + largest, n_values })
}

/// What the header of a page states.
struct Page {
    bytes: u64,
    packed_bytes: u64,
    /// `None` for a dictionary.
    n_values: Option<u64>,
}

const STOP: u8 = 0;
const I32: u8 = 5;
const STRUCT: u8 = 12;
const MAX_DEPTH: usize = 16;

/// Bytes in Thrift's compact protocol, read from the front. Every method gives `None` where they are damaged.
struct Thrift<'a> {
    bytes: &'a [u8],
}

impl Thrift<'_> {
    /// Fields of `PageHeader`: 2 and 3 are its sizes, 5 and 8 the headers of pages of values, whose field 1 is their number.
    fn page(&mut self) -> Option<Page> {
        let (mut bytes, mut packed_bytes, mut n_values) = (None, None, None);
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (2, I32) => bytes = Some(self.size()?),
                (3, I32) => packed_bytes = Some(self.size()?),
                (5 | 8, STRUCT) => n_values = Some(self.first_size()?),
                _ => self.skip(kind, 0)?,
            }
        }
        Some(Page { bytes: bytes?, packed_bytes: packed_bytes?, n_values })
    }

    /// Field 1 of a struct, a size.
    fn first_size(&mut self) -> Option<u64> {
        let (mut size, mut id) = (None, 0);
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (1, I32) => size = Some(self.size()?),
                _ => self.skip(kind, 0)?,
            }
        }
        size
    }

    /// The kind of the next field, whose number replaces that of the last one; `Some(None)` at the end of a struct.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == STOP {
            return Some(None);
        }
        *id = match head >> 4 {
            0 => self.signed()?,
            step => *id + i64::from(step),
        };
        Some(Some(head & 15))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            // A boolean field is its kind.
            1 | 2 => Some(()),
            3 => self.byte().map(|_| ()),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            8 => self.varint().and_then(|n| self.pass(n)),
            9 | 10 => {
                let head = self.byte()?;
                let n = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..n).try_for_each(|_| self.skip_item(head & 15, depth + 1))
            }
            11 => {
                let n = self.varint()?;
                let kinds = if n == 0 { 0 } else { self.byte()? };
                (0..n).try_for_each(|_| {
                    self.skip_item(kinds >> 4, depth + 1)?;
                    self.skip_item(kinds & 15, depth + 1)
                })
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// As `skip`, for what stands in a list or map, where a boolean takes a byte.
    fn skip_item(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, 1 | 2) { self.pass(1) } else { self.skip(kind, depth) }
    }

    fn pass(&mut self, n: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(n).ok()?..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn size(&mut self) -> Option<u64> {
        u64::try_from(self.signed()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of a page of values: 7 bytes unpacked, `packed` bytes packed, `n` values; all below 64.
    fn page(packed: u8, n: u8) -> Vec<u8> {
        let fields = [0x15, 0, 0x15, 14, 0x15, packed << 1, 0x2c, 0x15, n << 1, 0, 0];
        [&fields[..], &vec![0xff; packed.into()]].concat()
    }

    #[test]
    fn claims_are_summed_over_pages() {
        // Field 1 (kind), 2 (size), 3 (packed size), 7 (dictionary header): a dictionary of 9 bytes in 2.
        let dictionary = [0x15, 4, 0x15, 18, 0x15, 4, 0x4c, 0x15, 2, 0, 0, 0xff, 0xff];
        let pages = [&dictionary[..], &page(3, 5), &page(0, 60)].concat();
        assert_eq!(claims(&pages), Some(Claims { page_bytes: 16, n_values: 65 }));
        assert_eq!(claims(&[]), Some(Claims::default()));
    }

    #[test]
    fn damaged_headers_are_told() {
        let pages = page(3, 5);
        assert!((1..pages.len()).all(|end| claims(&pages[..end]).is_none()));
        assert_eq!(claims(&[0x15, 0, 0x15, 1, 0x15, 0, 0]), None);
        assert_eq!(claims(&[0x1c; 100]), None);
        assert_eq!(claims(&[0xff; 100]), None);
    }
}
