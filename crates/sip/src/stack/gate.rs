//! What comes in, before the stack works with it.

use std::net::IpAddr;
use std::sync::Weak;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rsipstack::sip::{Method, SipMessage};
use rsipstack::transaction::endpoint::TransportEventInspector;
use rsipstack::transport::transport_layer::TransportWhitelist;
use rsipstack::transport::{SipConnection, TransportEvent};

use super::{Shared, lock, message};

/// Looks at the source before anything is parsed (datagrams).
pub(super) struct Door(pub(super) Weak<Shared>);

#[async_trait]
impl TransportWhitelist for Door {
    async fn allow(&self, ip: IpAddr) -> bool {
        let Some(shared) = self.0.upgrade() else { return false };
        let heard = lock(&shared.peers).hears(ip);
        if !heard {
            shared.dropped(ip);
        }
        heard
    }
}

/// Looks at each message after it was parsed. All messages of a user agent go through it one by one.
pub(super) struct Gate(pub(super) Weak<Shared>);

#[async_trait]
impl TransportEventInspector for Gate {
    async fn handle(&self, event: TransportEvent) -> Option<TransportEvent> {
        let shared = self.0.upgrade()?;
        if let TransportEvent::Incoming(message, connection, from) = &event {
            let from = from.get_socketaddr().ok()?.ip().to_canonical();
            if !shared.passes(message, connection, from) {
                return None;
            }
        }
        Some(event)
    }
}

impl Shared {
    fn passes(&self, message: &SipMessage, connection: &SipConnection, from: IpAddr) -> bool {
        let call = message::call_id(message).and_then(|id| self.call(id));
        let permitted = match &call {
            Some(call) => call.permits(from),
            None => lock(&self.peers).knows(from),
        };
        if !permitted {
            self.dropped(from);
            return false;
        }
        self.links.heard(connection);
        if size(message) > self.settings.limits.message {
            self.dropped_size.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%from, "a SIP message is too large and ignored");
            return false;
        }
        if !message::is_sound(message) {
            tracing::debug!(%from, "a SIP message without what it needs is ignored");
            return false;
        }
        match message {
            SipMessage::Response(response) => {
                if let Some(call) = call {
                    call.note(response, from);
                }
                true
            }
            // Neither makes a transaction.
            SipMessage::Request(request)
                if matches!(request.method, Method::Ack | Method::Cancel) =>
            {
                true
            }
            SipMessage::Request(_) => {
                let room = self.transactions() < self.settings.limits.transactions;
                if !room {
                    self.dropped_flood.fetch_add(1, Ordering::Relaxed);
                }
                room
            }
        }
    }
}

/// About its length on the wire.
fn size(message: &SipMessage) -> usize {
    let (headers, body) = match message {
        SipMessage::Request(request) => (&request.headers, &request.body),
        SipMessage::Response(response) => (&response.headers, &response.body),
    };
    let each = headers.iter().map(|header| header.name().len() + header.value().len() + 4);
    each.sum::<usize>() + body.len()
}
