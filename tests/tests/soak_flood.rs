//! Somebody sends as fast as he can: right requests, requests with a wrong secret, rubbish. The logins of everybody else
//! are answered, and neither memory nor log grows with it.

use gatewarden_tests::house::{House, Server};
use gatewarden_tests::lasting;
use gatewarden_tests::nas::{Nas, SECRET};
use gatewarden_tests::traffic::{PASSWORD, USER};
use radius_wire::{Code, Packet};
use serde_json::Value as Json;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// A NAS asks again after a second, and turns to another server after three.
const AGAIN: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(3);
/// Between two logins of one of them.
const PACE: Duration = Duration::from_millis(100);
/// Sockets of those whose logins count: on every receive thread of the server there are some.
const NASES: usize = 8;
/// Different requests of the flood, sent in turn.
const DIFFERENT: usize = 2_048;
/// Sockets that send rubbish.
const RUBBISH_SOCKETS: usize = 64;
/// Sent at most, whatever the time: the flood ends by itself.
const MAX_SENT: usize = 200_000_000;
/// More memory than this is growth, not buffers.
const MAX_GROWTH_KIB: u64 = 96 * 1024;
/// Lines of log in a second, of all levels together; what is left out is said in one more.
const MAX_LINES_A_SECOND: u64 = 702;

/// Where the flood comes from.
const FLOODER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Somebody else's logins, one after the other: how many there were, and how many were answered in time.
fn logins(server: &Server, until: Instant) -> (u64, u64) {
    let nas = Nas::of(server);
    let (mut asked, mut in_time) = (0, 0);
    while Instant::now() < until {
        let sealed = nas.pap(USER, PASSWORD).seal(true).expect("it fits");
        asked += 1;
        let begun = Instant::now();
        'asking: while begun.elapsed() < LATE {
            nas.send(nas.auth(), sealed.octets());
            let sent = Instant::now();
            while sent.elapsed() < AGAIN {
                let Some(octets) = nas.receive(AGAIN.saturating_sub(sent.elapsed())) else {
                    break;
                };
                if sealed.verify(&octets).is_ok() {
                    let code = Packet::parse(&octets).map(|packet| packet.code());
                    assert_eq!(code, Ok(Code::ACCESS_ACCEPT));
                    in_time += 1;
                    break 'asking;
                }
            }
        }
        nas.receive(PACE);
    }
    (asked, in_time)
}

/// What the flood was like, seen from everybody else.
struct Seen {
    sent: u64,
    asked: u64,
    in_time: u64,
    grown_kib: u64,
    lines_a_second: u64,
}

/// Floods with these datagrams from these sockets while others log in.
fn flood(server: &Server, sockets: &[Nas], datagrams: &[Vec<u8>]) -> Seen {
    let seconds = lasting::count(6, 60);
    let before_kib = lasting::peak_kib(server.id()).unwrap_or_default();
    let before_lines = server.log().lines().count() as u64;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut sent = 0;
    let each: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..NASES)
            .map(|_| scope.spawn(|| logins(server, until)))
            .collect();
        let turns = datagrams.iter().cycle().zip(sockets.iter().cycle());
        for (datagram, nas) in turns.take(MAX_SENT) {
            nas.send(nas.auth(), datagram);
            sent += 1;
            if sent % 64 == 0 && Instant::now() >= until {
                break;
            }
        }
        let ends = senders.into_iter().map(|sender| sender.join());
        ends.map(|end| end.expect("logins go on")).collect()
    });
    let lines = server.log().lines().count() as u64 - before_lines;
    let seen = Seen {
        sent,
        asked: each.iter().map(|(asked, _)| asked).sum(),
        in_time: each.iter().map(|(_, in_time)| in_time).sum(),
        grown_kib: lasting::peak_kib(server.id()).unwrap_or_default() - before_kib,
        lines_a_second: lines / (seconds + 1),
    };
    eprintln!(
        "{} sent, {} of {} logins in time ({each:?}), {} KiB more, {} lines a second",
        seen.sent, seen.in_time, seen.asked, seen.grown_kib, seen.lines_a_second
    );
    assert!(seen.sent > 1_000 && seen.asked > 20);
    assert!(seen.in_time * 100 >= seen.asked * 95, "{each:?}");
    // Not even one of them is kept out, whichever receive thread it meets.
    let is_served = |(asked, in_time): &(u64, u64)| in_time * 2 >= *asked;
    assert!(each.iter().all(is_served), "{each:?}");
    assert!(seen.grown_kib < MAX_GROWTH_KIB, "{} KiB", seen.grown_kib);
    assert!(
        seen.lines_a_second <= MAX_LINES_A_SECOND,
        "{}",
        seen.lines_a_second
    );
    seen
}

fn house() -> (House, Server) {
    let house = House::with_nas();
    house.add_unlimited_user(USER, PASSWORD);
    house.run(&[
        "nas",
        "add",
        "127.0.0.2",
        "--org",
        "default",
        "--secret",
        SECRET,
    ]);
    let server = house.start();
    let nas = Nas::of(&server);
    nas.ask(nas.pap(USER, PASSWORD));
    (house, server)
}

/// Requests of one NAS, sealed beforehand: making them must not slow the flood down.
fn requests(nas: &Nas) -> Vec<Vec<u8>> {
    let request = |_| nas.pap(USER, PASSWORD).seal(true).expect("it fits");
    (0..DIFFERENT)
        .map(request)
        .map(|sealed| sealed.octets().to_vec())
        .collect()
}

fn dropped(house: &House, word: &str) -> u64 {
    let status = house.attempt(&["status", "--json"]).out;
    let status: Json = serde_json::from_str(&status).expect("JSON");
    let words = status["server"]["traffic"]["dropped"].as_array();
    let found = words
        .into_iter()
        .flatten()
        .find(|counter| counter["word"] == word);
    found
        .and_then(|counter| counter["total"].as_u64())
        .unwrap_or_default()
}

#[test]
fn a_nas_that_floods_with_right_requests_keeps_nobody_out() {
    let (_house, server) = house();
    let flooder = [Nas::at(&server, FLOODER, SECRET)];
    flood(&server, &flooder, &requests(&flooder[0]));
}

#[test]
fn a_nas_that_floods_with_a_wrong_secret_keeps_nobody_out() {
    let (house, server) = house();
    let flooder = [Nas::at(&server, FLOODER, "another secret")];
    flood(&server, &flooder, &requests(&flooder[0]));
    assert!(dropped(&house, "bad_message_authenticator") > 100);
}

#[test]
fn rubbish_from_many_ports_keeps_nobody_out_and_is_counted() {
    let (house, server) = house();
    let sockets: Vec<Nas> = (0..RUBBISH_SOCKETS)
        .map(|_| Nas::at(&server, FLOODER, SECRET))
        .collect();
    let mut rubbish = requests(&sockets[0]);
    for (number, datagram) in rubbish.iter_mut().enumerate() {
        let seed = sockets[0].octets16();
        let at = usize::from(seed[0]) % datagram.len();
        match number % 6 {
            // The length says more, or less, than there is.
            0 => datagram[3] = datagram[3].wrapping_add(seed[1] | 1),
            1 => datagram.truncate(at),
            // An attribute's length.
            2 => datagram[21] = seed[1] % 3,
            3 => datagram.extend_from_slice(&seed),
            4 => datagram[0] = seed[1],
            _ => datagram[at] ^= seed[1] | 1,
        }
    }
    flood(&server, &sockets, &rubbish);
    assert!(dropped(&house, "bad_length") > 100);
    assert_eq!(server.health(), Some(200));
}
