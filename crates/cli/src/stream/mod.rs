//! Logs as one stream of lines in time order.
//!
//! | file | what it does |
//! |---|---|
//! | [`block`] | a chunk's lines, read |
//! | [`feed`] | logs read by several threads, blocks in order |
//! | [`cursor`] | one log, without lines whose clock ran ahead |
//! | [`merge`] | several logs as one |
//! | [`order`] | what is slightly out of order, put in order |

pub mod block;
pub mod cursor;
pub mod feed;
pub mod merge;
pub mod order;
