//! What can be wrong with a command line.

/// Wrong usage or set-up, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetUp(pub String);

/// Why a command line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unparsed {
    /// What clap says, which includes help and version.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// What is wrong with a configuration file.
    #[error(transparent)]
    File(#[from] SetUp),
}
