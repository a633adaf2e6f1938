//! Names: what clients can make up of paths, certificates, headers and tokens.

use pairwatch_engine::exchange::path::{Served, is_plain, served};
use pairwatch_engine::exchange::principal::{self, MAX_NAME};
use pairwatch_engine::exchange::pseudonym::{Pseudonyms, conceal};
use pairwatch_engine::exchange::route::{MAX_TEMPLATE, Template};
use pairwatch_engine::exchange::xfcc;

/// Two texts out of one: what stands before the first zero byte, and behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}

/// A method, a zero byte, a path. The template is bounded, printable ASCII, its own template, and the same whatever the
/// query.
pub fn path(bytes: &[u8]) {
    let (method, path) = split(bytes);
    let template = Template::of(method, path);
    let text = template.as_str();
    assert!(text.len() <= MAX_TEMPLATE, "{} bytes: {text}", text.len());
    let printable = |b: u8| b.is_ascii_graphic() || b == b' ';
    assert!(text.bytes().all(printable), "{text:?} is not printable");
    let cut = method.len().min(17);
    let (method, rest) = text.as_bytes().split_at(cut);
    assert_eq!(rest.first(), Some(&b' '), "a space is behind the method");
    let again = Template::of(method, &rest[1..]);
    assert_eq!(again.as_str(), text, "a template is its own template");
    let queried = [path, b"?a=/b"].concat();
    let again = Template::of(method, &queried);
    assert_eq!(again.as_str(), text, "a query makes no other template");
    let served = served(path);
    assert!(is_plain(path) || served != Served::AsWritten);
    if let Served::As(path) = served {
        assert!(is_plain(&path), "what is resolved is plain");
    }
}

/// The URI of a peer's certificate, a zero byte, that of the own one. Names are bounded, and no peer of another trust domain
/// has a name that an account of the own one could have.
pub fn spiffe(bytes: &[u8]) {
    let (uri, own) = split(bytes);
    let (Ok(uri), Ok(own)) = (std::str::from_utf8(uri), std::str::from_utf8(own)) else {
        return;
    };
    let name = principal::of_spiffe(uri, own);
    assert_eq!(name.is_none(), uri.is_empty(), "who shows a URI has a name");
    if let Some(name) = name {
        assert!(name.len() <= MAX_NAME && !name.is_empty(), "{name}");
        let domain = |uri: &str| {
            let id = uri.strip_prefix("spiffe://")?;
            id.split('/').next().map(str::to_owned)
        };
        let home = domain(own).unwrap_or_else(|| "cluster.local".to_owned());
        let foreign = domain(uri).is_none_or(|d| d != home) && uri != own;
        // An account's name is NAMESPACE/ACCOUNT, a configured one has no slash as a rule, and neither has a colon.
        let like_ours = name.matches('/').count() < 2 && !name.contains(':');
        assert!(!(foreign && like_ours), "{uri} is called {name} by {own}");
        assert!(principal::spoken(&name).len() <= name.len(), "{name}");
    }
    if let Some(name) = principal::of_cluster(uri) {
        assert!(name.len() <= MAX_NAME && !name.is_empty(), "{name}");
    }
}

/// What a client sent, a zero byte, what the nearest proxy knows of it and appends. What is read is the proxy's, whatever the
/// client sent.
pub fn xfcc(bytes: &[u8]) {
    let (sent, known) = split(bytes);
    let (Ok(sent), Ok(known)) = (std::str::from_utf8(sent), std::str::from_utf8(known)) else {
        return;
    };
    let alone = xfcc::last(sent);
    for part in [alone.uri, alone.by] {
        assert!(part.is_empty() || sent.contains(part), "{part} is made up");
    }
    // As Envoy writes it: what could be taken for a separator is quoted, and quotes are escaped.
    let quoted = known.replace('\\', "\\\\").replace('"', "\\\"");
    let written = format!("By=spiffe://d/ns/b/sa/b;Subject=\"{quoted}\";URI=spiffe://d/ns/a/sa/a");
    let client = xfcc::last(&written);
    assert_eq!(client.uri, "spiffe://d/ns/a/sa/a", "{written}");
    assert_eq!(client.by, "spiffe://d/ns/b/sa/b", "{written}");
    let header = format!("{sent},{written}");
    assert_eq!(
        xfcc::last(&header),
        client,
        "what stands further left moves nothing"
    );
}

/// A user as a verified token or a header names it, a zero byte, a key. The pseudonym is of fixed form, the same each time,
/// and nothing of it is left in a text where it is to be concealed.
pub fn user(bytes: &[u8]) {
    let (user, key) = split(bytes);
    let user = String::from_utf8_lossy(user);
    let name = Pseudonyms::new(key).of(&user);
    let text = name.as_str();
    let digits = text.strip_prefix("user-").expect("it says what it is");
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    assert!(
        digits.len() == 16 && digits.bytes().all(hexadecimal),
        "{text}"
    );
    assert_eq!(Pseudonyms::new(key).of(&user), name, "the same each time");
    let told = conceal(&format!("{user}{text}, {text}"));
    assert!(!told.contains(text), "{told}");
    let left = told.match_indices("user-").any(|(at, _)| {
        let digits = told.as_bytes().get(at + 5..at + 21);
        digits.is_some_and(|d| d.iter().all(|b| hexadecimal(*b)))
    });
    // A user may be called like the beginning of one.
    assert!(
        !left || user.contains("user-"),
        "{told} still has a pseudonym"
    );
}
