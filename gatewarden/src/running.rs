//! A server that runs in this process: its doors and its jobs, started in order and stopped in order.

use crate::failure::Failure;
use crate::house::House;
use crate::jobs::Jobs;
use crate::status::control::Control;
use crate::status::numbers::Pages;
use aaa_server::{Purpose, RadiusConfig, Server, ServerHealth, ServerParts};
use mgmt_api::{HttpConfig, HttpDoor};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How often it is looked whether the register has loaded.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The system's word to a process that reached its limit of a file's size (`LimitFSIZE=`, `ulimit -f`).
const FILE_SIZE: nix::sys::signal::Signal = nix::sys::signal::Signal::SIGXFSZ;

/// Signals within this time are one.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// A running server.
pub struct Running {
    server: Server,
    http: Option<HttpDoor>,
    control: Option<Control>,
    jobs: Jobs,
    house: House,
    opening: Option<tokio::task::JoinHandle<()>>,
}

/// Longest wait between two tries to open a database that was away at the start.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The first.
const FIRST_WAIT: Duration = Duration::from_millis(500);

impl Running {
    /// Starts the doors and the jobs. A database that `is_open` says is away is opened as soon as it is there.
    ///
    /// # Errors
    /// The address that is in use, the journal that another process holds.
    pub async fn start(
        house: House,
        is_open: bool,
        radius: RadiusConfig,
        http: &HttpConfig,
    ) -> Result<Self, Failure> {
        let (opened, is_open) = watch::channel(is_open);
        let server = Server::start(ServerParts {
            kernel: house.kernel.clone(),
            config: radius,
            data: house.place.data.clone(),
            database: house.place.database.to_string(),
            is_open: is_open.clone(),
        })
        .await
        .map_err(Failure::failed)?;
        let http = match http.listen.as_str() {
            "" => None,
            listen => match HttpDoor::open(listen, Arc::new(Pages(server.health()))).await {
                Ok(door) => Some(door),
                Err(e) => {
                    server.stop().await;
                    return Err(Failure::failed(e));
                }
            },
        };
        let control = match Control::open(&house.place.data, server.health()) {
            Ok(control) => Some(control),
            // A server that cannot be asked how it is still serves.
            Err(e) => {
                tracing::warn!(
                    "'gatewarden status' cannot ask this server: its control socket: {e}"
                );
                None
            }
        };
        let jobs = Jobs::start(&house.kernel, &house.place.settings.retention);
        let opening = (!*is_open.borrow()).then(|| tokio::spawn(open_late(house.clone(), opened)));
        Ok(Self {
            server,
            http,
            control,
            jobs,
            house,
            opening,
        })
    }

    /// Waits until logins are decided.
    pub async fn ready(&self) {
        while !self.server.is_ready() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The installation it serves.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Counters by word.
    pub fn health(&self) -> ServerHealth {
        self.server.health()
    }

    /// Where it listens for one purpose.
    pub fn addresses(&self, purpose: Purpose) -> Vec<SocketAddr> {
        self.server
            .listeners()
            .iter()
            .filter(|(_, known)| *known == purpose)
            .map(|(address, _)| *address)
            .collect()
    }

    /// Where the HTTP door is, if it is open.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|door| door.address)
    }

    /// Answers what is in work, writes what is durable into the database, and ends.
    pub async fn stop(self) {
        if let Some(http) = self.http {
            http.close().await;
        }
        self.server.stop().await;
        // Until here it could be asked why stopping takes long.
        if let Some(control) = self.control {
            control.close();
        }
        self.jobs.stop().await;
        if let Some(opening) = self.opening {
            opening.abort();
        }
        self.house.close().await;
    }
}

/// Opens a database that was away at the start, and says so once it is open.
async fn open_late(house: House, opened: watch::Sender<bool>) {
    let mut wait = FIRST_WAIT;
    let mut said = String::new();
    loop {
        tokio::time::sleep(wait).await;
        match house.open_late().await {
            Ok(()) => break,
            Err(failure) => {
                let sentence = failure.sentence().unwrap_or_default().to_owned();
                if sentence != said {
                    tracing::error!("the database is not open yet: {sentence}");
                    said = sentence;
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
    tracing::info!("the database is open");
    opened.send_replace(true);
}

/// The signals that a running server listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// A file would become larger than the process may make one. Being listened to, it no longer kills: the write fails,
    /// and the journal answers that with silence until there is room.
    _file_size: Signal,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system's.
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|e| Failure::failed(format!("cannot listen for signals: {e}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            _file_size: listen(SignalKind::from_raw(FILE_SIZE as i32))?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// Waits for the one that ends the process; the others mean nothing to a server without a configuration.
    pub async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }

    /// The next one that ends the process, after a while in which further ones count as the first: some programs send
    /// the same signal to a process and to its group.
    async fn stop_again(&mut self) {
        let first = Instant::now();
        loop {
            self.stop().await;
            if first.elapsed() >= SAME_SIGNAL {
                return;
            }
        }
    }

    /// Stops a server; whoever asks a second time does not want to wait.
    ///
    /// # Errors
    /// It was cut short. What was acknowledged is in the journal.
    pub async fn while_stopping(&mut self, running: Running) -> Result<(), Failure> {
        tokio::select! {
            () = running.stop() => Ok(()),
            () = self.stop_again() => Err(Failure::failed("stopped at once; what was acknowledged lies in the journal and is applied at the next start")),
        }
    }
}

/// Addresses with a space between them.
pub fn join(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(" ")
}
