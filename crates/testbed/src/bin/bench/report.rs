//! What came of it: medians and quartiles over rounds, as a table or as JSON.

use serde_json::{Value, json};

use super::cells::Cell;
use super::variants::{NONE, NOOP};

/// A round under load: nanoseconds of CPU time a request, and requests a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) cpu: f64,
    pub(crate) per_second: f64,
}

/// All that was measured of one variant in one cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// In the order they ran in: the same place in two variants is the same turn.
    pub(crate) rounds: Vec<Round>,
    /// Nanoseconds from when each request was due, at the cell's rate.
    pub(crate) latencies: Vec<u64>,
    /// CPU time outside rounds, and how long that was, in nanoseconds: what the once-a-second work takes, closed windows included.
    pub(crate) idle: (u64, u64),
    /// Pairs the aggregator knew at the end, and requests that were flagged out of those it heard of.
    pub(crate) pairs: Option<f64>,
    pub(crate) flagged: Option<(f64, f64)>,
}

/// One variant's figures; times in nanoseconds.
struct Figures<'a> {
    name: &'a str,
    cpu: f64,
    /// More than with no filter, within each round: its first quartile, median, third quartile.
    added: Option<[f64; 3]>,
    /// How many times what the no-op adds, where that is more than noise.
    ratio: Option<f64>,
    p50: f64,
    p99: f64,
    per_second: f64,
    /// Share of a core.
    idle: f64,
}

/// A cell's results.
pub(crate) struct Report {
    pub(crate) cell: Cell,
    pub(crate) requests: u64,
    pub(crate) variants: Vec<Measured>,
}

impl Report {
    fn figures(&self) -> impl Iterator<Item = Figures<'_>> {
        // Where the control's own cost is lost in the noise, nothing is so many times as much.
        let noop = self.added(NOOP).filter(|[low, ..]| *low > 0.0);
        let noop = noop.map(|[_, median, _]| median);
        self.variants.iter().map(move |measured| {
            let name = &measured.name;
            let added = self.added(name).filter(|_| name != NONE);
            let latencies = || measured.latencies.iter().map(|nanos| *nanos as f64);
            let (idle, whole) = measured.idle;
            Figures {
                name,
                cpu: quantile(measured.rounds.iter().map(|round| round.cpu), 0.5),
                added,
                ratio: added.zip(noop).map(|([_, median, _], noop)| median / noop),
                p50: quantile(latencies(), 0.5),
                p99: quantile(latencies(), 0.99),
                per_second: quantile(measured.rounds.iter().map(|round| round.per_second), 0.5),
                idle: idle as f64 / whole.max(1) as f64,
            }
        })
    }

    /// What a variant adds to no filter, within each round: quartiles.
    fn added(&self, name: &str) -> Option<[f64; 3]> {
        let rounds = |wanted: &str| {
            let mut all = self.variants.iter();
            all.find(|one| one.name == wanted).map(|one| &one.rounds)
        };
        let (with, without) = (rounds(name)?, rounds(NONE)?);
        let differences = || {
            with.iter()
                .zip(without)
                .map(|(with, without)| with.cpu - without.cpu)
        };
        Some([0.25, 0.5, 0.75].map(|share| quantile(differences(), share)))
    }

    /// What makes the figures doubtful.
    fn warnings(&self) -> impl Iterator<Item = String> {
        self.variants.iter().filter_map(|measured| {
            let (flagged, heard) = measured.flagged?;
            // Tagging a request costs what looking at it does not.
            (flagged > heard / 100.0).then(|| {
                format!(
                    "{}: {flagged} of {heard} requests were flagged, which costs more than to look at them",
                    measured.name
                )
            })
        })
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let rounds = self.variants.first().map_or(0, |one| one.rounds.len());
        let mut text = format!(
            "{} (--cells {})\n{rounds} rounds of {} requests; CPU and latency per request in µs, latency at {} requests/s\n\n\
             {:<12} {:>8} {:>8} {:>17} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
            self.cell.title(),
            self.cell.name,
            self.requests,
            self.cell.rate,
            "",
            "CPU",
            "added",
            "(quartiles)",
            "× noop",
            "p50",
            "p99",
            "req/s",
            "idle ‰"
        );
        for figures in self.figures() {
            let micros = |nanos: f64| format!("{:.1}", nanos / 1e3);
            let (median, quartiles) =
                figures
                    .added
                    .map_or_else(Default::default, |[low, median, high]| {
                        (
                            micros(median),
                            format!("({} – {})", micros(low), micros(high)),
                        )
                    });
            let ratio = figures
                .ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            text += &format!(
                "{:<12} {:>8} {median:>8} {quartiles:>17} {ratio:>8} {:>8} {:>8} {:>8.0} {:>8.2}\n",
                figures.name,
                micros(figures.cpu),
                micros(figures.p50),
                micros(figures.p99),
                figures.per_second,
                figures.idle * 1e3
            );
        }
        for warning in self.warnings() {
            text += &format!("! {warning}\n");
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let variants = self.figures().zip(&self.variants);
        let variants = variants.map(|(figures, measured)| {
            json!({
                "name": figures.name,
                "cpu_ns": figures.cpu,
                "cpu_ns_rounds": measured.rounds.iter().map(|round| round.cpu).collect::<Vec<_>>(),
                "added_ns": figures.added.map(|[_, median, _]| median),
                "added_ns_quartiles": figures.added.map(|[low, _, high]| [low, high]),
                "ratio_to_noop": figures.ratio,
                "p50_ns": figures.p50,
                "p99_ns": figures.p99,
                "latencies": measured.latencies.len(),
                "requests_per_second": figures.per_second,
                "idle_share_of_a_core": figures.idle,
                "pairs_known": measured.pairs,
                "requests_flagged": measured.flagged.map(|(flagged, _)| flagged),
            })
        });
        json!({
            "cell": self.cell.name,
            "pairs": self.cell.pairs,
            "body_bytes": self.cell.body,
            "requests": self.requests,
            "offered_per_second": self.cell.rate,
            "variants": variants.collect::<Vec<Value>>(),
        })
    }
}

/// The value below which this share lies. There is no NaN among them, as no round is without requests.
fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values
        .get((last * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
