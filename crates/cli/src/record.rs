//! What one access-log line says, whatever the format it is written in.
//!
//! Each format's reader fills a [`Record`] whose buffers are used again and again. [`Naming`] turns what logs know of the
//! two ends into the names the engine uses, by the same rules as the proxy: a peer nobody vouches for is
//! `names.unknown_source`, a request that reached no named service is [`UNKNOWN`]. A destination is never taken from the
//! request's authority, which is the caller's to choose.

use pairwatch_engine::Time;
use pairwatch_engine::config::{Identity, NamedNetwork, Names, Privacy};
use pairwatch_engine::exchange::pseudonym::Pseudonyms;
use pairwatch_engine::exchange::version::Version;
use pairwatch_engine::exchange::{Exchange, address, principal};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

/// What a destination is called that a line does not name, as in the proxy.
pub const UNKNOWN: &str = "unknown";

/// What a SPIFFE id begins with.
const SPIFFE: &str = "spiffe://";

/// What a line says, in buffers that are used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When the request began.
    pub time: Time,
    /// How long it took.
    pub duration: Duration,
    /// Who called.
    pub source: String,
    /// What was called.
    pub destination: String,
    /// HTTP method.
    pub method: String,
    /// Path, with its query where the log has it.
    pub path: String,
    /// HTTP status, 0 where none was sent.
    pub status: u16,
    /// gRPC status, where the answer carried one.
    pub grpc_status: Option<u32>,
    /// Body bytes from the caller.
    pub request_bytes: u64,
    /// Body bytes to the caller.
    pub response_bytes: u64,
    /// The user or service the request speaks for; empty where the line says none.
    pub identity: String,
    /// Address of the client, without port; empty where the line says none.
    pub address: String,
    /// The version of what was called, where the line says it.
    pub version: Version,
}

/// The same, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the request began.
    pub time: Time,
    /// How long it took.
    pub duration: Duration,
    /// Who called.
    pub source: &'a str,
    /// What was called.
    pub destination: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Path, with its query where the log has it.
    pub path: &'a str,
    /// HTTP status, 0 where none was sent.
    pub status: u16,
    /// gRPC status, where the answer carried one.
    pub grpc_status: Option<u32>,
    /// Body bytes from the caller.
    pub request_bytes: u64,
    /// Body bytes to the caller.
    pub response_bytes: u64,
    /// The user or service the request speaks for; empty where the line says none.
    pub identity: &'a str,
    /// Address of the client, without port; empty where the line says none.
    pub address: &'a str,
    /// The version of what was called, where the line says it.
    pub version: Version,
}

impl Record {
    /// Empties it for the next line.
    pub fn clear(&mut self) {
        for text in [
            &mut self.source,
            &mut self.destination,
            &mut self.method,
            &mut self.path,
            &mut self.identity,
            &mut self.address,
        ] {
            text.clear();
        }
        self.time = Time::default();
        self.duration = Duration::ZERO;
        self.status = 0;
        self.grpc_status = None;
        self.request_bytes = 0;
        self.response_bytes = 0;
        self.version = Version::UNKNOWN;
    }

    /// Sets who is told apart by address: the last hop that the proxy itself added to `x-forwarded-for`, else the peer's.
    /// What stands further left in `x-forwarded-for` is the client's own word. That is what Envoy's connection manager finds,
    /// unless it trusts hops (`xff_num_trusted_hops`): of them a log says nothing.
    pub fn set_address(&mut self, forwarded_for: &str, remote: &str) {
        let last = forwarded_for.rsplit(',').next().unwrap_or_default().trim();
        let hop: Result<IpAddr, _> = last.parse();
        set(
            &mut self.address,
            if hop.is_ok() {
                last
            } else {
                without_port(remote)
            },
        );
    }
}

impl<'a> Line<'a> {
    /// As the engine takes it.
    pub fn exchange(&self) -> Exchange<'a> {
        Exchange {
            source: self.source,
            destination: self.destination,
            identity: Some(self.identity).filter(|i| !i.is_empty()),
            address: address::of(self.address),
            method: self.method.as_bytes(),
            path: self.path.as_bytes(),
            status: self.status,
            grpc_status: self.grpc_status,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            duration_us: u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// How sources, destinations and users are named.
#[derive(Clone, Debug)]
pub struct Naming {
    unknown_source: String,
    service: Option<String>,
    addresses: Vec<NamedNetwork>,
    /// What a certificate of the mesh's own trust domain begins with.
    own: String,
    /// `None` where users have the names that the log has.
    users: Option<Pseudonyms>,
}

impl Naming {
    /// As configured.
    pub fn new(names: &Names) -> Self {
        Self {
            unknown_source: names.unknown_source.clone(),
            service: names.service.clone(),
            addresses: names.addresses.clone(),
            own: format!("{SPIFFE}{}/", principal::DEFAULT_DOMAIN),
            users: None,
        }
    }

    /// Takes the accounts of this trust domain for those of the mesh. A proxy has it from its own certificate, which no log says.
    pub fn in_domain(mut self, domain: &str) -> Self {
        self.own = format!("{SPIFFE}{domain}/");
        self
    }

    /// Names users as the proxy would that is configured so: by pseudonyms of its key, or of one that is drawn anew each time. A
    /// configuration that says nothing of users leaves them their names, which whoever has the log has anyway.
    pub fn with_users(mut self, identity: &Identity) -> Self {
        let configured =
            identity.has_users() || identity.key.is_some() || identity.privacy == Privacy::Drop;
        if configured && identity.privacy != Privacy::Plain {
            self.users = Some(match &identity.key {
                Some(key) => Pseudonyms::new(key.as_bytes()),
                None => Pseudonyms::new(&drawn()),
            });
        }
        self
    }

    /// The user whom the log names, who is nobody where that is empty.
    pub fn user(&self, user: &str, into: &mut String) {
        match &self.users {
            Some(pseudonyms) if !user.is_empty() => set(into, pseudonyms.of(user).as_str()),
            _ => set(into, user),
        }
    }

    /// What a source nobody vouches for is called.
    pub fn unknown_source(&self) -> &str {
        &self.unknown_source
    }

    /// The source whose certificate or name is `peer`; where it has none, what the network is called that its address is in. Only
    /// certificates have a trust domain: a name stands as the log has it.
    pub fn source(&self, peer: &str, address: &str, into: &mut String) {
        let own = if peer.starts_with(SPIFFE) {
            &self.own
        } else {
            peer
        };
        let name = principal::of_spiffe(peer, own);
        let source = name.as_deref().or_else(|| self.network(address));
        set(into, source.unwrap_or(&self.unknown_source));
    }

    fn network(&self, address: &str) -> Option<&str> {
        // Most logs are read without: then nothing is parsed.
        if self.addresses.is_empty() {
            return None;
        }
        address::name(&self.addresses, address::of(address)?)
    }

    /// The destination behind `cluster`.
    pub fn destination(&self, cluster: &str, into: &mut String) {
        let name = principal::of_cluster(cluster);
        let service = name.as_deref().or(self.service.as_deref());
        set(into, service.unwrap_or(UNKNOWN));
    }
}

/// A key that nobody knows: 128 bits of what the standard library hashes by.
fn drawn() -> [u8; 16] {
    let [a, b] = [0u8, 1].map(|half| RandomState::new().hash_one(half).to_le_bytes());
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(a.into_iter().chain(b)) {
        *to = from;
    }
    key
}

/// Replaces a text, keeping its buffer.
pub fn set(text: &mut String, to: &str) {
    text.clear();
    text.push_str(to);
}

/// `10.0.0.1:8080` and `[::1]:80` without the port.
fn without_port(address: &str) -> &str {
    if let Some((inner, _)) = address.strip_prefix('[').and_then(|a| a.split_once(']')) {
        return inner;
    }
    match address.split_once(':') {
        // A second colon: an IPv6 address that never had a port.
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_nearest_hop_without_its_port() {
        let mut record = Record::default();
        for (forwarded, remote, want) in [
            ("", "10.0.0.1:8080", "10.0.0.1"),
            ("198.51.100.7, 203.0.113.9", "10.0.0.1:8080", "203.0.113.9"),
            ("", "[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "", "2001:db8::1"),
            ("made up", "10.0.0.1", "10.0.0.1"),
            ("", "", ""),
        ] {
            record.set_address(forwarded, remote);
            assert_eq!(record.address, want);
        }
    }

    #[test]
    fn users_are_named_as_the_proxy_would_that_is_configured_so() {
        let named = |identity: &Identity| {
            let mut name = String::new();
            let naming = Naming::new(&Names::default()).with_users(identity);
            naming.user("ada@example.com", &mut name);
            name
        };
        let key = "a key of sixteen letters";
        let keyed = Identity {
            key: Some(key.to_owned()),
            ..Identity::default()
        };
        let pseudonym = Pseudonyms::new(key.as_bytes()).of("ada@example.com");
        assert_eq!(named(&keyed), pseudonym.as_str());
        let dropped = Identity {
            privacy: Privacy::Drop,
            ..Identity::default()
        };
        assert!(named(&dropped).starts_with("user-"));
        let plain = Identity {
            privacy: Privacy::Plain,
            ..keyed
        };
        for identity in [Identity::default(), plain] {
            assert_eq!(named(&identity), "ada@example.com");
        }
    }

    #[test]
    fn names_are_those_the_proxy_would_use() {
        let naming = Naming::new(&Names::default());
        let named = |give: &dyn Fn(&mut String)| {
            let mut name = String::new();
            give(&mut name);
            name
        };
        assert_eq!(named(&|n| naming.source("", "", n)), "external");
        let source = |naming: &Naming, peer: &str| named(&|n| naming.source(peer, "", n));
        let (ours, theirs) = (
            "spiffe://cluster.local/ns/shop/sa/cart",
            "spiffe://corp/ns/shop/sa/cart",
        );
        assert_eq!(source(&naming, ours), "shop/cart");
        assert_eq!(source(&naming, theirs), "corp/ns/shop/sa/cart");
        assert_eq!(source(&naming, "spiffe://shop/cart"), "spiffe://shop/cart");
        let corp = naming.clone().in_domain("corp");
        assert_eq!(source(&corp, theirs), "shop/cart");
        assert_eq!(source(&corp, ours), "cluster.local/ns/shop/sa/cart");
        for name in ["web", "shop/cart"] {
            assert_eq!(source(&naming, name), name, "a log's own name stands");
        }
        assert_eq!(named(&|n| naming.destination("inbound|80||", n)), UNKNOWN);
        let own = Naming::new(&Names {
            service: Some("catalog".to_owned()),
            ..Names::default()
        });
        assert_eq!(named(&|n| own.destination("inbound|80||", n)), "catalog");
        assert_eq!(named(&|n| own.destination("payments", n)), "payments");
    }
}
