//! `pairwatch policy`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics is a test that fails"
)]

mod common;
#[path = "common/logs.rs"]
mod logs;

use common::{pairwatch, scratch};
use logs::text;
use pairwatch_engine::Time;
use serde_json::{Value, json};

const START: u64 = 1_795_168_800_000;

/// A request: source, destination, method, path, status.
type Request<'a> = (&'a str, &'a str, &'a str, &'a str, u16);

const FRONTEND: &str = "spiffe://cluster.local/ns/shop/sa/frontend";
const CATALOG: &str = "outbound|80||catalog.shop.svc.cluster.local";

fn log(requests: &[Request<'_>]) -> String {
    let lines: Vec<String> = requests
        .iter()
        .enumerate()
        .map(|(i, (source, destination, method, path, status))| {
            json!({
                "start_time": Time(START + i as u64 * 1000).rfc3339(), "downstream_peer": source,
                "upstream_cluster": destination, "method": method, "path": path, "response_code": status,
            })
            .to_string()
        })
        .collect();
    scratch("access.log", &text(&lines))
}

fn policies(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|v| v.as_str().unwrap())
}

/// Whether Istio's path pattern fits a path.
fn fits(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap();
    let (mut p, mut q) = (pattern.split('/'), path.split('/'));
    loop {
        match (p.next(), q.next()) {
            (None, None) => return true,
            (Some("{**}"), _) => return true,
            (Some("{*}"), Some(segment)) if !segment.is_empty() => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

fn allows(policies: &[Value], service: &str, principal: &str, method: &str, path: &str) -> bool {
    policies
        .iter()
        .filter(|p| p["spec"]["selector"]["matchLabels"]["app"] == service)
        .flat_map(|p| p["spec"]["rules"].as_array().unwrap())
        .filter(|rule| strings(&rule["from"][0]["source"]["principals"]).any(|p| p == principal))
        .flat_map(|rule| rule["to"].as_array().unwrap())
        .any(|to| {
            let operation = &to["operation"];
            strings(&operation["methods"]).any(|m| m == method)
                && strings(&operation["paths"]).any(|p| fits(p, path))
        })
}

#[test]
fn what_was_served_is_allowed_and_nothing_else() {
    let deep = "/a/b/c/d/e/f/g/h/i/j";
    let said = pairwatch([
        "policy",
        &log(&[
            (FRONTEND, CATALOG, "GET", "/items/42?full=1", 200),
            (FRONTEND, CATALOG, "GET", deep, 200),
            (FRONTEND, CATALOG, "GET", "/items/42", 503),
            (FRONTEND, CATALOG, "DELETE", "/items/42", 403),
            (
                "spiffe://cluster.local/ns/jobs/sa/report",
                CATALOG,
                "POST",
                "/export",
                201,
            ),
        ]),
    ])
    .succeeds()
    .stdout;
    let policies = policies(&said);
    assert_eq!(policies.len(), 1, "{said}");
    let metadata = &policies[0]["metadata"];
    assert_eq!(metadata["annotations"]["istio.io/dry-run"], "true");
    assert_eq!(
        (&metadata["namespace"], &metadata["name"]),
        (&json!("shop"), &json!("pairwatch-catalog"))
    );
    let frontend = "cluster.local/ns/shop/sa/frontend";
    for (principal, method, path, want) in [
        (frontend, "GET", "/items/42", true),
        (frontend, "GET", "/items/43", true),
        (frontend, "GET", deep, true),
        (frontend, "GET", "/items", false),
        (frontend, "GET", "/items/42/secret", false),
        (frontend, "DELETE", "/items/42", false),
        (frontend, "POST", "/export", false),
        ("cluster.local/ns/jobs/sa/report", "POST", "/export", true),
    ] {
        let allowed = allows(&policies, "catalog", principal, method, path);
        assert_eq!(allowed, want, "{principal} {method} {path} in {said}");
    }
    assert!(said.contains("# - shop/frontend → catalog.shop.svc.cluster.local: 1 request on routes where none was ever served"), "{said}");
}

#[test]
fn a_path_is_allowed_with_the_slash_at_its_end_where_it_was_served_so() {
    let of = |path| (FRONTEND, CATALOG, "GET", path, 200);
    let said = pairwatch([
        "policy",
        "--enforce",
        &log(&["/items/?all=1", "/items/1", "/both", "/both/", "/"].map(of)),
    ])
    .succeeds()
    .stdout;
    let policies = policies(&said);
    for (path, want) in [
        ("/items/", true),
        ("/items", false),
        ("/items/2", true),
        ("/items/2/", false),
        ("/both", true),
        ("/both/", true),
        ("/", true),
        ("/?x=/a/", true),
    ] {
        let caller = "cluster.local/ns/shop/sa/frontend";
        let allowed = allows(&policies, "catalog", caller, "GET", path);
        assert_eq!(allowed, want, "{path} in {said}");
    }
}

#[test]
fn a_path_that_istio_may_match_as_another_is_left_out_and_listed() {
    let of = |path| (FRONTEND, CATALOG, "GET", path, 200);
    let paths = ["/a", "//b", "/c//d", "/e/", "/f/../g", "/%68"];
    let said = pairwatch(["policy", &log(&paths.map(of))])
        .succeeds()
        .stdout;
    let listed = "4 requests whose paths have doubled slashes, dot segments or needless escapes";
    assert!(
        said.contains(listed) && said.contains("covers 2 requests"),
        "{said}"
    );
}

#[test]
fn what_is_left_out_is_listed_with_its_reason() {
    let said = pairwatch([
        "policy",
        &log(&[
            (FRONTEND, CATALOG, "GET", "/", 200),
            ("-", CATALOG, "GET", "/", 200),
            ("batch", CATALOG, "GET", "/", 200),
            ("a\nb/c", CATALOG, "GET", "/", 200),
            (FRONTEND, "api.example.com", "GET", "/", 200),
            (FRONTEND, CATALOG, "GET", "/a*", 200),
        ]),
    ])
    .succeeds()
    .stdout;
    for words in [
        "external → catalog.shop.svc.cluster.local: 1 request; no certificate names the caller",
        "batch → catalog.shop.svc.cluster.local: 1 request; the caller's namespace is not known: give --namespace",
        r"a\nb/c → catalog.shop.svc.cluster.local: 1 request; the caller is no Kubernetes account",
        "shop/frontend → api.example.com: 1 request; the service is not one of the cluster",
        "GET /a*: 1 request; its path can't be written as a pattern",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    assert_eq!(policies(&said).len(), 1, "{said}");
}

#[test]
fn names_without_a_namespace_are_of_the_one_that_is_given() {
    let file = log(&[("web", "cart", "GET", "/", 200)]);
    let said = pairwatch(["policy", &file]).fails();
    assert!(said.contains("give --namespace"), "{said}");
    let args = [
        "policy",
        "--namespace",
        "shop",
        "--trust-domain",
        "corp",
        "--enforce",
        &file,
    ];
    let said = pairwatch(args).succeeds().stdout;
    let policies = policies(&said);
    assert!(
        allows(&policies, "cart", "corp/ns/shop/sa/web", "GET", "/"),
        "{said}"
    );
    assert!(
        policies[0]["metadata"].get("annotations").is_none(),
        "{said}"
    );
    assert!(said.contains("ENFORCED"), "{said}");
}

#[test]
fn accounts_of_another_trust_domain_keep_it_whichever_is_the_meshs_own() {
    let of = |domain: &str| format!("spiffe://{domain}/ns/shop/sa/web");
    let file = log(&[
        (&of("corp"), CATALOG, "GET", "/corp", 200),
        (&of("cluster.local"), CATALOG, "GET", "/local", 200),
    ]);
    for own in ["cluster.local", "corp", "elsewhere"] {
        let said = pairwatch(["policy", "--trust-domain", own, &file])
            .succeeds()
            .stdout;
        let policies = policies(&said);
        for (domain, path, want) in [
            ("corp", "/corp", true),
            ("corp", "/local", false),
            ("cluster.local", "/local", true),
            ("cluster.local", "/corp", false),
        ] {
            let caller = format!("{domain}/ns/shop/sa/web");
            let allowed = allows(&policies, "catalog", &caller, "GET", path);
            assert_eq!(allowed, want, "{caller} {path} of {own} in {said}");
        }
    }
    let said = pairwatch(["policy", "--trust-domain", "spiffe://corp", &file]).fails();
    assert!(said.contains("without scheme and path"), "{said}");
}

/// A log of so many requests, and so many lines that are not counted: by turns no request, and one of no destination.
fn spoilt(good: usize, bad: usize) -> String {
    let request = (FRONTEND, CATALOG, "GET", "/", 200);
    let file = log(&vec![request; good]);
    let mut lines = std::fs::read_to_string(&file).unwrap();
    let nowhere = lines.lines().last().unwrap().replace(CATALOG, "-") + "\n";
    for i in 0..bad {
        lines += ["starting\n", &nowhere][i % 2];
    }
    scratch("access.log", lines.as_bytes())
}

#[test]
fn lines_that_were_not_counted_are_told_in_the_policy_by_reason() {
    let said = pairwatch(["policy", &spoilt(10, 6)]).succeeds().stdout;
    for words in [
        "covers 10 requests",
        "# - 3 lines not counted, no JSON object",
        "# - 3 lines not counted, no destination named",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    assert!(!said.contains("Nothing is left out"), "{said}");
    let said = pairwatch(["policy", &spoilt(10, 0)]).succeeds().stdout;
    assert!(said.contains("Nothing is left out"), "{said}");
}

#[test]
fn nothing_is_enforced_where_more_than_one_line_in_a_hundred_was_not_counted() {
    let said = pairwatch(["policy", "--enforce", &spoilt(197, 3)]).fails();
    for words in [
        "--enforce: 3 of 200 lines were not counted, more than one in 100",
        "2 lines not counted, no JSON object",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    pairwatch(["policy", "--enforce", &spoilt(198, 2)]).succeeds();
    pairwatch(["policy", &spoilt(197, 3)]).succeeds();
}

#[test]
fn what_raised_an_alert_as_never_seen_is_not_allowed() {
    // Two hours of one pair with one route, then a newcomer and a new route.
    let mut requests: Vec<Request<'_>> = vec![(FRONTEND, CATALOG, "GET", "/items/1", 200); 7200];
    let intruder = "spiffe://cluster.local/ns/shop/sa/intruder";
    requests.extend([(intruder, CATALOG, "GET", "/items/1", 200); 3]);
    requests.extend([(FRONTEND, CATALOG, "PUT", "/admin/config", 200); 3]);
    let config = scratch("config.json", br#"{"learning":{"warmup":"1h"}}"#);
    let said = pairwatch(["policy", "--config", &config, &log(&requests)])
        .succeeds()
        .stdout;
    let policies = policies(&said);
    assert!(allows(
        &policies,
        "catalog",
        "cluster.local/ns/shop/sa/frontend",
        "GET",
        "/items/1"
    ));
    assert!(
        !allows(
            &policies,
            "catalog",
            "cluster.local/ns/shop/sa/frontend",
            "PUT",
            "/admin/config"
        ),
        "{said}"
    );
    assert!(
        !allows(
            &policies,
            "catalog",
            "cluster.local/ns/shop/sa/intruder",
            "GET",
            "/items/1"
        ),
        "{said}"
    );
    for words in ["it raised a new_pair alert", "it raised a new_route alert"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}
