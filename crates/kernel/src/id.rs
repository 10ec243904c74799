//! Ids: UUIDv7 newtypes, so that a group's id cannot be handed over as a person's.

use crate::{rng::Rng, time::Time};

/// Declares a newtype over a UUID with everything an id needs.
#[macro_export]
macro_rules! define_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $crate::id::Uuid);

        $crate::impl_id!($name);
    };
}

/// The trait implementations behind [`define_id`].
#[macro_export]
macro_rules! impl_id {
    ($name:ident) => {
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }
        impl ::std::convert::From<$crate::id::Uuid> for $name {
            fn from(id: $crate::id::Uuid) -> Self {
                Self(id)
            }
        }
        impl ::std::convert::From<$name> for $crate::id::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
        impl ::std::convert::From<$name> for $crate::db::Value {
            fn from(id: $name) -> Self {
                $crate::db::Value::Uuid(Some(id.0))
            }
        }
        impl $crate::id::Id for $name {
            fn uuid(self) -> $crate::id::Uuid {
                self.0
            }
        }
    };
}

pub use uuid::Uuid;

/// Every id that [`define_id`] declares. Lets a room hand over an optional id as a parameter.
pub trait Id: Copy {
    /// The UUID.
    fn uuid(self) -> Uuid;
}

impl<T: Id> From<Option<T>> for crate::db::Value {
    fn from(id: Option<T>) -> Self {
        crate::db::Value::Uuid(id.map(Id::uuid))
    }
}

/// An organisation: whose data a row is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct OrganisationId(pub Uuid);
crate::impl_id!(OrganisationId);

/// A UUIDv7 (RFC 9562 §5.7): the millisecond first, the rest random.
pub fn new_uuid(now: Time, rng: &dyn Rng) -> Uuid {
    let mut random = [0u8; 10];
    rng.fill(&mut random);
    let millis = u64::try_from(now.unix_micros() / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let rng = SeededRng::new(1);
        let early = new_uuid(Time::from_unix_micros(1_000_000), &rng);
        let late = new_uuid(Time::from_unix_micros(2_000_000), &rng);
        assert!(early < late);
        assert_eq!(early.get_version_num(), 7);
    }
}
