//! What lies in a snapshot: rows as the database had them, so that they are made into facts by the same code.
//!
//! These are what is written to disk: a change to any of them needs another [`super::file::VERSION`].

use crate::group::GroupId;
use crate::limiter::{Key, KeyKind, NewLock};
use crate::nas::Nas;
use crate::plan::{PlanId, StoredPlan};
use crate::rule::{Op, Row, Rows};
use identity::{Credential, Form, Kind, Known, MembershipId, PersonId, known::KnownMembership};
use kernel::id::Uuid;
use kernel::{OrganisationId, Position, Time};
use radius_wire::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// One frame.
#[derive(Serialize, Deserialize)]
pub(super) enum Record {
    /// The first: which database it was made of.
    Origin { database: String },
    /// NASes, groups, organisations.
    Policy(SavedPolicy),
    /// Locks that hold.
    Locks(Vec<SavedLock>),
    /// Everybody has been written.
    Complete(Mark),
    /// What has become true since.
    Change(Box<Change>),
    /// The database was heard of, and there was no news.
    Heard(Mark),
}

/// How far the news is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Up to here.
    pub position: Position,
    /// The last event up to there: by it the database is known again.
    pub anchor: Option<Anchor>,
    /// When the database said so, in microseconds since 1970.
    pub heard_micros: i64,
}

/// An event by which a database is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its place.
    pub position: Position,
    /// What it was about.
    pub subject: Uuid,
    /// When it was said, in microseconds since 1970.
    pub at_micros: i64,
}

impl Anchor {
    /// Of an event.
    pub fn of(event: &kernel::Event) -> Self {
        Self {
            position: event.position,
            subject: event.subject,
            at_micros: event.at.unix_micros(),
        }
    }
}

/// What became true with some news.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) policy: Option<SavedPolicy>,
    pub(super) people: Vec<SavedPerson>,
    pub(super) gone: Vec<PersonId>,
    /// Locks that began, or were lifted: in order.
    pub(super) locks: Vec<(SavedKey, Option<SavedLock>)>,
    pub(super) mark: Mark,
}

impl Change {
    /// How much became true.
    pub(super) fn len(&self) -> usize {
        usize::from(self.policy.is_some()) + self.people.len() + self.gone.len() + self.locks.len()
    }

    /// Whether nothing became true.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// NASes, groups and organisations.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedPolicy {
    pub(super) nases: Vec<SavedNas>,
    pub(super) groups: Vec<SavedGroup>,
    pub(super) plans: Vec<StoredPlan>,
    pub(super) organisations: Vec<SavedOrganisation>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedNas {
    pub(super) nas: Nas,
    pub(super) current: SavedSecret,
    pub(super) next: Option<SavedSecret>,
}

/// A shared secret. Has no Debug; leaves memory when it is dropped.
pub(super) struct SavedSecret(Zeroizing<Vec<u8>>);

impl SavedSecret {
    pub(super) fn of(secret: &Secret) -> Self {
        Self(Zeroizing::new(secret.as_bytes().to_vec()))
    }

    pub(super) fn secret(&self) -> Secret {
        Secret::new(self.0.as_slice())
    }
}

impl Serialize for SavedSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SavedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|octets| Self(Zeroizing::new(octets)))
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedGroup {
    pub(super) id: GroupId,
    pub(super) name: String,
    pub(super) rows: SavedRows,
    pub(super) plan: Option<PlanId>,
    pub(super) condition: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedOrganisation {
    pub(super) id: OrganisationId,
    pub(super) slug: String,
    pub(super) is_active: bool,
    pub(super) has_own_names: bool,
    pub(super) needs_verification: bool,
    pub(super) password_days: u32,
    pub(super) zone: String,
    pub(super) most_sessions: Option<u64>,
    pub(super) lets_devices_roam: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct SavedKey {
    kind: String,
    subject: String,
}

impl SavedKey {
    pub(super) fn of(key: Key) -> Self {
        Self {
            kind: key.kind().word().to_owned(),
            subject: key.subject(),
        }
    }

    pub(super) fn key(&self) -> Option<Key> {
        Key::from_stored(KeyKind::from_word(&self.kind)?, &self.subject)
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SavedLock {
    pub(super) key: SavedKey,
    failures: u32,
    until_micros: i64,
}

impl SavedLock {
    pub(super) fn of(lock: &NewLock) -> Self {
        Self {
            key: SavedKey::of(lock.key),
            failures: lock.failures,
            until_micros: lock.until.unix_micros(),
        }
    }

    pub(super) fn lock(&self) -> Option<NewLock> {
        Some(NewLock {
            key: self.key.key()?,
            failures: self.failures,
            until: Time::from_unix_micros(self.until_micros),
        })
    }
}

/// Rules as rows.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct SavedRows {
    checks: Vec<SavedRow>,
    replies: Vec<SavedRow>,
}

#[derive(Serialize, Deserialize)]
struct SavedRow {
    attribute: String,
    op: String,
    value: String,
    is_hidden: bool,
    is_damaged: bool,
}

impl SavedRow {
    fn of(row: &Row) -> Self {
        Self {
            attribute: row.attribute().to_owned(),
            op: row.op().text().to_owned(),
            value: row.value().to_owned(),
            is_hidden: row.is_hidden(),
            is_damaged: row.is_damaged(),
        }
    }

    fn row(self) -> Result<Row, String> {
        let op = Op::parse(&self.op)?;
        let row = Row::stored(self.attribute, op, self.value, self.is_hidden);
        Ok(if self.is_damaged { row.damaged() } else { row })
    }
}

impl SavedRows {
    pub(super) fn of(rows: &Rows) -> Self {
        Self {
            checks: rows.checks.iter().map(SavedRow::of).collect(),
            replies: rows.replies.iter().map(SavedRow::of).collect(),
        }
    }

    /// The rows; an error where an operator is not one.
    pub(super) fn rows(self) -> Result<Rows, String> {
        let all = |rows: Vec<SavedRow>| -> Result<Vec<Row>, String> {
            rows.into_iter().map(SavedRow::row).collect()
        };
        Ok(Rows {
            checks: all(self.checks)?,
            replies: all(self.replies)?,
        })
    }
}

/// Somebody, with what is stored of his password still sealed by itself.
#[derive(Serialize, Deserialize)]
pub(in crate::register) struct SavedPerson {
    pub(super) id: PersonId,
    is_active: bool,
    username: String,
    identifiers: Vec<(Option<OrganisationId>, u8, String)>,
    credential: Option<(Uuid, u8, String)>,
    password_updated_micros: Option<i64>,
    memberships: Vec<SavedMembership>,
}

#[derive(Serialize, Deserialize)]
struct SavedMembership {
    id: MembershipId,
    organisation: OrganisationId,
    is_enabled: bool,
    expires_micros: Option<i64>,
    is_verified: bool,
    created_micros: i64,
    groups: Vec<GroupId>,
    rows: Option<SavedRows>,
}

/// What access knows of a membership, as rows.
pub(super) struct OwnRows {
    pub(super) groups: Vec<GroupId>,
    pub(super) rows: Option<Rows>,
}

impl SavedPerson {
    /// Of the rows that the database has of somebody.
    pub(in crate::register) fn of<'r>(
        known: &Known,
        own: impl Fn(MembershipId) -> Option<(&'r [GroupId], Option<&'r Rows>)>,
    ) -> Self {
        let membership = |known: &KnownMembership| {
            let (groups, rows) = own(known.id).unwrap_or_default();
            SavedMembership {
                id: known.id,
                organisation: known.organisation,
                is_enabled: known.is_enabled,
                expires_micros: known.expires.map(Time::unix_micros),
                is_verified: known.is_verified,
                created_micros: known.created.unix_micros(),
                groups: groups.to_vec(),
                rows: rows.filter(|rows| !rows.is_empty()).map(SavedRows::of),
            }
        };
        let index = |kind: &Kind| Kind::ALL.iter().position(|known| known == kind);
        let form = |form: &Form| Form::ALL.iter().position(|known| known == form);
        let octet = |index: Option<usize>| index.and_then(|i| u8::try_from(i).ok());
        Self {
            id: known.person,
            is_active: known.is_active,
            username: known.username.clone(),
            identifiers: known
                .identifiers
                .iter()
                .map(|(realm, kind, folded)| {
                    let kind = octet(index(kind)).unwrap_or(u8::MAX);
                    (*realm, kind, folded.clone())
                })
                .collect(),
            credential: known.stored.as_ref().map(|credential| {
                let form = octet(form(&credential.form)).unwrap_or(u8::MAX);
                (credential.id, form, credential.value.clone())
            }),
            password_updated_micros: known.password_updated.map(Time::unix_micros),
            memberships: known.memberships.iter().map(membership).collect(),
        }
    }

    /// The rows again.
    pub(super) fn known(self) -> Result<(Known, Vec<(MembershipId, OwnRows)>), String> {
        let kind = |octet: u8| Kind::ALL.get(usize::from(octet)).copied();
        let form = |octet: u8| Form::ALL.get(usize::from(octet)).copied();
        let mut identifiers = Vec::with_capacity(self.identifiers.len());
        for (realm, octet, folded) in self.identifiers {
            identifiers.push((realm, kind(octet).ok_or("a kind of name")?, folded));
        }
        let stored = match self.credential {
            None => None,
            Some((id, octet, value)) => Some(Credential {
                id,
                form: form(octet).ok_or("a form of password")?,
                value,
            }),
        };
        let (mut memberships, mut own) = (Vec::new(), Vec::new());
        for saved in self.memberships {
            let rows = saved.rows.map(SavedRows::rows).transpose()?;
            let groups = saved.groups;
            own.push((saved.id, OwnRows { groups, rows }));
            memberships.push(KnownMembership {
                id: saved.id,
                organisation: saved.organisation,
                is_enabled: saved.is_enabled,
                expires: saved.expires_micros.map(Time::from_unix_micros),
                is_verified: saved.is_verified,
                method: String::new(),
                created: Time::from_unix_micros(saved.created_micros),
            });
        }
        let known = Known {
            person: self.id,
            is_active: self.is_active,
            identifiers,
            username: self.username,
            stored,
            password_updated: self.password_updated_micros.map(Time::from_unix_micros),
            memberships,
        };
        Ok((known, own))
    }
}
