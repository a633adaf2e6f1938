//! What somebody may have meant who named a pair that is not there.

use super::text::shown;

/// A sentence that says so, with at most `most` pairs whose names are near.
pub(super) fn propose(
    source: &str,
    destination: &str,
    known: &[(String, String)],
    most: usize,
) -> String {
    let likeness = |(s, d): &(String, String)| alike(source, s) + alike(destination, d);
    let mut near: Vec<_> = known.iter().map(|pair| (likeness(pair), pair)).collect();
    near.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
    let names: Vec<String> = near
        .iter()
        .take(most)
        .map(|(_, (s, d))| format!("{} {}", shown(s), shown(d)))
        .collect();
    format!(
        "no request of it in the log; the nearest of the {} pairs there: {}",
        known.len(),
        names.join(", ")
    )
}

/// How alike two names are, 0 to 1: one that is part of the other is more so than any that is only spelt alike.
fn alike(asked: &str, name: &str) -> f64 {
    let (asked, name) = (asked.to_lowercase(), name.to_lowercase());
    let spelt = strsim::normalized_damerau_levenshtein(&asked, &name);
    let part = !asked.is_empty() && (name.contains(&asked) || asked.contains(&name));
    if part {
        f64::midpoint(spelt, 1.0)
    } else {
        spelt / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_that_was_meant_comes_first() {
        let pair = |s: &str, d: &str| (s.to_owned(), d.to_owned());
        let known = [
            pair("shop/cart", "payments"),
            pair("shop/frontend", "payments"),
            pair("shop/frontend", "catalog.shop.svc.cluster.local"),
        ];
        for (source, destination, first) in [
            (
                "frontend",
                "catalog",
                "shop/frontend catalog.shop.svc.cluster.local",
            ),
            ("shop/fronted", "payment", "shop/frontend payments"),
            ("CART", "payments", "shop/cart payments"),
        ] {
            let said = propose(source, destination, &known, 1);
            assert!(
                said.ends_with(&format!("of the 3 pairs there: {first}")),
                "{said}"
            );
        }
    }
}
