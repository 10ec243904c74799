//! Which column holds what: a header row with names, or the five columns of OpenWISP without one.

use super::problem::Problem;
use super::record::{MAX_COLUMNS, Record};
use access::rule::Op;
use kernel::config::nearest;
use radius_wire::dictionary::Dictionary;
use zeroize::Zeroizing;

/// The columns that are known by name; every RADIUS attribute may stand beside them.
pub const COLUMNS: [&str; 9] = [
    "username",
    "password",
    "email",
    "first_name",
    "last_name",
    "phone_number",
    "group",
    "expires",
    "mac",
];

/// What people also call them.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("user", "username"),
    ("login", "username"),
    ("e_mail", "email"),
    ("email_address", "email"),
    ("phone", "phone_number"),
    ("mobile", "phone_number"),
    ("expiration_date", "expires"),
    ("mac_address", "mac"),
    ("groupname", "group"),
];

/// What one column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    /// One of [`COLUMNS`].
    Named(&'static str),
    /// An attribute for a rule of the person's own, as it is to stand in the rule, with its operator.
    Attribute(String, Op),
    /// Without a name: it must be empty in every row.
    Nameless,
}

/// How the rows of a file are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Whether the first row names the columns.
    pub(super) has_header: bool,
    /// The columns, and what a message calls them.
    pub(super) columns: Vec<(Column, String)>,
}

impl Layout {
    /// OpenWISP's.
    pub(super) fn five_columns() -> Self {
        let columns = COLUMNS[..5]
            .iter()
            .map(|name| (Column::Named(name), (*name).to_owned()));
        Self {
            has_header: false,
            columns: columns.collect(),
        }
    }

    /// From the first record. It is a header row when none of its fields is an e-mail address, which every row of the five
    /// columns has, and one of them is `username` or `email`, or one is any column's name and each of the others is a
    /// name too, or nearly one: a row of data may well hold `user` and a password.
    ///
    /// # Errors
    /// Everything that is wrong with a header row. A field that names nothing may be a password: it is told by its number
    /// and never quoted.
    pub(super) fn of(first: &Record, dictionary: &Dictionary) -> Result<Self, Vec<Problem>> {
        let fields = first
            .fields
            .as_ref()
            .map_err(|reason| vec![Problem::new(first.line, None, reason.clone())])?;
        let is_data = fields.iter().any(|field| field.contains('@'));
        if is_data || !looks_like_header(fields, dictionary) {
            // Of data with another number of fields, each row is refused by itself.
            if is_data || fields.len() == 5 {
                return Ok(Self::five_columns());
            }
            let count = fields.len();
            let reason = format!(
                "this is neither a header row (which names columns such as username, password, email) nor a row of the \
                 five columns username, password, email, first name, last name: it has {count} {}",
                if count == 1 { "field" } else { "fields" }
            );
            return Err(vec![Problem::new(first.line, None, reason)]);
        }
        let mut problems = Vec::new();
        let mut columns: Vec<(Column, String)> = Vec::with_capacity(fields.len().min(MAX_COLUMNS));
        for (field, number) in fields.iter().zip(1_usize..) {
            let title = field.trim();
            match read_title(title, dictionary) {
                Ok(Column::Named(name))
                    if columns
                        .iter()
                        .any(|(known, _)| *known == Column::Named(name)) =>
                {
                    let reason = format!("there is a column '{name}' already");
                    problems.push(Problem::new(first.line, Some(title), reason));
                }
                Ok(Column::Nameless) => columns.push((Column::Nameless, number.to_string())),
                Ok(Column::Named(name)) => columns.push((Column::Named(name), name.to_owned())),
                Ok(column) => columns.push((column, title.to_owned())),
                Err(reason) => {
                    problems.push(Problem::new(first.line, Some(&number.to_string()), reason));
                }
            }
        }
        let has = |name| {
            columns
                .iter()
                .any(|(column, _)| *column == Column::Named(name))
        };
        if problems.is_empty() && !has("username") && !has("email") {
            let reason = "a header row names a column 'username' or a column 'email'";
            problems.push(Problem::new(first.line, None, reason));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        add_where_repeated(&mut columns);
        Ok(Self {
            has_header: true,
            columns,
        })
    }
}

/// The column that a title names, in any usual spelling.
fn named(title: &str) -> Option<&'static str> {
    let plain = title.trim().to_lowercase().replace(['-', ' '], "_");
    let plain = OTHER_NAMES
        .iter()
        .find(|(other, _)| *other == plain)
        .map_or(plain.as_str(), |(_, name)| name);
    COLUMNS.into_iter().find(|name| *name == plain)
}

fn looks_like_header(fields: &[Zeroizing<String>], dictionary: &Dictionary) -> bool {
    let titles = || fields.iter().map(|field| field.trim());
    let is_plain = |title: &str| {
        let column = named(title);
        column.is_some_and(|name| {
            matches!(name, "username" | "email") && title.eq_ignore_ascii_case(name)
        })
    };
    let is_name = |title: &str| {
        let bare = split_title(title).0;
        named(title).is_some()
            || dictionary.attribute(bare).is_some()
            || nearest_title(title, bare, dictionary).is_some()
    };
    titles().any(is_plain)
        || (titles().any(|title| named(title).is_some())
            && titles().filter(|title| !title.is_empty()).all(is_name))
}

/// What a title that is no name may have been meant for.
fn nearest_title<'d>(title: &str, bare: &str, dictionary: &'d Dictionary) -> Option<&'d str> {
    nearest(&title.to_lowercase(), COLUMNS.into_iter()).or_else(|| dictionary.nearest_name(bare))
}

/// An attribute's name without its tag, as it is to stand in the rule, and what follows it.
fn split_title(title: &str) -> (&str, &str, &str) {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    let end = title.find(|c| !is_part(c)).unwrap_or(title.len());
    // "Reply-Message:=" has its colon in the operator.
    let (name, op) = match title[..end].strip_suffix(':') {
        Some(name) if title[end..].starts_with('=') => (name, &title[end - 1..]),
        _ => title.split_at(end),
    };
    (name.split(':').next().unwrap_or(name), name, op)
}

/// # Errors
/// What is wrong, without the title: it may be a password.
fn read_title(title: &str, dictionary: &Dictionary) -> Result<Column, String> {
    if title.is_empty() {
        return Ok(Column::Nameless);
    }
    if let Some(name) = named(title) {
        return Ok(Column::Named(name));
    }
    let (bare, name, op) = split_title(title);
    let Some(attribute) = dictionary.attribute(bare) else {
        return Err(match nearest_title(title, bare, dictionary) {
            Some(near) => format!("no column is called that; did you mean '{near}'?"),
            None => format!(
                "no column is called that; there are {} and every RADIUS attribute",
                COLUMNS.join(", ")
            ),
        });
    };
    let lower = attribute.name().to_lowercase();
    if lower.ends_with("-password") && !lower.starts_with("tunnel-") {
        return Err(format!(
            "{} is no rule: name the column 'password'",
            attribute.name()
        ));
    }
    let op = if op.trim().is_empty() {
        Op::Assign
    } else {
        Op::parse(op).map_err(|_| {
            let all: Vec<&str> = Op::ALL.iter().map(|op| op.text()).collect();
            let name = attribute.name();
            format!(
                "what follows {name} is not an operator; there are {}",
                all.join(" ")
            )
        })?
    };
    Ok(Column::Attribute(name.to_owned(), op))
}

/// An attribute that several columns set is meant to be said several times.
fn add_where_repeated(columns: &mut [(Column, String)]) {
    let name_of = |column: &Column| match column {
        Column::Attribute(name, Op::Assign) => Some(name.to_lowercase()),
        _ => None,
    };
    let names: Vec<String> = columns
        .iter()
        .filter_map(|(column, _)| name_of(column))
        .collect();
    for (column, _) in columns {
        let times = name_of(column).map_or(0, |name| {
            names.iter().filter(|other| **other == name).count()
        });
        if let Column::Attribute(_, op) = column
            && times > 1
        {
            *op = Op::Append;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(row: &str) -> Result<Layout, Vec<String>> {
        let fields = row
            .split(',')
            .map(|field| Zeroizing::new(field.to_owned()))
            .collect();
        Layout::of(
            &Record {
                line: 1,
                fields: Ok(fields),
            },
            Dictionary::builtin(),
        )
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn check(row: &str, expect: &[Column]) {
        let layout = layout(row).unwrap();
        assert!(layout.has_header, "{row}");
        let columns: Vec<Column> = layout
            .columns
            .into_iter()
            .map(|(column, _)| column)
            .collect();
        assert_eq!(columns, expect, "{row}");
    }

    fn attribute(name: &str, op: Op) -> Column {
        Column::Attribute(name.to_owned(), op)
    }

    #[test]
    fn columns_are_known_in_any_usual_spelling() {
        use Column::{Named, Nameless};
        check("username,password", &[Named("username"), Named("password")]);
        check(
            " E-Mail ,First name,PHONE",
            &[Named("email"), Named("first_name"), Named("phone_number")],
        );
        check("email,,", &[Named("email"), Nameless, Nameless]);
        check(
            "username,session-timeout",
            &[Named("username"), attribute("session-timeout", Op::Assign)],
        );
        check(
            "username,Calling-Station-Id ==,Tunnel-Type:1:=,Idle-Timeout=",
            &[
                Named("username"),
                attribute("Calling-Station-Id", Op::Equal),
                attribute("Tunnel-Type:1", Op::Assign),
                attribute("Idle-Timeout", Op::Set),
            ],
        );
        check(
            "username,Cisco-AVPair,cisco-avpair,Class",
            &[
                Named("username"),
                attribute("Cisco-AVPair", Op::Append),
                attribute("cisco-avpair", Op::Append),
                attribute("Class", Op::Assign),
            ],
        );
    }

    #[test]
    fn a_row_with_an_address_is_data() {
        for row in [
            "username,pw,a@example.org,Anna,Rossi",
            ",,a@example.org,,",
            "a,b,c,d,e",
            "a@example.org,b",
            // Somebody called user, and somebody whose password is password, with the address forgotten.
            "user,hunter2secret,,Jo,Doe",
            "user,passw0rd,,Jo,Doe",
            "anna,password,,Anna,Rossi",
        ] {
            assert_eq!(layout(row), Ok(Layout::five_columns()), "{row}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_header_row_is_all_named() {
        let check = |row: &str, parts: &[&str]| {
            let problems = layout(row).unwrap_err();
            assert_eq!(problems.len(), parts.len(), "{row}: {problems:?}");
            for (problem, part) in problems.iter().zip(parts) {
                assert!(problem.contains(part), "{row}: {problem}");
            }
        };
        check(
            "usrname,password,Sesion-Timeout",
            &["did you mean 'username'", "did you mean 'Session-Timeout'"],
        );
        check(
            "username,xyzzyplugh",
            &["column 2: no column is called that; there are username, password"],
        );
        check(
            "username,Email,e-mail",
            &["column e-mail: there is a column 'email' already"],
        );
        check(
            "password,group",
            &["names a column 'username' or a column 'email'"],
        );
        check(
            "username,Cleartext-Password",
            &["name the column 'password'"],
        );
        check("username,Session-Timeout =>", &["is not an operator"]);
        check("a,b", &["it has 2 fields"]);
        check("user,hunter2secret", &["it has 2 fields"]);
        check("one", &["it has 1 field"]);
    }

    #[test]
    fn a_first_row_that_is_refused_is_never_quoted() {
        let secret = "hunter2secret";
        for row in [
            "user,hunter2secret",
            "username,hunter2secret",
            "email,hunter2secret,Session-Timeout hunter2secret",
            "username,Class=hunter2secret,Cleartext-Password",
            "hunter2secret",
        ] {
            for problem in layout(row).unwrap_err() {
                assert!(!problem.contains(secret), "{row}: {problem}");
            }
        }
    }
}
