//! Benchmarks, imported traces, answer extraction and canonical forms.
