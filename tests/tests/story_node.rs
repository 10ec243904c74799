//! One process is a node at a time: a copied data folder is a copied identity, and two of them would lose reports.

use gatewarden_tests::house::{House, binary};
use kernel::Engine;
use std::process::{Command, Output};

/// `serve` on a copy of the house's data folder, over the same database.
fn serve_on_a_copy(house: &House) -> Output {
    let copy = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(house.folder().join("."))
        .arg(copy.path())
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let serve = house.command(&[
        "serve",
        "--auth-port",
        "0",
        "--acct-port",
        "0",
        "--http",
        "127.0.0.1:0",
    ]);
    let mut arguments: Vec<_> = serve.get_args().map(ToOwned::to_owned).collect();
    for argument in &mut arguments {
        if argument == house.folder().as_os_str() {
            *argument = copy.path().as_os_str().to_owned();
        }
    }
    Command::new(binary())
        .args(arguments)
        .output()
        .expect("it starts and ends")
}

#[test]
fn a_second_server_on_a_copied_data_folder_is_refused_and_the_first_goes_on() {
    let house = House::new(Engine::Postgres);
    house.add_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let refused = serve_on_a_copy(&house);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("node"), "{said}");
    let nas = gatewarden_tests::nas::Nas::of(&server);
    let answer = nas.ask(nas.pap("alice", "wonderland"));
    assert_eq!(answer.code(), radius_wire::Code::ACCESS_ACCEPT);
}
