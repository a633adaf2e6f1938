//! What a replay starts with: the same as a proxy's warm start.
//!
//! A file is what `pairwatch train` wrote, as it stands or as base64. Without one, a snapshot that stands in the
//! configuration itself (`learning.warm_start.inline`) is taken, as the plugin would. One that is to be fetched from a
//! store is not: a replay asks no network for anything.

use crate::Failure;
use pairwatch_engine::base64;
use pairwatch_engine::config::Config;
use std::path::Path;

/// The snapshot of a file, else of the configuration, if either has one, and where it was found.
///
/// # Errors
/// The file can't be read.
pub fn find(file: Option<&Path>, config: &Config) -> Result<Option<(String, Vec<u8>)>, Failure> {
    let Some(file) = file else {
        let warm = config.learning.warm_start.as_ref();
        let inline = warm.and_then(|warm| warm.inline.as_ref());
        return Ok(inline.map(|inline| {
            let place = "learning.warm_start.inline".to_owned();
            (place, inline.bytes().to_vec())
        }));
    };
    let place = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|e| Failure::at(&place, e))?;
    Ok(Some((place, decoded(bytes))))
}

/// The snapshot that stands in a file, as it is or as base64.
pub fn decoded(bytes: Vec<u8>) -> Vec<u8> {
    // A snapshot holds bytes that are no text, so that one is never taken for base64.
    let text = std::str::from_utf8(&bytes).ok();
    let decoded = text.and_then(|text| base64::decode(text.trim()).ok());
    decoded.unwrap_or(bytes)
}
