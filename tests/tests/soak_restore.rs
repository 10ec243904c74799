//! A backup of the database under a newer journal: the server says that the database was put back, and everything that the
//! journal still has is applied again, exactly once. What it no longer has is named by number.

use gatewarden_tests::backup::Backup;
use gatewarden_tests::house::Server;
use gatewarden_tests::model::Model;
use gatewarden_tests::nas::Nas;
use gatewarden_tests::traffic::{PASSWORD, USER};
use gatewarden_tests::{lasting, on_both_engines, wait};
use radius_wire::attrs;
use radius_wire::attrs::acct_status_type::{INTERIM_UPDATE, START, STOP};
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

const AGREES_WITHIN: Duration = Duration::from_secs(60);
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Sessions that are under way at the same time.
const SESSIONS: u32 = 4;
/// Reports of a session.
const REPORTS: u32 = 12;

/// Report number n is about session n modulo [`SESSIONS`] of its round, so that most sessions go on over any moment.
fn report(nas: &Nas, model: &mut Model, numbers: Range<u32>) {
    for number in numbers {
        let turn = number / SESSIONS;
        let (life, step) = (turn / REPORTS, turn % REPORTS);
        let status = match step {
            0 => START,
            last if last + 1 == REPORTS => STOP,
            _ => INTERIM_UPDATE,
        };
        let session = format!("R{life}-{}", number % SESSIONS);
        let mut question = nas.report(status, &session, USER);
        question
            .put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22")
            .put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into())
            .put(attrs::ACCT_SESSION_TIME, step * 60)
            .put(attrs::ACCT_INPUT_OCTETS, step * 1_000);
        let sealed = question.seal(true).expect("it fits");
        nas.ask_sealed(&sealed);
        model.acknowledge(sealed.octets());
    }
}

fn limit(server: &Server, octets: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &server.id().to_string()]);
    let done = prlimit.arg(format!("--fsize={octets}:")).status();
    assert!(done.is_ok_and(|status| status.success()), "a limit is set");
}

/// A write that fails ends the journal's segment.
fn end_segment(server: &Server) {
    limit(server, "1");
    let nas = Nas::of(server);
    let mut lost = nas.report(START, "never", USER);
    lost.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
    let sealed = lost.seal(true).expect("it fits");
    nas.send(nas.acct(), sealed.octets());
    wait::for_truth("a write fails", SEEN_WITHIN, || {
        server.log().contains("records are not being stored")
    });
    limit(server, "unlimited");
}

on_both_engines! {
    fn a_restored_backup_catches_up_from_the_journal(house: House) {
        house.add_nas();
        house.add_unlimited_user(USER, PASSWORD);
        let mut model = Model::default();
        let mut next = 0;
        for round in 0..lasting::count(2, 20) {
            let server = house.start();
            report(&Nas::of(&server), &mut model, next..next + 70);
            assert_eq!(server.stop(), Some(0));
            let backup = Backup::of(&house);
            let server = house.start();
            report(&Nas::of(&server), &mut model, next + 70..next + 130);
            assert_eq!(server.stop(), Some(0));
            backup.put_back(&house);

            let server = house.start();
            let (had, has) = (next + 130, next + 70);
            let said = format!("it has accounting reports up to {has} and had them up to {had}");
            assert!(server.log().contains(&said), "round {round}: {said}\n{}", server.log());
            // New reports come in meanwhile.
            report(&Nas::of(&server), &mut model, next + 130..next + 150);
            assert_eq!(server.stop(), Some(0));
            next += 150;
        }
        let server = house.start();
        assert!(!server.log().contains("put back"), "{}", server.log());
        house.agrees_with(model, AGREES_WITHIN);
    }

    fn what_neither_the_backup_nor_the_journal_has_is_named(house: House) {
        house.add_nas();
        house.add_unlimited_user(USER, PASSWORD);
        let mut model = Model::default();
        let server = house.start();
        report(&Nas::of(&server), &mut model, 0..8);
        assert_eq!(server.stop(), Some(0));
        let backup = Backup::of(&house);
        let server = house.start();
        let nas = Nas::of(&server);
        report(&nas, &mut Model::default(), 8..20);
        end_segment(&server);
        report(&nas, &mut model, 20..30);
        assert_eq!(server.stop(), Some(0));
        backup.put_back(&house);
        // As a day later, when the segment's time is over.
        let first = house.folder().join("journal/00000000000000000001.seg");
        std::fs::remove_file(first).expect("the first segment");

        let server = house.start();
        let said = "12 (numbers 9 to 20) accounting reports are missing";
        wait::for_truth("status names what is missing", SEEN_WITHIN, || {
            house.attempt(&["status"]).out.contains(said)
        });
        let log = server.log();
        assert!(log.contains("12 (numbers 9 to 20) reports are in neither of them"), "{log}");
        // Sessions of which all reports but some were applied: the totals are right, the number of reports is what is there.
        house.agrees_with(model, AGREES_WITHIN);
        assert_eq!(server.stop(), Some(0));
    }
}
