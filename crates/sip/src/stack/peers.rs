//! Who may send us messages.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses of ended calls and networks of trunks that are remembered.
const REMEMBERED: usize = 1024;
/// Sources whose messages were dropped and logged.
const LOGGED: usize = 256;

/// The sources that are known.
#[derive(Debug, Default)]
pub(super) struct Peers {
    live: HashMap<IpAddr, usize>,
    /// Of ended calls: repeated messages come a little later.
    recent: VecDeque<IpAddr>,
    nets: VecDeque<IpNet>,
    /// Live calls whose requests may come from anywhere.
    open: usize,
    logged: VecDeque<IpAddr>,
}

impl Peers {
    /// A call begins.
    pub(super) fn add(&mut self, addresses: &[IpAddr], nets: &[IpNet]) {
        for address in addresses {
            *self.live.entry(*address).or_default() += 1;
        }
        if nets.is_empty() {
            self.open += 1;
        }
        for net in nets {
            if !self.nets.contains(net) {
                remember(&mut self.nets, *net, REMEMBERED);
            }
        }
    }

    /// A call ended.
    pub(super) fn remove(&mut self, addresses: &[IpAddr], nets: &[IpNet]) {
        for address in addresses {
            if let Some(calls) = self.live.get_mut(address) {
                *calls -= 1;
                if *calls == 0 {
                    self.live.remove(address);
                }
            }
            self.note(*address);
        }
        if nets.is_empty() {
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Takes answers of this address for a while.
    pub(super) fn note(&mut self, address: IpAddr) {
        if !self.recent.contains(&address) {
            remember(&mut self.recent, address, REMEMBERED);
        }
    }

    /// The peer of a call, or within a network that a call allowed.
    pub(super) fn knows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.live.contains_key(&address)
            || self.recent.contains(&address)
            || self.nets.iter().any(|net| net.contains(&address))
    }

    /// Whether its messages are looked at at all.
    pub(super) fn hears(&self, address: IpAddr) -> bool {
        self.open > 0 || self.knows(address)
    }

    /// Whether this source was not logged yet.
    pub(super) fn first_drop(&mut self, address: IpAddr) -> bool {
        let first = !self.logged.contains(&address);
        if first {
            remember(&mut self.logged, address, LOGGED);
        }
        first
    }
}

fn remember<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_known_by_call_and_by_network() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let net = ["198.51.100.0/24".parse::<IpNet>().unwrap()];
        let mut peers = Peers::default();
        assert!(!peers.hears(ip("192.0.2.1")));
        peers.add(&[ip("192.0.2.1")], &net);
        assert!(peers.knows(ip("192.0.2.1")) && peers.knows(ip("::ffff:192.0.2.1")));
        assert!(peers.knows(ip("198.51.100.7")) && !peers.hears(ip("203.0.113.1")));
        peers.add(&[], &[]);
        assert!(peers.hears(ip("203.0.113.1")) && !peers.knows(ip("203.0.113.1")));
        peers.remove(&[], &[]);
        peers.remove(&[ip("192.0.2.1")], &net);
        assert!(peers.knows(ip("192.0.2.1")) && !peers.hears(ip("203.0.113.1")));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut peers = Peers::default();
        for last in 0..u32::try_from(3 * REMEMBERED).unwrap() {
            let address = IpAddr::from(last.to_be_bytes());
            peers.note(address);
            assert!(peers.first_drop(address) && !peers.first_drop(address));
        }
        assert_eq!((peers.recent.len(), peers.logged.len()), (REMEMBERED, LOGGED));
    }
}
