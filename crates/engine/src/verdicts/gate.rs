//! Whether a flagged request is refused.
//!
//! One gate a worker. It counts the worker's requests of the last minute or so (a half minute that is full and one that
//! fills), because what may be refused is a share of them: a mistake, of ours or in the configuration, must not take a
//! service down. Shadow rules go through the same gate on a count of their own, so that what they would have refused is what
//! they will refuse.

use super::{Judgement, Subject, Verdict};
use crate::Time;
use crate::config::{Action, Denial, DenialScope, Glob, Verdicts};
use crate::exchange::route::Template;
use crate::exchange::{Exchange, path};
use std::time::Duration;

/// Half of what is looked back on.
const HALF: Duration = Duration::from_secs(30);

/// What became of a flagged request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No rule refuses it.
    Flagged,
    /// A rule in shadow would have refused it.
    Shadow,
    /// It was refused.
    Denied,
    /// It passed: it is exempt.
    Exempt,
    /// It passed: the rule's time is over.
    Expired,
    /// It passed: too few requests were seen.
    Thin,
    /// It passed: the share that may be refused was.
    Capped,
}

impl State {
    /// As in metrics and verdict lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flagged => "flagged",
            Self::Shadow => "shadow",
            Self::Denied => "denied",
            Self::Exempt => "exempt",
            Self::Expired => "expired",
            Self::Thin => "thin",
            Self::Capped => "capped",
        }
    }
}

/// What is done about a flagged request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What becomes of it.
    pub state: State,
    /// What it is refused for, or would be; else the worst that is held against it.
    pub verdict: Verdict,
    /// Place of the rule among `verdicts.deny`, where one fits.
    pub denial: Option<usize>,
}

/// Counts of half a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    requests: u32,
    denied: u32,
    shadow: u32,
}

/// A worker's gate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    began: Time,
    full: Half,
    filling: Half,
}

impl Gate {
    /// Counts a request, and says what is done about it; `None` where nothing is held against it.
    pub fn pass(
        &mut self,
        policy: &Verdicts,
        exchange: &Exchange<'_>,
        judgement: &Judgement,
        now: Time,
    ) -> Option<Ruling> {
        self.turn(now);
        self.filling.requests = self.filling.requests.saturating_add(1);
        let worst = *judgement.worst()?;
        let ruling = |state, verdict, denial| {
            Some(Ruling {
                state,
                verdict,
                denial,
            })
        };
        if policy.action != Action::Enforce {
            return ruling(State::Flagged, worst, None);
        }
        let Some((place, denial, verdict)) = find(policy, exchange, judgement, Some(now)) else {
            return match find(policy, exchange, judgement, None) {
                Some((place, _, verdict)) => ruling(State::Expired, verdict, Some(place)),
                None => ruling(State::Flagged, worst, None),
            };
        };
        let template = Template::of(exchange.method, exchange.path);
        let exempt = policy.exempt.iter().any(|e| {
            Glob::fits(e.source.as_ref(), Some(exchange.source))
                && Glob::fits(e.destination.as_ref(), Some(exchange.destination))
                && Glob::fits(e.identity.as_ref(), exchange.identity)
                && Glob::fits(e.route.as_ref(), Some(template.as_str()))
                // What may be served as another route is not the one that is exempt.
                && (e.route.is_none() || path::is_plain(exchange.path))
        });
        let state = if exempt {
            State::Exempt
        } else {
            self.refuse(policy, denial.shadow)
        };
        ruling(state, verdict, Some(place))
    }

    fn refuse(&mut self, policy: &Verdicts, shadow: bool) -> State {
        let requests = self.full.requests.saturating_add(self.filling.requests);
        if requests < policy.min_requests {
            return State::Thin;
        }
        let sum = |of: fn(&Half) -> u32| of(&self.full).saturating_add(of(&self.filling));
        let mut refused = sum(|h| h.denied);
        if shadow {
            refused = refused.saturating_add(sum(|h| h.shadow));
        }
        let share = f64::from(refused.saturating_add(1)) * 100.0;
        if share > policy.max_denied_percent * f64::from(requests) {
            return State::Capped;
        }
        let (count, state) = if shadow {
            (&mut self.filling.shadow, State::Shadow)
        } else {
            (&mut self.filling.denied, State::Denied)
        };
        *count = count.saturating_add(1);
        state
    }

    fn turn(&mut self, now: Time) {
        // A clock that was set back begins anew too.
        let over = now < self.began || now.since(self.began) >= HALF;
        if !over {
            return;
        }
        let next = self.began.plus(HALF);
        let follows = now >= next && now.since(next) < HALF;
        self.full = if follows {
            self.filling
        } else {
            Half::default()
        };
        self.filling = Half::default();
        self.began = if follows { next } else { now };
    }
}

/// The rule that refuses, and what for: the first that is not in shadow, else the first. Without a time, whether it is over
/// does not matter.
fn find<'a>(
    policy: &'a Verdicts,
    exchange: &Exchange<'_>,
    judgement: &Judgement,
    now: Option<Time>,
) -> Option<(usize, &'a Denial, Verdict)> {
    let fitting = policy.deny.iter().enumerate().filter_map(|(place, d)| {
        let in_scope = Glob::fits(d.source.as_ref(), Some(exchange.source))
            && Glob::fits(d.destination.as_ref(), Some(exchange.destination))
            && Glob::fits(d.identity.as_ref(), exchange.identity);
        let verdict = judgement
            .iter()
            .filter(|v| in_scope && is_for(d, v, now))
            .max_by_key(|v| v.rank())?;
        Some((place, d, *verdict))
    });
    // The first among equals: `min_by_key` keeps it.
    fitting.min_by_key(|(_, d, _)| d.shadow)
}

fn is_for(denial: &Denial, verdict: &Verdict, now: Option<Time>) -> bool {
    let scope = match verdict.subject {
        Subject::Request | Subject::Pair => DenialScope::Pair,
        Subject::Identity => DenialScope::Identity,
    };
    let on = match (verdict.since, now) {
        (Some(since), Some(now)) => now.since(since) < denial.lasts.duration(),
        _ => true,
    };
    on && scope == denial.scope
        && verdict.severity >= denial.min_severity
        && denial.kinds.contains(&verdict.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Kind, Severity};
    use crate::config::Config;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Time = Time(1_000_000_000);

    fn policy(verdicts: &str) -> Verdicts {
        let text = format!(r#"{{"verdicts":{{"action":"enforce",{verdicts}}}}}"#);
        Config::from_json(text.as_bytes()).unwrap().verdicts
    }

    fn exchange<'a>(source: &'a str, identity: Option<&'a str>) -> Exchange<'a> {
        Exchange {
            source,
            destination: "accounts",
            identity,
            address: None,
            method: b"POST",
            path: b"/login",
            status: 0,
            grpc_status: None,
            request_bytes: 0,
            response_bytes: 0,
            duration_us: 0,
        }
    }

    fn verdict(subject: Subject, since: Option<Time>) -> Verdict {
        Verdict {
            score: 90,
            kind: Kind::CredentialStuffing,
            severity: Severity::High,
            subject,
            since,
            rule: None,
        }
    }

    fn held(verdict: Verdict) -> Judgement {
        let mut judgement = Judgement::default();
        judgement.add(verdict);
        judgement
    }

    /// What becomes of the next request after `quiet` that nothing was held against.
    fn after(quiet: u32, policy: &Verdicts, exchange: &Exchange<'_>, verdict: Verdict) -> State {
        let mut gate = Gate::default();
        for _ in 0..quiet {
            gate.pass(policy, exchange, &Judgement::default(), NOW);
        }
        let ruling = gate.pass(policy, exchange, &held(verdict), NOW);
        ruling.unwrap().state
    }

    const DENY: &str = r#""deny":[{"kinds":["credential_stuffing"],"shadow":false}]"#;

    #[test]
    fn a_rule_refuses_its_kinds_from_its_severity_on_in_its_scope() {
        let pair = verdict(Subject::Pair, None);
        let call = exchange("shop/web", Some("alice"));
        for (deny, state) in [
            (
                r#"{"kinds":["credential_stuffing"],"shadow":false}"#,
                State::Denied,
            ),
            (r#"{"kinds":["scanning"],"shadow":false}"#, State::Flagged),
            (
                r#"{"kinds":["credential_stuffing"],"shadow":false,"min_severity":"critical"}"#,
                State::Flagged,
            ),
            (
                r#"{"kinds":["credential_stuffing"],"shadow":false,"source":"shop/*"}"#,
                State::Denied,
            ),
            (
                r#"{"kinds":["credential_stuffing"],"shadow":false,"source":"bank/*"}"#,
                State::Flagged,
            ),
            (
                r#"{"kinds":["credential_stuffing"],"shadow":false,"identity":"bob"}"#,
                State::Flagged,
            ),
            (
                r#"{"kinds":["credential_stuffing"],"shadow":false,"scope":"identity"}"#,
                State::Flagged,
            ),
            (r#"{"kinds":["credential_stuffing"]}"#, State::Shadow),
        ] {
            let policy = policy(&format!(r#""deny":[{deny}]"#));
            assert_eq!(after(200, &policy, &call, pair), state, "{deny}");
        }
    }

    #[test]
    fn a_path_that_may_be_served_as_another_is_not_exempt() {
        let policy = policy(&format!(r#"{DENY},"exempt":[{{"route":"POST /health*"}}]"#));
        let state = |path: &'static str| {
            let call = Exchange {
                path: path.as_bytes(),
                ..exchange("shop/web", None)
            };
            let mut gate = Gate::default();
            for _ in 0..200 {
                gate.pass(&policy, &call, &Judgement::default(), NOW);
            }
            let judgement = held(verdict(Subject::Request, None));
            let ruling = gate.pass(&policy, &call, &judgement, NOW);
            ruling.unwrap().state
        };
        assert_eq!(state("/health/live"), State::Exempt);
        for path in [
            "/health/../admin",
            "/health/%2e%2e/admin",
            "/health/..%2fadmin",
            "/health/..;/admin",
            "/health/%252e%252e/admin",
        ] {
            assert_eq!(state(path), State::Denied, "{path}");
        }
    }

    #[test]
    fn what_an_identity_did_is_refused_by_rules_about_identities_only() {
        let alice = verdict(Subject::Identity, Some(NOW));
        let call = exchange("web", Some("alice"));
        let of = |scope| {
            policy(&format!(
                r#""deny":[{{"kinds":["credential_stuffing"],"shadow":false,"scope":"{scope}"}}]"#
            ))
        };
        assert_eq!(after(200, &of("pair"), &call, alice), State::Flagged);
        assert_eq!(after(200, &of("identity"), &call, alice), State::Denied);
    }

    #[test]
    fn a_rule_that_was_promoted_counts_before_one_in_shadow() {
        let both = r#""deny":[{"kinds":["credential_stuffing"]},{"kinds":["credential_stuffing"],"shadow":false,"status":429}]"#;
        let mut gate = Gate::default();
        let call = exchange("web", None);
        let policy = Verdicts {
            min_requests: 0,
            max_denied_percent: 100.0,
            ..policy(both)
        };
        let judgement = held(verdict(Subject::Pair, None));
        let ruling = gate.pass(&policy, &call, &judgement, NOW).unwrap();
        assert_eq!((ruling.state, ruling.denial), (State::Denied, Some(1)));
    }

    #[test]
    fn a_rule_ends_in_time_and_the_request_passes() {
        let policy =
            policy(r#""deny":[{"kinds":["credential_stuffing"],"shadow":false,"for":"5m"}]"#);
        let call = exchange("web", None);
        let began = |ms| verdict(Subject::Pair, Some(Time(NOW.0 - ms)));
        assert_eq!(after(200, &policy, &call, began(299_000)), State::Denied);
        assert_eq!(after(200, &policy, &call, began(300_000)), State::Expired);
    }

    #[test]
    fn below_the_floor_nothing_is_refused() {
        let (policy, call) = (policy(DENY), exchange("web", None));
        let pair = verdict(Subject::Pair, None);
        assert_eq!(after(98, &policy, &call, pair), State::Thin);
        assert_eq!(after(99, &policy, &call, pair), State::Denied);
    }

    #[test]
    fn what_is_exempt_passes() {
        for (exempt, state) in [
            (r#"{"source":"web"}"#, State::Exempt),
            (r#"{"route":"POST /log*"}"#, State::Exempt),
            (r#"{"source":"web","route":"GET *"}"#, State::Denied),
            (r#"{"identity":"*"}"#, State::Denied),
        ] {
            let policy = policy(&format!(r#"{DENY},"exempt":[{exempt}]"#));
            let pair = verdict(Subject::Pair, None);
            assert_eq!(
                after(200, &policy, &exchange("web", None), pair),
                state,
                "{exempt}"
            );
        }
    }

    #[test]
    fn observing_and_tagging_refuse_nothing() {
        let pair = verdict(Subject::Pair, None);
        for action in [Action::Observe, Action::Tag] {
            let policy = Verdicts {
                action,
                ..policy(DENY)
            };
            assert_eq!(
                after(200, &policy, &exchange("web", None), pair),
                State::Flagged
            );
        }
    }

    proptest! {
        #[test]
        fn never_more_are_refused_than_the_cap_allows(
            requests in prop::collection::vec(any::<bool>(), 1..600), percent in 1u32..100,
        ) {
            let policy = Verdicts {
                max_denied_percent: f64::from(percent),
                min_requests: 0,
                ..policy(DENY)
            };
            let (mut gate, call) = (Gate::default(), exchange("web", None));
            let (mut seen, mut denied) = (0, 0);
            for flagged in requests {
                let judgement = if flagged { held(verdict(Subject::Pair, None)) } else { Judgement::default() };
                let ruling = gate.pass(&policy, &call, &judgement, NOW);
                seen += 1;
                denied += u32::from(ruling.is_some_and(|r| r.state == State::Denied));
                prop_assert!(denied * 100 <= seen * percent, "{denied} of {seen}");
            }
        }

        #[test]
        fn what_was_refused_more_than_a_minute_ago_does_not_count(pause in 60_000u64..10_000_000) {
            let policy = Verdicts { min_requests: 0, max_denied_percent: 50.0, ..policy(DENY) };
            let (mut gate, call) = (Gate::default(), exchange("web", None));
            let (quiet, flagged) = (Judgement::default(), held(verdict(Subject::Pair, None)));
            let mut pass = |judgement, now| {
                gate.pass(&policy, &call, judgement, now).map(|r| r.state)
            };
            pass(&quiet, NOW);
            prop_assert_eq!(pass(&flagged, NOW), Some(State::Denied));
            prop_assert_eq!(pass(&flagged, NOW), Some(State::Capped));
            let later = NOW.plus(Duration::from_millis(pause));
            prop_assert_eq!(pass(&flagged, later), Some(State::Capped), "one of one");
            prop_assert_eq!(pass(&flagged, later), Some(State::Denied), "one of two");
        }
    }
}
