//! OLMo (`olmo`): the plain block with norms that have no weights, and queries, keys and values clamped where `clip_qkv` says so.

use super::common::{self, Heads, Plain};
use crate::config::Config;
use crate::error::Error;
use crate::rope::RopeSpec;
use crate::spec::{NormKind, Spec};

pub(super) fn read(config: &Config) -> Result<Spec, Error> {
    let heads = Heads::read(config)?;
    let bias = config.bool_or("attention_bias", false)?;
    let clip = config.opt_f64("clip_qkv")?;
    let plain = Plain { qkv_bias: bias, o_bias: bias, clip, ..Plain::new(config, &heads)? };
    let rope = RopeSpec::read(config, heads.head_dim, 10_000.0)?;
    let n_layers = common::n_layers(config)?;
    let layers = (0..n_layers).map(|_| plain.layer(&heads, None, 0)).collect();
    common::spec(config, NormKind::PlainLayer { eps: 1e-5 }, vec![rope], layers, false)
}
