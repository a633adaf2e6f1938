//! Three attacks, and the alert each has to give.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pairwatch_testbed::apps::PASSWORD;
use pairwatch_testbed::http::{Method, get_for, request};
use pairwatch_testbed::{Alert, Load, Mesh};

use crate::screen::Screen;
use crate::traffic::{BROWSING, send};
use crate::watch::Watch;

/// How far above its normal rate a compromised frontend goes.
const BURST: f64 = 20.0;
/// Wrong passwords a second.
const GUESSES: f64 = 40.0;
/// One guess in this many is right: a leaked password that still holds.
const RIGHT: u64 = 120;
/// Where they come from (198.51.100.0/24 is for documentation).
const ATTACKER: &str = "198.51.100.23";
/// Calls a second on a way that was never taken.
const PROBES: f64 = 5.0;

/// What an attack is, and how it's known.
pub(crate) struct Attack {
    pub(crate) title: &'static str,
    /// What to show of it while it runs.
    story: &'static str,
    /// Any of these counts.
    pub(crate) kinds: &'static [&'static str],
    between: fn(&Alert) -> bool,
    start: fn(&Mesh) -> pairwatch_testbed::Result<Load>,
}

/// The alert that gave an attack away.
pub(crate) struct Seen {
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) after: Duration,
}

/// Nothing: missed.
pub(crate) type Result = Option<Seen>;

pub(crate) const ALL: &[Attack] = &[
    Attack {
        title: "burst: frontend → catalog at 20 × its rate",
        story: "Attack 1: a compromised frontend calls catalog at 20 times its normal rate",
        kinds: &["rate_spike"],
        between: |alert| alert.is_between("frontend", "catalog"),
        start: burst,
    },
    Attack {
        title: "wrong passwords for many users at POST /login",
        story: "Attack 2: through the gateway, wrong passwords for many users, and now and then a right one",
        kinds: &["auth_failures", "credential_stuffing"],
        between: |alert| alert.is_between("", "frontend") || alert.is_between("", "accounts"),
        start: guess,
    },
    Attack {
        title: "catalog → payments, which it never called",
        story: "Attack 3: catalog calls payments, which it never did before",
        kinds: &["new_pair", "lateral_movement"],
        between: |alert| alert.is_between("catalog", "payments"),
        start: probe,
    },
];

impl Attack {
    /// Runs it until it's seen, or `patience` is over.
    pub(crate) async fn run(
        &'static self,
        screen: &Screen,
        mesh: &Mesh,
        watch: &mut Watch,
        patience: Duration,
    ) -> pairwatch_testbed::Result<(&'static Self, Result)> {
        let began = Instant::now();
        let load = (self.start)(mesh)?;
        let listened = watch.listen(screen, self.story, patience, |heard| {
            let alert = &heard.alert;
            heard.at >= began
                && alert.is_raised()
                && self.kinds.contains(&alert.kind.as_str())
                && (self.between)(alert)
        });
        let found = listened.await?.found;
        let sent = load.stop().await;
        let seen = found.map(|heard| {
            let after = heard.at.duration_since(began);
            Seen {
                kind: heard.alert.kind,
                severity: heard.alert.severity,
                after,
            }
        });
        let responses = sent.responses();
        screen.line(&match &seen {
            Some(seen) => format!(
                "  → seen after {:.1} s and {responses} requests",
                seen.after.as_secs_f64()
            ),
            None => format!(
                "  → NOT seen in {} s and {responses} requests",
                patience.as_secs()
            ),
        });
        Ok((self, seen))
    }
}

fn burst(mesh: &Mesh) -> pairwatch_testbed::Result<Load> {
    let url = mesh.outbound_url("frontend", "/products/")?;
    Ok(Load::start(BROWSING * BURST, 21, move |mut visitor| {
        let product = get_for("catalog", &format!("{url}{}", visitor.random.below(200)));
        async move {
            visitor.send(product).await;
        }
    }))
}

fn guess(mesh: &Mesh) -> pairwatch_testbed::Result<Load> {
    let url = mesh.gateway_url("/login")?;
    let guesses = Arc::new(AtomicU64::new(1));
    Ok(Load::start(GUESSES, 22, move |visitor| {
        let guess = guesses.fetch_add(1, Ordering::Relaxed);
        let password = if guess.is_multiple_of(RIGHT) {
            PASSWORD
        } else {
            "123456"
        };
        let body = format!("user=user-{guess}&password={password}");
        let url = url.clone();
        async move { send(&visitor, Method::POST, &url, ATTACKER, &body).await }
    }))
}

fn probe(mesh: &Mesh) -> pairwatch_testbed::Result<Load> {
    let url = mesh.outbound_url("catalog", "/charge")?;
    Ok(Load::start(PROBES, 23, move |visitor| {
        let charge = request(Method::POST, &url, &[("host", "payments")], "");
        async move {
            visitor.send(charge).await;
        }
    }))
}
