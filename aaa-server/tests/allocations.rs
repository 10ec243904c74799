//! An accept costs no allocation: a million guests a minute must not wear the allocator down, and memory does not grow
//! with traffic. Counted over a whole running server by a counting allocator, so what its background does (reading news
//! a few times a second, keeping some attempts) is in the count, too.

use aaa_server::{RadiusConfig, Server, ServerParts};
use access::admit::{admit, found_organisation};
use access::nas::{self, NewNas};
use identity::{NewOrganisation, NewPassword, NewPerson, Store};
use kernel::db::Location;
use kernel::{Kernel, Keyring, SystemClock, SystemRng};
use radius_wire::{Code, Question, Secret, attrs};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests sent at once: few enough for any socket's buffer.
const BURST: usize = 32;
/// Requests before it is counted: tables grow to their size.
const WARMING: usize = 3_200;
/// Requests that are counted.
const COUNTED: usize = 16_000;
/// Allocations for each hundred accepts that the background may make. One in the way of a packet would be a hundred.
const ALLOWED_PER_HUNDRED: usize = 50;

async fn serve(folder: &std::path::Path) -> (Server, SocketAddr, Kernel) {
    let rng = Arc::new(SystemRng::new());
    let kernel = Kernel {
        db: Location::Sqlite(folder.join("house.db"))
            .open()
            .await
            .expect("a database"),
        clock: Arc::new(SystemClock),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&*rng)).expect("keys")),
        rng,
    };
    let acme = found_organisation(&kernel, NewOrganisation::named("acme"))
        .await
        .expect("an organisation");
    let mut new = NewPerson::named("alice");
    new.password = Some(NewPassword::given("wonderland", Store::Recoverable));
    let mut tx = kernel.db.begin().await.expect("a transaction");
    admit(&mut tx, &kernel, &acme, new, None)
        .await
        .expect("alice");
    tx.commit().await.expect("committed");
    let network = "127.0.0.0/8".parse().expect("a network");
    let secret = Zeroizing::new("testing123".to_owned());
    nas::add(&kernel, NewNas::new(acme.id, Some(network), secret))
        .await
        .expect("a NAS");
    let config = RadiusConfig {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        auth_ports: vec![0],
        acct_ports: vec![0],
        threads: 1,
        // Attempts that are kept are allocated, of course; a few a second are.
        kept_accepts_per_second: 1,
        logged_accepts_per_second: 1,
        ..RadiusConfig::default()
    };
    let server = Server::start(ServerParts {
        kernel: kernel.clone(),
        config,
        data: folder.to_owned(),
        database: "the database".to_owned(),
        is_open: tokio::sync::watch::channel(true).1,
    })
    .await
    .expect("a server");
    while !server.is_ready() {
        tokio::task::yield_now().await;
    }
    let (address, _) = server.listeners()[0];
    (server, address, kernel)
}

/// Sealed requests of one kind, each with an authenticator of its own; more than one identifier's worth, so that a
/// request is new whenever it comes round.
fn requests(method: &str) -> Vec<Vec<u8>> {
    (0..512u32)
        .map(|n| {
            let mut authenticator = [7u8; 16];
            authenticator[..4].copy_from_slice(&n.to_be_bytes());
            let secret = Secret::new("testing123");
            let mut question = Question::new(Code::ACCESS_REQUEST, n as u8, authenticator, secret);
            question
                .put_text(attrs::USER_NAME, "alice")
                .put_text(attrs::CALLING_STATION_ID, "02-00-00-00-00-01")
                .put_text(attrs::CALLED_STATION_ID, "02-AA-00-00-00-01:Guests")
                .put_text(attrs::NAS_IDENTIFIER, "lobby");
            match method {
                "pap" => {
                    question.put_user_password(b"wonderland");
                }
                "chap" => {
                    let response = proof::chap::response(9, b"wonderland", &authenticator);
                    question.put(attrs::CHAP_PASSWORD, &[&[9], &response[..]].concat());
                }
                _ => {
                    let peer = [3u8; 16];
                    let response = proof::mschap::nt_response_v2(
                        &authenticator,
                        &peer,
                        b"alice",
                        "wonderland",
                    );
                    let value = [&[9, 0][..], &peer, &[0; 8], &response].concat();
                    question
                        .put(attrs::microsoft::MS_CHAP_CHALLENGE, &authenticator[..])
                        .put(attrs::microsoft::MS_CHAP2_RESPONSE, &value);
                }
            }
            question.seal(true).expect("small").octets().to_vec()
        })
        .collect()
}

/// Asks in bursts, so that the background has little time to add its own.
fn ask(socket: &UdpSocket, requests: &[Vec<u8>], count: usize) {
    let mut buffer = [0u8; 4096];
    for burst in 0..count / BURST {
        for n in 0..BURST {
            let request = &requests[(burst * BURST + n) % requests.len()];
            socket.send(request).expect("sent");
        }
        for _ in 0..BURST {
            let length = socket.recv(&mut buffer).expect("an answer");
            assert_eq!((length > 20, buffer[0]), (true, Code::ACCESS_ACCEPT.0));
        }
    }
}

#[test]
fn an_accept_allocates_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (server, address, _kernel) = runtime.block_on(serve(folder.path()));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.connect(address).expect("connected");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out");
    for method in ["pap", "chap", "mschapv2"] {
        let requests = requests(method);
        ask(&socket, &requests, WARMING);
        let region = Region::new(ALLOCATOR);
        ask(&socket, &requests, COUNTED);
        let allocations = region.change().allocations;
        println!("{method}: {allocations} allocations in {COUNTED} accepts");
        assert!(
            allocations * 100 <= COUNTED * ALLOWED_PER_HUNDRED,
            "{method}: {allocations} allocations in {COUNTED} accepts"
        );
    }
    runtime.block_on(server.stop());
}
