//! This room's ids.
//!
//! Written out here rather than by `kernel::define_id!`: an id of another crate than the kernel's cannot give
//! `Option<id>` a way into a statement's values. Where one may be missing, pass `id.map(|id| id.0)`.

use kernel::{Value, id::Uuid};
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
        impl From<$name> for Value {
            fn from(id: $name) -> Self {
                Value::Uuid(Some(id.0))
            }
        }
    )*};
}

ids! {
    /// A person, whichever organisations hold something of theirs.
    PersonId;
    /// A person in an organisation: what expiry, groups, devices and tokens hang on.
    MembershipId;
}
