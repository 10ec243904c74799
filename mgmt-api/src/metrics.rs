//! Metrics in the text format of Prometheus, version 0.0.4.
//!
//! Written by hand: everything told is made from one snapshot when somebody asks, and a client library's registry wants
//! to own counters that are counted elsewhere, on threads that must not wait for anybody.
//!
//! Names, help and label names are the program's own words; label values are escaped, because a NAS is named by people.

use std::fmt::Write;

/// What a scraper is told that this is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It grows until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Numbers of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Family {
    /// One without numbers yet. A counter's name ends in `_total`, a name says its unit.
    pub fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    /// One more number under a set of labels that was not given before.
    pub fn put(&mut self, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.samples.push((labels, value));
    }

    /// The same, given back: for a family of one number.
    #[must_use]
    pub fn with(mut self, value: f64) -> Self {
        self.put(&[], value);
        self
    }
}

/// The text of all families; those without numbers are left out.
pub fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing into a String cannot fail.
        let _ = writeln!(text, "# HELP {} {help}", family.name);
        let _ = writeln!(text, "# TYPE {} {kind}", family.name);
        for (labels, value) in &family.samples {
            text.push_str(family.name);
            for (index, (name, value)) in labels.iter().enumerate() {
                let before = if index == 0 { '{' } else { ',' };
                let _ = write!(text, "{before}{name}=\"{}\"", escaped(value));
            }
            if !labels.is_empty() {
                text.push('}');
            }
            let _ = writeln!(text, " {value}");
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_the_format_demands() {
        let mut by_word = Family::new(Kind::Counter, "g_answers_total", "Answers.");
        by_word.put(&[("kind", "accept"), ("nas", "a\"b\\c\nd")], 7.0);
        by_word.put(&[("kind", "reject"), ("nas", "")], 0.5);
        let families = [
            by_word,
            Family::new(Kind::Gauge, "g_empty", "Nothing."),
            Family::new(Kind::Gauge, "g_up", "A\\b\nc.").with(1.0),
        ];
        assert_eq!(
            text(&families),
            "# HELP g_answers_total Answers.\n\
             # TYPE g_answers_total counter\n\
             g_answers_total{kind=\"accept\",nas=\"a\\\"b\\\\c\\nd\"} 7\n\
             g_answers_total{kind=\"reject\",nas=\"\"} 0.5\n\
             # HELP g_up A\\\\b\\nc.\n\
             # TYPE g_up gauge\n\
             g_up 1\n"
        );
    }
}
