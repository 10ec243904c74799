use super::*;
use crate::group::NewGroup;
use crate::rule::Row;
use kernel::db::Location;
use kernel::{FixedClock, Keyring, Position, Scope, SeededRng, Time};
use std::sync::Arc;

struct House {
    kernel: Kernel,
    acme: Organisation,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let db = Location::Sqlite(folder.path().join("g.db"))
        .open()
        .await
        .unwrap();
    let kernel = Kernel {
        db,
        clock: Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_000_000))),
        rng: Arc::new(SeededRng::new(5)),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(1))).unwrap()),
    };
    let acme = found_organisation(&kernel, NewOrganisation::named("Acme"))
        .await
        .unwrap();
    House {
        kernel,
        acme,
        _folder: folder,
    }
}

impl House {
    async fn admit(&self, name: &str, group: Option<&group::Group>) -> Result<MembershipId, Error> {
        let mut tx = self.kernel.db.begin().await?;
        let inserted = admit(
            &mut tx,
            &self.kernel,
            &self.acme,
            NewPerson::named(name),
            group,
        )
        .await?;
        tx.commit().await?;
        Ok(inserted.membership.id)
    }

    async fn group(&self, name: &str) -> group::Group {
        group::by_name(&self.kernel.db, &self.acme, name)
            .await
            .unwrap()
    }

    async fn told(&self, kind: &str, subject: Uuid) -> usize {
        let events = self
            .kernel
            .db
            .events_after(Position::default())
            .await
            .unwrap();
        events
            .iter()
            .filter(|event| event.kind == kind && event.subject == subject)
            .count()
    }
}

fn shown(rows: &[Row]) -> Vec<String> {
    rows.iter().map(Row::to_string).collect()
}

#[tokio::test]
async fn an_organisation_is_born_with_its_two_groups() {
    let house = house().await;
    let groups = group::list(&house.kernel, Scope::Organisation(house.acme.id))
        .await
        .unwrap();
    let names: Vec<(&str, bool)> = groups
        .iter()
        .map(|(group, _)| (group.name.as_str(), group.is_default))
        .collect();
    assert_eq!(names, [("acme-users", true), ("acme-power-users", false)]);
    assert_eq!(
        shown(&groups[0].1.checks),
        [
            "Max-Daily-Session := 10800",
            "Max-Daily-Session-Traffic := 3000000000"
        ]
    );
    assert!(groups[1].1.is_empty());
    let again = found_organisation(&house.kernel, NewOrganisation::named("Acme")).await;
    assert!(matches!(again, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn a_person_is_admitted_into_the_default_group_or_the_one_named() {
    let house = house().await;
    let (users, power) = (
        house.group("users").await,
        house.group("acme-power-users").await,
    );
    let alice = house.admit("alice", None).await.unwrap();
    let bob = house.admit("bob", Some(&power)).await.unwrap();
    let place = |group: &group::Group| Place {
        group: group.id,
        priority: FIRST_PRIORITY,
    };
    assert_eq!(
        groups_of(&house.kernel.db, alice).await.unwrap(),
        [place(&users)]
    );
    assert_eq!(
        groups_of(&house.kernel.db, bob).await.unwrap(),
        [place(&power)]
    );
    assert_eq!(members_of(&house.kernel.db, power.id).await.unwrap(), 1);
    // another organisation's group is refused, and nobody is made
    let beta = found_organisation(&house.kernel, NewOrganisation::named("Beta"))
        .await
        .unwrap();
    let foreign = group::by_name(&house.kernel.db, &beta, "users")
        .await
        .unwrap();
    assert!(matches!(
        house.admit("carol", Some(&foreign)).await,
        Err(Error::Invalid(_))
    ));
    assert!(house.admit("carol", None).await.is_ok());
}

#[tokio::test]
async fn groups_of_a_membership_are_set_whole() {
    let house = house().await;
    let (users, power) = (house.group("users").await, house.group("power-users").await);
    let alice = house.admit("alice", None).await.unwrap();
    let set = async |places: &[Place]| set_groups(&house.kernel, &house.acme, alice, places).await;
    let place = |group: &group::Group, priority| Place {
        group: group.id,
        priority,
    };
    assert!(set(&[place(&users, 5), place(&power, 2)]).await.unwrap());
    assert!(!set(&[place(&users, 5), place(&power, 2)]).await.unwrap());
    assert_eq!(
        groups_of(&house.kernel.db, alice).await.unwrap(),
        [place(&power, 2), place(&users, 5)]
    );
    assert!(set(&[place(&power, 2)]).await.unwrap());
    assert_eq!(
        groups_of(&house.kernel.db, alice).await.unwrap(),
        [place(&power, 2)]
    );
    assert_eq!(house.told(RULES_CHANGED, alice.0).await, 2);
    assert!(matches!(
        set(&[place(&users, 1), place(&users, 2)]).await,
        Err(Error::Invalid(_))
    ));
    let unknown = Place {
        group: GroupId(Uuid::from_u128(9)),
        priority: 1,
    };
    assert!(matches!(set(&[unknown]).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn rules_of_a_membership_are_set_unset_and_loaded_page_by_page() {
    let house = house().await;
    let dictionary = Dictionary::builtin();
    let mut members = Vec::new();
    for number in 0..7 {
        members.push(house.admit(&format!("user{number}"), None).await.unwrap());
    }
    let alice = members[3];
    let text = "Session-Timeout := 60\nSimultaneous-Use := 1\nTunnel-Password:1 := wonderland";
    let rows = set_rules(&house.kernel, dictionary, house.acme.id, alice, text, None)
        .await
        .unwrap();
    assert_eq!(shown(&rows.checks), ["Simultaneous-Use := 1"]);
    let known = rules_of(&house.kernel, alice).await.unwrap();
    assert_eq!(known.rows, rows);
    assert_eq!(known.rows.replies[1].value(), "wonderland");
    // setting the same again is no news
    set_rules(
        &house.kernel,
        dictionary,
        house.acme.id,
        alice,
        "Session-Timeout := 60",
        None,
    )
    .await
    .unwrap();
    assert_eq!(house.told(RULES_CHANGED, alice.0).await, 1);
    let rows = unset_rules(&house.kernel, house.acme.id, alice, "session-timeout", None)
        .await
        .unwrap();
    assert_eq!(shown(&rows.replies), ["Tunnel-Password:1 := (hidden)"]);
    let wrong = set_rules(
        &house.kernel,
        dictionary,
        house.acme.id,
        alice,
        "Sesion-Timeout := 1",
        None,
    )
    .await;
    assert!(
        matches!(&wrong, Err(Error::Invalid(reason)) if reason.contains("did you mean")),
        "{wrong:?}"
    );

    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|rules: &MembershipRules| rules.membership);
        let page = rules_page(&house.kernel, after, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        paged.extend(page);
    }
    let mut whole = Vec::new();
    assert_eq!(
        load_rules(&house.kernel, |rules| whole.push(rules))
            .await
            .unwrap(),
        7
    );
    assert_eq!(paged, whole);
    let ids: Vec<MembershipId> = whole.iter().map(|rules| rules.membership).collect();
    let mut expect = members.clone();
    expect.sort_unstable();
    assert_eq!(ids, expect);
    assert!(whole.iter().all(
        |rules| rules.groups.len() == 1 && rules.rows.is_empty() == (rules.membership != alice)
    ));
}

#[derive(sqlx::FromRow)]
struct TextRow {
    text: String,
}

#[tokio::test]
async fn a_secret_value_lies_sealed_and_never_in_a_version() {
    let house = house().await;
    let alice = house.admit("alice", None).await.unwrap();
    let text = "Tunnel-Password := wonderland";
    set_rules(
        &house.kernel,
        Dictionary::builtin(),
        house.acme.id,
        alice,
        text,
        None,
    )
    .await
    .unwrap();
    let db = &house.kernel.db;
    for sql in [
        "SELECT value AS text FROM access_reply",
        "SELECT fields AS text FROM history",
    ] {
        let rows: Vec<TextRow> = db.all(sql, Vec::new()).await.unwrap();
        assert!(
            !rows.is_empty() && rows.iter().all(|row| !row.text.contains("wonderland")),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn rows_of_a_group_are_set_by_side_and_versioned() {
    let house = house().await;
    let set = async |text: &str, side| {
        group::set(
            &house.kernel,
            Dictionary::builtin(),
            &house.acme,
            "power-users",
            text,
            side,
        )
        .await
    };
    let (power, rows) = set(
        "Session-Timeout := 3600\nNAS-Port > 1\nCisco-AVPair += \"a b\"",
        None,
    )
    .await
    .unwrap();
    assert_eq!(shown(&rows.checks), ["NAS-Port > 1"]);
    assert_eq!(
        shown(&rows.replies),
        ["Session-Timeout := 3600", "Cisco-AVPair += \"a b\""]
    );
    let (_, rows) = set("Session-Timeout := 60", Some(Side::Check))
        .await
        .unwrap();
    assert_eq!(
        shown(&rows.checks),
        ["NAS-Port > 1", "Session-Timeout := 60"]
    );
    let loaded = group::load_one(&house.kernel, power.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(loaded.1, rows);
    for (text, part) in [
        ("Sesion-Timeout := 1", "acme-power-users"),
        ("# nothing", "no row"),
    ] {
        let wrong = set(text, None).await;
        assert!(
            matches!(&wrong, Err(Error::Invalid(reason)) if reason.contains(part)),
            "{wrong:?}"
        );
    }
    let unset = async |attribute, side| {
        group::unset(&house.kernel, &house.acme, "power-users", attribute, side).await
    };
    let (_, rows) = unset("Session-Timeout", Some(Side::Reply)).await.unwrap();
    assert_eq!(
        shown(&rows.checks),
        ["NAS-Port > 1", "Session-Timeout := 60"]
    );
    assert_eq!(shown(&rows.replies), ["Cisco-AVPair += \"a b\""]);
    assert!(matches!(
        unset("Idle-Timeout", None).await,
        Err(Error::NotFound(_))
    ));
    // versions: those that hold are those that are there
    let holding: Vec<TextRow> = house
        .kernel
        .db
        .all(
            "SELECT fields AS text FROM history WHERE kind IN ('check', 'reply') AND valid_to IS NULL AND fields LIKE $1",
            kernel::values![format!("%{}%", power.id)],
        )
        .await
        .unwrap();
    assert_eq!(holding.len(), 3);
    let positions: Vec<&str> = holding
        .iter()
        .filter(|row| row.text.contains("\"position\":0"))
        .map(|row| row.text.as_str())
        .collect();
    assert_eq!(positions.len(), 2, "{positions:?}");
}

#[tokio::test]
async fn one_group_is_the_default_and_cannot_be_removed() {
    let house = house().await;
    let (users, power) = (house.group("users").await, house.group("power-users").await);
    assert!(matches!(
        group::remove(&house.kernel, users.id).await,
        Err(Error::Conflict(_))
    ));
    group::make_default(&house.kernel, power.id).await.unwrap();
    let defaults = async || {
        let groups = group::load_all(&house.kernel).await.unwrap();
        groups
            .into_iter()
            .filter(|(group, _)| group.is_default)
            .map(|(group, _)| group.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(defaults().await, ["acme-power-users"]);
    let new = NewGroup {
        name: "acme-day".into(),
        description: String::new(),
        is_default: true,
    };
    let day = group::create(&house.kernel, &house.acme, new.clone())
        .await
        .unwrap();
    assert_eq!(
        (day.name.as_str(), defaults().await),
        ("acme-day", vec!["acme-day".to_owned()])
    );
    assert!(matches!(
        group::create(&house.kernel, &house.acme, new).await,
        Err(Error::Conflict(_))
    ));
    let alice = house.admit("alice", Some(&users)).await.unwrap();
    group::remove(&house.kernel, users.id).await.unwrap();
    assert!(groups_of(&house.kernel.db, alice).await.unwrap().is_empty());
    assert!(
        group::load_one(&house.kernel, users.id)
            .await
            .unwrap()
            .is_none()
    );
    let missing = group::by_name(&house.kernel.db, &house.acme, "power-user").await;
    assert!(
        matches!(&missing, Err(Error::NotFound(text)) if text.contains("acme-power-users")),
        "{missing:?}"
    );
    for name in ["", " ", "acme-", "a\u{7}"] {
        let new = NewGroup {
            name: name.into(),
            ..NewGroup::default()
        };
        assert!(
            matches!(
                group::create(&house.kernel, &house.acme, new).await,
                Err(Error::Invalid(_))
            ),
            "{name:?}"
        );
    }
}

#[derive(sqlx::FromRow)]
struct FieldsRow {
    fields: String,
}

#[derive(sqlx::FromRow)]
struct OpenRow {
    kind: String,
}

#[tokio::test]
async fn nothing_of_a_membership_that_goes_stays_current() {
    let house = house().await;
    let kernel = &house.kernel;
    let member = house.admit("anna", None).await.unwrap();
    let other = house.admit("bruno", None).await.unwrap();
    let rules = "Session-Timeout := 60\nCalling-Station-Id == x";
    for id in [member, other] {
        set_rules(
            kernel,
            Dictionary::builtin(),
            house.acme.id,
            id,
            rules,
            None,
        )
        .await
        .unwrap();
    }
    let open = async || {
        let sql = "SELECT kind FROM history WHERE valid_to IS NULL
            AND kind IN ('group_member', 'check', 'reply') ORDER BY kind";
        let rows: Vec<OpenRow> = kernel.db.all(sql, Vec::new()).await.unwrap();
        rows.into_iter().map(|row| row.kind).collect::<Vec<_>>()
    };
    let of_groups = open().await.len() - 6;
    let person = identity::membership::by_id(&kernel.db, member)
        .await
        .unwrap()
        .unwrap()
        .person;
    let mut tx = kernel.db.begin().await.unwrap();
    forget(&mut tx, kernel, member).await.unwrap();
    identity::person::delete(&mut tx, kernel, person)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let all: Vec<FieldsRow> = kernel
        .db
        .all("SELECT fields FROM history", Vec::new())
        .await
        .unwrap();
    let text: String = all.into_iter().map(|row| row.fields).collect();
    assert!(!text.contains(&member.to_string()), "{text}");
    assert!(text.contains(&other.to_string()));
    assert_eq!(open().await.len(), of_groups + 3);
    assert_eq!(rules_of(kernel, other).await.unwrap().rows.replies.len(), 1);
}
