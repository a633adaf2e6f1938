//! Several logs as one, in time order.
//!
//! Each log is taken to be sorted by time, as Envoy writes it but for requests that take long: the log whose next line is
//! the oldest comes next, in the order of the logs where two are as old. What is still out of order after that is for
//! [`order`](super::order).

use super::block::Block;
use super::feed::Feed;
use crate::fault::Fault;
use crate::record::Line;
use crate::summary::BadLines;
use pairwatch_engine::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

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

#[derive(Default)]
struct Cursor {
    block: Rc<Block>,
    row: usize,
    lines: u64,
}

/// Where a line stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// When its request began.
    pub time: Time,
    block: Rc<Block>,
    row: usize,
    log: usize,
}

impl Place {
    /// What the line says.
    pub fn line(&self) -> Option<Line<'_>> {
        self.block.line(self.row)
    }
}

impl Merged {
    /// The logs of a feed.
    pub fn new(feed: Feed) -> Self {
        let count = feed.count();
        let mut merged = Self {
            feed,
            logs: Vec::new(),
            next: BinaryHeap::new(),
            lines: 0,
            bad: BadLines::default(),
            empty: Vec::new(),
        };
        merged.logs.resize_with(count, Cursor::default);
        for log in 0..count {
            merged.refill(log);
        }
        merged
    }

    /// Whether no log has a line to give.
    pub fn is_over(&self) -> bool {
        self.logs.iter().all(|c| c.block.time(c.row).is_none())
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
        let cursor = self.logs.get_mut(log)?;
        let place = Place {
            time: cursor.block.time(cursor.row)?,
            block: Rc::clone(&cursor.block),
            row: cursor.row,
            log,
        };
        cursor.row = cursor.row.saturating_add(1);
        self.refill(log);
        Some(place)
    }

    /// Counts a line as bad that was handed out.
    pub fn reject(&mut self, place: &Place, fault: Fault) {
        let number = place.block.number(place.row);
        self.bad.add(self.feed.name(place.log), number, fault);
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
        loop {
            if let Some(time) = cursor.block.time(cursor.row) {
                if self.feed.count() > 1 {
                    self.next.push(Reverse((time, log)));
                }
                return;
            }
            if cursor.block.last {
                if cursor.lines == 0 {
                    self.empty.push(self.feed.name(log).to_owned());
                }
                return;
            }
            let Some(mut block) = self.feed.next(log) else {
                return;
            };
            let trouble = u64::from(!block.faults.is_empty());
            cursor.lines = cursor.lines.saturating_add(block.lines.max(trouble));
            self.lines = self.lines.saturating_add(block.lines);
            for (line, fault) in std::mem::take(&mut block.faults) {
                self.bad.add(self.feed.name(log), line, fault);
            }
            cursor.block = Rc::new(block);
            cursor.row = 0;
        }
    }
}
