//! What is wrong with a file: every place, up to a limit beyond which they are counted only.

use serde::Serialize;

/// How many are kept with their place and reason; whoever has more wrong lines needs another file.
pub const MAX_LISTED: usize = 10_000;

/// One wrong place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Physical line, from 1, as an editor counts.
    pub line: u64,
    /// The column's name; none when it is about the whole line.
    pub column: Option<String>,
    /// One sentence. It never quotes a password.
    pub reason: String,
}

impl Problem {
    pub(super) fn new(line: u64, column: Option<&str>, reason: impl Into<String>) -> Self {
        Self {
            line,
            column: column.map(str::to_owned),
            reason: reason.into(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.column {
            Some(column) => write!(f, "line {}, column {column}: {}", self.line, self.reason),
            None => write!(f, "line {}: {}", self.line, self.reason),
        }
    }
}

/// Wrong places in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The first [`MAX_LISTED`].
    pub listed: Vec<Problem>,
    /// How many there are.
    pub total: u64,
}

impl Problems {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many are not listed.
    pub fn unlisted(&self) -> u64 {
        self.total - self.listed.len() as u64
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(problem);
        }
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// Those found in two passes over one file, in the order of the file.
    pub(super) fn merge(&mut self, other: Problems) {
        self.total += other.total;
        self.listed.extend(other.listed);
        self.listed.sort_by_key(|problem| problem.line);
        self.listed.truncate(MAX_LISTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_problems_are_only_counted() {
        let mut problems = Problems::default();
        problems.extend((1..=MAX_LISTED as u64 + 5).map(|line| Problem::new(line, None, "x")));
        assert_eq!(
            (problems.listed.len(), problems.unlisted()),
            (MAX_LISTED, 5)
        );
        let mut earlier = Problems::default();
        earlier.push(Problem::new(3, Some("email"), "y"));
        problems.merge(earlier);
        assert_eq!(
            (problems.listed.len(), problems.unlisted()),
            (MAX_LISTED, 6)
        );
        assert_eq!(problems.listed[3].to_string(), "line 3, column email: y");
    }
}
