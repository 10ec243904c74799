//! `gatewarden nas`: the devices that ask.

mod show;

use crate::failure::Failure;
use crate::house::House;
use crate::output::Output;
use access::limiter::Key;
use access::nas::{self, MaPolicy, Nas, NasChange, NasId, NewNas, Outcome, Route, RouteKind};
use access::network::Network;
use clap::{Args, Subcommand, ValueEnum};
use identity::organisation;
use kernel::Scope;
use zeroize::Zeroizing;

/// Options of `nas`.
#[derive(Args)]
#[command(
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
pub struct NasArgs {
    #[command(subcommand)]
    command: NasCommand,
}

#[derive(Subcommand)]
enum NasCommand {
    /// Adds a NAS; for one that is there, another secret begins a change of its secret
    #[command(after_help = "\
Examples:
  gatewarden --data D nas add 192.0.2.7 --org default --secret ...
  gatewarden --data D nas add 10.20.0.0/16 --org default --secret ... --name 'all of Berlin'
  gatewarden --data D nas add ap-lobby --org default --secret ...     (by NAS-Identifier, behind NAT)

A change of secret without an outage: add it again with the new secret (both are accepted now), enter the
new one on the device, look with 'nas list' which one it uses, then 'nas finish'.")]
    Add(AddArgs),
    /// Lists the NASes: what they were seen to do, and what to do about it
    List {
        /// Of this organisation only
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Shows one with all its settings
    Show {
        #[command(flatten)]
        which: Which,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Changes settings of a NAS
    Set(SetArgs),
    /// Removes a NAS; its sessions stay
    Rm(Which),
    /// Ends a change of secret: only the new one is accepted from now on
    Finish(Which),
    /// Takes a change of secret back: only the old one is accepted
    Cancel(Which),
    /// Lifts the lock of a NAS through which very many wrong passwords came
    Unlock(Which),
}

/// Which NAS.
#[derive(Args)]
pub struct Which {
    /// Its address, network, NAS-Identifier, name or id
    nas: String,
    /// Of this organisation
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
}

#[derive(Args)]
struct AddArgs {
    /// Where it asks from: ADDRESS, NETWORK/LENGTH, or its NAS-Identifier
    #[arg(value_name = "ADDRESS|NETWORK|IDENTIFIER")]
    target: String,
    /// The organisation it belongs to [default: the only one]
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// The secret it shares with this server
    #[arg(
        long,
        value_name = "TEXT",
        required_unless_present = "secret_stdin",
        conflicts_with = "secret_stdin"
    )]
    secret: Option<String>,
    /// Read the secret from standard input: its first line
    #[arg(long)]
    secret_stdin: bool,
    /// With an address: only the NAS that also sends this NAS-Identifier (or Called-Station-Id)
    #[arg(long, value_name = "TEXT")]
    identifier: Option<String>,
    #[command(flatten)]
    traits: Traits,
}

#[derive(Args)]
struct SetArgs {
    #[command(flatten)]
    which: Which,
    /// Another address or network
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Another NAS-Identifier; '' takes it away
    #[arg(long, value_name = "TEXT")]
    identifier: Option<String>,
    /// Whether it is answered at all
    #[arg(long, value_name = "YES|NO", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    enabled: Option<bool>,
    /// Forget every route
    #[arg(long, conflicts_with = "route")]
    no_routes: bool,
    #[command(flatten)]
    traits: Traits,
}

/// What both 'add' and 'set' can say.
#[derive(Args)]
struct Traits {
    /// Its name for people
    #[arg(long)]
    name: Option<String>,
    /// Its name in narrow tables
    #[arg(long, value_name = "NAME")]
    short_name: Option<String>,
    /// What it is: 'other', 'Wireless - Other', ...
    #[arg(long = "type", value_name = "TYPE")]
    port_type: Option<String>,
    /// Which vendor's dialect it speaks: 'generic', 'mikrotik', ...
    #[arg(long)]
    family: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What is done about Message-Authenticator in its requests
    #[arg(long, value_enum)]
    message_authenticator: Option<Policy>,
    /// Whether replies to it carry Message-Authenticator; 'no' only for devices that break on it
    #[arg(long, value_name = "YES|NO", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    sign_replies: Option<bool>,
    /// Whether Proxy-State without Message-Authenticator is dropped
    #[arg(long, value_name = "YES|NO", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    limit_proxy_state: Option<bool>,
    /// How long a refusal is held back, in milliseconds, 0 to 5000
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u16).range(0..=5000))]
    reject_delay: Option<u16>,
    /// Whether it counts Input as what the device downloads, against RFC 2866
    #[arg(long, value_name = "YES|NO", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    flip_octets: Option<bool>,
    /// UDP port of its Disconnect and CoA listener
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    coa_port: Option<u16>,
    /// Requests that belong to another organisation: ssid=guest:SLUG, realm=example.org:SLUG, identifier=ap1:SLUG
    #[arg(long, value_name = "KIND=VALUE:SLUG")]
    route: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Verified when there, counted when not: learn first
    Observe,
    /// Requests without it are dropped
    Require,
    /// Verified when there, and not demanded
    Off,
}

impl From<Policy> for MaPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Observe => MaPolicy::Observe,
            Policy::Require => MaPolicy::Require,
            Policy::Off => MaPolicy::Off,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// One sentence.
pub async fn run(args: &NasArgs, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let mut output = Output::default();
    match &args.command {
        NasCommand::Add(args) => add(args, house, &mut output).await?,
        NasCommand::List { org, json } => return show::list(house, org.as_deref(), *json).await,
        NasCommand::Show { which, json } => {
            return show::one(house, find(house, which).await?, *json).await;
        }
        NasCommand::Set(args) => set(args, house, &mut output).await?,
        NasCommand::Rm(which) => {
            let found = find(house, which).await?;
            let gone = nas::remove(kernel, found.id).await?;
            output.line(format!("NAS '{}' removed", gone.name))?;
        }
        NasCommand::Finish(which) => {
            let found = find(house, which).await?;
            let nas = nas::finish_secret_change(kernel, found.id).await?;
            output.line(format!(
                "NAS '{}': only the new secret is accepted now",
                nas.name
            ))?;
        }
        NasCommand::Cancel(which) => {
            let found = find(house, which).await?;
            let nas = nas::cancel_secret_change(kernel, found.id).await?;
            output.line(format!(
                "NAS '{}': only the old secret is accepted now",
                nas.name
            ))?;
        }
        NasCommand::Unlock(which) => {
            let found = find(house, which).await?;
            let lifted = access::lock::lift(kernel, Key::Nas(found.id.0)).await?;
            output.line(match lifted {
                true => format!("NAS '{}': the lock is lifted", found.name),
                false => format!(
                    "NAS '{}': no lock was stored; the server has been told all the same",
                    found.name
                ),
            })?;
        }
    }
    output.flush()
}

async fn add(args: &AddArgs, house: &House, output: &mut Output) -> Result<(), Failure> {
    let owner = house.organisation(args.org.as_deref()).await?;
    let secret = match &args.secret {
        Some(secret) => Zeroizing::new(secret.clone()),
        None => crate::password::from_stdin()?,
    };
    let (network, identifier) = target(&args.target).map_err(Failure::usage)?;
    let mut new = NewNas::new(owner.id, network, secret);
    new.identifier = match (&args.identifier, identifier) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage(format!(
                "'{}' is taken as a NAS-Identifier already; with --identifier write an address or a network first",
                args.target
            )));
        }
        (given, target) => given.clone().or(target),
    };
    let traits = &args.traits;
    macro_rules! take {
        ($($field:ident = $value:expr),* $(,)?) => { $(if let Some(value) = $value { new.$field = value; })* };
    }
    take! {
        name = traits.name.clone(),
        short_name = traits.short_name.clone(),
        port_type = traits.port_type.clone(),
        family = traits.family.clone(),
        description = traits.description.clone(),
        message_authenticator = traits.message_authenticator.map(MaPolicy::from),
        signs_replies = traits.sign_replies,
        limits_proxy_state = traits.limit_proxy_state,
        reject_delay_ms = traits.reject_delay,
        flips_octets = traits.flip_octets,
        coa_port = traits.coa_port,
    }
    new.routes = routes(house, &traits.route).await?;
    let added = nas::add(&house.kernel, new).await?;
    for warning in &added.warnings {
        eprintln!("warning: {warning}");
    }
    output.line(match added.outcome {
        Outcome::Made => format!("NAS '{}' added to '{}'", added.nas.name, owner.slug),
        Outcome::SecretChangeBegun => format!(
            "NAS '{}' was there: it may use the old and the new secret now; when 'nas list' shows the new one in use, run 'nas finish'",
            added.nas.name
        ),
    })
}

async fn set(args: &SetArgs, house: &House, output: &mut Output) -> Result<(), Failure> {
    let found = find(house, &args.which).await?;
    let traits = &args.traits;
    let change = NasChange {
        name: traits.name.clone(),
        short_name: traits.short_name.clone(),
        port_type: traits.port_type.clone(),
        family: traits.family.clone(),
        network: match args.network.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(text) => Some(Some(text.parse::<Network>().map_err(Failure::usage)?)),
        },
        identifier: args
            .identifier
            .as_ref()
            .map(|text| Some(text.clone()).filter(|text| !text.is_empty())),
        message_authenticator: traits.message_authenticator.map(MaPolicy::from),
        signs_replies: traits.sign_replies,
        limits_proxy_state: traits.limit_proxy_state,
        reject_delay_ms: traits.reject_delay,
        flips_octets: traits.flip_octets,
        is_enabled: args.enabled,
        description: traits.description.clone(),
        coa_port: traits.coa_port,
    };
    let changes_routes = args.no_routes || !traits.route.is_empty();
    if change == NasChange::default() && !changes_routes {
        return Err(Failure::usage(
            "nothing to change; see 'gatewarden nas set --help' for what there is",
        ));
    }
    let routes = routes(house, &traits.route).await?;
    if change != NasChange::default() {
        nas::change(&house.kernel, found.id, change).await?;
    }
    if changes_routes {
        nas::set_routes(&house.kernel, found.id, routes).await?;
    }
    output.line(format!("NAS '{}' changed", found.name))
}

/// A network, or else an identifier.
fn target(text: &str) -> Result<(Option<Network>, Option<String>), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(
            "the NAS is empty; write its address, its network or its NAS-Identifier".to_owned(),
        );
    }
    match text.parse::<Network>() {
        Ok(network) => Ok((Some(network), None)),
        // What can only be meant as an address is not taken for a name.
        Err(reason)
            if text.contains('/') || text.split('.').all(|part| part.parse::<u32>().is_ok()) =>
        {
            Err(reason)
        }
        Err(_) => Ok((None, Some(text.to_owned()))),
    }
}

async fn routes(house: &House, texts: &[String]) -> Result<Vec<Route>, Failure> {
    let mut routes = Vec::with_capacity(texts.len());
    for text in texts {
        let wrong = || {
            Failure::usage(format!(
                "--route '{text}': write KIND=VALUE:SLUG with the kind ssid, realm or identifier, as in ssid=guest:cafe"
            ))
        };
        let (kind, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (value, slug) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let kind = RouteKind::from_word(kind.trim()).ok_or_else(wrong)?;
        let organisation = organisation::by_slug(&house.kernel.db, slug.trim()).await?;
        routes.push(Route {
            kind,
            value: value.to_owned(),
            organisation: organisation.id,
        });
    }
    Ok(routes)
}

/// The one NAS that a text means.
///
/// # Errors
/// There is none, or more than one; with the nearest there is.
pub async fn one(house: &House, text: &str, org: Option<&str>) -> Result<Nas, Failure> {
    let which = Which {
        nas: text.to_owned(),
        org: org.map(str::to_owned),
    };
    find(house, &which).await
}

/// The one NAS that is meant.
async fn find(house: &House, which: &Which) -> Result<Nas, Failure> {
    let scope = house.scope(which.org.as_deref()).await?;
    let mut found = nas::find(&house.kernel.db, scope, which.nas.trim()).await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(unknown(house, scope, &which.nas).await?),
        _ => {
            let slugs = house.slugs().await?;
            let each: Vec<String> = found
                .iter()
                .map(|nas| {
                    format!(
                        "{} ({}, {})",
                        nas.id,
                        nas.name,
                        slugs.get(&nas.organisation).map_or("?", String::as_str)
                    )
                })
                .collect();
            Err(Failure::usage(format!(
                "'{}' means {} NASes; say --org, or write one of these ids: {}",
                which.nas,
                found.len(),
                each.join(", ")
            )))
        }
    }
}

async fn unknown(house: &House, scope: Scope, text: &str) -> Result<Failure, Failure> {
    let all = nas::list(&house.kernel.db, scope).await?;
    let names: Vec<String> = all
        .iter()
        .flat_map(|line| {
            [
                Some(line.nas.name.clone()),
                line.nas.network.map(|network| network.to_string()),
                line.nas.identifier.clone(),
            ]
        })
        .flatten()
        .collect();
    let near = kernel::config::nearest(text, names.iter().map(String::as_str));
    Ok(Failure::usage(match near {
        Some(near) => format!("there is no NAS '{text}'; did you mean '{near}'?"),
        None => format!("there is no NAS '{text}'; 'gatewarden nas list' shows those there are"),
    }))
}

/// The NAS of a session, for `session kill`.
pub async fn with_secrets(
    house: &House,
    id: kernel::id::Uuid,
) -> Result<Option<(Nas, access::nas::NasSecrets)>, Failure> {
    Ok(nas::load_one(&house.kernel, NasId(id)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_never_taken_for_a_name() {
        let network = |text: &str| (text.parse::<Network>().ok(), None);
        for (text, expect) in [
            ("127.0.0.0/8", Some(network("127.0.0.0/8"))),
            (" 10.0.0.1 ", Some(network("10.0.0.1"))),
            ("2001:db8::/32", Some(network("2001:db8::/32"))),
            ("ap-lobby", Some((None, Some("ap-lobby".to_owned())))),
            (
                "AA-BB-CC-DD-EE-FF",
                Some((None, Some("AA-BB-CC-DD-EE-FF".to_owned()))),
            ),
            ("10.0.0.256", None),
            ("10.0.0.1/33", None),
            ("10.0.0.1/8", None),
            ("", None),
        ] {
            assert_eq!(target(text).ok(), expect, "{text}");
        }
    }
}
