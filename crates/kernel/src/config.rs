//! Configuration: each crate declares the section that it obeys, once, with [`config!`](crate::config); the reader,
//! the annotated defaults and the manual are made from that.
//!
//! The file holds only what a process needs to reach its database, sockets, keys and log. Everything else is rows.

use serde::{Serialize, de::DeserializeOwned};

/// A setting as it is declared.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// Its manual: the doc comment.
    pub doc: &'static str,
    /// Its default as TOML; `None` when it is unset by default.
    pub default: Option<String>,
}

/// A section of the file.
pub trait Section: Default {
    /// `[name]`.
    const NAME: &'static str;
    /// Its manual.
    const DOC: &'static str;
    /// Its settings, in order.
    fn fields() -> Vec<Field>;
    /// Takes one setting over from the file.
    ///
    /// # Errors
    /// What is wrong with the value.
    fn set(&mut self, name: &str, value: toml::Value) -> Result<(), String>;
}

/// One clear sentence about a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct ConfigError {
    /// The file, or the environment variable.
    pub file: String,
    /// From 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// A file, read but not yet understood.
pub struct Document {
    file: String,
    text: String,
    table: toml::Table,
    known: Vec<&'static str>,
}

impl Document {
    /// Reads TOML.
    ///
    /// # Errors
    /// Where the text is not TOML.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let table = text.parse::<toml::Table>().map_err(|e| ConfigError {
            file: file.to_owned(),
            line: e
                .span()
                .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1),
            reason: e.message().to_owned(),
        })?;
        Ok(Self {
            file: file.to_owned(),
            text: text.to_owned(),
            table,
            known: Vec::new(),
        })
    }

    /// The settings of one section: defaults, then the file, then the environment (`GATEWARDEN_SECTION_KEY`).
    ///
    /// # Errors
    /// An unknown key names the nearest right one; a wrong value says what was expected.
    pub fn section<S: Section>(
        &mut self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<S, ConfigError> {
        self.known.push(S::NAME);
        let mut section = S::default();
        let fields = S::fields();
        match self.table.get(S::NAME) {
            None => {}
            Some(toml::Value::Table(values)) => {
                for (key, value) in values {
                    if !fields.iter().any(|field| field.name == key) {
                        return Err(self.error(
                            S::NAME,
                            Some(key),
                            unknown("setting", key, fields.iter().map(|field| field.name)),
                        ));
                    }
                    section.set(key, value.clone()).map_err(|reason| {
                        self.error(S::NAME, Some(key), format!("{key}: {reason}"))
                    })?;
                }
            }
            Some(_) => {
                return Err(self.error(
                    S::NAME,
                    None,
                    format!("'{}' is a section; write [{}]", S::NAME, S::NAME),
                ));
            }
        }
        for field in &fields {
            let variable = format!("GATEWARDEN_{}_{}", S::NAME, field.name).to_uppercase();
            let Some(text) = environment(&variable) else {
                continue;
            };
            // A bare word is a string; everything else is read as TOML would read it.
            let value = format!("v = {text}")
                .parse::<toml::Table>()
                .ok()
                .and_then(|mut table| table.remove("v"))
                .unwrap_or(toml::Value::String(text));
            section
                .set(field.name, value)
                .map_err(|reason| ConfigError {
                    file: variable,
                    line: None,
                    reason,
                })?;
        }
        Ok(section)
    }

    /// Refuses sections that nobody asked for.
    ///
    /// # Errors
    /// Names the nearest right one.
    pub fn finish(self) -> Result<(), ConfigError> {
        match self
            .table
            .keys()
            .find(|key| !self.known.contains(&key.as_str()))
        {
            None => Ok(()),
            Some(key) => {
                let what = if self.table[key].is_table() {
                    "section"
                } else {
                    "setting outside a section,"
                };
                let reason = unknown(what, key, self.known.iter().copied());
                Err(self.error(key, (!self.table[key].is_table()).then_some(key), reason))
            }
        }
    }

    fn error(&self, section: &str, key: Option<&str>, reason: String) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            line: find_line(&self.text, section, key),
            reason,
        }
    }
}

fn find_line(text: &str, section: &str, key: Option<&str>) -> Option<usize> {
    let mut current = "";
    let mut at_section = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            current = name.trim();
            if current == section && at_section.is_none() {
                at_section = Some(index + 1);
            }
        }
        let left = line.split('=').next().unwrap_or_default().trim();
        if let Some(key) = key
            && left.trim_matches('"') == key
            && line.contains('=')
            && (current == section || section == key)
        {
            return Some(index + 1);
        }
    }
    at_section
}

/// "unknown setting 'x'; did you mean 'y'?", or the list of what there is when nothing is near.
pub fn unknown<'a>(what: &str, given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(given, known.iter().copied()) {
        Some(near) => format!("unknown {what} '{given}'; did you mean '{near}'?"),
        None => format!("unknown {what} '{given}'; there are: {}", known.join(", ")),
    }
}

/// The most similar of the known words, if one is similar enough.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = given.to_ascii_lowercase();
    known
        .map(|word| {
            (
                strsim::jaro_winkler(&folded, &word.to_ascii_lowercase()),
                word,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

/// The annotated defaults of one section.
pub fn annotate<S: Section>() -> String {
    let mut text = String::new();
    comment(&mut text, S::DOC);
    text.push_str(&format!("[{}]\n", S::NAME));
    for field in S::fields() {
        comment(&mut text, field.doc);
        match field.default {
            Some(value) => text.push_str(&format!("{} = {}\n", field.name, value)),
            None => text.push_str(&format!("# {} =\n", field.name)),
        }
    }
    text.push('\n');
    text
}

fn comment(text: &mut String, doc: &str) {
    for line in doc.lines() {
        text.push_str(format!("# {}", line.trim()).trim_end());
        text.push('\n');
    }
}

/// A default as TOML.
pub fn to_toml<T: Serialize>(value: &T) -> Option<String> {
    toml::Value::try_from(value).ok().map(|v| v.to_string())
}

/// A value from the file.
///
/// # Errors
/// What was expected.
pub fn from_toml<T: DeserializeOwned>(value: toml::Value) -> Result<T, String> {
    value
        .try_into()
        .map_err(|e: toml::de::Error| e.message().to_owned())
}

/// Declares a configuration section: a struct, its defaults and its manual in one place.
#[macro_export]
macro_rules! config {
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident in $section:literal {
            $($(#[doc = $field_doc:literal])+ $field:ident : $type:ty = $default:expr,)*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[doc = $field_doc])+ pub $field: $type,)*
        }
        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
        impl $crate::config::Section for $name {
            const NAME: &'static str = $section;
            const DOC: &'static str = concat!($($doc, "\n"),+);
            fn fields() -> ::std::vec::Vec<$crate::config::Field> {
                let defaults = Self::default();
                vec![$($crate::config::Field {
                    name: stringify!($field),
                    doc: concat!($($field_doc, "\n"),+),
                    default: $crate::config::to_toml(&defaults.$field),
                }),*]
            }
            fn set(&mut self, name: &str, value: $crate::config::TomlValue) -> ::std::result::Result<(), String> {
                match name {
                    $(stringify!($field) => self.$field = $crate::config::from_toml(value)?,)*
                    _ => return Err("unknown".to_owned()),
                }
                Ok(())
            }
        }
    };
}

pub use toml::Value as TomlValue;

#[cfg(test)]
mod tests {
    use super::*;

    crate::config! {
        /// Sockets.
        struct Sample in "radius" {
            /// Ports.
            auth_ports: Vec<u16> = vec![1812],
            /// A name.
            name: Option<String> = None,
        }
    }

    fn read(text: &str) -> Result<Sample, String> {
        let mut document = Document::parse("g.toml", text).map_err(|e| e.to_string())?;
        let sample = document.section(|_| None).map_err(|e| e.to_string())?;
        document.finish().map_err(|e| e.to_string())?;
        Ok(sample)
    }

    #[test]
    fn a_file_is_read_or_refused_with_place_and_reason() {
        let table = [
            ("", Ok(vec![1812])),
            ("[radius]\nauth_ports = [1645]", Ok(vec![1645])),
            (
                "[radius]\n\nauth_port = 1",
                Err("g.toml, line 3: unknown setting 'auth_port'; did you mean 'auth_ports'?"),
            ),
            (
                "[radios]\nx = 1",
                Err("g.toml, line 1: unknown section 'radios'; did you mean 'radius'?"),
            ),
            (
                "[radius]\nauth_ports = 'x'",
                Err("g.toml, line 2: auth_ports: invalid type: string \"x\", expected a sequence"),
            ),
        ];
        for (text, expect) in table {
            assert_eq!(
                read(text).map(|s| s.auth_ports),
                expect.map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn printed_defaults_are_a_file_that_is_read_back() {
        let text = annotate::<Sample>();
        assert!(text.contains("# Ports.\nauth_ports = [1812]"), "{text}");
        assert_eq!(read(&text), Ok(Sample::default()));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let read = Document::parse("g.toml", "[radius]\nname = 'a'").and_then(|mut document| {
            document.section::<Sample>(|name| {
                (name == "GATEWARDEN_RADIUS_NAME").then(|| "b".to_owned())
            })
        });
        assert_eq!(read.map(|s| s.name), Ok(Some("b".to_owned())));
    }
}
