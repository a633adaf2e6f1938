//! Why a configuration was refused.

use std::fmt;

/// Why a configuration was refused: the JSON path, what was found there, what is allowed.
#[derive(Debug)]
pub struct ConfigError(Kind);

#[derive(Debug)]
enum Kind {
    /// The text could not be read as the type: serde's own words say what was found and expected.
    Reading { path: String, why: String },
    /// The value was read but can't be meant.
    Refused {
        path: String,
        found: String,
        allowed: String,
    },
}

impl ConfigError {
    pub(super) fn from_reading(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        Self(Kind::Reading {
            path: error.path().to_string(),
            why: error.into_inner().to_string(),
        })
    }

    pub(super) fn trailing(error: serde_json::Error) -> Self {
        Self(Kind::Reading {
            path: ".".to_owned(),
            why: error.to_string(),
        })
    }

    pub(super) fn refused(path: &str, found: String, allowed: String) -> Self {
        Self(Kind::Refused {
            path: path.to_owned(),
            found,
            allowed,
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Reading { path, why } if path == "." => write!(f, "configuration: {why}"),
            Kind::Reading { path, why } => write!(f, "configuration, {path}: {why}"),
            Kind::Refused {
                path,
                found,
                allowed,
            } => write!(
                f,
                "configuration, {path}: found {found}, allowed is {allowed}"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
