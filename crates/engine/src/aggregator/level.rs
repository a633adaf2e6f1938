//! One window length of a pair: the open window, and each signal's model and evidence.

use super::shift::Adopted;
use crate::baselines::rate::RateModel;
use crate::evidence::Stream;
use crate::signals::{MATURE_WINDOWS, Measure, Model, SIGNALS, Seen, Side, Signal};
use crate::windows::Window;
use serde::{Deserialize, Serialize};

/// What one window weighs in the share of windows that have traffic: some hundred are looked back on.
const OCCUPIED_GAIN: f32 = 1.0 / 300.0;

/// One window length.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Level {
    pub(super) window: Window,
    signals: Vec<(Model, Streams)>,
    /// Share of windows that had traffic.
    active: f32,
    pub(super) adopted: Adopted,
    /// Whether its last window was under maintenance.
    maintained: bool,
}

/// Evidence on either side. To be low means something to few signals: the others pay nothing for it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Streams {
    pub(super) up: Stream,
    down: Option<Box<Stream>>,
}

impl Streams {
    /// What the side with more evidence has seen.
    pub(super) fn stronger(&self) -> Seen {
        match &self.down {
            Some(down) if down.evidence() > self.up.evidence() => down.seen,
            _ => self.up.seen,
        }
    }

    /// Ends what evidence there is: it is of what was usual before.
    pub(super) fn end(&mut self) {
        self.up.end();
        if let Some(down) = &mut self.down {
            down.end();
        }
    }

    fn forget(&mut self) {
        self.up.forget();
        if let Some(down) = &mut self.down {
            down.forget();
        }
    }

    pub(super) fn side(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Up => &mut self.up,
            Side::Down => self.down.get_or_insert_default(),
        }
    }
}

impl Level {
    pub(super) fn new() -> Self {
        Self {
            window: Window::default(),
            signals: SIGNALS
                .iter()
                .map(|s| (s.fresh(), Streams::default()))
                .collect(),
            active: 1.0,
            adopted: Adopted::default(),
            maintained: false,
        }
    }

    /// Bytes of one.
    pub(super) fn bytes() -> usize {
        let signals = SIGNALS.len().saturating_mul(size_of::<(Model, Streams)>());
        let downs = SIGNALS.iter().filter(|s| s.down.is_some()).count();
        let downs = downs.saturating_mul(size_of::<Stream>());
        let is_rate = |s: &&&Signal| matches!(s.measure, Measure::Rate { .. });
        let rates = SIGNALS.iter().filter(is_rate).count();
        let rates = rates.saturating_mul(size_of::<RateModel>());
        let parts = [signals, downs, rates].into_iter();
        parts.fold(size_of::<Self>(), usize::saturating_add)
    }

    pub(super) fn signal(&self, index: usize) -> Option<(&Model, &Streams)> {
        self.signals.get(index).map(|(m, s)| (m, s))
    }

    pub(super) fn signal_mut(&mut self, index: usize) -> Option<(&mut Model, &mut Streams)> {
        self.signals.get_mut(index).map(|(m, s)| (m, s))
    }

    /// Says whether the window that ends had traffic.
    pub(super) fn occupy(&mut self, had_traffic: bool) {
        let x = if had_traffic { 1.0 } else { 0.0 };
        self.active += (x - self.active) * OCCUPIED_GAIN;
    }

    /// Says whether the window that ends was under maintenance. What evidence there was of it ends with it.
    pub(super) fn maintain(&mut self, maintained: bool) {
        if std::mem::replace(&mut self.maintained, maintained) && !maintained {
            self.forget(|_| true);
        }
    }

    /// Starts the evidence of these signals over.
    pub(super) fn forget(&mut self, whose: fn(&Signal) -> bool) {
        for (signal, (_, streams)) in SIGNALS.iter().zip(&mut self.signals) {
            if whose(signal) {
                streams.forget();
            }
        }
    }

    /// Takes a shift of its rate back by this factor, unless the rate has come back to `usual` by itself.
    pub(super) fn return_by(&mut self, by: f64, usual: f64) {
        for (model, _) in &mut self.signals {
            if let Model::Rate(rate) = model {
                rate.alone.return_by(by, usual, MATURE_WINDOWS);
            }
        }
    }

    /// Puts it to rest: what was learned stays, what was of the moment is forgotten.
    pub(super) fn rest(&mut self) {
        self.window = Window::default();
        self.adopted = Adopted::default();
        for (_, streams) in &mut self.signals {
            *streams = Streams::default();
        }
    }

    /// Whether some signal knows the pair as well as it ever will: which ones learn is the configuration's.
    pub(super) fn is_known(&self) -> bool {
        let mut models = SIGNALS.iter().zip(&self.signals);
        models.any(|(signal, (model, _))| signal.maturity(model) >= 1.0)
    }

    /// Whether it is of the signals of today.
    pub(super) fn fits(&self) -> bool {
        let mut models = SIGNALS.iter().zip(&self.signals);
        self.signals.len() == SIGNALS.len()
            && models.all(|(signal, (model, _))| model.is_of(signal))
    }

    /// Share of windows that had traffic.
    pub(super) fn active(&self) -> f64 {
        f64::from(self.active)
    }
}
