//! A clock that jumps by an hour, in a host that holds it: what is alive goes on, nothing waits for a time that is gone or to come.
//! On a real Envoy: tests/faults.rs. What windows, evidence and identities make of a jump is the engine's, and tested there.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod common;

use common::evaluate;
use pairwatch_testbed::paths;
use pairwatch_wasm_host::{Exchange, Host, Plugin, Root, Vm};
use std::time::Duration;

/// Requests of each worker in a second.
const PER_SECOND: u64 = 6;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Forth and back, and back and forth.
#[derive(Clone, Copy, Debug)]
enum Jump {
    Forward,
    Backward,
}

const BOTH: [Jump; 2] = [Jump::Forward, Jump::Backward];

/// Two workers and the main thread's clone, which leads.
struct Proxy {
    host: Host,
    vms: Vec<(Vm, Root)>,
    sent: u64,
}

impl Proxy {
    /// One that knows what is usual.
    fn start() -> Self {
        let host = Host::new();
        host.evaluate_expressions(evaluate);
        host.set_now(Duration::from_secs(1_795_168_800));
        let module = host.load(paths::plugin_module().unwrap()).unwrap();
        let config = r#"{"windows":["4s","20s"],"learning":{"warmup":"20s"},"alerts":{"resolve_after":"20s"},"names":{"trusted_source_header":"x-source"}}"#;
        let vms = (0..3).map(|_| {
            let mut vm = module.vm().unwrap();
            let root = vm.root(&Plugin::configured(config)).unwrap();
            (vm, root)
        });
        let vms = vms.collect();
        let mut proxy = Self { host, vms, sent: 0 };
        proxy.tick_only(2);
        proxy.seconds(60, 200);
        proxy
    }

    fn tick_only(&mut self, vm: usize) {
        let (vm, root) = &mut self.vms[vm];
        vm.tick(*root).unwrap();
    }

    /// Requests to each worker each second.
    fn seconds(&mut self, count: usize, status: u16) {
        for _ in 0..count {
            for (vm, root) in &mut self.vms[..2] {
                for _ in 0..PER_SECOND {
                    let exchange = Exchange::new("POST", "/login", status)
                        .request_header("x-source", "shop/web")
                        .property(["connection", "id"], 1u64)
                        .property(["request", "duration"], Duration::from_millis(20))
                        .property(["xds", "cluster_name"], "accounts");
                    vm.exchange(*root, &exchange).unwrap();
                    self.sent += 1;
                }
            }
            self.host.advance(SECOND);
            for (vm, root) in &mut self.vms {
                vm.tick(*root).unwrap();
            }
        }
    }

    fn jump(&self, jump: Jump) {
        match jump {
            Jump::Forward => self.host.advance(HOUR),
            Jump::Backward => self.host.set_now(self.host.now() - HOUR),
        }
    }

    fn counter(&self, name: &str) -> u64 {
        self.host.counter(name).unwrap_or(0)
    }

    fn merged(&self) -> u64 {
        self.counter("pairwatch_requests_merged_total")
    }

    fn alerts(&self) -> Vec<String> {
        let lines = self.host.logs().into_iter().map(|l| l.message);
        lines
            .filter(|m| m.starts_with(r#"{"pairwatch":"alert""#))
            .collect()
    }
}

#[test]
fn whichever_way_the_clock_jumps_nothing_is_told_and_everything_is_counted() {
    for jumps in [
        vec![Jump::Forward],
        vec![Jump::Backward],
        vec![Jump::Forward, Jump::Backward],
        vec![Jump::Backward, Jump::Forward],
    ] {
        let mut proxy = Proxy::start();
        for jump in &jumps {
            proxy.jump(*jump);
            proxy.seconds(20, 200);
        }
        // What the last second brought is still on its way.
        proxy.seconds(3, 200);
        assert_eq!(proxy.alerts(), Vec::<String>::new(), "{jumps:?}");
        assert!(
            proxy.merged() + 2 * 2 * PER_SECOND >= proxy.sent,
            "{jumps:?}: {} of {}",
            proxy.merged(),
            proxy.sent
        );
        assert_eq!(proxy.counter("pairwatch_dropped_total"), 0, "{jumps:?}");
        assert_eq!(
            proxy.host.gauge("pairwatch_aggregator_up"),
            Some(1),
            "{jumps:?}"
        );
    }
}

#[test]
fn after_a_jump_what_is_odd_is_told_of_as_soon_as_before_it() {
    for jump in BOTH {
        let mut proxy = Proxy::start();
        proxy.jump(jump);
        proxy.seconds(10, 200);
        proxy.seconds(12, 401);
        assert!(
            !proxy.alerts().is_empty(),
            "{jump:?}: refused log-ins for twelve seconds"
        );
    }
}

#[test]
fn an_incident_that_is_open_at_a_jump_ends_as_itself_and_no_other_begins() {
    for jump in BOTH {
        let mut proxy = Proxy::start();
        proxy.seconds(10, 401);
        let told = proxy.alerts();
        let id = told[0].split(r#""id":""#).nth(1).unwrap();
        let id = id.split('"').next().unwrap().to_owned();
        proxy.jump(jump);
        proxy.seconds(60, 200);
        let more = proxy.alerts().split_off(told.len());
        assert!(more.iter().all(|a| a.contains(&id)), "{jump:?}: {more:?}");
        let last = more.last().map(String::as_str).unwrap_or_default();
        assert!(last.contains(r#""state":"resolved""#), "{jump:?}: {more:?}");
    }
}

#[test]
fn a_leader_that_dies_when_the_clock_jumps_is_replaced_as_soon_as_otherwise() {
    for jump in BOTH {
        let mut proxy = Proxy::start();
        // The main thread's VM is gone; only workers are left, which leave the lease to others for a while.
        proxy.vms.pop();
        proxy.jump(jump);
        proxy.seconds(12, 200);
        assert_eq!(proxy.counter("pairwatch_elections_total"), 2, "{jump:?}");
        assert!(
            proxy.merged() + 2 * 2 * PER_SECOND >= proxy.sent,
            "{jump:?}: {} of {}",
            proxy.merged(),
            proxy.sent
        );
    }
}
