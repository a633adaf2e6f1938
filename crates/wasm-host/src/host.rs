//! What the VMs of one host share, and the test's hold on it.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::context::Context;
use crate::counts::Counts;
use crate::error::Error;
use crate::exchange::{Exchange, Headers};
use crate::metrics::{Ids, Kind, Metrics};
use crate::module::Module;
use crate::shared::{Data, Queues};

/// A moment that tests start at: 2026-01-05T00:00:00Z, a Monday.
const START: Duration = Duration::from_secs(1_767_571_200);

/// `info`, Envoy's default.
const INFO: u32 = 2;

/// A message that a module logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The number of the VM, in the order in which they were made.
    pub vm: usize,
    /// 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
    pub level: u32,
    /// The message; bytes that aren't UTF-8 are replaced.
    pub message: String,
}

/// An HTTP call that a module made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// The number of the VM.
    pub vm: usize,
    /// The root context that gets the answer.
    pub root: u32,
    /// What the answer refers to.
    pub token: u32,
    /// The cluster it goes to.
    pub cluster: String,
    /// The request's headers.
    pub headers: Headers,
    /// The request's body.
    pub body: Vec<u8>,
    /// How long the module is willing to wait.
    pub timeout: Duration,
}

/// The answer to an [`HttpCall`]. Without headers it tells of a failure: no connection, a reset, a time-out.
#[derive(Clone, Debug, Default)]
pub struct HttpAnswer {
    /// The response's headers, `:status` first.
    pub headers: Headers,
    /// The response's body.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// An answer of this status.
    #[must_use]
    pub fn status(status: u16, body: &[u8]) -> Self {
        Self {
            headers: vec![(b":status".to_vec(), status.to_string().into_bytes())],
            body: body.to_vec(),
        }
    }
}

type Evaluator = Rc<dyn Fn(&str, &Exchange) -> Option<Vec<u8>>>;

pub(crate) struct Shared {
    pub(crate) now: Duration,
    pub(crate) log_level: u32,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) data: Data,
    pub(crate) queues: Queues,
    pub(crate) metrics: Metrics,
    pub(crate) evaluator: Option<Evaluator>,
    pub(crate) clusters: BTreeSet<String>,
    pub(crate) calls: Vec<HttpCall>,
    pub(crate) counts: Vec<Counts>,
    /// Random bytes drawn, from a generator that begins anew with each host.
    pub(crate) drawn: u64,
}

impl Shared {
    /// The next random bytes: `SplitMix64` (S. Vigna, <https://prng.di.unimi.it/splitmix64.c>).
    pub(crate) fn random(&mut self, size: usize) -> Vec<u8> {
        let next = || {
            self.drawn = self.drawn.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (self.drawn ^ (self.drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)).to_le_bytes()
        };
        let words = size.div_ceil(8);
        let bytes = std::iter::repeat_with(next).take(words).flatten();
        bytes.take(size).collect()
    }
}

/// What a VM's host calls work on.
pub(crate) struct State {
    pub(crate) shared: Rc<RefCell<Shared>>,
    /// The VM's number.
    pub(crate) vm: usize,
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) contexts: BTreeMap<u32, Context>,
    /// The context called into; 0 when none is.
    pub(crate) current: u32,
    /// The context the module chose instead; 0 when none.
    pub(crate) effective: u32,
    pub(crate) initializing: bool,
    pub(crate) metrics: Ids,
    pub(crate) http_calls: u32,
}

impl State {
    pub(crate) fn shared(&self) -> RefMut<'_, Shared> {
        self.shared.borrow_mut()
    }

    pub(crate) fn count(&self, with: impl FnOnce(&mut Counts)) {
        if let Some(counts) = self.shared().counts.get_mut(self.vm) {
            with(counts);
        }
    }
}

/// A host: the clock, shared data, queues, metrics and logs of its VMs. Clones are the same host.
#[derive(Clone)]
pub struct Host {
    pub(crate) shared: Rc<RefCell<Shared>>,
}

impl Host {
    /// A host without VMs, at a fixed moment: 2026-01-05T00:00:00Z, a Monday.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            now: START,
            log_level: INFO,
            logs: Vec::new(),
            data: Data::default(),
            queues: Queues::default(),
            metrics: Metrics::default(),
            evaluator: None,
            clusters: BTreeSet::new(),
            calls: Vec::new(),
            counts: Vec::new(),
            drawn: 0,
        };
        Self {
            shared: Rc::new(RefCell::new(shared)),
        }
    }

    /// Compiles a module from a file.
    ///
    /// # Errors
    /// When the file can't be read, or is no module that Envoy would take.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Module, Error> {
        let path = path.as_ref().display();
        let wasm = std::fs::read(path.to_string())
            .map_err(|error| Error::load(format!("{path}: {error}")))?;
        Module::compile(self, &wasm).map_err(|error| Error::load(format!("{path}: {error}")))
    }

    /// Compiles a module.
    ///
    /// # Errors
    /// When it is no module that Envoy would take.
    pub fn compile(&self, wasm: &[u8]) -> Result<Module, Error> {
        Module::compile(self, wasm)
    }

    fn shared(&self) -> Ref<'_, Shared> {
        self.shared.borrow()
    }

    fn shared_mut(&self) -> RefMut<'_, Shared> {
        self.shared.borrow_mut()
    }

    /// The wall clock, since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared().now
    }

    /// Sets the wall clock, which may jump either way.
    pub fn set_now(&self, now: Duration) {
        self.shared_mut().now = now;
    }

    /// Moves the wall clock on.
    pub fn advance(&self, by: Duration) {
        let now = self.now().saturating_add(by);
        self.set_now(now);
    }

    /// What modules take the proxy's log level for; every message is kept whatever it is.
    pub fn set_log_level(&self, level: u32) {
        self.shared_mut().log_level = level;
    }

    /// All that was logged and not taken yet.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.shared().logs.clone()
    }

    /// Takes what was logged.
    #[must_use]
    pub fn take_logs(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.shared_mut().logs)
    }

    /// What evaluates expressions: it is given the expression's text and the exchange (an empty one outside of streams)
    /// and returns the encoded value ([`crate::Value::encode`]), or nothing for an expression that fails. Without one,
    /// the host has no expressions, like a proxy built without them.
    pub fn evaluate_expressions(
        &self,
        evaluator: impl Fn(&str, &Exchange) -> Option<Vec<u8>> + 'static,
    ) {
        self.shared_mut().evaluator = Some(Rc::new(evaluator));
    }

    /// Makes a cluster known to HTTP calls. A call to any other is refused.
    pub fn add_cluster(&self, name: &str) {
        self.shared_mut().clusters.insert(name.to_owned());
    }

    /// Takes the HTTP calls that modules made; [`crate::Vm::answer`] answers them.
    #[must_use]
    pub fn take_http_calls(&self) -> Vec<HttpCall> {
        std::mem::take(&mut self.shared_mut().calls)
    }

    /// A shared value.
    #[must_use]
    pub fn shared_data(&self, vm_id: &str, key: &str) -> Option<Vec<u8>> {
        self.shared()
            .data
            .get(vm_id, key.as_bytes())
            .ok()
            .map(|(value, _)| value)
    }

    /// Writes a shared value, as another plugin or an older version would have.
    pub fn set_shared_data(&self, vm_id: &str, key: &str, value: &[u8]) {
        // Written unconditionally, so it can't be refused.
        let _ = self.shared_mut().data.set(vm_id, key.as_bytes(), value, 0);
    }

    /// The keys of all shared values, sorted.
    #[must_use]
    pub fn shared_keys(&self, vm_id: &str) -> Vec<String> {
        let keys = self.shared().data.keys(vm_id);
        keys.iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    }

    /// What waits in a queue; nothing when there is no such queue.
    #[must_use]
    pub fn queue(&self, vm_id: &str, name: &str) -> Option<Vec<Vec<u8>>> {
        Some(
            self.shared()
                .queues
                .items(vm_id, name.as_bytes())?
                .iter()
                .cloned()
                .collect(),
        )
    }

    /// Puts an item into a queue, as a hostile or older plugin could. False when there is no such queue.
    pub fn enqueue(&self, vm_id: &str, name: &str, item: &[u8]) -> bool {
        let mut shared = self.shared_mut();
        let token = shared.queues.resolve(vm_id, name.as_bytes());
        token
            .and_then(|token| shared.queues.enqueue(token, item.to_vec()))
            .is_ok()
    }

    /// Deletes a queue, as the end of its owner's last VM does. False when there is no such queue.
    pub fn delete_queue(&self, vm_id: &str, name: &str) -> bool {
        self.shared_mut().queues.remove(vm_id, name.as_bytes())
    }

    /// A counter's value; nothing when it was never defined.
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.shared()
            .metrics
            .value(Kind::Counter, name.as_bytes())
            .ok()
    }

    /// A gauge's value; nothing when it was never defined.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Option<u64> {
        self.shared()
            .metrics
            .value(Kind::Gauge, name.as_bytes())
            .ok()
    }

    /// What was recorded in a histogram.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Vec<u64> {
        self.shared().metrics.recorded(name.as_bytes()).to_vec()
    }

    /// The names of all metrics, sorted within each kind.
    #[must_use]
    pub fn metric_names(&self) -> Vec<String> {
        self.shared()
            .metrics
            .names()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    /// The counts of all VMs together, also of those that are gone, whose memory no longer counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.shared()
            .counts
            .iter()
            .for_each(|counts| sum.add(counts));
        sum
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}
