//! The door as a whole: its sockets, threads and tasks, started in order and stopped in order.

use crate::applied_note::Note;
use crate::config::{Purpose, RadiusConfig};
use crate::counts::Counts;
use crate::delay::Delay;
use crate::door::{Acknowledgement, Delayed, Job, Lane, Pass, Shared};
use crate::follow;
use crate::lookup::{self, Lookups};
use crate::pool::Pool;
use crate::record::{self, Recorder};
use crate::share::Share;
use crate::socket::{DoorSocket, Inbox};
use crate::upgrade::{self, Upgrades};
use crate::writer;
use access::limiter::{Limit, LimiterConfig};
use access::proof_memory::ProofMemory;
use access::register::{Register, SNAPSHOT_FILE, SnapshotPlace};
use access::word::Dropped;
use journal::{Hooks, Journal, OpenError, Options, RealDisk};
use kernel::Kernel;
use kernel::node::Lease;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a server is made of.
pub struct ServerParts {
    /// Database, clock, randomness, keys.
    pub kernel: Kernel,
    /// Settings.
    pub config: RadiusConfig,
    /// The data folder: the journal and the register's snapshot lie in it.
    pub data: PathBuf,
    /// The database, as it is shown to people.
    pub database: String,
    /// Whether the database was opened. Where it is away at the start, the register begins with its snapshot, and this
    /// becomes true later.
    pub is_open: watch::Receiver<bool>,
}

/// A running door.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<(SocketAddr, Purpose)>,
    /// The receive threads end.
    stopping: Arc<AtomicBool>,
    /// The journal takes nothing more: the writer ends when it has applied the rest.
    closed: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    lanes: Vec<JoinHandle<()>>,
    delay: JoinHandle<()>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    lease: tokio::task::JoinHandle<()>,
    writer: JoinHandle<()>,
    log: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the journal, binds the sockets, starts everything. Requests are answered once the register is loaded,
    /// which goes on in the background.
    ///
    /// # Errors
    /// One sentence: the address that is in use, the journal that another process holds, …
    pub async fn start(parts: ServerParts) -> Result<Self, String> {
        let ServerParts {
            kernel,
            config,
            data,
            database,
            is_open,
        } = parts;
        let threads = match config.threads {
            0 => cores(),
            threads => threads,
        };
        let limits = limits(&config);
        let shared = Arc::new(Shared {
            register: Arc::new(Register::new(limits)),
            proofs: ProofMemory::new(
                &*kernel.rng,
                Duration::from_secs(config.proof_memory_seconds.into()),
            ),
            usage: access::activity::Usage::default(),
            grants: crate::control::Grants::default(),
            watched: crate::control::Watched::default(),
            counts: Counts::default(),
            hashes_are_slow: AtomicBool::new(false),
            lookups: Lookups::default(),
            upgrades: Upgrades::default(),
            lanes: OnceLock::new(),
            books: crate::nas_book::Books::default(),
            pulse: crate::vitals::Pulse::default(),
            recorder: Recorder::new(
                config.kept_accepts_per_second,
                match config.attempts_log_mib {
                    0 => 0,
                    _ => config.logged_accepts_per_second,
                },
            ),
            delay: Delay::<Delayed>::new(),
            pool: OnceLock::new(),
            journal: OnceLock::new(),
            progress: OnceLock::new(),
            evicted: AtomicBool::new(false),
            noted_applied: OnceLock::new(),
            has_claimed: AtomicBool::new(false),
            is_applying: AtomicBool::new(false),
            behind_since: AtomicI64::new(0),
            started: Instant::now(),
            kernel: kernel.clone(),
            config,
        });
        let journal = Arc::new(open_journal(&shared, &data)?);
        // The journal's lock guards the node id as well.
        let node = node_id(&kernel, &data)?;
        shared.recorder.set_node(&node);
        let claim = match *is_open.borrow() {
            // Nobody else may be this node: said before anything is answered, where it can be.
            true => kernel::node::claim(&kernel, &node, &data).await.map(Some),
            false => Ok(None),
        };
        let lease = claim.map_err(|e| e.to_string())?;
        shared.has_claimed.store(lease.is_some(), Ordering::Release);
        let lanes = bind(&shared, threads)?;
        let _ = shared.lanes.set(lanes.clone());
        let _ = shared.pool.set(start_pool(&shared)?);

        let (stop, stopped) = watch::channel(false);
        let stopping = Arc::new(AtomicBool::new(false));
        let delay = {
            let shared = shared.clone();
            spawn("delay", move || {
                shared.delay.clone().run(|delayed| shared.release(delayed));
            })?
        };
        let mut listeners: Vec<(SocketAddr, Purpose)> = lanes
            .iter()
            .map(|lane| (lane.socket.local_address(), lane.purpose))
            .collect();
        listeners.dedup();
        shared.pulse.set_listeners(&listeners);
        let mut handles = Vec::new();
        for (number, lane) in lanes.into_iter().enumerate() {
            let (shared, stopping) = (shared.clone(), stopping.clone());
            handles.push(spawn(&format!("lane-{number}"), move || {
                listen(&shared, &lane, &stopping);
            })?);
        }
        let closed = Arc::new(AtomicBool::new(false));
        let writer = {
            let runtime = tokio::runtime::Handle::current();
            let (shared, closed) = (shared.clone(), closed.clone());
            let node = node.clone();
            let note = Note::in_folder(&data);
            spawn("writer", move || {
                writer::run(&shared, &journal, &node, &note, &runtime, &closed);
            })?
        };
        let log = {
            let (shared, closed, data) = (shared.clone(), closed.clone(), data.clone());
            (shared.config.attempts_log_mib > 0)
                .then(|| {
                    spawn("attempts", move || {
                        record::run_log(&shared, &data, &closed);
                    })
                })
                .transpose()?
        };
        let snapshot = SnapshotPlace {
            path: data.join(SNAPSHOT_FILE),
            database,
        };
        let following = follow::run(shared.clone(), snapshot, is_open.clone(), stopped.clone());
        let tasks = vec![
            tokio::spawn(following),
            tokio::spawn(record::run(shared.clone(), stopped.clone())),
            tokio::spawn(upgrade::run(shared.clone(), stopped.clone())),
            tokio::spawn(lookup::run(shared.clone(), stopped.clone())),
            tokio::spawn(crate::vitals::run(shared.clone(), stopped.clone())),
            tokio::spawn(crate::control::watch::run(shared.clone(), stopped.clone())),
            tokio::spawn(crate::control::orders::run(
                shared.clone(),
                node.clone(),
                stopped.clone(),
            )),
        ];
        let claim = Claim {
            node,
            data,
            is_open,
        };
        let lease = tokio::spawn(hold(
            shared.clone(),
            claim,
            lease,
            stopping.clone(),
            stopped,
        ));
        Ok(Self {
            shared,
            listeners,
            stopping,
            closed,
            stop,
            lanes: handles,
            delay,
            tasks,
            lease,
            writer,
            log,
        })
    }

    /// Where it listens, each address once.
    pub fn listeners(&self) -> &[(SocketAddr, Purpose)] {
        &self.listeners
    }

    /// Whether logins are decided and reports are taken.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready()
    }

    /// What a health page may read at any time.
    pub fn health(&self) -> ServerHealth {
        ServerHealth(self.shared.clone())
    }

    /// Answers what is in work, writes what is durable into the database, and ends.
    pub async fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        let shared = self.shared.clone();
        let (lanes, delay, writer, closed) = (self.lanes, self.delay, self.writer, self.closed);
        let log = self.log;
        let threads = tokio::task::spawn_blocking(move || {
            for lane in lanes {
                let _ = lane.join();
            }
            if let Some(pool) = shared.pool.get() {
                pool.stop();
            }
            shared.delay.stop();
            let _ = delay.join();
            if let Some(journal) = shared.journal.get() {
                journal.close();
            }
            closed.store(true, Ordering::Release);
            if let Some(log) = log {
                let _ = log.join();
            }
            let _ = writer.join();
        });
        let _ = threads.await;
        let _ = self.stop.send(true);
        for task in self.tasks {
            let _ = task.await;
        }
        let _ = self.lease.await;
    }
}

/// Counters and states of a running door. Cheap to clone.
#[derive(Clone)]
pub struct ServerHealth(Arc<Shared>);

impl ServerHealth {
    /// Whether logins are decided and reports are taken.
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// How everything is.
    pub fn vitals(&self) -> crate::Vitals {
        crate::Vitals::of(&self.0)
    }

    /// Counters by word, sizes of queues.
    pub fn to_json(&self) -> serde_json::Value {
        let shared = &self.0;
        let journal = shared.journal.get().map(|journal| {
            let stats = journal.stats();
            serde_json::json!({
                "durable": stats.durable.0,
                "applied": shared.applied().0,
                "queued": stats.queued_records,
                "bytes_on_disk": stats.bytes_on_disk,
                "errors": stats.errors,
                "is_failing": stats.failing,
            })
        });
        serde_json::json!({
            "radius": shared.all_counts().to_json(),
            "people": shared.register.people().len(),
            "nases": shared.register.policy().nases.entries().len(),
            "delayed": shared.delay.waiting(),
            "proofs": shared.pool.get().map(Pool::waiting),
            "lookups": shared.lookups.waiting(),
            "attempts_lost": shared.recorder.lost(),
            "journal": journal,
        })
    }
}

fn limits(config: &RadiusConfig) -> LimiterConfig {
    let limit = |failures| Limit {
        failures,
        window_seconds: config.failure_window_seconds,
        lock_seconds: config.lock_seconds,
    };
    LimiterConfig {
        user: limit(config.user_failures),
        device: limit(config.device_failures),
        nas: limit(config.nas_failures),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| format!("the system gives no thread: {e}"))
}

/// One lane per thread and listener; all threads of a listener share its port.
fn bind(shared: &Shared, threads: usize) -> Result<Vec<Arc<Lane>>, String> {
    let config = &shared.config;
    let mut lanes = Vec::new();
    for (address, purpose) in config.listeners()? {
        let mut bound = address;
        // Threads share a port, but two servers must not: whoever holds it alone for a moment knows nobody else does.
        if let Err(e) = DoorSocket::probe(address)
            && e.kind() == std::io::ErrorKind::AddrInUse
        {
            return Err(format!("cannot listen for RADIUS on {address}: {e}"));
        }
        for _ in 0..threads {
            match DoorSocket::bind(bound) {
                Ok(socket) => {
                    // Port 0 is whatever the first socket got.
                    bound.set_port(socket.local_address().port());
                    lanes.push(Lane::new(socket, purpose, shared.books.lane()));
                }
                // "Every IPv6 address" of a machine without IPv6 is none.
                Err(e)
                    if address.ip() == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
                        && e.kind() != std::io::ErrorKind::AddrInUse
                        && e.kind() != std::io::ErrorKind::PermissionDenied =>
                {
                    tracing::warn!("not listening on {address}: {e}");
                    break;
                }
                Err(e) => return Err(format!("cannot listen for RADIUS on {address}: {e}")),
            }
        }
    }
    if lanes.is_empty() {
        return Err(
            "there is no RADIUS port to listen on; see [radius] in the configuration".into(),
        );
    }
    Ok(lanes)
}

fn node_id(kernel: &Kernel, data: &std::path::Path) -> Result<String, String> {
    journal::node_id(&RealDisk, data, || {
        let mut fresh = [0u8; 16];
        kernel.rng.fill(&mut fresh);
        fresh
    })
    .map(|id| id.to_string())
    .map_err(|e| format!("the node id in {}: {e}", data.display()))
}

fn open_journal(
    shared: &Arc<Shared>,
    data: &std::path::Path,
) -> Result<Journal<Acknowledgement>, String> {
    let kernel = &shared.kernel;
    let mut fresh = [0u8; 16];
    kernel.rng.fill(&mut fresh);
    let clock = kernel.clock.clone();
    let unix_clock = Arc::new(move || u64::try_from(clock.now().unix_seconds()).unwrap_or(0));
    let mut options = Options::new(fresh, unix_clock);
    options.max_bytes = shared.config.journal_mib.saturating_mul(1024 * 1024);
    let (committed, failed) = (Arc::downgrade(shared), Arc::downgrade(shared));
    let hooks = Hooks {
        committed: Box::new(move |batch| {
            if let Some(shared) = committed.upgrade() {
                let wait = shared.lag_to_even_out();
                if !wait.is_zero() {
                    std::thread::sleep(wait);
                }
                shared.acknowledge(batch.drain(..).map(|(_, acknowledgement)| acknowledgement));
            }
        }),
        failed: Box::new(move |batch, _| {
            if let Some(shared) = failed.upgrade() {
                for acknowledgement in batch.drain(..) {
                    shared.forget(&acknowledgement, Dropped::JournalFailed);
                }
            }
        }),
    };
    let (journal, recovered) =
        Journal::open(Arc::new(RealDisk), data, options, hooks).map_err(|e| unopened(&e, data))?;
    tracing::info!(
        durable = recovered.durable.0,
        bytes = recovered.bytes,
        torn_bytes = recovered.torn_bytes,
        "accounting journal open"
    );
    Ok(journal)
}

/// Why there is no journal, and what to do about it.
fn unopened(error: &OpenError, data: &std::path::Path) -> String {
    match error {
        OpenError::Corrupt(corrupt) => format!(
            "the accounting journal: {corrupt}. Nothing was changed. 'gatewarden --data {} journal salvage' keeps every \
             record that is whole, says which are lost, and leaves a copy of the damaged file",
            data.display()
        ),
        other => format!("the accounting journal: {other}"),
    }
}

fn start_pool(shared: &Arc<Shared>) -> Result<Pool<Job>, String> {
    let threads = match shared.config.proof_threads {
        0 => cores(),
        threads => threads,
    };
    let (working, shedding) = (Arc::downgrade(shared), Arc::downgrade(shared));
    Pool::start(
        threads,
        move |job| {
            if let Some(shared) = working.upgrade() {
                guarded(&shared, || shared.resume(job, Pass::Proving));
            }
        },
        move |job| {
            if let Some(shared) = shedding.upgrade() {
                shared.shed(job);
            }
        },
    )
    .map_err(|e| format!("the system gives no thread: {e}"))
}

/// A panic costs the packet that caused it and not the thread, which others depend on.
fn guarded(shared: &Shared, work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        shared.counts.dropped(Dropped::Internal);
        tracing::error!("working on a request failed; the message above says where");
    }
}

/// A receive thread.
fn listen(shared: &Shared, lane: &Arc<Lane>, stopping: &AtomicBool) {
    let mut inbox = Inbox::default();
    let mut share = Share::default();
    let mut desk = shared.new_desk();
    let mut batch = shared.empty_batch();
    while !stopping.load(Ordering::Acquire) {
        match inbox.receive(&lane.socket) {
            Ok(()) => {
                shared.begin(&mut batch);
                if let Some(sender) = share.begin(batch.micros, inbox.lost(), inbox.is_full()) {
                    tracing::warn!(
                        from = %sender,
                        "more comes than can be worked on; this sender sends most of it, and what is beyond its share is dropped unread"
                    );
                }
                for (datagram, peer) in inbox.datagrams() {
                    if !share.admits(peer.address.ip()) {
                        lane.counts.received();
                        lane.counts.dropped(Dropped::Flood);
                        continue;
                    }
                    guarded(shared, || {
                        shared.receive(lane, &mut desk, &mut batch, datagram, peer);
                    });
                }
                shared.finish(lane, &mut batch);
            }
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock
                        | std::io::ErrorKind::TimedOut
                        | std::io::ErrorKind::Interrupted
                ) => {}
            Err(e) => {
                tracing::warn!("receiving failed: {e}");
                // A socket that fails at once must not spin a core.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// What a node's id is claimed with, once the database is open.
struct Claim {
    node: String,
    data: PathBuf,
    is_open: watch::Receiver<bool>,
}

/// Holds the node's id for as long as the server runs. Where another process took it, nothing more is answered and
/// nothing more is written under it.
async fn hold(
    shared: Arc<Shared>,
    mut claim: Claim,
    lease: Option<Lease>,
    stopping: Arc<AtomicBool>,
    mut stop: watch::Receiver<bool>,
) {
    let evict = |e: kernel::Error| {
        tracing::error!("this server stops answering: {e}");
        shared.evicted.store(true, Ordering::Release);
        stopping.store(true, Ordering::Release);
    };
    let lease = match lease {
        Some(lease) => lease,
        None => tokio::select! {
            claimed = claim_late(&shared, &mut claim) => match claimed {
                Ok(lease) => lease,
                Err(e) => return evict(e),
            },
            _ = stop.wait_for(|stop| *stop) => return,
        },
    };
    shared.has_claimed.store(true, Ordering::Release);
    loop {
        tokio::select! {
            () = tokio::time::sleep(kernel::node::BEAT_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        match lease.beat(&shared.kernel).await {
            Ok(()) => {}
            Err(e @ kernel::Error::Conflict(_)) => return evict(e),
            Err(e) => tracing::warn!("the node's sign of life is late: {e}"),
        }
    }
    if let Err(e) = lease.release(&shared.kernel).await {
        tracing::warn!("the node's id is not released: {e}");
    }
}

/// Claims the node's id of a database that was away at the start, as soon as it is there.
async fn claim_late(shared: &Shared, claim: &mut Claim) -> Result<Lease, kernel::Error> {
    loop {
        if claim.is_open.wait_for(|is_open| *is_open).await.is_err() {
            // Nobody opens it any more: this server is being stopped.
            std::future::pending::<()>().await;
        }
        match kernel::node::claim(&shared.kernel, &claim.node, &claim.data).await {
            Err(e) if !matches!(e, kernel::Error::Conflict(_)) => {
                tracing::warn!("the node's id is not claimed yet: {e}");
                tokio::time::sleep(kernel::node::BEAT_EVERY).await;
            }
            claimed => return claimed,
        }
    }
}
