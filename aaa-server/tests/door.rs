//! The door over real sockets, in this process, on a SQLite file: what a NAS sees.

use aaa_server::ask::{Answer, AskError, Timing, ask};
use aaa_server::{Purpose, RadiusConfig, Server, ServerParts};
use access::nas::NewNas;
use identity::{NewOrganisation, NewPassword, NewPerson, Organisation, Store};
use kernel::db::Location;
use kernel::{Kernel, Keyring, SystemClock, SystemRng};
use radius_wire::dictionary::Dictionary;
use radius_wire::{Code, Packet, Question, Secret, attrs};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

struct House {
    kernel: Kernel,
    server: Server,
    folder: tempfile::TempDir,
}

impl House {
    async fn open() -> Self {
        let (kernel, folder, _) = Self::prepare().await;
        let server = Self::serve(&kernel, &folder).await;
        Self {
            kernel,
            server,
            folder,
        }
    }

    async fn prepare() -> (Kernel, tempfile::TempDir, Organisation) {
        let folder = tempfile::tempdir().expect("folder");
        let rng = Arc::new(SystemRng::new());
        let keys = Keyring::open_or_create(&folder.path().join("keys"), &*rng).expect("keys");
        let location = Location::Sqlite(folder.path().join("g.db"));
        let kernel = Kernel {
            db: location.open().await.expect("database"),
            clock: Arc::new(SystemClock),
            keys: Arc::new(keys),
            rng,
        };
        let new = NewOrganisation::named("Default");
        let organisation = access::admit::found_organisation(&kernel, new)
            .await
            .expect("organisation");
        let network = Some("127.0.0.0/8".parse().expect("network"));
        let mut nas = NewNas::new(
            organisation.id,
            network,
            Zeroizing::new("testing123".to_owned()),
        );
        nas.reject_delay_ms = 300;
        access::nas::add(&kernel, nas).await.expect("nas");
        for (name, store) in [("alice", Store::Recoverable), ("bob", Store::Hashed)] {
            let password = NewPassword::typed("wonderland", store).expect("password");
            let mut person = NewPerson::named(name);
            person.password = Some(password.hashed(&kernel).await.expect("hash"));
            let mut tx = kernel.db.begin().await.expect("transaction");
            access::admit::admit(&mut tx, &kernel, &organisation, person, None)
                .await
                .expect("person");
            tx.commit().await.expect("commit");
        }
        (kernel, folder, organisation)
    }

    async fn serve(kernel: &Kernel, folder: &tempfile::TempDir) -> Server {
        let server = Self::start(kernel, folder).await;
        let begun = Instant::now();
        while !server.is_ready() {
            assert!(begun.elapsed() < Duration::from_secs(10), "never ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    async fn start(kernel: &Kernel, folder: &tempfile::TempDir) -> Server {
        let config = RadiusConfig {
            addresses: vec!["127.0.0.1".parse().expect("address")],
            auth_ports: vec![0],
            acct_ports: vec![0],
            ..RadiusConfig::default()
        };
        let parts = ServerParts {
            kernel: kernel.clone(),
            config,
            data: folder.path().to_owned(),
            database: "the database".to_owned(),
            is_open: tokio::sync::watch::channel(true).1,
        };
        Server::start(parts).await.expect("server")
    }

    fn address(&self, purpose: Purpose) -> SocketAddr {
        let listener = self
            .server
            .listeners()
            .iter()
            .find(|(_, of)| *of == purpose);
        listener.expect("listener").0
    }

    async fn ask(&self, purpose: Purpose, question: Question) -> Result<Answer, AskError> {
        let address = self.address(purpose);
        let asking = tokio::task::spawn_blocking(move || {
            let sealed = question
                .seal(true)
                .expect("seal")
                .require_message_authenticator();
            ask(address, &sealed, Timing::even(Duration::from_secs(3), 1))
        });
        asking.await.expect("asking")
    }
}

fn login(user: &str, password: &str) -> Question {
    let mut question = Question::new(
        Code::ACCESS_REQUEST,
        1,
        [3; 16],
        Secret::new(*b"testing123"),
    );
    question.put_text(attrs::USER_NAME, user);
    question.put_user_password(password.as_bytes());
    question
}

fn code(answer: &Answer) -> Code {
    Packet::parse(&answer.octets).expect("a packet").code()
}

#[tokio::test(flavor = "multi_thread")]
async fn right_passwords_are_accepted_and_wrong_ones_refused_later() {
    let house = House::open().await;
    for user in ["alice", "bob"] {
        let answer = house
            .ask(Purpose::Authentication, login(user, "wonderland"))
            .await
            .expect("an answer");
        assert_eq!(code(&answer), Code::ACCESS_ACCEPT, "{user}");
        // Another identifier and authenticator: this is no duplicate.
        let mut wrong = Question::new(
            Code::ACCESS_REQUEST,
            2,
            [5; 16],
            Secret::new(*b"testing123"),
        );
        wrong.put_text(attrs::USER_NAME, user);
        wrong.put_user_password(b"wrong");
        let answer = house
            .ask(Purpose::Authentication, wrong)
            .await
            .expect("an answer");
        assert_eq!(code(&answer), Code::ACCESS_REJECT, "{user}");
        assert!(
            answer.took >= Duration::from_millis(280),
            "{:?}",
            answer.took
        );
    }
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_answered_and_becomes_a_session_exactly_once() {
    let house = House::open().await;
    let report = |identifier: u8, kind: u32| {
        let secret = Secret::new(*b"testing123");
        let mut question = Question::new(Code::ACCOUNTING_REQUEST, identifier, [0; 16], secret);
        question.put(attrs::ACCT_STATUS_TYPE, kind);
        question.put_text(attrs::ACCT_SESSION_ID, "s1");
        question.put_text(attrs::USER_NAME, "alice");
        question.put_text(attrs::CALLING_STATION_ID, "02-00-00-00-00-01");
        question.put(attrs::ACCT_SESSION_TIME, 10 * kind);
        question
    };
    for (identifier, kind) in [(1, 1), (2, 3), (3, 2), (4, 2)] {
        let answer = house
            .ask(Purpose::Accounting, report(identifier, kind))
            .await
            .expect("an answer");
        assert_eq!(code(&answer), Code::ACCOUNTING_RESPONSE);
    }
    house.server.stop().await;
    let server = House::serve(&house.kernel, &house.folder).await;
    server.stop().await;
    let everything = kernel::Scope::Everything;
    let sessions = usage::list::find(&house.kernel.db, everything, "s1")
        .await
        .expect("sessions");
    assert_eq!(sessions.len(), 1);
    assert!(sessions[0].stopped.is_some() && sessions[0].membership_id.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn status_server_is_answered_on_both_ports() {
    let house = House::open().await;
    let status = || Question::new(Code::STATUS_SERVER, 9, [4; 16], Secret::new(*b"testing123"));
    let auth = house
        .ask(Purpose::Authentication, status())
        .await
        .expect("an answer");
    assert_eq!(code(&auth), Code::ACCESS_ACCEPT);
    let acct = house
        .ask(Purpose::Accounting, status())
        .await
        .expect("an answer");
    assert_eq!(code(&acct), Code::ACCOUNTING_RESPONSE);
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_is_silence_and_is_reported_as_such() {
    let house = House::open().await;
    let mut question = Question::new(Code::ACCESS_REQUEST, 1, [3; 16], Secret::new(*b"another"));
    question.put_text(attrs::USER_NAME, "alice");
    question.put_user_password(b"wonderland");
    let address = house.address(Purpose::Authentication);
    let silence = tokio::task::spawn_blocking(move || {
        let sealed = question.seal(true).expect("seal");
        ask(
            address,
            &sealed,
            Timing::even(Duration::from_millis(200), 1),
        )
    });
    assert!(matches!(
        silence.await.expect("asking"),
        Err(AskError::Silence { .. })
    ));
    house.server.stop().await;
    let everything = kernel::Scope::Everything;
    let attempts = usage::attempt::explain(&house.kernel.db, everything, "alice", 10)
        .await
        .expect("attempts");
    let words: Vec<_> = attempts
        .iter()
        .filter_map(|attempt| attempt.word.as_deref())
        .collect();
    assert_eq!(words, ["shared_secret_mismatch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_people_are_still_loading_they_are_looked_up_one_by_one() {
    let (kernel, folder, organisation) = House::prepare().await;
    // What nobody's keys open holds the whole load up, and tries again each second.
    let mut tx = kernel.db.begin().await.expect("transaction");
    let carol = NewPerson::named("carol");
    let carol = access::admit::admit(&mut tx, &kernel, &organisation, carol, None)
        .await
        .expect("person");
    tx.commit().await.expect("commit");
    let (dictionary, id) = (Dictionary::builtin(), carol.membership.id);
    let rule = "Tunnel-Password := 'x'";
    access::admit::set_rules(&kernel, dictionary, organisation.id, id, rule, None)
        .await
        .expect("a rule");
    let mut tx = kernel.db.begin().await.expect("transaction");
    let sealed = "UPDATE access_reply SET value = 'v1:other:x:x'";
    assert_eq!(tx.run(sealed, Vec::new()).await.ok(), Some(1));
    tx.commit().await.expect("commit");

    let server = House::start(&kernel, &folder).await;
    let house = House {
        kernel,
        server,
        folder,
    };
    let asked = |identifier: u8, user: &'static str, password: &'static str| {
        let secret = Secret::new(*b"testing123");
        let mut question = Question::new(Code::ACCESS_REQUEST, identifier, [7; 16], secret);
        question.put_text(attrs::USER_NAME, user);
        question.put_user_password(password.as_bytes());
        question
    };
    // Silent until its policy is there; then everybody is answered as if everything were.
    let mut first = None;
    for identifier in 0..20 {
        let question = asked(identifier, "alice", "wonderland");
        if let Ok(answer) = house.ask(Purpose::Authentication, question).await {
            first = Some(code(&answer));
            break;
        }
    }
    assert_eq!(first, Some(Code::ACCESS_ACCEPT));
    assert!(!house.server.is_ready());
    for (identifier, user, password, expect) in [
        (31, "bob", "wonderland", Code::ACCESS_ACCEPT),
        (32, "bob", "wrong", Code::ACCESS_REJECT),
        (33, "nobody", "wonderland", Code::ACCESS_REJECT),
    ] {
        let question = asked(identifier, user, password);
        let answer = house.ask(Purpose::Authentication, question).await;
        assert_eq!(code(&answer.expect("an answer")), expect, "{user}");
    }
    // Whose report it is cannot be told yet.
    let mut report = Question::new(
        Code::ACCOUNTING_REQUEST,
        1,
        [0; 16],
        Secret::new(*b"testing123"),
    );
    report.put(attrs::ACCT_STATUS_TYPE, 1);
    report.put_text(attrs::ACCT_SESSION_ID, "s1");
    let answer = house.ask(Purpose::Accounting, report).await;
    assert!(
        answer.is_err(),
        "a report is not taken before everybody is known"
    );
    house.server.stop().await;
}
