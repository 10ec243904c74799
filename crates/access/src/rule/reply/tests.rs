use super::*;
use crate::rule::{Compiler, Rows, RuleSet, Side, parse_lines};
use radius_wire::attrs;
use radius_wire::{
    Code, MessageAuthenticatorRule, Packet, Question, Request, Rules, SealOptions, Secret,
};

fn compile(text: &str) -> RuleSet {
    let mut rows = Rows::default();
    for (side, row) in parse_lines(Dictionary::builtin(), text, Some(Side::Reply)).unwrap() {
        rows.side_mut(side).push(row);
    }
    let (set, faults) = Compiler::new(Dictionary::builtin()).compile(&rows);
    assert!(faults.is_empty(), "{faults:?}");
    set
}

fn list(text: &str) -> ReplyList {
    let mut list = ReplyList::new();
    list.apply(&compile(text).replies);
    list
}

fn shown(list: &ReplyList) -> Vec<String> {
    list.iter().map(ReplyItem::to_string).collect()
}

#[test]
fn rows_change_the_list_by_their_operators() {
    fn check(rows: &str, expect: &[&str]) {
        assert_eq!(shown(&list(rows)), expect, "{rows}");
    }
    check("Idle-Timeout = 1\nIdle-Timeout = 2", &["Idle-Timeout = 1"]);
    check(
        "Idle-Timeout := 1\nSession-Timeout := 5\nIdle-Timeout := 2",
        &["Idle-Timeout = 2", "Session-Timeout = 5"],
    );
    check(
        "Class += a\nClass += b\nClass := c\nClass += d",
        &["Class = 0x63", "Class = 0x64"],
    );
    check(
        "Cisco-AVPair += a\nCisco-AVPair ^= b\nCisco-AVPair += c",
        &["Cisco-AVPair = b", "Cisco-AVPair = a", "Cisco-AVPair = c"],
    );
    check(
        "Cisco-AVPair += a\nCisco-AVPair += b\nCisco-AVPair -= a\nCisco-AVPair -= z",
        &["Cisco-AVPair = b"],
    );
    check(
        "Tunnel-Type:1 := VLAN\nTunnel-Type:2 := VLAN\nTunnel-Type:1 := GRE",
        &["Tunnel-Type:1 = GRE", "Tunnel-Type:2 = VLAN"],
    );
    check(
        "Reply-Message := \"Good day\"",
        &["Reply-Message = \"Good day\""],
    );
}

#[test]
fn a_number_is_found_lowered_and_removed() {
    let mut list = list("Session-Timeout := 3600\nReply-Message := hi\nSession-Timeout += 1800");
    assert_eq!(list.least(0, 27), Some(1800));
    assert_eq!(list.find(0, 27).and_then(ReplyItem::number), Some(3600));
    list.replace(attrs::SESSION_TIMEOUT, 600);
    list.put(attrs::IDLE_TIMEOUT, 60);
    assert_eq!(
        shown(&list),
        [
            "Session-Timeout = 600",
            "Reply-Message = hi",
            "Idle-Timeout = 60"
        ]
    );
    assert_eq!(
        (list.least(0, 27), list.least(0, 18), list.least(0, 64)),
        (Some(600), None, None)
    );
    assert_eq!(
        (list.remove(0, 27), list.remove(0, 27), list.len()),
        (1, 0, 2)
    );
    // a row replaces what a constant put, too
    list.apply(&compile("Idle-Timeout := 90").replies);
    assert_eq!(shown(&list), ["Reply-Message = hi", "Idle-Timeout = 90"]);
}

/// Seals the list into an Access-Accept and gives its attributes; without Message-Authenticator.
fn sealed(list: &ReplyList) -> Vec<u8> {
    let secret = Secret::new("testing123");
    let asked = Question::new(Code::ACCESS_REQUEST, 1, [7; 16], secret.clone())
        .seal(true)
        .unwrap();
    let rules = Rules {
        message_authenticator: MessageAuthenticatorRule::Observe,
        refuse_unsigned_proxy_state: false,
        max_proxy_states: 1,
    };
    let request = Request::verify(Packet::parse(asked.octets()).unwrap(), &secret, &rules).unwrap();
    let mut reply = Reply::new(Code::ACCESS_ACCEPT);
    list.render(&mut reply).unwrap();
    let options = SealOptions {
        message_authenticator: false,
        salt_seed: 0x8000,
    };
    reply.seal(&request, options).unwrap()[20..].to_vec()
}

#[test]
fn a_list_is_rendered_in_order_with_tags_and_vendors() {
    let mut list = list(
        "Session-Timeout := 3600\nTunnel-Type:1 := VLAN\nTunnel-Private-Group-Id:1 := \"20\"\n\
         Cisco-AVPair += \"a=b\"\nMikrotik-Rate-Limit := 1M/2M",
    );
    list.put(attrs::IDLE_TIMEOUT, 60);
    list.put_tagged(attrs::TUNNEL_MEDIUM_TYPE, 1, 6);
    let mut expect = Vec::new();
    expect.extend(*b"\x1b\x06\x00\x00\x0e\x10\x40\x06\x01\x00\x00\x0d\x51\x05\x0120");
    expect.extend(*b"\x1a\x0b\x00\x00\x00\x09\x01\x05a=b");
    expect.extend(*b"\x1a\x0d\x00\x00\x3a\x8c\x08\x071M/2M");
    expect.extend(*b"\x1c\x06\x00\x00\x00\x3c\x41\x06\x01\x00\x00\x06");
    assert_eq!(sealed(&list), expect);
}

#[test]
fn a_hidden_value_is_hidden_on_the_wire_and_not_shown() {
    let mut list = list("Tunnel-Password:1 := wonderland");
    list.put(
        attrs::microsoft::MS_MPPE_SEND_KEY,
        b"wonderland-wonderland-wonderland",
    );
    let octets = sealed(&list);
    assert_eq!(octets.first_chunk(), Some(&[69, 21, 1]));
    assert!(!octets.windows(10).any(|part| part == b"wonderland"));
    assert!(octets.iter().filter(|octet| **octet == 26).count() >= 1);
    assert_eq!(
        shown(&list),
        [
            "Tunnel-Password:1 = (hidden)",
            "MS-MPPE-Send-Key = (hidden)"
        ]
    );
    assert!(!format!("{list:?}").contains("wonderland"));
}

#[test]
fn long_text_from_the_decision_is_split() {
    let mut list = ReplyList::new();
    list.put(attrs::REPLY_MESSAGE, "x".repeat(300).as_bytes());
    let octets = sealed(&list);
    assert_eq!(
        (octets.len(), octets[0], octets[1], octets[255]),
        (304, 18, 255, 18)
    );
}
