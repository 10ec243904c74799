//! The one table of words: every reason for which a request is refused or left unanswered.
//!
//! Each line is declared once: the variant, its word (log field, metric label, API value), the sentence an operator
//! reads and what he can do about it. The page `docs/words.md` is [`markdown`]'s output. A refusal or a drop that is
//! none of these words cannot happen, and no word is ever spoken to the device: a refused person must **never** learn
//! which half of his name and password was wrong.

macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($variant:ident = $word:literal $(@ $ours:ident)?: $sentence:literal, $remedy:literal;)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(#[doc = $sentence] #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            const ALL: &'static [$name] = &[$($name::$variant),+];

            /// Every word, in the order of the table.
            pub fn all() -> &'static [$name] {
                Self::ALL
            }

            /// For logs, metrics and the API: lower-case letters and underscores.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// What happened, for the operator.
            pub fn sentence(self) -> &'static str {
                match self { $($name::$variant => $sentence,)+ }
            }

            /// What the operator can do about it.
            pub fn remedy(self) -> &'static str {
                match self { $($name::$variant => $remedy,)+ }
            }

            /// The entry of a word.
            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }

            /// Whether the fault is this server's, not the device's or the person's.
            pub fn is_ours(self) -> bool {
                match self { $($name::$variant => words!(@ours $($ours)?),)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
    (@ours) => { false };
    (@ours ours) => { true };
}

words! {
    /// Why a request was answered with Access-Reject. Never a fault of this server (RFC 5080 section 2.2.1): those are
    /// [`Dropped`], so that the NAS asks another server.
    pub enum Refusal {
        UnknownUser = "unknown_user":
            "Nobody in the organisation is known by this name.",
            "Compare the name with the person's identifiers, letter by letter: user names are compared exactly. If the NAS adds or drops a realm, correct it there. A person of another organisation has to join this one, or the NAS needs a route to that one.";
        AmbiguousUser = "ambiguous_user":
            "The name fits more than one person of the organisation.",
            "Let the people sign in with their user names, or remove the e-mail address, phone number or MAC address that they share.";
        WrongPassword = "wrong_password":
            "The password, or the proof made from it, does not match.",
            "Let the person try again or set a new password. If every PAP login through one NAS fails, its shared secret differs from the one stored here.";
        NoPassword = "no_password":
            "The person has no password stored, so nothing can be proven.",
            "Set a password for the person.";
        NoProof = "no_proof":
            "The request brings neither a password nor another proof.",
            "Choose PAP, CHAP or MS-CHAP on the NAS. For devices known by their MAC address, store the address with its person.";
        MalformedProof = "malformed_proof":
            "The proof in the request has a wrong size or form.",
            "Update the firmware of the NAS, or choose another authentication method there.";
        NeedsOtherProof = "needs_other_proof":
            "The stored form of the password cannot verify this method: a hash serves PAP only.",
            "Switch the NAS to PAP, or store the password recoverably (or as NT hash for MS-CHAP) and set it anew.";
        EapNotOffered = "eap_not_offered":
            "The device asked for EAP and the server offers it no EAP method.",
            "Configure the network for a captive portal or MAC authentication instead of WPA-Enterprise.";
        Locked = "locked":
            "The person is locked for a while after too many wrong passwords.",
            "Wait until the lock ends or lift it. A device with an old password stored is the usual cause.";
        DeviceLocked = "device_locked":
            "The device is locked for a while after too many wrong passwords.",
            "Wait until the lock ends or lift it; then correct the password stored on the device.";
        NasLocked = "nas_locked":
            "Requests through this NAS are refused for a while after very many wrong passwords.",
            "Look through the attempts for somebody guessing passwords, then lift the lock.";
        Disabled = "disabled":
            "The person, or the membership in this organisation, is disabled.",
            "Enable the person again if access is meant to be given.";
        OrganisationDisabled = "organisation_disabled":
            "The organisation is disabled.",
            "Activate the organisation again.";
        Expired = "expired":
            "The time until which the person may use the network is over.",
            "Set a later expiry, or remove it.";
        PasswordExpired = "password_expired":
            "The password is older than the organisation allows.",
            "Let the person choose a new password.";
        NotVerified = "not_verified":
            "The person's identity is not verified yet.",
            "Let the person finish the verification, or mark the membership as verified.";
        QuotaSpent = "quota_spent":
            "The time or traffic allowed in this period is used up.",
            "Wait for the next period, raise the limit, or move the person to another group.";
        TooManySessions = "too_many_sessions":
            "The person has as many open sessions as are allowed at the same time.",
            "Close a session, or raise Simultaneous-Use. If the sessions are stale, the NAS does not report their end: check its accounting.";
        OutsideHours = "outside_hours":
            "Access is not allowed at this hour.",
            "Change Login-Time of the person or the group, and check the organisation's time zone.";
        WrongNas = "wrong_nas":
            "The person may not come through this NAS.",
            "Change the check on NAS-IP-Address, NAS-Identifier, Called-Station-Id or Huntgroup-Name.";
        WrongDevice = "wrong_device":
            "The person may not use this device.",
            "Change the check on Calling-Station-Id to the device's address, or remove it. Devices that randomise their MAC address change it by themselves.";
        CheckFailed = "check_failed":
            "A check of the person or of all the groups does not match the request.",
            "The explanation of the attempt names the check: change it or remove it.";
        AuthTypeReject = "auth_type_reject":
            "A check says Auth-Type := Reject.",
            "Remove that check from the person or the group if access is meant to be given.";
    }
}

words! {
    /// Why a request was not answered at all.
    pub enum Dropped {
        UnknownNas = "unknown_nas":
            "The request comes from an address, or names a NAS, that is not known.",
            "Add the NAS with the address shown. Behind NAT, add it with its NAS-Identifier.";
        AmbiguousNas = "ambiguous_nas":
            "Several NASes fit the request and nothing in it tells which one sent it.",
            "Give each NAS its NAS-Identifier, or let them send Message-Authenticator so that the secret tells.";
        NasDisabled = "nas_disabled":
            "The NAS is disabled.",
            "Enable the NAS again.";
        BadLength = "bad_length":
            "The datagram is shorter than a RADIUS packet or than its own length field says.",
            "Look for something that is not RADIUS sending to this port, or for lost fragments on the way.";
        MalformedAttribute = "malformed_attribute":
            "An attribute has an impossible length or the type 0.",
            "Update the firmware of the NAS.";
        TooManyAttributes = "too_many_attributes":
            "The packet has more attributes than any honest NAS sends.",
            "Find out what sent it; nothing that serves people needs so many.";
        UnknownCode = "unknown_code":
            "The packet's code is no request that this server takes.",
            "Check what was configured on the sender: replies and private codes are not taken.";
        WrongPort = "wrong_port":
            "An authentication packet came to the accounting port, or the other way round.",
            "Correct the ports on the NAS: 1812 is authentication, 1813 accounting.";
        NotForUs = "not_for_us":
            "A Disconnect or CoA request: these go to the NAS, not to this server.",
            "Point the sender at the NAS.";
        BadAuthenticator = "bad_authenticator":
            "The Request Authenticator of an accounting packet is wrong: the shared secret differs.",
            "Enter the same shared secret on the NAS and here.";
        MissingMessageAuthenticator = "missing_message_authenticator":
            "The request has no Message-Authenticator, and this NAS or this kind of request must have one.",
            "Update the NAS or switch Message-Authenticator on there. Until then let this NAS be observed instead of required.";
        BadMessageAuthenticator = "bad_message_authenticator":
            "The Message-Authenticator is wrong: the shared secret differs, or the packet was changed on its way.",
            "Enter the same shared secret on the NAS and here.";
        RepeatedMessageAuthenticator = "repeated_message_authenticator":
            "The request has more than one Message-Authenticator.",
            "Update the sender, or look for a proxy that adds a second one.";
        MalformedMessageAuthenticator = "malformed_message_authenticator":
            "The Message-Authenticator does not have 16 octets.",
            "Update the firmware of the sender.";
        SharedSecretMismatch = "shared_secret_mismatch":
            "The password came out as noise: the shared secret differs.",
            "Enter the same shared secret on the NAS and here.";
        ProxyStateUnsigned = "proxy_state_unsigned":
            "The request has Proxy-State but no Message-Authenticator: forged replies could be bred from it (CVE-2024-3596).",
            "Update the proxy so that it signs its requests. If the NAS never sent Proxy-State before, somebody may be attacking it.";
        TooManyProxyStates = "too_many_proxy_states":
            "The request passed more proxies than any honest path has.",
            "Look for a loop between proxies.";
        EapWithPassword = "eap_with_password":
            "The request has an EAP message and a password at once (forbidden by RFC 3579).",
            "Update the firmware of the NAS.";
        UnreadableReport = "unreadable_report":
            "The accounting packet lacks what a report must have, or holds it in a wrong form.",
            "Update the firmware of the NAS: Acct-Status-Type and Acct-Session-Id are needed.";
        Duplicate = "duplicate":
            "The same request is being worked on; its answer goes out once.",
            "Nothing, when seldom. When often, the NAS repeats too early: give it a time-out of 3 to 5 seconds.";
        Flood = "flood":
            "This sender sends more than its share.",
            "Find out what it sends so much of, mostly one device with a wrong password; the log names who sends most.";
        NotReady = "not_ready" @ ours:
            "The server is still loading what it needs to decide.",
            "Wait for the log to say that it is ready. NASes with a second server use that one meanwhile.";
        Shed = "shed" @ ours:
            "The server has more work waiting than it could finish in time.",
            "Add cores or a node. Slow password hashes (argon2) with many logins at once are the usual cause.";
        TooLate = "too_late" @ ours:
            "The work on this request took longer than any NAS waits.",
            "Look at what was slow: the machine's load, the database, or the cost of the password hash.";
        DatabaseAway = "database_away" @ ours:
            "The database could not be asked.",
            "Bring the database back; the log names the error.";
        CredentialUnreadable = "credential_unreadable" @ ours:
            "The stored password does not open: the key ring is not the one it was sealed with.",
            "Restore the key ring that belongs to this database.";
        JournalFull = "journal_full" @ ours:
            "The accounting journal has reached its size limit, so the report could not be kept.",
            "Bring the database back or make room: reports wait in the journal until the database has them.";
        JournalFailed = "journal_failed" @ ours:
            "The accounting journal could not be written.",
            "Check the disk that holds the data folder; the log names the error.";
        ReplyTooLong = "reply_too_long" @ ours:
            "The reply would have more than 4096 octets.",
            "Remove reply attributes from the person's groups.";
        SendFailed = "send_failed" @ ours:
            "The operating system refused to send the reply.",
            "Check routes and firewall of this machine; the log names the error.";
        Internal = "internal" @ ours:
            "Working on the request failed in a way that should be impossible.",
            "Report the log line: it is an error in the program.";
    }
}

/// The page that explains every word.
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Generated from crates/access/src/word.rs: change it there. -->\n\
         # Words\n\n\
         Logs, metrics, the API and the command line name every refused and every unanswered request by one of these\n\
         words. The person or the device is never told which.\n",
    );
    page.push_str("\n## Refused\n\nThe answer was Access-Reject.\n");
    for refusal in Refusal::all() {
        entry(
            &mut page,
            refusal.word(),
            refusal.sentence(),
            refusal.remedy(),
        );
    }
    page.push_str("\n## Not answered\n\nThe request was dropped in silence, as RADIUS demands; the reason is kept here.\n");
    for dropped in Dropped::all().iter().filter(|dropped| !dropped.is_ours()) {
        entry(
            &mut page,
            dropped.word(),
            dropped.sentence(),
            dropped.remedy(),
        );
    }
    page.push_str("\n## Not answered, and it is this server's fault\n\nThe NAS is left to ask another server.\n");
    for dropped in Dropped::all().iter().filter(|dropped| dropped.is_ours()) {
        entry(
            &mut page,
            dropped.word(),
            dropped.sentence(),
            dropped.remedy(),
        );
    }
    page
}

fn entry(page: &mut String, word: &str, sentence: &str, remedy: &str) {
    page.push_str(&format!(
        "\n### `{word}`\n\n{sentence}\n\n**Remedy:** {remedy}\n"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_is_unique_snake_case_and_read_back() {
        let words: Vec<&str> = Refusal::all()
            .iter()
            .map(|r| r.word())
            .chain(Dropped::all().iter().map(|d| d.word()))
            .collect();
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
        for word in &words {
            assert!(
                word.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{word}"
            );
        }
        for refusal in Refusal::all() {
            assert_eq!(Refusal::from_word(refusal.word()), Some(*refusal));
            assert_eq!(
                serde_json::to_value(refusal)
                    .ok()
                    .as_ref()
                    .and_then(|v| v.as_str()),
                Some(refusal.word())
            );
        }
        for dropped in Dropped::all() {
            assert_eq!(Dropped::from_word(dropped.word()), Some(*dropped));
        }
        assert_eq!(Refusal::from_word("flood"), None);
    }

    #[test]
    fn faults_of_ours_are_drops_and_never_refusals() {
        assert!(Refusal::all().iter().all(|refusal| !refusal.is_ours()));
        assert!(Dropped::JournalFull.is_ours() && Dropped::NotReady.is_ours());
        assert!(!Dropped::UnknownNas.is_ours());
    }

    #[test]
    fn the_page_explains_every_word_once() {
        let page = markdown();
        for word in Refusal::all()
            .iter()
            .map(|r| r.word())
            .chain(Dropped::all().iter().map(|d| d.word()))
        {
            assert_eq!(
                page.matches(&format!("\n### `{word}`\n")).count(),
                1,
                "{word}"
            );
        }
    }
}
