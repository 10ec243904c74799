//! How is the server? `status`, `doctor`, the health pages and `/metrics`, over the real binary.

use gatewarden_tests::house::{House, Server};
use gatewarden_tests::nas::Nas;
use gatewarden_tests::wait;
use kernel::Engine;
use radius_wire::Code;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Longer than two looks of the server at itself.
const SEEN_WITHIN: Duration = Duration::from_secs(15);

fn status(house: &House) -> Json {
    let said = house.attempt(&["status", "--json"]);
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err))
}

fn words(status: &Json) -> Vec<&str> {
    let troubles = status["troubles"].as_array();
    let kinds = troubles.into_iter().flatten();
    kinds
        .filter_map(|trouble| trouble["kind"].as_str())
        .collect()
}

/// Three that are accepted, one that is refused, one whose secret does not fit.
fn some_traffic(server: &Server) {
    let nas = Nas::of(server);
    for _ in 0..3 {
        let answer = nas.ask(nas.pap("alice", "wonderland"));
        assert_eq!(answer.code(), Code::ACCESS_ACCEPT);
    }
    let answer = nas.ask(nas.pap("alice", "looking-glass"));
    assert_eq!(answer.code(), Code::ACCESS_REJECT);
    let stranger = Nas::of(server).with_secret("another secret");
    let sealed = stranger
        .pap("alice", "wonderland")
        .seal(true)
        .expect("a small packet");
    nas.expect_silence(nas.auth(), sealed.octets());
}

fn tells_of_traffic(engine: Engine) {
    let house = House::new(engine);
    house.add_nas();
    house.add_user("alice", "wonderland");
    let nobody = house.attempt(&["status"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.out.contains("No server runs"), "{}", nobody.out);

    let server = house.start();
    some_traffic(&server);
    wait::for_truth("the NAS's numbers are told", SEEN_WITHIN, || {
        let nas = &status(&house)["server"]["nases"][0];
        nas["accepts"] == 3 && nas["rejects"] == 1 && nas["mismatches"] == 1
    });
    let told = status(&house);
    let nas = &told["server"]["nases"][0];
    assert!(
        nas["latency"]["p99_micros"]
            .as_u64()
            .is_some_and(|micros| micros > 0),
        "{nas}"
    );
    assert!(
        nas["per_second"][2]["requests"]
            .as_f64()
            .is_some_and(|rate| rate > 0.0),
        "{nas}"
    );
    assert_eq!(told["server"]["database"]["is_reachable"], true);
    assert_eq!(told["server"]["waits_for"], Json::Null);
    assert!(words(&told).contains(&"secret_mismatch"), "{told}");

    let screen = house.run(&["status"]);
    for part in [
        "READY",
        "accepted",
        "JOURNAL",
        "REGISTER",
        "P99",
        "shared secret does not fit",
    ] {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    assert!(!screen.contains('\u{1b}'), "no colours into a pipe");
    let socket = house.folder().join("control");
    let mode = std::fs::metadata(&socket)
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let text = server.page("/metrics").expect("a page");
    assert!(
        text.head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        text.head
    );
    let numbers = strict(&text.body);
    assert_eq!(numbers["gatewarden_answers_total{kind=\"accept\"}"], 3.0);
    assert_eq!(
        numbers["gatewarden_refusals_total{word=\"wrong_password\"}"],
        1.0
    );
    assert_eq!(numbers["gatewarden_ready"], 1.0);
    assert_eq!(
        numbers["gatewarden_concerns{word=\"secret_mismatch\"}"],
        1.0
    );
    assert!(
        numbers
            .keys()
            .any(|name| name.starts_with("gatewarden_nas_latency_seconds{"))
    );
    assert_eq!(server.page("/readyz").map(|page| page.status), Some(200));
    assert_eq!(server.stop(), Some(0));
    assert!(!socket.exists(), "a server that has ended is asked no more");
}

#[test]
fn status_and_metrics_tell_of_traffic_on_sqlite() {
    tells_of_traffic(Engine::Sqlite);
}

#[test]
fn status_and_metrics_tell_of_traffic_on_postgres() {
    tells_of_traffic(Engine::Postgres);
}

#[test]
fn while_the_database_is_away_the_pages_say_so_and_nobody_is_sent_elsewhere() {
    let house = House::new(Engine::Postgres);
    house.add_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let health = || -> Json {
        let page = server.page("/healthz").expect("a page");
        assert_eq!(page.status, 200);
        serde_json::from_str(&page.body).expect("JSON")
    };
    house.set_database_reachable(false);
    wait::for_truth("it is noticed", SEEN_WITHIN, || {
        health()["status"] == "degraded"
    });
    let told = health();
    assert_eq!(told["concerns"][0]["word"], "database_away", "{told}");
    // It still answers: a load balancer keeps it, a supervisor lets it live.
    assert_eq!(server.page("/readyz").map(|page| page.status), Some(200));
    let nas = Nas::of(&server);
    assert_eq!(
        nas.ask(nas.pap("alice", "wonderland")).code(),
        Code::ACCESS_ACCEPT
    );
    let told = status(&house);
    assert!(words(&told).contains(&"database_away"), "{told}");
    assert_eq!(told["server"]["database"]["is_reachable"], false);
    let numbers = strict(&server.page("/metrics").expect("a page").body);
    assert_eq!(numbers["gatewarden_database_reachable"], 0.0);

    house.set_database_reachable(true);
    wait::for_truth("it is noticed again", SEEN_WITHIN, || {
        health()["status"] == "ok"
    });
    assert!(!words(&status(&house)).contains(&"database_away"));
}

fn is_examined(engine: Engine) {
    let house = House::new(engine);
    house.add_nas();
    let server = house.start();
    let findings = |code: i32| -> Vec<Json> {
        let said = house.attempt(&["doctor", "--json"]);
        assert_eq!(said.code, Some(code), "{}{}", said.out, said.err);
        serde_json::from_str(&said.out).expect("an array")
    };
    let all = findings(0);
    let checks: BTreeSet<&str> = all.iter().filter_map(|one| one["check"].as_str()).collect();
    for check in [
        "ports",
        "clock",
        "disk sync",
        "disk space",
        "socket buffers",
        "file handles",
        "keys",
        "database",
        "schema",
        "certificates",
        "transactions",
        "secrets",
        "signatures",
    ] {
        assert!(checks.contains(check), "{check} is not among {checks:?}");
    }
    for one in &all {
        let has_remedy = one["remedy"].is_string();
        assert_eq!(
            has_remedy,
            one["verdict"] != "ok",
            "what is not well has a remedy: {one}"
        );
    }
    // Keys that others may read.
    let keys = house.folder().join("keys");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let failed = findings(1);
    let failed = failed
        .iter()
        .find(|one| one["verdict"] == "fail")
        .expect("one fails");
    assert_eq!(failed["check"], "keys");
    assert!(
        failed["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.starts_with("chmod 600"))
    );
    drop(server);
}

#[test]
fn doctor_examines_a_house_on_sqlite() {
    is_examined(Engine::Sqlite);
}

#[test]
fn doctor_examines_a_house_on_postgres() {
    is_examined(Engine::Postgres);
}

#[test]
fn a_wrong_level_of_the_log_is_refused() {
    let house = House::new(Engine::Sqlite);
    let file = house.file("g.toml", "[log]\nlevel = \"verbose\"\n");
    let said = house.attempt(&["--config", &file, "config"]);
    assert_ne!(said.code, Some(0));
    assert!(said.err.contains("verbose"), "{}", said.err);
}

/// Reads the text format 0.0.4 and forgives nothing: every number is announced by HELP and TYPE of its own name, names
/// and labels have their characters, nothing comes twice, counters are named as such.
fn strict(text: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    let mut numbers = BTreeMap::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(
                is_name(name) && !help.is_empty() && helped.insert(name),
                "{line}"
            );
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(
                helped.contains(name) && matches!(kind, "counter" | "gauge"),
                "{line}"
            );
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(typed.insert(name, kind).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a number");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            assert!(typed.contains_key(name), "{line}");
            let labels = labels.strip_suffix('}').expect("closed");
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once("=\"").expect("a label");
                assert!(is_name(label), "{line}");
                assert!(!value.trim_end_matches('"').contains('"'), "{line}");
            }
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(
                numbers.insert(series.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
    }
    numbers
}
