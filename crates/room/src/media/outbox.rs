//! What the turns of a slot send, kept until all of them have read.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

/// Datagrams that wait at most; then all of them leave.
const MOST: usize = 256;

/// Datagrams of one thread that leave together.
///
/// Whoever waits for a datagram is woken by it. On the same machine it then takes its processor from
/// the thread that is in the middle of a slot, once for each datagram; of many that come at once it
/// reads all.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Vec<Waiting>,
    bytes: Vec<u8>,
}

struct Waiting {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    /// In `bytes`; it begins where the one before ends.
    end: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, socket: &Arc<UdpSocket>, to: SocketAddr, datagram: &[u8]) {
        if self.waiting.len() >= MOST {
            self.flush();
        }
        self.bytes.extend_from_slice(datagram);
        self.waiting.push(Waiting { socket: Arc::clone(socket), to, end: self.bytes.len() });
    }

    /// Sends all that waits, in its order.
    pub(crate) fn flush(&mut self) {
        let mut begin = 0;
        for Waiting { socket, to, end } in self.waiting.drain(..) {
            // a full or unreachable network loses datagrams anyway
            let _ = socket.send_to(&self.bytes[begin..end], to);
            begin = end;
        }
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::socket;

    #[test]
    fn datagrams_leave_together_and_in_order() {
        let bind = [127, 0, 0, 1].into();
        let sockets: [_; 2] = std::array::from_fn(|_| Arc::new(socket::open(bind).unwrap()));
        let peer = socket::open(bind).unwrap();
        let to = peer.local_addr().unwrap();
        let received = || {
            let mut datagram = [0; 8];
            let (length, from) = peer.recv_from(&mut datagram).ok()?;
            Some((from, datagram[..length].to_vec()))
        };
        let mut outbox = Outbox::default();
        let sent: [(usize, &[u8]); 4] = [(0, b"one"), (1, b"two"), (0, b""), (1, b"four")];
        for (socket, datagram) in sent {
            outbox.push(&sockets[socket], to, datagram);
        }
        assert_eq!(received(), None);
        outbox.flush();
        for (socket, datagram) in sent {
            let from = sockets[socket].local_addr().unwrap();
            assert_eq!(received(), Some((from, datagram.to_vec())));
        }
        outbox.flush();
        assert_eq!(received(), None);
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let bind = [127, 0, 0, 1].into();
        let socket = Arc::new(socket::open(bind).unwrap());
        let peer = socket::open(bind).unwrap();
        let mut outbox = Outbox::default();
        for _ in 0..=MOST {
            outbox.push(&socket, peer.local_addr().unwrap(), b"");
        }
        assert_eq!(outbox.waiting.len(), 1);
        assert!(peer.recv_from(&mut []).is_ok());
    }
}
