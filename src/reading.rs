//! What is read of a finished request: one call to the host for what differs between requests, one more for the first
//! request of a connection.
//!
//! Both are CEL expressions that evaluate to a list, because a list comes over in one call where properties cost one each.
//! An attribute that is absent fails a whole list. Guarding each against that makes the evaluation half as dear again, on
//! every request, so the list is asked for unguarded first, and guarded only where that fails: for a request that had no
//! answer, no route, or no proper headers.

use crate::host;
use pairwatch_engine::config::Names;
use pairwatch_engine::exchange::attributes::{List, amount, integer, text};
use pairwatch_engine::exchange::{Exchange, principal};
use std::borrow::Cow;

/// Of each request: the attribute, and what stands for it where it is absent. The order is that of [`Readings::read`].
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

/// The gRPC status, asked for only where a request looks like gRPC: Envoy makes one up for any other answer (a plain 200 is
/// «unknown» to it).
const GRPC_STATUS: &str =
    "request.headers['content-type'].startsWith('application/grpc') ? response.grpc_status : -1";

/// What nobody but Pairwatch may say of a request.
pub(crate) const SCORE_HEADER: &str = "x-pairwatch-score";
/// Attributes that are known by the request's headers; [`ATTRIBUTES`]' other ones read as absent then.
const EARLY: [&str; 5] = [
    "connection.id",
    "request.method",
    "request.path",
    "request.size",
    "xds.cluster_name",
];

/// Of each connection: who is at its other end, and who we are. The order is that of [`Connection::read`].
const CONNECTION: &str = "[\
    has(connection.uri_san_peer_certificate) ? connection.uri_san_peer_certificate : '', \
    has(connection.uri_san_local_certificate) ? connection.uri_san_local_certificate : '', \
    has(xds.listener_direction) ? xds.listener_direction : 0]";

/// `xds.listener_direction` of a listener for requests from other workloads to this one.
const INBOUND: i64 = 1;
/// Connections remembered: a power of two. Two that fall into the same place cost a second host call per request, no more.
const CONNECTIONS: usize = 512;

/// How one root reads requests.
#[derive(Debug)]
pub(crate) struct Readings {
    request: Option<[u8; 4]>,
    guarded: Option<[u8; 4]>,
    /// By the request's headers: the same list, and whether the client says what only Pairwatch may.
    early: Option<[u8; 4]>,
    grpc_status: Option<[u8; 4]>,
    connection: Option<[u8; 4]>,
    names: Names,
    connections: Vec<Option<Connection>>,
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Connection {
    id: i64,
    source: Option<Box<str>>,
    destination: Option<Box<str>>,
}

impl Readings {
    /// Compiles the expressions in the current root context.
    pub(crate) fn new(names: &Names) -> Self {
        // The configuration allows nothing in the header's name that CEL would have to quote.
        let header = names.trusted_source_header.as_ref().map(|name| {
            let name = name.to_ascii_lowercase();
            format!("'{name}' in request.headers ? request.headers['{name}'] : ''")
        });
        let list = |element: fn(&(&str, &str)) -> String, more: Option<String>| {
            let attributes = ATTRIBUTES.iter().map(element);
            let elements: Vec<String> = attributes.chain(header.clone()).chain(more).collect();
            host::compile(&format!("[{}]", elements.join(", ")))
        };
        Self {
            request: list(|(name, _)| (*name).to_owned(), None),
            guarded: list(
                |(name, absent)| format!("has({name}) ? {name} : {absent}"),
                None,
            ),
            early: list(
                |(name, absent)| {
                    if EARLY.contains(name) {
                        format!("has({name}) ? {name} : {absent}")
                    } else {
                        (*absent).to_owned()
                    }
                },
                Some(format!("'{SCORE_HEADER}' in request.headers")),
            ),
            grpc_status: host::compile(GRPC_STATUS),
            connection: host::compile(CONNECTION),
            names: names.clone(),
            connections: std::iter::repeat_with(|| None).take(CONNECTIONS).collect(),
        }
    }

    /// Whether the host could compile what is to be read.
    pub(crate) fn are_compiled(&self) -> bool {
        [
            self.request,
            self.guarded,
            self.early,
            self.grpc_status,
            self.connection,
        ]
        .iter()
        .all(Option::is_some)
    }

    /// Reads the current stream and hands the exchange on; `None` where the host gives nothing.
    pub(crate) fn read<T>(&mut self, then: impl FnOnce(&Exchange<'_>) -> T) -> Option<T> {
        let bytes = host::evaluate(self.request?).or_else(|| host::evaluate(self.guarded?))?;
        self.exchange(&bytes, |exchange, _| then(exchange))
    }

    /// Reads the current stream while no more than the request's headers is known: also says whether they bear the score.
    pub(crate) fn read_early<T>(
        &mut self,
        then: impl FnOnce(&Exchange<'_>, bool) -> T,
    ) -> Option<T> {
        let bytes = host::evaluate(self.early?)?;
        self.exchange(&bytes, then)
    }

    fn exchange<T>(
        &mut self,
        bytes: &[u8],
        then: impl FnOnce(&Exchange<'_>, bool) -> T,
    ) -> Option<T> {
        let mut list = List::read(bytes)?;
        let id = integer(list.next()?).unwrap_or(0);
        let method = list.next()?;
        let path = list.next()?;
        let status = amount(list.next()?);
        let request_bytes = amount(list.next()?);
        let response_bytes = amount(list.next()?);
        let nanos = amount(list.next()?);
        let cluster = text(list.next()?);
        let header = self.names.trusted_source_header.as_ref();
        let header = principal::bounded(header.and_then(|_| list.next()).map_or("", text));
        let scored = list.next() == Some(&[1]);

        let grpc_status = self
            .grpc_status
            .filter(|_| status == 200 && may_be_grpc(method, path))
            .and_then(host::evaluate)
            .and_then(|s| u32::try_from(integer(&s)?).ok());

        let compiled = self.connection;
        let place = usize::try_from(id).unwrap_or(0) & CONNECTIONS.saturating_sub(1);
        let slot = self.connections.get_mut(place)?;
        if slot.as_ref().is_none_or(|c| c.id != id || id == 0) {
            *slot = Some(Connection::read(id, compiled));
        }
        let connection = slot.as_ref()?;

        let source = match (&connection.source, &*header) {
            (Some(peer), _) => peer,
            (None, "") => self.names.unknown_source.as_str(),
            (None, header) => header,
        };
        let destination = match (&self.names.service, &connection.destination) {
            (Some(configured), _) => Cow::Borrowed(configured.as_str()),
            (None, Some(own)) => Cow::Borrowed(&**own),
            (None, None) => principal::of_cluster(cluster).unwrap_or(Cow::Borrowed("unknown")),
        };
        let exchange = Exchange {
            source,
            destination: &destination,
            identity: None,
            address: None,
            method,
            path,
            status: u16::try_from(status).unwrap_or(u16::MAX),
            grpc_status,
            request_bytes,
            response_bytes,
            duration_us: nanos / 1000,
        };
        Some(then(&exchange, scored))
    }
}

impl Connection {
    fn read(id: i64, expression: Option<[u8; 4]>) -> Self {
        let mut connection = Self {
            id,
            ..Self::default()
        };
        let Some(bytes) = expression.and_then(host::evaluate) else {
            return connection;
        };
        let Some(mut list) = List::read(&bytes) else {
            return connection;
        };
        let peer = text(list.next().unwrap_or_default());
        let own = text(list.next().unwrap_or_default());
        let direction = integer(list.next().unwrap_or_default()).unwrap_or(0);
        connection.source = principal::of_spiffe(peer, own).map(|s| s.into());
        if direction == INBOUND {
            connection.destination = principal::of_spiffe(own, own).map(|s| s.into());
        }
        connection
    }
}

/// Whether a request can be a gRPC call by its method and path: `POST /package.Service/Method`.
fn may_be_grpc(method: &[u8], path: &[u8]) -> bool {
    method == b"POST" && path.iter().filter(|&&b| b == b'/').count() == 2
}
