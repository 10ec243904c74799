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
            Db::Lite { writer, .. } => migrator.run(writer).await?,
            Db::Pg(pool) => migrator.run(pool).await?,
        }
        Ok(())
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
}
