//! Pairwatch's engine: what is seen of a request goes in at the top of this list, an alert comes out at the bottom.
//!
//! | folder | what it does | runs in |
//! |---|---|---|
//! | [`config`] | the one configuration object, its defaults and its refusals | both roles |
//! | [`exchange`] | one request and its answer, protocol-neutral; paths to route templates, principals to names | filter |
//! | [`counters`] | exact, mergeable counts per pair and route; the batch that carries them | filter |
//! | [`limits`] | what the aggregator hands back: limits and known routes; the inline verdict | both |
//! | [`verdicts`] | what is held against one request, by limits and by rules, and what is done about it | filter |
//! | [`windows`] | batches into windows of several lengths | aggregator |
//! | [`baselines`] | what is normal: predictive distributions, learned online | aggregator |
//! | [`signals`] | what is looked at: one file and one table entry each | aggregator |
//! | [`evidence`] | rarity accumulated until it outweighs the tolerated false alerts | aggregator |
//! | [`identities`] | who calls, and whether that is like them | aggregator |
//! | [`incidents`] | one cause, one incident: open, updated, resolved | aggregator |
//! | [`alerts`] | the alert line a person reads | aggregator |
//! | [`sinks`] | alerts on their way to Alertmanager, OTLP or a webhook: what is sent, when, and when again | aggregator |
//! | [`aggregator`] | the folders above, wired; the snapshot that outlives a VM | aggregator |
//!
//! Beside the flow: [`frame`], the envelope of all bytes that leave a VM; [`lease`], which VM aggregates; [`journal`], what
//! a new leader catches up on; [`store`], when a baseline is fetched from elsewhere and put back; [`base64`], how one stands
//! in a configuration; [`sources`], the score of each suspicious caller, for metrics.
//!
//! The engine knows no SDK, no clock and no I/O, and holds no `unsafe`: time is an argument, randomness a seed, so
//! the plugin, the command and the tests run the very same code. `clippy.toml` beside it bans the ways around that.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        reason = "an overflow in a test is a failed test"
    )
)]

pub mod aggregator;
pub mod alerts;
mod backoff;
pub mod base64;
pub mod baselines;
pub mod config;
pub mod counters;
pub mod evidence;
pub mod exchange;
pub mod frame;
pub mod identities;
pub mod incidents;
pub mod journal;
mod json_line;
pub mod lease;
pub mod limits;
pub mod signals;
pub mod sinks;
pub mod sources;
pub mod store;
mod table;
mod time;
pub mod verdicts;
pub mod windows;

pub use time::Time;
