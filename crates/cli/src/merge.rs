//! Several logs as one, in time order.
//!
//! Each log is taken to be sorted by time, as Envoy writes it but for requests that take long: the log whose next line is
//! the oldest comes next, in the order of the logs where two are as old. What is still out of order after that, within
//! one log, is the replay's business.

use crate::Failure;
use crate::input::{Lines, MAX_LINE, Next, place};
use crate::line::{Fault, LineReader, Reason, Record};
use crate::summary::BadLines;
use pairwatch_engine::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Logs, merged.
pub struct Merged {
    logs: Vec<Log>,
    /// The logs that have a line to give, by its time.
    next: BinaryHeap<Reverse<(Time, usize)>>,
    reader: LineReader,
    lines: u64,
    bad: BadLines,
}

struct Log {
    name: String,
    lines: Lines,
    record: Record,
}

impl Merged {
    /// Opens the logs, `-` for standard input, and reads up to the first line that can be read.
    ///
    /// # Errors
    /// One of them can't be opened, or no line of any can be read.
    pub fn open(files: &[String], reader: LineReader) -> Result<Self, Failure> {
        let logs: Result<Vec<Log>, Failure> = files.iter().map(|file| Log::open(file)).collect();
        let mut merged = Self {
            logs: logs?,
            next: BinaryHeap::new(),
            reader,
            lines: 0,
            bad: BadLines::default(),
        };
        for index in 0..merged.logs.len() {
            merged.refill(index);
        }
        if merged.next.is_empty() {
            let why = format!("no line that can be read\n{}", merged.bad);
            return Err(Failure::at(&files.join(", "), why.trim_end()));
        }
        Ok(merged)
    }

    /// The oldest line that is left.
    pub fn current(&self) -> Option<&Record> {
        let Reverse((_, index)) = self.next.peek()?;
        self.logs.get(*index).map(|log| &log.record)
    }

    /// Goes on to the line after the current one.
    pub fn advance(&mut self) {
        if let Some(Reverse((_, index))) = self.next.pop() {
            self.refill(index);
        }
    }

    /// Counts the current line as bad.
    pub fn reject(&mut self, fault: Fault) {
        if let Some(Reverse((_, index))) = self.next.peek()
            && let Some(log) = self.logs.get(*index)
        {
            self.bad.add(&log.name, log.lines.number(), fault);
        }
    }

    /// Lines read that were not blank.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Lines that were not counted.
    pub fn bad(&self) -> &BadLines {
        &self.bad
    }

    /// Reads a log's next good line, if there is one.
    fn refill(&mut self, index: usize) {
        let Some(log) = self.logs.get_mut(index) else {
            return;
        };
        loop {
            let read = match log.lines.next_line() {
                Ok(Next::End) => return,
                Ok(Next::Line(line)) if line.trim_ascii().is_empty() => continue,
                Ok(Next::Line(line)) => self.reader.read(line, &mut log.record),
                Ok(Next::TooLong) => Err(Fault {
                    reason: Reason::TooLong,
                    detail: format!("more than {MAX_LINE} bytes"),
                }),
                Err(e) => {
                    let reason = Reason::Unreadable;
                    let detail = e.to_string();
                    self.bad
                        .add(&log.name, log.lines.number(), Fault { reason, detail });
                    return;
                }
            };
            self.lines = self.lines.saturating_add(1);
            match read {
                Ok(()) => break,
                Err(fault) => self.bad.add(&log.name, log.lines.number(), fault),
            }
        }
        self.next.push(Reverse((log.record.time, index)));
    }
}

impl Log {
    fn open(file: &str) -> Result<Self, Failure> {
        Ok(Self {
            name: place(file).to_owned(),
            lines: Lines::open(file)?,
            record: Record::default(),
        })
    }
}
