//! OLMo-2 (`olmo2`): norms after attention and feed-forward part instead of before, and one norm over all query heads and one over all
//! key heads.

use super::common::{self, Heads, Plain};
use crate::config::Config;
use crate::error::Error;
use crate::rope::RopeSpec;
use crate::spec::{NormPlacement, QkNorm, Spec};

pub(super) fn read(config: &Config) -> Result<Spec, Error> {
    let (heads, plain) = block(config)?;
    let rope = RopeSpec::read(config, heads.head_dim, 10_000.0)?;
    let n_layers = common::n_layers(config)?;
    let layers = (0..n_layers).map(|_| plain.layer(&heads, None, 0)).collect();
    common::spec(config, common::rms(config, 1e-5, 0.0)?, vec![rope], layers, false)
}

/// The block that OLMo-2 and OLMo-3 share.
pub(super) fn block(config: &Config) -> Result<(Heads, Plain), Error> {
    let heads = Heads::read(config)?;
    let bias = config.bool_or("attention_bias", false)?;
    let plain = Plain {
        norms: NormPlacement::After,
        qkv_bias: bias,
        o_bias: bias,
        qk_norm: Some(QkNorm::Whole),
        ..Plain::new(config, &heads)?
    };
    Ok((heads, plain))
}
