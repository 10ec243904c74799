//! Statements, in their files, become a [`Dictionary`].
//!
//! Where an attribute goes on the wire is in `locate.rs`, named values and everything
//! that waits for the last line in `finish.rs`.
//!
//! Files come through a closure, so the same code serves the embedded dictionaries,
//! a folder on disk and the build script. Everything is bounded: a dictionary is
//! input like any other.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::statement::{Statement, parse_line};
use super::table::{Attribute, Dictionary, Values, Vendor, Warning, nearest};
use super::types::{DataType, Flags, VendorFormat};

/// Deepest chain of includes; real trees use two.
pub const MAX_INCLUDE_DEPTH: usize = 10;
/// Most files of one dictionary; the largest known tree has 428.
pub const MAX_FILES: usize = 2_000;
/// Largest file in octets; the largest known one has under 100 000.
pub const MAX_FILE_OCTETS: usize = 4 * 1024 * 1024;
/// Most attributes; the largest known tree has 8 500.
pub const MAX_ATTRIBUTES: usize = 65_536;
/// Most named values; the largest known tree has 9 500.
pub const MAX_VALUES: usize = 131_072;
/// Most vendors; the largest known tree has 204.
pub const MAX_VENDORS: usize = 8_192;
/// Deepest nesting of TLVs below their carrier.
pub const MAX_TLV_DEPTH: usize = 4;
/// Most warnings kept; one odd file must not fill memory.
pub const MAX_WARNINGS: usize = 200;

/// Why a dictionary cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryError {
    /// The file.
    pub file: String,
    /// Line, counted from 1; 0 when the file as a whole is at fault.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for DictionaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.reason),
            line => write!(f, "{}:{line}: {}", self.file, self.reason),
        }
    }
}

impl std::error::Error for DictionaryError {}

/// Reads the files in `roots`, with all they include, into a dictionary.
///
/// With a `base`, its content is kept and the files may redefine it freely; within
/// the files themselves a name stands for one number only.
pub fn compile(
    base: Option<&Dictionary>,
    roots: &[PathBuf],
    read: &mut dyn FnMut(&Path) -> io::Result<String>,
) -> Result<Dictionary, DictionaryError> {
    let mut compiler = Compiler {
        dictionary: base.cloned().unwrap_or_default(),
        read,
        seen: HashSet::new(),
        own_names: HashSet::new(),
        own_vendors: HashSet::new(),
        own_values: HashMap::new(),
        value_count: 0,
        later_values: Vec::new(),
        later_shares: Vec::new(),
        later_aliases: Vec::new(),
        place: Place {
            file: String::new(),
            line: 0,
        },
    };
    compiler.dictionary.warnings.clear();
    compiler.dictionary.files.clear();
    for root in roots {
        compiler.file(&normal(root), 0)?;
    }
    compiler.finish()
}

/// Where a statement stands.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: usize,
}

impl Place {
    pub(super) fn error(&self, reason: impl Into<String>) -> DictionaryError {
        DictionaryError {
            file: self.file.clone(),
            line: self.line,
            reason: reason.into(),
        }
    }
}

/// The blocks open at a line; blocks do not reach into included files.
#[derive(Default)]
struct Blocks {
    vendor: Option<OpenVendor>,
    tlvs: Vec<(String, Vec<u32>)>,
    /// The last attribute of type tlv, which relative numbers belong to.
    last_tlv: Option<Vec<u32>>,
}

struct OpenVendor {
    name: String,
    /// Path the vendor's attributes start from: `[26, vendor]` or `[245, 26, vendor]`.
    prefix: Vec<u32>,
    line: usize,
}

pub(super) struct LaterValue {
    pub(super) attribute: String,
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) place: Place,
}

pub(super) struct Compiler<'r> {
    pub(super) dictionary: Dictionary,
    pub(super) read: &'r mut dyn FnMut(&Path) -> io::Result<String>,
    pub(super) seen: HashSet<PathBuf>,
    /// Attribute names (lower case) defined by these files, not by the base.
    pub(super) own_names: HashSet<String>,
    pub(super) own_vendors: HashSet<String>,
    /// Value names defined by these files, by place of the attribute.
    pub(super) own_values: HashMap<usize, HashSet<String>>,
    pub(super) value_count: usize,
    /// Values whose attribute comes later.
    pub(super) later_values: Vec<LaterValue>,
    pub(super) later_shares: Vec<(String, String, Place)>,
    pub(super) later_aliases: Vec<(String, String, Place)>,
    pub(super) place: Place,
}

impl Compiler<'_> {
    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Result<T, DictionaryError> {
        Err(self.place.error(reason))
    }

    pub(super) fn warn(&mut self, place: &Place, text: String) {
        if self.dictionary.warnings.len() < MAX_WARNINGS {
            self.dictionary.warnings.push(Warning {
                file: place.file.clone(),
                line: place.line,
                text,
            });
        }
    }

    fn file(&mut self, path: &Path, depth: usize) -> Result<(), DictionaryError> {
        if self.seen.contains(path) {
            return Ok(());
        }
        let file = path.display().to_string();
        let whole = Place {
            file: file.clone(),
            line: 0,
        };
        if self.seen.len() >= MAX_FILES {
            return Err(whole.error(format!("more than {MAX_FILES} files")));
        }
        let text = (self.read)(path).map_err(|e| whole.error(e.to_string()))?;
        if text.len() > MAX_FILE_OCTETS {
            return Err(whole.error(format!("file has more than {MAX_FILE_OCTETS} octets")));
        }
        self.seen.insert(path.to_path_buf());
        self.dictionary.files.push(path.to_path_buf());
        let mut blocks = Blocks::default();
        for (at, line) in text.lines().enumerate() {
            self.place = Place {
                file: file.clone(),
                line: at + 1,
            };
            let statement = parse_line(line).map_err(|reason| self.place.error(reason))?;
            if let Some(statement) = statement {
                self.statement(statement, &mut blocks, path, depth)?;
            }
        }
        if let Some(open) = blocks.vendor {
            self.place = Place {
                file,
                line: open.line,
            };
            return self.error(format!("BEGIN-VENDOR {} is never closed", open.name));
        }
        if let Some((name, _)) = blocks.tlvs.last() {
            self.place = whole;
            return self.error(format!("BEGIN-TLV {name} is never closed"));
        }
        Ok(())
    }

    fn statement(
        &mut self,
        statement: Statement<'_>,
        blocks: &mut Blocks,
        path: &Path,
        depth: usize,
    ) -> Result<(), DictionaryError> {
        match statement {
            Statement::Include {
                path: target,
                optional,
            } => self.include(path, target, optional, depth),
            Statement::Vendor {
                name,
                number,
                format,
            } => self.vendor(name, number, format),
            Statement::BeginVendor { name, parent } => self.begin_vendor(name, parent, blocks),
            Statement::EndVendor { name } => {
                if let Some((tlv, _)) = blocks.tlvs.last() {
                    return self.error(format!("END-VENDOR {name} before END-TLV {tlv}"));
                }
                match blocks.vendor.take() {
                    Some(open) if open.name.eq_ignore_ascii_case(name) => Ok(()),
                    Some(open) => self.error(format!(
                        "END-VENDOR {name} closes BEGIN-VENDOR {}",
                        open.name
                    )),
                    None => self.error(format!("END-VENDOR {name} without BEGIN-VENDOR")),
                }
            }
            Statement::BeginTlv { name } => {
                let parent = self.known(name)?;
                if parent.data_type != DataType::Tlv {
                    return self.error(format!(
                        "BEGIN-TLV {name}: the attribute is not of type tlv"
                    ));
                }
                if blocks.tlvs.len() >= MAX_TLV_DEPTH {
                    return self.error(format!("TLVs nested deeper than {MAX_TLV_DEPTH}"));
                }
                let path = parent.path.clone();
                blocks.tlvs.push((name.to_owned(), path));
                Ok(())
            }
            Statement::EndTlv { name } => match blocks.tlvs.pop() {
                Some((open, _)) if open.eq_ignore_ascii_case(name) => Ok(()),
                Some((open, _)) => self.error(format!("END-TLV {name} closes BEGIN-TLV {open}")),
                None => self.error(format!("END-TLV {name} without BEGIN-TLV")),
            },
            Statement::Attribute {
                name,
                numbers,
                relative: true,
                data_type,
                flags,
                ..
            } => {
                let Some(tlv) = blocks
                    .last_tlv
                    .as_deref()
                    .or(blocks.tlvs.last().map(|(_, path)| path.as_slice()))
                else {
                    let place = self.place.clone();
                    self.warn(
                        &place,
                        format!("{name} has a relative number but no TLV before it; skipped"),
                    );
                    return Ok(());
                };
                self.attribute(name, [tlv, &numbers].concat(), data_type, flags)
            }
            Statement::Attribute {
                name,
                numbers,
                relative: false,
                data_type,
                flags,
                vendor,
            } => {
                let mut path = match (blocks.tlvs.last(), &blocks.vendor, vendor) {
                    (_, Some(_), Some(word)) => {
                        return self.error(format!("unknown flag \"{word}\""));
                    }
                    (Some((_, path)), _, None) => path.clone(),
                    (None, Some(open), None) => open.prefix.clone(),
                    (None, None, None) => Vec::new(),
                    (_, None, Some(word)) => match self.dictionary.vendor(word) {
                        Some(vendor) => vec![26, vendor.number],
                        None => {
                            return self
                                .error(format!("\"{word}\" is neither a flag nor a vendor"));
                        }
                    },
                };
                path.extend(numbers);
                if data_type == DataType::Tlv {
                    blocks.last_tlv = Some(path.clone());
                }
                self.attribute(name, path, data_type, flags)
            }
            Statement::Value {
                attribute,
                name,
                number,
            } => self.value_line(attribute, name, number),
            Statement::ValueAlias { attribute, source } => {
                let place = self.place.clone();
                self.later_shares
                    .push((attribute.to_owned(), source.to_owned(), place));
                Ok(())
            }
            Statement::Alias { name, target } => {
                if self.later_aliases.len() >= MAX_ATTRIBUTES {
                    return self.error(format!("more than {MAX_ATTRIBUTES} aliases"));
                }
                let place = self.place.clone();
                self.later_aliases
                    .push((name.to_owned(), target.to_owned(), place));
                Ok(())
            }
            Statement::Unknown { keyword } => {
                let place = self.place.clone();
                self.warn(
                    &place,
                    format!("keyword \"{keyword}\" is not known; the line is skipped"),
                );
                Ok(())
            }
        }
    }

    fn include(
        &mut self,
        from: &Path,
        target: &str,
        optional: bool,
        depth: usize,
    ) -> Result<(), DictionaryError> {
        if depth + 1 > MAX_INCLUDE_DEPTH {
            return self.error(format!("includes nested deeper than {MAX_INCLUDE_DEPTH}"));
        }
        let target = normal(&from.parent().unwrap_or(Path::new("")).join(target));
        let place = self.place.clone();
        let result = self.file(&target, depth + 1);
        match result {
            Err(e) if optional && e.line == 0 && e.file == target.display().to_string() => {
                self.warn(&place, format!("optional file left out: {e}"));
                Ok(())
            }
            Err(e) if e.line == 0 && e.file == target.display().to_string() => {
                Err(place.error(format!("cannot include {}: {}", e.file, e.reason)))
            }
            other => other,
        }
    }

    fn vendor(
        &mut self,
        name: &str,
        number: u32,
        format: Option<VendorFormat>,
    ) -> Result<(), DictionaryError> {
        let lower = name.to_ascii_lowercase();
        let format = format.unwrap_or(VendorFormat::of_vendor(number));
        let vendor = Vendor {
            name: name.to_owned(),
            number,
            format,
        };
        let d = &mut self.dictionary;
        let at = match d.vendor_by_name.get(&lower).copied() {
            Some(at) => {
                let Some(known) = d.vendors.get_mut(at) else {
                    return self.error("vendor table is inconsistent");
                };
                if known.number != number && self.own_vendors.contains(&lower) {
                    let reason = format!(
                        "vendor {name} has the numbers {} and {number}",
                        known.number
                    );
                    return self.error(reason);
                }
                *known = vendor;
                at
            }
            None => {
                if d.vendors.len() >= MAX_VENDORS {
                    return self.error(format!("more than {MAX_VENDORS} vendors"));
                }
                d.vendors.push(vendor);
                d.vendors.len() - 1
            }
        };
        d.vendor_by_name.insert(lower.clone(), at);
        d.vendor_by_number.insert(number, at);
        self.own_vendors.insert(lower);
        Ok(())
    }

    fn begin_vendor(
        &mut self,
        name: &str,
        parent: Option<&str>,
        blocks: &mut Blocks,
    ) -> Result<(), DictionaryError> {
        if let Some(open) = &blocks.vendor {
            return self.error(format!(
                "BEGIN-VENDOR {name} inside BEGIN-VENDOR {}",
                open.name
            ));
        }
        let Some(vendor) = self.dictionary.vendor(name) else {
            let names = self.dictionary.vendors.iter().map(|v| v.name.as_str());
            let hint = nearest(name, names)
                .map(|n| format!("; did you mean \"{n}\"?"))
                .unwrap_or_default();
            return self.error(format!("vendor \"{name}\" is not defined{hint}"));
        };
        let number = vendor.number;
        let prefix = match parent {
            None => vec![26, number],
            Some(parent) => {
                let evs = self.known(parent)?;
                if evs.data_type != DataType::Evs {
                    return self.error(format!("{parent} is not of type evs"));
                }
                let mut prefix = evs.path.clone();
                prefix.push(number);
                prefix
            }
        };
        blocks.vendor = Some(OpenVendor {
            name: name.to_owned(),
            prefix,
            line: self.place.line,
        });
        Ok(())
    }

    /// The attribute of this name, or the error that there is none.
    pub(super) fn known(&self, name: &str) -> Result<&Attribute, DictionaryError> {
        self.dictionary
            .attribute(name)
            .ok_or_else(|| self.place.error(self.unknown_attribute(name)))
    }

    pub(super) fn unknown_attribute(&self, name: &str) -> String {
        match self.dictionary.nearest_name(name) {
            Some(near) => format!("attribute \"{name}\" is not defined; did you mean \"{near}\"?"),
            None => format!("attribute \"{name}\" is not defined"),
        }
    }

    fn attribute(
        &mut self,
        name: &str,
        path: Vec<u32>,
        data_type: DataType,
        mut flags: Flags,
    ) -> Result<(), DictionaryError> {
        let (carrier, inner) = self.locate(&path, data_type, &mut flags)?;
        // RFC 4849: rules run over attribute boundaries, so the value is one text.
        if path == [92] && data_type == DataType::Text {
            flags.concat = true;
        }
        let lower = name.to_ascii_lowercase();
        let d = &mut self.dictionary;
        let mut values = Values::default();
        // A name found may be an alias: then this definition is a new attribute.
        let found = d
            .by_name
            .get(&lower)
            .and_then(|at| Some((*at, d.attributes.get(*at)?)));
        let at = match found.filter(|(_, known)| known.name.eq_ignore_ascii_case(name)) {
            Some((at, known)) => {
                if known.path != path {
                    if self.own_names.contains(&lower) {
                        let reason = format!(
                            "attribute {name} is defined as {} and as {}",
                            dotted(&known.path),
                            dotted(&path)
                        );
                        return self.error(reason);
                    }
                    if d.by_path.get(&known.path) == Some(&at) {
                        let old = known.path.clone();
                        d.by_path.remove(&old);
                    }
                } else {
                    values = known.values.clone();
                }
                at
            }
            None => d.attributes.len(),
        };
        let attribute = Attribute {
            name: name.to_owned(),
            path: path.clone(),
            data_type,
            flags,
            carrier,
            inner,
            values,
            nameless: false,
        };
        match d.attributes.get_mut(at) {
            Some(slot) => *slot = attribute,
            None => {
                if at >= MAX_ATTRIBUTES {
                    return self.error(format!("more than {MAX_ATTRIBUTES} attributes"));
                }
                d.attributes.push(attribute);
            }
        }
        d.by_name.insert(lower.clone(), at);
        d.by_path.insert(path, at);
        self.own_names.insert(lower);
        Ok(())
    }
}

/// A path as people write it.
pub fn dotted(path: &[u32]) -> String {
    let numbers: Vec<String> = path.iter().map(u32::to_string).collect();
    numbers.join(".")
}

/// Takes `.` and `x/..` out of a path, so that one file has one name.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
