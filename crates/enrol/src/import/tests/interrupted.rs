//! Imports that are killed, stop, go on and are taken back, and the batches that remain of them.

use super::*;

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

#[tokio::test]
async fn made_up_passwords_of_an_import_that_was_killed_are_forgotten_too() {
    let house = house().await;
    let batch = killed(&house, &many(400), &house.options()).await;
    assert_eq!(batch.status, Status::Processing);
    let kept = async || {
        passwords::generated(&house.kernel, batch.id)
            .await
            .unwrap()
            .len()
    };
    let forget = async || {
        let before = house.kernel.now().plus_seconds(-passwords::KEPT_SECONDS);
        passwords::forget_before(&house.kernel, before)
            .await
            .unwrap()
    };
    assert_eq!(forget().await, 0);
    let made_up = kept().await;
    assert!(made_up > 0);
    house.clock.advance_seconds(passwords::KEPT_SECONDS + 1);
    assert_eq!(forget().await, made_up as u64);
    assert_eq!(kept().await, 0);
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    kind: String,
    fields: String,
    is_current: bool,
}

kernel::statements! {
    STATEMENTS_OF_TEST;
    VERSIONS = "SELECT kind, fields, valid_to IS NULL AS is_current FROM history ORDER BY id";
    MAKE_PENDING = "UPDATE batch SET status = 'pending' WHERE id = $1";
}

#[tokio::test]
async fn nothing_of_a_batch_that_is_taken_back_stays_in_the_history() {
    let house = house().await;
    let versions = async || -> Vec<VersionRow> {
        let rows = house.kernel.db.all(VERSIONS, Vec::new()).await;
        rows.unwrap()
    };
    let current = |rows: &[VersionRow]| {
        let of_people = ["person", "membership", "group_member", "check", "reply"];
        rows.iter()
            .filter(|row| row.is_current && of_people.contains(&row.kind.as_str()))
            .count()
    };
    let other = NewOrganisation::named("other");
    let other = found_organisation(&house.kernel, other).await.unwrap();
    let stays = NewPerson {
        email: Some("bruno@x.org".into()),
        ..NewPerson::named("bruno")
    };
    house.admit(&other, stays).await;
    let before = current(&versions().await);
    let text = "username,email,Session-Timeout\nanna,anna@x.org,60\n,bruno@x.org,60\n";
    let batch = house.import(text, &house.options()).await.unwrap().batch;
    assert!(current(&versions().await) >= before + 7);
    take_back(&house.kernel, batch.id).await.unwrap();
    let after = versions().await;
    assert_eq!(current(&after), before);
    assert!(after.iter().all(|row| !row.fields.contains("anna")));
}

#[tokio::test]
async fn a_pending_batch_is_pending_and_may_go_on() {
    let house = house().await;
    let text = many(400);
    let batch = killed(&house, &text, &house.options()).await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    tx.run(MAKE_PENDING, kernel::values![batch.id])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let read = batch::by_id(&house.kernel.db, Scope::Everything, batch.id).await;
    let read = read.unwrap().unwrap();
    assert_eq!(read.status, Status::Pending);
    assert!(read.status.is_unfinished());
    let outcome = house.resume(&text, batch.id, None).await.unwrap();
    assert_eq!(outcome.created, 400);
    assert_eq!(STATEMENTS_OF_TEST.len(), 2);
}
