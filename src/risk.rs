//! The gauge of each suspicious source, for the rules that compare Envoys: the glue around [`pairwatch_engine::sources`].

use crate::host;
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::sources::Sources;
use proxy_wasm::types::MetricType::Gauge;

/// Where names and open incidents outlive the VM, as the series do.
const SOURCES: &str = "pairwatch.sources";

#[derive(Debug)]
pub(crate) struct Risk {
    sources: Sources,
    /// In the order of the sources' names.
    gauges: Vec<Option<u32>>,
}

impl Risk {
    /// Goes on where the last leader left off; with a new aggregator, without its incidents.
    pub(crate) fn take_over(restored: bool) -> Self {
        let mut sources = Sources::from_frame(&host::shared(SOURCES).0).unwrap_or_default();
        if !restored {
            sources.forget_incidents();
        }
        let mut risk = Self {
            sources,
            gauges: Vec::new(),
        };
        risk.tell();
        risk
    }

    /// Takes in an alert that was raised.
    pub(crate) fn alert(&mut self, alert: &Alert) {
        self.sources.see(
            &alert.id,
            alert.kind,
            &alert.source,
            alert.state,
            alert.score,
        );
        host::share(SOURCES, &self.sources.to_frame(), None);
        self.tell();
    }

    /// That no source is suspicious any more, because nobody looks.
    pub(crate) fn rest(mut self) {
        self.sources.forget_incidents();
        host::share(SOURCES, &self.sources.to_frame(), None);
        self.tell();
    }

    fn tell(&mut self) {
        for (place, (source, score)) in self.sources.scores().enumerate() {
            if self.gauges.len() <= place {
                let name = format!("pairwatch_source_scoresource=.={source};.;");
                self.gauges.push(host::metric(Gauge, &name));
            }
            host::gauge(self.gauges.get(place).copied().flatten(), u64::from(score));
        }
    }
}
