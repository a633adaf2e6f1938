//! A range of addresses as people write it: `"10.0.0.0/8"`.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// A network in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`; an address alone is a network of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("examples" = ["10.0.0.0/8", "fd00::/8"])))]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Both sorts as bits of an IPv6 address: IPv4 as mapped into it (RFC 4291, 2.5.5.2).
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
    .to_bits()
}

impl Network {
    /// Bits of the prefix as of an IPv6 address.
    fn mapped(&self) -> u32 {
        let before = if self.address.is_ipv4() { 96 } else { 0 };
        u32::from(self.prefix).saturating_add(before)
    }

    /// Whether an address lies in it. An IPv4 address in IPv6 clothes is that IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let beyond = Ipv6Addr::BITS.saturating_sub(self.mapped());
        let differ = bits(self.address) ^ bits(address);
        differ.checked_shr(beyond).unwrap_or(0) == 0
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = |why: &str| format!("found {text:?}, allowed is {why}");
        let form = "a network such as \"10.0.0.0/8\" or \"fd00::/8\"";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused(form))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(p) => p
                .parse()
                .ok()
                .filter(|p| *p <= most)
                .ok_or_else(|| refused(form))?,
        };
        let network = Self { address, prefix };
        let host = Ipv6Addr::BITS.saturating_sub(network.mapped());
        let kept = bits(address)
            .checked_shr(host)
            .and_then(|b| b.checked_shl(host));
        if kept.unwrap_or(0) != bits(address) {
            return Err(refused(
                "a network whose address has no bits after the prefix",
            ));
        }
        Ok(network)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn network(text: &str) -> Result<Network, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_network_holds_its_addresses_in_either_form_and_no_other() {
        for (text, address, holds) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "a00::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.9", true),
        ] {
            let held = network(text).unwrap().contains(address.parse().unwrap());
            assert_eq!(held, holds, "{address} in {text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.1/8",
            "10.0.0.0/x",
        ] {
            assert!(network(text).unwrap_err().contains("allowed"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_is_written_as_it_is_read(address: Ipv6Addr, prefix in 0u8..=128) {
            let kept = address.to_bits().checked_shr(128 - u32::from(prefix)).unwrap_or(0)
                .checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            let read = network(&format!("{}/{prefix}", Ipv6Addr::from_bits(kept))).unwrap();
            prop_assert!(read.contains(IpAddr::V6(address)));
            prop_assert_eq!(network(&String::from(read.clone())).unwrap(), read);
        }
    }
}
