//! Taking a batch back: the people and memberships that it made, and nothing else.
//!
//! Somebody who was known before stays, and what the rows changed about them (expiry, group, rules) stays too. Somebody
//! whom the batch made and who has since become a member elsewhere only leaves this organisation.

use crate::batch::{self, Batch, BatchId, Status};
use identity::membership::{self, Standing};
use identity::{PersonId, person};
use kernel::id::Uuid;
use kernel::{Engine, Error, Kernel, Scope, Tx};
use serde::Serialize;
use std::time::{Duration, Instant};

/// People of one transaction, which takes everything of theirs along.
const CHUNK: i64 = 100;
/// After how long a transaction is ended early.
const CHUNK_TIME: Duration = Duration::from_millis(150);

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    MADE = "SELECT person_id, created_person, created_membership FROM batch_person
        WHERE batch_id = $1 ORDER BY person_id LIMIT $2";
    RELEASE = "DELETE FROM batch_person WHERE batch_id = $1 AND person_id = $2";
}

#[derive(sqlx::FromRow)]
struct MadeRow {
    person_id: Uuid,
    created_person: bool,
    created_membership: bool,
}

/// What was taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TakenBack {
    /// People deleted.
    pub people: u64,
    /// Memberships ended of people who stay.
    pub memberships: u64,
    /// People who were known before and stay as they are.
    pub kept: u64,
}

/// Takes a batch back, finished or not. Killed, it goes on when called again.
///
/// # Errors
/// [`Error::NotFound`] for the batch, [`Error::Engine`]; what was taken back before stays so.
pub async fn take_back(kernel: &Kernel, id: BatchId) -> Result<TakenBack, Error> {
    let batch = batch::by_id(&kernel.db, Scope::Everything, id).await?;
    let mut batch =
        batch.ok_or_else(|| Error::NotFound(format!("there is no batch with id {id}")))?;
    if batch.status != Status::TakenBack {
        // First, so that no process goes on importing.
        batch.status = Status::TakenBack;
        let mut tx = kernel.db.begin().await?;
        batch::set_status(&mut tx, kernel, &batch).await?;
        tx.commit().await?;
    }
    let mut taken = TakenBack::default();
    loop {
        let started = Instant::now();
        let mut tx = kernel.db.begin().await?;
        let made: Vec<MadeRow> = tx.all(MADE, kernel::values![id, CHUNK]).await?;
        if made.is_empty() {
            return Ok(taken);
        }
        let people: Vec<PersonId> = made.iter().map(|row| PersonId(row.person_id)).collect();
        let standings = membership::standings(&mut tx, batch.organisation, &people).await?;
        for row in made {
            let standing = standings.get(&PersonId(row.person_id)).copied();
            let standing = standing.unwrap_or_default();
            undo(&mut tx, kernel, &batch, row, standing, &mut taken).await?;
            if started.elapsed() > CHUNK_TIME {
                break;
            }
        }
        tx.commit().await?;
        if kernel.db.engine() == Engine::Sqlite {
            tokio::time::sleep(started.elapsed() / 4).await;
        }
    }
}

async fn undo(
    tx: &mut Tx,
    kernel: &Kernel,
    batch: &Batch,
    row: MadeRow,
    standing: Standing,
    taken: &mut TakenBack,
) -> Result<(), Error> {
    let goes = row.created_person || row.created_membership;
    if let Some(id) = standing.here.filter(|_| goes) {
        access::admit::forget(tx, kernel, id).await?;
    }
    if row.created_person && !standing.is_elsewhere {
        taken.people += u64::from(person::delete(tx, kernel, PersonId(row.person_id)).await?);
    } else if goes {
        let ended = match standing.here {
            Some(id) => membership::leave(tx, kernel, id).await?,
            None => false,
        };
        taken.memberships += u64::from(ended);
    } else {
        taken.kept += 1;
    }
    tx.run(RELEASE, kernel::values![batch.id, row.person_id])
        .await
        .map(|_| ())
}
