//! The words of a dictionary file: data types, flags, vendor formats.
//!
//! Shared with `build.rs`, therefore it depends on nothing but std. It must never
//! know about packets or secrets.

/// How the value of an attribute is laid out on the wire (names of RFC 8044 where they differ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// Text or string of any octets (RFC 8044: text).
    Text,
    /// Octets without structure (RFC 8044: string).
    Octets,
    /// Octets of exactly this many.
    FixedOctets(u8),
    /// IPv4 address, 4 octets (RFC 8044: ipv4addr).
    Ipv4,
    /// IPv6 address, 16 octets (RFC 8044: ipv6addr).
    Ipv6,
    /// Reserved octet, prefix length, up to 16 octets (RFC 8044: ipv6prefix).
    Ipv6Prefix,
    /// Reserved octet, prefix length, 4 octets (RFC 8044: ipv4prefix).
    Ipv4Prefix,
    /// IPv4 or IPv6 address, told apart by its length.
    ComboIp,
    /// Interface identifier, 8 octets (RFC 8044: ifid).
    InterfaceId,
    /// Ethernet address, 6 octets.
    Ether,
    /// Seconds since 1970, 32 bits unsigned (RFC 8044: time).
    Date,
    /// 32 bits unsigned (RFC 8044: integer, enum).
    Integer,
    /// 8 bits unsigned.
    Byte,
    /// 16 bits unsigned.
    Short,
    /// 32 bits signed.
    Signed,
    /// 64 bits unsigned (RFC 8044: integer64).
    Integer64,
    /// One octet, 0 or 1.
    Bool,
    /// Ascend's binary filters, kept as octets.
    Abinary,
    /// Nested attributes with one octet of type and one of length (RFC 8044: tlv).
    Tlv,
    /// RFC 6929 extended attribute (RFC 8044: extended).
    Extended,
    /// RFC 6929 long extended attribute [long-extended].
    LongExtended,
    /// RFC 6929 extended vendor-specific attribute (RFC 8044: evs).
    Evs,
    /// Vendor-Specific itself (RFC 8044: vsa).
    Vsa,
}

impl DataType {
    /// The type a dictionary word names; words are compared without case.
    ///
    /// Words of newer dictionary grammars are taken as the same thing by another name.
    /// `None` for a word nobody uses.
    pub fn from_word(word: &str) -> Option<DataType> {
        let word = word.to_ascii_lowercase();
        if let Some(count) = word
            .strip_prefix("octets[")
            .and_then(|w| w.strip_suffix(']'))
        {
            return match count.parse::<u8>() {
                Ok(count @ 1..=253) => Some(DataType::FixedOctets(count)),
                _ => None,
            };
        }
        Some(match word.as_str() {
            "string" | "text" => DataType::Text,
            "octets" => DataType::Octets,
            "ipaddr" | "ipv4addr" => DataType::Ipv4,
            "ipv6addr" => DataType::Ipv6,
            "ipv6prefix" => DataType::Ipv6Prefix,
            "ipv4prefix" | "cidr" => DataType::Ipv4Prefix,
            "combo-ip" | "comboip" => DataType::ComboIp,
            "ifid" => DataType::InterfaceId,
            "ether" | "ethernet" => DataType::Ether,
            "date" | "time" => DataType::Date,
            "integer" | "uint32" | "enum" | "time_delta" => DataType::Integer,
            "byte" | "uint8" => DataType::Byte,
            "short" | "uint16" => DataType::Short,
            "signed" | "int32" => DataType::Signed,
            "integer64" | "uint64" => DataType::Integer64,
            "bool" => DataType::Bool,
            "abinary" => DataType::Abinary,
            "tlv" => DataType::Tlv,
            "extended" => DataType::Extended,
            "long-extended" | "long_extended" => DataType::LongExtended,
            "evs" => DataType::Evs,
            "vsa" => DataType::Vsa,
            // Structured types of the newer grammar: the octets are kept whole.
            "struct" | "union" | "group" | "attribute" => DataType::Octets,
            _ => return None,
        })
    }

    /// Whether named values (`VALUE` lines) make sense for the type.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            DataType::Integer
                | DataType::Byte
                | DataType::Short
                | DataType::Signed
                | DataType::Integer64
                | DataType::Date
                | DataType::Bool
        )
    }

    /// Greatest number the type holds; 0 when it holds none.
    pub fn greatest(self) -> u64 {
        match self {
            DataType::Integer | DataType::Signed | DataType::Date => u64::from(u32::MAX),
            DataType::Byte | DataType::Bool => u64::from(u8::MAX),
            DataType::Short => u64::from(u16::MAX),
            DataType::Integer64 => u64::MAX,
            _ => 0,
        }
    }

    /// Whether other attributes live inside the value.
    pub fn is_container(self) -> bool {
        matches!(
            self,
            DataType::Tlv
                | DataType::Extended
                | DataType::LongExtended
                | DataType::Evs
                | DataType::Vsa
        )
    }
}

/// How a value is hidden on the wire (`encrypt=` in a dictionary).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encryption {
    /// In clear.
    #[default]
    None,
    /// As User-Password, RFC 2865 section 5.2.
    Password,
    /// As Tunnel-Password, RFC 2868 section 3.5.
    Salted,
    /// As Ascend-Send-Secret.
    Ascend,
}

/// Flags of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// A tag octet precedes or replaces the first octet of the value (RFC 2868).
    pub tagged: bool,
    /// How the value is hidden.
    pub encryption: Encryption,
    /// The value must not be shown in logs.
    pub secret: bool,
    /// One attribute holds several values of a fixed size.
    pub array: bool,
    /// The value continues over adjacent attributes of the same kind.
    pub concat: bool,
    /// Exists inside a server only, never on the wire.
    pub internal: bool,
}

/// Shape of the attributes inside a Vendor-Specific attribute of one vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VendorFormat {
    /// Octets of the type: 1, 2 or 4.
    pub type_octets: u8,
    /// Octets of the length: 0 (the value fills the attribute), 1 or 2.
    pub length_octets: u8,
    /// A further octet whose top bit says that the value continues in the next attribute.
    pub continuation: bool,
}

impl VendorFormat {
    /// One octet of type, one of length: the format RFC 2865 recommends.
    pub const RECOMMENDED: VendorFormat = VendorFormat {
        type_octets: 1,
        length_octets: 1,
        continuation: false,
    };

    /// The format of a vendor whose dictionary does not say: the few vendors known to
    /// differ, else the recommended one.
    pub const fn of_vendor(vendor: u32) -> VendorFormat {
        let (type_octets, length_octets, continuation) = match vendor {
            429 => (4, 0, false),                // USR
            637 | 4846 | 16445 => (2, 1, false), // Alcatel-ESAM, Lucent, Kineto
            8164 => (2, 2, false),               // Starent
            5323 | 24757 => (1, 1, true),        // Telrad, WiMAX
            _ => (1, 1, false),
        };
        VendorFormat {
            type_octets,
            length_octets,
            continuation,
        }
    }

    /// Reads `T,L` or `T,L,c`, what follows `format=` in a dictionary.
    pub fn from_word(word: &str) -> Option<VendorFormat> {
        let mut parts = word.split(',');
        let type_octets = match parts.next()? {
            "1" => 1,
            "2" => 2,
            "4" => 4,
            _ => return None,
        };
        let length_octets = match parts.next()? {
            "0" => 0,
            "1" => 1,
            "2" => 2,
            _ => return None,
        };
        let continuation = match parts.next() {
            None => false,
            Some("c") if type_octets == 1 && length_octets == 1 => true,
            Some(_) => return None,
        };
        if parts.next().is_some() {
            return None;
        }
        Some(VendorFormat {
            type_octets,
            length_octets,
            continuation,
        })
    }

    /// Octets before the value: type, length and continuation.
    pub const fn header_octets(self) -> usize {
        self.type_octets as usize + self.length_octets as usize + self.continuation as usize
    }

    /// Greatest type number the format can carry.
    pub const fn greatest_kind(self) -> u32 {
        match self.type_octets {
            1 => u8::MAX as u32,
            2 => u16::MAX as u32,
            _ => u32::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_words_are_read_without_case_and_in_both_generations() {
        let check = |word: &str, expect: Option<DataType>| {
            assert_eq!(DataType::from_word(word), expect, "{word}");
        };
        check("String", Some(DataType::Text));
        check("uint32", Some(DataType::Integer));
        check("integer", Some(DataType::Integer));
        check("cidr", Some(DataType::Ipv4Prefix));
        check("octets[50]", Some(DataType::FixedOctets(50)));
        check("octets[0]", None);
        check("octets[254]", None);
        check("octets[", None);
        check("struct", Some(DataType::Octets));
        check("strng", None);
    }

    #[test]
    fn vendor_formats_are_read_and_odd_ones_refused() {
        let check = |word: &str, expect: Option<(u8, u8, bool)>| {
            let got = VendorFormat::from_word(word)
                .map(|f| (f.type_octets, f.length_octets, f.continuation));
            assert_eq!(got, expect, "{word}");
        };
        check("1,1", Some((1, 1, false)));
        check("4,0", Some((4, 0, false)));
        check("2,2", Some((2, 2, false)));
        check("1,1,c", Some((1, 1, true)));
        check("2,1,c", None);
        check("3,1", None);
        check("1,4", None);
        check("1", None);
        check("1,1,c,c", None);
        assert_eq!(VendorFormat::of_vendor(429).header_octets(), 4);
        assert_eq!(VendorFormat::of_vendor(24757).header_octets(), 3);
        assert_eq!(VendorFormat::of_vendor(8164).greatest_kind(), 65_535);
    }
}
