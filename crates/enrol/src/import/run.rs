//! Importing a checked file chunk by chunk, and going on where an import stopped.

use super::admission;
use super::check::{Checked, changed, reading};
use super::chunk::{Ended, Import};
use super::gap::Gaps;
use super::meet::Met;
use super::problem::{Problem, Problems};
use super::rows::{Item, Opened, Rows};
use super::scan::{Scan, scan};
use super::source::Source;
use super::{CHUNK_ROWS, ImportOptions};
use crate::batch::passwords::{self, GeneratedPassword};
use crate::batch::{self, Batch, BatchId, Status, Terms};
use identity::{Organisation, organisation};
use kernel::{DrawnRng, Error, Kernel, Scope, Time};
use radius_wire::dictionary::Dictionary;
use std::sync::Arc;
use std::time::Instant;

/// How often one chunk is begun anew because a row of it was refused: each time deals with a row, or comes nearer to it.
const MAX_ROUNDS: usize = 1_000;

/// How far an import got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows dealt with.
    pub done: u64,
    /// Rows of the file.
    pub total: u64,
}

/// What an import did.
pub struct Outcome {
    /// The batch as it stands.
    pub batch: Batch,
    /// New people.
    pub created: u64,
    /// People who were known and became members of the organisation.
    pub joined: u64,
    /// Rows of people who were members already.
    pub matched: u64,
    /// Rows left out.
    pub skipped: u64,
    /// Why rows were left out in this run.
    pub problems: Problems,
    /// What this run did, but perhaps not as meant.
    pub warnings: Problems,
    /// The passwords that the batch made up, from its beginning on. Once they are written down, call
    /// [`crate::batch::passwords::forget`].
    pub generated_passwords: Vec<GeneratedPassword>,
}

/// Imports a file that was checked.
///
/// # Errors
/// What [`Checked::may_run`] says; [`Error::Conflict`] when the file has changed or its batch is somebody else's;
/// [`Error::Invalid`] when a row was refused that was good a moment ago. What was imported before stays: resume the
/// batch or take it back.
pub async fn run(
    kernel: &Kernel,
    dictionary: &Dictionary,
    source: &Source,
    checked: &Checked,
    progress: impl FnMut(Progress) + Send,
) -> Result<Outcome, Error> {
    checked.may_run()?;
    if source.digest()? != checked.scan.digest {
        return Err(changed(source));
    }
    passwords::forget_before(kernel, kernel.now().plus_seconds(-passwords::KEPT_SECONDS)).await?;
    let options = &checked.options;
    let groups = admission::groups(kernel, &options.organisation).await?;
    let group = match &options.group {
        None => None,
        Some(name) => {
            let gone = || Error::NotFound(format!("group '{name}' is gone"));
            Some(groups.get(name).ok_or_else(gone)?.id.0)
        }
    };
    let batch = Batch {
        id: BatchId(kernel.new_uuid()),
        organisation: options.organisation.id,
        name: batch_name(kernel, source, options).await?,
        status: Status::Processing,
        digest: checked.scan.digest.clone(),
        rows_total: checked.rows,
        rows_done: 0,
        rows_skipped: 0,
        group,
        expires: options.expires,
        terms: Terms {
            file: source.name(),
            store: options.store.word().to_owned(),
            skip_bad: options.skip_bad,
        },
        created: checked.at,
        modified: checked.at,
    };
    batch::begin(kernel, &batch).await?;
    let kernel = &drawing(kernel);
    let import = Import::new(kernel, &options.organisation, &checked.scan, groups, batch)?;
    go_on(import, dictionary, source, checked.at, progress).await
}

async fn batch_name(
    kernel: &Kernel,
    source: &Source,
    options: &ImportOptions,
) -> Result<String, Error> {
    if let Some(name) = &options.name {
        return Ok(name.clone());
    }
    let file: String = source
        .name()
        .chars()
        .filter(|c| !c.is_control())
        .take(80)
        .collect();
    let name = format!(
        "{file} {}",
        kernel.now().to_chrono().format("%Y-%m-%d %H:%M:%S")
    );
    let known = batch::by_name(&kernel.db, options.organisation.id, &name).await?;
    Ok(match known {
        None => name,
        Some(_) => format!("{name} {}", &kernel.new_uuid().simple().to_string()[24..]),
    })
}

/// Goes on with a batch that was killed or stopped at a bad row, exactly after the last row that is in. `skip_bad`
/// says whether bad rows are left out from here on; without it, as the batch began.
///
/// # Errors
/// [`Error::NotFound`] for the batch, [`Error::Conflict`] when it is not unfinished or the file is another one; else as
/// [`run`].
pub async fn resume(
    kernel: &Kernel,
    dictionary: &Dictionary,
    source: &Source,
    id: BatchId,
    skip_bad: Option<bool>,
    progress: impl FnMut(Progress) + Send,
) -> Result<Outcome, Error> {
    let missing = || Error::NotFound(format!("there is no batch with id {id}"));
    let mut batch = batch::by_id(&kernel.db, Scope::Everything, id)
        .await?
        .ok_or_else(missing)?;
    if !batch.status.is_unfinished() {
        let how = if batch.status == Status::Completed {
            "is complete"
        } else {
            "was taken back"
        };
        return Err(Error::Conflict(format!("batch '{}' {how}", batch.name)));
    }
    batch.terms.skip_bad = skip_bad.unwrap_or(batch.terms.skip_bad);
    let organisation: Organisation = organisation::by_id(&kernel.db, batch.organisation)
        .await?
        .ok_or_else(missing)?;
    let at = batch.created;
    let reading = reading(kernel, dictionary, &organisation, at).await?;
    let scan: Scan = scan(source, &reading)?;
    if scan.digest != batch.digest {
        return Err(Error::Conflict(format!(
            "file '{}' is not the one that batch '{}' began with ('{}')",
            source.name(),
            batch.name,
            batch.terms.file
        )));
    }
    let groups = admission::groups(kernel, &organisation).await?;
    let kernel = &drawing(kernel);
    let import = Import::new(kernel, &organisation, &scan, groups, batch)?;
    go_on(import, dictionary, source, at, progress).await
}

/// The same with randomness drawn ahead: a row needs it a dozen times.
fn drawing(kernel: &Kernel) -> Kernel {
    Kernel {
        rng: Arc::new(DrawnRng::new(Arc::clone(&kernel.rng))),
        ..kernel.clone()
    }
}

async fn go_on(
    mut import: Import<'_>,
    dictionary: &Dictionary,
    source: &Source,
    at: Time,
    progress: impl FnMut(Progress) + Send,
) -> Result<Outcome, Error> {
    let kernel = import.kernel;
    kernel.db.fills_tables(true).await?;
    let imported = import_rows(&mut import, dictionary, source, at, progress).await;
    kernel.db.fills_tables(false).await?;
    imported?;
    finish(import).await
}

async fn import_rows(
    import: &mut Import<'_>,
    dictionary: &Dictionary,
    source: &Source,
    at: Time,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(), Error> {
    let kernel = import.kernel;
    let reading = reading(kernel, dictionary, import.organisation, at).await?;
    let Opened::Rows(mut rows) = Rows::open(source, dictionary)? else {
        return Err(changed(source));
    };
    rows.pass_over(import.batch.rows_done)?;
    let mut queue: Vec<Item> = Vec::with_capacity(CHUNK_ROWS);
    let mut rounds = 0;
    let mut gaps = Gaps::new(kernel).await?;
    loop {
        while queue.len() < import.size
            && let Some(item) = rows.next(&reading)?
        {
            queue.push(item);
        }
        if queue.is_empty() {
            break;
        }
        let started = Instant::now();
        let items = &queue[..queue.len().min(import.size)];
        let ended = match import.meet(items).await? {
            Met::Nobody(tx, holders) => import.chunk(items, tx, holders).await?,
            Met::Rows(until) => {
                let (tx, holders) = import.ask(&items[..until]).await?;
                import.chunk(&items[..until], tx, holders).await?
            }
            Met::Again => Ended::Again,
        };
        match ended {
            Ended::Again if rounds < MAX_ROUNDS => {
                rounds += 1;
                continue;
            }
            Ended::Again => {
                return Err(Error::Conflict(
                    "the database keeps refusing these rows; try again".into(),
                ));
            }
            Ended::Rows(done) => drop(queue.drain(..done)),
            Ended::Stopped(problems) => return Err(stopped(&import.batch, &problems)),
        }
        rounds = 0;
        progress(Progress {
            done: import.batch.rows_done,
            total: import.batch.rows_total,
        });
        gaps.leave(kernel, started.elapsed()).await?;
    }
    if rows.digest() != import.batch.digest {
        return Err(changed(source));
    }
    Ok(())
}

fn stopped(batch: &Batch, problems: &[Problem]) -> Error {
    let first = problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    Error::Invalid(format!(
        "{first}; the {} rows before it are imported as batch '{}' ({}): resume it with bad rows left out, or take it back",
        batch.rows_done, batch.name, batch.id
    ))
}

async fn finish(mut import: Import<'_>) -> Result<Outcome, Error> {
    let kernel = import.kernel;
    import.batch.status = Status::Completed;
    let mut tx = kernel.db.begin().await?;
    batch::advance(&mut tx, kernel, import.batch.rows_done, &import.batch).await?;
    tx.commit().await?;
    let counts = batch::counts(&kernel.db, import.batch.id).await?;
    let skipped = import.batch.rows_skipped;
    let batch = import.batch;
    Ok(Outcome {
        created: counts.created,
        joined: counts.joined,
        matched: batch
            .rows_done
            .saturating_sub(counts.created + counts.joined + skipped),
        skipped,
        problems: import.problems,
        warnings: import.warnings,
        generated_passwords: passwords::generated(kernel, batch.id).await?,
        batch,
    })
}
