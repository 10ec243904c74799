//! Where answers differ from FreeRADIUS 3.2 on purpose. The differential test fails on any other difference, and on an
//! entry that is no longer true; `docs/conformance.md` shows the table.

use std::borrow::Cow;

/// One difference.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The input, as the differential test names it. `*` at its end stands for the rest.
    pub input: Cow<'static, str>,
    /// What differs.
    pub what: &'static str,
    /// There.
    pub theirs: Cow<'static, str>,
    /// Here.
    pub ours: Cow<'static, str>,
    /// Why on purpose.
    pub reason: &'static str,
}

impl Difference {
    /// Whether a found difference is this listed one.
    pub fn is(&self, found: &Difference) -> bool {
        self.input == found.input
            && self.what == found.what
            && self.theirs == found.theirs
            && self.ours == found.ours
    }
}

const SIGNED: &str = "every answer to an Access-Request or Status-Server carries Message-Authenticator, as its first \
    attribute, against forged answers (CVE-2024-3596)";

const fn signed(input: &'static str) -> Difference {
    Difference {
        input: Cow::Borrowed(input),
        what: "signed first",
        theirs: Cow::Borrowed("false"),
        ours: Cow::Borrowed("true"),
        reason: SIGNED,
    }
}

/// Every difference on purpose.
pub const DIFFERENCES: &[Difference] =
    &[signed("PAP, right, unsigned"), signed("PAP, right, signed")];
