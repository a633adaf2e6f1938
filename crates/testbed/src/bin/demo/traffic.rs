//! Ordinary traffic: users browse, look at their accounts, log in (some mistype, and try again), and check out.

use std::time::Duration;

use pairwatch_testbed::apps::PASSWORD;
use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::{Context, Counts, Load, Mesh, Prng, Result, Visitor};

/// Visits a second, of each kind.
pub(crate) const BROWSING: f64 = 15.0;
const ACCOUNTS: f64 = 3.0;
const LOGINS: f64 = 4.0;
const CHECKOUTS: f64 = 2.0;

/// One login in forty has a wrong password first.
const MISTYPED: f64 = 0.025;
/// A user types it again after about this long.
const RETYPING: Duration = Duration::from_millis(1500);
/// Users, each with an address (203.0.113.0/24 is for documentation).
const USERS: u64 = 60;

/// All of it. Dropping it ends it.
pub(crate) struct Traffic(Vec<Load>);

impl Traffic {
    /// Starts it, and awaits that every kind of it is answered.
    pub(crate) async fn start(mesh: &Mesh) -> Result<Self> {
        let (page, account) = (mesh.gateway_url("/")?, mesh.gateway_url("/account")?);
        let (login, checkout) = (mesh.gateway_url("/login")?, mesh.gateway_url("/checkout")?);
        let loads = vec![
            Load::start(BROWSING, 11, move |visitor| {
                once(visitor, Method::GET, page.clone())
            }),
            Load::start(ACCOUNTS, 12, move |visitor| {
                once(visitor, Method::GET, account.clone())
            }),
            Load::start(LOGINS, 13, move |visitor| log_in(visitor, login.clone())),
            Load::start(CHECKOUTS, 14, move |visitor| {
                once(visitor, Method::POST, checkout.clone())
            }),
        ];
        for load in &loads {
            let answered = load.wait_for(Duration::from_secs(15), |counts| counts.status(200) > 0);
            answered.await.context("ordinary traffic is not answered")?;
        }
        Ok(Self(loads))
    }

    /// What came of it so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for counts in self.0.iter().map(Load::counts) {
            counts
                .statuses
                .iter()
                .for_each(|(status, count)| *all.statuses.entry(*status).or_default() += count);
            all.errors += counts.errors;
            all.dropped += counts.dropped;
        }
        all
    }
}

async fn once(mut visitor: Visitor, method: Method, url: String) {
    let (_, address) = user(&mut visitor.random);
    send(&visitor, method, &url, &address, "").await;
}

async fn log_in(mut visitor: Visitor, url: String) {
    let (user, address) = user(&mut visitor.random);
    if visitor.random.chance(MISTYPED) {
        send(
            &visitor,
            Method::POST,
            &url,
            &address,
            &format!("user={user}&password=corect horse"),
        )
        .await;
        let pause = visitor.random.log_normal(RETYPING, 0.4);
        tokio::time::sleep(pause).await;
    }
    send(
        &visitor,
        Method::POST,
        &url,
        &address,
        &format!("user={user}&password={PASSWORD}"),
    )
    .await;
}

/// Sends what a client at `address` sent to the load balancer in front of the gateway.
pub(crate) async fn send(visitor: &Visitor, method: Method, url: &str, address: &str, body: &str) {
    let headers = [("x-forwarded-for", address), ("user-agent", "Mozilla/5.0")];
    visitor.send(request(method, url, &headers, body)).await;
}

fn user(random: &mut Prng) -> (String, String) {
    let number = 1 + random.below(USERS);
    (format!("user-{number}"), format!("203.0.113.{number}"))
}
