//! `gatewarden plan`: what a group's people get.

use crate::failure::Failure;
use crate::group::owner_of;
use crate::house::House;
use crate::output::{Output, Table, clean};
use access::family::Family;
use access::limit::Limit;
use access::plan::{self, Plan, PlanId, Terms, parse_rate, render};
use clap::{Args, Subcommand, ValueEnum};
use identity::Organisation;
use kernel::Error;
use std::collections::HashMap;

/// Options of `plan`.
#[derive(Args)]
#[command(
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
pub struct PlanArgs {
    #[command(subcommand)]
    command: PlanCommand,
}

#[derive(Subcommand)]
enum PlanCommand {
    /// Makes a plan; its name gets the organisation's slug before it
    #[command(after_help = "\
A limit is an amount and a period: '2 h/day', '5 GB/month', 'up 1 GB/week', '10 GB/30 days', '50 GB/subscription month',
'3 days/lifetime', '100 GB'. Days begin at midnight of the organisation's zone; a subscription month on the day of the
month on which the membership began.

Examples:
  gatewarden --data D plan add slow --rate-up 256k --rate-down 512k
  gatewarden --data D plan add gold --rate-down 20M --limit '5 GB/month' --limit '8 h/day' --when-spent slow
  gatewarden --data D group set default-users --plan gold")]
    Add {
        /// Its name
        name: String,
        /// The organisation it belongs to [default: the only one]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Changes a plan; what is not named stays
    Set {
        /// The plan, with or without the organisation's slug
        name: String,
        /// The organisation it belongs to [default: told by the name]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        #[command(flatten)]
        fields: Fields,
        /// Forget a field; can be repeated
        #[arg(long, value_name = "FIELD")]
        unset: Vec<Field>,
    },
    /// Shows what the NASes of a family are told of a plan
    Show {
        /// The plan, with or without the organisation's slug
        name: String,
        /// The organisation it belongs to [default: told by the name]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Of this family only: mikrotik, coova, aruba, ... [default: all of them]
        #[arg(long)]
        family: Option<String>,
    },
    /// Lists the plans
    List {
        /// Of this organisation only
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Removes a plan that no group has
    Rm {
        /// The plan, with or without the organisation's slug
        name: String,
        /// The organisation it belongs to [default: told by the name]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
}

/// What a plan can say.
#[derive(Args)]
struct Fields {
    /// Bits a second from the client: 512k, 10M
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    rate_up: Option<u64>,
    /// Bits a second to the client
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    rate_down: Option<u64>,
    /// Bits a second from the client for a short time
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    burst_up: Option<u64>,
    /// Bits a second to the client for a short time
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    burst_down: Option<u64>,
    /// For how many seconds a burst may last
    #[arg(long, value_name = "SECONDS")]
    burst_seconds: Option<u32>,
    /// How much may be used; can be repeated, and the least that is left wins. Those given take the place of all
    #[arg(long = "limit", value_name = "LIMIT")]
    limits: Vec<Limit>,
    /// The plan that takes its place when a limit is spent [default: the person is cut off]
    #[arg(long, value_name = "PLAN")]
    when_spent: Option<String>,
    /// Sessions at once
    #[arg(long, value_name = "COUNT")]
    sessions: Option<u32>,
    /// Devices online at once
    #[arg(long, value_name = "COUNT")]
    devices: Option<u32>,
    /// VLAN, 1 to 4094
    #[arg(long, value_name = "NUMBER")]
    vlan: Option<u16>,
    /// The role or group that the NAS puts the client into
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// A filter that the NAS knows
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Where the client's browser is sent
    #[arg(long, value_name = "URL")]
    redirect_url: Option<String>,
    /// Which traffic is redirected: an ACL that the NAS knows
    #[arg(long, value_name = "NAME")]
    redirect_acl: Option<String>,
    /// Seconds without traffic after which a session ends
    #[arg(long = "idle", value_name = "SECONDS")]
    idle_seconds: Option<u32>,
    /// Longest session, in seconds
    #[arg(long = "session", value_name = "SECONDS")]
    session_seconds: Option<u32>,
    /// Seconds between two reports of a session
    #[arg(long = "interim", value_name = "SECONDS")]
    interim_seconds: Option<u32>,
    /// Hours of the week: 'Wk0800-1800,Sa1000-1400'
    #[arg(long, value_name = "HOURS")]
    hours: Option<String>,
}

/// A field, by the name of its option.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Field {
    RateUp,
    RateDown,
    BurstUp,
    BurstDown,
    BurstSeconds,
    Limit,
    WhenSpent,
    Sessions,
    Devices,
    Vlan,
    Role,
    Filter,
    RedirectUrl,
    RedirectAcl,
    Idle,
    Session,
    Interim,
    Hours,
}

impl Fields {
    fn put_into(&self, terms: &mut Terms) {
        fn put<T: Clone>(field: &mut Option<T>, given: &Option<T>) {
            if given.is_some() {
                field.clone_from(given);
            }
        }
        put(&mut terms.rate_up, &self.rate_up);
        put(&mut terms.rate_down, &self.rate_down);
        put(&mut terms.burst_up, &self.burst_up);
        put(&mut terms.burst_down, &self.burst_down);
        put(&mut terms.burst_seconds, &self.burst_seconds);
        put(&mut terms.sessions, &self.sessions);
        put(&mut terms.devices, &self.devices);
        put(&mut terms.vlan, &self.vlan);
        put(&mut terms.role, &self.role);
        put(&mut terms.filter, &self.filter);
        put(&mut terms.redirect_url, &self.redirect_url);
        put(&mut terms.redirect_acl, &self.redirect_acl);
        put(&mut terms.idle_seconds, &self.idle_seconds);
        put(&mut terms.session_seconds, &self.session_seconds);
        put(&mut terms.interim_seconds, &self.interim_seconds);
        put(&mut terms.hours, &self.hours);
        if !self.limits.is_empty() {
            terms.limits.clone_from(&self.limits);
        }
    }
}

fn unset(plan: &mut Plan, field: Field) {
    let terms = &mut plan.terms;
    match field {
        Field::RateUp => terms.rate_up = None,
        Field::RateDown => terms.rate_down = None,
        Field::BurstUp => terms.burst_up = None,
        Field::BurstDown => terms.burst_down = None,
        Field::BurstSeconds => terms.burst_seconds = None,
        Field::Limit => terms.limits.clear(),
        Field::WhenSpent => plan.when_spent = None,
        Field::Sessions => terms.sessions = None,
        Field::Devices => terms.devices = None,
        Field::Vlan => terms.vlan = None,
        Field::Role => terms.role = None,
        Field::Filter => terms.filter = None,
        Field::RedirectUrl => terms.redirect_url = None,
        Field::RedirectAcl => terms.redirect_acl = None,
        Field::Idle => terms.idle_seconds = None,
        Field::Session => terms.session_seconds = None,
        Field::Interim => terms.interim_seconds = None,
        Field::Hours => terms.hours = None,
    }
}

/// Runs the command.
///
/// # Errors
/// One sentence.
pub async fn run(args: &PlanArgs, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let mut output = Output::default();
    match &args.command {
        PlanCommand::Add { name, org, fields } => {
            let owner = house.organisation(org.as_deref()).await?;
            let mut terms = Terms::default();
            fields.put_into(&mut terms);
            let when_spent = follower(house, &owner, fields).await?;
            let made = plan::create(kernel, &owner, name, terms, when_spent).await?;
            say(house, &mut output, &made, "made").await?;
        }
        PlanCommand::Set {
            name,
            org,
            fields,
            unset: gone,
        } => {
            let owner = owner_of(house, name, org.as_deref()).await?;
            let known = plan::by_name(&kernel.db, &owner, name).await?;
            let when_spent = follower(house, &owner, fields).await?;
            let changed = plan::change(kernel, known.id, |plan| {
                gone.iter().for_each(|field| unset(plan, *field));
                fields.put_into(&mut plan.terms);
                plan.when_spent = when_spent.or(plan.when_spent);
                Ok::<(), Error>(())
            })
            .await?;
            say(house, &mut output, &changed, "says this now").await?;
        }
        PlanCommand::Show { name, org, family } => {
            let owner = owner_of(house, name, org.as_deref()).await?;
            let known = plan::by_name(&kernel.db, &owner, name).await?;
            show(&mut output, &known, family.as_deref())?;
        }
        PlanCommand::List { org, json } => {
            let plans = plan::list(&kernel.db, house.scope(org.as_deref()).await?).await?;
            if *json {
                return output.json_list(&plans);
            }
            return table(house, &mut output, &plans).await;
        }
        PlanCommand::Rm { name, org } => {
            let owner = owner_of(house, name, org.as_deref()).await?;
            let known = plan::by_name(&kernel.db, &owner, name).await?;
            let gone = plan::remove(kernel, known.id).await?;
            output.line(format!("plan '{}' removed", gone.name))?;
        }
    }
    output.flush()
}

async fn follower(
    house: &House,
    owner: &Organisation,
    fields: &Fields,
) -> Result<Option<PlanId>, Failure> {
    match &fields.when_spent {
        None => Ok(None),
        Some(name) => Ok(Some(plan::by_name(&house.kernel.db, owner, name).await?.id)),
    }
}

/// What a plan says, a line a field.
fn lines(plan: &Plan, names: &HashMap<PlanId, String>) -> Vec<String> {
    let mut lines = plan.terms.lines();
    if !plan.terms.limits.is_empty() {
        lines.push(match plan.when_spent.and_then(|next| names.get(&next)) {
            Some(next) => format!("then       {next} takes its place"),
            None => "then       the person is cut off".to_owned(),
        });
    }
    lines
}

async fn names(house: &House) -> Result<HashMap<PlanId, String>, Failure> {
    let plans = plan::list(&house.kernel.db, kernel::Scope::Everything).await?;
    Ok(plans.into_iter().map(|plan| (plan.id, plan.name)).collect())
}

async fn say(house: &House, output: &mut Output, plan: &Plan, what: &str) -> Result<(), Failure> {
    output.line(format!("plan '{}' {what}", plan.name))?;
    for line in lines(plan, &names(house).await?) {
        output.line(format!("  {}", clean(&line)))?;
    }
    Ok(())
}

/// What NASes are told, family by family.
fn show(output: &mut Output, plan: &Plan, family: Option<&str>) -> Result<(), Failure> {
    let families = match family {
        None => Family::ALL.to_vec(),
        Some(word) => {
            let found = Family::from_word(&word.to_ascii_lowercase()).ok_or_else(|| {
                let words: Vec<&str> = Family::ALL.iter().map(|family| family.word()).collect();
                Failure::usage(format!(
                    "there is no family '{}'; there are {}",
                    word.escape_debug(),
                    words.join(", ")
                ))
            })?;
            vec![found]
        }
    };
    let mut table = Table::new(&["FAMILY", "ATTRIBUTE", "VALUE"]);
    for family in families {
        let told = render::fixed(&plan.terms, family);
        let mut word = family.word();
        for item in told.iter() {
            let (name, value) = (item.name(), item.shown_value());
            table.row([word, name.as_str(), &*clean(&value)]);
            word = "";
        }
        let is_counted = plan
            .terms
            .limits
            .iter()
            .any(|limit| limit.meter != access::limit::Meter::Time);
        if is_counted {
            let how = match render::counts_octets(family) {
                true => "what is left goes with each login; the device counts it",
                false => "this server counts, and ends the session with Disconnect",
            };
            table.row([word, "(quota)", how]);
            word = "";
        }
        if !word.is_empty() {
            table.row([word, "-", "nothing"]);
        }
    }
    output.table(&table, "")
}

async fn table(house: &House, output: &mut Output, plans: &[Plan]) -> Result<(), Failure> {
    let (slugs, names) = (house.slugs().await?, names(house).await?);
    let mut table = Table::new(&["PLAN", "ORG", "SAYS"]);
    for plan in plans {
        let lines = lines(plan, &names);
        let slug = slugs.get(&plan.organisation).map_or("", String::as_str);
        let mut lines = lines.iter().map(|line| clean(line));
        let first = lines.next();
        table.row([plan.name.as_str(), slug, first.as_deref().unwrap_or("-")]);
        for line in lines {
            table.row(["", "", &*line]);
        }
    }
    output.table(&table, "no plan yet")
}
