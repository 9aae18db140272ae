//! The address ranges that are not globally routable.
//!
//! From IANA's special-purpose address registries (RFC 6890) and the RFCs named per row.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What a refused address is, and where that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// In words, such as `private address`.
    pub name: &'static str,
    /// The document that reserves it, such as `RFC 1918`.
    pub source: &'static str,
}

/// `private address, RFC 1918`.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name, self.source)
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

const fn range(name: &'static str, source: &'static str) -> Range {
    Range { name, source }
}

const PRIVATE: Range = range("private address", "RFC 1918");
const DOCUMENTATION: Range = range("documentation address", "RFC 5737");

/// The first that contains an address names it.
const V4: &[(Ipv4Net, Range)] = &[
    (v4(0, 0, 0, 8), range("\"this network\" address", "RFC 1122")),
    (v4(10, 0, 0, 8), PRIVATE),
    (v4(100, 64, 0, 10), range("carrier-grade NAT address", "RFC 6598")),
    (v4(127, 0, 0, 8), range("loopback address", "RFC 1122")),
    (v4(169, 254, 0, 16), range("link-local address", "RFC 3927")),
    (v4(172, 16, 0, 12), PRIVATE),
    (v4(192, 0, 0, 24), range("protocol assignment", "RFC 6890")),
    (v4(192, 0, 2, 24), DOCUMENTATION),
    (v4(192, 88, 99, 24), range("deprecated 6to4 relay address", "RFC 7526")),
    (v4(192, 168, 0, 16), PRIVATE),
    (v4(198, 18, 0, 15), range("benchmarking address", "RFC 2544")),
    (v4(198, 51, 100, 24), DOCUMENTATION),
    (v4(203, 0, 113, 24), DOCUMENTATION),
    (v4(224, 0, 0, 4), range("multicast address", "RFC 5771")),
    (Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32), range("broadcast address", "RFC 919")),
    (v4(240, 0, 0, 4), range("reserved address", "RFC 1112")),
];

/// The first that contains an address names it, so a range stands before the one around it.
///
/// Forms that embed an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo) are refused as a
/// whole instead of looking into them: no webhook needs them, and which machine the embedded
/// address reaches is up to a gateway.
const V6: &[(Ipv6Net, Range)] = &[
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), range("unspecified address", "RFC 4291")),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), range("loopback address", "RFC 4291")),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), range("IPv4-mapped address", "RFC 4291")),
    (v6([0; 8], 96), range("IPv4-compatible address", "RFC 4291")),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), range("NAT64 address", "RFC 6052")),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), range("local NAT64 address", "RFC 8215")),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), range("discard-only address", "RFC 6666")),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), range("Teredo address", "RFC 4380")),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), range("protocol assignment", "RFC 2928")),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), range("documentation address", "RFC 3849")),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), range("6to4 address", "RFC 3056")),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), range("documentation address", "RFC 9637")),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), range("unique local address", "RFC 4193")),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), range("link-local address", "RFC 4291")),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), range("deprecated site-local address", "RFC 3879")),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), range("multicast address", "RFC 4291")),
];

/// Only 2000::/3 has been given out as global unicast addresses (IANA, RFC 4291 section 2.4).
const V6_GLOBAL: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const V6_UNASSIGNED: Range = range("unassigned address", "RFC 4291");

/// The range that makes `address` not globally routable; `None` for a public address.
///
/// ```
/// use outdial_webhooks::guard::special_range;
/// let range = special_range("10.1.2.3".parse()?).unwrap();
/// assert_eq!(range.to_string(), "private address, RFC 1918");
/// assert_eq!(special_range("8.8.8.8".parse()?), None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn special_range(address: IpAddr) -> Option<Range> {
    match address {
        IpAddr::V4(address) => find(V4, |net| net.contains(&address)),
        IpAddr::V6(address) => find(V6, |net| net.contains(&address))
            .or_else(|| (!V6_GLOBAL.contains(&address)).then_some(V6_UNASSIGNED)),
    }
}

fn find<Net>(table: &[(Net, Range)], contains: impl Fn(&Net) -> bool) -> Option<Range> {
    table.iter().find(|(net, _)| contains(net)).map(|(_, range)| *range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(address: &str) -> Option<&'static str> {
        special_range(address.parse().unwrap()).map(|range| range.name)
    }

    #[test]
    fn first_and_last_address_of_each_range_are_refused() {
        for (first, last, expect) in [
            ("0.0.0.0", "0.255.255.255", "\"this network\" address"),
            ("10.0.0.0", "10.255.255.255", "private address"),
            ("100.64.0.0", "100.127.255.255", "carrier-grade NAT address"),
            ("127.0.0.0", "127.255.255.255", "loopback address"),
            ("169.254.0.0", "169.254.255.255", "link-local address"),
            ("172.16.0.0", "172.31.255.255", "private address"),
            ("192.0.0.0", "192.0.0.255", "protocol assignment"),
            ("192.0.2.0", "192.0.2.255", "documentation address"),
            ("192.88.99.0", "192.88.99.255", "deprecated 6to4 relay address"),
            ("192.168.0.0", "192.168.255.255", "private address"),
            ("198.18.0.0", "198.19.255.255", "benchmarking address"),
            ("198.51.100.0", "198.51.100.255", "documentation address"),
            ("203.0.113.0", "203.0.113.255", "documentation address"),
            ("224.0.0.0", "239.255.255.255", "multicast address"),
            ("240.0.0.0", "255.255.255.254", "reserved address"),
            ("255.255.255.255", "255.255.255.255", "broadcast address"),
            ("::", "::", "unspecified address"),
            ("::1", "::1", "loopback address"),
            ("::2", "::ffff:ffff", "IPv4-compatible address"),
            ("::ffff:0.0.0.0", "::ffff:255.255.255.255", "IPv4-mapped address"),
            ("64:ff9b::", "64:ff9b::ffff:ffff", "NAT64 address"),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local NAT64 address"),
            ("100::", "100::ffff:ffff:ffff:ffff", "discard-only address"),
            ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo address"),
            ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "protocol assignment"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation address"),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4 address"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation address"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local address"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local address"),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "deprecated site-local address"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast address"),
            // What no row names: around 2000::/3.
            ("100:0:0:1::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unassigned address"),
            ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unassigned address"),
        ] {
            assert_eq!(name(first), Some(expect), "{first}");
            assert_eq!(name(last), Some(expect), "{last}");
        }
    }

    #[test]
    fn the_public_neighbours_of_ranges_are_not() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2003::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2606:4700:4700::1111",
        ] {
            assert_eq!(name(address), None, "{address}");
        }
    }

    proptest! {
        #[test]
        fn no_address_is_public_that_the_standard_library_calls_special(bits: u32) {
            let ip = Ipv4Addr::from_bits(bits);
            let special = ip.is_private() || ip.is_loopback() || ip.is_link_local()
                || ip.is_multicast() || ip.is_broadcast() || ip.is_documentation()
                || ip.is_unspecified();
            prop_assert!(!special || special_range(ip.into()).is_some(), "{ip}");
        }

        #[test]
        fn no_embedded_address_is_public(bits: u32) {
            let [a, b, c, d] = bits.to_be_bytes();
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            for ip in [
                Ipv4Addr::new(a, b, c, d).to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            ] {
                prop_assert!(special_range(ip.into()).is_some(), "{ip}");
            }
        }
    }
}
