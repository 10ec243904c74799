//! A NAS: a socket that sends exact octets, and believes only right answers.
//!
//! Requests are put together with the asking half of `radius-wire`; [`Independent`] makes them with another library.

use crate::house::Server;
use radius_wire::attr::{Integer, Kind, Text};
use radius_wire::{Attr, Code, Packet, Question, Sealed, Secret, attrs};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer may take at most: a slow password hash on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The secret that the stories use.
pub const SECRET: &str = "testing123";
/// The largest datagram.
const DATAGRAM_OCTETS: usize = 65_536;

/// A NAS with one socket.
pub struct Nas {
    socket: UdpSocket,
    auth: SocketAddr,
    acct: SocketAddr,
    secret: String,
    next_identifier: Cell<u8>,
    seed: Cell<u64>,
}

/// A verified answer.
#[derive(Clone)]
pub struct Answer {
    octets: Vec<u8>,
    /// From sending the first time to receiving.
    pub took: Duration,
}

impl Nas {
    /// A NAS on 127.0.0.1 with the stories' secret.
    pub fn of(server: &Server) -> Nas {
        Nas::at(server, IpAddr::V4(Ipv4Addr::LOCALHOST), SECRET)
    }

    /// A NAS with an address (of the loopback network) and a secret of its own.
    ///
    /// # Panics
    /// When the address cannot be bound.
    pub fn at(server: &Server, address: IpAddr, secret: &str) -> Nas {
        Nas::facing(server.auth(), server.acct(), address, secret)
    }

    /// The same for any server.
    ///
    /// # Panics
    /// When the address cannot be bound.
    pub fn facing(auth: SocketAddr, acct: SocketAddr, address: IpAddr, secret: &str) -> Nas {
        let socket = UdpSocket::bind((address, 0)).unwrap_or_else(|e| panic!("{address}: {e}"));
        let port = socket.local_addr().map_or(0, |local| local.port());
        let peer = |server: SocketAddr| match address {
            IpAddr::V4(_) => server,
            IpAddr::V6(_) => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), server.port()),
        };
        Nas {
            socket,
            auth: peer(auth),
            acct: peer(acct),
            secret: secret.to_owned(),
            next_identifier: Cell::new(0),
            seed: Cell::new(u64::from(port) << 32 | 0x9e37_79b9),
        }
    }

    /// The same NAS (socket and identifiers) with another secret.
    pub fn with_secret(mut self, secret: &str) -> Nas {
        self.secret = secret.to_owned();
        self
    }

    /// Where it asks who somebody is.
    pub fn auth(&self) -> SocketAddr {
        self.auth
    }

    /// Where it reports.
    pub fn acct(&self) -> SocketAddr {
        self.acct
    }

    /// Its shared secret.
    pub fn secret(&self) -> Secret {
        Secret::new(self.secret.as_bytes())
    }

    /// Sixteen octets, other ones at each call and for each socket.
    pub fn octets16(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        for part in octets.chunks_mut(8) {
            let mut state = self.seed.get();
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            self.seed.set(state);
            part.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
        }
        octets
    }

    /// The next identifier.
    pub fn identifier(&self) -> u8 {
        let identifier = self.next_identifier.get();
        self.next_identifier.set(identifier.wrapping_add(1));
        identifier
    }

    /// An empty request with a fresh identifier and authenticator.
    pub fn question(&self, code: Code) -> Question {
        Question::new(code, self.identifier(), self.octets16(), self.secret())
    }

    /// An Access-Request with a user name.
    pub fn login(&self, user: &str) -> Question {
        let mut question = self.question(Code::ACCESS_REQUEST);
        question.put_text(attrs::USER_NAME, user);
        question
    }

    /// An Access-Request with a user name and a hidden password.
    pub fn pap(&self, user: &str, password: &str) -> Question {
        let mut question = self.login(user);
        question.put_user_password(password.as_bytes());
        question
    }

    /// An Accounting-Request.
    pub fn report(&self, status: u32, session: &str, user: &str) -> Question {
        let mut question = self.question(Code::ACCOUNTING_REQUEST);
        question
            .put(attrs::ACCT_STATUS_TYPE, status)
            .put_text(attrs::ACCT_SESSION_ID, session)
            .put_text(attrs::USER_NAME, user);
        question
    }

    /// Seals with Message-Authenticator, sends it where its code belongs, and gives the verified answer.
    ///
    /// # Panics
    /// When no right answer comes.
    pub fn ask(&self, question: Question) -> Answer {
        let sealed = question.seal(true).unwrap_or_else(|e| panic!("{e}"));
        self.ask_sealed(&sealed.require_message_authenticator())
    }

    /// The same for a sealed request.
    ///
    /// # Panics
    /// When no right answer comes.
    pub fn ask_sealed(&self, sealed: &Sealed) -> Answer {
        self.try_ask(sealed)
            .unwrap_or_else(|| panic!("no answer to {} within {PATIENCE:?}", sealed.code()))
    }

    /// The same; `None` when nothing comes.
    ///
    /// # Panics
    /// When what comes is not the answer.
    pub fn try_ask(&self, sealed: &Sealed) -> Option<Answer> {
        let to = match sealed.code() {
            Code::ACCOUNTING_REQUEST => self.acct,
            _ => self.auth,
        };
        let start = Instant::now();
        self.send(to, sealed.octets());
        let octets = self.receive(PATIENCE)?;
        if let Err(fault) = sealed.verify(&octets) {
            panic!("{fault}: {}", hex::encode(&octets));
        }
        Some(Answer {
            octets,
            took: start.elapsed(),
        })
    }

    /// Sends octets as they are.
    ///
    /// # Panics
    /// When the socket refuses.
    pub fn send(&self, to: SocketAddr, octets: &[u8]) {
        self.socket
            .send_to(octets, to)
            .unwrap_or_else(|e| panic!("{to}: {e}"));
    }

    /// The next datagram.
    ///
    /// # Panics
    /// When the socket fails.
    pub fn receive(&self, wait: Duration) -> Option<Vec<u8>> {
        self.socket
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .expect("a time-out can be set");
        let mut room = vec![0; DATAGRAM_OCTETS];
        match self.socket.recv_from(&mut room) {
            Ok((length, _)) => {
                room.truncate(length);
                Some(room)
            }
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                None
            }
            Err(e) => panic!("{e}"),
        }
    }

    /// Sends octets and gives the next datagram.
    pub fn exchange(&self, to: SocketAddr, octets: &[u8]) -> Option<Vec<u8>> {
        self.send(to, octets);
        self.receive(PATIENCE)
    }

    /// Sends octets that must not be answered. A Status-Server goes after them through the same socket, and the
    /// datagrams of one socket are worked on in order: when its answer is the first to come, there was none before.
    ///
    /// # Panics
    /// When there is another answer, or none to the Status-Server.
    pub fn expect_silence(&self, to: SocketAddr, octets: &[u8]) {
        self.send(to, octets);
        let probe = self
            .question(Code::STATUS_SERVER)
            .seal(true)
            .expect("a probe fits");
        self.send(to, probe.octets());
        let answer = self.receive(PATIENCE).expect("the probe is answered");
        if let Err(fault) = probe.verify(&answer) {
            panic!(
                "answered, and must not be ({fault}): {}",
                hex::encode(answer)
            );
        }
    }
}

impl Answer {
    /// A verified answer from its octets.
    pub fn new(octets: Vec<u8>, took: Duration) -> Answer {
        Answer { octets, took }
    }

    /// The packet.
    ///
    /// # Panics
    /// Never: it was verified.
    pub fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.octets).expect("it was verified")
    }

    /// The octets as they came.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.packet().code()
    }

    /// A text attribute.
    pub fn text(&self, attr: Attr<Text>) -> Option<String> {
        self.packet()
            .get(attr)
            .map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// A number.
    pub fn integer(&self, attr: Attr<Integer>) -> Option<u32> {
        self.packet().get(attr)
    }

    /// A typed value.
    pub fn get<T: Kind>(&self, attr: Attr<T>) -> Option<T::Value<'_>> {
        self.packet().get(attr)
    }

    /// The attribute numbers in order.
    pub fn kinds(&self) -> Vec<u8> {
        self.packet()
            .attributes()
            .map(|attribute| attribute.kind)
            .collect()
    }
}

/// Requests made with the crate `radius`, an implementation that shares nothing with ours.
pub struct Independent;

impl Independent {
    /// A PAP login, without Message-Authenticator: that library has none.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn pap(identifier: u8, secret: &str, user: &str, password: &str) -> Vec<u8> {
        use radius::core::{code::Code, packet::Packet, rfc2865};
        let mut packet =
            Packet::new_with_identifier(Code::AccessRequest, secret.as_bytes(), identifier);
        rfc2865::add_user_name(&mut packet, user);
        rfc2865::add_user_password(&mut packet, password.as_bytes()).expect("the password fits");
        packet.encode().expect("the packet fits")
    }

    /// An accounting Start.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn start(identifier: u8, secret: &str, session: &str, user: &str) -> Vec<u8> {
        use radius::core::{code::Code, packet::Packet, rfc2865, rfc2866};
        let mut packet =
            Packet::new_with_identifier(Code::AccountingRequest, secret.as_bytes(), identifier);
        rfc2866::add_acct_status_type(&mut packet, rfc2866::ACCT_STATUS_TYPE_START);
        rfc2866::add_acct_session_id(&mut packet, session);
        rfc2865::add_user_name(&mut packet, user);
        packet.encode().expect("the packet fits")
    }
}
