//! The versions of a destination that a worker met between two batches.
//!
//! While a release rolls out, two answer; with a canary beside it, three. More in one second than there are places for are
//! met again in the next.

use crate::exchange::version::Version;

const MOST: usize = 4;

/// Versions met since the last batch. 16 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Versions([Version; MOST]);

impl Versions {
    pub(super) fn add(&mut self, version: Version) {
        if !version.is_known() || self.0.contains(&version) {
            return;
        }
        if let Some(place) = self.0.iter_mut().find(|v| !v.is_known()) {
            *place = version;
        }
    }

    pub(super) fn drain(&mut self) -> Vec<Version> {
        let met = std::mem::take(&mut self.0);
        met.into_iter().filter(|v| v.is_known()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_version_is_met_once_and_no_more_than_there_are_places_for() {
        let mut versions = Versions::default();
        for label in ["", "v1", "v2", "v1", "v3", "v4", "v5", "v6"] {
            versions.add(Version::of(label));
        }
        let want = ["v1", "v2", "v3", "v4"].map(Version::of);
        assert_eq!(versions.drain(), want);
        assert_eq!(versions.drain(), []);
    }
}
