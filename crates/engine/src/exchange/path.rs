//! What a path may be served as, when that is not what it says.
//!
//! A rule of some routes is not to be got round by writing the path another way, and servers differ in how they read one. All
//! resolve `..` and unescape letters; some, on top of it, take an escaped slash or a backslash for a slash, unescape twice,
//! merge slashes, or cut the parameters off a segment (`..;x` is `..` to them, and `/;x/` two slashes). Which of them does what
//! can't be known here. So there are three answers ([`Served`]): the path says what it is; it is another for sure, or at least for
//! those who see through it; or it climbs (`..`) where servers disagree how far, and may be any route at all.
//!
//! A rule that refuses holds the last against all its routes; one that lets pass lets only the first pass. Who climbs over
//! disguised segments is no honest client: browsers and libraries resolve `..` before they send. Where Envoy normalizes paths, as
//! Istio has it do, most of them never get here: what it makes of a path is what we see and what the server gets. It leaves alone
//! what is escaped twice, and parameters.
//!
//! Not held against anybody: bytes that only servers of old take for a dot or slash (`%c0%ae`, `%u002e`), parameters behind a
//! name in a path that does not climb (`/admin;x`), letters of another case.
//!
//! RFC 3986: 2.3 (what needs no escape), 3.3 (parameters), 5.2.4 (dot segments), 6.2.2.2 (escapes of what needs none).

/// What a path may be served as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// What it says.
    AsWritten,
    /// This path, by who resolves all that is in it. One that is [plain](is_plain) is only written another way.
    As(Vec<u8>),
    /// It climbs, and servers disagree where it gets to.
    Anything,
}

/// Whether a path is what it looks like to whoever serves it: without dot segments, segments of nothing but parameters, backslashes,
/// and escapes of what needs none or of slashes and backslashes, which some servers resolve to another path.
pub fn is_plain(path: &[u8]) -> bool {
    let path = without_query(path);
    let mut segments = path.split(|&b| b == b'/');
    let last = segments.next_back().and_then(dots);
    let odd = last.is_some() || segments.any(|s| dots(s).is_some() || is_nameless(s));
    !odd && !is_disguised(path) && !path.contains(&b'\\')
}

/// What a path may be served as.
pub fn served(path: &[u8]) -> Served {
    let path = without_query(path);
    let plain = is_plain(path);
    if plain && !path.contains(&b'%') {
        return Served::AsWritten;
    }
    let (text, mut unsure) = unescaped(path);
    if plain {
        return if text == path {
            Served::AsWritten
        } else {
            Served::As(text)
        };
    }
    // Escapes that make escapes are valid nowhere.
    if is_disguised(&text) {
        return Served::Anything;
    }
    unsure |= text.windows(2).any(|w| w == b"//");
    let mut climbs = false;
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut rest = text.split(|&b| b == b'/').peekable();
    while let Some(segment) = rest.next() {
        match dots(segment) {
            None if segment.is_empty() => {}
            None if is_nameless(segment) && rest.peek().is_some() => unsure = true,
            None => segments.push(segment),
            Some(dots) => {
                unsure |= dots.len() < segment.len();
                if dots == b".." {
                    climbs = true;
                    segments.pop();
                }
            }
        }
    }
    if climbs && unsure {
        return Served::Anything;
    }
    Served::As([b"/", segments.join(&b'/').as_slice()].concat())
}

/// A path as far as it names anything: query and fragment are not of it.
pub fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|&b| b == b'?' || b == b'#');
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// The one or two dots that are all of a segment but its parameters.
fn dots(segment: &[u8]) -> Option<&[u8]> {
    let count = segment.iter().take_while(|&&b| b == b'.').count();
    let (dots, rest) = segment.split_at_checked(count)?;
    let end = rest.is_empty() || is_nameless(rest);
    (end && (1..=2).contains(&count)).then_some(dots)
}

/// Whether a segment is nothing but parameters. Before another it is a doubled slash to those who cut them off; at the end it may be
/// a session's (`/;jsessionid=1`).
fn is_nameless(segment: &[u8]) -> bool {
    match segment {
        [b';', ..] => true,
        [b'%', ..] => Escape::of(segment).is_some_and(|e| e.byte == b';'),
        _ => false,
    }
}

/// Whether a path has escapes of what needs none.
fn is_disguised(path: &[u8]) -> bool {
    let at = |at| path.get(at..).and_then(Escape::in_disguise);
    path.contains(&b'%') && (0..path.len()).any(|i| at(i).is_some())
}

/// A path with slashes for backslashes and without needless escapes, once; and whether a server may not see through it.
fn unescaped(mut path: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(path.len());
    let mut unsure = false;
    while let Some((&first, after)) = path.split_first() {
        let escape = Escape::needless(path);
        let byte = escape.as_ref().map_or(first, |e| e.byte);
        unsure |= byte == b'\\' || escape.as_ref().is_some_and(|e| e.deep || e.byte == b'/');
        text.push(if byte == b'\\' { b'/' } else { byte });
        path = escape.map_or(after, |e| e.after);
    }
    (text, unsure)
}

/// Signs that a segment may have as they are, and that honest clients escape all the same.
const SIGNS: &[u8] = b"!$&'()*+,;=:@~";

/// An escaped byte, and what stands behind it.
struct Escape<'a> {
    byte: u8,
    /// Whether its percent sign is escaped itself: `%252e`, `%25252e`.
    deep: bool,
    after: &'a [u8],
}

impl<'a> Escape<'a> {
    /// The escape that a text begins with.
    fn of(text: &'a [u8]) -> Option<Self> {
        let mut rest = text.strip_prefix(b"%")?;
        let mut deep = false;
        while let Some(deeper) = rest.strip_prefix(b"25") {
            rest = deeper;
            deep = true;
        }
        let (&[high, low], after) = rest.split_first_chunk()?;
        let digit = |d: u8| char::from(d).to_digit(16);
        let byte = digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?;
        let byte = u8::try_from(byte).ok()?;
        Some(Self { byte, deep, after })
    }

    /// The one that a text begins with, of a byte that a path may have as it is, or that parts segments.
    fn needless(text: &'a [u8]) -> Option<Self> {
        Self::in_disguise(text).or_else(|| Self::of(text).filter(|e| SIGNS.contains(&e.byte)))
    }

    /// The one that a text begins with, of a byte that needs none, or that parts segments. Tildes are let pass: they needed
    /// escapes before RFC 3986, and some clients still make them.
    fn in_disguise(text: &'a [u8]) -> Option<Self> {
        Self::of(text).filter(|e| e.byte.is_ascii_alphanumeric() || b"-._/\\".contains(&e.byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_path_that_a_server_may_read_as_another_is_not_plain() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/a%2F..%2fb",
            "/%2e%2E/b",
            "/a\\b",
            "/a%5cb",
            "/%61dmin",
            "/a%2Db",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a/.;/b",
            "/a/..%3Bx/b",
            "/a/%252e%252e/b",
            "/a/%25252e./b",
            "/a%252fb",
            "/;/b",
            "/a/;x=1/b",
            "/a/%3B/b",
        ] {
            assert!(!is_plain(path.as_bytes()), "{path}");
        }
        let plain = [
            "/",
            "",
            "/a.b/..c",
            "/a/...",
            "/a/...;x",
            "/a;x=1/b",
            "/;x=1",
            "/a/;x=1",
            "/a?x=/../",
            "/%20",
            "/%C3%A9",
            "/100%25",
            "/100%2520",
            "/%6",
            "/%",
        ];
        for path in plain {
            assert!(is_plain(path.as_bytes()), "{path}");
            assert_eq!(served(path.as_bytes()), Served::AsWritten, "{path}");
        }
        for (path, want) in [("/%7Ea", "/~a"), ("/a%3Ab%40c?d", "/a:b@c")] {
            assert!(is_plain(path.as_bytes()), "{path}");
            assert_eq!(served(path.as_bytes()), Served::As(want.into()), "{path}");
        }
    }

    #[test]
    fn a_path_is_resolved_as_a_server_may_serve_it() {
        for (path, want) in [
            ("/a/../b?x=/../y", "/b"),
            ("/./b", "/b"),
            ("/../..", "/"),
            ("/a/%2e%2E/b%20c", "/b%20c"),
            ("/a%2fb", "/a/b"),
            ("/a%252fb/.;x", "/a/b"),
            ("/a\\b%5cc", "/a/b/c"),
            ("/%61dmin//x", "/admin/x"),
            ("/;/a/;x=1/b/%3B/;y", "/a/b/;y"),
        ] {
            assert_eq!(served(path.as_bytes()), Served::As(want.into()), "{path}");
        }
    }

    #[test]
    fn where_servers_disagree_how_far_a_path_climbs_it_may_be_anything() {
        for path in [
            "/a%2fb/../c",
            "/a%5Cb/../c",
            "/a\\..\\c",
            "/a/..%2fc",
            "/a/..;/c",
            "/a/..;x=1/c",
            "/a/..%3b/c",
            "/a/%2e%2e;/c",
            "/a/.;/../c",
            "/a/%252e%252e/c",
            "/a/%25252e%25252e/c",
            "/a//../c",
            "/a/;/../c",
            "/a/;x=1/../c",
            "/a/%3b/../c",
            "/a/%%32e%%32e/c",
            "/a/%25%32e%25%32e/c",
        ] {
            assert_eq!(served(path.as_bytes()), Served::Anything, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_a_path_is_served_as_is_plain(path in "[a./;:%2eEfF35cCabB04\\\\]{0,24}") {
            if let Served::As(served) = served(path.as_bytes()) {
                prop_assert!(is_plain(&served), "{path} as {}", String::from_utf8_lossy(&served));
            }
        }
    }
}
