//! The proof itself: an attempt against what is stored.
//!
//! The law of this module: [`verify()`] answers [`Outcome::Impossible`] exactly where [`can_serve`]
//! says no, or where an MS-CHAP client sent nothing but an LM response.

use std::fmt;

use zeroize::Zeroizing;

use crate::attempt::{Attempt, Method};
use crate::bounds;
use crate::keys::Keys;
use crate::stored::{Form, Stored};
use crate::{chap, mschap, pap};

/// What became of an attempt. Holds keys, hence no `Debug`.
pub enum Outcome {
    /// The password is known to the other side.
    Right(Keys),
    /// It is not.
    Wrong,
    /// This method cannot be checked against what is stored.
    Impossible(Needs),
}

impl Outcome {
    /// Whether the proof was right.
    pub fn is_right(&self) -> bool {
        matches!(self, Outcome::Right(_))
    }

    /// Whether the proof was wrong, as opposed to impossible to check.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Outcome::Wrong)
    }
}

/// What would have to be different for the attempt to be checked. Displays as one sentence without
/// secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Another form would have to be stored.
    OtherForm {
        /// How the device tried to prove itself.
        method: Method,
        /// What is stored.
        stored: Form,
    },
    /// The client sent an LM response only, which is not supported.
    NtResponse,
}

impl Needs {
    /// The forms that would serve the method. Empty where storing something else is no remedy.
    pub fn serving_forms(&self) -> &'static [Form] {
        match self {
            Needs::OtherForm { method, .. } => serving_forms(*method),
            Needs::NtResponse => &[],
        }
    }

    /// What an operator can do about it: one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Needs::OtherForm {
                stored: Form::Unusable,
                ..
            } => "Set a password for this person, or let them sign in the way they were enrolled.",
            Needs::OtherForm {
                method: Method::Chap,
                ..
            } => {
                "Let the NAS use PAP, or keep this person's password in clear text and set it again."
            }
            Needs::OtherForm {
                method: Method::MsChap | Method::MsChapV2,
                ..
            } => {
                "Let the NAS use PAP (or TTLS-PAP), or keep an NT hash for this person and set the \
                 password again."
            }
            Needs::OtherForm { .. } => "Set this person's password again.",
            Needs::NtResponse => "Let the client send an NT response, or use MS-CHAPv2 or PAP.",
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Needs::OtherForm {
                method,
                stored: stored @ Form::Unusable,
            } => {
                write!(
                    f,
                    "{} needs a password, but {} is stored",
                    method.title(),
                    stored.title()
                )
            }
            Needs::OtherForm { method, stored } => {
                write!(f, "{} needs ", method.title())?;
                for (at, form) in self.serving_forms().iter().enumerate() {
                    let between = if at == 0 { "" } else { " or " };
                    write!(f, "{between}{}", form.title())?;
                }
                write!(f, ", but only {} is stored", stored.title())
            }
            Needs::NtResponse => {
                f.write_str("the client sent an LM response only, which is not supported")
            }
        }
    }
}

/// The forms a method can be checked against.
fn serving_forms(method: Method) -> &'static [Form] {
    match method {
        Method::Pap => &[
            Form::Argon2,
            Form::Pbkdf2,
            Form::Scrypt,
            Form::Bcrypt,
            Form::ShaCrypt,
            Form::Md5Crypt,
            Form::SaltedSha,
            Form::Sha,
            Form::SaltedMd5,
            Form::Md5,
            Form::NtHash,
            Form::Clear,
        ],
        Method::Chap => &[Form::Clear],
        Method::MsChap | Method::MsChapV2 => &[Form::NtHash, Form::Clear],
        // The address is its own proof: whatever is stored is not asked.
        Method::Mac => &Form::ALL,
    }
}

/// Whether a method can be checked against a stored form, whatever the password.
pub fn can_serve(form: Form, method: Method) -> bool {
    serving_forms(method).contains(&form)
}

/// Checks an attempt against what is stored. Hashes are compared in constant time. Takes as long as
/// [`Form::cost`] of the stored form says for PAP, and microseconds for the other methods.
///
/// Empty passwords and those longer than [`bounds::MAX_PASSWORD_OCTETS`] are wrong on either side,
/// and so are clear passwords that are not UTF-8 where an NT hash is needed.
pub fn verify(stored: &Stored, attempt: &Attempt<'_>) -> Outcome {
    let (method, form) = (attempt.method(), stored.form());
    if !can_serve(form, method) {
        return Outcome::Impossible(Needs::OtherForm {
            method,
            stored: form,
        });
    }
    match *attempt {
        Attempt::Pap { password } => verdict(pap::matches(stored, password).then_some(Keys::None)),
        Attempt::Chap {
            ident,
            response,
            challenge,
        } => {
            let fits = match stored {
                Stored::Clear(clear) if bounds::is_examined(clear) => {
                    pap::same(&chap::response(ident, clear, challenge), response)
                }
                _ => false,
            };
            verdict(fits.then_some(Keys::None))
        }
        Attempt::MsChap { nt_response, .. } if *nt_response == [0; 24] => {
            Outcome::Impossible(Needs::NtResponse)
        }
        Attempt::MsChap {
            challenge,
            nt_response,
        } => verdict(
            nt_hash_of(stored)
                .and_then(|hash| mschap::check_v1(&hash, challenge, nt_response))
                .map(Keys::MsChap),
        ),
        Attempt::MsChapV2 {
            authenticator_challenge,
            peer_challenge,
            nt_response,
            user_name,
            ident: _,
        } => verdict(
            nt_hash_of(stored)
                .and_then(|hash| {
                    mschap::check_v2(
                        &hash,
                        authenticator_challenge,
                        peer_challenge,
                        nt_response,
                        user_name,
                    )
                })
                .map(Keys::MsChapV2),
        ),
    }
}

fn verdict(keys: Option<Keys>) -> Outcome {
    keys.map_or(Outcome::Wrong, Outcome::Right)
}

/// The NT hash stored, or made from the clear password stored.
fn nt_hash_of(stored: &Stored) -> Option<Zeroizing<[u8; 16]>> {
    match stored {
        Stored::NtHash(hash) => Some(hash.clone()),
        Stored::Clear(clear) if bounds::is_examined(clear) => std::str::from_utf8(clear)
            .ok()
            .map(|text| Zeroizing::new(mschap::nt_hash(text))),
        _ => None,
    }
}
