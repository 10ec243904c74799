//! The ways in which a device proves that it knows a password.

/// One proof, as it came out of a request. Borrowed: an attempt lives as long as its packet.
#[derive(Clone, Copy)]
pub enum Attempt<'a> {
    /// The password itself (RFC 2865 section 5.2, already revealed), also GTC and TTLS-PAP.
    Pap {
        /// The password's octets.
        password: &'a [u8],
    },
    /// CHAP (RFC 1994, RFC 2865 section 5.3), also EAP-MD5.
    Chap {
        /// CHAP identifier: the first octet of CHAP-Password.
        ident: u8,
        /// The other sixteen octets of CHAP-Password.
        response: &'a [u8; 16],
        /// CHAP-Challenge, or the Request Authenticator where that attribute is absent.
        challenge: &'a [u8],
    },
    /// MS-CHAP version 1 (RFC 2433). Only the NT response proves anything here: LM responses are
    /// not supported, since their key space is searched in minutes.
    MsChap {
        /// MS-CHAP-Challenge. The first eight octets count; fewer make the attempt wrong.
        challenge: &'a [u8],
        /// The NT-Response field. All zero means that the client sent an LM response only.
        nt_response: &'a [u8; 24],
    },
    /// MS-CHAP version 2 (RFC 2759).
    MsChapV2 {
        /// Identifier of the exchange, given back in MS-CHAP2-Success.
        ident: u8,
        /// MS-CHAP-Challenge: what the authenticator asked.
        authenticator_challenge: &'a [u8; 16],
        /// Peer-Challenge field of the response.
        peer_challenge: &'a [u8; 16],
        /// NT-Response field of the response.
        nt_response: &'a [u8; 24],
        /// The name the client hashed, `DOMAIN\` included if it came so.
        user_name: &'a [u8],
    },
}

impl Attempt<'_> {
    /// The method of this attempt. Never [`Method::Mac`]: a MAC authentication looks like PAP or
    /// CHAP on the wire and is told apart by the names in the request.
    pub fn method(&self) -> Method {
        match self {
            Attempt::Pap { .. } => Method::Pap,
            Attempt::Chap { .. } => Method::Chap,
            Attempt::MsChap { .. } => Method::MsChap,
            Attempt::MsChapV2 { .. } => Method::MsChapV2,
        }
    }
}

/// A way of proving, for logs, metrics and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The password itself.
    Pap,
    /// MD5 over a challenge and the clear password.
    Chap,
    /// DES over a challenge with the NT hash.
    MsChap,
    /// As MS-CHAP, with a challenge from each side and a proof from the server.
    MsChapV2,
    /// The device's own address.
    Mac,
}

impl Method {
    /// Every method, in the order of the enum.
    pub const ALL: [Method; 5] = [
        Method::Pap,
        Method::Chap,
        Method::MsChap,
        Method::MsChapV2,
        Method::Mac,
    ];

    /// The name used in logs, metrics and settings. Stable.
    pub fn name(self) -> &'static str {
        match self {
            Method::Pap => "pap",
            Method::Chap => "chap",
            Method::MsChap => "mschap",
            Method::MsChapV2 => "mschapv2",
            Method::Mac => "mac",
        }
    }

    /// The name people write.
    pub fn title(self) -> &'static str {
        match self {
            Method::Pap => "PAP",
            Method::Chap => "CHAP",
            Method::MsChap => "MS-CHAP",
            Method::MsChapV2 => "MS-CHAPv2",
            Method::Mac => "MAC authentication",
        }
    }
}
