//! Exchanges through the engine, on the log's own clock.
//!
//! Log time passes as it does in a proxy: each second what was counted goes to the aggregator, which then closes the
//! windows that are over. Seconds without a line are walked too, one by one, because silence is data; a second in which
//! nothing happens costs some nanoseconds. A hole of more than [`HOLE`] is not silence but a piece of the log that is
//! missing, and is jumped over: the engine then judges no rates by the windows around it.
//!
//! The clock never goes back. A line that is older than the one before it is counted now, where a proxy would have
//! counted it too: Envoy writes a line when the request is over, with the time it began. What is older even than
//! that, by more than [`DISORDER`], belongs to another part of the log; it is not counted but reported.
//!
//! At the end all open windows close. That nothing comes after the log's last line says nothing about rates, so the
//! engine is told that nobody watched.
//!
//! All seeds are fixed: the same log and configuration give the same bytes.

use crate::Failure;
use crate::line::{Fault, Reason, Record};
use crate::merge::Merged;
use crate::summary::{Raised, Summary, length};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::{Config, Mode, Signals};
use pairwatch_engine::counters::{Batch, Counters};
use pairwatch_engine::verdicts::Rulebook;
use std::io::{self, Write};
use std::time::Duration;

/// Silence longer than this is a hole in the log.
pub const HOLE: Duration = Duration::from_secs(86_400);
/// How much older than the lines before it a line may be, beyond the time its request took.
pub const DISORDER: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);
/// How long after its end a window is closed at the latest: the engine's grace, in whole seconds.
const GRACE: Duration = Duration::from_secs(2);
/// Any will do: nobody attacks one replay's hashes with what another's gave away.
const SEED: u64 = 0x7061_6972_7761_7463;
/// Bytes of counts that are held at most. One replay stands for all the proxies that wrote the log, so that the budget of
/// a single proxy's worker would drop what each of them counted.
const HOLD_BYTES: u32 = 256 << 20;

/// Replays the logs, writes the alerts to `out`, and tells how it went.
///
/// # Errors
/// The alerts can't be written.
pub fn replay(config: Config, mut logs: Merged, out: &mut dyn Write) -> Result<Summary, Failure> {
    let first = logs.current().map_or(Time::default(), |record| record.time);
    let mut replay = Replay::new(config, first, out);
    while let Some(record) = logs.current() {
        match replay.take(record) {
            Ok(None) => {}
            Ok(Some(late)) => logs.reject(late),
            Err(e) => return Err(Failure::at("alerts", e)),
        }
        logs.advance();
    }
    replay.finish().map_err(|e| Failure::at("alerts", e))?;
    Ok(replay.summary(&logs))
}

/// The engine and the log's clock.
struct Replay<'a> {
    counters: Counters,
    rules: Rulebook,
    /// Whether a rule refers to what is learned.
    adaptive: bool,
    aggregator: Aggregator,
    /// The longest window.
    longest: Duration,
    /// The second that has begun.
    now: Time,
    /// Whether anything was counted in it.
    counted: bool,
    first: Time,
    last: Time,
    raised: Raised,
    notices: Vec<String>,
    out: &'a mut dyn Write,
    /// Whoever reads the alerts has gone: `pairwatch replay … | head` is no failure.
    unread: bool,
}

impl<'a> Replay<'a> {
    fn new(mut config: Config, first: Time, out: &'a mut dyn Write) -> Self {
        if config.mode == Mode::Stateless {
            // Only rules are told of; incidents of broken ones are as good a report as any.
            config.signals = Signals::NONE;
        }
        let now = first.floor(SECOND);
        let caps = config.limits;
        Self {
            counters: Counters::new(caps.pairs, caps.routes_per_pair, HOLD_BYTES, SEED, now),
            rules: Rulebook::new(&config.rules),
            adaptive: config.rules.iter().any(|r| r.of.is_adaptive()),
            longest: config.window_lengths().last().unwrap_or(SECOND),
            aggregator: Aggregator::new(config, SEED, now),
            now,
            counted: false,
            first,
            last: first,
            raised: Raised::default(),
            notices: Vec::new(),
            out,
            unread: false,
        }
    }

    /// Counts a line at its time; hands it back as a fault where it is too old.
    fn take(&mut self, record: &Record) -> io::Result<Option<Fault>> {
        let behind = self.last.since(record.time).saturating_sub(record.duration);
        if behind > DISORDER {
            let behind = length(behind);
            return Ok(Some(Fault {
                reason: Reason::OutOfOrder,
                detail: format!(
                    "{behind} older than a line before it; logs are read in time order"
                ),
            }));
        }
        self.last = self.last.max(record.time);
        self.pass(record.time)?;
        if !self.counted {
            // Counting begins with this second, not with the last one that had a line.
            self.counters.drain(self.now);
            self.counted = true;
        }
        self.counters.judge(&record.exchange(), &self.rules);
        Ok(None)
    }

    /// Lets time pass until the second that holds `at`.
    fn pass(&mut self, at: Time) -> io::Result<()> {
        if at.since(self.now) > HOLE {
            self.tick()?;
            self.now = at.floor(SECOND);
            self.advance()?;
        }
        while at.since(self.now) >= SECOND {
            self.tick()?;
        }
        Ok(())
    }

    /// Ends the second that has begun.
    fn tick(&mut self) -> io::Result<()> {
        self.now = self.now.plus(SECOND);
        if std::mem::take(&mut self.counted)
            && let Some(batch) = self.counters.drain(self.now)
        {
            self.aggregator.merge(batch, self.now);
        }
        self.advance()
    }

    fn advance(&mut self) -> io::Result<()> {
        let window = self.aggregator.window();
        self.aggregator.advance(self.now);
        // What the workers of a proxy would be handed; only rules refer to it here.
        if self.adaptive && self.aggregator.window() != window {
            self.counters.apply(&self.aggregator.limits(self.now));
        }
        self.notices.extend(self.aggregator.drain_notices());
        let alerts = self.aggregator.drain_alerts();
        if alerts.is_empty() {
            return Ok(());
        }
        for alert in alerts {
            let written = self.aggregator.is_written(&alert);
            if alert.suppressed.is_none() {
                self.raised.add(&alert, written);
            }
            if written {
                self.write(&alert.to_line())?;
            }
        }
        // Alerts are rare, and whoever follows a live log waits for them.
        self.out.flush().or_else(|e| self.gone(e))
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.unread {
            return Ok(());
        }
        writeln!(self.out, "{line}").or_else(|e| self.gone(e))
    }

    fn gone(&mut self, error: io::Error) -> io::Result<()> {
        self.unread = true;
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Ok(());
        }
        Err(error)
    }

    /// Closes the open windows.
    fn finish(&mut self) -> io::Result<()> {
        self.tick()?;
        let end = self.now.floor(self.longest).plus(self.longest).plus(GRACE);
        while self.now < end {
            // A batch that was held for so long says that the windows open now were not watched.
            let unwatched = Batch {
                to: self.first,
                ..Batch::default()
            };
            self.aggregator.merge(unwatched, self.now);
            self.tick()?;
        }
        Ok(())
    }

    fn summary(self, logs: &Merged) -> Summary {
        Summary {
            lines: logs.lines(),
            bad: logs.bad().clone(),
            first: self.first,
            last: self.last,
            totals: self.aggregator.totals(),
            raised: self.raised,
            hidden: self.aggregator.hidden(self.now),
            notices: self.notices,
        }
    }
}
