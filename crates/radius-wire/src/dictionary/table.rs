//! The compiled dictionary: attributes, values and vendors, found by name and number.
//!
//! An attribute knows its place on the wire ([`Carrier`] and the TLV numbers below it),
//! so nothing else has to walk parents. Shared with `build.rs`; it must never read
//! files or know packets.

use std::collections::{BTreeMap, HashMap};

use super::types::{DataType, Flags, VendorFormat};

/// The attribute on the wire that holds a dictionary attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Never on the wire.
    Internal,
    /// Type, length, value (RFC 2865).
    Standard {
        /// Attribute type.
        kind: u8,
    },
    /// Inside Vendor-Specific (26).
    Vendor {
        /// Private enterprise number.
        vendor: u32,
        /// Shape of the vendor's own header.
        format: VendorFormat,
        /// Vendor type.
        kind: u32,
    },
    /// RFC 6929 extended, with the flags octet when `long`.
    Extended {
        /// Attribute type, 241 to 246.
        kind: u8,
        /// Extended type.
        sub: u8,
        /// Whether the flags octet follows.
        long: bool,
    },
    /// RFC 6929 extended vendor-specific.
    ExtendedVendor {
        /// Attribute type, 241 to 246.
        kind: u8,
        /// Extended type, 26 by the RFC.
        sub: u8,
        /// Private enterprise number.
        vendor: u32,
        /// Vendor type.
        vendor_kind: u8,
        /// Whether the flags octet is there.
        long: bool,
    },
}

/// One attribute of the dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub(super) name: String,
    pub(super) path: Vec<u32>,
    pub(super) data_type: DataType,
    pub(super) flags: Flags,
    pub(super) carrier: Carrier,
    pub(super) inner: Vec<u8>,
    pub(super) values: Values,
    pub(super) nameless: bool,
}

impl Attribute {
    /// Its name as written in the dictionary.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Numbers from the outermost attribute inwards: `[1]` for User-Name,
    /// `[26, 14988, 8]` for a vendor's attribute, `[245, 26, 9, 1]` inside an extended one.
    pub fn path(&self) -> &[u32] {
        &self.path
    }

    /// Private enterprise number, 0 for attributes without vendor.
    pub fn vendor(&self) -> u32 {
        match self.carrier {
            Carrier::Vendor { vendor, .. } | Carrier::ExtendedVendor { vendor, .. } => vendor,
            _ => 0,
        }
    }

    /// The attribute's own number, the last of its path.
    pub fn number(&self) -> u32 {
        self.path.last().copied().unwrap_or(0)
    }

    /// How its value is laid out.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Its flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// What holds it on the wire.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// TLV numbers below the carrier, outermost first; mostly empty.
    pub fn inner(&self) -> &[u8] {
        &self.inner
    }

    /// Whether it can be sent at all.
    pub fn is_on_wire(&self) -> bool {
        self.carrier != Carrier::Internal
    }

    /// Its named values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Whether no dictionary defines it, only the wire has it.
    pub fn is_nameless(&self) -> bool {
        self.nameless
    }

    /// An attribute no dictionary names, of octets, at a place of the wire.
    pub(super) fn nameless(
        name: String,
        path: Vec<u32>,
        carrier: Carrier,
        inner: Vec<u8>,
    ) -> Attribute {
        Attribute {
            name,
            path,
            data_type: DataType::Octets,
            flags: Flags::default(),
            carrier,
            inner,
            values: Values::default(),
            nameless: true,
        }
    }
}

/// Named values of an attribute. Several names may share a number; the name defined
/// last is the one shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    pub(super) by_name: BTreeMap<String, (String, u64)>,
    pub(super) by_number: BTreeMap<u64, String>,
}

impl Values {
    /// The number of a name, compared without case.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.by_name
            .get(&name.to_ascii_lowercase())
            .map(|(_, number)| *number)
    }

    /// The name of a number.
    pub fn name(&self, number: u64) -> Option<&str> {
        self.by_number.get(&number).map(String::as_str)
    }

    /// All names with their numbers, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_name
            .values()
            .map(|(name, number)| (name.as_str(), *number))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether no value has a name.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// A vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendor {
    /// Its name as written in the dictionary.
    pub name: String,
    /// Private enterprise number.
    pub number: u32,
    /// Shape of its attributes inside Vendor-Specific.
    pub format: VendorFormat,
}

/// Something skipped or bent while a dictionary was read; it did not stop the reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// File as named by the include, or the root.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// What was skipped and why.
    pub text: String,
}

/// A compiled dictionary. Cheap to look things up in, costly to build: build it once.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    pub(super) attributes: Vec<Attribute>,
    pub(super) by_name: HashMap<String, usize>,
    pub(super) by_path: HashMap<Vec<u32>, usize>,
    pub(super) vendors: Vec<Vendor>,
    pub(super) vendor_by_name: HashMap<String, usize>,
    pub(super) vendor_by_number: HashMap<u32, usize>,
    pub(super) warnings: Vec<Warning>,
    pub(super) files: Vec<std::path::PathBuf>,
}

impl Dictionary {
    /// The attribute of this name, compared without case.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.by_name
            .get(&name.to_ascii_lowercase())
            .and_then(|at| self.attributes.get(*at))
    }

    /// The attribute at this path (see [`Attribute::path`]). Of several definitions of
    /// one path the last one wins.
    pub fn attribute_at(&self, path: &[u32]) -> Option<&Attribute> {
        self.by_path
            .get(path)
            .and_then(|at| self.attributes.get(*at))
    }

    /// The attribute without vendor of this number.
    pub fn standard(&self, number: u32) -> Option<&Attribute> {
        self.attribute_at(&[number])
    }

    /// A vendor's attribute inside Vendor-Specific.
    pub fn vendor_attribute(&self, vendor: u32, number: u32) -> Option<&Attribute> {
        self.attribute_at(&[26, vendor, number])
    }

    /// Every attribute, in the order of definition.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The vendor of this name, compared without case.
    pub fn vendor(&self, name: &str) -> Option<&Vendor> {
        self.vendor_by_name
            .get(&name.to_ascii_lowercase())
            .and_then(|at| self.vendors.get(*at))
    }

    /// The vendor of this private enterprise number.
    pub fn vendor_of_number(&self, number: u32) -> Option<&Vendor> {
        self.vendor_by_number
            .get(&number)
            .and_then(|at| self.vendors.get(*at))
    }

    /// Every vendor, in the order of definition.
    pub fn vendors(&self) -> &[Vendor] {
        &self.vendors
    }

    /// Shape of a vendor's attributes: as its dictionary says, else as is known of it.
    pub fn vendor_format(&self, number: u32) -> VendorFormat {
        self.vendor_of_number(number)
            .map_or(VendorFormat::of_vendor(number), |v| v.format)
    }

    /// What was skipped while reading, at most `MAX_WARNINGS`.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The files that were read, in order.
    pub fn files(&self) -> &[std::path::PathBuf] {
        &self.files
    }

    /// The attribute name nearest to a mistyped one, when one is near enough to suggest.
    pub fn nearest_name(&self, name: &str) -> Option<&str> {
        nearest(name, self.attributes.iter().map(Attribute::name))
    }
}

/// The candidate most like `word`, when it is like enough to be worth suggesting.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro-Winkler similarity from which two words look like one mistyped.
    const NEAR_ENOUGH: f64 = 0.85;
    let word = word.to_ascii_lowercase();
    let mut best: Option<(&str, f64)> = None;
    for candidate in candidates {
        let likeness = strsim::jaro_winkler(&word, &candidate.to_ascii_lowercase());
        if likeness >= NEAR_ENOUGH && best.is_none_or(|(_, most)| likeness > most) {
            best = Some((candidate, likeness));
        }
    }
    best.map(|(candidate, _)| candidate)
}
