//! A proxy of one worker in the counting host: its VM, and the main thread's clone, which leads.

use super::common::evaluate;
use pairwatch_testbed::paths;
use pairwatch_wasm_host::{Counts, Exchange, Host, Module, Plugin, Root, Vm};
use std::time::Duration;

/// 2026-11-20 10:00:00.4 UTC: early in a window of any length that is tested.
const START: Duration = Duration::from_millis(1_795_168_800_400);

/// A VM and the root context whose configuration is in force.
pub(crate) struct Running {
    pub(crate) vm: Vm,
    pub(crate) root: Root,
}

pub(crate) struct Proxy {
    pub(crate) host: Host,
    pub(crate) worker: Running,
    pub(crate) leader: Running,
}

impl Proxy {
    pub(crate) fn start(config: &str) -> Self {
        let host = Host::new();
        host.evaluate_expressions(evaluate);
        host.set_now(START);
        let module = host.load(paths::plugin_module().unwrap()).unwrap();
        let (worker, mut leader) = (running(&module, config), running(&module, config));
        // It claims at its first tick, and leads from the second on.
        leader.tick();
        Self {
            host,
            worker,
            leader,
        }
    }

    /// Traffic, and the ticks at the end of its second: first the worker's, which sends, then the leader's.
    pub(crate) fn second(&mut self, exchanges: impl IntoIterator<Item = Exchange>) -> Ticks {
        for exchange in exchanges {
            self.worker.exchange(&exchange);
        }
        self.host.advance(Duration::from_secs(1));
        Ticks {
            worker: self.worker.tick(),
            leader: self.leader.tick(),
        }
    }
}

/// What the ticks of one second took.
#[allow(dead_code, reason = "not every test that has a proxy asks")]
pub(crate) struct Ticks {
    pub(crate) worker: Counts,
    pub(crate) leader: Counts,
}

fn running(module: &Module, config: &str) -> Running {
    let mut vm = module.vm().unwrap();
    let root = vm.root(&Plugin::configured(config)).unwrap();
    Running { vm, root }
}

impl Running {
    /// Counts one exchange, and says what it took.
    pub(crate) fn exchange(&mut self, exchange: &Exchange) -> Counts {
        let before = self.vm.counts();
        self.vm.exchange(self.root, exchange).unwrap();
        self.vm.counts().since(&before)
    }

    /// Ticks, and says what it took.
    pub(crate) fn tick(&mut self) -> Counts {
        let before = self.vm.counts();
        self.vm.tick(self.root).unwrap();
        self.vm.counts().since(&before)
    }
}

/// A `GET` with the headers a browser's request has behind a gateway, from one of many sources. All sources' requests have the
/// same length, so that they cost the same.
pub(crate) fn get(source: usize, item: usize, connection: u64) -> Exchange {
    Exchange::new("GET", &format!("/products/{item:03}"), 200)
        .request_header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)")
        .request_header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .request_header("accept-encoding", "gzip, deflate, br")
        .request_header("x-forwarded-for", "203.0.113.5")
        .request_header("x-forwarded-proto", "https")
        .request_header("x-request-id", "0b6a7a1e-5f0c-4d5e-9b62-2f6d1f5c9a11")
        .request_header("x-source", format!("shop/source-{source:04}"))
        .response_header("content-type", "text/html")
        .property(["connection", "id"], connection)
        .property(["request", "size"], 0i64)
        .property(["response", "size"], 5_000i64)
        .property(["request", "duration"], Duration::from_millis(20))
        .property(["source", "address"], "203.0.113.5:40000")
        .property(["xds", "cluster_name"], "shop")
}
