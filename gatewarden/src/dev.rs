//! `gatewarden dev`: a server with something in it, and everything a newcomer needs to know, on one screen.

use crate::failure::Failure;
use crate::house::{DEFAULT_ORGANISATION, House};
use crate::log;
use crate::output::Output;
use crate::place::PlaceArgs;
use crate::running::{Running, Signals, join};
use crate::sample::{self, ALICE, BOB, PRINTER, SECRET};
use crate::scratch::Scratch;
use crate::serve::DoorArgs;
use aaa_server::Purpose;
use kernel::db::Location;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Options of `dev`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gatewarden dev
  gatewarden --data D dev --keep          the data stay in D; start it again and nothing is made twice")]
pub struct DevArgs {
    #[command(flatten)]
    doors: DoorArgs,
    /// Keep the data: in the data folder that --data names
    #[arg(long)]
    keep: bool,
}

/// Runs the command.
///
/// # Errors
/// It could not start.
pub async fn run(args: &DevArgs, places: &PlaceArgs) -> Result<(), Failure> {
    let mut place = places.settle()?;
    let scratch = match args.keep {
        true => None,
        false => Some(Scratch::make("dev")?),
    };
    if let Some(scratch) = &scratch {
        place.data = scratch.path().to_owned();
        place.database = Location::Sqlite(place.data.join("gatewarden.db"));
    }
    if place.config.is_none() {
        place.settings.radius.addresses = loopback();
        place.settings.log.level = "warn".to_owned();
    }
    args.doors.apply(&mut place.settings)?;
    let _log = log::start(&place.settings.log)?;
    let mut signals = Signals::listen()?;
    let settings = place.settings.clone();
    let house = House::open_at(place).await?;
    let owner = house.organisation(Some(DEFAULT_ORGANISATION)).await?;
    sample::make(&house, &owner).await?;
    let running = match Running::start(house, true, settings.radius, &settings.http).await {
        Ok(running) => running,
        Err(failure) => return Err(with_remedy(&failure)),
    };
    tokio::select! {
        () = running.ready() => {}
        () = signals.stop() => return signals.while_stopping(running).await,
    }
    greet(&running, scratch.is_some())?;
    signals.stop().await;
    let done = signals.while_stopping(running).await;
    drop(scratch);
    done
}

/// The addresses of this machine that nobody else can reach.
fn loopback() -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    addresses
}

/// A port that is taken is the usual trouble of a second start.
fn with_remedy(failure: &Failure) -> Failure {
    Failure::failed(format!(
        "{}; another server may be running: stop it, or choose other ports with --auth-port, --acct-port and --http",
        failure.sentence().unwrap_or_default()
    ))
}

fn greet(running: &Running, is_temporary: bool) -> Result<(), Failure> {
    let auth = running.addresses(Purpose::Authentication);
    let acct = running.addresses(Purpose::Accounting);
    let data = &running.house().place.data;
    // The lines below are for another terminal, which may stand in another folder.
    let data = std::path::absolute(data)
        .unwrap_or_else(|_| data.clone())
        .display()
        .to_string();
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "gatewarden".to_owned());
    let first = |addresses: &[SocketAddr]| {
        addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let (ask, report) = (first(&auth), first(&acct));
    let mut output = Output::default();
    output.line(format!(
        "Gatewarden {} is ready.\n",
        env!("CARGO_PKG_VERSION")
    ))?;
    let mut fact = |name: &str, value: String| output.line(format!("  {name:<16} {value}"));
    fact("authentication", join(&auth))?;
    fact("accounting", join(&acct))?;
    if let Some(http) = running.http_address() {
        fact("health", format!("http://{http}/healthz"))?;
    }
    fact(
        "data",
        format!(
            "{data}{}",
            if is_temporary {
                "   (removed at the end)"
            } else {
                ""
            }
        ),
    )?;
    fact(
        "NAS secret",
        format!("{SECRET}   (for every NAS on this machine)"),
    )?;
    fact(
        "user",
        format!("{} / {}   (every method)", ALICE.0, ALICE.1),
    )?;
    fact(
        "user",
        format!("{} / {}   (hashed: PAP only)", BOB.0, BOB.1),
    )?;
    fact(
        "device",
        format!("{}   (by its address, without a password)", PRINTER.1),
    )?;
    let (user, password) = ALICE;
    output.line("\nTry, in another terminal:\n")?;
    let lines = [
        format!(
            "echo 'User-Name = {user}, User-Password = {password}' | radclient -x {ask} auth {SECRET}"
        ),
        format!(
            "{program} ping {ask} --secret {SECRET} --user {user} --password {password} --method chap"
        ),
        format!(
            "{program} ping {report} --secret {SECRET} --user {user} --method accounting --status start"
        ),
        format!("{program} --data {data} session list"),
        format!("{program} --data {data} explain {user}"),
    ];
    for line in lines {
        output.line(format!("  {line}"))?;
    }
    output.line("\nCtrl-C ends it.")?;
    output.flush()
}
