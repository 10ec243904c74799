//! The floor: a responder that does what no server can leave out, and nothing else.
//!
//! It takes a batch, parses, verifies what is signed, answers Access-Accept or Accounting-Response, signs and sends.
//! It knows no user and keeps nothing. What a real server reaches, divided by what this one reaches on the same
//! machine, says what its own work costs. It must **never** listen where real NASes ask: it lets everybody in.

use crate::failure::Failure;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg,
};
use radius_wire::authenticator::{
    check_request_message_authenticator, request_authenticator_holds, sign_response,
};
use radius_wire::{Code, Packet, Secret};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Datagrams a call moves.
const BATCH: usize = 64;
/// Octets of the longest RADIUS packet (RFC 2865 section 3).
const DATAGRAM_OCTETS: usize = 4_096;
/// Octets of the longest answer: a header and Message-Authenticator.
const ANSWER_OCTETS: usize = 38;
/// Octets the kernel may hold while the thread is busy.
const RECEIVE_BUFFER_OCTETS: usize = 4 * 1024 * 1024;
/// How long a receive waits before the thread looks whether it should stop.
const RECEIVE_WAIT: Duration = Duration::from_millis(200);

/// What the responder did.
#[derive(Default)]
pub(super) struct NullCounts {
    pub accepted: AtomicU64,
    pub stored: AtomicU64,
    /// Malformed, badly signed, or nothing that is answered here.
    pub dropped: AtomicU64,
}

/// Answers on these addresses, each with `threads` threads, until `stop` is set or the time is over.
pub(super) fn serve(
    addresses: &[SocketAddr],
    secret: &Secret,
    threads: u32,
    until: Option<Instant>,
    stop: &AtomicBool,
    ready: impl FnOnce() -> Result<(), Failure>,
) -> Result<NullCounts, Failure> {
    let mut sockets = Vec::new();
    for address in addresses {
        let failed = |e| Failure::failed(format!("cannot listen on {address}: {e}"));
        // Sockets that share a port would take a real server's questions away without a word.
        UdpSocket::bind(address).map_err(failed)?;
        for _ in 0..threads {
            sockets.push(bind(*address).map_err(failed)?);
        }
    }
    ready()?;
    let counts = NullCounts::default();
    std::thread::scope(|scope| {
        for socket in &sockets {
            let (counts, secret) = (&counts, secret.clone());
            scope.spawn(move || answer_all(socket, &secret, until, stop, counts));
        }
    });
    Ok(counts)
}

fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_port(true)?;
    // The system caps what it grants; less is no error.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    socket.bind(&address.into())?;
    socket.set_read_timeout(Some(RECEIVE_WAIT))?;
    Ok(socket.into())
}

#[derive(Clone, Copy)]
struct Answer {
    octets: [u8; ANSWER_OCTETS],
    length: usize,
}

fn answer_all(
    socket: &UdpSocket,
    secret: &Secret,
    until: Option<Instant>,
    stop: &AtomicBool,
    counts: &NullCounts,
) {
    let mut incoming = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut outgoing = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut octets = vec![0; BATCH * DATAGRAM_OCTETS];
    let mut answers = [Answer {
        octets: [0; ANSWER_OCTETS],
        length: 0,
    }; BATCH];
    let mut peers = [None; BATCH];
    while !stop.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
        let mut rooms = octets.chunks_exact_mut(DATAGRAM_OCTETS);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
        let messages = match recvmmsg(
            socket.as_raw_fd(),
            &mut incoming,
            slices.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        ) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => continue,
            Err(_) => return,
        };
        let (mut count, mut accepted, mut dropped) = (0, 0, 0);
        for message in messages {
            let question = message.iovs().next().unwrap_or_default();
            let length = write_answer(question, secret, &mut answers[count].octets);
            if length == 0 {
                dropped += 1;
                continue;
            }
            accepted += u64::from(length == ANSWER_OCTETS);
            answers[count].length = length;
            peers[count] = message.address;
            count += 1;
        }
        counts.accepted.fetch_add(accepted, Ordering::Relaxed);
        counts
            .stored
            .fetch_add(count as u64 - accepted, Ordering::Relaxed);
        counts.dropped.fetch_add(dropped, Ordering::Relaxed);
        send(socket, &mut outgoing, &answers[..count], &peers[..count]);
    }
}

fn send(
    socket: &UdpSocket,
    outgoing: &mut MultiHeaders<SockaddrStorage>,
    mut answers: &[Answer],
    mut peers: &[Option<SockaddrStorage>],
) {
    let none: [ControlMessage<'_>; 0] = [];
    while !answers.is_empty() {
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|index| {
            let answer = answers.get(index);
            [IoSlice::new(
                answer
                    .and_then(|answer| answer.octets.get(..answer.length))
                    .unwrap_or_default(),
            )]
        });
        let sent = sendmmsg(
            socket.as_raw_fd(),
            outgoing,
            slices.iter().take(answers.len()),
            peers,
            none,
            MsgFlags::empty(),
        );
        // An answer the system does not take is left out: the next ones may go.
        let gone = sent.map_or(1, |sent| sent.count().max(1));
        answers = answers.get(gone..).unwrap_or_default();
        peers = peers.get(gone..).unwrap_or_default();
    }
}

/// Writes the answer to a question and says its length; 0 where there is none.
fn write_answer(question: &[u8], secret: &Secret, out: &mut [u8; ANSWER_OCTETS]) -> usize {
    let Ok(packet) = Packet::parse(question) else {
        return 0;
    };
    let (code, length) = match packet.code() {
        Code::ACCESS_REQUEST => (Code::ACCESS_ACCEPT, ANSWER_OCTETS),
        Code::STATUS_SERVER => (Code::ACCESS_ACCEPT, ANSWER_OCTETS),
        Code::ACCOUNTING_REQUEST if request_authenticator_holds(packet, secret) => {
            (Code::ACCOUNTING_RESPONSE, 20)
        }
        _ => return 0,
    };
    if check_request_message_authenticator(packet, secret).is_err() {
        return 0;
    }
    out.fill(0);
    out[0] = code.0;
    out[1] = packet.identifier();
    out[3] = length as u8;
    if length == ANSWER_OCTETS {
        (out[20], out[21]) = (80, 18);
    }
    match sign_response(&mut out[..length], secret, packet.authenticator()) {
        Ok(()) => length,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use radius_wire::{Question, attrs};

    fn check(code: Code, secret: &str, answer: Option<Code>) {
        let mut question = Question::new(code, 7, [9; 16], Secret::new(secret));
        question.put_text(attrs::USER_NAME, "alice");
        let sealed = question.seal(true).unwrap_or_else(|e| panic!("{e}"));
        let mut out = [0; ANSWER_OCTETS];
        let length = write_answer(sealed.octets(), &Secret::new("right"), &mut out);
        let got = Packet::parse(&out[..length]).ok().map(Packet::code);
        assert_eq!(got, answer, "{code:?} {secret}");
        if length > 0 {
            assert!(sealed.verify(&out[..length]).is_ok());
        }
    }

    #[test]
    fn what_is_signed_rightly_is_answered() {
        check(Code::ACCESS_REQUEST, "right", Some(Code::ACCESS_ACCEPT));
        check(Code::STATUS_SERVER, "right", Some(Code::ACCESS_ACCEPT));
        check(
            Code::ACCOUNTING_REQUEST,
            "right",
            Some(Code::ACCOUNTING_RESPONSE),
        );
        check(Code::ACCESS_REQUEST, "wrong", None);
        check(Code::ACCOUNTING_REQUEST, "wrong", None);
        check(Code::DISCONNECT_REQUEST, "right", None);
    }
}
