//! RADIUS as pure code: octets in, values out.
//!
//! How to read it: a datagram becomes a [`Packet`] (a borrowed, checked view),
//! a packet and the shared secret become a [`Request`] (which exists only when
//! every authenticity rule held), and a [`Reply`] sealed against that request
//! becomes the answer's octets. The other half of the exchange is a
//! [`Question`], whose [`Sealed`] form knows which answers to believe.
//! Typed attribute constants live in [`attrs`], the run-time dictionary in
//! [`dictionary`], the printable form of packets in [`dissect`].
//!
//! What it must never do: open a socket, read a clock, draw randomness, start
//! a task, or know of a database. Whoever calls it brings those.

pub mod attr;
pub mod attrs;
pub mod authenticator;
pub mod client;
pub mod code;
pub mod dictionary;
pub mod dissect;
mod draft;
pub mod fuzz;
pub mod hide;
mod malformed;
pub mod packet;
pub mod reply;
pub mod request;
pub mod secret;
pub mod vsa;
pub mod writer;

pub use attr::{Attr, Hide, Kind};
pub use client::{AnswerFault, Question, Sealed};
pub use code::Code;
pub use hide::{HideError, Revealed};
pub use packet::{Malformed, Packet, RawAttribute, VendorAttribute};
pub use reply::{Reply, SealOptions};
pub use request::{MessageAuthenticatorRule, Request, Rules, Unverified};
pub use secret::Secret;
pub use writer::SealFault;
