use super::*;
use crate::admit::found_organisation;
use crate::nas::{self, NewNas};
use identity::NewOrganisation;
use kernel::db::Location;
use kernel::{FixedClock, Keyring, Scope, SeededRng};
use std::sync::Arc;
use zeroize::Zeroizing;

const DAY: i64 = DAY_SECONDS;

fn at(seconds: i64) -> Time {
    Time::from_unix_seconds(1_800_000_000 + seconds)
}

async fn kernel(folder: &tempfile::TempDir) -> Kernel {
    Kernel {
        db: Location::Sqlite(folder.path().join("g.db"))
            .open()
            .await
            .unwrap(),
        clock: Arc::new(FixedClock::new(at(0))),
        rng: Arc::new(SeededRng::new(5)),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(1))).unwrap()),
    }
}

async fn one_nas(kernel: &Kernel) -> Nas {
    let acme = found_organisation(kernel, NewOrganisation::named("Acme"))
        .await
        .unwrap();
    let secret = Zeroizing::new("correct horse battery".to_owned());
    let new = NewNas::new(acme.id, Some("10.0.0.1".parse().unwrap()), secret);
    nas::add(kernel, new).await.unwrap().nas
}

#[tokio::test]
async fn observations_add_up_and_moments_only_move_on() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = kernel(&folder).await;
    let nas = one_nas(&kernel).await;
    let seen = async || {
        nas::list(&kernel.db, Scope::Everything)
            .await
            .unwrap()
            .remove(0)
            .seen
    };
    assert_eq!(seen().await, None);
    let first = Observation {
        signed: 3,
        used_secret: true,
        ..Observation::of(nas.id, at(10))
    };
    let gone = Observation::of(NasId(Uuid::from_u128(9)), at(10));
    record(&kernel, &[gone, first]).await.unwrap();
    let second = Observation {
        unsigned: 2,
        unsigned_proxy: 1,
        secret_mismatches: 4,
        used_next_secret: true,
        ..Observation::of(nas.id, at(30))
    };
    // an older one, from another node
    let third = Observation {
        signed: 1,
        unsigned: 1,
        used_secret: true,
        ..Observation::of(nas.id, at(20))
    };
    record(&kernel, &[second, third]).await.unwrap();
    let expect = Seen {
        first_seen: at(10),
        last_seen: at(30),
        signed: 4,
        unsigned: 3,
        last_unsigned: Some(at(30)),
        unsigned_proxy: 1,
        secret_mismatches: 4,
        last_mismatch: Some(at(30)),
        used_secret: Some(at(20)),
        used_next_secret: Some(at(30)),
    };
    assert_eq!(seen().await, Some(expect.clone()));
    // a finished change makes the new secret the secret
    let coming = Zeroizing::new("the coming secret".to_owned());
    nas::begin_secret_change(&kernel, nas.id, &coming)
        .await
        .unwrap();
    nas::finish_secret_change(&kernel, nas.id).await.unwrap();
    let expect = Seen {
        used_secret: Some(at(30)),
        used_next_secret: None,
        ..expect
    };
    assert_eq!(seen().await, Some(expect));
}

#[tokio::test]
async fn advice_follows_from_what_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = kernel(&folder).await;
    let nas = one_nas(&kernel).await;
    let now = at(100 * DAY);
    let ago = |days: i64| at((100 - days) * DAY);
    let good = Seen {
        first_seen: ago(8),
        last_seen: ago(1),
        signed: 500,
        unsigned: 0,
        last_unsigned: None,
        unsigned_proxy: 0,
        secret_mismatches: 0,
        last_mismatch: None,
        used_secret: Some(ago(1)),
        used_next_secret: None,
    };
    let check = |nas: &Nas, in_change: bool, seen: Option<Seen>, expect: &[Advice]| {
        assert_eq!(
            advice(now, nas, in_change, seen.as_ref()),
            expect,
            "{seen:?}"
        );
    };
    let observed = nas.clone();
    let required = Nas {
        message_authenticator: MaPolicy::Require,
        ..nas.clone()
    };
    check(&observed, false, None, &[]);
    check(
        &observed,
        false,
        Some(good.clone()),
        &[Advice::SafeToRequire],
    );
    check(&required, false, Some(good.clone()), &[]);
    // too short, too few, too long ago, or not always
    check(
        &observed,
        false,
        Some(Seen {
            first_seen: ago(6),
            ..good.clone()
        }),
        &[],
    );
    check(
        &observed,
        false,
        Some(Seen {
            signed: 99,
            ..good.clone()
        }),
        &[],
    );
    check(
        &observed,
        false,
        Some(Seen {
            last_seen: ago(8),
            first_seen: ago(20),
            ..good.clone()
        }),
        &[],
    );
    check(
        &observed,
        false,
        Some(Seen {
            unsigned: 1,
            last_unsigned: Some(ago(6)),
            ..good.clone()
        }),
        &[],
    );
    check(
        &observed,
        false,
        Some(Seen {
            unsigned: 1,
            last_unsigned: Some(ago(7)),
            ..good.clone()
        }),
        &[Advice::SafeToRequire],
    );
    let unsigned = Seen {
        unsigned: 1,
        last_unsigned: Some(at(100 * DAY - 60)),
        ..good.clone()
    };
    check(
        &required,
        false,
        Some(unsigned.clone()),
        &[Advice::DropsUnsigned],
    );
    check(
        &observed,
        false,
        Some(Seen {
            unsigned_proxy: 1,
            ..unsigned
        }),
        &[Advice::UnsignedProxyState],
    );
    // secrets
    let lately = at(100 * DAY - 60);
    let wrong = Seen {
        last_mismatch: Some(lately),
        signed: 0,
        ..good.clone()
    };
    check(
        &observed,
        false,
        Some(wrong.clone()),
        &[Advice::WrongSecret],
    );
    check(
        &observed,
        false,
        Some(Seen {
            used_secret: Some(at(100 * DAY - 30)),
            ..wrong.clone()
        }),
        &[],
    );
    check(
        &observed,
        false,
        Some(Seen {
            last_mismatch: Some(ago(2)),
            used_secret: None,
            ..wrong
        }),
        &[],
    );
    let few = Seen { signed: 0, ..good };
    check(&observed, true, Some(few.clone()), &[Advice::ChangeWaits]);
    check(
        &observed,
        true,
        Some(Seen {
            used_next_secret: Some(lately),
            ..few.clone()
        }),
        &[Advice::ChangeCanFinish],
    );
    check(
        &observed,
        true,
        Some(Seen {
            used_next_secret: Some(ago(2)),
            ..few
        }),
        &[Advice::ChangeWaits],
    );
    let open = Nas {
        signs_replies: false,
        ..nas
    };
    check(&open, false, None, &[Advice::UnsignedReplies]);
    assert!(Advice::UnsignedReplies.sentence().ends_with('.'));
}
