//! What a NAS's answers come to, asked of a NAS that answers as it is told.

use super::*;
use kernel::SystemRng;
use radius_wire::authenticator::sign_response;
use std::net::UdpSocket;
use std::time::Duration;

const SECRET: &[u8] = b"testing123";

/// A session of alice's phone.
fn session() -> Session {
    let entry = usage::Entry {
        received: Time::from_unix_seconds(1_800_000_000),
        nas: kernel::id::Uuid::from_u128(1),
        organisation: kernel::OrganisationId(kernel::id::Uuid::from_u128(2)),
        membership: None,
        group: None,
        source: IpAddr::from([127, 0, 0, 1]),
        flips_octets: false,
        packet: report(),
    };
    let report = usage::Report::read(&entry).expect("a report");
    let mut session = Session::new(kernel::id::Uuid::from_u128(3), 0, &report);
    session.apply(&report, chrono_tz::Tz::UTC);
    session
}

fn report() -> Vec<u8> {
    let mut question = Question::new(Code::ACCOUNTING_REQUEST, 1, [7; 16], Secret::new(SECRET));
    question
        .put(attrs::ACCT_STATUS_TYPE, 1)
        .put_text(attrs::ACCT_SESSION_ID, "S1")
        .put_text(attrs::USER_NAME, "alice")
        .put_text(attrs::CALLING_STATION_ID, "02-00-00-00-00-01")
        .put(attrs::FRAMED_IP_ADDRESS, [10, 0, 0, 7].into());
    question.seal(true).expect("small").octets().to_vec()
}

/// Asks a NAS of a family that gives these answers in turn (ACK, or NAK with a cause); what that comes to, and how many
/// questions it took.
fn asked(family: Family, asking: &Asking<'_>, answers: &[Result<(), u32>]) -> (Outcome, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("it is bound");
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("it can be set");
    let answers = answers.to_vec();
    let nas = std::thread::spawn(move || {
        let mut count = 0;
        for answer in answers {
            let mut room = [0; 4_096];
            let (length, from) = socket.recv_from(&mut room).expect("a question");
            let packet = Packet::parse(&room[..length]).expect("a packet");
            if packet.get(attrs::EVENT_TIMESTAMP).is_none() {
                return count;
            }
            count += 1;
            let nak = packet.code().0 + 2;
            let mut octets = vec![packet.code().0 + 1, packet.identifier(), 0, 0];
            octets.extend(packet.authenticator());
            octets.extend([80, 18]);
            octets.extend([0; 16]);
            if let Err(cause) = answer {
                octets[0] = nak;
                octets.extend([101, 6]);
                octets.extend(cause.to_be_bytes());
            }
            let length = u16::try_from(octets.len()).expect("small");
            octets[2..4].copy_from_slice(&length.to_be_bytes());
            sign_response(&mut octets, &Secret::new(SECRET), packet.authenticator())
                .expect("it is one");
            socket.send_to(&octets, from).expect("it is sent");
        }
        count
    });
    let rng = SystemRng::new();
    let peer = Peer {
        address,
        family,
        secret: Secret::new(SECRET),
        first_set: 0,
        timing: Timing::even(Duration::from_secs(2), 1),
        rng: &rng,
        now: Time::from_unix_seconds(1_800_000_000),
    };
    let done = exchange(&peer, &session(), asking).unwrap_or_else(|e| panic!("{e}"));
    (done.finish.outcome, nas.join().expect("it ends"))
}

#[test]
fn another_way_of_naming_is_taken_until_one_is_accepted() {
    for (family, answers, expect) in [
        (Family::Generic, &[Ok(())][..], Outcome::Ack),
        (Family::Generic, &[Err(401), Ok(())], Outcome::Ack),
        (
            Family::Generic,
            &[Err(401), Err(404), Err(402)],
            Outcome::Nak,
        ),
        // It does not do this at all: no other name helps.
        (Family::Generic, &[Err(405)], Outcome::Nak),
        (Family::Ruckus, &[Err(401), Ok(())], Outcome::Ack),
    ] {
        let done = asked(family, &Asking::Disconnect, answers);
        assert_eq!(done, (expect, answers.len()), "{family} {answers:?}");
    }
}

#[test]
fn a_session_is_gone_when_it_was_named_exactly_and_its_device_is_left_alone_then() {
    for (family, answers, expect) in [
        // The device's new session must not be ended in the place of the one that is gone.
        (Family::Ruckus, &[Err(503)][..], Outcome::Gone),
        (
            Family::Hostapd,
            &[Err(503), Err(503), Err(503)],
            Outcome::Gone,
        ),
        (
            Family::Hostapd,
            &[Err(401), Err(503), Err(401)],
            Outcome::Gone,
        ),
        (Family::Mikrotik, &[Err(503), Err(402)], Outcome::Gone),
        // Named by its device alone, nobody can tell whether it is this one.
        (Family::Ruckus, &[Err(401), Err(503)], Outcome::Nak),
    ] {
        let done = asked(family, &Asking::Disconnect, answers);
        assert_eq!(done, (expect, answers.len()), "{family} {answers:?}");
    }
}

#[test]
fn a_question_and_a_change_never_name_a_device_alone() {
    for (family, answers, expect) in [
        (Family::Mikrotik, &[Err(404), Err(503)][..], Outcome::Nak),
        (Family::Mikrotik, &[Err(503), Err(503)], Outcome::Gone),
        (Family::Ruckus, &[Err(401)], Outcome::Nak),
    ] {
        let done = asked(family, &Asking::Query, answers);
        assert_eq!(done, (expect, answers.len()), "{family} {answers:?}");
    }
}

#[test]
fn only_who_is_its_nas_is_asked() {
    for (network, reported, expect) in [
        (Some("127.0.0.0/8"), "127.0.0.1", Some("127.0.0.1:3799")),
        (Some("192.0.2.7"), "127.0.0.1", Some("192.0.2.7:3799")),
        // It names itself as somebody else: nobody is asked.
        (Some("192.0.2.0/24"), "127.0.0.1", None),
        (Some("192.0.2.0/24"), "", None),
        (None, "198.51.100.4", Some("198.51.100.4:3799")),
    ] {
        let network = network.map(|text| text.parse().expect("a network"));
        let address = listens_at(network, reported, 3_799).map(|address| address.to_string());
        assert_eq!(address.as_deref(), expect, "{network:?} {reported}");
    }
}
