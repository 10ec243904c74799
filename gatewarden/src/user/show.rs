//! Users as tables and as JSON.

use super::Who;
use super::find::person;
use crate::failure::Failure;
use crate::house::House;
use crate::output::{Facts, Output, Table, moment, yes_no};
use access::limiter::KeyKind;
use access::{admit, group, lock};
use identity::{Form, Found, MembershipId, list};
use kernel::{Scope, Time};
use serde_json::{Value as Json, json};

fn form(form: Option<Form>) -> &'static str {
    form.map_or("-", Form::word)
}

/// `user list`: page by page, however many there are.
pub(super) async fn list(org: Option<&str>, as_json: bool, house: &House) -> Result<(), Failure> {
    let scope = house.scope(org).await?;
    let now = house.kernel.now();
    let mut output = Output::default();
    let mut after: Option<MembershipId> = None;
    if as_json {
        let mut array = output.array()?;
        loop {
            let page = list::list(&house.kernel.db, scope, after, list::MAX_PAGE).await?;
            let Some(last) = page.last() else {
                return array.end();
            };
            after = Some(last.membership);
            for line in &page {
                array.push(line)?;
            }
        }
    }
    let mut is_first = true;
    loop {
        let page = list::list(&house.kernel.db, scope, after, list::MAX_PAGE).await?;
        let Some(last) = page.last() else {
            if is_first {
                eprintln!("no user yet; add one with 'gatewarden user add NAME --password TEXT'");
            }
            return output.flush();
        };
        after = Some(last.membership);
        let mut table = Table::new(&[
            "USER", "ORG", "STATE", "PASSWORD", "NAME", "E-MAIL", "EXPIRES",
        ]);
        for line in &page {
            table.row([
                line.username.as_str(),
                line.organisation_slug.as_str(),
                state(now, line.is_active && line.is_enabled, line.expires),
                form(line.password),
                format!("{} {}", line.first_name, line.last_name).trim(),
                line.email.as_deref().unwrap_or("-"),
                moment(line.expires).as_str(),
            ]);
        }
        // Columns are aligned within a page of a thousand; a page follows without a heading of its own.
        output.page(&table, std::mem::take(&mut is_first))?;
    }
}

fn state(now: Time, is_enabled: bool, expires: Option<Time>) -> &'static str {
    match (is_enabled, expires) {
        (false, _) => "disabled",
        (true, Some(at)) if at <= now => "expired",
        _ => "enabled",
    }
}

/// What stands beside a membership: groups, own rules, lock.
struct Beside {
    groups: Vec<String>,
    rows: access::rule::Rows,
    locked_until: Option<Time>,
}

async fn beside(house: &House, id: MembershipId, locks: &[lock::Lock]) -> Result<Beside, Failure> {
    let kernel = &house.kernel;
    let rules = admit::rules_of(kernel, id).await?;
    let mut groups = Vec::new();
    for place in &rules.groups {
        if let Some(group) = group::by_id(&kernel.db, Scope::Everything, place.group).await? {
            groups.push(group.name);
        }
    }
    let subject = id.to_string();
    Ok(Beside {
        groups,
        rows: rules.rows,
        locked_until: locks
            .iter()
            .find(|lock| lock.kind == KeyKind::User && lock.subject == subject)
            .map(|lock| lock.until),
    })
}

/// `user show`.
pub(super) async fn one(who: &Who, as_json: bool, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let found = person(house, who).await?;
    let now = kernel.now();
    let locks = lock::active(&kernel.db, now).await?;
    let mut output = Output::default();
    if as_json {
        let value = to_json(house, &found, &locks).await?;
        output.json(&value)?;
        return output.flush();
    }
    let mut facts = Facts::default();
    facts.put("username", &found.username);
    for identifier in found
        .identifiers
        .iter()
        .filter(|i| i.value != found.username)
    {
        facts.put(identifier.kind.title(), &identifier.value);
    }
    let name = format!("{} {}", found.person.first_name, found.person.last_name);
    facts.put_some("name", Some(name.trim()));
    facts.put("password", form(found.password));
    facts.put_some(
        "password set",
        found
            .person
            .password_updated
            .map(|at| moment(Some(at)))
            .as_deref(),
    );
    if !found.person.is_active {
        facts.put("shut out", "everywhere");
    }
    facts.put("made", moment(Some(found.person.created)));
    facts.put("id", found.person.id.to_string());
    output.facts(&facts)?;
    for place in &found.memberships {
        let member = &place.membership;
        let beside = beside(house, member.id, &locks).await?;
        output.line("")?;
        let mut facts = Facts::default();
        facts.put(
            "organisation",
            format!("{} ({})", place.organisation_slug, place.organisation_name),
        );
        facts.put("state", state(now, member.is_enabled, member.expires));
        facts.put("verified", yes_no(member.is_verified));
        facts.put_some(
            "expires",
            member.expires.map(|at| moment(Some(at))).as_deref(),
        );
        facts.put(
            "groups",
            if beside.groups.is_empty() {
                "-".to_owned()
            } else {
                beside.groups.join(", ")
            },
        );
        for rule in crate::group::rule_lines(&beside.rows) {
            facts.put("own rule", rule);
        }
        if let Some(until) = beside.locked_until {
            facts.put(
                "locked",
                format!("until {until}; 'gatewarden user unlock' lifts it"),
            );
        }
        output.facts(&facts)?;
    }
    output.flush()
}

async fn to_json(house: &House, found: &Found, locks: &[lock::Lock]) -> Result<Json, Failure> {
    let mut value = serde_json::to_value(found).map_err(Failure::failed)?;
    for (at, place) in found.memberships.iter().enumerate() {
        let beside = beside(house, place.membership.id, locks).await?;
        let member = &mut value["memberships"][at];
        member["groups"] = json!(beside.groups);
        member["rules"] = serde_json::to_value(&beside.rows).map_err(Failure::failed)?;
        member["locked_until"] = json!(beside.locked_until);
    }
    Ok(value)
}
