//! Operators of a rule, in FreeRADIUS's spelling.
//!
//! On the check side `=`, `:=`, `+=`, `^=` and `-=` set controls and always match; the others compare with the
//! request. On the reply side only the first five mean something.

use std::fmt;

/// What is done with a row's attribute and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `=`: set, unless it is set already.
    Set,
    /// `:=`: set, in place of all there are.
    Assign,
    /// `+=`: add at the end.
    Append,
    /// `^=`: add at the beginning.
    Prepend,
    /// `-=`: remove those with this value.
    Remove,
    /// `==`: one of the request's is equal.
    Equal,
    /// `!=`: the request has it and none is equal.
    NotEqual,
    /// `>`: one is greater.
    Greater,
    /// `>=`: one is greater or equal.
    GreaterEqual,
    /// `<`: one is less.
    Less,
    /// `<=`: one is less or equal.
    LessEqual,
    /// `=~`: one matches the regular expression.
    Matches,
    /// `!~`: none matches, or it is absent.
    NotMatches,
    /// `=*`: it is present.
    Present,
    /// `!*`: it is absent.
    Absent,
}

/// The two lists of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Before access is given.
    Check,
    /// When it is.
    Reply,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Check => "check",
            Side::Reply => "reply",
        })
    }
}

impl Op {
    /// All of them; those of two characters first, so that the first that fits is the longest.
    pub const ALL: [Op; 15] = [
        Op::Assign,
        Op::Equal,
        Op::Append,
        Op::Prepend,
        Op::Remove,
        Op::NotEqual,
        Op::GreaterEqual,
        Op::LessEqual,
        Op::Matches,
        Op::NotMatches,
        Op::Present,
        Op::Absent,
        Op::Set,
        Op::Greater,
        Op::Less,
    ];

    /// As written.
    pub fn text(self) -> &'static str {
        match self {
            Op::Set => "=",
            Op::Assign => ":=",
            Op::Append => "+=",
            Op::Prepend => "^=",
            Op::Remove => "-=",
            Op::Equal => "==",
            Op::NotEqual => "!=",
            Op::Greater => ">",
            Op::GreaterEqual => ">=",
            Op::Less => "<",
            Op::LessEqual => "<=",
            Op::Matches => "=~",
            Op::NotMatches => "!~",
            Op::Present => "=*",
            Op::Absent => "!*",
        }
    }

    /// The operator of a text.
    ///
    /// # Errors
    /// A sentence that lists them all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Op::ALL
            .into_iter()
            .find(|op| op.text() == text)
            .ok_or_else(|| {
                let all: Vec<&str> = Op::ALL.iter().map(|op| op.text()).collect();
                format!("'{text}' is not an operator; there are {}", all.join(" "))
            })
    }

    /// The operator at the beginning of a text, and what follows.
    pub(super) fn split(text: &str) -> Option<(Op, &str)> {
        Op::ALL
            .into_iter()
            .find_map(|op| text.strip_prefix(op.text()).map(|rest| (op, rest)))
    }

    /// Whether it compares with the request (and sets nothing).
    pub fn is_comparison(self) -> bool {
        !matches!(
            self,
            Op::Set | Op::Assign | Op::Append | Op::Prepend | Op::Remove
        )
    }

    /// Whether it puts in order: for numbers only.
    pub fn is_ordering(self) -> bool {
        matches!(
            self,
            Op::Greater | Op::GreaterEqual | Op::Less | Op::LessEqual
        )
    }

    /// Whether it only asks if the attribute is there; the value does not matter.
    pub fn is_presence(self) -> bool {
        matches!(self, Op::Present | Op::Absent)
    }

    /// Whether it takes a regular expression.
    pub fn is_pattern(self) -> bool {
        matches!(self, Op::Matches | Op::NotMatches)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_read_back_and_the_longest_wins() {
        for op in Op::ALL {
            assert_eq!(Op::parse(op.text()), Ok(op));
            assert_eq!(Op::split(&format!("{op} 1")), Some((op, " 1")));
        }
        assert_eq!(Op::split("==1"), Some((Op::Equal, "1")));
        assert_eq!(Op::split("=1"), Some((Op::Set, "1")));
        assert_eq!(Op::split("1"), None);
        assert!(Op::parse("=>").is_err_and(|reason| reason.contains(":= == +=")));
    }
}
