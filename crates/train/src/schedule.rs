//! The learning rate over training: linear warm-up, then constant or a half cosine down to a share of the peak.

use crate::error::Error;
use serde::{Deserialize, Serialize};

/// Learning rates by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The largest rate.
    pub peak: f64,
    /// Steps until it is reached.
    pub warmup_steps: u64,
    /// What follows.
    pub decay: Decay,
}

/// How the rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Not at all.
    Constant,
    /// A half cosine that ends at this share of the peak.
    Cosine(f64),
}

impl Default for Schedule {
    fn default() -> Self {
        Self { peak: 1e-3, warmup_steps: 100, decay: Decay::Cosine(0.1) }
    }
}

impl Schedule {
    /// Refuses rates that would make weights of no meaning.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let floor = if let Decay::Cosine(floor) = self.decay { floor } else { 1.0 };
        let fits = |x: f64| x.is_finite() && x >= 0.0;
        match (fits(self.peak), fits(floor)) {
            (false, _) => Err(Error::option("schedule.peak", "must be a number from 0")),
            (_, false) => Err(Error::option("schedule.decay", "must be a number from 0")),
            _ => Ok(()),
        }
    }

    /// The rate of update `step` in `1..=n_steps`.
    pub fn rate(&self, step: u64, n_steps: u64) -> f64 {
        if step <= self.warmup_steps {
            return self.peak * step as f64 / self.warmup_steps as f64;
        }
        match self.decay {
            Decay::Constant => self.peak,
            Decay::Cosine(floor) => {
                let (done, all) =
                    (step - self.warmup_steps, n_steps.saturating_sub(self.warmup_steps).max(1));
                let share = (done as f64 / all as f64).min(1.0);
                self.peak * (floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_its_floor() {
        let schedule = Schedule { peak: 2.0, warmup_steps: 4, decay: Decay::Cosine(0.1) };
        let rates: Vec<f64> = [1, 4, 12, 20, 25].map(|step| schedule.rate(step, 20)).to_vec();
        for (rate, expected) in rates.iter().zip([0.5, 2.0, 1.1, 0.2, 0.2]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
        let constant = Schedule { warmup_steps: 0, decay: Decay::Constant, ..schedule };
        assert!((constant.rate(1, 20) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn rates_are_numbers_from_0() {
        assert!(Schedule::default().check().is_ok());
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(Schedule { peak: bad, ..Schedule::default() }.check().is_err());
            assert!(Schedule { decay: Decay::Cosine(bad), ..Schedule::default() }.check().is_err());
        }
    }
}
