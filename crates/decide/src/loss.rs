//! What stopping a trace costs, as losses of 0 or 1 of a trace, and in [0, 1] of a question: the mean over its traces.
//!
//! * `wrong`: stopped because sure, and the answer is wrong now, where that of the whole trace is right. Its risk is how much accuracy
//!   stopping may cost.
//! * `gave-up`: given up, where the whole trace would have been right.
//! * `differs`: stopped because sure with another answer than the whole trace's. Needs no true answers, and is never below what `wrong` loses.

use crate::recorded::RecordedTrace;
use crate::replay::{Act, Ending};

/// A loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Stopped and now wrong.
    Wrong,
    /// Gave up though it would have been right.
    GaveUp,
    /// The answer differs from the whole trace's.
    Differs,
}

impl Loss {
    /// What stopping can be kept from.
    pub const OF_STOPPING: [Self; 2] = [Self::Wrong, Self::Differs];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::GaveUp => "gave-up",
            Self::Differs => "differs",
        }
    }

    /// What it is, as part of a sentence about a trace.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Wrong => "stopped and now wrong, where the whole trace is right",
            Self::GaveUp => "given up, where the whole trace is right",
            Self::Differs => "stopped with another answer than the whole trace's",
        }
    }

    /// Whether it needs to be known which traces are right.
    pub fn needs_verdicts(self) -> bool {
        self != Self::Differs
    }

    /// The loss of one trace.
    pub fn of(self, trace: &RecordedTrace, ending: &Ending) -> bool {
        let whole_is_right = trace.correct == Some(true);
        match (self, ending.act) {
            (Self::Wrong, Act::Stop) => whole_is_right && trace.leader_is_right(ending.step) != Some(true),
            (Self::GaveUp, Act::GiveUp) => whole_is_right,
            (Self::Differs, Act::Stop) => !trace.leader_stays(ending.step),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{prefix, trace};

    #[test]
    fn each_loss_counts_its_own_failure() {
        let right = trace(0, "7", vec![prefix("3", 0.9), prefix("7", 0.9), prefix("7", 0.9)]);
        let wrong = trace(0, "7", vec![prefix("3", 0.9), prefix("5", 0.9), prefix("5", 0.9)]);
        let stop = |trace: &RecordedTrace, k| Ending::at(trace, k);
        let give_up = |trace: &RecordedTrace| Ending { act: Act::GiveUp, ..Ending::at(trace, 0) };
        assert!(Loss::Wrong.of(&right, &stop(&right, 0)) && !Loss::Wrong.of(&right, &stop(&right, 1)));
        assert!(!Loss::Wrong.of(&wrong, &stop(&wrong, 0)), "the whole trace is wrong as well");
        assert!(Loss::Differs.of(&wrong, &stop(&wrong, 0)) && !Loss::Differs.of(&wrong, &stop(&wrong, 1)));
        assert!(Loss::GaveUp.of(&right, &give_up(&right)) && !Loss::GaveUp.of(&wrong, &give_up(&wrong)));
        for loss in [Loss::Wrong, Loss::GaveUp, Loss::Differs] {
            assert!(!loss.of(&right, &Ending::of_whole(&right)));
        }
    }
}
