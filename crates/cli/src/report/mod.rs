//! The report: one HTML file about a log, made while it is replayed.
//!
//! | file | collects |
//! |---|---|
//! | [`pairs`] | what each pair did over time, what was usual, its routes and their durations |
//! | [`load`] | typical minutes and peaks of each destination |
//! | [`access`] | who accessed what |
//! | [`incidents`] | the alerts |
//! | [`scale`], [`sketch`], [`names`] | bounded bins, quantiles, names: memory does not grow with the log |
//! | [`page`] | all of it as one self-contained page |
//!
//! The page holds the numbers as JSON and draws them itself (`page/*.js`), so that a person can look at any pair of
//! hundreds without a server. It asks no network for anything, and its content-security policy forbids it to.

mod access;
mod incidents;
mod load;
mod names;
mod page;
mod pairs;
mod scale;
mod sketch;

use crate::record::Line;
use crate::replay::Watcher;
use crate::summary::Summary;
use access::Access;
use incidents::Incidents;
use load::Load;
use names::Names;
use pairs::Pairs;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::config::Config;
use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

/// What is collected for a report.
#[derive(Debug)]
pub struct Report {
    names: Names,
    pairs: Option<Pairs>,
    loads: HashMap<u32, Load>,
    access: Access,
    incidents: Incidents,
    windows: Vec<Duration>,
    routes_per_pair: u32,
    /// Start of the last bin in which the engine was asked what is usual.
    asked: Option<Time>,
}

impl Report {
    /// An empty one, of a replay by this configuration.
    pub fn new(config: &Config) -> Self {
        let mut names = Names::default();
        // Number 0 is nobody.
        names.number("");
        Self {
            names,
            pairs: None,
            loads: HashMap::new(),
            access: Access::default(),
            incidents: Incidents::default(),
            windows: config.window_lengths().collect(),
            routes_per_pair: config.limits.routes_per_pair,
            asked: None,
        }
    }

    /// Writes the page.
    ///
    /// # Errors
    /// It can't be written.
    pub fn html(&self, summary: &Summary, out: &mut dyn Write) -> std::io::Result<()> {
        page::write(self, summary, out)
    }

    /// Writes who accessed what, as CSV.
    ///
    /// # Errors
    /// It can't be written.
    pub fn access_csv(&self, out: impl Write) -> std::io::Result<()> {
        self.access.write(&self.names, out)
    }
}

impl Watcher for Report {
    fn line(&mut self, at: Time, line: &Line<'_>) {
        let routes = self.routes_per_pair;
        let pairs = self.pairs.get_or_insert_with(|| Pairs::new(at, routes));
        pairs.reach(at);
        if let Some(counted) = pairs.line(at, line, &mut self.names) {
            self.loads.entry(counted.destination).or_default().line(at);
            self.access.line(line, &counted, &mut self.names);
        }
    }

    fn second(&mut self, now: Time, engine: &Aggregator) {
        let Some(pairs) = &mut self.pairs else {
            return;
        };
        // Once a bin, as it begins: what was to be expected of it.
        let bin = now.floor(pairs.fine.width);
        if self.asked == Some(bin) {
            return;
        }
        self.asked = Some(bin);
        pairs.reach(now);
        // The longest window that is no longer than a bin, else the shortest there is.
        let fits = self.windows.iter().rposition(|w| *w <= pairs.fine.width);
        for usual in engine.usual(fits.unwrap_or(0)) {
            pairs.usually(now, &usual, &self.names);
        }
    }

    fn alert(&mut self, alert: &Alert, written: bool) {
        if written && alert.suppressed.is_none() {
            self.incidents.add(alert);
        }
    }
}
