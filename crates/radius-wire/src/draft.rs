//! Attributes collected for a packet whose authenticator is not known yet.
//!
//! Shared by replies and questions. Values that travel hidden are kept in
//! clear until the packet is sealed, and erased afterwards. A fault is kept
//! and reported when sealing, so that putting attributes reads as a list.

use std::ops::Range;
use zeroize::{Zeroize, Zeroizing};

use crate::attr::{Attr, Hide, Kind, MAX_TAG};
use crate::hide::{hide_password_into, hide_salted_into, xor_ascend};
use crate::packet::{ATTRIBUTE_HEADER_OCTETS, HEADER_OCTETS, MAX_OCTETS, MAX_VALUE_OCTETS, kind};
use crate::secret::Secret;
use crate::writer::{PacketWriter, SealFault, append_attribute, append_vendor_attribute};

/// Room for attributes in one packet.
const MAX_ATTRIBUTE_OCTETS: usize = MAX_OCTETS - HEADER_OCTETS;

/// What a packet will hold, in order.
pub(crate) struct Draft {
    /// Finished attributes.
    finished: Vec<u8>,
    /// Attributes that wait for the authenticator.
    hidden: Vec<Hidden>,
    /// Their values in clear, one behind the other.
    plain: Zeroizing<Vec<u8>>,
    /// Where one value is encoded.
    scratch: Zeroizing<Vec<u8>>,
    /// Octets the hidden ones will need at least.
    hidden_octets: usize,
    /// Standard attributes that only sealing may write.
    reserved: &'static [u8],
    fault: Option<SealFault>,
}

struct Hidden {
    /// Octets of finished attributes that come before it.
    after: usize,
    vendor: u32,
    number: u32,
    tag: Option<u8>,
    hide: Hide,
    /// Where its value lies in [`Draft::plain`].
    value: Range<usize>,
}

impl Draft {
    pub(crate) fn new(reserved: &'static [u8]) -> Draft {
        Draft {
            finished: Vec::new(),
            hidden: Vec::new(),
            plain: Zeroizing::default(),
            scratch: Zeroizing::default(),
            hidden_octets: 0,
            reserved,
            fault: None,
        }
    }

    /// Empties it for another packet; the room it has stays.
    pub(crate) fn reset(&mut self) {
        self.clear();
        self.fault = None;
    }

    fn clear(&mut self) {
        self.finished.clear();
        self.hidden.clear();
        self.hidden_octets = 0;
        if !self.plain.is_empty() {
            self.plain.zeroize();
        }
    }

    /// Puts a typed value with a tag (0 = untagged).
    pub(crate) fn put<T: Kind>(&mut self, attr: Attr<T>, tag: u8, value: T::Value<'_>) {
        let (vendor, number) = (attr.vendor, attr.number);
        if tag != 0 && !attr.tagged {
            return self.fail(SealFault::Tag {
                vendor,
                number,
                tag,
            });
        }
        if attr.tagged && tag > MAX_TAG && attr.hide == Hide::No {
            return self.fail(SealFault::Tag {
                vendor,
                number,
                tag,
            });
        }
        let mut octets = std::mem::take(&mut self.scratch);
        octets.clear();
        if attr.hide != Hide::No {
            T::encode(value, &mut octets);
            let tag = attr.tagged.then_some(tag);
            self.put_hidden(vendor, number, tag, attr.hide, &octets);
            octets.zeroize();
        } else {
            match attr.tagged {
                true => T::encode_tagged(tag, value, &mut octets),
                false => T::encode(value, &mut octets),
            }
            match (vendor, u8::try_from(number)) {
                _ if octets.is_empty() => {}
                (0, Ok(kind)) => self.put_split(kind, &octets),
                (0, Err(_)) => self.fail(SealFault::Number { vendor, number }),
                _ => self.put_vendor(vendor, number, &octets),
            }
        }
        self.scratch = octets;
    }

    /// Puts a standard attribute; the kinds made to be sent in pieces are
    /// split where they are too long.
    fn put_split(&mut self, kind: u8, value: &[u8]) {
        let text = kind == kind::REPLY_MESSAGE;
        let splits = text || matches!(kind, kind::EAP_MESSAGE | kind::NAS_FILTER_RULE);
        let mut rest = value;
        while splits && rest.len() > MAX_VALUE_OCTETS && self.fault.is_none() {
            let (piece, after) = rest.split_at(piece_octets(rest, text));
            self.put_raw(kind, piece);
            rest = after;
        }
        self.put_raw(kind, rest);
    }

    pub(crate) fn put_raw(&mut self, kind: u8, value: &[u8]) {
        if !self.reserved.contains(&kind) {
            let done = append_attribute(kind, value, &mut self.finished);
            self.keep(done);
        }
    }

    pub(crate) fn put_vendor(&mut self, vendor: u32, number: u32, value: &[u8]) {
        let done = append_vendor_attribute(vendor, number, value, &mut self.finished);
        self.keep(done);
    }

    /// Puts finished attributes, each checked, reserved ones left out.
    pub(crate) fn put_attributes(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(&kind) = rest.first() {
            let length = rest.get(1).copied().map_or(0, usize::from);
            let piece = rest.split_at_checked(length);
            match piece {
                Some((attribute, after)) if kind != 0 && length >= ATTRIBUTE_HEADER_OCTETS => {
                    self.put_raw(kind, &attribute[ATTRIBUTE_HEADER_OCTETS..]);
                    rest = after;
                }
                _ => {
                    let offset = octets.len() - rest.len();
                    return self.fail(SealFault::NotAttributes { offset });
                }
            }
            if self.fault.is_some() {
                return;
            }
        }
    }

    /// Keeps a value to be hidden when sealing.
    pub(crate) fn put_hidden(
        &mut self,
        vendor: u32,
        number: u32,
        tag: Option<u8>,
        hide: Hide,
        plain: &[u8],
    ) {
        if let Some(tag) = tag.filter(|tag| *tag > MAX_TAG) {
            return self.fail(SealFault::Tag {
                vendor,
                number,
                tag,
            });
        }
        if vendor == 0 && !(1..=255).contains(&number) {
            return self.fail(SealFault::Number { vendor, number });
        }
        let octets = plain.len() + ATTRIBUTE_HEADER_OCTETS;
        if self.length() + octets > MAX_ATTRIBUTE_OCTETS {
            return self.fail(self.too_long(octets));
        }
        self.hidden_octets += octets;
        let start = self.plain.len();
        if self.plain.capacity() < start + plain.len() {
            // Growing in place would leave a copy behind that nobody erases.
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * (start + plain.len())));
            larger.extend_from_slice(&self.plain);
            self.plain = larger;
        }
        self.plain.extend_from_slice(plain);
        self.hidden.push(Hidden {
            after: self.finished.len(),
            vendor,
            number,
            tag,
            hide,
            value: start..self.plain.len(),
        });
    }

    /// Whether a finished standard attribute of this kind is there.
    pub(crate) fn contains(&self, kind: u8) -> bool {
        let mut rest = self.finished.as_slice();
        while let [found, length, ..] = *rest {
            if found == kind {
                return true;
            }
            rest = rest.get(usize::from(length)..).unwrap_or_default();
        }
        false
    }

    /// Writes everything, hiding what must be hidden.
    pub(crate) fn write(
        &self,
        writer: &mut PacketWriter,
        secret: &Secret,
        authenticator: &[u8; 16],
        salt_seed: u16,
    ) -> Result<(), SealFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut written = 0;
        let mut salt = salt_seed;
        for hidden in &self.hidden {
            let before = self.finished.get(written..hidden.after);
            writer.attributes(before.unwrap_or_default())?;
            written = hidden.after;
            let plain = self.plain.get(hidden.value.clone()).unwrap_or_default();
            writer.made(hidden.vendor, hidden.number, |out| {
                hidden.seal(plain, salt, secret, authenticator, out)
            })?;
            salt = salt.wrapping_add(1);
        }
        writer.attributes(self.finished.get(written..).unwrap_or_default())
    }

    /// Octets of attributes, hidden ones at their least.
    fn length(&self) -> usize {
        self.finished.len() + self.hidden_octets
    }

    fn too_long(&self, more: usize) -> SealFault {
        SealFault::PacketTooLong {
            octets: HEADER_OCTETS + self.length() + more,
        }
    }

    fn keep(&mut self, done: Result<(), SealFault>) {
        if let Err(fault) = done {
            self.fail(fault);
        } else if self.length() > MAX_ATTRIBUTE_OCTETS {
            self.fail(self.too_long(0));
        }
    }

    /// Keeps the first fault, and gives up what was collected: a draft with a
    /// fault is never sent, and must not grow.
    fn fail(&mut self, fault: SealFault) {
        self.fault.get_or_insert(fault);
        self.clear();
    }
}

impl Hidden {
    /// Writes the value as it travels behind what is in `out`.
    fn seal(
        &self,
        plain: &[u8],
        salt: u16,
        secret: &Secret,
        authenticator: &[u8; 16],
        out: &mut Vec<u8>,
    ) -> Result<(), SealFault> {
        // Ciphertext can begin with any octet, so the tag is always written.
        out.extend(self.tag);
        let done = match self.hide {
            Hide::No => {
                out.extend_from_slice(plain);
                Ok(())
            }
            Hide::Password => hide_password_into(plain, secret, authenticator, out),
            Hide::Salted => hide_salted_into(plain, salt.to_be_bytes(), secret, authenticator, out),
            Hide::Ascend => {
                out.extend_from_slice(&xor_ascend(plain, secret, authenticator));
                Ok(())
            }
        };
        done.map_err(|reason| SealFault::Hide {
            vendor: self.vendor,
            number: self.number,
            reason,
        })
    }
}

/// How much of a long value goes in the next attribute: all there is room
/// for, but no character cut in two where the value is text.
fn piece_octets(value: &[u8], text: bool) -> usize {
    let limit = value.len().min(MAX_VALUE_OCTETS);
    // A UTF-8 character has at most three octets after its first.
    let lowest = limit.saturating_sub(3).max(1);
    let starts_character = |at: &usize| value.get(*at).is_none_or(|octet| octet & 0xc0 != 0x80);
    match text {
        true => (lowest..=limit)
            .rev()
            .find(starts_character)
            .unwrap_or(limit),
        false => limit,
    }
}

/// The ways to put attributes, for a type with a field `draft: Draft`.
macro_rules! put_methods {
    () => {
        /// Puts a typed value; hidden attributes are hidden when sealing.
        /// Empty text and octets are left out, as RFC 2865 §5 demands.
        /// Reply-Message, EAP-Message and NAS-Filter-Rule are split over as
        /// many attributes as they need.
        pub fn put<T: $crate::attr::Kind>(
            &mut self,
            attr: $crate::attr::Attr<T>,
            value: T::Value<'_>,
        ) -> &mut Self {
            self.draft.put(attr, 0, value);
            self
        }

        /// Like `put`, for text at hand as `str`.
        pub fn put_text(
            &mut self,
            attr: $crate::attr::Attr<$crate::attr::Text>,
            value: &str,
        ) -> &mut Self {
            self.put(attr, value.as_bytes())
        }

        /// Like `put`, with a tag from 1 to 31; 0 means untagged.
        pub fn put_tagged<T: $crate::attr::Kind>(
            &mut self,
            attr: $crate::attr::Attr<T>,
            tag: u8,
            value: T::Value<'_>,
        ) -> &mut Self {
            self.draft.put(attr, tag, value);
            self
        }

        /// Puts the octets of a standard attribute's value as they are.
        pub fn put_raw(&mut self, kind: u8, value: &[u8]) -> &mut Self {
            self.draft.put_raw(kind, value);
            self
        }

        /// Puts the octets of a vendor attribute's value as they are.
        pub fn put_vendor(&mut self, vendor: u32, number: u32, value: &[u8]) -> &mut Self {
            self.draft.put_vendor(vendor, number, value);
            self
        }

        /// Puts finished attributes, such as the dictionary writes them.
        pub fn put_attributes(&mut self, octets: &[u8]) -> &mut Self {
            self.draft.put_attributes(octets);
            self
        }

        /// Puts the plain octets of a value that sealing hides. `vendor` is 0
        /// for standard attributes; `tag` is `None` for attributes that take
        /// none and 0 for an untagged value of those that do.
        pub fn put_hidden(
            &mut self,
            vendor: u32,
            number: u32,
            tag: Option<u8>,
            hide: $crate::attr::Hide,
            plain: &[u8],
        ) -> &mut Self {
            self.draft.put_hidden(vendor, number, tag, hide, plain);
            self
        }
    };
}
pub(crate) use put_methods;

#[cfg(test)]
mod tests;
