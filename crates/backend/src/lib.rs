//! What a model can do, as small traits, with a scripted fake and conformance tests.
