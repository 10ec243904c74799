//! A throw-away house for the tests of this room.

use crate::{NewOrganisation, NewPerson, Organisation, organisation, person};
use kernel::db::Location;
use kernel::id::Uuid;
use kernel::{Error, FixedClock, Kernel, Keyring, SeededRng, Time, event};
use std::sync::Arc;

/// A kernel on a fresh SQLite file.
pub(crate) struct House {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<FixedClock>,
    _folder: tempfile::TempDir,
}

/// 2027-01-15, noon.
const START: i64 = 1_800_014_400;

pub(crate) async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let db = Location::Sqlite(folder.path().join("house.db"))
        .open()
        .await
        .unwrap();
    let clock = Arc::new(FixedClock::new(Time::from_unix_seconds(START)));
    let keys = Keyring::parse(&Keyring::fresh_text(&SeededRng::new(7))).unwrap();
    let kernel = Kernel {
        db,
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(3)),
        keys: Arc::new(keys),
    };
    House {
        kernel,
        clock,
        _folder: folder,
    }
}

#[derive(sqlx::FromRow)]
struct FieldsRow {
    fields: String,
}

kernel::statements! {
    STATEMENTS;
    FIELDS = "SELECT fields FROM history WHERE row_id = $1 AND valid_to IS NULL ORDER BY valid_from";
    EVERY_FIELD = "SELECT fields FROM history ORDER BY valid_from";
}

impl House {
    pub(crate) async fn organisation(&self, new: NewOrganisation) -> Organisation {
        let mut tx = self.kernel.db.begin().await.unwrap();
        let made = organisation::insert(&mut tx, &self.kernel, new)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        made
    }

    pub(crate) async fn admit(
        &self,
        org: &Organisation,
        new: NewPerson,
    ) -> Result<crate::Inserted, Error> {
        let mut tx = self.kernel.db.begin().await?;
        let inserted = person::insert(&mut tx, &self.kernel, org, new).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// Everything said so far: kind and subject.
    pub(crate) async fn news(&self) -> Vec<(String, Uuid)> {
        let events = self
            .kernel
            .db
            .events_after(event::Position::default())
            .await
            .unwrap();
        events
            .into_iter()
            .map(|event| (event.kind, event.subject))
            .collect()
    }

    /// How often a kind was said about a subject.
    pub(crate) async fn told(&self, kind: &str, subject: impl Into<Uuid>) -> usize {
        let subject = subject.into();
        self.news()
            .await
            .iter()
            .filter(|news| news.0 == kind && news.1 == subject)
            .count()
    }

    /// The current version of a row; null when there is none.
    pub(crate) async fn version(&self, row: impl Into<Uuid>) -> serde_json::Value {
        let rows: Vec<FieldsRow> = self
            .kernel
            .db
            .all(FIELDS, kernel::values![row.into()])
            .await
            .unwrap();
        assert!(rows.len() <= 1, "a row has one current version");
        rows.first().map_or(serde_json::Value::Null, |row| {
            serde_json::from_str(&row.fields).unwrap()
        })
    }

    /// All versions of all rows in one text.
    pub(crate) async fn whole_history(&self) -> String {
        let rows: Vec<FieldsRow> = self.kernel.db.all(EVERY_FIELD, Vec::new()).await.unwrap();
        rows.into_iter().map(|row| row.fields).collect()
    }
}

#[tokio::test]
async fn every_statement_is_understood() {
    let house = house().await;
    for (name, sql) in crate::statements(kernel::Engine::Sqlite)
        .iter()
        .chain(STATEMENTS)
    {
        let outcome = house.kernel.db.prepare(sql).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}
