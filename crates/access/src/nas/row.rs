//! Rows of the NAS tables, and what they become.

use super::{MAX_REJECT_DELAY_MS, MaPolicy, Nas, NasId, Route, RouteKind};
use crate::observation::SeenRow;
use kernel::id::Uuid;
use kernel::{Error, OrganisationId, Time};
use std::collections::HashMap;

#[derive(sqlx::FromRow)]
pub(super) struct IdRow {
    pub(super) id: Uuid,
}

#[derive(sqlx::FromRow)]
pub(super) struct NasRow {
    pub(super) id: Uuid,
    pub(super) organisation_id: Uuid,
    pub(super) name: String,
    pub(super) short_name: String,
    pub(super) r#type: String,
    pub(super) family: String,
    pub(super) network: Option<String>,
    pub(super) identifier: Option<String>,
    pub(super) message_authenticator: String,
    pub(super) signs_replies: bool,
    pub(super) limits_proxy_state: bool,
    pub(super) reject_delay_ms: i64,
    pub(super) flips_octets: bool,
    pub(super) is_enabled: bool,
    pub(super) ports: Option<i64>,
    pub(super) server: Option<String>,
    pub(super) community: Option<String>,
    pub(super) description: String,
    pub(super) coa_port: i64,
    pub(super) restarted_at: Option<Time>,
    pub(super) created: Time,
    pub(super) modified: Time,
}

#[derive(sqlx::FromRow)]
pub(super) struct LoadedRow {
    #[sqlx(flatten)]
    pub(super) nas: NasRow,
    pub(super) secret: String,
    pub(super) next_secret: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct ListedRow {
    #[sqlx(flatten)]
    pub(super) nas: NasRow,
    pub(super) in_change: bool,
    #[sqlx(flatten)]
    pub(super) seen: SeenRow,
}

#[derive(sqlx::FromRow)]
pub(super) struct RouteRow {
    pub(super) nas_id: Uuid,
    pub(super) kind: String,
    pub(super) value: String,
    pub(super) organisation_id: Uuid,
}

impl NasRow {
    pub(super) fn into_nas(self, routes: Vec<Route>) -> Result<Nas, Error> {
        let broken = |what: &str| {
            Error::Invalid(format!(
                "NAS '{}': its {what} in the database is not one",
                self.name
            ))
        };
        let network = self
            .network
            .as_deref()
            .map(|text| text.parse().map_err(|_| broken("network")))
            .transpose()?;
        Ok(Nas {
            id: NasId(self.id),
            organisation: OrganisationId(self.organisation_id),
            network,
            message_authenticator: MaPolicy::from_word(&self.message_authenticator)
                .ok_or_else(|| broken("policy for Message-Authenticator"))?,
            reject_delay_ms: u16::try_from(
                self.reject_delay_ms.clamp(0, MAX_REJECT_DELAY_MS.into()),
            )
            .unwrap_or(MAX_REJECT_DELAY_MS),
            coa_port: u16::try_from(self.coa_port).map_err(|_| broken("CoA port"))?,
            ports: self.ports.and_then(|ports| u32::try_from(ports).ok()),
            name: self.name,
            short_name: self.short_name,
            port_type: self.r#type,
            family: self.family,
            identifier: self.identifier,
            signs_replies: self.signs_replies,
            limits_proxy_state: self.limits_proxy_state,
            flips_octets: self.flips_octets,
            is_enabled: self.is_enabled,
            server: self.server,
            community: self.community,
            description: self.description,
            restarted_at: self.restarted_at,
            routes,
            created: self.created,
            modified: self.modified,
        })
    }
}

pub(super) fn by_nas(rows: Vec<RouteRow>) -> HashMap<Uuid, Vec<Route>> {
    let mut routes: HashMap<Uuid, Vec<Route>> = HashMap::new();
    for row in rows {
        // The table's CHECK leaves no other word.
        let Some(kind) = RouteKind::from_word(&row.kind) else {
            continue;
        };
        routes.entry(row.nas_id).or_default().push(Route {
            kind,
            value: row.value,
            organisation: OrganisationId(row.organisation_id),
        });
    }
    routes
}
