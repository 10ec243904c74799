//! One line of a dictionary file, as a statement.
//!
//! This is the grammar and nothing else: what a statement means in its place (inside
//! a vendor, inside a TLV) is decided by `compile.rs`. Shared with `build.rs`.

use super::types::{DataType, Encryption, Flags, VendorFormat};

/// Longest line accepted, in octets. Files in the wild stay under 256.
pub const MAX_LINE_OCTETS: usize = 1_024;
/// Longest attribute, value or vendor name, in octets.
pub const MAX_NAME_OCTETS: usize = 128;
/// Most numbers in a dotted attribute number: vendor blocks and TLV nesting need less.
pub const MAX_OID_NUMBERS: usize = 8;

/// What a line says. Borrowed from the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Statement<'a> {
    /// Read another file here; a missing `optional` file is no error.
    Include { path: &'a str, optional: bool },
    /// A vendor and its private enterprise number.
    Vendor {
        name: &'a str,
        number: u32,
        format: Option<VendorFormat>,
    },
    /// Following attributes belong to the vendor, inside `parent` if given.
    BeginVendor {
        name: &'a str,
        parent: Option<&'a str>,
    },
    /// Closes the vendor block.
    EndVendor { name: &'a str },
    /// Following attributes are children of this one.
    BeginTlv { name: &'a str },
    /// Closes the TLV block.
    EndTlv { name: &'a str },
    /// An attribute. `vendor` is the old style of naming the vendor in the flags;
    /// `relative` numbers (newer grammar, leading dot) belong to the last TLV.
    Attribute {
        name: &'a str,
        numbers: Vec<u32>,
        relative: bool,
        data_type: DataType,
        flags: Flags,
        vendor: Option<&'a str>,
    },
    /// A named value of an attribute.
    Value {
        attribute: &'a str,
        name: &'a str,
        number: u64,
    },
    /// `attribute` shares the named values of `source`.
    ValueAlias { attribute: &'a str, source: &'a str },
    /// A second name of an attribute.
    Alias { name: &'a str, target: &'a str },
    /// A keyword of another grammar; to be skipped with a warning.
    Unknown { keyword: &'a str },
}

/// Reads one line. `Ok(None)` is an empty line or a comment; the error is the reason,
/// without file and line number.
pub fn parse_line(line: &str) -> Result<Option<Statement<'_>>, String> {
    if line.len() > MAX_LINE_OCTETS {
        return Err(format!(
            "line has {} octets, more than {MAX_LINE_OCTETS}",
            line.len()
        ));
    }
    let text = line.split('#').next().unwrap_or("");
    let tokens: Vec<&str> = text.split_ascii_whitespace().collect();
    let Some((&keyword, rest)) = tokens.split_first() else {
        return Ok(None);
    };
    let statement = match keyword.to_ascii_uppercase().as_str() {
        "$INCLUDE" => Statement::Include {
            path: one(keyword, rest)?,
            optional: false,
        },
        "$INCLUDE-" | "$-INCLUDE" => Statement::Include {
            path: one(keyword, rest)?,
            optional: true,
        },
        "VENDOR" => vendor(rest)?,
        "BEGIN-VENDOR" => begin_vendor(rest)?,
        "END-VENDOR" => Statement::EndVendor {
            name: one(keyword, rest)?,
        },
        "BEGIN-TLV" => Statement::BeginTlv {
            name: one(keyword, rest)?,
        },
        "END-TLV" => Statement::EndTlv {
            name: one(keyword, rest)?,
        },
        // The newer grammar's words for the same blocks; BEGIN PROTOCOL is not one.
        "BEGIN" if rest.len() == 1 => Statement::BeginTlv {
            name: one(keyword, rest)?,
        },
        "END" if rest.len() == 1 => Statement::EndTlv {
            name: one(keyword, rest)?,
        },
        "ATTRIBUTE" => attribute(rest)?,
        "VALUE" => value(rest)?,
        "VALUE-ALIAS" => {
            let [attribute, source] = rest else {
                return Err(
                    "VALUE-ALIAS needs an attribute and the attribute whose values it shares"
                        .into(),
                );
            };
            Statement::ValueAlias { attribute, source }
        }
        "ALIAS" => {
            let [name, target] = rest else {
                return Err("ALIAS needs a name and the attribute it stands for".into());
            };
            check_name(name)?;
            Statement::Alias { name, target }
        }
        _ => Statement::Unknown { keyword },
    };
    Ok(Some(statement))
}

fn one<'a>(keyword: &str, rest: &[&'a str]) -> Result<&'a str, String> {
    match rest {
        [only] => Ok(only),
        [] => Err(format!("{keyword} needs a name")),
        [_, extra, ..] => Err(format!("unexpected \"{extra}\" after {keyword}")),
    }
}

fn vendor<'a>(rest: &[&'a str]) -> Result<Statement<'a>, String> {
    let (name, number, format) = match rest {
        [name, number] => (*name, *number, None),
        [name, number, format] => {
            let word = format.strip_prefix("format=").ok_or_else(|| {
                format!("expected format=T,L after the vendor number, found \"{format}\"")
            })?;
            let format = VendorFormat::from_word(word)
                .ok_or_else(|| format!("vendor format \"{word}\" is none of T,L or 1,1,c with T 1, 2 or 4 and L 0, 1 or 2"))?;
            (*name, *number, Some(format))
        }
        _ => return Err("VENDOR needs a name, a number and perhaps format=T,L".into()),
    };
    check_name(name)?;
    let number = small_number(number)?;
    if number == 0 || number > 0x00ff_ffff {
        return Err(format!(
            "vendor number {number} is not within 1 to 16777215"
        ));
    }
    Ok(Statement::Vendor {
        name,
        number,
        format,
    })
}

fn begin_vendor<'a>(rest: &[&'a str]) -> Result<Statement<'a>, String> {
    match rest {
        [name] => Ok(Statement::BeginVendor { name, parent: None }),
        [name, option] => {
            let parent = option
                .strip_prefix("format=")
                .or_else(|| option.strip_prefix("parent="))
                .ok_or_else(|| {
                    format!(
                        "expected format= or parent= after BEGIN-VENDOR {name}, found \"{option}\""
                    )
                })?;
            Ok(Statement::BeginVendor {
                name,
                parent: Some(parent),
            })
        }
        _ => Err("BEGIN-VENDOR needs the name of a vendor".into()),
    }
}

fn attribute<'a>(rest: &[&'a str]) -> Result<Statement<'a>, String> {
    let [name, oid, word, flag_words @ ..] = rest else {
        return Err("ATTRIBUTE needs a name, a number and a type".into());
    };
    check_name(name)?;
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|p| p.eq_ignore_ascii_case(prefix))
    };
    if starts("Attr-") || (starts("Vendor-") && name.to_ascii_lowercase().contains("-attr-")) {
        return Err(format!(
            "the name \"{name}\" is reserved for attributes without a name"
        ));
    }
    let (oid, relative) = match oid.strip_prefix('.') {
        Some(rest) => (rest, true),
        None => (*oid, false),
    };
    let numbers = oid
        .split('.')
        .map(small_number)
        .collect::<Result<Vec<u32>, String>>()?;
    if numbers.len() > MAX_OID_NUMBERS {
        return Err(format!(
            "attribute number {oid} is nested deeper than {MAX_OID_NUMBERS}"
        ));
    }
    let mut data_type = DataType::from_word(word).ok_or_else(|| unknown_type(word))?;
    let mut flags = Flags::default();
    let mut vendor = None;
    // Some files put spaces after the commas, or flags apart: both are taken.
    let words: Vec<&str> = flag_words
        .iter()
        .flat_map(|token| token.split(','))
        .filter(|w| !w.is_empty())
        .collect();
    for flag in &words {
        if !read_flag(flag, &mut flags, &mut data_type)? {
            if words.len() == 1 {
                vendor = Some(*flag);
            } else {
                return Err(format!("unknown flag \"{flag}\""));
            }
        }
    }
    check_flags(&flags, data_type)?;
    Ok(Statement::Attribute {
        name,
        numbers,
        relative,
        data_type,
        flags,
        vendor,
    })
}

/// Applies one flag; `false` when the word is no flag.
fn read_flag(flag: &str, flags: &mut Flags, data_type: &mut DataType) -> Result<bool, String> {
    let lower = flag.to_ascii_lowercase();
    let (word, argument) = match lower.split_once('=') {
        Some((word, argument)) => (word, Some(argument)),
        None => (lower.as_str(), None),
    };
    match (word, argument) {
        ("has_tag", None | Some("1")) => flags.tagged = true,
        ("encrypt", Some(method)) => {
            flags.encryption = match method {
                "1" | "user-password" => Encryption::Password,
                "2" | "tunnel-password" => Encryption::Salted,
                "3" | "ascend-secret" => Encryption::Ascend,
                _ => return Err(format!("encrypt={method} is none of 1, 2, 3")),
            }
        }
        ("secret", None) => flags.secret = true,
        ("array", None) => flags.array = true,
        ("concat", None) => flags.concat = true,
        ("virtual" | "internal", None) => flags.internal = true,
        ("extended", None) => *data_type = DataType::Extended,
        ("long_extended", None) => *data_type = DataType::LongExtended,
        ("abinary", None) => *data_type = DataType::Abinary,
        // Of the newer grammar; they change how values look, not how they are carried.
        ("counter" | "key", None)
        | ("ref" | "clone" | "enum" | "precision" | "length" | "subtype", Some(_)) => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn check_flags(flags: &Flags, data_type: DataType) -> Result<(), String> {
    use DataType as T;
    let octets = matches!(data_type, T::Octets | T::FixedOctets(_));
    if flags.tagged && !matches!(data_type, T::Text | T::Integer) {
        return Err("has_tag is for string and integer only".into());
    }
    if flags.encryption == Encryption::Ascend && data_type != T::Text {
        return Err("encrypt=3 is for string only".into());
    }
    if flags.encryption != Encryption::None && data_type.is_container() {
        return Err("encrypt is not for types that hold other attributes".into());
    }
    if flags.secret && !(octets || data_type == T::Text) {
        return Err("secret is for string and octets only".into());
    }
    if flags.concat && !octets {
        return Err("concat is for octets only".into());
    }
    if flags.array
        && !matches!(
            data_type,
            T::Ipv4 | T::Ipv6 | T::Byte | T::Short | T::Integer | T::Date | T::Text
        )
    {
        return Err(
            "array is for ipaddr, ipv6addr, byte, short, integer, date and string only".into(),
        );
    }
    Ok(())
}

fn value<'a>(rest: &[&'a str]) -> Result<Statement<'a>, String> {
    let [attribute, name, number] = rest else {
        return Err("VALUE needs an attribute, a name and a number".into());
    };
    if name.len() > MAX_NAME_OCTETS {
        return Err(format!(
            "name of {} octets, more than {MAX_NAME_OCTETS}",
            name.len()
        ));
    }
    Ok(Statement::Value {
        attribute,
        name,
        number: big_number(number)?,
    })
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > MAX_NAME_OCTETS {
        return Err(format!(
            "name of {} octets, more than {MAX_NAME_OCTETS}",
            name.len()
        ));
    }
    let odd = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "-_/.".contains(*c)));
    match odd {
        Some(odd) => Err(format!(
            "the name \"{name}\" has the character {odd:?}; letters, digits and -_/. are allowed"
        )),
        None => Ok(()),
    }
}

fn small_number(word: &str) -> Result<u32, String> {
    u32::try_from(big_number(word)?).map_err(|_| format!("number {word} does not fit 32 bits"))
}

fn big_number(word: &str) -> Result<u64, String> {
    let hex = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let (digits, radix) = match hex {
        Some(hex) => (hex, 16),
        None => (word, 10),
    };
    // from_str_radix takes a sign, a dictionary does not.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(format!("\"{word}\" is no number"));
    }
    u64::from_str_radix(digits, radix).map_err(|_| format!("number {word} does not fit 64 bits"))
}

fn unknown_type(word: &str) -> String {
    const WORDS: [&str; 22] = [
        "string",
        "octets",
        "ipaddr",
        "ipv6addr",
        "ipv6prefix",
        "ipv4prefix",
        "ifid",
        "ether",
        "date",
        "integer",
        "byte",
        "short",
        "signed",
        "integer64",
        "bool",
        "abinary",
        "combo-ip",
        "tlv",
        "extended",
        "long-extended",
        "evs",
        "vsa",
    ];
    match super::table::nearest(word, WORDS.into_iter()) {
        Some(near) => format!("unknown type \"{word}\"; did you mean \"{near}\"?"),
        None => format!("unknown type \"{word}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_by_the_grammar() {
        let check = |line: &str, expect: Statement<'_>| {
            assert_eq!(parse_line(line), Ok(Some(expect)), "{line}");
        };
        check(
            "$include dictionary.x # why",
            Statement::Include {
                path: "dictionary.x",
                optional: false,
            },
        );
        check(
            "$INCLUDE- a",
            Statement::Include {
                path: "a",
                optional: true,
            },
        );
        check(
            "VENDOR Lucent 4846 format=2,1",
            Statement::Vendor {
                name: "Lucent",
                number: 4846,
                format: VendorFormat::from_word("2,1"),
            },
        );
        check(
            "begin-vendor X parent=Y",
            Statement::BeginVendor {
                name: "X",
                parent: Some("Y"),
            },
        );
        check(
            "ATTRIBUTE A-B 0x1.2 octets[3]",
            Statement::Attribute {
                name: "A-B",
                numbers: vec![1, 2],
                relative: false,
                data_type: DataType::FixedOctets(3),
                flags: Flags::default(),
                vendor: None,
            },
        );
        check(
            "ATTRIBUTE T 69 string has_tag, encrypt=Tunnel-Password",
            Statement::Attribute {
                name: "T",
                numbers: vec![69],
                relative: false,
                data_type: DataType::Text,
                flags: Flags {
                    tagged: true,
                    encryption: Encryption::Salted,
                    ..Flags::default()
                },
                vendor: None,
            },
        );
        check(
            "ATTRIBUTE Old 1 string Cisco",
            Statement::Attribute {
                name: "Old",
                numbers: vec![1],
                relative: false,
                data_type: DataType::Text,
                flags: Flags::default(),
                vendor: Some("Cisco"),
            },
        );
        check(
            "VALUE A T1,E1 0x10",
            Statement::Value {
                attribute: "A",
                name: "T1,E1",
                number: 16,
            },
        );
        check(
            "ALIAS A B.C",
            Statement::Alias {
                name: "A",
                target: "B.C",
            },
        );
        check("BEGIN A", Statement::BeginTlv { name: "A" });
        check(
            "BEGIN PROTOCOL RADIUS 1",
            Statement::Unknown { keyword: "BEGIN" },
        );
        check("MEMBER x uint8", Statement::Unknown { keyword: "MEMBER" });
        assert_eq!(parse_line("  \t# only a comment"), Ok(None));
    }

    #[test]
    fn every_fault_has_its_reason() {
        let check = |line: &str, part: &str| {
            let reason = parse_line(line).expect_err(line);
            assert!(reason.contains(part), "{line}: {reason}");
        };
        check("ATTRIBUTE A 1", "needs a name, a number and a type");
        check("ATTRIBUTE A 1 strng", "did you mean \"string\"");
        check("ATTRIBUTE Attr-9 9 string", "reserved");
        check("ATTRIBUTE Vendor-9-Attr-1 9 string", "reserved");
        check("ATTRIBUTE A +1 string", "is no number");
        check("ATTRIBUTE A 4294967296 string", "does not fit 32 bits");
        check("ATTRIBUTE A 1.1.1.1.1.1.1.1.1 string", "nested deeper");
        check("ATTRIBUTE A 1 ipaddr has_tag", "has_tag is for");
        check("ATTRIBUTE A 1 octets encrypt=3", "encrypt=3 is for string");
        check("ATTRIBUTE A 1 string encrypt=4", "none of 1, 2, 3");
        check("ATTRIBUTE A 1 string concat", "concat is for octets");
        check("ATTRIBUTE A 1 tlv array", "array is for");
        check("ATTRIBUTE A 1 ipaddr secret", "secret is for");
        check("ATTRIBUTE A 1 tlv encrypt=2", "hold other attributes");
        check("ATTRIBUTE A 1 string has_tag,nonsense", "unknown flag");
        check("ATTRIBUTE \u{e9} 1 string", "has the character");
        check("VENDOR X 0", "not within");
        check("VENDOR X 9 1,1", "expected format=");
        check("VENDOR X 9 format=3,1", "vendor format");
        check("VALUE A B -1", "is no number");
        check("$INCLUDE a b", "unexpected \"b\"");
        check(&"x".repeat(MAX_LINE_OCTETS + 1), "more than 1024");
    }
}
