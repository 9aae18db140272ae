//! UDP: one socket for each peer connection, read in batches.

use nix::{
    libc,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrLike as _, SockaddrStorage, recvmmsg},
};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
};

/// Datagrams read with one system call.
const BATCH: usize = 8;
/// Batches read from one socket in one turn; the rest waits for the next.
pub(crate) const MAX_BATCHES: usize = 8;
/// Larger than any packet on an Ethernet path.
const DATAGRAM: usize = 2048;

/// Opens a socket for one peer connection. Behind the server's single UDP port, two connections
/// on one socket could not be told apart.
pub(crate) fn open(bind: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((bind, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Buffers of one thread for `recvmmsg`.
pub(crate) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; DATAGRAM]>,
    /// Source and length of what was read last.
    read: [(Option<SocketAddr>, usize); BATCH],
}

impl Batch {
    pub(crate) const SIZE: usize = BATCH;

    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; DATAGRAM]; BATCH],
            read: [(None, 0); BATCH],
        }
    }

    /// Reads what is there, without waiting. Returns the number of datagrams.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> usize {
        let mut buffers = self.buffers.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| {
            [IoSliceMut::new(buffers.next().map_or(&mut [][..], |b| b.as_mut_slice()))]
        });
        let flags = MsgFlags::MSG_DONTWAIT;
        let fd = socket.as_raw_fd();
        let Ok(messages) = recvmmsg(fd, &mut self.headers, slices.iter_mut(), flags, None) else {
            return 0;
        };
        let mut count = 0;
        for (message, read) in messages.zip(self.read.iter_mut()) {
            *read = (message.address.as_ref().and_then(socket_address), message.bytes);
            count += 1;
        }
        count
    }

    pub(crate) fn datagram(&self, index: usize) -> Option<(SocketAddr, &[u8])> {
        let (from, length) = self.read.get(index)?;
        Some(((*from)?, self.buffers.get(index)?.get(..*length)?))
    }

    pub(crate) fn datagram_mut(&mut self, index: usize) -> Option<(SocketAddr, &mut [u8])> {
        let (from, length) = self.read.get(index)?;
        Some(((*from)?, self.buffers.get_mut(index)?.get_mut(..*length)?))
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match i32::from(address.family()? as u16) {
        libc::AF_INET => address.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into())),
        libc::AF_INET6 => address.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into())),
        _ => None,
    }
}

/// The address that the default route uses, without sending anything.
pub(crate) fn default_address() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    };
    match route() {
        Ok(address) if !address.ip().is_unspecified() => address.ip(),
        _ => IpAddr::from([127, 0, 0, 1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_batches_with_sources() {
        for bind in ["127.0.0.1", "::1"] {
            let Ok(receiver) = open(bind.parse().unwrap()) else { continue };
            let sender = UdpSocket::bind((bind, 0)).unwrap();
            for n in 0..10u8 {
                sender.send_to(&vec![n; usize::from(n)], receiver.local_addr().unwrap()).unwrap();
            }
            let mut batch = Batch::new();
            for (count, first) in [(8, 0u8), (2, 8), (0, 0)] {
                assert_eq!(batch.receive(&receiver), count);
                for n in 0..count {
                    let (from, bytes) = batch.datagram(n).unwrap();
                    assert_eq!(from, sender.local_addr().unwrap());
                    assert_eq!(bytes.len(), usize::from(first) + n);
                }
            }
        }
    }
}
