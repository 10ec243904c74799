//! From a file to people who log in, and what is refused.

use super::*;

#[tokio::test]
async fn the_sample_is_imported_and_its_people_log_in() {
    let house = house().await;
    let sample = include_str!("../../../sample.csv");
    let options = ImportOptions {
        store: identity::Store::Recoverable,
        ..house.options()
    };
    let checked = house.check(sample, &options).await.unwrap();
    assert_eq!(
        (
            checked.rows,
            checked.bad_rows,
            checked.header,
            checked.known
        ),
        (3, 0, true, 0)
    );
    let outcome = house.import(sample, &options).await.unwrap();
    assert_eq!(
        (
            outcome.created,
            outcome.joined,
            outcome.matched,
            outcome.skipped
        ),
        (3, 0, 0, 0)
    );
    assert_eq!(outcome.batch.status, Status::Completed);
    assert_eq!(
        house.logs_in("anna", "garden-7-lamp").await,
        (Form::Recoverable, true)
    );
    assert_eq!(house.logs_in("carla", "password").await, (Form::Nt, true));
    assert_eq!(outcome.warnings.total, 1, "{:?}", outcome.warnings);
    assert!(
        outcome.warnings.listed[0]
            .to_string()
            .starts_with("line 4: password: an NT hash")
    );
    let [generated] = outcome.generated_passwords.as_slice() else {
        panic!("one password was made up")
    };
    assert_eq!((generated.line, generated.username.as_str()), (3, "bruno"));
    assert_eq!(
        house
            .logs_in("bruno@example.org", &generated.password)
            .await,
        (Form::Recoverable, true)
    );
    assert_eq!(house.groups("anna", &house.acme).await, ["acme-users"]);
    assert_eq!(house.groups("bruno", &house.acme).await, ["acme-users"]);
    assert_eq!(
        house.groups("carla", &house.acme).await,
        ["acme-power-users"]
    );
    let anna = house.found("+390612345678").await.unwrap();
    let member = &anna.memberships[0].membership;
    assert_eq!(
        member.expires.map(Time::to_rfc3339).as_deref(),
        Some("2100-01-01T00:00:00Z")
    );
    assert!(member.is_verified && member.method == "manual");
    let rules = rules_of(&house.kernel, member.id).await.unwrap();
    let rules: Vec<String> = rules.rows.replies.iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        ["Framed-IP-Address := 10.20.0.7", "Session-Timeout := 7200"]
    );
}

#[tokio::test]
async fn plain_passwords_serve_at_once_and_are_hashed_later() {
    let house = house().await;
    let text = "username,password\nanna,wonderland\nbruno,cleartext$nt:x\ncarla,{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
    house.import(text, &house.options()).await.unwrap();
    assert_eq!(
        house.logs_in("anna", "wonderland").await,
        (Form::Pending, true)
    );
    assert_eq!(house.logs_in("bruno", "nt:x").await, (Form::Pending, true));
    assert_eq!(house.logs_in("carla", "secret").await, (Form::Hashed, true));
    assert_eq!(
        identity::pending::hash_pending(&house.kernel, 10)
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        house.logs_in("anna", "wonderland").await,
        (Form::Hashed, true)
    );
}

#[tokio::test]
async fn a_bad_line_keeps_everything_out_unless_it_is_skipped() {
    let house = house().await;
    house.admit(&house.acme, NewPerson::named("taken")).await;
    let text = "username,email,group\nanna,a@x.org,\nbruno,b,\ntaken,,\nanna,,\ncarla,,nobody\ndora,,users\n";
    let expected = [
        "line 3, column email: e-mail address 'b': it has no @",
        "line 4, column username: username 'taken' exists",
        "line 5, column username: username 'anna' stands on line 2 already",
        "line 6, column group: organisation 'acme' has no group 'nobody'",
    ];
    assert_eq!(house.problems(text).await, expected);
    let refused = refusal(house.import(text, &house.options()).await);
    assert!(
        refused.starts_with("nothing was imported: 4 problems, the first on line 3, column email"),
        "{refused}"
    );
    assert_eq!(house.people().await, 1);
    assert!(
        batch::list(&house.kernel.db, Scope::Everything)
            .await
            .unwrap()
            .is_empty()
    );
    let options = ImportOptions {
        skip_bad: true,
        ..house.options()
    };
    let outcome = house.import(text, &options).await.unwrap();
    assert_eq!((outcome.created, outcome.skipped), (2, 4));
    let skipped: Vec<String> = outcome
        .problems
        .listed
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(skipped, expected);
    assert!(house.found("anna").await.is_some() && house.found("dora").await.is_some());
}

#[tokio::test]
async fn what_cannot_be_read_is_never_imported() {
    let house = house().await;
    let options = ImportOptions {
        skip_bad: true,
        ..house.options()
    };
    for (text, part) in [
        ("", "the file is empty"),
        ("username,pasword\na,b\n", "did you mean 'password'"),
        ("a;b\n", "neither a header row"),
    ] {
        let refused = refusal(house.import(text, &options).await);
        assert!(refused.contains(part), "{text}: {refused}");
    }
    let missing = Source::File("/no/such/file.csv".into());
    let refused = refusal(check(&house.kernel, Dictionary::builtin(), &missing, &options).await);
    assert!(refused.starts_with("file 'file.csv': "), "{refused}");
    let wrong = |change: fn(&mut ImportOptions)| {
        let mut options = house.options();
        change(&mut options);
        options
    };
    for (options, part) in [
        (
            wrong(|o| o.group = Some("user".into())),
            "did you mean 'acme-users'",
        ),
        (
            wrong(|o| o.expires = Some(Time::from_unix_seconds(1))),
            "past",
        ),
        (wrong(|o| o.name = Some(String::new())), "batch's name"),
    ] {
        let refused = refusal(house.check("username\na\n", &options).await);
        assert!(refused.contains(part), "{refused}");
    }
}

#[tokio::test]
async fn five_columns_number_usernames_and_know_addresses_again() {
    let house = house().await;
    house
        .admit(
            &house.acme,
            NewPerson {
                email: Some("zoe@x.org".into()),
                ..NewPerson::named("anna")
            },
        )
        .await;
    let text = "anna,pw,a1@x.org,Anna,One\n,,anna@y.org,Anna,Two\nanna1,,a3@x.org,,\nx,other,A1@X.org,,\n,,ZOE@x.org,Zoe,\n";
    let outcome = house.import(text, &house.options()).await.unwrap();
    assert_eq!(
        (outcome.created, outcome.joined, outcome.matched),
        (3, 0, 2)
    );
    for (address, username) in [
        ("a1@x.org", "anna1"),
        ("anna@y.org", "anna2"),
        ("a3@x.org", "anna11"),
        ("zoe@x.org", "anna"),
    ] {
        assert_eq!(
            house
                .found(address)
                .await
                .map(|found| found.username)
                .as_deref(),
            Some(username),
            "{address}"
        );
    }
    assert_eq!(house.logs_in("a1@x.org", "pw").await, (Form::Pending, true));
    let zoe = house.found("zoe@x.org").await.unwrap();
    assert_eq!(zoe.person.first_name, "");
    let lines: Vec<u64> = outcome
        .generated_passwords
        .iter()
        .map(|generated| generated.line)
        .collect();
    assert_eq!(lines, [2, 3]);
}

#[tokio::test]
async fn a_number_is_found_beyond_a_whole_block_and_never_another_rows_name() {
    let house = house().await;
    let mut text = String::from("username,email\n");
    for at in 0..150 {
        text += &format!(",info@d{at}.org\n");
    }
    text += "info3,\ninfo,\n";
    let outcome = house.import(&text, &house.options()).await.unwrap();
    assert_eq!(outcome.created, 152);
    assert_eq!(house.found("info@d0.org").await.unwrap().username, "info1");
    assert_eq!(house.found("info@d2.org").await.unwrap().username, "info4");
    assert_eq!(
        house.found("info@d149.org").await.unwrap().username,
        "info151"
    );
}

#[tokio::test]
async fn somebody_of_another_organisation_joins_and_keeps_names_and_password() {
    let house = house().await;
    let other = found_organisation(&house.kernel, NewOrganisation::named("other"))
        .await
        .unwrap();
    let anna = NewPerson {
        email: Some("anna@x.org".into()),
        first_name: "Anna".into(),
        password: Some(NewPassword::given("old", identity::Store::Recoverable)),
        ..NewPerson::named("anna")
    };
    house.admit(&other, anna.clone()).await;
    let bruno = NewPerson {
        email: Some("bruno@x.org".into()),
        ..NewPerson::named("bruno")
    };
    house.admit(&other, bruno).await;
    let text = "username,password,email,first_name,group,expires,Session-Timeout\n\
                anna,new,Anna@x.org,Xenia,,2030-01-01,60\n,,bruno@x.org,,power-users,,\n";
    let checked = house.check(text, &house.options()).await.unwrap();
    assert_eq!((checked.bad_rows, checked.known), (0, 2));
    let outcome = house.import(text, &house.options()).await.unwrap();
    assert_eq!(
        (outcome.created, outcome.joined, outcome.matched),
        (0, 2, 0)
    );
    assert!(outcome.generated_passwords.is_empty());
    let found = house.found("anna").await.unwrap();
    assert_eq!(
        (found.person.first_name.as_str(), found.memberships.len()),
        ("Anna", 2)
    );
    assert_eq!(
        house.logs_in("anna", "old").await,
        (Form::Recoverable, true)
    );
    assert_eq!(house.groups("anna", &house.acme).await, ["acme-users"]);
    assert_eq!(
        house.groups("bruno", &house.acme).await,
        ["acme-power-users"]
    );
    assert_eq!(house.groups("bruno", &other).await, ["other-users"]);
    let member = found
        .memberships
        .iter()
        .find(|m| m.organisation_slug == "acme")
        .unwrap();
    assert_eq!(
        member.membership.expires.map(Time::to_rfc3339).as_deref(),
        Some("2030-01-02T00:00:00Z")
    );
    let renamed = "username,email\nanne,anna@x.org\n";
    let renamed = house.import(renamed, &house.options()).await.unwrap();
    assert_eq!((renamed.matched, renamed.warnings.total), (1, 1));
    assert!(
        renamed.warnings.listed[0]
            .reason
            .contains("another username")
    );
    let again = house
        .import(
            "username,email,group\nanna,anna@x.org,power-users\n",
            &house.options(),
        )
        .await
        .unwrap();
    assert_eq!((again.created, again.joined, again.matched), (0, 0, 1));
    assert_eq!(
        house.groups("anna", &house.acme).await,
        ["acme-power-users"]
    );
    // Taking back what made nothing of anna leaves her a member; taking back what made her one does not.
    let taken = take_back(&house.kernel, again.batch.id).await.unwrap();
    assert_eq!(
        taken,
        TakenBack {
            people: 0,
            memberships: 0,
            kept: 1
        }
    );
    assert_eq!(house.found("anna").await.unwrap().memberships.len(), 2);
    let taken = take_back(&house.kernel, outcome.batch.id).await.unwrap();
    assert_eq!(
        taken,
        TakenBack {
            people: 0,
            memberships: 2,
            kept: 0
        }
    );
    let found = house.found("anna").await.unwrap();
    assert_eq!(
        found
            .memberships
            .iter()
            .map(|m| m.organisation_slug.as_str())
            .collect::<Vec<_>>(),
        ["other"]
    );
    assert_eq!(
        house.logs_in("anna", "old").await,
        (Form::Recoverable, true)
    );
}

#[tokio::test]
async fn an_own_namespace_knows_nobody_of_the_shared_one() {
    let house = house().await;
    house
        .admit(
            &house.acme,
            NewPerson {
                email: Some("anna@x.org".into()),
                ..NewPerson::named("anna")
            },
        )
        .await;
    let own = NewOrganisation {
        namespace: identity::Namespace::Own,
        ..NewOrganisation::named("own")
    };
    let own = found_organisation(&house.kernel, own).await.unwrap();
    let options = ImportOptions::into_organisation(own.clone());
    let text = "username,email\nanna,anna@x.org\n";
    let outcome = house.import(text, &options).await.unwrap();
    assert_eq!((outcome.created, outcome.joined), (1, 0));
    assert_eq!(house.people().await, 2);
    assert_eq!(
        house
            .import(&format!("{text}\n"), &options)
            .await
            .unwrap()
            .matched,
        1
    );
    let taken = take_back(&house.kernel, outcome.batch.id).await.unwrap();
    assert_eq!((taken.people, house.people().await), (1, 1));
}

fn rows_of_any_kind() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof!["[ab]{0,2}", Just("taken".to_owned())];
    let address = prop_oneof![
        Just(String::new()),
        "[ab]@[xy]\\.org",
        Just("nonsense".to_owned())
    ];
    proptest::collection::vec((name, address), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every row is made, matched or left out, and what the check says is what the import does.
    #[test]
    fn the_check_and_the_import_agree(rows in rows_of_any_kind(), has_header in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = house().await;
            house.admit(&house.acme, NewPerson::named("taken")).await;
            let mut text = String::from(if has_header { "username,email\n" } else { "" });
            for (name, address) in &rows {
                text += &if has_header { format!("{name},{address}\n") } else { format!("{name},,{address},,\n") };
            }
            let options = ImportOptions { skip_bad: true, ..house.options() };
            let checked = house.check(&text, &options).await.unwrap();
            if checked.may_run().is_err() {
                return;
            }
            let outcome = house.import(&text, &options).await.unwrap();
            assert_eq!(outcome.skipped, checked.bad_rows, "{text}");
            assert_eq!(outcome.created + outcome.joined + outcome.matched + outcome.skipped, checked.rows, "{text}");
            assert_eq!(house.people().await as u64, 1 + outcome.created, "{text}");
            assert_eq!(outcome.problems, checked.problems, "{text}");
            take_back(&house.kernel, outcome.batch.id).await.unwrap();
            assert_eq!(house.people().await, 1, "{text}");
        });
    }
}
