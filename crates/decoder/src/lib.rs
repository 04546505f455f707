//! A transformer decoder that scores token trees.
