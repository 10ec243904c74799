use super::super::MaPolicy;
use super::*;
use crate::admit::found_organisation;
use crate::nas::{RouteKind, begin_secret_change, cancel_secret_change, finish_secret_change};
use crate::network::Network;
use identity::{NewOrganisation, Organisation};
use kernel::db::Location;
use kernel::{FixedClock, Keyring, Position, SeededRng};
use std::sync::Arc;
use zeroize::Zeroizing;

struct House {
    kernel: Kernel,
    acme: Organisation,
    beta: Organisation,
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
    let beta = found_organisation(&kernel, NewOrganisation::named("Beta"))
        .await
        .unwrap();
    House {
        kernel,
        acme,
        beta,
        _folder: folder,
    }
}

fn network(text: &str) -> Option<Network> {
    Some(text.parse().unwrap())
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

impl House {
    fn nas_at(&self, at: &str) -> NewNas {
        NewNas::new(self.acme.id, network(at), secret("correct horse battery"))
    }

    async fn told(&self, kind: &str, id: NasId) -> usize {
        let events = self
            .kernel
            .db
            .events_after(Position::default())
            .await
            .unwrap();
        events
            .iter()
            .filter(|event| event.kind == kind && event.subject == id.0)
            .count()
    }
}

#[tokio::test]
async fn a_nas_is_read_back_as_it_was_added() {
    let house = house().await;
    let new = NewNas {
        name: "Hall".into(),
        identifier: Some("ap-hall".into()),
        message_authenticator: MaPolicy::Require,
        signs_replies: false,
        limits_proxy_state: false,
        reject_delay_ms: 0,
        flips_octets: true,
        ports: Some(24),
        community: Some("public".into()),
        coa_port: 1700,
        routes: vec![Route {
            kind: RouteKind::Realm,
            value: "Beta.Example".into(),
            organisation: house.beta.id,
        }],
        ..house.nas_at("10.0.0.0/8")
    };
    let added = add(&house.kernel, new).await.unwrap();
    assert_eq!((added.outcome, added.warnings.len()), (Outcome::Made, 0));
    let nas = added.nas;
    assert_eq!(nas.routes[0].value, "beta.example");
    assert_eq!(
        by_id(&house.kernel.db, Scope::Everything, nas.id)
            .await
            .unwrap(),
        Some(nas.clone())
    );
    let (loaded, secrets) = load_one(&house.kernel, nas.id).await.unwrap().unwrap();
    assert_eq!(loaded, nas);
    assert!(
        secrets
            .current
            .same_as(&radius_wire::Secret::new("correct horse battery"))
            && secrets.next.is_none()
    );
    assert_eq!(load_all(&house.kernel).await.unwrap().len(), 1);
    for text in ["Hall", "ap-hall", "10.0.0.0/8", &nas.id.to_string()] {
        assert_eq!(
            find(&house.kernel.db, Scope::Everything, text)
                .await
                .unwrap(),
            std::slice::from_ref(&nas),
            "{text}"
        );
    }
    let lines = list(&house.kernel.db, Scope::Organisation(house.acme.id))
        .await
        .unwrap();
    assert_eq!(
        (lines.len(), lines[0].in_change, lines[0].seen.is_none()),
        (1, false, true)
    );
    assert_eq!(lines[0].nas, nas);
    let foreign = Scope::Organisation(house.beta.id);
    assert!(list(&house.kernel.db, foreign).await.unwrap().is_empty());
    assert!(
        find(&house.kernel.db, foreign, "Hall")
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        by_id(&house.kernel.db, foreign, nas.id).await.unwrap(),
        None
    );
    assert_eq!(house.told(CHANGED, nas.id).await, 1);
}

#[tokio::test]
async fn what_cannot_be_a_nas_is_refused_with_the_field() {
    let house = house().await;
    let long = "x".repeat(300);
    let table: [(&str, NewNas); 6] = [
        (
            "network",
            NewNas {
                network: None,
                ..house.nas_at("10.0.0.1")
            },
        ),
        (
            "name",
            NewNas {
                name: long.clone(),
                ..house.nas_at("10.0.0.1")
            },
        ),
        (
            "identifier",
            NewNas {
                identifier: Some(long),
                ..house.nas_at("10.0.0.1")
            },
        ),
        (
            "description",
            NewNas {
                description: "\u{1b}".into(),
                ..house.nas_at("10.0.0.1")
            },
        ),
        (
            "5000 ms",
            NewNas {
                reject_delay_ms: 5_001,
                ..house.nas_at("10.0.0.1")
            },
        ),
        (
            "secret",
            NewNas {
                secret: secret(""),
                ..house.nas_at("10.0.0.1")
            },
        ),
    ];
    for (part, new) in table {
        let outcome = add(&house.kernel, new).await;
        assert!(
            matches!(&outcome, Err(Error::Invalid(reason)) if reason.contains(part)),
            "{part}: {outcome:?}"
        );
    }
    let named = NewNas {
        network: None,
        identifier: Some("roaming".into()),
        ..house.nas_at("10.0.0.1")
    };
    assert_eq!(add(&house.kernel, named).await.unwrap().nas.name, "roaming");
}

#[tokio::test]
async fn the_same_place_again_is_a_conflict_and_another_secret_begins_a_change() {
    let house = house().await;
    let nas = add(&house.kernel, house.nas_at("10.0.0.1"))
        .await
        .unwrap()
        .nas;
    let again = add(&house.kernel, house.nas_at("10.0.0.1/32")).await;
    assert!(
        matches!(&again, Err(Error::Conflict(text)) if text.contains("'10.0.0.1' is there already")),
        "{again:?}"
    );
    let other = NewNas {
        secret: secret("another horse battery"),
        ..house.nas_at("10.0.0.1")
    };
    let added = add(&house.kernel, other).await.unwrap();
    assert_eq!(
        (added.outcome, added.nas.id),
        (Outcome::SecretChangeBegun, nas.id)
    );
    let (_, secrets) = load_one(&house.kernel, nas.id).await.unwrap().unwrap();
    assert_eq!(secrets.iter().count(), 2);
    // the coming secret is known too
    let other = NewNas {
        secret: secret("another horse battery"),
        ..house.nas_at("10.0.0.1")
    };
    assert!(matches!(
        add(&house.kernel, other).await,
        Err(Error::Conflict(_))
    ));
    // with an identifier, or in another organisation, it is another NAS
    let named = NewNas {
        identifier: Some("ap".into()),
        ..house.nas_at("10.0.0.1")
    };
    assert_eq!(
        add(&house.kernel, named).await.unwrap().outcome,
        Outcome::Made
    );
    let foreign = NewNas {
        organisation: house.beta.id,
        ..house.nas_at("10.0.0.1")
    };
    let foreign = add(&house.kernel, foreign).await.unwrap();
    assert!(
        foreign
            .warnings
            .iter()
            .any(|warning| warning.contains("same place")),
        "{:?}",
        foreign.warnings
    );
}

#[tokio::test]
async fn a_secret_is_changed_in_two_steps_or_taken_back() {
    let house = house().await;
    let id = add(&house.kernel, house.nas_at("10.0.0.1"))
        .await
        .unwrap()
        .nas
        .id;
    let current = async || {
        let (_, secrets) = load_one(&house.kernel, id).await.unwrap().unwrap();
        let text =
            |secret: &radius_wire::Secret| String::from_utf8(secret.as_bytes().to_vec()).unwrap();
        (text(&secrets.current), secrets.next.as_ref().map(text))
    };
    assert!(matches!(
        finish_secret_change(&house.kernel, id).await,
        Err(Error::Conflict(_))
    ));
    assert!(matches!(
        cancel_secret_change(&house.kernel, id).await,
        Err(Error::Conflict(_))
    ));
    let same = begin_secret_change(&house.kernel, id, &secret("correct horse battery")).await;
    assert!(matches!(&same, Err(Error::Invalid(_))));
    let (_, warnings) = begin_secret_change(&house.kernel, id, &secret("short"))
        .await
        .unwrap();
    assert_eq!(warnings.len(), 1);
    cancel_secret_change(&house.kernel, id).await.unwrap();
    assert_eq!(current().await, ("correct horse battery".into(), None));
    begin_secret_change(&house.kernel, id, &secret("the coming secret"))
        .await
        .unwrap();
    assert_eq!(
        current().await,
        (
            "correct horse battery".into(),
            Some("the coming secret".into())
        )
    );
    assert!(list(&house.kernel.db, Scope::Everything).await.unwrap()[0].in_change);
    finish_secret_change(&house.kernel, id).await.unwrap();
    assert_eq!(current().await, ("the coming secret".into(), None));
}

#[derive(sqlx::FromRow)]
struct FieldsRow {
    fields: String,
}

#[tokio::test]
async fn a_change_is_kept_with_its_versions_and_no_secret_is_in_them() {
    let house = house().await;
    let nas = add(
        &house.kernel,
        NewNas {
            community: Some("private-word".into()),
            ..house.nas_at("10.0.0.1")
        },
    );
    let id = nas.await.unwrap().nas.id;
    let changed = NasChange {
        name: Some("Yard".into()),
        network: Some(network("10.0.0.2")),
        message_authenticator: Some(MaPolicy::Require),
        is_enabled: Some(false),
        ..NasChange::default()
    };
    let nas = change(&house.kernel, id, changed).await.unwrap();
    assert_eq!(
        by_id(&house.kernel.db, Scope::Everything, id)
            .await
            .unwrap(),
        Some(nas.clone())
    );
    assert_eq!((nas.name.as_str(), nas.is_enabled), ("Yard", false));
    let rows: Vec<FieldsRow> = house
        .kernel
        .db
        .all(
            "SELECT fields FROM history WHERE row_id = $1 ORDER BY valid_from",
            kernel::values![id],
        )
        .await
        .unwrap();
    let text: String = rows.iter().map(|row| row.fields.as_str()).collect();
    assert_eq!(rows.len(), 2);
    assert!(
        text.contains("Yard") && !text.contains("horse") && !text.contains("private-word"),
        "{text}"
    );
    let nowhere = NasChange {
        network: Some(None),
        ..NasChange::default()
    };
    assert!(matches!(
        change(&house.kernel, id, nowhere).await,
        Err(Error::Invalid(_))
    ));
    let other = add(&house.kernel, house.nas_at("10.0.0.3"))
        .await
        .unwrap()
        .nas;
    let there = NasChange {
        network: Some(network("10.0.0.2")),
        ..NasChange::default()
    };
    let outcome = change(&house.kernel, other.id, there).await;
    assert!(
        matches!(&outcome, Err(Error::Conflict(text)) if text.contains("Yard")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn routes_are_replaced_whole_and_must_lead_somewhere() {
    let house = house().await;
    let id = add(&house.kernel, house.nas_at("10.0.0.1"))
        .await
        .unwrap()
        .nas
        .id;
    let route = |value: &str, organisation| Route {
        kind: RouteKind::Ssid,
        value: value.into(),
        organisation,
    };
    let nas = set_routes(
        &house.kernel,
        id,
        vec![route("Guest", house.beta.id), route("Staff", house.acme.id)],
    )
    .await;
    assert_eq!(nas.unwrap().routes.len(), 2);
    set_routes(&house.kernel, id, vec![route("Guest", house.acme.id)])
        .await
        .unwrap();
    let (nas, _) = load_one(&house.kernel, id).await.unwrap().unwrap();
    assert_eq!(nas.routes, [route("Guest", house.acme.id)]);
    let nowhere = OrganisationId(Uuid::from_u128(9));
    assert!(matches!(
        set_routes(&house.kernel, id, vec![route("x", nowhere)]).await,
        Err(Error::NotFound(_))
    ));
    let twice = vec![route("x", house.acme.id), route("x", house.beta.id)];
    assert!(matches!(
        set_routes(&house.kernel, id, twice).await,
        Err(Error::Invalid(_))
    ));
    assert!(matches!(
        set_routes(&house.kernel, id, vec![route("", house.acme.id)]).await,
        Err(Error::Invalid(_))
    ));
}

#[tokio::test]
async fn a_restart_only_moves_on_and_is_no_change() {
    let house = house().await;
    let id = add(&house.kernel, house.nas_at("10.0.0.1"))
        .await
        .unwrap()
        .nas
        .id;
    let at = |seconds: i64| Time::from_unix_seconds(1_800_000_000 + seconds);
    for (seconds, expect) in [(10, true), (5, false), (10, false), (11, true)] {
        let mut tx = house.kernel.db.begin().await.unwrap();
        let moved = note_restart(&mut tx, at(20), id, at(seconds))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(moved, expect, "{seconds}");
    }
    let (nas, _) = load_one(&house.kernel, id).await.unwrap().unwrap();
    assert_eq!(nas.restarted_at, Some(at(11)));
    assert_eq!(house.told(STARTED, id).await, 2);
    assert_eq!(house.told(CHANGED, id).await, 1, "when it was added");
}

#[tokio::test]
async fn a_removed_nas_is_gone() {
    let house = house().await;
    let id = add(&house.kernel, house.nas_at("10.0.0.1"))
        .await
        .unwrap()
        .nas
        .id;
    remove(&house.kernel, id).await.unwrap();
    assert!(load_one(&house.kernel, id).await.unwrap().is_none());
    assert!(matches!(
        remove(&house.kernel, id).await,
        Err(Error::NotFound(_))
    ));
    assert_eq!(house.told(REMOVED, id).await, 1);
}

#[tokio::test]
async fn a_damaged_nas_is_left_out_and_a_missing_key_refused() {
    let house = house().await;
    let id = add(&house.kernel, house.nas_at("10.0.0.1"))
        .await
        .unwrap()
        .nas
        .id;
    add(&house.kernel, house.nas_at("10.0.0.2")).await.unwrap();
    let mut tx = house.kernel.db.begin().await.unwrap();
    tx.run(SET_CURRENT, kernel::values![id, "v1:damaged"])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(load_all(&house.kernel).await.unwrap().len(), 1);
    let other = Kernel {
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(2))).unwrap()),
        ..house.kernel.clone()
    };
    assert!(matches!(load_all(&other).await, Err(Error::Seal(_))));
    remove(&house.kernel, id).await.unwrap();
}

#[tokio::test]
async fn every_statement_is_understood() {
    let house = house().await;
    let lists = [
        STATEMENTS,
        crate::group::STATEMENTS,
        crate::admit::STATEMENTS,
        crate::lock::STATEMENTS,
        crate::observation::STATEMENTS,
        crate::rule::STATEMENTS,
    ];
    for (name, sql) in lists.concat() {
        let outcome = house.kernel.db.prepare(sql).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}
