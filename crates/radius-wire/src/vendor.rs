//! Walking and writing the inside of Vendor-Specific attributes (type 26).
//!
//! Most vendors use one octet of type and one of length (RFC 2865 §5.26); the
//! few others have their format in the dictionary. An inside that does not
//! fill its attribute exactly is not walked at all: half a value is worse than
//! none.

use crate::dictionary::VendorFormat;

/// Octets of the vendor number before the vendor's own attributes.
pub(crate) const VENDOR_OCTETS: usize = 4;
/// The vendor number is 24 bits; its top octet is zero (RFC 2865 §5.26).
pub(crate) const MAX_VENDOR: u32 = 0x00ff_ffff;
/// Says, in formats with a continuation octet, that the value goes on.
pub(crate) const CONTINUES: u8 = 0x80;

/// One attribute inside a Vendor-Specific attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VendorAttribute<'a> {
    /// The vendor's enterprise number.
    pub vendor: u32,
    /// The attribute's number within the vendor.
    pub kind: u32,
    /// Its value.
    pub value: &'a [u8],
    /// Whether the value goes on in the next attribute of the same number
    /// (WiMAX only).
    pub continues: bool,
}

/// The attributes inside one Vendor-Specific value.
pub(crate) struct VendorAttributes<'a> {
    vendor: u32,
    format: VendorFormat,
    rest: &'a [u8],
}

impl<'a> VendorAttributes<'a> {
    /// Of the value of a type 26 attribute; empty when it is malformed.
    pub(crate) fn of(value: &'a [u8]) -> VendorAttributes<'a> {
        let mut walk = VendorAttributes {
            vendor: 0,
            format: VendorFormat::RECOMMENDED,
            rest: &[],
        };
        let Some((number, inside)) = value.split_first_chunk::<VENDOR_OCTETS>() else {
            return walk;
        };
        let vendor = u32::from_be_bytes(*number);
        if vendor == 0 || vendor > MAX_VENDOR {
            return walk;
        }
        walk.vendor = vendor;
        walk.format = VendorFormat::of_vendor(vendor);
        let mut rest = inside;
        while !rest.is_empty() {
            match split_one(vendor, walk.format, rest) {
                Some((_, after)) => rest = after,
                None => return walk,
            }
        }
        walk.rest = inside;
        walk
    }
}

impl<'a> Iterator for VendorAttributes<'a> {
    type Item = VendorAttribute<'a>;

    fn next(&mut self) -> Option<VendorAttribute<'a>> {
        let (attribute, rest) = split_one(self.vendor, self.format, self.rest)?;
        self.rest = rest;
        Some(attribute)
    }
}

fn split_one(
    vendor: u32,
    format: VendorFormat,
    octets: &[u8],
) -> Option<(VendorAttribute<'_>, &[u8])> {
    let (kind, after_kind) = octets.split_at_checked(usize::from(format.type_octets))?;
    let kind = big_endian(kind);
    let (length, after_length) = after_kind.split_at_checked(usize::from(format.length_octets))?;
    let end = match length.is_empty() {
        true => octets.len(),
        false => usize::try_from(big_endian(length)).ok()?,
    };
    let continues = format.continuation && after_length.first()? & CONTINUES != 0;
    let value = octets.get(format.header_octets()..end)?;
    let attribute = VendorAttribute {
        vendor,
        kind,
        value,
        continues,
    };
    Some((attribute, &octets[end..]))
}

/// At most four octets as one number.
fn big_endian(octets: &[u8]) -> u32 {
    octets
        .iter()
        .fold(0, |number, octet| number << 8 | u32::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &[u8], expect: &[(u32, u32, &[u8], bool)]) {
        let got: Vec<_> = VendorAttributes::of(value)
            .map(|a| (a.vendor, a.kind, a.value, a.continues))
            .collect();
        assert_eq!(got, expect, "{value:02x?}");
    }

    #[test]
    fn each_vendor_format_is_walked() {
        check(&[0, 0, 0, 9, 1, 3, b'a', 2, 2], &[(9, 1, b"a", false), (9, 2, b"", false)]);
        check(&[0, 0, 1, 173, 0, 0, 0x90, 1, 7, 8], &[(429, 0x9001, &[7, 8], false)]);
        check(&[0, 0, 0x12, 0xee, 1, 2, 5, 7, 8], &[(4846, 258, &[7, 8], false)]);
        check(&[0, 0, 0x1f, 0xe4, 0, 3, 0, 5, 7], &[(8164, 3, &[7], false)]);
        check(
            &[0, 0, 0x60, 0xb5, 1, 4, 0x80, 7, 1, 4, 0, 8],
            &[(24757, 1, &[7], true), (24757, 1, &[8], false)],
        );
    }

    #[test]
    fn an_inside_that_does_not_fit_is_not_walked_at_all() {
        for value in [
            &[][..],
            &[0, 0, 0],
            &[0, 0, 0, 9],
            &[0, 0, 0, 9, 1],
            &[0, 0, 0, 9, 1, 1],
            &[0, 0, 0, 9, 1, 0],
            &[0, 0, 0, 9, 1, 4, b'a'],
            &[0, 0, 0, 9, 1, 3, b'a', 2],
            &[0, 0, 0, 0, 1, 3, b'a'],
            &[1, 0, 0, 9, 1, 3, b'a'],
            &[0, 0, 1, 173, 0, 0, 1],
            &[0, 0, 0x12, 0xee, 1, 2, 2],
            &[0, 0, 0x1f, 0xe4, 0, 3, 1, 5, 7],
            &[0, 0, 0x60, 0xb5, 1, 2],
        ] {
            check(value, &[]);
        }
    }
}
