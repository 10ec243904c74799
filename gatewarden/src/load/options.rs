//! What can be said to `load`, and what it comes to.

use super::acknowledged::Acknowledged;
use super::pace::Pace;
use super::people;
use super::plan::{Plan, Share, part};
use super::port::MAX_IN_USE;
use super::question::{MAX_NAS_IDENTIFIER_OCTETS, Stationery};
use super::work::{Mix, Work};
use crate::failure::Failure;
use crate::ping::address::resolve;
use clap::Args;
use radius_wire::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// Authentication's port (RFC 2865 section 3); accounting's is the next.
const AUTH_PORT: u16 = 1812;
/// Seconds of a run that names no bound.
const DEFAULT_SECONDS: f64 = 10.0;
/// A day: nobody forgets a generator for longer.
const MAX_SECONDS: f64 = 86_400.0;
/// Questions without an answer that a closed loop keeps: enough that a server never waits for the generator.
const DEFAULT_OUTSTANDING: u32 = 256;
/// Questions without an answer that an open loop bears before it stops asking: the default and the most. Each takes
/// some 500 octets.
const DEFAULT_OPEN_OUTSTANDING: u32 = 16_384;
const MAX_OUTSTANDING: u32 = 1_000_000;
/// Threads: more than a machine has cores only take each other's time.
const MAX_THREADS: i64 = 64;
/// Sockets of a thread to one server: a machine has some 28,000 ports to give.
const MAX_SOCKETS: i64 = 8_192;
/// Sessions open at once, some 32 octets each.
const MAX_SESSIONS: u32 = 5_000_000;
/// Servers asked in one run.
const MAX_SERVERS: usize = 64;
/// Sessions open at once, unless said otherwise.
const DEFAULT_SESSIONS: u32 = 10_000;
const NANOS_PER_SECOND: f64 = 1e9;

/// Options of `load`.
#[derive(Args)]
#[command(after_help = "\
Every answer is verified: a wrong or missing signature counts as bad, not as an answer. Latencies of an open loop
(--rate) count from the moment a question ought to leave; those of a closed loop from when it left.

Exit code: 0 every question was answered as it ought to be, 1 some were lost, bad or wrongly decided, 2 what was typed
is wrong.

Examples:
  gatewarden load 127.0.0.1:18120 --secret testing123 --user alice --password wonderland
  gatewarden load 127.0.0.1 --secret s --user user%06d --users 100000 --password pw%06d --work pap=8,chap=1,mschapv2=1
  gatewarden load 127.0.0.1 --secret s --user user%06d --users 1000 --password pw --rate 5000 --seconds 60 --json
  gatewarden load 127.0.0.1 --secret s --work accounting --user user%06d --users 1000 --sessions 50000 --interims 3
  gatewarden load --null 127.0.0.1:18120 --secret s     the floor to compare with: ask it from another terminal")]
pub struct LoadArgs {
    /// The servers: ADDRESS, HOST, or either with :PORT [default port: 1812]
    #[arg(value_name = "SERVER", required = true)]
    servers: Vec<String>,
    /// The shared secret
    #[arg(long, env = "GATEWARDEN_SECRET", hide_env_values = true)]
    pub(super) secret: String,
    /// Where the servers take accounting [default: the port after the one for authentication]
    #[arg(long, value_name = "PORT")]
    accounting_port: Option<u16>,
    /// Confirms that a SERVER that is not this machine is yours to put under load
    #[arg(long)]
    i_own_this_target: bool,
    /// Instead of asking: answer, at SERVER, everything that is rightly signed with yes, keeping nothing
    #[arg(long)]
    pub(super) null: bool,

    /// What is asked: pap, chap, mschapv2, accounting, status, or a mix with weights, as in pap=8,accounting=2
    #[arg(
        long,
        value_name = "WORK",
        default_value = "pap",
        help_heading = "Questions"
    )]
    work: String,
    /// The users' names; %d or %06d stands for a number
    #[arg(
        long,
        value_name = "PATTERN",
        default_value = "user%06d",
        help_heading = "Questions"
    )]
    user: String,
    /// How many users there are
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        help_heading = "Questions"
    )]
    users: u32,
    /// The number of the first user
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "Questions"
    )]
    first_user: u32,
    /// The users' passwords; %d or %06d stands for the user's number
    #[arg(long, value_name = "PATTERN", help_heading = "Questions")]
    password: Option<String>,
    /// The users from a CSV file instead: NAME,PASSWORD on each line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["users", "first_user", "user", "password"], help_heading = "Questions")]
    users_file: Option<PathBuf>,
    /// Draw users at random instead of one after the other
    #[arg(long, help_heading = "Questions")]
    random_users: bool,
    /// Of a hundred logins, so many with a wrong password
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 0.0,
        help_heading = "Questions"
    )]
    wrong_password: f64,
    /// NAS-Identifier of every question
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "gatewarden-load",
        help_heading = "Questions"
    )]
    nas_identifier: String,
    /// Leave Message-Authenticator out of logins
    #[arg(long, help_heading = "Questions")]
    no_message_authenticator: bool,
    /// Believe answers without Message-Authenticator, as servers gave them before BlastRADIUS
    #[arg(long, help_heading = "Questions")]
    accept_unsigned: bool,

    /// For accounting: sessions open at once [default: 10000, at least the questions without an answer]
    #[arg(long, value_name = "COUNT", help_heading = "Accounting")]
    sessions: Option<u32>,
    /// For accounting: Interim-Updates between Start and Stop
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=10_000), help_heading = "Accounting")]
    interims: u32,
    /// For accounting: append every acknowledged report to this file, as CSV, before anything else is asked
    #[arg(long, value_name = "FILE", help_heading = "Accounting")]
    record_acknowledged: Option<PathBuf>,

    /// Questions that wait for an answer at once; with --rate the most that may [default: 256, with --rate 16384]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_OUTSTANDING)), help_heading = "How fast, how long")]
    outstanding: Option<u32>,
    /// Ask so many questions a second, however fast the answers come (an open loop)
    #[arg(long, value_name = "PER SECOND", help_heading = "How fast, how long")]
    pub(super) rate: Option<f64>,
    /// Ask for so long, warm-up not included [default: 10, or until --count is reached]
    #[arg(long, value_name = "SECONDS", help_heading = "How fast, how long")]
    pub(super) seconds: Option<f64>,
    /// Ask so many questions at most, those of the warm-up included
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), help_heading = "How fast, how long")]
    count: Option<u64>,
    /// Ask for so long before anything is counted
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0.0,
        help_heading = "How fast, how long"
    )]
    warm_up: f64,
    /// Wait so long for an answer before the question is sent again or given up
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3.0,
        help_heading = "How fast, how long"
    )]
    timeout: f64,
    /// Send a question so often at most, the same packet each time; 1 sends nothing again
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = "How fast, how long")]
    tries: u32,
    /// Threads; one is enough for most servers
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MAX_THREADS), help_heading = "How fast, how long")]
    pub(super) threads: u32,
    /// Source ports of each thread to each server; 250 questions at most wait on each [default: as many as needed, 8 at least]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=MAX_SOCKETS), help_heading = "How fast, how long")]
    sockets: Option<u32>,

    /// The result as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl LoadArgs {
    /// Questions without an answer, of all threads.
    pub(super) fn outstanding(&self) -> u32 {
        self.outstanding.unwrap_or(match self.rate {
            Some(_) => DEFAULT_OPEN_OUTSTANDING,
            None => DEFAULT_OUTSTANDING,
        })
    }

    fn mix(&self) -> Result<Mix, Failure> {
        Mix::parse(&self.work).map_err(|e| Failure::usage(format!("--work: {e}")))
    }
}

/// Where to ask: for each server the address for logins and the one for accounting.
pub(super) fn servers(args: &LoadArgs) -> Result<Vec<(SocketAddr, SocketAddr)>, Failure> {
    if args.servers.len() > MAX_SERVERS {
        return Err(Failure::usage(format!(
            "more than {MAX_SERVERS} servers: run it more than once"
        )));
    }
    let mut servers = Vec::new();
    for text in &args.servers {
        let auth = resolve(text, AUTH_PORT).map_err(Failure::usage)?;
        if !auth.ip().to_canonical().is_loopback() && !args.i_own_this_target {
            return Err(Failure::usage(format!(
                "{} is not this machine. Load can put a server, and the network before it, out of work: say --i-own-this-target if both are yours",
                auth.ip()
            )));
        }
        let port = match args.accounting_port {
            Some(port) => port,
            None => auth.port().checked_add(1).ok_or_else(|| {
                Failure::usage(format!(
                    "{auth}: there is no next port; say --accounting-port"
                ))
            })?,
        };
        servers.push((auth, SocketAddr::new(auth.ip(), port)));
    }
    Ok(servers)
}

/// A number of seconds within bounds, in nanoseconds.
fn nanos(option: &str, seconds: f64, least: f64) -> Result<u64, Failure> {
    if !(least..=MAX_SECONDS).contains(&seconds) {
        return Err(Failure::usage(format!(
            "{option}: write seconds between {least} and {MAX_SECONDS}"
        )));
    }
    Ok((seconds * NANOS_PER_SECOND) as u64)
}

/// What the run does.
pub(super) fn plan(args: &LoadArgs, is_interrupted: Arc<AtomicBool>) -> Result<Plan, Failure> {
    let mix = args.mix()?;
    let servers = servers(args)?;
    if args.nas_identifier.is_empty() || args.nas_identifier.len() > MAX_NAS_IDENTIFIER_OCTETS {
        return Err(Failure::usage(format!(
            "--nas-identifier: write 1 to {MAX_NAS_IDENTIFIER_OCTETS} octets"
        )));
    }
    if !(0.0..=100.0).contains(&args.wrong_password) {
        return Err(Failure::usage("--wrong-password: write 0 to 100"));
    }
    let needs_password = mix.has(Work::is_login) && args.users_file.is_none();
    if needs_password && args.password.is_none() {
        return Err(Failure::usage(
            "no password: say --password PATTERN or --users-file FILE (--work status and accounting need none)",
        ));
    }
    let with_nt_hash = mix.has(|work| work == Work::Mschapv2);
    let people = match &args.users_file {
        Some(path) => people::from_file(path, with_nt_hash)?,
        None => people::from_pattern(
            &args.user,
            args.password.as_deref().unwrap_or_default(),
            args.first_user,
            args.users,
            with_nt_hash,
        )?,
    };
    let warm_up = nanos("--warm-up", args.warm_up, 0.0)?;
    let seconds = match (args.seconds, args.count) {
        (Some(seconds), _) => seconds,
        (None, Some(_)) => MAX_SECONDS,
        (None, None) => DEFAULT_SECONDS,
    };
    Ok(Plan {
        servers,
        people,
        stationery: Stationery {
            secret: Secret::new(args.secret.as_bytes()),
            nas_identifier: args.nas_identifier.as_bytes().into(),
            is_signed: !args.no_message_authenticator,
        },
        is_random: args.random_users,
        wrong_per_million: (args.wrong_password * 10_000.0) as u32,
        is_unsigned_accepted: args.accept_unsigned,
        interims: args.interims,
        acknowledged: match &args.record_acknowledged {
            Some(path) => Some(Acknowledged::open(path)?),
            None => None,
        },
        timeout: nanos("--timeout", args.timeout, 0.01)?,
        tries: args.tries,
        warm_up,
        end: warm_up + nanos("--seconds", seconds, 0.01)?,
        mix,
        started: OnceLock::new(),
        is_interrupted,
    })
}

/// What thread `thread` does of it.
pub(super) fn share(args: &LoadArgs, thread: u32) -> Result<Share, Failure> {
    let threads = args.threads;
    let part = |whole: u64| part(whole, thread, threads);
    let outstanding = args.outstanding();
    if outstanding < threads {
        return Err(Failure::usage(
            "--outstanding: each of --threads needs one question at least",
        ));
    }
    let flights = part(outstanding.into()) as u32;
    let pace = match args.rate {
        None => Pace::Closed {
            outstanding: flights,
        },
        Some(rate) if (0.001..=10_000_000.0).contains(&rate) => Pace::Open {
            rate: rate / f64::from(threads),
        },
        Some(_) => {
            return Err(Failure::usage(
                "--rate: write a number of questions a second, 10000000 at most",
            ));
        }
    };
    // Half-full ports leave each identifier time to rest.
    let sockets = args.sockets.unwrap_or_else(|| {
        outstanding
            .div_ceil(threads)
            .div_ceil(128)
            .clamp(8, MAX_SOCKETS as u32)
    });
    let most = u64::from(sockets) * u64::from(MAX_IN_USE);
    if u64::from(flights) > most {
        return Err(Failure::usage(format!(
            "--outstanding: {sockets} source ports bear {most} questions of a thread; say more --sockets"
        )));
    }
    let sessions = args.sessions.unwrap_or(DEFAULT_SESSIONS.max(outstanding));
    if sessions > MAX_SESSIONS || sessions < threads {
        return Err(Failure::usage(format!(
            "--sessions: write a number from the number of threads to {MAX_SESSIONS}"
        )));
    }
    Ok(Share {
        thread,
        threads,
        pace,
        count: args.count.map_or(u64::MAX, part),
        flights,
        sockets,
        sessions: part(sessions.into()) as u32,
    })
}
