//! What is read of each request: a CEL expression that evaluates to a list, because a list comes over in one call where
//! properties cost one each.
//!
//! An attribute that is absent fails a whole list. Guarding each against that makes the evaluation half as dear again, on
//! every request, so what nearly every request has is asked for unguarded first, and guarded only where that fails: for a
//! request that had no answer, no route, or no proper headers. What is read only where it is configured is guarded always:
//! a request without a token is nothing out of the ordinary.

use super::{peer, user};
use crate::host;
use pairwatch_engine::config::{Identity, Names};
use pairwatch_engine::exchange::attributes::{List, amount, integer, text};

/// Of each request: the attribute, and what stands for it where it is absent. The order is that of [`Lists::parse`].
const ATTRIBUTES: [(&str, &str); 8] = [
    ("connection.id", "0u"),
    ("request.method", "''"),
    ("request.path", "''"),
    ("response.code", "0"),
    ("request.size", "0"),
    ("response.size", "0"),
    ("request.duration", "duration('0s')"),
    ("xds.cluster_name", "''"),
];

/// What nobody but Pairwatch may say of a request.
pub(crate) const SCORE_HEADER: &str = "x-pairwatch-score";
/// The same name with underscores. Envoy lets them pass, and to upstreams that take their headers as CGI does (RFC 3875,
/// 4.1.18: `HTTP_X_PAIRWATCH_SCORE`) all four are one.
pub(crate) const SCORE_SPELLINGS: [&str; 4] = [
    SCORE_HEADER,
    "x_pairwatch_score",
    "x-pairwatch_score",
    "x_pairwatch-score",
];
/// Attributes that are known by the request's headers; [`ATTRIBUTES`]' other ones stand there as absent.
const EARLY: [&str; 5] = [
    "connection.id",
    "request.method",
    "request.path",
    "request.size",
    "xds.cluster_name",
];

/// The lists of one configuration.
#[derive(Debug)]
pub(super) struct Lists {
    request: Option<[u8; 4]>,
    guarded: Option<[u8; 4]>,
    /// By the request's headers: the same lists, and whether the client says what only Pairwatch may.
    early: Option<[u8; 4]>,
    early_guarded: Option<[u8; 4]>,
    /// What comes behind [`ATTRIBUTES`].
    more: Vec<Extra>,
}

/// What is read only where it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    Source,
    Xfcc,
    PeerNamespace,
    PeerWorkload,
    Address,
    Claim,
    User,
    Version,
}

/// What the host told of a request.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) connection: i64,
    pub(super) method: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) status: u64,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) nanos: u64,
    pub(super) cluster: &'a str,
    /// The header that names the source.
    pub(super) source: &'a str,
    pub(super) xfcc: &'a str,
    /// Istio's peer metadata: namespace and workload.
    pub(super) peer: (&'a str, &'a str),
    pub(super) address: &'a str,
    pub(super) claim: &'a str,
    /// The header that names the user.
    pub(super) user: &'a str,
    /// The upstream's version, where its metadata tells it.
    pub(super) version: &'a str,
    /// By the request's headers: whether they bear one of [`SCORE_SPELLINGS`].
    pub(super) scored: bool,
}

/// A request header, empty where there is none. A configuration allows nothing in its name that CEL would have to quote.
fn header(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    format!("'{name}' in request.headers ? request.headers['{name}'] : ''")
}

impl Lists {
    /// Compiles them in the current root context.
    pub(super) fn new(names: &Names, identity: &Identity) -> Self {
        let mut more = Vec::new();
        let mut elements = Vec::new();
        let mut add = |extra, element| {
            more.push(extra);
            elements.push(element);
        };
        if let Some(name) = &names.trusted_source_header {
            add(Extra::Source, header(name));
        }
        if names.trusted_xfcc {
            add(Extra::Xfcc, header("x-forwarded-client-cert"));
        }
        if names.trusted_peer_metadata {
            let [namespace, workload] = peer::metadata("downstream");
            add(Extra::PeerNamespace, namespace);
            add(Extra::PeerWorkload, workload);
            add(Extra::Version, peer::version_of_upstream());
        }
        if identity.has_addresses() || !names.addresses.is_empty() {
            let guarded = "has(source.address) ? source.address : ''";
            add(Extra::Address, guarded.to_owned());
        }
        if let Some(claim) = &identity.claim {
            add(Extra::Claim, user::claim(&identity.payload, claim));
        }
        if let Some(name) = &identity.trusted_user_header {
            add(Extra::User, header(name));
        }
        let list = |guards: bool, early: bool| {
            let attributes = ATTRIBUTES.iter().map(|&(name, absent)| {
                if early && !EARLY.contains(&name) {
                    absent.to_owned()
                } else if guards {
                    format!("has({name}) ? {name} : {absent}")
                } else {
                    name.to_owned()
                }
            });
            let scored = SCORE_SPELLINGS.map(|name| format!("'{name}' in request.headers"));
            let scored = early.then(|| scored.join(" || "));
            let all = attributes.chain(elements.iter().cloned()).chain(scored);
            let all: Vec<String> = all.collect();
            host::compile(&format!("[{}]", all.join(", ")))
        };
        Self {
            request: list(false, false),
            guarded: list(true, false),
            early: list(false, true),
            early_guarded: list(true, true),
            more,
        }
    }

    pub(super) fn are_compiled(&self) -> bool {
        let all = [self.request, self.guarded, self.early, self.early_guarded];
        all.iter().all(Option::is_some)
    }

    /// The list of the current stream, as the host encodes it.
    pub(super) fn evaluate(&self) -> Option<Vec<u8>> {
        host::evaluate(self.request?).or_else(|| host::evaluate(self.guarded?))
    }

    /// The same while no more than the request's headers is known.
    pub(super) fn evaluate_early(&self) -> Option<Vec<u8>> {
        host::evaluate(self.early?).or_else(|| host::evaluate(self.early_guarded?))
    }

    /// Reads a list.
    pub(super) fn parse<'a>(&self, bytes: &'a [u8]) -> Option<Request<'a>> {
        let mut list = List::read(bytes)?;
        let mut request = Request {
            connection: integer(list.next()?).unwrap_or(0),
            method: list.next()?,
            path: list.next()?,
            status: amount(list.next()?),
            request_bytes: amount(list.next()?),
            response_bytes: amount(list.next()?),
            nanos: amount(list.next()?),
            cluster: text(list.next()?),
            ..Request::default()
        };
        for extra in &self.more {
            let value = text(list.next()?);
            match extra {
                Extra::Source => request.source = value,
                Extra::Xfcc => request.xfcc = value,
                Extra::PeerNamespace => request.peer.0 = value,
                Extra::PeerWorkload => request.peer.1 = value,
                Extra::Address => request.address = value,
                Extra::Claim => request.claim = value,
                Extra::User => request.user = value,
                Extra::Version => request.version = value,
            }
        }
        request.scored = list.next() == Some(&[1]);
        Some(request)
    }
}
