//! The `pairwatch` command's insides: files of access-log lines in, alert lines out, on the log's own clock.
//!
//! | file | what it does |
//! |---|---|
//! | [`input`] | files, gzip and standard input as numbered lines of bounded length |
//! | [`line`] | one line to one exchange, and what is wrong with a line that is none |
//! | [`merge`] | several logs as one, in time order |
//! | [`replay`] | exchanges through the engine, second by second |
//! | [`summary`] | what a replay tells of itself |
//! | [`configuration`] | reading, checking and describing the configuration |
#![forbid(unsafe_code)]

pub mod configuration;
mod failure;
pub mod input;
pub mod line;
pub mod merge;
pub mod replay;
pub mod summary;

pub use failure::Failure;
