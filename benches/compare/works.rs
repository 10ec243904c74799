//! What is measured, and what is to be reached.

use crate::contender::Contender::{
    self, FreeradiusFiles, FreeradiusPostgres, GatewardenPostgres, GatewardenSqlite, Null,
};
use crate::gatewarden;
use crate::generator::ask;
use crate::line;
use crate::people::{PASSWORD, SLOW_PASSWORD, SLOW_USERS, USERS};
use crate::result::{Claim, Row, Section};
use crate::special;
use crate::stage::Stage;

/// One work.
pub struct Work {
    pub name: &'static str,
    pub what: &'static str,
    pub measure: fn(&mut Stage) -> Result<Section, String>,
}

/// Access points that report at once where it is measured how many reports are stored.
const ACCESS_POINTS: u32 = 1_024;

/// All of them, in the order they are run.
pub const ALL: [Work; 13] = [
    Work {
        name: "pap",
        what: "PAP: 0.75 × null, 3.5 × FreeRADIUS from files, 40 × with PostgreSQL; null 4 × files",
        measure: pap,
    },
    Work {
        name: "chap",
        what: "CHAP: 0.75 × null, 3.5 × FreeRADIUS from files, 40 × with PostgreSQL; null 4 × files",
        measure: chap,
    },
    Work {
        name: "mschapv2",
        what: "MS-CHAPv2: 3.5 × FreeRADIUS from files",
        measure: mschapv2,
    },
    Work {
        name: "argon2id",
        what: "PAP with argon2id, 2,000 users, warmed first: 0.65 × null",
        measure: argon2id,
    },
    Work {
        name: "limits",
        what: "PAP with three limits and two conditions for everybody: 0.7 × without",
        measure: limits,
    },
    Work {
        name: "latency-auth",
        what: "PAP at half of the reached rate: p99 at most 1 ms",
        measure: special::latency_auth,
    },
    Work {
        name: "accounting",
        what: "accounting acknowledged durably, 10 s: 20 × FreeRADIUS with PostgreSQL, on either engine",
        measure: accounting,
    },
    Work {
        name: "lifecycles",
        what: "accounting for 60 s, 50,000 open: 8 × FreeRADIUS with PostgreSQL; backlog empty 10 s later",
        measure: special::lifecycles,
    },
    Work {
        name: "latency-acct",
        what: "accounting at half of the reached rate: p99 at most 10 ms",
        measure: special::latency_acct,
    },
    Work {
        name: "storm",
        what: "PAP, three times what is reached: answers within 3 s stay at 0.8 × that, in bounded memory",
        measure: special::storm,
    },
    Work {
        name: "accounting-on",
        what: "Accounting-On with 100,000 open sessions: answered within 10 ms",
        measure: special::accounting_on,
    },
    Work {
        name: "import",
        what: "user import, 100,000 rows with hashes given: 10 s at most on either engine, and the floor beside it",
        measure: special::import,
    },
    Work {
        name: "million",
        what: "1,000,000 users: answering within 3 s of the start; 500 MiB with 100,000 open sessions",
        measure: crate::million::million,
    },
];

/// The options of a login.
pub fn logins(stage: &Stage, work: &str) -> Vec<String> {
    line![
        "--work",
        work,
        "--user",
        "user%06d",
        "--users",
        USERS,
        "--password",
        PASSWORD,
        "--seconds",
        stage.pattern.seconds,
        "--warm-up",
        stage.pattern.warm_up
    ]
}

/// The options of accounting.
pub fn reports(seconds: f64, sessions: u32) -> Vec<String> {
    line![
        "--work",
        "accounting",
        "--user",
        "user%06d",
        "--users",
        USERS,
        "--sessions",
        sessions,
        "--interims",
        3,
        "--seconds",
        seconds
    ]
}

/// Lets the contenders take turns.
pub fn rounds(
    stage: &mut Stage,
    contenders: &[Contender],
    runs: u32,
    options: &[String],
) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|contender| Row {
            name: contender.name().to_owned(),
            samples: Vec::new(),
        })
        .collect();
    for _ in 0..runs {
        for (contender, row) in contenders.iter().zip(&mut rows) {
            let running = contender.start(stage)?;
            row.samples.push(ask(stage, &running, options)?);
        }
    }
    Ok(rows)
}

fn against_all(rows: Vec<Row>) -> Section {
    let mut claims = Vec::new();
    if let [null, files, sql, gatewarden @ ..] = &rows[..] {
        claims.push(Claim::ratio(null, files, 4.0));
        for row in gatewarden {
            claims.push(Claim::ratio(row, null, 0.75));
            claims.push(Claim::ratio(row, files, 3.5));
            claims.push(Claim::ratio(row, sql, 40.0));
        }
    }
    Section {
        rows,
        claims,
        ..Section::default()
    }
}

const EVERYBODY: [Contender; 5] = [
    Null,
    FreeradiusFiles,
    FreeradiusPostgres,
    GatewardenPostgres,
    GatewardenSqlite,
];

fn pap(stage: &mut Stage) -> Result<Section, String> {
    let options = logins(stage, "pap");
    rounds(stage, &EVERYBODY, stage.pattern.runs, &options).map(against_all)
}

fn chap(stage: &mut Stage) -> Result<Section, String> {
    let options = logins(stage, "chap");
    rounds(stage, &EVERYBODY, stage.pattern.runs, &options).map(against_all)
}

fn mschapv2(stage: &mut Stage) -> Result<Section, String> {
    let options = logins(stage, "mschapv2");
    let contenders = [FreeradiusFiles, GatewardenPostgres, GatewardenSqlite];
    let rows = rounds(stage, &contenders, stage.pattern.runs, &options)?;
    let claims = rows[1..]
        .iter()
        .map(|row| Claim::ratio(row, &rows[0], 3.5))
        .collect();
    Ok(Section {
        rows,
        claims,
        ..Section::default()
    })
}

fn limits(stage: &mut Stage) -> Result<Section, String> {
    let (runs, options) = (stage.pattern.runs, logins(stage, "pap"));
    let names = ["Gatewarden, SQLite", "Gatewarden, SQLite, with limits"];
    let mut rows = names.map(|name| Row {
        name: name.to_owned(),
        samples: Vec::new(),
    });
    for _ in 0..runs {
        let plain = GatewardenSqlite.start(stage)?;
        rows[0].samples.push(ask(stage, &plain, &options)?);
        drop(plain);
        let place = gatewarden::installation(stage, false)?;
        gatewarden::limited(&place)?;
        let limited = GatewardenSqlite.start(stage)?;
        rows[1].samples.push(ask(stage, &limited, &options)?);
        drop(limited);
        gatewarden::lifted(&place)?;
    }
    let claims = vec![Claim::ratio(&rows[1], &rows[0], 0.7)];
    Ok(Section {
        rows: rows.into(),
        claims,
        ..Section::default()
    })
}

fn argon2id(stage: &mut Stage) -> Result<Section, String> {
    let (runs, options) = (stage.pattern.runs, logins(stage, "pap"));
    let users = line![
        "--work",
        "pap",
        "--user",
        "slow%06d",
        "--users",
        SLOW_USERS,
        "--password",
        SLOW_PASSWORD
    ];
    let warming = [
        &users[..],
        &line!["--count", SLOW_USERS, "--outstanding", 4, "--timeout", 20],
    ]
    .concat();
    let measured = [
        &users[..],
        &line![
            "--seconds",
            stage.pattern.seconds,
            "--warm-up",
            stage.pattern.warm_up
        ],
    ]
    .concat();
    let contenders = [Null, GatewardenPostgres];
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|contender| Row {
            name: contender.name().to_owned(),
            samples: Vec::new(),
        })
        .collect();
    // What is idle takes nothing from its core: warmed once, it stays while the floor comes and goes beside it.
    let warmed = GatewardenPostgres.start(stage)?;
    let started = std::time::Instant::now();
    ask(stage, &warmed, &warming)?;
    let seconds = started.elapsed().as_secs_f64();
    for _ in 0..runs {
        let floor = Null.start(stage)?;
        rows[0].samples.push(ask(stage, &floor, &options)?);
        drop(floor);
        rows[1].samples.push(ask(stage, &warmed, &measured)?);
    }
    let claims = vec![Claim::ratio(&rows[1], &rows[0], 0.65)];
    let notes = vec![format!("Warming 2,000 users up took {seconds:.1} s.")];
    Ok(Section {
        rows,
        claims,
        notes,
        ..Section::default()
    })
}

fn accounting(stage: &mut Stage) -> Result<Section, String> {
    let options = [
        reports(stage.pattern.accounting_seconds, 10_000),
        line!["--outstanding", ACCESS_POINTS],
    ]
    .concat();
    let contenders = [
        Null,
        FreeradiusPostgres,
        GatewardenPostgres,
        GatewardenSqlite,
    ];
    let rows = rounds(stage, &contenders, stage.pattern.runs, &options)?;
    let claims = rows[2..]
        .iter()
        .map(|row| Claim::ratio(row, &rows[1], 20.0))
        .collect();
    let notes = vec![
        "The null responder keeps nothing: its row is the limit of the wire.".to_owned(),
        format!(
            "{} reports wait for an answer at once, of as many access points: with fewer it is measured how long the \
             disk takes for a group of reports, and not how many it takes.",
            crate::result::whole(f64::from(ACCESS_POINTS))
        ),
    ];
    Ok(Section {
        rows,
        claims,
        notes,
        ..Section::default()
    })
}
