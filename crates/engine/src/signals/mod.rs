//! What is looked at. A signal is one file and one entry in [`SIGNALS`]: what it reads from a window, what model says how
//! usual that is, and for each direction that means something: the kind of alert, the gates, and the words.
//!
//! | file | of a signal |
//! |---|---|
//! | [`model`] | how usual a window is, and how that is learned |
//! | [`run`] | what a run of windows has shown, and how large that is |
//! | [`gate`] | what stands between rarity and an alert |
//! | all others | one signal each |

mod auth_failures;
mod client_errors;
pub mod gate;
mod latency;
pub mod model;
mod request_bytes;
mod request_rate;
pub(crate) mod response_bytes;
pub mod run;
pub(crate) mod scanning;
mod server_errors;

use crate::alerts::{Kind, Severity};
use crate::config;
use crate::counters::Tallies;
use crate::evidence::Habit;
use crate::windows::Window;
pub use gate::{Gate, Gates, Passed};
pub(crate) use model::MATURE_WINDOWS;
pub use model::{Context, Judged, Known, Model};
pub use run::{Effect, Seen};

/// All signals that are read from windows. The order is that of the stored models: append.
pub const SIGNALS: [&Signal; 7] = [
    &request_rate::SIGNAL,
    &server_errors::SIGNAL,
    &client_errors::SIGNAL,
    &auth_failures::SIGNAL,
    &request_bytes::SIGNAL,
    &response_bytes::SIGNAL,
    &latency::SIGNAL,
];

/// A thing to look at.
pub struct Signal {
    /// Its name in configuration and evidence.
    pub name: &'static str,
    /// Whether the configuration wants it.
    pub enabled: fn(&config::Signals) -> bool,
    /// Whether being told of it twice within a day is enough. Who asks for what there is not does so by habit: a crawler, a page
    /// that has lost its pictures. A service that fails again, or is tried again, is news each time.
    pub tires: bool,
    /// What is read, and the model that knows how usual it is.
    pub measure: Measure,
    /// What it means when it is high.
    pub up: Option<Direction>,
    /// What it means when it is low.
    pub down: Option<Direction>,
}

/// What is read from a window.
pub enum Measure {
    /// Requests per window.
    Rate {
        /// The count.
        count: Tally,
    },
    /// Events as a share of requests.
    Share {
        /// The events.
        count: Tally,
        /// The exposure: the window's requests, each counted by how prone its route is.
        prone: fn(&Window) -> f64,
        /// The share before anything is seen of any pair.
        usual: f64,
    },
    /// A size or duration against what the same routes usually take.
    Scale {
        /// The deviation; `None` where nothing comparable was seen.
        read: fn(&Window) -> Option<Deviation>,
        /// What of a route it is held against.
        usual: Usual,
        /// Unit of its absolute value.
        unit: &'static str,
        /// So little, in that unit, nobody would notice: it is added to both what was seen and what is usual, to keep near
        /// nothing from being a multiple of nothing.
        unnoticed: f64,
    },
}

/// What is known of what a route usually takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Usual {
    /// How long it takes.
    Duration,
    /// What it is sent.
    RequestBytes,
    /// What it answers.
    ResponseBytes,
}

impl Usual {
    /// All of them, in the order in which a route keeps them.
    pub const ALL: [Self; 3] = [Self::Duration, Self::RequestBytes, Self::ResponseBytes];
}

/// One of the counts by outcome.
pub struct Tally {
    /// Reads it.
    pub read: fn(&Tallies) -> u32,
    /// Where its limit stands in the limits that workers judge by.
    pub limit: fn(&mut Tallies) -> &mut u32,
}

/// A window's mean deviation from the usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Exchanges.
    pub n: f64,
    /// Mean deviation, in octaves.
    pub octaves: f64,
    /// The mean itself, in the signal's unit.
    pub actual: f64,
}

/// What it means when a signal is high, or low.
pub struct Direction {
    /// The kind of alert.
    pub kind: Kind,
    /// Its share of the tolerated false alerts, against one of the others.
    pub share: f64,
    /// Below these it is not worth an alert, however rare.
    pub gate: Gate,
    /// How urgent.
    pub severity: fn(&Effect) -> Severity,
    /// What is said of it, after «frontend → catalog: ».
    pub words: fn(&Effect) -> String,
    /// MITRE ATT&CK techniques it may be part of.
    pub techniques: &'static [&'static str],
}

/// Which side of usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Too high.
    Up,
    /// Too low.
    Down,
}

impl Tally {
    fn of(&self, window: &Window) -> u64 {
        u64::from((self.read)(&window.tallies))
    }
}

impl Signal {
    /// Whether it is a level, which may be another tomorrow for good reasons: a rate, size or duration. A share of errors is
    /// none.
    pub fn is_level(&self) -> bool {
        !matches!(self.measure, Measure::Share { .. })
    }

    /// Whether its windows are taken to tell of one another: a busy quarter of an hour is busy in all of them, and leaves sizes,
    /// durations and errors what they are.
    pub(crate) fn habit(&self) -> Habit {
        match self.measure {
            Measure::Rate { .. } => Habit::Wandering,
            Measure::Share { .. } | Measure::Scale { .. } => Habit::Independent,
        }
    }

    /// What is said of a direction.
    pub fn direction(&self, side: Side) -> Option<&Direction> {
        match side {
            Side::Up => self.up.as_ref(),
            Side::Down => self.down.as_ref(),
        }
    }

    /// Unit of the effect's numbers.
    pub fn unit(&self) -> &'static str {
        match self.measure {
            Measure::Rate { .. } => "requests/s",
            Measure::Share { .. } => "share",
            Measure::Scale { unit, .. } => unit,
        }
    }
}
