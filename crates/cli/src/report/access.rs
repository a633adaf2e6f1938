//! Who accessed what: the record for compliance.
//!
//! One row for each identity, source, destination and route. Rows are bounded, because clients can make up all of these;
//! what comes after is counted.

use super::names::Names;
use super::pairs::Counted;
use crate::record::Line;
use pairwatch_engine::Time;
use pairwatch_engine::exchange::Outcome;
use std::collections::HashMap;
use std::io::{self, Write};

/// Rows at most, some 5 MB of them.
const ROWS: usize = 50_000;

/// Who (0 where the line says none), and where a line was counted.
type Key = (u32, u32, u32, u32);

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Access {
    rows: HashMap<Key, Row>,
    /// Requests that found no row.
    pub(super) more: u64,
}

/// What one did with another.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) requests: u64,
    pub(super) denied: u64,
    pub(super) bytes: u64,
    pub(super) first: Time,
    pub(super) last: Time,
}

impl Access {
    /// Counts a line.
    pub(super) fn line(&mut self, line: &Line<'_>, counted: &Counted, names: &mut Names) {
        let full = self.rows.len() >= ROWS;
        // A full table learns no name that nobody will look at.
        let who = if full {
            names.known(line.identity)
        } else {
            Some(names.number(line.identity))
        };
        let key = who.map(|who| (who, counted.source, counted.destination, counted.route));
        let row = match key {
            Some(key) if full => self.rows.get_mut(&key),
            Some(key) => Some(self.rows.entry(key).or_insert_with(|| Row {
                first: line.time,
                ..Row::default()
            })),
            None => None,
        };
        let Some(row) = row else {
            self.more = self.more.saturating_add(1);
            return;
        };
        let denied = Outcome::of(line.status, line.grpc_status) == Outcome::AuthFailure;
        row.requests = row.requests.saturating_add(1);
        row.denied = row.denied.saturating_add(u64::from(denied));
        row.bytes = row.bytes.saturating_add(line.response_bytes);
        row.first = row.first.min(line.time);
        row.last = row.last.max(line.time);
    }

    /// The rows, those with the most requests first.
    pub(super) fn rows(&self) -> Vec<(Key, &Row)> {
        let mut rows: Vec<(Key, &Row)> = self.rows.iter().map(|(key, row)| (*key, row)).collect();
        rows.sort_by_key(|(key, row)| (std::cmp::Reverse(row.requests), *key));
        rows
    }

    /// Writes all rows as CSV.
    pub(super) fn write(&self, names: &Names, out: impl Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let head = [
            "identity",
            "source",
            "destination",
            "route",
            "requests",
            "denied",
            "response_bytes",
            "first",
            "last",
        ];
        csv.write_record(head)?;
        for ((who, source, destination, route), row) in self.rows() {
            let texts = [who, source, destination, route].map(|n| plain(names.name(n)));
            let numbers = [row.requests, row.denied, row.bytes].map(|n| n.to_string());
            let times = [row.first, row.last].map(Time::rfc3339);
            let cells = texts.iter().chain(&numbers).chain(&times);
            csv.write_record(cells)?;
        }
        if self.more > 0 {
            let more = self.more.to_string();
            let cells = ["", "", "", "{more}", &more, "", "", "", ""];
            csv.write_record(cells)?;
        }
        csv.flush()
    }
}

/// A cell that no spreadsheet takes for a formula: clients choose names.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}
