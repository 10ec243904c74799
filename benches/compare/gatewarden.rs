//! Gatewarden as it comes: every setting at its default but ports and the number of threads, which is the cores it has.

use crate::generator::{Address, SECRET};
use crate::line;
use crate::machine::SERVER_CORE;
use crate::people;
use crate::process::{Server, good};
use crate::stage::Stage;
use std::path::Path;
use std::time::{Duration, Instant};

/// The database and the folder of the installation that answers.
pub const DATABASE: &str = "gatewarden";

/// `gatewarden --data D [--database URL]`.
pub fn place(stage: &Stage, folder: &Path, database: Option<&str>) -> Vec<String> {
    let mut command = line![stage.gatewarden_binary, "--data", folder.display()];
    if let Some(url) = database {
        command.extend(line!["--database", url]);
    }
    command
}

/// An installation with an organisation and this machine as its NAS, and nobody in it.
pub fn found(place: &[String]) -> Result<(), String> {
    let nas = line![
        "nas",
        "add",
        "127.0.0.0/8",
        "--secret",
        SECRET,
        "--org",
        "default"
    ];
    good(SERVER_CORE, &[place, &nas[..]].concat())?;
    unlimited(place)
}

/// The group that everybody is in, without the limits of a day that it is born with: nobody else counts any.
pub fn unlimited(place: &[String]) -> Result<(), String> {
    let rules = line![
        "group",
        "set",
        "default-users",
        "--remove",
        "Max-Daily-Session",
        "--remove",
        "Max-Daily-Session-Traffic"
    ];
    good(SERVER_CORE, &[place, &rules[..]].concat()).map(|_| ())
}

/// The same group with three limits and two conditions.
pub fn limited(place: &[String]) -> Result<(), String> {
    let plan = line![
        "plan",
        "add",
        "three",
        "--org",
        "default",
        "--limit",
        "8 h/day",
        "--limit",
        "50 GB/month",
        "--limit",
        "up 10 GB/week"
    ];
    good(SERVER_CORE, &[place, &plan[..]].concat())?;
    let rules = line![
        "group",
        "set",
        "default-users",
        "--plan",
        "three",
        "--check",
        "Framed-Protocol !* ANY",
        "User-Name =~ \"^user\""
    ];
    good(SERVER_CORE, &[place, &rules[..]].concat()).map(|_| ())
}

/// As it was before [`limited`].
pub fn lifted(place: &[String]) -> Result<(), String> {
    let rules = line![
        "group",
        "set",
        "default-users",
        "--no-plan",
        "--remove",
        "Framed-Protocol",
        "--remove",
        "User-Name"
    ];
    good(SERVER_CORE, &[place, &rules[..]].concat())?;
    let plan = line!["plan", "rm", "three", "--org", "default"];
    good(SERVER_CORE, &[place, &plan[..]].concat()).map(|_| ())
}

/// Imports a file and says how long that took.
pub fn import(
    place: &[String],
    file: &Path,
    store: Option<&str>,
    cores: &str,
) -> Result<Duration, String> {
    let mut command = [
        place,
        &line!["user", "import", file.display(), "--org", "default"][..],
    ]
    .concat();
    if let Some(store) = store {
        command.extend(line!["--store", store]);
    }
    let started = Instant::now();
    let output = std::process::Command::new("taskset")
        .args(["-c", cores])
        .args(&command)
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!(
            "{}: {}",
            command.join(" "),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let took = started.elapsed();
    println!(
        "  imported in {:.1} s: {}",
        took.as_secs_f64(),
        file.display()
    );
    Ok(took)
}

fn name(has_postgres: bool) -> &'static str {
    match has_postgres {
        true => "gatewarden-postgres",
        false => "gatewarden-sqlite",
    }
}

/// The beginning of every command that is about the installation that answers.
pub fn installation(stage: &Stage, has_postgres: bool) -> Result<Vec<String>, String> {
    let folder = stage.folder(name(has_postgres))?;
    let url = has_postgres.then(|| stage.postgres_url(DATABASE));
    Ok(place(stage, &folder, url.as_deref()))
}

/// Starts it with the 100,000 users; the first time it is made.
pub fn start(stage: &mut Stage, address: Address, has_postgres: bool) -> Result<Server, String> {
    let name = name(has_postgres);
    let folder = stage.folder(name)?;
    let place = installation(stage, has_postgres)?;
    if !stage.is_prepared(name) {
        if has_postgres {
            stage.postgres.create(DATABASE)?;
        }
        found(&place)?;
        let file = stage.folder("files")?.join("recoverable.csv");
        people::recoverable(&file)?;
        import(&place, &file, Some("recoverable"), "0,1")?;
        let file = stage.folder("files")?.join("slow.csv");
        people::slow(&file)?;
        import(&place, &file, None, "0,1")?;
        if has_postgres {
            stage.postgres.rest(DATABASE)?;
        }
    }
    let http = stage.port();
    let serve = line![
        "serve",
        "--auth-port",
        address.0,
        "--acct-port",
        address.acct_port(),
        "--http",
        format!("127.0.0.1:{http}")
    ];
    let config = folder.join("bench.toml");
    std::fs::write(&config, "[radius]\naddresses = [\"127.0.0.1\"]\n")
        .map_err(|e| e.to_string())?;
    let command = [&place[..], &line!["--config", config.display()], &serve].concat();
    stage.serve(name, &command)
}
