//! Password proofs against what is stored, as pure code.
//!
//! A device proves that it knows a password in one of a few ways ([`Attempt`]: PAP, CHAP,
//! MS-CHAP v1 and v2); the house keeps something about that password in one of many forms
//! ([`Stored`]: argon2, PBKDF2, bcrypt, NT hash, …). [`verify()`] brings the two together and says
//! [`Outcome::Right`] (with the keys the method yields), [`Outcome::Wrong`], or
//! [`Outcome::Impossible`] with the remedy, because CHAP cannot be answered from an argon2 hash by
//! anybody.
//!
//! Read [`stored`] first, then [the proof](mod@verify), then [`mschap`]. [`mac`] holds device
//! addresses, which serve as their own proof in MAC authentication.
//!
//! This crate never touches a socket, a clock, a random source, a database or a RADIUS packet:
//! salts and challenges are arguments. It never writes a secret into an error, and secrets have no
//! `Debug` or `Display`. Nothing that comes from the network or from an import can make it panic or
//! work without limit; the limits are in [`bounds`].

mod argon_memory;
pub mod attempt;
pub mod bounds;
pub mod chap;
mod crypt64;
mod digest;
mod fingerprint;
pub mod hash;
pub mod keys;
pub mod mac;
mod md5crypt;
pub mod mschap;
mod pap;
mod parse;
pub mod stored;
pub mod verify;

pub use attempt::{Attempt, Method};
pub use hash::{
    Argon2Params, HashRefused, clear_text, hash_password, nt_text, verify_nothing,
    verify_nothing_as,
};
pub use keys::{Keys, MsChapKeys, MsChapV2Keys};
pub use mac::Mac;
pub use mschap::nt_hash;
pub use parse::UnknownForm;
pub use stored::{Cost, Form, Stored};
pub use verify::{Needs, Outcome, can_serve, verify};
