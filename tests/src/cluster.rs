//! A PostgreSQL of one test's own, to be stopped, started again and taken away for good.

use crate::place::apart;
use crate::wait;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Where Debian puts every version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// A cluster is made or started within this on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster; gone when dropped.
pub struct Cluster {
    folder: TempDir,
    port: u16,
}

impl Cluster {
    /// A fresh one that runs.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub fn new() -> Cluster {
        let folder = tempfile::Builder::new()
            .prefix("gatewarden-pg-")
            .tempdir()
            .expect("a temporary folder can be made");
        if nix::unistd::geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let port = held.local_addr().map_or(0, |local| local.port());
        drop(held);
        let cluster = Cluster { folder, port };
        let data = cluster.data();
        let mut init = cluster.program("initdb");
        init.arg("-D").arg(&data);
        run(init.args([
            "-U",
            "gatewarden",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]));
        cluster.start();
        cluster
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self) {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log");
        let mut start = self.program("pg_ctl");
        start.arg("-D").arg(self.data()).arg("-l").arg(log);
        run(start.args(["-w", "-o", &options, "start"]));
    }

    /// Stops it: "fast" lets connections end, "immediate" is a crash.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self, mode: &str) {
        let mut stop = self.program("pg_ctl");
        stop.arg("-D").arg(self.data());
        run(stop.args(["-w", "-m", mode, "stop"]));
    }

    /// The address of its database.
    pub fn url(&self) -> String {
        format!("postgres://gatewarden@127.0.0.1:{}/postgres", self.port)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let versions = std::fs::read_dir(VERSIONS).expect("PostgreSQL is installed");
        let newest = versions
            .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
            .filter(|path| path.is_file())
            .max()
            .expect("PostgreSQL is installed");
        let mut command = match nix::unistd::geteuid().is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(newest);
                command
            }
            false => Command::new(newest),
        };
        command.current_dir("/");
        command
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.arg("-D").arg(self.data());
        let _ = stop
            .args(["-w", "-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// What `pg_ctl` starts keeps its pipes: its words go to files.
fn run(command: &mut Command) {
    let said = tempfile::NamedTempFile::new().expect("a file");
    let (out, err) = (said.reopen(), said.reopen());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.expect("a file"))
        .stderr(err.expect("a file"))
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let ended = wait::until(PATIENCE, || child.try_wait().ok().flatten());
    let is_done = ended.is_some_and(|status| status.success());
    let said = std::fs::read_to_string(said.path()).unwrap_or_default();
    assert!(is_done, "{command:?}: {ended:?}\n{said}");
}

/// A table that somebody holds for himself alone, until this is dropped.
pub struct TableLock {
    _held: Sender<()>,
}

impl TableLock {
    /// Takes it; it waits for whoever has it.
    ///
    /// # Panics
    /// When there is no such table.
    pub fn take(url: &str, table: &str) -> TableLock {
        let (url, table) = (url.to_owned(), table.to_owned());
        let (held, until) = channel::<()>();
        let (locked, is_locked) = channel();
        std::thread::spawn(move || {
            apart(async move {
                let mut connection = PgConnection::connect(&url).await.expect("it is there");
                let text = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
                let done = sqlx::raw_sql(AssertSqlSafe(text))
                    .execute(&mut connection)
                    .await;
                let _ = locked.send(done.is_ok());
                // Ends when the other end is dropped.
                let _ = until.recv();
            });
        });
        let is_locked = is_locked.recv_timeout(PATIENCE);
        assert_eq!(is_locked, Ok(true), "the table is locked");
        TableLock { _held: held }
    }
}
