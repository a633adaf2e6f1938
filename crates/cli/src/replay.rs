//! Exchanges through the engine, on the log's own clock.
//!
//! Log time passes as it does in a proxy: each second what was counted goes to the aggregator, which then closes the
//! windows that are over. Seconds without a line are walked too, one by one, because silence is data; a second in which
//! nothing happens costs some nanoseconds. A hole of more than [`HOLE`] is not silence but a piece of the log that is
//! missing, and is jumped over: the engine then judges no rates by the windows around it.
//!
//! The clock never goes back. Lines come in order but for those that are late by more than
//! [`order::WINDOW`](crate::stream::order::WINDOW). Such a line is counted now, where a proxy would have counted it too:
//! Envoy writes a line when the request is over, with the time it began. What is older even than that, by more than
//! [`DISORDER`], belongs to another part of the log; it is not counted but reported.
//!
//! At the end all open windows close. That nothing comes after the log's last line says nothing about rates, so the
//! engine is told that nobody watched.
//!
//! All seeds are fixed: the same log and configuration give the same bytes. But the pseudonyms of users: they are a secret's, and
//! without an `identity.key` each run has its own.

use crate::Failure;
use crate::fault::{Fault, Reason};
use crate::record::Line;
use crate::stream::order::Ordered;
use crate::summary::{Raised, Summary, Unnamed, length};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Look};
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::config::{Config, Mode, Signals};
use pairwatch_engine::counters::{Batch, Counters};
use pairwatch_engine::verdicts::Rulebook;
use std::io::{self, Write};
use std::time::Duration;

/// Somebody who looks on while a log is replayed: a report, a policy.
pub trait Watcher {
    /// A line was counted at `at`, which is its own time or, where it came late, the time by then.
    fn line(&mut self, at: Time, line: &Line<'_>);

    /// A second is over.
    fn second(&mut self, _now: Time, _engine: &Aggregator) {}

    /// The pair, source first, whose windows it wants to be told of.
    fn pair(&self) -> Option<(&str, &str)> {
        None
    }

    /// What one signal said of a window of that pair.
    fn look(&mut self, _look: &Look) {}

    /// An alert was raised, or would have been but for a rule where those are shown. `written` says whether it is severe enough to be told.
    fn alert(&mut self, _alert: &Alert, _written: bool) {}
}

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

/// What a replay leaves behind.
pub struct Replayed {
    /// How it went.
    pub summary: Summary,
    /// What the engine learned.
    pub engine: Aggregator,
}

/// Replays the logs, writes the alerts to `out`, and tells how it went. `progress` is called now and then with the lines
/// read so far. `baseline` is a snapshot to start from, and where it
/// came from.
///
/// # Errors
/// The baseline is none of this version, damaged, or of other windows; the alerts can't be written.
pub fn replay<'a>(
    mut config: Config,
    baseline: Option<(&str, &[u8])>,
    mut lines: Ordered,
    out: &'a mut dyn Write,
    watchers: Vec<&'a mut dyn Watcher>,
    progress: &mut dyn FnMut(u64),
) -> Result<Replayed, Failure> {
    let failed = |e: io::Error| Failure::at("alerts", e);
    let unknown_source = config.names.unknown_source.clone();
    let mut unnamed = Unnamed::new(unknown_source);
    let mut places = lines.advance().unwrap_or_default();
    let first = places.first().map_or(Time::default(), |place| place.time);
    let now = first.floor(SECOND);
    if config.mode == Mode::Stateless {
        // Only rules are told of; incidents of broken ones are as good a report as any.
        config.signals = Signals::NONE;
    }
    let mut engine = Aggregator::new(config, SEED, now);
    if let Some((file, bytes)) = baseline {
        let known = engine.warm_start(bytes, now);
        known.map_err(|e| Failure::at(file, format!("no baseline to start from: {e}")))?;
    }
    let mut replay = Replay::new(engine, first, out, watchers);
    while !places.is_empty() {
        for place in &places {
            let Some(line) = place.line() else {
                continue;
            };
            match replay.take(&line).map_err(failed)? {
                None => {
                    unnamed.add(&line);
                }
                Some(late) => lines.logs_mut().reject(place, late),
            }
        }
        progress(lines.logs().lines());
        places = lines.advance().unwrap_or_default();
    }
    replay.finish().map_err(failed)?;
    Ok(replay.end(&lines, unnamed))
}

/// The engine and the log's clock.
struct Replay<'a> {
    counters: Counters,
    rules: Rulebook,
    /// Whether a rule refers to what is learned.
    adaptive: bool,
    /// Whether client addresses are looked at.
    addresses: bool,
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
    watchers: Vec<&'a mut dyn Watcher>,
    /// Whoever reads the alerts has gone: `pairwatch replay … | head` is no failure.
    unread: bool,
}

impl<'a> Replay<'a> {
    fn new(
        mut engine: Aggregator,
        first: Time,
        out: &'a mut dyn Write,
        watchers: Vec<&'a mut dyn Watcher>,
    ) -> Self {
        let now = first.floor(SECOND);
        let caps = engine.config().limits;
        if let Some((source, destination)) = watchers.iter().find_map(|w| w.pair()) {
            engine.watch(source, destination);
        }
        Self {
            counters: Counters::new(caps.pairs, caps.routes_per_pair, HOLD_BYTES, SEED, now),
            rules: Rulebook::new(&engine.config().rules),
            adaptive: engine.config().rules.iter().any(|r| r.of.is_adaptive()),
            addresses: engine.config().identity.has_addresses(),
            longest: engine.config().window_lengths().last().unwrap_or(SECOND),
            aggregator: engine,
            now,
            counted: false,
            first,
            last: first,
            raised: Raised::default(),
            notices: Vec::new(),
            out,
            watchers,
            unread: false,
        }
    }

    /// Counts a line at its time; hands it back as a fault where it is too old.
    fn take(&mut self, line: &Line<'_>) -> io::Result<Option<Fault>> {
        let behind = self.last.since(line.time).saturating_sub(line.duration);
        if behind > DISORDER {
            let behind = length(behind);
            return Ok(Some(Fault {
                reason: Reason::OutOfOrder,
                detail: format!(
                    "{behind} older than a line before it; logs are read in time order"
                ),
            }));
        }
        self.last = self.last.max(line.time);
        self.pass(line.time)?;
        if !self.counted {
            // Counting begins with this second, not with the last one that had a line.
            self.counters.drain(self.now);
            self.counted = true;
        }
        self.counters.served_by(line.version);
        let mut exchange = line.exchange();
        if !self.addresses {
            exchange.address = None;
        }
        self.counters.judge(&exchange, &self.rules);
        for watcher in &mut self.watchers {
            watcher.line(self.now.max(line.time), line);
        }
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
        self.advance()?;
        for watcher in &mut self.watchers {
            watcher.second(self.now, &self.aggregator);
        }
        Ok(())
    }

    fn advance(&mut self) -> io::Result<()> {
        let window = self.aggregator.window();
        self.aggregator.advance(self.now);
        // What the workers of a proxy would be handed; only rules refer to it here.
        if self.adaptive && self.aggregator.window() != window {
            self.counters.apply(&self.aggregator.limits(self.now));
        }
        self.notices.extend(self.aggregator.drain_notices());
        for look in self.aggregator.drain_looks() {
            for watcher in &mut self.watchers {
                watcher.look(&look);
            }
        }
        let alerts = self.aggregator.drain_alerts();
        if alerts.is_empty() {
            return Ok(());
        }
        for alert in alerts {
            let written = self.aggregator.is_written(&alert);
            if alert.suppressed.is_none() {
                self.raised.add(&alert, written);
            }
            for watcher in &mut self.watchers {
                watcher.alert(&alert, written);
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

    fn end(self, lines: &Ordered, unnamed: Unnamed) -> Replayed {
        let logs = lines.logs();
        Replayed {
            summary: Summary {
                lines: logs.lines(),
                bad: logs.bad().clone(),
                empty: logs.empty().to_vec(),
                unnamed,
                first: self.first,
                last: self.last,
                totals: self.aggregator.totals(),
                tolerated_per_week: self.aggregator.config().false_alerts_per_week,
                raised: self.raised,
                hidden: self.aggregator.hidden(self.now),
                notices: self.notices,
            },
            engine: self.aggregator,
        }
    }
}
