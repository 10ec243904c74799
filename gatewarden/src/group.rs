//! `gatewarden group`: rules that many people share.

use crate::failure::Failure;
use crate::house::House;
use crate::output::{Output, Table, clean, yes_no};
use access::group::{self, Group, NewGroup};
use access::rule::{Rows, Side};
use clap::{Args, Subcommand};
use identity::{Organisation, organisation};
use kernel::{Kernel, Scope};
use radius_wire::dictionary::Dictionary;
use serde::Serialize;
use std::collections::HashMap;

/// Options of `group`.
#[derive(Args)]
#[command(
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
pub struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Subcommand)]
enum GroupCommand {
    /// Makes a group; its name gets the organisation's slug before it
    Add {
        /// Its name
        name: String,
        /// The organisation it belongs to [default: the only one]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// For people
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// People get into it who are not put elsewhere
        #[arg(long)]
        default: bool,
    },
    /// Sets rules of a group: 'Attribute operator value'
    #[command(after_help = "\
The attribute and the operator decide whether a rule is a check or a reply: limits and comparisons (==, !=, >,
=~, ...) are checks, everything else is a reply. ':=' takes the place of what was there, '+=' is one more.

Examples:
  gatewarden --data D group set default-users 'Session-Timeout := 3600'
  gatewarden --data D group set default-users 'Mikrotik-Rate-Limit := 2M/10M' 'Cisco-AVPair += x=y'
  gatewarden --data D group set default-users --remove Max-Daily-Session
  gatewarden --data D group set default-users --plan gold --when 'ssid == \"Guest\" && weekday >= 6'

A condition may ask for user, realm, device, ssid, place, nas, nas_address, date, weekday (1 is Monday), hour, minute,
and request[\"Attribute-Name\"].")]
    Set {
        /// The group, with or without the organisation's slug
        name: String,
        /// One or more rules
        #[arg(value_name = "RULE", required_unless_present_any = ["remove", "plan", "no_plan", "when", "no_when"])]
        rules: Vec<String>,
        /// The plan that its people get: see 'gatewarden plan'
        #[arg(long, value_name = "PLAN")]
        plan: Option<String>,
        /// Its rules hold only where this does, in CEL: 'ssid == "Guest" && weekday >= 6'
        #[arg(long, value_name = "CONDITION")]
        when: Option<String>,
        /// Its rules hold whatever is asked
        #[arg(long, conflicts_with = "when")]
        no_when: bool,
        /// Its people get no plan
        #[arg(long, conflicts_with = "plan")]
        no_plan: bool,
        /// Forget every rule about this attribute; can be repeated
        #[arg(long, value_name = "ATTRIBUTE")]
        remove: Vec<String>,
        /// The rules are checks, whatever they look like
        #[arg(long, conflicts_with = "reply")]
        check: bool,
        /// The rules are replies, whatever they look like
        #[arg(long)]
        reply: bool,
        /// The organisation it belongs to [default: told by the name]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// Makes a group the one that people get into who are not put elsewhere
    Default {
        /// The group, with or without the organisation's slug
        name: String,
        /// The organisation it belongs to [default: told by the name]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// Lists the groups with their rules
    List {
        /// Of this organisation only
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Removes a group that is not the default; its people keep their other groups
    Rm {
        /// The group, with or without the organisation's slug
        name: String,
        /// The organisation it belongs to [default: told by the name]
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
}

/// A group with its rules, for a list.
#[derive(Serialize)]
pub struct GroupLine {
    #[serde(flatten)]
    group: Group,
    organisation_slug: String,
    plan_name: Option<String>,
    #[serde(flatten)]
    rows: Rows,
}

/// Runs the command.
///
/// # Errors
/// One sentence.
pub async fn run(args: &GroupArgs, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let mut output = Output::default();
    match &args.command {
        GroupCommand::Add {
            name,
            org,
            description,
            default,
        } => {
            let owner = house.organisation(org.as_deref()).await?;
            let new = NewGroup {
                name: name.clone(),
                description: description.clone(),
                is_default: *default,
            };
            let made = group::create(kernel, &owner, new).await?;
            output.line(format!("group '{}' made", made.name))?;
        }
        GroupCommand::Set {
            name,
            rules,
            remove,
            plan,
            no_plan,
            when,
            no_when,
            check,
            reply,
            org,
        } => {
            let owner = owner_of(house, name, org.as_deref()).await?;
            let side = match (check, reply) {
                (true, _) => Some(Side::Check),
                (_, true) => Some(Side::Reply),
                _ => None,
            };
            if plan.is_some() || *no_plan {
                let line = give_plan(kernel, &owner, name, plan.as_deref()).await?;
                output.line(line)?;
            }
            if when.is_some() || *no_when {
                let known = group::by_name(&kernel.db, &owner, name).await?;
                let dictionary = Dictionary::builtin();
                let group =
                    group::set_condition(kernel, dictionary, known.id, when.as_deref()).await?;
                output.line(match &group.condition {
                    Some(text) => format!("group '{}' holds when {}", group.name, clean(text)),
                    None => format!("group '{}' holds whatever is asked", group.name),
                })?;
            }
            let mut changed = None;
            for attribute in remove {
                changed = Some(group::unset(kernel, &owner, name, attribute, side).await?);
            }
            if !rules.is_empty() {
                let text = rules.join("\n");
                changed = Some(
                    group::set(kernel, Dictionary::builtin(), &owner, name, &text, side).await?,
                );
            }
            if let Some((group, rows)) = changed {
                output.line(format!("group '{}' has these rules now:", group.name))?;
                for line in rule_lines(&rows) {
                    output.line(format!("  {line}"))?;
                }
            }
        }
        GroupCommand::Default { name, org } => {
            let owner = owner_of(house, name, org.as_deref()).await?;
            let known = group::by_name(&kernel.db, &owner, name).await?;
            let group = group::make_default(kernel, known.id).await?;
            output.line(format!(
                "group '{}' is the default of '{}' now",
                group.name, owner.slug
            ))?;
        }
        GroupCommand::List { org, json } => {
            let lines = lines(house, house.scope(org.as_deref()).await?).await?;
            if *json {
                return output.json_list(&lines);
            }
            return table(&mut output, &lines);
        }
        GroupCommand::Rm { name, org } => {
            let owner = owner_of(house, name, org.as_deref()).await?;
            let known = group::by_name(&kernel.db, &owner, name).await?;
            let group = group::remove(kernel, known.id).await?;
            output.line(format!("group '{}' removed", group.name))?;
        }
    }
    output.flush()
}

/// Gives a group's people a plan, or none; what is true then.
async fn give_plan(
    kernel: &Kernel,
    owner: &Organisation,
    name: &str,
    plan: Option<&str>,
) -> Result<String, Failure> {
    let known = group::by_name(&kernel.db, owner, name).await?;
    let plan = match plan {
        Some(plan) => Some(access::plan::by_name(&kernel.db, owner, plan).await?),
        None => None,
    };
    let group = group::set_plan(kernel, known.id, plan.as_ref()).await?;
    Ok(match plan {
        Some(plan) => format!("group '{}' has the plan '{}' now", group.name, plan.name),
        None => format!("group '{}' has no plan now", group.name),
    })
}

/// The organisation that a group's or a plan's name tells: the one whose slug it begins with, else the only one.
///
/// # Errors
/// One sentence.
pub async fn owner_of(
    house: &House,
    name: &str,
    org: Option<&str>,
) -> Result<Organisation, Failure> {
    if org.is_some() {
        return house.organisation(org).await;
    }
    let all = organisation::all(&house.kernel.db).await?;
    let by_prefix = all
        .into_iter()
        .filter(|o| {
            name.strip_prefix(&o.slug)
                .is_some_and(|rest| rest.starts_with('-'))
        })
        // Another organisation's slug may begin with this one's: the longer one is meant.
        .max_by_key(|o| o.slug.len());
    match by_prefix {
        Some(owner) => Ok(owner),
        None => house.organisation(None).await,
    }
}

/// The groups of a scope.
///
/// # Errors
/// The database's.
pub async fn lines(house: &House, scope: Scope) -> Result<Vec<GroupLine>, Failure> {
    let slugs = house.slugs().await?;
    let groups = group::list(&house.kernel, scope).await?;
    let plans = access::plan::list(&house.kernel.db, scope).await?;
    let plans: HashMap<_, _> = plans.into_iter().map(|plan| (plan.id, plan.name)).collect();
    Ok(groups
        .into_iter()
        .map(|(group, rows)| GroupLine {
            organisation_slug: slugs.get(&group.organisation).cloned().unwrap_or_default(),
            plan_name: group.plan.and_then(|plan| plans.get(&plan).cloned()),
            group,
            rows,
        })
        .collect())
}

/// Groups as a table, a rule a line.
///
/// # Errors
/// Standard output is closed.
pub fn table(output: &mut Output, lines: &[GroupLine]) -> Result<(), Failure> {
    let mut table = Table::new(&["GROUP", "ORG", "DEFAULT", "PLAN", "RULES"]);
    for line in lines {
        let when = line.group.condition.iter();
        let when = when.map(|text| format!("when   {}", clean(text)));
        let mut rules = when.chain(rule_lines(&line.rows));
        table.row([
            line.group.name.as_str(),
            line.organisation_slug.as_str(),
            yes_no(line.group.is_default),
            line.plan_name.as_deref().unwrap_or("-"),
            rules.next().as_deref().unwrap_or("-"),
        ]);
        for rule in rules {
            table.row(["", "", "", "", rule.as_str()]);
        }
    }
    output.table(&table, "no group yet")
}

/// One rule a line, with the side it stands on.
pub fn rule_lines(rows: &Rows) -> Vec<String> {
    [(Side::Check, "check"), (Side::Reply, "reply")]
        .into_iter()
        .flat_map(|(side, word)| {
            rows.side(side)
                .iter()
                .map(move |row| format!("{word}  {}", clean(&row.to_string())))
        })
        .collect()
}
