//! What is usual for each pair, for whoever looks on: a report, a console; and what memory a configuration allows. Reads,
//! and changes nothing.

use super::Aggregator;
use super::pair::Pair;
use crate::baselines::rate::Exposure;
use crate::config::Config;
use crate::counters::millis_at;
use crate::signals::{Context, SIGNALS};
use crate::windows::Window;

/// What is usual for a pair now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual<'a> {
    /// Who calls.
    pub source: &'a str,
    /// What is called.
    pub destination: &'a str,
    /// Requests a second.
    pub rate: f64,
    /// Where 98 of 100 usual windows lie, in the same.
    pub band: [f64; 2],
    /// Milliseconds a served request takes, over all routes; `None` before one is known.
    pub millis: Option<f64>,
    /// How well the rate is known, 0 to 1.
    pub maturity: f64,
}

impl Aggregator {
    /// What is usual for each pair, in windows of the length at this place of `windows`. Nothing where there is none.
    pub fn usual(&self, level: usize) -> impl Iterator<Item = Usual<'_>> {
        let length = self.config.windows.get(level).map(|w| w.duration());
        self.pairs.iter().filter_map(move |entry| {
            let (length, rate) = (length?, SIGNALS.first()?);
            let pair = &entry.value;
            let (model, _) = pair.level(level)?.signal(0)?;
            let pool = self.pools.get(level)?.first()?;
            let context = Context {
                whole: true,
                exposure: Exposure {
                    time: pair.season_factor(),
                    given: [None, None],
                    before: None,
                    recurring: None,
                },
                long_run: pair.long_run(length),
                length,
                memory: self.config.learning.memory.duration(),
            };
            let known = rate.known(&pool.model, context.long_run);
            let nothing = Window::default();
            let judged = rate.judge(model, &known, &nothing, &context)?;
            let typical = rate.effect(&judged.high, length, length).typical;
            Some(Usual {
                source: &entry.source,
                destination: &entry.destination,
                rate: typical,
                band: rate.band(model, &known, &nothing, typical, &context)?,
                millis: entry.value.usual_octaves().map(millis_at),
                maturity: rate.maturity(model),
            })
        })
    }
}

/// The most memory a configuration allows, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// A worker's counters, in each VM that serves requests.
    pub counters: usize,
    /// One pair's baselines in the aggregator, with all its routes.
    pub pair: usize,
    /// All pairs' baselines.
    pub baselines: usize,
    /// Linear memory of a worker's VM once all pairs are known with all their routes.
    pub worker_vm: usize,
    /// The same of the aggregator's, with the copies it makes to hand on what it knows.
    pub aggregator_vm: usize,
}

/// Linear memory of the built module's VM, in bytes: measured, and held by the plugin's test of sizing.
#[derive(Clone, Copy, Debug)]
pub struct Vm {
    /// Before the first request.
    pub base: usize,
    /// What each pair adds.
    pub pair: usize,
    /// What each route of a pair adds.
    pub route: usize,
}

/// Of a worker. Batches may take `limits.hold_bytes` more, where many pairs are asked for all
/// of their routes within a second.
pub const WORKER_VM: Vm = Vm {
    base: 1434 << 10,
    pair: 1331,
    route: 35,
};
/// Of the aggregator.
pub const AGGREGATOR_VM: Vm = Vm {
    base: 1741 << 10,
    pair: 18 << 10,
    route: 717,
};

impl Vm {
    /// What it takes with so many pairs of so many routes each.
    pub fn bytes(&self, pairs: usize, routes: usize) -> usize {
        let pair = self.pair.saturating_add(self.route.saturating_mul(routes));
        self.base.saturating_add(pair.saturating_mul(pairs))
    }
}

impl Memory {
    /// The most that `config` allows. For the aggregator that is
    ///
    /// ```text
    /// pairs × (names + pair + windows × (window + signals × model) + routes × (route + template))
    /// ```
    ///
    /// with names of 64 bytes and templates of 48, which are long ones.
    pub fn of(config: &Config) -> Self {
        /// Bytes of source and destination together, each in a box with its length, and the place in the index.
        const NAMES: usize = 2 * (64 + 16) + 16;
        /// Bytes of a long route template.
        const TEMPLATE: usize = 48;
        let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let caps = config.limits;
        let (pairs, routes) = (size(caps.pairs), size(caps.routes_per_pair));
        let pair = Pair::bytes(config.windows.len(), routes, TEMPLATE).saturating_add(NAMES);
        Self {
            worker_vm: WORKER_VM.bytes(pairs, routes),
            aggregator_vm: AGGREGATOR_VM.bytes(pairs, routes),
            counters: size(caps.hold_bytes),
            pair,
            baselines: pair.saturating_mul(pairs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use crate::Time;
    use crate::aggregator::Aggregator;
    use crate::config::Config;
    use crate::counters::Counters;
    use crate::exchange::Exchange;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_a_pair_always_does_is_its_usual() {
        let config = Config::default();
        let mut counters = Counters::new(10, 8, 1 << 20, 1, Time(0));
        let mut engine = Aggregator::new(config, 1, Time(0));
        for second in 1..=3600u64 {
            let now = Time(second * 1000);
            counters.observe(&Exchange {
                source: "a",
                destination: "b",
                identity: None,
                address: None,
                method: b"GET",
                path: b"/",
                status: 200,
                grpc_status: None,
                request_bytes: 0,
                response_bytes: 0,
                duration_us: 20_000,
            });
            engine.merge(counters.drain(now).unwrap(), now);
            engine.advance(now);
        }
        for level in 0..3 {
            let usual: Vec<_> = engine.usual(level).collect();
            assert_eq!(usual.len(), 1);
            let pair = usual[0];
            assert!((pair.rate - 1.0).abs() < 0.2, "{pair:?}");
            assert!(
                pair.band[0] < pair.rate && pair.rate < pair.band[1],
                "{pair:?}"
            );
            assert!(
                pair.millis.is_some_and(|ms| (ms - 20.0).abs() < 1.0),
                "{pair:?}"
            );
        }
        assert_eq!(engine.usual(3).count(), 0, "there is no fourth window");
    }

    #[test]
    fn what_is_learned_is_no_larger_than_what_the_configuration_allows() {
        let config = Config::from_json(br#"{"limits":{"pairs":100,"routes_per_pair":8}}"#).unwrap();
        let memory = Memory::of(&config);
        let mut counters = Counters::new(100, 8, 1 << 20, 1, Time(0));
        let mut engine = Aggregator::new(config, 1, Time(0));
        for i in 0..2000u64 {
            counters.observe(&Exchange {
                source: &format!("namespace-{}/account", i % 100),
                destination: "a-service.of-some-length.svc.cluster.local",
                identity: None,
                address: None,
                method: b"GET",
                path: format!("/a/path/of-usual/length-{}x", i / 100).as_bytes(),
                status: 200,
                grpc_status: None,
                request_bytes: 0,
                response_bytes: 0,
                duration_us: 20_000,
            });
        }
        let now = Time(1000);
        engine.merge(counters.drain(now).unwrap(), now);
        engine.advance(Time(20_000));
        let learned = engine.snapshot(0).len();
        assert!(
            learned < memory.baselines && memory.baselines == 100 * memory.pair,
            "{learned} of {memory:?}"
        );
        assert_eq!(memory.counters, 1 << 20);
    }
}
