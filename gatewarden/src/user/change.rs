//! What changes a user.

use super::find::{everybody, member, person};
use super::{AddArgs, SetArgs, StoreWord, Who};
use crate::failure::Failure;
use crate::house::House;
use crate::output::Output;
use crate::password::PasswordArgs;
use access::admit::{self, Place};
use access::limiter::Key;
use access::rule::Side;
use access::{group, lock};
use identity::{NewPassword, NewPerson, Organisation, Store, membership, organisation, setting};
use kernel::{Scope, Time};
use radius_wire::dictionary::Dictionary;

/// How it was settled who somebody is whom an operator made.
const BY_OPERATOR: &str = "manual";

pub(super) async fn add(args: &AddArgs, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let owner = house.organisation(args.org.as_deref()).await?;
    let store = store(house, &owner, args.store).await?;
    let mut new = NewPerson::named(&args.username);
    // Hashing is slow: never in a transaction.
    if let Some(text) = args.password.read()? {
        new.password = Some(NewPassword::given(&text, store).hashed(kernel).await?);
    }
    new.email = args.email.clone();
    new.first_name = args.first_name.clone();
    new.last_name = args.last_name.clone();
    new.phone_number = args.phone_number.clone();
    new.mac = args.mac.clone();
    new.expires = args
        .expires
        .as_deref()
        .map(|text| expiry(&owner, text))
        .transpose()?;
    new.verified = !args.unverified;
    new.method = if args.unverified {
        String::new()
    } else {
        BY_OPERATOR.to_owned()
    };
    let has_proof = new.password.is_some() || new.mac.is_some();
    let group = match &args.group {
        Some(name) => Some(group::by_name(&kernel.db, &owner, name).await?),
        None => None,
    };
    let mut tx = kernel.db.begin().await?;
    let made = match admit::admit(&mut tx, kernel, &owner, new, group.as_ref()).await {
        Ok(made) => made,
        Err(kernel::Error::Conflict(reason)) => {
            return Err(Failure::failed(format!(
                "{reason}; to let somebody who is known into '{}', use 'gatewarden user join'",
                owner.slug
            )));
        }
        Err(e) => return Err(e.into()),
    };
    tx.commit().await?;
    for warning in &made.warnings {
        eprintln!("warning: {warning}");
    }
    if !has_proof {
        eprintln!(
            "warning: the user has neither a password nor a MAC address, and cannot come in yet"
        );
    }
    say(format!(
        "user '{}' added to '{}'",
        args.username, owner.slug
    ))
}

async fn store(
    house: &House,
    owner: &Organisation,
    given: Option<StoreWord>,
) -> Result<Store, Failure> {
    Ok(match given {
        Some(word) => word.into(),
        None => setting::password_store(&house.kernel.db, Some(owner.id)).await?,
    })
}

pub(super) async fn passwd(
    who: &Who,
    password: &PasswordArgs,
    given: Option<StoreWord>,
    house: &House,
) -> Result<(), Failure> {
    let found = person(house, who).await?;
    let Some(text) = password.read()? else {
        return Err(Failure::usage(
            "no password: say --password TEXT, or --password-stdin and pipe it in",
        ));
    };
    // Without a word about it the password stays in the form that is kept now.
    let kept = match found.password {
        Some(identity::Form::Recoverable) => Some(Store::Recoverable),
        Some(identity::Form::Nt) => Some(Store::Nt),
        _ => None,
    };
    let store = match (given, kept, found.memberships.first()) {
        (Some(word), _, _) => word.into(),
        (None, Some(kept), _) => kept,
        (None, None, Some(place)) => {
            setting::password_store(&house.kernel.db, Some(place.membership.organisation)).await?
        }
        (None, None, None) => setting::password_store(&house.kernel.db, None).await?,
    };
    let new = NewPassword::given(&text, store);
    for warning in identity::person::set_password(&house.kernel, found.person.id, new).await? {
        eprintln!("warning: {warning}");
    }
    say(format!("user '{}' has a new password", found.username))
}

pub(super) async fn set_enabled(who: &Who, is_enabled: bool, house: &House) -> Result<(), Failure> {
    let (found, place) = member(house, who).await?;
    let changed = membership::set_enabled(&house.kernel, place.membership.id, is_enabled).await?;
    let (name, slug) = (&found.username, &place.organisation_slug);
    say(match (is_enabled, changed) {
        (true, true) => format!("user '{name}' is enabled in '{slug}'"),
        (false, true) => format!("user '{name}' is disabled in '{slug}'"),
        (true, false) => format!("user '{name}' was enabled in '{slug}' already"),
        (false, false) => format!("user '{name}' was disabled in '{slug}' already"),
    })
}

/// Lifts locks: of every membership that is meant, and of the device when the text is a MAC address.
pub(super) async fn unlock(who: &Who, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let mut keys = Vec::new();
    let mac = who.user.trim().parse::<proof::Mac>().ok();
    if let Some(mac) = mac {
        keys.push((Key::Device(mac), format!("device {mac}")));
    }
    let scope = house.scope(who.org.as_deref()).await?;
    match everybody(house, scope, &who.user).await {
        Ok(found) => {
            for found in found {
                for place in found.memberships {
                    let name =
                        format!("user '{}' in '{}'", found.username, place.organisation_slug);
                    keys.push((Key::User(place.membership.id.0), name));
                }
            }
        }
        Err(unknown) if mac.is_none() => return Err(unknown),
        Err(_) => {}
    }
    let mut output = Output::default();
    for (key, name) in keys {
        output.line(match lock::lift(kernel, key).await? {
            true => format!("{name}: the lock is lifted"),
            false => format!("{name}: no lock was stored; the server has been told all the same"),
        })?;
    }
    output.flush()
}

pub(super) async fn set(args: &SetArgs, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    if args.rules.is_empty()
        && args.remove.is_empty()
        && args.expires.is_none()
        && args.group.is_empty()
    {
        return Err(Failure::usage(
            "nothing to change; see 'gatewarden user set --help' for what there is",
        ));
    }
    let (found, place) = member(house, &args.who).await?;
    let id = place.membership.id;
    let owner = organisation::by_slug(&kernel.db, &place.organisation_slug).await?;
    let mut output = Output::default();
    if let Some(text) = &args.expires {
        let expires = match text.as_str() {
            "never" => None,
            text => Some(expiry(&owner, text)?),
        };
        let mut tx = kernel.db.begin().await?;
        membership::set_expires(&mut tx, kernel, id, expires).await?;
        tx.commit().await?;
        output.line(match expires {
            Some(at) => format!("user '{}' expires at {at}", found.username),
            None => format!("user '{}' never expires", found.username),
        })?;
    }
    if !args.group.is_empty() {
        let mut places = Vec::new();
        for (priority, name) in (admit::FIRST_PRIORITY..).zip(&args.group) {
            places.push(Place {
                group: group::by_name(&kernel.db, &owner, name).await?.id,
                priority,
            });
        }
        admit::set_groups(kernel, &owner, id, &places).await?;
        output.line(format!(
            "user '{}' is in these groups now: {}",
            found.username,
            args.group.join(", ")
        ))?;
    }
    let side = match (args.check, args.reply) {
        (true, _) => Some(Side::Check),
        (_, true) => Some(Side::Reply),
        _ => None,
    };
    let mut changed = None;
    for attribute in &args.remove {
        changed = Some(admit::unset_rules(kernel, owner.id, id, attribute, side).await?);
    }
    if !args.rules.is_empty() {
        let text = args.rules.join("\n");
        changed =
            Some(admit::set_rules(kernel, Dictionary::builtin(), owner.id, id, &text, side).await?);
    }
    if let Some(rows) = changed {
        output.line(format!(
            "user '{}' has these rules of her own now:",
            found.username
        ))?;
        for line in crate::group::rule_lines(&rows) {
            output.line(format!("  {line}"))?;
        }
    }
    output.flush()
}

pub(super) async fn join(user: &str, org: &str, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    let owner = house.organisation(Some(org)).await?;
    let who = Who {
        user: user.to_owned(),
        org: None,
    };
    let found = person(house, &who).await?;
    let mut tx = kernel.db.begin().await?;
    let made = membership::join(&mut tx, kernel, &owner, found.person.id).await?;
    let default = group::default_of(&mut tx, owner.id).await?;
    tx.commit().await?;
    if let Some(default) = default {
        let place = Place {
            group: default.id,
            priority: admit::FIRST_PRIORITY,
        };
        admit::set_groups(kernel, &owner, made.id, &[place]).await?;
    }
    say(format!(
        "user '{}' is a member of '{}' now",
        found.username, owner.slug
    ))
}

pub(super) async fn remove(who: &Who, house: &House) -> Result<(), Failure> {
    let kernel = &house.kernel;
    if who.org.is_some() {
        let (found, place) = member(house, who).await?;
        let everywhere =
            identity::find::show(&kernel.db, Scope::Everything, found.person.id).await?;
        if everywhere.is_some_and(|found| found.memberships.len() > 1) {
            let mut tx = kernel.db.begin().await?;
            admit::forget(&mut tx, kernel, place.membership.id).await?;
            membership::leave(&mut tx, kernel, place.membership.id).await?;
            tx.commit().await?;
            return say(format!(
                "user '{}' is no longer in '{}'",
                found.username, place.organisation_slug
            ));
        }
    }
    let found = person(house, who).await?;
    // Whoever asked may see one organisation of several.
    let everywhere = identity::find::show(&kernel.db, Scope::Everything, found.person.id)
        .await?
        .map(|found| found.memberships)
        .unwrap_or_default();
    let mut tx = kernel.db.begin().await?;
    for place in &everywhere {
        admit::forget(&mut tx, kernel, place.membership.id).await?;
    }
    identity::person::delete(&mut tx, kernel, found.person.id).await?;
    tx.commit().await?;
    say(format!("user '{}' deleted", found.username))
}

/// A moment, or the end of a day where the organisation is.
pub(super) fn expiry(owner: &Organisation, text: &str) -> Result<Time, Failure> {
    let text = text.trim();
    let moment =
        Time::parse(text).map_err(|reason| Failure::usage(format!("--expires: {reason}")))?;
    if text.contains(['T', ':', ' ']) {
        return Ok(moment);
    }
    let day = moment.to_chrono().date_naive();
    owner
        .end_of_day(day)
        .ok_or_else(|| Failure::usage(format!("--expires: {text} is no day that ends")))
}

fn say(sentence: String) -> Result<(), Failure> {
    let mut output = Output::default();
    output.line(sentence)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Namespace;
    use kernel::OrganisationId;

    #[test]
    fn a_bare_date_is_the_last_day_where_the_organisation_is() {
        let check = |zone: &str, text: &str, expect: &str| {
            let owner = Organisation {
                id: OrganisationId(kernel::id::Uuid::nil()),
                name: String::new(),
                slug: String::new(),
                is_active: true,
                namespace: Namespace::Shared,
                time_zone: zone.to_owned(),
                description: String::new(),
                email: None,
                url: String::new(),
                created: Time::from_unix_seconds(0),
                modified: Time::from_unix_seconds(0),
            };
            assert_eq!(
                expiry(&owner, text).map(|at| at.to_rfc3339()),
                Ok(expect.to_owned()),
                "{zone}"
            );
        };
        check("UTC", "2027-01-31", "2027-02-01T00:00:00Z");
        check("Europe/Rome", "2027-01-31", "2027-01-31T23:00:00Z");
        check("Europe/Rome", "2027-07-31", "2027-07-31T22:00:00Z");
        check("Pacific/Kiritimati", "2027-01-31", "2027-01-31T10:00:00Z");
        check("Pacific/Pago_Pago", "2027-01-31", "2027-02-01T11:00:00Z");
        check("Asia/Kathmandu", "2027-01-31", "2027-01-31T18:15:00Z");
        check(
            "Europe/Rome",
            "2027-01-31T12:00:00Z",
            "2027-01-31T12:00:00Z",
        );
    }
}
