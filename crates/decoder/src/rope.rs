//! Rotary position embeddings: angles of each position, in float32 whatever the weights' type.
//!
//! Pair i of a head turns by position · f_i, with f_i = θ^(−2i/D) changed by the scaling that the checkpoint was trained with. Output:
//! cosines and sines `[T, D/2]`, multiplied by the scaling's own attention factor. Two scalings depend on the length of the sequence:
//! dynamic NTK beyond the trained length, and LongRoPE's choice between its two lists; the length is that of the branch's whole path,
//! as transformers uses the length of the sequence it is given.
//!
//! Sources: Su et al. 2021 (RoPE); transformers' `modeling_rope_utils` for the meaning of every key; YaRN, arXiv:2309.00071;
//! LongRoPE, arXiv:2402.13753.

use crate::config::Config;
use crate::error::Error;

/// A rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Number of rotating dimensions, even.
    pub dim: usize,
    /// θ.
    pub theta: f64,
    /// Change of the frequencies.
    pub scaling: Scaling,
}

/// How frequencies are changed for longer contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// θ grows with the length beyond the trained one.
    Dynamic {
        /// The factor.
        factor: f64,
        /// Trained length.
        max_positions: usize,
    },
    /// Low frequencies are divided, high ones kept, those between blended (Llama 3.1).
    Llama3 {
        /// The factor.
        factor: f64,
        /// Where low frequencies begin.
        low_freq_factor: f64,
        /// Where high frequencies begin.
        high_freq_factor: f64,
        /// Trained length.
        original: usize,
    },
    /// Interpolation by parts.
    Yarn {
        /// The factor.
        factor: f64,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Rotations at which dimensions stop being interpolated.
        beta_fast: f64,
        /// Rotations at which dimensions start being interpolated.
        beta_slow: f64,
        /// Trained length.
        original: usize,
        /// Whether the range of blended dimensions is rounded to whole ones.
        truncate: bool,
    },
    /// One factor for each pair, from one of two lists.
    LongRope {
        /// Factors up to the trained length.
        short: Vec<f64>,
        /// Factors beyond it.
        long: Vec<f64>,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Trained length.
        original: usize,
    },
}

impl RopeSpec {
    /// Reads the rotary keys of a configuration: `rope_parameters`, or `rope_theta` with `rope_scaling`.
    pub fn read(config: &Config, head_dim: usize, default_theta: f64) -> Result<Self, Error> {
        match config.opt_part("rope_parameters")? {
            Some(part) => Self::read_part(config, &part, head_dim, default_theta),
            None => {
                let theta = config.opt_positive_f64("rope_theta")?.unwrap_or(default_theta);
                match config.opt_part("rope_scaling")? {
                    Some(part) => Self::read_part(config, &part, head_dim, theta),
                    None => Self::plain(config, config, head_dim, theta),
                }
            }
        }
    }

    /// Reads one set of rotary parameters.
    pub fn read_part(
        config: &Config,
        part: &Config,
        head_dim: usize,
        default_theta: f64,
    ) -> Result<Self, Error> {
        let theta = part.opt_positive_f64("rope_theta")?.unwrap_or(default_theta);
        let plain = Self::plain(config, part, head_dim, theta)?;
        let key = if part.get("rope_type").is_some() { "rope_type" } else { "type" };
        let kind = part.opt_str(key)?.unwrap_or("default");
        let scaling = match kind {
            "default" => Scaling::None,
            "linear" => Scaling::Linear { factor: part.positive_f64("factor")? },
            "dynamic" => Scaling::Dynamic {
                factor: part.positive_f64("factor")?,
                max_positions: config.positive("max_position_embeddings")?,
            },
            "llama3" => Scaling::Llama3 {
                factor: part.positive_f64("factor")?,
                low_freq_factor: part.positive_f64("low_freq_factor")?,
                high_freq_factor: part.positive_f64("high_freq_factor")?,
                original: original_length(config, part)?,
            },
            "yarn" => yarn(config, part)?,
            "longrope" | "su" => long_rope(config, part, plain.dim)?,
            other => return Err(part.refuse(key, format!("{other:?} is not supported"))),
        };
        Ok(Self { scaling, ..plain })
    }

    fn plain(config: &Config, part: &Config, head_dim: usize, theta: f64) -> Result<Self, Error> {
        let share = match part.opt_f64("partial_rotary_factor")? {
            Some(share) => share,
            None => config.opt_f64("partial_rotary_factor")?.unwrap_or(1.0),
        };
        let dim = (head_dim as f64 * share) as usize;
        if dim == 0 || dim % 2 == 1 || dim > head_dim {
            return Err(part.refuse(
                "partial_rotary_factor",
                format!("{dim} rotating dimensions of a head of {head_dim}: must be even and positive"),
            ));
        }
        Ok(Self { dim, theta, scaling: Scaling::None })
    }

    /// Positions that the scaling makes usable, where `max_position_embeddings` states those without it: the trained length times the
    /// factor. `None` where it states the scaled length already.
    pub fn extended_length(&self, max_positions: usize) -> Option<usize> {
        let (trained, factor) = match self.scaling {
            Scaling::Linear { factor } | Scaling::Dynamic { factor, .. } => (max_positions, factor),
            Scaling::Yarn { factor, original, .. } => (original, factor),
            Scaling::None | Scaling::Llama3 { .. } | Scaling::LongRope { .. } => return None,
        };
        Some((trained as f64 * factor) as usize)
    }

    /// Frequencies f_i, `[D/2]`, for a sequence of `length` tokens.
    fn frequencies(&self, length: usize) -> Vec<f32> {
        let dim = self.dim as f64;
        let powers = (0..self.dim / 2).map(|i| (2 * i) as f64 / dim);
        let inverse = |theta: f64| move |power: f64| 1.0 / theta.powf(power);
        let frequencies: Vec<f64> = match &self.scaling {
            Scaling::None => powers.map(inverse(self.theta)).collect(),
            Scaling::Linear { factor } => powers.map(inverse(self.theta)).map(|f| f / factor).collect(),
            Scaling::Dynamic { factor, max_positions } => {
                let max = *max_positions as f64;
                let length = (length as f64).max(max);
                let growth = factor * length / max - (factor - 1.0);
                powers.map(inverse(self.theta * growth.powf(dim / (dim - 2.0)))).collect()
            }
            Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => powers
                .map(inverse(self.theta))
                .map(|f| llama3_frequency(f, *factor, *low_freq_factor, *high_freq_factor, *original as f64))
                .collect(),
            Scaling::Yarn { factor, beta_fast, beta_slow, original, truncate, .. } => {
                let (low, high) =
                    yarn_range(dim, self.theta, *beta_fast, *beta_slow, *original as f64, *truncate);
                powers
                    .map(inverse(self.theta))
                    .enumerate()
                    .map(|(i, f)| {
                        let kept = 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                        f / factor * (1.0 - kept) + f * kept
                    })
                    .collect()
            }
            Scaling::LongRope { short, long, original, .. } => {
                let factors = if length > *original { long } else { short };
                powers.map(inverse(self.theta)).zip(factors).map(|(f, factor)| f / factor).collect()
            }
        };
        frequencies.into_iter().map(|f| f as f32).collect()
    }

    fn attention_factor(&self) -> f32 {
        match self.scaling {
            Scaling::Yarn { attention_factor, .. } | Scaling::LongRope { attention_factor, .. } => {
                attention_factor as f32
            }
            _ => 1.0,
        }
    }

    /// Cosines and sines of rows at `positions`, each within a path of `lengths` tokens: two `[T, D/2]` in row order.
    pub fn angles(&self, positions: &[usize], lengths: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let factor = self.attention_factor();
        let mut cos = Vec::with_capacity(positions.len() * self.dim / 2);
        let mut sin = Vec::with_capacity(positions.len() * self.dim / 2);
        let mut known: Option<(usize, Vec<f32>)> = None;
        for (&position, &length) in positions.iter().zip(lengths) {
            let length = self.turning_length(length);
            if known.as_ref().is_none_or(|(l, _)| *l != length) {
                known = Some((length, self.frequencies(length)));
            }
            for frequency in known.iter().flat_map(|(_, f)| f) {
                let (s, c) = (position as f32 * frequency).sin_cos();
                cos.push(c * factor);
                sin.push(s * factor);
            }
        }
        (cos, sin)
    }

    /// Paths of lengths for which this is the same turn by the same angles.
    pub(crate) fn turning_length(&self, length: usize) -> usize {
        match self.scaling {
            Scaling::Dynamic { max_positions, .. } => length.max(max_positions),
            Scaling::LongRope { original, .. } => original + usize::from(length > original),
            _ => 0,
        }
    }
}

fn original_length(config: &Config, part: &Config) -> Result<usize, Error> {
    if let Some(length) = part.opt_usize("original_max_position_embeddings")? {
        return Ok(length);
    }
    match config.opt_usize("original_max_position_embeddings")? {
        Some(length) => Ok(length),
        None => config.positive("max_position_embeddings"),
    }
}

/// 0.1·m·ln(s) + 1 for s > 1: YaRN's temperature on attention.
pub fn yarn_mscale(scale: f64, mscale: f64) -> f64 {
    if scale <= 1.0 { 1.0 } else { 0.1 * mscale * scale.ln() + 1.0 }
}

fn yarn(config: &Config, part: &Config) -> Result<Scaling, Error> {
    let original = original_length(config, part)?;
    let factor = match part.opt_positive_f64("factor")? {
        Some(factor) => factor,
        None => config.positive("max_position_embeddings")? as f64 / original as f64,
    };
    let nonzero = |key| Ok::<_, Error>(part.opt_f64(key)?.filter(|&m| m != 0.0));
    let attention_factor = match part.opt_f64("attention_factor")? {
        Some(given) => given,
        None => match nonzero("mscale")?.zip(nonzero("mscale_all_dim")?) {
            Some((mscale, all)) => yarn_mscale(factor, mscale) / yarn_mscale(factor, all),
            None => yarn_mscale(factor, 1.0),
        },
    };
    Ok(Scaling::Yarn {
        factor,
        attention_factor,
        beta_fast: nonzero("beta_fast")?.unwrap_or(32.0),
        beta_slow: nonzero("beta_slow")?.unwrap_or(1.0),
        original,
        truncate: part.bool_or("truncate", true)?,
    })
}

/// First and last blended dimension.
fn yarn_range(dim: f64, theta: f64, fast: f64, slow: f64, original: f64, truncate: bool) -> (f64, f64) {
    let dimension_of =
        |rotations: f64| dim * (original / (rotations * std::f64::consts::TAU)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (dimension_of(fast), dimension_of(slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    let (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if (high - low).abs() < f64::EPSILON { (low, high + 0.001) } else { (low, high) }
}

fn long_rope(config: &Config, part: &Config, dim: usize) -> Result<Scaling, Error> {
    let list = |key: &str| {
        let factors = part.opt_floats(key)?.ok_or_else(|| part.refuse(key, "missing"))?;
        if factors.len() != dim / 2 {
            return Err(part.refuse(key, format!("expected {} factors, found {}", dim / 2, factors.len())));
        }
        match factors.iter().find(|&&factor| factor <= 0.0) {
            Some(factor) => Err(part.refuse(key, format!("expected positive numbers, found {factor}"))),
            None => Ok(factors),
        }
    };
    let original = original_length(config, part)?;
    let factor = match part.opt_positive_f64("factor")? {
        Some(factor) => factor,
        None => config.positive("max_position_embeddings")? as f64 / original as f64,
    };
    let attention_factor = match part.opt_f64("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    Ok(Scaling::LongRope {
        short: list("short_factor")?,
        long: list("long_factor")?,
        attention_factor,
        original,
    })
}

fn llama3_frequency(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = std::f64::consts::TAU / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(dim: usize) -> RopeSpec {
        RopeSpec { dim, theta: 10_000.0, scaling: Scaling::None }
    }

    #[test]
    fn the_first_pair_turns_by_one_radian_a_position() {
        let (cos, sin) = plain(4).angles(&[0, 1, 2], &[3, 3, 3]);
        assert_eq!(&cos[..2], &[1.0, 1.0]);
        assert!((cos[2] - 1f32.cos()).abs() < 1e-7 && (sin[4] - 2f32.sin()).abs() < 1e-7);
        assert!((sin[3] - 0.01f32.sin()).abs() < 1e-7);
    }

    #[test]
    fn dynamic_scaling_sets_in_beyond_the_trained_length() {
        let dynamic = RopeSpec { scaling: Scaling::Dynamic { factor: 2.0, max_positions: 8 }, ..plain(8) };
        assert_eq!(dynamic.frequencies(8), plain(8).frequencies(8));
        assert!(dynamic.frequencies(16)[3] < plain(8).frequencies(16)[3]);
    }
}
