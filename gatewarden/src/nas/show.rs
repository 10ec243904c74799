//! NASes as tables and as JSON.

use crate::failure::Failure;
use crate::house::House;
use crate::output::{Facts, Output, Table, clean, moment, yes_no};
use access::nas::{self, Nas, NasLine};
use access::observation::{Advice, advice};
use kernel::{Scope, Time};
use serde_json::Value as Json;

/// Which of the two secrets a NAS was last seen to use.
fn secret_in_use(line: &NasLine) -> &'static str {
    if !line.in_change {
        return match line.seen.as_ref().and_then(|seen| seen.used_secret) {
            Some(_) => "in use",
            None => "not seen yet",
        };
    }
    match line
        .seen
        .as_ref()
        .map(|seen| (seen.used_secret, seen.used_next_secret))
    {
        Some((old, Some(new))) if old.is_none_or(|old| old < new) => "changing: new in use",
        Some((Some(_), _)) => "changing: old in use",
        _ => "changing: neither seen",
    }
}

fn advice_of(now: Time, line: &NasLine) -> Vec<Advice> {
    advice(now, &line.nas, line.in_change, line.seen.as_ref())
}

fn to_json(now: Time, line: &NasLine, slug: &str) -> Result<Json, Failure> {
    let mut value = serde_json::to_value(&line.nas).map_err(Failure::failed)?;
    value["organisation_slug"] = slug.into();
    value["in_change"] = line.in_change.into();
    value["secret_in_use"] = secret_in_use(line).into();
    value["seen"] = serde_json::to_value(&line.seen).map_err(Failure::failed)?;
    value["advice"] = advice_of(now, line)
        .into_iter()
        .map(Advice::sentence)
        .collect();
    Ok(value)
}

fn place(nas: &Nas) -> String {
    match (nas.network, &nas.identifier) {
        (Some(network), Some(identifier)) => format!("{network} + {identifier}"),
        (Some(network), None) => network.to_string(),
        (None, identifier) => identifier.clone().unwrap_or_default(),
    }
}

/// `nas list`.
pub(super) async fn list(house: &House, org: Option<&str>, as_json: bool) -> Result<(), Failure> {
    let scope = house.scope(org).await?;
    let slugs = house.slugs().await?;
    let now = house.kernel.now();
    let lines = nas::list(&house.kernel.db, scope).await?;
    let slug = |nas: &Nas| slugs.get(&nas.organisation).cloned().unwrap_or_default();
    let mut output = Output::default();
    if as_json {
        let mut array = output.array()?;
        for line in &lines {
            array.push(&to_json(now, line, &slug(&line.nas))?)?;
        }
        return array.end();
    }
    let mut table = Table::new(&[
        "NAS",
        "ORG",
        "NAME",
        "ENABLED",
        "SECRET",
        "MESSAGE-AUTH",
        ">SIGNED",
        ">UNSIGNED",
        "LAST SEEN",
    ]);
    for line in &lines {
        let seen = line.seen.as_ref();
        let count = |count: Option<i64>| count.map_or("-".to_owned(), |count| count.to_string());
        table.row([
            place(&line.nas),
            slug(&line.nas),
            line.nas.name.clone(),
            yes_no(line.nas.is_enabled).to_owned(),
            secret_in_use(line).to_owned(),
            line.nas.message_authenticator.word().to_owned(),
            count(seen.map(|seen| seen.signed)),
            count(seen.map(|seen| seen.unsigned)),
            moment(seen.map(|seen| seen.last_seen)),
        ]);
    }
    output.table(
        &table,
        "no NAS yet; add one with 'gatewarden nas add ADDRESS --secret TEXT'",
    )?;
    let mut is_first = true;
    for line in &lines {
        for advice in advice_of(now, line) {
            if std::mem::take(&mut is_first) {
                output.line("")?;
            }
            output.line(format!("{}: {}", clean(&line.nas.name), advice.sentence()))?;
        }
    }
    output.flush()
}

/// `nas show`.
pub(super) async fn one(house: &House, found: Nas, as_json: bool) -> Result<(), Failure> {
    let slugs = house.slugs().await?;
    let now = house.kernel.now();
    let lines = nas::list(&house.kernel.db, Scope::Organisation(found.organisation)).await?;
    let line = lines
        .into_iter()
        .find(|line| line.nas.id == found.id)
        .ok_or_else(|| Failure::failed(format!("NAS '{}' was removed just now", found.name)))?;
    let slug = slugs.get(&found.organisation).cloned().unwrap_or_default();
    let mut output = Output::default();
    if as_json {
        let value = to_json(now, &line, &slug)?;
        output.json(&value)?;
        return output.flush();
    }
    let nas = &line.nas;
    let mut facts = Facts::default();
    facts.put("name", &nas.name);
    facts.put("place", place(nas));
    facts.put("organisation", &slug);
    facts.put("enabled", yes_no(nas.is_enabled));
    facts.put("secret", secret_in_use(&line));
    facts.put("Message-Authenticator", nas.message_authenticator.word());
    facts.put("replies are signed", yes_no(nas.signs_replies));
    facts.put("Proxy-State is limited", yes_no(nas.limits_proxy_state));
    facts.put(
        "refusals are delayed",
        format!("{} ms", nas.reject_delay_ms),
    );
    facts.put("octets are flipped", yes_no(nas.flips_octets));
    facts.put("CoA port", nas.coa_port.to_string());
    facts.put("type", &nas.port_type);
    facts.put("family", &nas.family);
    facts.put_some("description", Some(nas.description.as_str()));
    for route in &nas.routes {
        let to = slugs.get(&route.organisation).map_or("?", String::as_str);
        facts.put(
            "route",
            format!("{} '{}' goes to {to}", route.kind.word(), route.value),
        );
    }
    if let Some(seen) = &line.seen {
        facts.put("first seen", moment(Some(seen.first_seen)));
        facts.put("last seen", moment(Some(seen.last_seen)));
        facts.put("requests signed", seen.signed.to_string());
        facts.put("requests unsigned", seen.unsigned.to_string());
        facts.put("wrong secrets", seen.secret_mismatches.to_string());
    }
    facts.put_some(
        "started",
        nas.restarted_at.map(|at| moment(Some(at))).as_deref(),
    );
    facts.put("id", nas.id.to_string());
    output.facts(&facts)?;
    for advice in advice_of(now, &line) {
        output.line(format!("→ {}", advice.sentence()))?;
    }
    output.flush()
}
