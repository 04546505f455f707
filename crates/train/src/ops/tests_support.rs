//! What tests of the operations share: random inputs, and gradients checked in two ways.

use super::numbers::{change, of_tensor};
use candle_core::{Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};

/// Numbers in [−1, 1) from a seed.
pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

/// Equal shapes, and numbers within `tolerance` of each other.
pub(crate) fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (a.contiguous().unwrap(), b.contiguous().unwrap());
    for (i, (a, b)) in of_tensor(&a).unwrap().iter().zip(of_tensor(&b).unwrap().iter()).enumerate() {
        assert!((a - b).abs() <= tolerance, "number {i}: {a} against {b}");
    }
}

/// Checks an operation against the same formula in candle's own operations, forward and backward, and some of its gradients against
/// differences. The scalar is the sum of the output times fixed random numbers, so that every output counts differently.
pub(crate) fn check_gradients(
    inputs: &[Tensor],
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let (y, expected) = (op(&tensors).unwrap(), composed(&tensors).unwrap());
    assert_close(&y, &expected, 2e-5);
    let weights = random(y.dims(), 99);
    let scalar = |y: &Tensor| (y * &weights).unwrap().sum_all().unwrap();
    let (grads, expected) = (scalar(&y).backward().unwrap(), scalar(&expected).backward().unwrap());
    for x in &tensors {
        let (grad, expected) = (grads.get(x).unwrap(), expected.get(x).unwrap());
        assert_close(grad, expected, 5e-5);
        let grad = grad.contiguous().unwrap();
        let grad = of_tensor(&grad).unwrap();
        for index in [0, grad.len() / 3, grad.len() - 1] {
            let step = 1e-2;
            let moved = |by: f32| {
                change(x, |numbers| numbers[index] += by).unwrap();
                // Summed in float64: differences of a float32 sum would be mostly rounding.
                let y = op(&tensors).unwrap();
                let (y, w) = (of_tensor(&y).unwrap(), of_tensor(&weights).unwrap());
                let total: f64 = y.iter().zip(w.iter()).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum();
                change(x, |numbers| numbers[index] -= by).unwrap();
                total
            };
            let slope = ((moved(step) - moved(-step)) / (2.0 * f64::from(step))) as f32;
            assert!((slope - grad[index]).abs() < 3e-3, "gradient {}, difference {slope}", grad[index]);
        }
    }
}
