//! The asking half over UDP: one request, retransmitted until an answer that verifies has come (RFC 5080 §2.2.1).
//!
//! Used by `ping` and by Disconnect-Requests. Datagrams that do not verify are counted and told, never believed: a
//! forged answer must not end the waiting.

use radius_wire::{AnswerFault, Sealed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Faults kept for the report; a flood of forged answers must not fill memory.
const MAX_FAULTS: usize = 16;

/// The wait before the next try where nobody listens.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// When to ask again and when to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Until the second try; doubles with each.
    pub first_wait: Duration,
    /// No wait is longer.
    pub longest_wait: Duration,
    /// Tries, the first included.
    pub tries: u32,
}

impl Timing {
    /// For Disconnect and CoA requests: 2 s, doubling, at most 16 s, five tries.
    pub const fn for_sessions() -> Self {
        Self {
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(16),
            tries: 5,
        }
    }

    /// So long for each of so many tries.
    pub const fn even(wait: Duration, tries: u32) -> Self {
        Self {
            first_wait: wait,
            longest_wait: wait,
            tries,
        }
    }

    /// How long the try with this number (from 0) waits.
    pub fn wait(&self, number: u32) -> Duration {
        self.first_wait
            .saturating_mul(1u32.checked_shl(number).unwrap_or(u32::MAX))
            .min(self.longest_wait)
    }
}

/// A verified answer.
#[derive(Debug)]
pub struct Answer {
    /// The whole datagram.
    pub octets: Vec<u8>,
    /// From the last sending to the answer.
    pub took: Duration,
    /// Tries it needed.
    pub tries: u32,
    /// Where it was sent from.
    pub local: SocketAddr,
    /// Datagrams that came meanwhile and were not believed.
    pub faults: Vec<AnswerFault>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing that verifies came in time.
    #[error("no answer from {address} after {tries} tries{}", told(faults))]
    Silence {
        /// Who was asked.
        address: SocketAddr,
        /// How often.
        tries: u32,
        /// What came and was not believed.
        faults: Vec<AnswerFault>,
    },
    /// The system could not send or receive.
    #[error("cannot ask {address}: {error}")]
    System {
        /// Who was asked.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
}

fn told(faults: &[AnswerFault]) -> String {
    match faults.last() {
        Some(fault) => format!(
            "; {} datagrams came and were not believed: {fault}",
            faults.len()
        ),
        None => String::new(),
    }
}

/// Asks and waits. Blocks the thread.
///
/// # Errors
/// [`AskError`].
pub fn ask(address: SocketAddr, request: &Sealed, timing: Timing) -> Result<Answer, AskError> {
    let system = |error| AskError::System { address, error };
    let any = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).map_err(system)?;
    // Connected: datagrams from anybody else do not even arrive.
    socket.connect(address).map_err(system)?;
    let local = socket.local_addr().map_err(system)?;
    let mut buffer = vec![0u8; 65_535];
    let mut faults = Vec::new();
    for number in 0..timing.tries {
        socket.send(request.octets()).map_err(system)?;
        let sent = Instant::now();
        let wait = timing.wait(number);
        while let Some(left) = wait
            .checked_sub(sent.elapsed())
            .filter(|left| !left.is_zero())
        {
            socket.set_read_timeout(Some(left)).map_err(system)?;
            let length = match socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(e) if is_timeout(&e) => break,
                // Nobody listens there. It may begin to: the next try comes soon.
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                    if number + 1 == timing.tries {
                        return Err(system(e));
                    }
                    std::thread::sleep(left.min(REFUSED_PAUSE));
                    break;
                }
                Err(e) => return Err(system(e)),
            };
            match request.verify(&buffer[..length]) {
                Ok(_) => {
                    return Ok(Answer {
                        octets: buffer[..length].to_vec(),
                        took: sent.elapsed(),
                        tries: number + 1,
                        local,
                        faults,
                    });
                }
                Err(fault) if faults.len() < MAX_FAULTS => faults.push(fault),
                Err(_) => {}
            }
        }
    }
    Err(AskError::Silence {
        address,
        tries: timing.tries,
        faults,
    })
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock
            | std::io::ErrorKind::TimedOut
            | std::io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use radius_wire::{Code, Secret};

    fn request() -> Sealed {
        let question =
            radius_wire::Question::new(Code::STATUS_SERVER, 7, [9; 16], Secret::new(*b"s"));
        question.seal(true).expect("a small packet")
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let timing = Timing::for_sessions();
        let waits: Vec<u64> = (0..5).map(|n| timing.wait(n).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 16]);
    }

    #[test]
    fn a_forged_answer_is_told_and_not_believed() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = server.local_addr().expect("address");
        let forger = std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            let (_, from) = server.recv_from(&mut buffer).expect("request");
            let mut forged = vec![2, 7, 0, 20];
            forged.extend_from_slice(&[0xee; 16]);
            server.send_to(&forged, from).expect("send");
        });
        let result = ask(
            address,
            &request(),
            Timing::even(Duration::from_millis(200), 1),
        );
        assert!(
            matches!(result, Err(AskError::Silence { faults, .. }) if faults == [AnswerFault::BadAuthenticator])
        );
        forger.join().expect("forger");
    }

    #[test]
    fn silence_is_reported_with_the_number_of_tries() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = server.local_addr().expect("address");
        let result = ask(
            address,
            &request(),
            Timing::even(Duration::from_millis(20), 3),
        );
        assert!(matches!(result, Err(AskError::Silence { tries: 3, .. })));
        let mut buffer = [0u8; 4096];
        server.set_nonblocking(true).expect("socket");
        assert_eq!(
            (0..4).filter(|_| server.recv(&mut buffer).is_ok()).count(),
            3
        );
    }
}
