//! Method and path to a route template: `GET /users/42/orders?page=3` → `GET /users/{id}/orders`.
//!
//! The aim is that requests to the same handler share a name, and that no client can make up names without end. A
//! segment that looks generated becomes `{id}`: digits; hexadecimal of eight or more with a digit in it; a UUID; anything
//! of twenty or more characters with a digit in it, or of more than forty; ten or more of letters and digits mixed as
//! only machines mix them; what has a part that is such hexadecimal, or ends in a number of two digits or more
//! (`main.3f2a1c9b.js`, `order-4711`, `G1237`, `img_20260504.jpg`). Words, `oauth2`, `i18n` and file names stay, and so
//! does a version (`v1`, `v2beta1`, `v18.0`), which stands within the first [`VERSION_WITHIN`] segments; what looks like
//! one further down is a name that was numbered. Deeper than [`MAX_SEGMENTS`] becomes one `{rest}`.
//!
//! The template is written into a fixed buffer on the stack: the hot path allocates nothing. Bytes that are not
//! printable ASCII become `.`, so a template is safe to log and to put into JSON as it is.

/// Segments kept; no handler is told apart deeper down in practice.
pub const MAX_SEGMENTS: usize = 8;
/// A version stands within so many segments: `/v1`, `/api/v1`, `/apis/apps/v1` (Kubernetes), `/service/api/v1`.
const VERSION_WITHIN: usize = 3;
/// Bytes of a template at most. A path that needs more ends in `{rest}`.
pub const MAX_TEMPLATE: usize = 120;
/// The route that stands for all routes past the cap.
pub const OTHER: &str = "{other}";
/// The route of requests for what is not there: their paths are the caller's invention, no route of the service.
pub const UNROUTED: &str = "{unrouted}";

const REST: &[u8] = b"/{rest}";
const ID: &[u8] = b"/{id}";

/// A route template on the stack.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: [u8; MAX_TEMPLATE],
    len: usize,
}

impl Template {
    /// The template of a method and path.
    pub fn of(method: &[u8], path: &[u8]) -> Self {
        Self::build(method, path, is_numbered_name)
    }

    /// The template of a path that is not there, in which a numbered name is a name: who tries `/backup1` to `/backup99`
    /// tries ninety-nine paths.
    pub fn of_tried(method: &[u8], path: &[u8]) -> Self {
        Self::build(method, path, |_, _| false)
    }

    fn build(method: &[u8], path: &[u8], is_numbered_name: fn(&[u8], usize) -> bool) -> Self {
        let mut out = Self {
            bytes: [0; MAX_TEMPLATE],
            len: 0,
        };
        // The longest registered method has 17 letters (UPDATEREDIRECTREF).
        out.push(method.get(..17).unwrap_or(method));
        out.copy(b" ");
        let start = out.len;
        for (depth, segment) in Segments(path).enumerate() {
            let generated = match segment.looks() {
                Looks::Word => false,
                Looks::WithDigits => is_numbered_name(segment.bytes, depth),
                Looks::Generated => true,
            };
            let needed = if generated {
                ID.len()
            } else {
                segment.bytes.len().saturating_add(1)
            };
            let room = MAX_TEMPLATE
                .saturating_sub(out.len)
                .saturating_sub(REST.len());
            if depth >= MAX_SEGMENTS || needed > room {
                out.copy(REST);
                return out;
            }
            if generated {
                out.copy(ID);
            } else {
                out.copy(b"/");
                if segment.is_graphic() {
                    out.copy(segment.bytes);
                } else {
                    out.push(segment.bytes);
                }
            }
        }
        if out.len == start {
            out.copy(b"/");
        }
        out
    }

    /// The template as text: printable ASCII.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|b| std::str::from_utf8(b).ok())
            .unwrap_or(OTHER)
    }

    /// Appends what is not known to be printable.
    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        for (slot, &b) in room.iter_mut().zip(bytes) {
            *slot = if b.is_ascii_graphic() || b == b' ' {
                b
            } else {
                b'.'
            };
        }
        self.len = self.len.saturating_add(room.len().min(bytes.len()));
    }

    /// Appends what is printable as it is.
    fn copy(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }
}

/// Segments longer than this are generated, whatever is in them: no handler has so long a name.
const LONGEST_WORD: usize = 40;

// The lanes: where each begins.
const DIGITS: u32 = 0;
const LOWER: u32 = 8;
const UPPER: u32 = 16;
const OTHERS: u32 = 24;
const HEX: u32 = 32;
/// What would have to be written otherwise.
const UNPRINTABLE: u32 = 40;

/// What each byte is, in lanes of eight bits: the lanes of a sum count up to 255, and no more than
/// [`LONGEST_WORD`] bytes of a sum are looked at. Nothing at all is what ends a segment.
const CLASS: [u64; 256] = {
    let mut table = [0; 256];
    let mut b = 0_u8;
    loop {
        let class = match b {
            b'0'..=b'9' => DIGITS,
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            _ => OTHERS,
        };
        let hex = b.is_ascii_hexdigit() || b == b'-';
        let printable = b.is_ascii_graphic() || b == b' ';
        let ends = matches!(b, b'/' | b'?' | b'#');
        #[allow(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler; any byte is an index of the table"
        )]
        if !ends {
            table[b as usize] = 1 << class
                | if hex { 1 << HEX } else { 0 }
                | if printable { 0 } else { 1 << UNPRINTABLE };
        }
        let Some(next) = b.checked_add(1) else {
            break table;
        };
        b = next;
    }
};

/// The segments of a path that are not empty, up to its query or fragment, each read once.
struct Segments<'a>(&'a [u8]);

/// A segment of a path.
struct Segment<'a> {
    bytes: &'a [u8],
    /// How many bytes of each class, where it is no longer than [`LONGEST_WORD`].
    counts: u64,
}

/// What a segment looks like by the characters in it.
enum Looks {
    Word,
    WithDigits,
    Generated,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        while !self.0.is_empty() {
            let (mut counts, mut end) = (0_u64, 0_usize);
            for &b in self.0 {
                let class = CLASS.get(usize::from(b)).copied().unwrap_or(0);
                if class == 0 {
                    break;
                }
                counts = counts.wrapping_add(class);
                end = end.saturating_add(1);
            }
            let (bytes, after) = self.0.split_at_checked(end)?;
            self.0 = after.strip_prefix(b"/").unwrap_or_default();
            if !bytes.is_empty() {
                return Some(Segment { bytes, counts });
            }
        }
        None
    }
}

impl Segment<'_> {
    fn count(&self, lane: u32) -> usize {
        usize::from(self.counts.wrapping_shr(lane) as u8)
    }

    /// Whether it can be written as it is. Not asked of long ones.
    fn is_graphic(&self) -> bool {
        self.count(UNPRINTABLE) == 0
    }

    fn looks(&self) -> Looks {
        let len = self.bytes.len();
        if len > LONGEST_WORD {
            return Looks::Generated;
        }
        let digits = self.count(DIGITS);
        if digits == 0 {
            return Looks::Word;
        }
        let (lower, upper) = (self.count(LOWER), self.count(UPPER));
        let plain = self.count(OTHERS) == 0;
        if lower.saturating_add(upper) == 0 // 42, 2026-11-21, 10.0.0.1
        || (self.count(HEX) == len && len >= 8)
        || len >= 20
        || (plain && len >= 10 && (lower == 0 || upper > 0 || digits >= 4))
        {
            Looks::Generated
        } else {
            Looks::WithDigits
        }
    }
}

/// Whether a name with digits in it was numbered, or has a hash in it.
fn is_numbered_name(segment: &[u8], depth: usize) -> bool {
    let mut parts = segment.split(|b| !b.is_ascii_alphanumeric());
    match version(segment) {
        Some(_) if depth < VERSION_WITHIN => false,
        Some(number) if number.iter().all(u8::is_ascii_digit) => true,
        _ => parts.any(|part| is_numbered(part) || is_hash(part)),
    }
}

/// What follows the `v` of `v1`, `v2beta1` or `v18.0`.
fn version(segment: &[u8]) -> Option<&[u8]> {
    let number = segment.strip_prefix(b"v")?;
    number.first()?.is_ascii_digit().then_some(number)
}

/// Whether a part ends in a number of two digits or more.
fn is_numbered(part: &[u8]) -> bool {
    matches!(part, [.., a, b] if a.is_ascii_digit() && b.is_ascii_digit())
}

/// Whether a part is hexadecimal of eight or more with a digit in it.
fn is_hash(part: &[u8]) -> bool {
    part.len() >= 8 && part.iter().all(u8::is_ascii_hexdigit) && part.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn template(path: &str) -> String {
        Template::of(b"GET", path.as_bytes()).as_str().to_owned()
    }

    #[test]
    fn generated_segments_become_ids_and_words_stay() {
        for (path, want) in [
            ("/users/42/orders?page=3", "GET /users/{id}/orders"),
            ("/o/3fa85f64-5717-4562-b3fc-2c963f66afa6", "GET /o/{id}"),
            ("/blob/9f86d081884c7d65", "GET /blob/{id}"),
            ("/product/OLJCESPC7Z", "GET /product/{id}"),
            (
                "/api/v1/travelservice/trips/left",
                "GET /api/v1/travelservice/trips/left",
            ),
            ("/login", "GET /login"),
            ("/static/app.min.js", "GET /static/app.min.js"),
            ("//a//b/", "GET /a/b"),
            ("", "GET /"),
            ("/oauth2/token", "GET /oauth2/token"),
            ("/i18n/utf-8/s3", "GET /i18n/utf-8/s3"),
            ("/orders/order-4711/lines", "GET /orders/{id}/lines"),
            ("/trains/G1237", "GET /trains/{id}"),
            ("/images/img_20260504.jpg", "GET /images/{id}"),
            ("/app-1.2.3.min.js", "GET /app-1.2.3.min.js"),
            ("/main.3f2a1c9b.js", "GET /{id}"),
            (
                "/1/2/3/4/5/6/7/8/9/10",
                "GET /{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{rest}",
            ),
        ] {
            assert_eq!(template(path), want, "of {path}");
        }
    }

    #[test]
    fn a_version_stands_in_front_and_a_numbered_name_further_down() {
        for path in [
            "/v1/users",
            "/api/v18.0/users",
            "/apis/apps/v2beta1/deployments",
        ] {
            assert_eq!(template(path), format!("GET {path}"));
        }
        assert_eq!(
            template("/api/v1/foods/v7/v31"),
            "GET /api/v1/foods/{id}/{id}"
        );
    }

    #[test]
    fn a_grpc_method_is_its_own_route() {
        let t = Template::of(b"POST", b"/hipstershop.CartService/AddItem");
        assert_eq!(t.as_str(), "POST /hipstershop.CartService/AddItem");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_bounded_printable_template(
            method in prop::collection::vec(any::<u8>(), 0..40),
            path in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let t = Template::of(&method, &path);
            prop_assert!(t.as_str().len() <= MAX_TEMPLATE);
            prop_assert!(t.as_str().bytes().all(|b| b.is_ascii_graphic() || b == b' '));
            prop_assert!(t.as_str() != OTHER, "a template was lost");
        }

        #[test]
        fn ids_of_one_handler_share_a_template(a in any::<u32>(), b in any::<u32>()) {
            prop_assert_eq!(template(&format!("/users/{a}/cart")), template(&format!("/users/{b}/cart")));
        }
    }
}
