//! A million people: how soon a server answers after its start, and what it takes of the machine's memory.

use crate::gatewarden;
use crate::generator::{Address, SECRET, ask};
use crate::line;
use crate::machine::{self, GENERATOR_CORE};
use crate::process::{Server, finish, until};
use crate::result::{Claim, Section};
use crate::stage::Stage;
use std::path::Path;
use std::time::{Duration, Instant};

/// The database of this work.
const DATABASE: &str = "million";
/// Sessions open beside them.
const OPEN: u32 = 100_000;
/// Seconds until the first answer.
const ANSWERS_SECONDS: f64 = 3.0;
/// Memory with everybody and every session in it.
const MOST_MIB: f64 = 500.0;
/// How long loading everybody may take at all.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// Everybody at once, by the database itself: an import is another work.
const PEOPLE: [&str; 6] = [
    "INSERT INTO person (id, is_active, is_staff, is_superuser, created, modified)
        SELECT CAST(md5('p' || i) AS UUID), true, false, false, now(), now() FROM generate_series(1, 1000000) i",
    "INSERT INTO identifier (id, person_id, kind, value, folded, twin, is_verified, is_primary, created)
        SELECT CAST(md5('i' || i) AS UUID), CAST(md5('p' || i) AS UUID), 'username', 'user' || i, 'user' || i,
            'user' || i, false, true, now() FROM generate_series(1, 1000000) i",
    "INSERT INTO credential (id, person_id, form, value, created, modified)
        SELECT CAST(md5('c' || i) AS UUID), CAST(md5('p' || i) AS UUID), 'hashed',
            '{SHA256}' || encode(sha256(CAST('secret' || i AS BYTEA)), 'base64'), now(), now()
        FROM generate_series(1, 1000000) i",
    "INSERT INTO membership (id, person_id, organisation_id, is_manager, is_owner, is_enabled, is_verified, created,
            modified)
        SELECT CAST(md5('m' || i) AS UUID), CAST(md5('p' || i) AS UUID), (SELECT id FROM organisation LIMIT 1), false,
            false, true, true, now(), now() FROM generate_series(1, 1000000) i",
    "INSERT INTO group_member (id, membership_id, group_id, priority, created)
        SELECT CAST(md5('g' || i) AS UUID), CAST(md5('m' || i) AS UUID),
            (SELECT id FROM access_group ORDER BY name LIMIT 1), 1, now() FROM generate_series(1, 1000000) i",
    "ANALYZE",
];

/// A start that is measured.
struct Begun {
    server: Server,
    address: Address,
    first_answer_seconds: f64,
    ready_seconds: f64,
}

fn begin(stage: &mut Stage, place: &[String], folder: &Path) -> Result<Begun, String> {
    let address = Address(stage.port());
    let config = folder.join("bench.toml");
    std::fs::write(&config, "[radius]\naddresses = [\"127.0.0.1\"]\n")
        .map_err(|e| e.to_string())?;
    let serve = line![
        "--config",
        config.display(),
        "serve",
        "--auth-port",
        address.0,
        "--acct-port",
        address.acct_port(),
        "--http",
        ""
    ];
    // Loading may use both cores: nothing else is measured meanwhile.
    let command = [line!["taskset", "-c", "0,1"], place.to_vec(), serve].concat();
    let started = Instant::now();
    let mut server = stage.serve("million", &command)?;
    let login = line![
        stage.gatewarden_binary,
        "load",
        address.auth(),
        "--secret",
        SECRET,
        "--user",
        "user%d",
        "--first-user",
        777_777,
        "--password",
        "secret%d",
        "--count",
        1,
        "--timeout",
        0.2,
        "--json"
    ];
    let first = until(LOAD_LIMIT, || {
        let said = finish(GENERATOR_CORE, &login).ok()?;
        said.status.success().then(|| started.elapsed())
    });
    let ready = until(LOAD_LIMIT, || {
        let is_ready = stage.log_of_last().contains("READY");
        (is_ready || !server.is_running()).then(|| started.elapsed())
    });
    match (first, ready) {
        (Some(first), Some(ready)) if server.is_running() => Ok(Begun {
            server,
            address,
            first_answer_seconds: first.as_secs_f64(),
            ready_seconds: ready.as_secs_f64(),
        }),
        _ => Err(format!(
            "it does not get ready; its log: {}",
            stage.log_of_last()
        )),
    }
}

pub fn million(stage: &mut Stage) -> Result<Section, String> {
    let folder = stage.folder(DATABASE)?;
    let url = stage.postgres.create(DATABASE)?;
    let place = gatewarden::place(stage, &folder, Some(&url));
    gatewarden::found(&place)?;
    println!("  making a million people");
    for sql in PEOPLE {
        stage.postgres.ask(DATABASE, sql)?;
    }
    let mut section = Section::default();
    let load = machine::load();
    let mut begun = begin(stage, &place, &folder)?;
    section.claims.push(Claim::at_most(
        "first answer while everybody is loading from PostgreSQL",
        begun.first_answer_seconds,
        ANSWERS_SECONDS,
        "s",
    ));
    let loaded = begun.ready_seconds;
    let mut reports = line![
        "--work",
        "accounting",
        "--user",
        "user%d",
        "--first-user",
        1,
        "--users",
        OPEN,
        "--sessions",
        OPEN,
        "--count",
        OPEN
    ];
    reports.extend(line!["--seconds", 120]);
    let running = crate::contender::Running {
        address: begun.address,
        contender: crate::contender::Contender::GatewardenPostgres,
        server: begun.server,
    };
    let sample = ask(stage, &running, &reports)?;
    begun.server = running.server;
    crate::special::drained(&place);
    section.claims.push(Claim::at_most(
        format!("memory with {} sessions beside them", sample.accepted),
        begun.server.memory_mib(),
        MOST_MIB,
        "MiB",
    ));
    drop(begun);
    let begun = begin(stage, &place, &folder)?;
    section.claims.push(Claim::at_most(
        "first answer from the snapshot",
        begun.first_answer_seconds,
        ANSWERS_SECONDS,
        "s",
    ));
    section.claims.push(Claim::at_most(
        "memory after that",
        begun.server.memory_mib(),
        MOST_MIB,
        "MiB",
    ));
    section.notes.push(format!(
        "Everybody was loaded after {loaded:.1} s from PostgreSQL, and {:.1} s from the snapshot; load average before: \
         {load}.",
        begun.ready_seconds
    ));
    Ok(section)
}
