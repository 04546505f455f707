//! Mistral (`mistral`): the plain block with one sliding window for all layers.

use super::common::{self, Heads, Plain};
use crate::config::Config;
use crate::error::Error;
use crate::rope::RopeSpec;
use crate::spec::Spec;

pub(super) fn read(config: &Config) -> Result<Spec, Error> {
    let heads = Heads::read(config)?;
    let plain = Plain::new(config, &heads)?;
    let rope = RopeSpec::read(config, heads.head_dim, 10_000.0)?;
    let window = config.opt_usize("sliding_window")?;
    let windows = common::windows(config, window, |_| window.is_some())?;
    let layers = windows.into_iter().map(|window| plain.layer(&heads, window, 0)).collect();
    common::spec(config, common::rms(config, 1e-6, 0.0)?, vec![rope], layers, false)
}
