//! Logs, read and parsed by several threads, handed out block by block.
//!
//! A log is one stream of bytes, so its chunks are cut one after the other; what takes the time is reading the lines,
//! and that is done side by side. A worker takes a log, cuts its next chunk, puts the log back for the next worker, and
//! then reads the chunk's lines. Blocks come out in the log's order, because the place of each is taken while the log
//! is in the worker's hands: what comes out does not depend on the number of threads.
//!
//! A log with enough blocks waiting is parked until one is taken, so that memory is bounded whatever the logs' sizes.

use super::block::Block;
use crate::Failure;
use crate::fault::{Fault, Reason};
use crate::formats::{Format, Readers};
use crate::input::{self, Meter, Source, place};
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of a chunk at most: thousands of lines, so that handing a block over costs nothing a line.
const CHUNK: usize = 512 * 1024;
/// … and at least, …
const CHUNK_MIN: usize = 16 * 1024;
/// … when this many bytes are shared out among many logs.
const CHUNKS: usize = 32 << 20;

/// `EMFILE` of Linux and of macOS: this process has as many files open as it may.
const TOO_MANY: i32 = 24;
/// Files that are open beside the logs, with some to spare.
const OTHERS: usize = 32;

/// Logs that are being read.
pub struct Feed {
    shared: Arc<Shared>,
    logs: Vec<Log>,
}

struct Log {
    name: String,
    /// The places of blocks, in the log's order.
    blocks: Receiver<Receiver<Block>>,
}

struct Shared {
    readers: Readers,
    chunk: usize,
    /// Blocks of one log that may wait.
    ahead: usize,
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Logs whose blocks nobody has taken yet.
    parked: Vec<Option<Job>>,
    waiting: Vec<usize>,
    closed: bool,
}

struct Job {
    log: usize,
    source: Source,
    places: Sender<Receiver<Block>>,
}

impl Feed {
    /// Opens the logs, `-` for standard input, and starts to read them on `threads` threads. Without a `format` each log's
    /// lines tell it.
    ///
    /// # Errors
    /// One of them can't be opened.
    pub fn open(
        files: &[String],
        format: Option<Format>,
        readers: Readers,
        threads: usize,
        meter: &Arc<Meter>,
    ) -> Result<Self, Failure> {
        let threads = threads.max(1);
        let (mut logs, mut queue) = (Vec::new(), Queue::default());
        for (index, file) in files.iter().enumerate() {
            let opened = input::open(file, meter);
            let mut source = opened.map_err(|e| unopened(file, &e, index, files.len()))?;
            if let Some(format) = format {
                source.expect(format);
            }
            let (places, blocks) = channel();
            logs.push(Log {
                name: place(file).to_owned(),
                blocks,
            });
            queue.parked.push(None);
            queue.waiting.push(0);
            queue.jobs.push_back(Job {
                log: index,
                source,
                places,
            });
        }
        let shares = CHUNKS.checked_div(files.len()).unwrap_or(CHUNK);
        let shared = Arc::new(Shared {
            readers,
            chunk: shares.clamp(CHUNK_MIN, CHUNK),
            // With one log every worker has a block at hand and one more to come.
            ahead: threads.saturating_mul(2),
            queue: Mutex::new(queue),
            work: Condvar::new(),
        });
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("reader".to_owned())
                .spawn(move || shared.work())
                .map_err(|e| Failure::at("starting a thread", e))?;
        }
        Ok(Self { shared, logs })
    }

    /// Logs there are.
    pub fn count(&self) -> usize {
        self.logs.len()
    }

    /// What a log is called.
    pub fn name(&self, log: usize) -> &str {
        self.logs.get(log).map_or("", |l| &l.name)
    }

    /// A log's next block; `None` at its end.
    pub fn next(&self, log: usize) -> Option<Block> {
        let place = self.logs.get(log)?.blocks.recv().ok()?;
        // A worker that ended without giving its block met something nobody thought of; the log is not lost silently.
        let block = place.recv().unwrap_or_else(|_| {
            Block::failed(Fault {
                reason: Reason::Unreadable,
                detail: "a reading thread failed".to_owned(),
            })
        });
        self.shared.taken(log);
        Some(block)
    }
}

/// Why a log can't be opened beside those that are.
fn unopened(file: &str, error: &io::Error, open: usize, all: usize) -> Failure {
    if error.raw_os_error() != Some(TOO_MANY) {
        return Failure::at(place(file), error);
    }
    let why = format!(
        "{error}: {open} of {all} logs are open, and all have to be at once, for their lines to come in time order. \
         Raise the limit: `ulimit -n {}`",
        all.saturating_add(OTHERS)
    );
    Failure::at(place(file), why)
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Workers are not waited for: one may be reading from a pipe that never ends.
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(mut job) = self.job() {
            let chunk = job.source.next_chunk(self.chunk, &self.readers);
            let (give, take) = channel();
            if job.places.send(take).is_err() {
                return;
            }
            if !chunk.last {
                self.put_back(job);
            }
            // Nobody takes it where the replay has ended early.
            let _ = give.send(Block::read(chunk, &self.readers));
        }
    }

    fn job(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put_back(&self, job: Job) {
        let mut queue = self.lock();
        let log = job.log;
        let Some(waiting) = queue.waiting.get_mut(log) else {
            return;
        };
        *waiting = waiting.saturating_add(1);
        if *waiting < self.ahead {
            queue.jobs.push_back(job);
            self.work.notify_one();
        } else if let Some(place) = queue.parked.get_mut(log) {
            *place = Some(job);
        }
    }

    fn taken(&self, log: usize) {
        let mut queue = self.lock();
        if let Some(waiting) = queue.waiting.get_mut(log) {
            *waiting = waiting.saturating_sub(1);
        }
        if let Some(job) = queue.parked.get_mut(log).and_then(Option::take) {
            queue.jobs.push_back(job);
            self.work.notify_one();
        }
    }
}
