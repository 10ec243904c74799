//! People, organisations, membership, passwords.
//!
//! Read [`organisation`] first (whose data, which namespace), then [`identifier`] (how a name is compared), then
//! [`person`] and [`membership`]: people are global, and everything that an organisation holds of a person hangs on
//! the membership. [`password`] says in which form a password is kept; [`known`] is what the Register loads.
//!
//! Every change is one transaction: the row, its version in the history, and its news. This room must **never**
//! decide whether somebody may come in, speak a protocol, or let a password or a hash into a version, an event, an
//! error or the log.

pub mod entry;
pub mod find;
pub mod holders;
pub mod id;
pub mod identifier;
pub mod known;
pub mod list;
pub mod membership;
mod names;
pub mod organisation;
pub mod password;
pub mod pending;
pub mod person;
pub mod setting;
#[cfg(test)]
mod testing;
pub mod upgrade;
mod version;
pub mod warning;

pub use entry::Entry;
pub use find::{Found, FoundMembership};
pub use id::{MembershipId, PersonId};
pub use identifier::Kind;
pub use kernel::db::Error;
pub use known::{Known, KnownMembership};
pub use list::PersonLine;
pub use membership::{Membership, Terms};
pub use organisation::{Namespace, NewOrganisation, Organisation};
pub use password::{Credential, Form, NewPassword, Store};
pub use person::{Inserted, NewPerson, Person};
pub use warning::Warning;

/// News: an organisation was made or changed. Subject: its id.
pub const ORGANISATION_CHANGED: &str = "organisation.changed";
/// News: a person, one of their memberships, names or passwords was made or changed. Subject: the person's id.
pub const PERSON_CHANGED: &str = "person.changed";
/// News: a person is gone. Subject: the person's id.
pub const PERSON_REMOVED: &str = "person.removed";
/// News: a setting was made, changed or taken away. Subject: the row's id; detail: `{"name": …}`.
pub const SETTING_CHANGED: &str = "setting.changed";

/// Every statement of this room for one engine, so that a test can prepare them all.
pub fn statements(engine: kernel::Engine) -> Vec<(&'static str, &'static str)> {
    let own = match engine {
        kernel::Engine::Sqlite => [names::SQLITE_STATEMENTS, holders::SQLITE_STATEMENTS],
        kernel::Engine::Postgres => [names::POSTGRES_STATEMENTS, holders::POSTGRES_STATEMENTS],
    };
    let many = [
        entry::PEOPLE,
        entry::CREDENTIALS,
        names::IDENTIFIERS,
        membership::MEMBERSHIPS,
    ];
    [
        &own.concat(),
        &many.map(|many| many.statements(engine)).concat(),
        organisation::STATEMENTS,
        person::STATEMENTS,
        names::STATEMENTS,
        membership::STATEMENTS,
        version::STATEMENTS,
        pending::STATEMENTS,
        upgrade::STATEMENTS,
        known::STATEMENTS,
        find::STATEMENTS,
        list::STATEMENTS,
        setting::STATEMENTS,
    ]
    .concat()
}
