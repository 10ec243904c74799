//! What every room stands on: ids, time, scope, randomness, the database, events, history, sealing and settings.
//!
//! Read `db` first, then `event`: every other room writes through the one and tells its news through the other.
//! The kernel must **never** know a room's nouns: no people, no NASes, no sessions. The one exception is the
//! organisation's id, because whose data a row is belongs to every read.

pub mod clock;
pub mod config;
pub mod db;
pub mod event;
pub mod history;
pub mod id;
pub mod node;
pub mod rng;
pub mod scope;
pub mod seal;
pub mod time;

pub use clock::{Clock, FixedClock, SystemClock};
pub use db::{Db, Engine, Error, Row, Tx, Value};
pub use event::{Event, News, Position};
pub use id::OrganisationId;
pub use rng::{DrawnRng, Rng, SeededRng, SystemRng};
pub use scope::Scope;
pub use seal::{Keyring, Place};
pub use time::Time;

use std::sync::Arc;

/// The four things that rooms are handed: where the rows are, what time it is, what cannot be guessed, and what
/// keeps secrets closed. Cheap to clone.
#[derive(Clone)]
pub struct Kernel {
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The ring that seals secrets.
    pub keys: Arc<Keyring>,
}

impl Kernel {
    /// The present, cut to microseconds.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// A fresh UUIDv7 that sorts by creation time.
    pub fn new_uuid(&self) -> uuid::Uuid {
        id::new_uuid(self.clock.now(), &*self.rng)
    }
}
