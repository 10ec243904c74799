//! The job that hashes what imports left to be hashed.
//!
//! Argon2 is slow on purpose: a file of ten thousand people would keep an operator waiting for minutes. Their passwords
//! are kept sealed instead, serve PAP at once, and are hashed here bit by bit. Two nodes doing so at the same time is
//! harmless. It must **never** overwrite a password that was set in the meantime.

use crate::{Error, PERSON_CHANGED, PersonId, password, version};
use kernel::{Kernel, News, Time, id::Uuid};

/// How many are hashed before they are written: a few tenths of a second of one core.
const CHUNK: usize = 8;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    PENDING = "SELECT id, person_id, value, created FROM credential
        WHERE form = 'pending' AND (created, id) > ($1, $2) ORDER BY created, id LIMIT $3";
    REPLACE = "UPDATE credential SET form = 'hashed', value = $3, modified = $4
        WHERE id = $1 AND form = 'pending' AND value = $2";
    COUNT = "SELECT COUNT(*) AS count FROM credential WHERE form = 'pending'";
}

#[derive(sqlx::FromRow)]
struct PendingRow {
    id: Uuid,
    person_id: Uuid,
    value: String,
    created: Time,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    count: i64,
}

/// How many passwords wait to be hashed.
///
/// # Errors
/// [`Error::Engine`].
pub async fn count_pending(kernel: &Kernel) -> Result<i64, Error> {
    let row: Option<CountRow> = kernel.db.first(COUNT, Vec::new()).await?;
    Ok(row.map_or(0, |row| row.count))
}

/// Hashes at most `limit` passwords that wait for it, oldest first; how many were hashed. One that does not open is
/// logged and passed over: it must not keep the others waiting.
///
/// # Errors
/// [`Error::Engine`]; what was hashed before stays hashed.
pub async fn hash_pending(kernel: &Kernel, limit: usize) -> Result<usize, Error> {
    let mut hashed = 0;
    let mut after = (Time::from_unix_seconds(0), Uuid::nil());
    while hashed < limit {
        let want = i64::try_from(CHUNK.min(limit - hashed)).unwrap_or(1);
        let rows: Vec<PendingRow> = kernel
            .db
            .all(PENDING, kernel::values![after.0, after.1, want])
            .await?;
        let Some(last) = rows.last() else {
            return Ok(hashed);
        };
        after = (last.created, last.id);
        hashed += hash_chunk(kernel, rows).await?;
    }
    Ok(hashed)
}

async fn hash_chunk(kernel: &Kernel, rows: Vec<PendingRow>) -> Result<usize, Error> {
    let salted: Vec<(PendingRow, [u8; 16])> = rows
        .into_iter()
        .map(|row| (row, password::new_salt(kernel)))
        .collect();
    let keys = kernel.keys.clone();
    let work = move || {
        let hash = |row: &PendingRow, salt| -> Result<String, Error> {
            password::hash(&password::open_pending(&keys, row.id, &row.value)?, salt)
        };
        salted
            .into_iter()
            .map(|(row, salt)| (hash(&row, salt), row))
            .collect::<Vec<_>>()
    };
    let Ok(outcomes) = tokio::task::spawn_blocking(work).await else {
        // The runtime is shutting down: the rows wait for the next start.
        return Ok(0);
    };
    let now = kernel.now();
    let mut hashed = 0;
    let mut tx = kernel.db.begin().await?;
    for (outcome, row) in outcomes {
        let hash = match outcome {
            Ok(hash) => hash,
            Err(reason) => {
                tracing::error!(credential = %row.id, %reason, "a password that waits to be hashed cannot be read");
                continue;
            }
        };
        let person = PersonId(row.person_id);
        crate::person::lock(&mut tx, person).await?;
        if tx
            .run(REPLACE, kernel::values![row.id, row.value, hash, now])
            .await?
            == 0
        {
            continue;
        }
        version::record_person(&mut tx, kernel, person).await?;
        tx.tell(now, News::new(PERSON_CHANGED, None, person.0))
            .await?;
        hashed += 1;
    }
    tx.commit().await?;
    Ok(hashed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{House, house};
    use crate::{Form, NewOrganisation, NewPassword, NewPerson, Store, known, person};
    use proof::{Attempt, verify};

    async fn import(house: &House, count: usize) -> Vec<PersonId> {
        let acme = house.organisation(NewOrganisation::named("acme")).await;
        let mut people = Vec::new();
        for at in 0..count {
            let password = Some(NewPassword::given(&format!("secret-{at}"), Store::Hashed));
            let new = NewPerson {
                password,
                ..NewPerson::named(&format!("user-{at}"))
            };
            people.push(house.admit(&acme, new).await.unwrap().person.id);
        }
        people
    }

    async fn form_and_pap(house: &House, id: PersonId, text: &str) -> (Form, bool) {
        let kept = known::one(&house.kernel.db, id)
            .await
            .unwrap()
            .unwrap()
            .stored
            .unwrap();
        let stored = password::open(&house.kernel.keys, &kept).unwrap();
        (
            kept.form,
            verify(
                &stored,
                &Attempt::Pap {
                    password: text.as_bytes(),
                },
            )
            .is_right(),
        )
    }

    #[tokio::test]
    async fn imported_passwords_serve_before_and_after_they_are_hashed() {
        let house = house().await;
        let people = import(&house, 3).await;
        assert_eq!(
            form_and_pap(&house, people[0], "secret-0").await,
            (Form::Pending, true)
        );
        assert_eq!(count_pending(&house.kernel).await.unwrap(), 3);
        assert_eq!(hash_pending(&house.kernel, 2).await.unwrap(), 2);
        assert_eq!(hash_pending(&house.kernel, 100).await.unwrap(), 1);
        assert_eq!(hash_pending(&house.kernel, 100).await.unwrap(), 0);
        for (at, id) in people.iter().enumerate() {
            assert_eq!(
                form_and_pap(&house, *id, &format!("secret-{at}")).await,
                (Form::Hashed, true)
            );
            assert_eq!(house.told(PERSON_CHANGED, *id).await, 2);
            assert_eq!(house.version(*id).await["password"], "hashed");
        }
    }

    #[tokio::test]
    async fn a_password_set_in_the_meantime_stays() {
        let house = house().await;
        let id = import(&house, 1).await[0];
        let rows: Vec<PendingRow> = house
            .kernel
            .db
            .all(
                PENDING,
                kernel::values![Time::from_unix_seconds(0), Uuid::nil(), 1_i64],
            )
            .await
            .unwrap();
        let new = NewPassword::given("newer", Store::Recoverable);
        person::set_password(&house.kernel, id, new).await.unwrap();
        assert_eq!(hash_chunk(&house.kernel, rows).await.unwrap(), 0);
        assert_eq!(
            form_and_pap(&house, id, "newer").await,
            (Form::Recoverable, true)
        );
    }

    kernel::statements! {
        STATEMENTS_OF_TEST;
        BREAK = "UPDATE credential SET value = 'v1:broken' WHERE person_id = $1";
    }

    #[tokio::test]
    async fn one_that_does_not_open_keeps_nobody_waiting() {
        let house = house().await;
        let people = import(&house, 2).await;
        assert_eq!(STATEMENTS_OF_TEST.len(), 1);
        let mut tx = house.kernel.db.begin().await.unwrap();
        tx.run(BREAK, kernel::values![people[0]]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(hash_pending(&house.kernel, 1).await.unwrap(), 1);
        assert_eq!(
            form_and_pap(&house, people[1], "secret-1").await,
            (Form::Hashed, true)
        );
        assert_eq!(hash_pending(&house.kernel, 1).await.unwrap(), 0);
    }
}
