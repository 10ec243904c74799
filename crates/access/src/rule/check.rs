//! Checks, compiled: comparisons with a request, and the controls that rows set.
//!
//! Pure. [`matches`] says whether the comparisons of one owner hold; [`Controls`] collects what its other rows set
//! (Simultaneous-Use, Expiration, Login-Time, …) for the decision to obey. Apply the rules of a person and then those
//! of the groups, as FreeRADIUS does, and a later `:=` wins; apply them the other way round, and the person's wins.

use super::hours::LoginHours;
use super::{Op, Row};
use crate::word::Refusal;
use kernel::Time;
use proof::mac::Mac;
use radius_wire::dictionary::{Attribute, Carrier, DataType};
use radius_wire::{Hide, Packet};
use regex::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Memory of one compiled regular expression: Unicode classes fit, an exploding repetition does not.
const MAX_PATTERN_OCTETS: usize = 512 * 1024;

/// Names of the controls that the decision obeys. Any other would silently do nothing, so it is refused.
pub mod control {
    /// Accept, Reject.
    pub const AUTH_TYPE: &str = "Auth-Type";
    /// Open sessions at the same time.
    pub const SIMULTANEOUS_USE: &str = "Simultaneous-Use";
    /// The moment at which access ends.
    pub const EXPIRATION: &str = "Expiration";
    /// Hours of the week.
    pub const LOGIN_TIME: &str = "Login-Time";
    /// Seconds online in a day.
    pub const MAX_DAILY_SESSION: &str = "Max-Daily-Session";
    /// Seconds online in a week.
    pub const MAX_WEEKLY_SESSION: &str = "Max-Weekly-Session";
    /// Seconds online in a month.
    pub const MAX_MONTHLY_SESSION: &str = "Max-Monthly-Session";
    /// Seconds online, ever.
    pub const MAX_ALL_SESSION: &str = "Max-All-Session";
    /// Octets in a day.
    pub const MAX_DAILY_TRAFFIC: &str = "Max-Daily-Session-Traffic";
    /// Octets in a week.
    pub const MAX_WEEKLY_TRAFFIC: &str = "Max-Weekly-Session-Traffic";
    /// Octets in a month.
    pub const MAX_MONTHLY_TRAFFIC: &str = "Max-Monthly-Session-Traffic";
    /// Octets, ever.
    pub const MAX_ALL_TRAFFIC: &str = "Max-All-Session-Traffic";
    /// Longest session in seconds; also an attribute of the reply.
    pub const SESSION_TIMEOUT: &str = "Session-Timeout";

    const KNOWN: [&str; 13] = [
        AUTH_TYPE,
        SIMULTANEOUS_USE,
        EXPIRATION,
        LOGIN_TIME,
        MAX_DAILY_SESSION,
        MAX_WEEKLY_SESSION,
        MAX_MONTHLY_SESSION,
        MAX_ALL_SESSION,
        MAX_DAILY_TRAFFIC,
        MAX_WEEKLY_TRAFFIC,
        MAX_MONTHLY_TRAFFIC,
        MAX_ALL_TRAFFIC,
        SESSION_TIMEOUT,
    ];

    /// Whether the decision obeys it.
    pub fn is_known(name: &str) -> bool {
        KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Attributes that no packet has, but that a [`Lookup`] answers as if: what the server knows about a request.
pub mod internal {
    /// The NAS's short name, else its name.
    pub const CLIENT_SHORTNAME: u32 = 1024;
    /// As [`CLIENT_SHORTNAME`]: a huntgroup is a name given to NASes.
    pub const HUNTGROUP_NAME: u32 = 1031;
    /// The user name without its realm.
    pub const STRIPPED_USER_NAME: u32 = 1043;
    /// The realm of the user name.
    pub const REALM: u32 = 1045;
    /// The source address, IPv4.
    pub const CLIENT_IP_ADDRESS: u32 = 1052;
    /// The source address, IPv4.
    pub const PACKET_SRC_IP_ADDRESS: u32 = 1084;
    /// The source address, IPv6.
    pub const PACKET_SRC_IPV6_ADDRESS: u32 = 1097;
    /// The realm of the user name, under its other name.
    pub const STRIPPED_USER_DOMAIN: u32 = 1138;
    /// The SSID, whichever attribute it came in.
    pub const CALLED_STATION_SSID: u32 = 1139;

    pub(super) const KNOWN: [(&str, u32); 9] = [
        ("Client-Shortname", CLIENT_SHORTNAME),
        ("Huntgroup-Name", HUNTGROUP_NAME),
        ("Stripped-User-Name", STRIPPED_USER_NAME),
        ("Realm", REALM),
        ("Client-IP-Address", CLIENT_IP_ADDRESS),
        ("Packet-Src-IP-Address", PACKET_SRC_IP_ADDRESS),
        ("Packet-Src-IPv6-Address", PACKET_SRC_IPV6_ADDRESS),
        ("Stripped-User-Domain", STRIPPED_USER_DOMAIN),
        ("Called-Station-SSID", CALLED_STATION_SSID),
    ];

    /// Whether a lookup answers it.
    pub fn is_known(name: &str) -> bool {
        number(name).is_some()
    }

    /// The number to look it up by, whatever number a loaded dictionary gives it.
    pub(super) fn number(name: &str) -> Option<u32> {
        KNOWN
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, number)| *number)
    }
}

/// What comparisons look at.
pub trait Lookup {
    /// Every value of an attribute, as on the wire; vendor 0 is none. The numbers in [`internal`] are asked for with
    /// vendor 0 too.
    fn values(&self, vendor: u32, number: u32) -> impl Iterator<Item = &[u8]>;
}

impl Lookup for Packet<'_> {
    fn values(&self, vendor: u32, number: u32) -> impl Iterator<Item = &[u8]> {
        Packet::values(*self, vendor, number)
    }
}

/// One check, compiled.
pub struct Check {
    shown: String,
    name: String,
    tag: Option<u8>,
    op: Op,
    /// Where a request has it.
    place: (u32, u32),
    kind: DataType,
    attribute: Option<Arc<Attribute>>,
    test: Test,
}

enum Test {
    /// Sets a control.
    Control {
        octets: Vec<u8>,
        text: String,
        hours: Option<LoginHours>,
    },
    Presence,
    Octets(Vec<u8>),
    Number(i128),
    /// A station's address, in any spelling, and what follows it.
    Station {
        mac: Mac,
        rest: Vec<u8>,
    },
    Pattern(Regex),
    /// Not understood: never matches.
    Broken,
}

impl Check {
    pub(super) fn compile(
        attribute: Arc<Attribute>,
        tag: Option<u8>,
        op: Op,
        value: &str,
    ) -> Result<Self, String> {
        let name = attribute.name().to_owned();
        let kind = attribute.data_type();
        let is_control = !op.is_comparison()
            || (op == Op::Equal && !attribute.is_on_wire() && control::is_known(&name));
        let (place, test) = if is_control {
            (Ok((0, 0)), compile_control(&attribute, value)?)
        } else if control::is_known(&name) && !attribute.is_on_wire() {
            return Err(format!("{name} is set with :=, not compared"));
        } else {
            (
                place_of(&attribute),
                compile_comparison(&attribute, op, value)?,
            )
        };
        let shown_name = tag.map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"));
        Ok(Self {
            shown: format!("{shown_name} {op} {}", super::parse::quoted(op, value)),
            place: place?,
            name,
            tag,
            op,
            kind,
            attribute: Some(attribute),
            test,
        })
    }

    /// One that never matches, in place of a row that is not understood.
    pub(super) fn broken(row: &Row) -> Self {
        Self {
            shown: row.to_string(),
            name: row.attribute().to_owned(),
            tag: None,
            op: row.op(),
            place: (0, 0),
            kind: DataType::Octets,
            attribute: None,
            test: Test::Broken,
        }
    }

    /// The attribute's name.
    pub fn attribute(&self) -> &str {
        &self.name
    }

    /// The operator.
    pub fn op(&self) -> Op {
        self.op
    }

    /// Whether it sets a control and compares nothing.
    pub fn is_control(&self) -> bool {
        matches!(self.test, Test::Control { .. })
    }

    /// The refusal that says most when this check fails.
    pub fn refusal(&self) -> Refusal {
        match self.name.to_ascii_lowercase().as_str() {
            "calling-station-id" => Refusal::WrongDevice,
            "nas-ip-address"
            | "nas-ipv6-address"
            | "nas-identifier"
            | "nas-port"
            | "nas-port-id"
            | "nas-port-type"
            | "called-station-id"
            | "called-station-ssid"
            | "huntgroup-name"
            | "client-shortname"
            | "client-ip-address"
            | "packet-src-ip-address"
            | "packet-src-ipv6-address" => Refusal::WrongNas,
            _ => Refusal::CheckFailed,
        }
    }

    /// Whether the request holds what the check wants. A control always does.
    fn holds<L: Lookup>(&self, request: &L) -> bool {
        let (vendor, number) = self.place;
        let mut values = request
            .values(vendor, number)
            .map(|octets| self.without_tag(octets))
            .filter(|(tag, _)| self.tag.is_none() || self.tag == *tag)
            .map(|(_, octets)| octets);
        match self.op {
            _ if matches!(self.test, Test::Broken) => false,
            _ if self.is_control() => true,
            Op::Present => values.next().is_some(),
            Op::Absent => values.next().is_none(),
            Op::NotMatches => !values.any(|octets| self.compares(&octets)),
            Op::NotEqual => {
                let mut is_there = false;
                !values.any(|octets| {
                    is_there = true;
                    self.compares(&octets)
                }) && is_there
            }
            _ => values.any(|octets| self.compares(&octets)),
        }
    }

    /// Whether one value compares; the operators that negate are turned round by the caller.
    fn compares(&self, octets: &[u8]) -> bool {
        match &self.test {
            Test::Octets(expect) if self.kind == DataType::Text => {
                trim_nul(octets) == expect.as_slice()
            }
            Test::Octets(expect) => octets == expect.as_slice(),
            Test::Station { mac, rest } => {
                Mac::split(trim_nul(octets))
                    .is_some_and(|(other, after)| other == *mac && after == rest.as_slice())
                    || (rest.is_empty() && Mac::parse(octets) == Ok(*mac))
            }
            Test::Number(expect) => {
                number_of(self.kind, octets).is_some_and(|number| match self.op {
                    Op::Greater => number > *expect,
                    Op::GreaterEqual => number >= *expect,
                    Op::Less => number < *expect,
                    Op::LessEqual => number <= *expect,
                    _ => number == *expect,
                })
            }
            Test::Pattern(pattern) => match (self.kind, &self.attribute) {
                (DataType::Text | DataType::Octets, _) | (_, None) => {
                    pattern.is_match(trim_nul(octets))
                }
                (_, Some(attribute)) => pattern.is_match(attribute.format_value(octets).as_bytes()),
            },
            Test::Control { .. } | Test::Presence | Test::Broken => false,
        }
    }

    /// A request's value without its tag (RFC 2868 section 3.1).
    fn without_tag<'v>(&self, octets: &'v [u8]) -> (Option<u8>, Cow<'v, [u8]>) {
        let is_tagged = self
            .attribute
            .as_ref()
            .is_some_and(|attribute| attribute.flags().tagged);
        match (is_tagged, self.kind, octets) {
            (true, DataType::Integer, [tag, a, b, c]) => {
                (Some(*tag), Cow::Owned(vec![0, *a, *b, *c]))
            }
            (true, DataType::Text | DataType::Octets, [tag @ 0..=31, rest @ ..]) => {
                (Some(*tag), Cow::Borrowed(rest))
            }
            _ => (None, Cow::Borrowed(octets)),
        }
    }
}

/// `Attribute op value`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({self})")
    }
}

fn compile_control(attribute: &Attribute, value: &str) -> Result<Test, String> {
    let octets = attribute.encode_value(value).map_err(|e| e.to_string())?;
    let hours = if attribute.name().eq_ignore_ascii_case(control::LOGIN_TIME) {
        Some(LoginHours::parse(value).map_err(|reason| format!("{}: {reason}", attribute.name()))?)
    } else {
        None
    };
    let text = attribute.format_value(&octets);
    Ok(Test::Control {
        octets,
        text,
        hours,
    })
}

fn compile_comparison(attribute: &Attribute, op: Op, value: &str) -> Result<Test, String> {
    let name = attribute.name();
    if op.is_presence() {
        return Ok(Test::Presence);
    }
    if attribute.hide() != Hide::No {
        return Err(format!(
            "{name} is hidden in requests and cannot be compared"
        ));
    }
    if op.is_pattern() {
        let pattern = RegexBuilder::new(value)
            .size_limit(MAX_PATTERN_OCTETS)
            .dfa_size_limit(MAX_PATTERN_OCTETS)
            .build();
        return pattern
            .map(Test::Pattern)
            .map_err(|_| format!("'{value}' is not a regular expression, or too large a one"));
    }
    let octets = attribute.encode_value(value).map_err(|e| e.to_string())?;
    if attribute.data_type().is_number() {
        return number_of(attribute.data_type(), &octets)
            .map(Test::Number)
            .ok_or_else(|| format!("{name} takes one number"));
    }
    if op.is_ordering() {
        return Err(format!("{name} is not a number, so {op} cannot compare it"));
    }
    let is_station = matches!(attribute.path(), [30..=32]);
    Ok(match Mac::split(&octets) {
        Some((mac, rest)) if is_station => Test::Station {
            mac,
            rest: rest.to_vec(),
        },
        _ => Test::Octets(octets),
    })
}

/// Where a request has the attribute.
pub(crate) fn place_of(attribute: &Attribute) -> Result<(u32, u32), String> {
    let name = attribute.name();
    match attribute.carrier() {
        _ if !attribute.inner().is_empty() => Err(format!(
            "{name} lies inside another attribute and cannot be compared"
        )),
        Carrier::Standard { kind } => Ok((0, kind.into())),
        Carrier::Vendor { vendor, kind, .. } => Ok((vendor, kind)),
        Carrier::Internal => internal::number(name)
            .map(|number| (0, number))
            .ok_or_else(|| format!("no request has {name}, so it cannot be compared")),
        Carrier::Extended { .. } | Carrier::ExtendedVendor { .. } => Err(format!(
            "{name} is an extended attribute and cannot be compared"
        )),
    }
}

fn number_of(kind: DataType, octets: &[u8]) -> Option<i128> {
    Some(match (kind, octets.len()) {
        (DataType::Byte | DataType::Bool, 1) => i128::from(*octets.first()?),
        (DataType::Short, 2) => u16::from_be_bytes(octets.try_into().ok()?).into(),
        (DataType::Integer | DataType::Date, 4) => {
            u32::from_be_bytes(octets.try_into().ok()?).into()
        }
        (DataType::Signed, 4) => i32::from_be_bytes(octets.try_into().ok()?).into(),
        (DataType::Integer64, 8) => u64::from_be_bytes(octets.try_into().ok()?).into(),
        _ => return None,
    })
}

fn trim_nul(octets: &[u8]) -> &[u8] {
    let end = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .map_or(0, |last| last + 1);
    octets.get(..end).unwrap_or(octets)
}

/// Whether the comparisons of one owner hold.
#[derive(Debug, Clone, Copy)]
pub enum CheckOutcome<'r> {
    /// All do.
    Matches,
    /// This is the first that does not.
    Fails(&'r Check),
}

/// Compares the checks with a request, in order.
pub fn matches<'r, L: Lookup>(checks: &'r [Check], request: &L) -> CheckOutcome<'r> {
    match checks.iter().find(|check| !check.holds(request)) {
        None => CheckOutcome::Matches,
        Some(check) => CheckOutcome::Fails(check),
    }
}

/// What Auth-Type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// No proof is wanted.
    Accept,
    /// Whatever the proof.
    Reject,
    /// A method's name: says nothing here, the request's own proof decides.
    Other,
}

/// The controls that owners set, collected in the order they are applied.
#[derive(Debug, Clone, Default)]
pub struct Controls<'r> {
    set: SmallVec<[&'r Check; 8]>,
}

impl<'r> Controls<'r> {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over what an owner's rows set: `=` where nothing is set yet, `:=` (and `==`) in place of what is, `+=` and
    /// `^=` beside it, `-=` takes equal ones away.
    pub fn apply(&mut self, checks: &'r [Check]) {
        for check in checks {
            let Test::Control { octets, .. } = &check.test else {
                continue;
            };
            let is_same = |known: &Check| known.name == check.name && known.tag == check.tag;
            match check.op {
                Op::Set if self.set.iter().any(|known| is_same(known)) => {}
                Op::Append | Op::Set => self.set.push(check),
                Op::Prepend => self.set.insert(0, check),
                Op::Remove => self.set.retain(
                    |known: &mut &Check| !(is_same(known) && matches!(&known.test, Test::Control { octets: other, .. } if other == octets)),
                ),
                _ => {
                    self.set.retain(|known: &mut &Check| !is_same(known));
                    self.set.push(check);
                }
            }
        }
    }

    /// The first of a name.
    pub fn get(&self, name: &str) -> Option<&'r Check> {
        self.set
            .iter()
            .copied()
            .find(|check| check.name.eq_ignore_ascii_case(name))
    }

    /// All of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'r Check> {
        self.set
            .iter()
            .copied()
            .filter(move |check| check.name.eq_ignore_ascii_case(name))
    }

    /// A number; `None` where it is not set or negative.
    pub fn number(&self, name: &str) -> Option<u64> {
        let check = self.get(name)?;
        match &check.test {
            Test::Control { octets, .. } => {
                number_of(check.kind, octets).and_then(|number| u64::try_from(number).ok())
            }
            _ => None,
        }
    }

    /// The value's text; a number that has a name is given by it.
    pub fn text(&self, name: &str) -> Option<&'r str> {
        match &self.get(name)?.test {
            Test::Control { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A moment.
    pub fn time(&self, name: &str) -> Option<Time> {
        let check = self
            .get(name)
            .filter(|check| check.kind == DataType::Date)?;
        match &check.test {
            Test::Control { octets, .. } => number_of(check.kind, octets)
                .and_then(|seconds| i64::try_from(seconds).ok())
                .map(Time::from_unix_seconds),
            _ => None,
        }
    }

    /// Auth-Type.
    pub fn auth_type(&self) -> Option<AuthType> {
        self.text(control::AUTH_TYPE).map(|text| {
            if text.eq_ignore_ascii_case("Reject") {
                AuthType::Reject
            } else if text.eq_ignore_ascii_case("Accept") {
                AuthType::Accept
            } else {
                AuthType::Other
            }
        })
    }

    /// Login-Time.
    pub fn login_hours(&self) -> Option<&'r LoginHours> {
        match &self.get(control::LOGIN_TIME)?.test {
            Test::Control { hours, .. } => hours.as_ref(),
            _ => None,
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

#[cfg(test)]
mod tests;
