//! The page: numbers as JSON, and what draws them.
//!
//! Series are packed two letters a value on a logarithmic scale, 1 % apart, so that two hundred pairs over two weeks
//! stay below a few megabytes.

use super::Report;
use super::pairs::{Counts, HOURS, Pair, Route};
use super::scale::Scale;
use super::sketch::Sketch;
use crate::summary::Summary;
use pairwatch_engine::Time;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
/// In the order they are run.
const SCRIPTS: [&str; 6] = [
    include_str!("page/base.js"),
    include_str!("page/chart.js"),
    include_str!("page/graph.js"),
    include_str!("page/incidents.js"),
    include_str!("page/pairs.js"),
    include_str!("page/tables.js"),
];

/// Rows of who accessed what that the page holds; the CSV file holds all. About 40 bytes each.
const ROWS: usize = 10_000;
/// Routes of a pair with durations over time on the page, the busiest first.
const TIMED_ROUTES: usize = 6;

/// Writes the page.
pub(super) fn write(report: &Report, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let scripts = SCRIPTS.concat();
    let mut rest = PAGE;
    for (mark, part) in [
        ("{{style}}", Part::Text(STYLE)),
        ("{{data}}", Part::Data),
        ("{{script}}", Part::Text(&scripts)),
    ] {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        out.write_all(before.as_bytes())?;
        match part {
            Part::Text(text) => out.write_all(text.as_bytes())?,
            Part::Data => out.write_all(embedded(&data(report, summary)).as_bytes())?,
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())?;
    out.flush()
}

enum Part<'a> {
    Text(&'a str),
    Data,
}

/// JSON that nothing in it can end the script element it stands in.
fn embedded(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

fn data(report: &Report, summary: &Summary) -> Value {
    let names: Vec<&str> = report.names.all().iter().map(|n| &**n).collect();
    let minutes = minutes(summary);
    let (pairs, fine, coarse, more) = match &report.pairs {
        Some(p) => (&*p.pairs, scale(&p.fine), scale(&p.coarse), p.more),
        None => (&[][..], Value::Null, Value::Null, 0),
    };
    let bins = report
        .pairs
        .as_ref()
        .map_or(1, |p| p.fine.bin(summary.last).saturating_add(1));
    let coarse_bins = report
        .pairs
        .as_ref()
        .map_or(1, |p| p.coarse.bin(summary.last).saturating_add(1));
    let width = report
        .pairs
        .as_ref()
        .map_or(60.0, |p| p.fine.width.as_secs_f64());
    let mut loads: Vec<_> = report.loads.iter().collect();
    loads.sort_by_key(|(name, load)| (std::cmp::Reverse(load.peaks()[0].0), **name));
    let loads: Vec<Value> = loads
        .into_iter()
        .map(|(name, load)| {
            let [(minute, when), (second, _)] = load.peaks();
            let q = load.quantiles(minutes, [0.5, 0.95, 0.99]).map(round);
            json!([name, q, minute, seconds(when), second])
        })
        .collect();
    let rows = report.access.rows();
    let hidden = rows
        .iter()
        .skip(ROWS)
        .fold(report.access.more, |n, (_, row)| {
            n.saturating_add(row.requests)
        });
    let access: Vec<Value> = rows
        .iter()
        .take(ROWS)
        .map(|((who, s, d, route), row)| {
            json!([
                who,
                s,
                d,
                route,
                row.requests,
                row.denied,
                row.bytes,
                seconds(row.first),
                seconds(row.last)
            ])
        })
        .collect();
    json!({
        "meta": {
            "lines": summary.lines,
            "bad": summary.bad.count(),
            "requests": pairs.iter().fold(0u64, |n, p| n.saturating_add(p.requests())),
            "first": seconds(summary.first),
            "last": seconds(summary.last),
            "tolerated": summary.tolerated_per_week,
            "more_pairs": more,
            "version": env!("CARGO_PKG_VERSION"),
        },
        "names": names,
        "fine": fine,
        "coarse": coarse,
        "pairs": pairs.iter().map(|p| pair(p, bins, coarse_bins, width)).collect::<Vec<_>>(),
        "loads": loads,
        "incidents": report.incidents,
        "access": {"rows": access, "more": hidden},
    })
}

/// Minutes the log covers, at least one.
fn minutes(summary: &Summary) -> u64 {
    let minute = Duration::from_secs(60);
    let span = summary.last.since(summary.first.floor(minute));
    (span.as_secs() / 60).saturating_add(1)
}

fn scale(scale: &Scale) -> Value {
    json!([seconds(scale.origin), scale.width.as_secs()])
}

fn seconds(at: Time) -> u64 {
    at.0 / 1000
}

/// A pair, by the letters the page knows it by.
#[derive(Serialize)]
struct PairData {
    s: u32,
    d: u32,
    n: u64,
    e: u64,
    a: u64,
    heat: String,
    rate: String,
    errors: String,
    denied: String,
    peak: String,
    typical: String,
    low: String,
    high: String,
    millis: String,
    routes: Vec<RouteData>,
}

#[derive(Serialize)]
struct RouteData {
    r: u32,
    n: u64,
    e: u64,
    a: u64,
    #[serde(rename = "in")]
    request_bytes: u64,
    out: u64,
    /// Mean milliseconds, and the 50th, 95th and 99th of a hundred.
    ms: [f64; 4],
    /// The same three over time.
    q: Option<[String; 3]>,
}

fn pair(pair: &Pair, bins: usize, coarse: usize, width: f64) -> PairData {
    let empty = Counts::default();
    let series = |read: &dyn Fn(&Counts) -> Option<f64>| {
        pack((0..bins).map(|i| read(pair.counts.get(i).unwrap_or(&empty))))
    };
    let a_second = |n: u32| Some(f64::from(n) / width);
    let usual = |which: usize| move |c: &Counts| c.usual().and_then(|u| u.get(which).copied());
    let sum = |of: fn(&Route) -> u64| pair.routes.iter().map(of).fold(0, u64::saturating_add);
    let mut routes: Vec<&Route> = pair.routes.iter().collect();
    routes.sort_by_key(|r| std::cmp::Reverse((r.requests, r.micros)));
    PairData {
        s: pair.source,
        d: pair.destination,
        n: pair.requests(),
        e: sum(|r| r.errors),
        a: sum(|r| r.denied),
        heat: pack(pair.heat.iter().take(HOURS).map(|n| Some(f64::from(*n)))),
        rate: series(&|c| a_second(c.requests)),
        errors: series(&|c| a_second(c.errors)),
        denied: series(&|c| a_second(c.denied)),
        peak: series(&|c| Some(f64::from(c.peak) / 60.0)),
        typical: series(&usual(0)),
        low: series(&usual(1)),
        high: series(&usual(2)),
        millis: series(&Counts::millis),
        routes: routes
            .iter()
            .enumerate()
            .map(|(rank, r)| route(r, (rank < TIMED_ROUTES).then_some(coarse)))
            .collect(),
    }
}

fn route(route: &Route, bins: Option<usize>) -> RouteData {
    const SHARES: [f64; 3] = [0.5, 0.95, 0.99];
    let all = route.all();
    let millis = |s: &Sketch, q: f64| s.quantile(q).map(|us| us / 1000.0);
    let mean = route.micros as f64 / 1000.0 / (route.served as f64).max(1.0);
    let [p50, p95, p99] = SHARES.map(|q| round(millis(&all, q).unwrap_or(0.0)));
    let durations = route
        .durations
        .as_ref()
        .filter(|_| route.micros > 0)
        .zip(bins);
    RouteData {
        r: route.name,
        n: route.requests,
        e: route.errors,
        a: route.denied,
        request_bytes: route.request_bytes,
        out: route.response_bytes,
        ms: [round(mean), p50, p95, p99],
        q: durations.map(|(d, bins)| {
            SHARES.map(|q| pack((0..bins).map(|i| d.get(i).and_then(|s| millis(s, q)))))
        }),
    }
}

/// Four digits that matter.
fn round(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powf(3.0 - x.log10().floor());
    (x * scale).round() / scale
}

/// The letters of a packed series, 64 of them.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Steps an octave, …
const STEPS: f64 = 64.0;
/// … from 2 to the minus this on: a request in twelve days.
const SMALLEST: f64 = 20.0;
/// Nothing is known.
const NOTHING: u16 = 4095;

/// Values as two letters each: 0 is `AA`, nothing is `__`, else 64 steps an octave. Series end at the last that is not
/// nothing or 0.
fn pack(values: impl Iterator<Item = Option<f64>>) -> String {
    let mut out = String::new();
    let mut end = 0;
    for value in values {
        let code = match value {
            None => NOTHING,
            Some(v) if v <= 0.0 || v.is_nan() => 0,
            Some(v) => ((v.log2() + SMALLEST) * STEPS)
                .round()
                .clamp(1.0, f64::from(NOTHING) - 1.0) as u16,
        };
        for digit in [code >> 6, code & 63] {
            let letter = LETTERS.get(usize::from(digit)).copied().unwrap_or(b'A');
            out.push(char::from(letter));
        }
        if value.is_some_and(|v| v > 0.0) {
            end = out.len();
        }
    }
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the page reads it.
    fn unpack(text: &str) -> Vec<Option<f64>> {
        let digit = |b: u8| LETTERS.iter().position(|l| *l == b).unwrap() as f64;
        let codes = text
            .as_bytes()
            .chunks(2)
            .map(|c| digit(c[0]) * 64.0 + digit(c[1]));
        codes
            .map(|code| match code {
                4095.0 => None,
                0.0 => Some(0.0),
                code => Some((code / STEPS - SMALLEST).exp2()),
            })
            .collect()
    }

    #[test]
    fn a_packed_series_is_read_back_within_a_percent() {
        let values = [
            Some(0.0),
            None,
            Some(1e-4),
            Some(0.7),
            Some(1.0),
            Some(123_456.7),
        ];
        for (got, want) in unpack(&pack(values.into_iter())).into_iter().zip(values) {
            match (got, want) {
                (Some(got), Some(want)) if want > 0.0 => assert!((got / want - 1.0).abs() < 0.006),
                _ => assert_eq!(got, want),
            }
        }
        assert_eq!(
            pack([None, Some(0.0)].into_iter()),
            "",
            "nothing is worth no letters"
        );
    }

    #[test]
    fn nothing_in_the_data_can_end_its_script_element() {
        let text = embedded(&json!({"path": "</script><script>alert(1)</script><!--"}));
        assert!(!text.contains('<'), "{text}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["path"], "</script><script>alert(1)</script><!--");
    }
}
