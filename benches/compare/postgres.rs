//! A PostgreSQL of the run's own, on the server's core, as durable as it comes: nothing of its defaults is changed but
//! the number of connections.

use crate::line;
use crate::machine::SERVER_CORE;
use crate::process::good;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Connections for every contender at once.
const CONNECTIONS: u32 = 200;

/// A running server; ends with this value.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
}

/// Where a program of PostgreSQL lies: the newest version's.
pub fn program(name: &str) -> String {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    versions.sort();
    versions
        .last()
        .map(|version| version.join("bin").join(name).display().to_string())
        .unwrap_or_else(|| name.to_owned())
}

/// PostgreSQL refuses to run as root.
fn as_postgres(command: Vec<String>) -> Vec<String> {
    match nix::unistd::geteuid().is_root() {
        true => [line!["runuser", "-u", "postgres", "--"], command].concat(),
        false => command,
    }
}

impl Postgres {
    /// Makes a cluster in `folder` and starts it.
    pub fn start(folder: &Path, port: u16) -> Result<Self, String> {
        let data = folder.join("data").display().to_string();
        if nix::unistd::geteuid().is_root() {
            good(SERVER_CORE, &line!["chown", "postgres", folder.display()])?;
        }
        let initdb = line![
            program("initdb"),
            "-D",
            data,
            "-U",
            "bench",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C"
        ];
        good(SERVER_CORE, &as_postgres(initdb))?;
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections={CONNECTIONS}",
            folder.display()
        );
        let log = folder.join("log").display().to_string();
        // Its processes must not hold our pipes open: the log is a file.
        let start = line![
            program("pg_ctl"),
            "-D",
            data,
            "-w",
            "-l",
            log,
            "-o",
            options,
            "start"
        ];
        let server = Self {
            folder: folder.to_owned(),
            port,
        };
        let script = as_postgres(start)
            .iter()
            .map(|word| format!("'{word}'"))
            .collect::<Vec<_>>()
            .join(" ");
        good(
            SERVER_CORE,
            &line!["sh", "-c", format!("{script} >/dev/null 2>&1 </dev/null")],
        )?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database.
    pub fn create(&self, name: &str) -> Result<String, String> {
        self.ask("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://bench@127.0.0.1:{}/{name}", self.port))
    }

    fn psql(&self, database: &str, more: Vec<String>) -> Vec<String> {
        let port = self.port.to_string();
        let psql = line![
            program("psql"),
            "-X",
            "-q",
            "-t",
            "-A",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            port,
            "-U",
            "bench",
            "-d",
            database
        ];
        [psql, more].concat()
    }

    /// How long a file with username, password and e-mail takes into one table without a key.
    pub fn copy_floor(&self, database: &str, file: &Path) -> Result<Duration, String> {
        let table = "CREATE TABLE floor (username TEXT, password TEXT, email TEXT)";
        self.ask(database, table)?;
        let started = Instant::now();
        let copy = format!("\\copy floor from '{}' csv header", file.display());
        self.ask(database, &copy)?;
        let took = started.elapsed();
        self.ask(database, "DROP TABLE floor")?;
        Ok(took)
    }

    /// Runs SQL and gives what it says.
    pub fn ask(&self, database: &str, sql: &str) -> Result<String, String> {
        good(SERVER_CORE, &self.psql(database, line!["-c", sql])).map(|text| text.trim().to_owned())
    }

    /// Lets the connections that are made from now on use these cores.
    pub fn use_cores(&self, cores: &str) -> Result<(), String> {
        let file = self.folder.join("data/postmaster.pid");
        let text =
            std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let process = text.lines().next().unwrap_or_default();
        let command = line!["taskset", "-a", "-p", "-c", cores, process];
        good(SERVER_CORE, &command).map(|_| ())
    }

    /// Does at once what it would do by itself some time after many rows have come in, so that it does not do so while
    /// something is measured.
    pub fn rest(&self, database: &str) -> Result<(), String> {
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            self.ask(database, statement)?;
        }
        Ok(())
    }

    /// Runs a file of SQL.
    pub fn run(&self, database: &str, file: &Path) -> Result<(), String> {
        good(
            SERVER_CORE,
            &self.psql(database, line!["-f", file.display()]),
        )
        .map(|_| ())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.join("data").display().to_string();
        let stop = line![program("pg_ctl"), "-D", data, "-m", "immediate", "stop"];
        let _ = good(SERVER_CORE, &as_postgres(stop));
    }
}
