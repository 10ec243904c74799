//! Imports on a throw-away database, from the file to somebody who logs in.

use super::*;
use crate::batch::{self, Batch, BatchId, Status, passwords};
use access::admit::{found_organisation, groups_of, rules_of};
use identity::{Form, NewOrganisation, NewPassword, NewPerson, find, known, membership, password};
use kernel::db::Location;
use kernel::{Engine, Error, FixedClock, Kernel, Keyring, Scope, SeededRng};
use proof::{Attempt, verify};
use proptest::prelude::*;
use radius_wire::dictionary::Dictionary;
use std::sync::Arc;

struct House {
    kernel: Kernel,
    clock: Arc<FixedClock>,
    acme: Organisation,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let db = Location::Sqlite(folder.path().join("house.db"))
        .open()
        .await
        .unwrap();
    let clock = Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_014_400)));
    let keys = Keyring::parse(&Keyring::fresh_text(&SeededRng::new(7))).unwrap();
    let kernel = Kernel {
        db,
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(3)),
        keys: Arc::new(keys),
    };
    let acme = found_organisation(&kernel, NewOrganisation::named("acme"))
        .await
        .unwrap();
    House {
        kernel,
        clock,
        acme,
        _folder: folder,
    }
}

impl House {
    fn options(&self) -> ImportOptions {
        ImportOptions::into_organisation(self.acme.clone())
    }

    async fn check(&self, text: &str, options: &ImportOptions) -> Result<Checked, Error> {
        check(&self.kernel, Dictionary::builtin(), &source(text), options).await
    }

    async fn import(&self, text: &str, options: &ImportOptions) -> Result<Outcome, Error> {
        let checked = self.check(text, options).await?;
        run(
            &self.kernel,
            Dictionary::builtin(),
            &source(text),
            &checked,
            |_| {},
        )
        .await
    }

    async fn resume(
        &self,
        text: &str,
        id: BatchId,
        skip_bad: Option<bool>,
    ) -> Result<Outcome, Error> {
        resume(
            &self.kernel,
            Dictionary::builtin(),
            &source(text),
            id,
            skip_bad,
            |_| {},
        )
        .await
    }

    async fn problems(&self, text: &str) -> Vec<String> {
        let checked = self.check(text, &self.options()).await.unwrap();
        checked
            .problems
            .listed
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    async fn found(&self, name: &str) -> Option<identity::Found> {
        find::find(&self.kernel.db, Scope::Everything, name)
            .await
            .unwrap()
            .pop()
    }

    async fn people(&self) -> usize {
        known::page(&self.kernel.db, None, known::MAX_PAGE)
            .await
            .unwrap()
            .len()
    }

    /// In which form a password is kept, and whether this one is it.
    async fn logs_in(&self, name: &str, text: &str) -> (Form, bool) {
        let id = self.found(name).await.unwrap().person.id;
        let kept = known::one(&self.kernel.db, id)
            .await
            .unwrap()
            .unwrap()
            .stored
            .unwrap();
        let stored = password::open(&self.kernel.keys, &kept).unwrap();
        (
            kept.form,
            verify(
                &stored,
                &Attempt::Pap {
                    password: text.as_bytes(),
                },
            )
            .is_right(),
        )
    }

    async fn groups(&self, name: &str, of: &Organisation) -> Vec<String> {
        let id = self.found(name).await.unwrap().person.id;
        let member = membership::of_person(&self.kernel.db, of.id, id)
            .await
            .unwrap()
            .unwrap();
        let all = super::admission::groups(&self.kernel, of).await.unwrap();
        let places = groups_of(&self.kernel.db, member.id).await.unwrap();
        let name = |id| {
            all.values()
                .find(|group| group.id == id)
                .map(|group| group.name.clone())
        };
        places
            .iter()
            .filter_map(|place| name(place.group))
            .collect()
    }

    async fn admit(&self, of: &Organisation, new: NewPerson) -> identity::Inserted {
        let mut tx = self.kernel.db.begin().await.unwrap();
        let made = access::admit::admit(&mut tx, &self.kernel, of, new, None)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        made
    }
}

fn source(text: &str) -> Source {
    Source::bytes(text.as_bytes(), "users.csv")
}

fn refusal<T>(outcome: Result<T, Error>) -> String {
    outcome.err().map(|e| e.to_string()).unwrap_or_default()
}

/// `count` people, every third without a password.
fn many(count: usize) -> String {
    let mut text = String::from("username,password,email\n");
    for at in 0..count {
        let password = if at % 3 == 0 {
            String::new()
        } else {
            format!("secret-{at}")
        };
        text += &format!("user{at},{password},user{at}@example.org\n");
    }
    text
}

#[tokio::test]
async fn every_statement_is_understood() {
    let house = house().await;
    let all = crate::statements(Engine::Sqlite);
    assert!(all.len() > 10);
    for (name, sql) in all {
        let outcome = house.kernel.db.prepare(sql).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_sample_is_imported_and_its_people_log_in() {
    let house = house().await;
    let sample = include_str!("../../sample.csv");
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

/// Begins to import and dies after a chunk.
async fn killed(house: &House, text: &str, options: &ImportOptions) -> Batch {
    let checked = house.check(text, options).await.unwrap();
    let (kernel, owned) = (house.kernel.clone(), source(text));
    let died = tokio::spawn(async move {
        let killer = |_| std::panic::panic_any("killed");
        run(&kernel, Dictionary::builtin(), &owned, &checked, killer)
            .await
            .map(|_| ())
    });
    assert!(died.await.is_err_and(|e| e.is_panic()));
    batch::list(&house.kernel.db, Scope::Everything)
        .await
        .unwrap()
        .remove(0)
}

#[tokio::test]
async fn a_killed_import_goes_on_where_it_was() {
    let house = house().await;
    let text = many(400);
    let batch = killed(&house, &text, &house.options()).await;
    assert_eq!(batch.status, Status::Processing);
    assert!((1..400).contains(&batch.rows_done), "{batch:?}");
    assert_eq!(house.people().await as u64, batch.rows_done);
    let refused = refusal(house.import(&text, &house.options()).await);
    assert!(refused.contains("resume it or take it back"), "{refused}");
    let refused = refusal(house.resume(&many(401), batch.id, None).await);
    assert!(refused.contains("is not the one that batch"), "{refused}");
    let outcome = house.resume(&text, batch.id, None).await.unwrap();
    assert_eq!(
        (outcome.created, outcome.matched, outcome.skipped),
        (400, 0, 0)
    );
    assert_eq!(house.people().await, 400);
    assert_eq!(outcome.generated_passwords.len(), 134);
    for generated in [
        &outcome.generated_passwords[0],
        &outcome.generated_passwords[133],
    ] {
        assert!(
            house
                .logs_in(&generated.username, &generated.password)
                .await
                .1,
            "{}",
            generated.username
        );
    }
    assert_eq!(
        house.logs_in("user398", "secret-398").await,
        (Form::Pending, true)
    );
    let refused = refusal(house.resume(&text, batch.id, None).await);
    assert!(refused.contains("is complete"), "{refused}");
    assert_eq!(
        passwords::forget(&house.kernel, batch.id).await.unwrap(),
        134
    );
    assert!(
        passwords::generated(&house.kernel, batch.id)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_killed_import_is_taken_back_whole() {
    let house = house().await;
    house
        .admit(
            &house.acme,
            NewPerson {
                email: Some("user7@example.org".into()),
                ..NewPerson::named("seven")
            },
        )
        .await;
    let text = many(400).replace("user7,", "seven,");
    let batch = killed(&house, &text, &house.options()).await;
    let taken = take_back(&house.kernel, batch.id).await.unwrap();
    assert_eq!(
        (taken.people, taken.memberships, taken.kept),
        (batch.rows_done - 1, 0, 1)
    );
    assert_eq!(house.people().await, 1);
    let refused = refusal(house.resume(&text, batch.id, None).await);
    assert!(refused.contains("was taken back"), "{refused}");
    assert_eq!(
        take_back(&house.kernel, batch.id).await.unwrap(),
        TakenBack::default()
    );
    let outcome = house.import(&text, &house.options()).await.unwrap();
    assert_eq!((outcome.created, outcome.matched), (399, 1));
}

#[tokio::test]
async fn whoever_joined_elsewhere_since_only_leaves() {
    let house = house().await;
    let outcome = house
        .import("username\nanna\nbruno\n", &house.options())
        .await
        .unwrap();
    let other = found_organisation(&house.kernel, NewOrganisation::named("other"))
        .await
        .unwrap();
    let anna = house.found("anna").await.unwrap().person.id;
    let mut tx = house.kernel.db.begin().await.unwrap();
    membership::join(&mut tx, &house.kernel, &other, anna)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let taken = take_back(&house.kernel, outcome.batch.id).await.unwrap();
    assert_eq!(
        taken,
        TakenBack {
            people: 1,
            memberships: 1,
            kept: 0
        }
    );
    assert!(house.found("bruno").await.is_none());
    assert_eq!(
        house.found("anna").await.unwrap().memberships[0].organisation_slug,
        "other"
    );
}

#[tokio::test]
async fn a_name_taken_since_the_check_stops_the_import_at_its_line() {
    let house = house().await;
    let text = "username\nanna\nbruno\ncarla\n";
    let checked = house.check(text, &house.options()).await.unwrap();
    house.admit(&house.acme, NewPerson::named("bruno")).await;
    let outcome = run(
        &house.kernel,
        Dictionary::builtin(),
        &source(text),
        &checked,
        |_| {},
    )
    .await;
    let refused = refusal(outcome);
    assert!(
        refused
            .starts_with("line 3, column username: username 'bruno' exists; the 1 rows before it"),
        "{refused}"
    );
    let batch = batch::list(&house.kernel.db, Scope::Everything)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((batch.status, batch.rows_done), (Status::Failed, 1));
    assert!(house.resume(text, batch.id, None).await.is_err());
    let outcome = house.resume(text, batch.id, Some(true)).await.unwrap();
    assert_eq!(
        (outcome.created, outcome.skipped, outcome.batch.status),
        (2, 1, Status::Completed)
    );
    assert!(house.found("carla").await.is_some());
}

#[tokio::test]
async fn a_row_that_the_database_refuses_is_skipped_or_stops_the_import() {
    let house = house().await;
    // More rules than one person may have: known only when they are put.
    let columns = access::rule::MAX_ROWS + 1;
    let header = format!("username{}\n", ",Class".repeat(columns));
    let row = |name: &str, count: usize| {
        let values: String = (0..columns)
            .map(|at| {
                if at < count {
                    format!(",c{at}")
                } else {
                    ",".into()
                }
            })
            .collect();
        format!("{name}{values}\n")
    };
    let text = header + &row("anna", 1) + &row("bruno", columns) + &row("carla", 2);
    let refused = refusal(house.import(&text, &house.options()).await);
    assert!(
        refused.starts_with("line 3: ") && refused.contains("128"),
        "{refused}"
    );
    let batch = batch::list(&house.kernel.db, Scope::Everything)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(batch.rows_done, 1);
    let outcome = house.resume(&text, batch.id, Some(true)).await.unwrap();
    assert_eq!((outcome.created, outcome.skipped), (2, 1));
    assert!(house.found("bruno").await.is_none());
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

#[tokio::test]
async fn batches_are_listed_named_and_told_of() {
    let house = house().await;
    let options = ImportOptions {
        name: Some("spring".into()),
        group: Some("power-users".into()),
        ..house.options()
    };
    let first = house
        .import("username\nanna\n", &options)
        .await
        .unwrap()
        .batch;
    let refused = refusal(house.import("username\nbruno\n", &options).await);
    assert_eq!(refused, "batch 'spring' exists");
    let second = house
        .import("username\nbruno\n", &house.options())
        .await
        .unwrap()
        .batch;
    let third = house
        .import("username\ncarla\n", &house.options())
        .await
        .unwrap()
        .batch;
    assert_eq!(second.name, "users.csv 2027-01-15 12:00:00");
    assert!(third.name.starts_with(&second.name) && third.name != second.name);
    assert_eq!(
        house.groups("anna", &house.acme).await,
        ["acme-power-users"]
    );
    let db = &house.kernel.db;
    assert_eq!(
        batch::by_name(db, house.acme.id, "spring")
            .await
            .unwrap()
            .map(|batch| batch.id),
        Some(first.id)
    );
    let nobody = Scope::Organisation(kernel::OrganisationId(kernel::id::Uuid::nil()));
    assert_eq!(batch::list(db, nobody).await.unwrap(), []);
    assert_eq!(batch::by_id(db, nobody, first.id).await.unwrap(), None);
    assert_eq!(
        batch::list(db, Scope::Organisation(house.acme.id))
            .await
            .unwrap()
            .len(),
        3
    );
    let events = db.events_after(kernel::Position::default()).await.unwrap();
    let told: Vec<String> = events
        .iter()
        .filter(|event| event.kind == crate::BATCH_CHANGED && event.subject == first.id.0)
        .map(|event| {
            event
                .detail
                .as_ref()
                .map(|d| format!("{} {}", d["status"], d["rows_done"]))
                .unwrap_or_default()
        })
        .collect();
    assert_eq!(
        told,
        ["\"processing\" 0", "\"processing\" 1", "\"completed\" 1"]
    );
}

#[tokio::test]
async fn made_up_passwords_that_nobody_asked_for_are_forgotten_after_a_day() {
    let house = house().await;
    let first = house
        .import("username\nanna\n", &house.options())
        .await
        .unwrap();
    assert_eq!(first.generated_passwords.len(), 1);
    house.clock.advance_seconds(passwords::KEPT_SECONDS + 1);
    let second = house
        .import("username\nbruno\n", &house.options())
        .await
        .unwrap();
    assert!(
        passwords::generated(&house.kernel, first.batch.id)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        passwords::generated(&house.kernel, second.batch.id)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_file_that_changes_after_its_check_is_refused() {
    let house = house().await;
    let checked = house
        .check("username\nanna\n", &house.options())
        .await
        .unwrap();
    let outcome = run(
        &house.kernel,
        Dictionary::builtin(),
        &source("username\neva\n"),
        &checked,
        |_| {},
    )
    .await;
    assert!(refusal(outcome).contains("has changed"));
    assert_eq!(house.people().await, 0);
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
