//! Datagrams and sockets: sizes, padding, IPv6, several ports, and what is no request.

use gatewarden_tests::house::House;
use gatewarden_tests::nas::{Nas, PATIENCE, SECRET};
use radius_wire::attrs::acct_status_type::START;
use radius_wire::{Code, Packet, attrs};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

fn furnished() -> House {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    house
}

#[test]
fn padding_behind_the_packet_is_ignored() {
    let house = furnished();
    let server = house.start();
    let nas = Nas::of(&server);
    let sealed = nas.pap("alice", "wonderland").seal(true).expect("it fits");
    let answer = nas
        .exchange(nas.auth(), &[sealed.octets(), &[0, 0, 0]].concat())
        .expect("an answer");
    assert_eq!(
        sealed.verify(&answer).expect("a right answer").code(),
        Code::ACCESS_ACCEPT
    );
    let sealed = nas
        .report(START, "S1", "alice")
        .seal(false)
        .expect("it fits");
    let answer = nas
        .exchange(nas.acct(), &[sealed.octets(), b"padding"].concat())
        .expect("an answer");
    assert!(sealed.verify(&answer).is_ok());
}

#[test]
fn proxy_states_come_back_in_their_order_and_last() {
    let house = furnished();
    let server = house.start();
    let nas = Nas::of(&server);
    let mut question = nas.login("alice");
    question
        .put(attrs::PROXY_STATE, b"first")
        .put_user_password(b"wonderland")
        .put(attrs::PROXY_STATE, b"second")
        .put_text(attrs::NAS_IDENTIFIER, "ap")
        .put(attrs::PROXY_STATE, &[0, 255]);
    let answer = nas.ask(question);
    let states: Vec<&[u8]> = answer.packet().all(33).collect();
    assert_eq!(states, [&b"first"[..], b"second", &[0, 255]]);
    assert!(answer.kinds().ends_with(&[33, 33, 33]));
}

/// A packet of 3,868 octets, in three IP fragments where the MTU is 1,500.
#[test]
fn packets_larger_than_the_mtu_are_taken() {
    let house = furnished();
    let server = house.start();
    let nas = Nas::of(&server);
    let mut question = nas.pap("alice", "wonderland");
    for _ in 0..14 {
        question.put_vendor(9, 1, &[b'x'; 247]);
    }
    question.put_vendor(9, 1, &[b'x'; 217]);
    let sealed = question.seal(true).expect("it fits");
    assert!(sealed.octets().len() > 3_800, "{}", sealed.octets().len());
    assert_eq!(nas.ask_sealed(&sealed).code(), Code::ACCESS_ACCEPT);
    // One that is larger than RADIUS allows.
    let mut octets = sealed.octets().to_vec();
    octets.extend([25, 255].into_iter().chain([0; 253]));
    octets.extend([25, 255].into_iter().chain([0; 253]));
    let length = u16::try_from(octets.len()).expect("it fits").to_be_bytes();
    octets[2..4].copy_from_slice(&length);
    nas.expect_silence(nas.auth(), &octets);
}

#[test]
fn ipv6_is_served_like_ipv4() {
    let house = House::new(kernel::Engine::Sqlite);
    house.run(&["nas", "add", "::1", "--org", "default", "--secret", SECRET]);
    house.add_user("alice", "wonderland");
    let server = house.start();
    let nas = Nas::at(&server, IpAddr::V6(Ipv6Addr::LOCALHOST), SECRET);
    assert_eq!(
        nas.ask(nas.pap("alice", "wonderland")).code(),
        Code::ACCESS_ACCEPT
    );
    assert_eq!(
        nas.ask(nas.report(START, "S6", "alice")).code(),
        Code::ACCOUNTING_RESPONSE
    );
    house.sessions_once("the session", |all| all.len() == 1);
}

#[test]
fn several_addresses_are_served_at_once() {
    let house = furnished();
    let server = house.start_with(
        &[],
        "[radius]\naddresses = [\"127.0.0.1\", \"127.0.0.2\"]\nauth_ports = [{auth}]\nacct_ports = [{acct}]\n",
    );
    let (auth, acct) = (server.auth().port(), server.acct().port());
    for address in ["127.0.0.1", "127.0.0.2"] {
        let address: IpAddr = address.parse().expect("an address");
        let nas = Nas::facing(
            SocketAddr::new(address, auth),
            SocketAddr::new(address, acct),
            IpAddr::from([127, 0, 0, 9]),
            SECRET,
        );
        assert_eq!(
            nas.ask(nas.pap("alice", "wonderland")).code(),
            Code::ACCESS_ACCEPT,
            "{address}"
        );
        assert_eq!(
            nas.ask(nas.report(START, "S1", "alice")).code(),
            Code::ACCOUNTING_RESPONSE,
            "{address}"
        );
    }
}

#[test]
fn what_is_no_request_gets_silence() {
    let house = furnished();
    let server = house.start();
    let nas = Nas::of(&server);
    let right = nas.pap("alice", "wonderland").seal(true).expect("it fits");
    let changed = |place: usize, value: u8| {
        let mut octets = right.octets().to_vec();
        octets[place] = value;
        octets
    };
    nas.expect_silence(nas.auth(), &[]);
    nas.expect_silence(nas.auth(), &right.octets()[..19]);
    nas.expect_silence(nas.auth(), &right.octets()[..40]);
    nas.expect_silence(nas.auth(), &changed(3, 19));
    nas.expect_silence(nas.auth(), &changed(20, 0));
    nas.expect_silence(nas.auth(), &changed(21, 1));
    nas.expect_silence(nas.auth(), &changed(0, 99));
    nas.expect_silence(nas.auth(), &changed(0, 2));
    // Each kind on the other kind's port.
    nas.expect_silence(nas.acct(), right.octets());
    let report = nas
        .report(START, "S1", "alice")
        .seal(true)
        .expect("it fits");
    nas.expect_silence(nas.auth(), report.octets());
    // And all the while the right one is served.
    assert_eq!(nas.ask_sealed(&right).code(), Code::ACCESS_ACCEPT);
}

#[test]
fn attributes_beyond_the_limit_get_silence_and_the_limit_can_be_set() {
    let house = furnished();
    let login = |nas: &Nas| {
        let mut question = nas.pap("alice", "wonderland");
        for _ in 0..220 {
            question.put(attrs::CLASS, b"x");
        }
        question.seal(true).expect("it fits")
    };
    let server = house.start();
    let nas = Nas::of(&server);
    nas.expect_silence(nas.auth(), login(&nas).octets());
    drop(server);
    let server = house.start_with(&[], "[radius]\nmax_attributes = 300\n");
    let nas = Nas::of(&server);
    assert_eq!(nas.ask_sealed(&login(&nas)).code(), Code::ACCESS_ACCEPT);
}

/// Zero-length names, NULs at the end, values of wrong size, broken vendor attributes: devices send all of that.
#[test]
fn odd_attributes_do_not_stop_a_login() {
    let house = furnished();
    let server = house.start();
    let nas = Nas::of(&server);
    let mut question = nas.pap("alice", "wonderland");
    question
        .put_raw(26, &[0, 0, 0, 9, 1, 77, b'x'])
        .put_raw(26, &[0, 0])
        .put_raw(55, &[1])
        .put_raw(4, &[127])
        .put_raw(61, &[0, 0, 99, 99])
        .put_raw(25, b"one")
        .put_raw(25, b"two")
        .put_raw(32, b"ap\0\0")
        .put_raw(254, &[0xff; 40]);
    assert_eq!(nas.ask(question).code(), Code::ACCESS_ACCEPT);
}

#[test]
fn two_hundred_logins_in_flight_are_all_answered_once() {
    let house = furnished();
    let server = house.start();
    let nas = Nas::of(&server);
    let sealed: Vec<_> = (0..200)
        .map(|_| nas.pap("alice", "wonderland").seal(true).expect("it fits"))
        .collect();
    for request in &sealed {
        nas.send(nas.auth(), request.octets());
    }
    let mut answered = [0; 256];
    for _ in &sealed {
        let octets = nas.receive(PATIENCE).expect("an answer to each");
        let identifier = Packet::parse(&octets).expect("a packet").identifier();
        let request = sealed
            .iter()
            .find(|request| request.identifier() == identifier)
            .expect("it was asked");
        assert_eq!(
            request.verify(&octets).expect("a right answer").code(),
            Code::ACCESS_ACCEPT
        );
        answered[usize::from(identifier)] += 1;
    }
    assert!(answered[..200].iter().all(|times| *times == 1));
}
