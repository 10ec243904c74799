//! A light load that does not stop for anything: somebody who logs in again and again, NASes that report, and a monitor
//! that asks for Status-Server. Each sends again what is not answered, the same octets, as NASes do.
//!
//! What the server did meanwhile is in the [`Tally`]; its [`Model`] is fed with what was acknowledged and nothing else.

use crate::house::Server;
use crate::model::Model;
use crate::nas::{Nas, SECRET};
use radius_wire::attrs::acct_status_type::{INTERIM_UPDATE, START, STOP};
use radius_wire::{Code, Packet, Question, Sealed, attrs};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// NASes that report.
const REPORTERS: usize = 2;
/// Reports of a session: Start, Interim-Updates, Stop.
const REPORTS: u32 = 5;
const SECONDS: u32 = 60;
const OCTETS: u32 = 1_000;
/// Between two requests of one sender. It listens for late answers meanwhile.
const PACE: Duration = Duration::from_millis(15);
/// What is not answered is sent again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// A login or a Status-Server that is not answered within this is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is owed at the end must be taken within this.
const PAYING: Duration = Duration::from_secs(60);

/// Who logs in.
pub const USER: &str = "alice";
/// Her password.
pub const PASSWORD: &str = "wonderland";

/// What became of it all.
#[derive(Default)]
pub struct Tally {
    /// What was acknowledged.
    pub model: Model,
    /// Logins that were accepted.
    pub accepted: u64,
    /// Logins that were refused: never right.
    pub rejected: u64,
    /// Logins that were not answered at all.
    pub unanswered: u64,
    /// The longest wait for a login's answer, from sending it first.
    pub slowest_login: Duration,
    /// Reports acknowledged.
    pub acknowledged: u64,
    /// The longest wait for an acknowledgement.
    pub slowest_report: Duration,
    /// Answers to Status-Server, on the port for logins.
    pub statuses: u64,
    /// Status-Servers that were not answered there.
    pub silences: u64,
    /// The longest wait for one.
    pub slowest_status: Duration,
    /// Sent, and not acknowledged when it ended.
    owed: Vec<Sealed>,
}

struct Shared {
    auth: SocketAddr,
    acct: SocketAddr,
    tally: Mutex<Tally>,
    is_over: AtomicBool,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn nas(&self) -> Nas {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Nas::facing(self.auth, self.acct, here, SECRET)
    }
}

/// A load that runs until it is ended.
pub struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Begins. Sessions are named after `name`; the house knows [`USER`] and a NAS for the loopback network.
    pub fn begin(server: &Server, name: &str) -> Traffic {
        let shared = Arc::new(Shared {
            auth: server.auth(),
            acct: server.acct(),
            tally: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        let mut start = |run: Box<dyn FnOnce(&Shared) + Send>| {
            let shared = shared.clone();
            threads.push(std::thread::spawn(move || run(&shared)));
        };
        start(Box::new(log_in));
        start(Box::new(look));
        for number in 0..REPORTERS {
            let name = format!("{name}-{number}");
            start(Box::new(move |shared| report(shared, &name)));
        }
        Traffic { shared, threads }
    }

    /// A look at what has become of it so far.
    pub fn see<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.shared.tally())
    }

    /// Waits until so many more logins are accepted.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn goes_on(&self, what: &str, logins: u64) {
        let before = self.see(|tally| tally.accepted);
        crate::wait::for_truth(what, limit_for(logins), || {
            self.see(|tally| tally.accepted) >= before + logins
        });
    }

    /// Waits until so many more reports are acknowledged.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn reports_on(&self, what: &str, reports: u64) {
        let before = self.see(|tally| tally.acknowledged);
        crate::wait::for_truth(what, limit_for(reports), || {
            self.see(|tally| tally.acknowledged) >= before + reports
        });
    }

    /// Ends it; what is owed is sent until it is taken.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn end(self) -> Tally {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let mut tally = std::mem::take(&mut *self.shared.tally());
        let nas = self.shared.nas();
        for sealed in std::mem::take(&mut tally.owed) {
            let taken = ask(&nas, &sealed, PAYING, || false);
            assert!(taken.is_some(), "a report is not taken in {PAYING:?}");
            tally.model.acknowledge(sealed.octets());
            tally.acknowledged += 1;
        }
        tally
    }
}

impl Tally {
    /// What must hold whatever happened: nobody was refused, nobody was left without an answer, and the monitor always
    /// had one within `limit`.
    ///
    /// # Panics
    /// When it does not.
    pub fn nobody_noticed(&self, limit: Duration) {
        let told = format!(
            "{} accepted, {} rejected, {} unanswered, slowest {:?}; {} reports, slowest {:?}; {} statuses, {} silences, slowest {:?}",
            self.accepted,
            self.rejected,
            self.unanswered,
            self.slowest_login,
            self.acknowledged,
            self.slowest_report,
            self.statuses,
            self.silences,
            self.slowest_status
        );
        assert_eq!(
            (self.rejected, self.unanswered, self.silences),
            (0, 0, 0),
            "{told}"
        );
        assert!(self.accepted > 0 && self.statuses > 0, "{told}");
        assert!(self.slowest_login <= limit, "{told}");
        assert!(self.slowest_status <= limit, "{told}");
    }
}

/// Ten a second is slow, also on a machine that does other things.
fn limit_for(count: u64) -> Duration {
    Duration::from_secs(60 + count / 10)
}

/// Sends until the right answer comes; late answers to earlier questions are passed over.
fn ask(
    nas: &Nas,
    sealed: &Sealed,
    patience: Duration,
    is_over: impl Fn() -> bool,
) -> Option<Vec<u8>> {
    let to = match sealed.code() {
        Code::ACCOUNTING_REQUEST => nas.acct(),
        _ => nas.auth(),
    };
    let begin = Instant::now();
    while begin.elapsed() < patience && !is_over() {
        nas.send(to, sealed.octets());
        let sent = Instant::now();
        while sent.elapsed() < AGAIN {
            let wait = AGAIN.saturating_sub(sent.elapsed());
            match nas.receive(wait) {
                Some(octets) if sealed.verify(&octets).is_ok() => return Some(octets),
                Some(_) => {}
                None => break,
            }
        }
    }
    None
}

fn seal(question: Question) -> Sealed {
    question.seal(true).unwrap_or_else(|e| panic!("{e}"))
}

fn log_in(shared: &Shared) {
    let nas = shared.nas();
    while !shared.is_over() {
        let sealed = seal(nas.pap(USER, PASSWORD));
        let begin = Instant::now();
        let answer = ask(&nas, &sealed, PATIENCE, || false);
        let code = answer
            .as_deref()
            .and_then(|octets| Some(Packet::parse(octets).ok()?.code()));
        {
            let mut tally = shared.tally();
            match code {
                Some(Code::ACCESS_ACCEPT) => tally.accepted += 1,
                Some(_) => tally.rejected += 1,
                None => tally.unanswered += 1,
            }
            tally.slowest_login = tally.slowest_login.max(begin.elapsed());
        }
        nas.receive(PACE);
    }
}

fn look(shared: &Shared) {
    let nas = shared.nas();
    while !shared.is_over() {
        let sealed = seal(nas.question(Code::STATUS_SERVER));
        let begin = Instant::now();
        let answer = ask(&nas, &sealed, PATIENCE, || false);
        {
            let mut tally = shared.tally();
            match answer {
                Some(_) => tally.statuses += 1,
                None => tally.silences += 1,
            }
            tally.slowest_status = tally.slowest_status.max(begin.elapsed());
        }
        nas.receive(PACE);
    }
}

fn report(shared: &Shared, name: &str) {
    let nas = shared.nas();
    // A number that no session has used ends with the load: it is bounded by how long that lasts.
    for at in 0_u32.. {
        let session = format!("{name}-{at:05}");
        for number in 0..REPORTS {
            let status = match number {
                0 => START,
                last if last + 1 == REPORTS => STOP,
                _ => INTERIM_UPDATE,
            };
            let mut question = nas.report(status, &session, USER);
            question
                .put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22")
                .put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into())
                .put(attrs::ACCT_SESSION_TIME, number * SECONDS)
                .put(attrs::ACCT_INPUT_OCTETS, number * OCTETS);
            let sealed = seal(question);
            let begin = Instant::now();
            let answer = ask(&nas, &sealed, Duration::MAX, || shared.is_over());
            let mut tally = shared.tally();
            if answer.is_none() {
                tally.owed.push(sealed);
                return;
            }
            tally.model.acknowledge(sealed.octets());
            tally.acknowledged += 1;
            tally.slowest_report = tally.slowest_report.max(begin.elapsed());
            drop(tally);
            nas.receive(PACE);
            if shared.is_over() {
                return;
            }
        }
    }
}
