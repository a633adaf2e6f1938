//! The alerts of all proxies, as they come.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pairwatch_testbed::{Alert, Context, Mark, Mesh, Result};
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use crate::screen::Screen;

/// How often the line that shows the seconds left is drawn.
const SECOND: Duration = Duration::from_secs(1);
/// Calm, when all incidents are resolved: this long after the last alert.
const AFTER_RESOLVED: Duration = Duration::from_secs(2);
/// Calm, when some stay open: this long after the last alert.
const AFTER_OPEN: Duration = Duration::from_secs(8);

/// An alert and the proxy that gave it.
pub(crate) struct Heard {
    pub(crate) proxy: String,
    pub(crate) alert: Alert,
    pub(crate) at: Instant,
}

/// What came while it listened.
pub(crate) struct Listened {
    /// The alert it waited for.
    pub(crate) found: Option<Heard>,
    /// Alerts that say something is wrong.
    pub(crate) raised: usize,
}

pub(crate) struct Watch {
    alerts: mpsc::UnboundedReceiver<Result<Heard>>,
    open: BTreeSet<(String, String)>,
    last_raised: Option<Instant>,
}

impl Watch {
    /// Follows the logs of all proxies from here on.
    pub(crate) fn new(mesh: &Mesh) -> Self {
        let (sender, alerts) = mpsc::unbounded_channel();
        for envoy in mesh.envoys() {
            let (proxy, log, sender) =
                (envoy.name().to_owned(), envoy.log().clone(), sender.clone());
            tokio::spawn(async move {
                let mut mark = Mark::default();
                while let Some(line) = log.next(&mut mark).await {
                    let Some(alert) = Alert::parse(&line.message) else {
                        continue;
                    };
                    let heard = alert.map(|alert| Heard {
                        proxy: proxy.clone(),
                        alert,
                        at: line.at,
                    });
                    if sender
                        .send(heard.with_context(|| format!("in the log of {proxy}")))
                        .is_err()
                    {
                        return;
                    }
                }
                let _ = sender.send(Err(pairwatch_testbed::Error::msg(format!(
                    "{proxy} ended; {}",
                    log.tail()
                ))));
            });
        }
        Self {
            alerts,
            open: BTreeSet::new(),
            last_raised: None,
        }
    }

    /// Shows alerts for as long as `time`, or until one is the one `wanted`.
    pub(crate) async fn listen(
        &mut self,
        screen: &Screen,
        phase: &str,
        time: Duration,
        wanted: impl Fn(&Heard) -> bool,
    ) -> Result<Listened> {
        screen.line(&format!("{phase} ({} s)", time.as_secs()));
        let end = Instant::now() + time;
        let mut raised = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Listened {
                    found: None,
                    raised,
                });
            }
            screen.progress(&format!("{} s left", left.as_secs() + 1));
            let Some(heard) = self.next(screen, left.min(SECOND)).await? else {
                continue;
            };
            raised += usize::from(heard.alert.is_raised());
            if wanted(&heard) {
                return Ok(Listened {
                    found: Some(heard),
                    raised,
                });
            }
        }
    }

    /// Awaits that what was raised is resolved, or that no more comes; at most for `time`.
    pub(crate) async fn calm(&mut self, screen: &Screen, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let quiet_for = self
                .last_raised
                .map_or(Duration::MAX, |last| last.elapsed());
            let enough = if self.open.is_empty() {
                AFTER_RESOLVED
            } else {
                AFTER_OPEN
            };
            if quiet_for >= enough || Instant::now() >= end {
                return Ok(());
            }
            screen.progress("waiting until it is calm again");
            self.next(screen, SECOND).await?;
        }
    }

    /// Shows alerts until the demo is stopped.
    pub(crate) async fn listen_on(&mut self, screen: &Screen) -> Result<()> {
        loop {
            self.next(screen, SECOND).await?;
        }
    }

    /// The next alert within `time`, shown.
    async fn next(&mut self, screen: &Screen, time: Duration) -> Result<Option<Heard>> {
        let end = tokio::time::Instant::now() + time;
        let Ok(heard) = timeout_at(end, self.alerts.recv()).await else {
            return Ok(None);
        };
        let heard = heard.context("no proxy is left")??;
        let alert = &heard.alert;
        let incident = (heard.proxy.clone(), alert.id.clone());
        if alert.is_raised() {
            self.last_raised = Some(heard.at);
            self.open.insert(incident);
        } else {
            self.open.remove(&incident);
        }
        let state = if alert.state == "open" {
            String::new()
        } else {
            format!(", {}", alert.state)
        };
        screen.line(&format!(
            "  [{}] {} ({}{state}): {}",
            heard.proxy, alert.kind, alert.severity, alert.message
        ));
        Ok(Some(heard))
    }
}
