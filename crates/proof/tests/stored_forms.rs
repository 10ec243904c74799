//! Hashes made by other programs (Django, argon2-cffi, bcrypt, openssl, hashlib), each verified
//! with the right password and refused with wrong ones.

use proof::{Attempt, Form, Outcome, Stored, chap, mschap, verify};

const PASSWORD: &str = "correct horse";

fn is_right(stored: &Stored, password: &[u8]) -> bool {
    match verify(stored, &Attempt::Pap { password }) {
        Outcome::Right(_) => true,
        Outcome::Wrong => false,
        Outcome::Impossible(needs) => panic!("{needs}"),
    }
}

fn check_password(text: &str, form: Form, password: &str) {
    let stored = Stored::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
    assert_eq!(stored.form(), form, "{text}");
    assert!(is_right(&stored, password.as_bytes()), "{text}");
    assert!(!is_right(&stored, format!("{password}s").as_bytes()) || password.len() >= 72);
    assert!(!is_right(&stored, &password.as_bytes()[1..]), "{text}");
    assert!(!is_right(&stored, b""), "{text}");
    assert!(!is_right(&stored, &[0xff, 0xfe]), "{text}");
}

fn check(text: &str, form: Form) {
    check_password(text, form, PASSWORD);
    assert!(Stored::recognise(text).is_some(), "{text}");
}

#[test]
fn django_hashes_verify() {
    check(
        "pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso=",
        Form::Pbkdf2,
    );
    check(
        "pbkdf2_sha1$1000$seasalt$iQvkNOF1wEL4Khh8eogJ8rUhipM=",
        Form::Pbkdf2,
    );
    check(
        "argon2$argon2id$v=19$m=64,t=2,p=2$c29tZXNhbHRzb21lc2FsdA$buIR3cR+U1IUJ8+WyIxlnaObAbutw+Yz\
         wF0bmgUKlVY",
        Form::Argon2,
    );
    check(
        "bcrypt_sha256$$2b$04$YCihjZN3YjPsPWx9jve9JOyBhAYoj7z.cwWgiNhAisLR9hOWqQwVS",
        Form::Bcrypt,
    );
    check(
        "bcrypt$$2b$04$l3cFWRRUiwvWsPud7nRIL.g0gd6lryNq7pTYOgvQMWzggnj07gQqi",
        Form::Bcrypt,
    );
    check(
        "scrypt$1024$seasalt$8$5$U5L/E4s8HSw/x7c2z5Ose/wRS4Ex+nZFwhoeVl7Y/Ivmfxi7M91P9jpq7MYsDfV9\
         WCzv+HMsQaovdkOikEuBXg==",
        Form::Scrypt,
    );
    check(
        "md5$seasalt$b614725f4cc025a51ab6a354d12890ab",
        Form::SaltedMd5,
    );
    check(
        "sha1$seasalt$55eef163bf2e349b9946e3183eef620dde0247f5",
        Form::SaltedSha,
    );
}

#[test]
fn argon2_hashes_of_every_variant_and_version_verify() {
    for tail in [
        "d$v=16$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$WIOfM1MdIbZ+U3rg++Ex1Ov2hjA6Zzit",
        "d$v=19$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$+xqTVOGy+xDvtfsAFWAY965Od0mMSjbc",
        "i$v=16$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$VhhIQKXQmqY0tlsK5gvLdqZC4su09OH+",
        "i$v=19$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$qcp3nmp2UWr1ouGAC4xFr6gE8F2j5Iy8",
        "id$v=16$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$xnBSwUF00MYVZcPzSz39uarQB/FYtqOt",
        "id$v=19$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$J6+r3lY1kyHVQUpioS5tDilBkEHpqft7",
        // the version field came later
        "id$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$xnBSwUF00MYVZcPzSz39uarQB/FYtqOt",
    ] {
        check(&format!("$argon2{tail}"), Form::Argon2);
        check(&format!("{{ARGON2}}$argon2{tail}"), Form::Argon2);
    }
}

#[test]
fn bcrypt_hashes_of_every_version_verify() {
    check(
        "$2a$04$HRKydWFeIfSHhfRS02C7xeyMNFz527.JNBYNWov1dJBLXEChxamFq",
        Form::Bcrypt,
    );
    check(
        "$2b$04$wtbv5kLJlvRhj5jsvuF6S.TxT1EcGH4vDwyV79he/NAA6J60diWb.",
        Form::Bcrypt,
    );
    check(
        "$2y$04$wtbv5kLJlvRhj5jsvuF6S.TxT1EcGH4vDwyV79he/NAA6J60diWb.",
        Form::Bcrypt,
    );
    check(
        "{CRYPT}$2y$04$wtbv5kLJlvRhj5jsvuF6S.TxT1EcGH4vDwyV79he/NAA6J60diWb.",
        Form::Bcrypt,
    );
}

#[test]
fn crypt_hashes_verify() {
    let long = "long".repeat(30);
    let check_text = |text: &str, form, password: &str| {
        check_password(text, form, password);
        check_password(&format!("{{CRYPT}}{text}"), form, password);
    };
    let md5 = Form::Md5Crypt;
    check_text("$1$saltsalt$NuzA7WTAelpl95xgBGWN60", md5, PASSWORD);
    check_text("$1$ab$e2KlfqG5YBMTjSz7XF.Eu1", md5, "x");
    check_text("$1$abc$8XkLGPyuYzPCxbkuIdMqY.", md5, &long);
    check_text("$apr1$saltsalt$EGVZDNN6gOqijy.tv9axG/", md5, PASSWORD);
    check_text("$apr1$ab$eIePjsejfBGR8ITtu2z0U1", md5, "x");
    let sha = Form::ShaCrypt;
    check_text(
        "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        sha,
        PASSWORD,
    );
    check_text(
        "$5$ab$5ydlOaPxAq0VpamGFK.BZgHF7HlR0erJsH.F7VB19f0",
        sha,
        "x",
    );
    check_text(
        "$5$abc$P9WY13UgpA4/fKLARRT6jJNuSbw1R8pfDEtALqyycBA",
        sha,
        &long,
    );
    check_text(
        "$5$rounds=1234$saltstringsaltst$Yr8T8tbKKDHvWpzrlMiQLrUFNf9TWQur5sikMxeUHr1",
        sha,
        PASSWORD,
    );
    check_text(
        "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFt\
         v/uamSo5z0",
        sha,
        PASSWORD,
    );
    check_text(
        "$6$ab$jnZj29NS/hK2GaouP6AGMIBwD6owZFRejcn9QRdlwSjZaVr.fR9dH2TXrKL/PaacUXwtGfI.4O9zxvy2k6\
         fbE1",
        sha,
        "x",
    );
    check_text(
        "$6$abc$H4lXq7ylirxYLRlirS320vdSChkqjpK8C4nIw5gChBehms2tYIZEPKnQmICphPl35FQybgdr7Uu5O8Qka\
         /m1V.",
        sha,
        &long,
    );
    check_text(
        "$6$rounds=1234$saltstringsaltst$fyTI1ceau1TgsbDC.2Dq3AwK815.JOyitHspUuoBKeV6oL6OEnGkfu5V\
         wr6.HP5n6Ke/pKzZ.4H5V2k7M25uL0",
        sha,
        PASSWORD,
    );
}

#[test]
fn scrypt_and_pbkdf2_hashes_of_other_writers_verify() {
    check(
        "$scrypt$ln=10,r=8,p=1$c2FsdHNhbHQ$ZGeSwropSvEgLQU1pjltINKrRvmEBSnohdqYXUe5EZ8",
        Form::Scrypt,
    );
    for (names, tail) in [
        (
            ["$pbkdf2$", "{PBKDF2-SHA1}"],
            "1000$c2FsdHNhbHQ$wQoBU7GXMNo2CJC.raijrf6key4",
        ),
        (
            ["$pbkdf2-sha256$", "{PBKDF2-SHA256}"],
            "1000$c2FsdHNhbHQ$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0",
        ),
        (
            ["$pbkdf2-sha512$", "{PBKDF2-SHA512}"],
            "1000$c2FsdHNhbHQ$.sUSD8jw4f8ns7m9b7kj8PeJLe8lJXO8Am09BLgO79kST9D/Ija5aKINGF5Xg7hkKXw1\
             .fNhBzzJP3eIXcWXww",
        ),
    ] {
        for name in names {
            check(&format!("{name}{tail}"), Form::Pbkdf2);
        }
    }
}

#[test]
fn directory_digests_verify_in_base64_and_hexadecimal() {
    // scheme, digest in base64, digest in hexadecimal; the salted ones end with the salt "NaCl1234"
    for (scheme, base64, hex) in [
        (
            "SHA",
            "L55TUjtiq8FBorTWAZ0jy6g129A=",
            "2f9e53523b62abc141a2b4d6019d23cba835dbd0",
        ),
        (
            "SHA224",
            "vmeOyw4eE/0MFECZX0MiXKg662Zxfo6nkLhn8g==",
            "be678ecb0e1e13fd0c1440995f43225ca83aeb66717e8ea790b867f2",
        ),
        (
            "SHA256",
            "QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=",
            "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631",
        ),
        (
            "SHA2",
            "QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=",
            "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631",
        ),
        (
            "SHA384",
            "ArIKby67E2Cppg9M+QhXNj7UGcAisSFWfOX5HG45Zk+3j9YCNMSli1v8cUWumDKS",
            "02b20a6f2ebb1360a9a60f4cf90857363ed419c022b121567ce5f91c6e39664fb78fd60234c4a58b5bfc71\
             45ae983292",
        ),
        (
            "SHA512",
            "VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6aldZoNHvKtxSQhayTyyeZUZew==",
            "56b698defedb5a435b634afe3320bbaf3fdcd920b6c503a446fc7b7a776b298d479d1ba6a8b617808eb0bf\
             579ce9a95d668347bcab7149085ac93cb27995197b",
        ),
    ] {
        check(&format!("{{{scheme}}}{base64}"), Form::Sha);
        check(&format!("{{{}}}{hex}", scheme.to_lowercase()), Form::Sha);
        check(&format!("{{{scheme}}}{}", hex.to_uppercase()), Form::Sha);
    }
    for (scheme, base64, hex) in [
        (
            "SSHA",
            "N5AvglyQgpuw+E6FIPXO/4H4ClROYUNsMTIzNA==",
            "37902f825c90829bb0f84e8520f5ceff81f80a544e61436c31323334",
        ),
        (
            "SSHA224",
            "BsotA5jgPT2gJa8zjVt8NaLecnd1bxzXDkQuZ05hQ2wxMjM0",
            "06ca2d0398e03d3da025af338d5b7c35a2de7277756f1cd70e442e674e61436c31323334",
        ),
        (
            "SSHA256",
            "U+kc1alrfU/YkBSrUMVgRVRSDIXIhJKFdZfdaHQ8IbROYUNsMTIzNA==",
            "53e91cd5a96b7d4fd89014ab50c5604554520c85c88492857597dd68743c21b44e61436c31323334",
        ),
        (
            "SSHA384",
            "FL/Y+CTw1cXepcgZeiVYhRcDjFAHAylMmBppJkcB4QjDjkmnaLSSV19jPHU+z4ofTmFDbDEyMzQ=",
            "14bfd8f824f0d5c5dea5c8197a25588517038c500703294c981a69264701e108c38e49a768b492575f633c\
             753ecf8a1f4e61436c31323334",
        ),
        (
            "SSHA512",
            "UcgUMQCoyOq39//KJeZNFoQ73BzEEkkNZ2T69j+OCt7PoOjJm64Lb57Zx6uRq4trGJ8K7NSDqjle2Iy1ZZ0K4E5\
             hQ2wxMjM0",
            "51c8143100a8c8eab7f7ffca25e64d16843bdc1cc412490d6764faf63f8e0adecfa0e8c99bae0b6f9ed9c7\
             ab91ab8b6b189f0aecd483aa395ed88cb5659d0ae04e61436c31323334",
        ),
    ] {
        check(&format!("{{{scheme}}}{base64}"), Form::SaltedSha);
        check(&format!("{{{scheme}}}{hex}"), Form::SaltedSha);
    }
    check("{MD5}PLTnMmMfR+brlh80VUt83g==", Form::Md5);
    check("{md5}3cb4e732631f47e6eb961f34554b7cde", Form::Md5);
    check("{SMD5}dOFUaVBCHBhXV0ftJT8m7E5hQ2wxMjM0", Form::SaltedMd5);
    check(
        "{SMD5}74e1546950421c18575747ed253f26ec4e61436c31323334",
        Form::SaltedMd5,
    );
}

#[test]
fn nt_hashes_and_clear_text_verify() {
    check("nt:cfc43211ba8dc470832267827cac1407", Form::NtHash);
    check("{NT}CFC43211BA8DC470832267827CAC1407", Form::NtHash);
    check_password(
        "{NTHASH}507e3ee80df7db7c1fdd8d50ae8db606",
        Form::NtHash,
        "пароль",
    );
    check("cleartext$correct horse", Form::Clear);
    check("{ClearText}correct horse", Form::Clear);
}

#[test]
fn empty_passwords_and_those_past_the_limit_are_wrong_even_where_equal() {
    fn check(text: &str, octets: usize, expect: bool) {
        let stored = Stored::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        assert_eq!(
            is_right(&stored, "x".repeat(octets).as_bytes()),
            expect,
            "{octets} octets"
        );
    }
    check("{SHA}da39a3ee5e6b4b0d3255bfef95601890afd80709", 0, false);
    check("{SHA}d5a3c9bd7e746c98b4aea0e9194fb9555b3c22ad", 1024, true);
    check("{SHA}dc0849dc97d2e7d5f575b1abdc5fa96d4989165f", 1025, false);
    check("nt:31d6cfe0d16ae931b73c59d7e0c089c0", 0, false);
}

#[test]
fn an_empty_clear_password_proves_nothing_by_any_method() {
    let stored = Stored::Clear(Vec::new().into());
    assert!(!is_right(&stored, b""));
    let response = chap::response(1, b"", b"challenge");
    let chap = Attempt::Chap {
        ident: 1,
        response: &response,
        challenge: b"challenge",
    };
    let response = mschap::nt_response(&[1; 8], "");
    let mschap = Attempt::MsChap {
        challenge: &[1; 8],
        nt_response: &response,
    };
    for attempt in [chap, mschap] {
        assert!(
            verify(&stored, &attempt).is_wrong(),
            "{}",
            attempt.method().name()
        );
    }
}
