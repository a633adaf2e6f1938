//! A JSON object as Envoy and Istio write it, or with other keys (see [`fields`](super::fields)).
//!
//! Envoy writes what it does not know as `null` or `"-"`, and numbers as text where the format string says so: both are
//! read. Times are RFC 3339, or seconds, milli-, micro- or nanoseconds since 1970. How a line is taken apart is in [`object`].

use super::fields::{FieldMap, Slot};
use super::object::{self, Found, Slots};
use crate::fault::Fault;
use crate::record::{Naming, Record, set};
use pairwatch_engine::Time;
use pairwatch_engine::exchange::version::Version;
use std::time::Duration;

/// Reads JSON lines.
#[derive(Clone, Debug)]
pub struct EnvoyJson {
    fields: FieldMap,
    naming: Naming,
}

impl EnvoyJson {
    /// A reader of lines with these keys.
    pub fn new(fields: FieldMap, naming: Naming) -> Self {
        Self { fields, naming }
    }

    /// Reads a line into `record`, which is left in an unspecified state where the line can't be read.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn read(&self, line: &str, record: &mut Record) -> Result<(), Fault> {
        let mut slots = Slots::default();
        object::read(line, &self.fields, &mut slots)?;
        self.fill(&slots, record)
    }

    fn fill(&self, slots: &Slots<'_>, record: &mut Record) -> Result<(), Fault> {
        let get = |slot: Slot| slots.get(slot.place()).unwrap_or(&Found::Nothing);
        let text = |slot: Slot| get(slot).text(slot);
        let number = |slot: Slot| get(slot).number(slot);
        record.time = when(get(Slot::Time))?;
        let cluster = text(Slot::Destination)?;
        let is_request = !get(Slot::Method).is_nothing() || !get(Slot::Status).is_nothing();
        self.naming.destination(cluster, &mut record.destination);
        if !is_request && record.destination == crate::record::UNKNOWN {
            let expected = "a cluster's name, or a method or status that makes the line a request";
            return Err(Fault::field(Slot::Destination.key(), cluster, expected));
        }
        let (forwarded, remote) = (text(Slot::ForwardedFor)?, text(Slot::RemoteAddress)?);
        record.set_address(forwarded, remote);
        let peer = text(Slot::Source)?;
        self.naming
            .source(peer, &record.address, &mut record.source);
        set(&mut record.method, text(Slot::Method)?);
        set(&mut record.path, text(Slot::Path)?);
        let status = number(Slot::Status)?;
        record.status = u16::try_from(status)
            .map_err(|_| Fault::field(Slot::Status.key(), &status.to_string(), "an HTTP status"))?;
        record.grpc_status = grpc_status(get(Slot::GrpcStatus))?;
        record.request_bytes = number(Slot::RequestBytes)?;
        record.response_bytes = number(Slot::ResponseBytes)?;
        record.duration = self.duration(get(Slot::Duration))?;
        // As in the proxy, a number or a list names nobody.
        let user = match get(Slot::Identity) {
            Found::Text(user) => user,
            _ => "",
        };
        self.naming.user(user, &mut record.identity);
        record.version = Version::of(get(Slot::Version).raw());
        Ok(())
    }

    fn duration(&self, found: &Found<'_>) -> Result<Duration, Fault> {
        let unit = self.fields.unit_us();
        // Whole units are exact; fractions, as of seconds, go by way of a float.
        if let Ok(whole) = found.number_text().parse::<u64>() {
            return Ok(Duration::from_micros(whole.saturating_mul(unit)));
        }
        let amount = found.float(Slot::Duration)?;
        Ok(Duration::from_micros((amount * unit as f64) as u64))
    }
}

fn when(found: &Found<'_>) -> Result<Time, Fault> {
    /// Below it a number counts seconds, below a thousand times it milliseconds, and so on: the year is 5138 at most.
    const SECONDS_BELOW: f64 = 1e11;
    if let Some(time) = Time::parse(found.raw()) {
        return Ok(time);
    }
    let expected = "a time such as 2026-11-21T09:30:00.125Z, or seconds since 1970";
    let wrong = || Fault::field(Slot::Time.key(), found.raw(), expected);
    if found.is_nothing() {
        return Err(wrong());
    }
    let number = found.float(Slot::Time).map_err(|_| wrong())?;
    let (mut millis, mut above) = (number * 1e3, number);
    while above >= SECONDS_BELOW {
        (millis, above) = (millis / 1e3, above / 1e3);
    }
    Ok(Time(millis as u64))
}

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

/// A gRPC status by number (`%GRPC_STATUS_NUMBER%`) or name (`%GRPC_STATUS%`, in either spelling).
fn grpc_status(found: &Found<'_>) -> Result<Option<u32>, Fault> {
    if found.is_nothing() {
        return Ok(None);
    }
    if let Ok(number) = found.number_text().parse() {
        return Ok(Some(number));
    }
    let name = found.raw().replace('_', "").to_ascii_lowercase();
    if name == "cancelled" {
        return Ok(Some(1));
    }
    let named = GRPC_STATUSES.iter().position(|s| *s == name);
    let number = named.and_then(|n| u32::try_from(n).ok());
    number.map(Some).ok_or_else(|| {
        let expected = "a gRPC status, by number or by name, or null";
        Fault::field(Slot::GrpcStatus.key(), found.raw(), expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reason;
    use pairwatch_engine::config::Names;
    use proptest::prelude::*;
    use serde_json::Value;

    fn reader(mappings: &[&str]) -> EnvoyJson {
        let mappings: Vec<_> = mappings.iter().map(|m| m.parse().unwrap()).collect();
        EnvoyJson::new(FieldMap::new(&mappings), Naming::new(&Names::default()))
    }

    fn read(line: &str) -> Result<Record, Fault> {
        let mut record = Record::default();
        reader(&[]).read(line, &mut record).map(|()| record)
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
                "downstream_peer":"spiffe://cluster.local/ns/demo/sa/frontend","user":"ada",
                "downstream_remote_address":"10.1.2.3:4567","destination_version":"v7",
                "upstream_cluster":"outbound|80||catalog.demo.svc.cluster.local"}"#,
        )
        .unwrap();
        let want = Record {
            time: Time(1_795_253_400_125),
            duration: Duration::from_millis(4),
            source: "demo/frontend".to_owned(),
            destination: "catalog.demo.svc.cluster.local".to_owned(),
            method: "GET".to_owned(),
            path: "/items/7?q=\"a\"".to_owned(),
            status: 404,
            grpc_status: None,
            request_bytes: 3,
            response_bytes: 17_666,
            identity: "ada".to_owned(),
            address: "10.1.2.3".to_owned(),
            version: Version::of("v7"),
        };
        assert_eq!(record, want);
    }

    #[test]
    fn seconds_since_1970_are_told_from_their_thousandths_by_their_size() {
        for number in [
            "1795253400.125",
            "1795253400125",
            "1795253400125000",
            "1795253400125000000",
        ] {
            let line = with(&format!(r#""start_time":{number}"#));
            assert_eq!(read(&line).unwrap().time, Time(1_795_253_400_125), "{line}");
        }
    }

    #[test]
    fn a_user_that_is_no_text_is_nobody_and_costs_no_line() {
        for user in ["42", r#"["alice"]"#, r#"{"name":"alice"}"#, "true"] {
            let line = with(&format!(r#""user":{user}"#));
            assert_eq!(read(&line).unwrap().identity, "", "{line}");
        }
    }

    #[test]
    fn what_envoy_writes_for_unknown_is_unknown() {
        for peer in [r#""-""#, "null", r#""""#] {
            let record = read(&with(&format!(
                r#""downstream_peer":{peer},"duration":"-","response_code":"200""#
            )))
            .unwrap();
            assert_eq!(record.source, "external", "of {peer}");
            assert_eq!((record.status, record.duration), (200, Duration::ZERO));
        }
    }

    #[test]
    fn a_request_that_reached_no_service_is_counted_as_in_the_proxy() {
        let line =
            r#"{"start_time":"2026-11-21T09:30:00Z","method":"GET","upstream_cluster":null}"#;
        assert_eq!(read(line).unwrap().destination, crate::record::UNKNOWN);
        let no_request = r#"{"start_time":"2026-11-21T09:30:00Z","level":"info"}"#;
        assert_eq!(
            read(no_request).unwrap_err().reason,
            Reason::Field("upstream_cluster")
        );
    }

    #[test]
    fn a_grpc_status_is_read_by_number_and_by_name() {
        for (status, number) in [
            ("16", 16),
            (r#""16""#, 16),
            (r#""Unauthenticated""#, 16),
            (r#""UNAUTHENTICATED""#, 16),
            (r#""DEADLINE_EXCEEDED""#, 4),
            (r#""Cancelled""#, 1),
        ] {
            let record = read(&with(&format!(r#""grpc_status":{status}"#))).unwrap();
            assert_eq!(record.grpc_status, Some(number), "of {status}");
        }
    }

    #[test]
    fn other_keys_nested_ones_and_other_units_are_mapped() {
        let reader = reader(&[
            "time=ts",
            "source=client.id",
            "status=http.response.status_code",
            "destination=service",
            "duration_s=request_time",
        ]);
        let mut record = Record::default();
        let line = r#"{"ts":1795253400.125,"client.id":"web","service":"shop","request_time":0.0125,
            "http":{"response":{"status_code":503}}}"#;
        reader.read(line, &mut record).unwrap();
        assert_eq!(record.time, Time(1_795_253_400_125));
        assert_eq!((&*record.source, &*record.destination), ("web", "shop"));
        assert_eq!(record.status, 503);
        assert_eq!(record.duration, Duration::from_micros(12_500));
    }

    #[test]
    fn a_fault_names_the_field() {
        for (line, field) in [
            (r#"{"upstream_cluster":"catalog"}"#.to_owned(), "start_time"),
            (
                r#"{"start_time":"noon","upstream_cluster":"catalog"}"#.to_owned(),
                "start_time",
            ),
            (with(r#""response_code":"abc""#), "response_code"),
            (with(r#""response_code":70000"#), "response_code"),
            (with(r#""response_code":[200]"#), "response_code"),
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

    /// What may stand behind a key.
    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            (-1e15..1e15f64).prop_map(Value::from),
            "[ -~äλ\\\\\"\n]{0,12}".prop_map(Value::from),
            Just(Value::from("2026-11-21T09:30:00Z")),
            Just(Value::from("-")),
            prop::collection::vec(any::<u8>().prop_map(Value::from), 0..3).prop_map(Value::from),
        ]
    }

    fn any_key() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("start_time".to_owned()),
            Just("method".to_owned()),
            Just("path".to_owned()),
            Just("response_code".to_owned()),
            Just("upstream_cluster".to_owned()),
            Just("duration".to_owned()),
            "[a-z\"\\\\]{1,8}",
        ]
    }

    proptest! {
        #[test]
        fn both_readers_read_the_same(
            object in prop::collection::btree_map(any_key(), any_value(), 0..10), pretty: bool,
        ) {
            let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
            let (text, reader) = (text.unwrap(), reader(&[]));
            let (mut quick, mut thorough) = (Record::default(), Record::default());
            let slots = object::slow(&text, &reader.fields).unwrap();
            let thorough = reader.fill(&slots, &mut thorough).map(|()| thorough);
            let quick = reader.read(&text, &mut quick).map(|()| quick);
            prop_assert_eq!(quick, thorough);
        }

        #[test]
        fn no_line_is_too_odd_to_be_read(line in any::<String>()) {
            let _ = read(&line);
        }

        #[test]
        fn no_object_is_too_odd_to_be_read(inside in "[\"\\\\{}:,a-z0-9\\[\\] .eE+-]{0,60}") {
            let _ = read(&format!("{{{inside}}}"));
        }
    }
}
