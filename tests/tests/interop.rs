//! Debian's `radclient`, the tool that everybody tries first, against the real binary.

use gatewarden_tests::house::{House, Server};
use gatewarden_tests::nas::SECRET;
use std::io::Write;
use std::process::{Command, Stdio};

struct Said {
    ok: bool,
    text: String,
}

/// Runs `radclient -x` once, with these attributes.
fn radclient(server: &Server, what: &str, secret: &str, attributes: &str) -> Said {
    let address = match what {
        "acct" => server.acct(),
        _ => server.auth(),
    };
    // "status" is asked on the authentication port.
    let mut child = Command::new("radclient")
        .args([
            "-x",
            "-r",
            "1",
            "-t",
            "8",
            &address.to_string(),
            what,
            secret,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("radclient is not installed ({e}): run ./test"));
    let mut input = child.stdin.take().expect("it was asked for");
    input
        .write_all(attributes.as_bytes())
        .expect("radclient reads");
    drop(input);
    let output = child.wait_with_output().expect("radclient ends");
    let text = [output.stdout, output.stderr].concat();
    Said {
        ok: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

fn house() -> House {
    let house = House::with_nas();
    house.add_user("bob", "builder");
    house.run(&["group", "set", "default-users", "Session-Timeout := 3600"]);
    house.run(&[
        "group",
        "set",
        "default-users",
        "Reply-Message := \"Hello\"",
    ]);
    house
}

#[test]
fn every_method_is_accepted() {
    let house = house();
    let server = house.start();
    for (method, attributes) in [
        ("PAP", "User-Name = bob\nUser-Password = builder\n"),
        (
            "PAP, signed",
            "User-Name = bob\nUser-Password = builder\nMessage-Authenticator = 0x00\n",
        ),
        ("CHAP", "User-Name = bob\nCHAP-Password = builder\n"),
        (
            "CHAP, signed",
            "User-Name = bob\nCHAP-Password = builder\nMessage-Authenticator = 0x00\n",
        ),
        ("MS-CHAP", "User-Name = bob\nMS-CHAP-Password = builder\n"),
    ] {
        let said = radclient(&server, "auth", SECRET, attributes);
        assert!(said.ok, "{method}: {}", said.text);
        assert!(
            said.text.contains("Received Access-Accept"),
            "{method}: {}",
            said.text
        );
        assert!(
            said.text.contains("Session-Timeout = 3600"),
            "{method}: {}",
            said.text
        );
        assert!(
            said.text.contains("Reply-Message = \"Hello\""),
            "{method}: {}",
            said.text
        );
        assert!(
            said.text.contains("Message-Authenticator = 0x"),
            "{method}: {}",
            said.text
        );
        if method == "MS-CHAP" {
            assert!(
                said.text.contains("MS-CHAP-MPPE-Keys = 0x"),
                "{}",
                said.text
            );
        }
    }
}

#[test]
fn wrong_passwords_are_refused() {
    let house = house();
    let server = house.start();
    for attributes in [
        "User-Name = bob\nUser-Password = wrong\n",
        "User-Name = bob\nCHAP-Password = wrong\n",
        "User-Name = bob\nMS-CHAP-Password = wrong\n",
        "User-Name = nobody\nUser-Password = builder\n",
    ] {
        let said = radclient(&server, "auth", SECRET, attributes);
        // radclient calls every reject a failure.
        assert!(!said.ok, "{attributes}: {}", said.text);
        assert!(
            said.text.contains("Received Access-Reject"),
            "{attributes}: {}",
            said.text
        );
        assert!(
            !said.text.contains("Session-Timeout = 3600"),
            "{attributes}: {}",
            said.text
        );
    }
}

#[test]
fn a_wrong_secret_gets_no_answer_to_a_signed_request() {
    let house = house();
    let server = house.start();
    let mut child = Command::new("radclient")
        .args([
            "-x",
            "-r",
            "1",
            "-t",
            "1",
            &server.auth().to_string(),
            "auth",
            "wrong-secret",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("radclient is installed");
    let mut input = child.stdin.take().expect("it was asked for");
    input
        .write_all(b"User-Name = bob\nUser-Password = builder\nMessage-Authenticator = 0x00\n")
        .expect("radclient reads");
    drop(input);
    let output = child.wait_with_output().expect("radclient ends");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains("No reply from server"), "{text}");
}

#[test]
fn status_server_is_answered() {
    let house = house();
    let server = house.start();
    let said = radclient(&server, "status", SECRET, "Message-Authenticator = 0x00\n");
    assert!(
        said.ok && said.text.contains("Received Access-Accept"),
        "{}",
        said.text
    );
}

#[test]
fn reports_are_acknowledged_and_make_sessions() {
    let house = house();
    let server = house.start();
    let report = |status: &str, more: &str| {
        let session = "User-Name = bob\nAcct-Session-Id = \"S1\"\nNAS-IP-Address = 127.0.0.1\n";
        let said = radclient(
            &server,
            "acct",
            SECRET,
            &format!("Acct-Status-Type = {status}\n{session}{more}"),
        );
        assert!(
            said.ok && said.text.contains("Received Accounting-Response"),
            "{status}: {}",
            said.text
        );
    };
    report("Start", "");
    report(
        "Interim-Update",
        "Acct-Session-Time = 10\nAcct-Input-Octets = 1000\nAcct-Output-Octets = 2000\n",
    );
    let more = "Acct-Session-Time = 20\nAcct-Input-Octets = 5\nAcct-Input-Gigawords = 1\nAcct-Output-Octets = 3000\n";
    report(
        "Stop",
        &format!("{more}Acct-Terminate-Cause = User-Request\n"),
    );
    let sessions = house.sessions_once("it is closed", |all| {
        all.len() == 1 && !all[0]["stop_time"].is_null()
    });
    assert_eq!(sessions[0]["input_octets"], 4_294_967_301u64);
    assert_eq!(sessions[0]["output_octets"], 3000);
    assert_eq!(sessions[0]["terminate_cause"], "User-Request");
    for status in ["Accounting-On", "Accounting-Off"] {
        let attributes = format!("Acct-Status-Type = {status}\nNAS-IP-Address = 127.0.0.1\n");
        let said = radclient(&server, "acct", SECRET, &attributes);
        assert!(said.ok, "{status}: {}", said.text);
    }
}

/// Vendor attributes, tags and hidden values as another implementation reads them.
#[test]
fn replies_are_read_as_they_were_meant() {
    let house = house();
    for row in [
        "Mikrotik-Rate-Limit := \"10M/10M\"",
        "Tunnel-Type:1 := VLAN",
        "Tunnel-Medium-Type:1 := IEEE-802",
        "Tunnel-Private-Group-Id:1 := \"130\"",
        "Tunnel-Password:1 := \"secret-psk\"",
        "Cisco-AVPair += \"url-redirect=http://example.org/\"",
        "Cisco-AVPair += \"url-redirect-acl=guests\"",
        "Framed-IPv6-Prefix := 2001:db8:0:50::/60",
        "WISPr-Bandwidth-Max-Down := 10000000",
    ] {
        house.run(&["group", "set", "default-users", row]);
    }
    let server = house.start();
    let said = radclient(
        &server,
        "auth",
        SECRET,
        "User-Name = bob\nUser-Password = builder\n",
    );
    for line in [
        "Mikrotik-Rate-Limit = \"10M/10M\"",
        "Tunnel-Type:1 = VLAN",
        "Tunnel-Medium-Type:1 = IEEE-802",
        "Tunnel-Private-Group-Id:1 = \"130\"",
        "Tunnel-Password:1 = \"secret-psk\"",
        "Cisco-AVPair = \"url-redirect=http://example.org/\"",
        "Cisco-AVPair = \"url-redirect-acl=guests\"",
        "Framed-IPv6-Prefix = 2001:db8:0:50::/60",
        "WISPr-Bandwidth-Max-Down = 10000000",
    ] {
        assert!(said.text.contains(line), "no {line} in {}", said.text);
    }
}
