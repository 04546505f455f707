//! Qwen-2 and 2.5 (`qwen2`: biases on queries, keys and values) and Qwen-3 (`qwen3`: a norm on each query and key head instead).
//!
//! `sliding_window` counts only where `use_sliding_window` is on, and then only from layer `max_window_layers` upwards; many
//! checkpoints carry a window with the switch off.

use super::common::{self, Heads, Plain};
use crate::config::Config;
use crate::error::Error;
use crate::rope::RopeSpec;
use crate::spec::{QkNorm, Spec};

pub(super) fn read_qwen2(config: &Config) -> Result<Spec, Error> {
    // The head size follows from the hidden size unless it is stated.
    let heads = Heads::read(config)?;
    let plain = Plain { qkv_bias: true, ..Plain::new(config, &heads)? };
    read(config, &heads, &plain)
}

pub(super) fn read_qwen3(config: &Config) -> Result<Spec, Error> {
    let heads = match config.opt_usize("head_dim")? {
        Some(_) => Heads::read(config)?,
        None => Heads { head_dim: 128, ..Heads::read(config)? },
    };
    let bias = config.bool_or("attention_bias", false)?;
    let plain =
        Plain { qkv_bias: bias, o_bias: bias, qk_norm: Some(QkNorm::PerHead), ..Plain::new(config, &heads)? };
    read(config, &heads, &plain)
}

fn read(config: &Config, heads: &Heads, plain: &Plain) -> Result<Spec, Error> {
    let on = config.bool_or("use_sliding_window", false)?;
    let window = config.opt_usize("sliding_window")?.filter(|_| on);
    let first = config.opt_usize("max_window_layers")?.unwrap_or(28);
    let windows = common::windows(config, window, |layer| window.is_some() && layer >= first)?;
    let rope = RopeSpec::read(config, heads.head_dim, 10_000.0)?;
    let layers = windows.into_iter().map(|window| plain.layer(heads, window, 0)).collect();
    common::spec(config, common::rms(config, 1e-6, 0.0)?, vec![rope], layers, false)
}
