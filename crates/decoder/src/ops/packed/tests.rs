//! Products against their definition, by vectors and by tiles.

use super::*;
use crate::ops::tests_support::random;
use candle_core::{Layout, Storage, Tensor};

impl Packed {
    /// Lays out a matrix, `[N, K]`, in its type.
    pub(crate) fn of_tensor(weight: &Tensor, products: Products) -> Self {
        Self::of_tensor_for(Tiles::here(), weight, products)
    }

    fn of_tensor_for(tiles: Option<Tiles>, weight: &Tensor, products: Products) -> Self {
        let (n, k) = weight.dims2().unwrap();
        let numbers = weight.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let read = |rows: Range<usize>, out: &mut [f32]| {
            out.copy_from_slice(&numbers[rows.start * k..rows.end * k]);
            Ok::<(), std::convert::Infallible>(())
        };
        Self::for_tiles(tiles, n, k, weight.dtype(), products, read).unwrap()
    }
}

/// What multiplies on one processor or another.
fn multipliers() -> Vec<Option<Tiles>> {
    vec![None, Some(Tiles::Emulated), Tiles::here()]
}

/// Numbers that are exact in one, two or three bf16 parts.
fn exact_in(parts: usize, shape: &[usize], seed: u64) -> Tensor {
    let dtype = [DType::BF16, DType::F16, DType::F32][parts - 1];
    random(shape, seed).to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap()
}

fn rows<'a>(storage: &'a Storage, layout: &Layout) -> Rows<'a> {
    let Storage::Cpu(storage) = storage else { panic!("not on the CPU") };
    Rows::new(storage, layout).unwrap()
}

fn product(packed: &Packed, x: &Tensor) -> Vec<f32> {
    let (storage, layout) = x.storage_and_layout();
    packed.product(rows(&storage, layout), None, None)
}

#[test]
fn equals_the_definition_for_all_shapes() {
    for (m, n, k) in
        [(1, 1, 1), (1, 40, 7), (3, 31, 64), (12, 32, 33), (13, 33, 100), (30, 96, 2100), (49, 64, 4100)]
    {
        for (tiles, parts) in multipliers().into_iter().flat_map(|tiles| [1, 2, 3].map(|n| (tiles, n))) {
            let (x, w) = (random(&[m, k], 1), exact_in(parts, &[n, k], 2));
            let packed = Packed::of_tensor_for(tiles, &w, Products::Float32);
            assert_eq!(matches!(packed.panels, Panels::Pairs(_)), tiles.is_some() && parts == 1);
            let expected =
                x.matmul(&w.t().unwrap()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (f, e) in product(&packed, &x).iter().zip(&expected) {
                assert!((f - e).abs() < 1e-4 + 1e-5 * e.abs(), "{tiles:?} {m} {n} {k}: {f} against {e}");
            }
        }
    }
}

#[test]
fn a_product_over_nothing_is_what_it_is_added_to() {
    let empty = Packed::of_tensor(&random(&[3, 0], 1), Products::Float32);
    let (x, onto) = (random(&[2, 0], 2), random(&[2, 3], 3));
    assert_eq!(product(&empty, &x), [0.0; 6]);
    let (x_storage, x_layout) = x.storage_and_layout();
    let (onto_storage, onto_layout) = onto.storage_and_layout();
    let onto = rows(&onto_storage, onto_layout);
    let found = empty.product(rows(&x_storage, x_layout), None, Some(onto));
    assert_eq!(found, [onto.row(0), onto.row(1)].concat());
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_batch() {
    for (tiles, parts) in multipliers().into_iter().flat_map(|tiles| [1, 2, 3].map(|n| (tiles, n))) {
        let (x, w) = (random(&[43, 150], 3), exact_in(parts, &[70, 150], 4));
        let packed = Packed::of_tensor_for(tiles, &w, Products::Float32);
        let all = product(&packed, &x);
        for row in 0..43 {
            let alone = product(&packed, &x.narrow(0, row, 1).unwrap());
            let same = alone.iter().zip(&all[row * 70..]).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{tiles:?}, row {row}");
        }
    }
}

/// So many rows, columns and steps of k that none stays in the cache as a whole.
#[test]
fn what_does_not_fit_into_the_cache_is_taken_in_parts() {
    let (x, onto) = (random(&[150, 2500], 5), random(&[150, 200], 6));
    for parts in [1, 3] {
        let w = exact_in(parts, &[200, 2500], 7);
        let by = |tiles| {
            let packed = Packed::of_tensor_for(tiles, &w, Products::Float32);
            let ((x, x_layout), (onto, onto_layout)) = (x.storage_and_layout(), onto.storage_and_layout());
            packed.product(rows(&x, x_layout), None, Some(rows(&onto, onto_layout)))
        };
        for (found, expected) in by(Some(Tiles::Emulated)).iter().zip(by(None)) {
            assert!((found - expected).abs() < 1e-4 + 1e-5 * expected.abs(), "{found} against {expected}");
        }
    }
}

#[test]
fn half_widths_are_widened_exactly_and_rows_can_be_read_back() {
    let (x, w) = (random(&[4, 20], 7), random(&[35, 20], 8));
    for (tiles, dtype) in multipliers().into_iter().flat_map(|t| [DType::BF16, DType::F16].map(|d| (t, d))) {
        let narrow = w.to_dtype(dtype).unwrap();
        let wide = narrow.to_dtype(DType::F32).unwrap();
        let packed = Packed::of_tensor_for(tiles, &narrow, Products::Float32);
        let of_wide = Packed::of_tensor_for(tiles, &wide, Products::Float32);
        assert_eq!(product(&packed, &x), product(&of_wide, &x));
        for packed in [packed, of_wide] {
            let mut row = vec![0f32; 20];
            packed.copy_row(33, &mut row);
            assert_eq!(row, wide.get(33).unwrap().to_vec1::<f32>().unwrap());
        }
    }
}

/// On processors that multiply bf16 numbers and on others.
#[test]
fn rounded_rows_are_multiplied_as_bf16_numbers() {
    for (m, n, k) in [(1, 1, 1), (3, 31, 64), (13, 33, 101), (30, 40, 4200)] {
        let (x, w) = (random(&[m, k], 9), random(&[n, k], 10).to_dtype(DType::BF16).unwrap());
        let rounded = x.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
        let expected = product(&Packed::of_tensor_for(None, &w, Products::Float32), &rounded);
        for tiles in multipliers() {
            let packed = Packed::of_tensor_for(tiles, &w, Products::Bf16);
            let found = product(&packed, &x);
            for (found, expected) in found.iter().zip(&expected) {
                let close = (found - expected).abs() < 1e-4 + 1e-5 * expected.abs();
                assert!(close, "{tiles:?} {m} {n} {k}: {found} against {expected}");
            }
            let alone = product(&packed, &x.narrow(0, m - 1, 1).unwrap());
            assert_eq!(alone, found[(m - 1) * n..], "a row has the same bits alone");
            let mut row = vec![0f32; k];
            packed.copy_row(n - 1, &mut row);
            assert_eq!(row, w.get(n - 1).unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap());
        }
    }
}

/// Where pairs are supported, the vectors of float32 are otherwise not tried on rounded rows.
#[test]
fn rounded_rows_in_float32_are_those_of_pairs() {
    let (x, w) = (random(&[13, 101], 11), random(&[33, 101], 12).to_dtype(DType::BF16).unwrap());
    let packed = Packed::of_tensor_for(None, &w, Products::Bf16);
    let mut widened = vec![0f32; 13 * 33];
    let (storage, layout) = x.storage_and_layout();
    let target = Target { y: widened.as_mut_ptr(), n: 33, n_rows: 13, onto: None };
    packed.float32_product(rows(&storage, layout), None, &target);
    for (widened, found) in widened.iter().zip(product(&packed, &x)) {
        assert!((widened - found).abs() < 1e-4, "{widened} against {found}");
    }
}

/// Rows of whole numbers, of which there are `most`, with scales for 16 steps or for 32; every seventh row of plain numbers where some are.
fn check_quantised(n: usize, some_plain: bool, steps: usize, most: usize, with_offsets: bool) {
    const K: usize = 96;
    let of = |row: usize, step: usize| ((row * 3 + step * 7) % most) as u8 as i8;
    let group = |row: usize, step: usize| Group {
        scale: 0.01 + ((row * 5 + step / steps) % 11) as f32 * 0.003,
        offset: if with_offsets { 0.1 + (step / steps % 3) as f32 * 0.07 } else { 0.0 },
    };
    let number = |row: usize, step: usize| {
        let Group { scale, offset } = group(row, step);
        f32::from(of(row, step)) * scale - offset
    };
    let quants = |row: usize, numbers: &mut [i8], groups: &mut [Group]| {
        numbers.iter_mut().enumerate().for_each(|(step, q)| *q = of(row, step));
        groups.iter_mut().enumerate().for_each(|(at, g)| *g = group(row, at * GROUP));
        !(some_plain && row % 7 == 6)
    };
    let read = |rows: Range<usize>, out: &mut [f32]| {
        for (row, out) in rows.zip(out.chunks_exact_mut(K)) {
            out.iter_mut().enumerate().for_each(|(step, out)| *out = number(row, step));
        }
        Ok::<(), std::convert::Infallible>(())
    };
    let x = random(&[13, K], 1);
    for tiles in multipliers() {
        let quantised = Packed::quantised_for_tiles(tiles, n, K, quants, read).unwrap();
        let plain = Packed::for_tiles(tiles, n, K, DType::F32, Products::Float32, read).unwrap();
        let bits = |packed: &Packed| product(packed, &x).iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&quantised), bits(&plain), "{tiles:?}");
        assert_eq!(quantised.kernel(), plain.kernel());
        assert!(some_plain || quantised.n_bytes() < plain.n_bytes(), "it takes more than numbers would");
        let mut row = [vec![0f32; K], vec![0f32; K]];
        quantised.copy_row(n - 1, &mut row[0]);
        plain.copy_row(n - 1, &mut row[1]);
        assert_eq!(row[0], row[1]);
    }
}

#[test]
fn quantised_panels_have_the_bits_of_plain_ones() {
    for (n, some_plain) in [(1, false), (32, false), (70, false), (70, true)] {
        for (most, steps) in [(16, 32), (256, 32), (256, 16)] {
            for with_offsets in [false, true] {
                check_quantised(n, some_plain, steps, most, with_offsets);
            }
        }
    }
}
