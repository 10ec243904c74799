//! What is stored about a person's password, parsed once from its text form.

use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::parse::{self, UnknownForm};

/// What is stored about a person's password. No `Debug`, no `Display`: some forms are the password
/// itself or as good as it.
#[derive(Clone)]
pub enum Stored {
    /// Argon2 (RFC 9106).
    Argon2(Argon2Hash),
    /// PBKDF2 (RFC 8018).
    Pbkdf2(Pbkdf2Hash),
    /// scrypt (RFC 7914).
    Scrypt(ScryptHash),
    /// bcrypt, `$2a$`, `$2b$`, `$2y$`.
    Bcrypt(BcryptHash),
    /// SHA-256-crypt and SHA-512-crypt, `$5$` and `$6$`.
    ShaCrypt(ShaCryptHash),
    /// MD5-crypt, `$1$` and `$apr1$`.
    Md5Crypt(Md5CryptHash),
    /// One round of a digest, salted or not: `{SSHA}`, `{SHA256}`, `{MD5}`, ….
    Digest(DigestHash),
    /// MD4 over the password in UTF-16LE. As good as the password for MS-CHAP.
    NtHash(Zeroizing<[u8; 16]>),
    /// The password itself.
    Clear(Zeroizing<Vec<u8>>),
    /// A mark that no password works: the person signs in some other way.
    Unusable,
}

/// An argon2 hash with its parameters.
#[derive(Clone)]
pub struct Argon2Hash {
    pub(crate) algorithm: argon2::Algorithm,
    pub(crate) version: argon2::Version,
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
    pub(crate) salt: Box<[u8]>,
    pub(crate) hash: Box<[u8]>,
}

/// A PBKDF2 hash with its parameters.
#[derive(Clone)]
pub struct Pbkdf2Hash {
    pub(crate) digest: Digest,
    pub(crate) iterations: u32,
    pub(crate) salt: Box<[u8]>,
    pub(crate) hash: Box<[u8]>,
}

/// An scrypt hash with its parameters.
#[derive(Clone)]
pub struct ScryptHash {
    pub(crate) params: scrypt::Params,
    pub(crate) salt: Box<[u8]>,
    pub(crate) hash: Box<[u8]>,
}

/// A bcrypt hash.
#[derive(Clone)]
pub struct BcryptHash {
    /// Sixty characters, checked when parsed.
    pub(crate) text: Box<str>,
    /// Django's `bcrypt_sha256`: the hexadecimal SHA-256 of the password is what was hashed.
    pub(crate) prehashed: bool,
}

/// A `$5$` or `$6$` hash.
#[derive(Clone)]
pub struct ShaCryptHash {
    /// [`Digest::Sha256`] or [`Digest::Sha512`].
    pub(crate) digest: Digest,
    pub(crate) params: sha_crypt::Params,
    pub(crate) salt: Box<[u8]>,
    /// The last field in its own base64 alphabet.
    pub(crate) hash: Box<[u8]>,
}

/// A `$1$` or `$apr1$` hash.
#[derive(Clone)]
pub struct Md5CryptHash {
    /// `$1$` or `$apr1$`; part of what is hashed.
    pub(crate) magic: &'static str,
    pub(crate) salt: Box<[u8]>,
    /// The last field in its own base64 alphabet.
    pub(crate) hash: Box<[u8]>,
}

/// One round of a digest.
#[derive(Clone)]
pub struct DigestHash {
    pub(crate) digest: Digest,
    /// Directories hash password then salt; old Django hashed salt then password.
    pub(crate) salt_first: bool,
    /// The hash, then the salt. Up to SHA-256 with eight octets of salt it takes no memory of its own: servers hold many.
    octets: SmallVec<[u8; 40]>,
}

impl DigestHash {
    /// Of a hash as long as its digest makes it, and a salt, which is empty where there is none.
    pub(crate) fn new(digest: Digest, hash: &[u8], salt: &[u8], salt_first: bool) -> Self {
        debug_assert_eq!(hash.len(), digest.octets());
        let mut octets = SmallVec::with_capacity(hash.len() + salt.len());
        octets.extend_from_slice(hash);
        octets.extend_from_slice(salt);
        Self {
            digest,
            salt_first,
            octets,
        }
    }

    pub(crate) fn hash(&self) -> &[u8] {
        &self.octets[..self.digest.octets()]
    }

    pub(crate) fn salt(&self) -> &[u8] {
        &self.octets[self.digest.octets()..]
    }
}

/// The kind of a stored form, for reports and for asking which methods it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Argon2.
    Argon2,
    /// PBKDF2.
    Pbkdf2,
    /// scrypt.
    Scrypt,
    /// bcrypt.
    Bcrypt,
    /// SHA-256-crypt or SHA-512-crypt.
    ShaCrypt,
    /// MD5-crypt.
    Md5Crypt,
    /// Salted SHA-1 or SHA-2.
    SaltedSha,
    /// SHA-1 or SHA-2 without salt.
    Sha,
    /// Salted MD5.
    SaltedMd5,
    /// MD5 without salt.
    Md5,
    /// NT hash.
    NtHash,
    /// Clear text.
    Clear,
    /// No password works.
    Unusable,
}

impl Form {
    /// Every form, in the order of the enum.
    pub const ALL: [Form; 13] = [
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
        Form::Unusable,
    ];

    /// The name used in logs, metrics and reports. Stable.
    pub fn name(self) -> &'static str {
        match self {
            Form::Argon2 => "argon2",
            Form::Pbkdf2 => "pbkdf2",
            Form::Scrypt => "scrypt",
            Form::Bcrypt => "bcrypt",
            Form::ShaCrypt => "sha-crypt",
            Form::Md5Crypt => "md5-crypt",
            Form::SaltedSha => "salted-sha",
            Form::Sha => "sha",
            Form::SaltedMd5 => "salted-md5",
            Form::Md5 => "md5",
            Form::NtHash => "nt-hash",
            Form::Clear => "clear",
            Form::Unusable => "unusable",
        }
    }

    /// The form as part of a sentence: "only … is stored".
    pub fn title(self) -> &'static str {
        match self {
            Form::Argon2 => "an argon2 hash",
            Form::Pbkdf2 => "a PBKDF2 hash",
            Form::Scrypt => "an scrypt hash",
            Form::Bcrypt => "a bcrypt hash",
            Form::ShaCrypt => "a SHA-crypt hash",
            Form::Md5Crypt => "an MD5-crypt hash",
            Form::SaltedSha => "a salted SHA hash",
            Form::Sha => "a SHA hash",
            Form::SaltedMd5 => "a salted MD5 hash",
            Form::Md5 => "an MD5 hash",
            Form::NtHash => "an NT hash",
            Form::Clear => "the clear text",
            Form::Unusable => "a mark that no password works",
        }
    }

    /// What one verification of a password costs.
    pub fn cost(self) -> Cost {
        match self {
            Form::Argon2
            | Form::Pbkdf2
            | Form::Scrypt
            | Form::Bcrypt
            | Form::ShaCrypt
            | Form::Md5Crypt => Cost::Slow,
            Form::SaltedSha
            | Form::Sha
            | Form::SaltedMd5
            | Form::Md5
            | Form::NtHash
            | Form::Clear
            | Form::Unusable => Cost::Cheap,
        }
    }
}

/// What one verification costs: which lane it belongs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cost {
    /// Microseconds: may run where packets are answered.
    Cheap,
    /// From a fraction of a millisecond to seconds: belongs in a bounded pool.
    Slow,
}

impl Stored {
    /// Reads a stored text. Plain text without a marker is not accepted here (see
    /// [`Stored::recognise`]).
    ///
    /// Errors say what is wrong with the text and never quote it.
    pub fn parse(text: &str) -> Result<Stored, UnknownForm> {
        parse::parse(text)
    }

    /// For imports, where a column may hold hashes or plain passwords: `Some` for what is
    /// unmistakably one of the marked forms, `None` for everything else, which is then plain text.
    ///
    /// A leading `!` alone proves nothing, since people begin passwords with it; only Django's whole
    /// form (`!` and forty letters or digits) counts as unusable.
    pub fn recognise(text: &str) -> Option<Stored> {
        match parse::parse(text) {
            Ok(Stored::Unusable) if !parse::is_django_unusable(text) => None,
            Ok(stored) => Some(stored),
            Err(_) => None,
        }
    }

    /// For imports: why a text that begins like a hash cannot be used as one. A row with such a
    /// text deserves a warning, since taken as plain text it will hardly be what its owner types.
    pub fn doubt(text: &str) -> Option<UnknownForm> {
        match parse::parse(text) {
            Ok(_) | Err(UnknownForm::Empty | UnknownForm::TooLong | UnknownForm::Unmarked) => None,
            Err(reason) => Some(reason),
        }
    }

    /// The kind of this form.
    pub fn form(&self) -> Form {
        match self {
            Stored::Argon2(_) => Form::Argon2,
            Stored::Pbkdf2(_) => Form::Pbkdf2,
            Stored::Scrypt(_) => Form::Scrypt,
            Stored::Bcrypt(_) => Form::Bcrypt,
            Stored::ShaCrypt(_) => Form::ShaCrypt,
            Stored::Md5Crypt(_) => Form::Md5Crypt,
            Stored::Digest(d) => match (d.digest, d.salt().is_empty()) {
                (Digest::Md5, true) => Form::Md5,
                (Digest::Md5, false) => Form::SaltedMd5,
                (_, true) => Form::Sha,
                (_, false) => Form::SaltedSha,
            },
            Stored::NtHash(_) => Form::NtHash,
            Stored::Clear(_) => Form::Clear,
            Stored::Unusable => Form::Unusable,
        }
    }

    /// What one PAP verification against this costs.
    pub fn cost(&self) -> Cost {
        self.form().cost()
    }
}
