//! How long to wait before a request is sent again, and how often it is.
//!
//! Waits double from half a second to eight and are drawn from their upper half, so that clients that failed together do not come back
//! together. What a server asks for (`Retry-After`) is kept to, with a little more. Time is an argument: tests have a clock of their own.

use std::time::Duration;

/// First wait.
const FIRST: Duration = Duration::from_millis(500);
/// Longest wait, unless the server asks for more.
const LONGEST: Duration = Duration::from_secs(8);

/// Numbers for jitter: splitmix64. They decide when something is sent, never what.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number in [0, 1).
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The wait after so many failures of a request, from one.
pub(crate) fn backoff(n_failed: u32, jitter: &mut Jitter) -> Duration {
    let whole = FIRST.saturating_mul(1 << n_failed.saturating_sub(1).min(10)).min(LONGEST);
    whole.mul_f64(0.5 + 0.5 * jitter.next())
}

/// The wait that a server asks for, and up to a tenth more.
pub(crate) fn asked_for(wait: Duration, jitter: &mut Jitter) -> Duration {
    wait.mul_f64(1.0 + 0.1 * jitter.next())
}

/// How often a request is sent again, and how long the run waits for servers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Attempts at a request that a server fails or answers wrongly.
    pub attempts: u32,
    /// How long all servers may be away before the run stops.
    pub away: Duration,
    /// How long the run waits for servers that only ask for patience; also the longest `Retry-After` that is waited for.
    pub busy: Duration,
    /// Requests in a row that fail for good before the run stops.
    pub failures: u32,
    /// How long an answer about next tokens may take to begin.
    pub read: Duration,
    /// How long a completion may take to begin, and for each of its tokens.
    pub draw: (Duration, Duration),
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 4,
            away: Duration::from_secs(120),
            busy: Duration::from_secs(900),
            failures: 8,
            read: Duration::from_secs(300),
            draw: (Duration::from_secs(300), Duration::from_millis(500)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let mut jitter = Jitter::new(1);
        for (n_failed, most) in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (60, 8.0)] {
            for _ in 0..100 {
                let wait = backoff(n_failed, &mut jitter).as_secs_f64();
                assert!(wait >= most / 2.0 && wait < most, "{wait} after {n_failed}");
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_kept_to() {
        let mut jitter = Jitter::new(2);
        for _ in 0..100 {
            let wait = asked_for(Duration::from_secs(30), &mut jitter).as_secs_f64();
            assert!((30.0..33.0).contains(&wait), "{wait}");
        }
    }
}
