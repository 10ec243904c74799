//! `gatewarden org`: organisations.

use crate::failure::Failure;
use crate::house::House;
use crate::output::{Output, Table, moment, yes_no};
use access::admit::found_organisation;
use clap::{Args, Subcommand, ValueEnum};
use identity::{Namespace, NewOrganisation, organisation, setting};
use kernel::Scope;

/// Options of `org`.
#[derive(Args)]
#[command(
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
pub struct OrgArgs {
    #[command(subcommand)]
    command: OrgCommand,
}

#[derive(Subcommand)]
enum OrgCommand {
    /// Makes an organisation, with its two groups
    #[command(
        after_help = "Example:\n  gatewarden --data D org add 'Café Central' --slug central --time-zone Europe/Vienna"
    )]
    Add {
        /// Its name for people
        name: String,
        /// Its name on the command line: small letters, digits, dashes [default: made from the name]
        #[arg(long)]
        slug: Option<String>,
        /// Where its usernames are unique
        #[arg(long, value_enum, default_value_t = NamespaceWord::Shared)]
        namespace: NamespaceWord,
        /// IANA name of its time zone: days of quotas begin at its midnight
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        time_zone: String,
        /// Where it is reached
        #[arg(long)]
        email: Option<String>,
        /// For people
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },
    /// Lists the organisations
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Shows one, with its groups
    Show {
        /// Its slug
        slug: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Changes what holds for all its people
    Set(OrgSetArgs),
    /// Lets its people in again
    Enable {
        /// Its slug
        slug: String,
    },
    /// Keeps all its people out
    Disable {
        /// Its slug
        slug: String,
    },
}

/// Where usernames are unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NamespaceWord {
    /// On this server, together with every other organisation that shares
    Shared,
    /// Within this organisation: another one may have the same usernames
    Own,
}

/// Runs the command.
///
/// # Errors
/// One sentence.
pub async fn run(args: &OrgArgs, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let mut output = Output::default();
    match &args.command {
        OrgCommand::Add {
            name,
            slug,
            namespace,
            time_zone,
            email,
            description,
        } => {
            let mut new = NewOrganisation::named(name);
            new.slug = slug.clone();
            new.namespace = match namespace {
                NamespaceWord::Shared => Namespace::Shared,
                NamespaceWord::Own => Namespace::Own,
            };
            new.time_zone = time_zone.clone();
            new.email = email.clone();
            new.description = description.clone();
            let made = found_organisation(kernel, new).await?;
            output.line(format!(
                "organisation '{}' made, with its groups",
                made.slug
            ))?;
        }
        OrgCommand::List { json } => {
            let all = organisation::list(&kernel.db, Scope::Everything).await?;
            if *json {
                return output.json_list(&all);
            }
            let mut table =
                Table::new(&["SLUG", "NAME", "ACTIVE", "NAMESPACE", "TIME ZONE", "MADE"]);
            for o in &all {
                table.row([
                    o.slug.as_str(),
                    o.name.as_str(),
                    yes_no(o.is_active),
                    o.namespace.word(),
                    o.time_zone.as_str(),
                    moment(Some(o.created)).as_str(),
                ]);
            }
            return output.table(&table, "no organisation yet");
        }
        OrgCommand::Show { slug, json } => {
            let o = organisation::by_slug(&kernel.db, slug).await?;
            let groups = crate::group::lines(house, Scope::Organisation(o.id)).await?;
            if *json {
                let mut value = serde_json::to_value(&o).map_err(Failure::failed)?;
                value["groups"] = serde_json::to_value(&groups).map_err(Failure::failed)?;
                output.json(&value)?;
                return output.flush();
            }
            let mut facts = crate::output::Facts::default();
            facts.put("slug", &o.slug);
            facts.put("name", &o.name);
            facts.put("active", yes_no(o.is_active));
            facts.put("namespace", o.namespace.word());
            facts.put("time zone", &o.time_zone);
            facts.put_some("e-mail", o.email.as_deref());
            facts.put_some("description", Some(o.description.as_str()));
            facts.put("made", moment(Some(o.created)));
            facts.put("id", o.id.to_string());
            output.facts(&facts)?;
            output.line("")?;
            return crate::group::table(&mut output, &groups);
        }
        OrgCommand::Set(args) => return set(house, args).await,
        OrgCommand::Enable { slug } => return set_active(house, slug, true).await,
        OrgCommand::Disable { slug } => return set_active(house, slug, false).await,
    }
    output.flush()
}

/// What holds for all of an organisation's people.
#[derive(Args)]
struct OrgSetArgs {
    /// Its slug
    slug: String,
    /// Sessions of all its people together; 0 is as many as there are
    #[arg(long, value_name = "COUNT")]
    max_sessions: Option<u64>,
    /// A device that is online goes on at another access point by its address alone
    #[arg(long, value_name = "YES|NO", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    mac_roaming: Option<bool>,
    /// People come in only once it is settled who they are
    #[arg(long, value_name = "YES|NO", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    needs_verification: Option<bool>,
    /// Days that a password lasts; 0 is for ever
    #[arg(long, value_name = "DAYS")]
    password_days: Option<u32>,
}

async fn set(house: &House, args: &OrgSetArgs) -> Result<(), Failure> {
    let o = organisation::by_slug(&house.kernel.db, &args.slug).await?;
    let values = [
        ("max_sessions", args.max_sessions.map(Into::into)),
        ("mac_addr_roaming_enabled", args.mac_roaming.map(Into::into)),
        (
            "needs_identity_verification",
            args.needs_verification.map(Into::into),
        ),
        (
            "password_expiration_days",
            args.password_days.map(Into::into),
        ),
    ];
    let given: Vec<(&str, serde_json::Value)> = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    if given.is_empty() {
        return Err(Failure::usage(
            "nothing to set; 'gatewarden org set --help' shows what there is",
        ));
    }
    let mut output = Output::default();
    for (name, value) in given {
        setting::set(&house.kernel, Some(o.id), name, &value).await?;
        output.line(format!("organisation '{}': {name} is {value}", o.slug))?;
    }
    output.flush()
}

async fn set_active(house: &House, slug: &str, is_active: bool) -> Result<(), Failure> {
    let o = organisation::by_slug(&house.kernel.db, slug).await?;
    let changed = organisation::set_active(&house.kernel, o.id, is_active).await?;
    let mut output = Output::default();
    output.line(match (is_active, changed) {
        (true, true) => format!("organisation '{slug}' is enabled"),
        (false, true) => format!("organisation '{slug}' is disabled: nobody comes in through it"),
        (true, false) => format!("organisation '{slug}' was enabled already"),
        (false, false) => format!("organisation '{slug}' was disabled already"),
    })?;
    output.flush()
}
