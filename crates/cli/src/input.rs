//! Files, gzip and standard input as numbered lines.
//!
//! gzip is told by its first two bytes, not by the file's name, so that a pipe may be compressed too; members that were
//! appended to one another, as log rotation does, are read as one. A line's length is bounded: whatever is fed in,
//! memory stays flat.

use crate::Failure;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// The file name that means standard input.
pub const STDIN: &str = "-";

/// Bytes of a line at most. Envoy caps a request's headers at 60 KiB by default; no access-log line repeats them more
/// than a few times.
pub const MAX_LINE: usize = 256 * 1024;

/// Bytes read at once: enough that system calls don't count.
const BUFFER: usize = 256 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is said in place of a file's name.
pub fn place(file: &str) -> &str {
    if file == STDIN {
        "standard input"
    } else {
        file
    }
}

/// The lines of one input.
pub struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

/// What comes next in an input.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line of more than [`MAX_LINE`] bytes.
    TooLong,
    /// Nothing more.
    End,
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// There is no such file, or it may not be read.
    pub fn open(file: &str) -> Result<Self, Failure> {
        let raw: Box<dyn Read> = if file == STDIN {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(file).map_err(|e| Failure::at(place(file), e))?)
        };
        Self::new(raw).map_err(|e| Failure::at(place(file), e))
    }

    /// The lines of anything that can be read.
    ///
    /// # Errors
    /// Its first two bytes can't be read.
    pub fn new(mut raw: impl Read + 'static) -> io::Result<Self> {
        let mut head = Vec::new();
        raw.by_ref().take(2).read_to_end(&mut head)?;
        let gzip = head == GZIP;
        let reader = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(raw));
        let reader: Box<dyn BufRead> = if gzip {
            Box::new(BufReader::with_capacity(
                BUFFER,
                MultiGzDecoder::new(reader),
            ))
        } else {
            Box::new(reader)
        };
        Ok(Self {
            reader,
            line: Vec::new(),
            number: 0,
        })
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line.
    ///
    /// # Errors
    /// Reading failed, for example because a gzip file was cut off.
    pub fn next_line(&mut self) -> io::Result<Next<'_>> {
        self.number = self.number.saturating_add(1);
        if self.read_part()? == 0 {
            return Ok(Next::End);
        }
        if self.ended() || self.line.len() < MAX_LINE {
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            return Ok(Next::Line(line.strip_suffix(b"\r").unwrap_or(line)));
        }
        while !self.ended() && self.read_part()? > 0 {}
        Ok(Next::TooLong)
    }

    /// Reads up to the end of the line, or as much of it as is kept.
    fn read_part(&mut self) -> io::Result<usize> {
        self.line.clear();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        self.reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut self.line)
    }

    fn ended(&self) -> bool {
        self.line.ends_with(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn all(bytes: Vec<u8>) -> Vec<String> {
        let mut lines = Lines::new(Cursor::new(bytes)).unwrap();
        let mut out = Vec::new();
        loop {
            match lines.next_line().unwrap() {
                Next::Line(l) => out.push(String::from_utf8(l.to_vec()).unwrap()),
                Next::TooLong => out.push("too long".to_owned()),
                Next::End => return out,
            }
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn lines_come_without_their_ends_whatever_the_ends_are() {
        assert_eq!(all(b"a\r\nb\n\nc".to_vec()), ["a", "b", "", "c"]);
        assert!(all(Vec::new()).is_empty());
        assert_eq!(all(b"x".to_vec()), ["x"], "one byte is no gzip");
    }

    #[test]
    fn gzip_members_behind_one_another_are_one_log() {
        let both = [gzip("a\nb\n"), gzip("c\n")].concat();
        assert_eq!(all(both), ["a", "b", "c"]);
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_hides_none_that_follow() {
        let mut long = vec![b'x'; MAX_LINE * 3 + 17];
        long.extend(b"\nnext\n");
        assert_eq!(all(long), ["too long", "next"]);
    }
}
