//! The text Istio and Envoy write by default.
//!
//! ```text
//! [time] "METHOD path PROTOCOL" code flags details termination "reason" received sent duration upstream-time
//!   "forwarded-for" "agent" "id" "authority" "upstream-host" cluster upstream-local local remote sni route
//! ```
//!
//! is Istio's. Envoy's own lacks details, termination, reason, and everything behind the upstream host, so that it names
//! no destination. (`meshConfig.accessLogFormat` and `%…%` commands: <https://istio.io/latest/docs/tasks/observability/logs/access-log/>,
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>.)
//!
//! Neither escapes what a client sends, so a user agent may hold quotes and spaces. What comes before the first header is
//! therefore read from the left, and what comes after the last one from the right. Text holds no peer: the source is
//! unknown.

use super::tokens::{Tokens, known};
use crate::fault::{Fault, Reason};
use crate::record::{Naming, Record, set};
use pairwatch_engine::Time;
use std::time::Duration;

/// Reads Istio's and Envoy's text.
#[derive(Clone, Debug)]
pub struct IstioText {
    naming: Naming,
}

/// A line's tokens, not yet understood.
struct Parts<'a> {
    time: &'a str,
    method: &'a str,
    path: &'a str,
    status: &'a str,
    received: &'a str,
    sent: &'a str,
    duration: &'a str,
    forwarded_for: &'a str,
    cluster: &'a str,
    remote: &'a str,
}

impl IstioText {
    /// A reader.
    pub fn new(naming: Naming) -> Self {
        Self { naming }
    }

    /// Reads a line into `record`, which is left in an unspecified state where the line can't be read.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn read(&self, line: &str, record: &mut Record) -> Result<(), Fault> {
        let parts = Parts::of(line).ok_or_else(|| {
            Fault::line(
                Reason::NotText,
                "expected [TIME] \"METHOD PATH PROTOCOL\" …",
                line.as_bytes(),
            )
        })?;
        record.clear();
        let time = Time::parse(parts.time);
        record.time = time.ok_or_else(|| {
            Fault::field(
                "start_time",
                parts.time,
                "a time such as 2026-11-21T09:30:00.125Z",
            )
        })?;
        record.set_address(known(parts.forwarded_for), known(parts.remote));
        self.naming.source("", &record.address, &mut record.source);
        self.naming
            .destination(parts.cluster, &mut record.destination);
        set(&mut record.method, known(parts.method));
        set(&mut record.path, known(parts.path));
        let status = number("response_code", parts.status)?;
        record.status = u16::try_from(status)
            .map_err(|_| Fault::field("response_code", parts.status, "an HTTP status"))?;
        record.request_bytes = number("bytes_received", parts.received)?;
        record.response_bytes = number("bytes_sent", parts.sent)?;
        record.duration = Duration::from_millis(number("duration", parts.duration)?);
        Ok(())
    }
}

impl<'a> Parts<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut left = Tokens(line);
        left.skip("[")?;
        let time = left.until("] \"")?;
        let (method, path) = (left.word()?, left.word()?);
        left.until("\" ")?;
        let (status, _flags) = (left.word()?, left.word()?);
        let next = left.0.bytes().next()?;
        let envoys = next.is_ascii_digit();
        if !envoys {
            let _details = left.word()?;
            let _termination = left.until("\"")?;
            let _reason = left.until("\" ")?;
        }
        let (received, sent, duration) = (left.word()?, left.word()?, left.word()?);
        let _upstream_time = left.word()?;
        left.skip("\"")?;
        let forwarded_for = left.until("\"")?;
        let (cluster, remote) = if envoys { ("", "") } else { tail(left.0)? };
        Some(Self {
            time,
            method,
            path,
            status,
            received,
            sent,
            duration,
            forwarded_for,
            cluster: known(cluster),
            remote,
        })
    }
}

/// Cluster and remote address, from the right.
fn tail(text: &str) -> Option<(&str, &str)> {
    let mut right = text.rsplitn(7, ' ');
    let (_route, _sni, remote) = (right.next()?, right.next()?, right.next()?);
    let (_local, _upstream_local, cluster) = (right.next()?, right.next()?, right.next()?);
    Some((cluster, remote))
}

fn number(field: &'static str, token: &str) -> Result<u64, Fault> {
    match known(token) {
        "" => Ok(0),
        digits => digits
            .parse()
            .map_err(|_| Fault::field(field, token, "a number or -")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pairwatch_engine::Time;
    use pairwatch_engine::config::Names;

    const ISTIO: &str = r#"[2026-11-21T09:30:00.125Z] "GET /items/7?page=1 HTTP/2" 503 UF upstream_reset_before_response_started{connection_failure} - "delayed connect error: 111" 3 91 12 - "192.0.2.1,198.51.100.2" "curl/8 "quoted" agent" "b7a1" "evil.example" "10.1.2.3:8080" outbound|80|v1|catalog.shop.svc.cluster.local 10.1.0.9:41234 10.96.0.7:80 10.1.0.9:55000 - default"#;

    fn read(line: &str) -> Result<Record, Fault> {
        let mut record = Record::default();
        IstioText::new(Naming::new(&Names::default()))
            .read(line, &mut record)
            .map(|()| record)
    }

    #[test]
    fn istios_line_is_read_whatever_its_headers_hold() {
        let record = read(ISTIO).unwrap();
        let want = Record {
            time: Time(1_795_253_400_125),
            duration: Duration::from_millis(12),
            source: "external".to_owned(),
            destination: "catalog.shop.svc.cluster.local".to_owned(),
            method: "GET".to_owned(),
            path: "/items/7?page=1".to_owned(),
            status: 503,
            request_bytes: 3,
            response_bytes: 91,
            address: "198.51.100.2".to_owned(),
            ..Record::default()
        };
        assert_eq!(record, want);
    }

    #[test]
    fn envoys_own_line_names_no_destination() {
        let line = r#"[2026-11-21T09:30:00.125Z] "POST /api/v1 HTTP/1.1" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21" "locations" "tcp://10.0.2.1:80""#;
        let record = read(line).unwrap();
        assert_eq!(record.destination, crate::record::UNKNOWN);
        assert_eq!((record.status, record.request_bytes), (204, 154));
        assert_eq!(record.duration, Duration::from_millis(226));
        assert_eq!(record.address, "10.0.35.28");
    }

    #[test]
    fn a_connection_without_http_is_an_exchange_too() {
        let line = ISTIO.replace("GET /items/7?page=1 HTTP/2\" 503", "- - -\" 0");
        let record = read(&line).unwrap();
        assert_eq!((&*record.method, &*record.path, record.status), ("", "", 0));
    }

    #[test]
    fn a_fault_names_the_field() {
        for (from, to, field) in [
            ("2026-11-21T09", "2026-11-21T29", "start_time"),
            ("503 UF", "abc UF", "response_code"),
            ("503 UF", "99999 UF", "response_code"),
            (" 3 91 12 ", " 3 many 12 ", "bytes_sent"),
        ] {
            let fault = read(&ISTIO.replace(from, to)).unwrap_err();
            assert_eq!(fault.reason, Reason::Field(field), "{}", fault.detail);
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_told_or_read_and_never_a_panic() {
        for end in 0..ISTIO.len() {
            if let Err(fault) = read(ISTIO.get(..end).unwrap()) {
                assert!(
                    matches!(fault.reason, Reason::NotText | Reason::Field(_)),
                    "{fault:?}"
                );
            }
        }
    }
}
