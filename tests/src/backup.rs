//! A backup of a house's database while no server runs, and putting it back.

use crate::house::House;
use crate::place::{apart, say};
use kernel::db::Location;
use sqlx::{Connection, PgConnection};
use std::path::PathBuf;

/// A backup.
pub enum Backup {
    /// A copy of SQLite's file.
    File(PathBuf),
    /// A copy inside PostgreSQL, by its name; it is gone with the house's own database or with the server.
    Copy(String),
}

/// Runs statements beside a database, and not in it.
fn beside(url: &str, statements: Vec<String>) {
    let (server, _) = url.rsplit_once('/').expect("an address ends with a name");
    let maintenance = format!("{server}/postgres");
    apart(async move {
        let mut connection = PgConnection::connect(&maintenance)
            .await
            .expect("the test server is there");
        for statement in statements {
            say(&mut connection, statement).await;
        }
    });
}

fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

impl Backup {
    /// Makes one. Nobody may be connected.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn of(house: &House) -> Backup {
        match house.location() {
            Location::Sqlite(file) => {
                let copy = file.with_extension("backup");
                std::fs::copy(&file, &copy).expect("SQLite's file is there");
                Backup::File(copy)
            }
            Location::Postgres(url) => {
                let copy = format!("{}_backup", name(&url));
                let make = format!("CREATE DATABASE {copy} TEMPLATE {}", name(&url));
                beside(&url, vec![make]);
                Backup::Copy(copy)
            }
        }
    }

    /// Puts it in the place of what is there now; it is used up by that.
    ///
    /// # Panics
    /// When it cannot be put back.
    pub fn put_back(self, house: &House) {
        match (self, house.location()) {
            (Backup::File(copy), Location::Sqlite(file)) => {
                for end in ["db-wal", "db-shm"] {
                    let _ = std::fs::remove_file(file.with_extension(end));
                }
                std::fs::rename(copy, file).expect("it is put back");
            }
            (Backup::Copy(copy), Location::Postgres(url)) => {
                let there = name(&url);
                let drop = format!("DROP DATABASE {there} WITH (FORCE)");
                let rename = format!("ALTER DATABASE {copy} RENAME TO {there}");
                beside(&url, vec![drop, rename]);
            }
            _ => panic!("another engine's backup"),
        }
    }
}
