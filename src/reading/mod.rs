//! What is read of a request: one call to the host for what differs between requests, one more for the first
//! request of a connection.
//!
//! | file | what it reads |
//! |---|---|
//! | [`request`] | the request itself, in one list |
//! | [`peer`] | the ends of its connection, and which way it goes |
//! | [`user`] | whom it speaks for |
//!
//! Who is the source is asked of those who can vouch for it, the surest first: see [`Readings::read`]; `docs/identity.md` is
//! the table of it.

mod peer;
mod request;
mod user;

use crate::host;
use pairwatch_engine::config::{Identity, Names};
use pairwatch_engine::exchange::attributes::integer;
use pairwatch_engine::exchange::version::Version;
use pairwatch_engine::exchange::{Exchange, address, principal, xfcc};
use peer::Peers;
use request::Lists;
pub(crate) use request::{SCORE_HEADER, SCORE_SPELLINGS};
use std::borrow::Cow;
use user::{User, Users};

/// The gRPC status, asked for only where a request looks like gRPC: Envoy makes one up for any other answer (a plain 200 is
/// «unknown» to it).
const GRPC_STATUS: &str =
    "request.headers['content-type'].startsWith('application/grpc') ? response.grpc_status : -1";

/// How one root reads requests.
#[derive(Debug)]
pub(crate) struct Readings {
    lists: Lists,
    grpc_status: Option<[u8; 4]>,
    peers: Peers,
    users: Users,
    names: Names,
    /// The version that the configuration names.
    configured_version: Option<Version>,
    /// Whether addresses go on to the engine, or only name sources.
    addresses: bool,
}

/// What is read of a request and is no part of the exchange.
#[derive(Clone, Copy, Debug)]
struct Beside {
    /// Of the destination.
    version: Version,
    /// Whether the request bears what only Pairwatch may say.
    scored: bool,
}

impl Readings {
    /// Compiles the expressions in the current root context.
    pub(crate) fn new(names: &Names, identity: &Identity) -> Self {
        Self {
            lists: Lists::new(names, identity),
            grpc_status: host::compile(GRPC_STATUS),
            peers: Peers::new(names.trusted_peer_metadata),
            users: Users::new(identity),
            names: names.clone(),
            configured_version: names.version.as_deref().map(Version::of),
            addresses: identity.has_addresses(),
        }
    }

    /// Whether the host could compile what is to be read.
    pub(crate) fn are_compiled(&self) -> bool {
        self.lists.are_compiled() && self.grpc_status.is_some() && self.peers.are_compiled()
    }

    /// Once a second.
    pub(crate) fn tick(&mut self) {
        self.users.tick();
    }

    /// Reads the current stream, which is over, and hands the exchange on; `None` where the host gives nothing.
    /// So is the version of its destination, which is unknown where nobody can be trusted to tell it.
    pub(crate) fn read<T>(&mut self, then: impl FnOnce(&Exchange<'_>, Version) -> T) -> Option<T> {
        let bytes = self.lists.evaluate()?;
        self.exchange(&bytes, true, |exchange, seen| then(exchange, seen.version))
    }

    /// Reads the current stream while no more than the request's headers is known: also says whether they bear the score.
    pub(crate) fn read_early<T>(
        &mut self,
        then: impl FnOnce(&Exchange<'_>, bool) -> T,
    ) -> Option<T> {
        let bytes = self.lists.evaluate_early()?;
        self.exchange(&bytes, false, |exchange, seen| then(exchange, seen.scored))
    }

    fn exchange<T>(
        &mut self,
        bytes: &[u8],
        done: bool,
        then: impl FnOnce(&Exchange<'_>, Beside) -> T,
    ) -> Option<T> {
        let request = self.lists.parse(bytes)?;
        let grpc_status = self
            .grpc_status
            .filter(|_| request.status == 200 && may_be_grpc(request.method, request.path))
            .and_then(host::evaluate)
            .and_then(|s| u32::try_from(integer(&s)?).ok());
        let address = address::of(request.address);

        let upstream;
        let service = self.names.service.as_deref();
        self.peers.meet(request.connection, service, done);
        let own_version = match (&self.configured_version, done) {
            (Some(configured), _) => *configured,
            (None, true) => self.peers.own_version(),
            (None, false) => Version::UNKNOWN,
        };
        let ends = self.peers.ends(request.connection, service)?;
        // Of what is behind this proxy it is known; of others the upstream tells, where it is trusted.
        let is_ours = ends.own.is_some() || ends.serves || self.configured_version.is_some();
        let version = if is_ours && !ends.leaves {
            own_version
        } else {
            Version::of(request.version)
        };
        let source = ends
            .peer
            .or(ends.own.filter(|_| ends.leaves))
            .map(Cow::Borrowed)
            .or_else(|| {
                let client = xfcc::last(request.xfcc);
                principal::of_spiffe(client.uri, client.by)
            })
            .or_else(|| (!request.source.is_empty()).then(|| principal::bounded(request.source)))
            .or_else(|| {
                Some(Cow::Owned(
                    peer::workload(request.peer.0, request.peer.1)?.into(),
                ))
            })
            .or_else(|| {
                Some(Cow::Borrowed(address::name(
                    &self.names.addresses,
                    address?,
                )?))
            })
            .unwrap_or(Cow::Borrowed(&self.names.unknown_source));
        let destination = match ends.own {
            Some(own) if !ends.leaves => Cow::Borrowed(own),
            _ => {
                upstream = done.then(|| self.peers.upstream(request.cluster)).flatten();
                match &upstream {
                    Some(name) => Cow::Borrowed(&**name),
                    None => {
                        principal::of_cluster(request.cluster).unwrap_or(Cow::Borrowed("unknown"))
                    }
                }
            }
        };
        let user = if request.claim.is_empty() {
            request.user
        } else {
            request.claim
        };
        let user = self.users.name(user);
        let exchange = Exchange {
            source: &source,
            destination: &destination,
            identity: user.as_ref().map(User::as_str),
            address: address.filter(|_| self.addresses),
            method: request.method,
            path: request.path,
            status: u16::try_from(request.status).unwrap_or(u16::MAX),
            grpc_status,
            request_bytes: request.request_bytes,
            response_bytes: request.response_bytes,
            duration_us: request.nanos / 1000,
        };
        let scored = request.scored;
        Some(then(&exchange, Beside { version, scored }))
    }
}

/// Whether a request can be a gRPC call by its method and path: `POST /package.Service/Method`.
fn may_be_grpc(method: &[u8], path: &[u8]) -> bool {
    method == b"POST" && path.iter().filter(|&&b| b == b'/').count() == 2
}
