//! Our codec against the crate `radius` 0.4, an implementation that shares no line with it.
//!
//! Where that crate is right the two must agree on any input. Where it is known to be wrong, a test shows what the
//! RFC says and that ours does that.

use proptest::prelude::*;
use radius::core::avp::AVP;
use radius::core::packet::Packet as Theirs;
use radius::core::tag::Tag;
use radius::core::{code, rfc2865, rfc2866, rfc2868, rfc2869, rfc3162};
use radius_wire::{
    Code, Hide, Packet, Question, Reply, Request, Rules, SealOptions, Secret, attrs, packet,
};
use radius_wire::{MessageAuthenticatorRule, authenticator, hide};
use std::net::{Ipv4Addr, Ipv6Addr};

const AUTHENTICATOR: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const LENIENT: Rules = Rules {
    message_authenticator: MessageAuthenticatorRule::Observe,
    refuse_unsigned_proxy_state: false,
    max_proxy_states: 16,
};

/// Text that fits in one attribute.
fn text() -> impl Strategy<Value = String> {
    "[ -~]{1,60}|[a-zäöüß語]{1,20}"
}

fn secret() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..64)
}

/// A request of ours with one attribute of every kind that the other crate gets right.
fn ours(
    code: Code,
    identifier: u8,
    authenticator: [u8; 16],
    secret: &[u8],
    fields: &Fields,
) -> Question {
    let mut question = Question::new(code, identifier, authenticator, Secret::new(secret));
    question
        .put_text(attrs::USER_NAME, &fields.user)
        .put(attrs::NAS_PORT, fields.port)
        .put(attrs::FRAMED_IP_ADDRESS, fields.v4)
        .put(attrs::NAS_IPV6_ADDRESS, fields.v6)
        .put(attrs::CLASS, &fields.class);
    question
}

#[derive(Debug, Clone)]
struct Fields {
    user: String,
    port: u32,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    class: Vec<u8>,
}

fn fields() -> impl Strategy<Value = Fields> {
    let class = proptest::collection::vec(any::<u8>(), 1..=253);
    (
        text(),
        any::<u32>(),
        any::<Ipv4Addr>(),
        any::<Ipv6Addr>(),
        class,
    )
        .prop_map(|(user, port, v4, v6, class)| Fields {
            user,
            port,
            v4,
            v6,
            class,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_read_what_we_write(
        fields in fields(), identifier: u8, authenticator: [u8; 16], secret in secret(), password in "[ -~]{0,128}",
    ) {
        let mut question = ours(Code::ACCESS_REQUEST, identifier, authenticator, &secret, &fields);
        question.put_user_password(password.as_bytes());
        let sealed = question.seal(false).unwrap();
        let theirs = Theirs::decode(sealed.octets(), &secret).unwrap();
        prop_assert_eq!(theirs.get_code(), code::Code::AccessRequest);
        prop_assert_eq!(theirs.get_identifier(), identifier);
        prop_assert_eq!(theirs.get_authenticator().as_slice(), &authenticator[..]);
        prop_assert_eq!(rfc2865::lookup_user_name(&theirs).unwrap().unwrap(), fields.user);
        prop_assert_eq!(rfc2865::lookup_nas_port(&theirs).unwrap().unwrap(), fields.port);
        prop_assert_eq!(rfc2865::lookup_framed_ip_address(&theirs).unwrap().unwrap(), fields.v4);
        prop_assert_eq!(rfc3162::lookup_nas_ipv6_address(&theirs).unwrap().unwrap(), fields.v6);
        prop_assert_eq!(rfc2865::lookup_class(&theirs).unwrap(), fields.class);
        prop_assert_eq!(rfc2865::lookup_user_password(&theirs).unwrap().unwrap(), password.as_bytes());
    }

    #[test]
    fn we_read_what_they_write(fields in fields(), identifier: u8, secret in secret(), password in "[ -~]{1,128}") {
        let mut theirs = Theirs::new_with_identifier(code::Code::AccessRequest, &secret, identifier);
        rfc2865::add_user_name(&mut theirs, &fields.user);
        rfc2865::add_user_password(&mut theirs, password.as_bytes()).unwrap();
        rfc2865::add_nas_port(&mut theirs, fields.port);
        rfc2865::add_framed_ip_address(&mut theirs, &fields.v4);
        rfc3162::add_nas_ipv6_address(&mut theirs, &fields.v6);
        rfc2865::add_class(&mut theirs, &fields.class);
        let octets = theirs.encode().unwrap();
        let secret = Secret::new(secret);
        let packet = Packet::parse(&octets).unwrap();
        let request = Request::verify(packet, &secret, &LENIENT).unwrap();
        prop_assert_eq!(packet.code(), Code::ACCESS_REQUEST);
        prop_assert_eq!(packet.identifier(), identifier);
        prop_assert_eq!(request.get(attrs::USER_NAME), Some(fields.user.as_bytes()));
        prop_assert_eq!(request.get(attrs::NAS_PORT), Some(fields.port));
        prop_assert_eq!(request.get(attrs::FRAMED_IP_ADDRESS), Some(fields.v4));
        prop_assert_eq!(request.get(attrs::NAS_IPV6_ADDRESS), Some(fields.v6));
        prop_assert_eq!(request.get(attrs::CLASS), Some(&fields.class[..]));
        let revealed = request.password().unwrap().ok().unwrap();
        prop_assert_eq!(&revealed[..], password.as_bytes());
    }

    #[test]
    fn hidden_passwords_are_the_same_octets(password in "[ -~]{1,128}", secret in secret(), authenticator: [u8; 16]) {
        let theirs = AVP::from_user_password(2, password.as_bytes(), &secret, &authenticator).unwrap();
        let ours = hide::hide_password(password.as_bytes(), &Secret::new(secret), &authenticator).unwrap();
        prop_assert_eq!(theirs.encode_bytes(), ours);
    }

    #[test]
    fn request_authenticators_are_the_same(fields in fields(), identifier: u8, secret in secret(), kind in 0usize..3) {
        let kind = [
            (Code::ACCOUNTING_REQUEST, code::Code::AccountingRequest),
            (Code::DISCONNECT_REQUEST, code::Code::DisconnectRequest),
            (Code::COA_REQUEST, code::Code::CoARequest),
        ][kind];
        let sealed = ours(kind.0, identifier, AUTHENTICATOR, &secret, &fields).seal(false).unwrap();
        prop_assert!(Theirs::is_authentic_request(sealed.octets(), &secret));
        // With Message-Authenticator, too: it is in place before the authenticator is computed (RFC 5176 §3.4).
        let signed = ours(kind.0, identifier, AUTHENTICATOR, &secret, &fields).seal(true).unwrap();
        prop_assert!(Theirs::is_authentic_request(signed.octets(), &secret));
        let mut theirs = Theirs::new_with_identifier(kind.1, &secret, identifier);
        rfc2865::add_user_name(&mut theirs, &fields.user);
        let octets = theirs.encode().unwrap();
        let secret = Secret::new(secret);
        prop_assert!(Request::verify(Packet::parse(&octets).unwrap(), &secret, &LENIENT).is_ok());
        let mut changed = octets;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        prop_assert!(Request::verify(Packet::parse(&changed).unwrap(), &secret, &LENIENT).is_err());
    }

    #[test]
    fn response_authenticators_are_the_same(fields in fields(), identifier: u8, secret in secret(), seed: u16) {
        let sealed = ours(Code::ACCESS_REQUEST, identifier, AUTHENTICATOR, &secret, &fields).seal(true).unwrap();
        let key = Secret::new(secret.clone());
        let request = Request::verify(Packet::parse(sealed.octets()).unwrap(), &key, &LENIENT).unwrap();
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply.put_text(attrs::REPLY_MESSAGE, &fields.user).put(attrs::SESSION_TIMEOUT, fields.port);
        for message_authenticator in [true, false] {
            let answer = reply.seal(&request, SealOptions { message_authenticator, salt_seed: seed }).unwrap();
            prop_assert!(Theirs::is_authentic_response(&answer, sealed.octets(), &secret));
            let theirs = Theirs::decode(&answer, &secret).unwrap();
            prop_assert_eq!(rfc2865::lookup_session_timeout(&theirs).unwrap().unwrap(), fields.port);
        }
        let theirs = Theirs::decode(sealed.octets(), &secret).unwrap();
        let mut theirs = theirs.make_response_packet(code::Code::AccessReject);
        rfc2865::add_reply_message(&mut theirs, &fields.user);
        let answer = theirs.encode().unwrap();
        prop_assert_eq!(sealed.verify(&answer).unwrap().get(attrs::REPLY_MESSAGE), Some(fields.user.as_bytes()));
    }

    #[test]
    fn both_refuse_what_overruns(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut datagram = vec![1, 1, 0, 0];
        datagram.extend(AUTHENTICATOR);
        datagram.extend(&octets);
        let length = u16::try_from(datagram.len()).unwrap().to_be_bytes();
        datagram[2..4].copy_from_slice(&length);
        let ours = Packet::parse(&datagram);
        let theirs = Theirs::decode(&datagram, b"s");
        match ours {
            Ok(packet) => {
                let theirs = theirs.unwrap();
                for attribute in packet.attributes() {
                    let same = theirs.lookup_all(attribute.kind);
                    prop_assert!(same.iter().any(|avp| avp.encode_bytes() == attribute.value));
                }
            }
            // Type 0 is the one thing that they let through.
            Err(radius_wire::Malformed::AttributeTypeZero { .. }) => {}
            Err(_) => prop_assert!(theirs.is_err()),
        }
    }
}

/// An Access-Request of ours, verified.
fn with_request(check: impl FnOnce(&Request<'_>, &[u8])) {
    let sealed = Question::new(
        Code::ACCESS_REQUEST,
        1,
        AUTHENTICATOR,
        Secret::new("testing123"),
    )
    .seal(true)
    .unwrap();
    let secret = Secret::new("testing123");
    let packet = Packet::parse(sealed.octets()).unwrap();
    check(
        &Request::verify(packet, &secret, &LENIENT).unwrap(),
        sealed.octets(),
    );
}

/// RFC 2868 §3.5: the data's length stands before the data.
#[test]
fn tunnel_passwords_begin_with_their_length() {
    with_request(|request, _| {
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply.put_tagged(attrs::TUNNEL_PASSWORD, 1, b"secret-psk");
        let octets = reply.seal(request, SealOptions::signed(0x8001)).unwrap();
        let packet = Packet::parse(&octets).unwrap();
        let value = packet.first(69).unwrap();
        assert_eq!(hex::encode(value), "01800138d7612e787f5115bf54db6bb2ba15f3");
        let revealed = packet
            .reveal(
                attrs::TUNNEL_PASSWORD,
                request.secret(),
                request.authenticator(),
            )
            .unwrap()
            .unwrap();
        assert_eq!((revealed.tag, &revealed.plain[..]), (1, &b"secret-psk"[..]));
    });
    // The other crate hides the text alone, so that a NAS cuts its first character off.
    let tag = Tag::new(1);
    let theirs =
        AVP::from_tunnel_password(69, Some(&tag), b"secret-psk", b"testing123", &AUTHENTICATOR)
            .unwrap();
    let octets = theirs.encode_bytes();
    let salted = octets.get(1..).unwrap();
    let plain = hide::unhide_salted(salted, &Secret::new("testing123"), &AUTHENTICATOR);
    assert!(plain.is_err() || plain.is_ok_and(|plain| plain != b"secret-psk"));
}

/// RFC 3162 §2.3 and RFC 7608: a prefix has its own length in bits.
#[test]
fn prefixes_keep_their_length() {
    let prefix = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0x50, 0, 0, 0, 0), 60);
    with_request(|request, _| {
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply.put(attrs::FRAMED_IPV6_PREFIX, prefix);
        let octets = reply.seal(request, SealOptions::signed(1)).unwrap();
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(
            packet.first(97).map(|value| value[..2].to_vec()),
            Some(vec![0, 60])
        );
        assert_eq!(packet.get(attrs::FRAMED_IPV6_PREFIX), Some(prefix));
    });
    // RFC 3162 allows to leave trailing zeros out; shortened prefixes are read.
    let mut question = Question::new(Code::ACCESS_REQUEST, 1, AUTHENTICATOR, Secret::new("s"));
    question.put_raw(97, &hex::decode("003c20010db800000050").unwrap());
    let sealed = question.seal(false).unwrap();
    assert_eq!(
        Packet::parse(sealed.octets())
            .unwrap()
            .get(attrs::FRAMED_IPV6_PREFIX),
        Some(prefix)
    );
    // The other crate writes 8 for one octet, 16 for two: never 60.
    let theirs = AVP::from_ipv6_prefix(97, &prefix.0.octets()[..8])
        .unwrap()
        .encode_bytes();
    assert_eq!(theirs[1], 64);
}

/// RFC 2865 §3: octets beyond Length are padding.
#[test]
fn padding_is_not_part_of_the_digest() {
    let mut question = Question::new(
        Code::ACCOUNTING_REQUEST,
        2,
        AUTHENTICATOR,
        Secret::new("testing123"),
    );
    question
        .put(attrs::ACCT_STATUS_TYPE, 1)
        .put_text(attrs::ACCT_SESSION_ID, "S1");
    let sealed = question.seal(false).unwrap();
    let padded = [sealed.octets(), &[0, 0]].concat();
    let secret = Secret::new("testing123");
    assert!(Request::verify(Packet::parse(&padded).unwrap(), &secret, &LENIENT).is_ok());
    assert!(
        !Theirs::is_authentic_request(&padded, b"testing123"),
        "the other crate hashes the padding"
    );
}

/// RFC 2865 §3: no packet is longer than 4,096 octets, and no length field wraps.
#[test]
fn what_does_not_fit_is_not_sent() {
    with_request(|request, _| {
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        for _ in 0..258 {
            reply.put_raw(25, &[7; 253]);
        }
        assert!(reply.seal(request, SealOptions::signed(1)).is_err());
    });
    let mut theirs = Theirs::new(code::Code::AccessRequest, b"s");
    theirs.extend((0..258).map(|_| AVP::from_bytes(25, &[7; 253])).collect());
    let encoded = theirs.encode();
    assert!(
        encoded.is_err() || encoded.is_ok_and(|octets| octets.len() > packet::MAX_OCTETS),
        "the other crate's wraps"
    );
}

/// RFC 2865 §5: there is no attribute 0, and no packet with one.
#[test]
fn attribute_zero_is_malformed() {
    let octets = hex::decode("01010018000102030405060708090a0b0c0d0e0f00040000").unwrap();
    assert_eq!(
        Packet::parse(&octets).unwrap_err(),
        radius_wire::Malformed::AttributeTypeZero { offset: 20 }
    );
    assert!(
        Theirs::decode(&octets, b"s").is_ok(),
        "the other crate takes it"
    );
}

/// RFC 2868 §3.1: a tagged integer is one octet of tag and three of value.
#[test]
fn tagged_integers_have_four_octets() {
    with_request(|request, _| {
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply.put_tagged(attrs::TUNNEL_TYPE, 1, 13);
        let octets = reply.seal(request, SealOptions::signed(1)).unwrap();
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.first(64), Some(&[1, 0, 0, 13][..]));
        assert_eq!(packet.get_tagged(attrs::TUNNEL_TYPE), Some((1, 13)));
        let theirs = Theirs::decode(&octets, b"testing123").unwrap();
        assert!(
            rfc2868::lookup_tunnel_type(&theirs).unwrap().is_err(),
            "the other crate refuses the right form"
        );
    });
    let mut theirs = Theirs::new(code::Code::AccessAccept, b"s");
    rfc2868::add_tunnel_type(&mut theirs, Some(&Tag::new(1)), 13);
    assert_eq!(
        theirs.lookup(64).map(|avp| avp.encode_bytes().len()),
        Some(5),
        "and writes five octets"
    );
}

/// RFC 2869 §5.14 and CVE-2024-3596: the other crate neither writes nor checks Message-Authenticator.
#[test]
fn message_authenticator_is_made_and_checked() {
    with_request(|_, octets| {
        assert_eq!(octets[20..22], [80, 18]);
        assert_ne!(octets[22..38], [0; 16]);
        let mut changed = octets.to_vec();
        changed[22] ^= 1;
        let secret = Secret::new("testing123");
        assert!(Request::verify(Packet::parse(&changed).unwrap(), &secret, &LENIENT).is_err());
        assert!(Theirs::is_authentic_request(&changed, b"testing123"));
    });
    let mut theirs = Theirs::new(code::Code::StatusServer, b"testing123");
    rfc2869::add_message_authenticator(&mut theirs, &[0; 16]);
    let octets = theirs.encode().unwrap();
    assert_eq!(
        octets[22..38],
        [0; 16],
        "what goes out is the zeros that were put in"
    );
    // Signed by us, their packet is right.
    let mut signed = octets;
    authenticator::sign_request(&mut signed, &Secret::new("testing123")).unwrap();
    let secret = Secret::new("testing123");
    let packet = Packet::parse(&signed).unwrap();
    assert!(Request::verify(packet, &secret, &Rules::default()).is_ok());
}

/// Both know an accounting report, and ours keeps codes that the other loses.
#[test]
fn reports_are_understood_both_ways_and_codes_are_kept() {
    let octets = gatewarden_tests::nas::Independent::start(7, "testing123", "S1", "bob");
    let packet = Packet::parse(&octets).unwrap();
    let secret = Secret::new("testing123");
    let request = Request::verify(packet, &secret, &Rules::default()).unwrap();
    assert_eq!(
        request.get(attrs::ACCT_STATUS_TYPE),
        Some(rfc2866::ACCT_STATUS_TYPE_START)
    );
    assert_eq!(code::Code::from(52), code::Code::Invalid);
    let protocol_error = hex::decode("34010014000102030405060708090a0b0c0d0e0f").unwrap();
    assert_eq!(
        Packet::parse(&protocol_error).unwrap().code(),
        Code::PROTOCOL_ERROR
    );
    assert_eq!(attrs::TUNNEL_PASSWORD.hide, Hide::Salted);
}
