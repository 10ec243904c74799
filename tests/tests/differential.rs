//! The same odd inputs to an installed FreeRADIUS and to the real binary. Where the answers differ, the difference is
//! in [`DIFFERENCES`] with its reason; any other fails.

use gatewarden_tests::differences::{DIFFERENCES, Difference};
use gatewarden_tests::house::House;
use gatewarden_tests::nas::{Nas, SECRET};
use gatewarden_tests::rival::Rival;
use radius_wire::attrs::acct_status_type::START;
use radius_wire::{Code, Packet, Question, Sealed, attrs};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// Both wait a second with a refusal. What has not come after this long is silence.
const LISTEN: Duration = Duration::from_millis(2_500);

/// What is sent: which port, and the octets.
enum Port {
    Auth,
    Acct,
}

/// Makes one input with a NAS's secret and numbers.
type Make = fn(&Nas) -> (Port, Vec<u8>);

fn sealed(question: Question, signed: bool) -> Sealed {
    question.seal(signed).expect("it fits")
}

fn auth(question: Question, signed: bool) -> (Port, Vec<u8>) {
    (Port::Auth, sealed(question, signed).octets().to_vec())
}

fn bob(nas: &Nas) -> Question {
    nas.pap("bob", "builder")
}

/// A right request with some octets put in other ones' place.
fn bent(nas: &Nas, bend: impl FnOnce(&mut Vec<u8>)) -> (Port, Vec<u8>) {
    let mut octets = sealed(bob(nas), false).octets().to_vec();
    bend(&mut octets);
    (Port::Auth, octets)
}

/// The same with a length field that fits what was appended.
fn appended(nas: &Nas, more: &[u8]) -> (Port, Vec<u8>) {
    bent(nas, |octets| {
        octets.extend_from_slice(more);
        let length = u16::try_from(octets.len()).expect("it fits").to_be_bytes();
        octets[2..4].copy_from_slice(&length);
    })
}

fn chap(nas: &Nas, challenge: Option<&[u8]>) -> (Port, Vec<u8>) {
    use md5::Digest;
    let authenticator = nas.octets16();
    let mut digest = md5::Md5::new();
    digest.update([7]);
    digest.update("builder");
    digest.update(challenge.unwrap_or(&authenticator));
    let mut value = vec![7];
    value.extend(digest.finalize());
    let mut question = Question::new(
        Code::ACCESS_REQUEST,
        nas.identifier(),
        authenticator,
        nas.secret(),
    );
    question
        .put_text(attrs::USER_NAME, "bob")
        .put(attrs::CHAP_PASSWORD, &value);
    if let Some(challenge) = challenge {
        question.put(attrs::CHAP_CHALLENGE, challenge);
    }
    auth(question, false)
}

fn large(nas: &Nas, attributes: usize) -> (Port, Vec<u8>) {
    let mut more = Vec::new();
    for _ in 0..attributes {
        more.extend([25, 255]);
        more.extend([b'x'; 253]);
    }
    appended(nas, &more)
}

/// EAP-Response/Identity "bob".
const IDENTITY: &[u8] = b"\x02\x01\x00\x08\x01bob";

const INPUTS: &[(&str, Make)] = &[
    ("PAP, right, unsigned", |nas| auth(bob(nas), false)),
    ("PAP, right, signed", |nas| auth(bob(nas), true)),
    ("PAP, wrong password", |nas| {
        auth(nas.pap("bob", "wrong"), true)
    }),
    ("PAP, unknown user", |nas| {
        auth(nas.pap("nobody", "x"), true)
    }),
    ("wrong Message-Authenticator", |nas| {
        let mut octets = sealed(bob(nas), true).octets().to_vec();
        octets[22] ^= 1;
        (Port::Auth, octets)
    }),
    ("two Message-Authenticators", |nas| {
        let mut octets = sealed(bob(nas), true).octets().to_vec();
        octets.extend_from_within(20..38);
        let length = u16::try_from(octets.len()).expect("it fits").to_be_bytes();
        octets[2..4].copy_from_slice(&length);
        (Port::Auth, octets)
    }),
    ("octets behind the packet", |nas| {
        bent(nas, |octets| octets.extend([0; 5]))
    }),
    ("three Proxy-States among others", |nas| {
        let mut question = bob(nas);
        question
            .put(attrs::PROXY_STATE, b"1")
            .put_text(attrs::NAS_IDENTIFIER, "ap");
        question
            .put(attrs::PROXY_STATE, b"2")
            .put(attrs::NAS_PORT, 3)
            .put(attrs::PROXY_STATE, b"3");
        auth(question, false)
    }),
    ("Status-Server, signed", |nas| {
        auth(nas.question(Code::STATUS_SERVER), true)
    }),
    ("Status-Server, signed, accounting port", |nas| {
        (
            Port::Acct,
            sealed(nas.question(Code::STATUS_SERVER), true)
                .octets()
                .to_vec(),
        )
    }),
    ("Status-Server, unsigned", |nas| {
        auth(nas.question(Code::STATUS_SERVER), false)
    }),
    ("CHAP without CHAP-Challenge", |nas| chap(nas, None)),
    ("CHAP with CHAP-Challenge", |nas| chap(nas, Some(&[5; 16]))),
    ("CHAP-Password of 16 octets", |nas| {
        let mut question = nas.login("bob");
        question.put_raw(3, &[1; 16]);
        auth(question, false)
    }),
    ("accounting", |nas| {
        (
            Port::Acct,
            sealed(nas.report(START, "S1", "bob"), false)
                .octets()
                .to_vec(),
        )
    }),
    ("accounting, signed", |nas| {
        (
            Port::Acct,
            sealed(nas.report(START, "S2", "bob"), true)
                .octets()
                .to_vec(),
        )
    }),
    ("accounting, wrong authenticator", |nas| {
        let mut octets = sealed(nas.report(START, "S3", "bob"), false)
            .octets()
            .to_vec();
        octets[4] ^= 1;
        (Port::Acct, octets)
    }),
    ("Access-Request to the accounting port", |nas| {
        (Port::Acct, auth(bob(nas), true).1)
    }),
    ("accounting to the authentication port", |nas| {
        auth(nas.report(START, "S4", "bob"), true)
    }),
    ("EAP without Message-Authenticator", |nas| {
        let mut question = nas.login("bob");
        question.put(attrs::EAP_MESSAGE, IDENTITY);
        auth(question, false)
    }),
    ("EAP beside a password", |nas| {
        let mut question = bob(nas);
        question.put(attrs::EAP_MESSAGE, IDENTITY);
        auth(question, true)
    }),
    ("EAP, signed", |nas| {
        let mut question = nas.login("bob");
        question.put(attrs::EAP_MESSAGE, IDENTITY);
        auth(question, true)
    }),
    ("no credentials at all", |nas| auth(nas.login("bob"), true)),
    ("empty User-Name", |nas| {
        let mut question = nas.question(Code::ACCESS_REQUEST);
        question.put_raw(1, b"").put_user_password(b"builder");
        auth(question, true)
    }),
    ("User-Password of 3 octets", |nas| {
        let mut question = nas.login("bob");
        question.put_raw(2, b"abc");
        auth(question, true)
    }),
    ("attribute of length 1", |nas| appended(nas, &[25, 1])),
    ("attribute of type 0", |nas| appended(nas, &[0, 4, 0, 0])),
    ("attribute beyond the end", |nas| appended(nas, &[25, 9, 1])),
    ("Length of 19", |nas| {
        bent(nas, |octets| octets[2..4].copy_from_slice(&[0, 19]))
    }),
    ("Length beyond the datagram", |nas| {
        bent(nas, |octets| octets[3] += 10)
    }),
    ("vendor attribute that overruns", |nas| {
        appended(nas, &[26, 10, 0, 0, 0, 9, 1, 77, 1, 2])
    }),
    ("vendor attribute of 2 octets", |nas| {
        appended(nas, &[26, 4, 0, 0])
    }),
    ("unknown attribute", |nas| appended(nas, &[254, 5, 1, 2, 3])),
    ("NAS-IP-Address of 3 octets", |nas| {
        appended(nas, &[4, 5, 127, 0, 0])
    }),
    ("code 99", |nas| bent(nas, |octets| octets[0] = 99)),
    ("an Access-Accept", |nas| bent(nas, |octets| octets[0] = 2)),
    ("222 attributes", |nas| {
        let more: Vec<u8> = (0..220).flat_map(|_| [25, 3, b'x']).collect();
        appended(nas, &more)
    }),
    ("3,863 octets", |nas| large(nas, 15)),
    ("4,373 octets", |nas| large(nas, 17)),
];

/// What came back, as far as it can be compared.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Outcome {
    /// The code's name; "silence" without an answer.
    answer: String,
    /// Attribute numbers in their order, without Message-Authenticator.
    kinds: Vec<u8>,
    /// Message-Authenticator is the first attribute.
    signed_first: bool,
    /// It took a second or more.
    delayed: bool,
}

/// Sends every input from a socket of its own, and listens to all of them for the same time.
fn outcomes(auth: std::net::SocketAddr, acct: std::net::SocketAddr) -> Vec<Outcome> {
    let sent: Vec<(Nas, Instant)> = INPUTS
        .iter()
        .map(|(_, make)| {
            let nas = Nas::facing(auth, acct, IpAddr::V4(Ipv4Addr::LOCALHOST), SECRET);
            let (port, octets) = make(&nas);
            let to = match port {
                Port::Auth => nas.auth(),
                Port::Acct => nas.acct(),
            };
            nas.send(to, &octets);
            (nas, Instant::now())
        })
        .collect();
    let end = Instant::now() + LISTEN;
    // The first pass takes what comes at once, so that only what is late counts as late.
    let mut answers: Vec<Option<(Vec<u8>, Duration)>> = sent.iter().map(|_| None).collect();
    while Instant::now() < end && answers.iter().any(Option::is_none) {
        for ((nas, at), answer) in sent.iter().zip(&mut answers) {
            if answer.is_none() {
                *answer = nas
                    .receive(Duration::from_millis(2))
                    .map(|octets| (octets, at.elapsed()));
            }
        }
    }
    answers.into_iter().map(outcome).collect()
}

fn outcome(answer: Option<(Vec<u8>, Duration)>) -> Outcome {
    let Some((octets, took)) = answer else {
        return Outcome {
            answer: "silence".to_owned(),
            kinds: Vec::new(),
            signed_first: false,
            delayed: false,
        };
    };
    let packet = Packet::parse(&octets).expect("both answer with packets");
    let kinds: Vec<u8> = packet
        .attributes()
        .map(|attribute| attribute.kind)
        .collect();
    Outcome {
        answer: packet.code().to_string(),
        signed_first: kinds.first() == Some(&80),
        kinds: kinds.into_iter().filter(|kind| *kind != 80).collect(),
        delayed: took >= Duration::from_millis(900),
    }
}

/// One line for each property in which two outcomes differ.
fn compare(input: &str, theirs: &Outcome, ours: &Outcome) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |what: &'static str, theirs: String, ours: String| {
        if theirs != ours {
            found.push(Difference {
                input: input.to_owned().into(),
                what,
                theirs: theirs.into(),
                ours: ours.into(),
                reason: "",
            });
        }
    };
    note("answer", theirs.answer.clone(), ours.answer.clone());
    if theirs.answer == ours.answer {
        note(
            "attributes",
            format!("{:?}", theirs.kinds),
            format!("{:?}", ours.kinds),
        );
        note(
            "signed first",
            theirs.signed_first.to_string(),
            ours.signed_first.to_string(),
        );
        note(
            "delayed",
            theirs.delayed.to_string(),
            ours.delayed.to_string(),
        );
    }
    found
}

#[test]
fn only_the_listed_answers_differ_from_freeradius() {
    let users = "bob Cleartext-Password := \"builder\"\n    Session-Timeout = 3600\n";
    let rival = Rival::start(SECRET, users);
    let house = House::with_nas();
    house.add_user("bob", "builder");
    let limits = ["Max-Daily-Session", "Max-Daily-Session-Traffic"];
    let [time, traffic] = limits;
    house.run(&[
        "group",
        "set",
        "default-users",
        "Session-Timeout := 3600",
        "--remove",
        time,
        "--remove",
        traffic,
    ]);
    let server = house.start();
    // At the same time: each run is mostly listening.
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| outcomes(rival.auth, rival.acct));
        let ours = outcomes(server.auth(), server.acct());
        (theirs.join().expect("the comparison ran"), ours)
    });
    let mut found = Vec::new();
    for (((input, _), theirs), ours) in INPUTS.iter().zip(&theirs).zip(&ours) {
        found.extend(compare(input, theirs, ours));
    }
    let unexpected: Vec<_> = found
        .iter()
        .filter(|one| !DIFFERENCES.iter().any(|listed| listed.is(one)))
        .collect();
    assert!(
        unexpected.is_empty(),
        "not in the table: {unexpected:#?}\nserver:\n{}",
        server.log()
    );
    let gone: Vec<_> = DIFFERENCES
        .iter()
        .filter(|listed| !found.iter().any(|one| listed.is(one)))
        .collect();
    assert!(
        gone.is_empty(),
        "in the table, but there is no such difference: {gone:#?}"
    );
}
