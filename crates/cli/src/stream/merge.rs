//! Several logs as one, in time order.
//!
//! Each log is taken to be sorted by time, as Envoy writes it but for requests that take long: the log whose next line is
//! the oldest comes next, in the order of the logs where two are as old. What is still out of order after that is for
//! [`order`](super::order).

use super::cursor::{Bad, Cursor, Place};
use super::feed::Feed;
use crate::fault::Fault;
use crate::summary::BadLines;
use pairwatch_engine::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Logs, merged.
pub struct Merged {
    feed: Feed,
    logs: Vec<Cursor>,
    /// The logs that have a line to give, by its time.
    next: BinaryHeap<Reverse<(Time, usize)>>,
    lines: u64,
    bad: BadLines,
    empty: Vec<String>,
}

impl Merged {
    /// The logs of a feed.
    pub fn new(feed: Feed) -> Self {
        let count = feed.count();
        let mut merged = Self {
            feed,
            logs: (0..count).map(Cursor::new).collect(),
            next: BinaryHeap::new(),
            lines: 0,
            bad: BadLines::default(),
            empty: Vec::new(),
        };
        for log in 0..count {
            merged.refill(log);
        }
        merged
    }

    /// Whether no log has a line to give.
    pub fn is_over(&self) -> bool {
        self.logs.iter().all(|log| log.time().is_none())
    }

    /// The oldest line that is left.
    pub fn advance(&mut self) -> Option<Place> {
        // One log needs no heap.
        let log = if self.logs.len() == 1 {
            0
        } else {
            let Reverse((_, log)) = self.next.pop()?;
            log
        };
        let place = self.logs.get_mut(log)?.take()?;
        self.refill(log);
        Some(place)
    }

    /// Counts a line as bad that was handed out.
    pub fn reject(&mut self, place: &Place, fault: Fault) {
        self.bad
            .add(self.feed.name(place.log), place.number(), fault);
    }

    /// Lines read that were not blank.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Lines that were not counted.
    pub fn bad(&self) -> &BadLines {
        &self.bad
    }

    /// Logs without a line.
    pub fn empty(&self) -> &[String] {
        &self.empty
    }

    /// Makes a log's next line the one it gives next, if there is one.
    fn refill(&mut self, log: usize) {
        let Some(cursor) = self.logs.get_mut(log) else {
            return;
        };
        let (before, mut bad) = (cursor.lines(), Vec::<Bad>::new());
        cursor.settle(&self.feed, &mut bad);
        let lines = cursor.lines().saturating_sub(before);
        self.lines = self.lines.saturating_add(lines);
        for (line, fault) in bad {
            self.bad.add(self.feed.name(log), line, fault);
        }
        match cursor.time() {
            Some(time) if self.feed.count() > 1 => self.next.push(Reverse((time, log))),
            None if cursor.is_empty() => self.empty.push(self.feed.name(log).to_owned()),
            _ => {}
        }
    }
}
