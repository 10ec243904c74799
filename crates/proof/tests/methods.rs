//! Every stored form against every method: what can be checked, what comes of it, and what is said
//! where nothing can be checked.

use proof::mschap::{self, Side};
use proof::{
    Argon2Params, Attempt, Form, Keys, Method, Needs, Outcome, Stored, can_serve, chap,
    hash_password, nt_hash, nt_text, verify,
};
use proptest::prelude::*;

const AUTHENTICATOR: [u8; 16] = [0x5b; 16];
const PEER: [u8; 16] = [0x21; 16];
const CHALLENGE: [u8; 8] = [0x10; 8];

/// The same password, proven by each method a NAS may use.
struct Proofs {
    password: String,
    chap: [u8; 16],
    mschap: [u8; 24],
    mschap_v2: [u8; 24],
}

impl Proofs {
    fn of(password: &str) -> Proofs {
        Proofs {
            password: password.to_owned(),
            chap: chap::response(7, password.as_bytes(), &AUTHENTICATOR),
            mschap: mschap::nt_response(&CHALLENGE, password),
            mschap_v2: mschap::nt_response_v2(&AUTHENTICATOR, &PEER, b"D\\ann", password),
        }
    }

    fn attempts(&self) -> [Attempt<'_>; 4] {
        [
            Attempt::Pap {
                password: self.password.as_bytes(),
            },
            Attempt::Chap {
                ident: 7,
                response: &self.chap,
                challenge: &AUTHENTICATOR,
            },
            Attempt::MsChap {
                challenge: &CHALLENGE,
                nt_response: &self.mschap,
            },
            Attempt::MsChapV2 {
                ident: 3,
                authenticator_challenge: &AUTHENTICATOR,
                peer_challenge: &PEER,
                nt_response: &self.mschap_v2,
                user_name: b"D\\ann",
            },
        ]
    }
}

/// One stored text of every form, all for the password "correct horse".
const STORED: [(Form, &str); 13] = [
    (
        Form::Argon2,
        "$argon2id$v=19$m=32,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$J6+r3lY1kyHVQUpioS5tDilBkEHpqft7",
    ),
    (
        Form::Pbkdf2,
        "pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso=",
    ),
    (
        Form::Scrypt,
        "$scrypt$ln=10,r=8,p=1$c2FsdHNhbHQ$ZGeSwropSvEgLQU1pjltINKrRvmEBSnohdqYXUe5EZ8",
    ),
    (
        Form::Bcrypt,
        "$2b$04$wtbv5kLJlvRhj5jsvuF6S.TxT1EcGH4vDwyV79he/NAA6J60diWb.",
    ),
    (
        Form::ShaCrypt,
        "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
    ),
    (Form::Md5Crypt, "$1$saltsalt$NuzA7WTAelpl95xgBGWN60"),
    (
        Form::SaltedSha,
        "{SSHA}N5AvglyQgpuw+E6FIPXO/4H4ClROYUNsMTIzNA==",
    ),
    (Form::Sha, "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="),
    (Form::SaltedMd5, "{SMD5}dOFUaVBCHBhXV0ftJT8m7E5hQ2wxMjM0"),
    (Form::Md5, "{MD5}PLTnMmMfR+brlh80VUt83g=="),
    (Form::NtHash, "nt:cfc43211ba8dc470832267827cac1407"),
    (Form::Clear, "cleartext$correct horse"),
    (Form::Unusable, "!T6xRjIUtLc9oBHMdpdzltyxImyC1lqrPrt61nJRr"),
];

#[test]
fn each_form_serves_exactly_the_methods_of_this_table() {
    // form, then PAP, CHAP, MS-CHAP, MS-CHAPv2, MAC
    let table = [
        (Form::Argon2, [true, false, false, false, true]),
        (Form::Pbkdf2, [true, false, false, false, true]),
        (Form::Scrypt, [true, false, false, false, true]),
        (Form::Bcrypt, [true, false, false, false, true]),
        (Form::ShaCrypt, [true, false, false, false, true]),
        (Form::Md5Crypt, [true, false, false, false, true]),
        (Form::SaltedSha, [true, false, false, false, true]),
        (Form::Sha, [true, false, false, false, true]),
        (Form::SaltedMd5, [true, false, false, false, true]),
        (Form::Md5, [true, false, false, false, true]),
        (Form::NtHash, [true, false, true, true, true]),
        (Form::Clear, [true, true, true, true, true]),
        (Form::Unusable, [false, false, false, false, true]),
    ];
    assert_eq!(table.map(|(form, _)| form), Form::ALL);
    for (form, expect) in table {
        assert_eq!(
            Method::ALL.map(|method| can_serve(form, method)),
            expect,
            "{}",
            form.name()
        );
    }
}

#[test]
fn every_form_says_right_wrong_or_impossible_as_the_table_has_it() {
    let (right, wrong) = (Proofs::of("correct horse"), Proofs::of("correct mule"));
    for (form, text) in STORED {
        let stored = Stored::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        assert_eq!(stored.form(), form);
        for (good, bad) in right.attempts().iter().zip(wrong.attempts()) {
            let method = good.method();
            let place = format!("{} against {}", method.name(), form.name());
            let (good, bad) = (verify(&stored, good), verify(&stored, &bad));
            if can_serve(form, method) {
                assert!(good.is_right(), "{place}");
                assert!(bad.is_wrong(), "{place}");
            } else {
                let expect = Needs::OtherForm {
                    method,
                    stored: form,
                };
                assert!(
                    matches!(good, Outcome::Impossible(needs) if needs == expect),
                    "{place}"
                );
                assert!(
                    matches!(bad, Outcome::Impossible(needs) if needs == expect),
                    "{place}"
                );
            }
        }
    }
}

#[test]
fn what_is_needed_is_said_in_one_sentence_with_a_remedy() {
    fn check(method: Method, stored: Form, sentence: &str, remedy: &str) {
        let needs = Needs::OtherForm { method, stored };
        assert_eq!(needs.to_string(), sentence);
        assert!(needs.remedy().contains(remedy), "{}", needs.remedy());
    }
    check(
        Method::Chap,
        Form::Argon2,
        "CHAP needs the clear text, but only an argon2 hash is stored",
        "PAP",
    );
    check(
        Method::MsChapV2,
        Form::Bcrypt,
        "MS-CHAPv2 needs an NT hash or the clear text, but only a bcrypt hash is stored",
        "NT hash",
    );
    check(
        Method::Pap,
        Form::Unusable,
        "PAP needs a password, but a mark that no password works is stored",
        "Set a password",
    );
    assert_eq!(
        Needs::OtherForm {
            method: Method::Chap,
            stored: Form::NtHash
        }
        .serving_forms(),
        [Form::Clear]
    );
}

#[test]
fn an_lm_response_alone_cannot_be_checked() {
    let stored = Stored::parse("cleartext$correct horse").ok().unwrap();
    let attempt = Attempt::MsChap {
        challenge: &CHALLENGE,
        nt_response: &[0; 24],
    };
    assert!(matches!(
        verify(&stored, &attempt),
        Outcome::Impossible(Needs::NtResponse)
    ));
    assert!(Needs::NtResponse.to_string().contains("LM response"));
    assert!(Needs::NtResponse.serving_forms().is_empty());
}

#[test]
fn each_method_yields_its_keys() {
    let proofs = Proofs::of("correct horse");
    let [pap, chap, mschap, v2] = proofs.attempts();
    let hash = nt_hash("correct horse");
    for text in [
        "cleartext$correct horse",
        "nt:cfc43211ba8dc470832267827cac1407",
    ] {
        let stored = Stored::parse(text).ok().unwrap();
        assert!(matches!(verify(&stored, &pap), Outcome::Right(Keys::None)));
        match verify(&stored, &mschap) {
            Outcome::Right(Keys::MsChap(keys)) => {
                assert_eq!(keys.content()[..8], [0; 8]);
                assert_eq!(keys.content()[8..], mschap::nt_hash_hash(&hash));
            }
            _ => panic!("{text}: no MS-CHAP keys"),
        }
        match verify(&stored, &v2) {
            Outcome::Right(Keys::MsChapV2(keys)) => {
                let challenge = mschap::challenge_hash(&PEER, &AUTHENTICATOR, b"ann");
                let answer = mschap::authenticator_response(&hash, &proofs.mschap_v2, &challenge);
                assert_eq!(keys.authenticator_response(), answer);
                assert_eq!(answer.len(), 42);
                let (send, receive) = mschap::mppe_keys(&hash, &proofs.mschap_v2, Side::Client);
                assert_eq!((*keys.send_key(), *keys.receive_key()), (*receive, *send));
                let session = keys.session_key();
                assert_eq!(session[..16], *keys.receive_key());
                assert_eq!(session[16..32], *keys.send_key());
                assert_eq!(session[32..], [0; 32]);
            }
            _ => panic!("{text}: no MS-CHAPv2 keys"),
        }
    }
    let stored = Stored::parse("cleartext$correct horse").ok().unwrap();
    assert!(matches!(verify(&stored, &chap), Outcome::Right(Keys::None)));
}

#[test]
fn a_clear_password_that_is_not_text_has_no_nt_hash_and_breaks_nothing() {
    let stored = Stored::Clear(vec![0xff, 0xfe, 0x00].into());
    let [_, _, mschap, v2] = Proofs::of("x")
        .attempts()
        .map(|attempt| verify(&stored, &attempt));
    assert!(mschap.is_wrong() && v2.is_wrong());
    let chap = chap::response(1, &[0xff, 0xfe, 0x00], b"c");
    assert!(
        verify(
            &stored,
            &Attempt::Chap {
                ident: 1,
                response: &chap,
                challenge: b"c"
            }
        )
        .is_right()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_hashed_verifies_and_nothing_else_does(
        password in proptest::collection::vec(any::<u8>(), 1..200),
        other in proptest::collection::vec(any::<u8>(), 0..200),
        salt: [u8; 16],
        memory_kib in 16u32..128,
        passes in 1u32..3,
        lanes in 1u32..3,
    ) {
        let params = Argon2Params::new(memory_kib, passes, lanes).unwrap();
        let text = hash_password(&password, salt, params).unwrap();
        let stored = Stored::parse(&text).map_err(|reason| TestCaseError::fail(reason.to_string()))?;
        let attempt = Attempt::Pap { password: &password };
        prop_assert!(verify(&stored, &attempt).is_right());
        prop_assert_eq!(
            verify(&stored, &Attempt::Pap { password: &other }).is_right(),
            other == password
        );
    }

    #[test]
    fn an_nt_hash_serves_every_password_by_every_method_it_can(password in "\\PC{1,40}") {
        let stored = Stored::parse(&nt_text(&nt_hash(&password))).ok().unwrap();
        let proofs = Proofs::of(&password);
        let [pap, _, mschap, v2] = proofs.attempts();
        for attempt in [pap, mschap, v2] {
            prop_assert!(verify(&stored, &attempt).is_right());
        }
    }

    #[test]
    fn one_octet_changed_in_a_response_makes_it_wrong(at in 0usize..24, flip in 1u8..) {
        let stored = Stored::parse("cleartext$correct horse").ok().unwrap();
        let mut proofs = Proofs::of("correct horse");
        proofs.chap[at % 16] ^= flip;
        proofs.mschap[at] ^= flip;
        proofs.mschap_v2[at] ^= flip;
        let [_, chap, mschap, v2] = proofs.attempts();
        for attempt in [chap, mschap, v2] {
            prop_assert!(verify(&stored, &attempt).is_wrong());
        }
    }
}
