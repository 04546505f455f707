//! Blocks in the processor's tiles. Tiles 0 to 3 are the sums, 4 and 5 rows of A, 6 and 7 the two halves of a panel.
//!
//! The instructions are in `asm!`, because Rust does not have them as functions yet. The configuration of a thread, all tiles of 16 rows of 64 bytes, is state
//! that neither the compiler nor anything else in the program touches; the numbers in tiles live in one `asm!` from the first load to the last store.

use super::{Block, Parts};
use crate::parts::Line;
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

/// Whether the processor has tiles for bf16 numbers and the system lets this process use them.
pub(super) fn granted() -> bool {
    const FEATURES: u32 = 7;
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    /// Asks for a part of the processor's state; that of tiles has number 18.
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    if __cpuid(0).eax < FEATURES || __cpuid_count(FEATURES, 0).edx & BF16_AND_TILES != BF16_AND_TILES {
        return false;
    }
    // SAFETY: the call changes nothing but what the process may do.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

const ALL_WHOLE: Configuration = {
    let (mut bytes_of_row, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        bytes_of_row[tile] = size_of::<Line>() as u16;
        rows[tile] = super::TILE_ROWS as u8;
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], bytes_of_row, rows }
};

/// # Safety
/// Tiles are granted.
pub(super) unsafe fn configure() {
    let all_whole = ALL_WHOLE;
    // SAFETY: by the caller's promise; the instruction reads 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const all_whole, options(nostack, readonly)) };
}

/// # Safety
/// Tiles are granted.
pub(super) unsafe fn release() {
    // SAFETY: by the caller's promise.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Loads one part of a panel, `$at` bytes from where the steps begin.
macro_rules! panel {
    ($at:literal) => {
        concat!(
            "tileloadd tmm6, [{b} + {b_row}*1 + ",
            $at,
            "]\n",
            "tileloadd tmm7, [{b} + {b_row}*1 + ",
            $at,
            " + 64]\n"
        )
    };
}

/// Multiplies one part of rows with it, `$at` bytes from where the steps begin.
macro_rules! rows {
    (1, $at:literal) => {
        concat!(
            "tileloadd tmm4, [{a} + {a_row}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tdpbf16ps tmm1, tmm4, tmm7\n"
        )
    };
    (2, $at:literal) => {
        concat!(
            "tileloadd tmm4, [{a} + {a_row}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tdpbf16ps tmm1, tmm4, tmm7\n",
            "tileloadd tmm5, [{a2} + {a_row}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm2, tmm5, tmm6\n",
            "tdpbf16ps tmm3, tmm5, tmm7\n"
        )
    };
}

/// All steps of k. In order: rows of tiles, bytes of a row and of a panel for 32 steps, and what is multiplied.
macro_rules! block {
    (1, $block:expr, $a_step:literal, $b_step:literal, $products:expr) => {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{c} + {c_row}*1]",
            "tileloadd tmm1, [{c} + {c_row}*1 + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            $products,
            concat!("add {a}, ", $a_step),
            concat!("add {b}, ", $b_step),
            "dec {n}",
            "jnz 2b",
            "tilestored [{c} + {c_row}*1], tmm0",
            "tilestored [{c} + {c_row}*1 + 64], tmm1",
            a = inout(reg) $block.a => _,
            a_row = in(reg) $block.a_row * size_of::<Line>(),
            b = inout(reg) $block.b => _,
            b_row = in(reg) 2 * size_of::<Line>(),
            c = in(reg) $block.c,
            c_row = in(reg) $block.c_row * size_of::<f32>(),
            n = inout(reg) $block.n_lines => _,
            add = in(reg) u32::from($block.add),
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
    (2, $block:expr, $a_step:literal, $b_step:literal, $products:expr) => {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{c} + {c_row}*1]",
            "tileloadd tmm1, [{c} + {c_row}*1 + 64]",
            "tileloadd tmm2, [{c2} + {c_row}*1]",
            "tileloadd tmm3, [{c2} + {c_row}*1 + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            $products,
            concat!("add {a}, ", $a_step),
            concat!("add {a2}, ", $a_step),
            concat!("add {b}, ", $b_step),
            "dec {n}",
            "jnz 2b",
            "tilestored [{c} + {c_row}*1], tmm0",
            "tilestored [{c} + {c_row}*1 + 64], tmm1",
            "tilestored [{c2} + {c_row}*1], tmm2",
            "tilestored [{c2} + {c_row}*1 + 64], tmm3",
            a = inout(reg) $block.a => _,
            a2 = inout(reg) $block.a.wrapping_add(super::TILE_ROWS * $block.a_row) => _,
            a_row = in(reg) $block.a_row * size_of::<Line>(),
            b = inout(reg) $block.b => _,
            b_row = in(reg) 2 * size_of::<Line>(),
            c = in(reg) $block.c,
            c2 = in(reg) $block.c.wrapping_add(super::TILE_ROWS * $block.c_row),
            c_row = in(reg) $block.c_row * size_of::<f32>(),
            n = inout(reg) $block.n_lines => _,
            add = in(reg) u32::from($block.add),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// What is multiplied, by the parts of both factors.
macro_rules! all_products {
    ($tiles:tt, $block:expr) => {
        match $block.parts {
            Parts::OneByOne => block!($tiles, $block, "64", "2048", concat!(panel!("0"), rows!($tiles, "0"))),
            Parts::ThreeByOne => block!(
                $tiles,
                $block,
                "192",
                "2048",
                concat!(panel!("0"), rows!($tiles, "0"), rows!($tiles, "64"), rows!($tiles, "128"))
            ),
            Parts::ThreeByTwo => block!(
                $tiles,
                $block,
                "192",
                "4096",
                concat!(
                    panel!("0"),
                    rows!($tiles, "0"),
                    rows!($tiles, "64"),
                    rows!($tiles, "128"),
                    panel!("2048"),
                    rows!($tiles, "0"),
                    rows!($tiles, "64")
                )
            ),
            Parts::ThreeByThree => block!(
                $tiles,
                $block,
                "192",
                "6144",
                concat!(
                    panel!("0"),
                    rows!($tiles, "0"),
                    rows!($tiles, "64"),
                    rows!($tiles, "128"),
                    panel!("2048"),
                    rows!($tiles, "0"),
                    rows!($tiles, "64"),
                    panel!("4096"),
                    rows!($tiles, "0")
                )
            ),
        }
    };
}

/// # Safety
/// As for `SetUp::run`; the thread is configured.
pub(super) unsafe fn run(block: &Block) {
    if block.n_lines == 0 {
        // SAFETY: nothing but C is read and written.
        return unsafe { super::emulated::run(block) };
    }
    // SAFETY: by the caller's promise; the instructions read whole rows of A and whole lines of the panel, and read and write whole rows of C.
    unsafe {
        match block.row_tiles {
            1 => all_products!(1, block),
            _ => all_products!(2, block),
        }
    }
}
