//! Batches: what remains of an import, and how far it got.
//!
//! `rows_done` moves in the transaction that imports those rows, and only from where it was: two processes cannot
//! import the same rows twice.

pub mod passwords;

use crate::BATCH_CHANGED;
use identity::PersonId;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time, Tx, Value};
use serde::{Deserialize, Serialize};

/// Batches that one list holds at most: the newest.
pub const MAX_LISTED: i64 = 1_000;

/// A batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub Uuid);

impl std::fmt::Display for BatchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl From<BatchId> for Value {
    fn from(id: BatchId) -> Self {
        Value::Uuid(Some(id.0))
    }
}

/// How far a batch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Made, and not one row imported yet.
    Pending,
    /// Rows are being imported, or the process that did was killed.
    Processing,
    /// All rows are in.
    Completed,
    /// A row was refused; those before it are in.
    Failed,
    /// What it made is gone, or going.
    TakenBack,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 5] = [
        Status::Pending,
        Status::Processing,
        Status::Completed,
        Status::Failed,
        Status::TakenBack,
    ];

    /// The word in the database and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Processing => "processing",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::TakenBack => "taken_back",
        }
    }

    /// The status of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether an import may go on.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Status::Pending | Status::Processing | Status::Failed)
    }
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Whose people.
    pub organisation: OrganisationId,
    /// Unique in the organisation.
    pub name: String,
    /// How far it got.
    pub status: Status,
    /// SHA-256 of the file.
    pub digest: String,
    /// Rows of the file, without its header row.
    pub rows_total: u64,
    /// Rows dealt with, in the order of the file.
    pub rows_done: u64,
    /// Those of them that were left out because of a problem.
    pub rows_skipped: u64,
    /// The group that people get into whose row names none.
    pub group: Option<Uuid>,
    /// Until when memberships last whose row says nothing.
    pub expires: Option<Time>,
    /// How the rest of the rows is to be imported.
    pub terms: Terms,
    /// When it began.
    pub created: Time,
    /// When it last went on.
    pub modified: Time,
}

/// How rows are imported: what an import that goes on must do as it did before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The file's name, for people.
    pub file: String,
    /// The word of what is kept of passwords.
    pub store: String,
    /// Whether bad rows are left out.
    pub skip_bad: bool,
}

/// What a batch made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// New people.
    pub created: u64,
    /// People who were known and became members of the organisation.
    pub joined: u64,
}

macro_rules! columns {
    () => {
        "id, organisation_id, name, status, source_digest, options, rows_total, rows_done, rows_skipped, group_id, expires, created, modified"
    };
}

kernel::many! {
    /// People whom a batch made.
    pub(crate) PEOPLE = batch_person (batch_id uuid, person_id uuid, created_person bool, created_membership bool, line int, generated text);
}
kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    INSERT = "INSERT INTO batch (id, organisation_id, name, strategy, status, source_digest, options, rows_total, rows_done,
            rows_skipped, group_id, expires, created, modified)
        VALUES ($1, $2, $3, 'csv', 'processing', $4, $5, $6, 0, 0, $7, $8, $9, $9)";
    BY_ID = concat!("SELECT ", columns!(), " FROM batch WHERE id = $1 AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2)");
    BY_NAME = concat!("SELECT ", columns!(), " FROM batch WHERE organisation_id = $1 AND name = $2");
    UNFINISHED = concat!("SELECT ", columns!(), " FROM batch
        WHERE organisation_id = $1 AND source_digest = $2 AND status IN ('pending', 'processing', 'failed') ORDER BY created DESC LIMIT 1");
    LIST = concat!("SELECT ", columns!(), " FROM batch
        WHERE strategy = 'csv' AND (CAST($1 AS UUID) IS NULL OR organisation_id = $1) ORDER BY created DESC, id DESC LIMIT $2");
    ADVANCE = "UPDATE batch SET rows_done = $3, rows_skipped = $4, status = $5, modified = $6
        WHERE id = $1 AND rows_done = $2 AND status IN ('pending', 'processing', 'failed')";
    SET_STATUS = "UPDATE batch SET status = $2, modified = $3 WHERE id = $1";
    // For somebody who is known: their row may be there from a run that was killed.
    PUT_PERSON = "INSERT INTO batch_person (batch_id, person_id, created_person, created_membership, line, generated)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (batch_id, person_id) DO NOTHING";
    COUNTS = "SELECT CAST(COALESCE(SUM(CASE WHEN created_person THEN 1 ELSE 0 END), 0) AS BIGINT) AS created,
            CAST(COALESCE(SUM(CASE WHEN created_membership AND NOT created_person THEN 1 ELSE 0 END), 0) AS BIGINT) AS joined
        FROM batch_person WHERE batch_id = $1";
    JOINED = "SELECT created_membership AS is_so FROM batch_person WHERE batch_id = $1 AND person_id = $2 AND NOT created_person";
}

#[derive(sqlx::FromRow)]
struct BatchRow {
    id: Uuid,
    organisation_id: Uuid,
    name: String,
    status: String,
    source_digest: Option<String>,
    options: String,
    rows_total: i64,
    rows_done: i64,
    rows_skipped: i64,
    group_id: Option<Uuid>,
    expires: Option<Time>,
    created: Time,
    modified: Time,
}

#[derive(sqlx::FromRow)]
struct CountsRow {
    created: i64,
    joined: i64,
}

#[derive(sqlx::FromRow)]
struct FlagRow {
    is_so: bool,
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl BatchRow {
    fn into_batch(self) -> Result<Batch, Error> {
        let terms = serde_json::from_str(&self.options).map_err(|e| {
            Error::Invalid(format!(
                "batch {}: its options cannot be read: {e}",
                self.id
            ))
        })?;
        Ok(Batch {
            id: BatchId(self.id),
            organisation: OrganisationId(self.organisation_id),
            name: self.name,
            status: Status::from_word(&self.status).unwrap_or(Status::Failed),
            digest: self.source_digest.unwrap_or_default(),
            rows_total: count(self.rows_total),
            rows_done: count(self.rows_done),
            rows_skipped: count(self.rows_skipped),
            group: self.group_id,
            expires: self.expires,
            terms,
            created: self.created,
            modified: self.modified,
        })
    }
}

/// The batch of an id.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Invalid`] for a row of another version.
pub async fn by_id(db: &Db, scope: Scope, id: BatchId) -> Result<Option<Batch>, Error> {
    let row: Option<BatchRow> = db
        .first(BY_ID, kernel::values![id, scope.parameter()])
        .await?;
    row.map(BatchRow::into_batch).transpose()
}

/// The batch of a name.
///
/// # Errors
/// As [`by_id`].
pub async fn by_name(
    db: &Db,
    organisation: OrganisationId,
    name: &str,
) -> Result<Option<Batch>, Error> {
    let row: Option<BatchRow> = db
        .first(BY_NAME, kernel::values![organisation, name])
        .await?;
    row.map(BatchRow::into_batch).transpose()
}

/// The newest batch of a file that has not come to its end.
///
/// # Errors
/// As [`by_id`].
pub async fn unfinished(
    db: &Db,
    organisation: OrganisationId,
    digest: &str,
) -> Result<Option<Batch>, Error> {
    let row: Option<BatchRow> = db
        .first(UNFINISHED, kernel::values![organisation, digest])
        .await?;
    row.map(BatchRow::into_batch).transpose()
}

/// The newest batches, at most [`MAX_LISTED`].
///
/// # Errors
/// As [`by_id`].
pub async fn list(db: &Db, scope: Scope) -> Result<Vec<Batch>, Error> {
    let rows: Vec<BatchRow> = db
        .all(LIST, kernel::values![scope.parameter(), MAX_LISTED])
        .await?;
    rows.into_iter().map(BatchRow::into_batch).collect()
}

/// What a batch made and has not been taken back.
///
/// # Errors
/// [`Error::Engine`].
pub async fn counts(db: &Db, id: BatchId) -> Result<Counts, Error> {
    let row: Option<CountsRow> = db.first(COUNTS, kernel::values![id]).await?;
    Ok(row.map_or_else(Counts::default, |row| Counts {
        created: count(row.created),
        joined: count(row.joined),
    }))
}

/// Begins a batch.
pub(crate) async fn begin(kernel: &Kernel, batch: &Batch) -> Result<(), Error> {
    let mut tx = kernel.db.begin().await?;
    let options = serde_json::to_string(&batch.terms)
        .map_err(|e| Error::Invalid(format!("batch's options: {e}")))?;
    let values = kernel::values![
        batch.id,
        batch.organisation,
        &batch.name,
        &batch.digest,
        options,
        number(batch.rows_total),
        batch.group,
        batch.expires,
        batch.created
    ];
    match tx.run(INSERT, values).await {
        Err(e) if e.is_duplicate() => {
            return Err(Error::Conflict(format!("batch '{}' exists", batch.name)));
        }
        other => other?,
    };
    tell(&mut tx, kernel, batch).await?;
    tx.commit().await
}

/// Moves a batch on from where `before` stands to where `after` does. Call it last in the transaction.
pub(crate) async fn advance(
    tx: &mut Tx,
    kernel: &Kernel,
    before: u64,
    after: &Batch,
) -> Result<(), Error> {
    let values = kernel::values![
        after.id,
        number(before),
        number(after.rows_done),
        number(after.rows_skipped),
        after.status.word(),
        kernel.now()
    ];
    if tx.run(ADVANCE, values).await? == 0 {
        return Err(Error::Conflict(format!(
            "batch '{}' is being imported by another process, or was taken back",
            after.name
        )));
    }
    tell(tx, kernel, after).await
}

/// Sets a batch's status.
pub(crate) async fn set_status(tx: &mut Tx, kernel: &Kernel, batch: &Batch) -> Result<(), Error> {
    tx.run(
        SET_STATUS,
        kernel::values![batch.id, batch.status.word(), kernel.now()],
    )
    .await?;
    tell(tx, kernel, batch).await
}

async fn tell(tx: &mut Tx, kernel: &Kernel, batch: &Batch) -> Result<(), Error> {
    let detail = serde_json::json!({
        "status": batch.status,
        "rows_total": batch.rows_total,
        "rows_done": batch.rows_done,
        "rows_skipped": batch.rows_skipped,
    });
    let news = News::new(BATCH_CHANGED, Some(batch.organisation), batch.id.0).with_detail(detail);
    tx.tell(kernel.now(), news).await
}

/// What a batch did about one person.
pub(crate) struct Part {
    pub(crate) person: PersonId,
    pub(crate) created_person: bool,
    pub(crate) created_membership: bool,
    pub(crate) line: u64,
    /// Username and password, sealed.
    pub(crate) generated: Option<String>,
}

fn row(id: BatchId, part: &Part) -> Vec<Value> {
    kernel::values![
        id,
        part.person,
        part.created_person,
        part.created_membership,
        number(part.line),
        part.generated.as_deref()
    ]
}

/// Notes what a batch did about a person; what it did about them before stays.
pub(crate) async fn put_person(tx: &mut Tx, id: BatchId, part: Part) -> Result<(), Error> {
    tx.run(PUT_PERSON, row(id, &part)).await.map(|_| ())
}

/// Notes the people whom a batch just made.
pub(crate) async fn put_made(tx: &mut Tx, id: BatchId, parts: &[Part]) -> Result<(), Error> {
    let rows: Vec<_> = parts.iter().map(|part| row(id, part)).collect();
    tx.insert_many(PEOPLE, rows).await
}

/// Whether a batch made a known person a member.
pub(crate) async fn has_joined(db: &Db, id: BatchId, person: PersonId) -> Result<bool, Error> {
    let row: Option<FlagRow> = db.first(JOINED, kernel::values![id, person]).await?;
    Ok(row.is_some_and(|row| row.is_so))
}
