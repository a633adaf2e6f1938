//! The version of a workload, as a number.
//!
//! What is asked of a version is whether it is the one before, so a hash of its label is as good as the label: it is of
//! fixed size wherever it is kept, whatever is written on a pod. It is the same on every proxy and in every process, because a
//! baseline that is put back and fetched again tells the version of the process before.

use crate::table::fnv;
use serde::{Deserialize, Serialize};

/// A version, or that it is not known. 4 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version(u32);

impl Version {
    /// What nobody says a version of.
    pub const UNKNOWN: Self = Self(0);

    /// The version with this label. An empty one is unknown.
    pub fn of(label: &str) -> Self {
        if label.is_empty() {
            return Self::UNKNOWN;
        }
        let hash = fnv(label.bytes());
        // Folded, because FNV's upper half is the better mixed one. A label whose hash is 0 has to be some other.
        let folded = u32::try_from((hash >> 32) ^ (hash & 0xFFFF_FFFF)).unwrap_or(1);
        Self(folded.max(1))
    }

    /// Whether it is known.
    pub fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn labels_are_told_apart_and_none_is_unknown() {
        assert_eq!(Version::of(""), Version::UNKNOWN);
        assert_eq!(Version::of("v1"), Version::of("v1"));
        assert_ne!(Version::of("v1"), Version::of("v2"));
        assert!(Version::of("v1").is_known());
    }
}
