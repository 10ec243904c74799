//! Objects become packets again.
//!
//! What an object states is taken as it is; what was removed from it is computed:
//! length, authenticators, hidden values. An object that cannot be meant is an error
//! with the place in it.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value as Json};

use super::assemble::{AssembleError, Assembly};
use crate::attr::Hide;
use crate::authenticator::{
    AUTHENTICATOR_OFFSET, request_authenticator, response_authenticator, sign_request,
    sign_response,
};
use crate::code::Code;
use crate::dictionary::{Attribute, DataType, Dictionary, MAX_TLV_DEPTH};
use crate::hide;
use crate::packet::{ATTRIBUTE_HEADER_OCTETS, HEADER_OCTETS, MAX_OCTETS, Packet, kind};
use crate::secret::Secret;

/// Why an object cannot become a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodeError {
    /// The text is not JSON.
    Syntax(String),
    /// Something in the object is missing or not of its kind.
    Field {
        /// Where: `attributes[3].tag`.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// An attribute cannot be written.
    Attribute {
        /// Where.
        place: String,
        /// Why.
        error: AssembleError,
    },
    /// Something has to be computed or hidden that needs the shared secret.
    NeedsSecret(String),
    /// A reply is to be computed, which needs `request_authenticator`.
    NeedsRequestAuthenticator(String),
    /// The stated length is not the length of what the object holds.
    Length {
        /// As stated.
        stated: u64,
        /// As made.
        made: usize,
    },
    /// More octets than a packet may have.
    TooLong {
        /// As made.
        made: usize,
    },
    /// The object stands for a line that was no packet; this was its error.
    NoPacket(String),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::Syntax(reason) => write!(f, "not JSON: {reason}"),
            EncodeError::Field { place, reason } => write!(f, "{place}: {reason}"),
            EncodeError::Attribute { place, error } => write!(f, "{place}: {error}"),
            EncodeError::NeedsSecret(place) => {
                write!(f, "{place}: needs the shared secret to be computed")
            }
            EncodeError::NeedsRequestAuthenticator(place) => {
                write!(
                    f,
                    "{place}: needs request_authenticator to be computed, as this is a reply"
                )
            }
            EncodeError::Length { stated, made } => {
                write!(
                    f,
                    "length: says {stated}, but the packet has {made} octets; leave it out to have it computed"
                )
            }
            EncodeError::TooLong { made } => {
                write!(
                    f,
                    "attributes: the packet has {made} octets, at most {MAX_OCTETS} are allowed"
                )
            }
            EncodeError::NoPacket(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Encodes one line holding an object, to hex. Whatever cannot be encoded becomes a
/// line `# error: reason`, so that every line keeps its place.
pub fn encode_line(
    line: &str,
    dictionary: &Dictionary,
    secret: Option<&Secret>,
    random: [u8; 16],
) -> String {
    let object = serde_json::from_str::<Json>(line).map_err(|e| EncodeError::Syntax(e.to_string()));
    match object.and_then(|object| encode_object(&object, dictionary, secret, random)) {
        Ok(octets) => hex::encode(octets),
        Err(error) => format!("# error: {}", error.to_string().replace(['\r', '\n'], " ")),
    }
}

/// Encodes an object to the datagram it stands for.
///
/// `random` is the authenticator of a request that states none (it must be drawn anew
/// for every call), and seeds the salts of hidden values.
pub fn encode_object(
    object: &Json,
    dictionary: &Dictionary,
    secret: Option<&Secret>,
    random: [u8; 16],
) -> Result<Vec<u8>, EncodeError> {
    const KEYS: [&str; 8] = [
        "code",
        "id",
        "authenticator",
        "length",
        "attributes",
        "padding",
        "request_authenticator",
        "checks",
    ];
    let object = fields(object, "packet")?;
    if let Some(error) = object.get("error") {
        return Err(EncodeError::NoPacket(
            error.as_str().unwrap_or("no packet").to_owned(),
        ));
    }
    known_keys(object, &KEYS, "")?;
    let head = Head::read(object, random)?;
    let none = Vec::new();
    let attributes = match object.get("attributes") {
        None => &none,
        Some(Json::Array(attributes)) => attributes,
        Some(_) => return Err(field("attributes", "must be a list")),
    };
    let mut maker = Maker {
        dictionary,
        secret,
        head: &head,
        salts: u16::from_be_bytes([random[14], random[15]]),
    };
    let mut assembly = Assembly::default();
    let mut unsigned = None;
    for (at, attribute) in attributes.iter().enumerate() {
        let place = format!("attributes[{at}]");
        let made = maker.attribute(attribute, &place, 0)?;
        if made.unsigned {
            let offset = HEADER_OCTETS + assembly.octets().len() + ATTRIBUTE_HEADER_OCTETS;
            if unsigned.replace(offset).is_some() {
                return Err(field(
                    &place,
                    "only one Message-Authenticator can be computed",
                ));
            }
        }
        assembly
            .push(&made.attribute, &made.payload, made.joined)
            .map_err(|error| EncodeError::Attribute { place, error })?;
        // Checked here, too: a long list must not grow for nothing.
        if HEADER_OCTETS + assembly.octets().len() > MAX_OCTETS {
            return Err(EncodeError::TooLong {
                made: HEADER_OCTETS + assembly.octets().len(),
            });
        }
    }
    let length = HEADER_OCTETS + assembly.octets().len();
    let [high, low] = u16::try_from(length)
        .map_err(|_| EncodeError::TooLong { made: length })?
        .to_be_bytes();
    if let Some(stated) = object.get("length") {
        let stated = stated
            .as_u64()
            .ok_or_else(|| field("length", "must be a number"))?;
        if usize::try_from(stated) != Ok(length) {
            return Err(EncodeError::Length {
                stated,
                made: length,
            });
        }
    }
    let mut octets = vec![head.code.0, head.identifier, high, low];
    octets.extend_from_slice(&head.field);
    octets.extend_from_slice(assembly.octets());
    head.sign(&mut octets, unsigned, secret)?;
    if let Some(padding) = object.get("padding") {
        octets.extend(hex_field(padding, "padding")?);
    }
    Ok(octets)
}

/// The parts of a packet before its attributes.
struct Head {
    code: Code,
    identifier: u8,
    /// The Authenticator field as stated, else what stands there before it is computed.
    field: [u8; 16],
    stated: bool,
    request: Option<[u8; 16]>,
}

impl Head {
    fn read(object: &Map<String, Json>, random: [u8; 16]) -> Result<Head, EncodeError> {
        let code = match object.get("code") {
            Some(Json::String(name)) => Code::from_name(name)
                .ok_or_else(|| field("code", &format!("\"{name}\" is no packet code")))?,
            Some(number) => Code(small(number, "code")?),
            None => return Err(field("code", "is missing")),
        };
        let identifier = object.get("id").map_or(Ok(0), |id| small(id, "id"))?;
        let stated = object
            .get("authenticator")
            .map(|a| sixteen(a, "authenticator"))
            .transpose()?;
        let computed = code.has_keyed_authenticator() || code.is_response();
        let field = stated.unwrap_or(if computed { [0; 16] } else { random });
        let request = object
            .get("request_authenticator")
            .map(|a| sixteen(a, "request_authenticator"));
        Ok(Head {
            code,
            identifier,
            field,
            stated: stated.is_some(),
            request: request.transpose()?,
        })
    }

    /// The authenticator that values are hidden with.
    fn hiding(&self, place: &str) -> Result<[u8; 16], EncodeError> {
        match (self.code.is_response(), self.request) {
            (false, _) => Ok(self.field),
            (true, Some(request)) => Ok(request),
            (true, None) => Err(EncodeError::NeedsRequestAuthenticator(place.to_owned())),
        }
    }

    /// Computes what the object leaves open: the Message-Authenticator at `unsigned`,
    /// then the Authenticator field where it is a digest.
    fn sign(
        &self,
        octets: &mut [u8],
        unsigned: Option<usize>,
        secret: Option<&Secret>,
    ) -> Result<(), EncodeError> {
        let malformed = |e: crate::packet::Malformed| field("attributes", &e.to_string());
        if let Some(offset) = unsigned {
            let secret = secret
                .ok_or_else(|| EncodeError::NeedsSecret("Message-Authenticator".to_owned()))?;
            let mut signed = octets.to_vec();
            if self.code.is_response() {
                sign_response(&mut signed, secret, &self.hiding("Message-Authenticator")?)
                    .map_err(malformed)?;
            } else {
                sign_request(&mut signed, secret).map_err(malformed)?;
            }
            let place = offset..offset + 16;
            if let (Some(to), Some(from)) = (octets.get_mut(place.clone()), signed.get(place)) {
                to.copy_from_slice(from);
            }
        }
        if self.stated || !(self.code.has_keyed_authenticator() || self.code.is_response()) {
            return Ok(());
        }
        let secret = secret.ok_or_else(|| EncodeError::NeedsSecret("authenticator".to_owned()))?;
        let packet = Packet::parse_with(octets, super::MAX_ATTRIBUTES).map_err(malformed)?;
        let computed = match self.code.is_response() {
            true => response_authenticator(packet, secret, &self.hiding("authenticator")?),
            false => request_authenticator(packet, secret),
        };
        if let Some(to) = octets.get_mut(AUTHENTICATOR_OFFSET..HEADER_OCTETS) {
            to.copy_from_slice(&computed);
        }
        Ok(())
    }
}

/// An attribute ready to be put into the packet.
struct Made<'d> {
    attribute: Cow<'d, Attribute>,
    payload: Vec<u8>,
    joined: bool,
    /// A Message-Authenticator whose value is still to be computed.
    unsigned: bool,
}

/// Makes payloads of attribute objects.
struct Maker<'d, 'h> {
    dictionary: &'d Dictionary,
    secret: Option<&'h Secret>,
    head: &'h Head,
    /// The next salt; each may be used once in a packet.
    salts: u16,
}

impl<'d> Maker<'d, '_> {
    fn attribute(
        &mut self,
        object: &Json,
        place: &str,
        depth: usize,
    ) -> Result<Made<'d>, EncodeError> {
        let object = fields(object, place)?;
        known_keys(object, &["name", "tag", "joined", "value", "raw"], place)?;
        let name = match object.get("name") {
            Some(Json::String(name)) => name,
            Some(_) => return Err(field(&format!("{place}.name"), "must be a text")),
            None => return Err(field(&format!("{place}.name"), "is missing")),
        };
        let attribute = self.dictionary.resolve(name).ok_or_else(|| {
            let hint = self.dictionary.nearest_name(name);
            let hint = hint
                .map(|near| format!("; did you mean \"{near}\"?"))
                .unwrap_or_default();
            field(
                &format!("{place}.name"),
                &format!("no attribute is named \"{name}\"{hint}"),
            )
        })?;
        let joined = match object.get("joined") {
            None => false,
            Some(Json::Bool(joined)) => *joined,
            Some(_) => return Err(field(&format!("{place}.joined"), "must be true or false")),
        };
        let tag = object
            .get("tag")
            .map(|tag| small(tag, &format!("{place}.tag")))
            .transpose()?;
        let is_signature = attribute.path() == [u32::from(kind::MESSAGE_AUTHENTICATOR)];
        let (payload, unsigned) = match (object.get("raw"), object.get("value")) {
            (Some(raw), _) => (hex_field(raw, &format!("{place}.raw"))?, false),
            (None, Some(value)) => (self.payload(&attribute, tag, value, place, depth)?, false),
            (None, None) if is_signature => (vec![0; 16], true),
            (None, None) => return Err(field(place, "has neither value nor raw")),
        };
        Ok(Made {
            attribute,
            payload,
            joined,
            unsigned,
        })
    }

    /// The payload of a value: its octets, hidden, with tag.
    fn payload(
        &mut self,
        attribute: &Attribute,
        tag: Option<u8>,
        value: &Json,
        place: &str,
        depth: usize,
    ) -> Result<Vec<u8>, EncodeError> {
        let fault = |error| EncodeError::Attribute {
            place: place.to_owned(),
            error: AssembleError::Value(error),
        };
        let text = match value {
            Json::Array(children) if attribute.data_type() == DataType::Tlv => {
                return self.children(attribute, children, place, depth);
            }
            Json::String(text) => Cow::Borrowed(text.as_str()),
            Json::Number(number) if number.is_u64() || number.is_i64() => {
                Cow::Owned(number.to_string())
            }
            Json::Bool(true) => Cow::Borrowed("yes"),
            Json::Bool(false) => Cow::Borrowed("no"),
            _ => {
                return Err(field(
                    &format!("{place}.value"),
                    "must be a text, a whole number, or a list for a TLV",
                ));
            }
        };
        let plain = attribute.encode_value(&text).map_err(fault)?;
        let bare = match attribute.hide() {
            Hide::No => plain,
            method => self.hidden(method, &plain, place)?,
        };
        attribute.tag_value(tag, &bare).map_err(fault)
    }

    fn hidden(&mut self, method: Hide, plain: &[u8], place: &str) -> Result<Vec<u8>, EncodeError> {
        let secret = self
            .secret
            .ok_or_else(|| EncodeError::NeedsSecret(place.to_owned()))?;
        let authenticator = self.head.hiding(place)?;
        let hidden = match method {
            Hide::No => Ok(plain.to_vec()),
            Hide::Password => hide::hide_password(plain, secret, &authenticator),
            Hide::Salted => {
                self.salts = self.salts.wrapping_add(1);
                hide::hide_salted(plain, self.salts.to_be_bytes(), secret, &authenticator)
            }
            Hide::Ascend => Ok(hide::xor_ascend(plain, secret, &authenticator)),
        };
        hidden.map_err(|e| field(place, &e.to_string()))
    }

    fn children(
        &mut self,
        parent: &Attribute,
        children: &[Json],
        place: &str,
        depth: usize,
    ) -> Result<Vec<u8>, EncodeError> {
        if depth > MAX_TLV_DEPTH {
            return Err(field(place, "is nested too deep"));
        }
        let mut payload = Vec::new();
        for (at, child) in children.iter().enumerate() {
            let place = format!("{place}.value[{at}]");
            let made = self.attribute(child, &place, depth + 1)?;
            let path = made
                .attribute
                .path()
                .split_last()
                .filter(|(_, parents)| *parents == parent.path());
            let Some(number) = path.and_then(|(number, _)| u8::try_from(*number).ok()) else {
                let reason = format!("{} is not inside {}", made.attribute.name(), parent.name());
                return Err(field(&place, &reason));
            };
            let Ok(length) = u8::try_from(made.payload.len() + ATTRIBUTE_HEADER_OCTETS) else {
                return Err(field(&place, "does not fit the 255 octets of a TLV"));
            };
            payload.extend([number, length]);
            payload.extend(made.payload);
            if payload.len() > MAX_OCTETS {
                return Err(EncodeError::TooLong {
                    made: payload.len(),
                });
            }
        }
        Ok(payload)
    }
}

fn field(place: &str, reason: &str) -> EncodeError {
    EncodeError::Field {
        place: place.to_owned(),
        reason: reason.to_owned(),
    }
}

fn fields<'j>(value: &'j Json, place: &str) -> Result<&'j Map<String, Json>, EncodeError> {
    value
        .as_object()
        .ok_or_else(|| field(place, "must be an object"))
}

/// A misspelt key would silently change the packet.
fn known_keys(object: &Map<String, Json>, known: &[&str], place: &str) -> Result<(), EncodeError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(odd) if place.is_empty() => Err(field(odd, "is no key of a packet")),
        Some(odd) => Err(field(
            &format!("{place}.{odd}"),
            "is no key of an attribute",
        )),
        None => Ok(()),
    }
}

fn small(value: &Json, place: &str) -> Result<u8, EncodeError> {
    let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| field(place, "must be a number of 0 to 255"))
}

fn hex_field(value: &Json, place: &str) -> Result<Vec<u8>, EncodeError> {
    let digits = value
        .as_str()
        .map(|text| text.strip_prefix("0x").unwrap_or(text));
    let octets = digits.and_then(|digits| hex::decode(digits).ok());
    octets.ok_or_else(|| field(place, "must be hex digits"))
}

fn sixteen(value: &Json, place: &str) -> Result<[u8; 16], EncodeError> {
    let octets = hex_field(value, place)?;
    octets
        .try_into()
        .map_err(|_| field(place, "must be 16 octets in hex"))
}
