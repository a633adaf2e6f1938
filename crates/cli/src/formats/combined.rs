//! The Common and Combined formats of web servers.
//!
//! ```text
//! host ident user [21/Nov/2026:09:30:00 +0100] "GET /path HTTP/1.1" status bytes "referer" "agent"
//! ```
//!
//! The Combined format adds the last two, Apache's `vhost_combined` a virtual host in front; all are read, and whatever
//! follows is skipped. (<https://httpd.apache.org/docs/current/mod/mod_log_config.html>.) The server that wrote the log is
//! the destination: its virtual host, else `names.service`. A host is an address, and vouches for nobody: the source is
//! unknown. There are no durations.

use super::tokens::{Tokens, known};
use crate::fault::{Fault, Reason};
use crate::record::{Naming, Record, set};
use pairwatch_engine::Time;

/// Reads Common and Combined lines.
#[derive(Clone, Debug)]
pub struct Combined {
    naming: Naming,
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Combined {
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
            let what = "expected HOST IDENT USER [TIME] \"REQUEST\" STATUS BYTES";
            Fault::line(Reason::NotCombined, what, line.as_bytes())
        })?;
        record.clear();
        record.time = when(parts.time).ok_or_else(|| {
            Fault::field(
                "time",
                parts.time,
                "a time such as 21/Nov/2026:09:30:00 +0100",
            )
        })?;
        record.set_address("", known(parts.host));
        self.naming.source("", &record.address, &mut record.source);
        self.naming
            .destination(parts.server, &mut record.destination);
        let mut request = Tokens(known(parts.request));
        set(&mut record.method, request.word().unwrap_or_default());
        set(&mut record.path, request.word().unwrap_or_default());
        let status = known(parts.status);
        record.status = if status.is_empty() {
            0
        } else {
            let expected = "an HTTP status";
            status
                .parse()
                .map_err(|_| Fault::field("status", status, expected))?
        };
        record.response_bytes = match known(parts.bytes) {
            "" => 0,
            bytes => {
                let expected = "a number or -";
                bytes
                    .parse()
                    .map_err(|_| Fault::field("bytes", bytes, expected))?
            }
        };
        self.naming.user(known(parts.user), &mut record.identity);
        Ok(())
    }
}

/// A line's tokens, not yet understood.
struct Parts<'a> {
    server: &'a str,
    host: &'a str,
    user: &'a str,
    time: &'a str,
    request: &'a str,
    status: &'a str,
    bytes: &'a str,
}

impl<'a> Parts<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut left = Tokens(line);
        let mut ends = Tokens(left.until(" [")?);
        let (first, second) = (ends.word()?, ends.word()?);
        // A user's name may hold spaces; the ident before it is nearly always `-`, and so tells a virtual host.
        let with_server = second != "-" && ends.0.starts_with("- ");
        let (server, host) = if with_server {
            ends.word()?;
            (first.split(':').next().unwrap_or(first), second)
        } else {
            ("", first)
        };
        let user = ends.0;
        let time = left.until("] ")?;
        let request = left.quoted()?;
        let status = left.word()?;
        let bytes = left.word().unwrap_or_default();
        let plain = !user.is_empty() && status.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        plain.then_some(Self {
            server,
            host,
            user,
            time,
            request,
            status,
            bytes,
        })
    }
}

/// `21/Nov/2026:09:30:00 +0100`.
fn when(text: &str) -> Option<Time> {
    let (day, rest) = text.split_once('/')?;
    let (name, rest) = rest.split_once('/')?;
    let (year, rest) = rest.split_once(':')?;
    let (clock, zone) = rest.split_once(' ')?;
    let month = MONTHS.iter().position(|m| *m == name)?.saturating_add(1);
    Time::parse(&format!("{year}-{month:02}-{day}T{clock}{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pairwatch_engine::config::Names;

    fn read(line: &str) -> Result<Record, Fault> {
        let mut record = Record::default();
        Combined::new(Naming::new(&Names::default()))
            .read(line, &mut record)
            .map(|()| record)
    }

    #[test]
    fn a_combined_line_says_who_what_and_when() {
        let line = r#"192.0.2.1 - ada [21/Nov/2026:10:30:00 +0100] "GET /a?b=\"c\" HTTP/1.1" 200 2326 "http://r.example/" "Mozilla \"5\"" extra"#;
        let want = Record {
            time: Time(1_795_253_400_000),
            source: "external".to_owned(),
            destination: "unknown".to_owned(),
            method: "GET".to_owned(),
            path: r#"/a?b=\"c\""#.to_owned(),
            status: 200,
            response_bytes: 2326,
            identity: "ada".to_owned(),
            address: "192.0.2.1".to_owned(),
            ..Record::default()
        };
        assert_eq!(read(line).unwrap(), want);
    }

    #[test]
    fn a_virtual_host_is_the_destination() {
        let line = r#"shop.example:443 2001:db8::1 - Ada Lovelace [21/Nov/2026:09:30:00 +0000] "GET / HTTP/1.1" 304 -"#;
        let record = read(line).unwrap();
        assert_eq!(record.destination, "shop.example");
        assert_eq!(record.address, "2001:db8::1");
        assert_eq!(record.identity, "Ada Lovelace");
        assert_eq!((record.status, record.response_bytes), (304, 0));
    }

    #[test]
    fn a_request_that_is_none_is_counted_as_what_was_answered() {
        for request in ["-", "", r"\x16\x03\x01", "GET"] {
            let line = format!(r#"192.0.2.1 - - [21/Nov/2026:09:30:00 +0000] "{request}" 400 0"#);
            assert_eq!(read(&line).unwrap().status, 400, "{request}");
        }
    }

    #[test]
    fn a_fault_names_the_field() {
        let line = r#"192.0.2.1 - - [21/Nov/2026:09:30:00 +0000] "GET / HTTP/1.1" 200 5"#;
        for (from, to, field) in [
            ("Nov", "Nox", "time"),
            ("21/", "31/", "time"),
            (" 200 ", " 99999 ", "status"),
            (" 5", " five", "bytes"),
        ] {
            let fault = read(&line.replace(from, to)).unwrap_err();
            assert_eq!(fault.reason, Reason::Field(field), "{}", fault.detail);
        }
    }

    #[test]
    fn what_is_no_such_line_is_told_apart() {
        for line in ["", "hello", "[info] x", r#"a b c [d] "e" f"#, "a - - [x"] {
            assert_eq!(
                read(line).unwrap_err().reason,
                Reason::NotCombined,
                "{line}"
            );
        }
    }
}
