//! A database and a data folder of one test's own, gone when it ends.
//!
//! PostgreSQL: one migrated template for the whole run, made once under an advisory lock; each test copies it.

use kernel::db::{Db, Location};
use kernel::{Engine, FixedClock, Kernel, Keyring, SeededRng, Time};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Where the test server's maintenance database is.
pub const POSTGRES_VARIABLE: &str = "GATEWARDEN_TEST_POSTGRES";
/// One lock for everybody who makes the template.
const TEMPLATE_LOCK: i64 = 0x6761_7465;

/// A folder, and beside it a database where the engine is not in the folder.
pub struct Place {
    engine: Engine,
    folder: TempDir,
    postgres: Option<PostgresDatabase>,
}

struct PostgresDatabase {
    maintenance: String,
    name: String,
    url: String,
}

impl Place {
    /// A fresh one.
    ///
    /// # Panics
    /// When the test server is not there; `./test` starts it.
    pub fn new(engine: Engine) -> Place {
        let folder = tempfile::Builder::new()
            .prefix("gatewarden-")
            .tempdir()
            .expect("a temporary folder can be made");
        let postgres = (engine == Engine::Postgres).then(|| apart(make_database()));
        Place {
            engine,
            folder,
            postgres,
        }
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database's address, where it is not a file in the folder.
    pub fn database(&self) -> Option<&str> {
        self.postgres.as_ref().map(|database| database.url.as_str())
    }

    /// Takes the database away, or brings it back. PostgreSQL only.
    ///
    /// # Panics
    /// When there is none.
    pub fn set_database_reachable(&self, is_reachable: bool) {
        self.postgres
            .as_ref()
            .expect("a story on PostgreSQL")
            .set_reachable(is_reachable);
    }

    /// Where a room finds its rows.
    pub fn location(&self) -> Location {
        match &self.postgres {
            Some(database) => Location::Postgres(database.url.clone()),
            None => Location::Sqlite(self.folder.path().join("battery.db")),
        }
    }
}

impl PostgresDatabase {
    /// Lets nobody in and throws everybody out, or lets them in again.
    fn set_reachable(&self, is_reachable: bool) {
        let (maintenance, name) = (self.maintenance.clone(), self.name.clone());
        apart(async move {
            let mut connection = PgConnection::connect(&maintenance)
                .await
                .expect("the test server is there");
            say(
                &mut connection,
                format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {is_reachable}"),
            )
            .await;
            if !is_reachable {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
                say(&mut connection, format!("{end} '{name}'")).await;
            }
        });
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (maintenance, name) = (self.maintenance.clone(), self.name.clone());
        // A database that stays behind is gone with the server.
        apart(async move {
            if let Ok(mut connection) = PgConnection::connect(&maintenance).await {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                let _ = sqlx::raw_sql(AssertSqlSafe(drop))
                    .execute(&mut connection)
                    .await;
            }
        });
    }
}

/// Runs a future to its end on a thread of its own: tests that have a runtime and tests that have none both may.
pub(crate) fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made")
            .block_on(work)
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn make_database() -> PostgresDatabase {
    let maintenance = std::env::var(POSTGRES_VARIABLE).unwrap_or_else(|_| {
        panic!("{POSTGRES_VARIABLE} is not set: run this through ./test, which starts PostgreSQL")
    });
    let mut connection = PgConnection::connect(&maintenance)
        .await
        .unwrap_or_else(|e| panic!("{POSTGRES_VARIABLE}: {e}"));
    let template = make_template(&mut connection, &maintenance).await;
    let name = format!("gatewarden_{}", uuid::Uuid::new_v4().simple());
    say(
        &mut connection,
        format!("CREATE DATABASE {name} TEMPLATE {template}"),
    )
    .await;
    PostgresDatabase {
        url: beside(&maintenance, &name),
        maintenance,
        name,
    }
}

/// The migrated template, made when it is not there. Its name says which migrations it holds.
async fn make_template(connection: &mut PgConnection, maintenance: &str) -> String {
    let template = format!("gatewarden_template_{:016x}", migrations_digest());
    say(
        connection,
        format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})"),
    )
    .await;
    let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(&template)
        .fetch_optional(&mut *connection)
        .await
        .expect("pg_database can be read");
    if found.is_none() {
        // Half a template must never carry its name.
        let unfinished = format!("{template}_unfinished");
        say(
            connection,
            format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        )
        .await;
        say(connection, format!("CREATE DATABASE {unfinished}")).await;
        let db = Location::Postgres(beside(maintenance, &unfinished))
            .open()
            .await;
        db.unwrap_or_else(|e| panic!("the template: {e}"))
            .close()
            .await;
        say(
            connection,
            format!("ALTER DATABASE {unfinished} RENAME TO {template}"),
        )
        .await;
    }
    say(
        connection,
        format!("SELECT pg_advisory_unlock({TEMPLATE_LOCK})"),
    )
    .await;
    template
}

pub(crate) async fn say(connection: &mut PgConnection, sql: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await;
    assert!(done.is_ok(), "{sql}: {done:?}");
}

/// The address of another database on the same server.
fn beside(maintenance: &str, name: &str) -> String {
    let (address, query) = maintenance.split_once('?').unwrap_or((maintenance, ""));
    let (server, _) = address
        .rsplit_once('/')
        .expect("an address ends with a database's name");
    match query {
        "" => format!("{server}/{name}"),
        query => format!("{server}/{name}?{query}"),
    }
}

fn migrations_digest() -> u64 {
    let mut digest = DefaultHasher::new();
    for folder in ["common", "postgres"] {
        for (path, text) in crate::source::files(&format!("migrations/{folder}"), "sql") {
            (path, text).hash(&mut digest);
        }
    }
    digest.finish()
}

/// A kernel over a fresh database, for the batteries that call rooms directly. Its clock stands still.
pub struct Store {
    /// What rooms are handed.
    pub kernel: Kernel,
    /// The clock inside, to be moved.
    pub clock: Arc<FixedClock>,
    place: Place,
}

/// 2027-01-15, noon in UTC.
pub const NOON: i64 = 1_800_014_400;

impl Store {
    /// A fresh one.
    ///
    /// # Panics
    /// When the database cannot be made.
    pub async fn open(engine: Engine) -> Store {
        let place = Place::new(engine);
        let db = open(&place).await;
        let clock = Arc::new(FixedClock::new(Time::from_unix_seconds(NOON)));
        let rng = SeededRng::new(NOON.unsigned_abs());
        let keys =
            Keyring::parse(&Keyring::fresh_text(&rng)).expect("a fresh key ring is readable");
        let kernel = Kernel {
            db,
            clock: clock.clone(),
            rng: Arc::new(rng),
            keys: Arc::new(keys),
        };
        Store {
            kernel,
            clock,
            place,
        }
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.place.engine()
    }

    /// A second set of connections to the same database: another process, as far as the engine can tell.
    ///
    /// # Panics
    /// When the database cannot be opened.
    pub async fn another(&self) -> Db {
        open(&self.place).await
    }

    /// Whether news of a kind was told. On PostgreSQL news waits for every transaction of the server that began before
    /// it, those of other tests' databases too, so this looks until it is there or ten seconds are over.
    ///
    /// # Panics
    /// When the events cannot be read.
    pub async fn was_told(&self, kind: &str) -> bool {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let events = self
                .kernel
                .db
                .events_after(kernel::Position::default())
                .await;
            let events = events.expect("events can be read");
            if events.iter().any(|event| event.kind == kind) {
                return true;
            }
            if std::time::Instant::now() > end {
                return false;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn open(place: &Place) -> Db {
    place
        .location()
        .open()
        .await
        .unwrap_or_else(|e| panic!("{e}"))
}
