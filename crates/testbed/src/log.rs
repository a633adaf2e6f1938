//! An Envoy's log: kept in a file and in memory, and awaited line by line.
//!
//! Envoy is told to write its lines as `[time][level][logger] message`; a message of several lines arrives as such a line
//! and plain ones after it, which take over its level and logger. A thread reads Envoy's standard error, so that the log
//! is read on however busy the runtime is.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::watch;

use crate::alert::Alert;

/// For `--log-format`: what [`LogLine::parse`] reads.
pub(crate) const FORMAT: &str = "[%Y-%m-%dT%T.%e][%l][%n] %v";

/// How many of the last lines an error shows.
const TAIL: usize = 20;
/// And how many characters of each.
const WIDTH: usize = 400;

/// One line.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// trace, debug, info, warning, error, critical.
    pub level: String,
    /// Envoy's component: `main`, `wasm`, …
    pub logger: String,
    /// What it says.
    pub message: String,
    /// When it was read.
    pub at: Instant,
}

/// A place in a log: between two lines. The default is the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// A log. Clones are the same log.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    lines: Mutex<Vec<LogLine>>,
    /// Lines so far, and whether more can come.
    state: watch::Sender<(usize, bool)>,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner {
            path,
            lines: Mutex::default(),
            state: watch::Sender::new((0, false)),
        }))
    }

    /// Reads `source` to its end, on a thread of its own.
    pub(crate) fn read(&self, source: impl Read + Send + 'static) -> Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0.path);
        let file = file.with_context(|| format!("opening {}", self.0.path.display()))?;
        self.0.state.send_modify(|(_, open)| *open = true);
        let log = self.clone();
        let reader = move || {
            log.copy(source, file);
            log.0.state.send_modify(|(_, open)| *open = false);
        };
        std::thread::Builder::new()
            .name("log".into())
            .spawn(reader)
            .context("starting the log's reader")?;
        Ok(())
    }

    fn copy(&self, source: impl Read, mut file: File) {
        let mut source = BufReader::new(source);
        let mut raw = Vec::new();
        while source
            .read_until(b'\n', &mut raw)
            .is_ok_and(|read| read > 0)
        {
            // A full disk loses the file, not the lines in memory.
            let _ = file.write_all(&raw);
            let text = String::from_utf8_lossy(&raw);
            let mut lines = self.locked();
            let line = LogLine::parse(text.trim_end_matches(['\n', '\r']), lines.last());
            lines.push(line);
            let count = lines.len();
            drop(lines);
            self.0.state.send_modify(|(lines, _)| *lines = count);
            raw.clear();
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Here: what comes from now on is after it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.locked().len())
    }

    /// The lines after a mark.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Vec<LogLine> {
        self.locked().get(mark.0..).unwrap_or_default().to_vec()
    }

    /// The alerts after a mark.
    ///
    /// # Errors
    /// When a line begins as an alert and can't be read as one.
    pub fn alerts_since(&self, mark: Mark) -> Result<Vec<Alert>> {
        self.since(mark)
            .iter()
            .filter_map(|line| Alert::parse(&line.message))
            .collect()
    }

    /// The next line after `mark`, which moves on past it. Nothing when no more can come.
    pub async fn next(&self, mark: &mut Mark) -> Option<LogLine> {
        let mut state = self.0.state.subscribe();
        // The sender lives as long as `self`, so this can't fail; if it did, no more could come.
        let _ = state
            .wait_for(|(lines, open)| *lines > mark.0 || !open)
            .await
            .ok()?;
        let line = self.locked().get(mark.0).cloned()?;
        mark.0 += 1;
        Some(line)
    }

    /// Awaits that no more lines can come: Envoy is gone and all it wrote is here.
    pub(crate) async fn closed(&self) {
        let _ = self.0.state.subscribe().wait_for(|(_, open)| !open).await;
    }

    /// The first line after `mark` for which `found` gives a value.
    ///
    /// # Errors
    /// After `within`, or when Envoy ends first; the message shows the log's last lines.
    pub async fn find<T>(
        &self,
        mark: Mark,
        within: Duration,
        mut found: impl FnMut(&LogLine) -> Option<T>,
    ) -> Result<T> {
        let mut here = mark;
        let search = async {
            while let Some(line) = self.next(&mut here).await {
                if let Some(value) = found(&line) {
                    return Some(value);
                }
            }
            None
        };
        match tokio::time::timeout(within, search).await {
            Ok(Some(value)) => Ok(value),
            Ok(None) => bail!(
                "Envoy ended, and no log line was the one awaited; its log:\n{}",
                self.tail()
            ),
            Err(_) => bail!(
                "no log line within {within:?} was the one awaited; the log:\n{}",
                self.tail()
            ),
        }
    }

    /// The last lines and where the rest is, for an error message. The long lists of what this Envoy can do, at its start,
    /// are left out.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.locked();
        let telling = |line: &&LogLine| !(line.level == "info" && line.message.starts_with("  "));
        let mut last: Vec<_> = lines.iter().rev().filter(telling).take(TAIL).collect();
        last.reverse();
        let mut text = format!("({} lines in {})", lines.len(), self.0.path.display());
        for line in last {
            let message: String = line.message.chars().take(WIDTH).collect();
            text.push_str(&format!("\n  [{}][{}] {message}", line.level, line.logger));
        }
        text
    }

    fn locked(&self) -> MutexGuard<'_, Vec<LogLine>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogLine {
    fn parse(text: &str, before: Option<&Self>) -> Self {
        let parts = || {
            let (time, rest) = text.strip_prefix('[')?.split_once(']')?;
            let (level, rest) = rest.strip_prefix('[')?.split_once(']')?;
            let (logger, message) = rest.strip_prefix('[')?.split_once("] ")?;
            time.starts_with(|c: char| c.is_ascii_digit())
                .then_some((level, logger, message))
        };
        let (level, logger, message) = parts()
            .or_else(|| before.map(|line| (line.level.as_str(), line.logger.as_str(), text)))
            .unwrap_or(("", "", text));
        Self {
            level: level.into(),
            logger: logger.into(),
            message: message.into(),
            at: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogLine;

    #[test]
    fn a_line_is_taken_apart_and_one_without_a_head_belongs_to_the_one_before() {
        let first = LogLine::parse(
            "[2026-01-02T03:04:05.678][critical][wasm] Function: x failed:",
            None,
        );
        assert_eq!(
            (first.level.as_str(), first.logger.as_str()),
            ("critical", "wasm")
        );
        assert_eq!(first.message, "Function: x failed:");
        let second = LogLine::parse("[0] at module!f", Some(&first));
        assert_eq!(
            (second.level.as_str(), second.message.as_str()),
            ("critical", "[0] at module!f")
        );
    }
}
