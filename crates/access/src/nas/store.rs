//! NASes in the database.

use super::examine::{clean_routes, examine, fresh, place_of};
use super::row::{IdRow, ListedRow, LoadedRow, NasRow, RouteRow, by_nas};
use super::secret::{self, CURRENT, NasSecrets};
use super::{CHANGED, Nas, NasChange, NasId, NewNas, REMOVED, Route, STARTED};
use crate::observation::Seen;
use kernel::history::Version;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time, Tx};
use serde::Serialize;
use std::collections::HashMap;

/// NASes read at a time.
const PAGE: i64 = 500;
/// NASes that one search gives: more are not told apart by reading on.
const MAX_FOUND: i64 = 50;
macro_rules! columns {
    () => {
        "id, organisation_id, name, short_name, type, family, network, identifier, message_authenticator, \
        signs_replies, limits_proxy_state, reject_delay_ms, flips_octets, is_enabled, ports, server, community, \
        description, coa_port, restarted_at, created, modified"
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    INSERT = concat!("INSERT INTO nas (", columns!(), ", secret, next_secret)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, NULL, $20, $20, $21, NULL)");
    UPDATE = "UPDATE nas SET name = $2, short_name = $3, type = $4, family = $5, network = $6, identifier = $7,
        message_authenticator = $8, signs_replies = $9, limits_proxy_state = $10, reject_delay_ms = $11, flips_octets = $12,
        is_enabled = $13, description = $14, coa_port = $15, modified = $16 WHERE id = $1";
    // Touching the row makes whoever changes the same NAS wait.
    LOCK = concat!("UPDATE nas SET modified = $2 WHERE id = $1 RETURNING ", columns!(), ", secret, next_secret");
    BY_ID = concat!("SELECT ", columns!(), " FROM nas
        WHERE id = $1 AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2)");
    AT_PLACE = concat!("SELECT ", columns!(), " FROM nas
        WHERE organisation_id = $1 AND COALESCE(network, '') = $2 AND COALESCE(identifier, '') = $3");
    ELSEWHERE = "SELECT id FROM nas WHERE id <> $1 AND COALESCE(network, '') = $2 AND COALESCE(identifier, '') = $3 LIMIT 1";
    LOADED = concat!("SELECT ", columns!(), ", secret, next_secret FROM nas WHERE id > $1 ORDER BY id LIMIT $2");
    LOADED_ONE = concat!("SELECT ", columns!(), ", secret, next_secret FROM nas WHERE id = $1");
    LISTED = concat!("SELECT ", columns!(), ", next_secret IS NOT NULL AS in_change, first_seen, last_seen, signed, unsigned,
        last_unsigned, unsigned_proxy, secret_mismatches, last_mismatch, used_secret, used_next_secret
        FROM nas LEFT JOIN nas_observation ON nas_id = id
        WHERE id > $1 AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2) ORDER BY id LIMIT $3");
    FOUND = concat!("SELECT ", columns!(), " FROM nas
        WHERE (CAST($1 AS UUID) IS NULL OR organisation_id = $1)
          AND (name = $2 OR short_name = $2 OR identifier = $2 OR network = $3 OR id = $4) ORDER BY id LIMIT $5");
    SET_CURRENT = "UPDATE nas SET secret = $2, next_secret = NULL WHERE id = $1";
    SET_NEXT = "UPDATE nas SET next_secret = $2 WHERE id = $1";
    RESTART = "UPDATE nas SET restarted_at = $2 WHERE id = $1 AND (restarted_at IS NULL OR restarted_at < $2)
        RETURNING organisation_id AS id";
    REMOVE = "DELETE FROM nas WHERE id = $1";
    ROUTES_BETWEEN = "SELECT nas_id, kind, value, organisation_id FROM nas_route
        WHERE nas_id >= $1 AND nas_id <= $2 ORDER BY nas_id, kind, value";
    ADD_ROUTE = "INSERT INTO nas_route (id, nas_id, kind, value, organisation_id) VALUES ($1, $2, $3, $4, $5)";
    REMOVE_ROUTES = "DELETE FROM nas_route WHERE nas_id = $1";
}

/// A NAS as it is listed: with what was seen of it, without its secrets.
#[derive(Debug, Clone, Serialize)]
pub struct NasLine {
    /// The NAS.
    pub nas: Nas,
    /// Whether a change of its secret is under way.
    pub in_change: bool,
    /// What was seen; `None` when it never sent anything.
    pub seen: Option<Seen>,
}

/// What [`add`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The NAS is new.
    Made,
    /// It was there; the secret given is accepted beside its own from now on.
    SecretChangeBegun,
}

/// A NAS that was added.
#[derive(Debug, Clone)]
pub struct Added {
    /// The NAS as it is now.
    pub nas: Nas,
    /// What was done.
    pub outcome: Outcome,
    /// What the operator should know: a weak secret, an address shared with another NAS.
    pub warnings: Vec<String>,
}

/// Adds a NAS. When the organisation has one at the same network and identifier already and the secret is another, a
/// change of its secret begins; nothing else about it changes.
///
/// # Errors
/// [`Error::Invalid`] with the field and the reason; [`Error::Conflict`] when it is there with the same secret.
pub async fn add(kernel: &Kernel, new: NewNas) -> Result<Added, Error> {
    let mut warnings = secret::examine(&new.secret)?;
    let nas = fresh(kernel, &new)?;
    examine(&nas)?;
    let routes = clean_routes(new.routes)?;
    let (network, identifier) = place_of(&nas);
    let mut tx = kernel.db.begin().await?;
    let there: Option<NasRow> = tx
        .first(
            AT_PLACE,
            kernel::values![nas.organisation, &network, &identifier],
        )
        .await?;
    if let Some(there) = there {
        let id = NasId(there.id);
        let (known, secrets) = locked(&mut tx, kernel, id).await?;
        if secrets
            .iter()
            .any(|secret| secret.same_as(&radius_wire::Secret::new(new.secret.as_bytes())))
        {
            return Err(exists(&known));
        }
        let (nas, warnings) = secret::begin_in(&mut tx, kernel, id, &new.secret).await?;
        tx.commit().await?;
        return Ok(Added {
            nas,
            outcome: Outcome::SecretChangeBegun,
            warnings,
        });
    }
    let elsewhere: Option<IdRow> = tx
        .first(ELSEWHERE, kernel::values![nas.id, &network, &identifier])
        .await?;
    if elsewhere.is_some() {
        warnings.push(
            "another organisation has a NAS at the same place; only their secrets tell them apart"
                .to_owned(),
        );
    }
    let sealed = secret::seal(kernel, nas.id, CURRENT, new.secret.as_bytes());
    let values = kernel::values![
        nas.id,
        nas.organisation,
        &nas.name,
        &nas.short_name,
        &nas.port_type,
        &nas.family,
        nas.network.map(|network| network.canonical()),
        nas.identifier.clone(),
        nas.message_authenticator.word(),
        nas.signs_replies,
        nas.limits_proxy_state,
        nas.reject_delay_ms,
        nas.flips_octets,
        nas.is_enabled,
        nas.ports,
        nas.server.clone(),
        nas.community.clone(),
        &nas.description,
        nas.coa_port,
        nas.created,
        sealed
    ];
    match tx.run(INSERT, values).await {
        // Somebody else added it since we looked.
        Err(e) if e.is_duplicate() => return Err(exists(&nas)),
        other => other?,
    };
    let nas = Nas { routes, ..nas };
    write_routes(&mut tx, kernel, &nas).await?;
    record(&mut tx, kernel, &nas, false).await?;
    tx.commit().await?;
    Ok(Added {
        nas,
        outcome: Outcome::Made,
        warnings,
    })
}

fn exists(nas: &Nas) -> Error {
    let place = match (nas.network, &nas.identifier) {
        (Some(network), Some(identifier)) => format!("{network} with identifier '{identifier}'"),
        (Some(network), None) => network.to_string(),
        (None, identifier) => format!("identifier '{}'", identifier.as_deref().unwrap_or_default()),
    };
    Error::Conflict(format!("NAS '{}' is there already: {place}", nas.name))
}

/// Changes what the change names.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] with the field, [`Error::Conflict`] when another NAS of the organisation is
/// at that place.
pub async fn change(kernel: &Kernel, id: NasId, change: NasChange) -> Result<Nas, Error> {
    let mut tx = kernel.db.begin().await?;
    let (mut nas, secrets) = locked(&mut tx, kernel, id).await?;
    macro_rules! take {
        ($($field:ident),*) => { $(if let Some(value) = change.$field { nas.$field = value; })* };
    }
    take!(
        name,
        short_name,
        port_type,
        family,
        network,
        identifier,
        message_authenticator,
        signs_replies,
        limits_proxy_state,
        reject_delay_ms,
        flips_octets,
        is_enabled,
        description,
        coa_port
    );
    nas.identifier = nas.identifier.filter(|identifier| !identifier.is_empty());
    examine(&nas)?;
    let (network, identifier) = place_of(&nas);
    let there: Option<NasRow> = tx
        .first(
            AT_PLACE,
            kernel::values![nas.organisation, &network, &identifier],
        )
        .await?;
    if let Some(there) = there.filter(|there| there.id != id.0) {
        return Err(exists(&there.into_nas(Vec::new())?));
    }
    let values = kernel::values![
        nas.id,
        &nas.name,
        &nas.short_name,
        &nas.port_type,
        &nas.family,
        nas.network.map(|network| network.canonical()),
        nas.identifier.clone(),
        nas.message_authenticator.word(),
        nas.signs_replies,
        nas.limits_proxy_state,
        nas.reject_delay_ms,
        nas.flips_octets,
        nas.is_enabled,
        &nas.description,
        nas.coa_port,
        nas.modified
    ];
    tx.run(UPDATE, values).await?;
    record(&mut tx, kernel, &nas, secrets.next.is_some()).await?;
    tx.commit().await?;
    Ok(nas)
}

/// Sets which requests through the NAS belong to other organisations; the routes there were are gone.
///
/// # Errors
/// [`Error::NotFound`], also of an organisation; [`Error::Invalid`].
pub async fn set_routes(kernel: &Kernel, id: NasId, routes: Vec<Route>) -> Result<Nas, Error> {
    let routes = clean_routes(routes)?;
    for route in &routes {
        if identity::organisation::by_id(&kernel.db, route.organisation)
            .await?
            .is_none()
        {
            return Err(Error::NotFound(format!(
                "there is no organisation with id {}",
                route.organisation
            )));
        }
    }
    let mut tx = kernel.db.begin().await?;
    let (mut nas, secrets) = locked(&mut tx, kernel, id).await?;
    nas.routes = routes;
    tx.run(REMOVE_ROUTES, kernel::values![id]).await?;
    write_routes(&mut tx, kernel, &nas).await?;
    record(&mut tx, kernel, &nas, secrets.next.is_some()).await?;
    tx.commit().await?;
    Ok(nas)
}

async fn write_routes(tx: &mut Tx, kernel: &Kernel, nas: &Nas) -> Result<(), Error> {
    for route in &nas.routes {
        let values = kernel::values![
            kernel.new_uuid(),
            nas.id,
            route.kind.word(),
            &route.value,
            route.organisation
        ];
        tx.run(ADD_ROUTE, values).await?;
    }
    Ok(())
}

/// Removes a NAS; its sessions stay.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn remove(kernel: &Kernel, id: NasId) -> Result<Nas, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    // Not opened: a NAS whose secret is damaged must be removable.
    let row: Option<NasRow> = tx
        .first(BY_ID, kernel::values![id, Scope::Everything.parameter()])
        .await?;
    let nas = row.ok_or_else(|| no_nas(id))?.into_nas(Vec::new())?;
    tx.run(REMOVE, kernel::values![id]).await?;
    tx.end_version(now, id.0).await?;
    tx.tell(now, News::new(REMOVED, Some(nas.organisation), id.0))
        .await?;
    tx.commit().await?;
    Ok(nas)
}

/// Notes that the NAS reported to have started (or to go down) at this moment, and tells [`STARTED`]; whether that is
/// newer than what was known.
///
/// # Errors
/// [`Error::Engine`].
pub async fn note_restart(tx: &mut Tx, now: Time, id: NasId, at: Time) -> Result<bool, Error> {
    let row: Option<IdRow> = tx.first(RESTART, kernel::values![id, at]).await?;
    let Some(organisation) = row.map(|row| OrganisationId(row.id)) else {
        return Ok(false);
    };
    tx.tell(now, News::new(STARTED, Some(organisation), id.0))
        .await?;
    Ok(true)
}

/// One NAS.
///
/// # Errors
/// [`Error::Engine`].
pub async fn by_id(db: &Db, scope: Scope, id: NasId) -> Result<Option<Nas>, Error> {
    let row: Option<NasRow> = db
        .first(BY_ID, kernel::values![id, scope.parameter()])
        .await?;
    let Some(row) = row else { return Ok(None) };
    let routes = routes_of(db, id).await?;
    row.into_nas(routes).map(Some)
}

/// Those with this name, short name, identifier, network or id; at most 50.
///
/// # Errors
/// [`Error::Engine`].
pub async fn find(db: &Db, scope: Scope, text: &str) -> Result<Vec<Nas>, Error> {
    let network = text
        .parse::<crate::network::Network>()
        .ok()
        .map(|network| network.canonical());
    let id = text.parse::<Uuid>().ok();
    let rows: Vec<NasRow> = db
        .all(
            FOUND,
            kernel::values![scope.parameter(), text, network, id, MAX_FOUND],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let routes = routes_of(db, NasId(row.id)).await?;
        found.push(row.into_nas(routes)?);
    }
    Ok(found)
}

/// A page of them, the oldest first, with what was seen of each.
///
/// # Errors
/// [`Error::Engine`].
pub async fn page(
    db: &Db,
    scope: Scope,
    after: Option<NasId>,
    limit: i64,
) -> Result<Vec<NasLine>, Error> {
    let after = after.map_or(Uuid::nil(), |after| after.0);
    let rows: Vec<ListedRow> = db
        .all(LISTED, kernel::values![after, scope.parameter(), limit])
        .await?;
    let mut routes = routes_between(
        db,
        rows.first().map(|row| row.nas.id),
        rows.last().map(|row| row.nas.id),
    )
    .await?;
    rows.into_iter()
        .map(|row| {
            let mine = routes.remove(&row.nas.id).unwrap_or_default();
            Ok(NasLine {
                in_change: row.in_change,
                seen: row.seen.into_seen(),
                nas: row.nas.into_nas(mine)?,
            })
        })
        .collect()
}

/// All of a scope, the oldest first, with what was seen of each.
///
/// # Errors
/// [`Error::Engine`].
pub async fn list(db: &Db, scope: Scope) -> Result<Vec<NasLine>, Error> {
    let mut lines: Vec<NasLine> = Vec::new();
    loop {
        // Each round goes beyond the one before, so this ends.
        let next = page(db, scope, lines.last().map(|line| line.nas.id), PAGE).await?;
        if next.is_empty() {
            return Ok(lines);
        }
        lines.extend(next);
    }
}

/// Every NAS with its opened secrets, for the server. One that is damaged is logged and left out: the others serve on.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Seal`] when a key is missing from the ring.
pub async fn load_all(kernel: &Kernel) -> Result<Vec<(Nas, NasSecrets)>, Error> {
    let mut loaded = Vec::new();
    let mut after = Uuid::nil();
    loop {
        // Each round goes beyond the one before, so this ends.
        let rows: Vec<LoadedRow> = kernel.db.all(LOADED, kernel::values![after, PAGE]).await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(loaded);
        };
        after = last.nas.id;
        let mut routes = routes_between(&kernel.db, Some(first.nas.id), Some(after)).await?;
        for row in rows {
            let mine = routes.remove(&row.nas.id).unwrap_or_default();
            loaded.extend(opened(kernel, row, mine)?);
        }
    }
}

/// One NAS with its opened secrets, as [`load_all`].
///
/// # Errors
/// As [`load_all`].
pub async fn load_one(kernel: &Kernel, id: NasId) -> Result<Option<(Nas, NasSecrets)>, Error> {
    let row: Option<LoadedRow> = kernel.db.first(LOADED_ONE, kernel::values![id]).await?;
    let Some(row) = row else { return Ok(None) };
    let routes = routes_of(&kernel.db, id).await?;
    opened(kernel, row, routes)
}

fn opened(
    kernel: &Kernel,
    row: LoadedRow,
    routes: Vec<Route>,
) -> Result<Option<(Nas, NasSecrets)>, Error> {
    let id = NasId(row.nas.id);
    let secrets = secret::open(&kernel.keys, id, &row.secret, row.next_secret.as_deref());
    match (secrets, row.nas.into_nas(routes)) {
        (Ok(secrets), Ok(nas)) => Ok(Some((nas, secrets))),
        (Err(e @ Error::Seal(kernel::seal::SealError::KeyMissing(_))), _) => Err(e),
        (Err(e), _) | (_, Err(e)) => {
            tracing::error!(nas = %id, error = %e, "a NAS is left out");
            Ok(None)
        }
    }
}

/// The NAS and its secrets; whoever else would change it waits. `modified` is now.
pub(super) async fn locked(
    tx: &mut Tx,
    kernel: &Kernel,
    id: NasId,
) -> Result<(Nas, NasSecrets), Error> {
    let row: Option<LoadedRow> = tx.first(LOCK, kernel::values![id, kernel.now()]).await?;
    let row = row.ok_or_else(|| no_nas(id))?;
    let secrets = secret::open(&kernel.keys, id, &row.secret, row.next_secret.as_deref())?;
    let routes: Vec<RouteRow> = tx.all(ROUTES_BETWEEN, kernel::values![id, id]).await?;
    let mut routes = by_nas(routes);
    Ok((
        row.nas.into_nas(routes.remove(&id.0).unwrap_or_default())?,
        secrets,
    ))
}

pub(super) async fn write_current(
    tx: &mut Tx,
    kernel: &Kernel,
    nas: &Nas,
    sealed: String,
) -> Result<(), Error> {
    tx.run(SET_CURRENT, kernel::values![nas.id, sealed]).await?;
    record(tx, kernel, nas, false).await
}

pub(super) async fn write_next(
    tx: &mut Tx,
    kernel: &Kernel,
    nas: &Nas,
    sealed: Option<String>,
) -> Result<(), Error> {
    let in_change = sealed.is_some();
    tx.run(SET_NEXT, kernel::values![nas.id, sealed]).await?;
    record(tx, kernel, nas, in_change).await
}

/// The version and the news. SNMP's community stays out: to some devices it is a secret.
async fn record(tx: &mut Tx, kernel: &Kernel, nas: &Nas, in_change: bool) -> Result<(), Error> {
    let now = kernel.now();
    let fields = serde_json::json!({
        "name": nas.name,
        "type": nas.port_type,
        "family": nas.family,
        "network": nas.network,
        "identifier": nas.identifier,
        "message_authenticator": nas.message_authenticator,
        "signs_replies": nas.signs_replies,
        "limits_proxy_state": nas.limits_proxy_state,
        "reject_delay_ms": nas.reject_delay_ms,
        "flips_octets": nas.flips_octets,
        "is_enabled": nas.is_enabled,
        "coa_port": nas.coa_port,
        "routes": nas.routes,
        "has_next_secret": in_change,
    });
    let version = Version {
        id: kernel.new_uuid(),
        kind: "nas",
        row: nas.id.0,
        organisation: Some(nas.organisation),
        person: None,
        fields,
    };
    tx.record_version(now, version).await?;
    tx.tell(now, News::new(CHANGED, Some(nas.organisation), nas.id.0))
        .await
}

fn no_nas(id: NasId) -> Error {
    Error::NotFound(format!("there is no NAS with id {id}"))
}

async fn routes_of(db: &Db, id: NasId) -> Result<Vec<Route>, Error> {
    let mut routes = routes_between(db, Some(id.0), Some(id.0)).await?;
    Ok(routes.remove(&id.0).unwrap_or_default())
}

async fn routes_between(
    db: &Db,
    first: Option<Uuid>,
    last: Option<Uuid>,
) -> Result<HashMap<Uuid, Vec<Route>>, Error> {
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(HashMap::new());
    };
    Ok(by_nas(
        db.all(ROUTES_BETWEEN, kernel::values![first, last]).await?,
    ))
}

#[cfg(test)]
mod tests;
