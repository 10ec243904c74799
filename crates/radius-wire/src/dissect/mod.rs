//! Packets taken apart for people and programs, and put together again.
//!
//! How to read it: `nodes.rs` turns octets into [`Node`]s, `decoder.rs` adds what the
//! shared secret can tell, `json.rs` writes objects, `encode.rs` reads them back.
//!
//! The promise of this module: for every packet that parses, encoding the decoded
//! object gives the same octets, with any dictionary, with the secret or without. Where
//! a value alone would not give its octets back, the octets stand beside it as `raw`,
//! and `raw` wins. It must never drop or repair anything.

mod assemble;
mod decoder;
mod encode;
mod json;
mod nodes;
#[cfg(test)]
mod tests;

use crate::code::Code;
use crate::dictionary::Dictionary;
use crate::packet::{Malformed, Packet, RawAttribute};
use crate::secret::Secret;

pub use assemble::AssembleError;
pub use decoder::{Checks, Decoder, Finding, decode_line};
pub use encode::{EncodeError, encode_line, encode_object};
pub use nodes::Node;

/// Most attributes taken apart: as many as fit a packet at all.
const MAX_ATTRIBUTES: usize = crate::packet::MAX_OCTETS / 2;

/// A packet taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dissection {
    /// Packet code.
    pub code: Code,
    /// Identifier, which pairs requests with replies.
    pub identifier: u8,
    /// The Authenticator field.
    pub authenticator: [u8; 16],
    /// The Length field, in octets.
    pub length: usize,
    /// The attributes, in order.
    pub attributes: Vec<Node>,
    /// Octets after the packet in its datagram.
    pub padding: Vec<u8>,
    /// What the shared secret says; only with a secret.
    pub checks: Option<Checks>,
}

/// Takes a datagram apart.
///
/// With a secret, hidden values are revealed and authenticators checked. A reply needs
/// its request's authenticator for both.
///
/// # Errors
/// The datagram is no RADIUS packet.
pub fn dissect(
    datagram: &[u8],
    dictionary: &Dictionary,
    secret: Option<&Secret>,
    request_authenticator: Option<&[u8; 16]>,
) -> Result<Dissection, Malformed> {
    let packet = Packet::parse_with(datagram, MAX_ATTRIBUTES)?;
    let own = *packet.authenticator();
    let authenticators: Vec<[u8; 16]> = match (packet.code().is_response(), request_authenticator) {
        (true, Some(request)) => vec![*request],
        (true, None) => Vec::new(),
        // Senders disagree on what to hide with while the field is not computed yet:
        // the field itself or zeros.
        (false, _) if packet.code().has_keyed_authenticator() => vec![own, [0; 16]],
        (false, _) => vec![own],
    };
    let attributes: Vec<RawAttribute<'_>> = packet.attributes().collect();
    let keys = nodes::Keys {
        dictionary,
        secret,
        authenticators: &authenticators,
    };
    Ok(Dissection {
        code: packet.code(),
        identifier: packet.identifier(),
        authenticator: own,
        length: packet.length(),
        attributes: nodes::nodes(&attributes, keys),
        padding: datagram.get(packet.length()..).unwrap_or_default().to_vec(),
        checks: secret.map(|secret| Checks::of(packet, secret, request_authenticator)),
    })
}
