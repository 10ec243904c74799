//! One question over UDP, asked again until it is answered (RFC 5080 section 2.2.1): the same octets from the same port,
//! with waits that grow, and only an answer that verifies is believed.

use radius_wire::{AnswerFault, Sealed};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// Largest datagram read; a packet has at most 4,096 octets, what is longer is padding.
const MAX_DATAGRAM_OCTETS: usize = 8_192;
/// Answers that do not verify and are remembered for the report.
const MAX_FAULTS: usize = 8;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Wait for the first answer; every further wait is twice the one before.
    pub first: Duration,
    /// How often the question is sent at most.
    pub tries: u32,
    /// No wait is longer than this.
    pub longest: Duration,
}

/// An answer that verified.
pub struct Answer {
    /// The datagram.
    pub octets: Vec<u8>,
    /// From the first sending to the answer.
    pub elapsed: Duration,
    /// How often the question was sent.
    pub tries: u32,
    /// Datagrams before it that were not believed.
    pub faults: Vec<AnswerFault>,
}

/// Why there is none.
#[derive(Debug)]
pub enum NoAnswer {
    /// The system refused to send, or said that nothing listens there.
    Unreachable(std::io::Error),
    /// Nothing that verified came in time.
    Silence {
        /// How often the question was sent.
        tries: u32,
        /// How long was waited in all.
        waited: Duration,
        /// Datagrams that were not believed.
        faults: Vec<AnswerFault>,
    },
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoAnswer::Unreachable(e) if e.kind() == ErrorKind::ConnectionRefused => {
                f.write_str("nothing listens there (port unreachable)")
            }
            NoAnswer::Unreachable(e) => write!(f, "it cannot be reached: {e}"),
            NoAnswer::Silence { tries, waited, faults } => {
                write!(f, "no answer after {tries} tries in {:.1} s", waited.as_secs_f64())?;
                match faults.last() {
                    Some(fault) => write!(f, "; {} came that cannot be believed: {fault}", plural(faults.len())),
                    None => Ok(()),
                }
            }
        }
    }
}

fn plural(count: usize) -> String {
    match count {
        1 => "one datagram".to_owned(),
        count => format!("{count} datagrams"),
    }
}

/// A socket that talks with one address, and which of our own addresses it talks from.
///
/// # Errors
/// What the system says.
pub fn connect(to: SocketAddr) -> std::io::Result<(UdpSocket, IpAddr)> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    let own = socket.local_addr()?.ip();
    Ok((socket, own))
}

/// Asks until an answer verifies or the tries are used up. Blocks.
///
/// # Errors
/// [`NoAnswer`].
pub fn ask(socket: &UdpSocket, question: &Sealed, timing: Timing) -> Result<Answer, NoAnswer> {
    let start = Instant::now();
    let mut faults = Vec::new();
    let mut wait = timing.first;
    let mut buffer = vec![0; MAX_DATAGRAM_OCTETS];
    for tries in 1..=timing.tries.max(1) {
        socket.send(question.octets()).map_err(NoAnswer::Unreachable)?;
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left)).map_err(NoAnswer::Unreachable)?;
            let length = match socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(NoAnswer::Unreachable(e)),
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            match question.verify(datagram) {
                Ok(_) => {
                    return Ok(Answer {
                        octets: datagram.to_vec(),
                        elapsed: start.elapsed(),
                        tries,
                        faults,
                    });
                }
                // Anybody can send a datagram: a wrong one must not end the wait for the right one.
                Err(fault) if faults.len() < MAX_FAULTS => faults.push(fault),
                Err(_) => {}
            }
        }
        wait = (wait * 2).min(timing.longest);
    }
    Err(NoAnswer::Silence {
        tries: timing.tries.max(1),
        waited: start.elapsed(),
        faults,
    })
}

/// The address of `HOST`, `HOST:PORT`, `ADDRESS` or `[ADDRESS]:PORT`.
///
/// # Errors
/// One sentence.
pub fn resolve(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, default_port));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (
            host,
            port.parse::<u16>()
                .map_err(|_| format!("'{text}': '{port}' is not a port; write HOST:PORT, as in 127.0.0.1:1812"))?,
        ),
        None => (text, default_port),
    };
    (host, port)
        .to_socket_addrs()
        .map_err(|e| format!("'{host}' has no address: {e}"))?
        .next()
        .ok_or_else(|| format!("'{host}' has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use radius_wire::{Code, Question, Reply, Request, Rules, SealOptions, Secret};

    const QUICK: Timing = Timing {
        first: Duration::from_millis(20),
        tries: 3,
        longest: Duration::from_millis(40),
    };

    fn question() -> Sealed {
        Question::new(Code::STATUS_SERVER, 9, [7; 16], Secret::new("testing123"))
            .seal(true)
            .expect("seal")
    }

    fn answer_to(octets: &[u8], secret: &str) -> Vec<u8> {
        let packet = radius_wire::Packet::parse(octets).expect("packet");
        let secret = Secret::new(secret);
        let wrong = Secret::new("testing123");
        let request = Request::verify(packet, &wrong, &Rules::default()).expect("request");
        let answer = Reply::new(Code::ACCESS_ACCEPT)
            .seal(&request, SealOptions::signed(1))
            .expect("reply");
        if secret.same_as(&wrong) {
            return answer;
        }
        let mut altered = answer;
        altered[5] ^= 1;
        altered
    }

    #[test]
    fn only_an_answer_that_verifies_is_believed_and_a_lost_question_is_asked_again() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = server.local_addr().expect("address");
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The first is lost.
            let (length, _) = server.recv_from(&mut buffer).expect("first");
            let first = buffer[..length].to_vec();
            let (length, peer) = server.recv_from(&mut buffer).expect("second");
            assert_eq!(first, buffer[..length]);
            server.send_to(&answer_to(&first, "other"), peer).expect("send");
            server.send_to(&answer_to(&first, "testing123"), peer).expect("send");
        });
        let (socket, own) = connect(address).expect("connect");
        assert_eq!(own, address.ip());
        let answer = ask(&socket, &question(), Timing { first: Duration::from_millis(200), ..QUICK });
        thread.join().expect("server");
        match answer {
            Ok(answer) => {
                assert_eq!(answer.tries, 2);
                assert_eq!(answer.faults, [AnswerFault::BadAuthenticator]);
            }
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn silence_has_an_end() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let (socket, _) = connect(server.local_addr().expect("address")).expect("connect");
        match ask(&socket, &question(), QUICK) {
            Err(NoAnswer::Silence { tries: 3, faults, .. }) => assert!(faults.is_empty()),
            Err(e) => panic!("{e}"),
            Ok(_) => panic!("an answer from nobody"),
        }
    }

    #[test]
    fn addresses_are_read_with_and_without_port() {
        for (text, expect) in [
            ("127.0.0.1:18120", Some("127.0.0.1:18120")),
            ("127.0.0.1", Some("127.0.0.1:1812")),
            ("::1", Some("[::1]:1812")),
            ("[::1]", Some("[::1]:1812")),
            ("[::1]:1645", Some("[::1]:1645")),
            ("127.0.0.1:many", None),
            ("127.0.0.1:70000", None),
        ] {
            assert_eq!(resolve(text, 1812).ok(), expect.and_then(|e| e.parse().ok()), "{text}");
        }
    }
}
