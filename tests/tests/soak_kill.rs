//! `kill -9` at random moments under accounting load: what was acknowledged is kept, each report counts once, and every
//! session says what its last report said.
//!
//! Three rounds in `./test`, fifty in the soak, on either engine.

use gatewarden_tests::house::Server;
use gatewarden_tests::nas::{Nas, PATIENCE};
use gatewarden_tests::{lasting, on_both_engines, wait};
use radius_wire::attrs::acct_status_type::{INTERIM_UPDATE, START, STOP};
use radius_wire::{Question, attrs};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// NASes that report at the same time.
const NASES: usize = 4;
/// Reports of a session: Start, Interim-Updates, Stop.
const REPORTS: u32 = 5;
/// Sessions of one NAS in one round: more than it gets to.
const SESSIONS: usize = 2_000;
const SECONDS: u32 = 60;
const OCTETS: u32 = 1_000;

/// What one session's NAS knows.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    /// Reports that were acknowledged.
    acknowledged: u32,
    /// Whether one more was sent whose answer did not come.
    is_one_open: bool,
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

/// Reports as fast as it is answered, until the server is gone.
fn load(nas: &Nas, name: &str, known: &Mutex<BTreeMap<String, Known>>, is_over: &AtomicBool) {
    let note = |session: &str, change: &dyn Fn(&mut Known)| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        change(known.entry(session.to_owned()).or_default());
    };
    for at in 0..SESSIONS {
        let session = format!("{name}-{at:04}");
        for number in 0..REPORTS {
            let sealed = report(nas, &session, number).seal(true).expect("it fits");
            note(&session, &|known| known.is_one_open = true);
            nas.send(nas.acct(), sealed.octets());
            // An answer may be on its way still when the process is gone.
            let answer = wait::until(PATIENCE, || {
                let answer = nas.receive(Duration::from_millis(50));
                (answer.is_some() || is_over.load(Ordering::SeqCst)).then_some(answer)
            });
            match answer.flatten() {
                Some(octets) if sealed.verify(&octets).is_ok() => note(&session, &|known| {
                    known.acknowledged += 1;
                    known.is_one_open = false;
                }),
                _ => return,
            }
        }
    }
}

/// One life of the server, killed once so many reports are acknowledged.
fn round(server: Server, round: u64, until: u32, known: &Mutex<BTreeMap<String, Known>>) {
    let acknowledged = || -> u32 {
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|known| known.acknowledged).sum()
    };
    let before = acknowledged();
    let is_over = AtomicBool::new(false);
    let nases: Vec<Nas> = (0..NASES).map(|_| Nas::of(&server)).collect();
    std::thread::scope(|scope| {
        for (index, nas) in nases.into_iter().enumerate() {
            let is_over = &is_over;
            scope.spawn(move || load(&nas, &format!("K{round}-{index}"), known, is_over));
        }
        let enough = wait::until(PATIENCE, || {
            (acknowledged() - before >= until).then_some(())
        });
        server.kill();
        is_over.store(true, Ordering::SeqCst);
        assert!(enough.is_some(), "reports are answered");
    });
}

/// What is wrong with a session, seen from its NAS.
fn fault(id: &str, known: Known, found: Option<&Json>) -> Option<String> {
    let Some(row) = found else {
        return (known.acknowledged > 0).then(|| format!("{id}: {known:?} and no session"));
    };
    let octets = row["input_octets"].as_u64().unwrap_or_default();
    let seconds = row["session_time"].as_u64().unwrap_or_default();
    let is_open = row["stop_time"].is_null();
    let fits = |reports: u32| {
        let last = reports.saturating_sub(1);
        octets == u64::from(last * OCTETS)
            // An open session goes on between reports.
            && (is_open || seconds == u64::from(last * SECONDS))
            && is_open == (reports < REPORTS)
    };
    let is_right = fits(known.acknowledged) || (known.is_one_open && fits(known.acknowledged + 1));
    (!is_right).then(|| format!("{id}: {known:?}, and the session is {row}"))
}

on_both_engines! {
    fn what_was_acknowledged_is_counted_once_whenever_it_is_killed(house: House) {
        house.add_nas();
        let known = Mutex::new(BTreeMap::new());
        let mut moment: u32 = 7;
        for number in 0..lasting::count(3, 50) {
            moment = moment.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            round(house.start(), number, 20 + (moment >> 16) % 400, &known);
        }
        let known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
        let _server = house.start();
        let faults = |all: &[Json]| -> Vec<String> {
            let rows: BTreeMap<&str, &Json> = all
                .iter()
                .map(|row| (row["session_id"].as_str().unwrap_or_default(), row))
                .collect();
            let mut faults: Vec<String> = known
                .iter()
                .filter_map(|(id, known)| fault(id, *known, rows.get(id.as_str()).copied()))
                .collect();
            if rows.len() != all.len() {
                faults.push(format!("{} rows of {} sessions", all.len(), rows.len()));
            }
            let strangers = rows.keys().filter(|id| !known.contains_key(**id));
            faults.extend(strangers.map(|id| format!("{id} was never reported")));
            faults
        };
        let mut last = Vec::new();
        let right = wait::until(Duration::from_secs(30), || {
            last = faults(&house.sessions());
            last.is_empty().then_some(())
        });
        assert!(right.is_some(), "{} faults, such as {:#?}", last.len(), last.first());
        assert!(known.len() > 20, "{}", known.len());
    }
}
