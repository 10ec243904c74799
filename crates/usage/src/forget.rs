//! Old rows are deleted in short transactions, and a run has an end.

use kernel::Kernel;
use kernel::db::{Error, Value};

/// What one run of forgetting may do.
#[derive(Clone, Copy)]
pub struct Run {
    /// Rows of one transaction.
    pub rows: i64,
    /// Transactions of one run: the rest waits for the next.
    pub chunks: usize,
}

impl Run {
    /// Of rows that have some hundred octets.
    pub const USUAL: Self = Self {
        rows: 2_000,
        chunks: 500,
    };

    /// Deletes with `sql`, whose `$1` is `before` and whose `$2` limits the rows; how many they were.
    ///
    /// # Errors
    /// [`Error::Engine`]; chunks that were committed stay deleted.
    pub async fn forget(
        self,
        kernel: &Kernel,
        sql: &'static str,
        before: impl Into<Value>,
    ) -> Result<u64, Error> {
        let before = before.into();
        let mut gone = 0;
        for _ in 0..self.chunks {
            let mut tx = kernel.db.begin().await?;
            let values = vec![before.clone(), self.rows.into()];
            let chunk = tx.run(sql, values).await?;
            tx.commit().await?;
            gone += chunk;
            if chunk < self.rows.unsigned_abs() {
                break;
            }
        }
        Ok(gone)
    }
}
