//! The command line as a user types it, without a server: the binary is run, and what it prints is read.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A login, an empty line, a line that is no hex, the answer to the login, and an accounting request.
const PACKETS: &str = "\
0101003d000102030405060708090a0b0c0d0e0f5012ba88b26874e27ed3839d58754b5a7d2d0105626f620212f4816bca74fd7a1a104607240014828b

not a packet
0201003274a40f1368452b4a2daa585f6bd199f05012cc6044e17aa614a84e3e9afc87b7c6e4120c48656c6c6f2c20626f62
040200350fe5edc2f44b68b7da105d18decf4c1c2806000000012c0453310105626f6250128120def3ec947ac86eeabf7f2f1c7e84
";

fn gatewarden(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatewarden"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GATEWARDEN_")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    // Apart, so that a command which writes before it has read everything does not wait for us for ever.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the binary ends");
    writer.join().expect("writer");
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is printed by a command that must succeed.
fn good(arguments: &[&str], input: &[u8]) -> String {
    let output = gatewarden(arguments, input);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        stderr(&output)
    );
    stdout(&output)
}

/// A command that must fail with this exit code, and a sentence that holds these words.
fn bad(arguments: &[&str], code: i32, words: &[&str]) {
    let output = gatewarden(arguments, b"");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    for word in words {
        assert!(
            said.contains(word),
            "{arguments:?}: '{word}' is missing: {said}"
        );
    }
}

#[test]
fn decoding_and_encoding_gives_the_same_octets_and_every_line_keeps_its_place() {
    for secret in [
        &["--secret", "testing123"][..],
        &[],
        &["--secret", "another"],
    ] {
        let decoded = good(
            &[&["decode", "--json"], secret].concat(),
            PACKETS.as_bytes(),
        );
        assert_eq!(decoded.lines().count(), PACKETS.lines().count());
        let output = gatewarden(
            &[&["encode", "--json"], secret].concat(),
            decoded.as_bytes(),
        );
        assert_eq!(output.status.code(), Some(1), "two lines are no packets");
        let encoded = stdout(&output);
        assert_eq!(encoded.lines().count(), PACKETS.lines().count());
        for (given, got) in PACKETS.lines().zip(encoded.lines()) {
            if given.len() > 20 {
                assert_eq!(given, got);
            } else {
                assert!(got.starts_with("# error: "), "{got}");
            }
        }
    }
}

#[test]
fn a_secret_reveals_and_verifies() {
    let decoded = good(
        &["decode", "--json", "--secret", "testing123"],
        PACKETS.as_bytes(),
    );
    let objects: Vec<serde_json::Value> = decoded
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(objects[0]["attributes"][2]["name"], "User-Password");
    assert_eq!(objects[0]["attributes"][2]["value"], "bob");
    assert_eq!(objects[0]["checks"]["message_authenticator"], "valid");
    assert!(objects[2]["error"].is_string());
    assert_eq!(objects[3]["checks"]["authenticator"], "valid");
    assert_eq!(objects[4]["checks"]["authenticator"], "valid");
    let wrong = good(
        &["decode", "--json", "--secret", "another"],
        PACKETS.as_bytes(),
    );
    assert!(
        wrong
            .lines()
            .next()
            .is_some_and(|line| line.contains(r#""message_authenticator":"wrong""#))
    );
}

#[test]
fn people_read_one_attribute_a_line() {
    let shown = good(&["decode", "--secret", "testing123"], PACKETS.as_bytes());
    assert!(shown.contains("\n    User-Name = \"bob\"\n"), "{shown}");
    assert!(shown.contains("2: no packet: "), "{shown}");
    assert!(
        shown.contains("[Authenticator valid, Message-Authenticator valid]"),
        "{shown}"
    );
}

/// The login above in a capture: Ethernet with a VLAN tag, IPv4, UDP; and a fragment.
fn capture() -> Vec<u8> {
    let login = hex::decode(PACKETS.lines().next().expect("a line")).expect("hex");
    let mut file = Vec::new();
    for value in [0xa1b2_c3d4u32, 0x0002_0004, 0, 0, 65_535, 1] {
        file.extend(value.to_be_bytes());
    }
    for fragment in [[0, 0], [0x20, 0]] {
        let mut frame = vec![0; 12];
        frame.extend([0x81, 0, 0, 7, 8, 0, 0x45, 0]);
        frame.extend((login.len() as u16 + 28).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(fragment);
        frame.extend([
            64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x07, 0x14,
        ]);
        frame.extend((login.len() as u16 + 8).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend_from_slice(&login);
        for value in [1_700_000_000, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(value.to_be_bytes());
        }
        file.extend(frame);
    }
    file
}

#[test]
fn a_capture_is_recognised_and_encodes_back() {
    let decoded = good(&["decode", "--json"], &capture());
    let objects: Vec<serde_json::Value> = decoded
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["capture"]["source"], "192.0.2.1:12345");
    assert_eq!(objects[0]["capture"]["time"], "2023-11-14T22:13:20Z");
    assert!(
        objects[1]["error"]
            .as_str()
            .is_some_and(|error| error.contains("fragment"))
    );
    let encoded = stdout(&gatewarden(&["encode"], decoded.as_bytes()));
    assert_eq!(encoded.lines().next(), PACKETS.lines().next());
    let mut cut = capture();
    cut.truncate(cut.len() - 5);
    let output = gatewarden(&["decode", "--json"], &cut);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("frame 2"), "{}", stderr(&output));
    assert_eq!(
        stdout(&output).lines().count(),
        1,
        "what came before is not lost"
    );
}

#[test]
fn a_dictionary_folder_adds_names_and_its_faults_have_a_place() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("dictionary");
    std::fs::write(&path, "ATTRIBUTE My-Own-Word 222 string\n").expect("write");
    let dictionary = folder.path().display().to_string();
    let object = r#"{"code":"Access-Request","id":1,"authenticator":"00000000000000000000000000000000","attributes":[{"name":"My-Own-Word","value":"x"}]}"#;
    let encoded = good(&["encode", "--dictionary", &dictionary], object.as_bytes());
    assert_eq!(
        encoded.trim(),
        "0101001700000000000000000000000000000000de0378"
    );
    std::fs::write(&path, "ATTRIBUTE My-Own-Word 222 strnig\n").expect("write");
    bad(
        &["decode", "--dictionary", &dictionary],
        2,
        &["dictionary:1", "strnig"],
    );
    bad(
        &["decode", "--dictionary", "/nowhere/at/all"],
        2,
        &["/nowhere/at/all"],
    );
}

#[test]
fn the_printed_defaults_are_a_configuration() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("gatewarden.toml");
    let name = file.display().to_string();
    std::fs::write(&file, good(&["config", "--defaults"], b"")).expect("write");
    assert!(good(&["--config", &name, "config"], b"").contains("every line is understood"));
    std::fs::write(&file, "[radius]\nauth_prots = [1812]\n").expect("write");
    bad(
        &["--config", &name, "config"],
        2,
        &["line 2", "auth_prots", "did you mean 'auth_ports'?"],
    );
    bad(
        &["--config", "/nowhere.toml", "config"],
        2,
        &["/nowhere.toml"],
    );
}

#[test]
fn the_definitions_are_sound_and_everything_is_made_from_them() {
    let command = gatewarden::command();
    command.clone().debug_assert();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|below| below.get_name().to_owned())
        .collect();
    assert!(names.len() > 10);
    let man = good(&["man"], b"");
    for name in &names {
        good(&[name, "--help"], b"");
        let heading = format!("GATEWARDEN {}", name.to_uppercase());
        assert!(man.contains(&heading), "the man page lacks {heading}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let completions = good(&["completions", shell], b"");
        for name in &names {
            assert!(completions.contains(name.as_str()), "{shell} lacks {name}");
        }
    }
}

#[test]
fn what_is_typed_wrongly_ends_with_exit_code_2_and_what_would_be_right() {
    bad(&["png"], 2, &["'ping'"]);
    bad(&["decode", "--jsno"], 2, &["--json"]);
    bad(&["ping", "127.0.0.1", "--secret", "s"], 2, &["--user"]);
    bad(
        &["ping", "127.0.0.1", "--secret", "s", "--user", "u"],
        2,
        &["--password"],
    );
    bad(
        &["ping", "127.0.0.1:x", "--secret", "s", "--method", "status"],
        2,
        &["'x' is not a port"],
    );
    bad(
        &[
            "ping",
            "127.0.0.1",
            "--secret",
            "s",
            "--method",
            "status",
            "--attribute",
            "NAS-Prot = 1",
        ],
        2,
        &["NAS-Prot", "did you mean 'NAS-Port'?"],
    );
    bad(&["nas", "add", "10.0.0.1"], 2, &["--secret"]);
    bad(
        &["--database", "mysql://u:hidden@h/d", "org", "list"],
        2,
        &["'mysql' is not a database"],
    );
    let output = gatewarden(&["--database", "mysql://u:hidden@h/d", "org", "list"], b"");
    assert!(!stderr(&output).contains("hidden"));
}

#[test]
fn no_answer_is_exit_code_2() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
    let server = nobody.local_addr().expect("address").to_string();
    let question = [
        "ping",
        &server,
        "--secret",
        "s",
        "--method",
        "status",
        "--timeout",
        "0.05",
        "--tries",
        "2",
    ];
    bad(&question, 2, &["no answer", "2 tries"]);
    let output = gatewarden(&[&question[..], &["--json"]].concat(), b"");
    let object: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(object["result"], "no_answer");
    assert_eq!(object["sent"]["code"], "Status-Server");
}

/// Runs a command in a data folder.
fn at(data: &Path, arguments: &[&str]) -> String {
    let data = data.display().to_string();
    good(&[&["--data", &data], arguments].concat(), b"")
}

#[test]
fn an_operator_s_first_commands_work_as_they_are_written() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("D");
    let users = folder.path().join("users.csv");
    std::fs::write(
        &users,
        "username,password,email\ncara,espresso,cara@example.org\n",
    )
    .expect("write");
    let users = users.display().to_string();
    at(
        &data,
        &[
            "nas",
            "add",
            "127.0.0.0/8",
            "--org",
            "default",
            "--secret",
            "testing123",
        ],
    );
    at(
        &data,
        &[
            "user",
            "add",
            "alice",
            "--org",
            "default",
            "--password",
            "wonderland",
            "--store",
            "recoverable",
        ],
    );
    at(
        &data,
        &[
            "user",
            "import",
            &users,
            "--org",
            "default",
            "--store",
            "recoverable",
        ],
    );
    let rules = at(
        &data,
        &["group", "set", "default-users", "Session-Timeout := 3600"],
    );
    assert!(
        rules.contains("Session-Timeout := 3600") && rules.contains("Max-Daily-Session := 10800"),
        "{rules}"
    );
    for list in [
        &["session", "list", "--json"][..],
        &["session", "list", "--all", "--json"],
        &["explain", "alice", "--json"],
    ] {
        assert_eq!(at(&data, list), "[]\n");
    }
    let listed: serde_json::Value =
        serde_json::from_str(&at(&data, &["user", "list", "--json"])).expect("JSON");
    let names: Vec<&str> = listed
        .as_array()
        .expect("array")
        .iter()
        .filter_map(|u| u["username"].as_str())
        .collect();
    assert_eq!(names, ["alice", "cara"]);
    let groups: serde_json::Value =
        serde_json::from_str(&at(&data, &["group", "list", "--json"])).expect("JSON");
    assert_eq!(groups.as_array().map(Vec::len), Some(2));
    let data = data.display().to_string();
    bad(
        &[
            "--data",
            &data,
            "user",
            "passwd",
            "alcie",
            "--password",
            "x",
        ],
        2,
        &["did you mean 'alice'?"],
    );
    bad(
        &["--data", &data, "user", "add", "alice", "--password", "x"],
        1,
        &["alice", "exists"],
    );
    bad(
        &["--data", &data, "user", "add", "x", "--org", "defalt"],
        2,
        &["did you mean 'default'?"],
    );
    bad(
        &[
            "--data",
            &data,
            "group",
            "set",
            "default-users",
            "Session-Timout := 1",
        ],
        2,
        &["Session-Timeout"],
    );
    bad(
        &["--data", &data, "session", "kill", "nobody"],
        2,
        &["nobody"],
    );
    bad(&["--data", &data, "explain", "alice"], 1, &["alice"]);
}

#[test]
fn the_data_folder_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("deep/D");
    at(&data, &["migrate"]);
    let mode = |path: &Path| {
        std::fs::metadata(path)
            .expect("metadata")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("keys")), 0o600);
}

#[test]
fn commands_that_open_a_new_installation_at_once_do_not_disturb_one_another() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("D");
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let data = &data;
            scope.spawn(move || {
                at(
                    data,
                    &[
                        "user",
                        "add",
                        name,
                        "--password",
                        "p",
                        "--store",
                        "recoverable",
                    ],
                )
            });
        }
    });
    let listed: serde_json::Value =
        serde_json::from_str(&at(&data, &["user", "list", "--json"])).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(4));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
}
