//! The control socket: `D/control`, where a running server tells whoever may open the data folder how it is. It works
//! while the database is away, and it is never reached over the network.
//!
//! Whoever connects is sent one line of JSON, the [`Vitals`], and the connection is closed: there is nothing to ask, so
//! nothing can be asked wrongly. The socket must **never** change anything.

use aaa_server::{ServerHealth, Vitals};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The socket's name in the data folder.
const FILE: &str = "control";
/// Clients served at once: people and scripts on this machine.
const MAX_CLIENTS: usize = 8;
/// One that does not read is cut off; one that waits for an answer gives up.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than the longest answer: a thousand NASes of about a kilobyte.
const MAX_ANSWER_BYTES: u64 = 8 * 1024 * 1024;
/// After a failed accept (no file handles left) it is tried again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// An open control socket.
pub struct Control {
    path: PathBuf,
    task: JoinHandle<()>,
}

/// The socket's path through an open handle of its folder: a socket's own path may have a hundred characters only.
fn short(folder: &std::fs::File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{FILE}", folder.as_raw_fd()))
}

impl Control {
    /// Opens it. The data folder's lock is held already: whatever lies there was left behind.
    ///
    /// # Errors
    /// The system's.
    pub fn open(folder: &Path, health: ServerHealth) -> std::io::Result<Self> {
        let path = folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let handle = std::fs::File::open(folder)?;
        let listener = UnixListener::bind(short(&handle))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            path,
            task: tokio::spawn(serve(listener, health)),
        })
    }

    /// Closes it.
    pub fn close(self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, health: ServerHealth) {
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        // One too many is closed without a word.
        let Ok(permit) = clients.clone().try_acquire_owned() else {
            continue;
        };
        let health = health.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, tell(stream, health)).await;
            drop(permit);
        });
    }
}

async fn tell(mut stream: UnixStream, health: ServerHealth) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(&health.vitals())?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

/// Asks the server that runs in this data folder; `None` when there is none.
///
/// # Errors
/// One sentence: it may not be asked, or it does not answer as it should.
pub async fn ask(folder: &Path) -> Result<Option<Vitals>, String> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::PermissionDenied => Err(format!(
            "the server in {} may be asked only by the user that it runs as, or by root",
            folder.display()
        )),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
        _ => Err(format!("the server in {}: {e}", folder.display())),
    };
    let handle = match std::fs::File::open(folder) {
        Ok(handle) => handle,
        Err(e) => return failed(e),
    };
    let answer = async {
        let stream = UnixStream::connect(short(&handle)).await?;
        let mut text = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut text).await?;
        Ok(text)
    };
    let text = match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(text)) => text,
        Ok(Err(e)) => return failed(e),
        Err(_) => return Err("the server does not answer on its control socket".into()),
    };
    if text.is_empty() {
        return Err("the server has too many askers at once; try again".into());
    }
    serde_json::from_slice(&text).map(Some).map_err(|e| {
        format!("the server is of another version and tells its state differently: {e}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nobody_listens_there_is_no_server() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(ask(folder.path()).await, Ok(None)));
        assert!(matches!(ask(&folder.path().join("none")).await, Ok(None)));
        // A server that was killed leaves its socket behind.
        drop(std::os::unix::net::UnixListener::bind(folder.path().join(FILE)).expect("a socket"));
        assert!(matches!(ask(folder.path()).await, Ok(None)));
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_said_to_be_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(FILE)).expect("a socket");
        let (answer, ()) = tokio::join!(ask(folder.path()), async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            stream.write_all(b"{\"new\":1}\n").await.expect("written");
        });
        assert!(answer.is_err_and(|sentence| sentence.contains("another version")));
    }
}
