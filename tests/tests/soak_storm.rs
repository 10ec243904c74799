//! Ten times as many slow proofs are asked for as can be made, each sent again while it is not answered: as many logins as
//! before are answered in time, and memory stays what it was.

use gatewarden_tests::house::{House, Server};
use gatewarden_tests::lasting;
use gatewarden_tests::nas::SECRET;
use serde_json::Value as Json;

/// Nobody is remembered: each login is that of somebody who was not seen before.
const FORGETFUL: &str = "[radius]\nproof_memory_seconds = 0\n";
/// A whole machine of two cores works on this, and other tests beside it.
const LEAST_OF_PEAK: f64 = 0.8;
/// Threads that compute proofs have a working memory each, and requests wait for them: 190 MiB after ten seconds, and a few
/// more after a minute and a half.
const MAX_MEMORY_KIB: u64 = 224 * 1024;

/// The binary's own load: its report.
fn load(house: &House, server: &Server, arguments: &[&str]) -> Json {
    let address = server.auth().to_string();
    let asked = [
        "load",
        &address,
        "--secret",
        SECRET,
        "--user",
        "slow",
        "--password",
        "wonderland",
    ];
    let said = house.attempt(&[&asked, arguments, &["--json"]].concat());
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err))
}

fn in_time_per_second(report: &Json) -> f64 {
    let in_time = report["within_3_seconds"].as_f64().expect("a number");
    in_time / report["seconds"].as_f64().expect("a number")
}

#[test]
fn a_storm_on_the_slow_lane_answers_as_many_in_time_as_there_were_before() {
    let house = House::with_nas();
    house.run(&[
        "user",
        "add",
        "slow",
        "--org",
        "default",
        "--password",
        "wonderland",
    ]);
    let server = house.start_with(&[], FORGETFUL);
    let seconds = lasting::count(6, 60).to_string();

    let before = load(
        &house,
        &server,
        &["--outstanding", "8", "--seconds", &seconds],
    );
    let peak = in_time_per_second(&before);
    let rate = format!("{:.0}", (peak * 10.0).max(10.0));
    let storm = [
        "--rate",
        &rate,
        "--tries",
        "3",
        "--timeout",
        "3",
        "--seconds",
        &seconds,
    ];
    let during = load(&house, &server, &storm);
    let after = load(&house, &server, &["--outstanding", "8", "--seconds", "2"]);

    let told = format!(
        "{peak:.1} a second in time before, {:.1} of {rate} during, {:.1} after",
        in_time_per_second(&during),
        in_time_per_second(&after)
    );
    eprintln!("{told}, {:?} KiB", lasting::peak_kib(server.id()));
    assert_eq!(during["rejected"], 0, "{during}");
    assert_eq!(during["bad"], 0, "{during}");
    // Other work comes and goes on this machine: what it can do is the less of before and behind.
    let peak = peak.min(in_time_per_second(&after));
    assert!(
        in_time_per_second(&during) >= peak * LEAST_OF_PEAK,
        "{told}"
    );
    assert!(
        lasting::peak_kib(server.id()) < Some(MAX_MEMORY_KIB),
        "{told}"
    );
    assert_eq!(after["lost"], 0, "{after}");
}
