//! What a replay starts with: the same as a proxy's warm start.
//!
//! A file is what `pairwatch train` wrote, as it stands or as base64. Without one, a snapshot that stands in the
//! configuration itself (`learning.warm_start.inline`) is taken, as the plugin would. One that is to be fetched from a
//! store is not: a replay asks no network for anything.

use crate::Failure;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::{Time, base64};

/// A snapshot, and where it was found.
#[derive(Clone, Debug)]
pub struct Baseline {
    place: String,
    bytes: Vec<u8>,
}

impl Baseline {
    /// That of a file, else of the configuration, if either has one.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn find(file: Option<&str>, config: &Config) -> Result<Option<Self>, Failure> {
        let Some(file) = file else {
            let warm = config.learning.warm_start.as_ref();
            return Ok(warm.and_then(|w| w.inline.as_ref()).map(|inline| Self {
                place: "learning.warm_start.inline".to_owned(),
                bytes: inline.bytes().to_vec(),
            }));
        };
        let bytes = std::fs::read(file).map_err(|e| Failure::at(file, e))?;
        let text = std::str::from_utf8(&bytes).ok();
        // A snapshot's own first bytes are letters too, but no text of letters only.
        let decoded = text.and_then(|text| base64::decode(text.trim()).ok());
        Ok(Some(Self {
            place: file.to_owned(),
            bytes: decoded.unwrap_or(bytes),
        }))
    }

    /// Lets an engine start with it; returns how many pairs are known by it.
    ///
    /// # Errors
    /// It is no snapshot of this version and of these windows, or damaged.
    pub fn start(&self, engine: &mut Aggregator, now: Time) -> Result<usize, Failure> {
        let started = engine.warm_start(&self.bytes, now);
        started.map_err(|e| Failure::at(&self.place, e))
    }
}
