//! What is normal: predictive distributions, learned online.
//!
//! A baseline answers one question of the next window: how probable is a value at least this extreme, given all that was
//! learned and how little that may be? The uncertainty about the level itself is part of the answer, so that a young
//! baseline is modest by itself and needs no warm-up rule to keep it quiet.
//!
//! | file | for | distribution |
//! |---|---|---|
//! | [`count`] | counts against an exposure: requests a window, errors a request | negative binomial |
//! | [`rate`] | requests a window, by the time and by what the source does beside | mixture of [`count`]s |
//! | [`calls`] | how many calls each kind of request to the source brings | Poisson sums, told apart by expectation and maximisation |
//! | [`wander`] | how much one window of requests tells of the next | autoregression |
//! | [`outcomes`] | how prone to fail one route of a pair is against its others | Gamma–Poisson |
//! | [`scale`] | sizes and durations against what the same routes usually take, in octaves | Student's t |
//! | [`season`] | time of day and of week | factors, pooled over pairs |
//! | [`anchor`] | how far a learned level may have moved | a cap a day |
//! | [`novelty`] | whether something never seen before was to be expected | Good–Turing |
//!
//! All are a few floats ([`calls`] a few for each route), cost O(1) a window, and forget exponentially.

pub mod anchor;
pub mod calls;
pub mod count;
pub mod novelty;
pub mod outcomes;
pub mod rate;
pub mod scale;
pub mod season;
pub mod wander;

/// How probable a value at least as extreme is, on either side. Each in 0 (never) to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The probability of a value as large or larger.
    pub up: f64,
    /// The probability of a value as small or smaller.
    pub down: f64,
}

impl Tail {
    /// Says nothing.
    pub const NONE: Self = Self { up: 1.0, down: 1.0 };
}
