//! Names for what no dictionary names: `Attr-200`, `Attr-241.5`, `Attr-26.9.1`,
//! `Vendor-9-Attr-1`.

use std::borrow::Cow;

use super::compile::{MAX_TLV_DEPTH, dotted};
use super::statement::MAX_OID_NUMBERS;
use super::table::{Attribute, Carrier, Dictionary};
use super::types::DataType;

impl Dictionary {
    /// The attribute of a name: one the dictionary defines, or the place on the wire
    /// that a nameless attribute's name spells.
    pub fn resolve(&self, name: &str) -> Option<Cow<'_, Attribute>> {
        if let Some(attribute) = self.attribute(name) {
            return Some(Cow::Borrowed(attribute));
        }
        let path = numbers_in(name)?;
        self.nameless(&path).map(Cow::Owned)
    }

    /// The attribute at a path; made up, of type octets, when the dictionary has none
    /// there but the wire has.
    pub fn resolve_path(&self, path: &[u32]) -> Option<Cow<'_, Attribute>> {
        match self.attribute_at(path) {
            Some(attribute) => Some(Cow::Borrowed(attribute)),
            None => self.nameless(path).map(Cow::Owned),
        }
    }

    /// An attribute of octets at this path. Its name says the path, whatever the
    /// dictionary calls it.
    pub(crate) fn nameless(&self, path: &[u32]) -> Option<Attribute> {
        let octet = |number: u32| u8::try_from(number).ok().filter(|n| *n != 0);
        let (carrier, inner) = match path {
            [number] => (
                Carrier::Standard {
                    kind: octet(*number)?,
                },
                Vec::new(),
            ),
            [26, vendor, kind] => {
                let format = self.vendor_format(*vendor);
                let fits = *kind <= format.greatest_kind() && (1..=0x00ff_ffff).contains(vendor);
                (
                    fits.then_some(Carrier::Vendor {
                        vendor: *vendor,
                        format,
                        kind: *kind,
                    })?,
                    Vec::new(),
                )
            }
            [parents @ .., number] => {
                let number = octet(*number)?;
                match self.attribute_at(parents) {
                    Some(parent) => match (parent.data_type(), parent.carrier()) {
                        (DataType::Tlv, carrier) if parent.inner().len() < MAX_TLV_DEPTH => {
                            (carrier, [parent.inner(), &[number]].concat())
                        }
                        (DataType::Extended, Carrier::Standard { kind }) => (
                            Carrier::Extended {
                                kind,
                                sub: number,
                                long: false,
                            },
                            Vec::new(),
                        ),
                        (DataType::LongExtended, Carrier::Standard { kind }) => (
                            Carrier::Extended {
                                kind,
                                sub: number,
                                long: true,
                            },
                            Vec::new(),
                        ),
                        _ => return None,
                    },
                    None => {
                        let (vendor, evs) = parents.split_last()?;
                        let parent = self
                            .attribute_at(evs)
                            .filter(|p| p.data_type() == DataType::Evs)?;
                        let Carrier::Extended { kind, sub, long } = parent.carrier() else {
                            return None;
                        };
                        let carrier = Carrier::ExtendedVendor {
                            kind,
                            sub,
                            vendor: *vendor,
                            vendor_kind: number,
                            long,
                        };
                        (carrier, Vec::new())
                    }
                }
            }
            [] => return None,
        };
        Some(Attribute::nameless(
            name_of(path),
            path.to_vec(),
            carrier,
            inner,
        ))
    }
}

/// The name of a nameless place.
fn name_of(path: &[u32]) -> String {
    match path {
        [26, vendor, kind] => format!("Vendor-{vendor}-Attr-{kind}"),
        _ => format!("Attr-{}", dotted(path)),
    }
}

/// The numbers a nameless attribute's name spells.
fn numbers_in(name: &str) -> Option<Vec<u32>> {
    let lower = name.to_ascii_lowercase();
    let (vendor, numbers) = match lower.strip_prefix("vendor-") {
        Some(rest) => {
            let (vendor, rest) = rest.split_once("-attr-")?;
            (Some(number(vendor)?), rest)
        }
        None => (None, lower.strip_prefix("attr-")?),
    };
    let numbers = numbers.split('.').take(MAX_OID_NUMBERS + 1).map(number);
    let mut path: Vec<u32> = vendor.into_iter().flat_map(|vendor| [26, vendor]).collect();
    for number in numbers {
        path.push(number?);
    }
    (path.len() <= MAX_OID_NUMBERS).then_some(path)
}

fn number(word: &str) -> Option<u32> {
    if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    word.parse().ok()
}
