//! One input, cut into chunks of whole lines for somebody else to read.

use super::{BYTE_ORDER_MARK, MAX_LINE, not_a_log, unreadable};
use crate::fault::{Fault, Reason};
use crate::formats::{Format, Readers};
use std::io::{self, Read};

/// One input.
pub struct Source {
    reader: Box<dyn Read + Send>,
    /// Read but not yet handed on: the beginning of a line.
    carry: Vec<u8>,
    /// Number of the first line that was not handed on, from 1.
    line: u64,
    format: Option<Format>,
    /// Whether its first bytes were looked at.
    checked: bool,
    live: bool,
    ended: bool,
}

/// Some lines of an input.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The lines, each with its end; the input's last may have none.
    pub bytes: Vec<u8>,
    /// Number of the first, from 1.
    pub first_line: u64,
    /// The format they are in, if one is known by now.
    pub format: Option<Format>,
    /// What was wrong with lines that are not here, each with its number.
    pub faults: Vec<(u64, Fault)>,
    /// Whether it is the input's last.
    pub last: bool,
}

impl Source {
    pub(super) fn new(reader: Box<dyn Read + Send>, live: bool) -> Self {
        Self {
            reader,
            carry: Vec::new(),
            line: 1,
            format: None,
            checked: false,
            live,
            ended: false,
        }
    }

    /// Takes all lines to be in this format.
    pub fn expect(&mut self, format: Format) {
        self.format = Some(format);
    }

    /// The next chunk, of about `size` bytes, or what is there of a live input. Where the format is not known yet, the
    /// first line that `readers` can read decides.
    pub fn next_chunk(&mut self, size: usize, readers: &Readers) -> Chunk {
        let mut chunk = Chunk {
            first_line: self.line,
            ..Chunk::default()
        };
        let mut bytes = std::mem::take(&mut self.carry);
        while !self.ended {
            let before = bytes.len();
            let missing = size.saturating_sub(before);
            let want = if missing == 0 { size } else { missing };
            if let Err(fault) = self.read(&mut bytes, want) {
                chunk.faults.push((u64::MAX, fault));
                self.ended = true;
                // The line it broke off in is no line.
                bytes.truncate(whole_lines(&bytes));
                break;
            }
            if !std::mem::replace(&mut self.checked, true)
                && let Some(fault) = not_a_log(&bytes)
            {
                chunk.faults.push((self.line, fault));
                self.ended = true;
                bytes.clear();
            }
            let fresh = bytes.get(before..).unwrap_or_default();
            let has_line = memchr::memchr(b'\n', fresh).is_some();
            if has_line && (self.live || bytes.len() >= size) {
                break;
            }
            if !has_line && whole_lines(&bytes) == 0 && bytes.len() > MAX_LINE {
                self.skip_line(&mut bytes, &mut chunk);
            }
        }
        if !self.ended {
            self.carry = bytes.split_off(whole_lines(&bytes));
        }
        // Here, where the first line is whole, however it came.
        if chunk.first_line == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        self.count(bytes, readers, chunk)
    }

    /// Reads up to `want` bytes more; a live input gives what is there.
    fn read(&mut self, bytes: &mut Vec<u8>, want: usize) -> Result<(), Fault> {
        /// Bytes asked of a live input at once: what a pipe holds.
        const PIPE: usize = 64 * 1024;
        if !self.live {
            let limit = u64::try_from(want).unwrap_or(u64::MAX);
            // At once: growing as it comes would copy every chunk some times.
            bytes.reserve_exact(want);
            let read = self.reader.by_ref().take(limit).read_to_end(bytes);
            self.ended = read.map_err(|e| unreadable(&e))? < want;
            return Ok(());
        }
        let at = bytes.len();
        bytes.resize(at.saturating_add(PIPE), 0);
        let n = loop {
            match self.reader.read(bytes.get_mut(at..).unwrap_or_default()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    bytes.truncate(at);
                    return Err(unreadable(&e));
                }
                Ok(n) => break n,
            }
        };
        bytes.truncate(at.saturating_add(n));
        self.ended = n == 0;
        Ok(())
    }

    /// Drops the line that `bytes` begins with, however long it goes on.
    fn skip_line(&mut self, bytes: &mut Vec<u8>, chunk: &mut Chunk) {
        chunk.faults.push((self.line, too_long()));
        while !self.ended {
            bytes.clear();
            if let Err(fault) = self.read(bytes, MAX_LINE) {
                chunk.faults.push((self.line, fault));
                self.ended = true;
            }
            if let Some(end) = memchr::memchr(b'\n', bytes) {
                bytes.drain(..=end);
                break;
            }
            bytes.clear();
        }
        self.line = self.line.saturating_add(1);
        chunk.first_line = self.line;
    }

    /// Numbers the lines and finds their format.
    fn count(&mut self, bytes: Vec<u8>, readers: &Readers, mut chunk: Chunk) -> Chunk {
        let ends = memchr::memchr_iter(b'\n', &bytes).count();
        self.line = self
            .line
            .saturating_add(u64::try_from(ends).unwrap_or(u64::MAX));
        for (line, _) in chunk.faults.iter_mut().filter(|(l, _)| *l == u64::MAX) {
            *line = self.line;
        }
        let lines = || bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
        if self.format.is_none() {
            self.format = lines().find_map(|line| readers.detect(line));
        }
        // Where none can be read, what they look like says what is wrong with them; the next chunk may know better.
        let guess = || lines().find_map(|line| readers.guess(line));
        chunk.format = self.format.or_else(guess);
        chunk.last = self.ended;
        chunk.bytes = bytes;
        chunk
    }
}

/// What is wrong with a line of more than [`MAX_LINE`] bytes.
pub(crate) fn too_long() -> Fault {
    Fault {
        reason: Reason::TooLong,
        detail: format!("more than {MAX_LINE} bytes"),
    }
}

/// Bytes up to and with the last line end.
fn whole_lines(bytes: &[u8]) -> usize {
    memchr::memrchr(b'\n', bytes).map_or(0, |at| at.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::source;
    use crate::record::Naming;
    use flate2::{Compression, write::GzEncoder};
    use pairwatch_engine::config::Names;
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

    fn readers() -> Readers {
        Readers::new(&Naming::new(&Names::default()), &[])
    }

    type Numbered<T> = Vec<(u64, T)>;

    /// All lines and all faults, read in chunks of `size`.
    fn all(bytes: Vec<u8>, size: usize) -> (Numbered<String>, Numbered<Reason>) {
        let mut input = source(Cursor::new(bytes), false).unwrap();
        let (mut lines, mut faults) = (Vec::new(), Vec::new());
        loop {
            let chunk = input.next_chunk(size, &readers());
            faults.extend(chunk.faults.into_iter().map(|(n, f)| (n, f.reason)));
            let text = String::from_utf8(chunk.bytes).unwrap();
            lines.extend((chunk.first_line..).zip(text.lines().map(str::to_owned)));
            if chunk.last {
                return (lines, faults);
            }
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    proptest! {
        #[test]
        fn every_line_comes_once_with_its_number_whatever_the_chunks(
            lines in prop::collection::vec("[a-z]{0,30}", 0..60), size in 1usize..200, end: bool,
        ) {
            let mut text = lines.join("\n");
            if end {
                text.push('\n');
            }
            let want: Vec<_> = (1..).zip(text.lines().map(str::to_owned)).collect();
            prop_assert_eq!(all(text.into_bytes(), size), (want, vec![]));
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let text = "\u{feff}a\n\u{feff}b\n";
        let want = [(1, "a".to_owned()), (2, "\u{feff}b".to_owned())];
        for size in [1, 100] {
            assert_eq!(all(text.into(), size).0, want, "in {size} bytes");
            assert_eq!(all(gzip(text), size).0, want, "packed, in {size} bytes");
        }
    }

    #[test]
    fn compression_is_told_by_the_bytes_and_parts_behind_one_another_are_one_log() {
        let want = vec![
            (1, "a".to_owned()),
            (2, "b".to_owned()),
            (3, "c".to_owned()),
        ];
        let gz = [gzip("a\nb\n"), gzip("c\n")].concat();
        assert_eq!(all(gz, 100).0, want);
        let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(all([frame("a\nb\n"), frame("c\n")].concat(), 100).0, want);
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_hides_none_that_follow() {
        let mut long = b"first\n".to_vec();
        long.extend(vec![b'x'; MAX_LINE * 3 + 17]);
        long.extend(b"\nnext\n");
        let (lines, faults) = all(long, 1000);
        assert_eq!(lines, [(1, "first".to_owned()), (3, "next".to_owned())]);
        assert_eq!(faults, [(2, Reason::TooLong)]);
    }

    #[test]
    fn messages_in_another_format_do_not_decide_that_of_a_log() {
        let text = "{\"level\":\"info\",\"msg\":\"ready\"}\n[2026-11-21T09:30:00.000Z] \"GET / HTTP/1.1\" 200 - 0 5 1 1 \
                    \"-\" \"curl\" \"id\" \"a\" \"10.0.0.1:80\"\n";
        for size in [1, 1000] {
            let mut input = source(Cursor::new(text), false).unwrap();
            let mut chunks = std::iter::repeat_with(|| input.next_chunk(size, &readers()));
            let last = chunks.find(|chunk| chunk.last).unwrap();
            assert_eq!(last.format, Some(Format::IstioText), "in {size} bytes");
        }
    }

    #[test]
    fn what_is_cut_off_is_read_as_far_as_it_goes() {
        let text: String = (0..5000).map(|i| format!("line {}\n", i * i)).collect();
        for whole in [gzip(&text), zstd::encode_all(text.as_bytes(), 1).unwrap()] {
            let (lines, faults) = all(whole[..whole.len() - 20].to_vec(), 4096);
            assert!(
                lines
                    .iter()
                    .all(|(n, l)| *l == format!("line {}", (n - 1) * (n - 1)))
            );
            let last = lines.last().map_or(0, |(n, _)| *n);
            assert_eq!(faults, [(last + 1, Reason::Unreadable)]);
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, word) in [
            (&b"\x7fELF\x02\x01\x01\x00\x00"[..], "binary"),
            (b"\xfd7zXZ\x00\x00", "xz"),
            (b"BZh91AY", "bzip2"),
        ] {
            let mut input = source(Cursor::new(bytes), false).unwrap();
            let chunk = input.next_chunk(100, &readers());
            assert!(chunk.last && chunk.bytes.is_empty());
            assert!(
                chunk.faults[0].1.detail.contains(word),
                "{:?}",
                chunk.faults
            );
        }
    }
}
