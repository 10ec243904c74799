use super::*;
use crate::stored::Cost;

fn form(text: &str) -> Result<Form, UnknownForm> {
    Stored::parse(text).map(|stored| stored.form())
}

fn damaged(form: Form, part: &'static str) -> Result<Form, UnknownForm> {
    Err(UnknownForm::Damaged { form, part })
}

fn too_costly(form: Form, parameter: &'static str, limit: u64) -> Result<Form, UnknownForm> {
    Err(UnknownForm::TooCostly {
        form,
        parameter,
        limit,
    })
}

fn check(text: &str, expect: Result<Form, UnknownForm>) {
    assert_eq!(form(text), expect, "{text}");
}

const SALT: &str = "c2FsdHNhbHQ";
const HASH: &str = "ZGeSwropSvEgLQU1pjltINKrRvmEBSnohdqYXUe5EZ8";

#[test]
fn text_without_a_mark_is_not_a_stored_form() {
    check("", Err(UnknownForm::Empty));
    check("secret", Err(UnknownForm::Unmarked));
    check("pa$$word", Err(UnknownForm::Unmarked));
    check("$ecret", Err(UnknownForm::Unmarked));
    check("$", Err(UnknownForm::Unmarked));
    check("{", Err(UnknownForm::Unmarked));
    check("{secret}", Err(UnknownForm::Unmarked));
    check("пар", Err(UnknownForm::Unmarked));
    check("é:", Err(UnknownForm::Unmarked));
    check(&"x".repeat(2049), Err(UnknownForm::TooLong));
}

#[test]
fn unusable_clear_and_nt_forms_are_read() {
    check("!", Ok(Form::Unusable));
    check("!$6$whatever", Ok(Form::Unusable));
    check("cleartext$pass", Ok(Form::Clear));
    check("{CLEAR}pass", Ok(Form::Clear));
    check("{ClearText}pass", Ok(Form::Clear));
    check("{CLEAR}", damaged(Form::Clear, "password"));
    check("cleartext$", damaged(Form::Clear, "password"));
    check(
        &format!("{{clear}}{}", "x".repeat(1025)),
        damaged(Form::Clear, "password"),
    );
    check("nt:fc156af7edcd6c0edde3337d427f4eac", Ok(Form::NtHash));
    check("NT:FC156AF7EDCD6C0EDDE3337D427F4EAC", Ok(Form::NtHash));
    check(
        "nt:fc156af7edcd6c0edde3337d427f4ea",
        damaged(Form::NtHash, "hash"),
    );
    check("nt:", damaged(Form::NtHash, "hash"));
    check("{NT}FC156AF7EDCD6C0EDDE3337D427F4EAC", Ok(Form::NtHash));
    check("{nthash}/BVq9+3NbA7d4zN9Qn9OrA==", Ok(Form::NtHash));
    check("{NT}00", damaged(Form::NtHash, "hash"));
}

#[test]
fn unsupported_forms_are_named() {
    fn check(text: &str) {
        assert!(
            matches!(Stored::parse(text), Err(UnknownForm::Unsupported(_))),
            "{text}"
        );
    }
    check("{CRYPT}abJnggxhB/yWI");
    check("{crypt}$zzz$x");
    check("{LM}aad3b435b51404eeaad3b435b51404ee");
    check("$y$j9T$x$y");
    check("$2x$04$wtbv5kLJlvRhj5jsvuF6S.TxT1EcGH4vDwyV79he/NAA6J60diWb.");
    check("{x-pbkdf2}HMACSHA2+256:AAAnEA:c2FsdA==:aGFzaA==");
}

#[test]
fn argon2_costs_are_limited_and_parts_checked() {
    let with = |parameters: &str| format!("$argon2id$v=19${parameters}${SALT}${HASH}");
    check(&with("m=64,t=2,p=2"), Ok(Form::Argon2));
    check(&with("p=2,m=64,t=2"), Ok(Form::Argon2));
    check(
        &with("m=1048577,t=1,p=1"),
        too_costly(Form::Argon2, "memory in KiB", 1_048_576),
    );
    check(
        &with("m=99999999999999999999,t=1,p=1"),
        too_costly(Form::Argon2, "memory in KiB", 1_048_576),
    );
    check(
        &with("m=1048576,t=5,p=1"),
        too_costly(Form::Argon2, "memory times passes in KiB", 4_194_304),
    );
    check(
        &with("m=1024,t=1,p=65"),
        too_costly(Form::Argon2, "lanes", 64),
    );
    check(&with("m=8,t=1,p=2"), damaged(Form::Argon2, "parameters"));
    check(&with("m=64,t=0,p=1"), damaged(Form::Argon2, "parameters"));
    check(&with("m=64,t=2"), damaged(Form::Argon2, "parameters"));
    check(
        &with("m=64,m=64,t=2,p=1"),
        damaged(Form::Argon2, "parameters"),
    );
    check(&with("m=+64,t=2,p=1"), damaged(Form::Argon2, "parameters"));
    check(
        &with("m=64,t=2,p=1,keyid=AA"),
        damaged(Form::Argon2, "parameters"),
    );
    check("$argon2id$", damaged(Form::Argon2, "salt"));
    check(
        &format!("$argon2id$v=18$m=64,t=2,p=1${SALT}${HASH}"),
        damaged(Form::Argon2, "version"),
    );
    check(
        &format!("$argon2id$v=19$m=64,t=2,p=1$c2FsdA${HASH}"),
        damaged(Form::Argon2, "salt"),
    );
    check(
        &format!("$argon2id$v=19$m=64,t=2,p=1${SALT}$AAAA"),
        damaged(Form::Argon2, "hash"),
    );
    check(
        &format!("$argon2id$v=19$m=64,t=2,p=1${SALT}$*"),
        damaged(Form::Argon2, "hash"),
    );
    check(
        &format!("$argon2id$v=19$m=64,t=2,p=1${SALT}"),
        damaged(Form::Argon2, "hash"),
    );
    check("argon2$sha$x", damaged(Form::Argon2, "variant"));
}

#[test]
fn pbkdf2_costs_are_limited_and_parts_checked() {
    check(
        &format!("pbkdf2_sha256$1000$salt${HASH}="),
        Ok(Form::Pbkdf2),
    );
    check(
        &format!("pbkdf2_sha256$10000000$salt${HASH}="),
        Ok(Form::Pbkdf2),
    );
    check(
        &format!("pbkdf2_sha256$10000001$salt${HASH}="),
        too_costly(Form::Pbkdf2, "iterations", 10_000_000),
    );
    // 32 octets are two blocks of SHA-1
    check(
        &format!("pbkdf2_sha1$5000001$salt${HASH}="),
        too_costly(Form::Pbkdf2, "iterations", 10_000_000),
    );
    check(
        &format!("pbkdf2_sha256$0$salt${HASH}="),
        damaged(Form::Pbkdf2, "iterations"),
    );
    check(
        &format!("pbkdf2_sha256$-1$salt${HASH}="),
        damaged(Form::Pbkdf2, "iterations"),
    );
    check(
        &format!("pbkdf2_sha256$1$${HASH}="),
        damaged(Form::Pbkdf2, "salt"),
    );
    check("pbkdf2_sha256$1$salt$", damaged(Form::Pbkdf2, "hash"));
    check("pbkdf2_sha256$1$salt", damaged(Form::Pbkdf2, "hash"));
    check(
        &format!("pbkdf2_sha256$1$salt${HASH}=$x"),
        damaged(Form::Pbkdf2, "hash"),
    );
}

#[test]
fn scrypt_costs_are_limited_and_parts_checked() {
    let phc = |parameters: &str| format!("$scrypt${parameters}${SALT}${HASH}");
    check(&phc("ln=20,r=8,p=4"), Ok(Form::Scrypt));
    check(
        &phc("ln=21,r=8,p=1"),
        too_costly(Form::Scrypt, "memory in KiB", 1_048_576),
    );
    check(
        &phc("ln=63,r=8,p=1"),
        too_costly(Form::Scrypt, "memory in KiB", 1_048_576),
    );
    check(
        &phc("ln=4294967296,r=8,p=1"),
        too_costly(Form::Scrypt, "memory in KiB", 1_048_576),
    );
    check(
        &phc("ln=1,r=4294967295,p=1"),
        too_costly(Form::Scrypt, "memory in KiB", 1_048_576),
    );
    check(
        &phc("ln=20,r=8,p=5"),
        too_costly(Form::Scrypt, "memory times p in KiB", 4_194_304),
    );
    check(
        &phc("ln=1,r=1,p=4294967295"),
        too_costly(Form::Scrypt, "memory times p in KiB", 4_194_304),
    );
    check(&phc("ln=0,r=8,p=1"), damaged(Form::Scrypt, "parameters"));
    check(&phc("r=8,ln=4,p=1"), damaged(Form::Scrypt, "parameters"));
    check(
        &phc("ln=4,r=8,p=1,x=1"),
        damaged(Form::Scrypt, "parameters"),
    );
    check(&format!("scrypt$1024$salt$8$1${HASH}="), Ok(Form::Scrypt));
    check(
        &format!("scrypt$1000$salt$8$1${HASH}="),
        damaged(Form::Scrypt, "work factor"),
    );
    check(
        &format!("scrypt$0$salt$8$1${HASH}="),
        damaged(Form::Scrypt, "work factor"),
    );
    check(
        &format!("scrypt$1$salt$8$1${HASH}="),
        damaged(Form::Scrypt, "parameters"),
    );
    check(
        &format!("scrypt$2147483648$salt$8$1${HASH}="),
        too_costly(Form::Scrypt, "memory in KiB", 1_048_576),
    );
    check(
        &format!("scrypt$99999999999$salt$8$1${HASH}="),
        too_costly(Form::Scrypt, "memory in KiB", 1_048_576),
    );
    check("scrypt$1024$salt", damaged(Form::Scrypt, "block size"));
}

#[test]
fn crypt_costs_are_limited_and_parts_checked() {
    let tail = "wtbv5kLJlvRhj5jsvuF6S.TxT1EcGH4vDwyV79he/NAA6J60diWb.";
    check(&format!("$2y$16${tail}"), Ok(Form::Bcrypt));
    check(
        &format!("$2b$17${tail}"),
        too_costly(Form::Bcrypt, "cost", 16),
    );
    check(
        &format!("$2b$99${tail}"),
        too_costly(Form::Bcrypt, "cost", 16),
    );
    check(&format!("$2b$03${tail}"), damaged(Form::Bcrypt, "cost"));
    check(
        &format!("$2b$04$é{}", &tail[2..]),
        damaged(Form::Bcrypt, "salt or hash"),
    );
    check("$2b$04$short", damaged(Form::Bcrypt, "salt or hash"));
    check("bcrypt_sha256$x", damaged(Form::Bcrypt, "salt or hash"));

    let hash = "Yr8T8tbKKDHvWpzrlMiQLrUFNf9TWQur5sikMxeUHr1";
    check(&format!("$5$rounds=5000000$s${hash}"), Ok(Form::ShaCrypt));
    check(&format!("{{CRYPT}}$5$s${hash}"), Ok(Form::ShaCrypt));
    check(
        &format!("$5$rounds=5000001$s${hash}"),
        too_costly(Form::ShaCrypt, "rounds", 5_000_000),
    );
    check(
        &format!("$5$rounds=999$s${hash}"),
        damaged(Form::ShaCrypt, "rounds"),
    );
    check(
        &format!("$5$rounds=x$s${hash}"),
        damaged(Form::ShaCrypt, "rounds"),
    );
    check(
        &format!("$5$seventeen_octets_${hash}"),
        damaged(Form::ShaCrypt, "salt"),
    );
    check(&format!("$6$s${hash}"), damaged(Form::ShaCrypt, "hash"));
    check("$5$s$", damaged(Form::ShaCrypt, "hash"));
    check("$1$saltsalt$NuzA7WTAelpl95xgBGWN60", Ok(Form::Md5Crypt));
    check(
        "$1$saltsalt$NuzA7WTAelpl95xgBGWN6!",
        damaged(Form::Md5Crypt, "hash"),
    );
    check(
        "$1$saltsalts$NuzA7WTAelpl95xgBGWN60",
        damaged(Form::Md5Crypt, "salt"),
    );
}

#[test]
fn directory_digests_need_the_length_of_their_scheme() {
    check("{sha}L55TUjtiq8FBorTWAZ0jy6g129A=", Ok(Form::Sha));
    check("{SHA}L55TUjtiq8FBorTWAZ0jy6g129A", Ok(Form::Sha));
    check(
        "{SHA256}L55TUjtiq8FBorTWAZ0jy6g129A=",
        damaged(Form::Sha, "hash"),
    );
    check(
        "{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
        damaged(Form::SaltedSha, "salt"),
    );
    check("{SSHA}AAAA", damaged(Form::SaltedSha, "hash"));
    check("{SHA2}AAAA", damaged(Form::Sha, "hash"));
    check("{MD5}3cb4e732631f47e6eb961f34554b7cde", Ok(Form::Md5));
    check(
        "{MD5}3cb4e732631f47e6eb961f34554b7cd",
        damaged(Form::Md5, "hash"),
    );
    check(
        &format!("{{SSHA}}{}", "00".repeat(20 + 128)),
        Ok(Form::SaltedSha),
    );
    check(
        &format!("{{SSHA}}{}", "00".repeat(20 + 129)),
        damaged(Form::SaltedSha, "salt"),
    );
    check(
        "md5$salt$b614725f4cc025a51ab6a354d12890ab",
        Ok(Form::SaltedMd5),
    );
    check("md5$$b614725f4cc025a51ab6a354d12890ab", Ok(Form::Md5));
    check(
        "sha1$salt$b614725f4cc025a51ab6a354d12890ab",
        damaged(Form::SaltedSha, "hash"),
    );
}

#[test]
fn imports_take_only_unmistakable_forms_for_hashes() {
    fn check(text: &str, form: Option<Form>, doubtful: bool) {
        assert_eq!(Stored::recognise(text).map(|s| s.form()), form, "{text}");
        assert_eq!(Stored::doubt(text).is_some(), doubtful, "{text}");
    }
    check("", None, false);
    check("Summer2024", None, false);
    check("!Summer2024", None, false);
    check(
        "!T6xRjIUtLc9oBHMdpdzltyxImyC1lqrPrt61nJRr",
        Some(Form::Unusable),
        false,
    );
    check("fc156af7edcd6c0edde3337d427f4eac", None, false);
    check(
        "nt:fc156af7edcd6c0edde3337d427f4eac",
        Some(Form::NtHash),
        false,
    );
    check("cleartext$Summer2024", Some(Form::Clear), false);
    check("{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", Some(Form::Sha), false);
    check("{SHA}Summer2024", None, true);
    check("$2b$12$broken", None, true);
    check("{CRYPT}abJnggxhB/yWI", None, true);
    check("pa$$word", None, false);
}

#[test]
fn errors_never_quote_the_text() {
    for text in [
        "{SHA}hunter2",
        "nt:hunter2",
        "$5$rounds=hunter2$a$b",
        "hunter2",
        "$y$hunter2",
    ] {
        let reason = Stored::parse(text).err().unwrap();
        assert!(!reason.to_string().contains("hunter2"), "{reason}");
        assert!(!format!("{reason:?}").contains("hunter2"), "{reason:?}");
    }
    assert_eq!(
        Stored::parse("{SHA}hunter2").err().unwrap().to_string(),
        "a SHA hash is stored, but its hash is missing or malformed"
    );
}

#[test]
fn only_password_hashes_are_slow() {
    let slow: Vec<&str> = Form::ALL
        .iter()
        .filter(|f| f.cost() == Cost::Slow)
        .map(|f| f.name())
        .collect();
    assert_eq!(
        slow,
        [
            "argon2",
            "pbkdf2",
            "scrypt",
            "bcrypt",
            "sha-crypt",
            "md5-crypt"
        ]
    );
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,80}") {
        let _ = Stored::parse(&text);
    }

    #[test]
    fn no_text_behind_a_mark_breaks_the_reader(
        mark in proptest::sample::select(vec![
            "$argon2id$v=19$m=", "$scrypt$ln=", "$2b$04$", "$5$rounds=", "$6$", "$1$", "{SSHA}",
            "{NT}", "nt:", "pbkdf2_sha256$", "scrypt$", "bcrypt$", "argon2$argon2id$", "{CRYPT}$",
            "{PBKDF2-SHA256}", "md5$", "$pbkdf2-sha512$",
        ]),
        text in "[0-9a-zA-Z$=,./+é]{0,90}",
    ) {
        let _ = Stored::parse(&format!("{mark}{text}"));
    }
}
