//! The cases of `tests/cases/`, through the engine: natively and, by wasm-bindgen-test, on wasm32.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_cases::{Case, Request};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::verdicts::Rulebook;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 2026-11-20 10:00:00.4 UTC: workers' seconds are not the clock's.
const START: u64 = 1_795_168_800_400;

struct Run {
    config: Config,
    workers: Vec<Counters>,
    aggregator: Aggregator,
    alerts: Vec<Alert>,
    /// Whether the aggregator is replaced by its own snapshot each minute.
    dies: bool,
    rules: Rulebook,
}

impl Run {
    fn new(case: &Case, workers: usize, dies: bool) -> Self {
        let config = Config::from_json(case.config.to_string().as_bytes()).unwrap();
        let caps = config.limits;
        Self {
            workers: (0..workers)
                .map(|i| {
                    Counters::new(
                        caps.pairs,
                        caps.routes_per_pair,
                        caps.hold_bytes,
                        i as u64,
                        Time(START),
                    )
                })
                .collect(),
            aggregator: Aggregator::new(config.clone(), 7, Time(START)),
            rules: Rulebook::new(&config.rules),
            config,
            alerts: Vec::new(),
            dies,
        }
    }

    fn second(&mut self, second: u64, requests: &[Request]) {
        let count = self.workers.len();
        for (i, r) in requests.iter().enumerate() {
            let exchange = Exchange {
                source: &r.source,
                destination: &r.destination,
                identity: r.identity.as_deref(),
                address: r.address,
                method: r.method.as_bytes(),
                path: r.path.as_bytes(),
                status: r.status,
                grpc_status: None,
                request_bytes: 0,
                response_bytes: r.bytes,
                duration_us: r.duration_us,
            };
            self.workers[i % count].judge(&exchange, &self.rules);
        }
        let now = Time(START + (second + 1) * 1000);
        for worker in &mut self.workers {
            if let Some(batch) = worker.drain(now) {
                self.aggregator.merge(batch, now);
            }
        }
        self.aggregator.advance(now);
        let limits = self.aggregator.limits(now);
        for worker in &mut self.workers {
            worker.tick(now);
            worker.apply(&limits);
        }
        self.alerts.extend(self.aggregator.drain_alerts());
        if self.dies && second % 60 == 59 {
            let bytes = self.aggregator.snapshot(0);
            self.aggregator = Aggregator::restore(self.config.clone(), 9, &bytes, now)
                .unwrap()
                .0;
        }
    }

    fn run(case: &Case, workers: usize, dies: bool) -> Vec<Alert> {
        let mut run = Self::new(case, workers, dies);
        let requests = case.requests();
        for second in 0..case.seconds {
            let of = requests.partition_point(|r| r.at < second * 1000)
                ..requests.partition_point(|r| r.at < (second + 1) * 1000);
            run.second(second, &requests[of]);
        }
        run.alerts
    }
}

fn check(text: &str, workers: usize, dies: bool) {
    let case = Case::from_json(text).unwrap();
    let lines: Vec<String> = Run::run(&case, workers, dies)
        .iter()
        .map(Alert::to_line)
        .collect();
    case.judge(START, lines.iter().map(String::as_str), 0)
        .unwrap();
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use super::*;
            #[cfg(target_arch = "wasm32")]
            use wasm_bindgen_test::wasm_bindgen_test as test;
            const TEXT: &str = include_str!(concat!("../../../tests/cases/", stringify!($name), ".json"));

            #[test]
            fn is_seen_by_one_worker() {
                check(TEXT, 1, false);
            }

            #[test]
            fn is_seen_over_four_workers() {
                check(TEXT, 4, false);
            }

            #[test]
            fn is_seen_by_an_aggregator_that_dies_each_minute() {
                check(TEXT, 2, true);
            }
        }
    )*};
}

pairwatch_cases::for_each!(cases);
pairwatch_cases::for_each_of_identities!(cases);

#[test]
fn the_alerts_do_not_depend_on_how_many_workers_share_the_traffic() {
    let case = Case::from_json(include_str!("../../../tests/cases/stuffing.json")).unwrap();
    let lines = |workers| -> Vec<String> {
        Run::run(&case, workers, false)
            .iter()
            .map(Alert::to_line)
            .collect()
    };
    assert_eq!(lines(1), lines(8));
}

#[test]
fn an_alert_line_begins_so_that_it_can_be_cut_from_a_log_and_is_json() {
    let case = Case::from_json(include_str!("../../../tests/cases/stuffing.json")).unwrap();
    for alert in Run::run(&case, 1, false) {
        let line = alert.to_line();
        assert!(
            line.starts_with(r#"{"pairwatch":"alert","version":1,"id":""#),
            "{line}"
        );
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(
            value["message"]
                .as_str()
                .unwrap()
                .contains("frontend → shop"),
            "{line}"
        );
        assert!((0.0..=1.0).contains(&value["maturity"].as_f64().unwrap()));
    }
}
