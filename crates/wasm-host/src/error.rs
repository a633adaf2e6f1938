//! What can go wrong between a test and its module.

use std::fmt;

/// Why a module did not do what was asked of it.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    Load(String),
    Trap {
        callback: String,
        cause: String,
        last_words: Option<String>,
    },
    Refused(&'static str),
    Misuse(String),
}

impl Error {
    pub(crate) fn load(what: impl fmt::Display) -> Self {
        Self(Kind::Load(what.to_string()))
    }

    pub(crate) fn trap(
        callback: &str,
        cause: impl fmt::Display,
        last_words: Option<String>,
    ) -> Self {
        let (callback, cause) = (callback.to_owned(), cause.to_string());
        Self(Kind::Trap {
            callback,
            cause,
            last_words,
        })
    }

    pub(crate) fn refused(callback: &'static str) -> Self {
        Self(Kind::Refused(callback))
    }

    pub(crate) fn misuse(what: impl fmt::Display) -> Self {
        Self(Kind::Misuse(what.to_string()))
    }

    /// The module trapped: in an Envoy its VM would be gone, with all that it had learned.
    #[must_use]
    pub fn is_trap(&self) -> bool {
        matches!(self.0, Kind::Trap { .. })
    }

    /// `on_vm_start` or `on_configure` returned false: an Envoy would reject the configuration.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.0, Kind::Refused(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Load(what) | Kind::Misuse(what) => f.write_str(what),
            Kind::Refused(callback) => write!(f, "{callback} returned false"),
            Kind::Trap {
                callback,
                cause,
                last_words,
            } => {
                write!(f, "{callback} trapped: {cause}")?;
                last_words
                    .as_ref()
                    .map_or(Ok(()), |words| write!(f, "; it last logged: {words}"))
            }
        }
    }
}

impl std::error::Error for Error {}
