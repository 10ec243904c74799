//! Where a run takes place: folders, ports, PostgreSQL, the binary, and the commands that were given.

use crate::line;
use crate::machine::SERVER_CORE;
use crate::postgres::Postgres;
use crate::process::Server;
use std::collections::HashSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How long and how often.
pub struct Pattern {
    pub runs: u32,
    /// Seconds of a closed loop.
    pub seconds: f64,
    /// Seconds before it that do not count.
    pub warm_up: f64,
    /// Seconds of a run of accounting.
    pub accounting_seconds: f64,
    /// Seconds of the long run of accounting.
    pub long_seconds: f64,
    pub is_quick: bool,
}

impl Default for Pattern {
    fn default() -> Self {
        Self {
            runs: 5,
            seconds: 5.0,
            warm_up: 1.0,
            accounting_seconds: 10.0,
            long_seconds: 60.0,
            is_quick: false,
        }
    }
}

impl Pattern {
    /// To see where things stand.
    pub fn medium() -> Self {
        Self {
            runs: 3,
            ..Self::default()
        }
    }

    /// To see that it works.
    pub fn quick() -> Self {
        Self {
            runs: 1,
            seconds: 2.0,
            warm_up: 0.5,
            accounting_seconds: 2.0,
            long_seconds: 10.0,
            is_quick: true,
        }
    }
}

pub struct Stage {
    pub pattern: Pattern,
    pub gatewarden_binary: String,
    pub postgres: Postgres,
    folder: TempDir,
    prepared: HashSet<String>,
    commands: Vec<String>,
    next_port: u16,
    last_log: PathBuf,
}

impl Stage {
    /// Builds the binary unless one is given, and starts PostgreSQL.
    pub fn set(pattern: Pattern, binary: Option<String>) -> Result<Self, String> {
        let gatewarden_binary = match binary {
            Some(binary) => binary,
            None => build()?,
        };
        let folder = tempfile::Builder::new()
            .prefix("gatewarden-compare.")
            .tempdir()
            .map_err(|e| format!("no temporary folder: {e}"))?;
        // PostgreSQL runs as somebody else where this runs as root.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let open = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(folder.path(), open).map_err(|e| e.to_string())?;
        }
        let mut next_port = 21_000;
        let home = folder.path().join("postgres");
        std::fs::create_dir(&home).map_err(|e| e.to_string())?;
        let postgres = Postgres::start(&home, free_port(&mut next_port))?;
        Ok(Self {
            pattern,
            gatewarden_binary,
            postgres,
            last_log: folder.path().join("none"),
            folder,
            prepared: HashSet::new(),
            commands: Vec::new(),
            next_port,
        })
    }

    /// A folder of the run.
    pub fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(folder)
    }

    /// A port whose next one is free, too.
    pub fn port(&mut self) -> u16 {
        free_port(&mut self.next_port)
    }

    pub fn postgres_url(&self, database: &str) -> String {
        format!(
            "postgres://bench@127.0.0.1:{}/{database}",
            self.postgres.port()
        )
    }

    /// Whether this has been made already; asking makes it so.
    pub fn is_prepared(&mut self, name: &str) -> bool {
        !self.prepared.insert(name.to_owned())
    }

    /// Starts a server on its core.
    pub fn serve(&mut self, name: &str, command: &[String]) -> Result<Server, String> {
        self.remember(SERVER_CORE, command);
        self.last_log = self.folder.path().join(format!("{name}.log"));
        Server::start(SERVER_CORE, command, &self.last_log)
    }

    /// The end of what the last server said.
    pub fn log_of_last(&self) -> String {
        let log = std::fs::read_to_string(&self.last_log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Whether the last server has said this.
    pub fn last_log_says(&self, word: &str) -> bool {
        std::fs::read_to_string(&self.last_log).is_ok_and(|log| log.contains(word))
    }

    /// Keeps a command for the report, without what differs from run to run.
    pub fn remember(&mut self, core: u32, command: &[String]) {
        let is_port = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        let mut words = Vec::with_capacity(command.len());
        let mut before = "";
        for word in command {
            // Ports stand behind an address, where a path may follow, and behind options that name them.
            let place = word.rsplit_once(':').map(|(host, rest)| {
                let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (host, port, path)
            });
            words.push(match place {
                Some((host, port, path)) if is_port(port) => format!("{host}:PORT{path}"),
                _ if before.ends_with("-port") => "PORT".to_owned(),
                _ => word.clone(),
            });
            before = word;
        }
        let mut line = format!("taskset -c {core} {}", words.join(" "));
        line = line.replace(&self.folder.path().display().to_string(), "$W");
        line = line.replace(&self.gatewarden_binary, "gatewarden");
        if !self.commands.contains(&line) {
            self.commands.push(line);
        }
    }

    pub fn commands(&self) -> &[String] {
        &self.commands
    }
}

fn free_port(next: &mut u16) -> u16 {
    loop {
        let port = *next;
        *next += 2;
        let is_free = |port| {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                && std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        };
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where a page of the documentation lies.
pub fn page(name: &str) -> PathBuf {
    root().join("docs").join(name)
}

fn build() -> Result<String, String> {
    println!("Building gatewarden with the release profile, as its users have it.");
    let cargo = line!["build", "--locked", "--release", "-p", "gatewarden"];
    let status = std::process::Command::new("cargo")
        .args(cargo)
        .current_dir(root())
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if !status.success() {
        return Err("gatewarden does not build".to_owned());
    }
    let target =
        std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root().join("target"), PathBuf::from);
    let binary = target.join("release/gatewarden");
    let binary = binary
        .canonicalize()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    Ok(binary.display().to_string())
}
