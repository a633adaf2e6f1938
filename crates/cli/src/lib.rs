//! The `pairwatch` command's insides: access logs in, what the engine makes of them out, on the log's own clock.
//!
//! | folder | what it does |
//! |---|---|
//! | [`input`] | files, gzip, zstd and standard input as chunks of whole lines |
//! | [`formats`] | one line to one [`record`], a reader for each format; what is wrong with a line is a [`fault`] |
//! | [`stream`] | logs read by several threads, merged and put in time order |
//! | [`replay`] | lines through the engine, second by second; others may look on |
//! | [`explain`] | why a pair alarmed or did not |
//! | [`report`] | a page about a log, drawn by itself |
//! | [`policy`] | least-privilege policies out of what was seen |
//! | [`baseline`] | what a replay starts with |
//! | [`summary`], [`progress`] | what a replay tells of itself, after and meanwhile |
//! | [`configuration`] | reading, checking and describing the configuration |
//! | [`output`] | where it is written |
//! | [`args`], [`commands`] | the command line, and what it runs |
#![forbid(unsafe_code)]

pub mod args;
pub mod baseline;
pub mod commands;
pub mod configuration;
pub mod explain;
mod failure;
pub mod fault;
pub mod formats;
pub mod input;
pub mod output;
pub mod policy;
pub mod progress;
pub mod record;
pub mod replay;
pub mod report;
pub mod stream;
pub mod summary;

pub use failure::Failure;
