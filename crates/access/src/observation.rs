//! What NASes were seen to do, and the advice that follows.
//!
//! Receivers count in memory and hand the differences over in batches. The advice never acts by itself: that a NAS may
//! be required to sign is for the operator to decide, since the decision drops traffic.

use crate::nas::{MaPolicy, Nas, NasId};
use kernel::id::Uuid;
use kernel::{Error, Kernel, Time, Tx};
use serde::Serialize;

/// Observations stored in one transaction: it must stay short.
const MAX_BATCH: usize = 500;
/// So many days without one unsigned request make it safe to require the signature.
pub const SAFE_AFTER_DAYS: i64 = 7;
/// Fewer signed requests than this prove nothing.
const ENOUGH_SIGNED: i64 = 100;
/// A mismatch older than this is history.
const RECENT_SECONDS: i64 = 24 * 3_600;
const DAY_SECONDS: i64 = 24 * 3_600;

/// What one NAS did since the last batch: differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Which NAS.
    pub nas: NasId,
    /// When its last packet came.
    pub last_seen: Time,
    /// Access-Requests with a right Message-Authenticator. Those with EAP must not be counted: EAP demands it anyway.
    pub signed: u32,
    /// Access-Requests without Message-Authenticator.
    pub unsigned: u32,
    /// Of these, those with Proxy-State.
    pub unsigned_proxy: u32,
    /// Packets that none of its secrets fitted.
    pub secret_mismatches: u32,
    /// Whether its secret was seen to fit.
    pub used_secret: bool,
    /// Whether the secret that is coming was seen to fit.
    pub used_next_secret: bool,
}

impl Observation {
    /// Nothing but a sign of life.
    pub fn of(nas: NasId, last_seen: Time) -> Self {
        Self {
            nas,
            last_seen,
            signed: 0,
            unsigned: 0,
            unsigned_proxy: 0,
            secret_mismatches: 0,
            used_secret: false,
            used_next_secret: false,
        }
    }
}

/// What was seen of a NAS, ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// When its first packet came.
    pub first_seen: Time,
    /// When its last packet came.
    pub last_seen: Time,
    /// Access-Requests with Message-Authenticator, EAP left out.
    pub signed: i64,
    /// Access-Requests without.
    pub unsigned: i64,
    /// When the last of these came.
    pub last_unsigned: Option<Time>,
    /// Of these, those with Proxy-State.
    pub unsigned_proxy: i64,
    /// Packets that none of its secrets fitted.
    pub secret_mismatches: i64,
    /// When the last of these came.
    pub last_mismatch: Option<Time>,
    /// When its secret was last seen to fit.
    pub used_secret: Option<Time>,
    /// When the secret that is coming was last seen to fit.
    pub used_next_secret: Option<Time>,
}

/// [`Seen`] as a joined row: all NULL where there is none.
#[derive(sqlx::FromRow)]
pub(crate) struct SeenRow {
    first_seen: Option<Time>,
    last_seen: Option<Time>,
    signed: Option<i64>,
    unsigned: Option<i64>,
    last_unsigned: Option<Time>,
    unsigned_proxy: Option<i64>,
    secret_mismatches: Option<i64>,
    last_mismatch: Option<Time>,
    used_secret: Option<Time>,
    used_next_secret: Option<Time>,
}

impl SeenRow {
    pub(crate) fn into_seen(self) -> Option<Seen> {
        Some(Seen {
            first_seen: self.first_seen?,
            last_seen: self.last_seen?,
            signed: self.signed.unwrap_or(0),
            unsigned: self.unsigned.unwrap_or(0),
            last_unsigned: self.last_unsigned,
            unsigned_proxy: self.unsigned_proxy.unwrap_or(0),
            secret_mismatches: self.secret_mismatches.unwrap_or(0),
            last_mismatch: self.last_mismatch,
            used_secret: self.used_secret,
            used_next_secret: self.used_next_secret,
        })
    }
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    IS_THERE = "SELECT id FROM nas WHERE id = $1";
    // Nodes hand over in any order: a moment only ever moves on.
    ADD = "INSERT INTO nas_observation (nas_id, first_seen, last_seen, signed, unsigned, last_unsigned, unsigned_proxy,
            secret_mismatches, last_mismatch, used_secret, used_next_secret)
        VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (nas_id) DO UPDATE SET
            last_seen = CASE WHEN excluded.last_seen > nas_observation.last_seen
                THEN excluded.last_seen ELSE nas_observation.last_seen END,
            signed = nas_observation.signed + excluded.signed,
            unsigned = nas_observation.unsigned + excluded.unsigned,
            last_unsigned = CASE WHEN nas_observation.last_unsigned > excluded.last_unsigned
                THEN nas_observation.last_unsigned ELSE COALESCE(excluded.last_unsigned, nas_observation.last_unsigned) END,
            unsigned_proxy = nas_observation.unsigned_proxy + excluded.unsigned_proxy,
            secret_mismatches = nas_observation.secret_mismatches + excluded.secret_mismatches,
            last_mismatch = CASE WHEN nas_observation.last_mismatch > excluded.last_mismatch
                THEN nas_observation.last_mismatch ELSE COALESCE(excluded.last_mismatch, nas_observation.last_mismatch) END,
            used_secret = CASE WHEN nas_observation.used_secret > excluded.used_secret
                THEN nas_observation.used_secret ELSE COALESCE(excluded.used_secret, nas_observation.used_secret) END,
            used_next_secret = CASE WHEN nas_observation.used_next_secret > excluded.used_next_secret
                THEN nas_observation.used_next_secret
                ELSE COALESCE(excluded.used_next_secret, nas_observation.used_next_secret) END";
    OLD_SECRET_IS_GONE = "UPDATE nas_observation SET used_secret = used_next_secret, used_next_secret = NULL WHERE nas_id = $1";
    NEXT_SECRET_IS_GONE = "UPDATE nas_observation SET used_next_secret = NULL WHERE nas_id = $1";
}

#[derive(sqlx::FromRow)]
#[allow(dead_code)] // only whether the row is there matters
struct IdRow {
    id: Uuid,
}

/// Adds what was seen. A NAS that is gone is passed over.
///
/// # Errors
/// [`Error::Engine`]; then the batches before the failing one are stored.
pub async fn record(kernel: &Kernel, observations: &[Observation]) -> Result<(), Error> {
    for batch in observations.chunks(MAX_BATCH) {
        let mut tx = kernel.db.begin().await?;
        for seen in batch {
            let nas: Option<IdRow> = tx.first(IS_THERE, kernel::values![seen.nas]).await?;
            if nas.is_none() {
                continue;
            }
            let at = |happened: bool| happened.then_some(seen.last_seen);
            let values = kernel::values![
                seen.nas,
                seen.last_seen,
                seen.signed,
                seen.unsigned,
                at(seen.unsigned > 0),
                seen.unsigned_proxy,
                seen.secret_mismatches,
                at(seen.secret_mismatches > 0),
                at(seen.used_secret),
                at(seen.used_next_secret)
            ];
            tx.run(ADD, values).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

pub(crate) async fn forget_old_secret(tx: &mut Tx, nas: NasId) -> Result<(), Error> {
    tx.run(OLD_SECRET_IS_GONE, kernel::values![nas])
        .await
        .map(|_| ())
}

pub(crate) async fn forget_next_secret(tx: &mut Tx, nas: NasId) -> Result<(), Error> {
    tx.run(NEXT_SECRET_IS_GONE, kernel::values![nas])
        .await
        .map(|_| ())
}

/// What an operator should know about a NAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// It signs everything for long enough: unsigned requests can be refused.
    SafeToRequire,
    /// It is required to sign and does not always: these requests are dropped.
    DropsUnsigned,
    /// It sends Proxy-State unsigned: an old proxy, or an attack (CVE-2024-3596).
    UnsignedProxyState,
    /// Its secret differs from the one stored here.
    WrongSecret,
    /// Its secret is being changed and it uses the new one: the change can be finished.
    ChangeCanFinish,
    /// Its secret is being changed and it still uses the old one.
    ChangeWaits,
    /// It gets replies without Message-Authenticator: they can be forged.
    UnsignedReplies,
}

impl Advice {
    /// One sentence, with what to do.
    pub fn sentence(self) -> &'static str {
        match self {
            Advice::SafeToRequire => {
                "It has signed every request for a week: Message-Authenticator can be required."
            }
            Advice::DropsUnsigned => {
                "It must sign its requests and does not always: those without Message-Authenticator are dropped. Update it, or only observe."
            }
            Advice::UnsignedProxyState => {
                "It sent Proxy-State without Message-Authenticator: an old proxy on the way, or an attack. Update the proxy."
            }
            Advice::WrongSecret => {
                "Its shared secret differs from the one stored here: enter the same on both sides."
            }
            Advice::ChangeCanFinish => "It uses the new secret: finish the change.",
            Advice::ChangeWaits => "It still uses the old secret: enter the new one on the device.",
            Advice::UnsignedReplies => {
                "Replies to it are not signed and can be forged: sign them unless the device breaks on it."
            }
        }
    }
}

/// What an operator should know about a NAS now.
pub fn advice(now: Time, nas: &Nas, in_change: bool, seen: Option<&Seen>) -> Vec<Advice> {
    let mut advice = Vec::new();
    if !nas.signs_replies {
        advice.push(Advice::UnsignedReplies);
    }
    let Some(seen) = seen else {
        return advice;
    };
    let since = |moment: Time| now.seconds_since(moment);
    let clean_since = seen.last_unsigned.unwrap_or(seen.first_seen);
    let is_clean = since(clean_since) >= SAFE_AFTER_DAYS * DAY_SECONDS
        && seen.signed >= ENOUGH_SIGNED
        && since(seen.last_seen) < SAFE_AFTER_DAYS * DAY_SECONDS;
    match nas.message_authenticator {
        MaPolicy::Observe | MaPolicy::Off if is_clean => advice.push(Advice::SafeToRequire),
        MaPolicy::Require
            if seen
                .last_unsigned
                .is_some_and(|at| since(at) < RECENT_SECONDS) =>
        {
            advice.push(Advice::DropsUnsigned);
        }
        _ => {}
    }
    let unsigned_lately = seen
        .last_unsigned
        .is_some_and(|at| since(at) < SAFE_AFTER_DAYS * DAY_SECONDS);
    if seen.unsigned_proxy > 0 && unsigned_lately {
        advice.push(Advice::UnsignedProxyState);
    }
    // A mismatch after which the secret fitted is somebody else's packet or mended.
    let fitted = seen.used_secret.max(seen.used_next_secret);
    if seen
        .last_mismatch
        .is_some_and(|at| since(at) < RECENT_SECONDS && fitted.is_none_or(|fitted| fitted < at))
    {
        advice.push(Advice::WrongSecret);
    }
    if in_change {
        advice.push(match (seen.used_secret, seen.used_next_secret) {
            (old, Some(new)) if old.is_none_or(|old| old < new) => Advice::ChangeCanFinish,
            _ => Advice::ChangeWaits,
        });
    }
    advice
}

#[cfg(test)]
mod tests;
