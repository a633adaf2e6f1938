//! What one VM keeps: its counters, its place in the election, and the leader if it is the one.
//!
//! A VM may hold several roots. A configuration update makes a new one beside the old, which lives until its last stream
//! ends; a bootstrap aggregator shares the main thread's VM with the filters' clone. So that the VM's once-a-second work
//! is done once, one root *drives*: the aggregator's if there is one, otherwise the one configured last. Its
//! configuration is the VM's.

use crate::election::{Election, Standing};
use crate::host;
use crate::leader::Leader;
use crate::metrics::{self, FilterMetrics};
use crate::root::{Early, Filter, TICK};
use pairwatch_engine::Time;
use pairwatch_engine::alerts::Kind;
use pairwatch_engine::config::{Caps, Config, Mode, Role};
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::exchange::route::Template;
use pairwatch_engine::exchange::version::Version;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::lease::Rank;
use pairwatch_engine::limits::Limits;
use pairwatch_engine::verdicts::{Gate, Judgement, Line, Phase, Ruling, State};
use proxy_wasm::types::LogLevel;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// The queue on which counts are sent.
const QUEUE: &str = "pairwatch.deltas";
/// Where limits are published.
pub(crate) const LIMITS: &str = "pairwatch.limits";

/// Verdict lines a VM writes between two ticks: enough to see what is refused, too few to fill a disk by sending requests.
const LINES: u32 = 10;

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm::default());
}

/// This VM.
pub(crate) fn with<T: Default>(then: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with(|vm| {
        vm.try_borrow_mut()
            .map_or_else(|_| T::default(), |mut vm| then(&mut vm))
    })
}

#[derive(Debug, Default)]
pub(crate) struct Vm {
    /// Living roots, in the order they were configured.
    roots: Vec<(u32, Config)>,
    counters: Option<Counters>,
    election: Option<Election>,
    leader: Option<Leader>,
    metrics: Option<FilterMetrics>,
    queue: Option<u32>,
    /// Version of the limits last applied.
    limits: u64,
    seen: u64,
    flagged: u64,
    /// Flagged requests by what they look like and what became of them.
    verdicts: BTreeMap<(Kind, State), u64>,
    lines: u32,
    unlogged: u64,
    gate: Gate,
    /// Time of the last tick.
    now: Time,
    unread: u64,
    has_streams: bool,
    /// The caps the counters were made with.
    caps: Option<Caps>,
}

impl Vm {
    /// Takes in a root that was configured. Leaves no trace outside the VM.
    pub(crate) fn attach(&mut self, root: u32, config: Config) {
        self.detach(root);
        self.roots.push((root, config));
        if let Some((_, config)) = self.driver() {
            let config = config.clone();
            if let Some(leader) = &mut self.leader {
                leader.reconfigure(config);
            }
        }
    }

    /// Lets go of a root that is gone.
    pub(crate) fn detach(&mut self, root: u32) {
        self.roots.retain(|(id, _)| *id != root);
    }

    /// How long until the VM's next tick is due; one that never ticked takes its time.
    pub(crate) fn until_tick(&self) -> Duration {
        if self.now == Time::default() {
            return TICK;
        }
        TICK.saturating_sub(host::now().since(self.now))
    }

    /// The root whose ticks and configuration are the VM's.
    fn driver(&self) -> Option<&(u32, Config)> {
        self.roots
            .iter()
            .rfind(|(_, c)| c.role == Role::Aggregator)
            .or(self.roots.last())
    }

    /// Judges a request by its headers.
    pub(crate) fn foresee(&mut self, exchange: &Exchange<'_>, filter: &Filter) -> Option<Ruling> {
        let now = self.time();
        let judgement = match filter.mode {
            Mode::Stateless => filter.rules.alone(exchange, Phase::Request, now),
            Mode::Stateful => self
                .counters()
                .map_or_else(Judgement::default, |c| c.foresee(exchange, &filter.rules)),
        };
        let ruling = self.gate.pass(&filter.policy, exchange, &judgement, now)?;
        self.note(&ruling, exchange, filter);
        Some(ruling)
    }

    /// Counts an exchange. Returns what its end shows where nothing was held against it before.
    pub(crate) fn observe(
        &mut self,
        exchange: &Exchange<'_>,
        version: Version,
        filter: &Filter,
        early: Option<Early>,
    ) -> Option<Ruling> {
        self.has_streams = true;
        self.seen = self.seen.saturating_add(1);
        let now = self.time();
        let early = early.unwrap_or(Early {
            score: 0,
            refused: false,
        });
        // That we refused it is no failure of the caller, or each refusal would be a reason for the next.
        let refused = Exchange {
            status: 0,
            grpc_status: None,
            ..*exchange
        };
        let exchange = if early.refused { &refused } else { exchange };
        let judgement = match filter.mode {
            Mode::Stateless => filter.rules.alone(exchange, Phase::Whole, now),
            Mode::Stateful => self.counters().map_or_else(Judgement::default, |c| {
                c.served_by(version);
                c.judge(exchange, &filter.rules)
            }),
        };
        let worst = judgement.worst().copied();
        if worst.is_some() || early.score > 0 {
            self.flagged = self.flagged.saturating_add(1);
        }
        // What became of a request that was flagged before stays as it was told.
        let verdict = worst.filter(|_| early.score == 0)?;
        let ruling = Ruling {
            state: State::Flagged,
            verdict,
            denial: None,
        };
        self.note(&ruling, exchange, filter);
        Some(ruling)
    }

    /// Counts a ruling, and writes it where it is not what an alert tells anyway.
    fn note(&mut self, ruling: &Ruling, exchange: &Exchange<'_>, filter: &Filter) {
        let count = self
            .verdicts
            .entry((ruling.verdict.kind, ruling.state))
            .or_default();
        *count = count.saturating_add(1);
        if ruling.state == State::Flagged && ruling.verdict.rule.is_none() {
            return;
        }
        if self.lines >= LINES {
            self.unlogged = self.unlogged.saturating_add(1);
            return;
        }
        self.lines = self.lines.saturating_add(1);
        let shown = Exchange {
            identity: exchange.identity.filter(|_| filter.tells_users),
            ..*exchange
        };
        let template = Template::of(exchange.method, exchange.path);
        let line = Line::new(ruling, &shown, template.as_str(), &filter.rules, self.now);
        host::log(LogLevel::Warn, &line.to_line());
    }

    /// The time, to within a tick: asking the host costs a call.
    fn time(&mut self) -> Time {
        if self.now == Time::default() {
            self.now = host::now();
        }
        self.now
    }

    fn counters(&mut self) -> Option<&mut Counters> {
        if self.counters.is_none() {
            self.counters = self.new_counters();
            // The limits published last are still to be applied to these.
            self.limits = 0;
        }
        self.counters.as_mut()
    }

    /// Counts a request that the host told nothing about.
    pub(crate) fn unread(&mut self) {
        self.has_streams = true;
        self.unread = self.unread.saturating_add(1);
    }

    fn new_counters(&mut self) -> Option<Counters> {
        let caps = self.driver()?.1.limits;
        self.caps = Some(caps);
        Some(Counters::new(
            caps.pairs,
            caps.routes_per_pair,
            caps.hold_bytes,
            seed(),
            host::now(),
        ))
    }

    /// Once a second, on behalf of `root`: a root that does not drive does nothing.
    pub(crate) fn tick(&mut self, root: u32) {
        let Some((driver, config)) = self.driver() else {
            return;
        };
        if *driver != root {
            return;
        }
        let config = config.clone();
        #[cfg(feature = "fault-injection")]
        crate::fault::on_tick(self.leader.is_some());
        let now = host::now();
        self.now = now;
        self.lines = 0;
        if config.mode == Mode::Stateless {
            // Nothing to send, to learn or to hand out: nobody is missed. What another mode left is let go of.
            if let Some(leader) = self.leader.take() {
                leader.resign();
            }
            (self.election, self.counters) = (None, None);
            self.tell(true);
            metrics::without_aggregator(now);
            return;
        }
        if let Some(counters) = &mut self.counters {
            counters.tick(now);
        }
        let rank = match (config.role, self.has_streams) {
            (Role::Aggregator, _) => Rank::Singleton,
            (Role::Filter, false) => Rank::Idle,
            (Role::Filter, true) => Rank::Busy,
        };
        let queue = match self.queue {
            Some(queue) => queue,
            None => {
                let Some(queue) = host::queue(QUEUE) else {
                    return;
                };
                self.queue = Some(queue);
                queue
            }
        };
        let mut election = self.election.take().unwrap_or_else(|| Election::join(now));
        #[cfg(feature = "fault-injection")]
        crate::fault::tell(election.number(), self.roots.len());
        #[cfg(feature = "fault-injection")]
        let (standing, limits) = if crate::fault::nobody_leads() {
            election.look_on(now)
        } else {
            election.stand(rank, now)
        };
        #[cfg(not(feature = "fault-injection"))]
        let (standing, limits) = election.stand(rank, now);
        if standing != Standing::Leading && self.leader.take().is_some() {
            host::log(LogLevel::Info, "pairwatch: another VM aggregates now");
        }
        // Counts are sent only to a live leader; otherwise they stay where they are and more are merged in.
        if standing != Standing::Leaderless {
            self.send(queue, now);
            // Drained, so that nothing is lost with them: new caps ask for new counters.
            if self.caps.is_some_and(|caps| caps != config.limits) {
                self.counters = None;
                self.caps = None;
            }
        }
        // Before leading: should that trap this VM, what was counted is told.
        self.tell(standing != Standing::Leaderless);
        if standing == Standing::Leading {
            let leader = self.leader.get_or_insert_with(|| {
                Leader::take_over(config.clone(), seed(), election.failures(), now)
            });
            let version = leader.lead(queue, now, limits);
            election.survived(version, now);
        }
        self.election = Some(election);
        self.apply_limits();
    }

    /// Takes in the answer to a call that the leader made.
    pub(crate) fn answered(&mut self, token: u32, status: Option<u16>, size: usize) {
        if let Some(leader) = &mut self.leader {
            leader.answered(token, status, size);
        }
    }

    fn send(&mut self, queue: u32, now: Time) {
        let Some(batch) = self.counters.as_mut().and_then(|c| c.drain(now)) else {
            return;
        };
        let metrics = self.metrics.get_or_insert_with(FilterMetrics::new);
        host::count(metrics.dropped, batch.dropped);
        if host::enqueue(queue, &batch.to_frame()) {
            host::count(metrics.batches, 1);
        } else {
            // The queue is gone; a new one is made at the next tick.
            host::count(metrics.dropped, batch.requests());
            self.queue = None;
        }
    }

    fn apply_limits(&mut self) {
        let published = self.election.as_ref().map_or(0, Election::limits);
        let Some(counters) = self.counters.as_mut().filter(|_| published != self.limits) else {
            return;
        };
        self.limits = published;
        if let Ok(limits) = Limits::from_frame(&host::shared(LIMITS).0) {
            counters.apply(&limits);
        }
    }

    fn tell(&mut self, up: bool) {
        let metrics = self.metrics.get_or_insert_with(FilterMetrics::new);
        host::count(metrics.requests, std::mem::take(&mut self.seen));
        host::count(metrics.flagged, std::mem::take(&mut self.flagged));
        host::count(metrics.unread, std::mem::take(&mut self.unread));
        for ((kind, state), count) in std::mem::take(&mut self.verdicts) {
            metrics.verdicts(kind, state, count);
        }
        host::count(metrics.unlogged, std::mem::take(&mut self.unlogged));
        host::gauge(metrics.up, u64::from(up));
        if let Some(counters) = &self.counters {
            metrics.evicted(counters.size().2);
        }
    }
}

/// A seed for hashes: the host gives no entropy but the time in nanoseconds, which whoever sends requests does not know.
fn seed() -> u64 {
    let nanos = host::nanos();
    let low = u64::try_from(nanos & u128::from(u64::MAX)).unwrap_or(0);
    low.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) ^ low
}
