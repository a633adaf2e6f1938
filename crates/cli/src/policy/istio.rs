//! Istio's AuthorizationPolicy.
//!
//! One policy for each service, that allows each caller what it was served, by method and path. A route template's
//! `{id}` becomes Istio's `{*}` (one segment) and `{rest}` its `{**}`, which Istio knows from 1.22 on.
//! (<https://istio.io/latest/docs/reference/config/security/authorization-policy/>.)
//!
//! A caller is only named where it is a Kubernetes account, which is what a principal is; a service where it has a
//! namespace. Names without one are taken to be of `--namespace`, if the user says so. Which pods a service stands for a
//! log does not say: the selector is the label `app` unless told otherwise.

use super::{Pair, Seen};
use crate::Failure;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Of so many lines one may be missing where a policy is to refuse: a proxy's own messages are in every log, but what one line
/// in a hundred shows may be all there is of a route.
const MISSING_ONE_IN: u64 = 100;

/// What the user knows and a log does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// Trust domain of the mesh.
    pub trust_domain: String,
    /// Namespace of names that have none.
    pub namespace: Option<String>,
    /// Label of pods that holds their service's name.
    pub selector: String,
    /// Write policies that are enforced.
    pub enforce: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
struct Spec {
    selector: Selector,
    action: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Rule {
    from: Vec<From>,
    to: Vec<To>,
}

#[derive(Serialize)]
struct From {
    source: Principals,
}

#[derive(Serialize)]
struct Principals {
    principals: Vec<String>,
}

#[derive(Serialize)]
struct To {
    operation: Operation,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Operation {
    methods: Vec<String>,
    paths: Vec<String>,
}

/// Namespace and service.
type Service = (String, String);
/// Principals by what they may do.
type Allowed = BTreeMap<Vec<Operation>, BTreeSet<String>>;

/// The policies as YAML, with what they leave out as comments in front.
///
/// # Errors
/// Nothing of what was seen can be allowed; or it is to be enforced, and too much was not seen.
pub fn policies(seen: &Seen, options: &Options) -> Result<String, Failure> {
    let mut services: BTreeMap<Service, Allowed> = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut covered = 0u64;
    for ((source, destination), pair) in &seen.pairs {
        let ends = ends(source, destination, pair, seen, options);
        let name = format!("{} → {}", plain(source), plain(destination));
        match ends {
            Err(why) => left_out.push(format!("{name}: {}; {why}", requests(pair.requests))),
            Ok((principal, service)) => {
                let (operations, allowed) = operations(pair, &name, &mut left_out);
                covered = covered.saturating_add(allowed);
                if !operations.is_empty() {
                    let rules = services.entry(service).or_default();
                    rules.entry(operations).or_default().insert(principal);
                }
            }
        }
    }
    if seen.more > 0 {
        left_out.push(format!(
            "{} requests of more pairs than are noted",
            seen.more
        ));
    }
    let missed: Vec<String> = seen.missed.iter().map(missing).collect();
    if services.is_empty() {
        let why = [left_out, missed].concat().join("\n  ");
        let why = format!("nothing that was seen can be allowed:\n  {why}");
        return Err(Failure::at("policy", why));
    }
    if options.enforce && seen.missed().saturating_mul(MISSING_ONE_IN) > seen.lines {
        let why = format!(
            "{} of {} lines were not counted, more than one in {MISSING_ONE_IN}: what they show would be refused. \
             Mend the log, or leave it a dry run:\n  {}",
            seen.missed(),
            seen.lines,
            missed.join("\n  ")
        );
        return Err(Failure::at("--enforce", why));
    }
    left_out.extend(missed);
    let mut out = head(services.len(), covered, &left_out, options);
    for (service, allowed) in services {
        let yaml = serde_saphyr::to_string(&policy(service, allowed, options));
        let yaml = yaml.map_err(|e| Failure::at("policy", e))?;
        // Writing to text can't fail.
        let _ = write!(out, "---\n{yaml}");
    }
    Ok(out)
}

fn head(services: usize, covered: u64, left_out: &[String], options: &Options) -> String {
    let mut out = String::new();
    let mut say = |line: &str| {
        out.push_str("# ");
        out.push_str(line);
        out.push('\n');
    };
    say(&format!(
        "For {services} services; covers {} that were served. Written by `pairwatch policy` from access logs.",
        requests(covered)
    ));
    if options.enforce {
        say("ENFORCED as soon as applied: whatever is not allowed here is refused.");
    } else {
        say(
            "Dry run: nothing is refused; Envoy counts in its metrics and log what would be. To enforce, take out the annotation.",
        );
    }
    say(&format!(
        "Pods are selected by the label {}: compare with `kubectl get pods --show-labels`.",
        options.selector
    ));
    if left_out.is_empty() {
        say("Nothing is left out.");
    } else {
        say("Left out, and refused once this is enforced:");
        for line in left_out {
            say(&format!("- {line}"));
        }
    }
    out
}

fn policy((namespace, service): Service, allowed: Allowed, options: &Options) -> Policy {
    let dry_run = [("istio.io/dry-run", "true")];
    let rules = allowed.into_iter().map(|(operations, principals)| Rule {
        from: vec![From {
            source: Principals {
                principals: principals.into_iter().collect(),
            },
        }],
        to: operations
            .into_iter()
            .map(|operation| To { operation })
            .collect(),
    });
    Policy {
        api_version: "security.istio.io/v1",
        kind: "AuthorizationPolicy",
        metadata: Metadata {
            name: format!("pairwatch-{service}"),
            namespace,
            annotations: dry_run.into_iter().filter(|_| !options.enforce).collect(),
        },
        spec: Spec {
            selector: Selector {
                match_labels: BTreeMap::from([(options.selector.clone(), service)]),
            },
            action: "ALLOW",
            rules: rules.collect(),
        },
    }
}

/// The principal and the service of a pair, or why there are none.
fn ends(
    source: &str,
    destination: &str,
    pair: &Pair,
    seen: &Seen,
    options: &Options,
) -> Result<(String, Service), String> {
    if pair.alerted {
        return Err("it raised a new_pair alert: look at it, then allow it by hand".to_owned());
    }
    if source == seen.unknown_source {
        return Err("no certificate names the caller".to_owned());
    }
    Ok((principal(source, options)?, service(destination, options)?))
}

fn principal(source: &str, options: &Options) -> Result<String, String> {
    let parts: Vec<&str> = source.split('/').collect();
    let (domain, namespace, account) = match *parts {
        [domain, "ns", namespace, "sa", account] => (domain, namespace, account),
        [namespace, account] => (&*options.trust_domain, namespace, account),
        [account] => match &options.namespace {
            Some(namespace) => (&*options.trust_domain, &**namespace, account),
            None => return Err("the caller's namespace is not known: give --namespace".to_owned()),
        },
        _ => return Err("the caller is no Kubernetes account".to_owned()),
    };
    if ![domain, namespace, account].into_iter().all(is_name) {
        return Err("the caller is no Kubernetes account".to_owned());
    }
    Ok(format!("{domain}/ns/{namespace}/sa/{account}"))
}

fn service(destination: &str, options: &Options) -> Result<Service, String> {
    let (namespace, service) = match destination.split_once('/') {
        Some((namespace, account)) => (namespace, account),
        None => match *destination.split('.').collect::<Vec<_>>() {
            [service, namespace, "svc", ..] => (namespace, service),
            [service] => match &options.namespace {
                Some(namespace) => (&**namespace, service),
                None => {
                    return Err("the service's namespace is not known: give --namespace".to_owned());
                }
            },
            _ => return Err("the service is not one of the cluster".to_owned()),
        },
    };
    // A policy's name is `pairwatch-` and the service's, 63 letters at most.
    if !is_name(namespace) || !is_name(service) || service.contains('.') || service.len() > 53 {
        return Err("the service has no name Kubernetes could have given it".to_owned());
    }
    Ok((namespace.to_owned(), service.to_owned()))
}

/// Whether Kubernetes could have given this name: lower-case letters, digits, dashes and dots.
fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends =
        name.bytes().next().is_some_and(inner) && name.bytes().next_back().is_some_and(inner);
    ends && name.bytes().all(|b| inner(b) || b == b'-' || b == b'.')
}

/// What a pair was served, with the methods of equal paths together; and how many requests that covers.
fn operations(pair: &Pair, name: &str, left_out: &mut Vec<String>) -> (Vec<Operation>, u64) {
    let mut paths: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut covered = 0u64;
    for ((method, template), count) in &pair.routes {
        let route = format!("{method} {template}");
        let why = if pair.has_alerted(method, template) {
            Err("it raised a new_route alert: look at it, then allow it by hand")
        } else if !method.bytes().all(|b| b.is_ascii_uppercase()) {
            Err("its method is none that Istio matches")
        } else {
            path(template).ok_or("its path can't be written as a pattern")
        };
        match why {
            Ok(path) => {
                covered = covered.saturating_add(*count);
                paths.entry(method).or_default().insert(path);
            }
            Err(why) => left_out.push(format!(
                "{name}, {}: {}; {why}",
                plain(&route),
                requests(*count)
            )),
        }
    }
    for (count, why) in [
        (pair.other, "on more routes than limits.routes_per_pair"),
        (pair.not_http, "that are no HTTP requests"),
        (
            pair.odd,
            "whose paths have doubled slashes, dot segments or needless escapes, which Istio may match as others",
        ),
        (
            pair.unserved(),
            "on routes where none was ever served, which shows no right to them",
        ),
    ] {
        if count > 0 {
            left_out.push(format!("{name}: {} {why}", requests(count)));
        }
    }
    let mut methods: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (method, paths) in paths {
        let methods = methods.entry(paths.into_iter().collect()).or_default();
        methods.push(method.to_owned());
    }
    let operations = methods
        .into_iter()
        .map(|(paths, methods)| Operation { methods, paths });
    let mut operations: Vec<Operation> = operations.collect();
    operations.sort();
    (operations, covered)
}

/// A route's path template as Istio writes it; `None` where its text could be taken for a pattern.
fn path(template: &str) -> Option<String> {
    let rest = template.strip_suffix(super::REST);
    let plain = rest.unwrap_or(template).replace("{id}", "");
    if !template.starts_with('/') || plain.contains(['*', '{', '}', '%', '\\']) {
        return None;
    }
    let path = rest.unwrap_or(template).replace("{id}", "{*}");
    Some(if rest.is_some() { path + "{**}" } else { path })
}

fn missing((why, count): &(String, u64)) -> String {
    let s = if *count == 1 { "" } else { "s" };
    format!("{count} line{s} not counted, {why}")
}

fn requests(count: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} request{s}")
}

/// Text that is safe in a comment: names come from whoever sent the requests.
fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_template_becomes_istios_own() {
        for (template, want) in [
            ("/items/{id}/reviews", Some("/items/{*}/reviews")),
            ("/items/{id}/", Some("/items/{*}/")),
            ("/a/{rest}", Some("/a/{**}")),
            ("/", Some("/")),
            ("/a*", None),
            ("/{x}", None),
            ("/a%2f", None),
            ("*", None),
        ] {
            assert_eq!(path(template).as_deref(), want, "{template}");
        }
    }

    proptest! {
        #[test]
        fn no_name_of_a_client_gets_into_a_principal(source in any::<String>()) {
            let options = Options {
                trust_domain: "cluster.local".to_owned(),
                namespace: Some("shop".to_owned()),
                selector: "app".to_owned(),
                enforce: false,
            };
            if let Ok(principal) = principal(&source, &options) {
                prop_assert!(principal.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b)));
                prop_assert_eq!(principal.matches('/').count(), 4);
            }
        }
    }
}
