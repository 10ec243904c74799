//! What the suite stands on: throw-away databases, the real binary as a process, a NAS that sends exact octets, and
//! an installed FreeRADIUS to compare with.
//!
//! How to read it: [`place`] gives a test its own database and data folder, [`house`] runs the binary over them,
//! [`nas`] talks to it, [`model`] reckons what accounting must come to, [`cluster`] and [`proxy`]
//! are a PostgreSQL and a line to it that can be broken, [`traffic`] is a load beside that, [`rival`] starts the other server, [`source`] reads the repository's own text. It must
//! **never** wait for time to pass where it could wait for something to be true: see [`wait`].

pub mod backup;
pub mod cluster;
pub mod conformance;
pub mod differences;
pub mod gateway;
pub mod house;
pub mod lasting;
pub mod model;
pub mod nas;
pub mod place;
pub mod proxy;
pub mod rival;
pub mod source;
pub mod traffic;
pub mod wait;

/// Makes two tests of one: the same story on SQLite and on PostgreSQL.
///
/// ```text
/// on_both_engines! {
///     fn people_can_log_in(house: House) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[doc = $doc:literal])* fn $name:ident($house:ident: House) $body:block)*) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            fn story($house: $crate::house::House) $body
            #[test]
            fn on_sqlite() {
                story($crate::house::House::new(kernel::Engine::Sqlite));
            }
            #[test]
            fn on_postgres() {
                story($crate::house::House::new(kernel::Engine::Postgres));
            }
        }
    )*};
    ($($(#[doc = $doc:literal])* async fn $name:ident($store:ident: Store) $body:block)*) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            async fn story($store: $crate::place::Store) $body
            #[tokio::test]
            async fn on_sqlite() {
                story($crate::place::Store::open(kernel::Engine::Sqlite).await).await;
            }
            #[tokio::test]
            async fn on_postgres() {
                story($crate::place::Store::open(kernel::Engine::Postgres).await).await;
            }
        }
    )*};
}
