//! The types that tensors of a GGUF file can have: their sizes, and their numbers as float32.
//!
//! A row is cut into blocks of some numbers, and a block has a number of bytes. Every type that ggml ever wrote is listed, so that the
//! extent of each tensor is known and a type that cannot be read is refused by its name. The numbers come from candle.
//! Source: `ggml.h` and the Python package `gguf`.

use crate::weights::rows::Encoding;
use candle_core::quantized::GgmlDType;

/// One type.
#[derive(Debug)]
pub(super) struct TensorType {
    id: u32,
    /// Its name in ggml.
    pub(super) name: &'static str,
    /// Numbers in a block.
    pub(super) block: usize,
    block_bytes: usize,
    /// How its numbers are written, if they can be read.
    pub(super) encoding: Option<Encoding>,
}

const fn read(id: u32, name: &'static str, block: usize, block_bytes: usize, kind: GgmlDType) -> TensorType {
    let encoding = match kind {
        GgmlDType::F32 => Encoding::F32,
        GgmlDType::F16 => Encoding::F16,
        GgmlDType::BF16 => Encoding::BF16,
        _ => Encoding::Blocks(kind),
    };
    TensorType { id, name, block, block_bytes, encoding: Some(encoding) }
}

const fn unread(id: u32, name: &'static str, block: usize, block_bytes: usize) -> TensorType {
    TensorType { id, name, block, block_bytes, encoding: None }
}

const TYPES: &[TensorType] = &[
    read(0, "F32", 1, 4, GgmlDType::F32),
    read(1, "F16", 1, 2, GgmlDType::F16),
    read(2, "Q4_0", 32, 18, GgmlDType::Q4_0),
    read(3, "Q4_1", 32, 20, GgmlDType::Q4_1),
    read(6, "Q5_0", 32, 22, GgmlDType::Q5_0),
    read(7, "Q5_1", 32, 24, GgmlDType::Q5_1),
    read(8, "Q8_0", 32, 34, GgmlDType::Q8_0),
    unread(9, "Q8_1", 32, 36),
    read(10, "Q2_K", 256, 84, GgmlDType::Q2K),
    read(11, "Q3_K", 256, 110, GgmlDType::Q3K),
    read(12, "Q4_K", 256, 144, GgmlDType::Q4K),
    read(13, "Q5_K", 256, 176, GgmlDType::Q5K),
    read(14, "Q6_K", 256, 210, GgmlDType::Q6K),
    read(15, "Q8_K", 256, 292, GgmlDType::Q8K),
    unread(16, "IQ2_XXS", 256, 66),
    unread(17, "IQ2_XS", 256, 74),
    unread(18, "IQ3_XXS", 256, 98),
    unread(19, "IQ1_S", 256, 50),
    unread(20, "IQ4_NL", 32, 18),
    unread(21, "IQ3_S", 256, 110),
    unread(22, "IQ2_S", 256, 82),
    unread(23, "IQ4_XS", 256, 136),
    unread(24, "I8", 1, 1),
    unread(25, "I16", 1, 2),
    unread(26, "I32", 1, 4),
    unread(27, "I64", 1, 8),
    unread(28, "F64", 1, 8),
    unread(29, "IQ1_M", 256, 56),
    read(30, "BF16", 1, 2, GgmlDType::BF16),
    unread(34, "TQ1_0", 256, 54),
    unread(35, "TQ2_0", 256, 66),
    unread(39, "MXFP4", 32, 17),
    unread(40, "NVFP4", 64, 36),
    unread(41, "Q1_0", 128, 18),
];

impl TensorType {
    /// The type of a number in the file.
    pub(super) fn find(id: u32) -> Option<&'static Self> {
        TYPES.iter().find(|kind| kind.id == id)
    }

    /// Names of the types whose numbers can be read.
    pub(super) fn readable() -> String {
        let names: Vec<&str> = TYPES.iter().filter(|kind| kind.is_read()).map(|kind| kind.name).collect();
        names.join(", ").replace(", BF16", " and BF16")
    }

    /// Whether its numbers can be read.
    pub(super) fn is_read(&self) -> bool {
        self.encoding.is_some()
    }

    /// Bytes of so many numbers, which are whole blocks; `None` if they cannot be counted.
    pub(super) fn bytes(&self, n: usize) -> Option<usize> {
        (n / self.block).checked_mul(self.block_bytes)
    }
}
