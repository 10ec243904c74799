//! The machine: ports, socket buffers, file handles, clock, disk.

use super::Finding;
use crate::output::octets;
use crate::place::Place;
use aaa_server::Vitals;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Receive buffer for a burst of some thousand requests, per socket.
const WANTED_BUFFER: u64 = 4 * 1024 * 1024;
/// Sockets, database connections, segments, HTTP clients, with room.
const WANTED_FILES: u64 = 4_096;
/// Syncs that time the disk.
const SYNCS: usize = 20;
/// With less room than this the journal is about to be unable to write: a second of heavy accounting.
const LITTLE_SPACE: u64 = 1024 * 1024;
/// A slower disk makes NASes wait for their accounting answers.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// How long the two clocks are compared.
const CLOCK_LOOK: Duration = Duration::from_millis(50);
/// Before this year the program did not exist: a clock that says so was never set.
const FIRST_YEAR_SECONDS: u64 = 1_767_225_600;
/// After 2100 nothing but a wrong clock is.
const LAST_YEAR_SECONDS: u64 = 4_102_444_800;
/// Processes looked through for who holds a port.
const MAX_PROCESSES: usize = 10_000;

/// Everything about the machine.
pub fn examine(place: &Place, vitals: Option<&Vitals>) -> Vec<Finding> {
    let mut findings = ports(place, vitals);
    findings.extend([buffers(), files(), clock(), time_service()]);
    findings.extend(disk(place));
    findings
}

fn ports(place: &Place, vitals: Option<&Vitals>) -> Vec<Finding> {
    if let Some(vitals) = vitals {
        let addresses: Vec<String> = vitals
            .listeners
            .iter()
            .map(|listener| listener.address.to_string())
            .collect();
        return vec![Finding::ok(
            "ports",
            format!("ours: {}", addresses.join(" ")),
        )];
    }
    let listeners = place.settings.radius.listeners().unwrap_or_default();
    let mut taken: Vec<SocketAddr> = Vec::new();
    let mut findings = Vec::new();
    for (address, _) in &listeners {
        match UdpSocket::bind(address) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::AddrInUse => taken.push(*address),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => findings.push(Finding::fail(
                "ports",
                format!("{address}: {e}"),
                "Run the server with the right to ports below 1024: setcap cap_net_bind_service=+ep, or systemd's AmbientCapabilities.",
            )),
            // A machine without IPv6 has none of its addresses.
            Err(_) if address.is_ipv6() => {}
            Err(e) => findings.push(Finding::fail(
                "ports",
                format!("{address}: {e}"),
                "Correct [radius] addresses: this machine has no such address.",
            )),
        }
    }
    if let Some(address) = taken.first() {
        let (who, remedy) = match rival() {
            Some(name) => (
                format!("; {name} is running"),
                format!(
                    "Stop it first: systemctl disable --now {name}; or give this server other ports in [radius]."
                ),
            ),
            None => (
                String::new(),
                format!(
                    "Find who holds it (ss -lunp 'sport = :{}') and stop that, or take other ports in [radius].",
                    address.port()
                ),
            ),
        };
        let list: Vec<String> = taken.iter().map(SocketAddr::to_string).collect();
        findings.push(Finding::fail(
            "ports",
            format!("in use by another program: {}{who}", list.join(" ")),
            remedy,
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "ports",
            format!("{} are free", listeners.len()),
        ));
    }
    findings
}

/// Another RADIUS server that runs here.
fn rival() -> Option<&'static str> {
    let names = std::fs::read_dir("/proc").ok()?.take(MAX_PROCESSES);
    for entry in names.flatten() {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        match name.trim() {
            "freeradius" => return Some("freeradius"),
            "radiusd" => return Some("radiusd"),
            "hostapd" => return Some("hostapd"),
            _ => {}
        }
    }
    None
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn buffers() -> Finding {
    let Some(most) = number("/proc/sys/net/core/rmem_max") else {
        return Finding::ok("socket buffers", "this system does not tell their limit");
    };
    let found = format!("net.core.rmem_max is {most}");
    match most >= WANTED_BUFFER {
        true => Finding::ok("socket buffers", found),
        false => Finding::warn(
            "socket buffers",
            format!(
                "{found}: a burst after an outage is cut there, and NASes repeat what was lost"
            ),
            format!(
                "sysctl -w net.core.rmem_max={WANTED_BUFFER}, and the same line in /etc/sysctl.d/gatewarden.conf"
            ),
        ),
    }
}

fn files() -> Finding {
    let limit = std::fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("Max open files"))?;
            line.split_whitespace().nth(3)?.parse::<u64>().ok()
        });
    match limit {
        Some(limit) if limit < WANTED_FILES => Finding::warn(
            "file handles",
            format!("this user may open {limit}"),
            format!(
                "Raise it for the server: LimitNOFILE={WANTED_FILES} in its systemd unit, or ulimit -n {WANTED_FILES}."
            ),
        ),
        Some(limit) => Finding::ok("file handles", format!("this user may open {limit}")),
        None => Finding::ok("file handles", "no limit is told"),
    }
}

/// Whether the wall clock is set, and goes as the monotonic one does.
fn clock() -> Finding {
    let seconds = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if !(FIRST_YEAR_SECONDS..LAST_YEAR_SECONDS).contains(&seconds) {
        return Finding::fail(
            "clock",
            format!(
                "it says {}",
                kernel::Time::from_unix_seconds(i64::try_from(seconds).unwrap_or(0)).to_rfc3339()
            ),
            "Set it, and let a time service keep it: expiry, quotas and sessions go by it.",
        );
    }
    let (wall, steady) = (SystemTime::now(), Instant::now());
    std::thread::sleep(CLOCK_LOOK);
    let steady = steady.elapsed();
    match wall.elapsed() {
        Ok(passed) if passed.abs_diff(steady) < CLOCK_LOOK => {
            Finding::ok("clock", "it is set and goes evenly")
        }
        _ => Finding::warn(
            "clock",
            "it jumped while it was looked at",
            "Let the time service slew instead of step (chrony: makestep only at the start).",
        ),
    }
}

fn time_service() -> Finding {
    // systemd-timesyncd and chrony leave these where they keep the clock right.
    let traces = [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/chronyd.pid",
        "/run/chronyd.pid",
        "/run/ntpd.pid",
        "/run/openntpd.pid",
    ];
    match traces.iter().find(|path| Path::new(path).exists()) {
        Some(path) => Finding::ok("time service", format!("there is one ({path})")),
        None => Finding::warn(
            "time service",
            "none is seen here; in a container the host's may do it",
            "Run chrony or systemd-timesyncd on the machine.",
        ),
    }
}

fn disk(place: &Place) -> Vec<Finding> {
    if !place.data.is_dir() {
        return vec![Finding::warn(
            "disk",
            format!("there is no data folder {} yet", place.data.display()),
            "'gatewarden serve' makes it; if you have one, name it with --data.",
        )];
    }
    vec![sync_time(&place.data), free_space(place)]
}

/// What every accounting answer waits for.
fn sync_time(folder: &Path) -> Finding {
    let path = folder.join(format!("doctor.{}", std::process::id()));
    let timed = || -> std::io::Result<Vec<Duration>> {
        let mut file = std::fs::File::options()
            .create_new(true)
            .write(true)
            .open(&path)?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            file.write_all(&[0; 512])?;
            let begun = Instant::now();
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        Ok(times)
    };
    let times = timed();
    let _ = std::fs::remove_file(&path);
    match times {
        Err(e) => Finding::fail(
            "disk sync",
            format!("{} cannot be written: {e}", folder.display()),
            "Give the folder to the user that the server runs as, or make room.",
        ),
        Ok(mut times) => {
            times.sort();
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            let (half, most) = (times[SYNCS / 2], times[SYNCS * 9 / 10]);
            let found = format!(
                "half take {:.1} ms, nine of ten {:.1} ms at most",
                millis(half),
                millis(most)
            );
            match most > SLOW_SYNC {
                false => Finding::ok("disk sync", found),
                true => Finding::warn(
                    "disk sync",
                    found,
                    "Put the data folder on an SSD of this machine: every accounting answer waits for one sync.",
                ),
            }
        }
    }
}

fn free_space(place: &Place) -> Finding {
    // The journal may have a disk of its own.
    let journal = place.data.join("journal");
    let stat =
        nix::sys::statvfs::statvfs(&journal).or_else(|_| nix::sys::statvfs::statvfs(&place.data));
    let Ok(stat) = stat else {
        return Finding::ok("disk space", "this system does not tell it");
    };
    let free = stat.blocks_available() * stat.fragment_size();
    let wanted = place
        .settings
        .radius
        .journal_mib
        .saturating_mul(1024 * 1024);
    let size = |bytes: u64| octets(i64::try_from(bytes).unwrap_or(i64::MAX));
    let found = format!(
        "{} free, the accounting journal may take {}",
        size(free),
        size(wanted)
    );
    if free < LITTLE_SPACE {
        return Finding::fail(
            "disk space",
            found,
            "Make room now: on a full disk no accounting report is acknowledged; logins go on, and NASes keep their reports and send them again.",
        );
    }
    match free >= wanted {
        true => Finding::ok("disk space", found),
        false => Finding::warn(
            "disk space",
            found,
            "Make room, or set [radius] journal_mib to what there is: a full disk stops accounting, not logins.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_timed_and_left_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let finding = sync_time(folder.path());
        assert!(finding.found.contains("ms"), "{finding:?}");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            0
        );
        let gone = sync_time(&folder.path().join("none"));
        assert_eq!(gone.verdict, super::super::Verdict::Fail);
    }

    #[test]
    fn this_machines_clock_is_set() {
        assert_ne!(clock().verdict, super::super::Verdict::Fail);
    }
}
