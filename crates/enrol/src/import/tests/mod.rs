//! Imports on a throw-away database, from the file to somebody who logs in.

mod interrupted;
mod whole;

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
