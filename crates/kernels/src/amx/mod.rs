//! Products in the matrix tiles of Intel's AMX: 16 × 16 float32 sums of bf16 products, 32 steps of k in one instruction.
//!
//! Float32 numbers take part as sums of bf16 numbers (see `parts`). Rows in three parts and a panel in one, two or three make float32
//! products: left out are only the products of parts that together are below 2⁻²⁵ of the whole. One part of each are bf16 products.
//!
//! Every number of the result is summed in one order, 32 steps of k and one pair of parts at a time, whatever rows are computed with it and
//! wherever k is cut into calls that add. `native` are the instructions; `emulated` is the same arithmetic in plain Rust, for tests and to try
//! what a model's numbers come to on processors without tiles.

mod emulated;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod native;
#[cfg(test)]
mod tests;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod trap;

use crate::parts::{COLUMNS, Line};
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows of a tile.
pub const TILE_ROWS: usize = 16;

/// The variable that says whether tiles are used: `off`, or `emulated` in plain Rust. Without it they are used where the processor has them.
pub const VARIABLE: &str = "ENTRACE_TILES";

/// What computes tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiles {
    /// The processor.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    /// Plain Rust with the same results, slowly.
    Emulated,
}

impl Tiles {
    /// What this machine has and the environment allows. The answer stays the same while the program runs.
    pub fn here() -> Option<Self> {
        static HERE: OnceLock<Option<Tiles>> = OnceLock::new();
        *HERE.get_or_init(|| match std::env::var(VARIABLE).as_deref() {
            Ok("off") => None,
            Ok("emulated") => Some(Self::Emulated),
            _ => Self::of_processor(),
        })
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn of_processor() -> Option<Self> {
        (native::granted() && check::agrees(Self::Amx)).then_some(Self::Amx)
    }

    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    fn of_processor() -> Option<Self> {
        None
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => "AMX tiles",
            Self::Emulated => "AMX tiles in plain Rust",
        }
    }

    /// Sets this thread up for blocks, until the result is dropped.
    ///
    /// # Safety
    /// The processor has what computes them, and there is no other set-up of the same thread.
    pub unsafe fn set_up(self) -> SetUp {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self == Self::Amx {
            // SAFETY: by the caller's promise.
            unsafe { native::configure() };
        }
        SetUp { tiles: self, thread: PhantomData }
    }
}

/// A thread that is set up for blocks.
pub struct SetUp {
    tiles: Tiles,
    /// It is this thread's.
    thread: PhantomData<*mut ()>,
}

impl SetUp {
    /// Computes a block.
    ///
    /// # Safety
    /// The block's pointers hold what it says, and nobody else uses the numbers of C meanwhile.
    pub unsafe fn run(&self, block: &Block) {
        // SAFETY: by the caller's promise, and the thread is set up.
        unsafe {
            match self.tiles {
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                Tiles::Amx => native::run(block),
                Tiles::Emulated => emulated::run(block),
            }
        }
    }
}

impl Drop for SetUp {
    fn drop(&mut self) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self.tiles == Tiles::Amx {
            // SAFETY: the thread was set up.
            unsafe { native::release() };
        }
    }
}

/// In how many parts the factors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Both in one: products of bf16 numbers.
    OneByOne,
    /// Rows in three, a panel that is exact in one: float32 products, as are the next.
    ThreeByOne,
    /// Rows in three, a panel that is exact in two.
    ThreeByTwo,
    /// Both in three.
    ThreeByThree,
}

impl Parts {
    /// Those of float32 products with a panel in so many parts.
    ///
    /// # Panics
    /// If there are more than three.
    pub fn exact(panel: usize) -> Self {
        match panel {
            1 => Self::ThreeByOne,
            2 => Self::ThreeByTwo,
            3 => Self::ThreeByThree,
            _ => panic!("{panel} parts of a float32 number"),
        }
    }

    /// Parts of a row.
    pub fn of_row(self) -> usize {
        match self {
            Self::OneByOne => 1,
            Self::ThreeByOne | Self::ThreeByTwo | Self::ThreeByThree => 3,
        }
    }

    /// Parts of a panel.
    pub fn of_panel(self) -> usize {
        match self {
            Self::OneByOne | Self::ThreeByOne => 1,
            Self::ThreeByTwo => 2,
            Self::ThreeByThree => 3,
        }
    }

    /// Products of parts that make one product.
    pub fn n_products(self) -> usize {
        (0..self.of_panel()).map(|part| self.rows_with(part)).sum()
    }

    /// Parts of a row that are multiplied with one part of a panel.
    fn rows_with(self, part_of_panel: usize) -> usize {
        self.of_row() - part_of_panel
    }
}

/// A block of a result and what it is made of: C `[16 or 32, 32]` = A·B, or that added to C.
pub struct Block {
    /// Tiles of 16 rows, one or two. A and C have all of their rows.
    pub row_tiles: usize,
    /// Steps of k, in lines.
    pub n_lines: usize,
    /// In how many parts A and B are.
    pub parts: Parts,
    /// First line of the first row; see `parts::split_row`.
    pub a: *const Line,
    /// Lines from one row to the next.
    pub a_row: usize,
    /// The panel; see `parts::split_panel`.
    pub b: *const Line,
    /// First number of the result.
    pub c: *mut f32,
    /// Numbers from one row of C to the next.
    pub c_row: usize,
    /// Whether to add to what is there.
    pub add: bool,
}

/// Lines of one part of a panel, for 32 steps of k.
const PANEL_LINES: usize = COLUMNS;

/// Numbers are everything here, so that tiles are used only after they computed a block as they should.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod check {
    use super::{Block, Parts, TILE_ROWS, Tiles};
    use crate::parts::{COLUMNS, Line, panel_lines, row_lines, split_panel, split_row};

    const K: usize = 64;
    const ROWS: usize = 2 * TILE_ROWS;

    /// Whether a block comes out as in plain Rust, up to the last bits.
    pub(super) fn agrees(tiles: Tiles) -> bool {
        let (found, expected) = (block(tiles), block(Tiles::Emulated));
        found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-4)
    }

    fn block(tiles: Tiles) -> Vec<f32> {
        let number = |i: usize| (i * 7919 % 1009) as f32 / 504.5 - 1.0;
        let parts = Parts::ThreeByThree;
        let a_row = row_lines(K, parts.of_row());
        let mut a = vec![Line::ZERO; ROWS * a_row];
        for (i, lines) in a.chunks_exact_mut(a_row).enumerate() {
            let row: Vec<f32> = (0..K).map(|k| number(i * K + k)).collect();
            split_row(&row, parts.of_row(), lines);
        }
        let panel: Vec<f32> = (0..K * COLUMNS).map(|i| number(i + 17)).collect();
        let mut b = vec![Line::ZERO; panel_lines(K, parts.of_panel())];
        split_panel(&panel, parts.of_panel(), &mut b);
        let mut c: Vec<f32> = (0..ROWS * COLUMNS).map(number).collect();
        let block = Block {
            row_tiles: 2,
            n_lines: row_lines(K, 1),
            parts,
            a: a.as_ptr(),
            a_row,
            b: b.as_ptr(),
            c: c.as_mut_ptr(),
            c_row: COLUMNS,
            add: true,
        };
        // SAFETY: the kernel was asked for tiles, and the block is as long as it says.
        unsafe { tiles.set_up().run(&block) };
        c
    }
}
