//! Which callers are under suspicion at this Envoy: one score a source, for the metric that a mesh's Prometheus compares.
//!
//! One Envoy sees its own traffic only. A source that does the same harm on ten sidecars is ten incidents, and what makes
//! them one is a label that all ten share: the source's name. So the leader keeps a gauge a source, the highest score
//! among its open incidents, and the rules in `observability/` count the Envoys that have one.
//!
//! A name out of traffic is a series, and the host never frees a series. So the first [`MAX_NAMED`] sources that raise an
//! incident get one of their own, for as long as Envoy runs, and all later ones share [`OTHER`]. It is built from alert
//! lines alone, and kept where it outlives its VM, because the series do: a new leader goes on with the same names.

use crate::alerts::{Kind, State};
use crate::frame::Framed;
use serde::{Deserialize, Serialize};

/// Sources with a series of their own. Fewer incidents than that are open unless a flood is under way, and then the
/// first thirty-two tell the story; each costs Envoy some hundred bytes.
pub const MAX_NAMED: usize = 32;
/// What all further sources are called.
pub const OTHER: &str = "other";
/// Incidents kept track of: as many as the engine holds open. What is beyond is not scored.
const MAX_OPEN: usize = 256;
/// Longest label. Names are `namespace/account` or a header's value; what is longer is nobody's name.
const MAX_LABEL: usize = 128;

/// The sources named so far, and the open incidents behind their scores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    named: Vec<String>,
    open: Vec<Open>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    id: String,
    label: String,
    score: u8,
}

impl Framed for Sources {
    const TAG: [u8; 2] = *b"SO";
    const VERSION: u16 = 1;
}

impl Sources {
    /// Takes in what an alert line says of an incident: its id, what it looks like, who called, what becomes of it, its score.
    pub fn see(&mut self, id: &str, kind: Kind, source: &str, state: State, score: u8) {
        self.open.retain(|open| open.id != id);
        let is_over = state == State::Resolved;
        if is_over || !is_the_callers(kind) || self.open.len() >= MAX_OPEN {
            return;
        }
        let label = self.name(source);
        self.open.push(Open {
            id: id.to_owned(),
            label,
            score,
        });
    }

    /// Forgets all incidents, as an aggregator that begins anew has none. The names stay: their series do.
    pub fn forget_incidents(&mut self) {
        self.open.clear();
    }

    /// Every source named so far and the highest score of its open incidents, 0 where it has none.
    pub fn scores(&self) -> impl Iterator<Item = (&str, u8)> {
        self.named.iter().map(|name| {
            let open = self.open.iter().filter(|open| open.label == *name);
            (
                name.as_str(),
                open.map(|open| open.score).max().unwrap_or(0),
            )
        })
    }

    fn name(&mut self, source: &str) -> String {
        let label = label(source);
        if self.named.contains(&label) {
            return label;
        }
        let label = if self.named.len() < MAX_NAMED {
            label
        } else {
            OTHER.to_owned()
        };
        if !self.named.contains(&label) {
            self.named.push(label.clone());
        }
        label
    }
}

/// Whether what is odd is the caller's doing. That a service fails or is slow is its own trouble, and says nothing of those who
/// call it.
fn is_the_callers(kind: Kind) -> bool {
    !matches!(kind, Kind::Latency | Kind::ServerErrors)
}

/// A source as a label's value. The host cuts labels out of a metric's name by their punctuation, so what could be taken for
/// it becomes `_`: only letters, digits and `- _ . / : @` stay.
fn label(source: &str) -> String {
    let clean = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '/' | ':' | '@' => c,
        _ => '_',
    };
    let label: String = source.chars().take(MAX_LABEL).map(clean).collect();
    if label.is_empty() {
        OTHER.to_owned()
    } else {
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn all(sources: &Sources) -> Vec<(&str, u8)> {
        sources.scores().collect()
    }

    #[test]
    fn a_source_has_the_highest_score_of_its_open_incidents() {
        let mut sources = Sources::default();
        sources.see("1", Kind::AuthFailures, "shop/frontend", State::Open, 60);
        sources.see("2", Kind::AuthFailures, "shop/frontend", State::Open, 90);
        sources.see("3", Kind::AuthFailures, "shop/cart", State::Open, 70);
        assert_eq!(all(&sources), [("shop/frontend", 90), ("shop/cart", 70)]);
        sources.see(
            "2",
            Kind::AuthFailures,
            "shop/frontend",
            State::Resolved,
            90,
        );
        assert_eq!(all(&sources), [("shop/frontend", 60), ("shop/cart", 70)]);
        sources.see("1", Kind::AuthFailures, "shop/frontend", State::Updated, 80);
        assert_eq!(all(&sources).first(), Some(&("shop/frontend", 80)));
    }

    #[test]
    fn a_source_that_is_well_again_is_told_as_0_for_its_series_stays() {
        let mut sources = Sources::default();
        sources.see("1", Kind::AuthFailures, "a", State::Open, 60);
        sources.see("1", Kind::AuthFailures, "a", State::Resolved, 60);
        assert_eq!(all(&sources), [("a", 0)]);
        sources.see("2", Kind::AuthFailures, "a", State::Open, 60);
        sources.forget_incidents();
        assert_eq!(all(&sources), [("a", 0)]);
    }

    #[test]
    fn a_services_own_trouble_is_not_its_callers() {
        let mut sources = Sources::default();
        sources.see("1", Kind::ServerErrors, "a", State::Open, 90);
        sources.see("2", Kind::Latency, "a", State::Open, 90);
        assert_eq!(all(&sources), []);
    }

    #[test]
    fn made_up_names_share_one_series_beyond_the_cap() {
        let mut sources = Sources::default();
        for i in 0..10_000 {
            sources.see(
                &i.to_string(),
                Kind::AuthFailures,
                &format!("made-up-{i}"),
                State::Open,
                55,
            );
        }
        assert_eq!(sources.named.len(), MAX_NAMED + 1);
        assert_eq!(all(&sources).last(), Some(&(OTHER, 55)));
        assert_eq!(sources.open.len(), MAX_OPEN);
    }

    #[test]
    fn no_name_can_be_taken_for_a_labels_punctuation() {
        let mut sources = Sources::default();
        sources.see(
            "1",
            Kind::AuthFailures,
            "a;.;kind=.=b\u{e9}\n\"",
            State::Open,
            60,
        );
        assert_eq!(all(&sources), [("a_._kind_._b___", 60)]);
        sources.see("2", Kind::AuthFailures, &"x".repeat(1000), State::Open, 60);
        assert!(
            all(&sources)
                .iter()
                .all(|(name, _)| name.len() <= MAX_LABEL)
        );
        sources.see("3", Kind::AuthFailures, "", State::Open, 60);
        assert_eq!(all(&sources).last(), Some(&(OTHER, 60)));
    }

    #[test]
    fn what_is_kept_outlives_its_vm() {
        let mut sources = Sources::default();
        sources.see("1", Kind::AuthFailures, "shop/frontend", State::Open, 60);
        assert_eq!(Sources::from_frame(&sources.to_frame()).unwrap(), sources);
    }
}
