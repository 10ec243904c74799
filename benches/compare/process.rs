//! Processes of a run: pinned to a core, written down, and ended with their value.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A server that ends with this value.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts `command` on `core`; what it says goes to `log`.
    pub fn start(core: u32, command: &[String], log: &Path) -> Result<Self, String> {
        let file = File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = file.try_clone().map_err(|e| e.to_string())?;
        let child = pinned(core, command)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{}: {e}", command.join(" ")))?;
        Ok(Self { child })
    }

    /// The most memory it has had, in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.of_status("VmHWM:")
    }

    /// The memory it has, in MiB.
    pub fn memory_mib(&self) -> f64 {
        self.of_status("VmRSS:")
    }

    fn of_status(&self, word: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(word));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(f64::INFINITY) / 1024.0
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and ends it if it does not.
    pub fn stop(&mut self) {
        let Ok(id) = i32::try_from(self.child.id()) else {
            return;
        };
        if self.is_running() {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if until(END_LIMIT, || (!self.is_running()).then_some(())).is_none() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn pinned(core: u32, command: &[String]) -> Command {
    let mut taskset = Command::new("taskset");
    taskset.args(["-c", &core.to_string()]).args(command);
    // Nothing of whoever starts the benchmark may change what is measured.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GATEWARDEN_")) {
        taskset.env_remove(name);
    }
    taskset
}

/// Runs a command on a core to its end.
pub fn finish(core: u32, command: &[String]) -> Result<Output, String> {
    pinned(core, command)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{}: {e}", command.join(" ")))
}

/// The same for a command that must succeed; gives what it printed.
pub fn good(core: u32, command: &[String]) -> Result<String, String> {
    let output = finish(core, command)?;
    if !output.status.success() {
        return Err(format!(
            "{}: {}{}",
            command.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Looks until there is something to see, or the time is over.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// A command line out of pieces.
#[macro_export]
macro_rules! line {
    ($($piece:expr),* $(,)?) => { Vec::from([$($piece.to_string()),*]) };
}
