//! What is inside a Vendor-Specific attribute (RFC 2865 section 5.26).
//!
//! The RFC recommends one octet of type and one of length; a few vendors differ. A value
//! whose parts do not fill it exactly is not taken apart at all: half a guess is worse
//! than the octets. It must never read past the value it was given.

pub use crate::dictionary::VendorFormat;

/// Octets of the vendor number at the start of a Vendor-Specific value.
pub const VENDOR_OCTETS: usize = 4;
/// Greatest vendor number: the top octet is always zero.
pub const MAX_VENDOR: u32 = 0x00ff_ffff;

/// The format of a vendor, as known without any dictionary.
pub const fn vendor_format(vendor: u32) -> VendorFormat {
    VendorFormat::of_vendor(vendor)
}

/// Cuts the value of a Vendor-Specific attribute in vendor number and the rest.
/// `None` when it is too short, the vendor is 0 or its top octet is set.
pub fn split_vendor(value: &[u8]) -> Option<(u32, &[u8])> {
    let (vendor, rest) = value.split_first_chunk::<VENDOR_OCTETS>()?;
    let vendor = u32::from_be_bytes(*vendor);
    (vendor != 0 && vendor <= MAX_VENDOR).then_some((vendor, rest))
}

/// One attribute inside a Vendor-Specific one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubAttribute<'a> {
    /// Vendor type.
    pub kind: u32,
    /// Whether the value continues in the next attribute (formats with continuation).
    pub more: bool,
    /// Bits of the continuation octet that mean nothing, kept to notice odd senders.
    pub reserved: u8,
    /// The value, without any header.
    pub value: &'a [u8],
    /// Header and value together.
    pub octets: &'a [u8],
}

/// The attributes inside, in order. Made by [`sub_attributes`].
#[derive(Debug, Clone)]
pub struct SubAttributes<'a> {
    rest: &'a [u8],
    format: VendorFormat,
}

/// Takes apart what follows the vendor number. `None` unless the parts fill it exactly
/// and there is at least one.
pub fn sub_attributes(rest: &[u8], format: VendorFormat) -> Option<SubAttributes<'_>> {
    let whole = SubAttributes { rest, format };
    let mut probe = whole.clone();
    while probe.next().is_some() {}
    (!rest.is_empty() && probe.rest.is_empty()).then_some(whole)
}

impl<'a> Iterator for SubAttributes<'a> {
    type Item = SubAttribute<'a>;

    fn next(&mut self) -> Option<SubAttribute<'a>> {
        let format = self.format;
        let header = format.header_octets();
        let head = self.rest.get(..header)?;
        let (kind, head) = head.split_at_checked(format.type_octets.into())?;
        let (length, continuation) = head.split_at_checked(format.length_octets.into())?;
        let number = |octets: &[u8]| {
            octets
                .iter()
                .fold(0u32, |n, octet| n << 8 | u32::from(*octet))
        };
        let length = match format.length_octets {
            0 => self.rest.len(),
            _ => usize::try_from(number(length)).ok()?,
        };
        if length < header {
            return None;
        }
        let (octets, rest) = self.rest.split_at_checked(length)?;
        let flags = continuation.first().copied().unwrap_or(0);
        let value = octets.get(header..)?;
        self.rest = rest;
        Some(SubAttribute {
            kind: number(kind),
            more: flags & 0x80 != 0,
            reserved: flags & 0x7f,
            value,
            octets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, rest: &[u8], expect: Option<&[(u32, bool, &[u8])]>) {
        let format = VendorFormat::from_word(format).expect("format");
        let got = sub_attributes(rest, format)
            .map(|subs| subs.map(|s| (s.kind, s.more, s.value)).collect::<Vec<_>>());
        assert_eq!(got.as_deref(), expect, "{format:?} {rest:02x?}");
    }

    #[test]
    fn every_format_is_taken_apart() {
        check(
            "1,1",
            &[1, 3, 9, 2, 2],
            Some(&[(1, false, &[9]), (2, false, &[])]),
        );
        check("2,1", &[1, 2, 4, 7], Some(&[(258, false, &[7])]));
        check("2,2", &[1, 2, 0, 5, 7], Some(&[(258, false, &[7])]));
        check(
            "4,0",
            &[0, 0, 0x98, 0x0b, 7, 8],
            Some(&[(0x980b, false, &[7, 8])]),
        );
        check("1,1,c", &[1, 4, 0x80, 9], Some(&[(1, true, &[9])]));
        check("1,1,c", &[1, 4, 0, 9], Some(&[(1, false, &[9])]));
    }

    #[test]
    fn parts_that_do_not_fill_the_value_are_left_alone() {
        check("1,1", &[], None);
        check("1,1", &[1], None);
        check("1,1", &[1, 0, 9], None);
        check("1,1", &[1, 1, 9], None);
        check("1,1", &[1, 4, 9], None);
        check("1,1", &[1, 3, 9, 2], None);
        check("1,1,c", &[1, 2, 0], None);
        check("2,2", &[0, 1, 0, 3], None);
        check("4,0", &[0, 0, 1], None);
    }

    #[test]
    fn vendor_numbers_are_checked() {
        assert_eq!(split_vendor(&[0, 0, 0, 9, 1]), Some((9, &[1][..])));
        assert_eq!(split_vendor(&[0, 0, 0, 0, 1]), None);
        assert_eq!(split_vendor(&[1, 0, 0, 9, 1]), None);
        assert_eq!(split_vendor(&[0, 0, 9]), None);
    }
}
