//! One log, line by line, without those whose clock ran ahead.
//!
//! A line from years on, of a machine whose clock was not set yet, would end its log: each line after it is older than what was
//! counted already, and where logs are merged it comes last of all, and the rest of its log after it. So a line that
//! leaps by more than [`LEAP`] is believed only if the lines after it stay there: lines that stay and lines that are as
//! much older are counted, one by one, until the older ones outnumber it and the others, and then it is left out as out of
//! order; or until [`BELIEVED`] more stayed than did not. What a log begins with is such a leap, too. Nothing else looks ahead.
//!
//! A line is as old as its request's end, for that is when it was written: a long request is no witness against its time.
//!
//! It depends on lines only, not on the blocks they came in. Of a pipe that stays open, what comes after an hour's silence waits for
//! as many lines.

use super::block::Block;
use super::feed::Feed;
use crate::fault::{Fault, Reason};
use crate::record::Line;
use crate::summary::length;
use pairwatch_engine::Time;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// A line this much newer than its log's lines before it has to be borne out by those after it.
const LEAP: Duration = Duration::from_secs(3_600);
/// So many lines bear it out. A clock that runs ahead for longer is believed.
const BELIEVED: u32 = 16;

/// A log's next line, and the blocks it is looked for in.
pub struct Cursor {
    log: usize,
    /// The first has the row, the others were looked ahead into.
    blocks: VecDeque<Rc<Block>>,
    row: usize,
    newest: Option<Time>,
    is_over: bool,
    lines: u64,
    is_empty: bool,
}

/// Where a line stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// When its request began.
    pub time: Time,
    block: Rc<Block>,
    row: usize,
    /// Index of its log.
    pub log: usize,
}

impl Place {
    /// What the line says.
    pub fn line(&self) -> Option<Line<'_>> {
        self.block.line(self.row)
    }

    /// Its number in its log.
    pub fn number(&self) -> u64 {
        self.block.number(self.row)
    }
}

/// Something of a log that is no line to count.
pub type Bad = (u64, Fault);

impl Cursor {
    /// Before the first line of the log of this index.
    pub fn new(log: usize) -> Self {
        Self {
            log,
            blocks: VecDeque::new(),
            row: 0,
            newest: None,
            is_over: false,
            lines: 0,
            is_empty: true,
        }
    }

    /// When the next line's request began, if there is a next line.
    pub fn time(&self) -> Option<Time> {
        self.blocks.front()?.time(self.row)
    }

    /// Lines so far that were not blank, with those that were looked ahead at.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether there was nothing so far, not even trouble.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// The next line; [`Self::settle`] finds the one after it.
    pub fn take(&mut self) -> Option<Place> {
        let block = self.blocks.front()?;
        let place = Place {
            time: block.time(self.row)?,
            block: Rc::clone(block),
            row: self.row,
            log: self.log,
        };
        self.newest = self.newest.max(Some(place.time));
        self.row = self.row.saturating_add(1);
        Some(place)
    }

    /// Goes on to a line that is to be counted, if there is one; what is wrong with others is added to `bad`.
    pub fn settle(&mut self, feed: &Feed, bad: &mut Vec<Bad>) {
        loop {
            let Some(time) = self.time() else {
                if self.blocks.len() <= 1 && !self.load(feed, bad) {
                    return;
                }
                // None was before the first.
                if self.blocks.len() > 1 {
                    self.blocks.pop_front();
                }
                self.row = 0;
                continue;
            };
            if !self.leaps(time) || self.stays(time, feed, bad) {
                return;
            }
            let number = self.blocks.front().map_or(0, |b| b.number(self.row));
            let detail = match self.newest {
                Some(newest) => {
                    let ahead = length(time.since(newest));
                    format!("{ahead} newer than the lines around it; logs are read in time order")
                }
                None => "newer than the lines after it; logs are read in time order".to_owned(),
            };
            let reason = Reason::OutOfOrder;
            bad.push((number, Fault { reason, detail }));
            self.row = self.row.saturating_add(1);
        }
    }

    fn leaps(&self, time: Time) -> bool {
        self.newest.is_none_or(|newest| time.since(newest) > LEAP)
    }

    /// Whether the lines after the next one are no older than its time.
    fn stays(&mut self, time: Time, feed: &Feed, bad: &mut Vec<Bad>) -> bool {
        let (mut block, mut row) = (0_usize, self.row);
        let (mut there, mut older) = (1_u32, 0_u32);
        while older <= there && there.saturating_sub(older) < BELIEVED {
            row = row.saturating_add(1);
            let end = loop {
                if let Some(end) = self.blocks.get(block).and_then(|b| b.end(row)) {
                    break end;
                }
                block = block.saturating_add(1);
                row = 0;
                if block >= self.blocks.len() && !self.load(feed, bad) {
                    return true;
                }
            };
            let count = if time.since(end) > LEAP {
                &mut older
            } else {
                &mut there
            };
            *count = count.saturating_add(1);
        }
        older <= there
    }

    /// One block more; false where there is none.
    fn load(&mut self, feed: &Feed, bad: &mut Vec<Bad>) -> bool {
        if self.is_over {
            return false;
        }
        let Some(mut block) = feed.next(self.log) else {
            self.is_over = true;
            return false;
        };
        self.is_over = block.last;
        self.lines = self.lines.saturating_add(block.lines);
        self.is_empty &= block.lines == 0 && block.faults.is_empty();
        bad.append(&mut block.faults);
        self.blocks.push_back(Rc::new(block));
        true
    }
}
