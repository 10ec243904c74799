//! A simulated NAS: it lets people in by asking, reports what they use, and lets them go.

use aaa_server::ask::{Answer, AskError, Timing, ask};
use identity::Store;
use kernel::{Clock, Rng, SystemClock, SystemRng};
use proof::mschap;
use radius_wire::attrs::{acct_status_type, acct_terminate_cause};
use radius_wire::{Code, Packet, Question, Secret, attrs};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Sessions that one NAS holds: a small café.
const MAX_SESSIONS: usize = 8;
/// Between two things that happen at one NAS.
const PACE: Duration = Duration::from_millis(350);
/// Octets that a device moves in a second, at most.
const OCTETS_PER_SECOND: u64 = 3_000_000;
const MICROSOFT: u32 = 311;

/// A person as a device knows her.
#[derive(Clone)]
pub(super) struct Person {
    pub name: &'static str,
    pub password: &'static str,
    pub store: Store,
}

/// What happened.
pub(super) struct News {
    pub nas: &'static str,
    pub who: String,
    pub what: &'static str,
    pub answer: String,
    pub took: Option<Duration>,
}

struct Session {
    id: String,
    who: &'static str,
    device: String,
    address: Ipv4Addr,
    begun: Instant,
    input: u64,
    output: u64,
}

/// The NAS.
pub(super) struct Simulated {
    number: usize,
    name: &'static str,
    secret: String,
    auth: SocketAddr,
    acct: SocketAddr,
    people: Vec<Person>,
    stranger: &'static str,
    rng: SystemRng,
    sessions: Vec<Session>,
    made: u32,
}

impl Simulated {
    pub(super) fn new(
        number: usize,
        name: &'static str,
        secret: String,
        auth: SocketAddr,
        acct: SocketAddr,
        people: Vec<Person>,
        stranger: &'static str,
    ) -> Self {
        Self {
            number,
            name,
            secret,
            auth,
            acct,
            people,
            stranger,
            rng: SystemRng::new(),
            sessions: Vec::new(),
            made: 0,
        }
    }

    /// Lives until it is told to stop, or nobody listens any more.
    pub(super) fn run(mut self, tell: &SyncSender<News>, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Acquire) {
            let news = match self.random(10) {
                0..=3 if self.sessions.len() < MAX_SESSIONS => self.login(),
                4..=8 if !self.sessions.is_empty() => self.interim(),
                9 if self.sessions.len() > 2 => self.leave(),
                _ => self.login(),
            };
            for news in news {
                if tell.send(news).is_err() {
                    return;
                }
            }
            std::thread::sleep(PACE);
        }
    }

    /// A number below `limit`.
    fn random(&self, limit: u64) -> u64 {
        let mut octets = [0; 8];
        self.rng.fill(&mut octets);
        u64::from_le_bytes(octets) % limit.max(1)
    }

    fn question(&self, code: Code) -> Question {
        let mut random = [0; 17];
        self.rng.fill(&mut random);
        let mut authenticator = [0; 16];
        authenticator.copy_from_slice(&random[1..]);
        let mut question = Question::new(
            code,
            random[0],
            authenticator,
            Secret::new(self.secret.as_bytes()),
        );
        question.put_text(attrs::NAS_IDENTIFIER, self.name);
        question
    }

    fn ask(&self, to: SocketAddr, question: Question) -> Result<Answer, AskError> {
        let timing = Timing::even(Duration::from_secs(2), 2);
        match question.seal(true) {
            Ok(sealed) => ask(to, &sealed, timing),
            Err(_) => Err(AskError::Silence {
                address: to,
                tries: 0,
                faults: Vec::new(),
            }),
        }
    }

    fn news(&self, who: &str, what: &'static str, asked: &Result<Answer, AskError>) -> News {
        let (answer, took) = match asked {
            Ok(answer) => {
                let code = Packet::parse(&answer.octets).map(|packet| packet.code().to_string());
                (code.unwrap_or_default(), Some(answer.took))
            }
            Err(_) => ("no answer".to_owned(), None),
        };
        News {
            nas: self.name,
            who: who.to_owned(),
            what,
            answer,
            took,
        }
    }

    fn login(&mut self) -> Vec<News> {
        let person = usize::try_from(self.random(self.people.len() as u64)).unwrap_or(0);
        let Some(person) = self.people.get(person).cloned() else {
            return Vec::new();
        };
        // Now and then somebody mistypes, and somebody tries who is not known.
        let (name, password) = match self.random(14) {
            0 => (person.name, "typed in haste"),
            1 => (self.stranger, "guess"),
            _ => (person.name, person.password),
        };
        let device = self.device(name);
        let mut question = self.question(Code::ACCESS_REQUEST);
        question
            .put_text(attrs::USER_NAME, name)
            .put_text(attrs::CALLING_STATION_ID, &device)
            .put_text(
                attrs::CALLED_STATION_ID,
                &format!("02-00-00-00-00-{:02X}:demo", self.number),
            );
        let what = self.prove(&mut question, &person, name, password);
        let asked = self.ask(self.auth, question);
        let mut news = vec![self.news(name, what, &asked)];
        let is_in = asked.is_ok_and(|answer| {
            Packet::parse(&answer.octets).is_ok_and(|packet| packet.code() == Code::ACCESS_ACCEPT)
        });
        if is_in {
            self.made += 1;
            let session = Session {
                id: format!("{}-{:04}", self.name, self.made),
                who: person.name,
                device,
                address: Ipv4Addr::new(10, 20, self.number as u8, (self.made % 250 + 2) as u8),
                begun: Instant::now(),
                input: 0,
                output: 0,
            };
            let asked = self.report(&session, acct_status_type::START);
            news.push(self.news(person.name, "Start", &asked));
            self.sessions.push(session);
        }
        news
    }

    /// The address of somebody's device: always the same one.
    fn device(&self, name: &str) -> String {
        let sum = name.bytes().fold(7u32, |sum, octet| {
            sum.wrapping_mul(31).wrapping_add(u32::from(octet))
        });
        let [a, b, c, d] = sum.to_be_bytes();
        format!("02-DE-{a:02X}-{b:02X}-{c:02X}-{d:02X}")
    }

    /// A proof that the stored form can serve; which one it is.
    fn prove(
        &self,
        question: &mut Question,
        person: &Person,
        name: &str,
        password: &str,
    ) -> &'static str {
        let mut challenge = [0; 16];
        let mut peer = [0; 16];
        self.rng.fill(&mut challenge);
        self.rng.fill(&mut peer);
        let choice = match person.store {
            Store::Hashed => 0,
            Store::Nt => self.random(2) * 2,
            Store::Recoverable => self.random(3),
        };
        match choice {
            1 => {
                let response = proof::chap::response(1, password.as_bytes(), &challenge);
                question
                    .put(attrs::CHAP_PASSWORD, &[&[1][..], &response].concat())
                    .put(attrs::CHAP_CHALLENGE, &challenge);
                "CHAP"
            }
            2 => {
                let response = mschap::nt_response_v2(&challenge, &peer, name.as_bytes(), password);
                question.put_vendor(MICROSOFT, 11, &challenge).put_vendor(
                    MICROSOFT,
                    25,
                    &[&[1, 0][..], &peer, &[0; 8], &response].concat(),
                );
                "MS-CHAPv2"
            }
            _ => {
                question.put_user_password(password.as_bytes());
                "PAP"
            }
        }
    }

    fn interim(&mut self) -> Vec<News> {
        let at = usize::try_from(self.random(self.sessions.len() as u64)).unwrap_or(0);
        let more = self.random(OCTETS_PER_SECOND);
        let Some(session) = self.sessions.get_mut(at) else {
            return Vec::new();
        };
        session.output += more;
        session.input += more / 9;
        let Some(session) = self.sessions.get(at) else {
            return Vec::new();
        };
        let asked = self.report(session, acct_status_type::INTERIM_UPDATE);
        vec![self.news(session.who, "Interim-Update", &asked)]
    }

    fn leave(&mut self) -> Vec<News> {
        let session = self.sessions.remove(0);
        let asked = self.report(&session, acct_status_type::STOP);
        vec![self.news(session.who, "Stop", &asked)]
    }

    fn report(&self, session: &Session, status: u32) -> Result<Answer, AskError> {
        let mut question = self.question(Code::ACCOUNTING_REQUEST);
        let seconds = u32::try_from(session.begun.elapsed().as_secs()).unwrap_or(u32::MAX);
        let low = |octets: u64| (octets & u64::from(u32::MAX)) as u32;
        question
            .put(attrs::ACCT_STATUS_TYPE, status)
            .put_text(attrs::ACCT_SESSION_ID, &session.id)
            .put_text(attrs::USER_NAME, session.who)
            .put_text(attrs::CALLING_STATION_ID, &session.device)
            .put(attrs::FRAMED_IP_ADDRESS, session.address)
            .put(attrs::ACCT_SESSION_TIME, seconds)
            .put(attrs::ACCT_INPUT_OCTETS, low(session.input))
            .put(attrs::ACCT_OUTPUT_OCTETS, low(session.output))
            .put(
                attrs::EVENT_TIMESTAMP,
                u32::try_from(SystemClock.now().unix_seconds()).unwrap_or(0),
            );
        if status == acct_status_type::STOP {
            question.put(
                attrs::ACCT_TERMINATE_CAUSE,
                acct_terminate_cause::USER_REQUEST,
            );
        }
        self.ask(self.acct, question)
    }
}
