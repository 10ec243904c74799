//! What a packet costs, beside the one MD5 that no server can leave out.

use divan::{Bencher, black_box};
use radius_wire::{Code, Packet, Question, Reply, Request, Rules, SealOptions, Secret, attrs};

fn main() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average: {}", load.trim());
    divan::main();
}

fn secret() -> Secret {
    Secret::new(*b"testing123")
}

/// An Access-Request as an access point sends it: 12 attributes, signed.
fn request() -> Vec<u8> {
    let mut question = Question::new(Code::ACCESS_REQUEST, 7, [9; 16], secret());
    question
        .put_text(attrs::USER_NAME, "alice@example.org")
        .put_user_password(b"wonderland")
        .put(attrs::NAS_IP_ADDRESS, [192, 0, 2, 1].into())
        .put_text(attrs::NAS_IDENTIFIER, "ap-lobby")
        .put_text(attrs::CALLED_STATION_ID, "02-00-00-00-00-FF:Guest")
        .put_text(attrs::CALLING_STATION_ID, "02-00-00-00-00-01")
        .put(attrs::NAS_PORT_TYPE, 19)
        .put(attrs::NAS_PORT, 1)
        .put(attrs::SERVICE_TYPE, 1)
        .put_text(attrs::CONNECT_INFO, "CONNECT 54Mbps 802.11g")
        .put_text(attrs::ACCT_SESSION_ID, "5F2B0001");
    match question.seal(true) {
        Ok(sealed) => sealed.octets().to_vec(),
        Err(e) => panic!("{e}"),
    }
}

#[divan::bench]
fn floor_one_md5_of_a_packet(bencher: Bencher) {
    let octets = request();
    // CHAP is exactly one MD5 over its input.
    bencher.bench(|| proof::chap::response(7, black_box(&octets), b""));
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let octets = request();
    bencher.bench(|| Packet::parse(black_box(&octets)).map(|packet| packet.attributes().count()));
}

#[divan::bench]
fn verify(bencher: Bencher) {
    let (octets, secret, rules) = (request(), secret(), Rules::default());
    bencher.bench(|| {
        let packet = Packet::parse(black_box(&octets)).map_err(|e| e.to_string())?;
        Request::verify(packet, &secret, &rules)
            .map(|request| request.signed())
            .map_err(|e| e.to_string())
    });
}

#[divan::bench]
fn seal(bencher: Bencher) {
    let (octets, secret, rules) = (request(), secret(), Rules::default());
    let packet = Packet::parse(&octets).unwrap_or_else(|e| panic!("{e}"));
    let request = Request::verify(packet, &secret, &rules).unwrap_or_else(|e| panic!("{e}"));
    let mut reply = Reply::new(Code::ACCESS_ACCEPT);
    reply.put(attrs::SESSION_TIMEOUT, 3600);
    bencher.bench(|| reply.seal(black_box(&request), SealOptions::signed(1)));
}
