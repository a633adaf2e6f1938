//! Traffic as data.
//!
//! A case is a JSON file under `tests/cases/`: streams of requests, each with a rate over a stretch of time, and the alerts
//! they must and must not give. It is generated the same everywhere (a small generator with a fixed seed), so that the
//! engine natively, the engine on wasm32 and the built module judge the very same requests.
#![forbid(unsafe_code)]

use serde::Deserialize;
use std::net::IpAddr;

/// A case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, as a sentence.
    pub name: String,
    /// Configuration of the plugin.
    pub config: serde_json::Value,
    /// How long it runs, in seconds.
    pub seconds: u64,
    /// The traffic.
    pub traffic: Vec<Stream>,
    /// The incidents that must be opened or updated to, each at least once.
    #[serde(default)]
    pub expect: Vec<Expected>,
    /// Kinds that must not be told of at all.
    #[serde(default)]
    pub never: Vec<String>,
    /// Most lines there may be, those of resolved incidents included.
    pub at_most: Option<usize>,
}

/// Requests of one kind at one rate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Who calls.
    pub source: String,
    /// What is called.
    pub destination: String,
    /// HTTP method.
    #[serde(default = "get")]
    pub method: String,
    /// Path; `#` becomes a number.
    pub path: String,
    /// Requests a second, Poisson.
    #[serde(default)]
    pub rate: f64,
    /// HTTP status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Mean bytes of an answer; each is off by up to a half.
    #[serde(default = "thousand")]
    pub bytes: f64,
    /// Median milliseconds; log-normal, one standard deviation is a third.
    #[serde(default = "twenty")]
    pub ms: f64,
    /// The user or service the requests speak for; `#` becomes a number below [`Stream::people`].
    #[serde(default)]
    pub identity: Option<String>,
    /// How many identities `#` stands for.
    #[serde(default = "people")]
    pub people: u64,
    /// The client's address; `#` becomes a number from 1 to 250, another for each request.
    #[serde(default)]
    pub address: Option<String>,
    /// Seconds between two requests, exactly, in place of a rate.
    #[serde(default)]
    pub every: Option<f64>,
    /// What its destination calls for each of its requests, with GET `/items/#`.
    #[serde(default)]
    pub calls: Option<String>,
    /// First second.
    #[serde(default)]
    pub from: u64,
    /// Second it ends at; the case's end where not given.
    #[serde(default = "end")]
    pub to: u64,
}

/// An alert.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Its kind.
    pub kind: String,
    /// Its source, where it matters which of several.
    pub source: Option<String>,
    /// Not before this second, …
    pub after: u64,
    /// … and by this one.
    pub before: u64,
    /// What its message says among other things, where that matters.
    pub says: Option<String>,
}

/// What is looked at of an alert line.
#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    state: String,
    kind: String,
    source: String,
    message: String,
}

impl Line {
    /// Seconds from `start` to the line's time of day. A case lies within one day.
    fn second(&self, start: u64) -> f64 {
        const DAY: f64 = 86_400.0;
        let clock = self.time.split(['T', 'Z']).nth(1).unwrap_or_default();
        let day = clock.split(':').fold(0.0, |sum, part| {
            sum * 60.0 + part.parse::<f64>().unwrap_or(f64::NAN)
        });
        (day - start as f64 / 1000.0).rem_euclid(DAY)
    }
}

fn get() -> String {
    "GET".to_owned()
}
fn ok() -> u16 {
    200
}
fn thousand() -> f64 {
    1000.0
}
fn twenty() -> f64 {
    20.0
}
fn people() -> u64 {
    50
}
fn end() -> u64 {
    u64::MAX
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Milliseconds from the start.
    pub at: u64,
    /// Who calls.
    pub source: String,
    /// What is called.
    pub destination: String,
    /// Whom it speaks for.
    pub identity: Option<String>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// HTTP method.
    pub method: String,
    /// Path.
    pub path: String,
    /// HTTP status.
    pub status: u16,
    /// Bytes of the answer.
    pub bytes: u64,
    /// Microseconds.
    pub duration_us: u64,
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// The text is not a case: serde's words say where and why.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Whether the alert lines of a run that began at `start` (milliseconds since the epoch) are what the case expects, each at
    /// most `leeway` seconds late, and none before anything happened.
    ///
    /// # Errors
    /// What is missing or too early, with all the lines.
    pub fn judge<'a>(
        &self,
        start: u64,
        lines: impl IntoIterator<Item = &'a str>,
        leeway: u64,
    ) -> Result<(), String> {
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|line| serde_json::from_str(line).map_err(|e| format!("{line}: {e}")))
            .collect::<Result<_, _>>()?;
        if let Some(never) = lines.iter().find(|l| self.never.contains(&l.kind)) {
            return Err(format!("{}: told of {never:#?}", self.name));
        }
        if self.at_most.is_some_and(|most| lines.len() > most) {
            return Err(format!("{}: too many lines: {lines:#?}", self.name));
        }
        let told: Vec<(f64, &Line)> = lines.iter().map(|l| (l.second(start), l)).collect();
        for want in &self.expect {
            let seen = told.iter().any(|(at, l)| {
                l.state != "resolved"
                    && l.kind == want.kind
                    && want.source.as_ref().is_none_or(|s| *s == l.source)
                    && want.says.as_ref().is_none_or(|s| l.message.contains(s))
                    && *at >= want.after as f64
                    && *at < want.before.saturating_add(leeway).saturating_add(1) as f64
            });
            if !seen {
                return Err(format!("{}: no {want:?}: {told:#?}", self.name));
            }
        }
        let first = self
            .expect
            .iter()
            .map(|e| e.after)
            .min()
            .unwrap_or(u64::MAX);
        match told.iter().find(|(at, _)| *at < first as f64) {
            Some(early) => Err(format!(
                "{}: an alert before anything happened: {early:#?}",
                self.name
            )),
            None => Ok(()),
        }
    }

    /// All its requests, in time order; the same at each call.
    pub fn requests(&self) -> Vec<Request> {
        let mut random = Random(0x5EED);
        let mut out = Vec::new();
        for s in &self.traffic {
            let mut at = s.from as f64;
            loop {
                at += match s.every {
                    Some(seconds) => seconds.max(1e-3),
                    None => -random.unit().ln() / s.rate.max(1e-9),
                };
                if at >= s.to.min(self.seconds) as f64 {
                    break;
                }
                out.push(Request {
                    at: (at * 1000.0) as u64,
                    source: s.source.clone(),
                    destination: s.destination.clone(),
                    identity: s
                        .identity
                        .as_ref()
                        .map(|i| i.replace('#', &random.below(s.people).to_string())),
                    address: s.address.as_ref().and_then(|a| {
                        let host = random.below(250).saturating_add(1);
                        a.replace('#', &host.to_string()).parse().ok()
                    }),
                    method: s.method.clone(),
                    path: s
                        .path
                        .replace('#', &((random.unit() * 1e6) as u64).to_string()),
                    status: s.status,
                    bytes: (s.bytes * (0.5 + random.unit())) as u64,
                    duration_us: (s.ms * 1000.0 * (random.normal() / 3.0).exp()) as u64,
                });
                let call = out.last().zip(s.calls.as_ref()).map(|(r, called)| Request {
                    source: r.destination.clone(),
                    destination: called.clone(),
                    method: get(),
                    path: format!("/items/{}", random.below(1_000_000)),
                    ..r.clone()
                });
                out.extend(call);
            }
        }
        out.sort_by_key(|r| r.at);
        out
    }
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
struct Random(u64);

impl Random {
    /// Uniform in (0, 1].
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }

    /// A whole number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        ((self.unit() * n as f64) as u64).min(n.saturating_sub(1))
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Calls a macro with the names of all cases that hang on pairs alone, so that a new one runs wherever cases do.
#[macro_export]
macro_rules! for_each {
    ($then:ident) => {
        $then!(
            quiet,
            burst,
            silence,
            outage,
            stuffing,
            exfiltration,
            slow,
            new_route,
            new_pair,
            scanning,
            missing_path,
            lateral,
            deployment,
            not_called,
            nothing_to_call,
            rules,
            rules_adaptive
        );
    };
}

/// The cases that hang on who calls: an identity, or a client's address. For whatever is told of them.
#[macro_export]
macro_rules! for_each_of_identities {
    ($then:ident) => {
        $then!(
            beacon,
            health_checks,
            stuffing_slow,
            timers,
            mistyped,
            whose_burst,
            crowd
        );
    };
}
