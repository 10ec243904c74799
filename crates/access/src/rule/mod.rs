//! Rules: what is checked before access is given, and what is said when it is.
//!
//! A rule is a row `Attribute op value` in FreeRADIUS's words. `parse` turns text into rows that are known to be sound,
//! [`Compiler`] turns rows into what is run for every request: `check` compares and collects controls, `reply` builds
//! the list of attributes. `store` keeps the rows. Evaluation is pure. A check that cannot be understood must **never**
//! be passed over: it fails, and access is refused.

mod check;
pub mod hours;
mod op;
mod parse;
mod reply;
mod store;

pub(crate) use check::place_of;
pub use check::{AuthType, Check, CheckOutcome, Controls, Lookup, control, internal, matches};
pub use op::{Op, Side};
pub use parse::{MAX_VALUE_OCTETS, parse_line, parse_lines};
pub use reply::{RenderFault, ReplyItem, ReplyList, ReplyRow};
pub(crate) use store::{
    CHECKS, REPLIES, insert_many, load, load_groups, load_many, load_memberships, replace,
};
pub use store::{Owner, STATEMENTS};

use parse::Target;
use radius_wire::dictionary::{Attribute, Dictionary};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Rows of one owner on one side: far more than a packet can hold.
pub const MAX_ROWS: usize = 128;

/// One row, sound but not compiled. Its value is not shown where the attribute is a secret (Tunnel-Password).
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    attribute: String,
    op: Op,
    value: String,
    is_hidden: bool,
    is_damaged: bool,
}

impl Row {
    /// A row of a side.
    ///
    /// # Errors
    /// A sentence: the attribute is unknown (with the nearest name), the op does not belong on that side, or the value
    /// is not one of the attribute's.
    pub fn new(
        dictionary: &Dictionary,
        side: Side,
        attribute: &str,
        op: Op,
        value: &str,
    ) -> Result<Self, String> {
        let target = Target::find(dictionary, attribute)?;
        parse::validate(&target, side, op, value)?;
        Ok(Self {
            attribute: target.name(),
            op,
            value: value.to_owned(),
            is_hidden: target.is_secret(),
            is_damaged: false,
        })
    }

    /// As it was stored: whether it is sound is found out when it is compiled.
    pub(crate) fn stored(attribute: String, op: Op, value: String, is_hidden: bool) -> Self {
        Self {
            attribute,
            op,
            value,
            is_hidden,
            is_damaged: false,
        }
    }

    /// The same, but what was stored of it cannot be read: it does not compile.
    pub(crate) fn damaged(self) -> Self {
        Self {
            is_damaged: true,
            ..self
        }
    }

    /// The attribute's name, with `:tag` where one was given.
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// What is done with it.
    pub fn op(&self) -> Op {
        self.op
    }

    /// The value's text. A secret one must not be shown: see [`Row::is_hidden`].
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the value is a secret.
    pub fn is_hidden(&self) -> bool {
        self.is_hidden
    }

    /// Whether what was stored of it cannot be read. Such a check never matches; such a reply is left out.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// The value's text for people: a word in brackets where it is a secret or cannot be read.
    pub fn shown_value(&self) -> &str {
        if self.is_damaged {
            "(damaged)"
        } else if self.is_hidden {
            "(hidden)"
        } else {
            &self.value
        }
    }
}

/// `Attribute op value`, as it is read back.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.attribute,
            self.op,
            parse::quoted(self.op, self.shown_value())
        )
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({self})")
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 3)?;
        row.serialize_field("attribute", &self.attribute)?;
        row.serialize_field("op", self.op.text())?;
        row.serialize_field("value", self.shown_value())?;
        row.end()
    }
}

/// The rows of one owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// What is checked, in order.
    pub checks: Vec<Row>,
    /// What is said, in order.
    pub replies: Vec<Row>,
}

impl Rows {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.replies.is_empty()
    }

    /// Of one side.
    pub fn side(&self, side: Side) -> &[Row] {
        match side {
            Side::Check => &self.checks,
            Side::Reply => &self.replies,
        }
    }

    pub(crate) fn side_mut(&mut self, side: Side) -> &mut Vec<Row> {
        match side {
            Side::Check => &mut self.checks,
            Side::Reply => &mut self.replies,
        }
    }

    /// Takes a row in. One that sets (`:=`, `=`) or compares takes the place of the one that did the same with the
    /// same attribute; one that adds (`+=`, `^=`, `-=`) is added unless it is there already.
    ///
    /// # Errors
    /// A sentence when there are [`MAX_ROWS`] already.
    pub fn put(&mut self, side: Side, row: Row) -> Result<(), String> {
        let rows = self.side_mut(side);
        let is_same = |known: &Row| {
            known.attribute == row.attribute
                && match row.op {
                    Op::Set | Op::Assign => matches!(known.op, Op::Set | Op::Assign),
                    Op::Append | Op::Prepend | Op::Remove => {
                        known.op == row.op && known.value == row.value
                    }
                    comparison => known.op == comparison,
                }
        };
        let place = rows.iter().position(is_same);
        match place {
            Some(at) => rows[at] = row,
            None if rows.len() >= MAX_ROWS => {
                return Err(format!("there are {MAX_ROWS} {side} rows already"));
            }
            None => rows.push(row),
        }
        Ok(())
    }

    /// Takes every row of an attribute out (all its tags, unless one is named); how many there were.
    pub fn take_out(&mut self, side: Side, attribute: &str) -> usize {
        let rows = self.side_mut(side);
        let before = rows.len();
        rows.retain(|row| {
            let bare = row.attribute.split(':').next().unwrap_or_default();
            !row.attribute.eq_ignore_ascii_case(attribute) && !bare.eq_ignore_ascii_case(attribute)
        });
        before - rows.len()
    }
}

/// The compiled rows of one owner. Cheap to clone.
#[derive(Clone, Default)]
pub struct RuleSet {
    /// In order.
    pub checks: Arc<[Check]>,
    /// In order, without Fall-Through.
    pub replies: Arc<[ReplyRow]>,
    /// Fall-Through := Yes: the next group is looked at too.
    pub falls_through: bool,
    /// What the replies alone come to; none where there are none.
    prepared: Option<Arc<reply::Prepared>>,
}

impl RuleSet {
    /// Whether it neither checks nor says anything.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.replies.is_empty() && !self.falls_through
    }
}

/// Turns rows into rules. Attributes are shared between the rules of one compiler, so keep one for a whole load.
pub struct Compiler<'d> {
    dictionary: &'d Dictionary,
    shared: HashMap<String, Arc<Attribute>>,
}

impl<'d> Compiler<'d> {
    /// A compiler that knows this dictionary's attributes.
    pub fn new(dictionary: &'d Dictionary) -> Self {
        Self {
            dictionary,
            shared: HashMap::new(),
        }
    }

    /// Compiles an owner's rows, and says which of them make no sense with this dictionary. Such a check never
    /// matches; such a reply is left out.
    pub fn compile(&mut self, rows: &Rows) -> (RuleSet, Vec<String>) {
        let mut faults = Vec::new();
        let mut checks = Vec::with_capacity(rows.checks.len());
        for row in &rows.checks {
            let compiled = self
                .target(row, Side::Check)
                .and_then(|(attribute, tag)| Check::compile(attribute, tag, row.op, &row.value));
            checks.push(compiled.unwrap_or_else(|reason| {
                faults.push(format!("check '{row}': {reason}"));
                Check::broken(row)
            }));
        }
        let mut replies = Vec::with_capacity(rows.replies.len());
        let mut falls_through = false;
        for row in &rows.replies {
            match self.target(row, Side::Reply) {
                Ok((attribute, _)) if parse::is_fall_through(&attribute) => {
                    falls_through = parse::is_yes(&attribute, &row.value);
                }
                Ok((attribute, tag)) => match ReplyRow::compile(attribute, tag, row.op, &row.value)
                {
                    Ok(reply) => replies.push(reply),
                    Err(reason) => faults.push(format!("reply '{row}': {reason}")),
                },
                Err(reason) => faults.push(format!("reply '{row}': {reason}")),
            }
        }
        let set = RuleSet {
            prepared: reply::Prepared::new(&replies),
            checks: checks.into(),
            replies: replies.into(),
            falls_through,
        };
        (set, faults)
    }

    fn target(&mut self, row: &Row, side: Side) -> Result<(Arc<Attribute>, Option<u8>), String> {
        if row.is_damaged {
            return Err("what the database has of it cannot be read; set it again".to_owned());
        }
        let target = Target::find(self.dictionary, &row.attribute)?;
        parse::validate(&target, side, row.op, &row.value)?;
        let attribute = match self.shared.get(target.attribute.name()) {
            Some(shared) => Arc::clone(shared),
            None => {
                let shared = Arc::new(target.attribute.clone());
                self.shared
                    .insert(target.attribute.name().to_owned(), Arc::clone(&shared));
                shared
            }
        };
        Ok((attribute, target.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Rows {
        let mut rows = Rows::default();
        for (side, row) in parse_lines(Dictionary::builtin(), text, None).unwrap() {
            rows.put(side, row).unwrap();
        }
        rows
    }

    fn shown(rows: &[Row]) -> Vec<String> {
        rows.iter().map(Row::to_string).collect()
    }

    #[test]
    fn a_row_that_sets_replaces_and_a_row_that_adds_is_added_once() {
        let mut rows = rows(
            "Session-Timeout = 1800\nCisco-AVPair += \"a=1\"\nCisco-AVPair += \"b=2\"\nCisco-AVPair += \"a=1\"\n\
             Session-Timeout := 3600\nTunnel-Type:1 := VLAN\nTunnel-Type:2 := VLAN\nNAS-Port >= 1\nNAS-Port <= 5\nNAS-Port <= 9",
        );
        assert_eq!(
            shown(&rows.replies),
            [
                "Session-Timeout := 3600",
                "Cisco-AVPair += a=1",
                "Cisco-AVPair += b=2",
                "Tunnel-Type:1 := VLAN",
                "Tunnel-Type:2 := VLAN"
            ]
        );
        assert_eq!(shown(&rows.checks), ["NAS-Port >= 1", "NAS-Port <= 9"]);
        assert_eq!(rows.take_out(Side::Reply, "tunnel-type:2"), 1);
        assert_eq!(rows.take_out(Side::Reply, "CISCO-AVPAIR"), 2);
        assert_eq!(rows.take_out(Side::Reply, "Tunnel-Type"), 1);
        assert_eq!(rows.take_out(Side::Reply, "Idle-Timeout"), 0);
    }

    #[test]
    fn an_owner_has_a_limit_of_rows() {
        let mut rows = Rows::default();
        for number in 0..MAX_ROWS {
            let row = Row::new(
                Dictionary::builtin(),
                Side::Reply,
                "Cisco-AVPair",
                Op::Append,
                &number.to_string(),
            );
            assert_eq!(rows.put(Side::Reply, row.unwrap()), Ok(()));
        }
        let row = Row::new(
            Dictionary::builtin(),
            Side::Reply,
            "Idle-Timeout",
            Op::Assign,
            "1",
        )
        .unwrap();
        assert!(
            rows.put(Side::Reply, row)
                .is_err_and(|reason| reason.contains("128 reply rows"))
        );
    }

    #[test]
    fn a_secret_value_is_never_shown() {
        let rows = rows("Tunnel-Password := 'wonderland'");
        let row = &rows.replies[0];
        assert!(row.is_hidden() && row.value() == "wonderland");
        let json = serde_json::to_string(&rows).unwrap();
        assert!(!format!("{row} {row:?} {json}").contains("wonderland"));
    }

    #[test]
    fn a_row_that_is_lost_or_damaged_fails_as_check_and_is_left_out_as_reply() {
        let lost = Row::stored("No-Such-Thing".into(), Op::Equal, "1".into(), false);
        is_not_compiled(lost.clone(), lost);
        // Sound ones, but for the damage.
        let check = Row::stored("NAS-Port".into(), Op::NotEqual, "7".into(), false);
        let reply = Row::stored("Session-Timeout".into(), Op::Assign, "60".into(), false);
        is_not_compiled(check.damaged(), reply.damaged());
    }

    fn is_not_compiled(check: Row, reply: Row) {
        let rows = Rows {
            checks: vec![check],
            replies: vec![reply],
        };
        let (set, faults) = Compiler::new(Dictionary::builtin()).compile(&rows);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!((set.checks.len(), set.replies.len()), (1, 0));
        struct Nothing;
        impl Lookup for Nothing {
            fn values(&self, _: u32, _: u32) -> impl Iterator<Item = &[u8]> {
                std::iter::empty()
            }
        }
        assert!(matches!(
            matches(&set.checks, &Nothing),
            CheckOutcome::Fails(_)
        ));
    }

    #[test]
    fn fall_through_is_a_flag_and_not_an_attribute() {
        for (text, expect) in [
            ("Fall-Through = Yes", true),
            ("Fall-Through := No", false),
            ("Fall-Through = 1", true),
        ] {
            let (set, faults) = Compiler::new(Dictionary::builtin()).compile(&rows(text));
            assert!(faults.is_empty(), "{faults:?}");
            assert_eq!(
                (set.falls_through, set.replies.len()),
                (expect, 0),
                "{text}"
            );
        }
    }
}
