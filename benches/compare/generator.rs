//! `gatewarden load` on the generator's core.

use crate::contender::Running;
use crate::line;
use crate::machine::{GENERATOR_CORE, Ticks};
use crate::process::finish;
use crate::result::{Sample, whole};
use crate::stage::Stage;
use serde_json::Value;

/// The secret of the only NAS.
pub const SECRET: &str = "testing123";

/// Ports on this machine: authentication, and the next for accounting.
#[derive(Clone, Copy)]
pub struct Address(pub u16);

impl Address {
    pub fn auth(self) -> String {
        format!("127.0.0.1:{}", self.0)
    }

    pub fn acct_port(self) -> u16 {
        self.0 + 1
    }

    pub fn acct(self) -> String {
        format!("127.0.0.1:{}", self.acct_port())
    }
}

/// Whether Status-Server is answered.
pub fn is_alive(stage: &Stage, address: Address) -> bool {
    let command = line![
        stage.gatewarden_binary,
        "load",
        address.auth(),
        "--secret",
        SECRET,
        "--work",
        "status",
        "--count",
        1,
        "--timeout",
        0.3,
        "--accept-unsigned",
        "--json"
    ];
    finish(GENERATOR_CORE, &command).is_ok_and(|output| output.status.success())
}

/// Asks with these options, and says what came of it.
pub fn ask(stage: &mut Stage, running: &Running, options: &[String]) -> Result<Sample, String> {
    let unsigned = match running.contender.is_signed() {
        true => Vec::new(),
        false => line!["--accept-unsigned"],
    };
    let command = [
        line![
            stage.gatewarden_binary,
            "load",
            running.address.auth(),
            "--secret",
            SECRET,
            "--json"
        ],
        unsigned,
        options.to_vec(),
    ]
    .concat();
    stage.remember(GENERATOR_CORE, &command);
    let before = Ticks::now();
    let output = finish(GENERATOR_CORE, &command)?;
    let [server_core, generator_core] = before.busy_since();
    let text = String::from_utf8_lossy(&output.stdout);
    let json: Value = serde_json::from_str(&text).map_err(|_| {
        format!(
            "{}: {}",
            command.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    let number = |name: &str| json[name].as_f64().unwrap_or(0.0);
    let latency = |name: &str| json["latency_milliseconds"][name].as_f64().unwrap_or(0.0);
    let sample = Sample {
        accepted: number("accepted"),
        per_second: number("accepted_per_second"),
        p50: latency("p50"),
        p99: latency("p99"),
        p99_9: latency("p99_9"),
        failed: number("lost")
            + number("bad")
            + number("rejected")
            + number("challenged")
            + number("unsent"),
        server_core,
        generator_core,
    };
    println!(
        "  {}: {}/s, p99 {:.2} ms, {} failed",
        running.contender.name(),
        whole(sample.per_second),
        sample.p99,
        whole(sample.failed)
    );
    Ok(sample)
}
