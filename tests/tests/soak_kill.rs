//! `kill -9` at random moments under accounting load: sessions, what people used and how many reports there were are
//! exactly what the acknowledged packets come to, those that came more than once counted once.
//!
//! Three rounds in `./test`, fifty in the soak, on either engine.

use gatewarden_tests::house::Server;
use gatewarden_tests::model::Model;
use gatewarden_tests::nas::{Nas, PATIENCE};
use gatewarden_tests::{lasting, on_both_engines, wait};
use radius_wire::attrs::acct_status_type::{INTERIM_UPDATE, START, STOP};
use radius_wire::{Question, Sealed, attrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// NASes that report at the same time.
const NASES: usize = 4;
/// Reports of a session: Start, Interim-Updates, Stop.
const REPORTS: u32 = 5;
/// Sessions of one NAS in one round: more than it gets to.
const SESSIONS: usize = 2_000;
const SECONDS: u32 = 60;
const OCTETS: u32 = 1_000;
/// Every so many reports one is sent again from another port, as after a NAT's forgetting: no duplicate table knows it.
const AGAIN_EVERY: u32 = 7;

/// What all NASes know together.
#[derive(Default)]
struct Told {
    model: Model,
    acknowledged: u32,
    /// Sent and not acknowledged when the server died: they are sent again until they are.
    owed: Vec<Sealed>,
}

fn guard(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report(nas: &Nas, session: &str, number: u32) -> Question {
    let status = match number {
        0 => START,
        last if last + 1 == REPORTS => STOP,
        _ => INTERIM_UPDATE,
    };
    let mut question = nas.report(status, session, "alice");
    question
        .put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22")
        .put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into())
        .put(attrs::ACCT_SESSION_TIME, number * SECONDS)
        .put(attrs::ACCT_INPUT_OCTETS, number * OCTETS);
    question
}

/// Whether the report is acknowledged before the server is gone.
fn is_taken(nas: &Nas, sealed: &Sealed, is_over: &AtomicBool) -> bool {
    nas.send(nas.acct(), sealed.octets());
    // An answer may be on its way still when the process is gone.
    let answer = wait::until(PATIENCE, || {
        let answer = nas.receive(Duration::from_millis(50));
        (answer.is_some() || is_over.load(Ordering::SeqCst)).then_some(answer)
    });
    let octets = answer.flatten();
    octets.is_some_and(|octets| sealed.verify(&octets).is_ok())
}

/// Reports as fast as it is answered, until the server is gone.
fn load(nas: &Nas, elsewhere: &Nas, name: &str, told: &Mutex<Told>, is_over: &AtomicBool) {
    for at in 0..SESSIONS {
        let session = format!("{name}-{at:04}");
        for number in 0..REPORTS {
            let sealed = report(nas, &session, number).seal(true).expect("it fits");
            if !is_taken(nas, &sealed, is_over) {
                guard(told).owed.push(sealed);
                return;
            }
            let count = {
                let mut told = guard(told);
                told.model.acknowledge(sealed.octets());
                told.acknowledged += 1;
                told.acknowledged
            };
            // It counts once, however it came.
            if count.is_multiple_of(AGAIN_EVERY) && !is_taken(elsewhere, &sealed, is_over) {
                return;
            }
        }
    }
}

/// What was owed is sent again, the same octets, until it is acknowledged.
fn pay(server: &Server, told: &Mutex<Told>) {
    let owed = std::mem::take(&mut guard(told).owed);
    let nas = Nas::of(server);
    for sealed in owed {
        nas.ask_sealed(&sealed);
        guard(told).model.acknowledge(sealed.octets());
    }
}

/// One life of the server, killed once so many reports are acknowledged.
fn round(server: Server, round: u64, until: u32, told: &Mutex<Told>) {
    pay(&server, told);
    let acknowledged = || guard(told).acknowledged;
    let before = acknowledged();
    let is_over = AtomicBool::new(false);
    let nases: Vec<(Nas, Nas)> = (0..NASES)
        .map(|_| (Nas::of(&server), Nas::of(&server)))
        .collect();
    std::thread::scope(|scope| {
        for (index, (nas, elsewhere)) in nases.into_iter().enumerate() {
            let is_over = &is_over;
            let name = format!("K{round}-{index}");
            scope.spawn(move || load(&nas, &elsewhere, &name, told, is_over));
        }
        let enough = wait::until(PATIENCE, || {
            (acknowledged() - before >= until).then_some(())
        });
        server.kill();
        is_over.store(true, Ordering::SeqCst);
        assert!(enough.is_some(), "reports are answered");
    });
}

on_both_engines! {
    fn what_was_acknowledged_is_counted_once_whenever_it_is_killed(house: House) {
        house.add_nas();
        house.add_unlimited_user("alice", "wonderland");
        let told = Mutex::new(Told::default());
        let mut moment: u32 = 7;
        for number in 0..lasting::count(3, 50) {
            moment = moment.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            round(house.start(), number, 20 + (moment >> 16) % 400, &told);
        }
        let server = house.start();
        pay(&server, &told);
        let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert!(told.model.lives().len() > 20, "{}", told.model.lives().len());
        house.agrees_with(told.model, Duration::from_secs(60));
    }
}
