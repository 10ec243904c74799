//! Many datagrams a call: recvmmsg and sendmmsg over sockets that have one peer each.

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, recvmmsg, sendmmsg};
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Datagrams a call moves: enough that the call itself costs little, few enough that a batch is soon full.
pub(super) const BATCH: usize = 64;
/// Octets of the longest datagram that is looked at: the longest RADIUS packet and one more, to notice a longer one.
const DATAGRAM_OCTETS: usize = 4_097;

/// Room for a batch in each direction. Belongs to one thread.
pub(super) struct Batch {
    incoming: MultiHeaders<()>,
    outgoing: MultiHeaders<()>,
    octets: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            octets: vec![0; BATCH * DATAGRAM_OCTETS],
        }
    }
}

impl Batch {
    /// Takes what has arrived, at most [`BATCH`], and hands each datagram to `take`; says how many there were.
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, Errno> {
        let mut rooms = self.octets.chunks_exact_mut(DATAGRAM_OCTETS);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
        let messages = recvmmsg(
            socket.as_raw_fd(),
            &mut self.incoming,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let mut count = 0;
        for message in messages {
            count += 1;
            take(message.iovs().next().unwrap_or_default());
        }
        Ok(count)
    }

    /// Sends `packets`, at most [`BATCH`], and says how many the system took.
    pub(super) fn send<'p>(
        &mut self,
        socket: &UdpSocket,
        mut packets: impl ExactSizeIterator<Item = &'p [u8]>,
    ) -> Result<usize, Errno> {
        let count = packets.len().min(BATCH);
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSlice::new(packets.next().unwrap_or_default())]);
        let none: [ControlMessage<'_>; 0] = [];
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut self.outgoing,
            slices.iter().take(count),
            [None; BATCH],
            none,
            MsgFlags::MSG_DONTWAIT,
        )?;
        Ok(sent.count())
    }
}
