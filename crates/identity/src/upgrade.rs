//! An imported hash becomes one of this house: when somebody proves a password whose hash came from elsewhere, the
//! password is at hand for that moment, and is hashed anew.
//!
//! It must **never** replace a password that was set in the meantime, nor one that the proof was not about: the hash that is
//! stored is verified once more, and replaced only if it is still the same.

use crate::{Error, PERSON_CHANGED, PersonId, password, version};
use kernel::{Kernel, News, id::Uuid};
use proof::{Attempt, Stored, stored::Form, verify};
use zeroize::Zeroizing;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    HASHED = "SELECT id, value FROM credential WHERE person_id = $1 AND form = 'hashed'";
    REPLACE = "UPDATE credential SET value = $3, modified = $4 WHERE id = $1 AND form = 'hashed' AND value = $2";
}

#[derive(sqlx::FromRow)]
struct HashRow {
    id: Uuid,
    value: String,
}

/// Whether a stored form is a hash of another house, to be replaced when its password is next proved. What is kept for
/// CHAP and MS-CHAP is kept on purpose.
pub fn is_wanted(stored: &Stored) -> bool {
    match stored.form() {
        Form::Pbkdf2
        | Form::Scrypt
        | Form::Bcrypt
        | Form::ShaCrypt
        | Form::Md5Crypt
        | Form::SaltedSha
        | Form::Sha
        | Form::SaltedMd5
        | Form::Md5 => true,
        Form::Argon2 | Form::NtHash | Form::Clear | Form::Unusable => false,
    }
}

/// Hashes a proven password anew; whether that was still wanted. Slow: the hashing runs on the pool for blocking work.
///
/// # Errors
/// [`Error::Engine`]; then the old hash stays, and the next proof tries again.
pub async fn upgrade(
    kernel: &Kernel,
    person: PersonId,
    proven: Zeroizing<Vec<u8>>,
) -> Result<bool, Error> {
    let row: Option<HashRow> = kernel.db.first(HASHED, kernel::values![person]).await?;
    let Some(HashRow { id, value }) = row else {
        return Ok(false);
    };
    let salt = password::new_salt(kernel);
    let known = value.clone();
    let work = move || -> Option<String> {
        let stored = Stored::parse(&known).ok().filter(is_wanted)?;
        let attempt = Attempt::Pap { password: &proven };
        verify(&stored, &attempt).is_right().then_some(())?;
        password::hash(&proven, salt).ok()
    };
    let Ok(Some(hash)) = tokio::task::spawn_blocking(work).await else {
        return Ok(false);
    };
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    crate::person::lock(&mut tx, person).await?;
    if tx
        .run(REPLACE, kernel::values![id, value, hash, now])
        .await?
        == 0
    {
        tx.rollback().await?;
        return Ok(false);
    }
    version::record_person(&mut tx, kernel, person).await?;
    tx.tell(now, News::new(PERSON_CHANGED, None, person.0))
        .await?;
    tx.commit().await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::house;
    use crate::{NewOrganisation, NewPassword, NewPerson, Store, known};

    /// `secret` without a salt, as directories keep it.
    const SHA1_OF_SECRET: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

    async fn check(text: &str, store: Store, proven: &str, expect: bool) {
        let house = house().await;
        let acme = house.organisation(NewOrganisation::named("acme")).await;
        let new = NewPerson {
            password: Some(NewPassword::given(text, store)),
            ..NewPerson::named("alice")
        };
        let person = house.admit(&acme, new).await.unwrap().person.id;
        let secret = || Zeroizing::new(proven.as_bytes().to_vec());
        let kernel = &house.kernel;
        assert_eq!(
            upgrade(kernel, person, secret()).await.ok(),
            Some(expect),
            "{text}"
        );
        // Once is enough.
        assert_eq!(upgrade(kernel, person, secret()).await.ok(), Some(false));
        let known = known::one(&kernel.db, person).await.unwrap().unwrap();
        let stored = password::open(&kernel.keys, &known.stored.unwrap()).unwrap();
        assert_eq!(stored.form() == Form::Argon2, expect, "{text}");
        let attempt = Attempt::Pap {
            password: b"secret",
        };
        assert!(verify(&stored, &attempt).is_right(), "{text}");
    }

    #[tokio::test]
    async fn a_hash_from_elsewhere_becomes_one_of_ours_when_its_password_is_proven() {
        check(SHA1_OF_SECRET, Store::Hashed, "secret", true).await;
        check(SHA1_OF_SECRET, Store::Hashed, "another", false).await;
        check("secret", Store::Recoverable, "secret", false).await;
        check("secret", Store::Nt, "secret", false).await;
    }
}
