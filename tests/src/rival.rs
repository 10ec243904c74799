//! An installed FreeRADIUS on a private port, with a small configuration of our own, to compare answers with.

use crate::wait;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);
const START_ATTEMPTS: usize = 5;

/// A running FreeRADIUS.
pub struct Rival {
    child: Child,
    /// Where it answers Access-Requests.
    pub auth: SocketAddr,
    /// Where it answers Accounting-Requests.
    pub acct: SocketAddr,
    /// Where it takes CoA and Disconnect: of what names a session and is dated and signed, unless it is mallory's.
    pub control: SocketAddr,
    _folder: TempDir,
}

impl Rival {
    /// Starts one that knows a client 127.0.0.1 with `secret`, and these users (in the format of its users file).
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start(secret: &str, users: &str) -> Rival {
        let mut last = String::new();
        for _ in 0..START_ATTEMPTS {
            match try_start(secret, users) {
                Ok(rival) => return rival,
                Err(log) => last = log,
            }
        }
        panic!("FreeRADIUS does not start:\n{last}");
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn try_start(secret: &str, users: &str) -> Result<Rival, String> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let [auth, acct, control] = free_ports();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap_or_else(|e| panic!("{name}: {e}"));
    };
    write(
        "radiusd.conf",
        &configuration(folder.path(), secret, [auth, acct, control]),
    );
    write("users", users);
    write("dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n");
    let mut child = Command::new(program())
        .args(["-f", "-l", "stdout", "-d"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("FreeRADIUS is not installed ({e}): run ./test"));
    let log = Arc::new(Mutex::new(String::new()));
    let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let kept = log.clone();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_str(&line);
            kept.push('\n');
        }
    });
    let read = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let ready = wait::until(START_LIMIT, || match child.try_wait() {
        Ok(None) => read().contains("Ready to process requests").then_some(true),
        _ => Some(false),
    });
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let rival = Rival {
        child,
        auth: local(auth),
        acct: local(acct),
        control: local(control),
        _folder: folder,
    };
    match ready {
        Some(true) => Ok(rival),
        _ => Err(read()),
    }
}

fn program() -> PathBuf {
    let found = ["/usr/sbin/freeradius", "/usr/sbin/radiusd"]
        .iter()
        .map(Path::new)
        .find(|path| path.is_file());
    found
        .unwrap_or_else(|| panic!("FreeRADIUS is not installed: run ./test, which installs it"))
        .to_path_buf()
}

fn free_ports() -> [u16; 3] {
    let sockets =
        [0; 3].map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports"));
    sockets.map(|socket| socket.local_addr().map_or(0, |local| local.port()))
}

/// As close to the packaged defaults as a comparison needs, without anything that leaves the folder.
fn configuration(folder: &Path, secret: &str, [auth, acct, control]: [u16; 3]) -> String {
    let folder = folder.display();
    format!(
        "name = rival
prefix = {folder}
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
pidfile = {folder}/rival.pid
libdir = /usr/lib/freeradius
max_request_time = 10
cleanup_delay = 5
max_requests = 4096
hostname_lookups = no
proxy_requests = no
log {{
    destination = stdout
}}
security {{
    max_attributes = 200
    reject_delay = 1
    status_server = yes
}}
thread pool {{
    start_servers = 2
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 4
    max_requests_per_server = 0
}}
client loopback {{
    ipaddr = 127.0.0.0/8
    secret = {secret}
    require_message_authenticator = no
}}
modules {{
    pap {{
    }}
    chap {{
    }}
    mschap {{
    }}
    files {{
        filename = {folder}/users
    }}
    eap {{
        default_eap_type = md5
        md5 {{
        }}
    }}
    always ok {{
        rcode = ok
    }}
    always reject {{
        rcode = reject
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {auth}
    }}
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {acct}
    }}
    authorize {{
        chap
        mschap
        eap {{
            ok = return
        }}
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
        eap
    }}
    accounting {{
        ok
    }}
}}
server control {{
    listen {{
        type = coa
        ipaddr = 127.0.0.1
        port = {control}
    }}
    recv-coa {{
        if (!&Acct-Session-Id || !&Event-Timestamp || !&Message-Authenticator) {{
            reject
        }}
        if (&Acct-Session-Id == \"mallory\") {{
            update reply {{
                Error-Cause := Session-Context-Not-Found
            }}
            reject
        }}
        ok
    }}
    send-coa {{
        ok
    }}
}}
"
    )
}
