//! Where requests go that carry no destination of their own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rsipstack::sip::{Host, HostWithPort, Transport, Uri};
use rsipstack::transaction::endpoint::TargetLocator;
use rsipstack::transport::SipAddr;
use rsipstack::transport::transport_layer::DomainResolver;

use super::lock;

/// Where the INVITEs of live calls went, by request URI: a CANCEL has to follow its INVITE, also when that went to a proxy.
#[derive(Default)]
pub(super) struct Pins(Mutex<HashMap<String, Pin>>);

struct Pin {
    address: SipAddr,
    /// The same number may be called again while the last call is still remembered.
    calls: usize,
}

impl Pins {
    pub(super) fn set(&self, uri: String, address: SipAddr) {
        let mut pins = lock(&self.0);
        let calls = pins.get(&uri).map_or(0, |pin| pin.calls) + 1;
        pins.insert(uri, Pin { address, calls });
    }

    pub(super) fn remove(&self, uri: &str) {
        let mut pins = lock(&self.0);
        if let Some(pin) = pins.get_mut(uri) {
            pin.calls -= 1;
            if pin.calls == 0 {
                pins.remove(uri);
            }
        }
    }
}

pub(super) struct Locator(pub(super) Arc<Pins>);

#[async_trait]
impl TargetLocator for Locator {
    async fn locate(&self, uri: &Uri) -> rsipstack::Result<SipAddr> {
        let pinned = lock(&self.0.0).get(&uri.to_string()).map(|pin| pin.address.clone());
        match pinned {
            Some(address) => Ok(address),
            None => SipAddr::try_from(uri),
        }
    }
}

/// Asks the system's resolver, with a time limit.
pub(super) struct SystemResolver {
    pub(super) limit: Duration,
}

#[async_trait]
impl DomainResolver for SystemResolver {
    async fn resolve(&self, target: &SipAddr) -> rsipstack::Result<SipAddr> {
        let failed = || rsipstack::Error::DnsResolutionError(target.addr.host.to_string());
        let Host::Domain(name) = &target.addr.host else { return Ok(target.clone()) };
        let tls = target.r#type == Some(Transport::Tls);
        let port = target.addr.port.map_or(if tls { 5061 } else { 5060 }, |port| port.value());
        let found =
            tokio::time::timeout(self.limit, tokio::net::lookup_host((name.0.as_str(), port)));
        let address = match found.await {
            Ok(Ok(mut all)) => all.next().ok_or_else(failed)?,
            _ => return Err(failed()),
        };
        Ok(sip_addr(target.r#type.unwrap_or(Transport::Udp), address))
    }
}

/// An address as the stack writes it.
pub(super) fn sip_addr(transport: Transport, address: SocketAddr) -> SipAddr {
    SipAddr::new(
        transport,
        HostWithPort { host: Host::IpAddr(address.ip()), port: Some(address.port().into()) },
    )
}

/// The stack's name of a transport.
pub(super) fn stack_transport(transport: crate::Transport) -> Transport {
    match transport {
        crate::Transport::Udp => Transport::Udp,
        crate::Transport::Tcp => Transport::Tcp,
        crate::Transport::Tls => Transport::Tls,
    }
}
