//! A chunk's transaction, and the task that writes one pile of people with it while the next pile is made.
//!
//! The database works while rows are examined, hashes sealed and versions put into words: an import takes as long as the
//! slower of the two and not as long as both. Everything is in one transaction all the same, in the order of the rows.

use super::problem::{Problem, Problems};
use crate::batch::{self, BatchId, Part};
use access::admit::Admission;
use kernel::{Error, Kernel, OrganisationId, Tx};
use tokio::task::JoinHandle;

/// People who are written at a time.
pub(super) const PILE: usize = 256;

/// What is about to be written.
#[derive(Default)]
pub(super) struct Pile {
    pub(super) admissions: Vec<Admission>,
    /// What the batch notes of each of them.
    pub(super) parts: Vec<Part>,
}

/// The transaction: at hand, or with the task that writes.
pub(super) struct Desk {
    tx: Option<Tx>,
    writing: Option<JoinHandle<Result<(Tx, Problems), Error>>>,
    warnings: Problems,
}

impl Desk {
    pub(super) fn new(tx: Tx) -> Self {
        Self {
            tx: Some(tx),
            writing: None,
            warnings: Problems::default(),
        }
    }

    /// The transaction, once nothing is being written.
    ///
    /// # Errors
    /// As [`access::admit::admit_many`] of what was being written; then the transaction is given up.
    pub(super) async fn tx(&mut self) -> Result<&mut Tx, Error> {
        if let Some(writing) = self.writing.take() {
            let written = writing.await.map_err(|_| cut_short())?;
            let (tx, warnings) = written?;
            self.warnings.merge(warnings);
            self.tx = Some(tx);
        }
        self.tx.as_mut().ok_or_else(cut_short)
    }

    /// Begins to write a pile.
    ///
    /// # Errors
    /// As [`Desk::tx`], of the pile before.
    pub(super) async fn write(
        &mut self,
        kernel: &Kernel,
        organisation: OrganisationId,
        batch: BatchId,
        pile: Pile,
    ) -> Result<(), Error> {
        self.tx().await?;
        let mut tx = self.tx.take().ok_or_else(cut_short)?;
        let kernel = kernel.clone();
        self.writing = Some(tokio::spawn(async move {
            match write(&mut tx, &kernel, organisation, batch, pile).await {
                Ok(warnings) => Ok((tx, warnings)),
                Err(reason) => {
                    tx.rollback().await?;
                    Err(reason)
                }
            }
        }));
        Ok(())
    }

    /// The transaction and what there was to warn of, once everything is written.
    ///
    /// # Errors
    /// As [`Desk::tx`].
    pub(super) async fn close(mut self) -> Result<(Tx, Problems), Error> {
        self.tx().await?;
        let tx = self.tx.ok_or_else(cut_short)?;
        Ok((tx, self.warnings))
    }
}

fn cut_short() -> Error {
    Error::Invalid("the import was cut short while it wrote".to_owned())
}

/// Writes everybody of a pile, each table in few statements.
async fn write(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    batch: BatchId,
    pile: Pile,
) -> Result<Problems, Error> {
    let made = access::admit::admit_many(tx, kernel, organisation, pile.admissions).await?;
    batch::put_made(tx, batch, &pile.parts).await?;
    let mut warnings = Problems::default();
    for (made, part) in made.iter().zip(&pile.parts) {
        let problem = |said: &identity::Warning| Problem::new(part.line, None, said.to_string());
        warnings.extend(made.warnings.iter().map(problem));
    }
    Ok(warnings)
}
