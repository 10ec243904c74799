//! Shared secrets: what one may be, and how one is changed while people are logging in.
//!
//! A change has three steps: [`begin_secret_change`] lets both secrets be accepted, the operator enters the new one on
//! the device, and [`finish_secret_change`] forgets the old one. Which of them the device uses is seen in the
//! observations. The text of a secret must **never** reach an error, a log or a history.

use super::store;
use super::{Nas, NasId};
use kernel::{Error, Kernel, Keyring, Place};
use radius_wire::Secret;
use zeroize::Zeroizing;

/// Longest secret. RADIUS sets no limit; what is longer than an attribute can hardly be typed into any device.
pub const MAX_SECRET_OCTETS: usize = 253;
/// A shorter secret is guessed offline from one captured packet (RFC 2865 section 3 asks for 16 where possible).
const SHORT_SECRET_OCTETS: usize = 12;
/// Secrets that stand in every manual.
const WELL_KNOWN: [&str; 8] = [
    "testing123",
    "secret",
    "radius",
    "password",
    "sharedsecret",
    "radiussecret",
    "changeme",
    "mysecret",
];

/// The opened secrets of a NAS. Has no Debug.
#[derive(Clone)]
pub struct NasSecrets {
    /// The one in use.
    pub current: Secret,
    /// During a change, the one that is coming.
    pub next: Option<Secret>,
}

impl NasSecrets {
    /// The secrets to try, the current one first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(&self.next)
    }
}

/// Refuses what cannot be a secret; says what is weak about one that can.
pub(super) fn examine(secret: &str) -> Result<Vec<String>, Error> {
    let refuse = |reason: &str| Err(Error::Invalid(format!("secret: {reason}")));
    if secret.is_empty() {
        return refuse("it is empty; RADIUS needs one");
    }
    if secret.len() > MAX_SECRET_OCTETS {
        return refuse("it has more than 253 octets");
    }
    if secret.chars().any(char::is_control) {
        return refuse("it has control characters, which no device can be given");
    }
    let mut warnings = Vec::new();
    if WELL_KNOWN
        .iter()
        .any(|known| known.eq_ignore_ascii_case(secret))
    {
        warnings.push("the secret stands in every manual; choose a random one".to_owned());
    } else if secret.len() < SHORT_SECRET_OCTETS {
        warnings.push(format!(
            "the secret is short and can be guessed from one captured packet; use {SHORT_SECRET_OCTETS} characters or more"
        ));
    }
    if secret.trim() != secret {
        warnings.push("the secret begins or ends with a space; many devices cut it off".to_owned());
    }
    Ok(warnings)
}

pub(super) fn place(id: NasId, column: &'static str) -> Place {
    Place {
        table: "nas",
        column,
        row: id.0,
    }
}

pub(super) const CURRENT: &str = "secret";
pub(super) const NEXT: &str = "next_secret";

pub(super) fn seal(kernel: &Kernel, id: NasId, column: &'static str, secret: &[u8]) -> String {
    kernel.keys.seal(&*kernel.rng, place(id, column), secret)
}

pub(super) fn open(
    keys: &Keyring,
    id: NasId,
    current: &str,
    next: Option<&str>,
) -> Result<NasSecrets, Error> {
    let open = |column, sealed| -> Result<Secret, Error> {
        Ok(Secret::new(keys.open(place(id, column), sealed)?.to_vec()))
    };
    Ok(NasSecrets {
        current: open(CURRENT, current)?,
        next: next.map(|sealed| open(NEXT, sealed)).transpose()?,
    })
}

/// Lets a second secret be accepted beside the current one. During a change it takes the place of the one that was
/// coming. Gives warnings about its strength.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] when it cannot be a secret or is the current one.
pub async fn begin_secret_change(
    kernel: &Kernel,
    id: NasId,
    secret: &Zeroizing<String>,
) -> Result<(Nas, Vec<String>), Error> {
    let mut tx = kernel.db.begin().await?;
    let begun = begin_in(&mut tx, kernel, id, secret).await?;
    tx.commit().await?;
    Ok(begun)
}

pub(super) async fn begin_in(
    tx: &mut kernel::Tx,
    kernel: &Kernel,
    id: NasId,
    secret: &Zeroizing<String>,
) -> Result<(Nas, Vec<String>), Error> {
    let warnings = examine(secret)?;
    let (nas, secrets) = store::locked(tx, kernel, id).await?;
    if secrets.current.same_as(&Secret::new(secret.as_bytes())) {
        return Err(Error::Invalid(format!(
            "secret: it is the one that NAS '{}' has already",
            nas.name
        )));
    }
    // Devices may use the one that is coming already: replacing it would cut them off without a word.
    if let Some(next) = &secrets.next
        && !next.same_as(&Secret::new(secret.as_bytes()))
    {
        return Err(Error::Conflict(format!(
            "NAS '{}': a change of its secret is under way already; finish or cancel it first",
            nas.name
        )));
    }
    let sealed = seal(kernel, id, NEXT, secret.as_bytes());
    store::write_next(tx, kernel, &nas, Some(sealed)).await?;
    Ok((nas, warnings))
}

/// Forgets the old secret; the new one is the only one from now on.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when no change is under way.
pub async fn finish_secret_change(kernel: &Kernel, id: NasId) -> Result<Nas, Error> {
    let mut tx = kernel.db.begin().await?;
    let (nas, secrets) = store::locked(&mut tx, kernel, id).await?;
    let Some(next) = secrets.next else {
        return Err(no_change(&nas));
    };
    let sealed = seal(kernel, id, CURRENT, next.as_bytes());
    store::write_current(&mut tx, kernel, &nas, sealed).await?;
    crate::observation::forget_old_secret(&mut tx, id).await?;
    tx.commit().await?;
    Ok(nas)
}

/// Forgets the new secret; the old one stays.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when no change is under way.
pub async fn cancel_secret_change(kernel: &Kernel, id: NasId) -> Result<Nas, Error> {
    let mut tx = kernel.db.begin().await?;
    let (nas, secrets) = store::locked(&mut tx, kernel, id).await?;
    if secrets.next.is_none() {
        return Err(no_change(&nas));
    }
    store::write_next(&mut tx, kernel, &nas, None).await?;
    crate::observation::forget_next_secret(&mut tx, id).await?;
    tx.commit().await?;
    Ok(nas)
}

fn no_change(nas: &Nas) -> Error {
    Error::Conflict(format!(
        "NAS '{}' has no change of secret under way",
        nas.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_refused_or_its_weakness_told() {
        fn check(secret: &str, expect: Result<&[&str], &str>) {
            match (examine(secret), expect) {
                (Ok(warnings), Ok(parts)) => {
                    assert_eq!(warnings.len(), parts.len(), "{secret}: {warnings:?}");
                    for (warning, part) in warnings.iter().zip(parts) {
                        assert!(warning.contains(part), "{secret}: {warning}");
                    }
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{secret}: {error}")
                }
                (got, _) => panic!("{secret}: {got:?}"),
            }
        }
        check("", Err("empty"));
        check(&"x".repeat(254), Err("253"));
        check("line\nbreak-line-break", Err("control"));
        check(&"x".repeat(253), Ok(&[]));
        check("correct horse battery", Ok(&[]));
        check("Testing123", Ok(&["manual"]));
        check("elevenchars", Ok(&["short"]));
        check("twelve chars", Ok(&[]));
        check(" padded secret here", Ok(&["space"]));
    }
}
