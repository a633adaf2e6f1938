//! Files and pipes as chunks of whole lines.
//!
//! Compression is told by the first bytes, not by the file's name, so that a pipe may be compressed too; gzip members
//! and zstd frames that were appended to one another, as log rotation does, are read as one. A line's length is bounded:
//! whatever is fed in, memory stays flat. What can't be read any further (a file that was cut off) is a fault of the line
//! it breaks off in; what came before is good.

mod source;

pub(crate) use source::too_long;
pub use source::{Chunk, Source};

use crate::fault::{Fault, Reason};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The file name that means standard input.
pub const STDIN: &str = "-";

/// Bytes of a line at most. Envoy caps a request's headers at 60 KiB by default; no access-log line repeats them more
/// than a few times.
pub const MAX_LINE: usize = 256 * 1024;

/// What some editors and collectors put in front of UTF-8: a mark of bytes that no text needs.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes read from a compressed file at once: enough that system calls don't count.
const BUFFER: usize = 128 * 1024;
/// Bytes looked at to tell what a file is.
const HEAD: usize = 1024;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What is no log as it stands, and what to do about it.
const OTHERS: [(&[u8], &str); 4] = [
    (b"BZh", "bzip2-compressed: pipe it through bzip2 -dc"),
    (b"\xfd7zXZ", "xz-compressed: pipe it through xz -dc"),
    (b"PK\x03\x04", "a zip archive: pipe it through unzip -p"),
    (
        b"\x04\x22\x4d\x18",
        "lz4-compressed: pipe it through lz4 -dc",
    ),
];

/// What is said in place of a file's name.
pub fn place(file: &str) -> &str {
    if file == STDIN {
        "standard input"
    } else {
        file
    }
}

/// How far reading is, for whoever shows it.
#[derive(Debug, Default)]
pub struct Meter {
    read: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    /// Bytes read so far, as they stand on disk.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes there are; `None` where nobody knows.
    pub fn total(&self) -> Option<u64> {
        let total = self.total.load(Ordering::Relaxed);
        (total != u64::MAX).then_some(total)
    }

    fn expect(&self, bytes: Option<u64>) {
        let known = self.total.load(Ordering::Relaxed);
        let total = bytes.map_or(u64::MAX, |b| known.saturating_add(b));
        self.total.store(total, Ordering::Relaxed);
    }
}

struct Metered<R> {
    inner: R,
    meter: Arc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let bytes = u64::try_from(n).unwrap_or(u64::MAX);
        self.meter.read.fetch_add(bytes, Ordering::Relaxed);
        Ok(n)
    }
}

/// Opens a file, or standard input for `-`.
///
/// # Errors
/// There is no such file, or it may not be read.
pub fn open(file: &str, meter: &Arc<Meter>) -> io::Result<Source> {
    let (raw, bytes): (Box<dyn Read + Send>, _) = if file == STDIN {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(file)?;
        let about = file.metadata()?;
        let bytes = about.is_file().then_some(about.len());
        (Box::new(file), bytes)
    };
    meter.expect(bytes);
    let metered = Metered {
        inner: raw,
        meter: Arc::clone(meter),
    };
    // What grows while it is read is shown as it comes.
    source(metered, bytes.is_none())
}

/// The lines of anything that can be read. `live` hands on what is there without waiting for more.
///
/// # Errors
/// Its first bytes can't be read.
pub fn source(mut raw: impl Read + Send + 'static, live: bool) -> io::Result<Source> {
    let mut head = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut head)?;
    let (gzip, zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
    let raw = Cursor::new(head).chain(raw);
    let reader: Box<dyn Read + Send> = if gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, raw)))
    } else if zstd {
        Box::new(zstd::Decoder::new(raw)?)
    } else {
        Box::new(raw)
    };
    Ok(Source::new(reader, live))
}

/// Why a file that begins like this is no log.
fn not_a_log(bytes: &[u8]) -> Option<Fault> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let known = OTHERS.iter().find(|(magic, _)| head.starts_with(magic));
    // No text holds a zero byte.
    let why = match known {
        Some((_, why)) => (*why).to_owned(),
        None => {
            let at = head.iter().position(|b| *b == 0)?;
            format!("a binary file, no access log (zero byte at offset {at})")
        }
    };
    Some(Fault {
        reason: Reason::Unreadable,
        detail: why,
    })
}

fn unreadable(error: &io::Error) -> Fault {
    let detail = if error.kind() == io::ErrorKind::UnexpectedEof {
        "the file is cut off: its compressed data ends too early; the lines before are read"
            .to_owned()
    } else {
        format!("{error}; the lines before are read")
    };
    Fault {
        reason: Reason::Unreadable,
        detail,
    }
}
