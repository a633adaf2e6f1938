//! The configured rules, ready to be held against requests.

use super::{Judgement, Subject, Verdict};
use crate::Time;
use crate::alerts::Severity;
use crate::config::{CountedSignal, Glob, RequestRule, RequestRuleType, Schedule};
use crate::counters::Tallies;
use crate::exchange::Exchange;
use crate::exchange::path::{self, Served};
use crate::exchange::route::Template;

/// How much of an exchange is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request's headers.
    Request,
    /// All of it.
    Whole,
}

/// What was learned of a pair, as far as rules refer to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Learned {
    /// Counts of the current window, this request included.
    pub counted: Tallies,
    /// What a window usually has, in thousandths; `u32::MAX` where that is not known.
    pub typical: Option<Tallies>,
    /// Whether the pair was never seen, and that means something.
    pub new_pair: bool,
    /// Whether the route was never seen on the pair, and that means something.
    pub new_route: bool,
    /// The hours of the day (UTC) that the pair keeps, one bit each from midnight on; `None` while too few days were seen.
    pub hours: Option<u32>,
}

/// The configured rules.
#[derive(Clone, Debug, Default)]
pub struct Rulebook {
    /// Whether a rule is of some routes only.
    scoped: bool,
    rules: Vec<(RequestRule, Option<Schedule>)>,
}

/// What a broken rule scores: so that a limit on the score means what the same limit on the severity does.
fn score(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 20,
        Severity::Low => 40,
        Severity::Medium => 60,
        Severity::High => 80,
        Severity::Critical => 100,
    }
}

fn any(patterns: &[Glob], name: &str) -> bool {
    patterns.iter().any(|p| p.matches(name))
}

impl Rulebook {
    /// The rules of a configuration.
    pub fn new(rules: &[RequestRule]) -> Self {
        let compiled = rules.iter().map(|rule| {
            let schedule = rule.of == RequestRuleType::Schedule;
            (rule.clone(), schedule.then(|| rule.schedule()))
        });
        Self {
            scoped: rules.iter().any(|rule| !rule.routes.is_empty()),
            rules: compiled.collect(),
        }
    }

    /// The rule a verdict names.
    pub fn get(&self, rule: u8) -> Option<&RequestRule> {
        self.rules.get(usize::from(rule)).map(|(rule, _)| rule)
    }

    /// What is held against an exchange by configured rules alone.
    pub fn alone(&self, exchange: &Exchange<'_>, phase: Phase, now: Time) -> Judgement {
        let template = Template::of(exchange.method, exchange.path);
        let mut judgement = Judgement::default();
        self.judge(
            exchange,
            template.as_str(),
            None,
            phase,
            now,
            &mut judgement,
        );
        judgement
    }

    /// Adds to `judgement` the rules that an exchange breaks. `template` is its method and path template; nothing is
    /// `learned` where nothing is kept, or what was is out of date.
    pub fn judge(
        &self,
        exchange: &Exchange<'_>,
        template: &str,
        learned: Option<&Learned>,
        phase: Phase,
        now: Time,
        judgement: &mut Judgement,
    ) {
        // What it may be served as, too: a rule is not to be got round by writing the path another way.
        let served = if self.scoped {
            path::served(exchange.path)
        } else {
            Served::AsWritten
        };
        let other = match &served {
            Served::As(path) => Some(Template::of(exchange.method, path)),
            Served::AsWritten | Served::Anything => None,
        };
        let is_of = |routes: &[Glob]| {
            routes.is_empty()
                || served == Served::Anything
                || any(routes, template)
                || other.as_ref().is_some_and(|t| any(routes, t.as_str()))
        };
        for (place, (rule, schedule)) in self.rules.iter().enumerate() {
            let in_scope = Glob::fits(rule.source.as_ref(), Some(exchange.source))
                && Glob::fits(rule.destination.as_ref(), Some(exchange.destination))
                && Glob::fits(rule.identity.as_ref(), exchange.identity)
                && is_of(&rule.routes);
            if !in_scope {
                continue;
            }
            let schedule = schedule.as_ref();
            if is_broken(rule, schedule, exchange, template, learned, phase, now) {
                let subject = match rule.of {
                    RequestRuleType::Typical => Subject::Pair,
                    _ => Subject::Request,
                };
                judgement.add(Verdict {
                    score: score(rule.severity),
                    kind: rule.kind(),
                    severity: rule.severity,
                    subject,
                    since: None,
                    rule: u8::try_from(place).ok(),
                });
            }
        }
    }
}

fn is_broken(
    rule: &RequestRule,
    schedule: Option<&Schedule>,
    exchange: &Exchange<'_>,
    template: &str,
    learned: Option<&Learned>,
    phase: Phase,
    now: Time,
) -> bool {
    match rule.of {
        RequestRuleType::Pairs => !rule.pairs.iter().flatten().any(|p| {
            p.source.matches(exchange.source) && p.destination.matches(exchange.destination)
        }),
        RequestRuleType::Routes => {
            !any(rule.allow.as_deref().unwrap_or_default(), template)
                || !path::is_plain(exchange.path)
        }
        RequestRuleType::Size => {
            let above = |most: Option<u64>, bytes| most.is_some_and(|most| bytes > most);
            above(rule.max_request_bytes, exchange.request_bytes)
                || (phase != Phase::Request
                    && above(rule.max_response_bytes, exchange.response_bytes))
        }
        RequestRuleType::Schedule => schedule.is_some_and(|s| !s.holds(now)),
        RequestRuleType::Networks => exchange.address.is_some_and(|address| {
            let mut networks = rule.networks.iter().flatten();
            !networks.any(|n| n.contains(address))
        }),
        RequestRuleType::Identity => match (exchange.identity, &rule.identities) {
            (None | Some(""), _) => true,
            (Some(identity), Some(allowed)) => !any(allowed, identity),
            (Some(_), None) => false,
        },
        RequestRuleType::Typical => learned.is_some_and(|l| is_untypical(rule, l)),
        RequestRuleType::KnownPair => learned.is_some_and(|l| l.new_pair),
        RequestRuleType::KnownRoute => learned.is_some_and(|l| l.new_route),
        RequestRuleType::LearnedHours => learned
            .and_then(|l| l.hours)
            .is_some_and(|hours| !keeps(hours, now)),
    }
}

fn is_untypical(rule: &RequestRule, learned: &Learned) -> bool {
    let of = |t: &Tallies| match rule.signal {
        None | Some(CountedSignal::RequestRate) => t.requests,
        Some(CountedSignal::ServerErrors) => t.server_errors,
        Some(CountedSignal::AuthFailures) => t.auth_failures,
        Some(CountedSignal::ClientErrors) => t.client_errors.saturating_add(t.not_found),
    };
    learned.typical.is_some_and(|typical| {
        let typical = of(&typical);
        typical < u32::MAX && of(&learned.counted) >= rule.limit(f64::from(typical) / 1000.0)
    })
}

/// Whether the hour is one of `hours` or next to one: nobody comes on the stroke.
fn keeps(hours: u32, now: Time) -> bool {
    let hour = u32::try_from((now.0 / 3_600_000) % 24).unwrap_or(0);
    [23, 0, 1].iter().any(|by| {
        let near = hour.saturating_add(*by) % 24;
        hours.checked_shr(near).unwrap_or(0) & 1 == 1
    })
}
