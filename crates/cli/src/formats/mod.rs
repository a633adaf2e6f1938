//! The formats access logs are written in: one reader each, which fills a [`Record`]; and how to tell them apart.
//!
//! | file | format |
//! |---|---|
//! | [`envoy_json`] | JSON objects, by [`fields`]; taken apart in [`object`] |
//! | [`istio_text`] | Istio's and Envoy's default text |
//! | [`combined`] | Common and Combined, as web servers write them |
//!
//! The format of a log is that of the first line any of them can read, so that a sidecar's own messages before it do no
//! harm, whatever they are written in.

pub mod combined;
pub mod envoy_json;
pub mod fields;
pub mod istio_text;
mod object;
mod tokens;

use crate::fault::{Fault, Reason};
use crate::record::{Naming, Record};
use combined::Combined;
use envoy_json::EnvoyJson;
use fields::{FieldMap, Mapping};
use istio_text::IstioText;
use pairwatch_engine::Time;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON objects.
    EnvoyJson,
    /// Istio's and Envoy's default text.
    IstioText,
    /// Common or Combined.
    Combined,
}

/// All formats, the most telling first.
const ALL: [Format; 3] = [Format::EnvoyJson, Format::IstioText, Format::Combined];

/// Readers of all formats.
#[derive(Clone, Debug)]
pub struct Readers {
    json: EnvoyJson,
    text: IstioText,
    combined: Combined,
}

impl Readers {
    /// Readers that name ends like this, and find JSON fields by the defaults and these mappings.
    pub fn new(naming: &Naming, mappings: &[Mapping]) -> Self {
        Self {
            json: EnvoyJson::new(FieldMap::new(mappings), naming.clone()),
            text: IstioText::new(naming.clone()),
            combined: Combined::new(naming.clone()),
        }
    }

    /// Reads a line into `record`, which is left in an unspecified state where the line can't be read. What is no UTF-8
    /// is replaced: only what clients made up holds such bytes.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn read(&self, format: Format, line: &[u8], record: &mut Record) -> Result<(), Fault> {
        let lossy;
        let line = match std::str::from_utf8(line) {
            Ok(line) => line,
            Err(_) => {
                lossy = String::from_utf8_lossy(line);
                &*lossy
            }
        };
        match format {
            Format::EnvoyJson => self.json.read(line, record),
            Format::IstioText => self.text.read(line, record),
            Format::Combined => self.combined.read(line, record),
        }
    }

    /// The format that reads a line.
    pub fn detect(&self, line: &[u8]) -> Option<Format> {
        self.format(line, |_| false)
    }

    /// The format that makes sense of a line, even where one of its fields is wrong.
    pub fn guess(&self, line: &[u8]) -> Option<Format> {
        self.format(line, |fault| matches!(fault.reason, Reason::Field(_)))
    }

    fn format(&self, line: &[u8], forgiven: fn(&Fault) -> bool) -> Option<Format> {
        let mut record = Record::default();
        ALL.into_iter().find(|format| {
            let read = self.read(*format, line, &mut record);
            read.map_or_else(|fault| forgiven(&fault), |()| true)
        })
    }
}

/// Whether a line is what Envoy, or Istio's agent, writes of itself to where a sidecar's access log goes:
/// `[2026-11-20 10:00:00.000][1][info]…` and `2026-11-20T10:00:00.000000Z⇥info⇥…`.
pub fn is_message(line: &[u8]) -> bool {
    const LEVELS: [&str; 8] = [
        "trace", "debug", "info", "warn", "warning", "error", "critical", "fatal",
    ];
    // Levels stand close to the beginning, and no time is long.
    let Some(start) = line.get(..line.len().min(64)).map(String::from_utf8_lossy) else {
        return false;
    };
    if let Some(rest) = start.strip_prefix('[') {
        let parts = rest.split_once("][");
        return parts.is_some_and(|(time, _)| {
            time.split_once(' ')
                .is_some_and(|(day, clock)| day.len() == 10 && clock.contains(':'))
        });
    }
    let mut words = start.split([' ', '\t']);
    let time = words.next().and_then(Time::parse);
    time.is_some() && words.next().is_some_and(|word| LEVELS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pairwatch_engine::config::Names;
    use proptest::prelude::*;

    fn readers() -> Readers {
        Readers::new(&Naming::new(&Names::default()), &[])
    }

    #[test]
    fn each_format_is_told_by_a_line_of_it() {
        for (line, format) in [
            (
                r#"{"start_time":"2026-11-21T09:30:00Z","method":"GET"}"#,
                Some(Format::EnvoyJson),
            ),
            (
                r#"{"level":"info","time":"2026-11-21","msg":"ready"}"#,
                None,
            ),
            (
                r#"[2026-11-21T09:30:00.000Z] "GET / HTTP/1.1" 200 - 0 5 1 1 "-" "curl" "id" "a" "10.0.0.1:80""#,
                Some(Format::IstioText),
            ),
            (
                r#"192.0.2.1 - - [21/Nov/2026:09:30:00 +0000] "GET / HTTP/1.1" 200 5"#,
                Some(Format::Combined),
            ),
            (
                "2026-11-21T09:30:00.000000Z info Envoy proxy is ready",
                None,
            ),
            ("[2026-11-21 09:30:00.000][1][info] starting", None),
            ("", None),
        ] {
            assert_eq!(readers().detect(line.as_bytes()), format, "{line}");
        }
    }

    #[test]
    fn what_a_proxy_says_of_itself_is_told_from_a_request() {
        for message in [
            "2026-11-21T09:30:00.000000Z info Envoy proxy is ready",
            "2026-11-21T09:30:00.000000Z\twarn\tca\tca request failed",
            "[2026-11-21 09:30:00.000][1][info] starting",
            "[2026-11-21 09:30:00.000][15][warning][config] [source/x.cc:1] ü",
        ] {
            assert!(is_message(message.as_bytes()), "{message}");
        }
        for other in [
            r#"[2026-11-21T09:30:00.000Z] "GET / HTTP/1.1" 200 - 0 5 1 1 "-" "curl" "id" "a" "10.0.0.1:80""#,
            r#"[21/Nov/2026:09:30:00 +0000] "GET / HTTP/1.1" 200"#,
            "[2026-11-21 09:30:00.000] GET / 200",
            "2026-11-21T09:30:00Z GET / 200",
            "info 2026-11-21T09:30:00Z",
            "[",
            "",
        ] {
            assert!(!is_message(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn nothing_of_one_line_is_left_in_the_next() {
        let lines = [
            r#"{"start_time":"2026-11-21T09:30:00Z","upstream_cluster":"c","downstream_peer":"a","method":"PUT","path":"/x",
                "response_code":500,"grpc_status":3,"duration":9,"user":"u","x_forwarded_for":"192.0.2.1","bytes_sent":1}"#,
            r#"{"start_time":"2026-11-21T09:30:00Z","upstream_cluster":"c"}"#,
            r#"[2026-11-21T09:30:00.000Z] "- - -" 0 - 0 5 1 1 "-" "curl" "id" "a" "10.0.0.1:80""#,
            r#"- - - [21/Nov/2026:09:30:00 +0000] "-" 408 -"#,
        ];
        let (readers, mut used) = (readers(), Record::default());
        for line in lines.iter().flat_map(|l| [lines[0], l]) {
            let format = readers.detect(line.as_bytes()).unwrap();
            let mut fresh = Record::default();
            readers.read(format, line.as_bytes(), &mut fresh).unwrap();
            readers.read(format, line.as_bytes(), &mut used).unwrap();
            assert_eq!(used, fresh, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_for_any_format(line in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut record = Record::default();
            for format in ALL {
                let _ = readers().read(format, &line, &mut record);
            }
        }
    }
}
