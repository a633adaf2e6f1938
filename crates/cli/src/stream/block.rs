//! A chunk's lines, read: rows of numbers, and one text that all their names lie in.
//!
//! One allocation for the text and one for the rows, whatever the number of lines, so that a block is cheap to hand from
//! the thread that read it to the one that counts.

use crate::fault::{Fault, Reason, shown};
use crate::formats::{self, Readers};
use crate::input::{Chunk, MAX_LINE, too_long};
use crate::record::{Line, Record};
use pairwatch_engine::Time;
use pairwatch_engine::exchange::version::Version;
use std::ops::Range;
use std::time::Duration;

/// What a chunk of a log says.
#[derive(Debug, Default)]
pub struct Block {
    text: String,
    rows: Vec<Row>,
    first_line: u64,
    /// Lines that were not blank.
    pub lines: u64,
    /// What was wrong with lines that are not among the rows, each with its number.
    pub faults: Vec<(u64, Fault)>,
    /// Whether it is the log's last.
    pub last: bool,
}

#[derive(Debug)]
struct Row {
    time: Time,
    duration: Duration,
    request_bytes: u64,
    response_bytes: u64,
    grpc_status: Option<u32>,
    /// Where its texts end; the first begins at `start`.
    start: u32,
    ends: [u32; TEXTS],
    line: u32,
    status: u16,
    version: Version,
}

/// Source, destination, method, path, identity, address.
const TEXTS: usize = 6;

impl Block {
    /// Reads a chunk.
    pub fn read(chunk: Chunk, readers: &Readers) -> Self {
        /// A guess at the bytes of a short line, to make room for the rows at once.
        const LINE: usize = 300;
        let mut block = Self {
            text: String::with_capacity(chunk.bytes.len() / 2),
            rows: Vec::with_capacity(chunk.bytes.len() / LINE),
            first_line: chunk.first_line,
            lines: 0,
            faults: chunk.faults,
            last: chunk.last,
        };
        let mut record = Record::default();
        let mut number = chunk.first_line;
        let mut rest = &*chunk.bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let (line, more) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = more.get(1..).unwrap_or_default();
            let line = line.trim_ascii();
            if !line.is_empty() {
                block.lines = block.lines.saturating_add(1);
                let read = match chunk.format {
                    _ if line.len() > MAX_LINE => Err(too_long()),
                    Some(format) => readers.read(format, line, &mut record),
                    None => Err(Fault::line(Reason::NotALog, "first line", line)),
                };
                match read {
                    Ok(()) => block.push(&record, number),
                    Err(fault) => block.faults.push((number, of_message(fault, line))),
                }
            }
            number = number.saturating_add(1);
        }
        // Lines too long to be here were lines all the same.
        let missing = block
            .faults
            .iter()
            .filter(|(line, fault)| fault.reason == Reason::TooLong && *line < block.first_line);
        let missing = u64::try_from(missing.count()).unwrap_or(u64::MAX);
        block.lines = block.lines.saturating_add(missing);
        block
    }

    /// The last block of a log that can't be read any further.
    pub fn failed(fault: Fault) -> Self {
        Self {
            faults: vec![(0, fault)],
            last: true,
            ..Self::default()
        }
    }

    fn push(&mut self, record: &Record, number: u64) {
        let position = |text: &String| u32::try_from(text.len()).unwrap_or(u32::MAX);
        let start = position(&self.text);
        let mut ends = [start; TEXTS];
        let texts = [
            &record.source,
            &record.destination,
            &record.method,
            &record.path,
            &record.identity,
            &record.address,
        ];
        for (end, text) in ends.iter_mut().zip(texts) {
            self.text.push_str(text);
            *end = position(&self.text);
        }
        self.rows.push(Row {
            time: record.time,
            duration: record.duration,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            grpc_status: record.grpc_status,
            start,
            ends,
            line: u32::try_from(number.saturating_sub(self.first_line)).unwrap_or(u32::MAX),
            status: record.status,
            version: record.version,
        });
    }

    /// Time of a row.
    pub fn time(&self, row: usize) -> Option<Time> {
        self.rows.get(row).map(|r| r.time)
    }

    /// When a row's request was over.
    pub fn end(&self, row: usize) -> Option<Time> {
        self.rows.get(row).map(|r| r.time.plus(r.duration))
    }

    /// Number of a row's line in its log.
    pub fn number(&self, row: usize) -> u64 {
        let offset = self.rows.get(row).map_or(0, |r| u64::from(r.line));
        self.first_line.saturating_add(offset)
    }

    /// What a row says.
    pub fn line(&self, row: usize) -> Option<Line<'_>> {
        let row = self.rows.get(row)?;
        let [source, destination, method, path, identity, address] = row.ends;
        let text = |range: Range<u32>| {
            let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
            self.text.get(range)
        };
        Some(Line {
            time: row.time,
            duration: row.duration,
            source: text(row.start..source)?,
            destination: text(source..destination)?,
            method: text(destination..method)?,
            path: text(method..path)?,
            status: row.status,
            grpc_status: row.grpc_status,
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            identity: text(path..identity)?,
            address: text(identity..address)?,
            version: row.version,
        })
    }
}

/// The fault of a line that is in no format of a log, as that of a message where it is one.
fn of_message(fault: Fault, line: &[u8]) -> Fault {
    let no_request = matches!(
        fault.reason,
        Reason::NotJson | Reason::NotText | Reason::NotCombined | Reason::NotALog
    );
    if no_request && formats::is_message(line) {
        return Fault {
            reason: Reason::Message,
            detail: shown(line),
        };
    }
    fault
}
