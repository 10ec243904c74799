//! `gatewarden serve`: the server.
//!
//! SIGTERM and SIGINT end it: what is in work is answered first. SIGHUP reads the configuration again and says what of
//! it needs a restart.

use crate::failure::Failure;
use crate::house::House;
use crate::log::{self, LogLevel};
use crate::output::Output;
use crate::place::{Place, PlaceArgs};
use crate::running::{Asked, Running, Signals, join};
use crate::settings::Settings;
use aaa_server::Purpose;
use std::net::IpAddr;

/// Options of `serve`.
#[derive(clap::Args)]
#[command(after_help = "\
When logins are decided it prints one line on standard output: READY with its addresses. The log goes to
standard error. SIGTERM and SIGINT end it when what is in work has been answered; SIGHUP reads the
configuration again.

Examples:
  gatewarden --data D serve --auth-port 18120 --acct-port 18130 --http 127.0.0.1:18080
  gatewarden --config /etc/gatewarden.toml --database postgres://gatewarden@db/gatewarden serve")]
pub struct ServeArgs {
    #[command(flatten)]
    doors: DoorArgs,
}

/// Options that go before the configuration.
#[derive(clap::Args)]
pub struct DoorArgs {
    /// Port for authentication instead of those in the configuration; can be repeated
    #[arg(long, value_name = "PORT")]
    pub auth_port: Vec<u16>,
    /// Port for accounting instead of those in the configuration; can be repeated
    #[arg(long, value_name = "PORT")]
    pub acct_port: Vec<u16>,
    /// Address to listen on for RADIUS instead of those in the configuration; can be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub address: Vec<IpAddr>,
    /// Where the HTTP door listens: ADDRESS:PORT, or '' for nowhere
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<String>,
}

impl DoorArgs {
    /// Puts the options over the settings.
    ///
    /// # Errors
    /// A port that is given for both purposes.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), Failure> {
        if !self.auth_port.is_empty() {
            settings.radius.auth_ports.clone_from(&self.auth_port);
        }
        if !self.acct_port.is_empty() {
            settings.radius.acct_ports.clone_from(&self.acct_port);
        }
        if !self.address.is_empty() {
            settings.radius.addresses.clone_from(&self.address);
        }
        if let Some(http) = &self.http {
            settings.http.listen.clone_from(http);
        }
        settings
            .radius
            .listeners()
            .map(|_| ())
            .map_err(Failure::usage)
    }
}

/// Runs the command.
///
/// # Errors
/// It could not start.
pub async fn run(args: &ServeArgs, places: &PlaceArgs) -> Result<(), Failure> {
    let place = places.settle()?;
    let mut settings = place.settings.clone();
    args.doors.apply(&mut settings)?;
    let level = log::start(&settings.log)?;
    // Before anything can take long: a service manager may want us to stop while we start.
    let mut signals = Signals::listen()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data = %place.data.display(),
        database = %place.database,
        "starting"
    );
    let (house, is_open) = House::open_to_serve(place.clone()).await?;
    let running = Running::start(house, is_open, settings.radius, &settings.http).await?;
    let mut known = place.settings.clone();
    let mut is_ready = false;
    loop {
        tokio::select! {
            () = running.ready(), if !is_ready => {
                is_ready = true;
                announce(&running)?;
            }
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => reload(&place, &mut known, &level),
            },
        }
    }
    tracing::info!("stopping: what is in work is answered first");
    // A million people are millions of pieces of memory: the system takes them back at once when the process ends, and
    // whoever starts the next one does not wait until each was given back.
    std::mem::forget(running.health());
    signals.while_stopping(running).await?;
    tracing::info!("stopped");
    Ok(())
}

/// One line that scripts wait for.
fn announce(running: &Running) -> Result<(), Failure> {
    let mut line = format!(
        "READY auth {} acct {}",
        join(&running.addresses(Purpose::Authentication)),
        join(&running.addresses(Purpose::Accounting))
    );
    if let Some(http) = running.http_address() {
        line.push_str(&format!(" http {http}"));
    }
    tracing::info!("{line}");
    let mut output = Output::default();
    // Nobody may be reading: that is no reason to stop serving.
    let _ = output.line(&line).and_then(|()| output.flush());
    Ok(())
}

fn reload(place: &Place, known: &mut Settings, level: &LogLevel) {
    let new = match Settings::read(place.config.as_deref()) {
        Ok(new) => new,
        Err(failure) => {
            tracing::error!(
                "the configuration stays as it is: {}",
                failure.sentence().unwrap_or_default()
            );
            return;
        }
    };
    if let Err(failure) = level.set(&new.log.level) {
        tracing::error!("{}", failure.sentence().unwrap_or_default());
    }
    match known.needs_restart(&new).as_slice() {
        [] => tracing::info!("configuration read again; everything in it is in force"),
        sections => tracing::warn!(
            "configuration read again; changes in {} need a restart",
            sections.join(", ")
        ),
    }
    // The sections that need a restart are compared with what runs, however often the file is read.
    known.log.level = new.log.level;
}
