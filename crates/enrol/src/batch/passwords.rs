//! Passwords that an import made up because a row gave none: kept sealed until they were handed over.
//!
//! They are kept so that an import that is killed can still say, after it went on, what it made before. Whoever has
//! written them down calls [`forget`]; what nobody asked for is forgotten by [`forget_before`] when the
//! batch has not gone on for a day, finished or not.

use super::{BatchId, count};
use kernel::id::Uuid;
use kernel::{Error, Kernel, Place, Time};
use zeroize::Zeroizing;

/// Length of a password that is made up, in characters of an alphabet of 57: 58 bits.
pub const LENGTH: usize = 10;
/// For how long what nobody has asked for is kept, in seconds.
pub const KEPT_SECONDS: i64 = 24 * 60 * 60;
/// How many are read or forgotten at a time.
const PAGE: i64 = 1_000;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    PAGE_OF_BATCH = "SELECT person_id, line, generated FROM batch_person
        WHERE batch_id = $1 AND generated IS NOT NULL AND person_id > $2 ORDER BY person_id LIMIT $3";
    FORGET = "UPDATE batch_person SET generated = NULL WHERE batch_id = $1 AND person_id IN (
        SELECT person_id FROM batch_person WHERE batch_id = $1 AND generated IS NOT NULL ORDER BY person_id LIMIT $2)";
    OLD = "SELECT b.id FROM batch b WHERE b.modified < $1
        AND EXISTS (SELECT 1 FROM batch_person p WHERE p.batch_id = b.id AND p.generated IS NOT NULL) ORDER BY b.id LIMIT $2";
}

#[derive(sqlx::FromRow)]
struct GeneratedRow {
    person_id: Uuid,
    line: i64,
    generated: Option<String>,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

/// A password that was made up. No `Debug`.
#[derive(Clone)]
pub struct GeneratedPassword {
    /// Physical line in the file.
    pub line: u64,
    /// Whose.
    pub username: String,
    /// The password.
    pub password: Zeroizing<String>,
}

fn place(person: Uuid) -> Place {
    Place {
        table: "batch_person",
        column: "generated",
        row: person,
    }
}

/// A username, which holds no line end, and a password, closed.
pub(crate) fn seal(kernel: &Kernel, person: Uuid, username: &str, password: &str) -> String {
    let text = Zeroizing::new(format!("{username}\n{password}"));
    kernel
        .keys
        .seal(&*kernel.rng, place(person), text.as_bytes())
}

/// The passwords that a batch made up and that were not yet forgotten, in the order of the file.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Seal`] when one does not open.
pub async fn generated(kernel: &Kernel, batch: BatchId) -> Result<Vec<GeneratedPassword>, Error> {
    let mut all = Vec::new();
    let mut after = Uuid::nil();
    loop {
        // Each round goes beyond the one before, and an import has a limited number of rows.
        let rows: Vec<GeneratedRow> = kernel
            .db
            .all(PAGE_OF_BATCH, kernel::values![batch, after, PAGE])
            .await?;
        let Some(last) = rows.last() else { break };
        after = last.person_id;
        for row in rows {
            let opened = kernel.keys.open(
                place(row.person_id),
                row.generated.as_deref().unwrap_or_default(),
            )?;
            let text = Zeroizing::new(String::from_utf8_lossy(&opened).into_owned());
            if let Some((username, password)) = text.split_once('\n') {
                all.push(GeneratedPassword {
                    line: count(row.line),
                    username: username.to_owned(),
                    password: Zeroizing::new(password.to_owned()),
                });
            }
        }
    }
    all.sort_by_key(|generated| generated.line);
    Ok(all)
}

/// Forgets the passwords that a batch made up: they were handed over. How many there were.
///
/// # Errors
/// [`Error::Engine`]; what was forgotten before stays forgotten.
pub async fn forget(kernel: &Kernel, batch: BatchId) -> Result<u64, Error> {
    let mut gone = 0;
    loop {
        let mut tx = kernel.db.begin().await?;
        let some = tx.run(FORGET, kernel::values![batch, PAGE]).await?;
        tx.commit().await?;
        gone += some;
        if some == 0 {
            return Ok(gone);
        }
    }
}

/// Forgets the passwords of every batch that has not gone on since `before`. How many there were.
///
/// # Errors
/// [`Error::Engine`].
pub async fn forget_before(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    let mut gone = 0;
    loop {
        let batches: Vec<IdRow> = kernel.db.all(OLD, kernel::values![before, PAGE]).await?;
        if batches.is_empty() {
            return Ok(gone);
        }
        for batch in batches {
            gone += forget(kernel, BatchId(batch.id)).await?;
        }
    }
}
