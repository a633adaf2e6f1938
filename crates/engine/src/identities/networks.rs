//! Where an identity comes from: the networks it has used, and how odd another is.
//!
//! A network is the first 16 bits of an IPv4 address or the first 32 of an IPv6 one: what a provider hands out to one region,
//! so that a telephone that roams within it stays on its network. All private ranges together are one network: what is
//! inside a mesh, an office or a VPN is renumbered with each deployment, and means nothing by its number.
//!
//! How probable was it that this identity comes from a new one now? Two things are known. Of all identities that had
//! settled on as many networks, a share q ever took another: pooled, as one history is too short (people have a home, an
//! office and a telephone, and somebody who has shown three seldom shows a fourth). And if this one ever does, it was not
//! in the n active hours since its last new network: Good and Turing's estimate (see [`crate::baselines::novelty`]) is about
//! 1/(n+1) that it is now. The score is −ln of both together, in nats. A network that a share m of
//! all uses falls on takes ln(1 + m·[`ANYWHERE`]) off: the honest come from where the others are, whoever stole a password
//! from anywhere, and that is how many times likelier it is to be one of the former. As for hours, the
//! logarithm of how many times more it asks for than usual is added. What a score is
//! worth is for [`super::tail`] to say.

use super::pool::{MOST_NETWORKS, Pool};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// Active hours without a new network after which an identity has settled: about a working day.
const SETTLED: u16 = 8;
/// Networks that stolen passwords are used from, about: providers of hosting and of hacked homes.
const ANYWHERE: f64 = 1000.0;
/// The network of all private addresses.
pub(super) const INSIDE: u32 = 1;

/// The network of an address, as a hash that is no secret: there are few networks, and which are used is no news.
pub(super) fn network(address: IpAddr) -> u32 {
    let (family, prefix) = match address {
        IpAddr::V4(v4) if is_inside(v4) => return INSIDE,
        IpAddr::V4(v4) => (4u32, u32::from(v4).wrapping_shr(16)),
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return network(IpAddr::V4(v4));
            }
            if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() {
                return INSIDE;
            }
            let [a, b, ..] = v6.segments();
            (6, u32::from(a).wrapping_shl(16) | u32::from(b))
        }
    };
    // A bijection on 32 bits for either family (Murmur's finaliser), so that no two networks of a family meet.
    let mut h = prefix ^ family.wrapping_mul(0x9E37_79B9);
    h = (h ^ h.wrapping_shr(16)).wrapping_mul(0x85EB_CA6B);
    h = (h ^ h.wrapping_shr(13)).wrapping_mul(0xC2B2_AE35);
    // 0 is nobody's, 1 is inside.
    (h ^ h.wrapping_shr(16)).max(2)
}

fn is_inside(v4: Ipv4Addr) -> bool {
    // 100.64.0.0/10 is a provider's own, and many clusters'.
    let shared = u32::from(v4).wrapping_shr(22) == u32::from(Ipv4Addr::new(100, 64, 0, 0)) >> 22;
    v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared
}

/// A network in words, with a mark for its length: `203.0.0.0/16`.
pub(super) fn words(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            format!("{a}.{b}.0.0/16")
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            format!("{a:x}:{b:x}::/32")
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Used {
    network: u32,
    /// Active hours in which it was used.
    hours: u16,
}

/// The networks an identity has used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Networks {
    used: [Used; MOST_NETWORKS],
    /// Active hours since the last new one.
    since: u16,
}

impl Networks {
    /// How many are known.
    pub(super) fn count(&self) -> usize {
        self.used.iter().filter(|u| u.network != 0).count()
    }

    /// Active hours in which an address was known, as far as they are remembered.
    pub(super) fn hours(&self) -> u32 {
        self.used
            .iter()
            .fold(0, |sum, u| u32::from(u.hours).saturating_add(sum))
    }

    pub(super) fn knows(&self, network: u32) -> bool {
        self.used.iter().any(|u| u.network == network)
    }

    /// Whether it uses more networks than are followed: then a new one is nothing new.
    pub(super) fn roams(&self) -> bool {
        self.count() >= MOST_NETWORKS
    }

    /// How odd a network is that it does not know, in nats.
    pub(super) fn surprise(&self, network: u32, pool: &Pool) -> f64 {
        let moves = if self.since >= SETTLED {
            pool.moves(self.count())
        } else {
            1.0
        };
        let now = moves / (f64::from(self.since) + 1.0);
        -now.max(1e-12).ln() - (pool.share_on(network) * ANYWHERE).ln_1p()
    }

    /// An active hour without a new network.
    pub(super) fn settle(&mut self, pool: &mut Pool) {
        self.since = self.since.saturating_add(1);
        if self.since == SETTLED {
            pool.settled(self.count());
        }
    }

    /// An active hour on a network.
    pub(super) fn learn(&mut self, network: u32, pool: &mut Pool) {
        if let Some(used) = self.used.iter_mut().find(|u| u.network == network) {
            used.hours = used.hours.saturating_add(1);
            if used.hours == 2 {
                // Once may be a mistake, or made up.
                pool.joins(network);
            }
            return;
        }
        if self.since >= SETTLED {
            pool.moved(self.count());
        }
        self.since = 0;
        // The least used makes room.
        if let Some(place) = self.used.iter_mut().min_by_key(|u| u.hours) {
            *place = Used { network, hours: 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn of(text: &str) -> u32 {
        network(text.parse().unwrap())
    }

    #[test]
    fn a_telephone_that_roams_within_its_provider_stays_on_its_network() {
        assert_eq!(of("84.226.1.9"), of("84.226.200.3"));
        assert_eq!(of("2a02:1210:1:2::3"), of("2a02:1210:ffff::1"));
        assert_ne!(of("84.226.1.9"), of("84.227.1.9"));
        assert_ne!(of("2a02:1210::1"), of("2a02:1211::1"));
        assert_eq!(of("::ffff:84.226.1.9"), of("84.226.1.9"));
    }

    #[test]
    fn all_private_ranges_are_one_network() {
        for inside in [
            "10.1.2.3",
            "192.168.0.9",
            "172.20.1.1",
            "100.64.7.7",
            "127.0.0.1",
            "fd00::1",
            "fe80::1",
        ] {
            assert_eq!(of(inside), INSIDE, "{inside}");
        }
        assert_ne!(of("100.128.0.1"), INSIDE);
    }

    #[test]
    fn a_new_network_is_odder_the_longer_none_was_new_and_less_so_where_others_are() {
        let mut pool = Pool::default();
        let (home, stranger, office) = (of("84.226.1.9"), of("45.9.9.9"), of("62.9.1.1"));
        let mut networks = Networks::default();
        networks.learn(home, &mut pool);
        let young = networks.surprise(stranger, &pool);
        (0..30).for_each(|_| networks.settle(&mut pool));
        assert!(networks.surprise(stranger, &pool) > young);
        (0..40).for_each(|_| pool.joins(office));
        assert!(networks.surprise(office, &pool) < networks.surprise(stranger, &pool) - 3.0);
    }

    #[test]
    fn more_networks_than_are_followed_do_not_grow_a_profile() {
        let (mut pool, mut networks) = (Pool::default(), Networks::default());
        for i in 0..100u8 {
            networks.learn(network(IpAddr::from([80, i, 0, 1])), &mut pool);
        }
        assert!(networks.roams());
    }
}
