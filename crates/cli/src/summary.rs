//! What a replay tells of itself, for a person.

use crate::Failure;
use crate::fault::{Fault, Reason};
use crate::record::{Line, UNKNOWN};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Hidden, Totals};
use pairwatch_engine::alerts::{Alert, Kind, Severity, number};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

/// How a replay went.
#[derive(Debug)]
pub struct Summary {
    /// Lines read that were not blank.
    pub lines: u64,
    /// Those of them that were not counted.
    pub bad: BadLines,
    /// Logs without a line.
    pub empty: Vec<String>,
    /// Lines that name one end only, or none.
    pub unnamed: Unnamed,
    /// Time of the first line.
    pub first: Time,
    /// Time of the last.
    pub last: Time,
    /// What the engine tells.
    pub totals: Totals,
    /// `false_alerts_per_week` it was run with.
    pub tolerated_per_week: f64,
    /// The alerts.
    pub raised: Raised,
    /// What each rule of the configuration hid.
    pub hidden: Vec<Hidden>,
    /// What else the engine told: rules that ended.
    pub notices: Vec<String>,
}

/// Lines that were not counted, by reason.
#[derive(Clone, Debug, Default)]
pub struct BadLines(BTreeMap<Reason, (u64, String)>);

/// Incidents, by id, as the last line about each told them.
#[derive(Debug, Default)]
pub struct Raised {
    incidents: HashMap<String, (Kind, Severity)>,
    written: u64,
    hidden: u64,
    worst: Option<Severity>,
}

/// Counted lines that name one end only, or none.
#[derive(Clone, Debug)]
pub struct Unnamed {
    unknown_source: String,
    lines: u64,
    sources: u64,
    destinations: u64,
}

impl Unnamed {
    /// None yet. A source is not named where it is called `unknown_source`.
    pub fn new(unknown_source: String) -> Self {
        Self {
            unknown_source,
            lines: 0,
            sources: 0,
            destinations: 0,
        }
    }

    /// Lines that name no destination.
    pub fn destinations(&self) -> u64 {
        self.destinations
    }

    /// Counts a line.
    pub fn add(&mut self, line: &Line<'_>) {
        self.lines = self.lines.saturating_add(1);
        let source = u64::from(line.source == self.unknown_source);
        self.sources = self.sources.saturating_add(source);
        let destination = u64::from(line.destination == UNKNOWN);
        self.destinations = self.destinations.saturating_add(destination);
    }
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines > 0 && self.sources == self.lines {
            let name = &self.unknown_source;
            writeln!(
                f,
                "  no line names its source: all callers are one, {name}. JSON logs name it in downstream_peer, or where --field source=KEY says"
            )?;
        }
        if self.destinations > 0 {
            let n = self.destinations;
            writeln!(
                f,
                "  {n} lines name no destination and are counted as {UNKNOWN}: --service NAME, or names.service, names the service behind the proxy"
            )?;
        }
        Ok(())
    }
}

impl BadLines {
    /// Counts a line; the first with each reason is kept as the example.
    pub fn add(&mut self, file: &str, line: u64, fault: Fault) {
        let (count, _) = self
            .0
            .entry(fault.reason)
            .or_insert_with(|| (0, format!("{file}:{line}: {}", fault.detail)));
        *count = count.saturating_add(1);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.by_reason().fold(0, |n, (_, c)| n.saturating_add(c))
    }

    /// How many there are of those that say something of a request, or may.
    fn lost(&self) -> u64 {
        self.count().saturating_sub(self.messages())
    }

    fn messages(&self) -> u64 {
        self.0.get(&Reason::Message).map_or(0, |(count, _)| *count)
    }

    /// How many there are for each reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.0.iter().map(|(reason, (count, _))| (*reason, *count))
    }
}

impl Raised {
    /// Counts an alert that was written, or was not because it is not severe enough.
    pub fn add(&mut self, alert: &Alert, written: bool) {
        if written {
            self.written = self.written.saturating_add(1);
            self.worst = self.worst.max(Some(alert.severity));
            self.incidents
                .insert(alert.id.clone(), (alert.kind, alert.severity));
        } else {
            self.hidden = self.hidden.saturating_add(1);
        }
    }

    /// The highest severity that was written.
    pub fn worst(&self) -> Option<Severity> {
        self.worst
    }

    fn by_kind(&self) -> BTreeMap<Kind, BTreeMap<Severity, u64>> {
        let mut kinds: BTreeMap<Kind, BTreeMap<Severity, u64>> = BTreeMap::new();
        for &(kind, severity) in self.incidents.values() {
            let count = kinds.entry(kind).or_default().entry(severity).or_default();
            *count = count.saturating_add(1);
        }
        kinds
    }
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (reason, (count, first)) in &self.0 {
            let s = if *count == 1 { "" } else { "s" };
            writeln!(f, "  {count} line{s} not counted, {reason}; first {first}")?;
        }
        Ok(())
    }
}

fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} incident{} in {} alert line{}",
            self.incidents.len(),
            plural(count(self.incidents.len())),
            self.written,
            plural(self.written),
        )?;
        if self.hidden > 0 {
            write!(f, ", and {} lines below alerts.min_severity", self.hidden)?;
        }
        writeln!(f)?;
        for (kind, severities) in self.by_kind() {
            write!(f, "  {:16}", kind.name())?;
            for (severity, count) in severities.iter().rev() {
                write!(f, "  {count} {severity}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Summary {
    /// Whether what was found is of the log, and not of the few lines of it that could be read: at least half of those that
    /// may be requests.
    ///
    /// # Errors
    /// More than half were not counted.
    pub fn is_of_the_log(&self) -> Result<(), Failure> {
        let lines = self.lines.saturating_sub(self.bad.messages());
        let lost = self.bad.lost();
        if lost.saturating_mul(2) <= lines {
            return Ok(());
        }
        let faults = self.bad.0.iter();
        let most = faults.filter(|(reason, _)| **reason != Reason::Message);
        let most = most.max_by_key(|(_, (count, _))| *count);
        let why =
            most.map(|(reason, (count, first))| format!("  {count} {reason}; first {first}\n"));
        let what = format!(
            "{lost} of {lines} lines were not counted: what was found is of less than half of the log. See --format and --field; most are"
        );
        Err(Failure::list(&what, &why.unwrap_or_default()))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} line{}, {} of them not counted, {} pair{}, {} to {} ({})",
            self.lines,
            plural(self.lines),
            self.bad.count(),
            self.totals.pairs,
            plural(count(self.totals.pairs)),
            self.first.rfc3339(),
            self.last.rfc3339(),
            length(self.last.since(self.first)),
        )?;
        for name in &self.empty {
            writeln!(f, "  {name}: empty")?;
        }
        self.bad.fmt(f)?;
        self.unnamed.fmt(f)?;
        let caps = [
            (
                self.totals.dropped,
                "requests not judged: memory is capped, see limits",
            ),
            (
                self.totals.evicted,
                "pairs forgotten for others: see limits.pairs",
            ),
            (
                self.totals.overflowed,
                "incidents not opened: too many at once",
            ),
        ];
        for (count, what) in caps.iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "  {count} {what}")?;
        }
        self.raised.fmt(f)?;
        for rule in self.hidden.iter().filter(|rule| rule.count > 0) {
            let s = if rule.count == 1 { "" } else { "s" };
            writeln!(
                f,
                "  {} alert line{s} hidden: {:?}, by {}",
                rule.count, rule.reason, rule.rule
            )?;
            if let Some(last) = &rule.last {
                writeln!(f, "    the last: {last}")?;
            }
        }
        for notice in &self.notices {
            writeln!(f, "  {notice}")?;
        }
        let span = self.last.since(self.first);
        let weeks = span.as_secs_f64() / (7.0 * 86_400.0);
        writeln!(
            f,
            "false_alerts_per_week is {}: of these at most {} are expected to be false over {}",
            self.tolerated_per_week,
            number(self.tolerated_per_week * weeks),
            length(span),
        )
    }
}

/// A length of time in the largest unit that it holds twice: `10.0 days`, `95 s`.
pub(crate) fn length(of: Duration) -> String {
    let seconds = of.as_secs_f64();
    let units = [(86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")];
    let unit = units.iter().find(|(size, _)| seconds >= 2.0 * size);
    unit.map_or_else(
        || format!("{seconds:.0} s"),
        |(size, name)| format!("{:.1} {name}", seconds / size),
    )
}
