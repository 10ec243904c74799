//! The machine: what it is, how busy it is, and what each core did.

use std::process::Command;

/// The server's core, with everything it needs.
pub const SERVER_CORE: u32 = 0;
/// The generator's.
pub const GENERATOR_CORE: u32 = 1;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first line of what a program says.
fn says(program: &str, argument: &str) -> String {
    Command::new(program)
        .arg(argument)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or("not there")
        .to_owned()
}

/// One fact a line.
pub fn describe(gatewarden: &str) -> Vec<String> {
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or("unknown")
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or(0u64)
        / 1_048_576;
    vec![
        format!("Processor: {model}, {cores} cores; {memory} GiB of memory"),
        format!("Kernel: {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("Load average: {}", load()),
        format!("Gatewarden: {}", says(gatewarden, "--version")),
        format!("FreeRADIUS: {}", says("/usr/sbin/freeradius", "-v")),
        format!(
            "PostgreSQL: {}",
            says(&crate::postgres::program("postgres"), "--version")
        ),
    ]
}

/// The load average now.
pub fn load() -> String {
    read("/proc/loadavg")
        .split(' ')
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// What the machine's host has taken of all cores for others since the start, in seconds of one core.
pub fn stolen_seconds() -> f64 {
    let ticks = read("/proc/stat")
        .split_whitespace()
        .nth(8)
        .and_then(|word| word.parse::<f64>().ok());
    // The kernel counts in hundredths for everybody who reads this file (`USER_HZ`).
    ticks.unwrap_or(0.0) / 100.0
}

/// What the cores have done so far: busy and all ticks of each.
pub struct Ticks(Vec<(u64, u64)>);

impl Ticks {
    pub fn now() -> Self {
        let stat = read("/proc/stat");
        let cores = stat
            .lines()
            .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
            .map(|line| {
                let ticks: Vec<u64> = line
                    .split(' ')
                    .skip(1)
                    .filter_map(|word| word.parse().ok())
                    .collect();
                let all: u64 = ticks.iter().take(8).sum();
                let idle: u64 = ticks.iter().skip(3).take(2).sum();
                (all - idle, all)
            });
        Self(cores.collect())
    }

    /// Of each core, how much of the time since then it worked, in percent.
    pub fn busy_since(&self) -> [f64; 2] {
        let now = Self::now();
        [SERVER_CORE, GENERATOR_CORE].map(|core| {
            let core = core as usize;
            match (self.0.get(core), now.0.get(core)) {
                (Some(before), Some(after)) if after.1 > before.1 => {
                    100.0 * (after.0 - before.0) as f64 / (after.1 - before.1) as f64
                }
                _ => 0.0,
            }
        })
    }
}
