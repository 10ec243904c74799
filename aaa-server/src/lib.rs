//! The RADIUS door: NASes ask over UDP and are answered.
//!
//! Read `door` first, it is a datagram's way through; then `identify` (who sent it), `authenticate` (who may come in),
//! `answer` (what is said) and `accounting` (what must be kept). `responder`, `delay` and `pool` are the three things that make a UDP server out
//! of that: duplicates, refusals that wait, work that is slow. `server` starts and stops it all, `follow` keeps the
//! register right, `writer` and
//! `record` carry what happened to the database, and `control` sees to sessions that go on.
//!
//! This door must **never** hold SQL, block a receive thread on a disk or a database, or answer what it could not
//! verify.

mod accounting;
mod answer;
mod applied_note;
pub mod ask;
mod authenticate;
pub mod config;
pub mod control;
pub mod counts;
mod delay;
mod door;
mod follow;
mod identify;
mod lane;
mod lookup;
pub mod nas_book;
mod pool;
mod record;
mod responder;
mod server;
mod share;
mod socket;
mod upgrade;
pub mod vitals;
mod writer;

pub use config::{Purpose, RadiusConfig};
pub use server::{Server, ServerHealth, ServerParts};
pub use vitals::Vitals;
