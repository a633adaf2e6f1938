//! What is measured, on the way from a request to what is kept of it.

use crate::callgrind;
use crate::meter::Meter;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::{Batch, Counters};
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::exchange::route::Template;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::limits::Limits;
use pairwatch_engine::verdicts::Rulebook;
use std::net::IpAddr;

/// One operation: its name says what a unit is.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Meter),
}

/// In the order in which they happen.
pub(crate) fn all() -> [Operation; 12] {
    [
        Operation {
            name: "a path made a template",
            run: template,
        },
        Operation {
            name: "an exchange counted and judged, 100 pairs",
            run: exchange,
        },
        Operation {
            name: "the same, of ten identities a pair between two batches",
            run: of_an_identity,
        },
        Operation {
            name: "an inline verdict by headers, 100 pairs",
            run: verdict,
        },
        Operation {
            name: "a batch drained and encoded, a pair of 100",
            run: encode,
        },
        Operation {
            name: "a batch decoded, a pair of 100",
            run: decode,
        },
        Operation {
            name: "a batch merged, a pair of 10,000",
            run: merge,
        },
        Operation {
            name: "a window closed, a pair of 10,000",
            run: close,
        },
        Operation {
            name: "limits made and encoded, a pair of 10,000",
            run: limits,
        },
        Operation {
            name: "limits decoded and applied, a pair of 10,000",
            run: apply,
        },
        Operation {
            name: "a snapshot taken, a pair of 10,000",
            run: snapshot,
        },
        Operation {
            name: "a snapshot restored, a pair of 10,000",
            run: restore,
        },
    ]
}

/// Pairs of a mesh that is large for one proxy. Instructions a pair do not depend on how many there are, and are counted slowly.
fn many() -> usize {
    if callgrind::wanted().is_some() {
        1_000
    } else {
        10_000
    }
}

fn sources(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("demo/source-{i}")).collect()
}

/// Enough that few are met twice in a round.
fn paths() -> Vec<String> {
    (0..1_000)
        .map(|i| format!("/products/{i}/reviews?page={i}"))
        .collect()
}

fn of<'a>(source: &'a str, path: &'a str) -> Exchange<'a> {
    Exchange {
        source,
        destination: "demo/catalog",
        identity: None,
        address: None,
        method: b"GET",
        path: path.as_bytes(),
        status: 200,
        grpc_status: None,
        request_bytes: 120,
        response_bytes: 5_000,
        duration_us: 12_000,
    }
}

fn config(pairs: usize) -> Config {
    // The most that may be held: so many pairs' counts stay within it.
    let text = format!(r#"{{"limits":{{"pairs":{pairs},"hold_bytes":67108864}}}}"#);
    Config::from_json(text.as_bytes()).unwrap()
}

fn counters(pairs: usize) -> Counters {
    let caps = config(pairs).limits;
    Counters::new(
        caps.pairs,
        caps.routes_per_pair,
        caps.hold_bytes,
        1,
        Time(0),
    )
}

/// A worker and an aggregator that know so many pairs, all of which have traffic over one to four routes in each window.
struct Mesh {
    counters: Counters,
    aggregator: Aggregator,
    sources: Vec<String>,
    paths: Vec<String>,
    window: u64,
}

impl Mesh {
    fn of(pairs: usize) -> Self {
        Self {
            counters: counters(pairs),
            aggregator: Aggregator::new(config(pairs), 1, Time(0)),
            sources: sources(pairs),
            paths: paths(),
            window: 0,
        }
    }

    /// A window's traffic, as one batch.
    fn traffic(&mut self) -> (Batch, Time) {
        self.window += 1;
        let now = Time(self.window * 10_000);
        for (i, source) in self.sources.iter().enumerate() {
            for path in &self.paths[..=i % 4] {
                self.counters.observe(&of(source, path));
            }
        }
        (self.counters.drain(now).unwrap(), now)
    }

    /// When the window that ends `now` is closed.
    fn due(now: Time) -> Time {
        Time(now.0 + 1_600)
    }

    /// A whole window.
    fn pass(&mut self) -> Time {
        let (batch, now) = self.traffic();
        self.aggregator.merge(batch, now);
        self.aggregator.advance(Self::due(now));
        Self::due(now)
    }

    /// After so many windows that all signals are known and the first of the longest is over.
    fn settled(pairs: usize) -> Self {
        let mut mesh = Self::of(pairs);
        for _ in 0..70 {
            mesh.pass();
        }
        mesh
    }
}

fn template(meter: &mut Meter) {
    let paths = paths();
    while meter.again() {
        meter.measure(paths.len() as u64, || {
            let templates = paths
                .iter()
                .map(|path| Template::of(b"GET", path.as_bytes()));
            templates.map(|t| t.as_str().len()).sum::<usize>()
        });
    }
}

fn exchange(meter: &mut Meter) {
    let (sources, paths) = (sources(100), paths());
    let mut counters = counters(2_000);
    while meter.again() {
        meter.measure(paths.len() as u64, || {
            for (i, path) in paths.iter().enumerate() {
                counters.observe(&of(&sources[i % 100], path));
            }
        });
    }
}

fn of_an_identity(meter: &mut Meter) {
    let (sources, paths) = (sources(100), paths());
    let users: Vec<String> = (0..1_000)
        .map(|i| format!("user-{i}@example.com"))
        .collect();
    let address = Some(IpAddr::from([203, 0, 113, 7]));
    let mut counters = counters(2_000);
    let mut now = 0;
    while meter.again() {
        meter.measure(paths.len() as u64, || {
            for (i, path) in paths.iter().enumerate() {
                counters.observe(&Exchange {
                    identity: Some(&users[i]),
                    address,
                    ..of(&sources[i % 100], path)
                });
            }
        });
        now += 1_000;
        counters.drain(Time(now));
    }
}

fn verdict(meter: &mut Meter) {
    let mut mesh = Mesh::settled(100);
    let now = mesh.pass();
    mesh.counters.tick(now);
    mesh.counters.apply(&mesh.aggregator.limits(now));
    let rules = Rulebook::default();
    while meter.again() {
        meter.measure(mesh.paths.len() as u64, || {
            for (i, path) in mesh.paths.iter().enumerate() {
                let exchange = of(&mesh.sources[i % 100], path);
                std::hint::black_box(mesh.counters.foresee(&exchange, &rules));
            }
        });
    }
}

fn encode(meter: &mut Meter) {
    let mut mesh = Mesh::of(100);
    let mut now = 0;
    while meter.again() {
        for (i, source) in mesh.sources.iter().enumerate() {
            mesh.counters.observe(&of(source, &mesh.paths[i]));
        }
        now += 1_000;
        meter.measure(100, || mesh.counters.drain(Time(now)).unwrap().to_frame());
    }
}

fn decode(meter: &mut Meter) {
    let mut mesh = Mesh::of(100);
    for (i, source) in mesh.sources.iter().enumerate() {
        mesh.counters.observe(&of(source, &mesh.paths[i]));
    }
    let frame = mesh.counters.drain(Time(1_000)).unwrap().to_frame();
    while meter.again() {
        meter.measure(100, || Batch::from_frame(&frame).unwrap());
    }
}

fn merge(meter: &mut Meter) {
    let mut mesh = Mesh::settled(many());
    while meter.again() {
        let (batch, now) = mesh.traffic();
        meter.measure(many() as u64, || mesh.aggregator.merge(batch, now));
        mesh.aggregator.advance(Mesh::due(now));
    }
}

fn close(meter: &mut Meter) {
    let mut mesh = Mesh::settled(many());
    while meter.again() {
        let (batch, now) = mesh.traffic();
        mesh.aggregator.merge(batch, now);
        meter.measure(many() as u64, || mesh.aggregator.advance(Mesh::due(now)));
    }
}

fn limits(meter: &mut Meter) {
    let mut mesh = Mesh::settled(many());
    let now = mesh.pass();
    while meter.again() {
        meter.measure(many() as u64, || mesh.aggregator.limits(now).to_frame());
    }
}

fn apply(meter: &mut Meter) {
    let mut mesh = Mesh::settled(many());
    let now = mesh.pass();
    let frame = mesh.aggregator.limits(now).to_frame();
    while meter.again() {
        meter.measure(many() as u64, || {
            mesh.counters.apply(&Limits::from_frame(&frame).unwrap());
        });
    }
}

fn snapshot(meter: &mut Meter) {
    let mesh = Mesh::settled(many());
    while meter.again() {
        meter.measure(many() as u64, || mesh.aggregator.snapshot(0));
    }
}

fn restore(meter: &mut Meter) {
    let bytes = Mesh::settled(many()).aggregator.snapshot(0);
    while meter.again() {
        let config = config(many());
        meter.measure(many() as u64, || {
            Aggregator::restore(config, 1, &bytes, Time(100_000)).unwrap()
        });
    }
}

/// What a snapshot takes for each pair.
pub(crate) fn snapshot_bytes() -> usize {
    Mesh::settled(many()).aggregator.snapshot(0).len() / many()
}
