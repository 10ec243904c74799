//! The first octet of every packet: what kind of packet this is.
//!
//! Every octet is representable, because unknown codes must be counted and
//! shown, not lost. Must never decide what is done about a code.

use std::fmt;

/// A packet code (RFC 2865 §3, registry "RADIUS Packet Type Codes").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub u8);

macro_rules! codes {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $constant: Code = Code($number);)*

            /// The registered name ("Access-Request"), if the code has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }

        /// Every named code, in numeric order.
        const NAMED: &[Code] = &[$(Code($number)),*];
    };
}

codes! {
    /// A NAS asks whether somebody may come in (RFC 2865).
    ACCESS_REQUEST = 1, "Access-Request";
    /// Yes (RFC 2865).
    ACCESS_ACCEPT = 2, "Access-Accept";
    /// No (RFC 2865).
    ACCESS_REJECT = 3, "Access-Reject";
    /// A NAS reports a session (RFC 2866).
    ACCOUNTING_REQUEST = 4, "Accounting-Request";
    /// The report is stored (RFC 2866).
    ACCOUNTING_RESPONSE = 5, "Accounting-Response";
    /// Historic, reserved by RFC 2882.
    ACCOUNTING_STATUS = 6, "Accounting-Status";
    /// Historic, reserved by RFC 2882.
    PASSWORD_REQUEST = 7, "Password-Request";
    /// Historic, reserved by RFC 2882.
    PASSWORD_ACK = 8, "Password-Ack";
    /// Historic, reserved by RFC 2882.
    PASSWORD_REJECT = 9, "Password-Reject";
    /// Historic, reserved by RFC 2882.
    ACCOUNTING_MESSAGE = 10, "Accounting-Message";
    /// One more round is needed (RFC 2865).
    ACCESS_CHALLENGE = 11, "Access-Challenge";
    /// A NAS asks whether the server lives (RFC 5997).
    STATUS_SERVER = 12, "Status-Server";
    /// Reserved (RFC 2865).
    STATUS_CLIENT = 13, "Status-Client";
    /// Historic, reserved by RFC 2882.
    RESOURCE_FREE_REQUEST = 21, "Resource-Free-Request";
    /// Historic, reserved by RFC 2882.
    RESOURCE_FREE_RESPONSE = 22, "Resource-Free-Response";
    /// Historic, reserved by RFC 2882.
    RESOURCE_QUERY_REQUEST = 23, "Resource-Query-Request";
    /// Historic, reserved by RFC 2882.
    RESOURCE_QUERY_RESPONSE = 24, "Resource-Query-Response";
    /// Historic, reserved by RFC 2882.
    ALTERNATE_RESOURCE_RECLAIM_REQUEST = 25, "Alternate-Resource-Reclaim-Request";
    /// Historic, reserved by RFC 2882.
    NAS_REBOOT_REQUEST = 26, "NAS-Reboot-Request";
    /// Historic, reserved by RFC 2882.
    NAS_REBOOT_RESPONSE = 27, "NAS-Reboot-Response";
    /// Historic, reserved by RFC 2882.
    NEXT_PASSCODE = 29, "Next-Passcode";
    /// Historic, reserved by RFC 2882.
    NEW_PIN = 30, "New-Pin";
    /// Historic, reserved by RFC 2882.
    TERMINATE_SESSION = 31, "Terminate-Session";
    /// Historic, reserved by RFC 2882.
    PASSWORD_EXPIRED = 32, "Password-Expired";
    /// Historic, reserved by RFC 2882.
    EVENT_REQUEST = 33, "Event-Request";
    /// Historic, reserved by RFC 2882.
    EVENT_RESPONSE = 34, "Event-Response";
    /// The server tells a NAS to end a session (RFC 5176).
    DISCONNECT_REQUEST = 40, "Disconnect-Request";
    /// The session is ended (RFC 5176).
    DISCONNECT_ACK = 41, "Disconnect-ACK";
    /// The session is not ended (RFC 5176).
    DISCONNECT_NAK = 42, "Disconnect-NAK";
    /// The server tells a NAS to change a session (RFC 5176).
    COA_REQUEST = 43, "CoA-Request";
    /// The session is changed (RFC 5176).
    COA_ACK = 44, "CoA-ACK";
    /// The session is not changed (RFC 5176).
    COA_NAK = 45, "CoA-NAK";
    /// Historic, reserved by RFC 2882.
    IP_ADDRESS_ALLOCATE = 50, "IP-Address-Allocate";
    /// Historic, reserved by RFC 2882.
    IP_ADDRESS_RELEASE = 51, "IP-Address-Release";
    /// The request could not be processed at all (RFC 7930).
    PROTOCOL_ERROR = 52, "Protocol-Error";
}

impl Code {
    /// The code of a registered name; case does not matter. Also reads the
    /// form `Code-99` that [`Code`] prints for unnamed codes.
    pub fn from_name(name: &str) -> Option<Code> {
        if let Some(code) = NAMED
            .iter()
            .find(|code| code.name().is_some_and(|n| n.eq_ignore_ascii_case(name)))
        {
            return Some(*code);
        }
        let digits = name
            .get(..5)
            .filter(|prefix| prefix.eq_ignore_ascii_case("Code-"))
            .and_then(|_| name.get(5..))?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok().map(Code)).flatten()
    }

    /// Whether this server or client understands the code as a request.
    pub const fn is_request(self) -> bool {
        matches!(
            self,
            Code::ACCESS_REQUEST
                | Code::ACCOUNTING_REQUEST
                | Code::STATUS_SERVER
                | Code::DISCONNECT_REQUEST
                | Code::COA_REQUEST
        )
    }

    /// Whether the code answers one of the requests of [`Code::is_request`].
    pub const fn is_response(self) -> bool {
        matches!(
            self,
            Code::ACCESS_ACCEPT
                | Code::ACCESS_REJECT
                | Code::ACCESS_CHALLENGE
                | Code::ACCOUNTING_RESPONSE
                | Code::DISCONNECT_ACK
                | Code::DISCONNECT_NAK
                | Code::COA_ACK
                | Code::COA_NAK
                | Code::PROTOCOL_ERROR
        )
    }

    /// Whether the Authenticator field of this request is a digest keyed with
    /// the shared secret (RFC 2866 §3, RFC 5176 §2.3) instead of random octets.
    pub const fn has_keyed_authenticator(self) -> bool {
        matches!(
            self,
            Code::ACCOUNTING_REQUEST | Code::DISCONNECT_REQUEST | Code::COA_REQUEST
        )
    }

    /// Whether `self` is a possible answer to `request`. Protocol-Error
    /// answers any request (RFC 7930 §4).
    pub const fn answers(self, request: Code) -> bool {
        match request {
            Code::ACCESS_REQUEST => matches!(
                self,
                Code::ACCESS_ACCEPT
                    | Code::ACCESS_REJECT
                    | Code::ACCESS_CHALLENGE
                    | Code::PROTOCOL_ERROR
            ),
            Code::ACCOUNTING_REQUEST => {
                matches!(self, Code::ACCOUNTING_RESPONSE | Code::PROTOCOL_ERROR)
            }
            Code::STATUS_SERVER => matches!(
                self,
                Code::ACCESS_ACCEPT | Code::ACCOUNTING_RESPONSE | Code::PROTOCOL_ERROR
            ),
            Code::DISCONNECT_REQUEST => matches!(
                self,
                Code::DISCONNECT_ACK | Code::DISCONNECT_NAK | Code::PROTOCOL_ERROR
            ),
            Code::COA_REQUEST => {
                matches!(self, Code::COA_ACK | Code::COA_NAK | Code::PROTOCOL_ERROR)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("Code-{}", self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_printing_and_reading() {
        for number in 0..=u8::MAX {
            let code = Code(number);
            assert_eq!(Code::from_name(&code.to_string()), Some(code));
            assert_eq!(Code::from_name(&format!("Code-{number}")), Some(code));
        }
    }

    #[test]
    fn names_are_read_without_regard_to_case() {
        fn check(name: &str, expect: Option<Code>) {
            assert_eq!(Code::from_name(name), expect, "{name}");
        }
        check("access-request", Some(Code::ACCESS_REQUEST));
        check("COA-NAK", Some(Code::COA_NAK));
        check("code-99", Some(Code(99)));
        check("Code-256", None);
        check("Code-", None);
        check("Code-+5", None);
        check("", None);
        check("Códe-1", None);
        check("Access", None);
    }

    #[test]
    fn named_codes_are_listed_once_and_in_order() {
        assert!(NAMED.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(NAMED.len(), 35);
    }

    #[test]
    fn a_code_is_never_both_request_and_response() {
        for number in 0..=u8::MAX {
            let code = Code(number);
            assert!(!(code.is_request() && code.is_response()), "{code}");
        }
    }

    #[test]
    fn every_response_answers_some_request_and_nothing_else_does() {
        for number in 0..=u8::MAX {
            let code = Code(number);
            let answers = NAMED.iter().any(|request| code.answers(*request));
            assert_eq!(answers, code.is_response(), "{code}");
        }
    }
}
