//! What is usual for each pair, for whoever looks on: a report, a console. Reads, and changes nothing.

use super::Aggregator;
use crate::counters::millis_at;
use crate::signals::SIGNALS;
use crate::windows::Window;

/// What is usual for a pair now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual<'a> {
    /// Who calls.
    pub source: &'a str,
    /// What is called.
    pub destination: &'a str,
    /// Requests a second.
    pub rate: f64,
    /// Where 98 of 100 usual windows lie, in the same.
    pub band: [f64; 2],
    /// Milliseconds a served request takes, over all routes; `None` before one is known.
    pub millis: Option<f64>,
    /// How well the rate is known, 0 to 1.
    pub maturity: f64,
}

impl Aggregator {
    /// What is usual for each pair, in windows of the length at this place of `windows`. Nothing where there is none.
    pub fn usual(&self, level: usize) -> impl Iterator<Item = Usual<'_>> {
        let length = self.config.windows.get(level).map(|w| w.duration());
        self.pairs.iter().filter_map(move |entry| {
            let (length, rate) = (length?, SIGNALS.first()?);
            let level = entry.value.level(level)?;
            let (model, _) = level.signal(0)?;
            let typical = level.typical_requests() / length.as_secs_f64().max(1e-3);
            Some(Usual {
                source: &entry.source,
                destination: &entry.destination,
                rate: typical,
                band: rate.band(model, &Window::default(), typical, length)?,
                millis: entry.value.usual_octaves().map(millis_at),
                maturity: rate.maturity(model),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Time;
    use crate::aggregator::Aggregator;
    use crate::config::Config;
    use crate::counters::Counters;
    use crate::exchange::Exchange;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_a_pair_always_does_is_its_usual() {
        let config = Config::default();
        let mut counters = Counters::new(10, 8, 1 << 20, 1, Time(0));
        let mut engine = Aggregator::new(config, 1, Time(0));
        for second in 1..=3600u64 {
            let now = Time(second * 1000);
            counters.observe(&Exchange {
                source: "a",
                destination: "b",
                method: b"GET",
                path: b"/",
                status: 200,
                grpc_status: None,
                request_bytes: 0,
                response_bytes: 0,
                duration_us: 20_000,
            });
            engine.merge(counters.drain(now).unwrap(), now);
            engine.advance(now);
        }
        for level in 0..3 {
            let usual: Vec<_> = engine.usual(level).collect();
            assert_eq!(usual.len(), 1);
            let pair = usual[0];
            assert!((pair.rate - 1.0).abs() < 0.2, "{pair:?}");
            assert!(
                pair.band[0] < pair.rate && pair.rate < pair.band[1],
                "{pair:?}"
            );
            assert!(
                pair.millis.is_some_and(|ms| (ms - 20.0).abs() < 1.0),
                "{pair:?}"
            );
        }
        assert_eq!(engine.usual(3).count(), 0, "there is no fourth window");
    }
}
