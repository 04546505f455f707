//! Arithmetic on float32 and bf16 numbers in memory, in the vector instructions that the processor turns out to have.
//!
//! `vector` compiles plain loops for several instruction sets; `tile` and `pairs` are the innermost products of the forward pass (float32,
//! and bf16 summed in float32), `turn` lays out a factor for them, `quantised` brings one to float32 that is kept in whole numbers; `amx` are products in the processor's matrix tiles, where it has some, and `parts` writes
//! float32 numbers as the bf16 numbers that those take; `matrix` multiplies matrices with any strides on one thread, as training needs it; `exp` is e^x inside
//! vectorised loops. The crate knows no tensors and no models. Functions that take pointers are unsafe and say what they rely on; every
//! kernel is tested against plain Rust.

pub mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod exp;
pub mod matrix;
pub mod pairs;
pub mod parts;
pub mod quantised;
pub mod tile;
pub mod turn;
pub mod vector;

#[cfg(test)]
mod tests_support {
    use rand::{RngExt, SeedableRng};

    /// Numbers in [−1, 1) from a seed.
    pub(crate) fn random(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
    }
}
