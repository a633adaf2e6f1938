//! What becomes of findings.

use super::*;
use crate::alerts::State;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn minutes(n: u64) -> Time {
    Time(n * 60_000)
}

/// Incidents, and the clock in minutes.
struct Desk {
    incidents: Incidents,
    config: Config,
    lines: Vec<Alert>,
}

impl Desk {
    fn new(config: &str) -> Self {
        Self {
            incidents: Incidents::default(),
            config: Config::from_json(config.as_bytes()).unwrap(),
            lines: Vec::new(),
        }
    }

    /// A finding of the minute before `at`; the line it is worth.
    fn report(
        &mut self,
        pair: (&str, &str),
        kind: Kind,
        severity: Severity,
        at: u64,
    ) -> Option<Alert> {
        self.report_score(pair, kind, severity, 60, at)
    }

    fn report_score(
        &mut self,
        (source, destination): (&str, &str),
        kind: Kind,
        severity: Severity,
        score: u8,
        at: u64,
    ) -> Option<Alert> {
        self.advance(at);
        let finding = Finding {
            kind,
            severity,
            score,
            since: minutes(at - 1),
            until: minutes(at),
            evidence: vec![Evidence {
                signal: kind.name().to_owned(),
                unit: "share".to_owned(),
                actual: Some(0.5),
                typical: Some(0.1),
                // As a first call has none.
                band: None,
                contribution: 1.0,
            }],
            maturity: 1.0,
            techniques: &[],
            words: format!("a {kind}"),
            who: Who::default(),
        };
        let line = self
            .incidents
            .report(source, destination, finding, minutes(at), &self.config);
        self.lines.extend(line.clone());
        line
    }

    /// The lines that time passing is worth.
    fn advance(&mut self, at: u64) -> Vec<Alert> {
        let lines = self
            .incidents
            .advance(minutes(at), |_, _, _| End::Over, &self.config);
        self.lines.extend(lines.clone());
        lines
    }

    fn told(&self) -> Vec<(State, Kind)> {
        self.lines.iter().map(|l| (l.state, l.kind)).collect()
    }
}

use Kind::*;
use Severity::{High, Low, Medium};
use State::{Open, Resolved, Updated};

#[test]
fn what_joins_an_incident_is_told_only_if_it_says_more() {
    let mut desk = Desk::new("");
    let open = desk.report(("a", "b"), RateSpike, Low, 1).unwrap();
    assert_eq!(open.state, Open);
    assert!(
        desk.report(("a", "b"), RateSpike, Low, 2).is_none(),
        "nothing new"
    );
    let more = desk.report(("a", "b"), AuthFailures, High, 3).unwrap();
    assert_eq!(
        (more.state, more.kind, &more.id),
        (Updated, AuthFailures, &open.id)
    );
    assert!(
        desk.report(("a", "b"), RateSpike, Low, 4).is_none(),
        "the lesser kind is no news"
    );
}

#[test]
fn among_kinds_of_one_weight_the_one_with_the_most_evidence_names_the_incident() {
    let mut desk = Desk::new("");
    desk.report_score(("a", "b"), AuthFailures, Medium, 60, 1);
    assert!(
        desk.report_score(("a", "b"), ClientErrors, Medium, 55, 2)
            .is_none(),
        "less evidence is no news"
    );
    let line = desk
        .report_score(("a", "b"), ClientErrors, Medium, 90, 3)
        .unwrap();
    assert_eq!(line.kind, ClientErrors);
    assert!(
        line.message.contains("also a auth_failures"),
        "{}",
        line.message
    );
    assert!(
        desk.report_score(("a", "b"), AuthFailures, Medium, 95, 4)
            .is_none(),
        "what was told once is no news when it leads again"
    );
}

#[test]
fn an_incident_is_resolved_once_when_it_has_been_quiet_and_says_when_it_was_last_odd() {
    let mut desk = Desk::new("");
    desk.report(("a", "b"), Latency, Low, 1);
    desk.incidents.touch("a", "b", minutes(5));
    assert!(
        desk.advance(15).is_empty(),
        "ten minutes from when it was last odd, and some seconds until all has come in"
    );
    let over = desk.advance(16);
    assert_eq!(over.len(), 1);
    assert_eq!(over[0].time, minutes(5).rfc3339(), "when it was last odd");
    assert_eq!(over[0].since, minutes(0).rfc3339());
    assert!(desk.advance(99).is_empty());
}

#[test]
fn only_what_is_known_to_be_over_is_said_to_be() {
    let said = |kind, end: End| {
        let mut desk = Desk::new("");
        desk.report(("a", "b"), kind, Low, 1);
        let lines = desk
            .incidents
            .advance(minutes(20), |_, _, _| end, &desk.config);
        lines[0].message.clone()
    };
    for (kind, end, words) in [
        (RateDrop, End::Over, "over since"),
        (RateDrop, End::Silent, "silent still"),
        (RateDrop, End::Usual, "taken as usual"),
        (Latency, End::Usual, "taken as usual"),
        (Latency, End::Silent, "over since"),
    ] {
        let said = said(kind, end);
        assert!(said.contains(words), "{kind} {end:?}: {said}");
    }
}

#[test]
fn made_up_pairs_open_only_so_many_incidents() {
    let mut desk = Desk::new("");
    for i in 0..10_000 {
        desk.report((&format!("s{i}"), "b"), NewPair, Medium, 1);
    }
    assert_eq!(desk.lines.len(), 20);
    assert_eq!(desk.incidents.count(), (20, 9_980));
}

#[test]
fn a_fan_out_without_end_is_one_incident_of_bounded_size_and_leaves_nothing_behind() {
    let mut desk = Desk::new("");
    for i in 0..6_000 {
        desk.report(("bot", &format!("d{i}")), RateSpike, Low, 1);
    }
    assert_eq!(desk.told(), [(Open, RateSpike)]);
    assert!(
        desk.report(("a", "b"), Latency, Low, 1).is_none(),
        "no room for another"
    );
    assert_eq!(desk.incidents.count(), (1, 1));
    assert!(!desk.incidents.is_open("bot", "d5999"));
    let over = desk.advance(30);
    assert!(
        over[0].message.contains("and 4095 other services"),
        "{}",
        over[0].message
    );
    assert_eq!(over[0].pairs.len(), 10);
    assert!(desk.report(("a", "b"), Latency, Low, 31).is_some());
}

#[test]
fn a_clock_that_is_set_back_silences_nothing() {
    let mut desk = Desk::new("");
    desk.report(("a", "b"), AuthFailures, High, 1000);
    desk.advance(500);
    desk.incidents.touch("a", "b", minutes(505));
    assert!(
        desk.report(("a", "b"), AuthFailures, High, 511).is_some(),
        "an update is due"
    );
    assert_eq!(desk.advance(530).len(), 1);
    assert_eq!(desk.incidents.count().0, 0);
}

#[test]
fn a_callers_burst_over_ten_pairs_is_one_incident_that_lists_them() {
    let mut desk = Desk::new("");
    for i in 0..10 {
        desk.report(("frontend", &format!("d{i}")), RateSpike, Low, 1 + i / 5);
    }
    assert_eq!(desk.told(), [(Open, RateSpike)]);
    let over = desk.advance(30);
    assert_eq!(over.len(), 1);
    assert_eq!(
        (over[0].pairs.len(), over[0].destination.as_str()),
        (9, "d0")
    );
    assert!(
        over[0]
            .message
            .starts_with("frontend → d0 and 9 other services: "),
        "{}",
        over[0].message
    );
}

#[test]
fn a_deployment_seen_by_ten_callers_is_one_incident_and_two_lines() {
    let mut desk = Desk::new("");
    for i in 0..10 {
        let kind = if i % 4 == 3 { Latency } else { ServerErrors };
        desk.report((&format!("s{i}"), "catalog"), kind, Medium, 1 + i / 3);
    }
    desk.advance(60);
    assert_eq!(
        desk.told(),
        [(Open, ServerErrors), (Resolved, ServerErrors)]
    );
    assert!(
        desk.lines[1]
            .message
            .contains("s0 and 9 other callers → catalog")
    );
}

#[test]
fn one_callers_errors_at_two_destinations_have_two_causes() {
    let mut desk = Desk::new("");
    desk.report(("a", "b"), ServerErrors, Medium, 1);
    desk.report(("a", "c"), ServerErrors, Medium, 1);
    assert_eq!(desk.told(), [(Open, ServerErrors); 2]);
}

#[test]
fn what_shows_long_after_has_another_cause() {
    let mut desk = Desk::new(r#"{"alerts":{"resolve_after":"1h"}}"#);
    desk.report(("a", "b"), RateSpike, Low, 1);
    desk.report(("a", "c"), RateSpike, Low, 17);
    assert_eq!(desk.told(), [(Open, RateSpike); 2]);
}

#[test]
fn a_third_new_destination_within_a_quarter_of_an_hour_is_lateral_movement() {
    let mut desk = Desk::new("");
    // The second comes after the first is resolved.
    for (i, at) in [1, 13, 15].into_iter().enumerate() {
        desk.report(("web", &format!("d{i}")), NewPair, Medium, at);
    }
    let line = desk.lines.last().unwrap();
    assert_eq!((line.kind, line.severity), (LateralMovement, High));
    assert!(
        line.message.contains("first calls ever to 3 services"),
        "{}",
        line.message
    );
    assert_eq!(line.actual, Some(3.0));
    assert!(line.techniques.iter().any(|t| t == "T1021"));
    assert!(desk.lines.iter().all(|l| l.id == line.id), "one incident");
    for i in 3..9 {
        desk.report(("web", &format!("d{i}")), NewPair, Medium, 16);
    }
    assert_eq!(
        desk.lines.last().unwrap().actual,
        Some(3.0),
        "a fourth is no news"
    );
    desk.advance(60);
    assert_eq!(
        desk.lines.last().unwrap().actual,
        Some(9.0),
        "the last line knows them all"
    );
}

#[test]
fn new_destinations_an_hour_apart_or_of_nobody_known_are_no_movement() {
    let mut desk = Desk::new("");
    for i in 0..6 {
        desk.report(("web", &format!("d{i}")), NewPair, Medium, 1 + 60 * i);
        desk.report(("external", &format!("d{i}")), NewPair, Medium, 1 + 60 * i);
        desk.report(("external", &format!("e{i}")), NewPair, Medium, 2 + 60 * i);
        desk.report(("external", &format!("f{i}")), NewPair, Medium, 3 + 60 * i);
    }
    assert!(
        desk.lines.iter().all(|l| l.kind == NewPair),
        "{:?}",
        desk.told()
    );
}

#[test]
fn an_incident_that_returns_is_open_again_under_its_id() {
    let mut desk = Desk::new("");
    desk.report(("a", "b"), AuthFailures, High, 1);
    desk.advance(12);
    let again = desk.report(("a", "b"), ClientErrors, High, 30).unwrap();
    assert_eq!((again.state, again.reopened), (Open, 1));
    assert_eq!(again.id, desk.lines[0].id);
    assert_eq!(again.since, minutes(29).rfc3339());
    desk.advance(45);
    let late = desk.report(("a", "b"), AuthFailures, High, 120).unwrap();
    assert_eq!(late.reopened, 0, "an hour later it is another");
    assert_ne!(late.id, again.id);
    desk.advance(150);
    let other = desk.report(("a", "b"), RateSpike, Low, 155).unwrap();
    assert_ne!(other.id, late.id, "of another family it is another");
}

#[test]
fn a_group_returns_by_any_of_its_pairs() {
    let mut desk = Desk::new("");
    for s in ["a", "b", "c"] {
        desk.report((s, "db"), ServerErrors, Medium, 1);
    }
    desk.advance(20);
    let again = desk.report(("c", "db"), ServerErrors, Medium, 40).unwrap();
    assert_eq!((&again.id, again.reopened), (&desk.lines[0].id, 1));
    assert!(again.pairs.is_empty(), "the others are well this time");
}

#[test]
fn a_cause_that_flaps_writes_no_line_a_flap() {
    let mut desk =
        Desk::new(r#"{"windows":["30s"],"alerts":{"resolve_after":"1m","update_every":"30m"}}"#);
    for flap in 0..100 {
        desk.report(("a", "b"), AuthFailures, High, 1 + 3 * flap);
    }
    desk.advance(400);
    // Over five hours: a line each half hour at most, and one when each of those is over.
    assert!(desk.lines.len() <= 22, "{} lines", desk.lines.len());
    assert!(desk.lines.len() >= 10, "it is not silenced");
    assert!(desk.lines.iter().all(|l| l.id == desk.lines[0].id));
}

#[test]
fn what_came_back_too_soon_for_a_line_is_told_when_one_is_due_if_it_is_odd_still() {
    let mut desk =
        Desk::new(r#"{"windows":["1m"],"alerts":{"resolve_after":"2m","update_every":"10m"}}"#);
    desk.report(("a", "b"), AuthFailures, High, 1);
    desk.advance(3);
    assert!(desk.report(("a", "b"), AuthFailures, High, 5).is_none());
    for at in 6..14 {
        desk.incidents.touch("a", "b", minutes(at));
        assert!(desk.advance(at).is_empty() || at == 13, "at {at}");
    }
    assert_eq!(desk.told().last(), Some(&(Open, AuthFailures)));
    assert_eq!(desk.lines.len(), 3);
}

#[test]
fn a_return_that_says_more_is_told_at_once() {
    let mut desk = Desk::new("");
    desk.report(("a", "b"), AuthFailures, Medium, 1);
    desk.advance(12);
    assert!(desk.report(("a", "b"), AuthFailures, Medium, 14).is_none());
    let line = desk.report(("a", "b"), AuthFailures, High, 15).unwrap();
    assert_eq!((line.state, line.severity), (Open, High));
}

const RULE: &str = r#"{"suppressions":[{"source":"load*","reason":"a load test","until":"1970-01-01T02:00:00Z"}]}"#;

#[test]
fn what_a_rule_hides_carries_its_reason_until_the_rule_ends() {
    let mut desk = Desk::new(RULE);
    let line = desk
        .report(("loadtest", "b"), ServerErrors, Medium, 1)
        .unwrap();
    assert_eq!(line.suppressed.as_deref(), Some("a load test"));
    let over = desk.advance(20);
    assert_eq!((over.len(), over[0].rule), (1, Some(0)));
    let line = desk
        .report(("loadtest", "b"), ServerErrors, Medium, 130)
        .unwrap();
    assert_eq!((line.state, line.suppressed), (Open, None));
}

#[test]
fn a_rule_hides_no_more_than_its_scope() {
    let mut desk = Desk::new(RULE);
    desk.report(("loadtest", "db"), ServerErrors, Medium, 1);
    let line = desk
        .report(("frontend", "db"), ServerErrors, Medium, 2)
        .unwrap();
    assert_eq!(
        (line.state, line.suppressed),
        (Open, None),
        "another caller's trouble"
    );
    assert!(line.pairs.is_empty());
}

#[test]
fn what_is_not_hidden_takes_over_what_was() {
    let mut desk = Desk::new(
        r#"{"suppressions":[{"kind":"auth_failures","reason":"a scanner of ours","until":"1970-01-02T00:00:00Z"}]}"#,
    );
    let hidden = desk.report(("a", "b"), AuthFailures, High, 1).unwrap();
    let told = desk.report(("a", "b"), RateDrop, Low, 2).unwrap();
    assert!(hidden.suppressed.is_some());
    assert_eq!(
        (told.state, told.kind, told.severity, told.suppressed),
        (Open, RateDrop, Low, None)
    );
    assert!(!told.message.contains("auth_failures"), "{}", told.message);
    assert!(desk.report(("a", "b"), AuthFailures, High, 3).is_none());
    let over = desk.advance(30);
    assert_eq!((over.len(), over[0].kind), (1, RateDrop));
}

#[test]
fn what_was_hidden_ends_without_a_line_once_its_rule_has_ended() {
    let mut desk = Desk::new(
        r#"{"maintenance":[{"destination":"db","from":"1970-01-01T00:00:00Z","until":"1970-01-01T00:30:00Z","reason":"an upgrade"}]}"#,
    );
    let line = desk.report(("a", "db"), ServerErrors, Medium, 29).unwrap();
    assert_eq!(line.suppressed.as_deref(), Some("an upgrade"));
    let straddles = desk.report(("b", "db"), Latency, Low, 30);
    assert!(
        straddles.is_none_or(|l| l.suppressed.is_some()),
        "it began in it"
    );
    let after = desk.report(("a", "db"), ServerErrors, Medium, 32).unwrap();
    assert_eq!(
        (after.state, after.suppressed),
        (Open, None),
        "it goes on after"
    );
}

#[test]
fn the_shares_of_the_evidence_add_up() {
    let mut desk = Desk::new("");
    desk.report_score(("a", "b"), RateSpike, Low, 80, 1);
    let line = desk
        .report_score(("a", "b"), AuthFailures, High, 60, 2)
        .unwrap();
    assert_eq!(line.evidence[0].signal, "auth_failures");
    let sum: f64 = line.evidence.iter().map(|e| e.contribution).sum();
    assert!((sum - 1.0).abs() < 1e-3, "{sum}");
}

proptest! {
    #[test]
    fn whatever_is_found_a_pair_is_in_one_open_incident_and_each_id_opens_before_it_ends(
        steps in prop::collection::vec((0u8..4, 0u8..4, 0usize..8, 0u8..5, 50u8..100, 0u64..20, any::<bool>()), 1..120),
    ) {
        const KINDS: [Kind; 8] =
            [RateSpike, RateDrop, Latency, ServerErrors, AuthFailures, NewPair, NewRoute, Scanning];
        const SEVERITIES: [Severity; 5] = [Severity::Info, Low, Medium, High, Severity::Critical];
        let mut desk = Desk::new(
            r#"{"suppressions":[{"source":"s0","reason":"x","until":"1970-01-01T10:00:00Z"}],"alerts":{"update_every":"5m"}}"#,
        );
        let mut at = 1;
        for (s, d, kind, severity, score, wait, restored) in steps {
            at += wait;
            let (s, d) = (format!("s{s}"), format!("d{d}"));
            desk.report_score((&s, &d), KINDS[kind], SEVERITIES[usize::from(severity)], score, at);
            if restored {
                let bytes = postcard::to_allocvec(&desk.incidents).unwrap();
                desk.incidents = postcard::from_bytes(&bytes).unwrap();
            }
            let mut seen = std::collections::BTreeSet::new();
            for (number, incident) in &desk.incidents.open {
                for pair in incident.odd() {
                    prop_assert!(seen.insert(pair.clone()), "{pair:?} twice");
                    prop_assert_eq!(desk.incidents.members.get(&pair.0, &pair.1), Some(*number));
                }
            }
            prop_assert!(desk.incidents.is_open(&s, &d));
            // What a rule hides is held against nobody; what single requests did, not against the pair's others.
            let held = desk.incidents.standings().find(|(a, b, ..)| (*a, *b) == (&s, &d));
            let single = KINDS[kind] == NewRoute;
            prop_assert!(s == "s0" || single || held.is_some_and(|(.., h)| h.score >= 50));
            prop_assert!(desk.incidents.lasted(&s, &d, minutes(at)).is_some());
        }
        desk.advance(at + 500);
        prop_assert_eq!(desk.incidents.count().0, 0);
        let mut open = std::collections::BTreeMap::new();
        for line in desk.lines.iter().filter(|l| l.suppressed.is_none()) {
            let is_open = open.entry(line.id.clone()).or_insert(false);
            prop_assert_eq!(*is_open, line.state != Open, "{}: {:?}", line.id, line.state);
            *is_open = line.state != Resolved;
        }
        prop_assert!(open.values().all(|o| !o), "all ended");
    }
}
