//! Why the command can't do what it was asked.

use std::fmt;

/// Why the command can't do what it was asked, in one sentence that names the file.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// What was being read or written, and what stood in the way.
    pub fn at(place: &str, why: impl fmt::Display) -> Self {
        Self(format!("{place}: {why}"))
    }

    /// All of them as one, a line each, if there are any.
    ///
    /// # Errors
    /// There are.
    pub fn any(failures: &[Self]) -> Result<(), Self> {
        let lines: Vec<_> = failures.iter().map(|f| f.0.as_str()).collect();
        if lines.is_empty() {
            return Ok(());
        }
        Err(Self(lines.join("\n")))
    }

    /// What stands in the way, and a list of why, one a line.
    pub fn list(what: &str, why: &str) -> Self {
        Self(format!("{what}:\n{}", why.trim_end()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
