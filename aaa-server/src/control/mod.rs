//! Sessions under control: what is wanted of those that go on, while they go on (RFC 5176).
//!
//! `watch` looks at who is online and says what is wanted: the person was shut out, a quota is spent, another plan holds.
//! `grants` is what it compares with. `exchange` asks a NAS, in the ways that its family takes. `orders` takes what is
//! wanted (by `watch`, by an operator, by the portal) from the database and sees to it. `roam` knows devices that are online
//! again at another access point.
//!
//! Nothing here may hold up a login, and a session's row is closed only after its NAS has said that it is over.

pub mod exchange;
pub mod grants;
pub mod orders;
mod roam;
pub mod watch;

pub use grants::Grants;
pub use watch::Watched;
