//! What a plan says: fields of one meaning for every vendor, checked when they are saved.

use crate::limit::{Limit, MAX_LIMITS};
use crate::rule::hours::LoginHours;
use serde::{Deserialize, Serialize};

/// Longest name of a role, a filter, an ACL: one attribute holds it, with a vendor's word before it.
const MAX_WORD_OCTETS: usize = 200;
/// Longest address to send somebody to.
const MAX_URL_OCTETS: usize = 230;
/// Slowest and fastest rate, in bit/s.
const RATES: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000_000;
/// Shortest interval of reports: RFC 2869 §5.16 forbids less.
const MIN_INTERIM_SECONDS: u32 = 60;
/// Longest time of anything: a year.
const MAX_SECONDS: u32 = 366 * 86_400;
/// Sessions or devices at once.
const MAX_AT_ONCE: u32 = 10_000;

/// The terms of a plan. A field that is not set says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Bits a second from the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_up: Option<u64>,
    /// Bits a second to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_down: Option<u64>,
    /// Bits a second from the client for a short time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_up: Option<u64>,
    /// Bits a second to the client for a short time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_down: Option<u64>,
    /// For how many seconds a burst may last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_seconds: Option<u32>,
    /// How much may be used; the least that is left wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// Open sessions at once; the device that asks does not count itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// Devices online at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u32>,
    /// VLAN, 1 to 4094.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The role or the group that the NAS puts the client into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A filter that the NAS knows (Filter-Id).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Where the client's browser is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// Which traffic is redirected: an ACL that the NAS knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_acl: Option<String>,
    /// Seconds without traffic after which a session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u32>,
    /// Longest session, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_seconds: Option<u32>,
    /// Seconds between two reports of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interim_seconds: Option<u32>,
    /// Hours of the week, as in Login-Time: `Wk0800-1800,Sa1000-1400`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
}

impl Terms {
    /// Refuses what no NAS could be told.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        let rates = [
            ("rate up", self.rate_up),
            ("rate down", self.rate_down),
            ("burst up", self.burst_up),
            ("burst down", self.burst_down),
        ];
        for (field, rate) in rates {
            if rate.is_some_and(|rate| !RATES.contains(&rate)) {
                return Err(format!("{field}: a rate is 1 kbit/s to 1 Tbit/s"));
            }
        }
        for (field, burst, rate) in [
            ("burst up", self.burst_up, self.rate_up),
            ("burst down", self.burst_down, self.rate_down),
        ] {
            if burst.is_some_and(|burst| rate.is_none_or(|rate| burst < rate)) {
                return Err(format!(
                    "{field}: a burst is faster than the rate, which must be set too"
                ));
            }
        }
        if self.limits.len() > MAX_LIMITS {
            return Err(format!("limits: a plan has at most {MAX_LIMITS}"));
        }
        for (field, count) in [("sessions", self.sessions), ("devices", self.devices)] {
            if count.is_some_and(|count| !(1..=MAX_AT_ONCE).contains(&count)) {
                return Err(format!("{field}: 1 to {MAX_AT_ONCE}"));
            }
        }
        if self.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)) {
            return Err("vlan: 1 to 4094".into());
        }
        let seconds = [
            ("burst seconds", self.burst_seconds, 1),
            ("idle timeout", self.idle_seconds, 1),
            ("session timeout", self.session_seconds, 1),
            (
                "interim interval",
                self.interim_seconds,
                MIN_INTERIM_SECONDS,
            ),
        ];
        for (field, value, least) in seconds {
            if value.is_some_and(|value| !(least..=MAX_SECONDS).contains(&value)) {
                return Err(format!("{field}: {least} to {MAX_SECONDS} seconds"));
            }
        }
        let words = [
            ("role", &self.role, MAX_WORD_OCTETS),
            ("filter", &self.filter, MAX_WORD_OCTETS),
            ("redirect URL", &self.redirect_url, MAX_URL_OCTETS),
            ("redirect ACL", &self.redirect_acl, MAX_WORD_OCTETS),
        ];
        for (field, word, most) in words {
            let Some(word) = word else { continue };
            if word.is_empty() || word.len() > most {
                return Err(format!("{field}: 1 to {most} octets"));
            }
            if word.chars().any(char::is_control) {
                return Err(format!("{field}: it has control characters"));
            }
        }
        if let Some(url) = &self.redirect_url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err("redirect URL: it begins with https:// or http://".into());
        }
        if self.redirect_acl.is_some() && self.redirect_url.is_none() {
            return Err("redirect ACL: it goes with a redirect URL".into());
        }
        if let Some(hours) = &self.hours {
            LoginHours::parse(hours).map_err(|reason| format!("hours: {reason}"))?;
        }
        Ok(())
    }

    /// Each field that is set, for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), rate_text);
        if self.rate_up.is_some() || self.rate_down.is_some() {
            let (up, down) = (rate(self.rate_up), rate(self.rate_down));
            lines.push(format!("rate       {up} up, {down} down"));
        }
        if self.burst_up.is_some() || self.burst_down.is_some() {
            let (up, down) = (rate(self.burst_up), rate(self.burst_down));
            let seconds = self
                .burst_seconds
                .map(|seconds| format!(" for {seconds} s"))
                .unwrap_or_default();
            lines.push(format!("burst      {up} up, {down} down{seconds}"));
        }
        for limit in &self.limits {
            lines.push(format!("limit      {limit}"));
        }
        let mut say = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("{name:<11}{value}")));
        };
        let seconds = |value: Option<u32>| value.map(|value| format!("{value} s"));
        say("sessions", self.sessions.map(|count| count.to_string()));
        say("devices", self.devices.map(|count| count.to_string()));
        say("vlan", self.vlan.map(|vlan| vlan.to_string()));
        say("role", self.role.clone());
        say("filter", self.filter.clone());
        say("redirect", self.redirect_url.clone());
        say("acl", self.redirect_acl.clone());
        say("idle", seconds(self.idle_seconds));
        say("session", seconds(self.session_seconds));
        say("interim", seconds(self.interim_seconds));
        say("hours", self.hours.clone());
        lines
    }
}

/// A rate for people: `10 Mbit/s`.
fn rate_text(rate: u64) -> String {
    for (unit, size) in [
        ("Gbit/s", 1_000_000_000),
        ("Mbit/s", 1_000_000),
        ("kbit/s", 1_000),
    ] {
        if rate >= size && rate.is_multiple_of(size) {
            return format!("{} {unit}", rate / size);
        }
    }
    format!("{rate} bit/s")
}

/// Reads a rate: `512k`, `10M`, `1G`, `2.5 Mbit/s`, or bits a second.
///
/// # Errors
/// A sentence.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let refuse = || {
        format!(
            "rate '{}': write 512k, 10M, 1G, or bits a second",
            text.escape_debug()
        )
    };
    let bare = text.trim().to_ascii_lowercase();
    let bare = bare
        .strip_suffix("bit/s")
        .or_else(|| bare.strip_suffix("bps"))
        .unwrap_or(&bare)
        .trim_end();
    let (number, size) = match bare.chars().next_back() {
        Some('k') => (&bare[..bare.len() - 1], 1_000u64),
        Some('m') => (&bare[..bare.len() - 1], 1_000_000),
        Some('g') => (&bare[..bare.len() - 1], 1_000_000_000),
        _ => (bare, 1),
    };
    let number = number.trim_end();
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if whole.is_empty() || part.len() > 6 || !is_digits(whole) || !is_digits(part) {
        return Err(refuse());
    }
    let whole: u64 = whole.parse().map_err(|_| refuse())?;
    let mut rate = whole.checked_mul(size).ok_or_else(refuse)?;
    let mut place = size;
    for digit in part.bytes() {
        place /= 10;
        rate = rate
            .checked_add(place * u64::from(digit - b'0'))
            .ok_or_else(refuse)?;
    }
    match RATES.contains(&rate) {
        true => Ok(rate),
        false => Err(format!(
            "rate '{}': a rate is 1 kbit/s to 1 Tbit/s",
            text.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, expect) in [
            ("512k", Some(512_000)),
            ("10M", Some(10_000_000)),
            ("2.5 Mbit/s", Some(2_500_000)),
            ("1G", Some(1_000_000_000)),
            ("64000", Some(64_000)),
            ("999", None),
            ("2T", None),
            ("fast", None),
            ("1.2.3M", None),
            ("-5M", None),
            ("", None),
        ] {
            assert_eq!(parse_rate(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn what_no_nas_could_be_told_is_refused_by_name() {
        let check = |change: fn(&mut Terms), expect: &str| {
            let mut terms = Terms::default();
            change(&mut terms);
            let said = terms.check().expect_err(expect);
            assert!(said.starts_with(expect), "{said}");
        };
        check(|t| t.rate_up = Some(1), "rate up");
        check(|t| t.burst_up = Some(5_000), "burst up");
        check(|t| t.vlan = Some(4095), "vlan");
        check(|t| t.sessions = Some(0), "sessions");
        check(|t| t.interim_seconds = Some(30), "interim interval");
        check(|t| t.role = Some(String::new()), "role");
        check(
            |t| t.redirect_url = Some("javascript:alert(1)".into()),
            "redirect URL",
        );
        check(|t| t.redirect_acl = Some("walled".into()), "redirect ACL");
        check(|t| t.hours = Some("Xx0900-1000".into()), "hours");
        check(
            |t| t.limits = vec!["1 GB".parse().expect("a limit"); 17],
            "limits",
        );
        assert_eq!(Terms::default().check(), Ok(()));
    }

    #[test]
    fn terms_are_kept_as_they_are_and_an_unknown_field_is_refused() {
        let terms = Terms {
            rate_down: Some(10_000_000),
            limits: vec!["5 GB/month".parse().expect("a limit")],
            vlan: Some(7),
            ..Terms::default()
        };
        let text = serde_json::to_string(&terms).expect("JSON");
        assert_eq!(
            text,
            r#"{"rate_down":10000000,"limits":["5 GB/month"],"vlan":7}"#
        );
        assert_eq!(serde_json::from_str::<Terms>(&text).expect("terms"), terms);
        assert!(serde_json::from_str::<Terms>(r#"{"rate":1}"#).is_err());
    }
}
