//! UDP sockets that know which address they were asked on, and answer from it.
//!
//! Every receive thread has a socket of its own on the same port (SO_REUSEPORT): the kernel spreads NASes over them
//! by address and port, so one NAS always meets the same duplicate table. The local address comes with each datagram
//! (IP_PKTINFO, RFC 3542 §6) and goes back with the answer: on a host with several addresses a NAS only believes
//! answers from the one it asked.
//!
//! Datagrams come and go in batches, one system call each ([`Inbox`], [`Outbox`]): the call costs more than the work.

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};
use smallvec::{SmallVec, smallvec};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Octets the kernel may hold for a socket while its thread is busy: a reconnect storm of about 20,000 requests.
const RECEIVE_BUFFER_OCTETS: usize = 4 * 1024 * 1024;
/// Datagrams of one system call. More would make the first wait for the last; the call's cost is spread well by then.
pub const BATCH: usize = 32;
/// Larger than any packet: what is longer is counted as too long, not cut and misread.
const BUFFER_OCTETS: usize = 4_096 + 512;
/// How long a receive waits before the thread looks whether it should stop.
const RECEIVE_WAIT: Duration = Duration::from_millis(200);

/// Who sent a datagram, and to which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The sender.
    pub address: SocketAddr,
    /// The address that was asked; `None` where the socket has only one, or the system does not say.
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
        }
        // Which of the machine's addresses was asked, so that the answer leaves from there. Where it is bound to one,
        // that is known, and the system need not tell it with each.
        match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            _ => {}
        }
        // How much found no room comes with each datagram. Without it nobody is held to a share.
        let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
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

    /// Sends an answer from the address that was asked.
    ///
    /// # Errors
    /// What the system says.
    pub fn send(&self, octets: &[u8], peer: Peer) -> std::io::Result<()> {
        let slices = [IoSlice::new(octets)];
        let to = SockaddrStorage::from(peer.address);
        let fd = self.socket.as_raw_fd();
        let origin = Origin::of(peer.local);
        sendmsg(fd, &slices, &origin.control(), MsgFlags::empty(), Some(&to))?;
        Ok(())
    }
}

/// The address an answer leaves from, as the system wants it.
enum Origin {
    Any,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Origin {
    fn of(local: Option<IpAddr>) -> Self {
        match local {
            None => Origin::Any,
            Some(IpAddr::V4(from)) => Origin::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from(from).to_be(),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            Some(IpAddr::V6(from)) => Origin::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: from.octets(),
                },
                ipi6_ifindex: 0,
            }),
        }
    }

    fn control(&self) -> SmallVec<[ControlMessage<'_>; 1]> {
        match self {
            Origin::Any => SmallVec::new(),
            Origin::V4(info) => smallvec![ControlMessage::Ipv4PacketInfo(info)],
            Origin::V6(info) => smallvec![ControlMessage::Ipv6PacketInfo(info)],
        }
    }

    /// The system's structures for a batch that leaves from there.
    fn headers(&self) -> MultiHeaders<SockaddrStorage> {
        let control = match self {
            Origin::Any => None,
            Origin::V4(_) => Some(nix::cmsg_space!(libc::in_pktinfo)),
            Origin::V6(_) => Some(nix::cmsg_space!(libc::in6_pktinfo)),
        };
        MultiHeaders::preallocate(BATCH, control)
    }
}

/// Datagrams of one system call, with their senders.
pub struct Inbox {
    octets: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    received: Vec<(usize, Peer)>,
    lost: u32,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            octets: vec![0; BATCH * BUFFER_OCTETS],
            headers: room_beside(),
            received: Vec::with_capacity(BATCH),
            lost: 0,
        }
    }
}

impl Inbox {
    /// Waits for a datagram, at most [`RECEIVE_WAIT`], and takes what else is there, [`BATCH`] at the most. One that is
    /// longer than any packet is cut, but still longer than that.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came, otherwise what the system says.
    pub fn receive(&mut self, socket: &DoorSocket) -> std::io::Result<()> {
        self.received.clear();
        let mut buffers = self.octets.chunks_exact_mut(BUFFER_OCTETS);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let messages = recvmmsg(
            socket.socket.as_raw_fd(),
            &mut self.headers,
            slices.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        )?;
        let mut is_cut = false;
        for message in messages {
            if message.flags.contains(MsgFlags::MSG_CTRUNC) {
                is_cut = true;
                continue;
            }
            if let Some(address) = message.address.as_ref().and_then(from_storage) {
                let (local, lost) = told_beside(&message);
                self.lost = lost.unwrap_or(self.lost);
                self.received.push((message.bytes, Peer { address, local }));
            }
        }
        if is_cut {
            // The room for what is told beside a datagram shrinks to what was told last, and the count of the lost makes
            // that more, once: with the first that is lost. Without its address such a datagram cannot be answered, and is
            // one more of them.
            self.headers = room_beside();
        }
        Ok(())
    }

    /// Whether more may wait.
    pub fn is_full(&self) -> bool {
        self.received.len() >= BATCH
    }

    /// How many datagrams the system has thrown away for want of room, as far as it has told; it wraps.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// What came.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], Peer)> {
        self.octets
            .chunks_exact(BUFFER_OCTETS)
            .zip(&self.received)
            .map(|(buffer, (length, peer))| (&buffer[..(*length).min(BUFFER_OCTETS)], *peer))
    }
}

/// The system's structures for a batch, with room for what it says beside each datagram.
fn room_beside() -> MultiHeaders<SockaddrStorage> {
    let room = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo, u32);
    MultiHeaders::preallocate(BATCH, Some(room))
}

/// What the system says beside a datagram: which of our addresses was asked, and how many found no room so far.
fn told_beside(message: &RecvMsg<'_, '_, SockaddrStorage>) -> (Option<IpAddr>, Option<u32>) {
    let (mut local, mut lost) = (None, None);
    for part in message.cmsgs().into_iter().flatten() {
        match part {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let address = u32::from_be(info.ipi_spec_dst.s_addr);
                local = Some(IpAddr::V4(Ipv4Addr::from(address)));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                local = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
            }
            ControlMessageOwned::RxqOvfl(count) => lost = Some(count),
            _ => {}
        }
    }
    (local, lost)
}

/// Answers that leave together.
#[derive(Default)]
pub struct Outbox {
    octets: Vec<u8>,
    answers: Vec<(Range<usize>, Peer)>,
}

/// The system's structures for batches, kept from one to the next by whoever sends many.
#[derive(Default)]
pub struct Envelopes([Option<MultiHeaders<SockaddrStorage>>; 3]);

impl Outbox {
    /// Puts an answer in.
    pub fn put(&mut self, octets: &[u8], peer: Peer) {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        self.answers.push((start..self.octets.len(), peer));
    }

    /// Whether it should be sent before more is put in.
    pub fn is_full(&self) -> bool {
        self.answers.len() >= BATCH
    }

    /// Sends everything, each answer from the address that was asked, and empties it. Those that cannot be sent are told.
    pub fn send(
        &mut self,
        socket: &DoorSocket,
        envelopes: &mut Envelopes,
        mut failed: impl FnMut(Peer, std::io::Error),
    ) {
        let mut rest = self.answers.as_slice();
        // Each round sends at least one answer, or tells that it cannot be sent.
        while let Some((_, first)) = rest.first() {
            let same = rest
                .iter()
                .take(BATCH)
                .take_while(|(_, peer)| peer.local == first.local)
                .count();
            let (batch, behind) = rest.split_at(same);
            match self.send_batch(socket, envelopes, batch) {
                Ok(sent) if sent > 0 => rest = rest.get(sent..).unwrap_or(behind),
                Ok(_) => rest = rest.get(1..).unwrap_or_default(),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    failed(*first, e);
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
        self.answers.clear();
        self.octets.clear();
    }

    fn send_batch(
        &self,
        socket: &DoorSocket,
        envelopes: &mut Envelopes,
        batch: &[(Range<usize>, Peer)],
    ) -> std::io::Result<usize> {
        let origin = Origin::of(batch.first().and_then(|(_, peer)| peer.local));
        let place = match origin {
            Origin::Any => 0,
            Origin::V4(_) => 1,
            Origin::V6(_) => 2,
        };
        let headers = envelopes.0[place].get_or_insert_with(|| origin.headers());
        let octets = |at: usize| batch.get(at).map_or(0..0, |(range, _)| range.clone());
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            std::array::from_fn(|at| [IoSlice::new(&self.octets[octets(at)])]);
        let to: [Option<SockaddrStorage>; BATCH] =
            std::array::from_fn(|at| batch.get(at).map(|(_, peer)| peer.address.into()));
        let sent = sendmmsg(
            socket.socket.as_raw_fd(),
            headers,
            slices.iter().take(batch.len()),
            to,
            origin.control(),
            MsgFlags::empty(),
        )?;
        Ok(sent.count())
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
        asking.send_to(b"another", to).expect("send");
        let (mut inbox, mut outbox) = (Inbox::default(), Outbox::default());
        let mut came = Vec::new();
        while came.len() < 2 {
            inbox.receive(&door).expect("receive");
            for (octets, peer) in inbox.datagrams() {
                let is_one_of_many = door.local_address().ip().is_unspecified();
                assert_eq!(peer.local, is_one_of_many.then_some(to.ip()));
                came.push(octets.to_vec());
                outbox.put(b"answer", peer);
                outbox.put(octets, peer);
            }
            outbox.send(&door, &mut Envelopes::default(), |_, e| panic!("{e}"));
        }
        assert_eq!(came, [&b"question"[..], b"another"]);
        let mut buffer = [0u8; 64];
        for expect in [&b"answer"[..], b"question", b"answer", b"another"] {
            let (length, from) = asking.recv_from(&mut buffer).expect("answer");
            assert_eq!((&buffer[..length], from), (expect, to));
        }
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        exchange("0.0.0.0:0", "127.0.0.1");
        exchange("0.0.0.0:0", "127.0.0.3");
        exchange("127.0.0.3:0", "127.0.0.3");
        exchange("[::]:0", "::1");
        exchange("[::1]:0", "::1");
    }

    #[test]
    fn a_socket_that_runs_over_tells_it_and_still_knows_which_address_was_asked() {
        let door = DoorSocket::bind("0.0.0.0:0".parse().expect("address")).expect("bind");
        let here = IpAddr::from([127, 0, 0, 1]);
        let to = SocketAddr::new(here, door.local_address().port());
        let asking = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let mut inbox = Inbox::default();
        let mut told = 0;
        // Until its queue is full, more than once: what lies in it before the first loss tells of none.
        for _ in 0..3 {
            for _ in 0..20_000 {
                let _ = asking.send_to(&[7; 400], to);
            }
            let mut came = 0;
            while came < 100_000 && inbox.receive(&door).is_ok() {
                came += inbox.datagrams().count();
                assert!(inbox.datagrams().all(|(_, peer)| peer.local == Some(here)));
            }
            assert!(inbox.lost() >= told);
            told = inbox.lost();
        }
        assert!(told > 0);
    }

    #[test]
    fn two_sockets_share_a_port() {
        let one = DoorSocket::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        assert!(DoorSocket::bind(one.local_address()).is_ok());
        // …which somebody who wants it alone finds taken.
        assert!(DoorSocket::probe(one.local_address()).is_err());
    }
}
