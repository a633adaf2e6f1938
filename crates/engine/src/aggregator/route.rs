//! What is known of one route of a pair: what a request of it usually takes and gives, and how often it fails.

use crate::Time;
use crate::baselines::anchor::Anchor;
use crate::baselines::outcomes::Outcomes;
use crate::counters::{Failures, RouteCounts, STEPS_PER_OCTAVE};
use crate::signals::Usual;
use crate::signals::response_bytes::UNNOTICED;
use crate::windows::Window;
use serde::{Deserialize, Serialize};

/// Served exchanges after which a route's usual duration and sizes are worth comparing with.
const KNOWN: f32 = 8.0;
/// Served exchanges that a route's usual is worth where a new one is believed: few, so that as many replace it.
const DOUBTED: f32 = 16.0;
/// Served exchanges from which on a route's usual makes what is far from it weigh less.
const FIRM: f32 = 50.0;
/// Octaves from the usual at which an exchange teaches half as much: sixteen times, or a sixteenth. Nearer, and the usual of a
/// route whose durations are spread over a factor of ten and skewed would be that of its quick half, and all windows slow.
const FAR: f32 = 4.0;
/// Served exchanges a route's usual values are averaged over, so that they follow a change within a few hundred.
const MEMORY: f32 = 500.0;

/// Seconds.
const DAY: f32 = 86_400.0;

/// What is known of a route.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Route {
    pub(super) template: Box<str>,
    /// Shortest windows in which it was seen.
    pub(super) samples: u32,
    last_sample: Time,
    /// Served exchanges, up to the memory.
    pub(super) served: f32,
    /// Octaves of a microsecond.
    pub(super) duration: f32,
    request_bytes: f32,
    response_bytes: f32,
    /// What holds the three.
    anchors: [Anchor; 3],
    /// All exchanges, and how many of them failed.
    pub(super) outcomes: Outcomes,
    /// How prone to fail it was against the pair's other routes when the last window was closed.
    pub(super) prone: Failures<f32>,
}

impl Route {
    pub(super) fn new(template: &str) -> Self {
        Self {
            template: template.into(),
            samples: 0,
            last_sample: Time::default(),
            served: 0.0,
            duration: 0.0,
            request_bytes: 0.0,
            response_bytes: 0.0,
            anchors: [Anchor::default(); 3],
            outcomes: Outcomes::default(),
            prone: [1.0; 3],
        }
    }

    /// Bytes of one, with so many in its name.
    pub(super) fn bytes(name: usize) -> usize {
        size_of::<Self>().saturating_add(name)
    }

    /// Takes in what was counted of it, with a weight of 0 to 1. What is `relearned` (in the order of [`Usual::ALL`]) does not
    /// heed it.
    pub(super) fn take(
        &mut self,
        counted: &RouteCounts,
        at: Time,
        weight: f32,
        relearned: [bool; 3],
        window: &mut Window,
    ) {
        let days = at.since(self.last_sample).as_secs_f32() / DAY;
        if self.last_sample != at || self.samples == 0 {
            self.last_sample = at;
            self.samples = self.samples.saturating_add(1);
        }
        let cell = &counted.cell;
        let n = cell.served as f32;
        let octaves = cell.log_durations as f64 / f64::from(STEPS_PER_OCTAVE);
        let (asked, given) = (cell.request_bytes as f64, cell.response_bytes as f64);
        if self.served >= KNOWN {
            let usual = f64::from(cell.served);
            let l = &mut window.latency;
            l.n = l.n.saturating_add(cell.served);
            l.octaves += octaves;
            l.usual += usual * f64::from(self.duration);
            for (totals, bytes, typical) in [
                (&mut window.request_bytes, asked, self.request_bytes),
                (&mut window.response_bytes, given, self.response_bytes),
            ] {
                totals.n = totals.n.saturating_add(cell.served);
                totals.bytes += bytes;
                totals.usual += usual * f64::from(typical);
            }
        }
        // The usual that is not in doubt is as firm as it was: how often a route was served is forgotten for the others' sake.
        let any = relearned.contains(&true);
        let served = self.served;
        let others = if any { MEMORY } else { served };
        let toward = |typical: &mut f32, actual: f32, octaves: f32, relearned: bool| {
            let (weight, served) = if relearned {
                (1.0, served)
            } else {
                (weight, others)
            };
            // What is far from a usual that is well known is more likely another thing than a new usual.
            let weight = if served >= FIRM {
                weight / (1.0 + (octaves / FAR).powi(2))
            } else {
                weight
            };
            *typical += (weight * n) / (served + weight * n).max(1e-6) * (actual - *typical);
        };
        let [duration, request, response] = relearned;
        let mean = octaves as f32 / n;
        let off = mean - self.duration;
        toward(&mut self.duration, mean, off, duration);
        for (typical, sum, relearned) in [
            (&mut self.request_bytes, asked, request),
            (&mut self.response_bytes, given, response),
        ] {
            let mean = sum as f32 / n;
            let off = ((mean + UNNOTICED as f32) / (*typical + UNNOTICED as f32)).log2();
            toward(typical, mean, off, relearned);
        }
        let weight = if any { 1.0 } else { weight };
        self.served = (self.served + weight * n).min(MEMORY);
        if self.served >= FIRM {
            self.hold(days);
        }
    }

    /// Learns this anew.
    pub(super) fn doubt(&mut self, usual: Usual) {
        self.served = self.served.min(DOUBTED);
        if let Some(anchor) = self.anchors.get_mut(usual as usize) {
            *anchor = Anchor::default();
        }
    }

    /// Holds what is usual near its anchors, which follow it for so many days.
    fn hold(&mut self, days: f32) {
        let [duration, request, response] = &mut self.anchors;
        self.duration = duration.hold(self.duration, days);
        for (anchor, bytes) in [
            (request, &mut self.request_bytes),
            (response, &mut self.response_bytes),
        ] {
            let floor = UNNOTICED as f32;
            *bytes = anchor.hold((*bytes + floor).log2(), days).exp2() - floor;
        }
    }
}
