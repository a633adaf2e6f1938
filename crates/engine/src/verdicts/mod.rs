//! What is held against one request, and what is done about it.
//!
//! A [`Judgement`] collects verdicts from two places: what was learned ([`crate::limits`]: an open incident, a limit that is
//! passed, a first sight) and what was configured ([`Rulebook`]). The worst of them is the request's score. The [`Gate`]
//! holds the whole judgement against the rules that refuse, because what is refused need not be the worst.
//!
//! Everything here fails open: no judgement is a score of 0, and a cap, a floor, an exemption or an end in time lets a
//! request pass that a rule would refuse.

mod gate;
mod line;
mod rulebook;

pub use gate::{Gate, Ruling, State};
pub use line::Line;
pub use rulebook::{Learned, Phase, Rulebook};

use crate::Time;
use crate::alerts::{Kind, Severity};

/// What a verdict is about: who else's requests it is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This request.
    Request,
    /// All requests of the pair.
    Pair,
    /// All requests of the identity on the pair.
    Identity,
}

/// One thing that is held against a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// 1 to 100.
    pub score: u8,
    /// What it looks like.
    pub kind: Kind,
    /// How urgent.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// When the incident behind it began; `None` where it rests on this request or window.
    pub since: Option<Time>,
    /// Place of the broken rule among the configuration's `rules`.
    pub rule: Option<u8>,
}

impl Verdict {
    /// Whether both are broken rules of one kind: then what is done about the heavier one is done about both.
    fn is_like(&self, other: &Self) -> bool {
        let rules = self.rule.is_some() && other.rule.is_some();
        rules && self.kind == other.kind && self.subject == other.subject
    }

    /// Heavier first: by score, then by what the kind says.
    fn rank(&self) -> (u8, u8) {
        (self.score, self.kind.weight())
    }
}

/// Verdicts on one request that differ: an incident of its pair and one of its identity, a limit, two first sights, and broken
/// rules of six kinds about the request and four about its pair.
const MOST: usize = 15;
/// Where scores end.
const MOST_SCORE: u8 = 100;

/// All that is held against a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Nearly always nothing, which takes no memory.
    held: Vec<Verdict>,
}

impl Judgement {
    /// Adds a verdict. Where there are too many the lightest of several broken rules of one kind goes first, so that none crowds out
    /// what is to be denied.
    pub fn add(&mut self, mut verdict: Verdict) {
        // An incident's is read out of data that other plugins can write to.
        verdict.score = verdict.score.min(MOST_SCORE);
        self.held.push(verdict);
        if self.held.len() > MOST {
            let spare = |v: &Verdict| self.held.iter().filter(|other| v.is_like(other)).count() > 1;
            let each = self.held.iter().enumerate();
            let least = each.min_by_key(|(_, v)| (!spare(v), v.rank()));
            if let Some(least) = least.map(|(at, _)| at) {
                self.held.swap_remove(least);
            }
        }
    }

    /// What is held against it, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Verdict> {
        self.held.iter()
    }

    /// The heaviest.
    pub fn worst(&self) -> Option<&Verdict> {
        self.iter().max_by_key(|v| v.rank())
    }

    /// 0 (nothing is held against it) to 100.
    pub fn score(&self) -> u8 {
        self.worst().map_or(0, |v| v.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn broken_rules_of_one_kind_crowd_out_none_of_another() {
        let mut judgement = Judgement::default();
        let mut add = |kind, score, rule| {
            judgement.add(Verdict {
                score,
                kind,
                severity: Severity::High,
                subject: Subject::Request,
                since: None,
                rule: Some(rule),
            });
        };
        add(Kind::NewRoute, 80, 0);
        for rule in 1..100 {
            add(Kind::NewAddress, 100, rule);
        }
        assert!(judgement.iter().any(|v| v.kind == Kind::NewRoute));
    }

    proptest! {
        #[test]
        fn the_worst_verdict_is_kept_however_many_there_are(scores in prop::collection::vec(1u8..=100, 0..30)) {
            let mut judgement = Judgement::default();
            for score in &scores {
                judgement.add(Verdict {
                    score: *score,
                    kind: Kind::RateSpike,
                    severity: Severity::Low,
                    subject: Subject::Pair,
                    since: None,
                    rule: None,
                });
            }
            prop_assert_eq!(judgement.score(), scores.iter().copied().max().unwrap_or(0));
            prop_assert_eq!(judgement.iter().count(), scores.len().min(MOST));
        }
    }
}
