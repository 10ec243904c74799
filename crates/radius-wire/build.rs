//! Writes two files from the dictionaries of the repository: the typed constants of
//! `attrs` and the list of embedded dictionary texts.
//!
//! The dictionaries are read by the library's own parser, so a file that the library
//! would refuse stops the build, with its place and reason.

// The library's parser has parts that only the library uses.
#[allow(dead_code)]
#[path = "src/dictionary/compile.rs"]
mod compile;
#[path = "src/dictionary/finish.rs"]
mod finish;
#[path = "src/dictionary/locate.rs"]
mod locate;
#[allow(dead_code)]
#[path = "src/dictionary/statement.rs"]
mod statement;
#[allow(dead_code)]
#[path = "src/dictionary/table.rs"]
mod table;
#[allow(dead_code)]
#[path = "src/dictionary/types.rs"]
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use table::{Attribute, Carrier, Dictionary};
use types::{DataType, Encryption};

const FOLDER: &str = "../../dictionaries";
const ROOT: &str = "dictionary";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(FOLDER);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The folder itself too: a new file may be the one that an optional include wants.
    println!("cargo::rerun-if-changed={}", folder.display());
    let roots = roots(&folder)?;
    let read = &mut |path: &Path| fs::read_to_string(folder.join(path));
    let dictionary = compile::compile(None, &roots, read)?;
    for warning in dictionary.warnings() {
        println!(
            "cargo::warning={}:{}: {}",
            warning.file, warning.line, warning.text
        );
    }
    for file in dictionary.files() {
        println!("cargo::rerun-if-changed={}", folder.join(file).display());
    }
    fs::write(
        out.join("embedded.rs"),
        embedded(&folder, &roots, &dictionary)?,
    )?;
    fs::write(out.join("attrs.rs"), constants(&dictionary)?)?;
    Ok(())
}

/// The root file; without one, every file in the order of names.
fn roots(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if folder.join(ROOT).is_file() {
        return Ok(vec![PathBuf::from(ROOT)]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.to_string_lossy().starts_with("dictionary") {
            files.push(PathBuf::from(name));
        }
    }
    files.sort();
    Ok(files)
}

fn embedded(
    folder: &Path,
    roots: &[PathBuf],
    dictionary: &Dictionary,
) -> Result<String, Box<dyn Error>> {
    let mut text = String::from("static EMBEDDED_ROOTS: &[&str] = &[\n");
    for root in roots {
        writeln!(text, "    {:?},", root.to_string_lossy())?;
    }
    text.push_str("];\nstatic EMBEDDED: &[(&str, &str)] = &[\n");
    for file in dictionary.files() {
        let whole = folder.join(file).canonicalize()?;
        writeln!(
            text,
            "    ({:?}, include_str!({:?})),",
            file.to_string_lossy(),
            whole.to_string_lossy()
        )?;
    }
    text.push_str("];\n");
    Ok(text)
}

/// Constants of one module: of the standard attributes, or of one vendor.
#[derive(Default)]
struct Module {
    doc: String,
    constants: String,
    taken: BTreeSet<String>,
    values: BTreeMap<String, String>,
}

fn constants(dictionary: &Dictionary) -> Result<String, Box<dyn Error>> {
    let mut standard = Module::default();
    let mut vendors: BTreeMap<u32, Module> = BTreeMap::new();
    for attribute in dictionary.attributes() {
        // Nested and extended attributes have more than one number: they are reached
        // through the dictionary.
        let (vendor, module) = match attribute.carrier() {
            Carrier::Standard { .. } => ("", &mut standard),
            Carrier::Vendor { vendor, .. } => {
                let vendor = dictionary
                    .vendor_of_number(vendor)
                    .ok_or("attribute without its vendor")?;
                let module = vendors.entry(vendor.number).or_default();
                module.doc = format!("Attributes of {} (vendor {}).", vendor.name, vendor.number);
                (vendor.name.as_str(), module)
            }
            _ => continue,
        };
        if attribute.inner().is_empty() {
            constant(attribute, vendor, module)?;
        }
    }
    let mut text = standard.constants;
    let mut names = BTreeSet::new();
    for (name, body) in standard.values {
        write!(text, "{body}")?;
        names.insert(name);
    }
    for (number, module) in vendors {
        let vendor = dictionary
            .vendor_of_number(number)
            .ok_or("module without its vendor")?;
        let mut name = lower_snake(&vendor.name);
        if !names.insert(name.clone()) {
            name = format!("{name}_vendor");
            if !names.insert(name.clone()) {
                return Err(format!("two modules named {name}").into());
            }
        }
        writeln!(text, "/// {}\npub mod {name} {{", module.doc)?;
        writeln!(
            text,
            "    #[allow(unused_imports)]\n    use crate::attr::{{self, Attr, Hide}};"
        )?;
        write!(text, "{}", module.constants)?;
        for body in module.values.values() {
            write!(text, "{body}")?;
        }
        writeln!(text, "}}")?;
    }
    Ok(format!("use crate::attr::{{self, Attr, Hide}};\n{text}"))
}

fn constant(
    attribute: &Attribute,
    vendor: &str,
    module: &mut Module,
) -> Result<(), Box<dyn Error>> {
    let short = without_vendor(attribute.name(), vendor);
    let mut name = upper_snake(short);
    if !module.taken.insert(name.clone()) {
        // Two names that differ in punctuation or in the vendor's prefix.
        name = upper_snake(attribute.name());
        if !module.taken.insert(name.clone()) {
            return Err(format!("two constants named {name} for {}", attribute.name()).into());
        }
    }
    let kind = match attribute.data_type() {
        DataType::Text => "Text",
        DataType::Ipv4 => "Ipv4",
        DataType::Ipv6 => "Ipv6",
        DataType::Ipv6Prefix => "Ipv6Prefix",
        DataType::Ipv4Prefix => "Ipv4Prefix",
        DataType::ComboIp => "ComboIp",
        DataType::InterfaceId => "InterfaceId",
        DataType::Ether => "Ether",
        DataType::Date => "Date",
        DataType::Integer => "Integer",
        DataType::Byte | DataType::Bool => "Byte",
        DataType::Short => "Short",
        DataType::Signed => "Signed",
        DataType::Integer64 => "Integer64",
        _ => "Octets",
    };
    let tag = if attribute.flags().tagged {
        ".with_tag()"
    } else {
        ""
    };
    let hide = match attribute.flags().encryption {
        Encryption::None => "",
        Encryption::Password => ".with_hide(Hide::Password)",
        Encryption::Salted => ".with_hide(Hide::Salted)",
        Encryption::Ascend => ".with_hide(Hide::Ascend)",
    };
    let number = attribute.number();
    writeln!(
        module.constants,
        "/// {} ({number}).\npub const {name}: Attr<attr::{kind}> =\n    Attr::new({:?}, {}, {number}){tag}{hide};",
        attribute.name(),
        attribute.name(),
        attribute.vendor(),
    )?;
    if !attribute.values().is_empty() {
        let wide = attribute.data_type() == DataType::Integer64;
        let mut body = format!(
            "/// Named values of {}.\npub mod {} {{\n",
            attribute.name(),
            name.to_ascii_lowercase()
        );
        let mut taken = BTreeSet::new();
        for (value, number) in attribute.values().iter() {
            let mut constant = upper_snake(value);
            if !taken.insert(constant.clone()) {
                constant = format!("{constant}_{number}");
                if !taken.insert(constant.clone()) {
                    continue; // the same number under a name that differs in punctuation
                }
            }
            let width = if wide { "u64" } else { "u32" };
            writeln!(
                body,
                "    /// {value}.\n    pub const {constant}: {width} = {number};"
            )?;
        }
        body.push_str("}\n");
        module.values.insert(name.to_ascii_lowercase(), body);
    }
    Ok(())
}

/// The attribute's name without its vendor's, unless nothing would be left.
fn without_vendor<'a>(name: &'a str, vendor: &str) -> &'a str {
    if vendor.is_empty() {
        return name;
    }
    match (name.get(..vendor.len()), name.get(vendor.len()..)) {
        (Some(prefix), Some(rest)) if prefix.eq_ignore_ascii_case(vendor) => rest
            .strip_prefix(['-', '_'])
            .filter(|rest| !rest.is_empty())
            .unwrap_or(name),
        _ => name,
    }
}

fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_uppercase());
        } else if c == '+' {
            out.push_str("_PLUS");
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    // Rust names do not start with a digit.
    if !out.starts_with(|c: char| c.is_ascii_alphabetic()) {
        out.insert(0, 'N');
    }
    out
}

fn lower_snake(name: &str) -> String {
    upper_snake(name).to_ascii_lowercase()
}
