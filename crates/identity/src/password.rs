//! Passwords: in which form one is kept, and what a proof is checked against.
//!
//! | form | value of the row | serves |
//! |---|---|---|
//! | `hashed` | a hash, as text | PAP |
//! | `nt` | the NT hash, sealed | PAP, MS-CHAP |
//! | `recoverable` | the password, sealed | every method |
//! | `pending` | the password, sealed, until [`crate::pending`] hashes it | PAP |
//!
//! A password must **never** be logged, shown or put into an error; nothing here that holds one has a `Debug`.

use crate::{Error, Warning};
use kernel::{Kernel, Keyring, Place, id::Uuid};
use proof::{Argon2Params, Stored, bounds::is_examined};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What an operator wants kept of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Store {
    /// A hash that cannot be turned back: PAP alone.
    #[default]
    Hashed,
    /// The password itself, sealed: every method.
    Recoverable,
    /// The NT hash, sealed: PAP and MS-CHAP.
    Nt,
}

impl Store {
    /// Every choice.
    pub const ALL: [Store; 3] = [Store::Hashed, Store::Recoverable, Store::Nt];

    /// The word in settings and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Store::Hashed => "hashed",
            Store::Recoverable => "recoverable",
            Store::Nt => "nt",
        }
    }

    /// The choice of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|store| store.word() == word)
    }
}

/// In which form a password lies in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A hash, as text.
    Hashed,
    /// The password, sealed.
    Recoverable,
    /// The NT hash, sealed.
    Nt,
    /// The password, sealed, waiting to be hashed.
    Pending,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 4] = [Form::Hashed, Form::Recoverable, Form::Nt, Form::Pending];

    /// The word in the database.
    pub fn word(self) -> &'static str {
        match self {
            Form::Hashed => "hashed",
            Form::Recoverable => "recoverable",
            Form::Nt => "nt",
            Form::Pending => "pending",
        }
    }

    /// The form of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.word() == word)
    }
}

/// A password to be set. The text may be plain, a hash in any form that is known, `nt:` and 32 hexadecimal digits, or
/// `cleartext$` and the password.
#[derive(Clone)]
pub struct NewPassword {
    /// What was given.
    pub text: Zeroizing<String>,
    /// What is to be kept of it.
    pub store: Store,
}

/// What is kept of a person's password: a row. No `Debug`: a hash is worth stealing.
#[derive(Clone)]
pub struct Credential {
    /// The row's id: new with every password set, and the same when a pending one is hashed.
    pub id: Uuid,
    /// In which form.
    pub form: Form,
    /// A hash or a sealed value.
    pub value: String,
}

/// What becomes of a [`NewPassword`].
pub(crate) struct Kept {
    pub(crate) credential: Credential,
    pub(crate) warnings: Vec<Warning>,
}

impl NewPassword {
    /// Text from an operator or a file, which may be a hash.
    pub fn given(text: &str, store: Store) -> Self {
        Self {
            text: Zeroizing::new(text.to_owned()),
            store,
        }
    }

    /// Text that somebody typed as their password: it is never taken for a hash.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is empty or too long.
    pub fn typed(text: &str, store: Store) -> Result<Self, Error> {
        let text =
            proof::clear_text(text).map_err(|refused| Error::Invalid(refused.to_string()))?;
        Ok(Self { text, store })
    }

    /// The same, hashed already where it is to be hashed: slow, on the pool for blocking work. Without this a
    /// password to be hashed is kept sealed until the job in [`crate::pending`] gets to it, which is what imports
    /// want. Never call it inside a transaction.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the password cannot be hashed.
    pub async fn hashed(self, kernel: &Kernel) -> Result<Self, Error> {
        if self.store != Store::Hashed {
            return Ok(self);
        }
        let clear = match Stored::recognise(&self.text) {
            Some(Stored::Clear(clear)) => clear,
            Some(_) => return Ok(self),
            None => Zeroizing::new(self.text.as_bytes().to_vec()),
        };
        let salt = new_salt(kernel);
        let hash = tokio::task::spawn_blocking(move || hash(&clear, salt)).await;
        let text = hash.map_err(|_| Error::Invalid("password: hashing was cut short".into()))??;
        Ok(Self {
            text: Zeroizing::new(text),
            store: Store::Hashed,
        })
    }

    /// The row that it becomes. Never slow: what has yet to be hashed is sealed.
    pub(crate) fn keep(&self, kernel: &Kernel) -> Result<Kept, Error> {
        let mut warnings = Vec::new();
        let (form, secret) = match Stored::recognise(&self.text) {
            Some(Stored::Clear(clear)) => self.keep_clear(clear)?,
            Some(Stored::NtHash(hash)) => {
                if self.store != Store::Nt {
                    warnings.push(Warning::KeptAsNt { asked: self.store });
                }
                (Form::Nt, Zeroizing::new(hash.to_vec()))
            }
            Some(other) => {
                if matches!(other, Stored::Unusable) {
                    warnings.push(Warning::NoPasswordWorks);
                } else if self.store != Store::Hashed {
                    warnings.push(Warning::KeptAsHash { asked: self.store });
                }
                (Form::Hashed, Zeroizing::new(self.text.as_bytes().to_vec()))
            }
            None => {
                warnings.extend(
                    Stored::doubt(&self.text).map(|doubt| Warning::TakenAsPlain(doubt.to_string())),
                );
                self.keep_clear(Zeroizing::new(self.text.as_bytes().to_vec()))?
            }
        };
        let id = kernel.new_uuid();
        let value = match form {
            Form::Hashed => self.text.to_string(),
            Form::Recoverable | Form::Nt | Form::Pending => {
                kernel.keys.seal(&*kernel.rng, place(id), &secret)
            }
        };
        Ok(Kept {
            credential: Credential { id, form, value },
            warnings,
        })
    }

    fn keep_clear(&self, clear: Zeroizing<Vec<u8>>) -> Result<(Form, Zeroizing<Vec<u8>>), Error> {
        if !is_examined(&clear) {
            return Err(unexamined());
        }
        Ok(match self.store {
            Store::Hashed => (Form::Pending, clear),
            Store::Recoverable => (Form::Recoverable, clear),
            Store::Nt => {
                let text = std::str::from_utf8(&clear)
                    .map_err(|_| Error::Invalid("password: an NT hash needs UTF-8 text".into()))?;
                (Form::Nt, Zeroizing::new(proof::nt_hash(text).to_vec()))
            }
        })
    }
}

/// What a proof is checked against. A pending password comes back as a salted digest made on the spot: it serves PAP,
/// as the hash that it will become, and no more.
///
/// # Errors
/// [`Error::Seal`] when a sealed value does not open, [`Error::Invalid`] when a row holds no known form; neither says
/// anything of the value.
pub fn open(keys: &Keyring, credential: &Credential) -> Result<Stored, Error> {
    match credential.form {
        Form::Hashed => Stored::parse(&credential.value)
            .map_err(|reason| damaged(credential, &reason.to_string())),
        Form::Recoverable => Ok(Stored::Clear(
            keys.open(place(credential.id), &credential.value)?,
        )),
        Form::Nt => {
            let octets = keys.open(place(credential.id), &credential.value)?;
            let hash = <[u8; 16]>::try_from(octets.as_slice())
                .map_err(|_| damaged(credential, "an NT hash has 16 octets"))?;
            Ok(Stored::NtHash(Zeroizing::new(hash)))
        }
        Form::Pending => {
            let clear = keys.open(place(credential.id), &credential.value)?;
            let salt = credential.id.as_bytes();
            let digest = Sha256::new()
                .chain_update(clear.as_slice())
                .chain_update(salt)
                .finalize();
            let text = format!("{{SSHA256}}{}{}", hex::encode(digest), hex::encode(salt));
            Stored::parse(&text).map_err(|reason| damaged(credential, &reason.to_string()))
        }
    }
}

/// The password of a pending row.
pub(crate) fn open_pending(
    keys: &Keyring,
    id: Uuid,
    value: &str,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    Ok(keys.open(place(id), value)?)
}

/// Hashes at this house's cost: slow.
pub(crate) fn hash(clear: &[u8], salt: [u8; 16]) -> Result<String, Error> {
    proof::hash_password(clear, salt, Argon2Params::default())
        .map_err(|refused| Error::Invalid(format!("password: {refused}")))
}

/// A salt that was never used.
pub(crate) fn new_salt(kernel: &Kernel) -> [u8; 16] {
    let mut salt = [0; 16];
    kernel.rng.fill(&mut salt);
    salt
}

fn place(row: Uuid) -> Place {
    Place {
        table: "credential",
        column: "value",
        row,
    }
}

fn unexamined() -> Error {
    Error::Invalid(format!(
        "password: it is empty or longer than {} octets",
        proof::bounds::MAX_PASSWORD_OCTETS
    ))
}

fn damaged(credential: &Credential, reason: &str) -> Error {
    Error::Invalid(format!("credential {}: {reason}", credential.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::house;
    use proof::{Attempt, Outcome, chap, verify};

    /// `secret` without a salt, as directories keep it.
    const SHA1_OF_SECRET: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

    /// Form kept, warning given, and whether PAP and CHAP with "secret" succeed.
    async fn check(
        text: &str,
        store: Store,
        form: Form,
        warning: Option<&str>,
        pap: bool,
        chap: bool,
    ) {
        let house = house().await;
        let kept = NewPassword::given(text, store).keep(&house.kernel).unwrap();
        assert_eq!(kept.credential.form, form, "{text} {store:?}");
        let warnings: Vec<String> = kept.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings.len(),
            usize::from(warning.is_some()),
            "{text} {warnings:?}"
        );
        assert!(
            warning.is_none_or(|word| warnings[0].contains(word)),
            "{text} {warnings:?}"
        );
        if form != Form::Hashed {
            assert!(kept.credential.value.starts_with("v1:"), "{text} is sealed");
        }
        let stored = open(&house.kernel.keys, &kept.credential).unwrap();
        let answer = verify(
            &stored,
            &Attempt::Pap {
                password: b"secret",
            },
        );
        assert_eq!(answer.is_right(), pap, "PAP with {text} {store:?}");
        let response = chap::response(1, b"secret", b"challenge");
        let answer = verify(
            &stored,
            &Attempt::Chap {
                ident: 1,
                response: &response,
                challenge: b"challenge",
            },
        );
        assert_eq!(answer.is_right(), chap, "CHAP with {text} {store:?}");
    }

    #[tokio::test]
    async fn each_kind_of_text_is_kept_in_the_form_that_serves() {
        use super::{Form as F, Store as S};
        let nt = proof::nt_text(&proof::nt_hash("secret"));
        check("secret", S::Hashed, F::Pending, None, true, false).await;
        check("secret", S::Recoverable, F::Recoverable, None, true, true).await;
        check("secret", S::Nt, F::Nt, None, true, false).await;
        check("cleartext$secret", S::Hashed, F::Pending, None, true, false).await;
        check(
            "cleartext$secret",
            S::Recoverable,
            F::Recoverable,
            None,
            true,
            true,
        )
        .await;
        check(SHA1_OF_SECRET, S::Hashed, F::Hashed, None, true, false).await;
        check(
            SHA1_OF_SECRET,
            S::Recoverable,
            F::Hashed,
            Some("not as 'recoverable'"),
            true,
            false,
        )
        .await;
        check(&nt, S::Nt, F::Nt, None, true, false).await;
        check(&nt, S::Hashed, F::Nt, Some("NT hash"), true, false).await;
        check(
            &format!("!{}", "a".repeat(40)),
            S::Hashed,
            F::Hashed,
            Some("no password works"),
            false,
            false,
        )
        .await;
        check(
            "$6$",
            S::Hashed,
            F::Pending,
            Some("looks like a hash"),
            false,
            false,
        )
        .await;
        check(
            "!secret",
            S::Recoverable,
            F::Recoverable,
            None,
            false,
            false,
        )
        .await;
    }

    #[tokio::test]
    async fn a_typed_password_is_never_taken_for_a_hash() {
        let house = house().await;
        let typed = NewPassword::typed(SHA1_OF_SECRET, Store::Recoverable).unwrap();
        let kept = typed.keep(&house.kernel).unwrap();
        let stored = open(&house.kernel.keys, &kept.credential).unwrap();
        assert!(
            verify(
                &stored,
                &Attempt::Pap {
                    password: b"secret"
                }
            )
            .is_wrong()
        );
        assert!(
            verify(
                &stored,
                &Attempt::Pap {
                    password: SHA1_OF_SECRET.as_bytes()
                }
            )
            .is_right()
        );
    }

    #[tokio::test]
    async fn hashing_ahead_gives_argon2() {
        let house = house().await;
        let ready = NewPassword::given("secret", Store::Hashed)
            .hashed(&house.kernel)
            .await
            .unwrap();
        assert!(ready.text.starts_with("$argon2id$"));
        let kept = ready.keep(&house.kernel).unwrap();
        assert_eq!(kept.credential.form, Form::Hashed);
        let stored = open(&house.kernel.keys, &kept.credential).unwrap();
        assert!(
            verify(
                &stored,
                &Attempt::Pap {
                    password: b"secret"
                }
            )
            .is_right()
        );
        let chap = Attempt::Chap {
            ident: 1,
            response: &[0; 16],
            challenge: b"challenge",
        };
        assert!(matches!(verify(&stored, &chap), Outcome::Impossible(_)));
    }

    #[tokio::test]
    async fn what_is_no_password_is_refused_without_being_quoted() {
        let house = house().await;
        let long = "x".repeat(1025);
        for text in ["", long.as_str()] {
            for store in Store::ALL {
                let refused = NewPassword::given(text, store).keep(&house.kernel).err();
                assert!(matches!(&refused, Some(Error::Invalid(reason)) if !reason.contains("xx")));
            }
            assert!(
                NewPassword::given(text, Store::Hashed)
                    .hashed(&house.kernel)
                    .await
                    .is_err()
            );
            assert!(NewPassword::typed(text, Store::Hashed).is_err());
        }
    }

    #[tokio::test]
    async fn a_sealed_password_opens_in_its_row_only() {
        let house = house().await;
        let mut credential = NewPassword::given("secret", Store::Recoverable)
            .keep(&house.kernel)
            .unwrap()
            .credential;
        credential.id = house.kernel.new_uuid();
        assert!(matches!(
            open(&house.kernel.keys, &credential),
            Err(Error::Seal(_))
        ));
        credential.form = Form::Hashed;
        credential.value = "gibberish".into();
        let refused = open(&house.kernel.keys, &credential)
            .err()
            .map(|e| e.to_string());
        assert!(refused.is_some_and(|text| !text.contains("gibberish")));
    }

    #[test]
    fn words_are_read_back() {
        assert!(
            Store::ALL
                .iter()
                .all(|store| Store::from_word(store.word()) == Some(*store))
        );
        assert!(
            Form::ALL
                .iter()
                .all(|form| Form::from_word(form.word()) == Some(*form))
        );
    }
}
