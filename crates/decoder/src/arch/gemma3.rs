//! Gemma-3, the text model (`gemma3_text`): Gemma-2's block with norms on query and key heads, five sliding layers to one full layer, and
//! a rotary embedding of its own for the sliding ones.

use super::{common, gemma2};
use crate::config::Config;
use crate::error::Error;
use crate::rope::{RopeSpec, Scaling};
use crate::spec::{QkNorm, Spec};

const FULL: usize = 0;
const SLIDING: usize = 1;

pub(super) fn read(config: &Config) -> Result<Spec, Error> {
    let (heads, mut plain) = gemma2::block(config)?;
    plain.qk_norm = Some(QkNorm::PerHead);
    let every = match config.opt_usize("sliding_window_pattern")? {
        Some(0) => return Err(config.refuse("sliding_window_pattern", "must be positive")),
        Some(every) => every,
        None => config.opt_usize("_sliding_window_pattern")?.unwrap_or(6).max(1),
    };
    let window = config.opt_usize("sliding_window")?.or(Some(4096));
    let windows = common::windows(config, window, |layer| (layer + 1) % every != 0)?;
    let layers = windows
        .into_iter()
        .map(|window| plain.layer(&heads, window, if window.is_some() { SLIDING } else { FULL }))
        .collect();
    let (full, sliding) = match common::ropes_by_kind(config, heads.head_dim)? {
        Some(ropes) => ropes,
        None => {
            let full = RopeSpec::read(config, heads.head_dim, 1_000_000.0)?;
            let theta = config.opt_positive_f64("rope_local_base_freq")?.unwrap_or(10_000.0);
            (full.clone(), RopeSpec { theta, scaling: Scaling::None, ..full })
        }
    };
    gemma2::finish(config, vec![full, sliding], layers)
}
