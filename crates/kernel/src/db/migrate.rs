//! The schema: `migrations/common`, and beside it what only one engine has, merged into one ordered list.

use super::{Db, Engine, Error};
use sqlx::migrate::{Migration, Migrator};

static COMMON: Migrator = sqlx::migrate!("../../migrations/common");
static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

impl Db {
    /// Brings the schema up to date; a database that is current is left as it is.
    ///
    /// # Errors
    /// [`Error::Migration`] names the migration that failed, or the one that this version does not know.
    pub async fn migrate(&self) -> Result<(), Error> {
        let migrator = merged(self.engine());
        match self {
            // SQLite's migrator takes no lock of its own: two processes that open a fresh file would both make its
            // tables. In a transaction that began by writing, the second waits and then finds them made.
            Db::Lite { writer, .. } => {
                let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
                // Not `run`: what it makes of a connection cannot be sent to another thread.
                migrator.run_direct(None, &mut *tx, false).await?;
                tx.commit().await?;
            }
            Db::Pg(pool) => migrator.run(pool).await?,
        }
        Ok(())
    }
}

impl Engine {
    /// The number of the newest migration this program brings.
    pub fn newest_schema(self) -> i64 {
        merged(self).iter().map(|m| m.version).max().unwrap_or(0)
    }
}

fn merged(engine: Engine) -> Migrator {
    let own = match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    };
    let mut migrations: Vec<Migration> = COMMON.iter().chain(own.iter()).cloned().collect();
    migrations.sort_by_key(|migration| migration.version);
    Migrator::with_migrations(migrations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;

    #[test]
    fn a_version_number_is_used_once() {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            let versions: Vec<i64> = merged(engine).iter().map(|m| m.version).collect();
            let mut unique = versions.clone();
            unique.dedup();
            assert_eq!(versions, unique);
            assert!(versions.len() > COMMON.iter().count());
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_that_open_a_fresh_file_at_once_all_find_the_schema() {
        for _ in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let location = Location::Sqlite(folder.path().join("fresh.db"));
            let opening: Vec<_> = (0..6)
                .map(|_| location.clone())
                .map(|location| tokio::spawn(async move { location.open().await }))
                .collect();
            for opened in opening {
                let db = opened.await.unwrap().unwrap();
                db.prepare("SELECT id FROM organisation").await.unwrap();
                db.close().await;
            }
        }
    }
}
