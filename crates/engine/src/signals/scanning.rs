//! Whether refused and not-found requests are a search: many different paths, each tried once or twice.
//!
//! No signal of its own: `client_errors` and `auth_failures` say that there are too many, this says what they are. A client
//! that is broken asks for the same missing path again and again; so does a page that has lost its pictures, once for
//! each visitor. Whoever searches goes through a list.
//!
//! Paths are told apart as route templates, so that `/avatars/1`, `/avatars/2`, … are one: a missing picture for each user
//! is a broken client too. Guessing the numbers of a known route is not seen here.

use crate::alerts::Kind;
use crate::counters::Sketch;
use crate::windows::Window;

/// So many different unknown paths within the longest window. Ten client errors are the fewest worth an alert; a search spends nearly
/// all of its on paths of their own, and what is broken seldom misses more than a handful of different things at once.
const PATHS: f64 = 8.0;
/// Requests a path at most. A search may try a path by several methods and again when refused; visitors ask for what a page
/// has lost once each.
const TRIES: f64 = 4.0;
/// Unknown paths' part of all that is refused or not found. Below half, what is told of is something else.
const PART: f64 = 0.5;

/// MITRE ATT&CK: wordlist scanning, network service discovery.
pub(crate) const TECHNIQUES: &[&str] = &["T1595.003", "T1046"];

/// What the refused and not-found requests behind an alarm are, where they are a search: words for it.
pub(crate) fn search(kind: Kind, window: &Window) -> Option<String> {
    if !matches!(kind, Kind::ClientErrors | Kind::AuthFailures) {
        return None;
    }
    let t = &window.tallies;
    let refused = t
        .client_errors
        .saturating_add(t.not_found)
        .saturating_add(t.auth_failures);
    let unknown = f64::from(window.unrouted.requests);
    let paths = window.unrouted.paths.estimate();
    let many = paths > Sketch::MANY;
    (paths >= PATHS && (many || unknown <= TRIES * paths) && unknown >= PART * f64::from(refused))
        .then(|| {
            let count = if many {
                format!("more than {:.0}", Sketch::MANY)
            } else {
                format!("about {paths:.0}")
            };
            format!("{count} different paths that do not exist were tried")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A window with `unknown` requests for `paths` unknown paths, and `refused` log-ins.
    fn window(paths: u64, unknown: u32, refused: u32) -> Window {
        let mut window = Window::default();
        window.tallies.not_found = unknown;
        window.tallies.auth_failures = refused;
        window.unrouted.requests = unknown;
        for path in 0..paths {
            window.unrouted.paths.add(path);
        }
        window
    }

    #[test]
    fn only_many_different_paths_are_a_search() {
        for (what, window, is_search) in [
            ("a list, each once", window(20, 20, 0), true),
            ("a list that ends the sketch", window(64, 5000, 0), true),
            ("one missing path", window(1, 500, 0), false),
            ("a page's missing pictures", window(12, 600, 0), false),
            ("a handful", window(5, 12, 0), false),
            (
                "refused log-ins beside a crawler",
                window(10, 10, 100),
                false,
            ),
        ] {
            let found = search(Kind::ClientErrors, &window);
            assert_eq!(found.is_some(), is_search, "{what}: {found:?}");
        }
        assert!(search(Kind::RateSpike, &window(20, 20, 0)).is_none());
    }
}
