//! One access-log line to one exchange.
//!
//! A line is a JSON object as Envoy and Istio write it. These fields are read, all others skipped:
//!
//! | field | is |
//! |---|---|
//! | `start_time` | when, RFC 3339 |
//! | `downstream_peer` | the source; a SPIFFE id is shortened as in the proxy. Without it: `names.unknown_source` |
//! | `upstream_cluster` | the destination. Where it names none (`inbound\|8080\|\|`): `names.service` |
//! | `method`, `path`, `response_code`, `grpc_status` | as in the proxy; a gRPC status by number or by name |
//! | `user` | the identity the request speaks for |
//! | `x_forwarded_for`, `downstream_remote_address` | the client's address: the last entry of the first, which the proxy itself appended, else the peer's |
//! | `bytes_received`, `bytes_sent`, `duration` | body bytes and milliseconds |
//!
//! Envoy writes what it does not know as `null` or `"-"`, and numbers as text where the format string says so: both are
//! read. A destination is never taken from `authority`, which is the caller's to choose.
//!
//! Text is borrowed from the line and only then copied into one [`Record`] that is used again and again, so that several
//! logs can be merged while each is read with no allocation per line. A line that can't be read is read once more, slowly,
//! to tell which field is at fault.

use pairwatch_engine::Time;
use pairwatch_engine::config::Names;
use pairwatch_engine::exchange::{Exchange, principal};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a line says, in buffers that are used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When the request began.
    pub time: Time,
    /// How long it took.
    pub duration: Duration,
    source: String,
    destination: String,
    identity: String,
    address: Option<IpAddr>,
    method: String,
    path: String,
    status: u16,
    grpc_status: Option<u32>,
    request_bytes: u64,
    response_bytes: u64,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In a word.
    pub reason: Reason,
    /// What was found, and where it is not plain what is expected.
    pub detail: String,
}

/// Why a line is not counted. A fixed set, whatever the lines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is no JSON object.
    NotJson,
    /// A field is missing or says what it can't mean.
    Field(&'static str),
    /// It is longer than any access-log line.
    TooLong,
    /// It is older than what was already counted, by more than a log is out of order.
    OutOfOrder,
    /// The input can't be read any further.
    Unreadable,
}

/// Turns lines into records.
#[derive(Debug)]
pub struct LineReader {
    unknown_source: String,
    service: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    start_time: Text<'a>,
    #[serde(borrow)]
    downstream_peer: Text<'a>,
    #[serde(borrow)]
    upstream_cluster: Text<'a>,
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    x_forwarded_for: Text<'a>,
    #[serde(borrow)]
    downstream_remote_address: Text<'a>,
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    path: Text<'a>,
    response_code: Number,
    grpc_status: GrpcStatus,
    bytes_received: Number,
    bytes_sent: Number,
    duration: Number,
}

/// The fields' names, to tell which one is at fault.
const FIELDS: [&str; 13] = [
    "start_time",
    "downstream_peer",
    "upstream_cluster",
    "user",
    "x_forwarded_for",
    "downstream_remote_address",
    "method",
    "path",
    "response_code",
    "grpc_status",
    "bytes_received",
    "bytes_sent",
    "duration",
];

impl LineReader {
    /// A reader that names sources and destinations as configured.
    pub fn new(names: &Names) -> Self {
        Self {
            unknown_source: names.unknown_source.clone(),
            service: names.service.clone(),
        }
    }

    /// Reads a line into `record`, which is left in an unspecified state where the line can't be read.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn read(&self, line: &[u8], record: &mut Record) -> Result<(), Fault> {
        let fields: Fields<'_> = serde_json::from_slice(line).map_err(|e| diagnose(line, &e))?;
        record.time = Time::parse(&fields.start_time.0).ok_or_else(|| {
            wrong(
                "start_time",
                &fields.start_time,
                "a time such as 2026-11-21T09:30:00.125Z",
            )
        })?;
        let destination = principal::of_cluster(&fields.upstream_cluster.0);
        let destination = destination
            .as_deref()
            .or(self.service.as_deref())
            .ok_or_else(|| {
                wrong(
                    "upstream_cluster",
                    &fields.upstream_cluster,
                    "a cluster's name, or names.service configured",
                )
            })?;
        set(&mut record.destination, destination);
        // Whose mesh this is a log does not say: all trust domains are taken for its own.
        let source = principal::of_spiffe(&fields.downstream_peer.0, "");
        set(
            &mut record.source,
            source.as_deref().unwrap_or(&self.unknown_source),
        );
        set(&mut record.identity, &fields.user.0);
        record.address = client(
            &fields.x_forwarded_for.0,
            &fields.downstream_remote_address.0,
        );
        set(&mut record.method, &fields.method.0);
        set(&mut record.path, &fields.path.0);
        record.status = u16::try_from(fields.response_code.0).map_err(|_| Fault {
            reason: Reason::Field("response_code"),
            detail: format!("found {}, expected an HTTP status", fields.response_code.0),
        })?;
        record.grpc_status = fields.grpc_status.0;
        record.request_bytes = fields.bytes_received.0;
        record.response_bytes = fields.bytes_sent.0;
        record.duration = Duration::from_millis(fields.duration.0);
        Ok(())
    }
}

impl Record {
    /// As the engine takes it.
    pub fn exchange(&self) -> Exchange<'_> {
        Exchange {
            source: &self.source,
            destination: &self.destination,
            identity: Some(self.identity.as_str()).filter(|i| !i.is_empty()),
            address: self.address,
            method: self.method.as_bytes(),
            path: self.path.as_bytes(),
            status: self.status,
            grpc_status: self.grpc_status,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            duration_us: u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("no JSON object"),
            Self::Field(name) => write!(f, "bad {name}"),
            Self::TooLong => f.write_str("too long"),
            Self::OutOfOrder => f.write_str("out of order"),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

/// The client's address. What stands further left in `x_forwarded_for` is the client's own word; only the last entry
/// was appended by the proxy.
fn client(forwarded: &str, peer: &str) -> Option<IpAddr> {
    let appended = forwarded.rsplit(',').next().unwrap_or_default().trim();
    appended.parse().ok().or_else(|| {
        let socket: Result<SocketAddr, _> = peer.parse();
        socket.map(|s| s.ip()).or_else(|_| peer.parse()).ok()
    })
}

fn set(text: &mut String, to: &str) {
    text.clear();
    text.push_str(to);
}

fn wrong(field: &'static str, found: &Text<'_>, expected: &str) -> Fault {
    let detail = if found.0.is_empty() {
        format!("missing, expected {expected}")
    } else {
        format!("found {}, expected {expected}", shown(found.0.as_bytes()))
    };
    Fault {
        reason: Reason::Field(field),
        detail,
    }
}

/// Bytes of a bad line that are shown.
const SHOWN: usize = 60;

/// The beginning of what was found, safe to print.
fn shown(found: &[u8]) -> String {
    let text = String::from_utf8_lossy(found.get(..SHOWN).unwrap_or(found));
    let more = if found.len() > SHOWN { " …" } else { "" };
    format!("{text:?}{more}")
}

/// Which field of a line is at fault: the line is read once more, with the way to each field kept.
#[cold]
fn diagnose(line: &[u8], error: &serde_json::Error) -> Fault {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let read: Result<Fields<'_>, _> = serde_path_to_error::deserialize(&mut reader);
    let field = read.err().and_then(|e| {
        let path = e.path().to_string();
        FIELDS.into_iter().find(|name| *name == path)
    });
    // The line's own place in the file is told elsewhere.
    let text = error.to_string();
    let what = text
        .split_once(" at line ")
        .map_or(&*text, |(what, _)| what);
    match field {
        Some(field) if error.is_data() => Fault {
            reason: Reason::Field(field),
            detail: what.to_owned(),
        },
        _ => Fault {
            reason: Reason::NotJson,
            detail: format!("{what} at column {}: {}", error.column(), shown(line)),
        },
    }
}

/// Text, empty where the line has none.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(if text == "-" { "" } else { text })))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(if text == "-" {
                    String::new()
                } else {
                    text.to_owned()
                })))
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        d.deserialize_any(Reader)
    }
}

/// A whole number, 0 where the line has none.
#[derive(Clone, Copy, Default)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number that is not negative, or null")
            }

            fn visit_u64<E>(self, n: u64) -> Result<Number, E> {
                Ok(Number(n))
            }

            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Number, E> {
                if n >= 0.0 {
                    return Ok(Number(n as u64));
                }
                Err(E::invalid_value(de::Unexpected::Float(n), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "-" | "" => Ok(Number(0)),
                    _ => text
                        .parse()
                        .map(Number)
                        .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(0))
            }
        }
        d.deserialize_any(Reader)
    }
}

/// A gRPC status by number (`%GRPC_STATUS_NUMBER%`) or name (`%GRPC_STATUS%`, in either spelling).
#[derive(Clone, Copy, Default)]
struct GrpcStatus(Option<u32>);

/// The statuses in the order of their numbers, without underscores and case.
/// (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>)
const GRPC_STATUSES: [&str; 17] = [
    "ok",
    "canceled",
    "unknown",
    "invalidargument",
    "deadlineexceeded",
    "notfound",
    "alreadyexists",
    "permissiondenied",
    "resourceexhausted",
    "failedprecondition",
    "aborted",
    "outofrange",
    "unimplemented",
    "internal",
    "unavailable",
    "dataloss",
    "unauthenticated",
];

impl<'de> Deserialize<'de> for GrpcStatus {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = GrpcStatus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a gRPC status, by number or by name, or null")
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<GrpcStatus, E> {
                let number = u32::try_from(n);
                let number =
                    number.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self));
                number.map(|n| GrpcStatus(Some(n)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GrpcStatus, E> {
                let name = text.replace('_', "").to_ascii_lowercase();
                match &*name {
                    "-" | "" => return Ok(GrpcStatus(None)),
                    "cancelled" => return Ok(GrpcStatus(Some(1))),
                    _ => {}
                }
                let named = GRPC_STATUSES.iter().position(|s| *s == name);
                named
                    .and_then(|n| u32::try_from(n).ok())
                    .or_else(|| text.parse().ok())
                    .map(|n| GrpcStatus(Some(n)))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_unit<E>(self) -> Result<GrpcStatus, E> {
                Ok(GrpcStatus(None))
            }
        }
        d.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pairwatch_engine::exchange::Outcome;
    use proptest::prelude::*;

    fn read_as(names: &Names, line: &str) -> Result<Record, Fault> {
        let mut record = Record::default();
        LineReader::new(names)
            .read(line.as_bytes(), &mut record)
            .map(|()| record)
    }

    fn read(line: &str) -> Result<Record, Fault> {
        read_as(&Names::default(), line)
    }

    /// A line with its last fields as given.
    fn with(fields: &str) -> String {
        format!(r#"{{"start_time":"2026-11-21T09:30:00Z","upstream_cluster":"catalog",{fields}}}"#)
    }

    #[test]
    fn a_line_says_what_the_engine_asks() {
        let record = read(
            r#"{"start_time":"2026-11-21T09:30:00.125Z","method":"GET","path":"/items/7?q=\"a\"","response_code":404,
                "bytes_received":3,"bytes_sent":17666,"duration":4,"x_forwarded_for":null,"nested":{"a":[1]},
                "downstream_peer":"spiffe://cluster.local/ns/demo/sa/frontend",
                "upstream_cluster":"outbound|80||catalog.demo.svc.cluster.local"}"#,
        )
        .unwrap();
        assert_eq!(record.time.rfc3339(), "2026-11-21T09:30:00.125Z");
        let exchange = record.exchange();
        assert_eq!(
            (exchange.source, exchange.destination),
            ("demo/frontend", "catalog.demo.svc.cluster.local")
        );
        assert_eq!(
            (exchange.method, exchange.path),
            (&b"GET"[..], &b"/items/7?q=\"a\""[..])
        );
        assert_eq!((exchange.status, exchange.grpc_status), (404, None));
        assert_eq!(
            (
                exchange.request_bytes,
                exchange.response_bytes,
                exchange.duration_us
            ),
            (3, 17_666, 4000)
        );
    }

    #[test]
    fn the_client_is_whom_the_proxy_saw_and_not_whom_the_client_named() {
        for (fields, want) in [
            (
                r#""x_forwarded_for":"1.2.3.4, 203.0.113.9","downstream_remote_address":"10.0.0.1:99""#,
                "203.0.113.9",
            ),
            (
                r#""x_forwarded_for":null,"downstream_remote_address":"10.0.0.1:99""#,
                "10.0.0.1",
            ),
            (
                r#""x_forwarded_for":"-","downstream_remote_address":"[2001:db8::7]:99""#,
                "2001:db8::7",
            ),
            (
                r#""x_forwarded_for":"made up","downstream_remote_address":"10.0.0.1""#,
                "10.0.0.1",
            ),
        ] {
            let record = read(&with(fields)).unwrap();
            assert_eq!(
                record.exchange().address,
                Some(want.parse().unwrap()),
                "of {fields}"
            );
        }
        let bare = read(&with(r#""user":"-""#)).unwrap();
        assert_eq!(
            (bare.exchange().identity, bare.exchange().address),
            (None, None)
        );
        let named = read(&with(r#""user":"u7""#)).unwrap();
        assert_eq!(named.exchange().identity, Some("u7"));
    }

    #[test]
    fn nothing_of_one_line_is_left_in_the_next() {
        let reader = LineReader::new(&Names::default());
        let (mut used, mut fresh) = (Record::default(), Record::default());
        let full = with(
            r#""downstream_peer":"a","method":"PUT","path":"/x","response_code":500,"grpc_status":3,"duration":9"#,
        );
        let bare = with(r#""method":null"#);
        reader.read(full.as_bytes(), &mut used).unwrap();
        reader.read(bare.as_bytes(), &mut used).unwrap();
        reader.read(bare.as_bytes(), &mut fresh).unwrap();
        assert_eq!(used, fresh);
    }

    #[test]
    fn what_envoy_writes_for_unknown_is_unknown() {
        for peer in [r#""-""#, "null", r#""""#] {
            let record = read(&with(&format!(
                r#""downstream_peer":{peer},"duration":"-","response_code":"200""#
            )))
            .unwrap();
            assert_eq!(record.exchange().source, "external", "of {peer}");
            assert_eq!((record.status, record.duration), (200, Duration::ZERO));
        }
    }

    #[test]
    fn the_service_behind_an_inbound_cluster_is_the_configured_one() {
        let line = r#"{"start_time":"2026-11-21T09:30:00Z","upstream_cluster":"inbound|8080||"}"#;
        assert_eq!(
            read(line).unwrap_err().reason,
            Reason::Field("upstream_cluster")
        );
        let names = Names {
            service: Some("catalog".to_owned()),
            ..Names::default()
        };
        assert_eq!(
            read_as(&names, line).unwrap().exchange().destination,
            "catalog"
        );
    }

    #[test]
    fn a_grpc_status_is_read_by_number_and_by_name() {
        for status in [
            "16",
            r#""16""#,
            r#""Unauthenticated""#,
            r#""UNAUTHENTICATED""#,
        ] {
            let record = read(&with(&format!(
                r#""response_code":200,"grpc_status":{status}"#
            )))
            .unwrap();
            assert_eq!(
                record.exchange().outcome(),
                Outcome::AuthFailure,
                "of {status}"
            );
        }
        assert_eq!(
            read(&with(r#""grpc_status":"DEADLINE_EXCEEDED""#))
                .unwrap()
                .grpc_status,
            Some(4)
        );
    }

    #[test]
    fn a_fault_names_the_field() {
        for (line, field) in [
            (r#"{"upstream_cluster":"catalog"}"#.to_owned(), "start_time"),
            (
                r#"{"start_time":"noon","upstream_cluster":"catalog"}"#.to_owned(),
                "start_time",
            ),
            (
                r#"{"start_time":"2026-11-21T09:30:00Z"}"#.to_owned(),
                "upstream_cluster",
            ),
            (with(r#""response_code":"abc""#), "response_code"),
            (with(r#""response_code":70000"#), "response_code"),
            (with(r#""bytes_sent":-1"#), "bytes_sent"),
            (with(r#""bytes_sent":-1.5"#), "bytes_sent"),
            (with(r#""method":7"#), "method"),
            (with(r#""grpc_status":"FINE""#), "grpc_status"),
        ] {
            let fault = read(&line).unwrap_err();
            assert_eq!(
                fault.reason,
                Reason::Field(field),
                "{line} gave {}",
                fault.detail
            );
        }
    }

    #[test]
    fn what_is_no_json_object_is_told_with_its_beginning() {
        for line in [
            "",
            "{",
            "[2026-11-21 09:30:00][info] started",
            "7",
            "\u{1b}[31m{}",
            "{} {}",
        ] {
            let fault = read(line).unwrap_err();
            assert_eq!(
                fault.reason,
                Reason::NotJson,
                "{line:?} gave {}",
                fault.detail
            );
            assert!(
                !fault.detail.contains('\u{1b}'),
                "shown to a terminal as it was found"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_to_be_read(line in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut record = Record::default();
            let _ = LineReader::new(&Names::default()).read(&line, &mut record);
        }
    }
}
