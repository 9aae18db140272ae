//! A server that dials by itself.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::sync::OnceCell;

use crate::outdial::free_port;
use crate::phone::is_taken;
use crate::{Outdial, Stack};

/// So many ports for media; a call takes two.
const MEDIA_PORTS: u16 = 64;

/// A server with a SIP bridge, on ports of its own.
#[derive(Debug)]
pub struct Bridge {
    /// The server.
    pub outdial: Outdial,
    /// Where it takes in SIP, over UDP and TCP.
    pub sip_port: u16,
    /// Its ports for media.
    pub media_ports: RangeInclusive<u16>,
}

impl Bridge {
    /// Starts one on the stack. LiveKit sends it no webhooks: it needs none.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_at(free_port(), settings).await
    }

    /// [`start`](Self::start) on a given port, perhaps one that LiveKit sends webhooks to.
    pub async fn start_at(port: u16, settings: &[(&str, &str)]) -> Self {
        let place = Place::free();
        let outdial = Outdial::start_at(port, &place.settings(settings)).await;
        let Place { sip_port, media_ports, .. } = place;
        Self { outdial, sip_port, media_ports }
    }

    /// A further one on the store of this one, with the same admin's key.
    pub async fn beside(&self, settings: &[(&str, &str)]) -> Self {
        let place = Place::free();
        let outdial = self.outdial.beside(&place.settings(settings));
        outdial.restart_unready().await;
        let Place { sip_port, media_ports, .. } = place;
        Self { outdial, sip_port, media_ports }
    }

    /// The one that most tests share; LiveKit sends it webhooks.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Bridge> = OnceCell::const_new();
        SHARED.get_or_init(|| Box::pin(Self::start_at(Stack::get().bridge_port(), &[]))).await
    }
}

/// Where a bridge listens.
struct Place {
    sip_port: u16,
    media_ports: RangeInclusive<u16>,
    sip: String,
    media: String,
}

impl Place {
    fn free() -> Self {
        let (sip_port, media_ports) = (free_port(), media_ports());
        let media = format!("{}-{}", media_ports.start(), media_ports.end());
        Self { sip_port, media_ports, sip: sip_port.to_string(), media }
    }

    /// The settings of a server there, with others, which win.
    fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let ours = [
            ("sip.public_ip", "127.0.0.1"),
            ("sip.bind", "127.0.0.1"),
            ("sip.udp_port", &*self.sip),
            ("sip.tcp_port", &*self.sip),
            ("sip.rtp_ports", &*self.media),
        ];
        Stack::get().settings(&[&ours, more].concat())
    }
}

/// Below the ports of livekit-sip's media, above those of the phones.
fn media_ports() -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let first = 18_400 + NEXT.fetch_add(MEDIA_PORTS, Ordering::Relaxed) % 2_560;
        let ports = first..=first + MEDIA_PORTS - 1;
        if !ports.clone().any(is_taken) {
            return ports;
        }
    }
}
