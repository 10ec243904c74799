//! `gatewarden demo`: a server, simulated NASes and users, and a live view of what happens between them.
//!
//! Everything is real but the people: UDP on the loopback interface, every packet signed and verified, the same
//! decisions, journal and database as anywhere. `nas.rs` is a simulated NAS, `view.rs` is what is seen.

mod nas;
mod view;

use crate::failure::Failure;
use crate::house::{DEFAULT_ORGANISATION, House};
use crate::log;
use crate::place::PlaceArgs;
use crate::running::{Running, Signals};
use crate::sample::make_person;
use crate::scratch::Scratch;
use aaa_server::{Purpose, RadiusConfig};
use access::nas::NewNas;
use identity::{NewPassword, Organisation, Store, find, membership};
use kernel::{Scope, db::Location, rng::readable_text};
use mgmt_api::HttpConfig;
use nas::{Person, Simulated};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use view::View;
use zeroize::Zeroizing;

/// The view is brought up to date this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// News that wait for the view; a NAS waits when it is full.
const MAX_NEWS: usize = 1_024;
/// Length of the secrets that are made up.
const SECRET_CHARS: usize = 20;
/// The simulated NASes. They share an address, as behind NAT, and are told apart by their names.
const NASES: [&str; 4] = ["lobby", "garden", "library", "rooftop"];
/// The simulated people: name, password, what is kept of it.
const PEOPLE: [(&str, &str, Store); 12] = [
    ("alice", "wonderland", Store::Recoverable),
    ("bob", "builder", Store::Hashed),
    ("carla", "espresso", Store::Recoverable),
    ("dmitri", "samovar", Store::Nt),
    ("emeka", "harmattan", Store::Recoverable),
    ("fatima", "pomegranate", Store::Recoverable),
    ("goran", "rakija", Store::Hashed),
    ("hana", "sakura", Store::Nt),
    ("ivan", "tundra", Store::Recoverable),
    ("jule", "kieselstein", Store::Recoverable),
    ("kofi", "highlife", Store::Recoverable),
    ("lena", "midsommar", Store::Recoverable),
];
/// Somebody who may not come in.
const DISABLED: &str = "kofi";
/// Somebody nobody knows.
const STRANGER: &str = "mallory";

/// Options of `demo`.
#[derive(clap::Args)]
pub struct DemoArgs {
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Runs the command.
///
/// # Errors
/// It could not start.
pub async fn run(args: &DemoArgs, places: &PlaceArgs) -> Result<(), Failure> {
    let scratch = Scratch::make("demo")?;
    let mut place = places.settle()?;
    place.data = scratch.path().to_owned();
    place.database = Location::Sqlite(place.data.join("gatewarden.db"));
    // The view is the log.
    place.settings.log.level = "error".to_owned();
    let _log = log::start(&place.settings.log)?;
    let mut signals = Signals::listen()?;
    let house = House::open_at(place).await?;
    let owner = house.organisation(Some(DEFAULT_ORGANISATION)).await?;
    let secrets = furnish(&house, &owner).await?;
    let radius = RadiusConfig {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        auth_ports: vec![0],
        acct_ports: vec![0],
        ..RadiusConfig::default()
    };
    let nowhere = HttpConfig {
        listen: String::new(),
    };
    let running = Running::start(house, true, radius, &nowhere).await?;
    running.ready().await;
    let done = live(args, &running, secrets, &mut signals).await;
    signals.while_stopping(running).await?;
    drop(scratch);
    done
}

/// People and NASes; the secrets of the NASes.
async fn furnish(house: &House, owner: &Organisation) -> Result<Vec<String>, Failure> {
    let kernel = &house.kernel;
    for (name, password, store) in PEOPLE {
        let password = NewPassword::given(password, store);
        make_person(house, owner, name, Some(password), None).await?;
    }
    for found in find::find(&kernel.db, Scope::Everything, DISABLED).await? {
        for place in found.memberships {
            membership::set_enabled(kernel, place.membership.id, false).await?;
        }
    }
    let mut secrets = Vec::new();
    for name in NASES {
        let secret = readable_text(&*kernel.rng, SECRET_CHARS);
        let mut new = NewNas::new(owner.id, None, Zeroizing::new(secret.clone()));
        new.identifier = Some(name.to_owned());
        access::nas::add(kernel, new).await?;
        secrets.push(secret);
    }
    Ok(secrets)
}

async fn live(
    args: &DemoArgs,
    running: &Running,
    secrets: Vec<String>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let first = |purpose| -> Result<SocketAddr, Failure> {
        let found = running.addresses(purpose).first().copied();
        found.ok_or_else(|| Failure::failed("the server does not listen"))
    };
    let (auth, acct) = (first(Purpose::Authentication)?, first(Purpose::Accounting)?);
    let (tell, news) = mpsc::sync_channel(MAX_NEWS);
    let stopping = Arc::new(AtomicBool::new(false));
    let people: Vec<Person> = PEOPLE
        .iter()
        .map(|(name, password, store)| Person {
            name,
            password,
            store: *store,
        })
        .collect();
    let mut threads = Vec::new();
    for (number, (name, secret)) in NASES.iter().zip(secrets).enumerate() {
        let nas = Simulated::new(number, name, secret, auth, acct, people.clone(), STRANGER);
        let (tell, stopping) = (tell.clone(), stopping.clone());
        threads.push(std::thread::spawn(move || nas.run(&tell, &stopping)));
    }
    drop(tell);
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let mut view = View::new(auth, acct, args.seconds);
    let shown = loop {
        for event in news.try_iter() {
            view.take(event);
        }
        let left = until.saturating_duration_since(Instant::now());
        if let Err(failure) = view.draw(running, left).await {
            break Err(failure);
        }
        if left.is_zero() {
            break Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY.min(left)) => {}
            () = signals.stop() => break Ok(()),
        }
    };
    stopping.store(true, Ordering::Release);
    // What is still told goes nowhere: a full channel must not keep a NAS from ending.
    drop(news);
    let joined = tokio::task::spawn_blocking(move || {
        threads.into_iter().for_each(|thread| drop(thread.join()))
    });
    let _ = joined.await;
    shown?;
    view.summary(running).await
}
