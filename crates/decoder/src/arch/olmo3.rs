//! OLMo-3 (`olmo3`): OLMo-2's block with three sliding layers to one full layer; scaled rotary embeddings in the full layers only.

use super::{common, olmo2};
use crate::config::Config;
use crate::error::Error;
use crate::rope::{RopeSpec, Scaling};
use crate::spec::Spec;

const FULL: usize = 0;
const SLIDING: usize = 1;
const DEFAULT_THETA: f64 = 500_000.0;

pub(super) fn read(config: &Config) -> Result<Spec, Error> {
    let (heads, plain) = olmo2::block(config)?;
    let window = config.opt_usize("sliding_window")?.or(Some(4096));
    let windows = common::windows(config, window, |layer| (layer + 1) % 4 != 0)?;
    let layers = windows
        .into_iter()
        .map(|window| plain.layer(&heads, window, if window.is_some() { SLIDING } else { FULL }))
        .collect();
    let (full, sliding) = match common::ropes_by_kind(config, heads.head_dim)? {
        Some(ropes) => ropes,
        None => {
            let full = RopeSpec::read(config, heads.head_dim, DEFAULT_THETA)?;
            // In the older files transformers gives the sliding layers the family's own base, whatever `rope_theta` says.
            (full.clone(), RopeSpec { theta: DEFAULT_THETA, scaling: Scaling::None, ..full })
        }
    };
    common::spec(config, common::rms(config, 1e-5, 0.0)?, vec![full, sliding], layers, false)
}
