//! Access logs, and what is written of them.

use pairwatch_cli::fault::Reason;
use pairwatch_cli::formats::fields::Mapping;
use pairwatch_cli::formats::{Format, Readers};
use pairwatch_cli::input;
use pairwatch_cli::policy::{Seen, istio};
use pairwatch_cli::record::{Line, Naming, Record};
use pairwatch_cli::replay::Watcher;
use pairwatch_cli::report::Report;
use pairwatch_cli::stream::block::Block;
use pairwatch_engine::config::Config;
use pairwatch_engine::exchange::principal::MAX_NAME;
use std::io::Cursor;

fn readers(mappings: &[Mapping]) -> Readers {
    Readers::new(&Naming::new(&Config::default().names), mappings)
}

/// A line, in each format, by the default keys and by others: read or refused in few words, the same into a fresh record and
/// a used one, and with names that are bounded.
pub fn line(bytes: &[u8]) {
    let nested: Mapping = "source=http.client".parse().expect("a mapping");
    let seconds: Mapping = "duration_s=took".parse().expect("a mapping");
    let mut used = Record::default();
    for readers in [readers(&[]), readers(&[nested, seconds])] {
        let format = readers.detect(bytes);
        for tried in [Format::EnvoyJson, Format::IstioText, Format::Combined] {
            let mut fresh = Record::default();
            let read = readers.read(tried, bytes, &mut fresh);
            let again = readers.read(tried, bytes, &mut used);
            assert_eq!(read, again, "a line is read the same each time");
            match read {
                Ok(()) => {
                    assert_eq!(fresh, used, "nothing is left of the line before");
                    assert!(format.is_some(), "what can be read is told apart");
                    assert!(
                        fresh.source.len() <= MAX_NAME && fresh.destination.len() <= MAX_NAME,
                        "{fresh:?}"
                    );
                }
                Err(fault) => assert!(fault.detail.len() <= 1024, "{}", fault.detail),
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _either = text.parse::<Mapping>();
    }
}

/// Bytes of a log that are read at once.
const PIECE: usize = 1 << 16;
/// Bytes that a log decompresses to at most before the rest is left alone: they cross all borders more than once.
const ENOUGH: usize = 4 * PIECE;

/// Lines with their numbers, the numbers of those that can't be read, and whether the log breaks off.
type Said = (Vec<(u64, String)>, Vec<u64>, bool);

/// What a log says, read in pieces of about this size, and whether its end was reached.
fn lines(bytes: &[u8], live: bool, size: usize) -> Option<Said> {
    let readers = readers(&[]);
    let mut source = input::source(Cursor::new(bytes.to_vec()), live).ok()?;
    let (mut read, mut faults, mut broken, mut total) = (Vec::new(), Vec::new(), false, 0);
    loop {
        let chunk = source.next_chunk(size, &readers);
        total += chunk.bytes.len();
        let block = Block::read(chunk, &readers);
        let rows = (0..).map_while(|row| Some((block.number(row), block.line(row)?)));
        read.extend(rows.map(|(number, line)| (number, format!("{line:?}"))));
        broken |= block
            .faults
            .iter()
            .any(|f| f.1.reason == Reason::Unreadable);
        faults.extend(block.faults.iter().map(|f| f.0));
        if block.last {
            return Some((read, faults, broken));
        }
        if total > ENOUGH {
            return None;
        }
    }
}

/// A file or pipe, plain, gzip or zstd, cut off or spoilt: the same lines whatever pieces it is read in.
pub fn stream(bytes: &[u8]) {
    let Some((whole, faults, broken)) = lines(bytes, false, PIECE) else {
        return;
    };
    for (live, size) in [(false, 64), (true, PIECE)] {
        // How much comes before a fault of a decompressor differs with how much is asked of it.
        if let Some((pieces, others, _)) = lines(bytes, live, size).filter(|p| !broken && !p.2) {
            assert_eq!(
                pieces, whole,
                "the same lines, live: {live}, in {size} bytes"
            );
            assert_eq!(
                others, faults,
                "the same faults, live: {live}, in {size} bytes"
            );
        }
    }
}

/// The lines of a log to whoever writes about them: the table of who accessed what stays a table, and policies stay policies,
/// whatever the lines hold.
pub fn pages(bytes: &[u8]) {
    let readers = readers(&[]);
    let config = Config::default();
    let mut report = Report::new(&config);
    let mut seen = Seen::new(4, "external");
    let mut record = Record::default();
    for text in bytes.split(|b| *b == b'\n') {
        let Some(format) = readers.detect(text) else {
            continue;
        };
        if readers.read(format, text, &mut record).is_err() {
            continue;
        }
        let line = Line {
            time: record.time,
            duration: record.duration,
            source: &record.source,
            destination: &record.destination,
            method: &record.method,
            path: &record.path,
            status: record.status,
            grpc_status: record.grpc_status,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            identity: &record.identity,
            address: &record.address,
            version: record.version,
        };
        report.line(line.time, &line);
        seen.line(line.time, &line);
    }
    let mut table = Vec::new();
    report
        .access_csv(&mut table)
        .expect("memory can be written to");
    std::str::from_utf8(&table).expect("a table is text");
    let options = istio::Options {
        trust_domain: "cluster.local".to_owned(),
        namespace: Some("shop".to_owned()),
        selector: "app".to_owned(),
        enforce: false,
    };
    let Ok(policies) = istio::policies(&seen, &options) else {
        return;
    };
    let read: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&policies).expect("policies are YAML");
    for policy in read.iter().filter(|p| !p.is_null()) {
        assert_eq!(policy["kind"], "AuthorizationPolicy", "{policies}");
        assert_eq!(policy["spec"]["action"], "ALLOW", "{policies}");
    }
}
