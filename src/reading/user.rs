//! Whom a request speaks for: the user that a verified token names, or a trusted header.
//!
//! Claims are taken where Envoy's `jwt_authn` filter puts them once it has verified the token: dynamic metadata, which no
//! client can write. A token that is missing, forged or out of date leaves nothing there. The filter must stand before this one.
//!
//! What goes on from here is a pseudonym, unless the configuration wants names. Its key is configured, or drawn by the first
//! worker that needs one and left in the shared data, where the others find it: habits outlive a VM. It is 128 bits of the
//! host's generator; where a host gives none, users have no names. (The time and the request's id were thought of: whoever
//! reads the access log has both.) Drawing it is no transaction: two workers that draw at once write both, so each looks again at every
//! tick and takes what is there.

use crate::host;
use pairwatch_engine::config::{Claim, Identity, Privacy};
use pairwatch_engine::exchange::pseudonym::{Pseudonym, Pseudonyms};

/// Where the key is that was drawn.
const KEY: &str = "pairwatch.key";
/// Where `jwt_authn` puts what it verified.
const VERIFIED: &str = "metadata.filter_metadata['envoy.filters.http.jwt_authn']";

/// A claim of the verified token, empty where it is absent or no text. Each step is looked at before it is taken: an error would
/// cost the whole list.
pub(super) fn claim(payload: &str, claim: &Claim) -> String {
    let mut found = VERIFIED.to_owned();
    let mut guard = "'envoy.filters.http.jwt_authn' in metadata.filter_metadata".to_owned();
    for step in std::iter::once(payload).chain(claim.steps().iter().map(String::as_str)) {
        guard.push_str(&format!(" && type({found}) == map && '{step}' in {found}"));
        found.push_str(&format!("['{step}']"));
    }
    format!("{guard} && type({found}) == string ? {found} : ''")
}

/// How users are named.
#[derive(Debug)]
pub(super) struct Users {
    privacy: Privacy,
    /// Whether the key is the shared data's.
    drawn: bool,
    pseudonyms: Option<Pseudonyms>,
}

/// A user's name, as it may be told.
#[derive(Debug)]
pub(super) enum User<'a> {
    Plain(&'a str),
    Pseudonym(Pseudonym),
}

impl User<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Plain(name) => name,
            Self::Pseudonym(name) => name.as_str(),
        }
    }
}

impl Users {
    /// Compiles what is asked for in the current root context.
    pub(super) fn new(identity: &Identity) -> Self {
        let drawn =
            identity.has_users() && identity.privacy != Privacy::Plain && identity.key.is_none();
        Self {
            privacy: identity.privacy,
            drawn,
            pseudonyms: identity
                .key
                .as_ref()
                .map(|key| Pseudonyms::new(key.as_bytes())),
        }
    }

    /// Takes the key that is in the shared data, which another worker may have replaced.
    pub(super) fn tick(&mut self) {
        if self.drawn && self.pseudonyms.is_some() {
            let (key, _) = host::shared(KEY);
            if !key.is_empty() {
                self.pseudonyms = Some(Pseudonyms::new(&key));
            }
        }
    }

    /// The name of a user, as it may be told; `None` where there is none.
    pub(super) fn name<'a>(&mut self, user: &'a str) -> Option<User<'a>> {
        if user.is_empty() {
            return None;
        }
        if self.privacy == Privacy::Plain {
            return Some(User::Plain(user));
        }
        if self.pseudonyms.is_none() {
            self.pseudonyms = draw();
        }
        self.pseudonyms
            .as_ref()
            .map(|p| User::Pseudonym(p.of(user)))
    }
}

/// The key in the shared data; where there is none, a new one is put there.
fn draw() -> Option<Pseudonyms> {
    let (mut key, _) = host::shared(KEY);
    if key.is_empty() {
        key = host::random()?.to_vec();
        host::share(KEY, &key, None);
    }
    Some(Pseudonyms::new(&key))
}
