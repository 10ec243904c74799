//! The question: what an Access-Request asks, as values. Read once from the packet; nothing is decided here.
//!
//! It borrows the packet, so a question costs no copy but that of an unhidden password.

use proof::attempt::Attempt;
use proof::mac::Mac;
use radius_wire::hide::PlainPassword;
use radius_wire::{Packet, Request, attrs};

/// Service-Type of a request without credentials: "is this caller known?" (RFC 2865 §5.6).
const CALL_CHECK: u32 = 10;
/// The Meraki dashboard's test login: answered like any other, but its failures mean nothing about a person.
const DEVICE_SELF_TESTS: &[&[u8]] = &[b"meraki_8021x_test"];

/// Who a packet is about, as it says itself: read alike for logins and for accounting, or a session would end up in
/// another place than its login.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// User-Name without trailing NULs; empty where absent.
    pub user_name: &'a [u8],
    /// The device, where Calling-Station-Id is a MAC address in any spelling.
    pub mac: Option<Mac>,
    /// Set when this is MAC authentication: the device's address is also the name.
    pub mac_login: Option<Mac>,
}

impl<'a> Asker<'a> {
    /// Reads a packet.
    pub fn of(packet: &Packet<'a>) -> Self {
        let user_name = packet
            .get(attrs::USER_NAME)
            .map(trim_nul)
            .unwrap_or_default();
        let mac = packet.get(attrs::CALLING_STATION_ID).and_then(mac_of);
        let call_check = packet.get(attrs::SERVICE_TYPE) == Some(CALL_CHECK);
        let mac_login = match (mac_of(user_name), mac) {
            (Some(named), Some(device)) if named == device => Some(named),
            (Some(named), None) if call_check => Some(named),
            (_, Some(device)) if call_check => Some(device),
            _ => None,
        };
        Self {
            user_name,
            mac,
            mac_login,
        }
    }

    /// The part after the last `@`, or before a `\`; folded, since realms do not tell case apart (RFC 7542 §2.2).
    pub fn realm(&self) -> Option<String> {
        let name = std::str::from_utf8(self.user_name).ok()?;
        let realm = match name.rsplit_once('@') {
            Some((_, realm)) => realm,
            None => name.split_once('\\')?.0,
        };
        (!realm.is_empty()).then(|| realm.to_lowercase())
    }

    /// The name without its realm.
    pub fn stripped_name(&self) -> Option<&'a str> {
        let name = std::str::from_utf8(self.user_name).ok()?;
        match name.rsplit_once('@') {
            Some((user, _)) => Some(user),
            None => name.split_once('\\').map(|(_, user)| user),
        }
    }
}

/// What an Access-Request asks.
pub struct Question<'a> {
    /// The packet, for checks on any attribute.
    pub packet: Packet<'a>,
    /// Who it is about.
    pub asker: Asker<'a>,
    /// The proof that is offered.
    pub offer: Offer<'a>,
    /// The unhidden password looks like noise: the shared secrets probably differ.
    pub noise: bool,
}

/// The proof that a request offers.
pub enum Offer<'a> {
    /// None at all.
    Nothing,
    /// User-Password, unhidden.
    Pap(PlainPassword),
    /// CHAP-Password.
    Chap {
        /// The CHAP identifier.
        ident: u8,
        /// The response.
        response: &'a [u8; 16],
        /// CHAP-Challenge, else the Request Authenticator.
        challenge: &'a [u8],
    },
    /// MS-CHAP-Response.
    MsChap {
        /// The identifier, for MS-CHAP-Error.
        ident: u8,
        /// MS-CHAP-Challenge.
        challenge: &'a [u8],
        /// NT-Response.
        nt_response: &'a [u8; 24],
    },
    /// MS-CHAP2-Response.
    MsChapV2 {
        /// The identifier, for MS-CHAP2-Success and MS-CHAP-Error.
        ident: u8,
        /// MS-CHAP-Challenge.
        challenge: &'a [u8; 16],
        /// Peer-Challenge.
        peer_challenge: &'a [u8; 16],
        /// NT-Response.
        nt_response: &'a [u8; 24],
    },
    /// An EAP conversation.
    Eap,
    /// There is one, but its lengths are not those of its RFC: never right.
    Malformed(&'static str),
}

impl<'a> Question<'a> {
    /// Reads a verified request.
    pub fn from(request: &Request<'a>) -> Self {
        let packet = request.packet();
        let offer = read_offer(request, &packet);
        let noise = matches!(&offer, Offer::Pap(password) if looks_like_noise(password));
        Self {
            packet,
            asker: Asker::of(&packet),
            offer,
            noise,
        }
    }

    /// The network's name, from Called-Station-Id or a vendor's attribute. Looked for each time: few ask.
    pub fn ssid(&self) -> Option<&'a [u8]> {
        ssid_of(&self.packet)
    }

    /// User-Name for people to read.
    pub fn name(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.asker.user_name)
    }

    /// Whether a device asks about itself: such failures are not a person's.
    pub fn is_self_test(&self) -> bool {
        DEVICE_SELF_TESTS.contains(&self.asker.user_name)
    }

    /// The proof as `proof` reads it; `None` for what is no password proof.
    pub fn attempt(&self) -> Option<Attempt<'_>> {
        Some(match &self.offer {
            Offer::Pap(password) => Attempt::Pap { password },
            Offer::Chap {
                ident,
                response,
                challenge,
            } => Attempt::Chap {
                ident: *ident,
                response,
                challenge,
            },
            Offer::MsChap {
                challenge,
                nt_response,
                ..
            } => Attempt::MsChap {
                challenge,
                nt_response,
            },
            Offer::MsChapV2 {
                ident,
                challenge,
                peer_challenge,
                nt_response,
            } => Attempt::MsChapV2 {
                ident: *ident,
                authenticator_challenge: challenge,
                peer_challenge,
                nt_response,
                user_name: self.asker.user_name,
            },
            Offer::Nothing | Offer::Eap | Offer::Malformed(_) => return None,
        })
    }

    /// The method's name for logs and `explain`.
    pub fn method(&self) -> &'static str {
        if self.asker.mac_login.is_some() {
            return "mac";
        }
        match &self.offer {
            Offer::Nothing => "none",
            Offer::Pap(_) => "pap",
            Offer::Chap { .. } => "chap",
            Offer::MsChap { .. } => "mschap",
            Offer::MsChapV2 { .. } => "mschapv2",
            Offer::Eap => "eap",
            Offer::Malformed(_) => "malformed",
        }
    }
}

fn read_offer<'a>(request: &Request<'a>, packet: &Packet<'a>) -> Offer<'a> {
    if packet.contains(EAP_MESSAGE) {
        return Offer::Eap;
    }
    if let Some(password) = request.password() {
        return match password {
            Ok(password) => Offer::Pap(password),
            Err(_) => Offer::Malformed("User-Password is not 16 to 128 octets in blocks of 16"),
        };
    }
    if let Some(value) = packet.get(attrs::CHAP_PASSWORD) {
        let Some((&ident, response)) = value.split_first() else {
            return Offer::Malformed("CHAP-Password is not 17 octets");
        };
        let Ok(response) = <&[u8; 16]>::try_from(response) else {
            return Offer::Malformed("CHAP-Password is not 17 octets");
        };
        let challenge = packet
            .get(attrs::CHAP_CHALLENGE)
            .unwrap_or(packet.authenticator());
        return Offer::Chap {
            ident,
            response,
            challenge,
        };
    }
    let challenge = packet.get(attrs::microsoft::MS_CHAP_CHALLENGE);
    if let Some(value) = packet.get(attrs::microsoft::MS_CHAP2_RESPONSE) {
        return read_mschap2(value, challenge).unwrap_or(Offer::Malformed(
            "MS-CHAP2-Response is not 50 octets with a challenge of 16",
        ));
    }
    if let Some(value) = packet.get(attrs::microsoft::MS_CHAP_RESPONSE) {
        return read_mschap(value, challenge).unwrap_or(Offer::Malformed(
            "MS-CHAP-Response is not 50 octets with a challenge of 8",
        ));
    }
    Offer::Nothing
}

/// EAP-Message (RFC 3579 §3.1).
const EAP_MESSAGE: u8 = 79;

/// Ident, Flags, Peer-Challenge (16), Reserved (8), NT-Response (24): RFC 2548 §2.3.2.
fn read_mschap2<'a>(value: &'a [u8], challenge: Option<&'a [u8]>) -> Option<Offer<'a>> {
    if value.len() != 50 {
        return None;
    }
    Some(Offer::MsChapV2 {
        ident: value[0],
        challenge: challenge?.try_into().ok()?,
        peer_challenge: value[2..18].try_into().ok()?,
        nt_response: value[26..50].try_into().ok()?,
    })
}

/// Ident, Flags, LM-Response (24), NT-Response (24): RFC 2548 §2.1.3.
fn read_mschap<'a>(value: &'a [u8], challenge: Option<&'a [u8]>) -> Option<Offer<'a>> {
    if value.len() != 50 {
        return None;
    }
    Some(Offer::MsChap {
        ident: value[0],
        challenge: challenge.filter(|challenge| challenge.len() >= 8)?,
        nt_response: value[26..50].try_into().ok()?,
    })
}

/// Called-Station-Id is `AA-BB-CC-DD-EE-FF:SSID` (RFC 3580 §3.20); some devices have an attribute of their own.
pub fn ssid_of<'a>(packet: &Packet<'a>) -> Option<&'a [u8]> {
    /// A MAC with separators: the SSID begins after one more character.
    const SPELLED_MAC: usize = 17;
    if let Some(called) = packet.get(attrs::CALLED_STATION_ID).map(trim_nul)
        && called.len() > SPELLED_MAC + 1
        && called[SPELLED_MAC] == b':'
        && mac_of(&called[..SPELLED_MAC]).is_some()
    {
        return Some(&called[SPELLED_MAC + 1..]);
    }
    packet
        .get(attrs::aruba::ESSID_NAME)
        .or_else(|| packet.get(attrs::ruckus::SSID))
        .or_else(|| packet.get(attrs::fortinet::SSID))
        .map(trim_nul)
        .or_else(|| {
            packet
                .get_all(attrs::cisco::AVPAIR)
                .find_map(|pair| pair.strip_prefix(b"ssid="))
        })
        .filter(|ssid| !ssid.is_empty())
}

fn mac_of(octets: &[u8]) -> Option<Mac> {
    Mac::parse(trim_nul(octets)).ok()
}

fn trim_nul(octets: &[u8]) -> &[u8] {
    let end = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .map_or(0, |last| last + 1);
    &octets[..end]
}

/// Unhidden with the wrong secret, a password is sixteen or more random octets: no UTF-8, and with octets that no
/// alphabet uses (C0 and C1 controls) in 99 of 100 cases. Passwords in old encodings lack those, typing errors lack both.
pub fn looks_like_noise(password: &[u8]) -> bool {
    std::str::from_utf8(password).is_err()
        && password
            .iter()
            .any(|octet| matches!(octet, 0x00..=0x1f | 0x7f..=0x9f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_told_from_passwords_in_old_encodings() {
        let table: [(&[u8], bool); 6] = [
            (b"wonderland", false),
            ("pässwörd".as_bytes(), false),
            (b"p\xe4ssw\xf6rd", false),
            (b"tab\tinside", false),
            (b"\xcf\xe0\xf0\xee\xeb\xfc", false),
            (b"\x02\x9f\xe1J\x7fq\x11\xc3\xa0\xffb\x1c", true),
        ];
        for (password, expect) in table {
            assert_eq!(looks_like_noise(password), expect, "{password:?}");
        }
    }

    #[test]
    fn trailing_nuls_are_no_part_of_a_name() {
        assert_eq!(trim_nul(b"bob\0\0"), b"bob");
        assert_eq!(trim_nul(b"\0\0"), b"");
        assert_eq!(trim_nul(b"b\0b"), b"b\0b");
    }
}
