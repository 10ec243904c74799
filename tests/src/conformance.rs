//! What is promised about protocols, and the test that shows each promise. `docs/conformance.md` is made of this.

use crate::differences::DIFFERENCES;
use std::fmt::Write;

/// One promise.
pub struct Promise {
    /// Which RFC.
    pub rfc: &'static str,
    /// Which part of it.
    pub section: &'static str,
    /// What is true.
    pub what: &'static str,
    /// The tests that show it, by their functions' names.
    pub tests: &'static [&'static str],
}

const fn promise(
    rfc: &'static str,
    section: &'static str,
    what: &'static str,
    tests: &'static [&'static str],
) -> Promise {
    Promise {
        rfc,
        section,
        what,
        tests,
    }
}

/// Every promise, in the order of RFCs.
pub const PROMISES: &[Promise] = &[
    promise(
        "RFC 2433",
        "B",
        "MS-CHAP version 1 against the published example",
        &[
            "version_1_response_of_rfc_2433_is_reproduced",
            "every_method_is_accepted",
        ],
    ),
    promise(
        "RFC 2548",
        "2.1",
        "MS-CHAP-Error tells the device what went wrong",
        &[
            "a_wrong_response_gets_an_error_that_the_device_understands",
            "error_texts_have_the_shape_clients_parse",
        ],
    ),
    promise(
        "RFC 2548",
        "2.4.2, 2.4.3",
        "MPPE keys are hidden with a salt of their own",
        &[
            "known_hidden_attributes_are_made_octet_for_octet",
            "every_hidden_value_has_a_salt_of_its_own_with_the_top_bit_set",
        ],
    ),
    promise(
        "RFC 2759",
        "8, 9.2",
        "MS-CHAP version 2: the response is checked and the server proves itself",
        &[
            "version_2_exchange_of_rfc_2759_is_reproduced",
            "every_method_is_accepted",
        ],
    ),
    promise(
        "RFC 2865",
        "2.2",
        "CHAP with and without CHAP-Challenge",
        &[
            "every_method_is_accepted",
            "chap_takes_its_challenge_from_the_attribute_or_the_authenticator",
        ],
    ),
    promise(
        "RFC 2865",
        "3",
        "octets behind Length are padding; less than Length is dropped; 20 to 4096 octets",
        &[
            "padding_behind_the_packet_is_ignored",
            "malformed_datagrams_are_named_with_their_place",
            "packets_larger_than_the_mtu_are_taken",
            "what_is_no_request_gets_silence",
        ],
    ),
    promise(
        "RFC 2865",
        "3",
        "Response Authenticator",
        &[
            "response_authenticators_are_the_same",
            "known_replies_verify_against_their_requests",
        ],
    ),
    promise(
        "RFC 2865",
        "4.4, 5.44",
        "Access-Reject has Reply-Message and Proxy-State only",
        &["a_wrong_password_is_refused_after_a_second_with_a_message_only"],
    ),
    promise(
        "RFC 2865",
        "5",
        "type 0 and impossible lengths drop the packet; the order of attributes is kept",
        &[
            "attribute_zero_is_malformed",
            "attributes_are_read_in_order_with_their_offsets",
        ],
    ),
    promise(
        "RFC 2865",
        "5.2",
        "User-Password up to 128 octets",
        &[
            "hidden_passwords_are_the_same_octets",
            "passwords_of_every_possible_length_come_back",
            "rfc_2865_example_reveals_arctangent",
        ],
    ),
    promise(
        "RFC 2865",
        "5.26",
        "vendor attributes of every format; malformed ones are kept whole",
        &[
            "vendor_attributes_of_every_format_are_taken_apart",
            "odd_attributes_do_not_stop_a_login",
        ],
    ),
    promise(
        "RFC 2865",
        "5.33",
        "Proxy-State comes back unchanged, in order, last",
        &["proxy_states_come_back_in_their_order_and_last"],
    ),
    promise(
        "RFC 2866",
        "3",
        "Request Authenticator of accounting; a wrong one gets silence",
        &[
            "request_authenticators_are_the_same",
            "reports_may_be_signed_and_a_wrong_signature_gets_silence",
        ],
    ),
    promise(
        "RFC 2866",
        "4.1, 4.2",
        "a report is answered once it is kept, and only then",
        &[
            "no_acknowledged_report_is_lost_when_it_is_killed",
            "a_killed_process_loses_nothing_it_acknowledged",
            "a_failed_sync_is_not_acknowledged_and_a_new_segment_takes_over",
        ],
    ),
    promise(
        "RFC 2866",
        "5.1",
        "Start, Interim-Update, Stop, Accounting-On and Accounting-Off",
        &[
            "a_session_is_seen_from_start_to_stop",
            "a_nas_that_restarts_closes_its_sessions_and_may_use_their_ids_again",
            "reports_are_acknowledged_and_make_sessions",
        ],
    ),
    promise(
        "RFC 2866",
        "5.2",
        "Acct-Delay-Time and repeated reports end in the right session",
        &[
            "repeated_and_reordered_reports_end_in_the_right_session",
            "order_and_cuts_of_batches_change_nothing_on_either_engine",
        ],
    ),
    promise(
        "RFC 2867",
        "3",
        "tunnel reports are kept",
        &["strange_reports_are_kept_all_the_same"],
    ),
    promise(
        "RFC 2868",
        "3.1",
        "tagged integers have four octets",
        &[
            "tagged_integers_have_four_octets",
            "replies_are_read_as_they_were_meant",
        ],
    ),
    promise(
        "RFC 2868",
        "3.5",
        "Tunnel-Password begins with its length and is salted",
        &[
            "tunnel_passwords_begin_with_their_length",
            "known_salted_vectors_are_revealed",
        ],
    ),
    promise(
        "RFC 2869",
        "5.1, 5.2",
        "Gigawords; counters without them wrap upward",
        &[
            "a_session_is_seen_from_start_to_stop",
            "counters_of_32_bits_wrap_upward",
        ],
    ),
    promise(
        "RFC 2869",
        "5.14",
        "Message-Authenticator is made and checked",
        &[
            "known_requests_carry_a_right_message_authenticator",
            "a_wrong_one_gets_silence_and_leaves_no_trace_for_the_right_packet",
        ],
    ),
    promise(
        "RFC 3079",
        "3",
        "MPPE keys of both directions against the published example",
        &[
            "keys_of_rfc_3079_are_reproduced_and_mirror_on_the_client",
            "every_method_is_accepted",
        ],
    ),
    promise(
        "RFC 3162",
        "2.3",
        "IPv6 prefixes keep their length in bits",
        &["prefixes_keep_their_length"],
    ),
    promise(
        "RFC 3579",
        "3.1, 3.2",
        "EAP without Message-Authenticator, or beside a password, gets silence",
        &["eap_needs_it_and_takes_no_password_beside"],
    ),
    promise(
        "RFC 5080",
        "2.2.1",
        "a fault of the server is silence, never a reject",
        &["faults_of_ours_are_drops_and_never_refusals"],
    ),
    promise(
        "RFC 5080",
        "2.2.2",
        "the same request gets the same octets; another one with its identifier is new",
        &[
            "a_repeated_request_gets_the_same_octets",
            "another_authenticator_is_a_new_question_and_the_old_answer_is_not_sent",
            "repeating_while_a_refusal_waits_brings_one_answer",
        ],
    ),
    promise(
        "RFC 5176",
        "2.1, 3",
        "Disconnect-Request names NAS and session, is signed and dated; ACK and NAK are told",
        &["session_kill_asks_the_nas_and_prints_its_answer"],
    ),
    promise(
        "RFC 5997",
        "3, 4",
        "Status-Server needs Message-Authenticator and is answered on both ports",
        &[
            "status_server_needs_it_on_both_ports",
            "status_server_is_answered",
        ],
    ),
    promise(
        "RFC 6929",
        "2",
        "extended and long extended attributes",
        &[
            "extended_attributes_are_taken_apart",
            "values_over_several_attributes_are_one",
        ],
    ),
    promise(
        "RFC 7930",
        "4",
        "Protocol-Error is a code that is kept and can be sent",
        &["reports_are_understood_both_ways_and_codes_are_kept"],
    ),
    promise(
        "RFC 8044",
        "3",
        "data types of every attribute",
        &["values_of_the_right_size_round_trip_and_others_are_absent"],
    ),
    promise(
        "CVE-2024-3596",
        "answers",
        "every answer to an Access-Request begins with Message-Authenticator",
        &[
            "an_unsigned_request_gets_a_signed_answer",
            "the_response_authenticator_is_computed_after_it",
            "message_authenticator_is_first_wherever_it_is_due",
        ],
    ),
    promise(
        "CVE-2024-3596",
        "requests",
        "it can be required of a NAS; without it the request gets silence and is counted",
        &[
            "where_it_is_required_an_unsigned_request_gets_silence_and_is_counted",
            "it_may_stand_anywhere_in_a_request",
            "two_of_them_or_one_of_another_length_get_silence",
        ],
    ),
    promise(
        "CVE-2024-3596",
        "Proxy-State",
        "unsigned Proxy-State gets silence where it is limited",
        &[
            "unsigned_proxy_state_is_refused_where_it_is_limited",
            "without_the_limit_unsigned_proxy_state_is_served",
        ],
    ),
    promise(
        "CVE-2024-3596",
        "exceptions",
        "a NAS that breaks on it can be left without, and is warned of",
        &["a_nas_flagged_so_gets_none"],
    ),
    promise(
        "CVE-2024-3596",
        "advice",
        "signed and unsigned requests are counted for each NAS",
        &[
            "signed_and_unsigned_requests_are_counted",
            "advice_follows_from_what_was_seen",
        ],
    ),
];

/// Published or cross-checked octets, and the test that reproduces them.
pub const VECTORS: &[(&str, &str)] = &[
    (
        "RFC 2433 Appendix B: NT response of MyPw",
        "version_1_response_of_rfc_2433_is_reproduced",
    ),
    (
        "RFC 2759 §9.2: clientPass, with the server's proof",
        "version_2_exchange_of_rfc_2759_is_reproduced",
    ),
    (
        "RFC 2865 §7.1: arctangent, hidden",
        "rfc_2865_example_reveals_arctangent",
    ),
    (
        "RFC 2865 §7.2: CHAP of arctangent, over a socket",
        "every_method_is_accepted",
    ),
    (
        "RFC 3079 §3.5: keys of both directions",
        "keys_of_rfc_3079_are_reproduced_and_mirror_on_the_client",
    ),
    (
        "RFC 3720: CRC-32C of the journal",
        "the_rfc_3720_vectors_hold_however_the_bytes_are_cut",
    ),
    (
        "Access-Request and Access-Accept with Message-Authenticator first",
        "known_requests_are_made_octet_for_octet",
    ),
    (
        "Accounting-Request, Disconnect-Request",
        "known_keyed_requests_are_made_octet_for_octet",
    ),
    (
        "Accounting-Response, Access-Accept",
        "known_replies_are_made_octet_for_octet",
    ),
    (
        "Tunnel-Password and MPPE keys, salted",
        "known_salted_vectors_are_revealed",
    ),
];

/// The page.
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Written by tests/tests/docs.rs from tests/src/conformance.rs and tests/src/differences.rs: change it there. -->\n\
         # Conformance\n\n\
         Each line names the tests that show it; `./test NAME` runs one. A test fails when a name here is none.\n\n\
         ## RFC sections\n\n| RFC | section | what holds | tests |\n|---|---|---|---|\n",
    );
    for Promise {
        rfc,
        section,
        what,
        tests,
    } in PROMISES
    {
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        let _ = writeln!(
            page,
            "| {rfc} | {section} | {what} | {} |",
            tests.join(", ")
        );
    }
    page.push_str("\n## Vectors\n\n| octets | test |\n|---|---|\n");
    for (what, test) in VECTORS {
        let _ = writeln!(page, "| {what} | `{test}` |");
    }
    page.push_str(
        "\n## Beside FreeRADIUS 3.2\n\n\
         The same inputs go to an installed FreeRADIUS and to Gatewarden; where the answers differ, it is on purpose.\n\
         `only_the_listed_answers_differ_from_freeradius` fails on any other difference, and when one of these is gone.\n\n\
         | input | what differs | FreeRADIUS | Gatewarden | why |\n|---|---|---|---|---|\n",
    );
    for one in DIFFERENCES {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            one.input, one.what, one.theirs, one.ours, one.reason
        );
    }
    page
}
