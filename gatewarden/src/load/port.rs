//! A source port: a socket with one peer, and the identifiers that are in use on it.
//!
//! Identifiers go round, so that each rests as long as possible before it is used again; what it stood for last is
//! remembered, to tell a late answer from a wrong one.

use crate::failure::Failure;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;

/// Identifiers of a port that may be in use at once; a few always rest.
pub(super) const MAX_IN_USE: u16 = 250;
/// No question has this identifier.
const FREE: u32 = u32::MAX;
/// Octets the kernel may hold for a port: 250 answers are far less, bursts of late ones are not.
const BUFFER_OCTETS: usize = 1024 * 1024;

/// One socket and its identifiers.
pub(super) struct Port {
    pub socket: Rc<UdpSocket>,
    in_use: [u32; 256],
    last: Box<[[u8; 16]; 256]>,
    next: u8,
    count: u16,
}

impl Port {
    /// A socket on a port of the system's choice that speaks with `server` alone.
    pub(super) fn open(server: SocketAddr) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::failed(format!(
                "no socket to {server}: {e}. Fewer --sockets, or a higher limit of open files (ulimit -n), may help"
            ))
        };
        let socket = Socket::new(
            Domain::for_address(server),
            Type::DGRAM,
            Some(Protocol::UDP),
        )
        .map_err(failed)?;
        // The system caps what it grants; less is no error.
        let _ = socket.set_recv_buffer_size(BUFFER_OCTETS);
        let _ = socket.set_send_buffer_size(BUFFER_OCTETS);
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        socket
            .bind(&SocketAddr::new(any, 0).into())
            .and_then(|()| socket.connect(&server.into()))
            .map_err(failed)?;
        Ok(Self {
            socket: Rc::new(socket.into()),
            in_use: [FREE; 256],
            last: Box::new([[0; 16]; 256]),
            next: 0,
            count: 0,
        })
    }

    /// Identifiers in use.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// Takes an identifier for a flight; the caller has looked that one is free.
    pub(super) fn take(&mut self, flight: u32) -> u8 {
        while self.in_use[usize::from(self.next)] != FREE {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        self.in_use[usize::from(id)] = flight;
        self.next = id.wrapping_add(1);
        self.count += 1;
        id
    }

    /// The flight that has this identifier.
    pub(super) fn flight(&self, id: u8) -> Option<u32> {
        Some(self.in_use[usize::from(id)]).filter(|flight| *flight != FREE)
    }

    /// Lets an identifier rest.
    pub(super) fn release(&mut self, id: u8, authenticator: [u8; 16]) {
        self.in_use[usize::from(id)] = FREE;
        self.last[usize::from(id)] = authenticator;
        self.count = self.count.saturating_sub(1);
    }

    /// The authenticator of the question that had this identifier before.
    pub(super) fn last(&self, id: u8) -> &[u8; 16] {
        &self.last[usize::from(id)]
    }

    /// All flights of this port.
    pub(super) fn flights(&self) -> impl Iterator<Item = u32> {
        let count = usize::from(self.count);
        self.in_use
            .into_iter()
            .filter(|flight| *flight != FREE)
            .take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_rest_before_they_are_used_again() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let mut port =
            Port::open(server.local_addr().expect("address")).unwrap_or_else(|_| panic!());
        let ids: Vec<u8> = (0..250).map(|flight| port.take(flight)).collect();
        assert_eq!(ids, (0..250).map(|id| id as u8).collect::<Vec<_>>());
        port.release(3, [9; 16]);
        port.release(5, [8; 16]);
        assert_eq!(
            (port.last(3), port.flight(3), port.count()),
            (&[9; 16], None, 248)
        );
        // 250 to 255 come first, then what has rested longest.
        let ids: Vec<u8> = (0..8).map(|flight| port.take(flight)).collect();
        assert_eq!(ids, [250, 251, 252, 253, 254, 255, 3, 5]);
        assert_eq!(port.flights().count(), 256);
    }
}
