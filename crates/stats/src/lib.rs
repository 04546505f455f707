//! Domain-free statistics: bootstrap, clustered intervals, trends, ranking, calibration.
