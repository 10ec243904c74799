//! Works that need more than a rate: backlog, latency at half the rate, a restarted NAS, an import.

use crate::contender::Contender::{FreeradiusPostgres, GatewardenPostgres, GatewardenSqlite};
use crate::contender::{Contender, Running};
use crate::gatewarden::{self, DATABASE};
use crate::generator::{SECRET, ask};
use crate::line;
use crate::machine::{self, GENERATOR_CORE, SERVER_CORE};
use crate::people;
use crate::process::{finish, good, until};
use crate::result::{Claim, Row, Section, whole};
use crate::stage::Stage;
use crate::works::{logins, reports};
use std::path::Path;
use std::time::{Duration, Instant};

/// Sessions open at once in the long run.
const OPEN: u32 = 50_000;
/// How long the backlog may take to drain.
const DRAINED_SECONDS: f64 = 10.0;
/// How long it is looked at.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);
/// Sessions open when a NAS restarts.
const OPEN_AT_RESTART: u32 = 100_000;

/// Reports that have reached PostgreSQL, whatever has become of their sessions.
fn stored(stage: &Stage) -> f64 {
    stage
        .postgres
        .ask(DATABASE, "SELECT COALESCE(SUM(reports), 0) FROM session")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0)
}

pub fn lifecycles(stage: &mut Stage) -> Result<Section, String> {
    let options = reports(stage.pattern.long_seconds, OPEN);
    let mut rows = Vec::new();
    let running = FreeradiusPostgres.start(stage)?;
    let sample = ask(stage, &running, &options)?;
    rows.push(Row {
        name: running.contender.name().to_owned(),
        samples: vec![sample],
    });
    drop(running);
    let running = GatewardenPostgres.start(stage)?;
    // Earlier works may still be draining.
    caught_up(stage, GatewardenPostgres)?;
    let before = stored(stage);
    let sample = ask(stage, &running, &options)?;
    let ended = Instant::now();
    caught_up(stage, GatewardenPostgres)?;
    let seconds = ended.elapsed().as_secs_f64();
    let notes = vec![format!(
        "{} reports were acknowledged; {} are in PostgreSQL.",
        whole(sample.accepted),
        whole(stored(stage) - before)
    )];
    rows.push(Row {
        name: running.contender.name().to_owned(),
        samples: vec![sample],
    });
    let claims = vec![
        Claim::ratio(&rows[1], &rows[0], 8.0),
        Claim::at_most(
            "backlog empty after the last answer",
            seconds,
            DRAINED_SECONDS,
            "s",
        ),
    ];
    Ok(Section {
        rows,
        claims,
        notes,
        ..Section::default()
    })
}

/// Waits until the database has every report. The server is asked: to count what PostgreSQL has takes so long that it
/// would hold up what is measured.
fn caught_up(stage: &Stage, contender: Contender) -> Result<(), String> {
    if contender.is_ours() {
        drained(&gatewarden::installation(
            stage,
            contender == GatewardenPostgres,
        )?);
    }
    Ok(())
}

/// The same of a server by its place.
pub fn drained(place: &[String]) {
    let status = [place, &line!["status", "--json"]].concat();
    until(DRAIN_LIMIT, || {
        let said = finish(GENERATOR_CORE, &status).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&said.stdout).ok()?;
        (json["server"]["journal"]["backlog_records"] == 0).then_some(())
    });
}

/// The latency at half of what was reached just before, and beside it the null responder's at the same rate: what the
/// machine itself takes.
fn half(
    stage: &mut Stage,
    contenders: &[Contender],
    options: impl Fn(&Stage) -> Vec<String>,
    milliseconds: f64,
) -> Result<Section, String> {
    let mut section = Section::default();
    let stolen_before = machine::stolen_seconds();
    for contender in contenders {
        let row = |name: String| Row {
            name,
            samples: Vec::new(),
        };
        let mut at_half = row(format!("{} at half", contender.name()));
        let mut floor = row(format!("{} at that rate", Contender::Null.name()));
        for _ in 0..stage.pattern.runs {
            let running = contender.start(stage)?;
            let options = options(stage);
            let full = ask(stage, &running, &options)?;
            // What the full rate left behind is not the half rate's.
            caught_up(stage, *contender)?;
            let rate = line!["--rate", (full.per_second / 2.0).floor().max(1.0)];
            let options = [&options[..], &rate].concat();
            at_half.samples.push(ask(stage, &running, &options)?);
            drop(running);
            let null = Contender::Null.start(stage)?;
            floor.samples.push(ask(stage, &null, &options)?);
        }
        let p99 = at_half.median(|sample| sample.p99);
        section.claims.push(Claim::at_most(
            format!("p99 of {}", at_half.name),
            p99,
            milliseconds,
            "ms",
        ));
        section.rows.extend([at_half, floor]);
    }
    section.notes.push(format!(
        "Load average at the end: {}; the host took {:.1} s of the cores for others meanwhile.",
        machine::load(),
        machine::stolen_seconds() - stolen_before
    ));
    Ok(section)
}

pub fn latency_auth(stage: &mut Stage) -> Result<Section, String> {
    let contenders = [GatewardenPostgres, GatewardenSqlite];
    half(stage, &contenders, |stage| logins(stage, "pap"), 1.0)
}

pub fn latency_acct(stage: &mut Stage) -> Result<Section, String> {
    let contenders = [GatewardenPostgres, GatewardenSqlite];
    half(
        stage,
        &contenders,
        |stage| reports(stage.pattern.seconds, 20_000),
        10.0,
    )
}

/// What memory the register and everything else may take in a storm, in MiB.
const STORM_MIB: f64 = 500.0;

/// Far more than it can answer, for a while: whoever is answered is answered in time.
pub fn storm(stage: &mut Stage) -> Result<Section, String> {
    let mut section = Section::default();
    for contender in [GatewardenPostgres, GatewardenSqlite] {
        let row = |what: &str| Row {
            name: format!("{} {what}", contender.name()),
            samples: Vec::new(),
        };
        let (mut peak, mut storm) = (row("at its peak"), row("in the storm"));
        let mut most_mib = 0f64;
        for _ in 0..stage.pattern.runs {
            let running = contender.start(stage)?;
            // Earlier works may still be draining.
            caught_up(stage, contender)?;
            if contender == GatewardenPostgres {
                stage.postgres.rest(DATABASE)?;
            }
            let options = logins(stage, "pap");
            let full = ask(stage, &running, &options)?;
            let rate = (full.per_second * 3.0).floor().max(1.0);
            let more = line!["--rate", rate, "--outstanding", 500_000, "--timeout", 3];
            peak.samples.push(full);
            let over = [&options[..], &more].concat();
            storm.samples.push(ask(stage, &running, &over)?);
            most_mib = most_mib.max(running.server.peak_mib());
        }
        section.claims.push(Claim::ratio(&storm, &peak, 0.8));
        let text = format!("memory of {} at most", contender.name());
        section
            .claims
            .push(Claim::at_most(text, most_mib, STORM_MIB, "MiB"));
        section.rows.extend([peak, storm]);
    }
    section.notes.push(
        "The generator asks as fast as its core can, up to three times the peak; what finds no room in the server's \
         socket counts as failed."
            .to_owned(),
    );
    Ok(section)
}

pub fn accounting_on(stage: &mut Stage) -> Result<Section, String> {
    let running = GatewardenPostgres.start(stage)?;
    let mut options = reports(60.0, OPEN_AT_RESTART);
    options.extend(line!["--count", OPEN_AT_RESTART]);
    let sample = ask(stage, &running, &options)?;
    caught_up(stage, GatewardenPostgres)?;
    let milliseconds = ping_on(stage, &running)?;
    let text = format!("answered with {} sessions open", whole(sample.accepted));
    Ok(Section {
        claims: vec![Claim::at_most(text, milliseconds, 10.0, "ms")],
        ..Section::default()
    })
}

/// Says that the NAS has restarted, and how long the answer took.
fn ping_on(stage: &mut Stage, running: &Running) -> Result<f64, String> {
    let command = line![
        stage.gatewarden_binary,
        "ping",
        running.address.acct(),
        "--secret",
        SECRET,
        "--method",
        "accounting",
        "--status",
        "on",
        "--attribute",
        "NAS-Identifier = \"gatewarden-load\"",
        "--attribute",
        "NAS-IP-Address = 127.0.0.1",
        "--json"
    ];
    stage.remember(GENERATOR_CORE, &command);
    let output = finish(GENERATOR_CORE, &command)?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    match (json["result"].as_str(), json["milliseconds"].as_f64()) {
        (Some("stored"), Some(milliseconds)) => Ok(milliseconds),
        _ => Err(format!("Accounting-On: {json}")),
    }
}

/// Imports on both engines, and beside each the floor: the same file into one table without a key, by the engine's own
/// program. An import makes eleven rows of each of the file's, with three dozen entries in indexes.
pub fn import(stage: &mut Stage) -> Result<Section, String> {
    let file = stage.folder("files")?.join("hashed.csv");
    people::hashed(&file)?;
    let mut section = Section::default();
    // Nobody generates load: an import has the machine, and so has its database.
    let both = format!("{SERVER_CORE},{GENERATOR_CORE}");
    stage.postgres.use_cores(&both)?;
    // What earlier works left to be swept up.
    let names = stage
        .postgres
        .ask("postgres", "SELECT datname FROM pg_database")?;
    if names.lines().any(|name| name == DATABASE) {
        stage.postgres.rest(DATABASE)?;
    }
    for (engine, has_postgres) in [("PostgreSQL", true), ("SQLite", false)] {
        let name = format!("import_{}", engine.to_lowercase());
        let folder = stage.folder(&name)?;
        let url = match has_postgres {
            true => Some(stage.postgres.create(&name)?),
            false => None,
        };
        let floor = match has_postgres {
            true => Some(stage.postgres.copy_floor(&name, &file)?),
            false => sqlite_floor(&folder, &file),
        };
        let place = gatewarden::place(stage, &folder, url.as_deref());
        gatewarden::found(&place)?;
        let load = machine::load();
        let took = gatewarden::import(&place, &file, None, &both)?.as_secs_f64();
        section.claims.push(Claim::at_most(
            format!("100,000 rows into {engine}"),
            took,
            10.0,
            "s",
        ));
        let floor = floor.map_or("not measured".to_owned(), |floor| {
            format!("{:.2} s", floor.as_secs_f64())
        });
        section.notes.push(format!(
            "{engine}: the same file into one bare table: {floor}; load average before the import: {load}."
        ));
    }
    stage.postgres.use_cores(&SERVER_CORE.to_string())?;
    section
        .notes
        .push("The import and PostgreSQL may use both cores.".to_owned());
    Ok(section)
}

/// How long SQLite's own program takes; none where it is not installed.
fn sqlite_floor(folder: &Path, file: &Path) -> Option<Duration> {
    let started = Instant::now();
    let command = line![
        "sqlite3",
        folder.join("floor.db").display(),
        "PRAGMA journal_mode = WAL; CREATE TABLE floor (username TEXT, password TEXT, email TEXT)",
        ".mode csv",
        format!(".import --skip 1 {} floor", file.display())
    ];
    good(GENERATOR_CORE, &command)
        .ok()
        .map(|_| started.elapsed())
}
