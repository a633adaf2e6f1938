//! Who a proxy in front says its client is: the header `x-forwarded-client-cert`.
//!
//! Elements are separated by commas, one a proxy, the nearest last; an element is pairs `key=value` separated by semicolons; a
//! value that holds either is quoted, and a quote in it has a backslash before it. (Envoy's documentation of the header,
//! `config_http_conn_man_headers_x-forwarded-client-cert`.)
//!
//! A client can send the header too, and the proxy in front may append to that. So it is read from its end: what the nearest
//! proxy wrote is well-formed, and nothing to the left of it, however crafted, can move where it begins.

/// What the nearest proxy says of its client, and of itself. Empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client<'a> {
    /// The client's URI: the first, where it has several.
    pub uri: &'a str,
    /// The proxy's own.
    pub by: &'a str,
}

/// Reads the last element.
pub fn last(header: &str) -> Client<'_> {
    let mut client = Client::default();
    if header.is_empty() {
        return client;
    }
    for pair in pairs(last_element(header)) {
        let Some((key, value)) = pair.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let value = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .unwrap_or(value);
        if key.eq_ignore_ascii_case("uri") && client.uri.is_empty() {
            client.uri = value;
        } else if key.eq_ignore_ascii_case("by") && client.by.is_empty() {
            client.by = value;
        }
    }
    client
}

/// What lies behind the last comma that is not in quotes, seen from the end.
fn last_element(header: &str) -> &str {
    let bytes = header.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate().rev() {
        match byte {
            b'"' if !is_escaped(bytes, at) => quoted = !quoted,
            b',' if !quoted => return header.get(at.saturating_add(1)..).unwrap_or_default(),
            _ => {}
        }
    }
    header
}

/// Whether an odd number of backslashes stands before this place.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    let slashes = before.iter().rev().take_while(|b| **b == b'\\').count();
    !slashes.is_multiple_of(2)
}

/// What stands between semicolons that are not in quotes.
fn pairs(element: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(element);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let mut quoted = false;
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' if !is_escaped(bytes, at) => quoted = !quoted,
                b';' if !quoted => {
                    rest = text.get(at.saturating_add(1)..);
                    return text.get(..at);
                }
                _ => {}
            }
        }
        rest = None;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const WRITTEN: &str = r#"By=spiffe://d/ns/a/sa/b;Hash=00ff;Subject="CN=x, O=\"y;z\"";URI=spiffe://d/ns/shop/sa/cart;DNS=cart"#;

    #[test]
    fn the_last_element_names_the_client_of_the_proxy_in_front() {
        let written = Client {
            uri: "spiffe://d/ns/shop/sa/cart",
            by: "spiffe://d/ns/a/sa/b",
        };
        assert_eq!(last(WRITTEN), written);
        assert_eq!(
            last(&format!("URI=spiffe://d/ns/evil/sa/admin,{WRITTEN}")),
            written
        );
        assert_eq!(last(r#"Hash=1;URI="spiffe://d/a""#).uri, "spiffe://d/a");
        for none in ["", ",", ";;=", "Hash=1", "URI=", r#"Subject="URI=x""#] {
            assert_eq!(last(none), Client::default(), "{none}");
        }
        let silent = format!("{WRITTEN},Hash=1");
        assert_eq!(last(&silent), Client::default(), "it showed no URI");
    }

    proptest! {
        #[test]
        fn nothing_before_the_last_element_can_change_what_it_says(forged in r#"[a-zA-Z=;:/"\\, ]{0,80}"#) {
            let header = format!("{forged},{WRITTEN}");
            prop_assert_eq!(last(&header), last(WRITTEN));
        }

        #[test]
        fn any_text_is_read_without_harm(header: String) {
            last(&header);
        }
    }
}
