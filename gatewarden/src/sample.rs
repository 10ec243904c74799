//! Content to try things with: a NAS on this machine, two people and a device. Making it again changes nothing.

use crate::failure::Failure;
use crate::house::House;
use access::admit::admit;
use access::nas::{self, NewNas};
use access::network::Network;
use identity::{NewPassword, NewPerson, Organisation, Store, find};
use kernel::Scope;
use zeroize::Zeroizing;

/// The secret of the NASes on this machine; it stands in every manual.
pub const SECRET: &str = "testing123";
/// Somebody whose password serves every method.
pub const ALICE: (&str, &str) = ("alice", "wonderland");
/// Somebody whose password is hashed.
pub const BOB: (&str, &str) = ("bob", "builder");
/// A device that needs no password.
pub const PRINTER: (&str, &str) = ("printer", "AA-BB-CC-00-11-22");
/// Where NASes on this machine ask from.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];

/// Makes what is not there yet.
///
/// # Errors
/// The database's.
pub async fn make(house: &House, owner: &Organisation) -> Result<(), Failure> {
    for network in LOOPBACK {
        make_nas(house, owner, network).await?;
    }
    let recoverable = NewPassword::given(ALICE.1, Store::Recoverable);
    make_person(house, owner, ALICE.0, Some(recoverable), None).await?;
    let hashed = NewPassword::given(BOB.1, Store::Hashed);
    make_person(house, owner, BOB.0, Some(hashed), None).await?;
    make_person(house, owner, PRINTER.0, None, Some(PRINTER.1)).await
}

async fn make_nas(house: &House, owner: &Organisation, network: &str) -> Result<(), Failure> {
    let network: Network = network.parse().map_err(Failure::failed)?;
    let known = nas::list(&house.kernel.db, Scope::Everything).await?;
    if known.iter().any(|line| line.nas.network == Some(network)) {
        return Ok(());
    }
    let mut new = NewNas::new(owner.id, Some(network), Zeroizing::new(SECRET.to_owned()));
    new.name = format!("this machine ({network})");
    // The weakness of the secret is known and wanted.
    nas::add(&house.kernel, new).await?;
    Ok(())
}

/// Makes a person who is not there yet.
///
/// # Errors
/// The database's.
pub async fn make_person(
    house: &House,
    owner: &Organisation,
    name: &str,
    password: Option<NewPassword>,
    mac: Option<&str>,
) -> Result<(), Failure> {
    let kernel = &house.kernel;
    if !find::find(&kernel.db, Scope::Everything, name)
        .await?
        .is_empty()
    {
        return Ok(());
    }
    let mut new = NewPerson::named(name);
    new.password = match password {
        Some(password) => Some(password.hashed(kernel).await?),
        None => None,
    };
    new.mac = mac.map(str::to_owned);
    new.verified = true;
    new.method = "manual".to_owned();
    let mut tx = kernel.db.begin().await?;
    admit(&mut tx, kernel, owner, new, None).await?;
    tx.commit().await?;
    Ok(())
}
