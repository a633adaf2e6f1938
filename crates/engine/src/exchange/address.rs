//! A client's address out of what a proxy writes: `192.0.2.7:4711`, `[2001:db8::7]:4711`.

use crate::config::NamedNetwork;
use std::net::{IpAddr, SocketAddr};

/// The address without its port; an IPv4 address in IPv6 clothes is that IPv4 address. `None` where it is none, as of a pipe.
pub fn of(text: &str) -> Option<IpAddr> {
    // Most requests are asked for none, and to find that out by parsing costs a tenth of counting them.
    if text.is_empty() {
        return None;
    }
    let address = text
        .parse::<SocketAddr>()
        .map(|a| a.ip())
        .or_else(|_| text.parse());
    address.ok().map(|a: IpAddr| a.to_canonical())
}

/// The name of the first network that holds an address.
pub fn name(named: &[NamedNetwork], address: IpAddr) -> Option<&str> {
    let mut fitting = named.iter().filter(|n| n.network.contains(address));
    fitting.next().map(|n| n.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_address_is_read_with_and_without_its_port() {
        for (text, address) in [
            ("192.0.2.7:4711", Some("192.0.2.7")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("[2001:db8::7]:80", Some("2001:db8::7")),
            ("[::ffff:192.0.2.7]:80", Some("192.0.2.7")),
            ("envoy://internal/x", None),
            ("/run/socket", None),
            ("", None),
        ] {
            assert_eq!(of(text), address.map(|a| a.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_first_network_that_fits_names_an_address() {
        let config = br#"{"names":{"addresses":[
            {"network":"10.0.0.7","name":"database"},{"network":"10.0.0.0/8","name":"inside"}]}}"#;
        let named = Config::from_json(config).unwrap().names.addresses;
        let of = |address: &str| name(&named, address.parse().unwrap());
        assert_eq!(of("10.0.0.7"), Some("database"));
        assert_eq!(of("10.0.0.8"), Some("inside"));
        assert_eq!(of("192.0.2.1"), None);
    }
}
