//! Names of sources and destinations out of what proxies know them by.
//!
//! A name is short where that loses nothing. A SPIFFE id of the proxy's own trust domain in Istio's form
//! `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT` becomes `NAMESPACE/ACCOUNT`; one of another domain keeps the domain, so
//! that a workload of a federated mesh can't pass for one of this mesh that has the same account. Where what is left then would
//! still look like an account or a configured name (`spiffe://demo/frontend`: nobody stops a federated mesh from calling its
//! domain like a namespace of ours) it keeps its scheme: no account's name has a colon. An Istio cluster
//! `outbound|80|v1|HOST`, or a waypoint's `inbound-vip|80|http|HOST`, becomes `HOST`; any other cluster is its own name.

use std::borrow::Cow;

/// Names longer than this are cut: no real one comes near, and a made-up one shall not cost memory.
pub const MAX_NAME: usize = 253;
/// Istio's default trust domain.
pub const DEFAULT_DOMAIN: &str = "cluster.local";

/// The short name of the peer whose certificate says `uri`, to a proxy whose own certificate says `own`.
/// Where the own one is unknown the own trust domain is taken for Istio's default: the account of a federated mesh must not
/// pass for the local one of that name. `None` where `uri` is empty.
pub fn of_spiffe<'a>(uri: &'a str, own: &str) -> Option<Cow<'a, str>> {
    if uri.is_empty() {
        return None;
    }
    let Some(id) = uri.strip_prefix("spiffe://") else {
        // Every URI has a scheme, and with it a colon. What has none is a name only to whoever calls itself so, as in a log.
        let name = bounded(uri);
        return Some(if like_an_account(&name) && uri != own {
            Cow::Owned(bounded(&format!("uri:{name}")).into_owned())
        } else {
            name
        });
    };
    let own_domain = own
        .strip_prefix("spiffe://")
        .and_then(|id| id.split('/').next())
        .unwrap_or(DEFAULT_DOMAIN);
    let short = id.split_once('/').and_then(|(domain, path)| {
        let (namespace, account) = path.strip_prefix("ns/")?.split_once("/sa/")?;
        let plain = !namespace.is_empty()
            && !account.is_empty()
            && !namespace.contains('/')
            && !account.contains('/');
        (plain && own_domain == domain).then(|| format!("{namespace}/{account}"))
    });
    Some(match short {
        Some(short) if short.len() <= MAX_NAME => Cow::Owned(short),
        _ => {
            let name = bounded(id);
            if like_an_account(&name) {
                bounded(uri)
            } else {
                name
            }
        }
    })
}

/// Whether an account, `NAMESPACE/ACCOUNT`, or a configured name could be called so.
fn like_an_account(name: &str) -> bool {
    let slashes = name.bytes().filter(|b| *b == b'/').count();
    slashes < 2 && !name.contains(':')
}

/// The service behind an Envoy cluster: Istio's outbound clusters carry it, `inbound|8080||` does not.
/// `None` where the name carries none.
pub fn of_cluster(cluster: &str) -> Option<Cow<'_, str>> {
    let mut parts = cluster.split('|');
    let name = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("outbound" | "outbound_" | "inbound-vip"), Some(_), Some(_), Some(host)) => host,
        (Some("inbound"), Some(_), ..) => return None,
        _ => cluster,
    };
    (!name.is_empty()).then(|| bounded(name))
}

/// The part of a name a sentence needs: `demo/frontend` and `frontend.demo.svc.cluster.local` are `frontend`. Who is of another trust
/// domain keeps it, and is not taken for one's own of that name.
pub fn spoken(name: &str) -> &str {
    if name.bytes().filter(|b| *b == b'/').count() > 1 {
        return name;
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once('.') {
        Some((first, rest)) if rest.ends_with("svc.cluster.local") => first,
        _ => last,
    }
}

/// At most [`MAX_NAME`] bytes of a name, cut at a character.
pub fn bounded(name: &str) -> Cow<'_, str> {
    Cow::Borrowed(
        name.get(..name.floor_char_boundary(MAX_NAME))
            .unwrap_or(name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_account_of_the_own_trust_domain_is_named_by_namespace_and_account() {
        let own = "spiffe://cluster.local/ns/demo/sa/catalog";
        let name = of_spiffe("spiffe://cluster.local/ns/demo/sa/frontend", own);
        assert_eq!(name.as_deref(), Some("demo/frontend"));
    }

    #[test]
    fn the_same_account_of_another_trust_domain_has_another_name() {
        let own = "spiffe://cluster.local/ns/demo/sa/catalog";
        let name = of_spiffe("spiffe://partner.example/ns/demo/sa/frontend", own);
        assert_eq!(name.as_deref(), Some("partner.example/ns/demo/sa/frontend"));
    }

    #[test]
    fn no_other_trust_domain_can_be_called_so_that_its_workloads_pass_for_ours() {
        let own = "spiffe://cluster.local/ns/demo/sa/catalog";
        for (uri, name) in [
            ("spiffe://demo/frontend", "spiffe://demo/frontend"),
            ("spiffe://external", "spiffe://external"),
            ("demo/frontend", "uri:demo/frontend"),
        ] {
            assert_eq!(of_spiffe(uri, own).as_deref(), Some(name));
        }
    }

    #[test]
    fn where_the_own_trust_domain_is_unknown_only_the_default_one_is_short() {
        let name = |domain: &str| {
            of_spiffe(&format!("spiffe://{domain}/ns/demo/sa/a"), "").map(Cow::into_owned)
        };
        assert_eq!(name("cluster.local").as_deref(), Some("demo/a"));
        assert_eq!(
            name("partner.example").as_deref(),
            Some("partner.example/ns/demo/sa/a")
        );
    }

    #[test]
    fn a_path_that_only_resembles_istios_form_is_kept_whole() {
        for uri in [
            "spiffe://d/ns/a/b/sa/c",
            "spiffe://d/ns//sa/c",
            "spiffe://d/ns/a/sa/b/c",
        ] {
            let name = of_spiffe(uri, "spiffe://d/ns/x/sa/y").unwrap();
            assert_eq!(name, uri.strip_prefix("spiffe://").unwrap(), "{uri}");
        }
    }

    #[test]
    fn an_istio_cluster_is_named_by_its_host() {
        let name = of_cluster("outbound|80|v1|catalog.demo.svc.cluster.local");
        assert_eq!(name.as_deref(), Some("catalog.demo.svc.cluster.local"));
        let name = of_cluster("inbound-vip|80|http|catalog.demo.svc.cluster.local");
        assert_eq!(name.as_deref(), Some("catalog.demo.svc.cluster.local"));
        assert_eq!(of_cluster("inbound|8080||"), None);
        assert_eq!(of_cluster("backend").as_deref(), Some("backend"));
    }

    #[test]
    fn a_sentence_uses_the_last_part_of_a_name() {
        assert_eq!(spoken("demo/frontend"), "frontend");
        assert_eq!(spoken("catalog.demo.svc.cluster.local"), "catalog");
        assert_eq!(spoken("api.example.com"), "api.example.com");
        let foreign = "partner.example/ns/demo/sa/frontend";
        assert_eq!(spoken(foreign), foreign);
    }
}
