//! Questions, written straight into the room they are sent from: no allocation, each attribute copied once.
//!
//! What depends on the run alone (NAS-Identifier, the secret's key) is ready before; what must be fresh (authenticator,
//! challenges) is drawn here.

use super::lifecycle::{Report, Status};
use super::people::{MAX_NAME_OCTETS, MAX_PASSWORD_OCTETS, Person};
use super::random::Random;
use super::work::Work;
use proof::mschap;
use radius_wire::authenticator::sign_request;
use radius_wire::hide::hide_password_in_place;
use radius_wire::{Code, Secret};

/// Octets of the longest question: MS-CHAPv2 with the longest name and NAS-Identifier is 280.
pub(super) const QUESTION_OCTETS: usize = 320;
/// Longest NAS-Identifier.
pub(super) const MAX_NAS_IDENTIFIER_OCTETS: usize = 48;

const HEADER_OCTETS: usize = 20;
const MICROSOFT: [u8; 4] = 311u32.to_be_bytes();
const MS_CHAP_CHALLENGE: u8 = 11;
const MS_CHAP2_RESPONSE: u8 = 25;
/// Octets of `S=` and forty digits.
pub(super) const PROOF_OCTETS: usize = 42;

/// A question with room for any.
#[derive(Clone)]
pub(super) struct Question {
    octets: [u8; QUESTION_OCTETS],
    length: usize,
    /// What MS-CHAP2-Success must say.
    pub proof: [u8; PROOF_OCTETS],
}

impl Default for Question {
    fn default() -> Self {
        Self {
            octets: [0; QUESTION_OCTETS],
            length: HEADER_OCTETS,
            proof: [0; PROOF_OCTETS],
        }
    }
}

/// What is the same in all questions of a run.
pub(super) struct Stationery {
    pub secret: Secret,
    pub nas_identifier: Box<[u8]>,
    /// Whether Access-Requests carry Message-Authenticator; Status-Server always does (RFC 5997 section 3).
    pub is_signed: bool,
}

impl Question {
    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    pub(super) fn authenticator(&self) -> [u8; 16] {
        let mut authenticator = [0; 16];
        authenticator.copy_from_slice(&self.octets[4..HEADER_OCTETS]);
        authenticator
    }

    fn begin(&mut self, code: Code, id: u8, authenticator: &[u8; 16]) {
        self.octets[0] = code.0;
        self.octets[1] = id;
        self.octets[4..HEADER_OCTETS].copy_from_slice(authenticator);
        self.length = HEADER_OCTETS;
    }

    fn put(&mut self, kind: u8, value: &[u8]) {
        let end = self.length + 2 + value.len();
        // The limits on names and passwords keep every question below the room there is.
        if let Some(place) = self.octets.get_mut(self.length..end) {
            place[0] = kind;
            place[1] = u8::try_from(place.len()).unwrap_or(u8::MAX);
            place[2..].copy_from_slice(value);
            self.length = end;
        }
    }

    fn put_number(&mut self, kind: u8, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    fn put_microsoft<const N: usize>(&mut self, kind: u8, parts: &[&[u8]]) {
        let mut value = [0; N];
        value[..4].copy_from_slice(&MICROSOFT);
        value[4] = kind;
        value[5] = u8::try_from(N - 4).unwrap_or(u8::MAX);
        let mut at = 6;
        for part in parts {
            value[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.put(26, &value);
    }

    /// Writes the length, then what needs the whole packet.
    fn seal(&mut self, secret: &Secret) {
        let length = u16::try_from(self.length).unwrap_or(u16::MAX);
        self.octets[2..4].copy_from_slice(&length.to_be_bytes());
        // A packet written here is well-formed.
        let _ = sign_request(&mut self.octets[..self.length], secret);
    }

    /// The attributes that say from where; a real access point sends them, and more.
    fn put_place(&mut self, stationery: &Stationery, port: u32) {
        self.put(4, &[127, 0, 0, 1]);
        self.put(32, &stationery.nas_identifier);
        self.put_number(5, port);
        self.put_number(61, 19);
        self.put(31, &station(port));
    }

    /// Status-Server.
    pub(super) fn status(&mut self, id: u8, stationery: &Stationery, random: &mut Random) {
        self.begin(Code::STATUS_SERVER, id, &random.octets());
        self.put(80, &[0; 16]);
        self.put(32, &stationery.nas_identifier);
        self.seal(&stationery.secret);
    }

    /// An Access-Request; with `is_wrong` the password is a wrong one.
    pub(super) fn login(
        &mut self,
        id: u8,
        work: Work,
        (number, person): (u32, &Person),
        is_wrong: bool,
        stationery: &Stationery,
        random: &mut Random,
    ) {
        let authenticator = random.octets();
        self.begin(Code::ACCESS_REQUEST, id, &authenticator);
        if stationery.is_signed {
            self.put(80, &[0; 16]);
        }
        self.put(1, &person.name);
        let mut padded = [0; MAX_PASSWORD_OCTETS];
        let right = person.password.len();
        padded[..right].copy_from_slice(&person.password);
        if is_wrong {
            padded[right] = b'!';
        }
        let length = right + usize::from(is_wrong);
        match work {
            Work::Chap => self.put_chap(id, &padded[..length], random),
            Work::Mschapv2 => self.put_mschapv2(id, person, is_wrong, random),
            _ => {
                let whole = length.next_multiple_of(16).max(16);
                hide_password_in_place(&mut padded[..whole], &stationery.secret, &authenticator);
                self.put(2, &padded[..whole]);
            }
        }
        self.put_place(stationery, number);
        self.seal(&stationery.secret);
    }

    fn put_chap(&mut self, id: u8, password: &[u8], random: &mut Random) {
        let challenge: [u8; 16] = random.octets();
        let response = proof::chap::response(id, password, &challenge);
        let mut value = [id; 17];
        value[1..].copy_from_slice(&response);
        self.put(3, &value);
        self.put(60, &challenge);
    }

    fn put_mschapv2(&mut self, id: u8, person: &Person, is_wrong: bool, random: &mut Random) {
        let (challenge, peer): ([u8; 16], [u8; 16]) = (random.octets(), random.octets());
        let digest =
            mschap::challenge_hash(&peer, &challenge, mschap::without_domain(&person.name));
        let mut response = mschap::challenge_response(&digest, &person.nt_hash);
        if is_wrong {
            response[0] ^= 1;
        }
        self.proof = mschap::authenticator_response_octets(&person.nt_hash, &response, &digest);
        self.put_microsoft::<22>(MS_CHAP_CHALLENGE, &[&challenge]);
        // Identifier, flags, peer challenge, reserved, NT response (RFC 2548 section 2.3.2).
        self.put_microsoft::<56>(MS_CHAP2_RESPONSE, &[&[id, 0], &peer, &[0; 8], &response]);
    }

    /// An Accounting-Request.
    pub(super) fn report(
        &mut self,
        id: u8,
        report: &Report,
        person: &Person,
        stationery: &Stationery,
    ) {
        self.begin(Code::ACCOUNTING_REQUEST, id, &[0; 16]);
        self.put_number(40, report.status as u32);
        self.put(1, &person.name);
        self.put(44, &report.session);
        self.put_place(stationery, report.port);
        self.put_number(55, report.event_seconds);
        self.put_number(41, 0);
        self.put(8, &address(report.port));
        if report.status != Status::Start {
            self.put_number(46, report.session_seconds);
            self.put_number(42, report.input_octets);
            self.put_number(43, report.output_octets);
            self.put_number(47, report.input_octets >> 9);
            self.put_number(48, report.output_octets >> 9);
        }
        if report.status == Status::Stop {
            self.put_number(49, 1);
        }
        self.seal(&stationery.secret);
    }
}

/// The longest of each must fit: name, four blocks of password or the MS-CHAPv2 attributes, NAS-Identifier.
const _: () = assert!(
    HEADER_OCTETS
        + 18
        + 2
        + MAX_NAME_OCTETS
        + 24
        + 58
        + 6
        + 2
        + MAX_NAS_IDENTIFIER_OCTETS
        + 12
        + 19
        <= QUESTION_OCTETS
);

/// A locally administered MAC address of its own for each number.
fn station(number: u32) -> [u8; 17] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = *b"02-00-00-00-00-00";
    for (octet, value) in number.to_be_bytes().into_iter().enumerate() {
        let at = 6 + 3 * octet;
        if let Some(place) = text.get_mut(at..at + 2) {
            place[0] = DIGITS[usize::from(value >> 4)];
            place[1] = DIGITS[usize::from(value & 15)];
        }
    }
    text
}

/// An address out of 10.0.0.0/8.
fn address(number: u32) -> [u8; 4] {
    let [_, b, c, d] = number.to_be_bytes();
    [10, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use radius_wire::{Packet, Request, Rules};

    fn stationery(is_signed: bool) -> Stationery {
        Stationery {
            secret: Secret::new("testing123"),
            nas_identifier: b"load".as_slice().into(),
            is_signed,
        }
    }

    fn alice() -> Person {
        Person {
            name: b"alice".as_slice().into(),
            password: b"a password of more than a block".as_slice().into(),
            nt_hash: proof::nt_hash("a password of more than a block"),
        }
    }

    fn check(question: &Question, signed: bool) {
        let packet = Packet::parse(question.octets()).expect("a packet");
        let secret = Secret::new("testing123");
        let request =
            Request::verify(packet, &secret, &Rules::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(request.signed(), signed);
    }

    #[test]
    fn every_question_is_what_a_server_accepts() {
        let mut random = Random::new(&kernel::SystemRng::new());
        let mut question = Question::default();
        for work in [Work::Pap, Work::Chap, Work::Mschapv2] {
            for is_wrong in [false, true] {
                let to = stationery(true);
                question.login(9, work, (7, &alice()), is_wrong, &to, &mut random);
                check(&question, true);
            }
        }
        question.status(1, &stationery(false), &mut random);
        check(&question, true);
        let report = Report {
            place: 0,
            session: *b"00000000-00000001",
            person: 0,
            port: 3,
            status: Status::Stop,
            input_octets: 1,
            output_octets: 2,
            session_seconds: 3,
            event_seconds: 4,
        };
        question.report(2, &report, &alice(), &stationery(true));
        check(&question, false);
    }

    #[test]
    fn the_password_can_be_read_with_the_secret_alone() {
        let mut random = Random::new(&kernel::SystemRng::new());
        let mut question = Question::default();
        let to = stationery(true);
        for (is_wrong, more) in [(false, ""), (true, "!")] {
            question.login(9, Work::Pap, (7, &alice()), is_wrong, &to, &mut random);
            let packet = Packet::parse(question.octets()).expect("a packet");
            let hidden = packet.attributes().find(|a| a.kind == 2).expect("password");
            let plain = radius_wire::hide::unhide_password(
                hidden.value,
                &to.secret,
                packet.authenticator(),
            )
            .unwrap_or_else(|e| panic!("{e}"));
            let right = format!("a password of more than a block{more}");
            assert_eq!(plain.as_slice(), right.as_bytes());
        }
    }

    #[test]
    fn stations_have_addresses_of_their_own() {
        assert_eq!(&station(0x0102_03ff), b"02-00-01-02-03-FF");
        assert_eq!(address(0x0102_03ff), [10, 2, 3, 255]);
    }
}
