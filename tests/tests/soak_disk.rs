//! The disk is full under the journal: reports are not acknowledged, everything else goes on, the server says it, and
//! with room there it acknowledges again without help. What was acknowledged is there afterwards.
//!
//! One way is a file system of some megabytes, where one can be mounted; the other is the system's limit of a file's size,
//! which needs no rights at all.

use gatewarden_tests::cluster::Cluster;
use gatewarden_tests::house::{House, Server};
use gatewarden_tests::nas::Nas;
use gatewarden_tests::traffic::{PASSWORD, Traffic, USER};
use gatewarden_tests::{lasting, wait};
use radius_wire::Code;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const NOTICED: Duration = Duration::from_secs(5);
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const AGREES_WITHIN: Duration = Duration::from_secs(120);
/// The small file system.
const SIZE: &str = "size=4m";
/// No file may become larger than this: not even a new segment can be begun.
const LIMIT_OCTETS: u64 = 1;

/// What makes a disk full, and what makes room again.
trait Disk {
    fn fill(&mut self, server: &Server);
    fn relieve(&mut self, server: &Server);
    /// What of it only an examination of the machine sees.
    fn is_seen_by_doctor(&self) -> bool;
}

/// A file system of its own; gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// None where this user may not mount.
    fn over(folder: &Path) -> Option<Mounted> {
        std::fs::create_dir_all(folder).ok()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder);
        let done = mount.stderr(Stdio::null()).status().ok()?;
        done.success().then(|| Mounted(folder.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Disk for Mounted {
    fn fill(&mut self, _: &Server) {
        // Writes until there is no room: that it ends with an error is the point.
        let mut file = std::fs::File::create(self.ballast()).expect("a file");
        let zeros = std::io::Read::take(std::io::repeat(0), 64 * 1024 * 1024);
        let full = std::io::copy(
            &mut std::io::BufReader::with_capacity(4096, zeros),
            &mut file,
        );
        assert!(full.is_err(), "it is small");
    }

    fn relieve(&mut self, _: &Server) {
        std::fs::remove_file(self.ballast()).expect("it is there");
    }

    fn is_seen_by_doctor(&self) -> bool {
        true
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The system's limit of a file's size.
struct Limited;

impl Limited {
    fn set(server: &Server, soft: &str) {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &server.id().to_string()]);
        let done = prlimit.arg(format!("--fsize={soft}:")).status();
        assert!(done.is_ok_and(|status| status.success()), "a limit is set");
    }
}

impl Disk for Limited {
    fn fill(&mut self, server: &Server) {
        Self::set(server, &LIMIT_OCTETS.to_string());
    }

    fn relieve(&mut self, server: &Server) {
        Self::set(server, "unlimited");
    }

    fn is_seen_by_doctor(&self) -> bool {
        false
    }
}

fn says(house: &House, command: &str, what: &str) {
    let mut last = String::new();
    let said = wait::until(SEEN_WITHIN, || {
        last = house.attempt(&[command]).out;
        last.contains(what).then_some(())
    });
    assert!(said.is_some(), "'{what}' is not said:\n{last}");
}

fn a_full_disk(house: &House, mut disk: impl Disk) {
    house.add_nas();
    house.add_unlimited_user(USER, PASSWORD);
    let server = house.start();
    let traffic = Traffic::begin(&server, "F");
    for _ in 0..lasting::count(2, 30) {
        traffic.reports_on("reports are taken", 20);
        disk.fill(&server);
        says(house, "status", "The accounting journal cannot be written");
        says(
            house,
            "status",
            "reports are not acknowledged, so NASes keep them",
        );
        says(house, "doctor", "The accounting journal cannot be written");
        if disk.is_seen_by_doctor() {
            says(
                house,
                "doctor",
                "on a full disk no accounting report is acknowledged",
            );
        }
        // On the port for reports silence says that another server is to be asked.
        let before = traffic.see(|tally| tally.acknowledged);
        let nas = Nas::of(&server);
        let probe = nas
            .question(Code::STATUS_SERVER)
            .seal(true)
            .expect("it fits");
        nas.send(nas.acct(), probe.octets());
        traffic.goes_on("logins go on", 60);
        assert!(nas.receive(Duration::from_millis(1)).is_none());
        assert_eq!(traffic.see(|tally| tally.acknowledged), before);
        disk.relieve(&server);
        traffic.reports_on("reports are taken again", 20);
    }
    let log = server.log();
    let lines = log.matches("records are not being stored").count() as u64;
    assert!(lines <= lasting::count(2, 30), "once for each time:\n{log}");
    let tally = traffic.end();
    tally.nobody_noticed(NOTICED);
    // A crash right behind it finds a journal that can be read.
    server.kill();
    let server = house.start();
    house.agrees_with(tally.model, AGREES_WITHIN);
    assert_eq!(server.stop(), Some(0));
    house.run(&["journal", "check"]);
}

#[test]
fn a_full_file_system_under_the_journal_costs_nothing_that_was_acknowledged() {
    let house = House::new(kernel::Engine::Sqlite);
    match Mounted::over(&house.folder().join("journal")) {
        Some(disk) => a_full_disk(&house, disk),
        None => eprintln!("no file system can be mounted here; the other way shows it"),
    }
}

#[test]
fn a_journal_that_may_not_grow_costs_nothing_that_was_acknowledged() {
    // The limit is for every file of the process: an embedded database would be under it as well.
    let cluster = Cluster::new();
    a_full_disk(&House::over(&cluster.url()), Limited);
}
