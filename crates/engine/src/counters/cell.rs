//! What is counted of one route of one pair. All integers, all sums: merging two cells is adding them, in any order,
//! with the same result.

use super::Sketch;
use crate::exchange::{Exchange, Outcome};
use serde::{Deserialize, Serialize};

/// Exchanges by outcome. All but `requests` are disjoint parts of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallies {
    /// All exchanges.
    pub requests: u32,
    /// [`Outcome::ServerError`].
    pub server_errors: u32,
    /// [`Outcome::AuthFailure`].
    pub auth_failures: u32,
    /// [`Outcome::NotFound`].
    pub not_found: u32,
    /// [`Outcome::ClientError`].
    pub client_errors: u32,
}

/// One of each way to fail: server errors, client errors (what is not there among them), refused credentials.
pub type Failures<T> = [T; 3];

/// The counts of one route. Sizes and durations are of served exchanges only: an outage answers fast and small, which is
/// no news about either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Exchanges by outcome.
    pub tallies: Tallies,
    /// Exchanges that were served.
    pub served: u32,
    /// Bytes of request bodies, of served exchanges.
    pub request_bytes: u64,
    /// Bytes of response bodies, of served exchanges.
    pub response_bytes: u64,
    /// Sum of [`log_duration`] over served exchanges.
    pub log_durations: u64,
    /// Of [`route::UNROUTED`](crate::exchange::route::UNROUTED) only: the different paths that were refused or not found.
    pub paths: Sketch,
}

impl Tallies {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.requests = self.requests.saturating_add(1);
        let part = match outcome {
            Outcome::ServerError => &mut self.server_errors,
            Outcome::AuthFailure => &mut self.auth_failures,
            Outcome::NotFound => &mut self.not_found,
            Outcome::ClientError => &mut self.client_errors,
            Outcome::Served | Outcome::Aborted => return,
        };
        *part = part.saturating_add(1);
    }

    /// Exchanges that were not refused, nor failed.
    pub fn served(&self) -> u32 {
        self.requests
            .saturating_sub(self.server_errors)
            .saturating_sub(self.auth_failures)
            .saturating_sub(self.not_found)
            .saturating_sub(self.client_errors)
    }

    /// How many failed in which way.
    pub fn failures(&self) -> Failures<u32> {
        [
            self.server_errors,
            self.client_errors.saturating_add(self.not_found),
            self.auth_failures,
        ]
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.server_errors = self.server_errors.saturating_add(other.server_errors);
        self.auth_failures = self.auth_failures.saturating_add(other.auth_failures);
        self.not_found = self.not_found.saturating_add(other.not_found);
        self.client_errors = self.client_errors.saturating_add(other.client_errors);
    }
}

impl Cell {
    pub(crate) fn add(&mut self, exchange: &Exchange<'_>, outcome: Outcome) {
        self.tallies.add(outcome);
        if outcome == Outcome::Served {
            self.served = self.served.saturating_add(1);
            self.request_bytes = self.request_bytes.saturating_add(exchange.request_bytes);
            self.response_bytes = self.response_bytes.saturating_add(exchange.response_bytes);
            self.log_durations = self
                .log_durations
                .saturating_add(u64::from(log_duration(exchange.duration_us)));
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.tallies.merge(&other.tallies);
        self.served = self.served.saturating_add(other.served);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.log_durations = self.log_durations.saturating_add(other.log_durations);
        self.paths.merge(other.paths);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.tallies.requests == 0
    }
}

/// Steps of [`log_duration`] per doubling. A step is 1.1 %, far below what any signal looks for.
pub const STEPS_PER_OCTAVE: u32 = 64;

/// A duration in microseconds on a logarithmic scale in steps of 1/64 octave, as an integer: 0 µs → 0, 1 µs → 64,
/// 1 ms → 637, 1 s → 1275.
///
/// Between powers of two the scale is linear, which is at most 0.086 octaves off the logarithm, monotone, and the same
/// on every machine: sums of it merge exactly, and one typical value is compared with another on the same scale.
pub fn log_duration(us: u64) -> u32 {
    let x = us.saturating_add(1);
    let octave = x.ilog2();
    // The six bits below the leading one.
    let fraction = if octave >= 6 {
        x.wrapping_shr(octave.wrapping_sub(6))
    } else {
        x.wrapping_shl(6u32.wrapping_sub(octave))
    } & 63;
    octave
        .saturating_mul(STEPS_PER_OCTAVE)
        .saturating_add(u32::try_from(fraction).unwrap_or(0))
}

/// The duration in milliseconds at a place on the scale of [`log_duration`], given in octaves.
pub fn millis_at(octaves: f64) -> f64 {
    let whole = octaves.max(0.0).floor();
    let us = whole.exp2() * (1.0 + (octaves.max(0.0) - whole)) - 1.0;
    us / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn any_cell() -> impl Strategy<Value = Cell> {
        (any::<[u32; 6]>(), any::<[u64; 4]>()).prop_map(|(n, b)| Cell {
            paths: {
                let mut paths = Sketch::default();
                paths.add(b[3]);
                paths
            },
            tallies: Tallies {
                requests: n[0],
                server_errors: n[1],
                auth_failures: n[2],
                not_found: n[3],
                client_errors: n[4],
            },
            served: n[5],
            request_bytes: b[0],
            response_bytes: b[1],
            log_durations: b[2],
        })
    }

    proptest! {
        #[test]
        fn merging_is_the_same_in_any_order(a in any_cell(), b in any_cell(), c in any_cell()) {
            let (mut left, mut right) = (a, c);
            left.merge(&b);
            left.merge(&c);
            right.merge(&a);
            right.merge(&b);
            prop_assert_eq!(left, right);
        }

        #[test]
        fn the_duration_scale_is_monotone(a in any::<u64>(), b in any::<u64>()) {
            prop_assert!(log_duration(a.min(b)) <= log_duration(a.max(b)));
        }

        #[test]
        fn the_duration_scale_can_be_read_back_within_a_step(ms in 1.0f64..1e6) {
            let us = (ms * 1000.0) as u64;
            let back = millis_at(f64::from(log_duration(us)) / 64.0);
            prop_assert!((back / ms - 1.0).abs() < 0.02, "{ms} ms came back as {back}");
        }
    }
}
