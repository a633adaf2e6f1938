//! The verdict line: what was done about one request, for whoever decides whether a rule leaves its shadow.
//!
//! One JSON object on one line that begins `{"pairwatch":"verdict"`, beside the alert lines in the proxy's log. How many
//! are written a second is capped by whoever writes them: all are counted.

use super::{Rulebook, Ruling};
use crate::Time;
use crate::alerts::{Kind, Severity};
use crate::counters::bounded;
use crate::exchange::Exchange;
use crate::json_line;
use serde::Serialize;

/// Version of the line's fields.
const VERSION: u32 = 1;

/// A verdict line, in the order its fields are written.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    pairwatch: &'static str,
    version: u32,
    time: String,
    state: &'static str,
    severity: Severity,
    score: u8,
    kind: Kind,
    source: &'a str,
    destination: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    route: &'a str,
    /// The broken rule, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    /// Place of the rule among `verdicts.deny`, where one fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    deny: Option<usize>,
}

impl<'a> Line<'a> {
    /// What is written of a ruling.
    pub fn new(
        ruling: &Ruling,
        exchange: &'a Exchange<'a>,
        template: &'a str,
        rules: &'a Rulebook,
        now: Time,
    ) -> Self {
        let verdict = &ruling.verdict;
        Self {
            pairwatch: "verdict",
            version: VERSION,
            time: now.rfc3339(),
            state: ruling.state.name(),
            severity: verdict.severity,
            score: verdict.score,
            kind: verdict.kind,
            source: exchange.source,
            destination: exchange.destination,
            identity: exchange.identity.map(bounded),
            address: exchange.address.map(|a| a.to_string()),
            route: template,
            rule: verdict
                .rule
                .and_then(|r| rules.get(r))
                .map(|r| r.name.as_str()),
            deny: ruling.denial,
        }
    }

    /// The line, without the line break.
    pub fn to_line(&self) -> String {
        // Strings and numbers only: writing them can't fail.
        json_line::of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdicts::{State, Subject, Verdict};
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    proptest! {
        #[test]
        fn whatever_a_client_makes_up_a_line_is_one_line_of_json_and_bounded(
            source in "\\PC{0,253}", identity in "\\PC{0,2000}", path in prop::collection::vec(any::<u8>(), 0..500),
        ) {
            let source = crate::exchange::principal::bounded(&source);
            let exchange = Exchange {
                source: &source,
                destination: "d",
                identity: Some(&identity),
                address: None,
                method: b"GET",
                path: &path,
                status: 0,
                grpc_status: None,
                request_bytes: 0,
                response_bytes: 0,
                duration_us: 0,
            };
            let ruling = Ruling {
                state: State::Shadow,
                verdict: Verdict {
                    score: 80,
                    kind: Kind::NewRoute,
                    severity: Severity::High,
                    subject: Subject::Request,
                    since: None,
                    rule: Some(3),
                },
                denial: Some(0),
            };
            let template = crate::exchange::route::Template::of(b"GET", &path);
            let line = Line::new(&ruling, &exchange, template.as_str(), &Rulebook::default(), Time(0)).to_line();
            let begins = line.starts_with(r#"{"pairwatch":"verdict""#);
            prop_assert!(begins && !line.contains('\n'));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
            // Six bytes for each escaped one at most.
            prop_assert!(line.len() < 6 * (253 + 128 + 120) + 400, "{} bytes", line.len());
        }
    }
}
