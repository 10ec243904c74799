//! A line to PostgreSQL that can be made slow, fall silent, or be cut: a small TCP proxy on loopback.
//!
//! A slow line delays each direction without narrowing it: what is on its way does not hold up what comes behind it. A
//! line that fell silent stays silent; connections made afterwards are lines of their own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Octets read at once.
const CHUNK: usize = 64 * 1024;
/// Chunks on their way in one direction.
const MAX_CHUNKS: usize = 256;
/// Lines at the same time; more are cut at once.
const MAX_LINES: usize = 200;

type Chunks = Receiver<(Instant, Vec<u8>)>;

struct Line {
    client: TcpStream,
    server: TcpStream,
    is_silent: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    delay_millis: AtomicU64,
    is_over: AtomicBool,
    lines: Mutex<Vec<Line>>,
}

/// The proxy; gone when dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// Before a server.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let accepting = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                accepting.join(client, server);
            }
        });
        Proxy { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a database behind it: the same with the proxy's host and port.
    ///
    /// # Panics
    /// When it is no address.
    pub fn address_of(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("an address");
        let (place, name) = rest.split_once('/').expect("a database's name");
        let user = place.rsplit_once('@').map_or("", |(user, _)| user);
        format!("{scheme}://{user}@{}/{name}", self.address)
    }

    /// From now on each direction takes so long.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.state.delay_millis.store(millis, Ordering::SeqCst);
    }

    /// Every line that there is says nothing any more, for ever, and does not end: what a firewall does that forgot it.
    pub fn silence(&self) {
        for line in self.state.lines().iter() {
            line.is_silent.store(true, Ordering::SeqCst);
        }
    }

    /// Every line that there is ends.
    pub fn cut(&self) {
        for line in self.state.lines().drain(..) {
            let _ = line.client.shutdown(Shutdown::Both);
            let _ = line.server.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: SocketAddr) {
        let Ok(server) = TcpStream::connect(server) else {
            return;
        };
        let is_silent = Arc::new(AtomicBool::new(false));
        let is_over = Arc::new(AtomicBool::new(false));
        let halves = (
            client.try_clone(),
            server.try_clone(),
            client.try_clone(),
            server.try_clone(),
        );
        let (Ok(a), Ok(b), Ok(c), Ok(d)) = halves else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        {
            let mut lines = self.lines();
            // A line that has ended is none any more.
            lines.retain(|line| !line.is_over.load(Ordering::SeqCst));
            if lines.len() >= MAX_LINES {
                return;
            }
            lines.push(Line {
                client,
                server,
                is_silent: is_silent.clone(),
                is_over: is_over.clone(),
            });
        }
        self.carry(a, b, is_silent.clone(), is_over.clone());
        self.carry(d, c, is_silent, is_over);
    }

    /// One direction: one thread reads and notes when it came, the other writes when its time has come.
    fn carry(
        self: &Arc<Self>,
        from: TcpStream,
        to: TcpStream,
        is_silent: Arc<AtomicBool>,
        is_over: Arc<AtomicBool>,
    ) {
        let (put, take) = sync_channel(MAX_CHUNKS);
        std::thread::spawn(move || read(from, &put));
        let state = self.clone();
        std::thread::spawn(move || {
            state.write(to, &take, &is_silent);
            // A silent one stays as it is.
            is_over.fetch_or(!is_silent.load(Ordering::SeqCst), Ordering::SeqCst);
        });
    }

    fn write(&self, mut to: TcpStream, chunks: &Chunks, is_silent: &AtomicBool) {
        // Nothing is ever sent here: waiting for it is waiting for a moment.
        let (_never, moment) = sync_channel::<()>(0);
        while let Ok((came, octets)) = chunks.recv() {
            let delay = Duration::from_millis(self.delay_millis.load(Ordering::SeqCst));
            let left = (came + delay).saturating_duration_since(Instant::now());
            if !left.is_zero() && moment.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if is_silent.load(Ordering::SeqCst) {
                continue;
            }
            if to.write_all(&octets).is_err() {
                return;
            }
        }
        if !is_silent.load(Ordering::SeqCst) {
            let _ = to.shutdown(Shutdown::Write);
        }
    }
}

fn read(mut from: TcpStream, put: &SyncSender<(Instant, Vec<u8>)>) {
    let mut room = vec![0; CHUNK];
    while let Ok(length) = from.read(&mut room) {
        if length == 0 || put.send((Instant::now(), room[..length].to_vec())).is_err() {
            return;
        }
    }
}
