//! Conditions: what rows cannot say, in one expression of a group, in the Common Expression Language (CEL).
//!
//! An expression is compiled when it is saved, and its fault is told then: a name that does not exist, a type that does not
//! fit, a pattern that is none. Its size, its depth and what it may loop over are limited, so that it takes microseconds
//! whatever was written. One that cannot be decided for a request does not hold: it must **never** let anybody in.
//!
//! ```text
//! ssid == "Guest" && weekday >= 6
//! request["NAS-Port-Type"] == "Wireless-802.11" && device.startsWith("AA-BB-CC")
//! realm in ["staff.example", "lab.example"] || user.matches("^guest-[0-9]+$")
//! ```

use crate::rule::{Lookup, place_of};
use cel::common::ast::{EntryExpr, Expr, LiteralValue};
use cel::extractors::This;
use cel::objects::Value;
use cel::parser::Parser;
use cel::{Context, Env, ExecutionError, FunctionContext, IdedExpr};
use radius_wire::Hide;
use radius_wire::dictionary::{Attribute, DataType, Dictionary};
use regex::{Regex, RegexBuilder};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Longest text, in octets.
const MAX_OCTETS: usize = 2_000;
/// Parts of one expression.
const MAX_NODES: usize = 256;
/// Parts within parts.
const MAX_DEPTH: u16 = 24;
/// Patterns of one expression.
const MAX_PATTERNS: usize = 8;
/// Memory of one pattern.
const MAX_PATTERN_OCTETS: usize = 256 * 1024;
/// Octets of one value that is looked at; what is longer is cut.
const MAX_VALUE_OCTETS: usize = 512;

/// What an expression may ask for, and an example of each.
const VARIABLES: [(&str, Example); 11] = [
    ("user", Example::Text("alice@example.org")),
    ("realm", Example::Text("example.org")),
    ("device", Example::Text("AA-BB-CC-DD-EE-FF")),
    ("ssid", Example::Text("Guest")),
    ("place", Example::Text("00-11-22-33-44-55:Guest")),
    ("nas", Example::Text("lobby")),
    ("nas_address", Example::Text("192.0.2.1")),
    ("date", Example::Text("2027-01-31")),
    ("weekday", Example::Number(7)),
    ("hour", Example::Number(23)),
    ("minute", Example::Number(59)),
];
/// The request's attributes, by name.
const REQUEST: &str = "request";

#[derive(Clone, Copy)]
enum Example {
    Text(&'static str),
    Number(i64),
}

/// What an expression looks at.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// User-Name.
    pub user: String,
    /// Its realm.
    pub realm: String,
    /// The device's address, else Calling-Station-Id.
    pub device: String,
    /// The network's name.
    pub ssid: String,
    /// Called-Station-Id.
    pub place: String,
    /// The NAS's short name, else its name.
    pub nas: String,
    /// Where the request came from.
    pub nas_address: String,
    /// The local day.
    pub date: String,
    /// The local day of the week: 1 is Monday, 7 is Sunday.
    pub weekday: i64,
    /// The local hour.
    pub hour: i64,
    /// And minute.
    pub minute: i64,
}

/// An expression, compiled.
pub struct Condition {
    text: String,
    expression: IdedExpr,
    variables: Vec<&'static str>,
    attributes: Vec<(String, Arc<Attribute>, (u32, u32))>,
    patterns: Arc<HashMap<String, Regex>>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.text)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn env() -> &'static Arc<Env> {
    static ENV: OnceLock<Arc<Env>> = OnceLock::new();
    ENV.get_or_init(|| Arc::new(Env::stdlib()))
}

impl Condition {
    /// Compiles an expression.
    ///
    /// # Errors
    /// A sentence: what is wrong, and where.
    pub fn compile(dictionary: &Dictionary, text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the condition is empty".into());
        }
        if text.len() > MAX_OCTETS {
            return Err(format!("the condition has more than {MAX_OCTETS} octets"));
        }
        let expression = Parser::default()
            .max_recursion_depth(MAX_DEPTH)
            .error_recovery_limit(1)
            .parse(text)
            .map_err(|faults| {
                let first = faults.errors.first();
                first.map_or_else(
                    || "the condition is no expression".to_owned(),
                    |fault| format!("the condition, column {}: {}", fault.pos.1, fault.msg),
                )
            })?;
        let mut survey = Survey::default();
        survey.look(&expression, 0)?;
        let mut attributes = Vec::new();
        for name in survey.attributes {
            let attribute = dictionary.attribute(&name).ok_or_else(|| {
                let near = dictionary.nearest_name(&name);
                let near = near.map(|near| format!("; did you mean '{near}'?"));
                format!("there is no attribute '{name}'{}", near.unwrap_or_default())
            })?;
            if attribute.hide() != Hide::No {
                return Err(format!(
                    "{name} is hidden in requests and cannot be compared"
                ));
            }
            let place = place_of(attribute)?;
            attributes.push((name, Arc::new(attribute.clone()), place));
        }
        let mut patterns = HashMap::new();
        for pattern in survey.patterns {
            let compiled = RegexBuilder::new(&pattern)
                .size_limit(MAX_PATTERN_OCTETS)
                .dfa_size_limit(MAX_PATTERN_OCTETS)
                .build()
                .map_err(|_| {
                    format!("'{pattern}' is not a regular expression, or too large a one")
                })?;
            patterns.insert(pattern, compiled);
        }
        let condition = Self {
            text: text.to_owned(),
            expression,
            variables: survey.variables.into_iter().collect(),
            attributes,
            patterns: Arc::new(patterns),
        };
        condition.try_out()?;
        Ok(condition)
    }

    /// Decides an example, so that a type that does not fit is told when the expression is saved.
    fn try_out(&self) -> Result<(), String> {
        let mut context = Context::with_env(env().clone());
        for (name, example) in VARIABLES {
            if self.variables.contains(&name) {
                match example {
                    Example::Text(text) => context.add_variable_from_value(name, text),
                    Example::Number(number) => context.add_variable_from_value(name, number),
                }
            }
        }
        let request: HashMap<String, Value> = self
            .attributes
            .iter()
            .map(|(name, attribute, _)| (name.clone(), example_of(attribute)))
            .collect();
        self.add_shared(&mut context, request)?;
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(_)) => Ok(()),
            Ok(other) => Err(format!(
                "the condition is neither true nor false, but {}",
                other.type_of()
            )),
            // What an example lacks, a request may have.
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => Ok(()),
            Err(fault) => Err(format!("the condition: {fault}")),
        }
    }

    fn add_shared(
        &self,
        context: &mut Context<'_, '_>,
        request: HashMap<String, Value>,
    ) -> Result<(), String> {
        if !self.attributes.is_empty() {
            context.add_variable_from_value(REQUEST, request);
        }
        if !self.patterns.is_empty() {
            let patterns = self.patterns.clone();
            let matches = move |ftx: &FunctionContext<'_, '_>,
                                This(text): This<Arc<String>>,
                                pattern: Arc<String>| {
                match patterns.get(pattern.as_str()) {
                    Some(compiled) => Ok(compiled.is_match(&text)),
                    None => Err(ftx.error("the pattern was not compiled")),
                }
            };
            context
                .add_function("matches", matches)
                .map_err(|fault| format!("the condition: {fault}"))?;
        }
        Ok(())
    }

    /// Whether it holds of a request.
    ///
    /// # Errors
    /// Why that cannot be decided: an attribute that the request has not got, a number that is too large, …
    pub fn holds<L: Lookup>(&self, inputs: &Inputs, request: &L) -> Result<bool, String> {
        let mut context = Context::with_env(env().clone());
        for name in &self.variables {
            let text = match *name {
                "user" => &inputs.user,
                "realm" => &inputs.realm,
                "device" => &inputs.device,
                "ssid" => &inputs.ssid,
                "place" => &inputs.place,
                "nas" => &inputs.nas,
                "nas_address" => &inputs.nas_address,
                "date" => &inputs.date,
                "weekday" | "hour" | "minute" => {
                    let number = match *name {
                        "weekday" => inputs.weekday,
                        "hour" => inputs.hour,
                        _ => inputs.minute,
                    };
                    context.add_variable_from_value(*name, number);
                    continue;
                }
                _ => continue,
            };
            context.add_variable_from_value(*name, text.as_str());
        }
        let attributes: HashMap<String, Value> = self
            .attributes
            .iter()
            .filter_map(|(name, attribute, (vendor, number))| {
                let octets = request.values(*vendor, *number).next()?;
                Some((name.clone(), value_of(attribute, octets)))
            })
            .collect();
        self.add_shared(&mut context, attributes)?;
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("it is {}", other.type_of())),
            Err(fault) => Err(fault.to_string()),
        }
    }
}

/// A value as an expression sees it: a number that has no names is a number, everything else is text.
fn value_of(attribute: &Attribute, octets: &[u8]) -> Value {
    let octets = &octets[..octets.len().min(MAX_VALUE_OCTETS)];
    let number = match (attribute.data_type(), octets.len()) {
        (DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64, 1..=8) => {
            let number = octets
                .iter()
                .fold(0u64, |number, octet| number << 8 | u64::from(*octet));
            Some(number)
        }
        _ => None,
    };
    match number {
        Some(number) if attribute.values().name(number).is_none() => {
            Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
        }
        _ if attribute.data_type() == DataType::Text => {
            String::from_utf8_lossy(octets).into_owned().into()
        }
        _ => attribute.format_value(octets).into(),
    }
}

fn example_of(attribute: &Attribute) -> Value {
    match attribute.data_type() {
        DataType::Byte | DataType::Short | DataType::Integer | DataType::Integer64
            if attribute.values().name(1).is_none() =>
        {
            Value::Int(1)
        }
        _ => "example".into(),
    }
}

/// What an expression is made of.
#[derive(Default)]
struct Survey {
    nodes: usize,
    variables: BTreeSet<&'static str>,
    attributes: BTreeSet<String>,
    patterns: BTreeSet<String>,
    /// Names that a loop gives to its elements.
    bound: Vec<String>,
}

impl Survey {
    fn look(&mut self, node: &IdedExpr, loops: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("the condition has more than {MAX_NODES} parts"));
        }
        match &node.expr {
            Expr::Unspecified => Err("the condition is not complete".into()),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == REQUEST && !self.is_bound(name) => {
                    self.attributes.insert(select.field.clone());
                    Ok(())
                }
                _ => self.look(&select.operand, loops),
            },
            Expr::Call(call) => self.call(call, loops),
            Expr::List(list) => list
                .elements
                .iter()
                .try_for_each(|element| self.look(element, loops)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.look(&entry.key, loops)?;
                    self.look(&entry.value, loops)
                }
                EntryExpr::StructField(field) => self.look(&field.value, loops),
            }),
            Expr::Struct(_) => Err("the condition makes an object: there are none here".into()),
            Expr::Comprehension(inner) => {
                if loops > 0 {
                    return Err("the condition has a loop within a loop".into());
                }
                self.look(&inner.iter_range, loops)?;
                let known = self.bound.len();
                self.bound.push(inner.iter_var.clone());
                self.bound.extend(inner.iter_var2.clone());
                self.bound.push(inner.accu_var.clone());
                let parts = [
                    &inner.accu_init,
                    &inner.loop_cond,
                    &inner.loop_step,
                    &inner.result,
                ];
                parts
                    .into_iter()
                    .try_for_each(|part| self.look(part, loops + 1))?;
                self.bound.truncate(known);
                Ok(())
            }
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name)
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        if self.is_bound(name) {
            return Ok(());
        }
        if name == REQUEST {
            return Err("the condition: write request[\"Attribute-Name\"]".into());
        }
        if let Some((known, _)) = VARIABLES.iter().find(|(known, _)| *known == name) {
            self.variables.insert(known);
            return Ok(());
        }
        let names = VARIABLES.iter().map(|(name, _)| *name).chain([REQUEST]);
        let near = kernel::config::nearest(name, names.clone());
        Err(match near {
            Some(near) => format!("the condition: there is no '{name}'; did you mean '{near}'?"),
            None => {
                let names: Vec<&str> = names.collect();
                format!(
                    "the condition: there is no '{name}'; there are {}",
                    names.join(", ")
                )
            }
        })
    }

    fn call(&mut self, call: &cel::common::ast::CallExpr, loops: usize) -> Result<(), String> {
        let text_of = |node: &IdedExpr| match &node.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
            _ => None,
        };
        let is_request =
            |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if name == REQUEST);
        match (call.func_name.as_str(), call.args.as_slice()) {
            ("_[_]", [object, key]) if is_request(object) => {
                let name = text_of(key)
                    .ok_or("the condition: request[…] takes an attribute's name in quotes")?;
                self.attributes.insert(name);
                return Ok(());
            }
            ("@in", [key, object]) if is_request(object) => {
                let name = text_of(key)
                    .ok_or("the condition: '… in request' takes an attribute's name")?;
                self.attributes.insert(name);
                return Ok(());
            }
            ("matches", [pattern]) => {
                let pattern =
                    text_of(pattern).ok_or("the condition: matches takes a pattern in quotes")?;
                self.patterns.insert(pattern);
                if self.patterns.len() > MAX_PATTERNS {
                    return Err(format!(
                        "the condition has more than {MAX_PATTERNS} patterns"
                    ));
                }
            }
            ("matches", _) => {
                return Err("the condition: write text.matches(\"pattern\")".into());
            }
            _ => {}
        }
        if let Some(target) = &call.target {
            self.look(target, loops)?;
        }
        call.args
            .iter()
            .try_for_each(|argument| self.look(argument, loops))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sent(Vec<(u32, u32, Vec<u8>)>);

    impl Lookup for Sent {
        fn values(&self, vendor: u32, number: u32) -> impl Iterator<Item = &[u8]> {
            let is_it = move |sent: &&(u32, u32, Vec<u8>)| (sent.0, sent.1) == (vendor, number);
            self.0.iter().filter(is_it).map(|(_, _, value)| &value[..])
        }
    }

    fn inputs() -> Inputs {
        Inputs {
            user: "guest-17@Example.org".into(),
            realm: "example.org".into(),
            device: "AA-BB-CC-00-11-22".into(),
            ssid: "Guest".into(),
            nas: "lobby".into(),
            nas_address: "192.0.2.1".into(),
            date: "2026-11-28".into(),
            weekday: 6,
            hour: 12,
            minute: 30,
            place: String::new(),
        }
    }

    fn decide(text: &str) -> Result<bool, String> {
        let condition = Condition::compile(Dictionary::builtin(), text)
            .unwrap_or_else(|e| panic!("{text}: {e}"));
        // NAS-Port-Type Wireless-802.11, NAS-Port 7.
        let sent = Sent(vec![(0, 61, vec![0, 0, 0, 19]), (0, 5, vec![0, 0, 0, 7])]);
        condition.holds(&inputs(), &sent)
    }

    #[test]
    fn what_rows_cannot_say_is_said() {
        for (text, expect) in [
            ("ssid == 'Guest' && weekday >= 6", true),
            ("ssid == 'Guest' && weekday < 6", false),
            ("realm in ['staff.example', 'example.org']", true),
            ("user.matches('^guest-[0-9]+@')", true),
            ("user.matches('^admin')", false),
            ("device.startsWith('AA-BB-CC') || nas == 'roof'", true),
            ("request['NAS-Port-Type'] == 'Wireless-802.11'", true),
            ("request['NAS-Port'] > 5 && request['NAS-Port'] < 10", true),
            ("'Framed-IP-Address' in request", false),
            ("hour * 60 + minute >= 12 * 60 + 30", true),
            ("date >= '2026-11-28' && date < '2026-12-01'", true),
            ("['lobby', 'roof'].exists(n, n == nas)", true),
            ("nas_address == '192.0.2.1' ? true : false", true),
            ("!(size(user) > 100)", true),
        ] {
            assert_eq!(decide(text), Ok(expect), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_decided_does_not_hold() {
        let undecided = decide("request['Framed-IP-Address'] == '10.0.0.1'");
        assert!(undecided.is_err(), "{undecided:?}");
        assert!(decide("hour / (minute - 30) > 1").is_err(), "by zero");
    }

    #[test]
    fn what_is_wrong_is_told_when_it_is_saved() {
        let long = format!("ssid == '{}'", "x".repeat(MAX_OCTETS));
        let wide = vec!["hour == 1"; 100].join(" || ");
        let deep = format!("{}true{}", "(".repeat(60), ")".repeat(60));
        for (text, expect) in [
            ("", "empty"),
            ("ssid ==", "column"),
            ("sid == 'x'", "did you mean 'ssid'"),
            ("ssid > 5", "the condition"),
            ("ssid", "neither true nor false"),
            ("hour + 'x' == 'y'", "the condition"),
            ("request['NAS-Prot'] == 1", "did you mean 'NAS-Port'"),
            ("request['User-Password'] == 'x'", "hidden"),
            ("request[ssid] == 1", "in quotes"),
            ("size(request) > 1", "request["),
            ("user.matches('(')", "regular expression"),
            ("user.matches(ssid)", "in quotes"),
            ("[1].all(a, [2].all(b, a < b))", "loop within a loop"),
            (long.as_str(), "octets"),
            (wide.as_str(), "parts"),
            (deep.as_str(), "the condition"),
        ] {
            let refused = Condition::compile(Dictionary::builtin(), text);
            let reason = refused.expect_err(text);
            assert!(reason.contains(expect), "{text}: {reason}");
        }
    }
}
