use super::*;
use crate::testing::{DEVICE, MEMBER, NAS, ORGANISATION, START, STOP, Sent, at, house, utc};
use kernel::OrganisationId;

fn sent(status: u32, seconds: i64, id: &str) -> Sent {
    Sent::bare(status, seconds)
        .put(44, id.as_bytes())
        .put(31, DEVICE.as_bytes())
        .put(1, b"bob")
}

#[tokio::test]
async fn pages_are_newest_first_and_leave_nothing_out() {
    let house = house().await;
    // Several began at once.
    let all: Vec<Sent> = (0..7)
        .map(|n| sent(START, i64::from(n / 3), &format!("s{n}")))
        .collect();
    house.apply(&all).await;
    let mut seen = Vec::new();
    let mut filter = ListFilter {
        limit: 2,
        ..ListFilter::default()
    };
    loop {
        let page = list(&house.kernel.db, Scope::Everything, &filter)
            .await
            .unwrap();
        seen.extend(
            page.sessions
                .iter()
                .map(|session| (session.started, session.id)),
        );
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!((seen.len(), &seen), (7, &sorted));
}

#[tokio::test]
async fn filters_and_scope_narrow_the_list() {
    let house = house().await;
    let mut foreign = sent(START, 5, "s3");
    foreign.entry.organisation = OrganisationId(Uuid::from_u128(99));
    let elsewhere = sent(START, 3, "s2").put(30, b"AA:Guest");
    house
        .apply(&[
            sent(START, 0, "s1"),
            sent(STOP, 10, "s1"),
            elsewhere,
            foreign,
        ])
        .await;
    let db = &house.kernel.db;
    let check = async |scope: Scope, filter: ListFilter, expect: &[&str]| {
        let page = list(db, scope, &filter).await.unwrap();
        let ids: Vec<_> = page
            .sessions
            .iter()
            .map(|session| session.acct_session_id.as_str())
            .collect();
        assert_eq!(ids, expect, "{filter:?}");
    };
    let all = ListFilter::default;
    let own = Scope::Organisation(OrganisationId(ORGANISATION));
    check(Scope::Everything, all(), &["s3", "s2", "s1"]).await;
    check(own, all(), &["s2", "s1"]).await;
    check(
        own,
        ListFilter {
            is_open: Some(true),
            ..all()
        },
        &["s2"],
    )
    .await;
    check(
        own,
        ListFilter {
            is_open: Some(false),
            ..all()
        },
        &["s1"],
    )
    .await;
    check(
        own,
        ListFilter {
            username: Some("bob".into()),
            ..all()
        },
        &["s2", "s1"],
    )
    .await;
    check(
        own,
        ListFilter {
            username: Some("Bob".into()),
            ..all()
        },
        &[],
    )
    .await;
    check(
        own,
        ListFilter {
            called_station_id: Some("AA:Guest".into()),
            ..all()
        },
        &["s2"],
    )
    .await;
    check(
        own,
        ListFilter {
            calling_station_id: Some(DEVICE.into()),
            ..all()
        },
        &["s2", "s1"],
    )
    .await;
    check(
        own,
        ListFilter {
            started_from: Some(at(3)),
            ..all()
        },
        &["s2"],
    )
    .await;
    check(
        own,
        ListFilter {
            stopped_to: Some(at(10)),
            ..all()
        },
        &["s1"],
    )
    .await;
    check(
        own,
        ListFilter {
            stopped_to: Some(at(9)),
            ..all()
        },
        &[],
    )
    .await;
    check(
        own,
        ListFilter {
            nas: Some(NAS),
            membership: Some(MEMBER),
            ..all()
        },
        &["s2", "s1"],
    )
    .await;
    check(
        own,
        ListFilter {
            nas: Some(Uuid::nil()),
            ..all()
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_session_is_found_by_each_of_its_ids_and_only_in_scope() {
    let house = house().await;
    house.apply(&[sent(START, 0, "s1")]).await;
    let session = house.sessions().await.remove(0);
    let db = &house.kernel.db;
    for text in [
        session.id.to_string(),
        session.unique_id(),
        "s1".to_owned(),
        " s1 ".to_owned(),
    ] {
        let found = find(db, Scope::Everything, &text).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&session), "{text}");
        let foreign = find(db, Scope::Organisation(OrganisationId(Uuid::nil())), &text)
            .await
            .unwrap();
        assert_eq!(foreign, [], "{text}");
    }
    assert_eq!(find(db, Scope::Everything, "s").await.unwrap(), []);
}

#[tokio::test]
async fn an_end_by_hand_is_an_end_once() {
    let house = house().await;
    house.apply(&[sent(START, 0, "s1")]).await;
    house.clock.advance_seconds(60);
    let id = house.sessions().await[0].id;
    let closed = mark_closed(&house.kernel, id, "Admin-Reset", utc)
        .await
        .unwrap();
    assert!(closed.is_some_and(|closed| closed.has_stopped()));
    let told = || async {
        let news = house.news().await.into_iter();
        news.filter(|news| *news == (SESSION_CLOSED.to_owned(), id))
            .count()
    };
    assert_eq!(told().await, 1);
    let row = house.sessions().await.remove(0);
    assert_eq!(
        (row.stopped, row.terminate_cause.as_deref()),
        (Some(at(60)), Some("Admin-Reset"))
    );
    assert_eq!(
        mark_closed(&house.kernel, id, "Admin-Reset", utc)
            .await
            .unwrap(),
        None
    );
    assert_eq!(told().await, 1, "what was no end is no news");
    assert_eq!(
        open_sessions(&house.kernel.db, Scope::Everything, None)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_view_has_the_names_that_clients_read() {
    let house = house().await;
    house.apply(&[sent(START, 0, "s1")]).await;
    let session = house.sessions().await.remove(0);
    let view = serde_json::to_value(SessionView::from(&session)).unwrap();
    let names = [
        "unique_id",
        "session_id",
        "username",
        "groupname",
        "realm",
        "nas_ip_address",
        "nas_port_id",
        "nas_port_type",
        "start_time",
        "update_time",
        "stop_time",
        "interval",
        "session_time",
        "authentication",
        "connection_info_start",
        "connection_info_stop",
        "input_octets",
        "output_octets",
        "called_station_id",
        "calling_station_id",
        "terminate_cause",
        "service_type",
        "framed_protocol",
        "framed_ip_address",
        "framed_ipv6_address",
        "framed_ipv6_prefix",
        "delegated_ipv6_prefix",
        "framed_interface_id",
        "organization",
    ];
    for name in names {
        assert!(view.get(name).is_some(), "{name}");
    }
    assert_eq!(view["unique_id"], session.id.simple().to_string());
    assert_eq!(view["start_time"], "2027-01-15T12:00:00Z");
    assert!(view["stop_time"].is_null());
}

#[tokio::test]
async fn pages_go_through_history_and_present_in_one_order() {
    let house = house().await;
    // Every other one ends and moves to history, in between those that stay.
    let all: Vec<Sent> = (0..9)
        .map(|n| sent(START, n / 2, &format!("s{n}")))
        .collect();
    house.apply(&all).await;
    let ended: Vec<Sent> = (0..9)
        .step_by(2)
        .map(|n| sent(STOP, 100, &format!("s{n}")))
        .collect();
    house.apply(&ended).await;
    house.clock.advance_seconds(49 * 3_600);
    crate::age_out(&house.kernel).await.unwrap();
    assert_eq!(house.past().await.len(), 5);
    let own = Scope::Organisation(OrganisationId(ORGANISATION));
    let bob = ListFilter {
        username: Some("bob".to_owned()),
        ..ListFilter::default()
    };
    let open = ListFilter {
        is_open: Some(true),
        ..ListFilter::default()
    };
    for (scope, filter, expect) in [
        (Scope::Everything, ListFilter::default(), 9),
        (own, ListFilter::default(), 9),
        (own, bob, 9),
        (Scope::Everything, open.clone(), 4),
        (own, open, 4),
    ] {
        let mut seen = Vec::new();
        let mut page_filter = ListFilter { limit: 2, ..filter };
        loop {
            let page = list(&house.kernel.db, scope, &page_filter).await.unwrap();
            seen.extend(page.sessions.iter().map(|row| (row.started, row.id)));
            match page.next {
                Some(next) => page_filter.after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen.len(), expect);
        assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    }
}

#[derive(sqlx::FromRow)]
struct Plan {
    detail: String,
}

/// Every page is read off an index from its place on, so that all pages together cost what the rows cost.
#[tokio::test]
async fn a_page_is_read_from_its_place_without_sorting() {
    let house = house().await;
    let nobody = Uuid::nil();
    for (name, sql) in STATEMENTS
        .iter()
        .filter(|(name, _)| name.starts_with("LIST"))
    {
        let explain: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
        let values = kernel::values![
            nobody,
            false,
            "",
            "",
            "",
            at(0),
            at(0),
            at(0),
            nobody,
            false,
            nobody,
            nobody,
            10
        ];
        let steps: Vec<Plan> = house.kernel.db.all(explain, values).await.unwrap();
        let steps: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
        let plan = steps.join("\n");
        let is_searched = steps
            .iter()
            .filter(|step| step.starts_with("SEARCH"))
            .count();
        // The present and history, or what is open and its sessions.
        assert_eq!(is_searched, 2, "{name}: {plan}");
        assert!(
            !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
            "{name}: {plan}"
        );
    }
}

#[tokio::test]
async fn a_session_is_looked_up_by_index_under_each_of_its_ids() {
    let house = house().await;
    for sql in [BY_ID, BY_NAS_ID] {
        let explain: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
        let steps: Vec<Plan> = house.kernel.db.all(explain, Vec::new()).await.unwrap();
        let plan: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
        assert!(
            plan.iter().all(|step| !step.contains("SCAN session")),
            "{plan:?}"
        );
    }
}

#[tokio::test]
async fn one_unique_id_names_one_session() {
    let house = house().await;
    house
        .apply(&[sent(START, 0, "s1"), sent(START, 0, "s2")])
        .await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    let same = tx
        .run("UPDATE session SET unique_id = 'x'", Vec::new())
        .await;
    assert!(same.is_err_and(|error| error.is_duplicate()));
}
