//! The real binary over a place: operators' commands, and the server as a process that can be killed.

use crate::model::Model;
use crate::place::{Place, apart};
use crate::wait;
use kernel::Engine;
use kernel::db::Location;
use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The binary under test; without it the one beside the test's own executable.
pub const BINARY_VARIABLE: &str = "GATEWARDEN_TEST_BINARY";
/// From the start of the process to its first answer: seconds, on a machine that runs other tests beside it.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Another test may take a port between looking and binding.
const START_ATTEMPTS: usize = 5;

/// Stands in a configuration's text for the port of authentication: then the command line names none.
pub const AUTH_PORT: &str = "{auth}";
/// The same for accounting.
pub const ACCT_PORT: &str = "{acct}";

/// One data folder, one database, and the binary.
pub struct House {
    place: Place,
    /// Where the database is instead of where the place has it.
    database: Option<String>,
    /// What starts the server in place of the binary alone: a program and its arguments.
    starter: Vec<String>,
}

/// What a command said.
pub struct Said {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl House {
    /// A fresh one.
    pub fn new(engine: Engine) -> House {
        House {
            place: Place::new(engine),
            database: None,
            starter: Vec::new(),
        }
    }

    /// A fresh one over a database that is elsewhere.
    pub fn over(url: &str) -> House {
        let mut house = House::new(Engine::Sqlite);
        house.database = Some(url.to_owned());
        house
    }

    /// From now on the database is reached at another address.
    pub fn set_database(&mut self, url: &str) {
        self.database = Some(url.to_owned());
    }

    /// From now on this program starts the server, with the binary and its arguments behind its own: a shell that sets a
    /// limit, say.
    pub fn start_through(&mut self, starter: &[&str]) {
        self.starter = starter.iter().map(|&word| word.to_owned()).collect();
    }

    /// The database's address, where it is not a file in the folder.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref().or_else(|| self.place.database())
    }

    /// A fresh one on SQLite, with a NAS for the whole loopback network.
    pub fn with_nas() -> House {
        let house = House::new(Engine::Sqlite);
        house.add_nas();
        house
    }

    /// Adds a NAS for the whole loopback network, with the stories' secret.
    pub fn add_nas(&self) {
        self.run(&[
            "nas",
            "add",
            "127.0.0.0/8",
            "--org",
            "default",
            "--secret",
            crate::nas::SECRET,
        ]);
    }

    /// Adds one who may use as much as there is: the default group has a limit for a day, which a load soon spends.
    pub fn add_unlimited_user(&self, name: &str, password: &str) {
        self.add_user(name, password);
        self.run(&["user", "set", name, "--group", "default-power-users"]);
    }

    /// Adds a person whose password serves every method.
    pub fn add_user(&self, name: &str, password: &str) {
        self.run(&[
            "user",
            "add",
            name,
            "--org",
            "default",
            "--password",
            password,
            "--store",
            "recoverable",
        ]);
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.place.folder()
    }

    /// Where its database is.
    pub fn location(&self) -> Location {
        match self.database() {
            Some(url) => Location::Postgres(url.to_owned()),
            None => Location::Sqlite(self.place.folder().join("gatewarden.db")),
        }
    }

    /// Where the database says something else than the model; empty is right.
    ///
    /// # Panics
    /// When the database cannot be read.
    pub fn differences(&self, model: &Arc<Model>) -> Vec<String> {
        let (location, model) = (self.location(), model.clone());
        apart(async move {
            let db = location.connect().await.unwrap_or_else(|e| panic!("{e}"));
            let told = model.differences(&db).await;
            db.close().await;
            told.unwrap_or_else(|e| panic!("{e}"))
        })
    }

    /// Waits until the database says what the model says.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn agrees_with(&self, model: Model, limit: Duration) {
        let model = Arc::new(model);
        let mut last = Vec::new();
        let right = wait::until(limit, || {
            last = self.differences(&model);
            last.is_empty().then_some(())
        });
        assert!(
            right.is_some(),
            "not within {limit:?}; {} acknowledged: {last:#?}",
            model.reports()
        );
    }

    /// Takes the database away from everybody, or brings it back. PostgreSQL only.
    pub fn set_database_reachable(&self, is_reachable: bool) {
        self.place.set_database_reachable(is_reachable);
    }

    /// Writes a file into the data folder's neighbourhood and gives its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.place.folder().join(name);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path.to_string_lossy().into_owned()
    }

    /// A command over this house, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Command::new(binary()), arguments)
    }

    fn command_of(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.arg("--data").arg(self.place.folder());
        if let Some(database) = self.database() {
            command.args(["--database", database]);
        }
        command.args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GATEWARDEN_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command that must succeed; its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let said = self.attempt(arguments);
        assert_eq!(
            said.code,
            Some(0),
            "gatewarden {}\n{}{}",
            arguments.join(" "),
            said.out,
            said.err
        );
        said.out
    }

    /// Runs a command that may fail.
    ///
    /// # Panics
    /// When the binary cannot be started.
    pub fn attempt(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output())
    }

    /// Runs a command that must succeed; its standard output as JSON.
    ///
    /// # Panics
    /// When it fails or prints something else.
    pub fn json(&self, arguments: &[&str]) -> Json {
        let out = self.run(arguments);
        serde_json::from_str(&out)
            .unwrap_or_else(|e| panic!("gatewarden {}: {e}\n{out}", arguments.join(" ")))
    }

    /// Every session, closed ones too.
    ///
    /// # Panics
    /// When the command does not print one array.
    pub fn sessions(&self) -> Vec<Json> {
        match self.json(&["session", "list", "--all", "--json"]) {
            Json::Array(rows) => rows,
            other => panic!("not an array: {other}"),
        }
    }

    /// Waits until the list of all sessions is as wanted, and gives it.
    ///
    /// # Panics
    /// When it is not within ten seconds.
    pub fn sessions_once(&self, what: &str, wanted: impl Fn(&[Json]) -> bool) -> Vec<Json> {
        let mut last = Vec::new();
        let found = wait::until(Duration::from_secs(10), || {
            last = self.sessions();
            wanted(&last).then_some(())
        });
        assert!(
            found.is_some(),
            "not within ten seconds: {what}; there is {last:#?}"
        );
        last
    }

    /// Starts the server on free ports and waits until it is ready.
    pub fn start(&self) -> Server {
        self.start_with(&[], "")
    }

    /// The same with more arguments after `serve`, and with a configuration file where its text is not empty.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_with(&self, arguments: &[&str], config: &str) -> Server {
        let mut last = String::new();
        for _ in 0..START_ATTEMPTS {
            match self.try_start(arguments, config) {
                Ok(server) => return server,
                Err(log) => last = log,
            }
        }
        panic!("the server does not start:\n{last}");
    }

    /// Starts `dev`, with demo content and data of its own.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_dev(&self) -> Server {
        let leases = [Lease::take(), Lease::take(), Lease::take()];
        let ports = leases.each_ref().map(|lease| lease.port);
        let [auth, acct, http] = ports.map(|port| port.to_string());
        let [auth_lease, acct_lease, http_lease] = leases;
        drop(http_lease);
        let mut command = Command::new(binary());
        command
            .args([
                "dev",
                "--auth-port",
                &auth,
                "--acct-port",
                &acct,
                "--http",
                &format!("127.0.0.1:{http}"),
            ])
            .stdin(Stdio::null());
        let started = launch(command, ports, vec![auth_lease, acct_lease]);
        started.unwrap_or_else(|log| panic!("dev does not start:\n{log}"))
    }

    /// Starts the server again on the ports that another had.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_at(&self, ports: Ports) -> Server {
        let started = self.serve(ports, &[], "");
        started.unwrap_or_else(|log| panic!("the server does not start:\n{log}"))
    }

    fn try_start(&self, arguments: &[&str], config: &str) -> Result<Server, String> {
        let leases = [Lease::take(), Lease::take(), Lease::take()];
        let numbers = leases.each_ref().map(|lease| lease.port);
        let [auth_lease, acct_lease, http_lease] = leases;
        // The HTTP door needs its own number: its lease ends here.
        drop(http_lease);
        let leases = vec![auth_lease, acct_lease];
        self.serve(Ports { numbers, leases }, arguments, config)
    }

    fn serve(&self, ports: Ports, arguments: &[&str], config: &str) -> Result<Server, String> {
        let Ports { numbers, leases } = ports;
        let [auth, acct, http] = numbers.map(|port| port.to_string());
        let starter = match self.starter.split_first() {
            None => Command::new(binary()),
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(binary());
                command
            }
        };
        let mut command = match config {
            "" => self.command_of(starter, &[]),
            text => {
                let text = text.replace(AUTH_PORT, &auth).replace(ACCT_PORT, &acct);
                self.command_of(starter, &["--config", &self.file("gatewarden.toml", &text)])
            }
        };
        command.args(["serve", "--http", &format!("127.0.0.1:{http}")]);
        if !config.contains(AUTH_PORT) {
            command.args(["--auth-port", &auth, "--acct-port", &acct]);
        }
        command.args(arguments);
        launch(command, numbers, leases)
    }
}

/// Ports that stay held from one server to the next: authentication, accounting, HTTP.
pub struct Ports {
    numbers: [u16; 3],
    leases: Vec<Lease>,
}

/// Starts a process that serves on these ports (authentication, accounting, HTTP) and waits until it is ready.
///
/// # Errors
/// What it printed, when it ends or does not get ready.
fn launch(mut command: Command, ports: [u16; 3], leases: Vec<Lease>) -> Result<Server, String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", binary().display()));
    let log = Arc::new(Mutex::new(String::new()));
    keep(child.stdout.take(), &log);
    keep(child.stderr.take(), &log);
    let [auth, acct, http] = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut server = Server {
        child,
        auth,
        acct,
        http,
        log,
        leases,
    };
    let ready = wait::until(START_LIMIT, || match server.child.try_wait() {
        Ok(None) => (server.health() == Some(200)).then_some(true),
        _ => Some(false),
    });
    match ready {
        Some(true) => Ok(server),
        _ => Err(server.log()),
    }
}

/// Runs the binary without a house, with something on its standard input.
///
/// # Panics
/// When it cannot be started.
pub fn run_with_input(arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", binary().display()));
    let mut pipe = child.stdin.take().expect("it was asked for");
    let input = input.to_owned();
    // A thread of its own: the command may write before it has read everything.
    let writer = std::thread::spawn(move || {
        let _ = pipe.write_all(input.as_bytes());
    });
    let said = said(child.wait_with_output());
    let _ = writer.join();
    said
}

fn said(output: std::io::Result<Output>) -> Said {
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", binary().display()));
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The binary under test.
///
/// # Panics
/// When it is not there.
pub fn binary() -> PathBuf {
    let path = match std::env::var_os(BINARY_VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => {
            // <target>/<profile>/deps/<this test>
            let here = std::env::current_exe().expect("a test knows where it is");
            here.ancestors().nth(2).unwrap_or(&here).join("gatewarden")
        }
    };
    assert!(
        path.is_file(),
        "{} is not there: run ./test, or cargo build --bin gatewarden",
        path.display()
    );
    path
}

/// What an HTTP door answered.
pub struct Page {
    /// The status code.
    pub status: u16,
    /// Status line and header fields, in small letters.
    pub head: String,
    /// What follows them.
    pub body: String,
}

/// A port number that no other test of this machine takes while this lives: the TCP port of the same number is held,
/// and the kernel gives that to one only. A server's UDP sockets share their port (SO_REUSEPORT), so two servers on
/// one number would otherwise steal each other's packets without a word.
struct Lease {
    port: u16,
    _held: TcpListener,
}

impl Lease {
    fn take() -> Lease {
        loop {
            let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
            let port = held.local_addr().map_or(0, |local| local.port());
            if UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
                return Lease { port, _held: held };
            }
        }
    }
}

fn keep(pipe: Option<impl Read + Send + 'static>, log: &Arc<Mutex<String>>) {
    let Some(pipe) = pipe else { return };
    let log = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// A running server.
pub struct Server {
    child: Child,
    auth: SocketAddr,
    acct: SocketAddr,
    http: SocketAddr,
    log: Arc<Mutex<String>>,
    leases: Vec<Lease>,
}

impl Server {
    /// Where it answers Access-Requests.
    pub fn auth(&self) -> SocketAddr {
        self.auth
    }

    /// Where it answers Accounting-Requests.
    pub fn acct(&self) -> SocketAddr {
        self.acct
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The status of `/healthz`.
    pub fn health(&self) -> Option<u16> {
        self.page("/healthz").map(|page| page.status)
    }

    /// A page of its HTTP door.
    pub fn page(&self, path: &str) -> Option<Page> {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.http
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        BufReader::new(stream).read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Page {
            status: head.split(' ').nth(1)?.trim().parse().ok()?,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an operator would, and keeps its ports for the next one.
    pub fn make_way(mut self) -> (Option<i32>, Ports) {
        let ports = Ports {
            numbers: [self.auth, self.acct, self.http].map(|address| address.port()),
            leases: std::mem::take(&mut self.leases),
        };
        (self.stop(), ports)
    }

    /// Ends it with nothing saved: SIGKILL.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn kill(mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server has ended");
    }

    /// Ends it as an operator would: SIGTERM. Its exit code.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id()).expect("a process id");
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        )
        .expect("the server runs");
        let ended = wait::until(Duration::from_secs(20), || {
            self.child.try_wait().ok().flatten()
        });
        ended
            .unwrap_or_else(|| panic!("it does not end:\n{}", self.log()))
            .code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the server said:\n{}", self.log());
        }
    }
}
