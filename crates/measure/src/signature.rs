//! Signature of one curve.
#[derive(Debug, Clone, PartialEq)]
/// x
pub struct Signature;
