//! Where answers differ from FreeRADIUS 3.2 on purpose. The differential test fails on any other difference, and on an
//! entry that is no longer true; `docs/conformance.md` shows the table.

use std::borrow::Cow;

/// One difference.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The input, as the differential test names it.
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
const SIGNED_REPORT: &str = "who signs a report gets a signed answer";
const REJECT_SAYS_WHY_ONLY: &str = "an Access-Reject carries Reply-Message and nothing that a session would get \
    (RFC 2865 §5.44)";
const REJECT_HAS_A_MESSAGE: &str = "the person at the device reads a sentence, the same for every refusal that could \
    tell names from passwords";
const NO_EAP_YET: &str =
    "no EAP method is offered yet: the device is told so at once and can try another network";

const fn differs(
    input: &'static str,
    what: &'static str,
    theirs: &'static str,
    ours: &'static str,
    reason: &'static str,
) -> Difference {
    let (theirs, ours) = (Cow::Borrowed(theirs), Cow::Borrowed(ours));
    Difference {
        input: Cow::Borrowed(input),
        what,
        theirs,
        ours,
        reason,
    }
}

const fn signed(input: &'static str) -> Difference {
    differs(input, "signed first", "false", "true", SIGNED)
}

/// There the reply attributes of the user are in a reject, too.
const fn reject(input: &'static str) -> Difference {
    differs(input, "attributes", "[27]", "[18]", REJECT_SAYS_WHY_ONLY)
}

const fn message(input: &'static str) -> Difference {
    differs(input, "attributes", "[]", "[18]", REJECT_HAS_A_MESSAGE)
}

/// Every difference on purpose.
pub const DIFFERENCES: &[Difference] = &[
    signed("PAP, right, unsigned"),
    signed("PAP, right, signed"),
    signed("PAP, wrong password"),
    reject("PAP, wrong password"),
    signed("PAP, unknown user"),
    message("PAP, unknown user"),
    signed("octets behind the packet"),
    signed("three Proxy-States among others"),
    signed("Status-Server, signed"),
    signed("Status-Server, signed, accounting port"),
    signed("CHAP without CHAP-Challenge"),
    signed("CHAP with CHAP-Challenge"),
    signed("CHAP-Password of 16 octets"),
    reject("CHAP-Password of 16 octets"),
    differs(
        "accounting, signed",
        "signed first",
        "false",
        "true",
        SIGNED_REPORT,
    ),
    differs(
        "EAP, signed",
        "answer",
        "Access-Challenge",
        "Access-Reject",
        NO_EAP_YET,
    ),
    signed("no credentials at all"),
    reject("no credentials at all"),
    signed("empty User-Name"),
    message("empty User-Name"),
    signed("User-Password of 3 octets"),
    reject("User-Password of 3 octets"),
    signed("vendor attribute that overruns"),
    signed("vendor attribute of 2 octets"),
    signed("unknown attribute"),
    signed("NAS-IP-Address of 3 octets"),
    signed("3,863 octets"),
];
