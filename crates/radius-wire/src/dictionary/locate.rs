//! Where an attribute goes on the wire, told from its numbers and its parents.
//!
//! Shared with `build.rs`. It must never let an attribute through that could not be
//! written and read back.

use super::compile::{Compiler, DictionaryError, MAX_TLV_DEPTH, dotted};
use super::table::{Attribute, Carrier};
use super::types::{DataType, Encryption, Flags};

impl Compiler<'_> {
    /// Finds what carries an attribute of this path, and checks that it can.
    pub(super) fn locate(
        &self,
        path: &[u32],
        data_type: DataType,
        flags: &mut Flags,
    ) -> Result<(Carrier, Vec<u8>), DictionaryError> {
        use DataType as T;
        let octet = |number: u32| {
            u8::try_from(number)
                .ok()
                .filter(|n| *n != 0)
                .ok_or_else(|| {
                    self.place
                        .error(format!("number {number} is not within 1 to 255"))
                })
        };
        let top_only = |what: &str| self.error(format!("type {what} is not possible here"));
        match path {
            [] => self.error("attribute has no number"),
            [number] => {
                let number = *number;
                if flags.internal && number <= 255 {
                    return self.error("virtual is for numbers above 255 only");
                }
                if matches!(data_type, T::Evs) {
                    return top_only("evs");
                }
                match u8::try_from(number) {
                    Ok(0) => self.error("number 0 is not an attribute"),
                    Ok(kind) => Ok((Carrier::Standard { kind }, Vec::new())),
                    Err(_) => {
                        flags.internal = true;
                        Ok((Carrier::Internal, Vec::new()))
                    }
                }
            }
            [26, vendor, kind] => {
                if *vendor == 0 || *vendor > 0x00ff_ffff {
                    return self.error(format!(
                        "vendor number {vendor} is not within 1 to 16777215"
                    ));
                }
                let format = self.dictionary.vendor_format(*vendor);
                if *kind > format.greatest_kind() {
                    return self.error(format!(
                        "number {kind} does not fit the {} octet type of the vendor",
                        format.type_octets
                    ));
                }
                match data_type {
                    T::Extended | T::LongExtended | T::Evs | T::Vsa => {
                        self.error("extended types are not possible inside a vendor")
                    }
                    _ => Ok((
                        Carrier::Vendor {
                            vendor: *vendor,
                            format,
                            kind: *kind,
                        },
                        Vec::new(),
                    )),
                }
            }
            [26, _] => self.error("number 26 needs a vendor and an attribute number"),
            [parents @ .., number] => {
                let parent = self.dictionary.attribute_at(parents);
                match (parent.map(|p| (p.data_type, p.carrier)), parents) {
                    (Some((T::Tlv, carrier)), _) => {
                        let mut inner = parent.map(|p| p.inner.clone()).unwrap_or_default();
                        inner.push(octet(*number)?);
                        if inner.len() > MAX_TLV_DEPTH {
                            return self.error(format!("TLVs nested deeper than {MAX_TLV_DEPTH}"));
                        }
                        if !matches!(
                            carrier,
                            Carrier::Vendor { .. } | Carrier::Standard { .. } | Carrier::Internal
                        ) {
                            self.check_extended_child(flags)?;
                        }
                        if data_type.is_container() && data_type != T::Tlv {
                            return self.error("a TLV cannot hold this type");
                        }
                        Ok((carrier, inner))
                    }
                    (Some((T::Extended | T::LongExtended, Carrier::Standard { kind })), _) => {
                        self.check_extended_child(flags)?;
                        let long = parent.is_some_and(|p| p.data_type == T::LongExtended);
                        if matches!(data_type, T::Extended | T::LongExtended | T::Vsa) {
                            return self.error("an extended attribute cannot hold this type");
                        }
                        Ok((
                            Carrier::Extended {
                                kind,
                                sub: octet(*number)?,
                                long,
                            },
                            Vec::new(),
                        ))
                    }
                    (None, [evs @ .., vendor]) => match self.dictionary.attribute_at(evs) {
                        Some(Attribute {
                            data_type: T::Evs,
                            carrier: Carrier::Extended { kind, sub, long },
                            ..
                        }) => {
                            self.check_extended_child(flags)?;
                            if data_type.is_container() && data_type != T::Tlv {
                                return self
                                    .error("an extended vendor attribute cannot hold this type");
                            }
                            Ok((
                                Carrier::ExtendedVendor {
                                    kind: *kind,
                                    sub: *sub,
                                    vendor: *vendor,
                                    vendor_kind: octet(*number)?,
                                    long: *long,
                                },
                                Vec::new(),
                            ))
                        }
                        _ => self.error(format!(
                            "there is no attribute {} to hold this one",
                            dotted(parents)
                        )),
                    },
                    _ => self.error(format!(
                        "attribute {} cannot hold others; it would need type tlv or extended",
                        dotted(parents)
                    )),
                }
            }
        }
    }

    fn check_extended_child(&self, flags: &Flags) -> Result<(), DictionaryError> {
        if flags.tagged || flags.encryption != Encryption::None {
            return self.error("has_tag and encrypt are not possible inside extended attributes");
        }
        Ok(())
    }
}
