//! LLaMA and its many relatives (`llama`): the plain block with grouped-query attention and rotary embeddings.

use super::common::{self, Heads, Plain};
use crate::config::Config;
use crate::error::Error;
use crate::rope::RopeSpec;
use crate::spec::Spec;

pub(super) fn read(config: &Config) -> Result<Spec, Error> {
    let heads = Heads::read(config)?;
    let bias = config.bool_or("attention_bias", false)?;
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    let plain = Plain { qkv_bias: bias, o_bias: bias, mlp_bias, ..Plain::new(config, &heads)? };
    let rope = RopeSpec::read(config, heads.head_dim, 10_000.0)?;
    let n_layers = common::n_layers(config)?;
    let layers = (0..n_layers).map(|_| plain.layer(&heads, None, 0)).collect();
    common::spec(config, common::rms(config, 1e-6, 0.0)?, vec![rope], layers, false)
}
