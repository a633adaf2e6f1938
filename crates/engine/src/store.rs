//! What was learned, in an HTTP store that outlives Envoy: when it is fetched, and when it is put back.
//!
//! The store is any server that answers GET with what was last PUT there. It is read once by an Envoy process, however
//! many of its VMs lead one after the other; until it has answered, with a snapshot or with 404, tries go on with a
//! [back-off](crate::backoff), and the proxy learns from scratch meanwhile.
//!
//! What is in the store may be months of learning, so it is written with care: never before it was read, and never with less
//! than one pair that is known well. After that every `save_every`, shortened at random by up to half.
//!
//! The host's part is to make the calls: [`Store::next`] says which, [`Store::answered`] takes in what became of it.

use crate::Time;
use crate::backoff;
use crate::config::WarmStart;
use std::time::Duration;

/// Bytes of a snapshot fetched or put back: some 3,600 pairs. Envoy buffers the answer whole (by default up to 32 MiB), and a
/// VM's memory, which must hold it beside what is made of it, never shrinks.
pub const MAX_BYTES: usize = 16 << 20;
/// Beyond the time-out, after which an answer is not to be waited for: the root that asked may be gone, and its answer
/// with it.
const GRACE: Duration = Duration::from_secs(5);

/// What is asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What it holds.
    Fetch,
    /// To hold what was learned.
    Save,
}

/// A request as the host makes it. The body of a [`Ask::Save`] is a snapshot; a [`Ask::Fetch`] has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The cluster it goes to.
    pub cluster: &'a str,
    /// Names and values, `:method`, `:path` and `:authority` first.
    pub headers: Vec<(&'a str, &'a str)>,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// What an answer meant. Texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its body is what the store holds: to be read.
    Fetched,
    /// The store holds something that is not to be read.
    Refused(String),
    /// The store holds nothing.
    Empty(String),
    /// What was learned is in the store.
    Saved(Option<String>),
    /// It failed, and will be tried again. Told once in a row.
    Failed(Option<String>),
    /// Nobody asked.
    Stray,
}

/// A store and how it was dealt with so far.
#[derive(Clone, Debug)]
pub struct Store {
    config: WarmStart,
    path: String,
    seed: u64,
    /// Whether what it holds was read, or found to be nothing.
    is_read: bool,
    under_way: Option<(Ask, Time)>,
    /// In a row.
    failures: u32,
    /// Times it was saved to: makes each pause another.
    saves: u32,
    /// When to ask next, and how far ahead that was when it was decided.
    next: (Time, Duration),
}

impl Store {
    /// A store that was configured (`cluster` and `path` are there). `node` is the proxy's id and cluster; `is_read` says that
    /// this process has read it already. `seed` makes proxies differ.
    pub fn new(config: WarmStart, node: (&str, &str), seed: u64, is_read: bool, now: Time) -> Self {
        let path = config.path.as_deref().unwrap_or_default();
        let path = path
            .replace("{node.id}", &segment(node.0))
            .replace("{node.cluster}", &segment(node.1));
        let mut store = Self {
            path,
            seed,
            is_read,
            under_way: None,
            failures: 0,
            saves: 0,
            next: (now, Duration::ZERO),
            config,
        };
        if is_read {
            store.wait(store.save_pause(), now);
        }
        store
    }

    /// What it is called in the log.
    pub fn name(&self) -> String {
        let cluster = self.config.cluster.as_deref().unwrap_or_default();
        format!("store {cluster} {}", self.path)
    }

    /// What is to be asked of it now, if anything. One request is under way at a time.
    pub fn due(&mut self, now: Time) -> Option<Ask> {
        if let Some((_, at)) = self.under_way {
            let patience = self.config.timeout().duration().saturating_add(GRACE);
            if now.since(at) < patience && at.since(now) < patience {
                return None;
            }
            self.under_way = None;
            self.fail(
                backoff::pause(self.failures.saturating_add(1), self.seed),
                now,
            );
        }
        let (at, pause) = self.next;
        let left = at.since(now);
        // Further ahead than it ever was: the clock was set back.
        if left > Duration::ZERO && left <= pause {
            return None;
        }
        match self.is_read {
            false => Some(Ask::Fetch),
            true if self.config.save_every().duration().is_zero() => None,
            true => Some(Ask::Save),
        }
    }

    /// The request that is due. It then counts as under way.
    pub fn ask(&mut self, ask: Ask, now: Time) -> Request<'_> {
        self.under_way = Some((ask, now));
        let method = match ask {
            Ask::Fetch => "GET",
            Ask::Save => "PUT",
        };
        let mut headers = vec![
            (":method", method),
            (":path", self.path.as_str()),
            (":authority", self.config.authority()),
            (
                "user-agent",
                concat!("pairwatch/", env!("CARGO_PKG_VERSION")),
            ),
        ];
        if ask == Ask::Save {
            headers.push(("content-type", "application/octet-stream"));
        }
        Request {
            cluster: self.config.cluster.as_deref().unwrap_or_default(),
            headers,
            timeout: self.config.timeout().duration(),
        }
    }

    /// Says that there is nothing worth saving yet, or too much: it is looked again when the next save would be due.
    pub fn postpone(&mut self, now: Time) {
        self.wait(self.save_pause(), now);
    }

    /// Takes in what became of the request under way: its status and the size of its body, or nothing where there was no
    /// answer.
    pub fn answered(&mut self, status: Option<u16>, size: usize, now: Time) -> Outcome {
        let Some((ask, _)) = self.under_way.take() else {
            return Outcome::Stray;
        };
        match (ask, status) {
            (Ask::Fetch, Some(200..=299)) if size > MAX_BYTES => {
                self.read(now);
                Outcome::Refused(format!("{size} bytes, at most {MAX_BYTES} are read"))
            }
            (Ask::Fetch, Some(200..=299)) if size > 0 => {
                self.read(now);
                Outcome::Fetched
            }
            (Ask::Fetch, Some(200..=299 | 404 | 410)) => {
                self.read(now);
                Outcome::Empty(format!("{}: holds nothing yet", self.name()))
            }
            (Ask::Save, Some(200..=299)) => {
                let again = self.failures > 0;
                self.failures = 0;
                self.saves = self.saves.saturating_add(1);
                self.wait(self.save_pause(), now);
                Outcome::Saved(again.then(|| format!("{}: takes snapshots again", self.name())))
            }
            (_, status) => {
                let what = status.map_or_else(
                    || "no answer".to_owned(),
                    |status| format!("answered {status}"),
                );
                let doing = match ask {
                    Ask::Fetch => "learning goes on from scratch, and tries go on",
                    Ask::Save => "tries go on",
                };
                // Said once, and not at every try.
                let first = self.failures == 0;
                let said = first.then(|| format!("{}: {what}, {doing}", self.name()));
                // What a store refuses it will mostly refuse again, until somebody mends it.
                let pause = match status {
                    None | Some(408 | 429 | 500..=599) => {
                        backoff::pause(self.failures.saturating_add(1), self.seed)
                    }
                    Some(_) => backoff::shortened(backoff::LONGEST, self.failures, self.seed),
                };
                self.fail(pause, now);
                Outcome::Failed(said)
            }
        }
    }

    fn read(&mut self, now: Time) {
        self.is_read = true;
        self.failures = 0;
        self.wait(self.save_pause(), now);
    }

    fn fail(&mut self, pause: Duration, now: Time) {
        self.failures = self.failures.saturating_add(1);
        self.wait(pause, now);
    }

    fn wait(&mut self, pause: Duration, now: Time) {
        self.next = (now.plus(pause), pause);
    }

    fn save_pause(&self) -> Duration {
        backoff::shortened(self.config.save_every().duration(), self.saves, self.seed)
    }
}

/// A name as one segment of a path: letters, digits and `-._~` stay, the rest is percent-encoded (RFC 3986, section 2.3). Never
/// empty, nor one that goes up.
fn segment(name: &str) -> String {
    if name.is_empty() || name.bytes().all(|b| b == b'.') {
        return "unknown".to_owned();
    }
    // No name of a pod or a workload is longer than its DNS name.
    let bytes = name.bytes().take(253);
    bytes
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const START: Time = Time(1_800_000_000_000);

    fn store(save_every: u64) -> Store {
        let config = WarmStart {
            cluster: Some("outbound|80||store.example".into()),
            path: Some("/baselines/{node.cluster}".into()),
            save_every: Some(Span::secs(save_every)),
            ..WarmStart::default()
        };
        Store::new(config, ("id", "cart.shop"), 7, false, START)
    }

    fn at(seconds: u64) -> Time {
        START.plus(Duration::from_secs(seconds))
    }

    /// Seconds at which it asks, where each request is answered so at once.
    fn asks(store: &mut Store, until: u64, status: Option<u16>, size: usize) -> Vec<(u64, Ask)> {
        let mut asks = Vec::new();
        for second in 0..until {
            if let Some(ask) = store.due(at(second)) {
                let _ = store.ask(ask, at(second));
                store.answered(status, size, at(second));
                asks.push((second, ask));
            }
        }
        asks
    }

    #[test]
    fn it_is_read_first_and_then_saved_to_at_intervals_that_differ() {
        let asks = asks(&mut store(100), 1000, Some(200), 10);
        assert_eq!(asks[0], (0, Ask::Fetch));
        assert!(asks[1..].iter().all(|(_, ask)| *ask == Ask::Save));
        let pauses: Vec<u64> = asks.windows(2).map(|w| w[1].0 - w[0].0).collect();
        assert!(pauses.iter().all(|p| (50..=101).contains(p)), "{pauses:?}");
        assert!(pauses.iter().any(|p| *p != pauses[0]), "{pauses:?}");
    }

    #[test]
    fn what_was_not_read_is_not_written_over() {
        for status in [None, Some(301), Some(403), Some(500)] {
            let asks = asks(&mut store(10), 3600, status, 10);
            assert!(asks.len() >= 10, "{status:?}: tries go on");
            assert!(asks.len() <= 60, "{status:?}: but not as often: {asks:?}");
            assert!(asks.iter().all(|(_, ask)| *ask == Ask::Fetch), "{status:?}");
        }
    }

    #[test]
    fn a_store_that_holds_nothing_is_saved_to() {
        for (status, size) in [(404, 9), (410, 0), (200, 0), (204, 0)] {
            let mut store = store(10);
            let ask = store.due(START).unwrap();
            let _ = store.ask(ask, START);
            let outcome = store.answered(Some(status), size, START);
            assert!(
                matches!(outcome, Outcome::Empty(_)),
                "{status}: {outcome:?}"
            );
            assert_eq!(store.due(at(11)), Some(Ask::Save));
        }
    }

    #[test]
    fn zero_never_saves() {
        let asks = asks(&mut store(0), 100_000, Some(200), 10);
        assert_eq!(asks, [(0, Ask::Fetch)]);
    }

    #[test]
    fn a_process_that_has_read_it_does_not_read_it_again() {
        let config = store(10).config;
        let mut store = Store::new(config, ("", ""), 7, true, START);
        let asks = asks(&mut store, 100, Some(200), 0);
        assert!(!asks.is_empty());
        assert!(asks.iter().all(|(at, ask)| *at >= 5 && *ask == Ask::Save));
    }

    #[test]
    fn what_is_too_large_is_refused_unread() {
        let mut store = store(10);
        let _ = store.ask(Ask::Fetch, START);
        let outcome = store.answered(Some(200), MAX_BYTES + 1, START);
        let Outcome::Refused(why) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(why.contains("16777217"), "{why}");
    }

    #[test]
    fn a_request_that_is_never_answered_is_made_again_after_its_time_out() {
        let mut store = store(10);
        let _ = store.ask(Ask::Fetch, START);
        assert_eq!(store.due(at(9)), None);
        let second = (10..20).find(|s| store.due(at(*s)).is_some());
        assert!(second.is_some_and(|s| s <= 11), "{second:?}");
        assert_eq!(store.answered(None, 0, at(12)), Outcome::Stray);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing() {
        let mut store = store(600);
        let _ = store.ask(Ask::Fetch, START);
        store.answered(Some(404), 0, START);
        let day_before = Time(START.0 - 86_400_000);
        assert_eq!(store.due(day_before), Some(Ask::Save));
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let mut store = store(10);
        let _ = store.ask(Ask::Fetch, START);
        store.answered(Some(404), 0, START);
        let mut said = Vec::new();
        for status in [503, 503, 403, 200, 200] {
            let _ = store.ask(Ask::Save, START);
            match store.answered(Some(status), 0, START) {
                Outcome::Failed(text) | Outcome::Saved(text) => said.extend(text),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("answered 503") && said[1].contains("again"));
    }

    #[test]
    fn the_nodes_name_is_one_segment_of_the_path() {
        assert_eq!(store(1).path, "/baselines/cart.shop");
        assert_eq!(segment("a/../b c"), "a%2F..%2Fb%20c");
        assert_eq!(segment(".."), "unknown");
        assert_eq!(segment(""), "unknown");
        assert!(segment(&"é".repeat(1000)).len() < 1000);
    }
}
