//! UDP sockets that know which address they were asked on, and answer from it.
//!
//! Every receive thread has a socket of its own on the same port (SO_REUSEPORT): the kernel spreads NASes over them
//! by address and port, so one NAS always meets the same duplicate table. The local address comes with each datagram
//! (IP_PKTINFO, RFC 3542 §6) and goes back with the answer: on a host with several addresses a NAS only believes
//! answers from the one it asked.

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Octets the kernel may hold for a socket while its thread is busy: a reconnect storm of about 20,000 requests.
const RECEIVE_BUFFER_OCTETS: usize = 4 * 1024 * 1024;
/// How long a receive waits before the thread looks whether it should stop.
const RECEIVE_WAIT: Duration = Duration::from_millis(200);

/// Who sent a datagram, and to which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The sender.
    pub address: SocketAddr,
    /// The address that was asked; `None` where the system does not say.
    pub local: Option<IpAddr>,
}

/// A listening socket of one receive thread.
pub struct DoorSocket {
    socket: UdpSocket,
    local: SocketAddr,
}

impl DoorSocket {
    /// Binds one of the sockets that share `address`.
    ///
    /// # Errors
    /// What the system says, such as "address in use".
    pub fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            // IPv4 has sockets of its own: without this both could not share a port.
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        // The system caps what it grants; less is no error.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
        socket.bind(&address.into())?;
        socket.set_read_timeout(Some(RECEIVE_WAIT))?;
        let socket: UdpSocket = socket.into();
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// Tries whether an address is free, and lets go of it.
    ///
    /// # Errors
    /// What the system says, such as "address in use".
    pub fn probe(address: SocketAddr) -> std::io::Result<()> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())
    }

    /// Where it listens; the port is known even when 0 was asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Waits for a datagram, at most [`RECEIVE_WAIT`]. The length is what lies in `buffer`; a datagram larger than it
    /// is reported as its full length, so that it can be counted as too long.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came, otherwise what the system says.
    pub fn receive(&self, buffer: &mut [u8]) -> std::io::Result<(usize, Peer)> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let address = message
            .address
            .as_ref()
            .and_then(from_storage)
            .ok_or_else(|| std::io::Error::other("a datagram without a sender"))?;
        let mut local = None;
        if let Ok(parts) = message.cmsgs() {
            for part in parts {
                match part {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        local = Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(
                            info.ipi_spec_dst.s_addr,
                        ))));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        local = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                    }
                    _ => {}
                }
            }
        }
        Ok((message.bytes, Peer { address, local }))
    }

    /// Sends an answer from the address that was asked.
    ///
    /// # Errors
    /// What the system says.
    pub fn send(&self, octets: &[u8], peer: Peer) -> std::io::Result<()> {
        let slices = [IoSlice::new(octets)];
        let to = SockaddrStorage::from(peer.address);
        let fd = self.socket.as_raw_fd();
        match peer.local {
            Some(IpAddr::V4(from)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from(from).to_be(),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd, &slices, &control, MsgFlags::empty(), Some(&to))?;
            }
            Some(IpAddr::V6(from)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: from.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd, &slices, &control, MsgFlags::empty(), Some(&to))?;
            }
            None => {
                sendmsg(fd, &slices, &[], MsgFlags::empty(), Some(&to))?;
            }
        }
        Ok(())
    }
}

fn from_storage(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    }
    storage.as_sockaddr_in6().map(|v6| {
        SocketAddr::V6(SocketAddrV6::new(
            v6.ip(),
            v6.port(),
            v6.flowinfo(),
            v6.scope_id(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(listen: &str, ask: &str) {
        let door = DoorSocket::bind(listen.parse().expect("address")).expect("bind");
        let asking = UdpSocket::bind((ask.parse::<IpAddr>().expect("address"), 0)).expect("bind");
        let to = SocketAddr::new(ask.parse().expect("address"), door.local_address().port());
        asking.send_to(b"question", to).expect("send");
        let mut buffer = [0u8; 64];
        let (length, peer) = door.receive(&mut buffer).expect("receive");
        assert_eq!(&buffer[..length], b"question");
        assert_eq!(peer.local, Some(to.ip()));
        door.send(b"answer", peer).expect("answer");
        let (length, from) = asking.recv_from(&mut buffer).expect("answer");
        assert_eq!((&buffer[..length], from), (&b"answer"[..], to));
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        exchange("0.0.0.0:0", "127.0.0.1");
        exchange("0.0.0.0:0", "127.0.0.3");
        exchange("[::]:0", "::1");
    }

    #[test]
    fn two_sockets_share_a_port() {
        let one = DoorSocket::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        assert!(DoorSocket::bind(one.local_address()).is_ok());
        // …which somebody who wants it alone finds taken.
        assert!(DoorSocket::probe(one.local_address()).is_err());
    }
}
