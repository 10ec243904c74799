//! A register that begins with its snapshot knows what the one before knew, and goes on only where it may.

use super::*;
use crate::lock;
use crate::register::{Keeper, RegisterState, SNAPSHOT_FILE, SnapshotPlace};
use identity::{NewPassword, Store};
use std::path::PathBuf;

/// What the house's database is called in its snapshot.
const DATABASE: &str = "the database";

impl House {
    fn path(&self) -> PathBuf {
        self._folder.path().join(SNAPSHOT_FILE)
    }

    fn keeper_of(&self, database: &str) -> Keeper {
        let place = SnapshotPlace {
            path: self.path(),
            database: database.to_owned(),
        };
        Keeper::new(place, self.kernel.keys.clone(), self.kernel.rng.clone())
    }

    /// Another process over the same data: what it restored, and when the database was heard of.
    fn next(&mut self, database: &str) -> Option<Time> {
        self.register = Arc::new(Register::new(LimiterConfig::default()));
        self.follower = Follower::new(self.kernel.clone(), self.register.clone())
            .with_snapshot(self.keeper_of(database));
        self.follower.restore()
    }

    /// Loads or catches up, as a server does.
    async fn step(&mut self) -> bool {
        let is_following = self.follower.is_following().await.unwrap();
        match is_following {
            true => while self.follower.catch_up().await.unwrap() > 0 {},
            false => self.follower.load().await.unwrap(),
        }
        is_following
    }

    async fn first(&mut self) {
        assert_eq!(self.next(DATABASE), None);
        assert!(!self.step().await);
    }

    async fn admit_with(&self, name: &str, password: &str) -> (PersonId, MembershipId) {
        let mut new = NewPerson::named(name);
        new.password = Some(NewPassword {
            text: Zeroizing::new(password.to_owned()),
            store: Store::Recoverable,
        });
        let mut tx = self.kernel.db.begin().await.unwrap();
        let made = admit(&mut tx, &self.kernel, &self.acme, new, None)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        (made.person.id, made.membership.id)
    }

    /// Everything a decision looks at of somebody, as text.
    fn facts(&self, name: &str) -> Option<String> {
        let person = self.register.people().find(None, Kind::Username, name)?;
        let stored = match &person.stored {
            crate::facts::StoredFacts::Nothing => "nothing".to_owned(),
            crate::facts::StoredFacts::Unreadable => "unreadable".to_owned(),
            crate::facts::StoredFacts::Password(stored) => format!("{:?}", stored.form()),
        };
        let memberships: Vec<String> = person
            .memberships
            .iter()
            .map(|member| {
                let replies = member
                    .standing
                    .rules
                    .replies
                    .iter()
                    .map(ToString::to_string);
                format!(
                    "{} {} {:?} {} {} {:?} {:?} {}",
                    member.id,
                    member.is_enabled,
                    member.expires,
                    member.is_verified,
                    member.standing.rules.checks.len(),
                    replies.collect::<Vec<_>>(),
                    member.standing.groups,
                    member.organisation
                )
            })
            .collect();
        Some(format!(
            "{} {} {stored} {memberships:?}",
            person.username(),
            person.is_active
        ))
    }

    /// NASes with the length of their secrets, groups and organisations, as text.
    fn shown_policy(&self) -> Vec<String> {
        let policy = self.policy();
        let nases = policy.nases.entries().iter().map(|entry| {
            let secrets: Vec<&[u8]> = entry.secrets.iter().map(|s| s.as_bytes()).collect();
            format!("{:?} {secrets:?}", entry.nas)
        });
        let groups = policy.groups.values().map(|group| {
            let replies: Vec<_> = group.rules.replies.iter().map(|r| r.to_string()).collect();
            format!("{} {} {replies:?}", group.id, group.name)
        });
        let organisations = policy.organisations.values().map(|o| format!("{o:?}"));
        let mut all: Vec<String> = nases.chain(groups).chain(organisations).collect();
        all.sort();
        all
    }
}

#[tokio::test]
async fn what_one_process_knew_the_next_knows_without_the_database() {
    let mut house = house().await;
    house.nas("10.1.0.0/16").await;
    let (alice, in_acme) = house.admit_with("alice", "wonderland").await;
    house
        .set(
            in_acme,
            "NAS-Port == 5\nTunnel-Password := 'x'\nFilter-Id += \"a, b\"",
        )
        .await;
    house.admit("bob").await;
    house.first().await;
    // News of every kind goes behind it.
    house.nas("10.2.0.0/16").await;
    house.admit_with("carol", "cheshire").await;
    let (dora, of_dora) = house.admit("dora").await;
    house.set(of_dora, "Session-Timeout := 60").await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    assert!(person::delete(&mut tx, &house.kernel, dora).await.unwrap());
    tx.commit().await.unwrap();
    let until = house.kernel.now().plus_seconds(300);
    let locked = [Key::User(in_acme.0), Key::Nas(Uuid::from_u128(5))].map(|key| NewLock {
        key,
        failures: 9,
        until,
    });
    lock::store(&house.kernel, &locked).await.unwrap();
    lock::lift(&house.kernel, locked[1].key).await.unwrap();
    assert!(house.step().await);
    let before = ["alice", "bob", "carol", "dora"].map(|name| house.facts(name));
    let policy = house.shown_policy();
    assert!(before[..3].iter().all(Option::is_some) && before[3].is_none());
    assert_eq!(policy.len(), 2 + 1 + 2, "{policy:#?}");

    let heard = house.next(DATABASE);
    assert_eq!(heard, Some(house.kernel.now()));
    let after = ["alice", "bob", "carol", "dora"].map(|name| house.facts(name));
    assert_eq!(after, before);
    assert_eq!(house.shown_policy(), policy);
    let now = house.kernel.now();
    assert_eq!(
        locked.map(|lock| house.register.is_locked(now, lock.key)),
        [true, false]
    );
    assert!(house.register.is_complete() && !house.register.can_serve());
    house.register.missed(now, 60);
    assert!(house.register.can_serve());
    assert!(matches!(house.register.state(), RegisterState::Stale { since } if since == now));
    assert!(house.is_active(alice));
    // And goes on behind it, without loading again.
    house.admit("eve").await;
    assert!(house.step().await && house.knows("eve"));
    assert!(matches!(
        house.register.state(),
        RegisterState::Current { .. }
    ));
    // The one after that knows her too.
    assert!(house.next(DATABASE).is_some() && house.knows("eve") && house.knows("alice"));
}

#[tokio::test]
async fn news_that_cannot_be_read_is_told_once_however_often_it_is_tried() {
    let mut house = house().await;
    let (alice, _) = house.admit("alice").await;
    house.first().await;
    let before = std::fs::metadata(house.path()).unwrap().len();
    // Alice is read each time, and bob never: his key is not in the ring.
    let news = News::new(identity::PERSON_CHANGED, None, alice.0);
    house.tell(news).await;
    let (bob, in_acme) = house.admit("bob").await;
    house.set(in_acme, "Tunnel-Password := 'x'").await;
    let sealed = "UPDATE access_reply SET value = 'v1:other:x:x' WHERE membership_id = $1";
    house.run(sealed, in_acme).await;
    for _ in 0..50 {
        assert!(house.follower.catch_up().await.is_err());
    }
    let lost = "DELETE FROM access_reply WHERE membership_id = $1";
    house.run(lost, in_acme).await;
    assert!(house.step().await && house.is_active(bob));
    let grown = std::fs::metadata(house.path()).unwrap().len() - before;
    assert!(grown < 2_000, "{grown}");
    assert!(house.next(DATABASE).is_some() && house.knows("bob"));
}

#[tokio::test]
async fn nothing_can_be_read_in_it() {
    let mut house = house().await;
    house
        .admit_with("alice-in-wonderland", "cheshire-cat")
        .await;
    house.nas("10.1.0.0/16").await;
    house.first().await;
    let octets = std::fs::read(house.path()).unwrap();
    for text in ["alice-in", "cheshire", "10.1.0.0", "a-secret-of-a-nas"] {
        let is_there = octets
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        assert!(!is_there, "{text}");
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(house.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_a_crash_tears_off_is_read_again_from_the_database() {
    let mut house = house().await;
    house.admit("alice").await;
    house.first().await;
    let whole = std::fs::read(house.path()).unwrap();
    house.admit("bob").await;
    house.step().await;
    let longer = std::fs::read(house.path()).unwrap();
    assert!(longer.len() > whole.len());
    for octets in whole.len()..longer.len() {
        std::fs::write(house.path(), &longer[..octets]).unwrap();
        assert!(house.next(DATABASE).is_some(), "{octets}");
        assert!(house.knows("alice") && !house.knows("bob"), "{octets}");
        assert!(house.step().await && house.knows("bob"), "{octets}");
        // And what was added since stands where the torn piece was.
        assert!(house.next(DATABASE).is_some() && house.knows("bob"));
    }
}

#[tokio::test]
async fn what_was_altered_is_not_used() {
    let mut house = house().await;
    house.admit("alice").await;
    house.first().await;
    let whole = std::fs::read(house.path()).unwrap();
    for place in [0, 9, 12, 30, 60, whole.len() / 2, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[place] ^= 1;
        std::fs::write(house.path(), &altered).unwrap();
        assert_eq!(house.next(DATABASE), None, "{place}");
        assert!(!house.register.is_complete(), "{place}");
        // The database is loaded, and nobody is left over.
        assert!(!house.step().await && house.knows("alice"));
    }
    std::fs::write(house.path(), b"something else").unwrap();
    assert_eq!(house.next(DATABASE), None);
    house.step().await;
    assert_eq!(house.next("another database"), None);
    assert!(!house.step().await);
    assert!(house.next("another database").is_some());
}

#[tokio::test]
async fn a_database_that_was_put_back_is_loaded_anew_and_who_was_made_later_is_forgotten() {
    let mut house = house().await;
    house.admit("alice").await;
    house.first().await;
    let (bob, _) = house.admit("bob").await;
    house.step().await;
    // As in the database that the snapshot was not made of: neither he nor the news of him.
    for sql in [
        "DELETE FROM event WHERE subject = $1",
        "DELETE FROM identifier WHERE person_id = $1",
        "DELETE FROM membership WHERE person_id = $1",
        "DELETE FROM person WHERE id = $1",
    ] {
        if sql.contains("membership") {
            house.run("DELETE FROM group_member WHERE membership_id IN (SELECT id FROM membership WHERE person_id = $1)", bob).await;
        }
        house.run(sql, bob).await;
    }
    assert!(house.next(DATABASE).is_some() && house.knows("bob"));
    assert!(!house.step().await, "it is not gone on from");
    assert!(house.knows("alice") && !house.knows("bob"));
    assert!(house.next(DATABASE).is_some());
    assert!(house.knows("alice") && !house.knows("bob"));
}

#[tokio::test]
async fn a_snapshot_that_has_grown_is_written_anew_from_itself() {
    let mut house = house().await;
    let (alice, in_acme) = house.admit_with("alice", "wonderland").await;
    house.admit("bob").await;
    house.first().await;
    // Long rules: with each news of her she is written whole.
    let value = "x".repeat(240);
    let text: Vec<String> = (0..100)
        .map(|row| format!("Reply-Message += \"{row} {value}\""))
        .collect();
    house.set(in_acme, &text.join("\n")).await;
    let mut longest = 0;
    let mut rounds = 0;
    loop {
        let news = News::new(identity::PERSON_CHANGED, None, alice.0);
        house.tell(news).await;
        if rounds == 0 {
            house.admit("carol").await;
        }
        house.step().await;
        let octets = std::fs::metadata(house.path()).unwrap().len();
        rounds += 1;
        if octets < longest {
            break;
        }
        longest = octets;
        // 28 KB a round; it is written anew at 8 MB, and a thread needs a moment for that.
        assert!(rounds < 3_000, "never written anew: {octets}");
        if octets > 9_000_000 {
            std::thread::yield_now();
        }
    }
    let before = ["alice", "bob", "carol"].map(|name| house.facts(name));
    assert!(house.next(DATABASE).is_some());
    assert_eq!(
        ["alice", "bob", "carol"].map(|name| house.facts(name)),
        before
    );
    assert!(house.step().await && house.is_active(alice));
}
