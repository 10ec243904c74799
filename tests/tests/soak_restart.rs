//! A server is stopped under load and another is started at once, again and again: whatever was on its way is mended by
//! the next retransmission, and nothing that was acknowledged is lost.

use gatewarden_tests::traffic::{PASSWORD, Traffic, USER};
use gatewarden_tests::{lasting, on_both_engines};
use std::time::{Duration, Instant};

/// After the new one is ready. Senders of this load try again each half second.
const MENDED_WITHIN: Duration = Duration::from_secs(2);
/// From the signal to READY on a machine that does other things: a NAS tries three times in nine seconds.
const DOWN_AT_MOST: Duration = Duration::from_secs(8);
const AGREES_WITHIN: Duration = Duration::from_secs(60);

on_both_engines! {
    fn a_restart_under_load_is_mended_by_a_retransmission(house: House) {
        house.add_nas();
        house.add_unlimited_user(USER, PASSWORD);
        let mut server = house.start();
        let traffic = Traffic::begin(&server, "G");
        let mut longest = Duration::ZERO;
        for round in 0..lasting::count(3, 50) {
            traffic.reports_on("reports are taken", 30);
            traffic.goes_on("logins are answered", 30);
            let signalled = Instant::now();
            let (code, ports) = server.make_way();
            assert_eq!(code, Some(0), "round {round}");
            server = house.start_at(ports);
            longest = longest.max(signalled.elapsed());
        }
        traffic.reports_on("reports are taken", 30);
        let tally = traffic.end();
        assert!(longest <= DOWN_AT_MOST, "{longest:?}");
        tally.nobody_noticed(longest + MENDED_WITHIN);
        assert!(tally.slowest_report <= longest + MENDED_WITHIN, "{:?}", tally.slowest_report);
        house.agrees_with(tally.model, AGREES_WITHIN);
    }
}
