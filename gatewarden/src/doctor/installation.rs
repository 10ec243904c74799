//! The installation: keys, database, schema, secrets, transactions.

use super::Finding;
use crate::place::Place;
use crate::status::{LONG_SECONDS, holder_remedy, holder_sentence, reach};
use access::observation::{Advice, advice};
use kernel::db::{Db, Location};
use kernel::{Clock, Keyring, Scope, SystemClock};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// The ring's file in the data folder.
const KEYS_FILE: &str = "keys";
/// A database that takes longer is told to be away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks of two machines differ by less when both are kept right.
const MUCH_SKEW_SECONDS: i64 = 2;
/// A round trip beyond this is felt wherever the database must be asked.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(20);
/// Questions of which the fastest answer counts.
const PINGS: usize = 3;
/// NASes named for one kind of advice.
const MAX_NAMED: usize = 10;

/// Everything about the installation.
pub async fn examine(place: &Place) -> Vec<Finding> {
    let mut findings = keys(&place.data);
    let db = match reach(&place.database).await {
        Ok(db) => db,
        Err(sentence) => {
            findings.push(Finding::fail(
                "database",
                sentence,
                "Bring it back, or correct --database; a running server goes on from memory meanwhile.",
            ));
            return findings;
        }
    };
    let asked = ask(&db, place, &mut findings);
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    let failure = match answered {
        Ok(Ok(())) => None,
        Ok(Err(e)) => Some(e.to_string()),
        Err(_) => Some(format!("{} answers too slowly", place.database)),
    };
    if let Some(failure) = failure {
        findings.push(Finding::fail(
            "database",
            failure,
            "Look at the database's own log and at what it is busy with.",
        ));
    }
    let _ = tokio::time::timeout(PATIENCE, db.close()).await;
    findings
}

async fn ask(db: &Db, place: &Place, findings: &mut Vec<Finding>) -> Result<(), kernel::Error> {
    let about = db.about().await?;
    // The first answer on a connection pays for what is made once.
    let mut took = Duration::from_micros(about.round_trip_micros);
    for _ in 0..PINGS {
        took = took.min(db.ping().await?);
    }
    let found = format!(
        "{}, version {}, answers in {:.1} ms",
        place.database,
        about.version,
        took.as_secs_f64() * 1e3
    );
    findings.push(match took > SLOW_ROUND_TRIP {
        false => Finding::ok("database", found),
        true => Finding::warn(
            "database",
            found,
            match place.database {
                Location::Sqlite(_) => {
                    "Logins do not wait for it, but changes are seen later: see what else keeps this machine or its disk busy."
                }
                Location::Postgres(_) => {
                    "Logins do not wait for it, but changes are seen later and imports take longer: put it nearer."
                }
            },
        ),
    });
    if let Some(clock) = about.clock {
        let skew = SystemClock.now().seconds_since(clock);
        findings.push(match skew.abs() > MUCH_SKEW_SECONDS {
            false => Finding::ok("database clock", "goes with ours"),
            true => Finding::warn(
                "database clock",
                format!("ours is {skew} s ahead of it"),
                "Let a time service keep both machines.",
            ),
        });
    }
    findings.push(certificates(place, about.tls.as_deref()));
    let newest = db.engine().newest_schema();
    findings.push(match db.schema_version().await {
        Ok(Some(version)) if version == newest => {
            Finding::ok("schema", format!("version {version}"))
        }
        Ok(Some(version)) if version > newest => Finding::fail(
            "schema",
            format!("version {version}; this program knows up to {newest}"),
            "Use the newer program that the database was opened with.",
        ),
        Ok(version) => Finding::warn(
            "schema",
            format!(
                "version {}; this program brings {newest}",
                version.unwrap_or(0)
            ),
            "'gatewarden migrate', or the next start of the server, brings it up to date.",
        ),
        Err(_) => Finding::warn(
            "schema",
            "the database has none yet",
            "'gatewarden migrate', or the first start of the server, makes it.",
        ),
    });
    if let Some(ring) = ring(&place.data)
        && let Some(missing) = db.missing_key(&ring).await?
    {
        findings.push(Finding::fail(
            "keys",
            format!("the database has secrets sealed with key {missing}, which the ring lacks"),
            "Put the ring back that belongs to this database: without it NAS secrets and passwords cannot be opened.",
        ));
    }
    let holders = db.holders().await?;
    let long: Vec<Finding> = holders
        .iter()
        .filter(|holder| holder.seconds >= LONG_SECONDS)
        .map(|holder| {
            Finding::warn(
                "transactions",
                holder_sentence(holder),
                holder_remedy(holder),
            )
        })
        .collect();
    if long.is_empty() {
        findings.push(Finding::ok("transactions", "none holds events back"));
    }
    findings.extend(long);
    nases(db, findings).await
}

/// TLS is spoken with the database only, today.
fn certificates(place: &Place, tls: Option<&str>) -> Finding {
    match (&place.database, tls) {
        (Location::Sqlite(_), _) => Finding::ok("certificates", "nothing here speaks TLS yet"),
        (Location::Postgres(_), Some(version)) => Finding::ok(
            "certificates",
            format!(
                "the database connection is protected with {version}; nothing else speaks TLS yet"
            ),
        ),
        (Location::Postgres(url), None) => {
            let host = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host);
            let is_local = ["localhost", "127.", "[::1]", "/", "%2F"]
                .iter()
                .any(|local| host.starts_with(local))
                || url.contains("host=/");
            match is_local {
                true => Finding::ok(
                    "certificates",
                    "the database is on this machine and needs no TLS; nothing else speaks it yet",
                ),
                false => Finding::warn(
                    "certificates",
                    "the connection to the database is not protected",
                    "Add sslmode=verify-full and sslrootcert=FILE to the database's address.",
                ),
            }
        }
    }
}

fn keys(data: &Path) -> Vec<Finding> {
    if std::env::var_os("GATEWARDEN_KEYS").is_some_and(|keys| !keys.is_empty()) {
        return vec![Finding::ok("keys", "the ring comes from GATEWARDEN_KEYS")];
    }
    let path = data.join(KEYS_FILE);
    let Ok(metadata) = path.metadata() else {
        return vec![Finding::warn(
            "keys",
            format!("there is no key ring at {} yet", path.display()),
            "The first start of the server makes it; with an existing database bring its ring first.",
        )];
    };
    let mut findings = Vec::new();
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        findings.push(Finding::fail(
            "keys",
            format!("others may read {} (mode {mode:o})", path.display()),
            format!("chmod 600 {}", path.display()),
        ));
    }
    match std::fs::read_to_string(&path).map_err(|e| e.to_string()) {
        Ok(text) => match Keyring::parse(&text) {
            Ok(_) if findings.is_empty() => {
                findings.push(Finding::ok(
                    "keys",
                    "the ring is readable, by its owner alone",
                ));
            }
            Ok(_) => {}
            Err(e) => findings.push(Finding::fail(
                "keys",
                format!("{}: {e}", path.display()),
                "Put the ring back that belongs to this database.",
            )),
        },
        Err(e) => findings.push(Finding::fail(
            "keys",
            format!("{}: {e}", path.display()),
            "Run this as the user that the server runs as.",
        )),
    }
    findings
}

/// The ring, where it can be read; what is wrong with it has been said then.
fn ring(data: &Path) -> Option<Keyring> {
    let text = std::env::var("GATEWARDEN_KEYS")
        .ok()
        .filter(|text| !text.is_empty())
        .or_else(|| std::fs::read_to_string(data.join(KEYS_FILE)).ok())?;
    Keyring::parse(&text).ok()
}

/// What was seen of secrets and signatures.
async fn nases(db: &Db, findings: &mut Vec<Finding>) -> Result<(), kernel::Error> {
    let now = SystemClock.now();
    let lines = access::nas::list(db, Scope::Everything).await?;
    if lines.is_empty() {
        findings.push(Finding::warn(
            "nases",
            "there is none: nobody may ask",
            "gatewarden nas add ADDRESS --secret …",
        ));
        return Ok(());
    }
    let mut count = [0usize; 2];
    for line in &lines {
        for advice in advice(now, &line.nas, line.in_change, line.seen.as_ref()) {
            let (check, kind, is_wrong) = match advice {
                Advice::WrongSecret => ("secrets", 0, true),
                Advice::ChangeWaits | Advice::ChangeCanFinish => ("secrets", 0, false),
                Advice::DropsUnsigned => ("signatures", 1, true),
                _ => ("signatures", 1, false),
            };
            count[kind] += 1;
            if count[kind] > MAX_NAMED {
                continue;
            }
            let (found, remedy) = halves(advice.sentence());
            let found = format!("NAS {}: {found}", line.nas.name);
            findings.push(match is_wrong {
                true => Finding::fail(check, found, remedy),
                false => Finding::warn(check, found, remedy),
            });
        }
    }
    for (check, count) in [("secrets", count[0]), ("signatures", count[1])] {
        match count {
            0 => findings.push(Finding::ok(
                check,
                format!("nothing odd at {} NASes", lines.len()),
            )),
            count if count > MAX_NAMED => findings.push(Finding::warn(
                check,
                format!("the same at {} more", count - MAX_NAMED),
                "gatewarden nas list --json has them all.",
            )),
            _ => {}
        }
    }
    Ok(())
}

/// An advice is what was seen, a colon or full stop, and what to do.
fn halves(sentence: &str) -> (&str, &str) {
    sentence
        .split_once(": ")
        .or_else(|| sentence.split_once(". "))
        .unwrap_or((sentence, sentence))
}
